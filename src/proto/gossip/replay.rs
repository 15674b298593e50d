//! Which datagrams of a sender were taken already: the highest counter and a window below it, as in IPsec
//! (RFC 4303 §3.4.3). A datagram is taken once, however often and late the network delivers it.

/// How far behind the highest counter a late datagram may come.
const WIDTH: u64 = u128::BITS as u64;

/// The counters taken from one boot of one sender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    highest: u64,
    /// Bit i: `highest - i` was taken. Counters begin at 1, so an empty window has taken nothing.
    taken: u128,
}

impl Window {
    /// Takes a counter; false if it was taken before or is too old to tell.
    pub fn take(&mut self, counter: u64) -> bool {
        if counter > self.highest {
            let by = counter - self.highest;
            self.taken = if by < WIDTH { self.taken << by } else { 0 };
            self.highest = counter;
            self.taken |= 1;
            return true;
        }
        let behind = self.highest - counter;
        if counter == 0 || behind >= WIDTH || self.taken & (1 << behind) != 0 {
            return false;
        }
        self.taken |= 1 << behind;
        true
    }

    /// The highest counter taken; 0 for none.
    pub const fn highest(&self) -> u64 {
        self.highest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_counter_is_taken_once() {
        let mut window = Window::default();
        let table = [
            (0, false),
            (1, true),
            (1, false),
            (5, true),
            (3, true),
            (3, false),
            (5, false),
            (200, true),
            (73, true),
            (72, false),
            (4, false),
            (199, true),
            (199, false),
            (u64::MAX, true),
            (u64::MAX, false),
            (200, false),
        ];
        for (counter, taken) in table {
            assert_eq!(window.take(counter), taken, "{counter}");
        }
    }

    #[test]
    fn a_window_remembers_as_a_set_does() {
        let mut random = crate::proto::rng::Rng::new(3);
        let (mut window, mut seen) = (Window::default(), std::collections::BTreeSet::new());
        for at in 0..5_000_u64 {
            let counter = 1 + at / 2 + random.below(100);
            let fresh = !seen.contains(&counter) && counter + WIDTH > window.highest();
            assert_eq!(window.take(counter), fresh);
            seen.insert(counter);
        }
    }
}
