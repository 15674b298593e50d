//! Members as the operator lists them: `NAME@HOST:PORT[/ZONE][=WEIGHT],…`.
//!
//! Neither `/` nor `=` occurs in names, zones or hosts, `[::1]` among them, nor does a shell make anything of
//! them there, as it would of a `*`. The weight stands last, as what is said most seldom.

use quorate::proto::config::MemberSpec;

use super::exit::Failure;

/// Parses `A@127.0.0.1:7201,B@127.0.0.1:7202/cellar=2`.
///
/// # Errors
/// The first entry that is wrong, and why. What members say together is for `Config::check` to judge.
pub fn from_text(list: &str) -> Result<Vec<MemberSpec>, Failure> {
    let parse = |entry: &str| member(entry.trim()).map_err(|problem| Failure::setting("members", problem));
    list.split(',').map(parse).collect()
}

/// Parses one entry.
fn member(entry: &str) -> Result<MemberSpec, String> {
    let (place, weight) = match entry.rsplit_once('=') {
        None => (entry, 1),
        Some((place, text)) => (place, weight(entry, text)?),
    };
    let (name, address) = place
        .split_once('@')
        .filter(|(name, address)| !name.is_empty() && !address.is_empty())
        .ok_or_else(|| format!("`{entry}` is not NAME@HOST:PORT"))?;
    let (address, zone) = match address.split_once('/') {
        None => (address, ""),
        Some((_, "")) => return Err(format!("`{entry}` ends before its zone")),
        Some(parts) => parts,
    };
    let port = address.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    if port.is_none_or(|port| port == 0) {
        return Err(format!("`{entry}`: others cannot reach the address {address}; a port is needed"));
    }
    Ok(MemberSpec { zone: zone.to_owned(), weight, ..MemberSpec::new(name, address) })
}

/// The weight of a member, a whole number; 0 for one that is to hold nothing.
fn weight(entry: &str, text: &str) -> Result<u32, String> {
    text.parse()
        .map_err(|_| format!("`{entry}`: `{text}` is no weight, a whole number from 0 to {}", u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_weigh_what_they_are_told() {
        let weighed = |list: &str| {
            let members = from_text(list).unwrap_or_else(|failure| panic!("{failure}"));
            let rows = members.into_iter().map(|member| (member.address, member.zone, member.weight));
            rows.collect::<Vec<_>>()
        };
        let row = |address: &str, zone: &str, weight| (address.to_owned(), zone.to_owned(), weight);
        assert_eq!(
            weighed("A@[::1]:7380=2, B@h.example:1/cellar=0,C@h:3/x-1._2,D@[::1]:4"),
            [
                row("[::1]:7380", "", 2),
                row("h.example:1", "cellar", 0),
                row("h:3", "x-1._2", 1),
                row("[::1]:4", "", 1)
            ]
        );
    }
}
