//! Columns as wide as what is in them.

/// Rows of as many cells as the first, which are the headings. A column whose heading begins with `>` stands to
/// the right, as numbers do.
pub fn lines(rows: &[Vec<String>]) -> Vec<String> {
    let Some(headings) = rows.first() else { return Vec::new() };
    let right: Vec<bool> = headings.iter().map(|heading| heading.starts_with('>')).collect();
    let shown = |row: usize, column: usize| {
        let cell = rows[row].get(column).map_or("", String::as_str);
        if row == 0 { cell.trim_start_matches('>') } else { cell }
    };
    let width = |column: usize| (0..rows.len()).map(|row| shown(row, column).chars().count()).max();
    let widths: Vec<usize> = (0..right.len()).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: usize| {
        let cell = |column: usize| {
            let (cell, width) = (shown(row, column), widths[column]);
            if right[column] { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        };
        let cells: Vec<String> = (0..right.len()).map(cell).collect();
        cells.join("  ").trim_end().to_owned()
    };
    (0..rows.len()).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_to_the_right_and_lines_end_with_a_word() {
        let rows = [["member", ">weight", "zone"], ["A", "1", "attic"], ["longer-name", "12", ""]];
        let rows = rows.map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(
            lines(&rows),
            ["member       weight  zone", "A                 1  attic", "longer-name      12"]
        );
        assert_eq!(lines(&[]), [""; 0]);
    }
}
