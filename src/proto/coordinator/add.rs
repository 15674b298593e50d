//! Counting: increments, and numbers that are put where another one was read.
//!
//! An increment needs no read: two that do not know of each other both count (trap T11). So it begins with our own
//! copy, and W = 1 is enough where nobody else can be reached. Only where our copy refuses it, having text or no
//! room, are R replicas merged first: the copy may be behind.
//!
//! A number put where another was read is the difference of the two. It must count once, though its caller may
//! have to ask twice; so the reading names the one replica that may carry it out, and the boot of it that would know
//! whether it has.

use super::once::Known;
use super::{Origin, Turn};
use crate::proto::effect::Effect;
use crate::proto::error::Outcome;
use crate::proto::io::{Add, MemberId, Operation, Reply};
use crate::proto::message::LEVEL_OF_COUNTS;
use crate::proto::replica::Refusal;
use crate::proto::store::Store;
use crate::proto::version::{CountError, NumberRead, Row};

/// What an increment is known by, so that it counts once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Once {
    /// The hash of its name.
    name: u128,
    /// When the name was given; 0 if its caller made it up.
    time: u64,
}

/// Where an increment may be carried out.
enum Place {
    /// At any replica.
    Any,
    /// Only here.
    Here,
    /// Only at this machine.
    There(u16),
}

impl<S: Store> Turn<'_, S> {
    /// What goes into the context of one number that is shown.
    pub(super) fn number_read(&self, index: usize, row: &Row<'_>) -> Option<NumberRead> {
        let value = i64::try_from(row.number()?).ok().filter(|_| self.knows(LEVEL_OF_COUNTS))?;
        let own = self.peers.own();
        let is_ours = self.own_readable_rank(index).is_some() && !self.replica.read_only();
        let usable = || self.replicas(index).readable().filter(|&(_, slot)| self.peers.usable(slot));
        let (member, boot) = if is_ours {
            (own, self.replica.identity().nonce)
        } else {
            let others = usable().filter(|&(_, slot)| slot != own);
            let (_, slot) = others.min_by_key(|&(_, slot)| self.peers.peer(slot).avoided)?;
            (slot, self.peers.peer(slot).boot)
        };
        // A handle is given once a boot.
        let (handle, identity) = (self.coordinator.handle(index), self.replica.identity().nonce);
        let nonce = self.keys.token.hash64(&[&identity.to_le_bytes(), &handle.to_le_bytes()]);
        let member = self.peers.peer(member).id.0;
        Some(NumberRead { value, nonce, read_ms: self.now.wall.0.max(1), member, boot })
    }

    /// The first step of an increment: to where it may be carried out.
    pub(super) fn begin_add(&mut self, index: usize, operation: &Operation<'_>, add: &Add<'_>) {
        let place = match self.place_of(index, add) {
            Ok(place) => place,
            Err(outcome) => return self.finish(index, Reply::bare(outcome)),
        };
        let is_ours = self.own_readable_rank(index).is_some() && !self.replica.read_only();
        match place {
            Place::There(to) => self.forward_to(index, operation, to),
            Place::Here if !is_ours => self.finish(index, Reply::bare(Outcome::Maybe)),
            Place::Any if !is_ours => self.forward(index, operation),
            Place::Here | Place::Any => self.coordinate(index, operation),
        }
    }

    /// The first step of an increment that is coordinated here.
    pub(super) fn coordinate_add(&mut self, index: usize, operation: &Operation<'_>, add: &Add<'_>) {
        match self.start_add(index, add) {
            Ok(()) => {}
            Err(Refusal::Pending(ticket)) => {
                self.keep_request(index, operation);
                self.park(index, ticket);
            }
            Err(_) => {
                self.keep_request(index, operation);
                self.start_read(index);
            }
        }
    }

    fn place_of(&self, index: usize, add: &Add<'_>) -> Result<Place, Outcome> {
        let is_forwarded = matches!(self.coordinator.slots[index].origin, Origin::Forward { .. });
        let own = self.peers.own();
        match *add {
            Add::By { id: None, .. } => Ok(Place::Any),
            // Whoever asks again must come to who has carried it out.
            Add::By { id: Some(_), .. } if is_forwarded || self.own_readable_rank(index).is_some() => {
                Ok(Place::Any)
            }
            Add::By { id: Some(_), .. } => match self.replicas(index).readable().next() {
                Some((_, slot)) if self.peers.usable(slot) => Ok(Place::There(slot)),
                _ => Err(Outcome::NotEnoughReplicas {
                    reachable: 0,
                    needed: self.coordinator.slots[index].quorum.w,
                }),
            },
            Add::To { context, .. } => {
                let number = self.number_of(index, context)?;
                if self.peers.peer(own).id.0 == number.member {
                    let is_known = number.boot == self.replica.identity().nonce;
                    return if is_known { Ok(Place::Here) } else { Err(Outcome::Maybe) };
                }
                let slot = self.peers.slot_of(MemberId(number.member)).filter(|&slot| {
                    !is_forwarded && self.peers.usable(slot) && self.peers.peer(slot).boot == number.boot
                });
                slot.map(Place::There).ok_or(Outcome::Maybe)
            }
        }
    }

    fn number_of(&self, index: usize, context: &[u8]) -> Result<NumberRead, Outcome> {
        let number = self.context(index, context)?.number;
        number.ok_or(Outcome::BadContext("it is of no reading that showed one number".into()))
    }

    /// Carries an increment out. Refuses only what may be tried again: a cold read; and a value that is no number or
    /// has no room, if it is our copy's alone.
    pub(super) fn start_add(&mut self, index: usize, add: &Add<'_>) -> Result<(), Refusal> {
        let (by, once) = match self.resolve(index, add) {
            Ok(resolved) => resolved,
            Err(outcome) => {
                self.finish(index, Reply::bare(outcome));
                return Ok(());
            }
        };
        if let Some(once) = once {
            let reply = match self.coordinator.window(once).find(once.name, once.time) {
                Known::Nothing => None,
                // Nothing is done for this one; the other one goes on.
                Known::Open => Some(Reply::bare(Outcome::Overloaded)),
                Known::Answered(reply) => Some(*reply),
                Known::Forgotten => Some(Reply::bare(Outcome::Maybe)),
            };
            if let Some(reply) = reply {
                self.finish(index, reply);
                return Ok(());
            }
        }
        self.write(index, Effect::Count(by), once)
    }

    /// By how much, and as what.
    fn resolve(&self, index: usize, add: &Add<'_>) -> Result<(i64, Option<Once>), Outcome> {
        let slot = &self.coordinator.slots[index];
        let name = |id: u64| {
            let keyspace = slot.keyspace.to_le_bytes();
            self.keys.token.hash128(&[&keyspace, &id.to_le_bytes(), &slot.key])
        };
        match *add {
            Add::By { by, id } => Ok((by, id.map(|id| Once { name: name(id), time: 0 }))),
            Add::To { to, context } => {
                let number = self.number_of(index, context)?;
                let by =
                    to.checked_sub(number.value).ok_or_else(|| outcome_of_count(CountError::Overflow))?;
                Ok((by, Some(Once { name: name(number.nonce), time: number.read_ms })))
            }
        }
    }
}

impl super::Coordinator {
    /// Where the answers of such names are.
    pub(super) fn window(&mut self, once: Once) -> &mut super::once::Window {
        if once.time == 0 { &mut self.named } else { &mut self.numbers }
    }

    /// An increment has its dot: until its answer is known it is open.
    pub(super) fn open_once(&mut self, index: usize, once: Option<Once>) {
        if let Some(once) = once {
            self.window(once).open(once.name, once.time);
        }
        self.slots[index].once = once;
    }

    /// The answer to a request; kept, if it has a name.
    pub(super) fn end_once(&mut self, index: usize, reply: &Reply) {
        if let Some(once) = self.slots[index].once.take() {
            self.window(once).end(once.name, reply);
        }
    }
}

/// What a client is told whose increment cannot be.
pub(super) fn outcome_of_count(error: CountError) -> Outcome {
    let why = match error {
        CountError::IsSet => return Outcome::WrongType,
        CountError::NotANumber => "value is not an integer or out of range",
        CountError::Overflow => "increment or decrement would overflow",
    };
    Outcome::BadArgument(why.into())
}
