//! Members as the operator lists them: `NAME@HOST:PORT[/ZONE],…`.

use quorate::proto::config::MemberSpec;

use super::exit::Failure;

/// Parses `A@127.0.0.1:7201,B@127.0.0.1:7202/cellar`.
///
/// # Errors
/// The first entry that is wrong, and why. What members say together is for `Config::check` to judge.
pub fn from_text(list: &str) -> Result<Vec<MemberSpec>, Failure> {
    let parse = |entry: &str| {
        let entry = entry.trim();
        let (name, address) = entry
            .split_once('@')
            .filter(|(name, address)| !name.is_empty() && !address.is_empty())
            .ok_or_else(|| Failure::setting("members", format!("`{entry}` is not NAME@HOST:PORT")))?;
        let (address, zone) = match address.split_once('/') {
            None => (address, ""),
            Some((_, "")) => {
                return Err(Failure::setting("members", format!("`{entry}` ends before its zone")));
            }
            Some(parts) => parts,
        };
        let port = address.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        if port.is_none_or(|port| port == 0) {
            let problem = format!("`{entry}`: others cannot reach the address {address}; a port is needed");
            return Err(Failure::setting("members", problem));
        }
        Ok(MemberSpec { zone: zone.to_owned(), ..MemberSpec::new(name, address) })
    };
    list.split(',').map(parse).collect()
}
