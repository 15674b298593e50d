//! Reads the tree as text and holds the rules that no compiler knows: which part may name which, where
//! `unsafe` may stand, how long things may get, which words are not said.
//!
//! Every rule is a function of (path, source) that returns what it found, so that each is shown to fail
//! on a planted violation. Comments and literals are blanked first; a rule never trips over prose.

use std::fmt;
use std::fs;
use std::path::Path;

/// What each part of the tree may name. Every arrow points to `proto`; `proto` points at nothing.
const ARROWS: [(&str, &[&str]); 7] = [
    ("proto", &[]),
    ("store", &["proto"]),
    ("resp", &["proto"]),
    ("driver", &["proto", "store", "resp"]),
    ("sim", &["proto", "store"]),
    ("ffi", &["proto", "store", "driver"]),
    ("cli", &["proto", "store", "resp", "driver"]),
];

/// Single files that may name one part more, and why.
const ARROWS_OF_FILES: [(&str, &str); 1] = [
    // `quorate sim` is the one door to the simulator.
    ("src/cli/sim.rs", "sim"),
];

/// Parts of `proto` that do not know each other, nor the machines that combine them.
const LEAVES: [&str; 4] = ["ring", "version", "gossip", "merkle"];
const COMBINERS: [&str; 5] = ["coordinator", "replica", "handoff", "entropy", "node"];

/// What the core must not name: sockets, files, threads, clocks, processes, randomness, and the crates
/// that offer them.
const OUTSIDE_OF_PROTO: [&str; 15] = [
    "std::net",
    "std::fs",
    "std::io",
    "std::os",
    "std::env",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "std::hash::RandomState",
    "mio",
    "libc",
    "socket2",
    "memmap2",
    "rand",
];

/// The only places where `unsafe` may stand; an entry ending in `/` is a folder.
const UNSAFE_ALLOWED: [&str; 11] = [
    "src/store/map.rs",
    "src/store/file.rs",
    "src/store/prefetch.rs",
    "src/driver/sys.rs",
    "src/driver/queue.rs",
    "src/ffi/",
    // They call the C interface as a C program does.
    "tests/ffi.rs",
    "tests/ffi/",
    "tests/ffi_panic.rs",
    "tests/allocations.rs",
    // Opening LMDB, a peer of the store bench, has conditions that no type can hold.
    "benches/embedded/src/engines/lmdb.rs",
];

/// Names of files and modules that say nothing about what is inside.
const EMPTY_NAMES: [&str; 6] = ["util", "utils", "helper", "helpers", "misc", "common"];

/// What may not be written, and why.
const FORBIDDEN: [(&str, &str); 5] = [
    ("todo!", "unfinished"),
    ("unimplemented!", "unfinished"),
    ("dbg!", "left over"),
    ("#[ignore", "a test that does not run is no test"),
    ("write_vectored", "raises SIGPIPE in a host; use sendmsg with MSG_NOSIGNAL"),
];

const FILE_LINES_MAX: usize = 700;
const FUNCTION_LINES_MAX: usize = 80;
/// Begins the sentence that excuses a long file (in its `//!`) or function (above or inside it).
const LONG_MARKER: &str = "Long because ";

/// One broken rule.
#[derive(Debug, PartialEq, Eq)]
struct Violation {
    path: String,
    line: usize,
    rule: &'static str,
    what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}", self.path, self.line, self.rule, self.what)
    }
}

/// A source file with its code alone beside it, of equal length.
struct Source<'a> {
    path: &'a str,
    text: &'a str,
    /// `text` with comments and literals blanked, line breaks kept.
    code: String,
}

impl<'a> Source<'a> {
    fn new(path: &'a str, text: &'a str) -> Source<'a> {
        Source { path, text, code: blank(text) }
    }

    fn violation(&self, at: usize, rule: &'static str, what: impl Into<String>) -> Violation {
        let line = 1 + self.text[..at].matches('\n').count();
        Violation { path: self.path.to_owned(), line, rule, what: what.into() }
    }

    /// The part of the tree the file belongs to: `proto` of `src/proto/node.rs`.
    fn part(&self) -> Option<&str> {
        let (first, _) = self.path.strip_prefix("src/")?.split_once(['/', '.'])?;
        Some(first)
    }

    /// The module path of the file: `proto ring tokens` of `src/proto/ring/tokens.rs`.
    fn module(&self) -> Vec<String> {
        let inside = self.path.strip_prefix("src/").unwrap_or(self.path).trim_end_matches(".rs");
        let mut module: Vec<String> = inside.split('/').map(str::to_owned).collect();
        if matches!(module.last().map(String::as_str), Some("mod" | "lib" | "main")) {
            module.pop();
        }
        module
    }
}

/// All rules on one file.
fn check(path: &str, text: &str) -> Vec<Violation> {
    let source = Source::new(path, text);
    let rules = [head, arrows, core_reads_nothing, globs, unsafe_places, lengths, words, names, allows];
    rules.iter().flat_map(|rule| rule(&source)).collect()
}

fn head(source: &Source<'_>) -> Vec<Violation> {
    let missing = !source.text.starts_with("//!");
    missing
        .then(|| source.violation(0, "head", "a file starts with `//!`: what it owns"))
        .into_iter()
        .collect()
}

fn arrows(source: &Source<'_>) -> Vec<Violation> {
    let Some(&(part, allowed)) = ARROWS.iter().find(|arrow| Some(arrow.0) == source.part()) else {
        return Vec::new();
    };
    let module = source.module();
    let leaf = module.get(1).filter(|_| part == "proto").filter(|name| LEAVES.contains(&name.as_str()));
    let mut found = Vec::new();
    for (at, path) in paths(source) {
        let Some(target) = path.first().filter(|target| ARROWS.iter().any(|arrow| arrow.0 == *target)) else {
            continue;
        };
        let excepted = ARROWS_OF_FILES.contains(&(source.path, target.as_str()));
        if target != part && !allowed.contains(&target.as_str()) && !excepted {
            found.push(source.violation(at, "arrows", format!("{part} may not name {target}")));
        }
        let (Some(leaf), Some(inner)) = (leaf, path.get(1)) else { continue };
        let apart = LEAVES.contains(&inner.as_str()) || COMBINERS.contains(&inner.as_str());
        if target == "proto" && inner != leaf && apart {
            found.push(source.violation(at, "arrows", format!("proto::{leaf} may not name proto::{inner}")));
        }
    }
    found
}

fn core_reads_nothing(source: &Source<'_>) -> Vec<Violation> {
    if source.part() != Some("proto") {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (at, path) in outside_paths(source) {
        let path = path.join("::");
        let forbidden = OUTSIDE_OF_PROTO.iter().find(|name| {
            path == **name || path.strip_prefix(**name).is_some_and(|rest| rest.starts_with("::"))
        });
        if let Some(name) = forbidden {
            found.push(source.violation(at, "core", format!("the core does not name {name}")));
        }
    }
    for word in ["println!", "eprintln!", "print!", "eprint!"] {
        let places = places(&source.code, word);
        found.extend(places.map(|at| source.violation(at, "core", format!("the core does not {word}"))));
    }
    found
}

fn globs(source: &Source<'_>) -> Vec<Violation> {
    let ours = |path: &[String]| ARROWS.iter().any(|arrow| path.first().is_some_and(|name| name == arrow.0));
    let globs = uses(source).into_iter().filter(|(_, path)| path.last().is_some_and(|name| name == "*"));
    globs
        .filter(|(at, path)| {
            let file = source.module();
            let modules =
                inline_modules(&source.code, *at).into_iter().chain(file.iter().map(String::as_str));
            let in_tests = modules.into_iter().any(|name| name.ends_with("tests"));
            !in_tests && ours(&resolve(source, *at, path))
        })
        .map(|(at, _)| source.violation(at, "globs", "a module of ours is imported by name, not by `*`"))
        .collect()
}

fn unsafe_places(source: &Source<'_>) -> Vec<Violation> {
    let allowed = UNSAFE_ALLOWED
        .iter()
        .any(|entry| source.path == *entry || (entry.ends_with('/') && source.path.starts_with(entry)));
    if allowed {
        return Vec::new();
    }
    let places = places(&source.code, "unsafe");
    places.map(|at| source.violation(at, "unsafe", "not one of the files that may")).collect()
}

fn lengths(source: &Source<'_>) -> Vec<Violation> {
    let mut found = Vec::new();
    let lines = source.text.lines().count();
    let excused =
        source.text.lines().take_while(|line| line.starts_with("//!")).any(|line| line.contains(LONG_MARKER));
    if lines > FILE_LINES_MAX && !excused {
        found.push(source.violation(0, "lengths", format!("{lines} lines; {FILE_LINES_MAX} are allowed")));
    }
    for at in places(&source.code, "fn") {
        let Some((name, end)) = function(&source.code, at) else { continue };
        let body = &source.text[at..end];
        let lines = body.lines().count();
        let excused = above(&source.text[..at]).chain(body.lines()).any(|line| line.contains(LONG_MARKER));
        if lines > FUNCTION_LINES_MAX && !excused {
            let what = format!("fn {name} has {lines} lines; {FUNCTION_LINES_MAX} are allowed");
            found.push(source.violation(at, "lengths", what));
        }
    }
    found
}

fn words(source: &Source<'_>) -> Vec<Violation> {
    let forbidden = |(word, why): &(&'static str, &'static str)| {
        let (word, why) = (*word, *why);
        places(&source.code, word)
            .map(move |at| source.violation(at, "words", format!("`{word}`: {why}")))
            .collect::<Vec<_>>()
    };
    let mut found: Vec<Violation> = FORBIDDEN.iter().flat_map(forbidden).collect();
    if source.part() == Some("sim") {
        // A simulator that knows the planted bug would find it however blind its checkers are.
        let places =
            ["cfg(mutant", "cfg!(mutant", "planted!"].into_iter().flat_map(|word| places(&source.code, word));
        found.extend(places.map(|at| source.violation(at, "words", "a planted bug lies in production code")));
    }
    found
}

fn names(source: &Source<'_>) -> Vec<Violation> {
    let parts = source.path.trim_end_matches(".rs").split('/');
    let files = parts.filter(|part| EMPTY_NAMES.contains(part)).map(|part| (0, part));
    let modules = places(&source.code, "mod").map(|at| (at, word_at(source.code[at + 3..].trim_start())));
    let modules = modules.filter(|(_, name)| EMPTY_NAMES.contains(name));
    files
        .chain(modules)
        .map(|(at, name)| source.violation(at, "names", format!("`{name}` does not say what is inside")))
        .collect()
}

fn allows(source: &Source<'_>) -> Vec<Violation> {
    let starts = ["#[allow(", "#![allow("].into_iter().flat_map(|start| places(&source.code, start));
    starts
        .filter(|&at| {
            let end = source.code[at..].find(']').map_or(source.code.len(), |length| at + length);
            !source.code[at..end].contains("reason")
        })
        .map(|at| source.violation(at, "allows", "say why: `#[expect(…, reason = \"…\")]`"))
        .collect()
}

// --- Reading Rust just well enough ---

/// Blanks comments, strings and characters. Line breaks stay, so places keep their lines.
fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let length = literal_length(&text[at..], at.checked_sub(1).map(|before| bytes[before]));
        if length == 0 {
            code.push(bytes[at]);
            at += 1;
            continue;
        }
        let blanks = bytes[at..at + length].iter().map(|&byte| if byte == b'\n' { b'\n' } else { b' ' });
        code.extend(blanks);
        at += length;
        while !text.is_char_boundary(at) {
            code.push(b' ');
            at += 1;
        }
    }
    String::from_utf8(code).expect("whole characters were kept or blanked")
}

/// Length of the comment or literal that `text` begins with; 0 if it begins with code.
fn literal_length(text: &str, before: Option<u8>) -> usize {
    let until =
        |end: &str, from: usize| text[from..].find(end).map_or(text.len(), |at| from + at + end.len());
    let in_word = before.is_some_and(is_word);
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    if text.starts_with("/*") {
        return until("*/", 2);
    }
    let raw = text.strip_prefix("br").or_else(|| text.strip_prefix("cr")).or_else(|| text.strip_prefix('r'));
    if let Some(rest) = raw.filter(|_| !in_word) {
        let hashes = rest.bytes().take_while(|&byte| byte == b'#').count();
        if rest[hashes..].starts_with('"') {
            let open = text.len() - rest.len() + hashes + 1;
            return until(&format!("\"{}", "#".repeat(hashes)), open);
        }
    }
    if let Some(rest) = text.strip_prefix('"') {
        return 1 + escaped_length(rest, b'"');
    }
    if let Some(rest) = text.strip_prefix('\'') {
        // A lifetime has no closing quote behind one character.
        let mut characters = rest.chars();
        return match (characters.next(), characters.next()) {
            (Some('\\'), _) => 1 + escaped_length(rest, b'\''),
            (Some(character), Some('\'')) => 2 + character.len_utf8(),
            _ => 0,
        };
    }
    0
}

/// Length up to and with the closing `quote`, which a backslash may escape.
fn escaped_length(text: &str, quote: u8) -> usize {
    let mut bytes = text.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\\' => drop(bytes.next()),
            _ if byte == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Where `word` stands in `code`, not as a part of a longer word.
fn places<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let edge = |byte: Option<&u8>, side: u8| !is_word(side) || !byte.is_some_and(|&byte| is_word(byte));
    let (first, last) = (word.as_bytes()[0], word.as_bytes()[word.len() - 1]);
    code.match_indices(word).map(|(at, _)| at).filter(move |&at| {
        let before = at.checked_sub(1).and_then(|before| code.as_bytes().get(before));
        edge(before, first) && edge(code.as_bytes().get(at + word.len()), last)
    })
}

/// The word that `code` begins with; empty if it begins with none.
fn word_at(code: &str) -> &str {
    &code[..code.bytes().take_while(|&byte| is_word(byte)).count()]
}

/// Name and end of the function whose `fn` stands at `at`; `None` for types and declarations.
fn function(code: &str, at: usize) -> Option<(&str, usize)> {
    let name = word_at(code[at + 2..].trim_start());
    let open = at + code[at..].find(['{', ';'])?;
    if name.is_empty() || code.as_bytes()[open] == b';' {
        return None;
    }
    let mut depth = 0_usize;
    for (offset, byte) in code[open..].bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some((name, open + offset + 1));
        }
    }
    None
}

/// Comment and attribute lines right above the line that `text` ends in.
fn above(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.rsplit('\n').skip(1);
    lines.take_while(|line| line.trim_start().starts_with("//") || line.trim_start().starts_with("#["))
}

/// Names of the inline modules around a place, outermost first.
fn inline_modules(code: &str, place: usize) -> Vec<&str> {
    let opened = places(code, "mod").filter_map(|at| {
        let name = word_at(code[at + 3..].trim_start());
        let (_, end) = function(code, at + 1)?;
        (at < place && place < end).then_some(name)
    });
    opened.collect()
}

/// Every path that names a module of ours, from the crate's root: `proto ring tokens`.
fn paths(source: &Source<'_>) -> Vec<(usize, Vec<String>)> {
    let found = uses(source).into_iter().chain(plain_paths(source));
    found
        .filter(|(_, path)| matches!(path[0].as_str(), "crate" | "quorate" | "super" | "self"))
        .map(|(at, path)| (at, resolve(source, at, &path)))
        .collect()
}

/// Every path that names something of another crate, as written.
fn outside_paths(source: &Source<'_>) -> Vec<(usize, Vec<String>)> {
    let found = uses(source).into_iter().chain(plain_paths(source));
    found.filter(|(_, path)| !matches!(path[0].as_str(), "crate" | "quorate" | "super" | "self")).collect()
}

/// A path as seen from the crate's root; what names another crate stays as it is.
fn resolve(source: &Source<'_>, at: usize, path: &[String]) -> Vec<String> {
    let mut base = Vec::new();
    if matches!(path[0].as_str(), "super" | "self") {
        base = source.module();
        base.extend(inline_modules(&source.code, at).into_iter().map(str::to_owned));
    }
    for name in path {
        match name.as_str() {
            "crate" | "quorate" | "self" => {}
            "super" => drop(base.pop()),
            _ => base.push(name.clone()),
        }
    }
    base
}

/// Paths outside of `use`: `crate::a::b`, `super::a`, `std::fs::read`.
fn plain_paths(source: &Source<'_>) -> Vec<(usize, Vec<String>)> {
    let code = &source.code;
    let mut found = Vec::new();
    let mut at = 0;
    while at < code.len() {
        let word = if code.is_char_boundary(at) { word_at(&code[at..]) } else { "" };
        let mut end = at + word.len();
        let mut path = vec![word.to_owned()];
        while !word.is_empty() && code[end..].starts_with("::") {
            let next = word_at(&code[end + 2..]);
            if next.is_empty() {
                break;
            }
            path.push(next.to_owned());
            end += 2 + next.len();
        }
        if path.len() > 1 {
            found.push((at, path));
        }
        at = end.max(at + 1);
    }
    found
}

/// The paths of every `use`, one for each leaf of its tree.
fn uses(source: &Source<'_>) -> Vec<(usize, Vec<String>)> {
    let mut found = Vec::new();
    for at in places(&source.code, "use") {
        let rest = &source.code[at + 3..];
        let Some(end) = rest.find(';').filter(|_| !rest.starts_with('<')) else { continue };
        let mut leaves = Vec::new();
        expand(rest[..end].trim(), &[], &mut leaves);
        found.extend(leaves.into_iter().filter(|path| !path[0].is_empty()).map(|path| (at, path)));
    }
    found
}

/// Expands `a::{b, c::{d, e}}` into `a b`, `a c d`, `a c e`.
fn expand(tree: &str, prefix: &[String], leaves: &mut Vec<Vec<String>>) {
    let (head, group) = match tree.split_once('{') {
        Some((head, group)) => (head, group.rsplit_once('}').map(|(inside, _)| inside)),
        None => (tree, None),
    };
    let plain = head.split(" as ").next().unwrap_or(head);
    let names = plain.split("::").map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
    let path: Vec<String> = prefix.iter().cloned().chain(names).collect();
    let Some(inside) = group else {
        leaves.push(if path.is_empty() { vec![String::new()] } else { path });
        return;
    };
    let (mut depth, mut start) = (0, 0);
    for (at, byte) in inside.bytes().enumerate().chain([(inside.len(), b',')]) {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            b',' if depth == 0 => {
                let branch = inside[start..at].trim();
                if !branch.is_empty() {
                    expand(branch, &path, leaves);
                }
                start = at + 1;
            }
            _ => {}
        }
    }
}

// --- The tree, and the planted violations ---

fn rust_files(folder: &Path, found: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path.to_str().expect("a path in UTF-8").to_owned());
        }
    }
}

#[test]
fn the_tree_is_tidy() {
    let root = env!("CARGO_MANIFEST_DIR");
    let mut files = Vec::new();
    for folder in ["src", "tests", "benches", "examples"] {
        rust_files(&Path::new(root).join(folder), &mut files);
    }
    files.sort_unstable();
    assert!(files.len() > 20, "only {} files found below {root}", files.len());
    let mut found = Vec::new();
    for file in &files {
        let text = fs::read_to_string(file).expect("a source file in UTF-8");
        let path = file.strip_prefix(root).expect("a file below the root").trim_start_matches('/');
        found.extend(check(path, &text).iter().map(Violation::to_string));
    }
    assert!(found.is_empty(), "{} broken:\n{}", found.len(), found.join("\n"));
}

/// The rules that `text` breaks when it stands at `path`, below a proper head.
fn broken(path: &str, text: &str) -> Vec<&'static str> {
    let mut rules: Vec<_> =
        check(path, &format!("//! Owns nothing.\n{text}\n")).into_iter().map(|found| found.rule).collect();
    rules.dedup();
    rules
}

#[test]
fn a_planted_import_breaks_the_arrows() {
    let table: [(&str, &str, bool); 19] = [
        ("src/proto/node.rs", "use crate::store::Log;", true),
        ("src/proto/node.rs", "use crate::{time::Now, driver};", true),
        ("src/proto/node.rs", "fn f() { crate::resp::parse() }", true),
        ("src/proto/node.rs", "use super::super::store::Log;", true),
        ("src/proto/node.rs", "use super::store::Store;", false),
        ("src/proto/node.rs", "mod tests { use super::super::store::Store; }", false),
        ("src/proto/node.rs", "mod tests { use super::super::super::store::Log; }", true),
        ("src/proto/ring/layout.rs", "use super::super::version::Dot;", true),
        ("src/proto/ring/layout.rs", "use super::super::{config, version::{Dot, Hlc}};", true),
        ("src/proto/ring/layout.rs", "use super::super::node::Node;", true),
        ("src/proto/ring/layout.rs", "use super::super::config::Config;\nuse super::tokens;", false),
        ("src/proto/version/dot.rs", "use crate::proto::ring::Token;", true),
        ("src/proto/coordinator/get.rs", "use super::super::{ring, version};", false),
        ("src/store/log.rs", "use crate::resp::Parser;", true),
        ("src/store/log.rs", "use crate::proto::store::Store;", false),
        ("src/ffi/mod.rs", "use crate::cli::main;", true),
        ("src/cli/serve.rs", "use crate::sim::run;", true),
        ("src/cli/sim.rs", "use crate::sim::run;", false),
        ("src/sim/mod.rs", "// use crate::ffi::x;\nconst S: &str = \"crate::ffi::x\";", false),
    ];
    for (path, text, breaks) in table {
        assert_eq!(broken(path, text).contains(&"arrows"), breaks, "{path}: {text}");
    }
}

#[test]
fn a_planted_clock_socket_file_or_thread_breaks_the_core() {
    let texts = [
        "use std::net::TcpStream;",
        "use std::{fmt, fs};",
        "fn f() { std::thread::spawn(g); }",
        "use std::time::{Duration, Instant};",
        "use std::time::SystemTime;",
        "mod tests { use std::fs::File; }",
        "use mio::Poll;",
        "fn f() { libc::fork(); }",
        "fn f() { println!(\"here\"); }",
    ];
    for text in texts {
        assert_eq!(broken("src/proto/time.rs", text), ["core"], "{text}");
        assert!(!broken("src/driver/poll.rs", text).contains(&"core"), "{text}");
    }
    for text in ["use core::time::Duration;", "use std::time::Duration;", "//! std::fs", "struct libc2;"] {
        assert_eq!(broken("src/proto/time.rs", text), [""; 0], "{text}");
    }
}

#[test]
fn a_planted_unsafe_is_found_outside_of_its_files() {
    let text = "fn f() { unsafe { g() } }";
    assert_eq!(broken("src/store/log.rs", text), ["unsafe"]);
    assert_eq!(broken("src/driver/sysfs.rs", text), ["unsafe"]);
    assert_eq!(broken("tests/node.rs", "unsafe impl Send for A {}"), ["unsafe"]);
    assert_eq!(broken("src/store/map.rs", text), [""; 0]);
    assert_eq!(broken("src/ffi/node/open.rs", text), [""; 0]);
    assert_eq!(broken("src/store/log.rs", "// unsafe\nfn f() { \"unsafe\"; unsafe_looking() }"), [""; 0]);
}

#[test]
fn a_long_file_or_function_needs_its_sentence() {
    let lines = |count: usize| "    call();\n".repeat(count);
    let function = |count: usize| format!("fn f() {{\n{}}}", lines(count - 2));
    assert_eq!(broken("src/a.rs", &function(80)), [""; 0]);
    assert_eq!(broken("src/a.rs", &function(81)), ["lengths"]);
    assert_eq!(broken("src/a.rs", &format!("// Long because it is one table.\n{}", function(81))), [""; 0]);
    assert_eq!(broken("src/a.rs", &format!("// A comment.\n{}", function(81))), ["lengths"]);
    assert_eq!(broken("src/a.rs", &format!("impl A {{\n{}\n}}", lines(90))), [""; 0]);

    let file = |count: usize| "//\n".repeat(count - 2);
    assert_eq!(broken("src/a.rs", &file(700)), [""; 0]);
    assert_eq!(broken("src/a.rs", &file(701)), ["lengths"]);
    assert_eq!(broken("src/a.rs", &format!("//! Long because it is one table.\n{}", file(701))), [""; 0]);
    assert_eq!(
        broken("src/a.rs", &format!("\n// Long because it is one table.\n{}", file(701))),
        ["lengths"]
    );
}

#[test]
fn planted_words_are_found() {
    let texts = [
        "fn f() { todo!() }",
        "fn f() { unimplemented!(\"later\") }",
        "#[test]\n#[ignore = \"slow\"]\nfn f() {}",
        "fn f() { stream.write_vectored(&buffers) }",
        "fn f() { dbg!(1) }",
    ];
    for text in texts {
        assert_eq!(broken("tests/node.rs", text), ["words"], "{text}");
    }
    assert_eq!(broken("src/sim/world.rs", "fn f() { if cfg!(mutant = \"a\") {} }"), ["words"]);
    assert_eq!(broken("src/sim/world.rs", "fn f() { if planted!(\"a\") {} }"), ["words"]);
    assert_eq!(broken("src/proto/node.rs", "fn f() { if planted!(\"a\") {} }"), [""; 0]);
    assert_eq!(
        broken("src/a.rs", "// todo!\nfn f() { \"todo!\"; r#\"a\"todo!\"#; b\"\\\"todo!\" }"),
        [""; 0]
    );
}

#[test]
fn names_that_say_nothing_are_found() {
    assert_eq!(broken("src/proto/util.rs", ""), ["names"]);
    assert_eq!(broken("tests/helpers/mod.rs", ""), ["names"]);
    assert_eq!(broken("src/a.rs", "mod misc;"), ["names"]);
    assert_eq!(broken("src/a.rs", "mod miscellany;"), [""; 0]);
}

#[test]
fn other_planted_habits_are_found() {
    assert_eq!(check("src/a.rs", "use a::b;\n")[0].rule, "head");
    assert_eq!(broken("src/a.rs", "#[allow(dead_code)]\nfn f() {}"), ["allows"]);
    assert_eq!(broken("src/a.rs", "#[allow(dead_code, reason = \"used in C\")]\nfn f() {}"), [""; 0]);
    assert_eq!(broken("src/driver/a.rs", "use crate::proto::io::*;"), ["globs"]);
    assert_eq!(broken("src/driver/a.rs", "use super::*;"), ["globs"]);
    assert_eq!(broken("src/driver/a.rs", "mod tests { use super::*; }"), [""; 0]);
    assert_eq!(broken("src/driver/a_tests.rs", "use super::*;"), [""; 0]);
    assert_eq!(broken("src/driver/tests/a.rs", "use super::super::*;"), [""; 0]);
    assert_eq!(broken("src/driver/a.rs", "use proptest::prelude::*;"), [""; 0]);
}

#[test]
fn code_is_told_from_prose() {
    let text = "let a = '\"'; // b\nlet c = \"\\\"//\"; let d: &'static str = r#\"\"e\"#; /* f */ 'g'";
    let code = blank(text);
    assert_eq!(code.len(), text.len());
    for (letter, kept) in
        [("a", true), ("b", false), ("c", true), ("static", true), ("e", false), ("f", false)]
    {
        assert_eq!(places(&code, letter).next().is_some(), kept, "{letter} in {code}");
    }
}
