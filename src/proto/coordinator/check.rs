//! What is refused before any work: wrong requests, what a member cannot carry out, and what is too much at one time.

use super::Turn;
use super::quorum::Quorum;
use crate::proto::error::Outcome;
use crate::proto::io::{Blind, Edit, ExpiryWhen, Merge, Operation, Request, View};
use crate::proto::limits;
use crate::proto::message::{LEVEL_OF_COUNTS, LEVEL_OF_SETS};
use crate::proto::store::Store;

fn bad<T>(why: &'static str) -> Result<T, Outcome> {
    Err(Outcome::BadArgument(why.into()))
}

impl<S: Store> Turn<'_, S> {
    /// Everything that can be refused before any work; what the request needs, if nothing is.
    pub(super) fn check(&self, request: &Request<'_>, partition: u16) -> Result<Quorum, Outcome> {
        let config = self.config;
        if request.keyspace >= limits::KEYSPACES_MAX {
            return bad("no such keyspace: there are 16");
        }
        if request.key.len() > config.key_max {
            return Err(Outcome::BadArgument(
                format!("the key has {} bytes, the limit is {}", request.key.len(), config.key_max).into(),
            ));
        }
        let value = request.operation.value_bytes();
        if value > config.value_max {
            return Err(Outcome::BadArgument(
                format!("the value has {value} bytes, the limit is {}", config.value_max).into(),
            ));
        }
        if request.options.timeout.is_some_and(|timeout| timeout.is_zero()) {
            return bad("a timeout of 0 leaves no time");
        }
        if self.routes.version() == 0 {
            return Err(Outcome::WrongLayout);
        }
        self.check_options(request)?;
        if self.is_too_new(&request.operation) {
            return bad("a member of the cluster is of a release that cannot carry this out");
        }
        let write = !matches!(request.operation, Operation::Get | Operation::Scan { .. });
        let quorum = self.quorum(request.keyspace, partition, &request.options, write)?;
        // One value alone always passes, and what brings none.
        let bytes = self.coordinator.bytes;
        let too_large = bytes > 0 && value > 0 && bytes + value > config.in_flight_bytes_max;
        if too_large || self.coordinator.in_flight() >= config.in_flight_max {
            return Err(Outcome::Overloaded);
        }
        Ok(quorum)
    }

    /// Whether what is asked for goes together.
    fn check_options(&self, request: &Request<'_>) -> Result<(), Outcome> {
        match request.options.view {
            View::Merged(Merge::Host(number)) if !self.coordinator.merges.has(number) => {
                return bad("no merge function of the view's number is registered at this node");
            }
            View::Merged(_) if request.operation != Operation::Get => {
                return bad("a view that merges is for reads");
            }
            _ => {}
        }
        match &request.operation {
            Operation::Delete { context: None, blind: Blind::Refuse } => {
                bad("a delete of what was seen needs the context of the read")
            }
            Operation::Put { blind: Blind::Refuse, .. } | Operation::Delete { blind: Blind::Refuse, .. }
                if request.options.sloppy =>
            {
                bad("a fallback holds nothing to compare with: no SLOPPY with IFSEEN")
            }
            Operation::Edit(Edit::AddElements(members) | Edit::RemoveElements(members))
                if members.is_empty() =>
            {
                bad("no element is named")
            }
            _ => Ok(()),
        }
    }

    /// Whether every member reads objects of this level: in a cluster that decides on its topology, by that; with a
    /// list of members, by what each has said, as far as we have met.
    pub(super) fn knows(&self, level: u8) -> bool {
        match self.routes.level() {
            Some(known) => known >= level,
            None => self.peers.slots().all(|slot| self.peers.peer(slot).said >= level),
        }
    }

    /// Whether an operation must be refused as long as there are members of an earlier release.
    fn is_too_new(&self, operation: &Operation<'_>) -> bool {
        let level = match operation {
            Operation::Add(_)
            | Operation::Edit(
                Edit::AddFloat(_)
                | Edit::SetRange { .. }
                | Edit::SetBit { .. }
                | Edit::Expire { when: ExpiryWhen::SoonerThanSome, .. },
            ) => LEVEL_OF_COUNTS,
            Operation::Edit(Edit::AddElements(_) | Edit::RemoveElements(_))
            | Operation::Put { blind: Blind::Refuse, .. }
            | Operation::Delete { blind: Blind::Refuse, .. } => LEVEL_OF_SETS,
            _ => return false,
        };
        !self.knows(level)
    }
}
