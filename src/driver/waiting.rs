//! Who waits for the ends of requests that other threads submitted, by the number in a request's id.

use super::parcel::{Destination, Parcel};
use crate::proto::io::RequestId;

/// The upper half of the id of a request that came from another thread. No connection has this number.
const HOST: u64 = u32::MAX as u64;

/// Who waits for the end of a request.
pub(super) enum Waiting {
    /// Who is named on the parcel that it came in.
    Sender(Box<Parcel>),
    /// The change feed at this place, which asked for a page.
    Feed(usize),
}

/// Who waits for the ends of requests in flight, by the number in their id.
#[derive(Default)]
pub(super) struct WaitingRoom {
    places: Vec<Option<Waiting>>,
    free: Vec<u32>,
}

impl WaitingRoom {
    /// The number that is to be used next.
    pub(super) fn next(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() as u32 - 1
        })
    }

    pub(super) fn put(&mut self, number: u32, who: Waiting) {
        self.places[number as usize] = Some(who);
    }

    pub(super) fn take(&mut self, number: u32) -> Waiting {
        self.free.push(number);
        self.places[number as usize].take().expect("a request ends once")
    }

    pub(super) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Where the ends of requests from other threads go, each with the request's id.
    pub(super) fn senders(&mut self) -> impl Iterator<Item = (RequestId, &mut Destination)> {
        self.places.iter_mut().enumerate().filter_map(|(at, who)| match who {
            Some(Waiting::Sender(parcel)) => match &mut **parcel {
                Parcel::Request { to, .. } => Some((id_of(at as u32), to)),
                _ => None,
            },
            _ => None,
        })
    }

    /// Takes out all that came on parcels.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Box<Parcel>> {
        self.free.clear();
        self.places.drain(..).flatten().filter_map(|who| match who {
            Waiting::Sender(parcel) => Some(parcel),
            Waiting::Feed(_) => None,
        })
    }
}

/// The id of the request with this number.
pub(super) fn id_of(number: u32) -> RequestId {
    RequestId(HOST << 32 | u64::from(number))
}

/// Whether a request with this id came from another thread.
pub(super) fn is_of_host(id: RequestId) -> bool {
    id.0 >> 32 == HOST
}
