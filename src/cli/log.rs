//! Log lines of the program: `TIME LEVEL target: text` on stderr, or at the end of a file that SIGHUP
//! opens anew, so that it can be rotated by renaming it.
//!
//! A line is one `write`, so lines of several nodes in one process do not mix.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use quorate::driver::{Level, LogSink};

/// Where the lines of this process go.
pub struct ProgramLog {
    /// `None` is stderr.
    path: Option<PathBuf>,
    file: Mutex<Option<File>>,
}

impl ProgramLog {
    /// Opens the file, if one is named; otherwise lines go to stderr.
    ///
    /// # Errors
    /// The file cannot be opened for appending.
    pub fn open(path: Option<PathBuf>) -> io::Result<ProgramLog> {
        let file = path.as_ref().map(open_to_append).transpose()?;
        Ok(ProgramLog { path, file: Mutex::new(file) })
    }

    /// Opens the file again by its name. Until that succeeds lines go where they went.
    ///
    /// # Errors
    /// The file cannot be opened for appending.
    pub fn reopen(&self) -> io::Result<()> {
        if let Some(path) = &self.path {
            let fresh = open_to_append(path)?;
            *self.file.lock().unwrap_or_else(PoisonError::into_inner) = Some(fresh);
        }
        Ok(())
    }
}

impl LogSink for ProgramLog {
    fn log(&self, level: Level, target: &'static str, message: &str) {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let time = utc_text(since_epoch.as_secs(), since_epoch.subsec_millis());
        let line = format!("{time} {} {target}: {message}\n", level.name());
        // A log that cannot be written must not stop the node, and there is nowhere left to say so.
        let _ = match &mut *self.file.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(file) => file.write_all(line.as_bytes()),
            None => io::stderr().lock().write_all(line.as_bytes()),
        };
    }
}

fn open_to_append(path: &PathBuf) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// Seconds since 1970 as `2026-11-22T17:12:00.123Z`.
fn utc_text(seconds: u64, milliseconds: u32) -> String {
    let (year, month, day) = civil_date(seconds / 86_400);
    let second_of_day = seconds % 86_400;
    let (hour, minute, second) = (second_of_day / 3_600, second_of_day / 60 % 60, second_of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milliseconds:03}Z")
}

/// The date of a day counted from 1970-01-01. Whole cycles of 400 years have equal lengths, so they are
/// taken off first; what is left is walked year by year and month by month.
fn civil_date(days_since_1970: u64) -> (u64, u64, u64) {
    const DAYS_IN_400_YEARS: u64 = 146_097;
    let mut year = 1970 + days_since_1970 / DAYS_IN_400_YEARS * 400;
    let mut day = days_since_1970 % DAYS_IN_400_YEARS;
    let is_leap = |year: u64| year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    while day >= 365 + u64::from(is_leap(year)) {
        day -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if day < length {
            break;
        }
        day -= length;
        month += 1;
    }
    (year, month, day + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments_have_their_dates() {
        // As `date -u -d @SECONDS` prints them.
        let table = [
            (0, "1970-01-01T00:00:00.007Z"),
            (951_782_399, "2000-02-28T23:59:59.007Z"),
            (951_782_400, "2000-02-29T00:00:00.007Z"),
            (1_709_251_199, "2024-02-29T23:59:59.007Z"),
            (1_798_761_599, "2026-12-31T23:59:59.007Z"),
            (4_107_542_400, "2100-03-01T00:00:00.007Z"),
        ];
        for (seconds, text) in table {
            assert_eq!(utc_text(seconds, 7), text);
        }
    }

    #[test]
    fn a_renamed_file_is_left_alone_after_reopen() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("node.log");
        let log = ProgramLog::open(Some(path.clone())).unwrap();
        log.log(Level::Info, "test", "first");
        std::fs::rename(&path, directory.path().join("node.log.1")).unwrap();
        log.reopen().unwrap();
        log.log(Level::Warn, "test", "second");
        let fresh = std::fs::read_to_string(&path).unwrap();
        assert!(fresh.ends_with(" WARN test: second\n") && !fresh.contains("first"), "{fresh}");
    }
}
