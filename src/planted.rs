//! Planted bugs: one changed line of production code each, which the simulator must find (scripts/sim.sh).
//!
//! A build has none, or one that `QUORATE_MUTANT` named when it was made, or, if that said `all`, the one that
//! `QUORATE_PLANTED` names when it runs: one build then shows every bug.

use std::sync::OnceLock;

/// Whether this bug is planted. It is known when the program is built, but for builds with all of them.
macro_rules! planted {
    ($name:tt) => {
        cfg!(mutant = $name) || (cfg!(mutant = "all") && crate::planted::is_chosen($name))
    };
}

/// Whether a build with all planted bugs was told to have this one.
pub fn is_chosen(name: &str) -> bool {
    chosen() == Some(name)
}

/// The bug that such a build was told to have.
fn chosen() -> Option<&'static str> {
    static CHOSEN: OnceLock<Option<String>> = OnceLock::new();
    CHOSEN.get_or_init(|| std::env::var("QUORATE_PLANTED").ok()).as_deref()
}

/// What has to stand before a command for the bug of this run to be in it: variables, or nothing.
#[cfg(feature = "sim")]
pub fn variables() -> String {
    match (option_env!("QUORATE_MUTANT").unwrap_or_default(), chosen()) {
        ("", _) => String::new(),
        ("all", Some(name)) => format!("QUORATE_MUTANT=all QUORATE_PLANTED={name} "),
        (name, _) => format!("QUORATE_MUTANT={name} "),
    }
}
