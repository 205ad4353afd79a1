//! Whose teams are. The books name teams; that a team is an organisation's stays as long as its name: for ever.

use std::collections::{BTreeMap, HashMap};

use sqlx::{Any, Row, Transaction};

use crate::{Dimension, Store, StoreError, UsageRow, changes};

/// Gives a team's keys, limits and budgets that belong to no organisation to the team's.
const HAND_OVER: [&str; 2] = [
    "UPDATE caller_keys SET organisation = $1 WHERE team = $2 AND organisation = ''",
    "UPDATE objects SET organisation = $1 WHERE team = $2 AND organisation = '' AND kind IN ('limit', 'budget')",
];

/// Organisations by their teams' names, where they are asked for.
#[derive(Debug, Default)]
pub(crate) struct Owners(HashMap<String, String>);

impl Owners {
    /// Takes what they decide out of a question, and names the teams instead whose calls are meant.
    pub(crate) fn narrow(
        &self,
        of: &mut Vec<(Dimension, String)>,
        teams: &mut Option<Vec<String>>,
    ) {
        of.retain(|(dimension, organisation)| {
            let is_asked = *dimension == Dimension::Organisation;
            if is_asked {
                self.narrow_to(organisation, teams);
            }
            !is_asked
        });
    }

    /// Leaves the teams that an organisation has.
    fn narrow_to(&self, organisation: &str, teams: &mut Option<Vec<String>>) {
        let is_own = |name: &String| self.0.get(name).is_some_and(|of| of == organisation);
        match teams {
            Some(teams) => teams.retain(is_own),
            None => *teams = Some(self.0.keys().filter(|name| is_own(name)).cloned().collect()),
        }
    }

    /// Sums by organisations, of sums by their teams.
    pub(crate) fn sum_up(&self, rows: Vec<UsageRow>, by: &[Dimension]) -> Vec<UsageRow> {
        if !by.contains(&Dimension::Organisation) {
            return rows;
        }
        let mut sums: BTreeMap<Vec<Option<String>>, UsageRow> = BTreeMap::new();
        for mut row in rows {
            for (value, by) in row.of.iter_mut().zip(by) {
                if *by == Dimension::Organisation {
                    *value = value.as_ref().and_then(|team| self.0.get(team)).cloned();
                }
            }
            match sums.get_mut(&row.of) {
                Some(sum) => sum.add(&row),
                None => {
                    sums.insert(row.of.clone(), row);
                }
            }
        }
        sums.into_values().collect()
    }
}

impl Store {
    /// The organisations, where they are asked for.
    pub(crate) async fn owners(
        &self,
        mut asked: impl Iterator<Item = Dimension>,
    ) -> Result<Owners, StoreError> {
        let mut owners = Owners::default();
        if !asked.any(|dimension| dimension == Dimension::Organisation) {
            return Ok(owners);
        }
        // The later goes before, where a name was given twice once.
        let teams =
            "SELECT name, organisation FROM objects WHERE kind = 'team' ORDER BY created_ms";
        for row in sqlx::query(teams).fetch_all(&self.pool).await? {
            owners
                .0
                .insert(row.try_get("name")?, row.try_get("organisation")?);
        }
        Ok(owners)
    }
}

/// Gives an organisation what was its team's before there was that team: keys, and limits and budgets of these.
pub(crate) async fn hand_over(
    transaction: &mut Transaction<'_, Any>,
    organisation: &str,
    team: &str,
    is_file: bool,
) -> Result<(), sqlx::Error> {
    for sql in HAND_OVER {
        sqlx::query(sql)
            .bind(organisation)
            .bind(team)
            .execute(&mut **transaction)
            .await?;
    }
    changes::raise(transaction, "keys", is_file).await
}
