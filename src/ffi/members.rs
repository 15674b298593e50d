//! Members of a list, as text.

use crate::proto::config::MemberSpec;

/// `NAME@HOST:PORT`, or a name whose address is told later; `/ZONE` may follow, and `=WEIGHT`. The weight is
/// beside, if there is one.
pub(super) fn member(entry: &str) -> Result<(MemberSpec, Option<u32>), String> {
    let (place, weight) = match entry.rsplit_once('=') {
        None => (entry, None),
        Some((place, text)) => (place, Some(weight("members", entry, text)?)),
    };
    let (place, zone) = place.split_once('/').unwrap_or((place, ""));
    let (name, address) = place.split_once('@').unwrap_or((place, ""));
    Ok((MemberSpec { zone: zone.to_owned(), ..MemberSpec::new(name, address) }, weight))
}

/// The weight that an entry of a list ends with.
pub(super) fn weight(setting: &str, entry: &str, text: &str) -> Result<u32, String> {
    let problem =
        || format!("{setting}: `{entry}`: `{text}` is no weight, a whole number from 0 to {}", u32::MAX);
    text.parse().map_err(|_| problem())
}
