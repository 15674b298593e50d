//! `quorate store` on real directories: sound ones, damaged ones, copied ones.

use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

use quorate::resp::client::Value;
use serde_json::Value as Json;

use crate::client::{Client, error_word, field};
use crate::cluster::Cluster;
use crate::load::{Load, Plan};
use crate::process::{Ended, PROGRAM, run, run_command};

/// A cluster of one with segments as small as they can be, so that few writes fill some.
fn small_cluster(flags: &[&str]) -> Cluster {
    Cluster::start(
        1,
        &[&["--segment-kib", "64", "--compaction", "off", "--timeout-ms", "60000"], flags].concat(),
    )
}

fn path(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn store(words: &[&str]) -> Ended {
    run(&[&["store"], words].concat())
}

fn check(directory: &Path) -> (Option<i32>, Json) {
    let ended = store(&["check", path(directory), "--json"]);
    let report = serde_json::from_str(&ended.stdout);
    (ended.code, report.unwrap_or_else(|error| panic!("{error}: {}{}", ended.stdout, ended.stderr)))
}

/// Writes `count` values of a KiB under `name0`, `name1`, …
fn write(client: &mut Client, name: &str, count: usize) {
    for at in 0..count {
        let value = format!("{at:0>1000}");
        assert_eq!(client.call(&["SET", &format!("{name}{at}"), &value]), Value::Simple("OK".into()));
    }
}

/// Stops a node as an operator does.
fn stop(cluster: &mut Cluster) {
    cluster.process(0).signal("TERM");
    let code = cluster.process(0).wait().code();
    assert_eq!(code, Some(0), "{}", cluster.process(0).stderr());
    cluster.kill(0);
}

/// A segment's file.
fn segment(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("log/{number:016x}.seg"))
}

/// Flips a byte of a file.
fn damage(file: &Path, at: u64) {
    let file = fs::File::options().read(true).write(true).open(file).expect("the file is there");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("the byte is there");
    file.write_all_at(&[byte[0] ^ 0x55], at).expect("it can be written");
}

/// Every file below a directory with its bytes.
fn content(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path()) {
        match entry.is_dir() {
            true => files.extend(content(&entry)),
            false => files.push((entry.clone(), fs::read(&entry).expect("it can be read"))),
        }
    }
    files.sort();
    files
}

#[test]
fn a_sound_directory_is_said_to_be_sound_however_it_was_left() {
    let mut cluster = small_cluster(&[]);
    write(&mut cluster.connect(0), "key", 200);
    let data = cluster.data(0);
    let held = store(&["check", path(&data)]);
    assert_eq!(held.code, Some(75), "{}{}", held.stdout, held.stderr);
    cluster.kill(0);
    let before = content(&data);
    let (code, report) = check(&data);
    assert_eq!(
        (code, &report["sound"], &report["clean"]),
        (Some(0), &true.into(), &false.into()),
        "{report}"
    );
    assert_eq!((&report["keys"], &report["member"]), (&200.into(), &"A".into()));
    let segments = report["segments"].as_array().expect("segments");
    let puts = segments.iter().map(|segment| segment["records"]["puts"].as_u64().expect("a count"));
    assert_eq!(puts.sum::<u64>(), 200);
    assert!(segments.iter().filter(|segment| segment["sealed"] == true).count() >= 3, "{report}");
    assert_eq!(content(&data), before, "a check changed something");

    cluster.start_all();
    stop(&mut cluster);
    let (code, report) = check(&data);
    assert_eq!((code, &report["clean"]), (Some(0), &true.into()), "{report}");
    assert_eq!(report["checkpoint"]["state"], "agrees", "{report}");
    let text = store(&["check", path(&data)]);
    assert_eq!(text.code, Some(0));
    for words in ["last stop    clean", "holds, and gives the same index", "torn tail    none"] {
        assert!(text.stdout.contains(words), "{words} is missing: {}", text.stdout);
    }
}

#[test]
fn a_directory_is_checked_without_its_key_and_without_a_right_to_write() {
    let mut cluster = small_cluster(&["--cluster", "other"]);
    write(&mut cluster.connect(0), "key", 100);
    stop(&mut cluster);
    let data = cluster.data(0);
    // The directory says itself what its cluster is called.
    let (code, report) = check(&data);
    assert_eq!((code, &report["keys"]), (Some(0), &100.into()));
    let wrong = store(&["check", path(&data), "--cluster", "another"]);
    assert_eq!(wrong.code, Some(76), "{}", wrong.stderr);

    fs::remove_file(data.join("layout")).expect("it is there");
    let ended = store(&["check", path(&data), "--json"]);
    let report: Json = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!((ended.code, &report["keys"]), (Some(0), &Json::Null), "{}", ended.stderr);
    assert!(ended.stderr.contains("--key-file"), "{}", ended.stderr);
    assert_eq!(store(&["stats", path(&data)]).code, Some(76), "figures without the key");
    let puts = report["segments"][0]["records"]["puts"].as_u64();
    assert!(puts.is_some_and(|puts| puts > 0), "{report}");

    for file in content(&data) {
        fs::set_permissions(file.0, fs::Permissions::from_mode(0o400)).expect("it is ours");
    }
    fs::remove_file(data.join("LOCK")).expect("it is ours");
    let before = content(&data);
    assert_eq!(check(&data).0, Some(0));
    assert_eq!(content(&data), before);
}

#[test]
fn damage_is_found_named_and_accepted() {
    let mut cluster = small_cluster(&[]);
    write(&mut cluster.connect(0), "key", 200);
    stop(&mut cluster);
    let data = cluster.data(0);
    // In the middle of the second record of the first segment.
    damage(&segment(&data, 1), 64 + 1_500);
    let (code, report) = check(&data);
    assert_eq!(code, Some(65), "{report}");
    let found = &report["damage"][0];
    assert_eq!(found["segment"], "0000000000000001");
    assert!(found["from"].as_u64() < Some(1_564) && found["to"].as_u64() > Some(1_564), "{found}");
    assert!(found["reason"].as_str().is_some_and(|why| why.contains("checksum")), "{found}");
    // The checkpoint knows which key that was, so all others are as good as before.
    assert_eq!(
        (&report["checkpoint"]["state"], &report["checkpoint"]["reason"]),
        (&"remembers".into(), &1.into())
    );
    assert_eq!(report["incomplete_partitions"], serde_json::json!([]));
    cluster.start_all();
    let mut client = cluster.connect(0);
    assert_eq!(client.call(&["GET", "nothing"]), Value::Null);
    assert!(error_word(&client.call(&["GET", "key1"])).is_some(), "a damaged record was read");
    assert_eq!(client.call(&["GET", "key2"]), Value::Bulk(format!("{:0>1000}", 2).into()));
    stop(&mut cluster);
    fs::remove_file(data.join("checkpoint")).expect("it was written at the stop");
    let (_, report) = check(&data);
    assert_eq!(report["incomplete_partitions"].as_array().map(Vec::len), Some(256));

    let dump = store(&["dump", path(&data), "--json"]);
    assert_eq!(dump.code, Some(65), "{}", dump.stderr);
    assert!(dump.stdout.lines().count() == 199, "{}", dump.stdout.lines().count());

    let before = content(&data);
    let shown = store(&["accept-loss", path(&data)]);
    assert_eq!(shown.code, Some(65), "{}", shown.stderr);
    assert!(shown.stdout.contains("256 partitions (0-255)"), "{}", shown.stdout);
    assert_eq!(content(&data), before, "changed without --yes");
    let restored = cluster.data(0).with_extension("restored");
    let refused = store(&["restore", path(&data), path(&restored)]);
    assert_eq!(refused.code, Some(65), "{}", refused.stderr);
    assert!(!restored.exists());

    // Until then, a key that is not found is unknown.
    cluster.start_node(0);
    let nothing = cluster.connect(0).call(&["GET", "nothing"]);
    assert_eq!(error_word(&nothing), Some("INCOMPLETE"), "{nothing:?}");
    let status = cluster.connect(0).call(&["Q.STATUS"]);
    assert_eq!(*field(&status, "incomplete"), Value::Integer(256));
    stop(&mut cluster);
    let accepted = store(&["accept-loss", path(&data), "--yes"]);
    assert_eq!(accepted.code, Some(0), "{}", accepted.stderr);
    let (code, report) = check(&data);
    assert_eq!((code, &report["damage"][0]["accepted"]), (Some(0), &true.into()), "{report}");
    assert_eq!(report["clean"], false, "epochs from before the loss may not be continued");
    assert_eq!(store(&["accept-loss", path(&data), "--yes"]).stdout, "nothing is lost\n");
    cluster.start_all();
    assert_eq!(cluster.connect(0).call(&["GET", "nothing"]), Value::Null);
    assert_eq!(cluster.connect(0).call(&["GET", "key199"]), Value::Bulk(format!("{:0>1000}", 199).into()));
}

#[test]
fn a_torn_tail_is_sound_and_its_bytes_are_counted() {
    let mut cluster = small_cluster(&[]);
    write(&mut cluster.connect(0), "key", 10);
    cluster.kill(0);
    let data = cluster.data(0);
    let (_, report) = check(&data);
    let segments = report["segments"].as_array().expect("segments");
    let written = segments.iter().find(|segment| segment["records"]["puts"] == 10).expect("the segment");
    let end = written["end"].as_u64().expect("an offset");
    let number = written["number"].as_str().and_then(|text| u64::from_str_radix(text, 16).ok());
    // Half of a record, as a stop may leave it.
    let file = fs::File::options().write(true).open(segment(&data, number.expect("a number")));
    file.expect("it is there").write_all_at(&[7; 300], end).expect("it can be written");
    let (code, report) = check(&data);
    assert_eq!(code, Some(0), "{report}");
    let torn = &report["torn_tail"];
    assert_eq!((torn["from"].as_u64(), torn["bytes"].as_u64()), (Some(end), Some(300)), "{report}");
    cluster.start_all();
    assert_eq!(cluster.connect(0).call(&["GET", "key9"]), Value::Bulk(format!("{:0>1000}", 9).into()));
}

#[test]
fn a_damaged_checkpoint_and_damaged_small_files_are_told() {
    let mut cluster = small_cluster(&[]);
    write(&mut cluster.connect(0), "key", 50);
    stop(&mut cluster);
    let data = cluster.data(0);
    damage(&data.join("checkpoint"), 100);
    let (code, report) = check(&data);
    assert_eq!((code, &report["checkpoint"]["state"]), (Some(65), &"void".into()), "{report}");
    for name in ["members", "manifest", "identity", "clean"] {
        fs::write(data.join(name), b"nonsense").expect("it can be written");
    }
    let (_, report) = check(&data);
    assert_eq!(report["flawed_files"], serde_json::json!(["identity", "members", "clean", "manifest"]));
    fs::write(data.join("layout"), b"nonsense").expect("it can be written");
    assert_eq!(check(&data).1["layout_damaged"], true);
    fs::write(data.join("FORMAT"), b"nonsense").expect("it can be written");
    assert_eq!(store(&["check", path(&data)]).code, Some(76));
    assert_eq!(store(&["check", path(&data.join("nothing"))]).code, Some(74));
}

#[test]
fn a_dump_has_every_record_in_one_order_and_its_context_is_good() {
    let mut cluster = Cluster::start(1, &["--segment-mib", "1"]);
    let mut client = cluster.connect(0);
    write(&mut client, "key", 30);
    for value in ["milk", "eggs"] {
        client.call(&["Q.PUT", "cart", value]);
    }
    client.call(&["SET", "gone", "x"]);
    client.call(&["DEL", "gone"]);
    let binary = ["SELECT", "3"];
    client.call(&binary);
    client.pipeline(&[vec![b"SET".to_vec(), vec![0xff, 0], vec![0xfe]]]).expect("it is answered");
    stop(&mut cluster);
    let data = cluster.data(0);
    let dump = store(&["dump", path(&data), "--json"]);
    assert_eq!(dump.code, Some(0), "{}", dump.stderr);
    let lines: Vec<Json> =
        dump.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 33);
    assert!(lines.is_sorted_by_key(|line| line["partition"].as_u64()));
    let of = |key: &str| lines.iter().find(|line| line["key"] == key).unwrap_or_else(|| panic!("no {key}"));
    let values: Vec<&str> = of("cart")["siblings"]
        .as_array()
        .expect("siblings")
        .iter()
        .filter_map(|s| s["value"].as_str())
        .collect();
    assert_eq!(values.len(), 2, "{:?}", of("cart"));
    assert_eq!(of("gone")["siblings"][0]["deleted"], true);
    let other = lines.iter().find(|line| line["keyspace"] == 3).expect("a key of keyspace 3");
    assert_eq!(
        (&other["key_base64"], &other["siblings"][0]["value_base64"]),
        (&"/wA=".into(), &"/g==".into())
    );
    let count = |words: &[&str]| store(&[&["dump", path(&data)], words].concat()).stdout.lines().count();
    assert_eq!(count(&["--keyspace", "3"]), 1);
    assert_eq!(count(&["--prefix", "key1"]), 11);

    let stats = store(&["stats", path(&data), "--json", "--partitions"]);
    let stats: Json = serde_json::from_str(&stats.stdout).expect("JSON");
    assert_eq!(stats["keys"], 33);
    let partitions = stats["partitions"].as_array().expect("partitions");
    assert_eq!(partitions.iter().filter_map(|row| row["keys"].as_u64()).sum::<u64>(), 33);
    assert!(store(&["stats", path(&data), "--partitions"]).stdout.contains("live share"));

    cluster.start_all();
    let context = of("cart")["context"].as_str().expect("a context");
    let mut client = cluster.connect(0);
    client.call(&["Q.PUT", "cart", "both", "CONTEXT", context]);
    assert_eq!(crate::client::values(&client.call(&["Q.GET", "cart"])), ["both"]);
}

#[test]
fn a_backup_of_a_stopped_node_comes_back_as_another_generation() {
    let mut cluster = small_cluster(&[]);
    write(&mut cluster.connect(0), "key", 150);
    stop(&mut cluster);
    let data = cluster.data(0);
    let (backup, restored) = (data.with_extension("backup"), data.with_extension("restored"));
    let made = store(&["backup", "--data", path(&data), path(&backup)]);
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let again = store(&["backup", "--data", path(&data), path(&backup)]);
    assert_eq!(again.code, Some(73), "{}", again.stderr);
    let inside = store(&["backup", "--data", path(&data), path(&data.join("backup"))]);
    assert_eq!((inside.code, inside.stderr.contains("lies in the data directory")), (Some(73), true));

    // What the node does afterwards does not reach the backup.
    let before = content(&backup);
    cluster.start_all();
    write(&mut cluster.connect(0), "more", 50);
    stop(&mut cluster);
    assert_eq!(content(&backup), before);
    assert_eq!(check(&backup).0, Some(0));

    let full = store(&["restore", path(&backup), path(&data)]);
    assert_eq!((full.code, full.stderr.contains("is not empty")), (Some(73), true), "{}", full.stderr);
    let made = store(&["restore", path(&backup), path(&restored)]);
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    assert!(made.stdout.contains("new generation"), "{}", made.stdout);
    assert_eq!(content(&backup), before);
    let (code, report) = check(&restored);
    assert_eq!(
        (code, &report["keys"], &report["generation"]),
        (Some(0), &150.into(), &Json::Null),
        "{report}"
    );

    let generation = check(&data).1["generation"].clone();
    fs::remove_dir_all(&data).expect("it is ours");
    fs::rename(&restored, &data).expect("it is ours");
    cluster.start_all();
    let mut client = cluster.connect(0);
    let status = client.call(&["Q.STATUS"]);
    assert_ne!(Value::Bulk(generation.as_str().expect("a text").into()), *field(&status, "generation"));
    assert_eq!(client.call(&["GET", "key149"]), Value::Bulk(format!("{:0>1000}", 149).into()));
    assert_eq!(client.call(&["GET", "more1"]), Value::Null);
    write(&mut client, "after", 50);
    stop(&mut cluster);
    assert_eq!(check(&data).0, Some(0));
}

#[test]
fn a_running_node_makes_a_backup_and_says_why_not() {
    let flags =
        ["--segment-kib", "64", "--checkpoint-mib", "1", "--retention-mib", "0", "--timeout-ms", "60000"];
    let mut cluster = Cluster::start(1, &flags);
    let address = cluster.client(0).to_string();
    let data = cluster.data(0);
    let (backup, restored) = (data.with_extension("backup"), data.with_extension("restored"));
    let nodes = [cluster.client(0)];
    let load = Load::start("k", &nodes, Plan { clients: 4, pipeline: 4, options: &[] });
    load.await_acknowledged(2_000);
    write(&mut cluster.connect(0), "key", 100);
    // Again and again, as what is under way in the store at that moment differs.
    for round in 0..16 {
        let target = data.with_extension(format!("backup{round}"));
        let made = store(&["backup", path(&target), "--node", &address]);
        assert_eq!(made.code, Some(0), "{}", made.stderr);
        let (code, report) = check(&target);
        assert_eq!(code, Some(0), "{report}");
        if round == 15 {
            fs::rename(&target, &backup).expect("it is ours");
        }
    }
    let (inside, nowhere) = (data.join("inside"), data.with_extension("nowhere").join("backup"));
    let refusals = [
        (path(&backup), "exists already"),
        (path(&inside), "lies in the data directory"),
        ("/proc/backup", "is on another file system"),
        (path(&nowhere), "No such file"),
    ];
    for (target, problem) in refusals {
        let refused = store(&["backup", target, "--node", &address]);
        assert_eq!((refused.code, refused.stderr.contains(problem)), (Some(2), true), "{}", refused.stderr);
    }
    let relative = cluster.connect(0).call(&["Q.STORE", "BACKUP", "backup"]);
    assert_eq!(error_word(&relative), Some("ERR"));
    let status = cluster.connect(0).call(&["Q.STORE", "STATUS"]);
    assert_eq!(*field(&status, "read_only"), Value::Integer(0));
    assert!(matches!(field(&status, "segments"), Value::Integer(segments) if *segments > 1));
    load.stop();
    stop(&mut cluster);

    assert_eq!(store(&["restore", path(&backup), path(&restored)]).code, Some(0));
    fs::remove_dir_all(&data).expect("it is ours");
    fs::rename(&restored, &data).expect("it is ours");
    cluster.start_all();
    let value = format!("{:0>1000}", 99);
    assert_eq!(cluster.connect(0).call(&["GET", "key99"]), Value::Bulk(value.into()));
}

#[test]
fn a_segment_that_is_cut_under_a_node_is_an_error_and_not_its_end() {
    let cluster = small_cluster(&[]);
    let mut client = cluster.connect(0);
    write(&mut client, "key", 200);
    let file = fs::File::options().write(true).open(segment(&cluster.data(0), 1)).expect("it is there");
    file.set_len(8_192).expect("it is ours");
    let mut refused = 0;
    for at in 0..200 {
        match client.call(&["GET", &format!("key{at}")]) {
            Value::Bulk(value) => assert_eq!(value, format!("{at:0>1000}").into_bytes()),
            answer => {
                assert!(error_word(&answer).is_some(), "{answer:?}");
                refused += 1;
            }
        }
    }
    assert!((40..70).contains(&refused), "{refused}");
    write(&mut client, "more", 10);
}

#[test]
fn what_an_opening_finds_is_logged_once() {
    let mut cluster = small_cluster(&[]);
    write(&mut cluster.connect(0), "key", 200);
    stop(&mut cluster);
    let data = cluster.data(0);
    damage(&segment(&data, 1), 64 + 1_500);
    damage(&data.join("checkpoint"), 100);
    cluster.start_node(0);
    let log = cluster.process(0).stderr();
    for (level, what) in [
        ("WARN", "the checkpoint cannot be used"),
        ("ERROR", "segment 0000000000000001 is damaged from byte "),
        ("ERROR", "256 partitions lost records"),
    ] {
        let lines = log.lines().filter(|line| line.contains(&format!(" {level} store: {what}")));
        assert_eq!(lines.count(), 1, "{what}: {log}");
    }
    let status = run(&["status", "--node", &cluster.client(0).to_string()]);
    for line in ["read_only        false", "disk_full        false", "incomplete       256"] {
        assert!(status.stdout.contains(line), "{line} is missing: {}", status.stdout);
    }
    let info = cluster.connect(0).call(&["INFO", "persistence"]);
    assert!(crate::client::text(&info).contains("quorate_incomplete_partitions:256\r\n"), "{info:?}");
}

#[test]
fn a_log_may_have_more_segments_than_files_may_be_open() {
    let mut cluster = small_cluster(&[]);
    let value = vec![b'v'; 20_000];
    let set = |at: usize| vec![b"SET".to_vec(), format!("key{at}").into_bytes(), value.clone()];
    let mut client = cluster.connect(0);
    for answer in client.pipeline(&(0..240).map(set).collect::<Vec<_>>()).expect("it is answered") {
        assert_eq!(answer, Value::Simple("OK".into()));
    }
    stop(&mut cluster);
    let data = cluster.data(0);
    assert!(fs::read_dir(data.join("log")).expect("a directory").count() > 70);
    let few_files = |what: String| {
        let mut shell = std::process::Command::new("sh");
        shell.arg("-c").arg(format!("ulimit -n 40; exec {PROGRAM} {what}"));
        run_command(shell)
    };
    for _ in 0..2 {
        let checked = few_files(format!("store check {}", path(&data)));
        assert_eq!(checked.code, Some(0), "{}{}", checked.stdout, checked.stderr);
        // Then without it, so that every segment is read.
        let _ = fs::remove_file(data.join("checkpoint"));
    }
    let copied = few_files(format!("store backup --data {0} {0}.backup", path(&data)));
    assert_eq!(copied.code, Some(0), "{}", copied.stderr);
}
