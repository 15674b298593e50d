//! The core over a store that fails: what is told to others, and what never is.

use quorate::proto::config::{Config, MemberSpec};
use quorate::proto::io::Output;
use quorate::proto::message::{Acks, Envelope, Message, Stored, decode_frame, split_frame};
use quorate::proto::node::Node;
use quorate::proto::store::Store;
use quorate::proto::time::{Instant, Now, WallTime};
use quorate::proto::version::{Actor, Context, Dot, Epoch, Hlc, Object, Sibling};
use quorate::store::MemoryStore;

use super::faulty::Faulty;

/// Trap T7: what a failed sync left unsafe is never acknowledged, and each copy of it is answered.
#[test]
fn a_read_only_replica_answers_every_copy_of_what_it_could_not_save() {
    let mut config = Config::new("a");
    let member = |name: &str| MemberSpec::new(name, name);
    config.members = vec![member("a"), member("b")];
    let now = Now { mono: Instant::from_nanos(1), wall: WallTime(1_000_000) };
    let memory = MemoryStore::new(config.partitions, &mut || 9);
    let store = Faulty { memory, reason: None, puts: 0, fails_syncs: true };
    let hints = Faulty { memory: super::no_hints(1), reason: None, puts: 0, fails_syncs: false };
    let mut node = Node::new(config, store, hints, 1, now).unwrap();
    let peer = node.layout().members().iter().map(|member| member.id).find(|&id| id != node.id()).unwrap();
    node.handle_peer_up(now, peer);
    let mut object = Object::default();
    let dot = Dot { actor: Actor { generation: 1, epoch: Epoch { nonce: 1, number: 1 } }, counter: 1 };
    let value = b"v"[..].into();
    let sibling = Sibling { dot, hlc: Hlc(1), tombstone: false, expires_ms: None, element: false, value };
    object.write(&Context::default(), sibling);
    let mut bytes = Vec::new();
    object.encode(&mut bytes);
    let acks = Acks { stored: true, durable: true };
    let mut frame = Vec::new();
    let envelope =
        Envelope { layout_version: 1, cluster_id: node.keys().cluster_id, request_id: 5, reaps: 0 };
    Message::Replicate { keyspace: 0, key: b"k", acks, object: &bytes }.encode(&envelope, &mut frame);
    for copy in 0..3 {
        node.handle_frames(now, peer, &frame).unwrap();
        let mut answers = 0;
        while let Some(output) = node.poll_output(now) {
            match output {
                Output::Sync(need) => {
                    node.store_mut().flush(need);
                    node.handle_synced(now);
                }
                Output::SyncHints(_) | Output::Met(_) | Output::Probed { .. } => {}
                Output::Send { frames, .. } => {
                    let mut rest = &frames[..];
                    while !rest.is_empty() {
                        let (frame, after) = split_frame(rest).unwrap();
                        rest = after;
                        let (_, message) = decode_frame(frame).unwrap();
                        answers += usize::from(message == Message::Acknowledge(Stored::ReadOnly));
                        assert!(!matches!(message, Message::Acknowledge(Stored::Stored | Stored::Durable)));
                    }
                }
                Output::Reply { .. } => unreachable!("nobody asked"),
            }
        }
        assert_eq!(answers, 2, "copy {copy}: one for each acknowledgement asked for");
    }
}
