//! Tables on standard output: columns as wide as their widest cell, two spaces apart.

use std::{fmt, iter};

/// Rows under headings.
#[derive(Debug)]
pub(super) struct Table {
    headings: Vec<Heading>,
    rows: Vec<Vec<String>>,
}

#[derive(Debug)]
struct Heading {
    text: &'static str,
    /// Numbers stand at the right of their column.
    right: bool,
}

impl Table {
    /// With these headings; one that begins with `>` has its column's cells at the right.
    pub(super) fn new(headings: &[&'static str]) -> Table {
        let heading = |text: &&'static str| match text.strip_prefix('>') {
            Some(text) => Heading { text, right: true },
            None => Heading { text, right: false },
        };
        Table { headings: headings.iter().map(heading).collect(), rows: Vec::new() }
    }

    /// Adds a row; cells beyond the headings are not shown.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }
}

/// A number with its digits in groups, as in `8 213`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let starts_group = |index: usize| index != 0 && (digits.len() - index).is_multiple_of(3);
    let spaced =
        digits.char_indices().flat_map(|(index, digit)| starts_group(index).then_some(' ').into_iter().chain([digit]));
    spaced.collect()
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headings: Vec<_> = self.headings.iter().map(|heading| heading.text.to_owned()).collect();
        let width = |text: &String| text.chars().count();
        let widest =
            |column: usize| self.rows.iter().chain(iter::once(&headings)).filter_map(move |row| row.get(column));
        let widths: Vec<_> = (0..headings.len()).map(|column| widest(column).map(width).max().unwrap_or(0)).collect();
        for row in iter::once(&headings).chain(&self.rows) {
            let cells =
                row.iter().zip(&self.headings).zip(&widths).map(|((cell, heading), width)| match heading.right {
                    true => format!("{cell:>width$}"),
                    false => format!("{cell:<width$}"),
                });
            writeln!(f, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_numbers_stand_right() {
        let mut table = Table::new(&["POOL", ">PICKS", "WHY"]);
        table.row(["cart".into(), "12345".into(), String::new()]);
        table.row(["größe".into(), "7".into(), "slow".into()]);
        assert_eq!(table.to_string(), "POOL   PICKS  WHY\ncart   12345\ngröße      7  slow\n");
    }
}
