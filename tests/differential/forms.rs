//! Every supported command of Redis in its forms, and which options of it are counted.
//!
//! ```text
//!  {k} a key        {n} {f} a key of an integer, of a fraction    {v} a value      {i} {d} an integer, a fraction
//!  {set} {e}       a key of a set, an element
//!  {s} {ms}         a time from now           {at} {atms}         a point in time, now and then one that has passed
//!  {o} {b} {01}     a place, a bit's place, a bit                 {p} a place from the beginning or the end
//!  {x} {c} {g} {u}  options of SET, of EXPIRE, of GETEX, of SCAN  {pat} a pattern  {r} a keyspace  {name} a name
//! ```

/// What a program is drawn from, those without a key less often.
pub const FORMS: &[&str] = &[
    "set {k} {v}",
    "set {n} {i}",
    "set {f} {d}",
    "set {k} {v} {x}",
    "set {k} {v} {x}",
    "set {k} {v} {x}",
    "get {k}",
    "get {n}",
    "get {f}",
    "getset {k} {v}",
    "getset {n} {i}",
    "getdel {k}",
    "getex {k} {g}",
    "getex {k} {g}",
    "getex {k} {g}",
    "setex {k} {s} {v}",
    "psetex {k} {ms} {v}",
    "setnx {k} {v}",
    "mset {k} {v} {k} {v} {k} {v}",
    "mset {n} {i}",
    "mget {k} {k} {n} {k}",
    "append {k} {v}",
    "append {n} {i}",
    "strlen {k}",
    "strlen {n}",
    "getrange {k} {p} {p}",
    "getrange {n} {p} {p}",
    "substr {k} {p} {p}",
    "setrange {k} {o} {v}",
    "setrange {n} {o} {i}",
    "incr {n}",
    "decr {n}",
    "incrby {n} {i}",
    "decrby {n} {i}",
    "incrbyfloat {f} {d}",
    "incrbyfloat {n} {i}",
    "setbit {k} {b} {01}",
    "setbit {n} {b} {01}",
    "getbit {k} {b}",
    "bitcount {k}",
    "bitcount {k} {p} {p}",
    "bitcount {k} {p} {p} byte",
    "bitcount {k} {p} {p} bit",
    "bitpos {k} {01}",
    "bitpos {k} {01} {p}",
    "bitpos {k} {01} {p} {p}",
    "bitpos {k} {01} {p} {p} byte",
    "bitpos {k} {01} {p} {p} bit",
    "sadd {set} {e}",
    "sadd {set} {e} {e} {e} {v}",
    "srem {set} {e}",
    "srem {set} {e} {e} {e}",
    "smembers {set}",
    "sismember {set} {e}",
    "sismember {set} {v}",
    "smismember {set} {e} {e} {v}",
    "scard {set}",
    "type {set}",
    "expire {set} {s} {c}",
    "ttl {set}",
    "persist {set}",
    "del {set}",
    "exists {set} {set}",
    "del {k}",
    "del {k} {n} {k}",
    "unlink {k} {f}",
    "exists {k} {k} {n}",
    "touch {k} {f}",
    "expire {k} {s} {c}",
    "expire {n} {s} {c}",
    "pexpire {k} {ms} {c}",
    "pexpire {n} {ms} {c}",
    "expireat {k} {at} {c}",
    "expireat {n} {at} {c}",
    "pexpireat {k} {atms} {c}",
    "pexpireat {n} {atms} {c}",
    "ttl {k}",
    "ttl {n}",
    "pttl {k}",
    "expiretime {k}",
    "pexpiretime {k}",
    "persist {k}",
    "type {k}",
    "object encoding {k}",
    "object encoding {n}",
    "object refcount {k}",
    "object refcount {n}",
    "object idletime {k}",
    "object freq {k}",
    "object help",
    "scan 0 {u}",
    "scan 0 {u}",
    "keys {pat}",
    "randomkey",
    "dbsize",
    "ping",
    "ping {v}",
    "echo {v}",
    "select {r}",
    "hello",
    "hello 2",
    "hello 3",
    "hello 3 auth default {name} setname {name}",
    "hello 2 setname {name}",
    "auth default {name}",
    "reset",
    "time",
    "info",
    "info server",
    "client id",
    "client info",
    "client list",
    "client list type normal",
    "client list type pubsub",
    "client list id 999999999",
    "client getname",
    "client getname",
    "client getname",
    "client setname {name}",
    "client setname {name}",
    "client setname {name}",
    "client setname {name}",
    "client id",
    "client setinfo lib-name {name}",
    "client setinfo lib-ver {name}",
    "client no-evict on",
    "client no-evict off",
    "client no-touch on",
    "client getredir",
    "client tracking off",
    "client trackinginfo",
    "client unblock 999999999",
    "client unblock 999999999 error",
    "client kill id 999999999",
    "client unpause",
    "client reply on",
    "client reply skip",
    "client reply off",
    "client help",
    "config get {config}",
    "config get {config}",
    "config get {config}",
    "config get {config} {config}",
    "config get {config} {config}",
    "config get {config} {config}",
    "config get {config} {config}",
    "config get {config} {config}",
    "config set timeout 0",
    "config resetstat",
    "config rewrite",
    "config help",
    "command",
    "command count",
    "command list",
    "command info get set",
    "command docs get",
    "command getkeys get {k}",
    "command getkeys mset {k} {v} {k} {v}",
    "command getkeys object encoding {k}",
    "command help",
];

/// What empties keyspaces, near the end of a program: else most of it would be about absent keys.
pub const FLUSHES: &[&str] =
    &["flushdb", "flushdb async", "flushdb sync", "flushall", "flushall async", "flushall sync"];

/// The options of commands that are counted one by one; of a command with subcommands, these.
pub const OPTIONS: &[(&str, &[&str])] = &[
    ("set", &["nx", "xx", "get", "ex", "px", "exat", "pxat", "keepttl"]),
    ("getex", &["ex", "px", "exat", "pxat", "persist"]),
    ("expire", CONDITIONS),
    ("pexpire", CONDITIONS),
    ("expireat", CONDITIONS),
    ("pexpireat", CONDITIONS),
    ("bitcount", &["byte", "bit"]),
    ("bitpos", &["byte", "bit"]),
    ("scan", &["match", "count", "type"]),
    ("flushdb", &["async", "sync"]),
    ("flushall", &["async", "sync"]),
    ("hello", &["2", "3", "auth", "setname"]),
    ("object", &["encoding", "refcount", "idletime", "freq", "help"]),
    (
        "client",
        &[
            "id",
            "info",
            "list",
            "getname",
            "setname",
            "setinfo",
            "lib-name",
            "lib-ver",
            "no-evict",
            "no-touch",
            "getredir",
            "tracking",
            "trackinginfo",
            "unblock",
            "kill",
            "unpause",
            "reply",
            "on",
            "off",
            "skip",
            "help",
        ],
    ),
    ("config", &["get", "set", "resetstat", "rewrite", "help"]),
    ("command", &["count", "list", "info", "docs", "getkeys", "help"]),
];

/// When an expiry is set.
pub const CONDITIONS: &[&str] = &["nx", "xx", "gt", "lt"];

/// Commands over a whole keyspace.
pub const WALKS: &[&str] = &["scan", "keys", "randomkey", "dbsize"];

/// Every command and each of its options, as they are counted: `set`, `set nx`, ….
pub fn labels() -> impl Iterator<Item = String> {
    let commands = FORMS
        .iter()
        .chain(FLUSHES)
        .chain(&["quit"])
        .map(|form| form.split(' ').next().expect("a form has a name").to_owned());
    let options = OPTIONS
        .iter()
        .flat_map(|(command, options)| options.iter().map(move |option| format!("{command} {option}")));
    commands.chain(options)
}

/// What running a command counts for.
pub fn labels_of(words: &[Vec<u8>]) -> Vec<String> {
    let lower = |word: &[u8]| String::from_utf8_lossy(word).to_lowercase();
    let name = lower(&words[0]);
    let options =
        OPTIONS.iter().find(|(command, _)| *command == name).map_or(&[][..], |(_, options)| options);
    let of = words[1..].iter().map(|word| lower(word)).filter(|word| options.contains(&word.as_str()));
    let mut labels: Vec<String> = of.map(|option| format!("{name} {option}")).collect();
    labels.sort();
    labels.dedup();
    labels.push(name);
    labels
}
