//! Snapshots of the members, who holds a key, and statistics.

use core::ffi::CStr;

use quorate::ffi::snapshot::*;
use quorate::ffi::stats::*;

use super::*;

const MEMBER: usize = size_of::<quorate_member>();
const IS_UP: u32 = 0x1;
const IS_SELF: u32 = 0x4;
const ALIVE: u32 = 1;

/// Every pointer of these functions that may not be NULL.
pub fn nulls(
    check: &mut impl FnMut(&'static str, quorate_status),
    n: *mut quorate_node,
    torn: quorate_bytes,
) {
    let (mut members, mut value, mut count) = (core::ptr::dangling_mut(), 7_u64, 7_usize);
    // SAFETY: what is no valid pointer is NULL.
    unsafe {
        check("quorate_members_snapshot", quorate_members_snapshot(null(), &mut members));
        assert!(members.is_null());
        check("quorate_members_snapshot", quorate_members_snapshot(n, null_mut()));
        check("quorate_stats", quorate_stats(null(), &mut value, 1, &mut count));
        assert_eq!(count, 0);
        check("quorate_stats", quorate_stats(n, null_mut(), 1, &mut count));
        check("quorate_stats", quorate_stats(n, &mut value, 1, null_mut()));
        assert_eq!(quorate_members_snapshot(n, &mut members), OK);
        let mut one: quorate_member = zeroed();
        check("quorate_members_list", quorate_members_list(null(), &mut one, MEMBER, 1, &mut count));
        check("quorate_members_list", quorate_members_list(members, null_mut(), MEMBER, 1, &mut count));
        check("quorate_members_list", quorate_members_list(members, &mut one, MEMBER, 1, null_mut()));
        let (k, mut owner, no) = (bytes("k"), 0, null_mut());
        check("quorate_key_owners", quorate_key_owners(null(), 0, k, no, &mut owner, 1, &mut count));
        check("quorate_key_owners", quorate_key_owners(members, 0, torn, no, &mut owner, 1, &mut count));
        check("quorate_key_owners", quorate_key_owners(members, 0, k, no, null_mut(), 1, &mut count));
        check("quorate_key_owners", quorate_key_owners(members, 0, k, no, &mut owner, 1, null_mut()));
        quorate_members_free(members);
        quorate_members_free(null_mut());
    }
}

/// A snapshot that goes away with the test.
struct Members(*mut quorate_members);

impl Members {
    fn of(node: &Node) -> Members {
        let mut members = null_mut();
        // SAFETY: a live node and a place for the result.
        assert_eq!(unsafe { quorate_members_snapshot(node.0, &mut members) }, OK);
        Members(members)
    }

    /// Names with flags and verdicts.
    fn list(&self) -> Vec<(String, u32, u32)> {
        // SAFETY: numbers and pointers, for which zero is a value.
        let (mut array, mut n): ([quorate_member; 8], usize) = (unsafe { zeroed() }, 0);
        // SAFETY: a live snapshot and an array of 8; its texts live as long as that.
        unsafe {
            assert_eq!(quorate_members_list(self.0, array.as_mut_ptr(), MEMBER, 8, &mut n), OK);
            let name = |member: &quorate_member| {
                std::slice::from_raw_parts(member.name.data, member.name.len).to_vec()
            };
            let row = |member: &quorate_member| {
                (String::from_utf8(name(member)).unwrap(), member.flags, member.verdict)
            };
            array[..n].iter().map(row).collect()
        }
    }

    /// The partition of a key, and its owners.
    fn owners(&self, key: &str) -> (u32, Vec<u32>) {
        let (mut partition, mut owners, mut n) = (7, [0; 8], 0);
        // SAFETY: a live snapshot, and valid places for the results.
        let status = unsafe {
            quorate_key_owners(self.0, 0, bytes(key), &mut partition, owners.as_mut_ptr(), 8, &mut n)
        };
        assert_eq!(status, OK);
        (partition, owners[..n].to_vec())
    }
}

impl Drop for Members {
    fn drop(&mut self) {
        // SAFETY: made by `of` and freed once.
        unsafe { quorate_members_free(self.0) };
    }
}

/// The counters by their names, without those that the node does not count.
fn stats(node: &Node) -> std::collections::BTreeMap<String, u64> {
    let count = quorate_stat_count();
    let (mut values, mut n) = (vec![7; count], 0);
    // SAFETY: a live node, and as many places as said; names are static.
    unsafe {
        assert_eq!(quorate_stats(node.0, values.as_mut_ptr(), count, &mut n), OK);
        assert_eq!(n, count);
        let name = |at| CStr::from_ptr(quorate_stat_name(at)).to_str().unwrap().to_owned();
        (0..n).map(|at| (name(at), values[at])).filter(|row| row.1 < u64::MAX).collect()
    }
}

/// Both members of a pair say the same of who holds what, and each of the other what it sees.
#[test]
fn a_snapshot_shows_members_and_owners_and_does_not_change() {
    let [node, other] = pair();
    let before = Members::of(&node);
    assert_eq!(before.list(), [("A".to_owned(), IS_UP | IS_SELF, ALIVE), ("B".to_owned(), 0, ALIVE)]);
    meet(&node, &other);
    while Members::of(&other).list().iter().any(|row| row.1 & IS_UP == 0) {
        step(&node);
        step(&other);
    }
    let (here, there) = (Members::of(&node), Members::of(&other));
    assert_eq!(here.list(), [("A".to_owned(), IS_UP | IS_SELF, ALIVE), ("B".to_owned(), IS_UP, ALIVE)]);
    assert_eq!(there.list(), [("A".to_owned(), IS_UP, ALIVE), ("B".to_owned(), IS_UP | IS_SELF, ALIVE)]);
    assert_eq!(before.list()[1].1, 0, "it is as it was");
    let mut firsts = BTreeSet::new();
    for key in 0..64 {
        let found = here.owners(&format!("key {key}"));
        assert_eq!(found, there.owners(&format!("key {key}")));
        assert!(found.0 < 256 && found.1.iter().collect::<BTreeSet<_>>().len() == 2, "{found:?}");
        firsts.insert(found.1[0]);
    }
    assert_eq!(firsts, BTreeSet::from([0, 1]), "each comes first for some");
    drop(node);
    assert_eq!(here.list().len(), 2, "it outlives its node");
}

#[test]
fn a_list_that_does_not_fit_says_how_many_there_are() {
    let [node, _other] = pair();
    // SAFETY: numbers and pointers, for which zero is a value.
    let mut one: quorate_member = unsafe { zeroed() };
    let (members, mut n, mut owner, mut value) = (Members::of(&node), 7, 7, 7);
    // SAFETY: a live snapshot and node, and valid places for the results.
    unsafe {
        assert_eq!(quorate_members_list(members.0, null_mut(), MEMBER, 0, &mut n), AGAIN);
        assert_eq!(n, 2);
        assert_eq!(quorate_members_list(members.0, &mut one, MEMBER, 1, &mut n), AGAIN);
        assert_eq!((n, *one.name.data), (2, b'A'));
        assert_eq!(quorate_members_list(members.0, &mut one, 12, 1, &mut n), E_ARG);
        let (k, no) = (bytes("k"), null_mut());
        assert_eq!(quorate_key_owners(members.0, 0, k, no, &mut owner, 1, &mut n), AGAIN);
        assert!(n == 2 && owner < 2);
        assert_eq!(quorate_key_owners(members.0, 4_000_000, k, no, &mut owner, 1, &mut n), E_ARG);
        assert_eq!(n, 0);
        assert_eq!(quorate_stats(node.0, &mut value, 1, &mut n), AGAIN);
        assert_eq!((n, value), (1, 0), "no request yet");
    }
    assert!(quorate_stat_name(quorate_stat_count()).is_null());
}

/// A node that its own thread drives is asked by several at once, and one that was stopped says so.
#[test]
fn a_started_node_answers_whoever_asks_until_it_is_stopped() {
    let node = Node::started();
    let address = node.0 as usize;
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(move || {
                let node = core::mem::ManuallyDrop::new(Node(address as *mut quorate_node));
                for round in 0..50 {
                    assert_eq!(Members::of(&node).list(), [("A".to_owned(), IS_UP | IS_SELF, 0)]);
                    let mut end = empty();
                    // SAFETY: the node outlives the scope, and sync calls may run in parallel.
                    unsafe {
                        let status = quorate_get_sync(node.0, bytes("k"), null(), &mut end, SIZE);
                        assert_eq!(status, E_NOTFOUND);
                        quorate_completions_clear(&mut end, SIZE, 1);
                    }
                    assert!(stats(&node)["requests"] > round, "what was answered before is counted");
                }
            });
        }
    });
    assert_eq!(stats(&node)["requests"], 200);
    // SAFETY: a live node, and valid places for the results.
    unsafe {
        assert_eq!(quorate_node_stop(node.0, 0), OK);
        let (mut members, mut value, mut n) = (null_mut(), 7, 7);
        assert_eq!(quorate_members_snapshot(node.0, &mut members), E_CLOSED);
        assert_eq!(quorate_stats(node.0, &mut value, 1, &mut n), E_CLOSED);
        assert!(members.is_null() && n == 0);
    }
}

/// A node that has joined nobody yet knows nobody, and no owners.
#[test]
fn a_node_of_no_cluster_has_no_owners() {
    let (o, mut node) = (options(), null_mut());
    // SAFETY: live options and a place for the result.
    unsafe {
        assert_eq!(quorate_options_set_u64(o, OPT_MODE, MODE_HOST), OK);
        assert_eq!(quorate_options_set_bytes(o, 68, bytes("127.0.0.1:0")), OK);
        assert_eq!(quorate_options_set_bytes(o, 99, bytes("127.0.0.1:1")), OK);
        assert_eq!(quorate_node_open(o, &mut node, null_mut()), OK);
        quorate_options_free(o);
    }
    let members = Members::of(&Node(node));
    assert_eq!((members.list(), members.owners("k").1), (vec![], vec![]));
}

/// Every counter that a node tells elsewhere has a number: one with a disk, a peer, and reads behind it.
#[test]
fn every_counter_has_a_number() {
    use quorate::driver::{DataDir, EventLoop, NodeOptions, Wait};
    use quorate::proto::config::Config;

    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut options = NodeOptions::new(Config::new("A"));
    options.data = DataDir::Path(directory.path().join("data"));
    options.peer = Some(([127, 0, 0, 1], 0).into());
    let mut event_loop = EventLoop::open(options).expect("it opens");
    event_loop.turn(Wait::None).expect("it turns");
    // SAFETY: a name is static.
    let name = |at| unsafe { CStr::from_ptr(quorate_stat_name(at)) }.to_str().unwrap();
    let listed: Vec<&str> = (0..quorate_stat_count()).map(name).collect();
    assert_eq!(listed.iter().collect::<BTreeSet<_>>().len(), listed.len(), "a name twice");
    let told: Vec<&str> = event_loop.status().counters.iter().map(|counter| counter.0).collect();
    let missing: Vec<_> = told.iter().filter(|name| !listed.contains(name)).collect();
    assert!(missing.is_empty(), "they need numbers in src/ffi/stats.rs: {missing:?}");
    let gone: Vec<_> = listed.iter().filter(|name| !told.contains(name)).collect();
    assert!(gone.iter().all(|name| name.starts_with("forecast_")), "nobody tells them: {gone:?}");
}
