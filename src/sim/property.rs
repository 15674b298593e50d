//! What must hold of a run, and what it is when it does not.

/// What must hold: the properties P1 to P12 as far as they apply today, rule V1, and what the core's answers
/// promise (A).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Property {
    /// P1: an acknowledged write is at the end present, or covered by a write that had seen it.
    NoLostWrite,
    /// P2: no value from nowhere; a refused write never appears, and no write appears twice.
    NoValueFromNowhere,
    /// P4: no false conflict, no false cover.
    Causality,
    /// P5: a read quorum meets every write quorum acknowledged before it began.
    QuorumsMeet,
    /// P6: after healing, replicas become equal.
    Convergence,
    /// P11: siblings, clocks, queues and requests in flight stay within their bounds.
    Bounds,
    /// P12: a restart brings back what was durable, and nothing that was not put.
    Restart,
    /// V1: a dot names one write, ever.
    DotsUnique,
    /// What an answer says was achieved stands on copies.
    AckStands,
    /// A request gets exactly one reply, and not after its deadline.
    OneReply,
    /// After healing, requests succeed.
    Liveness,
    /// T13: the bytes of a value go only after its expiry, and nothing else goes with them.
    Expiry,
    /// Of each version there is one topology, and no node goes back to an earlier one.
    OneTopology,
    /// L3: a removed directory is never a member again.
    RemovedStays,
    /// T11: a copy and an answer come to what was counted and not covered, as their contexts say.
    Counted,
    /// T6: a key is reaped only where nothing older of it is left, and nothing that it had deleted comes back.
    Reaped,
    /// A copy and an answer have the elements that were added and not covered, as their contexts say.
    Elements,
    /// T15: a walk shows once what is there throughout, and nothing that was deleted before.
    Scanned,
    /// A follower of a change feed is told of everything that changes in a copy, or of a gap.
    Fed,
    /// A write that asks for it lands only where its context covers all that its coordinator holds.
    IfSeen,
    /// Who is believed to have something has it on its disk.
    ClaimsHold,
    /// The core's own assertions.
    Assertion,
}

impl Property {
    /// All, in the order of the report.
    pub const ALL: [Property; 22] = [
        Property::NoLostWrite,
        Property::NoValueFromNowhere,
        Property::Causality,
        Property::QuorumsMeet,
        Property::Convergence,
        Property::Bounds,
        Property::Restart,
        Property::DotsUnique,
        Property::AckStands,
        Property::OneReply,
        Property::Liveness,
        Property::Expiry,
        Property::OneTopology,
        Property::RemovedStays,
        Property::Counted,
        Property::Reaped,
        Property::Elements,
        Property::Scanned,
        Property::Fed,
        Property::IfSeen,
        Property::ClaimsHold,
        Property::Assertion,
    ];

    /// Those that only profiles of their own exercise: where members change, where keys count, where they are reaped,
    /// where they are sets, where clients walk through them or follow what changes, and where copies are compared.
    pub const APART: [Property; 9] = [
        Property::OneTopology,
        Property::RemovedStays,
        Property::Counted,
        Property::Reaped,
        Property::Elements,
        Property::Scanned,
        Property::Fed,
        Property::IfSeen,
        Property::ClaimsHold,
    ];

    /// Its name in reports and in the register of planted bugs.
    pub const fn name(self) -> &'static str {
        match self {
            Property::NoLostWrite => "P1-no-lost-write",
            Property::NoValueFromNowhere => "P2-no-value-from-nowhere",
            Property::Causality => "P4-causality",
            Property::QuorumsMeet => "P5-quorums-meet",
            Property::Convergence => "P6-convergence",
            Property::Bounds => "P11-bounds",
            Property::Restart => "P12-restart",
            Property::DotsUnique => "V1-dots-unique",
            Property::AckStands => "A1-ack-stands",
            Property::OneReply => "A2-one-reply",
            Property::Liveness => "A3-liveness",
            Property::Expiry => "T13-expiry",
            Property::OneTopology => "M1-one-topology",
            Property::RemovedStays => "L3-removed-stays",
            Property::Counted => "T11-counted",
            Property::Reaped => "T6-reaped-stays",
            Property::Elements => "S1-elements",
            Property::Scanned => "T15-scanned",
            Property::Fed => "F1-fed",
            Property::IfSeen => "W1-if-seen",
            Property::ClaimsHold => "C1-claims-hold",
            Property::Assertion => "A4-assertion",
        }
    }
}

/// A property that did not hold.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Which.
    pub property: Property,
    /// The key, by number, if it is about one.
    pub key: Option<usize>,
    /// What happened.
    pub text: String,
}

/// The result of judging.
pub type Judged<T = ()> = Result<T, Violation>;
