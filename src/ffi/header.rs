//! Makes `include/quorate.h`: a developer's tool, never part of an embedding.
//!
//! cbindgen turns the types and functions of this folder into C, in the order of the files. Constants are
//! printed from the compiled crate, since their C form needs care (parentheses, suffixes); the guard and
//! the `extern "C"` lines are ours, so that the header can be included twice.

use std::fmt::Write;
use std::path::Path;

use cbindgen::{Builder, Config, DocumentationStyle, ItemType, Language, SortKey, Style};

use super::status::{API_LEVEL, CODES, Constant, FLAGS, VERSION, VERSION_NUMBER};
use super::{cluster, context, feed, log, node, options, packet, requests, snapshot};

/// The files in the order in which their parts stand in the header.
const FILES: [&str; 20] = [
    "status.rs",
    "plain.rs",
    "options.rs",
    "log.rs",
    "clock.rs",
    "node.rs",
    "requests.rs",
    "cancel.rs",
    "counters.rs",
    "sets.rs",
    "scan.rs",
    "feed.rs",
    "merge.rs",
    "host_loop.rs",
    "disk.rs",
    "packet.rs",
    "cluster.rs",
    "snapshot.rs",
    "stats.rs",
    "context.rs",
];

const HEADER: &str = r##"/*
 * quorate: an always-writable, replicated key-value store that a program links.
 *
 * Life of a node: quorate_options_new, quorate_node_open, then quorate_node_start (mode thread) or a loop
 * of yours around quorate_node_step (mode host and packet); requests; quorate_node_stop; the last quorate_reap;
 * quorate_node_free. An accepted request has exactly one completion, a refused one has none; a change feed
 * (quorate_watch) has one for each page, marked QUORATE_N_MORE, and exactly one last.
 *
 * Thread classes: A: any thread, any time, also in a forked child. B: any thread, in parallel, on a live
 * node. C: one thread at a time of a node reaps, one drives its loop (a step, the deadline, what begins with
 * quorate_net_), one is at its disk; a second one gets E_BUSY, nothing happened, and it may call again. D: no other
 * call in flight. E: one thread at a time on that object.
 *
 * After fork every call of class B to E but the _free functions returns E_FORKED in the child.
 *
 * From a hook, a function of the host that the library calls (merge, log, clock, progress, drop), every call with a node or
 * with options that has a status returns E_REENTRANT, whatever its comment says: it would wait for the loop, and the loop
 * waits for the hook. quorate_node_free and quorate_options_free do nothing there.
 *
 * Generated from src/ffi by scripts/header.sh; edit there.
 */
#ifndef QUORATE_H
#define QUORATE_H"##;

const ATTRIBUTES: &str = r##"
#ifndef QUORATE_API
# if defined(__GNUC__)
#  define QUORATE_API __attribute__((visibility("default")))
# else
#  define QUORATE_API
# endif
#endif
#if defined(__GNUC__)
# define QUORATE_NODISCARD __attribute__((warn_unused_result))
#else
# define QUORATE_NODISCARD
#endif
"##;

const TRAILER: &str = r##"/* Makes options at the API level that the caller was compiled with. */
#define QUORATE_OPTIONS_CREATE(out) quorate_options_new(QUORATE_API_LEVEL, (out))

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* QUORATE_H */"##;

/// The header's text.
///
/// # Panics
/// If a file of this folder cannot be parsed: the crate would not compile either.
pub fn generate() -> String {
    let mut config = Config {
        language: Language::C,
        cpp_compat: false,
        no_includes: true,
        sys_includes: vec!["stddef.h".into(), "stdint.h".into()],
        header: Some(HEADER.into()),
        after_includes: Some(constants()),
        trailer: Some(TRAILER.into()),
        documentation_style: DocumentationStyle::Doxy,
        style: Style::Both,
        usize_is_size_t: true,
        line_length: 100,
        sort_by: SortKey::None,
        ..Config::default()
    };
    config.function.prefix = Some("QUORATE_API".into());
    config.function.must_use = Some("QUORATE_NODISCARD".into());
    config.function.sort_by = Some(SortKey::None);
    config.export.item_types =
        vec![ItemType::Structs, ItemType::OpaqueItems, ItemType::Typedefs, ItemType::Functions];
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ffi");
    let mut builder = Builder::new().with_config(config);
    for file in FILES {
        builder = builder.with_src(folder.join(file));
    }
    let bindings = builder.generate().expect("the files compile, so they parse");
    let mut text = Vec::new();
    bindings.write(&mut text);
    String::from_utf8(text).expect("cbindgen writes UTF-8")
}

/// Every constant, in sections.
pub fn all_constants() -> Vec<(&'static str, Vec<Constant>)> {
    vec![
        ("How calls and requests end", CODES.to_vec()),
        ("What may be concluded from that", FLAGS.to_vec()),
        ("Options, with their defaults", options::constants()),
        ("Lines of the log", log::constants()),
        ("Nodes", node::constants()),
        ("Requests and completions", requests::constants()),
        ("Change feeds", feed::constants()),
        ("Bytes that the program moves", packet::constants()),
        ("The cluster", cluster::constants()),
        ("Members in a snapshot", snapshot::constants()),
        ("Contexts", context::constants()),
    ]
}

fn constants() -> String {
    let mut text = String::from(ATTRIBUTES);
    let mut line =
        |arguments: std::fmt::Arguments<'_>| writeln!(text, "{arguments}").expect("a string grows");
    line(format_args!(""));
    for (name, value) in ["MAJOR", "MINOR", "PATCH"].iter().zip(VERSION) {
        line(format_args!("#define QUORATE_VERSION_{name} {value}"));
    }
    line(format_args!("#define QUORATE_VERSION_NUMBER {VERSION_NUMBER}"));
    line(format_args!("#define QUORATE_API_LEVEL_HEADER {API_LEVEL}"));
    line(format_args!("#ifndef QUORATE_API_LEVEL"));
    line(format_args!("# define QUORATE_API_LEVEL QUORATE_API_LEVEL_HEADER"));
    line(format_args!("#endif"));
    for (section, constants) in all_constants() {
        line(format_args!("\n/* {section} */"));
        for constant in constants {
            let value = if constant.unsigned {
                format!("{}u", constant.value)
            } else if constant.value < 0 {
                format!("({})", constant.value)
            } else {
                constant.value.to_string()
            };
            line(format_args!("/* {} */\n#define {} {value}", constant.text, constant.name));
        }
    }
    line(format_args!("\n#ifdef __cplusplus\nextern \"C\" {{\n#endif"));
    text
}
