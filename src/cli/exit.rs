//! How the program ends: a message for people and a code for scripts.
//!
//! Codes below 64 say how a request ended, one for each outcome; 64 and above are those of sysexits.h and
//! say why a node could not start. Both tables are promises to scripts: a code is never given a new
//! meaning.

use core::fmt;

use quorate::driver::{LoopError, OpenError};
use quorate::proto::error::ConfigError;
use quorate::store::OpenError as StoreError;
use quorate::store::inspect::copy::BackupError;

/// The node answered with an error that no other code stands for.
pub const BAD_ARGUMENT: u8 = 2;
/// The key has no live version.
pub const NOT_FOUND: u8 = 1;
/// A write was sent and its answer did not come: it may have happened.
pub const MAYBE: u8 = 5;
/// The cluster is on another layout than was asked for.
pub const WRONG_LAYOUT: u8 = 7;
/// The node cannot be reached, or does not speak our protocol.
pub const CANNOT_CONNECT: u8 = 15;
/// A read was sent and its answer did not come in time.
pub const TIMEOUT: u8 = 16;
/// Arguments, variables or the config file are wrong.
pub const USAGE: u8 = 64;
/// A data directory was read, and something in it does not hold or is lost.
pub const DAMAGED: u8 = 65;
/// A directory cannot be made or written.
pub const CANNOT_WRITE: u8 = 73;
/// A file or a socket failed.
pub const INPUT_OUTPUT: u8 = 74;

/// Why the program ends without having done what it was asked.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub code: u8,
    /// What was wrong, for people.
    pub message: String,
}

impl Failure {
    /// A failure with a code of this file.
    pub fn new(code: u8, message: impl Into<String>) -> Failure {
        Failure { code, message: message.into() }
    }

    /// A setting that is wrong, named by its long flag.
    pub fn setting(flag: &str, problem: impl fmt::Display) -> Failure {
        Failure::new(USAGE, format!("--{flag}: {problem}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Failure {
        match &error {
            OpenError::Config(error) => Failure::setting(error.setting, &error.problem),
            OpenError::Setting { setting, problem } => Failure::setting(setting, problem),
            _ => Failure::new(error.exit_code(), error.to_string()),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        let message = error.to_string();
        Failure::new(OpenError::from(error).exit_code(), message)
    }
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Failure {
        match error {
            BackupError::Source(error) => error.into(),
            BackupError::Target(problem) => Failure::new(CANNOT_WRITE, problem),
            BackupError::Io { path, problem } => Failure::new(
                INPUT_OUTPUT,
                format!(
                    "{}: {problem}; what was made so far is no data directory: remove it",
                    path.display()
                ),
            ),
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Failure {
        OpenError::Config(error).into()
    }
}

impl From<LoopError> for Failure {
    fn from(error: LoopError) -> Failure {
        Failure::new(INPUT_OUTPUT, error.to_string())
    }
}

/// The exit code of an error reply, by its first word.
pub fn reply_code(error: &str) -> u8 {
    match error.split_ascii_whitespace().next().unwrap_or_default() {
        "NOREPLICAS" => 3,
        "PARTIAL" => 4,
        "MAYBE" => MAYBE,
        "BUSY" => 6,
        "WRONGLAYOUT" => WRONG_LAYOUT,
        "SIBLINGS" => 8,
        "BADCONTEXT" => 9,
        "CLOCK" => 10,
        "NOMAJORITY" => 11,
        "DISKFULL" => 12,
        "READONLY" => 13,
        "INCOMPLETE" => 14,
        "TIMEOUT" => TIMEOUT,
        "CHANGED" => 17,
        _ => BAD_ARGUMENT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_word_has_a_code_of_its_own() {
        let words = [
            "NOREPLICAS",
            "PARTIAL",
            "MAYBE",
            "BUSY",
            "WRONGLAYOUT",
            "SIBLINGS",
            "BADCONTEXT",
            "CLOCK",
            "NOMAJORITY",
            "DISKFULL",
            "READONLY",
            "INCOMPLETE",
        ];
        for (word, code) in words.iter().zip(3..) {
            assert_eq!(reply_code(&format!("{word} acked=1 of=2")), code);
        }
        assert_eq!(reply_code("TIMEOUT too few replicas"), 16);
        assert_eq!(reply_code("CHANGED the key holds"), 17);
        assert_eq!(reply_code("ERR no such command"), 2);
        assert_eq!(reply_code(""), 2);
    }

    #[test]
    fn a_wrong_setting_is_named_as_its_flag() {
        let error = ConfigError { setting: "w", problem: "4 is outside 1 to N = 3".into() };
        let failure = Failure::from(error);
        assert_eq!(failure, Failure::new(64, "--w: 4 is outside 1 to N = 3"));
    }
}
