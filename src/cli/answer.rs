//! Picks answers of a node apart: fields by name, values as bytes, text or JSON.
//!
//! An answer that lacks a field came from something that is no node of ours, or one of another version;
//! that is a failure to connect, and never a panic.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value as Json};

use quorate::resp::client::Value;

use super::exit::{CANNOT_CONNECT, Failure};

/// The field of a map, or of the flat array that stands for one in RESP2.
///
/// # Errors
/// There is none of that name.
pub fn field<'a>(answer: &'a Value, name: &str) -> Result<&'a Value, Failure> {
    fields(answer)?
        .into_iter()
        .find(|(found, _)| text(found) == name)
        .map(|(_, value)| value)
        .ok_or_else(|| unexpected(&format!("has no field `{name}`")))
}

/// The fields of a map, or of the flat array that stands for one.
///
/// # Errors
/// It is neither.
pub fn fields(answer: &Value) -> Result<Vec<(&Value, &Value)>, Failure> {
    match answer {
        Value::Map(pairs) => Ok(pairs.iter().map(|(name, value)| (name, value)).collect()),
        Value::Array(items) if items.len().is_multiple_of(2) => {
            Ok(items.chunks_exact(2).map(|pair| (&pair[0], &pair[1])).collect())
        }
        _ => Err(unexpected("is no map")),
    }
}

/// The elements of an array.
///
/// # Errors
/// It is none.
pub fn list(answer: &Value) -> Result<&[Value], Failure> {
    match answer {
        Value::Array(items) => Ok(items),
        _ => Err(unexpected("is no array")),
    }
}

/// The bytes of a string.
///
/// # Errors
/// It is none.
pub fn bytes(answer: &Value) -> Result<&[u8], Failure> {
    match answer {
        Value::Bulk(bytes) => Ok(bytes),
        Value::Simple(text) => Ok(text.as_bytes()),
        _ => Err(unexpected("is no string")),
    }
}

/// Any scalar for people; an aggregate is empty.
pub fn text(answer: &Value) -> String {
    match answer {
        Value::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::Simple(text) | Value::Error(text) => text.clone(),
        Value::Integer(number) => number.to_string(),
        Value::Boolean(truth) => truth.to_string(),
        Value::Double(number) => number.to_string(),
        Value::Null | Value::Array(_) | Value::Map(_) => String::new(),
    }
}

/// Adds the fields of an answer to an object, siblings as objects of their own.
///
/// # Errors
/// The answer is no map.
pub fn insert_fields(object: &mut Map<String, Json>, answer: &Value) -> Result<(), Failure> {
    for (name, value) in fields(answer)? {
        match (text(name).as_str(), value) {
            ("siblings", Value::Array(siblings)) => {
                let mut shown = Vec::new();
                for sibling in siblings {
                    let mut sibling_object = Map::new();
                    insert_fields(&mut sibling_object, sibling)?;
                    shown.push(Json::Object(sibling_object));
                }
                object.insert("siblings".into(), Json::Array(shown));
            }
            ("value", Value::Bulk(bytes)) => insert_bytes(object, "value", bytes),
            (name, value) => {
                object.insert(name.to_owned(), to_json(value));
            }
        }
    }
    Ok(())
}

/// Adds bytes to an object: as text under `name`, or in base64 under `name_base64` if they are none.
pub fn insert_bytes(object: &mut Map<String, Json>, name: &str, bytes: &[u8]) {
    match core::str::from_utf8(bytes) {
        Ok(text) => object.insert(name.to_owned(), Json::from(text)),
        Err(_) => object.insert(format!("{name}_base64"), Json::from(STANDARD.encode(bytes))),
    };
}

/// An answer as JSON; a flat array stays an array.
pub fn to_json(answer: &Value) -> Json {
    match answer {
        Value::Null => Json::Null,
        Value::Integer(number) => Json::from(*number),
        Value::Boolean(truth) => Json::from(*truth),
        Value::Double(number) => Json::from(*number),
        Value::Bulk(_) | Value::Simple(_) | Value::Error(_) => Json::from(text(answer)),
        Value::Array(items) => Json::Array(items.iter().map(to_json).collect()),
        Value::Map(pairs) => {
            Json::Object(pairs.iter().map(|(name, value)| (text(name), to_json(value))).collect())
        }
    }
}

fn unexpected(what: &str) -> Failure {
    Failure::new(CANNOT_CONNECT, format!("the node's answer {what}; is it a quorate node of this version?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(bytes: &[u8]) -> Value {
        Value::Bulk(bytes.to_vec())
    }

    #[test]
    fn a_field_is_found_in_a_map_and_in_a_flat_array() {
        let map = Value::Map(vec![(bulk(b"acked"), Value::Integer(2))]);
        let flat = Value::Array(vec![bulk(b"acked"), Value::Integer(2)]);
        for answer in [map, flat] {
            assert_eq!(field(&answer, "acked"), Ok(&Value::Integer(2)));
            assert_eq!(field(&answer, "dot").unwrap_err().code, 15);
        }
        assert_eq!(field(&Value::Null, "acked").unwrap_err().code, 15);
        assert_eq!(field(&Value::Array(vec![bulk(b"acked")]), "acked").unwrap_err().code, 15);
    }

    #[test]
    fn bytes_that_are_no_text_go_into_json_as_base64() {
        let sibling = Value::Array(vec![bulk(b"value"), bulk(&[0xff, 0]), bulk(b"dot"), bulk(b"1.2.3:4")]);
        let answer = Value::Array(vec![bulk(b"siblings"), Value::Array(vec![sibling])]);
        let mut object = Map::new();
        insert_fields(&mut object, &answer).unwrap();
        let expected = r#"{"siblings":[{"dot":"1.2.3:4","value_base64":"/wA="}]}"#;
        assert_eq!(Json::Object(object).to_string(), expected);
    }
}
