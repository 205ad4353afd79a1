//! Callers' keys that are made by command, rather than written into the configuration. What is kept of a key is its hash.

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::{Any, AssertSqlSafe, Executor, Row, Transaction, any::AnyRow};

use crate::{
    Change, Changed, Store, StoreError, Tenant, answered,
    audit::{self, Deed},
    changes,
    objects::milliseconds,
};

const COLUMNS: &str = "id, name, team, hash, old_hash, old_until_ms, routes, expires_ms, blocked, created_ms, organisation, app, version, paths, networks, models";

/// A key as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredKey {
    /// Its own, for ever.
    pub id: String,
    /// Whose it is; no other key ever has it.
    pub name: String,
    /// The team that it belongs to.
    pub team: Option<String>,
    /// `sha256:` and 64 hex digits.
    pub hash: String,
    /// The hash of the key before, and how long that still opens, in milliseconds since 1970-01-01 UTC.
    pub old: Option<(String, i64)>,
    /// What it opens.
    pub opening: Opening,
    /// It opens nothing until it is unblocked.
    pub is_blocked: bool,
    /// When it was made, in milliseconds since 1970-01-01 UTC.
    pub created_ms: i64,
    /// The organisation that it belongs to; empty where it belongs to none.
    pub organisation: String,
    /// The app of the team that uses it.
    pub app: Option<String>,
    /// Another with every change, from 1.
    pub version: i64,
}

/// What a key opens, where, and until when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opening {
    /// The routes; `None` for all.
    pub routes: Option<Vec<String>>,
    /// The models that are reached by them; `None` for all.
    pub models: Option<Vec<String>>,
    /// The paths; `None` for all.
    pub paths: Option<Vec<String>>,
    /// The networks that clients are in; `None` for all.
    pub networks: Option<Vec<String>>,
    /// When it ends, in milliseconds since 1970-01-01 UTC.
    pub expires_ms: Option<i64>,
}

/// What a key is found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named<'a> {
    /// Its id.
    Id(&'a str),
    /// Its name.
    Name(&'a str),
}

/// What becomes of a key's secrets when it gets another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// The one that it has opens until then, since 1970-01-01 UTC. There must be none before it that still opens.
    Until(Duration),
    /// Nothing but the new one opens.
    None,
    /// The one before the one that it has opens as long as was said, and the one that it has no more: whoever was to get that did not.
    KeepOld,
}

/// All keys, as of one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredKeys {
    /// Those that are not removed, by name.
    pub keys: Vec<StoredKey>,
    /// There is a key, or there was one: callers need one.
    pub are_wanted: bool,
    /// Another number means that something has changed.
    pub change: i64,
}

impl StoredKey {
    /// Until when the secret before the one that it has still opens, in milliseconds since 1970-01-01 UTC; `None` where it does not at a time.
    pub fn old_until(&self, now: Duration) -> Option<i64> {
        let (_, until) = self.old.as_ref()?;
        let end = self.opening.expires_ms;
        let until = end.map_or(*until, |end| end.min(*until));
        (until > milliseconds(now)).then_some(until)
    }

    /// The same key with another secret.
    ///
    /// # Errors
    /// When a secret of before still opens and it is not said what becomes of it, or none does and it is to be kept.
    pub fn rotate(
        &mut self,
        hash: &str,
        overlap: Overlap,
        now: Duration,
    ) -> Result<(), StoreError> {
        let until = match (overlap, self.old_until(now)) {
            (Overlap::Until(_), Some(until)) => return Err(StoreError::Overlapping(until)),
            (Overlap::KeepOld, None) => return Err(StoreError::NothingOld),
            (Overlap::KeepOld, Some(_)) => None,
            (Overlap::Until(until), None) => Some(until),
            (Overlap::None, _) => Some(now),
        };
        let before = std::mem::replace(&mut self.hash, hash.to_owned());
        if let Some(until) = until {
            self.old = Some((before, milliseconds(until)));
        }
        Ok(())
    }
}

impl Store {
    /// All keys.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn keys(&self) -> Result<StoredKeys, StoreError> {
        // The number first: what changes in between is read again.
        let change = self.change_of_keys().await?;
        let rows = sqlx::query(AssertSqlSafe(format!(
            "SELECT {COLUMNS}, removed_ms FROM caller_keys ORDER BY name{}",
            self.bytewise()
        )))
        .fetch_all(&self.pool)
        .await?;
        let are_wanted = !rows.is_empty();
        let mut keys = Vec::new();
        for row in &rows {
            let removed: Option<i64> = row.try_get("removed_ms")?;
            if removed.is_none() {
                keys.push(read(row)?);
            }
        }
        Ok(StoredKeys {
            keys,
            are_wanted,
            change,
        })
    }

    /// A number that changes with every change of a key.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn change_of_keys(&self) -> Result<i64, StoreError> {
        self.change_of("keys").await
    }

    /// Adds a key; its version is set here.
    ///
    /// # Errors
    /// When there is one of that name, or was one, what the change's request asks was answered before, or the database fails.
    pub async fn add_key(&self, key: &StoredKey, change: &Change) -> Result<(), StoreError> {
        let mut transaction = self.begin_changing(change).await?;
        let opening = &key.opening;
        let added = sqlx::query(
            "INSERT INTO caller_keys (id, name, team, hash, routes, expires_ms, blocked, created_ms, organisation, app, version, paths, networks, models) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 1, $11, $12, $13)",
        )
        .bind(&key.id)
        .bind(&key.name)
        .bind(&key.team)
        .bind(&key.hash)
        .bind(list(opening.routes.as_ref())?)
        .bind(opening.expires_ms)
        .bind(i64::from(key.is_blocked))
        .bind(key.created_ms)
        .bind(&key.organisation)
        .bind(&key.app)
        .bind(list(opening.paths.as_ref())?)
        .bind(list(opening.networks.as_ref())?)
        .bind(list(opening.models.as_ref())?)
        .execute(&mut *transaction)
        .await;
        match added {
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
                return Err(StoreError::Taken {
                    kind: "key",
                    name: key.name.clone(),
                });
            }
            added => added?,
        };
        // Behind the insertion, which nobody can remove a key of that name after.
        let removed = sqlx::query(
            "SELECT id FROM caller_keys WHERE name = $1 AND removed_ms IS NOT NULL LIMIT 1",
        )
        .bind(&key.name)
        .fetch_optional(&mut *transaction)
        .await?;
        if removed.is_some() {
            return Err(StoreError::TakenForEver {
                kind: "key",
                name: key.name.clone(),
            });
        }
        note(
            &mut transaction,
            self.is_file,
            change,
            "create",
            None,
            Some(key),
        )
        .await?;
        answered::keep(&mut transaction, change).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// A key by its id or its name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn key(
        &self,
        tenant: &Tenant,
        named: Named<'_>,
    ) -> Result<Option<StoredKey>, StoreError> {
        find(&self.pool, tenant, named).await
    }

    /// A tenant's keys by id, those after one, at most so many.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn keys_of(
        &self,
        tenant: &Tenant,
        after: Option<&str>,
        most: i64,
    ) -> Result<Vec<StoredKey>, StoreError> {
        let (organisation, team) = tenant.places();
        let bytewise = self.bytewise();
        let rows = sqlx::query(AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM caller_keys WHERE ($1 = '' OR organisation = $1) AND ($2 = '' OR team = $2) \
             AND id{bytewise} > $3 AND removed_ms IS NULL ORDER BY id{bytewise} LIMIT $4"
        )))
        .bind(organisation)
        .bind(team)
        .bind(after.unwrap_or_default())
        .bind(most)
        .fetch_all(&self.pool)
        .await?;
        let keys: Result<_, sqlx::Error> = rows.iter().map(read).collect();
        Ok(keys?)
    }

    /// Gives a key another secret. `version` is the one that was looked at, where that matters.
    ///
    /// # Errors
    /// When a secret of before still opens and it is not said what becomes of it, or none does and it is to be kept; when what the change's
    /// request asks was answered before, or the database fails.
    pub async fn rotate_key(
        &self,
        tenant: &Tenant,
        named: Named<'_>,
        version: Option<i64>,
        hash: &str,
        overlap: Overlap,
        change: &Change,
    ) -> Result<Changed<StoredKey>, StoreError> {
        self.change_key(tenant, named, version, "rotate", change, |key| {
            key.rotate(hash, overlap, change.at)
        })
        .await
    }

    /// Blocks a key, or unblocks it. `version` is the one that was looked at, where that matters.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn block_key(
        &self,
        tenant: &Tenant,
        named: Named<'_>,
        version: Option<i64>,
        is_blocked: bool,
        change: &Change,
    ) -> Result<Changed<StoredKey>, StoreError> {
        let action = if is_blocked { "block" } else { "unblock" };
        self.change_key(tenant, named, version, action, change, |key| {
            key.is_blocked = is_blocked;
            Ok(())
        })
        .await
    }

    /// Has a key open something else. `version` is the one that was looked at, where that matters.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn replace_key(
        &self,
        tenant: &Tenant,
        named: Named<'_>,
        version: Option<i64>,
        opening: Opening,
        change: &Change,
    ) -> Result<Changed<StoredKey>, StoreError> {
        self.change_key(tenant, named, version, "replace", change, |key| {
            key.opening = opening;
            Ok(())
        })
        .await
    }

    /// Removes a key for good; gives it as it was.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn remove_key(
        &self,
        tenant: &Tenant,
        named: Named<'_>,
        version: Option<i64>,
        change: &Change,
    ) -> Result<Changed<StoredKey>, StoreError> {
        let mut transaction = self.begin_changing(change).await?;
        let Some(before) = find(&mut *transaction, tenant, named).await? else {
            return Ok(Changed::Missing);
        };
        if version.is_some_and(|version| version != before.version) {
            return Ok(Changed::Stale);
        }
        let done = sqlx::query("UPDATE caller_keys SET removed_ms = $1 WHERE id = $2 AND version = $3 AND removed_ms IS NULL")
            .bind(milliseconds(change.at))
            .bind(&before.id)
            .bind(before.version)
            .execute(&mut *transaction)
            .await?;
        if done.rows_affected() == 0 {
            return Ok(Changed::Stale);
        }
        note(
            &mut transaction,
            self.is_file,
            change,
            "remove",
            Some(&before),
            None,
        )
        .await?;
        transaction.commit().await?;
        Ok(Changed::Done(before))
    }

    async fn change_key(
        &self,
        tenant: &Tenant,
        named: Named<'_>,
        version: Option<i64>,
        action: &str,
        change: &Change,
        make: impl FnOnce(&mut StoredKey) -> Result<(), StoreError>,
    ) -> Result<Changed<StoredKey>, StoreError> {
        let mut transaction = self.begin_changing(change).await?;
        let Some(before) = find(&mut *transaction, tenant, named).await? else {
            return Ok(Changed::Missing);
        };
        if version.is_some_and(|version| version != before.version) {
            return Ok(Changed::Stale);
        }
        let mut after = before.clone();
        make(&mut after)?;
        after.version += 1;
        let opening = &after.opening;
        let (old_hash, old_until) = after.old.clone().unzip();
        let done = sqlx::query(
            "UPDATE caller_keys SET hash = $1, old_hash = $2, old_until_ms = $3, routes = $4, expires_ms = $5, blocked = $6, version = $7, \
             paths = $8, networks = $9, models = $10 WHERE id = $11 AND version = $12 AND removed_ms IS NULL",
        )
        .bind(&after.hash)
        .bind(old_hash)
        .bind(old_until)
        .bind(list(opening.routes.as_ref())?)
        .bind(opening.expires_ms)
        .bind(i64::from(after.is_blocked))
        .bind(after.version)
        .bind(list(opening.paths.as_ref())?)
        .bind(list(opening.networks.as_ref())?)
        .bind(list(opening.models.as_ref())?)
        .bind(&after.id)
        .bind(before.version)
        .execute(&mut *transaction)
        .await?;
        if done.rows_affected() == 0 {
            return Ok(Changed::Stale);
        }
        note(
            &mut transaction,
            self.is_file,
            change,
            action,
            Some(&before),
            Some(&after),
        )
        .await?;
        answered::keep(&mut transaction, change).await?;
        transaction.commit().await?;
        Ok(Changed::Done(after))
    }
}

/// A key by its id or its name.
async fn find(
    place: impl Executor<'_, Database = Any>,
    tenant: &Tenant,
    named: Named<'_>,
) -> Result<Option<StoredKey>, StoreError> {
    let (organisation, team) = tenant.places();
    let (column, value) = match named {
        Named::Id(id) => ("id", id),
        Named::Name(name) => ("name", name),
    };
    let row = sqlx::query(AssertSqlSafe(format!(
        "SELECT {COLUMNS} FROM caller_keys WHERE {column} = $1 AND ($2 = '' OR organisation = $2) AND ($3 = '' OR team = $3) \
         AND removed_ms IS NULL"
    )))
    .bind(value)
    .bind(organisation)
    .bind(team)
    .fetch_optional(place)
    .await?;
    Ok(row.as_ref().map(read).transpose()?)
}

/// Writes a change of a key down, and tells those who look for changes.
async fn note(
    transaction: &mut Transaction<'_, Any>,
    is_file: bool,
    change: &Change,
    action: &str,
    before: Option<&StoredKey>,
    after: Option<&StoredKey>,
) -> Result<(), sqlx::Error> {
    changes::raise(transaction, "keys", is_file).await?;
    let Some(key) = after.or(before) else {
        return Ok(());
    };
    let deed = Deed {
        action,
        kind: "key",
        object: &key.id,
        organisation: &key.organisation,
        team: key.team.as_deref().unwrap_or_default(),
        before: before.map(told),
        after: after.map(told),
    };
    audit::append(transaction, change, deed).await
}

/// What the audit says of a key: nothing that opens anything.
fn told(key: &StoredKey) -> Value {
    json!({
        "name": key.name,
        "team": key.team,
        "app": key.app,
        "routes": key.opening.routes,
        "models": key.opening.models,
        "paths": key.opening.paths,
        "networks": key.opening.networks,
        "expires_ms": key.opening.expires_ms,
        "blocked": key.is_blocked,
        "old_until_ms": key.old.as_ref().map(|(_, until)| until),
    })
}

fn read(row: &AnyRow) -> Result<StoredKey, sqlx::Error> {
    let old_hash: Option<String> = row.try_get("old_hash")?;
    let old_until: Option<i64> = row.try_get("old_until_ms")?;
    let listed = |column: &str| {
        let text: Option<String> = row.try_get(column)?;
        let list = text.map(|text| serde_json::from_str(&text)).transpose();
        list.map_err(|error| sqlx::Error::Decode(Box::new(error)))
    };
    let blocked: i64 = row.try_get("blocked")?;
    Ok(StoredKey {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        team: row.try_get("team")?,
        hash: row.try_get("hash")?,
        old: old_hash.zip(old_until),
        opening: Opening {
            routes: listed("routes")?,
            models: listed("models")?,
            paths: listed("paths")?,
            networks: listed("networks")?,
            expires_ms: row.try_get("expires_ms")?,
        },
        is_blocked: blocked != 0,
        created_ms: row.try_get("created_ms")?,
        organisation: row.try_get("organisation")?,
        app: row.try_get("app")?,
        version: row.try_get("version")?,
    })
}

/// A list as it is kept.
fn list(of: Option<&Vec<String>>) -> Result<Option<String>, sqlx::Error> {
    let text = of.map(serde_json::to_string).transpose();
    text.map_err(|error| sqlx::Error::Encode(Box::new(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_000);
    const LATER: Duration = Duration::from_secs(2_000);

    fn key(old: Option<(&str, i64)>, expires_ms: Option<i64>) -> StoredKey {
        StoredKey {
            id: "id".to_owned(),
            name: "a".to_owned(),
            team: None,
            hash: "second".to_owned(),
            old: old.map(|(hash, until)| (hash.to_owned(), until)),
            opening: Opening {
                expires_ms,
                ..Opening::default()
            },
            is_blocked: false,
            created_ms: 0,
            organisation: String::new(),
            app: None,
            version: 1,
        }
    }

    #[test]
    fn what_was_said_of_an_old_secret_is_kept_unless_told_otherwise() {
        let running = Some(("first", 1_500_000));
        let mut held = key(running, None);
        let refused = held.rotate("third", Overlap::Until(LATER), NOW);
        assert!(matches!(refused, Err(StoreError::Overlapping(1_500_000))));
        assert_eq!(held, key(running, None));
        held.rotate("third", Overlap::KeepOld, NOW).unwrap();
        assert_eq!(held.hash, "third");
        assert_eq!(held.old, Some(("first".to_owned(), 1_500_000)));
        let mut held = key(running, None);
        held.rotate("third", Overlap::None, NOW).unwrap();
        assert_eq!(held.old, Some(("second".to_owned(), 1_000_000)));
    }

    #[test]
    fn an_old_secret_that_is_over_is_nothing_to_mind() {
        for mut over in [
            key(None, None),
            key(Some(("first", 1_000_000)), None),
            // The key's own end was before.
            key(Some(("first", 1_500_000)), Some(900_000)),
        ] {
            let kept = over.clone().rotate("third", Overlap::KeepOld, NOW);
            assert!(matches!(kept, Err(StoreError::NothingOld)));
            over.rotate("third", Overlap::Until(LATER), NOW).unwrap();
            assert_eq!(over.old, Some(("second".to_owned(), 2_000_000)));
        }
    }
}
