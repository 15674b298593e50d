//! The committed header is what the crate says it is, and every function in it is documented and listed.
#![cfg(feature = "header")]

use std::fs;
use std::path::Path;
use std::process::Command;

use quorate::ffi::header::{all_constants, generate};
use quorate::ffi::plain::*;
use quorate::ffi::status::{API_LEVEL, VERSION_NUMBER};

fn file(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap_or_default()
}

/// Compares, or writes where QUORATE_HEADER_WRITE is set (scripts/header.sh).
#[test]
fn the_header_is_fresh() {
    let made = generate();
    if std::env::var_os("QUORATE_HEADER_WRITE").is_some() {
        fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join("include/quorate.h"), &made).unwrap();
    }
    assert!(made == file("include/quorate.h"), "include/quorate.h is stale: run scripts/header.sh");
}

/// Name and comment of every function that the header declares.
fn functions(header: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = header;
    while let Some(start) = rest.find("/**") {
        let end = start + rest[start..].find("*/").expect("a comment ends");
        let comment = rest[start..end].to_owned();
        rest = &rest[end..];
        let declaration = rest[2..].trim_start();
        let is_function =
            declaration.starts_with("QUORATE_API") || declaration.starts_with("QUORATE_NODISCARD");
        if is_function {
            let head = &declaration[..declaration.find('(').expect("a function has arguments")];
            // Attributes of the macros stand before the return type, so the last word is the name.
            let name = head.rsplit([' ', '*', '\n']).next().unwrap();
            found.push((name.to_owned(), comment));
        }
    }
    found
}

/// Rows of abi/symbols.txt: number, name, since, class, blocks, nullable pointers.
fn symbols() -> Vec<Vec<String>> {
    let text = file("abi/symbols.txt");
    let rows = text.lines().filter(|line| !line.starts_with('#'));
    rows.map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
}

#[test]
fn header_and_symbol_list_name_the_same_functions() {
    let mut declared: Vec<_> = functions(&generate()).into_iter().map(|(name, _)| name).collect();
    let mut listed: Vec<_> = symbols().into_iter().map(|row| row[1].clone()).collect();
    declared.sort();
    listed.sort();
    assert_eq!(declared, listed);
    assert!(declared.len() > 30, "the functions were not found");
}

#[test]
fn every_function_says_what_it_returns_where_and_how() {
    let symbols = symbols();
    for (name, comment) in functions(&generate()) {
        let row = symbols.iter().find(|row| row[1] == name).expect("listed");
        for part in
            ["Returns:", &format!("Thread class: {}", row[3]), "Blocks: ", &format!("Since: {}", row[2])]
        {
            assert!(comment.contains(part), "{name} lacks `{part}`:\n{comment}");
        }
        let blocks = !comment.contains("Blocks: no");
        assert_eq!(blocks, row[4] == "yes", "{name}: the comment and abi/symbols.txt differ on blocking");
        if row[0] != "0" {
            assert!(comment.contains("Arguments:"), "{name} lacks its arguments");
        }
    }
}

/// What Rust thinks of a struct: its size and the offset of each member, as C expressions and numbers.
macro_rules! layout {
    ($into:ident, $name:ident: $($member:ident)*) => {
        let name = stringify!($name);
        $into.push((format!("sizeof({name})"), size_of::<$name>() as i64));
        $(
            let offset = core::mem::offset_of!($name, $member) as i64;
            $into.push((format!("offsetof({name}, {})", stringify!($member)), offset));
        )*
    };
}

/// A C program prints every constant, size and offset as its compiler sees them.
#[test]
fn c_sees_the_numbers_that_rust_does() {
    let mut expected: Vec<(String, i64)> = vec![
        ("QUORATE_VERSION_NUMBER".into(), VERSION_NUMBER.into()),
        ("QUORATE_API_LEVEL".into(), API_LEVEL.into()),
    ];
    for (_, constants) in all_constants() {
        expected.extend(constants.iter().map(|constant| (constant.name.to_owned(), constant.value)));
    }
    layout!(expected, quorate_bytes: data len);
    layout!(expected, quorate_error: struct_size status os_errno flags text);
    layout!(expected, quorate_call: struct_size keyspace r w pr pw dw view blind flags timeout_ns ttl_ms reserved);
    layout!(expected, quorate_op: kind flags tag key value context call number limit);
    layout!(expected, quorate_dot: generation nonce epoch counter);
    layout!(expected, quorate_sibling: value hlc expires_ms dot kind flags);
    layout!(expected, quorate_completion: tag result siblings context dot n_siblings status os_errno flags
        kind asked acked durable fallbacks zero reserved);
    layout!(expected, quorate_status_info: code flags name text);
    layout!(expected, quorate_clock: struct_size zero user monotonic_ns wall_ms drop reserved);
    layout!(expected, quorate_change: key siblings n_siblings flags reserved);
    layout!(expected, quorate_order: struct_size kind name other number reserved);
    layout!(expected, quorate_cluster: version hash layout layout_next plan_hash bytes_copied replicas_total
        replicas_open phase n_members n_keepers n_staged reserved);
    layout!(expected, quorate_member: name address zone generation bytes_copied weight state flags partitions
        partitions_next replicas_total replicas_open verdict reserved);

    let header = file("include/quorate.h");
    for line in header.lines().filter_map(|line| line.strip_prefix("#define QUORATE_")) {
        let name = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap();
        let is_text =
            ["H", "VERSION_MAJOR", "VERSION_MINOR", "VERSION_PATCH", "OPTIONS_CREATE"].contains(&name);
        let is_level = name == "API_LEVEL_HEADER";
        let is_known = expected.iter().any(|(known, _)| known.strip_prefix("QUORATE_") == Some(name));
        assert!(is_text || is_level || is_known, "QUORATE_{name} is in the header and not compared");
    }

    let folder = tempfile::tempdir().unwrap();
    let (source, program) = (folder.path().join("numbers.c"), folder.path().join("numbers"));
    let mut text = String::from("#include <quorate.h>\n#include <stdio.h>\nint main(void) {\n");
    for (expression, _) in &expected {
        text += &format!("    printf(\"%lld\\n\", (long long)({expression}));\n");
    }
    text += "    return 0;\n}\n";
    fs::write(&source, text).unwrap();
    let include = Path::new(env!("CARGO_MANIFEST_DIR")).join("include");
    let mut compiler = Command::new("cc");
    compiler
        .args(["-std=c11", "-Wpadded", "-Werror", "-I"])
        .arg(include)
        .arg("-o")
        .arg(&program)
        .arg(&source);
    assert!(compiler.status().expect("a C compiler").success(), "an implicit padding, or a wrong header");
    let printed = String::from_utf8(Command::new(&program).output().unwrap().stdout).unwrap();
    let found: Vec<i64> = printed.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(found.len(), expected.len());
    for ((expression, value), found) in expected.iter().zip(found) {
        assert_eq!(*value, found, "{expression}");
    }
}
