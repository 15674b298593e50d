//! Tests of the settings of `quorate node`.

use super::*;
use clap::Parser;

#[derive(clap::Parser)]
struct Program {
    #[command(flatten)]
    node: NodeArguments,
}

fn arguments(flags: &[&str]) -> NodeArguments {
    Program::try_parse_from([&["node"], flags].concat()).unwrap().node
}

fn gather(flags: &[&str]) -> Result<NodeSettings, Failure> {
    arguments(flags).gather(Role::Store)
}

fn file_with(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

#[test]
fn a_directory_alone_makes_a_cluster_of_one() {
    let settings = gather(&["--data", "d"]).unwrap_or_else(|failure| panic!("{failure}"));
    let options = settings.options;
    assert_eq!(options.core.name, "A");
    assert_eq!(options.core.members.len(), 1);
    assert_eq!(options.clients, [CLIENT_DEFAULT.parse().unwrap()]);
    assert_eq!(options.peer, Some(PEER_DEFAULT.parse().unwrap()));
}

#[test]
fn a_node_founds_a_cluster_joins_one_or_is_of_a_list() {
    let core = |flags: &[&str]| {
        gather(&[&["--data", "d"], flags].concat()).unwrap_or_else(|f| panic!("{f}")).options.core
    };
    let founded = core(&["--zone", "z"]);
    assert_eq!((founded.membership, founded.placement), (Membership::Founded, Mode::Balanced));
    assert_eq!(founded.members[0].zone, "z");
    let joined = core(&["--name", "B", "--join", "127.0.0.1:1", "--auto-commit", "--weight", "2"]);
    assert_eq!((joined.membership, joined.auto_commit), (Membership::Joined, true));
    assert_eq!(joined.members[0].weight, 2);
    let listed = core(&["--name", "B", "--peer", "127.0.0.1:1", "--members", "A@h:1,B@h:2"]);
    assert_eq!((listed.membership, listed.placement), (Membership::Listed, Mode::Tokens));
    let old = tempfile::tempdir().unwrap();
    std::fs::write(old.path().join("layout"), "").unwrap();
    let old = gather(&["--data", old.path().to_str().unwrap()]).unwrap_or_else(|f| panic!("{f}"));
    assert_eq!(old.options.core.membership, Membership::Listed);
}

#[test]
fn the_peer_address_comes_from_the_member_list_unless_told() {
    let list = "A@127.0.0.1:7201,B@127.0.0.1:7202";
    let base = ["--data", "d", "--name", "B", "--members", list];
    let peer = |more: &[&str]| gather(&[&base, more].concat()).unwrap_or_else(|f| panic!("{f}")).options.peer;
    assert_eq!(peer(&[]), Some("127.0.0.1:7202".parse().unwrap()));
    assert_eq!(peer(&["--peer", "127.0.0.1:9"]), Some("127.0.0.1:9".parse().unwrap()));
}

#[test]
fn the_log_is_set_in_any_unit_and_nonsense_is_named() {
    let store = |flags: &[&str]| {
        gather(&[&["--data", "d"], flags].concat()).unwrap_or_else(|f| panic!("{f}")).options.store
    };
    assert_eq!(store(&[]), StoreOptions::default());
    assert_eq!(store(&["--segment-kib", "64"]).segment_bytes, Some(64 << 10));
    assert_eq!(store(&["--scrub-hours", "24"]).scrub_interval, Some(Duration::from_secs(86_400)));
    assert_eq!(store(&["--memory-max-mib", "1"]).memory_max, Some(1 << 20));
    assert!(!store(&["--compaction", "off"]).compaction);
    for (flags, message) in [
        (["--segment-kib", "65"], "--segment-kib: a segment has 64 KiB to 1024 MiB, in steps of 4 KiB"),
        (["--segment-mib", "2048"], "--segment-mib: a segment has 64 KiB"),
        (["--scrub-hours", "0"], "--scrub-hours: 0 is outside 1 to 87600"),
        (["--checkpoint-mib", "0"], "--checkpoint-mib: 0 is outside"),
    ] {
        let failure = gather(&[&["--data", "d"], &flags[..]].concat()).err().expect("it is wrong");
        assert!(failure.message.starts_with(message), "{failure}");
    }
    let file = file_with("data = \"d\"\nsegment_mib = 8\ncompaction = \"off\"\nretention_mib = 0\n");
    let config = file.path().to_str().unwrap();
    let options = |flags: &[&str]| {
        gather(&[&["--config", config], flags].concat()).unwrap_or_else(|f| panic!("{f}")).options.store
    };
    assert_eq!(options(&[]).segment_bytes, Some(8 << 20));
    assert_eq!((options(&[]).retention_bytes, options(&[]).compaction), (Some(0), false));
    assert_eq!(options(&["--segment-kib", "128"]).segment_bytes, Some(128 << 10));
}

#[test]
fn flags_win_over_the_file_and_the_file_over_defaults() {
    let file = file_with("data = 'from-file'\nw = 1\nr = 3\nsync = 'always'\nkey_max = 100\n");
    let path = file.path().to_str().unwrap();
    let settings = gather(&["--config", path, "--w", "2"]).unwrap_or_else(|failure| panic!("{failure}"));
    let keyspace = &settings.options.core.keyspaces[0];
    assert_eq!((keyspace.n, keyspace.r, keyspace.w), (3, Some(3), Some(2)));
    assert_eq!(keyspace.durability, Durability::Always);
    assert_eq!(settings.options.core.key_max, 100);
    assert_eq!(settings.options.data, DataDir::Path("from-file".into()));
}

#[test]
fn every_flag_but_config_is_a_key_of_the_file() {
    let text = "name = 'B'\ndata = 'd'\nclient = '127.0.0.1:1'\npeer = '127.0.0.1:2'\n\
        members = ['A@127.0.0.1:3', 'B@127.0.0.1:4']\nauto_commit = true\nzone = 'z'\nweight = 3\n\
        drop_after = 17\ntransfer_mib = 18\nhints_mib = 19\nhint_age = 20\nhint_rate_mib = 21\nreap_after = 22\nsync = 'memory'\ncluster = 'c'\nkey_file = 'k'\ngossip_key_file = ['f', 'derived']\n\
        log = 'debug'\nlog_file = 'l'\nunix = 'u'\nallow_open_bind = true\nn = 2\nr = 1\nw = 1\n\
        partitions = 8\nplacement = 'balanced'\nmax_per_zone = 2\ntokens = 9\ntimeout_ms = 10\nkey_max = 11\nvalue_max = 12\nsegment_mib = 4\n\
        memory_max_mib = 13\ncheckpoint_mib = 14\nscrub_hours = 15\nretention_mib = 16\ncompaction = 'off'\n";
    let file = file_with(text);
    let from_file = read_file(file.path()).unwrap();
    let flags = [
        ["--name", "B"],
        ["--data", "d"],
        ["--client", "127.0.0.1:1"],
        ["--peer", "127.0.0.1:2"],
        ["--members", "A@127.0.0.1:3,B@127.0.0.1:4"],
        ["--zone", "z"],
        ["--weight", "3"],
        ["--drop-after", "17"],
        ["--transfer-mib", "18"],
        ["--hints-mib", "19"],
        ["--hint-age", "20"],
        ["--hint-rate-mib", "21"],
        ["--reap-after", "22"],
        ["--sync", "memory"],
        ["--cluster", "c"],
        ["--key-file", "k"],
        ["--gossip-key-file", "f"],
        ["--gossip-key-file", "derived"],
        ["--log", "debug"],
        ["--log-file", "l"],
        ["--unix", "u"],
        ["--n", "2"],
        ["--r", "1"],
        ["--w", "1"],
        ["--partitions", "8"],
        ["--placement", "balanced"],
        ["--max-per-zone", "2"],
        ["--tokens", "9"],
        ["--timeout-ms", "10"],
        ["--key-max", "11"],
        ["--value-max", "12"],
        ["--segment-mib", "4"],
        ["--memory-max-mib", "13"],
        ["--checkpoint-mib", "14"],
        ["--scrub-hours", "15"],
        ["--retention-mib", "16"],
        ["--compaction", "off"],
    ];
    let from_flags = arguments(&[flags.as_flattened(), &["--allow-open-bind", "--auto-commit"]].concat());
    assert_eq!(from_file, from_flags);
    assert_eq!(from_file.clone().or(NodeArguments::default()), from_file);
    assert_eq!(NodeArguments::default().or(from_file.clone()), from_file);
    let known = <NodeArguments as clap::Args>::augment_args(clap::Command::new("node"));
    // And `--segment-kib` and `--join`, which cannot be given beside `--segment-mib` and `--members`.
    assert_eq!(known.get_arguments().count(), text.lines().count() + 3, "a flag is missing above");
    let file = file_with("data = 'd'\njoin = ['127.0.0.1:1', '127.0.0.1:2']\n");
    let joined = ["--data", "d", "--join", "127.0.0.1:1,127.0.0.1:2"];
    assert_eq!(read_file(file.path()).unwrap(), arguments(&joined));
}

#[test]
fn members_stand_in_zones_where_they_are_told() {
    let list = "A@h:1/cellar,B@h:2/attic";
    let flags =
        ["--data", "d", "--name", "A", "--peer", "127.0.0.1:1", "--placement", "balanced", "--members", list];
    let settings = gather(&flags).unwrap_or_else(|failure| panic!("{failure}"));
    let core = settings.options.core;
    assert_eq!((core.placement, core.max_per_zone), (Mode::Balanced, None));
    let zones: Vec<_> = core.members.iter().map(|m| (m.address.as_str(), m.zone.as_str())).collect();
    assert_eq!(zones, [("h:1", "cellar"), ("h:2", "attic")]);
}

#[test]
fn members_of_a_file_have_weights_too() {
    let file = file_with(
        "data = 'd'\nname = 'B'\nmembers = ['A@h:1=3', 'B@127.0.0.1:2=4294967295']\n\
        placement = 'balanced'\n",
    );
    let settings = gather(&["--config", file.path().to_str().unwrap()]);
    let core = settings.unwrap_or_else(|failure| panic!("{failure}")).options.core;
    assert_eq!([core.members[0].weight, core.members[1].weight], [3, u32::MAX]);
}

#[test]
fn what_is_wrong_is_named() {
    let table: [(&[&str], &str); 25] = [
        (&["--join", "127.0.0.1:1"], "--name: a node that joins needs one that no member has"),
        (&["--name", "B", "--join", "nowhere"], "--join: `nowhere` is no HOST:PORT"),
        (&["--placement", "tokens"], "--placement: a cluster that can grow is balanced"),
        (&["--name", "A", "--members", "A@h:1", "--zone", "z"], "--zone: a member list says it"),
        (&[], "--data"),
        (
            &["--name", "A", "--members", "A@h:1=x"],
            "--members: `A@h:1=x`: `x` is no weight, a whole number from 0",
        ),
        (&["--name", "A", "--members", "A@h:1="], "`A@h:1=`: `` is no weight"),
        (&["--name", "A", "--members", "A@h:1=-1"], "`-1` is no weight"),
        (&["--name", "A", "--members", "A@h:1=4294967296"], "`4294967296` is no weight"),
        (&["--name", "A", "--members", "A@h:1=2/x"], "`2/x` is no weight"),
        (&["--name", "A", "--members", "A@h:1=0,B@h:2=0"], "--members: no member has a weight above 0"),
        (&["--name", "A", "--members", "A@h:1/"], "`A@h:1/` ends before its zone"),
        (&["--name", "A", "--members", "A@h:1/x"], "--placement: tokens keep no zones apart"),
        (
            &[
                "--name",
                "A",
                "--placement",
                "balanced",
                "--max-per-zone",
                "1",
                "--members",
                "A@h:1/x,B@h:2/x",
            ],
            "--max-per-zone: with at most 1 in a zone, 1 of 2 replicas can be placed: of 1 zones with data `x`",
        ),
        (&["--members", "A@h:1"], "--name"),
        (&["--name", "A", "--members", "A"], "`A` is not NAME@HOST:PORT"),
        (&["--name", "A", "--members", "A@h"], "a port is needed"),
        (&["--name", "A", "--members", "A@h:1,A@h:2"], "two members are named `A`"),
        (&["--name", "C", "--members", "A@h:1,B@h:2"], "`C` is not in the member list"),
        (&["--w", "4"], "--w: 4 is outside 1 to N = 3"),
        (&["--r", "2", "--n", "1"], "--r: 2 is outside 1 to N = 1"),
        (&["--client", "here"], "--client: `here` is no HOST:PORT"),
        (&["--key-file", "/no/such/file"], "--key-file: /no/such/file"),
        (&["--gossip-key-file", "derived,/no/such/file"], "--gossip-key-file: /no/such/file"),
        (&["--gossip-key-file", "derived,derived"], "--gossip-key-file: `derived` and `derived` are one key"),
    ];
    for (flags, named) in table {
        let data: &[&str] = if flags.is_empty() { &[] } else { &["--data", "d"] };
        let Err(failure) = gather(&[data, flags].concat()) else {
            panic!("{flags:?} were accepted");
        };
        assert_eq!(failure.code, 64, "{failure}");
        assert!(failure.message.contains(named), "{failure}");
    }
}

#[test]
fn an_unknown_key_or_a_wrong_type_in_the_file_is_named() {
    for (text, named) in [
        ("data = 'd'\nsynk = 'always'", "synk"),
        ("config = 'other.toml'", "config"),
        ("w = 300", "w = 300"),
        ("sync = 'sometimes'", "sometimes"),
        ("members = 7", "NAME@HOST:PORT"),
        ("data = ", "data ="),
    ] {
        let file = file_with(text);
        let failure = read_file(file.path()).unwrap_err();
        assert_eq!(failure.code, 64);
        assert!(failure.message.contains(named), "{failure}");
    }
}
