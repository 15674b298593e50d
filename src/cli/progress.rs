//! How far something long has come, the reading of a log or a move of the cluster: a bar for people at a
//! terminal, a line now and then for everybody else. What is over soon is not spoken of.

use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};

use quorate::driver::{Level, Logger, OnProgress};
use quorate::store::Progress;

/// Before that nothing is shown.
const PATIENCE: Duration = Duration::from_millis(500);
/// Between two lines in the log.
const LINES_EVERY: Duration = Duration::from_secs(5);

/// One long read.
pub struct Reading {
    began: Instant,
    last_line: Option<Instant>,
    bar: Option<ProgressBar>,
    is_terminal: bool,
    /// Where lines go if nobody sees a bar.
    log: Option<Logger>,
}

impl Reading {
    /// Begins now.
    pub fn new(log: Option<Logger>) -> Reading {
        let is_terminal = std::io::stderr().is_terminal();
        Reading { began: Instant::now(), last_line: None, bar: None, is_terminal, log }
    }

    /// It has come so far.
    pub fn tell(&mut self, progress: Progress) {
        let Progress { done, total } = progress;
        if self.began.elapsed() < PATIENCE && self.bar.is_none() {
            return;
        }
        if self.is_terminal {
            let template = "reading the log {bar:40} {percent} % of {total_bytes}, {eta} left";
            let bar = self.bar.get_or_insert_with(|| new_bar(template));
            bar.set_length(total);
            bar.set_position(done);
        } else if let Some(log) = &self.log
            && self.last_line.is_none_or(|last| last.elapsed() >= LINES_EVERY)
        {
            self.last_line = Some(Instant::now());
            let percent = done.saturating_mul(100).checked_div(total).unwrap_or(100);
            log.log(Level::Info, "store", format_args!("reading the log: {percent} % of {total} bytes"));
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn new_bar(template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template);
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    // The template is ours and fixed; without it the bar has another look.
    style.map_or(bar.clone(), |style| bar.with_style(style))
}

/// Things that are done one after another.
pub struct Counting {
    verb: &'static str,
    is_terminal: bool,
    bar: Option<ProgressBar>,
    last_line: Option<Instant>,
    /// When it was told of first, and what was done by then: the time that is left is worked out from there.
    first: Option<(Instant, u64)>,
}

impl Counting {
    /// Begins now to do something (`repairing`).
    pub fn new(verb: &'static str) -> Counting {
        let is_terminal = std::io::stderr().is_terminal();
        Counting { verb, is_terminal, bar: None, last_line: None, first: None }
    }

    /// So many of all are done, in words.
    pub fn tell(&mut self, done: u64, total: u64, words: &str) {
        let (began, before) = *self.first.get_or_insert((Instant::now(), done));
        let left = time_left(began.elapsed(), before, done, total);
        let left = left.map_or_else(String::new, |left| format!(", about {} left", HumanDuration(left)));
        if began.elapsed() < PATIENCE {
            return;
        }
        let (verb, text) = (self.verb, format!("{words}{left}"));
        if self.is_terminal {
            let bar = self.bar.get_or_insert_with(|| new_bar("{prefix} {bar:40} {msg}"));
            bar.set_prefix(verb);
            bar.set_length(total);
            bar.set_position(done);
            bar.set_message(text);
        } else if self.last_line.is_none_or(|last| last.elapsed() >= LINES_EVERY) {
            self.last_line = Some(Instant::now());
            // It only remarks on what is under way, so nothing is done if nobody reads it.
            let _ = writeln!(std::io::stderr(), "{verb}: {text}");
        }
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// How long the rest takes if it goes on as since `before`; `None` as long as nothing was done since.
fn time_left(elapsed: Duration, before: u64, done: u64, total: u64) -> Option<Duration> {
    let (made, open) = (done.saturating_sub(before), total.saturating_sub(done));
    if made == 0 || open == 0 {
        return None;
    }
    let left = Duration::from_secs_f64(elapsed.as_secs_f64() * open as f64 / made as f64);
    (left >= Duration::from_secs(1)).then_some(left)
}

/// For a node that is opened: what it is told goes to a reading of its own, which ends with the opening.
pub fn of_opening(log: &Logger) -> OnProgress {
    let reading = Mutex::new(Reading::new(Some(log.clone())));
    OnProgress(Arc::new(move |progress| {
        reading.lock().unwrap_or_else(PoisonError::into_inner).tell(progress);
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_that_is_left_follows_from_what_was_done() {
        let seconds = |elapsed, before, done, total| {
            time_left(Duration::from_secs(elapsed), before, done, total).map(|left| left.as_secs())
        };
        assert_eq!(seconds(10, 0, 25, 100), Some(30));
        assert_eq!(seconds(10, 50, 75, 100), Some(10), "what was there before took no time");
        assert_eq!((seconds(10, 25, 25, 100), seconds(10, 0, 100, 100)), (None, None));
        assert_eq!(seconds(10, 30, 20, 100), None, "it may go back");
    }
}
