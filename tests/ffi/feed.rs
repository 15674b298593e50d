//! Change feeds from C: what is told, what is not gathered, and how a feed ends.

use quorate::ffi::feed::*;

use super::*;

const ALL: u32 = u32::MAX;
const GAP: u32 = 0x1000;
const MORE: u32 = 0x2000;

/// Every pointer of these functions that may not be NULL.
pub fn nulls(
    check: &mut impl FnMut(&'static str, quorate_status),
    n: *mut quorate_node,
    torn: quorate_bytes,
) {
    // SAFETY: what is no valid pointer is NULL.
    unsafe {
        check("quorate_watch", quorate_watch(null_mut(), ALL, NONE, 0, null(), 0));
        check("quorate_watch", quorate_watch(n, ALL, torn, 0, null(), 0));
        check("quorate_unwatch", quorate_unwatch(null_mut(), 0));
        let size = size_of::<quorate_change>();
        check("quorate_result_change", quorate_result_change(null(), 0, &mut zeroed(), size));
        check("quorate_result_change", quorate_result_change(null(), 0, null_mut(), size));
    }
}

fn slice<'a>(bytes: quorate_bytes) -> &'a [u8] {
    if bytes.len == 0 {
        return &[];
    }
    // SAFETY: bytes of a completion that was not cleared; no test keeps them longer.
    unsafe { std::slice::from_raw_parts(bytes.data, bytes.len) }
}

fn given(bytes: &[u8]) -> quorate_bytes {
    quorate_bytes { data: bytes.as_ptr(), len: bytes.len() }
}

/// A completion, taken apart.
#[derive(Debug, PartialEq, Eq)]
struct Page {
    tag: u64,
    status: quorate_status,
    flags: u32,
    /// Keys, each with its values.
    changes: Vec<(String, Vec<String>)>,
    place: Vec<u8>,
}

/// The next completion, if there is one now.
fn reap(node: &Node) -> Option<Page> {
    let (mut end, mut n) = (empty(), 0);
    // SAFETY: a live node, and one completion, which is cleared once it was read.
    unsafe {
        if quorate_reap(node.0, &mut end, SIZE, 1, &mut n) != OK {
            return None;
        }
        let mut page = Page {
            tag: end.tag,
            status: end.status,
            flags: end.flags,
            changes: Vec::new(),
            place: slice(end.context).to_vec(),
        };
        assert_eq!((end.n_siblings, end.kind), (0, 6));
        let (mut change, size) = (zeroed::<quorate_change>(), size_of::<quorate_change>());
        let text = |bytes| String::from_utf8_lossy(slice(bytes)).into_owned();
        while !end.result.is_null()
            && quorate_result_change(end.result, page.changes.len(), &mut change, size) == OK
        {
            let values = (0..change.n_siblings as usize).map(|at| text((*change.siblings.add(at)).value));
            page.changes.push((text(change.key), values.collect()));
        }
        quorate_completions_clear(&mut end, SIZE, 1);
        Some(page)
    }
}

/// The next completion.
fn wait(node: &Node) -> Page {
    loop {
        if let Some(page) = reap(node) {
            return page;
        }
        // SAFETY: a live node.
        assert_eq!(unsafe { quorate_wait(node.0, 20_000_000_000) }, OK, "nothing came");
    }
}

fn watch(node: &Node, partition: u32, place: &[u8], limit: u32, tag: u64) -> quorate_status {
    // SAFETY: a live node, and a place that stays during the call.
    unsafe { quorate_watch(node.0, partition, given(place), limit, null(), tag) }
}

fn unwatch(node: &Node, tag: u64) -> quorate_status {
    // SAFETY: a live node.
    unsafe { quorate_unwatch(node.0, tag) }
}

/// Writes, in place of what the node has.
fn put(node: &Node, key: &str, value: &str) {
    let mut end = empty();
    // SAFETY: numbers, for which zero is a value; a live node, and a place for the completion.
    unsafe {
        let call =
            quorate_call { struct_size: size_of::<quorate_call>() as u32, blind: 1, flags: 2, ..zeroed() };
        assert_eq!(quorate_put_sync(node.0, bytes(key), bytes(value), NONE, &call, &mut end, SIZE), OK);
        quorate_completions_clear(&mut end, SIZE, 1);
    }
}

/// Completions with this tag until so many changes were told: the last state of each key, and the last place.
fn follow(node: &Node, tag: u64, changes: usize) -> (Vec<(String, Vec<String>)>, Vec<u8>) {
    let mut told = Vec::new();
    loop {
        let page = wait(node);
        assert_eq!((page.tag, page.status, page.flags), (tag, OK, MORE));
        told.extend(page.changes);
        if told.len() >= changes {
            return (told, page.place);
        }
    }
}

#[test]
fn a_feed_tells_each_change_goes_on_from_a_place_and_ends_once() {
    let node = Node::started();
    put(&node, "before", "0");
    assert_eq!(watch(&node, ALL, b"", 0, 7), OK);
    assert_eq!(watch(&node, ALL, b"", 0, 7), E_ARG, "a tag is that of one feed");
    let begin = wait(&node);
    assert_eq!((begin.tag, begin.status, begin.flags, &begin.changes), (7, OK, GAP | MORE, &vec![]));
    put(&node, "a", "1");
    assert_eq!(follow(&node, 7, 1).0, [("a".into(), vec!["1".into()])]);
    put(&node, "b", "2");
    let (told, place) = follow(&node, 7, 1);
    assert_eq!(told, [("b".into(), vec!["2".into()])]);
    // SAFETY: a live node, and a place for the completion.
    unsafe {
        let mut end = empty();
        assert_eq!(quorate_delete_sync(node.0, bytes("a"), NONE, null(), &mut end, SIZE), OK);
        quorate_completions_clear(&mut end, SIZE, 1);
    }
    assert_eq!(follow(&node, 7, 1).0, [("a".into(), vec![])]);
    assert_eq!(unwatch(&node, 7), OK);
    let last = wait(&node);
    assert_eq!((last.tag, last.status, last.flags), (7, E_CANCELLED, 0));
    assert_eq!(unwatch(&node, 7), E_ARG, "it has ended");
    put(&node, "c", "3");

    // Two others go on, from the first place and from a later one.
    assert_eq!(watch(&node, ALL, &begin.place, 0, 7), OK);
    let both = [("b".into(), vec!["2".into()]), ("a".into(), vec![]), ("c".into(), vec!["3".into()])];
    assert_eq!(follow(&node, 7, 3).0, both);
    assert_eq!(watch(&node, ALL, &place, 0, 8), OK);
    assert_eq!(follow(&node, 8, 2).0, both[1..]);
    // Nothing more is told, as nothing changes.
    put(&node, "d", "4");
    let mut tags = [wait(&node), wait(&node)].map(|page| (page.tag, page.changes.len()));
    tags.sort_unstable();
    assert_eq!(tags, [(7, 1), (8, 1)]);
    // SAFETY: a live node.
    assert_eq!(unsafe { quorate_node_stop(node.0, 0) }, OK);
    let mut ends: Vec<_> = core::iter::from_fn(|| reap(&node)).collect();
    ends.sort_by_key(|page| page.tag);
    let ends: Vec<_> = ends.iter().map(|page| (page.tag, page.status, page.flags)).collect();
    assert_eq!(ends, [(7, E_CLOSED, 0), (8, E_CLOSED, 0)]);
    assert_eq!(watch(&node, ALL, b"", 0, 9), E_CLOSED);
}

#[test]
fn a_partition_has_a_feed_of_its_own_and_what_is_wrong_ends_it_at_once() {
    let node = Node::started();
    // Each key is told by one partition alone.
    (0..8).for_each(|tag| assert_eq!(watch(&node, tag, b"", 0, tag.into()), OK));
    let begins: Vec<_> = (0..8).map(|_| wait(&node)).collect();
    assert!(begins.iter().all(|page| page.flags == GAP | MORE));
    for (tag, partition, place) in [(20, 70_000, &b""[..]), (21, 65_535, b""), (22, 1, b"nothing")] {
        let is_refused = watch(&node, partition, place, 0, tag) == E_ARG;
        assert_eq!(is_refused, partition > 65_535);
        if !is_refused {
            let end = wait(&node);
            assert_eq!((end.tag, end.status, end.flags & MORE), (tag, E_ARG, 0));
        }
    }
    // A place is one of its partition, or of all.
    for partition in [1, ALL] {
        let place = &begins.iter().find(|page| page.tag == 0).unwrap().place;
        assert_eq!(watch(&node, partition, place, 0, 30), OK);
        assert_eq!((wait(&node).status, reap(&node)), (E_ARG, None));
    }
    let mut op = quorate_op { kind: 6, tag: 31, number: ALL.into(), limit: 2, ..zero_op() };
    let mut n = 0;
    // SAFETY: a live node and one op.
    unsafe {
        assert_eq!(quorate_submit(node.0, &op, size_of_val(&op), 1, &mut n), OK);
        assert_eq!(wait(&node).tag, 31);
        (op.tag, op.key) = (32, bytes("k"));
        assert_eq!(quorate_submit(node.0, &op, size_of_val(&op), 1, &mut n), E_ARG);
    }
    let keys = 0..600;
    keys.clone().for_each(|key| put(&node, &format!("k{key}"), "v"));
    let (mut all, mut parts) = (BTreeSet::new(), BTreeSet::new());
    while all.len() < keys.len() {
        let page = wait(&node);
        let keys = page.changes.into_iter().map(|(key, _)| key);
        if page.tag == 31 { all.extend(keys) } else { parts.extend(keys.map(|key| (key, page.tag))) }
    }
    let told: BTreeSet<_> = parts.iter().map(|(key, _)| key).collect();
    assert!(!told.is_empty() && told.len() == parts.len(), "a key is of one partition: {parts:?}");
}

fn zero_op() -> quorate_op {
    // SAFETY: numbers and pointers, for which zero is a value.
    unsafe { zeroed() }
}

/// Steps until nothing is left to do.
fn settle(node: &Node) {
    let mut more = 1;
    while more == 1 {
        // SAFETY: a live node.
        assert_eq!(unsafe { quorate_node_step(node.0, mono_ns(), WALL_MS, 1, &mut more) }, OK);
    }
}

#[test]
fn one_page_waits_for_a_host_that_does_not_reap_and_a_feed_takes_two_places() {
    let node = Node::open(&[(OPT_MODE, MODE_HOST), (OPT_WINDOW, 16)]);
    assert_eq!(watch(&node, ALL, b"", 2, 7), OK);
    settle(&node);
    assert_eq!(reap(&node).map(|page| page.flags), Some(GAP | MORE));
    // The feed has two of sixteen.
    for tag in 100..114 {
        let key = format!("k{tag}");
        // SAFETY: a live node, bytes that stay during the call.
        assert_eq!(unsafe { quorate_put(node.0, bytes(&key), bytes("v"), NONE, null(), tag) }, OK);
    }
    assert_eq!(node.put(120), E_OVERLOADED);
    assert_eq!(watch(&node, ALL, b"", 2, 8), E_OVERLOADED);
    settle(&node);
    let ends = node.reap();
    let is_told = |ends: &[(u64, quorate_status, u32)]| ends.iter().filter(|end| end.0 == 7).count();
    assert_eq!((ends.len(), is_told(&ends)), (15, 1), "one page, however much there is to tell");
    let mut pages = 1;
    loop {
        settle(&node);
        match &node.reap()[..] {
            [] => break,
            [(7, OK, MORE)] => pages += 1,
            more => panic!("{more:?}"),
        }
    }
    // The first put was told alone, as it was alone when the loop looked.
    assert_eq!(pages, 1 + 7);
    // One place is not enough.
    for tag in 200..213 {
        assert_eq!(node.put(tag), OK);
    }
    assert_eq!(watch(&node, ALL, b"", 2, 8), E_OVERLOADED);
    assert_eq!(node.put(213), OK, "the place that was left is left");
    assert_eq!(node.put(214), E_OVERLOADED);
    // It is cancelled with a page that nobody has reaped: that comes first, and then the end.
    settle(&node);
    assert_eq!(unwatch(&node, 7), OK);
    settle(&node);
    let ends = node.reap();
    assert_eq!((ends.len(), is_told(&ends)), (15, 1));
    settle(&node);
    assert_eq!(node.reap(), [(7, E_CANCELLED, 0)]);
    for tag in 0..16 {
        assert_eq!(node.put(tag), OK, "both places are free again");
    }
    // A stop leaves what was told, and the end.
    settle(&node);
    assert_eq!(node.reap().len(), 16);
    assert_eq!(watch(&node, ALL, b"", 2, 9), OK);
    settle(&node);
    // SAFETY: a live node.
    assert_eq!(unsafe { quorate_node_stop(node.0, 0) }, OK);
    assert_eq!(node.reap(), [(9, OK, GAP | MORE), (9, E_CLOSED, 0)]);
}

#[test]
fn a_follower_that_is_too_slow_is_told_of_its_gap() {
    let node = Node::started();
    assert_eq!(watch(&node, ALL, b"", 0, 7), OK);
    assert_eq!(wait(&node).flags, GAP | MORE);
    put(&node, "key 0", "v");
    // Its page waits, and so nothing of this is told; the store in memory remembers about 4,096 changes.
    for at in 0..5_000 {
        put(&node, &format!("key {}", at % 7), "v");
    }
    let mut pages = vec![wait(&node)];
    while pages.last().unwrap().flags & GAP == 0 {
        pages.push(wait(&node));
        assert!(pages.len() <= 2, "what was forgotten is told as a gap: {pages:?}");
    }
    assert_eq!(pages.last().map(|page| (page.status, page.changes.len())), Some((OK, 0)));
    put(&node, "after", "v");
    assert_eq!(follow(&node, 7, 1).0, [("after".into(), vec!["v".into()])]);
}

/// A feed of what there is not would be silent for ever.
#[test]
fn a_feed_of_no_keyspace_is_refused() {
    let node = Node::host_driven();
    for (keyspace, expected) in [(15, OK), (16, E_ARG)] {
        // SAFETY: a call is numbers, for which zero is a value.
        let call: quorate_call =
            unsafe { quorate_call { struct_size: size_of::<quorate_call>() as u32, keyspace, ..zeroed() } };
        // SAFETY: a live node, and settings that stay during the call.
        let status = unsafe { quorate_watch(node.0, ALL, NONE, 0, &call, 7) };
        assert_eq!(status, expected, "keyspace {keyspace}");
    }
}
