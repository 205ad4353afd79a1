//! Rows that are entered many at a time: by statements of few lengths, each written once, so that the database need not read them anew.

use std::sync::Arc;

/// Rows of each statement, the most first.
const LENGTHS: [usize; 4] = [64, 16, 4, 1];

/// The statements that enter rows into a table.
#[derive(Debug)]
pub(crate) struct Batches([(usize, Arc<str>); LENGTHS.len()]);

impl Batches {
    /// `statement` writes the one for so many rows.
    pub(crate) fn new(statement: impl Fn(usize) -> String) -> Self {
        Self(LENGTHS.map(|rows| (rows, statement(rows).into())))
    }

    /// All rows, in groups, each with the statement that enters it.
    pub(crate) fn of<'a, R>(&'a self, rows: &'a [R]) -> impl Iterator<Item = (Arc<str>, &'a [R])> {
        let mut rest = rows;
        std::iter::from_fn(move || {
            let (length, statement) = self.0.iter().find(|(length, _)| *length <= rest.len())?;
            let (group, after) = rest.split_at(*length);
            rest = after;
            Some((Arc::clone(statement), group))
        })
    }
}

/// The statement that enters so many rows. `SQLite` takes `$1` for a name, and looks for each among all: places without names are
/// filled ten times as fast.
pub(crate) fn insertion(table: &str, columns: &[&str], rows: usize, is_file: bool) -> String {
    let row = |row: usize| {
        let first = row * columns.len();
        let places = (1..=columns.len()).map(|place| match is_file {
            true => "?".to_owned(),
            false => format!("${}", first + place),
        });
        format!("({})", places.collect::<Vec<_>>().join(", "))
    };
    let rows: Vec<String> = (0..rows).map(row).collect();
    format!(
        "INSERT INTO {table} ({}) VALUES {}",
        columns.join(", "),
        rows.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_in_one_group_of_its_statements_length() {
        let batches = Batches::new(|rows| rows.to_string());
        for count in [0, 1, 3, 4, 15, 63, 64, 65, 150] {
            let rows: Vec<usize> = (0..count).collect();
            let groups: Vec<_> = batches.of(&rows).collect();
            assert!(
                groups
                    .iter()
                    .all(|(statement, group)| **statement == *group.len().to_string())
            );
            let entered: Vec<usize> = groups
                .iter()
                .flat_map(|(_, group)| group.to_vec())
                .collect();
            assert_eq!(entered, rows);
        }
    }
}
