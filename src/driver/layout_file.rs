//! The file `layout` in a data directory: which cluster and which table its records were placed by.
//!
//! A node that starts over existing records with another member list, N or key would look for them, and
//! let others look for them, in the wrong places. So what the directory was made with is kept beside the
//! records and compared before anything is opened; a difference is refused and named. Addresses may
//! change: they place nothing. The file is text, a word and its values a line, and ends with a checksum
//! of the lines before.
//!
//! Changing members at run time is not offered yet, so this file is written once and then only when an
//! address differs.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

use super::{OpenError, whole_file};
use crate::proto::config::Config;
use crate::proto::keys::ClusterKeys;
use crate::proto::ring::Mode;

/// Name of the file in its directory.
pub const FILE_NAME: &str = "layout";
/// First line of the file.
const HEADING: &str = "quorate layout 1";

/// What a directory's records were placed by.
#[derive(Clone, Debug, PartialEq, Eq)]
struct LayoutFile {
    cluster: String,
    cluster_id: u64,
    name: String,
    n: u8,
    partitions: u32,
    placement: Mode,
    tokens: u32,
    /// As configured, `None` for the default. Written with placement balanced only.
    max_per_zone: Option<u8>,
    /// Hash of the table, as `Status::layout_hash` gives it.
    table: u64,
    members: Vec<Row>,
}

/// A member of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    name: String,
    weight: u32,
    address: String,
    /// A line of its own, if there is one.
    zone: String,
}

/// The names of the cluster and of the member that a directory belongs to, if it keeps them.
///
/// # Errors
/// The file cannot be read or is damaged.
pub fn names(directory: &Path) -> Result<Option<(String, String)>, OpenError> {
    Ok(LayoutFile::read(directory)?.map(|kept| (kept.cluster, kept.name)))
}

/// Compares the settings with those the directory was made with. Nothing is written, and a directory
/// without the file passes.
///
/// # Errors
/// What differs, with both values; or the file cannot be read or is damaged.
pub fn check(directory: &Path, config: &Config) -> Result<(), OpenError> {
    match LayoutFile::read(directory)? {
        Some(kept) => kept.compare(&LayoutFile::of(config, kept.table)),
        None => Ok(()),
    }
}

/// Keeps the settings in the directory, which must be locked, or compares the table with the one kept.
///
/// # Errors
/// As [`check`]; or the table differs although all settings are equal; or the file cannot be written.
pub fn keep(directory: &Path, config: &Config, table: u64) -> Result<(), OpenError> {
    let fresh = LayoutFile::of(config, table);
    if let Some(kept) = LayoutFile::read(directory)? {
        kept.compare(&fresh)?;
        if kept.table != table {
            let problem = format!(
                "the layout's table is {table:016x}, but its records were placed by {:016x}; this version computes another table",
                kept.table
            );
            return Err(OpenError::Foreign { path: directory.join(FILE_NAME), problem });
        }
        if kept == fresh {
            return Ok(());
        }
    }
    fresh.write(directory).map_err(|error| OpenError::NotWritable { path: directory.join(FILE_NAME), error })
}

impl LayoutFile {
    fn of(config: &Config, table: u64) -> LayoutFile {
        let mut members: Vec<Row> = config
            .members
            .iter()
            .map(|member| Row {
                name: member.name.clone(),
                weight: member.weight,
                address: member.address.clone(),
                zone: member.zone.clone(),
            })
            .collect();
        members.sort_by(|a, b| a.name.cmp(&b.name));
        LayoutFile {
            cluster: config.cluster.clone(),
            cluster_id: ClusterKeys::derive(&config.cluster, &config.secret).cluster_id,
            name: config.name.clone(),
            n: config.keyspace(0).n,
            partitions: config.partitions,
            placement: config.placement,
            tokens: config.tokens,
            max_per_zone: config.max_per_zone,
            table,
            members,
        }
    }

    /// Refuses settings that would place keys elsewhere than the records here were placed.
    fn compare(&self, asked: &LayoutFile) -> Result<(), OpenError> {
        let kept_here = |setting, problem: String| Err(OpenError::Setting { setting, problem });
        if self.cluster != asked.cluster {
            let problem =
                format!("`{}`, but the directory belongs to cluster `{}`", asked.cluster, self.cluster);
            return kept_here("cluster", problem);
        }
        if self.cluster_id != asked.cluster_id {
            let problem = format!(
                "another key: it makes cluster id {:016x}, but the directory belongs to {:016x}",
                asked.cluster_id, self.cluster_id
            );
            return kept_here("key-file", problem);
        }
        if self.name != asked.name {
            let problem = format!("`{}`, but the directory belongs to member `{}`", asked.name, self.name);
            return kept_here("name", problem);
        }
        if self.placement != asked.placement {
            let (asked, kept) = (asked.placement.name(), self.placement.name());
            return kept_here("placement", format!("{asked}, but the directory was made with {kept}"));
        }
        // Tokens have no say where there are quotas.
        let tokens = if self.placement == Mode::Tokens { asked.tokens } else { self.tokens };
        for (setting, asked, kept) in [
            ("n", u32::from(asked.n), u32::from(self.n)),
            ("partitions", asked.partitions, self.partitions),
            ("tokens", tokens, self.tokens),
        ] {
            if asked != kept {
                return kept_here(setting, format!("{asked}, but the directory was made with {kept}"));
            }
        }
        if self.max_per_zone != asked.max_per_zone {
            let (asked, kept) = (or_default(asked.max_per_zone), or_default(self.max_per_zone));
            return kept_here("max-per-zone", format!("{asked}, but the directory was made with {kept}"));
        }
        match difference(&self.members, &asked.members) {
            Some(difference) => {
                kept_here("members", format!("{difference}; members cannot change in this version"))
            }
            None => Ok(()),
        }
    }

    fn read(directory: &Path) -> Result<Option<LayoutFile>, OpenError> {
        let path = directory.join(FILE_NAME);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            // A parent that is a file: opening the directory will say what is wrong with it.
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(OpenError::Foreign { path, problem: "is no text".into() });
            }
            Err(error) => {
                return Err(OpenError::Io { doing: format!("reading {}", path.display()), error });
            }
        };
        match LayoutFile::from_text(&text) {
            Ok(file) => Ok(Some(file)),
            Err(problem) => Err(OpenError::Foreign { path, problem }),
        }
    }

    /// Puts the file in place whole or not at all, and on disk.
    fn write(&self, directory: &Path) -> io::Result<()> {
        whole_file::replace(directory, FILE_NAME, self.to_text().as_bytes())
    }

    fn to_text(&self) -> String {
        let mut text = format!("{HEADING}\nmode {}\n", self.placement.name());
        let mut line = |word: &str, value: &dyn core::fmt::Display| {
            writeln!(text, "{word} {value}").expect("a string takes every write");
        };
        line("cluster", &self.cluster);
        line("cluster-id", &format_args!("{:016x}", self.cluster_id));
        line("name", &self.name);
        line("n", &self.n);
        line("partitions", &self.partitions);
        line("tokens", &self.tokens);
        if self.placement == Mode::Balanced {
            line("max-per-zone", &or_default(self.max_per_zone));
        }
        line("table", &format_args!("{:016x}", self.table));
        for Row { name, weight, address, zone } in &self.members {
            line("member", &format_args!("{name} {weight} {address}"));
            if !zone.is_empty() {
                line("zone", zone);
            }
        }
        let checksum = crc32c::crc32c(text.as_bytes());
        text + &format!("checksum {checksum:08x}\n")
    }

    fn from_text(text: &str) -> Result<LayoutFile, String> {
        let heading = text.lines().next().unwrap_or_default();
        if heading != HEADING {
            return Err(match heading.strip_prefix("quorate layout ") {
                Some(format) => format!("format {format}; this version reads format 1"),
                None => "is no layout of quorate".into(),
            });
        }
        let (body, checksum) = text
            .strip_suffix('\n')
            .and_then(|text| text.rsplit_once("\nchecksum "))
            .ok_or("ends before its checksum")?;
        let found = format!("{:08x}", crc32c::crc32c(format!("{body}\n").as_bytes()));
        if checksum != found {
            return Err(format!("is damaged: its checksum is {found}, not {checksum}"));
        }
        let mut lines = body.lines().skip(1);
        let mut value = |word: &str| {
            let line = lines.next().unwrap_or_default();
            line.strip_prefix(word)
                .and_then(|rest| rest.strip_prefix(' '))
                .map(str::to_owned)
                .ok_or_else(|| format!("has the line `{line}` where `{word}` should stand"))
        };
        let mode = value("mode")?;
        let known = || Mode::ALL.map(Mode::name).join("` and `");
        let placement = Mode::ALL
            .into_iter()
            .find(|known| known.name() == mode)
            .ok_or_else(|| format!("was made with placement `{mode}`; this version knows `{}`", known()))?;
        let mut file = LayoutFile {
            cluster: value("cluster")?,
            cluster_id: hexadecimal(&value("cluster-id")?)?,
            name: value("name")?,
            n: decimal(&value("n")?)?,
            partitions: decimal(&value("partitions")?)?,
            placement,
            tokens: decimal(&value("tokens")?)?,
            max_per_zone: match placement {
                Mode::Tokens => None,
                Mode::Balanced => match value("max-per-zone")?.as_str() {
                    "default" => None,
                    text => Some(decimal(text)?),
                },
            },
            table: hexadecimal(&value("table")?)?,
            members: Vec::new(),
        };
        for line in lines {
            if let (Some(zone), Some(row)) = (line.strip_prefix("zone "), file.members.last_mut()) {
                zone.clone_into(&mut row.zone);
                continue;
            }
            file.members.push(Row::from_line(line).ok_or_else(|| format!("has the line `{line}`"))?);
        }
        Ok(file)
    }
}

impl Row {
    fn from_line(line: &str) -> Option<Row> {
        let mut words = line.strip_prefix("member ")?.splitn(3, ' ');
        let name = words.next()?.to_owned();
        let weight = words.next()?.parse().ok()?;
        Some(Row { name, weight, address: words.next()?.to_owned(), zone: String::new() })
    }
}

fn or_default(number: Option<u8>) -> String {
    number.map_or_else(|| "default".to_owned(), |number| number.to_string())
}

fn hexadecimal(text: &str) -> Result<u64, String> {
    u64::from_str_radix(text, 16).map_err(|_| format!("has `{text}` where a hash should stand"))
}

fn decimal<T: core::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("has `{text}` where a number should stand"))
}

/// Who was added, removed, weighed anew or put elsewhere; `None` if the lists place keys alike.
fn difference(kept: &[Row], asked: &[Row]) -> Option<String> {
    let find = |rows: &[Row], name: &str| rows.iter().find(|row| row.name == name).cloned();
    let mut parts = Vec::new();
    for row in asked {
        match find(kept, &row.name) {
            None => parts.push(format!("`{}` was added", row.name)),
            Some(old) if old.weight != row.weight => {
                parts.push(format!("`{}` has weight {}, not {}", row.name, row.weight, old.weight));
            }
            Some(old) if old.zone != row.zone => {
                parts.push(format!("`{}` is in zone `{}`, not `{}`", row.name, row.zone, old.zone));
            }
            Some(_) => {}
        }
    }
    let gone = kept.iter().filter(|row| find(asked, &row.name).is_none());
    parts.extend(gone.map(|row| format!("`{}` was removed", row.name)));
    (!parts.is_empty()).then(|| parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::config::MemberSpec;

    fn config(names: &[&str]) -> Config {
        let mut config = Config::new("A");
        let member = |name: &&str| MemberSpec::new(name, "h:1");
        config.members = names.iter().map(member).collect();
        config
    }

    #[test]
    fn what_is_kept_is_read_back() {
        let directory = tempfile::tempdir().unwrap();
        let config = config(&["C", "A", "B"]);
        check(directory.path(), &config).unwrap();
        keep(directory.path(), &config, 0xabc).unwrap();
        check(directory.path(), &config).unwrap();
        keep(directory.path(), &config, 0xabc).unwrap();
        assert_eq!(LayoutFile::read(directory.path()).unwrap(), Some(LayoutFile::of(&config, 0xabc)));
    }

    #[test]
    fn each_difference_is_refused_by_its_setting_and_named() {
        let directory = tempfile::tempdir().unwrap();
        keep(directory.path(), &config(&["A", "B", "C"]), 1).unwrap();
        type Change = fn(&mut Config);
        let table: [(Change, &str); 8] = [
            (
                |c| c.cluster = "other".into(),
                "cluster: `other`, but the directory belongs to cluster `quorate`",
            ),
            (|c| c.secret = [7; 32], "key-file: another key"),
            (|c| c.name = "B".into(), "name: `B`, but the directory belongs to member `A`"),
            (|c| c.keyspaces[0].n = 2, "n: 2, but the directory was made with 3"),
            (|c| c.partitions = 8, "partitions: 8, but the directory was made with 256"),
            (|c| c.tokens = 8, "tokens: 8, but the directory was made with 64"),
            (|c| c.members[2].name = "D".into(), "members: `D` was added, `C` was removed"),
            (|c| c.members[1].weight = 2, "members: `B` has weight 2, not 1"),
        ];
        for (change, message) in table {
            let mut changed = config(&["A", "B", "C"]);
            change(&mut changed);
            let error = check(directory.path(), &changed).unwrap_err();
            assert_eq!(error.exit_code(), 64);
            assert!(error.to_string().starts_with(message), "{error}");
        }
    }

    #[test]
    fn zones_are_kept_and_compared() {
        let directory = tempfile::tempdir().unwrap();
        let mut config = config(&["A", "B", "C"]);
        config.placement = Mode::Balanced;
        config.members.iter_mut().zip(["x", "y", "z"]).for_each(|(member, zone)| member.zone = zone.into());
        keep(directory.path(), &config, 1).unwrap();
        assert_eq!(LayoutFile::read(directory.path()).unwrap(), Some(LayoutFile::of(&config, 1)));
        type Change = fn(&mut Config);
        let table: [(Change, &str); 3] = [
            (|c| c.placement = Mode::Tokens, "placement: tokens, but the directory was made with balanced"),
            (|c| c.max_per_zone = Some(1), "max-per-zone: 1, but the directory was made with default"),
            (|c| c.members[1].zone = "x".into(), "members: `B` is in zone `x`, not `y`"),
        ];
        for (change, message) in table {
            let mut changed = config.clone();
            change(&mut changed);
            let error = check(directory.path(), &changed).unwrap_err();
            assert!(error.to_string().starts_with(message), "{error}");
        }
        config.tokens = 8;
        check(directory.path(), &config).unwrap();
    }

    #[test]
    fn an_address_may_change_and_a_table_may_not() {
        let directory = tempfile::tempdir().unwrap();
        let mut config = config(&["A", "B"]);
        keep(directory.path(), &config, 1).unwrap();
        config.members[1].address = "elsewhere:2".into();
        check(directory.path(), &config).unwrap();
        keep(directory.path(), &config, 1).unwrap();
        assert_eq!(LayoutFile::read(directory.path()).unwrap(), Some(LayoutFile::of(&config, 1)));
        let error = keep(directory.path(), &config, 2).unwrap_err();
        assert_eq!(error.exit_code(), 76);
    }

    #[test]
    fn a_file_cut_or_flipped_anywhere_is_refused() {
        let text = LayoutFile::of(&config(&["A", "B"]), 1).to_text();
        for length in 0..text.len() {
            assert!(LayoutFile::from_text(&text[..length]).is_err(), "cut at {length}");
            let mut flipped = text.clone().into_bytes();
            flipped[length] ^= 1;
            let flipped = String::from_utf8(flipped).expect("text stays ASCII under its lowest bit");
            assert!(LayoutFile::from_text(&flipped).is_err(), "flipped at {length}");
        }
    }

    #[test]
    fn a_newer_format_and_another_file_are_told_apart() {
        for (text, named) in
            [("quorate layout 2\n", "format 2"), ("something else", "no layout"), ("", "no layout")]
        {
            let problem = LayoutFile::from_text(text).unwrap_err();
            assert!(problem.contains(named), "{problem}");
        }
    }
}
