//! Looks at the frames of an input as the node will: which decoders they reach, and whether they are
//! bound to end the stream.

use quorate::proto::io::{Add, Edit, Operation};
use quorate::proto::keys::ClusterKeys;
use quorate::proto::message::{Fetched, Message, decode_frame, decode_reply, decode_request, split_frame};
use quorate::proto::version::Object;

use super::cluster;
use super::messages::kind_of;

/// What frames will meet with.
#[derive(Debug, Default)]
pub struct Fate {
    /// A frame is bent beyond decoding, so the node must hang up.
    pub refused: bool,
    /// Decoders that are reached, and what they will say.
    pub reached: Vec<(String, &'static str)>,
    /// Decoders behind the answers among them, reached if the node awaits the answer.
    pub answers: Vec<String>,
    /// The node awaits it.
    pub matched: bool,
}

/// What goes wrong in front of the decoder of a kind.
const ENVELOPE: [&str; 8] = [
    "frame length",
    "frame checksum",
    "message version",
    "message kind",
    "message flags",
    "layout version",
    "cluster id",
    "request id",
];

/// Foretells what becomes of the frames of one record.
pub fn look_at(mut frames: &[u8], keys: &ClusterKeys) -> Fate {
    let mut fate = Fate::default();
    while !frames.is_empty() {
        let Ok((frame, rest)) = split_frame(frames) else {
            fate.refused = true;
            fate.reached.push(("envelope".into(), "refused"));
            return fate;
        };
        frames = rest;
        match decode_frame(frame) {
            Ok((envelope, message)) => {
                if envelope.cluster_id != keys.cluster_id {
                    fate.refused = true;
                    fate.reached.push(("envelope".into(), "refused"));
                    return fate;
                }
                let kind = kind_of(frame[9]).expect("what was decoded has a kind");
                fate.reached.push((kind.into(), "decoded"));
                look_inside(&message, keys, &mut fate);
            }
            Err(error) => {
                fate.refused = true;
                let kind = frame.get(9).copied().and_then(kind_of);
                let decoder = kind.filter(|_| !ENVELOPE.contains(&error.what)).unwrap_or("envelope");
                fate.reached.push((decoder.into(), "refused"));
                return fate;
            }
        }
    }
    fate
}

fn look_inside(message: &Message<'_>, keys: &ClusterKeys, fate: &mut Fate) {
    let verdict = |good: bool| if good { "decoded" } else { "refused" };
    match message {
        Message::Replicate { object, .. } => {
            fate.reached.push(("object".into(), verdict(Object::decode(object).is_ok())));
        }
        Message::Forward(forward) => match decode_request(forward.request) {
            Ok(request) => {
                let operation = match request.operation {
                    Operation::Get => "get",
                    Operation::Put { .. } => "put",
                    Operation::Delete { .. } => "delete",
                    Operation::Edit(Edit::Set { .. }) => "set",
                    Operation::Edit(Edit::Append(_)) => "append",
                    Operation::Edit(Edit::AddFloat(_)) => "add of a fraction",
                    Operation::Edit(Edit::SetRange { .. }) => "set of a range",
                    Operation::Edit(Edit::SetBit { .. }) => "set of a bit",
                    Operation::Add(Add::By { .. }) => "add",
                    Operation::Add(Add::To { .. }) => "put of a number",
                    Operation::Edit(Edit::Delete) => "edit delete",
                    Operation::Edit(Edit::Expire { .. }) => "expire",
                    Operation::Edit(Edit::AddElements(_)) => "add of elements",
                    Operation::Edit(Edit::RemoveElements(_)) => "removal of elements",
                    Operation::Scan { .. } => "scan",
                    Operation::Cluster(_) | Operation::Changes { .. } => unreachable!("no peer is sent one"),
                };
                fate.reached.push((format!("request: {operation}"), "decoded"));
            }
            Err(_) => fate.reached.push(("request".into(), "refused")),
        },
        Message::Forwarded { reply, .. } => {
            fate.answers.push("Forwarded".into());
            if let Some(reply) = reply {
                fate.reached.push(("reply".into(), verdict(decode_reply(reply).is_ok())));
                fate.answers.push("reply".into());
            }
        }
        Message::Fetched(fetched) => {
            fate.answers.push("Fetched".into());
            if let Fetched::Record(object) = fetched {
                fate.reached.push(("fetched object".into(), verdict(Object::decode(object).is_ok())));
                fate.answers.push("fetched object".into());
            }
        }
        Message::Acknowledge(_) => fate.answers.push("Acknowledge".into()),
        Message::Scanned(_) => fate.answers.push("Scanned".into()),
        Message::Fetch { .. }
        | Message::Hello(_)
        | Message::Scan(_)
        | Message::Probe { .. }
        | Message::Probed { .. } => {}
        message => {
            if let Some((inside, is_good)) = cluster::inside(message, keys) {
                fate.reached.push((inside.into(), verdict(is_good)));
            }
        }
    }
}
