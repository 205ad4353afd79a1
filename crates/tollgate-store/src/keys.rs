//! Callers' keys that are made by command, rather than written into the configuration. What is kept of a key is its hash.

use std::time::Duration;

use sqlx::{Any, Row, Transaction, any::AnyRow};

use crate::{Store, StoreError};

/// A key as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredKey {
    /// Its own, for ever.
    pub id: String,
    /// Whose it is; no two keys have it at the same time.
    pub name: String,
    /// The team that it belongs to.
    pub team: Option<String>,
    /// `sha256:` and 64 hex digits.
    pub hash: String,
    /// The hash of the key before, and how long that still opens, in milliseconds since 1970-01-01 UTC.
    pub old: Option<(String, i64)>,
    /// The routes that it opens; `None` for all.
    pub routes: Option<Vec<String>>,
    /// When it ends, in milliseconds since 1970-01-01 UTC.
    pub expires_ms: Option<i64>,
    /// It opens nothing until it is unblocked.
    pub is_blocked: bool,
    /// When it was made, in milliseconds since 1970-01-01 UTC.
    pub created_ms: i64,
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

impl Store {
    /// All keys.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn keys(&self) -> Result<StoredKeys, StoreError> {
        // The number first: what changes in between is read again.
        let change = self.change_of_keys().await?;
        let rows = sqlx::query(
            "SELECT id, name, team, hash, old_hash, old_until_ms, routes, expires_ms, blocked, created_ms, removed_ms \
             FROM caller_keys ORDER BY name",
        )
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
        let row = sqlx::query("SELECT number FROM changes WHERE what = 'keys'")
            .fetch_one(&self.pool)
            .await?;
        Ok(row.try_get("number")?)
    }

    /// Adds a key.
    ///
    /// # Errors
    /// When there is one of that name, or the database fails.
    pub async fn add_key(&self, key: &StoredKey) -> Result<(), StoreError> {
        let mut transaction = self.pool.begin().await?;
        let routes = key.routes.as_ref().map(serde_json::to_string).transpose();
        let routes = routes.map_err(|error| sqlx::Error::Encode(Box::new(error)))?;
        let added = sqlx::query(
            "INSERT INTO caller_keys (id, name, team, hash, routes, expires_ms, blocked, created_ms) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(&key.id)
        .bind(&key.name)
        .bind(&key.team)
        .bind(&key.hash)
        .bind(routes)
        .bind(key.expires_ms)
        .bind(i64::from(key.is_blocked))
        .bind(key.created_ms)
        .execute(&mut *transaction)
        .await;
        match added {
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
                return Err(StoreError::Taken(key.name.clone()));
            }
            added => added?,
        };
        changed(&mut transaction).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Gives a key another secret; the one before opens until a time, since 1970-01-01 UTC. Says whether there is such a key.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn rotate_key(
        &self,
        name: &str,
        hash: &str,
        old_until: Duration,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE caller_keys SET old_hash = hash, old_until_ms = $2, hash = $3 WHERE name = $1 AND removed_ms IS NULL";
        let query = sqlx::query(sql).bind(name);
        self.change(query.bind(milliseconds(old_until)).bind(hash))
            .await
    }

    /// Blocks a key, or unblocks it. Says whether there is such a key.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn block_key(&self, name: &str, is_blocked: bool) -> Result<bool, StoreError> {
        let sql = "UPDATE caller_keys SET blocked = $2 WHERE name = $1 AND removed_ms IS NULL";
        let query = sqlx::query(sql).bind(name);
        self.change(query.bind(i64::from(is_blocked))).await
    }

    /// Removes a key for good. Says whether there is such a key.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn remove_key(&self, name: &str, now: Duration) -> Result<bool, StoreError> {
        let sql = "UPDATE caller_keys SET removed_ms = $2 WHERE name = $1 AND removed_ms IS NULL";
        let query = sqlx::query(sql).bind(name);
        self.change(query.bind(milliseconds(now))).await
    }

    async fn change(
        &self,
        query: sqlx::query::Query<'_, Any, sqlx::any::AnyArguments>,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let done = query.execute(&mut *transaction).await?;
        changed(&mut transaction).await?;
        transaction.commit().await?;
        Ok(done.rows_affected() > 0)
    }
}

async fn changed(transaction: &mut Transaction<'_, Any>) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE changes SET number = number + 1 WHERE what = 'keys'")
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

fn read(row: &AnyRow) -> Result<StoredKey, sqlx::Error> {
    let old_hash: Option<String> = row.try_get("old_hash")?;
    let old_until: Option<i64> = row.try_get("old_until_ms")?;
    let routes: Option<String> = row.try_get("routes")?;
    let routes = routes
        .map(|routes| serde_json::from_str(&routes))
        .transpose();
    let blocked: i64 = row.try_get("blocked")?;
    Ok(StoredKey {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        team: row.try_get("team")?,
        hash: row.try_get("hash")?,
        old: old_hash.zip(old_until),
        routes: routes.map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
        expires_ms: row.try_get("expires_ms")?,
        is_blocked: blocked != 0,
        created_ms: row.try_get("created_ms")?,
    })
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
