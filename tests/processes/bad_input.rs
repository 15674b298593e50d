//! What keeps a node from starting: each mistake ends with its own exit code and a message that names it.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::TempDir;

use crate::cluster::Cluster;
use crate::process::{Ended, command, free_address, run, run_command};

/// A node that would start, were it not for more arguments.
struct Attempt {
    directory: TempDir,
    arguments: Vec<String>,
}

impl Attempt {
    fn new() -> Attempt {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (client, peer) = (free_address().to_string(), free_address().to_string());
        let data = directory.path().join("data").to_str().expect("UTF-8").to_owned();
        let arguments = ["node", "--segment-mib", "4", "--data", &data, "--client", &client, "--peer", &peer];
        let arguments = arguments.map(str::to_owned).into();
        Attempt { directory, arguments }
    }

    fn with(mut self, more: &[&str]) -> Attempt {
        for pair in more.chunks(2) {
            // A flag may be given once, so one that is there already is replaced.
            match self.arguments.iter().position(|argument| argument == pair[0]) {
                Some(at) if pair.len() == 2 => pair[1].clone_into(&mut self.arguments[at + 1]),
                _ => self.arguments.extend(pair.iter().map(|&word| word.to_owned())),
            }
        }
        self
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().expect("UTF-8").to_owned()
    }

    fn data(&self) -> &Path {
        let at = self.arguments.iter().position(|argument| argument == "--data").expect("a directory");
        Path::new(&self.arguments[at + 1])
    }

    /// Runs it; it must end with this code and name these.
    fn is_refused(&self, code: i32, named: &[&str]) {
        check(&run_command(command(&self.arguments)), code, named, &self.arguments);
    }
}

fn check(ended: &Ended, code: i32, named: &[&str], arguments: &[String]) {
    assert_eq!(ended.code, Some(code), "{arguments:?}: {}", ended.stderr);
    assert_eq!(ended.stdout, "", "{arguments:?} said that it is ready");
    for name in named {
        assert!(ended.stderr.contains(name), "{arguments:?} does not name `{name}`: {}", ended.stderr);
    }
}

#[test]
fn unknown_words_and_wrong_values_are_usage_errors() {
    let table: [(&[&str], &[&str]); 14] = [
        (&["--bogus", "1"], &["--bogus"]),
        (&["--sync", "sometimes"], &["--sync", "sometimes", "interval"]),
        (&["--w", "four"], &["--w", "four"]),
        (&["--w", "4"], &["--w: 4 is outside 1 to N = 3"]),
        (&["--r", "4"], &["--r: 4 is outside 1 to N = 3"]),
        (&["--n", "0"], &["--n: 0"]),
        (&["--partitions", "100"], &["--partitions: 100"]),
        (&["--client", "0.0.0.0:0"], &["--client", "0.0.0.0:0", "--allow-open-bind"]),
        (&["--peer", "0.0.0.0:0"], &["--peer", "0.0.0.0:0", "--allow-open-bind"]),
        (
            &["--name", "A", "--members", "A@127.0.0.1:1,A@127.0.0.1:2"],
            &["--members", "two members are named `A`"],
        ),
        (&["--name", "A", "--members", "A@127.0.0.1:1,B@127.0.0.1:1"], &["--members", "127.0.0.1:1"]),
        (
            &["--name", "C", "--members", "A@127.0.0.1:1,B@127.0.0.1:2"],
            &["--name: `C` is not in the member list"],
        ),
        (&["--config", "/no/such/file.toml"], &["/no/such/file.toml"]),
        (&["--cluster", "not a name"], &["--cluster", "not a name"]),
    ];
    for (more, named) in table {
        let attempt = Attempt::new().with(more);
        attempt.is_refused(64, named);
        assert!(!attempt.data().exists(), "{more:?} left a directory behind");
    }
    for arguments in
        [["nodes"].as_slice(), &[], &["node"], &["get"], &["put", "key"], &["dev", "--nodes", "0"]]
    {
        assert_eq!(run(arguments).code, Some(64), "{arguments:?}");
    }
}

#[test]
fn a_flag_wins_over_a_variable_and_a_variable_over_the_file() {
    let attempt = Attempt::new();
    let file = attempt.path("quorate.toml");
    fs::write(&file, "w = 6\n").expect("a file is written");
    let attempt = attempt.with(&["--config", &file]);
    let with_variable = |more: &[&str]| {
        let mut command = command(&attempt.arguments);
        command.args(more).env("QUORATE_W", "5");
        run_command(command)
    };
    attempt.is_refused(64, &["--w: 6"]);
    check(&with_variable(&[]), 64, &["--w: 5"], &attempt.arguments);
    check(&with_variable(&["--w", "4"]), 64, &["--w: 4"], &attempt.arguments);
}

#[test]
fn an_unknown_key_in_the_file_is_named() {
    let attempt = Attempt::new();
    let file = attempt.path("quorate.toml");
    fs::write(&file, "w = 2\nsynk = 'always'\n").expect("a file is written");
    attempt.with(&["--config", &file]).is_refused(64, &["synk", &file]);
}

#[test]
fn a_port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("a bound socket has an address").to_string();
    for flag in ["--client", "--peer"] {
        Attempt::new().with(&[flag, &address]).is_refused(69, &[&address, &flag[2..]]);
    }
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let attempt = Attempt::new();
    let file = attempt.path("file");
    fs::write(&file, "").expect("a file is written");
    for path in [file.clone(), format!("{file}/data"), "/proc/quorate".to_owned()] {
        Attempt::new().with(&["--data", &path]).is_refused(73, &[&path]);
    }
}

#[test]
fn a_directory_that_another_node_has_open_is_left_alone() {
    let mut cluster = Cluster::start(1, &[]);
    let data = cluster.data(0).to_str().expect("UTF-8").to_owned();
    let members = cluster.arguments(0);
    let at = members.iter().position(|argument| argument == "--members").expect("a list");
    let attempt = Attempt::new().with(&["--data", &data, "--name", "A", "--members", &members[at + 1]]);
    attempt.is_refused(75, &[&data]);
    cluster.connect(0).call(&["SET", "still", "served"]);
    cluster.kill(0);
    cluster.start_node(0);
}

#[test]
fn a_foreign_or_newer_directory_is_left_alone() {
    let attempt = Attempt::new();
    fs::create_dir(attempt.data()).expect("a directory is made");
    fs::write(attempt.data().join("notes.txt"), "mine").expect("a file is written");
    attempt.is_refused(76, &["notes.txt"]);
    assert_eq!(fs::read_dir(attempt.data()).expect("a directory").count(), 1, "something was created");

    let mut cluster = Cluster::start(1, &[]);
    cluster.kill(0);
    let format = cluster.data(0).join("FORMAT");
    let text = fs::read_to_string(&format).expect("every directory has a format");
    let newer = text.replace("version 2", "version 3");
    assert_ne!(text, newer);
    fs::write(&format, newer).expect("a file is written");
    check(&run_command(command(&cluster.arguments(0))), 76, &["version 3"], &[]);
    fs::write(&format, text).expect("a file is written");
    cluster.start_node(0);
}

#[test]
fn a_key_file_that_is_open_to_others_or_no_key_is_refused() {
    for (bytes, mode, named) in [(32, 0o644, "0644"), (31, 0o600, "31 bytes"), (33, 0o600, "33 bytes")] {
        let attempt = Attempt::new();
        let file = attempt.path("key");
        fs::write(&file, vec![b'k'; bytes]).expect("a file is written");
        fs::set_permissions(&file, Permissions::from_mode(mode)).expect("it is ours");
        attempt.with(&["--key-file", &file]).is_refused(64, &["--key-file", &file, named]);
    }
}

#[test]
fn a_directory_keeps_the_cluster_it_was_made_for() {
    let mut cluster = Cluster::start(3, &[]);
    cluster.connect(0).call(&["SET", "key", "value"]);
    cluster.kill(0);
    let arguments = cluster.arguments(0);
    let at = arguments.iter().position(|argument| argument == "--members").expect("a list");
    let list = arguments[at + 1].clone();
    let without_c = list.rsplit_once(',').expect("three members").0.to_owned();
    let with_d = format!("{list},D@127.0.0.1:9");
    let key = cluster.data(0).with_extension("key");
    fs::write(&key, [7; 32]).expect("a file is written");
    fs::set_permissions(&key, Permissions::from_mode(0o600)).expect("it is ours");
    let table: [(&str, &str, &[&str]); 7] = [
        ("--members", &without_c, &["`C` was removed"]),
        ("--members", &with_d, &["`D` was added"]),
        ("--members", &list.replace("C@", "E@"), &["`E` was added", "`C` was removed"]),
        ("--cluster", "other", &["`other`", "`quorate`"]),
        ("--key-file", key.to_str().expect("UTF-8"), &["--key-file", "cluster id"]),
        ("--n", "2", &["--n: 2", "made with 3"]),
        ("--partitions", "64", &["--partitions: 64", "made with 256"]),
    ];
    for (flag, value, named) in table {
        let mut changed = arguments.clone();
        match changed.iter().position(|argument| argument == flag) {
            Some(at) => value.clone_into(&mut changed[at + 1]),
            None => changed.extend([flag.to_owned(), value.to_owned()]),
        }
        check(&run_command(command(&changed)), 64, named, &changed);
    }
    cluster.start_all();
    let value = cluster.connect(0).call(&["GET", "key"]);
    assert_eq!(value, quorate::resp::client::Value::Bulk(b"value".to_vec()));
}
