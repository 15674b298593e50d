//! How far the reading of a long log has come: a bar for people at a terminal, a line in the log now and then
//! for everybody else. What is over soon is not spoken of.

use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

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
            let bar = self.bar.get_or_insert_with(new_bar);
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

fn new_bar() -> ProgressBar {
    let style =
        ProgressStyle::with_template("reading the log {bar:40} {percent} % of {total_bytes}, {eta} left");
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    // The template is ours and fixed; without it the bar has another look.
    style.map_or(bar.clone(), |style| bar.with_style(style))
}

/// For a node that is opened: what it is told goes to a reading of its own, which ends with the opening.
pub fn of_opening(log: &Logger) -> OnProgress {
    let reading = Mutex::new(Reading::new(Some(log.clone())));
    OnProgress(Arc::new(move |progress| {
        reading.lock().unwrap_or_else(PoisonError::into_inner).tell(progress);
    }))
}
