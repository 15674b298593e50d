//! `Q.CLUSTER`: how a cluster is, what an operator changes of it, and how that is committed.
//!
//! ```text
//! Q.CLUSTER STATUS                  → members, keepers, layouts, what is staged, how far it has come
//! Q.CLUSTER PLAN                    → what that which is staged comes to: figures, members, zones, lines, hash
//! Q.CLUSTER STAGED                  → version, phase, layout, next, staged
//! Q.CLUSTER LEAVE|REMOVE name       ┐
//! Q.CLUSTER REPLACE old new         │
//! Q.CLUSTER WEIGHT name n           │ stage a change
//! Q.CLUSTER ZONE name zone          │
//! Q.CLUSTER MAXPERZONE n|DEFAULT    ┘ → as STAGED
//! Q.CLUSTER UNSTAGE | COMMIT [hash] | REVERT → as STAGED
//! Q.CLUSTER KEEPERS FORCE           → as STAGED: a new era, where a majority of the keepers is lost for good
//! Q.CLUSTER REPAIR                  → OK; what this node holds is compared with everybody's copies, now
//! Q.CLUSTER VERIFIED [PARTITION p | KEY key]
//!                                   → partition, milliseconds since its copies were last all equal, …
//! ```
//!
//! A node joins by being started, so there is no verb for it. A change is made by the keepers' vote: an answer
//! other than an error says that it is committed, and on the disk of a majority of them. Each command waits for
//! those before it on its connection, so what follows a change sees it.

use crate::proto::cluster::{Change, Headway, MemberView, Order, Overview, why_not};
use crate::proto::config::name_is_valid;
use crate::proto::io::{Operation, Options, Reply};
use crate::proto::ring::Plan;
use crate::proto::ring::plan::{Figures, MemberPlan, ZonePlan};

use super::answer::{self, Shape};
use super::command::{Subcommand, subcommand, wrong_arity};
use super::limits::SHOWN_MAX;
use super::number::{NOT_AN_INTEGER, SYNTAX, integer_at};
use super::order::Slot;
use super::parse::Args;
use super::quorum::{flag, number, text};
use super::reply::Writer;
use super::session::{Handled, Refusal, Session, Turn};
use super::text::shown;

const CLUSTER: &[Subcommand] = &[
    Subcommand { name: "status", arity: 2, handler: status },
    Subcommand { name: "plan", arity: 2, handler: plan },
    Subcommand { name: "staged", arity: 2, handler: staged },
    Subcommand { name: "leave", arity: 3, handler: leave },
    Subcommand { name: "remove", arity: 3, handler: remove },
    Subcommand { name: "replace", arity: 4, handler: replace },
    Subcommand { name: "weight", arity: 4, handler: weight },
    Subcommand { name: "zone", arity: 4, handler: zone },
    Subcommand { name: "maxperzone", arity: 3, handler: max_per_zone },
    Subcommand { name: "unstage", arity: 2, handler: unstage },
    Subcommand { name: "commit", arity: -2, handler: commit },
    Subcommand { name: "revert", arity: 2, handler: revert },
    Subcommand { name: "keepers", arity: 3, handler: keepers },
    Subcommand { name: "repair", arity: 2, handler: repair },
    Subcommand { name: "verified", arity: -2, handler: verified },
];

/// What of an [`Overview`] is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Everything but a plan.
    Status,
    /// The plan.
    Plan,
    /// What an order may have changed.
    Staged,
}

/// `Q.CLUSTER subcommand`
pub fn cluster(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    subcommand("q.cluster", CLUSTER, session, turn, args)
}

fn order(session: &mut Session, turn: &mut Turn<'_>, order: Order, part: Part) -> Handled {
    let slot = Slot::Answer(Shape::Cluster(part));
    session.request(turn, slot, b"", Operation::Cluster(order), Options::default());
    Ok(())
}

fn stage(session: &mut Session, turn: &mut Turn<'_>, change: Change) -> Handled {
    order(session, turn, Order::Stage(change), Part::Staged)
}

fn status(session: &mut Session, turn: &mut Turn<'_>, _: Args<'_>) -> Handled {
    order(session, turn, Order::Look, Part::Status)
}

fn plan(session: &mut Session, turn: &mut Turn<'_>, _: Args<'_>) -> Handled {
    order(session, turn, Order::Plan, Part::Plan)
}

fn staged(session: &mut Session, turn: &mut Turn<'_>, _: Args<'_>) -> Handled {
    order(session, turn, Order::Look, Part::Staged)
}

fn leave(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    stage(session, turn, Change::Leave(name(args, 2)?))
}

fn remove(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    stage(session, turn, Change::Remove(name(args, 2)?))
}

fn replace(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    stage(session, turn, Change::Replace(name(args, 2)?, name(args, 3)?))
}

fn weight(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    let weight = u32::try_from(integer_at(args, 3)?).map_err(|_| NOT_AN_INTEGER)?;
    stage(session, turn, Change::Weight(name(args, 2)?, weight))
}

fn zone(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    let zone = if args.at(3).is_empty() { String::new() } else { name(args, 3)? };
    stage(session, turn, Change::Zone(name(args, 2)?, zone))
}

fn max_per_zone(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    let most = if args.is(2, "DEFAULT") {
        None
    } else {
        let most = u8::try_from(integer_at(args, 2)?).ok().filter(|&most| most > 0);
        Some(most.ok_or(NOT_AN_INTEGER)?)
    };
    stage(session, turn, Change::MaxPerZone(most))
}

fn unstage(session: &mut Session, turn: &mut Turn<'_>, _: Args<'_>) -> Handled {
    order(session, turn, Order::Unstage, Part::Staged)
}

fn commit(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    let hash = match args.get(2) {
        None => None,
        Some(_) if args.len() > 3 => return Err(wrong_arity("q.cluster|commit")),
        Some(text) => Some(hash(text)?),
    };
    order(session, turn, Order::Commit(hash), Part::Staged)
}

fn revert(session: &mut Session, turn: &mut Turn<'_>, _: Args<'_>) -> Handled {
    order(session, turn, Order::Revert, Part::Staged)
}

fn keepers(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    if !args.is(2, "FORCE") {
        return Err(SYNTAX);
    }
    order(session, turn, Order::ForceKeepers, Part::Staged)
}

fn repair(session: &mut Session, turn: &mut Turn<'_>, _: Args<'_>) -> Handled {
    if !turn.backend.compare_all() {
        return Err("ERR this node does not compare its copies with others".into());
    }
    session.answer(turn, |writer| writer.simple("OK"));
    Ok(())
}

fn verified(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    let wanted = match args.len() {
        2 => None,
        4 if args.is(2, "PARTITION") => {
            Some(u16::try_from(integer_at(args, 3)?).map_err(|_| "ERR there is no such partition")?)
        }
        4 if args.is(2, "KEY") => Some(turn.backend.owners(session.keyspace, args.at(3)).partition),
        _ => return Err(SYNTAX),
    };
    let mut verified = turn.backend.verified();
    verified.retain(|(partition, _)| wanted.is_none_or(|wanted| wanted == *partition));
    if verified.is_empty() && wanted.is_some() {
        return Err("ERR this node shares no copy of that partition with another".into());
    }
    session.answer(turn, |writer| {
        writer.map(verified.len());
        for (partition, age) in verified {
            number(writer, &partition.to_string(), age.as_millis() as u64);
        }
    });
    Ok(())
}

/// The name of a member or a zone.
fn name(args: Args<'_>, at: usize) -> Result<String, Refusal> {
    let bytes = args.at(at);
    let name = core::str::from_utf8(bytes).ok().filter(|name| name_is_valid(name));
    name.map(str::to_owned).ok_or_else(|| format!("ERR `{}` is no name", shown(bytes, SHOWN_MAX)).into())
}

/// The hash of a plan, as a plan prints it.
fn hash(text: &[u8]) -> Result<u64, Refusal> {
    let digits = core::str::from_utf8(text).ok().filter(|text| text.len() == 16);
    let digits = digits.filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let hash = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
    hash.ok_or_else(|| {
        format!("ERR `{}` is no hash of a plan, which has 16 hexadecimal digits", shown(text, SHOWN_MAX))
            .into()
    })
}

/// The error line of an order that was not carried out, or is not known to be.
pub fn failure(reply: &Reply) -> String {
    format!("{} {}", answer::code(&reply.outcome), why_not(&reply.outcome))
}

/// Writes the answer to an order that was carried out.
pub fn write(writer: &mut Writer<'_>, part: Part, overview: &Overview) {
    match (part, overview.to_plan()) {
        (Part::Status, _) => write_status(writer, overview),
        (Part::Plan, Some(plan)) => write_plan(writer, overview, &plan),
        (Part::Staged | Part::Plan, _) => {
            writer.map(5);
            write_version(writer, overview);
            write_layouts(writer, overview);
            write_staged(writer, overview);
        }
    }
}

fn hex(writer: &mut Writer<'_>, name: &str, hash: u64) {
    text(writer, name, &format!("{hash:016x}"));
}

fn optional(writer: &mut Writer<'_>, name: &str, value: Option<u64>) {
    writer.bulk(name.as_bytes());
    match value {
        Some(value) => writer.count(value),
        None => writer.null(),
    }
}

fn texts(writer: &mut Writer<'_>, name: &str, texts: &[String]) {
    writer.bulk(name.as_bytes());
    writer.array(texts.len());
    texts.iter().for_each(|text| writer.bulk(text.as_bytes()));
}

/// Two fields.
fn write_version(writer: &mut Writer<'_>, overview: &Overview) {
    number(writer, "version", overview.version);
    text(writer, "phase", overview.phase().name());
}

/// Two fields.
fn write_layouts(writer: &mut Writer<'_>, overview: &Overview) {
    number(writer, "layout", overview.layout);
    optional(writer, "next", overview.next);
}

/// One field.
fn write_staged(writer: &mut Writer<'_>, overview: &Overview) {
    let changes: Vec<String> = overview.staged.iter().map(ToString::to_string).collect();
    texts(writer, "staged", &changes);
}

fn write_status(writer: &mut Writer<'_>, overview: &Overview) {
    writer.map(14);
    write_version(writer, overview);
    hex(writer, "hash", overview.hash);
    number(writer, "era", overview.era);
    write_layouts(writer, overview);
    hex(writer, "layout_hash", overview.layout_hash);
    number(writer, "partitions", u64::from(overview.partitions));
    optional(writer, "max_per_zone", overview.max_per_zone.map(u64::from));
    texts(writer, "keepers", &overview.keepers);
    write_staged(writer, overview);
    writer.bulk(b"refusal");
    match &overview.refusal {
        Some(why) => writer.bulk(why.as_bytes()),
        None => writer.null(),
    }
    let Headway { total, open, bytes } = overview.headway();
    writer.bulk(b"progress");
    writer.map(3);
    number(writer, "total", u64::from(total));
    number(writer, "open", u64::from(open));
    number(writer, "bytes", bytes);
    writer.bulk(b"members");
    writer.array(overview.members.len());
    for member in &overview.members {
        write_member(writer, overview, member);
    }
}

fn write_member(writer: &mut Writer<'_>, overview: &Overview, member: &MemberView) {
    let progress = overview.progress(member);
    writer.map(12);
    text(writer, "name", &member.name);
    text(writer, "address", &member.address);
    text(writer, "zone", &member.zone);
    number(writer, "weight", u64::from(member.weight));
    writer.bulk(b"generation");
    match member.generation {
        0 => writer.null(),
        generation => writer.bulk(format!("{generation:016x}").as_bytes()),
    }
    text(writer, "state", member.state());
    flag(writer, "up", member.is_up);
    number(writer, "partitions", u64::from(member.partitions.0));
    number(writer, "partitions_next", u64::from(member.partitions.1));
    number(writer, "receives", u64::from(member.receives));
    optional(writer, "open", progress.map(|said| u64::from(said.open)));
    optional(writer, "bytes", progress.map(|said| said.bytes));
}

fn write_plan(writer: &mut Writer<'_>, overview: &Overview, plan: &Plan) {
    writer.map(20);
    hex(writer, "hash", overview.plan_hash);
    write_version(writer, overview);
    write_staged(writer, overview);
    texts(writer, "lines", &plan.to_lines());
    number(writer, "partitions", u64::from(plan.partitions));
    number(writer, "moves", u64::from(plan.moves));
    number(writer, "moves_min", u64::from(plan.moves_min));
    number(writer, "bytes_moved", plan.bytes_moved);
    number(writer, "partitions_measured", u64::from(plan.partitions_measured));
    number(writer, "orphans", u64::from(plan.orphans));
    number(writer, "kept_min", u64::from(plan.kept_min));
    optional(writer, "pace", plan.pace.map(|pace| pace.get()));
    optional(writer, "seconds_min", plan.duration_min.map(|duration| duration.as_secs()));
    flag(writer, "degraded", plan.to.is_degraded());
    number(writer, "replicas_asked", plan.to.replicas_asked as u64);
    for (name, figures) in [("from", &plan.from), ("to", &plan.to)] {
        writer.bulk(name.as_bytes());
        write_figures(writer, figures);
    }
    writer.bulk(b"zones");
    writer.array(plan.zones.len());
    plan.zones.iter().for_each(|zone| write_zone(writer, zone));
    writer.bulk(b"members");
    writer.array(plan.members.len());
    plan.members.iter().for_each(|member| write_member_plan(writer, member));
}

fn write_figures(writer: &mut Writer<'_>, figures: &Figures) {
    writer.map(9);
    number(writer, "version", figures.version);
    text(writer, "placement", figures.mode.name());
    number(writer, "replicas", figures.replicas as u64);
    optional(writer, "max_per_zone", figures.max_per_zone.map(|most| most as u64));
    number(writer, "usable_ppm", u64::from(figures.usable_ppm));
    number(writer, "skew_ppm", u64::from(figures.skew_ppm));
    number(writer, "peers_min", u64::from(figures.peers.min));
    number(writer, "peers_mean_thousandths", u64::from(figures.peers.mean_thousandths));
    number(writer, "peers_max", u64::from(figures.peers.max));
}

fn write_zone(writer: &mut Writer<'_>, zone: &ZonePlan) {
    writer.map(6);
    text(writer, "zone", &zone.zone);
    number(writer, "machines", u64::from(zone.machines));
    number(writer, "replicas_before", u64::from(zone.replicas_before));
    number(writer, "replicas_after", u64::from(zone.replicas_after));
    number(writer, "share_ppm", u64::from(zone.share_ppm));
    number(writer, "crowded", u64::from(zone.crowded));
}

/// Of who joins there is nothing before, of who leaves nothing after.
fn write_member_plan(writer: &mut Writer<'_>, member: &MemberPlan) {
    writer.map(7);
    text(writer, "name", &member.name);
    for (name, holding) in [("before", &member.before), ("after", &member.after)] {
        writer.bulk(name.as_bytes());
        let Some(holding) = holding else {
            writer.null();
            continue;
        };
        writer.map(5);
        number(writer, "weight", u64::from(holding.weight));
        text(writer, "zone", &holding.zone);
        number(writer, "partitions", u64::from(holding.partitions));
        number(writer, "bytes", holding.bytes);
        number(writer, "share_ppm", u64::from(holding.share_ppm));
    }
    number(writer, "receives", u64::from(member.receives));
    number(writer, "gives_up", u64::from(member.gives_up));
    number(writer, "bytes_received", member.bytes_received);
    number(writer, "bytes_given_up", member.bytes_given_up);
}
