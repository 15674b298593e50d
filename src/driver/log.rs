//! Where a node's log lines go: a sink given at opening, one for each node, none for the process. The
//! level is compared before a line is formatted.

use core::fmt;
use std::sync::Arc;

/// How much a line matters. Ordered: [`Level::Error`] is the least verbose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum Level {
    /// Something failed and needs a person.
    Error = 1,
    /// Something is wrong and was coped with.
    Warn = 2,
    /// What an operator wants to know once.
    Info = 3,
    /// For finding faults.
    Debug = 4,
    /// Everything.
    Trace = 5,
}

impl Level {
    /// Its name as log lines show it.
    pub const fn name(self) -> &'static str {
        match self {
            Level::Error => "ERROR",
            Level::Warn => "WARN",
            Level::Info => "INFO",
            Level::Debug => "DEBUG",
            Level::Trace => "TRACE",
        }
    }
}

/// Takes log lines. Called on the loop's thread (and while opening, on the opener's); it must not block
/// for long, as the node waits for it.
pub trait LogSink: Send + Sync {
    /// One line, without a line end. `target` names the part that speaks.
    fn log(&self, level: Level, target: &'static str, message: &str);
}

/// A sink and the level from which it is called. Cheap to clone.
#[derive(Clone, Default)]
pub struct Logger {
    sink: Option<(Level, Arc<dyn LogSink>)>,
}

impl Logger {
    /// Logs nothing.
    pub fn silent() -> Logger {
        Logger::default()
    }

    /// Logs lines of `level` and those that matter more.
    pub fn new(level: Level, sink: Arc<dyn LogSink>) -> Logger {
        Logger { sink: Some((level, sink)) }
    }

    /// Whether a line of this level is wanted.
    pub fn enabled(&self, level: Level) -> bool {
        self.sink.as_ref().is_some_and(|(most, _)| level <= *most)
    }

    /// Logs a line; nothing is formatted if nobody wants it.
    pub fn log(&self, level: Level, target: &'static str, message: fmt::Arguments<'_>) {
        if let Some((most, sink)) = &self.sink
            && level <= *most
        {
            sink.log(level, target, &message.to_string());
        }
    }
}

impl fmt::Debug for Logger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Logger").field(&self.sink.as_ref().map(|(level, _)| level)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    struct Lines(Mutex<Vec<String>>);

    impl LogSink for Lines {
        fn log(&self, level: Level, target: &'static str, message: &str) {
            self.0.lock().unwrap().push(format!("{} {target}: {message}", level.name()));
        }
    }

    /// Fails the test if it is ever formatted.
    struct Unformatted;

    impl fmt::Display for Unformatted {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("a line below the level was formatted")
        }
    }

    #[test]
    fn lines_below_the_level_are_not_formatted() {
        let lines = Arc::new(Lines(Mutex::default()));
        let logger = Logger::new(Level::Info, lines.clone());
        logger.log(Level::Warn, "peer", format_args!("gone"));
        logger.log(Level::Debug, "peer", format_args!("{Unformatted}"));
        Logger::silent().log(Level::Error, "peer", format_args!("{Unformatted}"));
        assert_eq!(*lines.0.lock().unwrap(), ["WARN peer: gone"]);
    }
}
