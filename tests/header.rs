//! The committed header is what the crate says it is, and every function in it is documented and listed.
#![cfg(feature = "header")]

use std::fs;
use std::path::Path;

use quorate::ffi::header::generate;

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
