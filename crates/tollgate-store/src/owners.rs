//! Whose keys and teams are. The books name keys and teams; that a key is an app's, and a team an organisation's, stays as long as their names:
//! for ever.

use std::collections::{BTreeMap, HashMap};

use sqlx::Row;

use crate::{Dimension, Store, StoreError, UsageRow};

/// Apps by their keys' names, and organisations by their teams', as far as they are asked for.
#[derive(Debug, Default)]
pub(crate) struct Owners {
    apps: HashMap<String, String>,
    organisations: HashMap<String, String>,
}

impl Owners {
    /// Takes what they decide out of a question, and names the keys and teams instead whose calls are meant.
    pub(crate) fn narrow(
        &self,
        of: &mut Vec<(Dimension, String)>,
        keys: &mut Option<Vec<String>>,
        teams: &mut Option<Vec<String>>,
    ) {
        of.retain(|(dimension, owner)| {
            match dimension {
                Dimension::App => narrow_to(keys, &self.apps, owner),
                Dimension::Organisation => narrow_to(teams, &self.organisations, owner),
                _ => return true,
            }
            false
        });
    }

    /// Sums by owners, of sums by what they own.
    pub(crate) fn sum_up(&self, rows: Vec<UsageRow>, by: &[Dimension]) -> Vec<UsageRow> {
        if !by.iter().any(|by| by.is_owner()) {
            return rows;
        }
        let mut sums: BTreeMap<Vec<Option<String>>, UsageRow> = BTreeMap::new();
        for mut row in rows {
            for (value, by) in row.of.iter_mut().zip(by) {
                let owners = match by {
                    Dimension::App => &self.apps,
                    Dimension::Organisation => &self.organisations,
                    _ => continue,
                };
                *value = value.as_ref().and_then(|owned| owners.get(owned)).cloned();
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

/// Leaves what an owner has.
fn narrow_to(list: &mut Option<Vec<String>>, owners: &HashMap<String, String>, owner: &str) {
    let is_own = |name: &String| owners.get(name).is_some_and(|of| of == owner);
    match list {
        Some(list) => list.retain(is_own),
        None => *list = Some(owners.keys().filter(|name| is_own(name)).cloned().collect()),
    }
}

impl Store {
    /// The owners that are asked for.
    pub(crate) async fn owners(
        &self,
        asked: impl Iterator<Item = Dimension>,
    ) -> Result<Owners, StoreError> {
        let mut owners = Owners::default();
        for dimension in asked {
            // The later goes before, where a name was given twice once.
            let (known, sql) = match dimension {
                Dimension::App => (
                    &mut owners.apps,
                    "SELECT name, app AS owner FROM caller_keys WHERE app IS NOT NULL ORDER BY created_ms",
                ),
                Dimension::Organisation => (
                    &mut owners.organisations,
                    "SELECT name, organisation AS owner FROM objects WHERE kind = 'team' ORDER BY created_ms",
                ),
                _ => continue,
            };
            for row in sqlx::query(sql).fetch_all(&self.pool).await? {
                known.insert(row.try_get("name")?, row.try_get("owner")?);
            }
        }
        Ok(owners)
    }
}
