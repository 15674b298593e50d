//! The command line.

use std::path::PathBuf;

use tempfile::TempDir;

/// What the program prints when it does not understand.
pub const HELP: &str = "\
scripts/bench-store.sh [OPTIONS]
  --keys N      keys in each store                                [1000000; 10000000 for restart]
  --reps N      repetitions, each measuring everything once       [3]
  --only ROWS   rows, of peers,embedded,sync,restart,stall,space  [all]
  --seconds N   length of the steady overwrite                    [20]
  --dir PATH    where data directories are made                   [the temporary directory]";

/// The rows in the order in which they are printed.
pub const ROWS: [&str; 6] = ["peers", "embedded", "sync", "restart", "stall", "space"];

const KEYS: u64 = 1_000_000;
const KEYS_OF_RESTART: u64 = 10_000_000;

/// What to measure, and how much of it.
pub struct Options {
    keys: Option<u64>,
    /// Repetitions.
    pub reps: usize,
    /// Rows.
    pub only: Vec<String>,
    /// Seconds of steady overwrite.
    pub seconds: u64,
    /// Where data directories are made.
    pub directory: PathBuf,
}

impl Options {
    /// Reads the words of the command line.
    ///
    /// # Errors
    /// The word that makes no sense.
    pub fn read(words: &[&str]) -> Result<Options, String> {
        let mut options = Options {
            keys: None,
            reps: 3,
            only: ROWS.map(str::to_owned).to_vec(),
            seconds: 20,
            directory: std::env::temp_dir(),
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let value = words.next().ok_or(format!("{word} has no value, or is no option"))?;
            let count = || value.parse().ok().filter(|count| *count > 0);
            let count = || count().ok_or(format!("{word} {value} is no count"));
            match *word {
                "--keys" => options.keys = Some(count()?),
                "--reps" => options.reps = count()? as usize,
                "--seconds" => options.seconds = count()?,
                "--dir" => options.directory = value.into(),
                "--only" => options.only = value.split(',').map(str::to_owned).collect(),
                _ => return Err(format!("{word} is no option")),
            }
        }
        match options.only.iter().find(|row| !ROWS.contains(&row.as_str())) {
            Some(row) => Err(format!("there is no row named {row}")),
            None => Ok(options),
        }
    }

    /// Keys in each store.
    pub fn keys(&self) -> u64 {
        self.keys.unwrap_or(KEYS)
    }

    /// Keys in the store that is opened again and again.
    pub fn keys_of_restart(&self) -> u64 {
        self.keys.unwrap_or(KEYS_OF_RESTART)
    }

    /// A fresh directory, removed when it is dropped.
    ///
    /// # Panics
    /// If none can be made.
    pub fn fresh_directory(&self) -> TempDir {
        tempfile::tempdir_in(&self.directory).expect("a data directory can be made")
    }
}
