//! Glob patterns as Redis knows them: `*`, `?`, `[a-z]`, `[^a]`, and `\` before any byte.
//!
//! Rule: matching is a loop with one point to go back to (the last `*`), never a recursion, and it takes
//! its steps from a budget, so no pattern makes a node stand still.

use super::limits::PATTERN_STEPS_MAX;

/// Which keys of a page are shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// How they begin.
    pub prefix: Vec<u8>,
    /// What they match; `None` is anything.
    pub pattern: Option<Vec<u8>>,
}

impl Selection {
    /// Leaves the keys that are shown.
    ///
    /// # Errors
    /// It takes more steps than one page may.
    pub fn keep(&self, keys: &mut Vec<Vec<u8>>) -> Result<(), TooCostly> {
        keys.retain(|key| key.starts_with(&self.prefix));
        let Some(pattern) = &self.pattern else { return Ok(()) };
        let (mut budget, mut is_costly) = (Budget(PATTERN_STEPS_MAX), false);
        keys.retain(|key| {
            !is_costly
                && matches(pattern, key, &mut budget).unwrap_or_else(|TooCostly| {
                    is_costly = true;
                    false
                })
        });
        if is_costly { Err(TooCostly) } else { Ok(()) }
    }
}

/// Steps that matching may still take; shared by all keys of one page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget(pub u64);

/// Matching a page of keys took more steps than the budget held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooCostly;

/// Whether the whole of `text` matches `pattern`.
///
/// # Errors
/// The budget is used up; whether it matches is not known.
pub fn matches(pattern: &[u8], text: &[u8], budget: &mut Budget) -> Result<bool, TooCostly> {
    let (mut at, mut from) = (0, 0);
    // After the last `*`: where the pattern goes on, and where in the text it was last tried.
    let mut star: Option<(usize, usize)> = None;
    loop {
        budget.0 = budget.0.checked_sub(1).ok_or(TooCostly)?;
        match pattern.get(at) {
            Some(b'*') => {
                at += 1;
                star = Some((at, from));
                continue;
            }
            Some(_) if from < text.len() => {
                let (is_match, next) = element(pattern, at, text[from]);
                budget.0 = budget.0.saturating_sub((next - at) as u64);
                if is_match {
                    (at, from) = (next, from + 1);
                    continue;
                }
            }
            None if from == text.len() => return Ok(true),
            _ => {}
        }
        match star {
            Some((after, tried)) if tried < text.len() => {
                star = Some((after, tried + 1));
                (at, from) = (after, tried + 1);
            }
            _ => return Ok(false),
        }
    }
}

/// Whether one byte matches the element at `at`, and where the next element begins.
fn element(pattern: &[u8], at: usize, byte: u8) -> (bool, usize) {
    match pattern[at..] {
        [b'?', ..] => (true, at + 1),
        [b'[', ..] => class(pattern, at + 1, byte),
        [b'\\', escaped, ..] => (escaped == byte, at + 2),
        _ => (pattern[at] == byte, at + 1),
    }
}

/// A class that is not closed ends with the pattern.
fn class(pattern: &[u8], mut at: usize, byte: u8) -> (bool, usize) {
    let is_negated = pattern.get(at) == Some(&b'^');
    at += usize::from(is_negated);
    let mut is_in = false;
    loop {
        match pattern[at..] {
            [] => break,
            [b']', ..] => {
                at += 1;
                break;
            }
            [b'\\', escaped, ..] => {
                is_in |= escaped == byte;
                at += 2;
            }
            [low, b'-', high, ..] => {
                is_in |= (low.min(high)..=low.max(high)).contains(&byte);
                at += 3;
            }
            [one, ..] => {
                is_in |= one == byte;
                at += 1;
            }
        }
    }
    (is_in != is_negated, at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, text: &str) -> bool {
        matches(pattern.as_bytes(), text.as_bytes(), &mut Budget(10_000)).unwrap()
    }

    #[test]
    fn patterns_match_as_redis_matches_them() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "anything", true),
            ("**", "x", true),
            ("a*", "abc", true),
            ("a*c", "abcbc", true),
            ("a*c", "abcb", false),
            ("*b*d*", "abcde", true),
            ("h?llo", "hello", true),
            ("h?llo", "hllo", false),
            ("?", "", false),
            ("h[ae]llo", "hallo", true),
            ("h[ae]llo", "hillo", false),
            ("h[^e]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[a-b]llo", "hbllo", true),
            ("h[b-a]llo", "hallo", true),
            ("h[a-b]llo", "hcllo", false),
            ("[a\\]]x", "]x", true),
            ("[\\-x]", "-", true),
            ("[abc", "b", true),
            ("[abc", "d", false),
            ("[]", "a", false),
            ("[^]", "a", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("a\\", "a\\", true),
            ("*\\**", "a*b", true),
            ("user:[0-9]*", "user:7x", true),
            ("user:[0-9]*", "user:x7", false),
        ] {
            assert_eq!(check(pattern, text), expected, "{pattern:?} on {text:?}");
        }
    }

    #[test]
    fn a_pattern_made_to_go_back_costs_what_the_budget_holds() {
        let text = "a".repeat(4_000);
        let pattern = "a*".repeat(200) + "b";
        let mut budget = Budget(100_000);
        let result = matches(pattern.as_bytes(), text.as_bytes(), &mut budget);
        assert!(matches!(result, Ok(false) | Err(TooCostly)));
        let pattern = format!("*{}b", "a".repeat(1_000));
        let mut budget = Budget(100_000);
        assert_eq!(matches(pattern.as_bytes(), text.as_bytes(), &mut budget), Err(TooCostly));
    }
}
