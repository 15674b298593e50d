//! From samples to tables in Markdown: systems side by side, or figures beside their limits.

use std::fmt::Write;
use std::fs;

use crate::samples::{Samples, Spread};

/// What is better in a figure.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// Throughput.
    More,
    /// Time and space.
    Less,
    /// Neither: the figure explains others.
    Neither,
}

/// A row of systems side by side.
pub struct Figure {
    /// As it is said.
    pub name: &'static str,
    /// As it is printed, with its unit.
    pub title: &'static str,
    /// What is printed in bold.
    pub better: Better,
}

/// A row of one figure beside its limit.
pub struct Line {
    /// As it is said.
    pub name: &'static str,
    /// As it is printed, with its unit.
    pub title: &'static str,
    /// The figure that limits it, as it is said; empty if none does.
    pub limit: &'static str,
    /// What the design asks for; empty if it asks for nothing.
    pub hold: &'static str,
}

/// Systems side by side, the best of each row in bold. What a system did not say is "-".
pub fn side_by_side(figures: &[Figure], systems: &[(&str, &Samples)]) -> String {
    let mut text = String::from("| |");
    for (name, _) in systems {
        write!(text, " {name} |").expect("a string takes all");
    }
    write!(text, "\n|---|{}\n", "---|".repeat(systems.len())).expect("a string takes all");
    for figure in figures {
        let spreads: Vec<_> = systems.iter().map(|(_, samples)| samples.spread(figure.name)).collect();
        let best = best(figure.better, &spreads);
        write!(text, "| {} |", figure.title).expect("a string takes all");
        for (at, spread) in spreads.iter().enumerate() {
            match spread {
                None => text.push_str(" - |"),
                Some(spread) if Some(at) == best => {
                    write!(text, " **{}**{} |", number(spread.median), reach(spread))
                        .expect("a string takes all");
                }
                Some(spread) => {
                    write!(text, " {}{} |", number(spread.median), reach(spread))
                        .expect("a string takes all");
                }
            }
        }
        text.push('\n');
    }
    text
}

/// Figures beside their limits. The ratio is taken within each repetition.
pub fn beside_limits(lines: &[Line], samples: &Samples) -> String {
    let mut text = String::from("| | measured | limit | of the limit | to hold |\n|---|---|---|---|---|\n");
    let cell = |spread: Option<Spread>| {
        spread.map_or("-".to_owned(), |spread| format!("{}{}", number(spread.median), reach(&spread)))
    };
    for line in lines {
        let (measured, limit) = (cell(samples.spread(line.name)), cell(samples.spread(line.limit)));
        let ratio = samples.ratio(line.name, line.limit).map_or("-".to_owned(), |ratio| number(ratio.median));
        let hold = if line.hold.is_empty() { "-" } else { line.hold };
        writeln!(text, "| {} | {measured} | {limit} | {ratio} | {hold} |", line.title)
            .expect("a string takes all");
    }
    text
}

/// The system whose median is best; none if there is no other to be better than.
fn best(better: Better, spreads: &[Option<Spread>]) -> Option<usize> {
    let medians = spreads.iter().enumerate().filter_map(|(at, spread)| Some((at, spread.as_ref()?.median)));
    if medians.clone().count() < 2 {
        return None;
    }
    let best = match better {
        Better::More => medians.max_by(|a, b| a.1.total_cmp(&b.1)),
        Better::Less => medians.min_by(|a, b| a.1.total_cmp(&b.1)),
        Better::Neither => None,
    };
    best.map(|(at, _)| at)
}

/// Three digits that count.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 || size == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

fn reach(spread: &Spread) -> String {
    if spread.min == spread.max {
        return String::new();
    }
    format!(" ({}–{})", number(spread.min), number(spread.max))
}

/// What it ran on.
pub fn machine() -> String {
    let information = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = information.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!(
        "{}, {processors} CPUs, Linux {}",
        model.trim_start_matches([' ', '\t', ':']).trim(),
        kernel.trim()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_is_in_bold_and_what_is_missing_is_a_dash() {
        let (mut ours, mut theirs) = (Samples::default(), Samples::default());
        for line in ["load\t3", "load\t1", "load\t2", "wait\t200"] {
            assert!(ours.take(line));
        }
        assert!(theirs.take("load\t9") && theirs.take("wait\t300"));
        let figures = [
            Figure { name: "load", title: "load", better: Better::More },
            Figure { name: "wait", title: "wait", better: Better::Less },
            Figure { name: "none", title: "none", better: Better::Less },
        ];
        let text = side_by_side(&figures, &[("a", &ours), ("b", &theirs)]);
        let wanted = "| | a | b |\n|---|---|---|\n| load | 2.00 (1.00–3.00) | **9.00** |\n\
                      | wait | **200** | 300 |\n| none | - | - |\n";
        assert_eq!(text, wanted);
    }
}
