//! Sums of decimal fractions, as text.
//!
//! Redis adds in 80 bits and prints 17 decimals. Here what fits is added exactly, in units of the last of these
//! decimals; what does not, in 64 bits.

/// Decimals that are told.
const DECIMALS: usize = 17;
/// Units of the last decimal in 1.
const ONE: i128 = 10_i128.pow(DECIMALS as u32);
/// The longest text that Redis takes for a number.
const TEXT_MAX: usize = 5_120;

/// The value, 0 if there is none, with `by` added.
///
/// # Errors
/// Why there is no sum, in Redis' words.
pub fn sum(value: Option<&[u8]>, by: &[u8]) -> Result<Vec<u8>, &'static str> {
    let value = value.unwrap_or(b"0");
    let (Some(old), Some(more)) = (float(value), float(by)) else {
        return Err("value is not a valid float");
    };
    if let (Some(old), Some(more)) = (exact(value), exact(by))
        && let Some(sum) = old.checked_add(more)
    {
        let sign = if sum < 0 { "-" } else { "" };
        let (whole, part) =
            (sum.unsigned_abs() / ONE.unsigned_abs(), sum.unsigned_abs() % ONE.unsigned_abs());
        return Ok(trimmed(format!("{sign}{whole}.{part:0DECIMALS$}")));
    }
    let sum = old + more;
    if sum.is_finite() {
        Ok(trimmed(format!("{sum:.DECIMALS$}")))
    } else {
        Err("increment would produce NaN or Infinity")
    }
}

/// Whether the text is a number, and which, about.
fn float(text: &[u8]) -> Option<f64> {
    let known = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    if text.len() > TEXT_MAX || !text.iter().all(known) {
        return None;
    }
    // Beyond the range of 64 bits is no number, unless it says that it is infinite.
    let is_word = text.iter().any(|byte| byte.eq_ignore_ascii_case(&b'n'));
    let number: f64 = core::str::from_utf8(text).ok()?.parse().ok()?;
    Some(number).filter(|number| number.is_finite() || (is_word && number.is_infinite()))
}

/// The number in units of the last decimal, if it is a multiple of that and not too large.
fn exact(text: &[u8]) -> Option<i128> {
    let text = core::str::from_utf8(text).ok()?;
    let (digits, exponent) = match text.split_once(['e', 'E']) {
        Some((digits, exponent)) => (digits, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (is_negative, digits) = match digits.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, digits.strip_prefix('+').unwrap_or(digits)),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let part = part.trim_end_matches('0');
    let shift = DECIMALS as i32 + exponent - i32::try_from(part.len()).ok()?;
    let all = [whole, part].concat();
    let number: i128 = all.parse().ok().filter(|_| all.bytes().all(|byte| byte.is_ascii_digit()))?;
    let units = number.checked_mul(10_i128.checked_pow(u32::try_from(shift).ok()?)?)?;
    Some(if is_negative { -units } else { units })
}

/// Without zeros behind the last decimal that is none.
fn trimmed(text: String) -> Vec<u8> {
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { b"0".to_vec() } else { text.as_bytes().to_vec() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_told_as_redis_tells_them() {
        for (value, by, told) in [
            (None, "0.1", Ok("0.1")),
            (Some("10.50"), "0.1", Ok("10.6")),
            (Some("0.1"), "0.2", Ok("0.3")),
            (Some("10.6"), "-5", Ok("5.6")),
            (Some("5.0e3"), "2.0e2", Ok("5200")),
            (Some("3"), "-3", Ok("0")),
            (Some("-0.5"), "0.25", Ok("-0.25")),
            (Some("1"), "1e-17", Ok("1.00000000000000001")),
            (Some("3.0"), "1.000", Ok("4")),
            (Some("1e300"), "1e300", Ok(&format!("2{}", "0".repeat(300))[..])),
            (Some("text"), "1", Err("value is not a valid float")),
            (Some(" 1"), "1", Err("value is not a valid float")),
            (Some(""), "1", Err("value is not a valid float")),
            (Some("1"), "nan", Err("value is not a valid float")),
            (Some("1"), "1e5000", Err("value is not a valid float")),
            (Some("1"), "inf", Err("increment would produce NaN or Infinity")),
        ] {
            let sum = sum(value.map(str::as_bytes), by.as_bytes());
            let sum = sum.map(|bytes| String::from_utf8(bytes).expect("digits"));
            if by == "1e300" {
                let sum = sum.expect("it is finite");
                assert!(sum.len() == 301 && sum.starts_with('2'), "{sum}");
                continue;
            }
            assert_eq!(sum.as_deref().map_err(|why| *why), told, "{value:?} {by}");
        }
    }
}
