//! What was carried out under a name of its own, so that it is not carried out twice.
//!
//! An increment is not idempotent. Its caller may name it: by the number that a reading was given, which is good
//! at one replica and boot, or by an id of its own. A coordinator keeps the answers to the latest that it has
//! issued a dot for, in memory; what issued none may be tried again.

use std::collections::{BTreeMap, VecDeque};

use crate::proto::io::Reply;
use crate::proto::limits;

/// What is known of a name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// Nothing: it was not carried out here, or it was named by its caller and is forgotten.
    Nothing,
    /// It is being carried out.
    Open,
    /// Its answer.
    Answered(Box<Reply>),
    /// Those of its time are not remembered any more.
    Forgotten,
}

/// The latest names of one kind.
#[derive(Debug, Default)]
pub(super) struct Window {
    answers: BTreeMap<u128, Option<Box<Reply>>>,
    /// In the order in which they came, each with the time of its name.
    order: VecDeque<(u128, u64)>,
    /// The latest time of a name that was dropped.
    floor: u64,
}

impl Window {
    /// Looks a name up that was given at this time.
    pub(super) fn find(&self, name: u128, time: u64) -> Known {
        match self.answers.get(&name) {
            Some(None) => Known::Open,
            Some(Some(reply)) => Known::Answered(reply.clone()),
            None if time <= self.floor && time > 0 => Known::Forgotten,
            None => Known::Nothing,
        }
    }

    /// It is being carried out from now on. Names without a time are given 0, and leave no floor.
    pub(super) fn open(&mut self, name: u128, time: u64) {
        self.answers.insert(name, None);
        self.order.push_back((name, time));
        if self.order.len() > limits::ONCE_WINDOW
            && let Some((dropped, time)) = self.order.pop_front()
        {
            self.answers.remove(&dropped);
            self.floor = self.floor.max(time);
        }
    }

    /// Its answer is known. One that was dropped meanwhile stays so.
    pub(super) fn end(&mut self, name: u128, reply: &Reply) {
        if let Some(answer) = self.answers.get_mut(&name) {
            *answer = Some(Box::new(reply.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::error::Outcome;

    #[test]
    fn a_name_is_open_then_answered_and_at_last_forgotten() {
        let mut window = Window::default();
        let reply = Reply::bare(Outcome::Partial);
        assert_eq!(window.find(7, 100), Known::Nothing);
        window.open(7, 100);
        assert_eq!(window.find(7, 100), Known::Open);
        window.end(7, &reply);
        assert_eq!(window.find(7, 100), Known::Answered(Box::new(reply.clone())));
        (0..limits::ONCE_WINDOW as u128).for_each(|name| window.open(1_000 + name, 200));
        assert_eq!(window.find(7, 100), Known::Forgotten);
        assert_eq!(window.find(8, 99), Known::Forgotten, "it may have been one of those");
        assert_eq!(window.find(8, 101), Known::Nothing);
        assert_eq!(window.find(7, 0), Known::Nothing, "no time says that it is an old one");
        window.end(7, &reply);
        assert_eq!(window.answers.len(), limits::ONCE_WINDOW);
    }
}
