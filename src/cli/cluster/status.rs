//! How a cluster is, for an operator: what it is doing, what stands in its way, what waits for a decision, and
//! the members as a table.

use indicatif::HumanBytes;

use quorate::resp::client::Value;

use super::super::answer::{field, list, text};
use super::super::exit::Failure;
use super::table;

/// How far a transition has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Headway {
    /// Replicas to be copied.
    pub total: u64,
    /// Of these, not whole yet.
    pub open: u64,
    /// Bytes that were taken for them.
    pub bytes: u64,
}

impl Headway {
    /// Out of the answer to `STATUS`.
    ///
    /// # Errors
    /// It is none.
    pub fn of(answer: &Value) -> Result<Headway, Failure> {
        let progress = field(answer, "progress")?;
        let number = |name| Ok::<_, Failure>(text(field(progress, name)?).parse().unwrap_or(0));
        Ok(Headway { total: number("total")?, open: number("open")?, bytes: number("bytes")? })
    }

    /// Replicas that were copied.
    pub fn done(self) -> u64 {
        self.total - self.open.min(self.total)
    }
}

impl std::fmt::Display for Headway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {} replicas copied, {}", self.done(), self.total, HumanBytes(self.bytes))
    }
}

/// The answer to `STATUS` as lines. `plan` is how one asks for the plan.
///
/// # Errors
/// It is no such answer.
pub fn lines(answer: &Value, plan: &str) -> Result<Vec<String>, Failure> {
    let members = list(field(answer, "members")?)?;
    let mut lines = vec![format!("cluster   {}", doing(answer)?)];
    lines.extend(waits_for(answer)?.map(|who| format!("waiting   for {who}")));
    lines.extend(keepers(answer)?.map(|keepers| format!("keepers   {keepers}")));
    let refusal = text(field(answer, "refusal")?);
    if !refusal.is_empty() {
        lines.push(format!("refused   {refusal}"));
    }
    let staged = list(field(answer, "staged")?)?;
    lines.extend(staged.iter().map(|change| format!("staged    {}", text(change))));
    match staged.len() {
        0 => {}
        1 => lines.push(format!("next      1 change is staged: see what it comes to with: {plan}")),
        count => {
            lines.push(format!("next      {count} changes are staged: see what they come to with: {plan}"))
        }
    }
    if !members.is_empty() {
        lines.push(String::new());
        lines.extend(member_table(members)?);
    }
    Ok(lines)
}

/// What the cluster is doing, in a line.
///
/// # Errors
/// It is no answer to `STATUS`.
pub fn doing(answer: &Value) -> Result<String, Failure> {
    let part = |name| Ok::<_, Failure>(text(field(answer, name)?));
    let (layout, next) = (part("layout")?, part("next")?);
    let members = list(field(answer, "members")?)?.len();
    let members = if members == 1 { "1 member".to_owned() } else { format!("{members} members") };
    let of = format!("{members}, {} partitions", part("partitions")?);
    Ok(match part("phase")?.as_str() {
        "outside" => "this node is of no cluster yet; it asks to be let in".to_owned(),
        "listed" => format!("{of}; the members are a list that was given, and nothing moves"),
        "copying" => format!("moving from layout {layout} to {next}: {}", Headway::of(answer)?),
        "finishing" => format!("moving to layout {next}: all is copied, and reads go over to it"),
        _ => format!("settled on layout {layout}: {of}"),
    })
}

/// Who holds a transition up: members that have to copy something and cannot be reached.
fn waits_for(answer: &Value) -> Result<Option<String>, Failure> {
    let mut names = Vec::new();
    for member in list(field(answer, "members")?)? {
        let part = |name| Ok::<_, Failure>(text(field(member, name)?));
        let is_done = part("receives")? == "0" || part("open")? == "0";
        if !is_done && !is_true(field(member, "up")?) {
            names.push(part("name")?);
        }
    }
    let who = names.join(", ");
    Ok(match names.len() {
        0 => None,
        1 => Some(format!("{who}, which is down; nothing is lost, and reads stay on the layout before")),
        _ => Some(format!("{who}, which are down; nothing is lost, and reads stay on the layout before")),
    })
}

/// The keepers, and whether they can decide anything.
fn keepers(answer: &Value) -> Result<Option<String>, Failure> {
    let keepers: Vec<String> = list(field(answer, "keepers")?)?.iter().map(text).collect();
    if keepers.is_empty() {
        return Ok(None);
    }
    let mut up = 0;
    for member in list(field(answer, "members")?)? {
        let is_keeper = keepers.contains(&text(field(member, "name")?));
        up += usize::from(is_keeper && is_true(field(member, "up")?));
    }
    let (count, needed) = (keepers.len(), keepers.len() / 2 + 1);
    let names = keepers.join(", ");
    Ok(Some(match up {
        up if up == count => names,
        up if up >= needed => format!("{names}; {up} of {count} up, {needed} needed"),
        up => format!("{names}; {up} of {count} up, {needed} needed: nothing can be committed"),
    }))
}

fn member_table(members: &[Value]) -> Result<Vec<String>, Failure> {
    let headings = ["member", "state", "up", ">weight", ">partitions", ">copied", "zone", "address"];
    let mut rows = vec![headings.map(str::to_owned).to_vec()];
    for member in members {
        let part = |name| Ok::<_, Failure>(text(field(member, name)?));
        let or_dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
        let up = if is_true(field(member, "up")?) { "up" } else { "down" };
        let (before, after) = (part("partitions")?, part("partitions_next")?);
        let partitions = if before == after { after } else { format!("{before} -> {after}") };
        let receives = part("receives")?.parse::<u64>().unwrap_or(0);
        let copied = match (receives, part("open")?.parse::<u64>()) {
            (0, _) => "-".to_owned(),
            (_, Ok(open)) => format!("{}/{receives}", receives.saturating_sub(open)),
            (_, Err(_)) => format!("?/{receives}"),
        };
        rows.push(vec![
            part("name")?,
            part("state")?,
            up.to_owned(),
            part("weight")?,
            partitions,
            copied,
            or_dash(part("zone")?),
            or_dash(part("address")?),
        ]);
    }
    Ok(table::lines(&rows))
}

fn is_true(answer: &Value) -> bool {
    matches!(answer, Value::Boolean(true) | Value::Integer(1))
}

#[cfg(test)]
pub mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::Bulk(text.into())
    }

    fn texts(texts: &[&str]) -> Value {
        Value::Array(texts.iter().map(|text| bulk(text)).collect())
    }

    fn map(pairs: Vec<(&str, Value)>) -> Value {
        Value::Map(pairs.into_iter().map(|(name, value)| (bulk(name), value)).collect())
    }

    /// A member as (name, state, whether up, partitions before and after, received, open if known).
    type Row = (&'static str, &'static str, bool, (i64, i64), i64, Option<i64>);

    /// An answer to `STATUS`.
    pub fn answer(phase: &str, layouts: (i64, Option<i64>), staged: &[&str], rows: &[Row]) -> Value {
        let optional = |value: Option<i64>| value.map_or(Value::Null, Value::Integer);
        let member = |&(name, state, up, (before, after), receives, open): &Row| {
            map(vec![
                ("name", bulk(name)),
                ("address", bulk(&format!("{name}:7380"))),
                ("zone", bulk("")),
                ("weight", Value::Integer(1)),
                ("state", bulk(state)),
                ("up", Value::Boolean(up)),
                ("partitions", Value::Integer(before)),
                ("partitions_next", Value::Integer(after)),
                ("receives", Value::Integer(receives)),
                ("open", optional(open)),
            ])
        };
        let sum = |part: fn(&Row) -> i64| Value::Integer(rows.iter().map(part).sum());
        let progress = vec![
            ("total", sum(|row| row.4)),
            ("open", sum(|row| row.5.unwrap_or(row.4))),
            ("bytes", Value::Integer(3 << 19)),
        ];
        map(vec![
            ("phase", bulk(phase)),
            ("layout", Value::Integer(layouts.0)),
            ("next", optional(layouts.1)),
            ("partitions", Value::Integer(16)),
            ("keepers", texts(&["A", "B", "C"])),
            ("staged", texts(staged)),
            ("refusal", Value::Null),
            ("progress", map(progress)),
            ("members", Value::Array(rows.iter().map(member).collect())),
        ])
    }

    #[test]
    fn a_moving_cluster_says_how_far_it_is_and_whom_it_waits_for() {
        let moving = answer(
            "copying",
            (3, Some(7)),
            &["weight A 2", "zone B attic"],
            &[
                ("A", "member", true, (16, 12), 0, None),
                ("B", "member", false, (16, 12), 0, None),
                ("C", "member", true, (16, 12), 0, None),
                ("D", "joining", false, (0, 12), 12, Some(9)),
            ],
        );
        let lines = lines(&moving, "quorate cluster plan").expect("it is an answer");
        assert_eq!(
            lines,
            [
                "cluster   moving from layout 3 to 7: 3 of 12 replicas copied, 1.50 MiB",
                "waiting   for D, which is down; nothing is lost, and reads stay on the layout before",
                "keepers   A, B, C; 2 of 3 up, 2 needed",
                "staged    weight A 2",
                "staged    zone B attic",
                "next      2 changes are staged: see what they come to with: quorate cluster plan",
                "",
                "member  state    up    weight  partitions  copied  zone  address",
                "A       member   up         1    16 -> 12       -  -     A:7380",
                "B       member   down       1    16 -> 12       -  -     B:7380",
                "C       member   up         1    16 -> 12       -  -     C:7380",
                "D       joining  down       1     0 -> 12    3/12  -     D:7380",
            ]
        );
    }

    #[test]
    fn a_settled_cluster_says_little() {
        let rows = ["A", "B", "C"].map(|name| (name, "member", name == "A", (16, 16), 0, None));
        let settled = answer("settled", (7, None), &[], &rows);
        let lines = lines(&settled, "plan").expect("it is an answer");
        assert_eq!(lines[0], "cluster   settled on layout 7: 3 members, 16 partitions");
        assert_eq!(lines[1], "keepers   A, B, C; 1 of 3 up, 2 needed: nothing can be committed");
        assert_eq!(lines.len(), 7);
        assert_eq!(super::lines(&Value::Null, "plan").unwrap_err().code, 15);
    }
}
