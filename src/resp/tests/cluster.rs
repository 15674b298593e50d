//! `Q.CLUSTER`: which order each verb gives, what is answered, and what is refused before the node is asked.

use super::fake::Client;
use crate::proto::cluster::{Change, MemberView, Overview};
use crate::proto::config::{Config, MemberSpec};
use crate::proto::error::Outcome;
use crate::proto::keys::ClusterKeys;
use crate::proto::message;
use crate::proto::ring::{Layout, Mode};
use crate::resp::client::{Parser, Value};
use crate::resp::session::Settings;

/// A, B and C in a cluster that moves: D is about to join, and C to leave.
fn moving() -> Overview {
    let member = |name: &str, before, after| MemberView {
        name: name.into(),
        address: format!("{name}:7380"),
        zone: String::new(),
        weight: 1,
        generation: 0xa0,
        before,
        after,
        is_up: name != "C",
        partitions: (u32::from(before) * 16, u32::from(after) * 16),
        receives: if before { 0 } else { 16 },
        progress: None,
    };
    let mut members = vec![
        member("A", true, true),
        member("B", true, true),
        member("C", true, false),
        member("D", false, true),
    ];
    members[3].progress =
        Some(message::Progress { version: 9, generation: 0xa0, total: 16, open: 12, bytes: 4096 });
    Overview {
        is_kept: true,
        era: 1,
        version: 10,
        hash: 0xfeed,
        partitions: 16,
        layout: 6,
        layout_hash: 0xbeef,
        next: Some(9),
        keepers: vec!["A".into(), "B".into(), "C".into()],
        staged: vec![Change::Weight("A".into(), 2)],
        refusal: Some("a fork".into()),
        members,
        ..Overview::default()
    }
}

/// What that which is staged comes to: D joins A, B and C.
fn planned() -> Overview {
    let keys = ClusterKeys::derive("quorate", &ClusterKeys::PUBLIC);
    let mut config = Config::new("A");
    (config.placement, config.partitions) = (Mode::Balanced, 16);
    config.members = ["A", "B", "C"].map(|name| MemberSpec::new(name, "")).to_vec();
    let old = Layout::first(&config, &keys);
    config.members.push(MemberSpec::new("D", ""));
    let new = old.next(&config, &keys);
    Overview {
        is_kept: true,
        version: 4,
        partitions: 16,
        layout: 1,
        staged: vec![Change::Join(MemberSpec::new("D", "D:7380"))],
        plan: Some(Box::new((old, new))),
        plan_hash: 0xcafe,
        partition_bytes: vec![Some(1 << 20); 16],
        transfer_rate: 1 << 20,
        ..Overview::default()
    }
}

fn client(overview: Overview) -> Client {
    let mut client = Client::new();
    client.fake.overview = overview;
    client
}

/// The answer to a line, read as a client reads it.
fn ask(client: &mut Client, line: &str) -> Value {
    let answer = client.line(line);
    let mut parser = Parser::new();
    parser.push(answer.as_bytes());
    parser.next_reply().expect("it is RESP").unwrap_or_else(|| panic!("half an answer: {answer}"))
}

/// A field, in a map as in the flat array that stands for one.
fn field<'a>(value: &'a Value, name: &str) -> &'a Value {
    let is_it = |value: &Value| *value == Value::Bulk(name.into());
    let found = match value {
        Value::Map(pairs) => pairs.iter().find(|(name, _)| is_it(name)).map(|(_, value)| value),
        Value::Array(items) => items.chunks_exact(2).find(|pair| is_it(&pair[0])).map(|pair| &pair[1]),
        _ => None,
    };
    found.unwrap_or_else(|| panic!("no {name} in {value:?}"))
}

fn bulk(text: &str) -> Value {
    Value::Bulk(text.into())
}

fn items(value: &Value) -> &[Value] {
    match value {
        Value::Array(items) => items,
        _ => panic!("no array: {value:?}"),
    }
}

#[test]
fn each_verb_is_an_order_in_any_case() {
    for (line, order) in [
        ("Q.CLUSTER STATUS", "Look"),
        ("q.cluster staged", "Look"),
        ("Q.CLUSTER Plan", "Plan"),
        ("Q.CLUSTER LEAVE D", "Stage(Leave(\"D\"))"),
        ("Q.CLUSTER remove D", "Stage(Remove(\"D\"))"),
        ("Q.CLUSTER REPLACE C D", "Stage(Replace(\"C\", \"D\"))"),
        ("Q.CLUSTER WEIGHT D 0", "Stage(Weight(\"D\", 0))"),
        ("Q.CLUSTER WEIGHT D 4294967295", "Stage(Weight(\"D\", 4294967295))"),
        ("Q.CLUSTER ZONE D cellar-1", "Stage(Zone(\"D\", \"cellar-1\"))"),
        ("Q.CLUSTER ZONE D \"\"", "Stage(Zone(\"D\", \"\"))"),
        ("Q.CLUSTER MAXPERZONE 1", "Stage(MaxPerZone(Some(1)))"),
        ("Q.CLUSTER MAXPERZONE default", "Stage(MaxPerZone(None))"),
        ("Q.CLUSTER UNSTAGE", "Unstage"),
        ("Q.CLUSTER COMMIT", "Commit(None)"),
        ("Q.CLUSTER COMMIT 00000000000000fF", "Commit(Some(255))"),
        ("Q.CLUSTER REVERT", "Revert"),
        ("Q.CLUSTER KEEPERS FORCE", "ForceKeepers"),
    ] {
        let mut client = client(planned());
        client.line(line);
        let submitted = client.fake.submitted.pop().expect("it was submitted");
        assert_eq!(submitted.operation, format!("Cluster({order})"), "{line}");
        assert!(submitted.key.is_empty() && client.fake.submitted.is_empty());
    }
}

#[test]
fn mistakes_are_told_before_the_node_is_asked() {
    const INTEGER: &str = "ERR value is not an integer or out of range";
    let mut client = client(Overview::default());
    let arity = |verb: &str| format!("ERR wrong number of arguments for 'q.cluster|{verb}' command");
    let long = "x".repeat(65);
    let table = [
        ("Q.CLUSTER", "ERR wrong number of arguments for 'q.cluster' command".to_owned()),
        ("Q.CLUSTER JOIN D", "ERR unknown subcommand 'JOIN'. Try Q.CLUSTER HELP.".to_owned()),
        ("Q.CLUSTER STATUS x", arity("status")),
        ("Q.CLUSTER PLAN x", arity("plan")),
        ("Q.CLUSTER STAGED x", arity("staged")),
        ("Q.CLUSTER LEAVE", arity("leave")),
        ("Q.CLUSTER LEAVE a b", arity("leave")),
        ("Q.CLUSTER REMOVE", arity("remove")),
        ("Q.CLUSTER REPLACE a", arity("replace")),
        ("Q.CLUSTER WEIGHT a", arity("weight")),
        ("Q.CLUSTER ZONE a", arity("zone")),
        ("Q.CLUSTER MAXPERZONE", arity("maxperzone")),
        ("Q.CLUSTER UNSTAGE x", arity("unstage")),
        ("Q.CLUSTER COMMIT a b", arity("commit")),
        ("Q.CLUSTER REVERT x", arity("revert")),
        ("Q.CLUSTER LEAVE \"\"", "ERR `` is no name".to_owned()),
        ("Q.CLUSTER LEAVE a/b", "ERR `a/b` is no name".to_owned()),
        ("Q.CLUSTER REPLACE a \"b c\"", "ERR `b c` is no name".to_owned()),
        ("Q.CLUSTER ZONE a x=1", "ERR `x=1` is no name".to_owned()),
        ("Q.CLUSTER WEIGHT a -1", INTEGER.to_owned()),
        ("Q.CLUSTER WEIGHT a 4294967296", INTEGER.to_owned()),
        ("Q.CLUSTER WEIGHT a x", INTEGER.to_owned()),
        ("Q.CLUSTER MAXPERZONE 0", INTEGER.to_owned()),
        ("Q.CLUSTER MAXPERZONE 256", INTEGER.to_owned()),
        ("Q.CLUSTER COMMIT ff", "ERR `ff` is no hash of a plan, which has 16 hexadecimal digits".to_owned()),
        (
            "Q.CLUSTER COMMIT +123456789abcdef",
            "ERR `+123456789abcdef` is no hash of a plan, which has 16 hexadecimal digits".to_owned(),
        ),
    ];
    for (line, expected) in table {
        assert_eq!(client.line(line), format!("-{expected}\r\n"), "{line}");
    }
    assert_eq!(client.line(&format!("Q.CLUSTER LEAVE {long}")), format!("-ERR `{long}` is no name\r\n"));
    assert!(client.line("Q.CLUSTER LEAVE \"\\xff\"").starts_with("-ERR `"));
    assert!(client.line("Q.CLUSTER HELP").contains("+MAXPERZONE\r\n"));
    assert!(client.fake.submitted.is_empty(), "nothing was asked of the node");
}

#[test]
fn status_tells_members_and_how_far_they_have_come() {
    for hello in ["HELLO 2", "HELLO 3"] {
        let mut client = client(moving());
        client.line(hello);
        let status = ask(&mut client, "Q.CLUSTER STATUS");
        for (name, value) in [
            ("version", Value::Integer(10)),
            ("phase", bulk("copying")),
            ("hash", bulk("000000000000feed")),
            ("era", Value::Integer(1)),
            ("layout", Value::Integer(6)),
            ("next", Value::Integer(9)),
            ("layout_hash", bulk("000000000000beef")),
            ("partitions", Value::Integer(16)),
            ("max_per_zone", Value::Null),
            ("keepers", Value::Array(vec![bulk("A"), bulk("B"), bulk("C")])),
            ("staged", Value::Array(vec![bulk("weight A 2")])),
            ("refusal", bulk("a fork")),
        ] {
            assert_eq!(*field(&status, name), value, "{name}");
        }
        let progress = field(&status, "progress");
        let all = ["total", "open", "bytes"].map(|name| field(progress, name).clone());
        assert_eq!(all, [16, 12, 4096].map(Value::Integer));
        let members = items(field(&status, "members"));
        let states = members.iter().map(|member| field(member, "state").clone());
        assert_eq!(states.collect::<Vec<_>>(), ["member", "member", "leaving", "joining"].map(bulk));
        let is_up = |member: &Value| matches!(field(member, "up"), Value::Boolean(true) | Value::Integer(1));
        assert_eq!(members.iter().map(is_up).collect::<Vec<_>>(), [true, true, false, true]);
        assert_eq!(*field(&members[0], "open"), Value::Null, "who has said nothing");
        for (name, value) in [
            ("name", bulk("D")),
            ("address", bulk("D:7380")),
            ("zone", bulk("")),
            ("weight", Value::Integer(1)),
            ("generation", bulk("00000000000000a0")),
            ("partitions", Value::Integer(0)),
            ("partitions_next", Value::Integer(16)),
            ("receives", Value::Integer(16)),
            ("open", Value::Integer(12)),
            ("bytes", Value::Integer(4096)),
        ] {
            assert_eq!(*field(&members[3], name), value, "{name}");
        }
    }
}

#[test]
fn a_plan_has_figures_lines_and_the_hash_to_commit() {
    for hello in ["HELLO 2", "HELLO 3"] {
        let mut client = client(planned());
        client.line(hello);
        let (old, new) = *client.fake.overview.plan.clone().expect("there is one");
        let plan = ask(&mut client, "Q.CLUSTER PLAN");
        for (name, value) in [
            ("hash", bulk("000000000000cafe")),
            ("version", Value::Integer(4)),
            ("phase", bulk("settled")),
            ("staged", Value::Array(vec![bulk("join D@D:7380")])),
            ("partitions", Value::Integer(16)),
            ("moves", Value::Integer(12)),
            ("moves_min", Value::Integer(12)),
            ("bytes_moved", Value::Integer(12 << 20)),
            ("partitions_measured", Value::Integer(16)),
            ("orphans", Value::Integer(0)),
            ("kept_min", Value::Integer(2)),
            ("pace", Value::Integer(1 << 20)),
            ("seconds_min", Value::Integer(12)),
            ("replicas_asked", Value::Integer(3)),
        ] {
            assert_eq!(*field(&plan, name), value, "{name}");
        }
        let lines = items(field(&plan, "lines"));
        let text = format!("{lines:?}");
        assert_eq!(lines.len(), client.fake.overview.to_plan().expect("there is one").to_lines().len());
        assert!(text.len() > 500);
        let version = |side| field(field(&plan, side), "version").clone();
        assert_eq!(version("from"), Value::Integer(old.version() as i64));
        assert_eq!(version("to"), Value::Integer(new.version() as i64));
        let joining = &items(field(&plan, "members"))[3];
        assert_eq!(
            (field(joining, "before"), field(joining, "receives")),
            (&Value::Null, &Value::Integer(12))
        );
        assert_eq!(*field(field(joining, "after"), "share_ppm"), Value::Integer(250_000));
        assert_eq!(*field(&items(field(&plan, "zones"))[0], "machines"), Value::Integer(4));
    }
}

#[test]
fn an_order_answers_what_is_staged_now() {
    let mut client = client(planned());
    for line in
        ["Q.CLUSTER LEAVE A", "Q.CLUSTER STAGED", "Q.CLUSTER UNSTAGE", "Q.CLUSTER COMMIT", "Q.CLUSTER REVERT"]
    {
        let answer = ask(&mut client, line);
        assert_eq!(items(&answer).len(), 10, "{line}");
        assert_eq!(*field(&answer, "staged"), Value::Array(vec![bulk("join D@D:7380")]));
        assert_eq!((field(&answer, "layout"), field(&answer, "next")), (&Value::Integer(1), &Value::Null));
    }
}

#[test]
fn what_was_not_done_says_why() {
    let mut client = client(planned());
    for (outcome, expected) in [
        (Outcome::BadArgument("nothing is staged".into()), "-ERR nothing is staged"),
        (
            Outcome::NotEnoughReplicas { reachable: 1, needed: 2 },
            "-NOREPLICAS 1 of the cluster's keepers can be reached, and 2 must agree; nothing was changed",
        ),
        (Outcome::Maybe, "-MAYBE too few keepers answered in time; the order may still be carried out"),
        (Outcome::WrongLayout, "-WRONGLAYOUT the keepers follow another history"),
        (Outcome::Overloaded, "-BUSY nothing was done, try again"),
    ] {
        client.fake.failures.insert(Vec::new(), outcome);
        for verb in ["STATUS", "PLAN", "LEAVE A", "COMMIT", "REVERT", "UNSTAGE", "STAGED"] {
            let answer = client.line(&format!("Q.CLUSTER {verb}"));
            assert!(answer.starts_with(expected), "{verb}: {answer}");
            assert_eq!(answer.matches("\r\n").count(), 1, "{verb}: {answer}");
        }
    }
}

#[test]
fn what_follows_an_order_waits_for_it() {
    let mut client = client(planned());
    client.send(b"Q.CLUSTER LEAVE A\r\nQ.CLUSTER PLAN\r\n");
    assert_eq!(client.fake.submitted.len(), 1, "the plan would not show the change");
    client.settle(false);
    assert_eq!(client.fake.submitted.len(), 2);
}

#[test]
fn the_cluster_is_for_those_who_gave_the_password() {
    let mut client = Client::with(Settings { password: Some(b"secret".to_vec()), ..Settings::default() });
    for verb in ["STATUS", "LEAVE A", "COMMIT", "HELP"] {
        assert_eq!(client.line(&format!("Q.CLUSTER {verb}")), "-NOAUTH Authentication required.\r\n");
    }
    assert!(client.fake.submitted.is_empty());
    client.line("AUTH secret");
    assert!(client.line("Q.CLUSTER STATUS").starts_with('*'));
}
