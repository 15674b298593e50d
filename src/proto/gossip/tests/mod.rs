//! Membership in a simulated network, and what it must refuse.

mod figures;
mod healing;
mod manual;
mod net;
mod properties;
mod refusals;

use core::time::Duration;

use crate::proto::io::MemberId;
use crate::proto::keys::ClusterKeys;
use crate::proto::rng::Rng;
use crate::proto::time::{Instant, Now, WallTime};

use super::Gossip;
use super::config::{Config, Mode, Timing};
use super::keyring::Keyring;
use super::member::{Boot, Description, Incarnation, Known, Verdict};
use super::output::{Alert, Change, Output};
use super::refusal::Refusal;
