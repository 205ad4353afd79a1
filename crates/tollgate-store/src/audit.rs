//! The audit: every administrative change, in the transaction that makes it, in a chain of hashes, so that a row that was changed or taken
//! out is found.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use sqlx::{Any, Row, Transaction, any::AnyRow};

use crate::{NewAnswer, Store, StoreError, Tenant, changing};

/// Rows that are read at a time.
const PAGE: i64 = 1_000;

/// What the first row's hash is over, in the place of the row before.
const BEGINNING: &str = "";

/// Who changes something, when and from where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Since 1970-01-01 UTC.
    pub at: Duration,
    /// A user's name, or who else it was.
    pub actor: String,
    /// The address that the request came from, or where else it came from.
    pub source: String,
    /// So many changes there were when it was planned, where it depends on what is there: it is not made behind any other.
    pub planned_behind: Option<i64>,
    /// The answer to whoever adds something by a request that may be sent again; kept with what is added.
    pub answer: Option<NewAnswer>,
}

/// A change of a thing.
#[derive(Clone, Debug)]
pub(crate) struct Deed<'a> {
    pub(crate) action: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) object: &'a str,
    pub(crate) organisation: &'a str,
    pub(crate) team: &'a str,
    pub(crate) before: Option<Value>,
    pub(crate) after: Option<Value>,
}

/// A row of the audit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditRow {
    /// From 1, without gaps.
    pub number: i64,
    /// When, in milliseconds since 1970-01-01 UTC.
    pub at_ms: i64,
    /// Who.
    pub actor: String,
    /// From where.
    pub source: String,
    /// What was done: `create`, `replace`, `remove` and so on.
    pub action: String,
    /// To what kind of thing.
    pub kind: String,
    /// Its id.
    pub object: String,
    /// The organisation that it belongs to; empty where it belongs to none.
    pub organisation: String,
    /// The team; empty where it belongs to none.
    pub team: String,
    /// How it was, as JSON.
    pub before: Option<String>,
    /// How it is since, as JSON.
    pub after: Option<String>,
    /// Over all of these and the hash of the row before.
    pub hash: String,
}

/// What a look at the whole audit found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every row is as it was written.
    Whole {
        /// So many.
        rows: i64,
        /// The last one's hash: written down elsewhere, it shows later that none was taken off the end.
        hash: String,
    },
    /// Something is not.
    Broken {
        /// At this row.
        number: i64,
        /// What is wrong.
        problem: String,
    },
}

/// Writes a change down, in a transaction that began as one.
pub(crate) async fn append(
    transaction: &mut Transaction<'_, Any>,
    change: &Change,
    deed: Deed<'_>,
) -> Result<(), sqlx::Error> {
    let number = changing::number(transaction).await?;
    let last: Option<String> = sqlx::query_scalar("SELECT hash FROM audit WHERE number = $1")
        .bind(number - 1)
        .fetch_optional(&mut **transaction)
        .await?;
    let text = |value: Option<Value>| value.map(|value| value.to_string());
    let mut row = AuditRow {
        number,
        at_ms: i64::try_from(change.at.as_millis()).unwrap_or(i64::MAX),
        actor: change.actor.clone(),
        source: change.source.clone(),
        action: deed.action.to_owned(),
        kind: deed.kind.to_owned(),
        object: deed.object.to_owned(),
        organisation: deed.organisation.to_owned(),
        team: deed.team.to_owned(),
        before: text(deed.before),
        after: text(deed.after),
        hash: String::new(),
    };
    row.hash = hash(&row, last.as_deref().unwrap_or(BEGINNING));
    sqlx::query(
        "INSERT INTO audit (number, at_ms, actor, source, action, kind, object, organisation, team, before, after, hash) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    )
    .bind(row.number)
    .bind(row.at_ms)
    .bind(row.actor)
    .bind(row.source)
    .bind(row.action)
    .bind(row.kind)
    .bind(row.object)
    .bind(row.organisation)
    .bind(row.team)
    .bind(row.before)
    .bind(row.after)
    .bind(row.hash)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// The hash of a row after one that has this hash: SHA-256, in hex, over a JSON list of both.
fn hash(row: &AuditRow, last: &str) -> String {
    let words = serde_json::json!([
        last,
        row.number,
        row.at_ms,
        row.actor,
        row.source,
        row.action,
        row.kind,
        row.object,
        row.organisation,
        row.team,
        row.before,
        row.after
    ]);
    hex(&Sha256::digest(words.to_string().as_bytes()))
}

/// A hash as it is written down.
pub(crate) fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Store {
    /// Rows of a tenant's, the newest first; those before a number, at most so many.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn audit(
        &self,
        tenant: &Tenant,
        before: Option<i64>,
        most: i64,
    ) -> Result<Vec<AuditRow>, StoreError> {
        let (organisation, team) = tenant.places();
        let rows = sqlx::query(
            "SELECT * FROM audit WHERE number < $1 AND ($2 = '' OR organisation = $2) AND ($3 = '' OR team = $3) \
             ORDER BY number DESC LIMIT $4",
        )
        .bind(before.unwrap_or(i64::MAX))
        .bind(organisation)
        .bind(team)
        .bind(most)
        .fetch_all(&self.pool)
        .await?;
        let rows: Result<_, sqlx::Error> = rows.iter().map(read).collect();
        Ok(rows?)
    }

    /// Looks through the whole audit.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn verify_audit(&self) -> Result<Verdict, StoreError> {
        let (mut number, mut last, mut most) = (0, BEGINNING.to_owned(), PAGE);
        // Numbers that no row has may have been given to one.
        let mut from = i64::MIN;
        loop {
            let rows = match self.audit_from(from, most).await {
                // One of them: the next one, or one behind it.
                Err(error) if is_unreadable(&error) && most > 1 => {
                    most = 1;
                    continue;
                }
                Err(error) if is_unreadable(&error) => {
                    let problem = format!("it cannot be read: {error}");
                    return Ok(broken(number + 1, problem));
                }
                rows => rows?,
            };
            if rows.is_empty() {
                break;
            }
            for row in rows {
                if row.number <= number {
                    return Ok(broken(row.number, "no row has this number".to_owned()));
                }
                if row.number != number + 1 {
                    let problem = format!("row {} is missing", number + 1);
                    return Ok(broken(row.number, problem));
                }
                if row.hash != hash(&row, &last) {
                    let problem = "its words are not those that were written";
                    return Ok(broken(row.number, problem.to_owned()));
                }
                (number, last, from) = (row.number, row.hash, row.number + 1);
            }
        }
        let written: Result<Option<i64>, sqlx::Error> =
            sqlx::query_scalar("SELECT number FROM changes WHERE what = 'audit'")
                .fetch_optional(&self.pool)
                .await;
        let problem = match written {
            Ok(Some(written)) if written == number => None,
            Ok(Some(written)) => Some(format!(
                "{written} rows were written, and the last are missing"
            )),
            Err(error) if !is_unreadable(&error) => return Err(error.into()),
            Ok(None) | Err(_) => Some(
                "how many rows were written is not there any more, and the last may be missing"
                    .to_owned(),
            ),
        };
        Ok(match problem {
            Some(problem) => broken(number + 1, problem),
            None => Verdict::Whole {
                rows: number,
                hash: last,
            },
        })
    }

    /// Rows from a number on.
    async fn audit_from(&self, number: i64, most: i64) -> Result<Vec<AuditRow>, sqlx::Error> {
        let rows = sqlx::query("SELECT * FROM audit WHERE number >= $1 ORDER BY number LIMIT $2")
            .bind(number)
            .bind(most)
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(read).collect()
    }
}

fn broken(number: i64, problem: String) -> Verdict {
    Verdict::Broken { number, problem }
}

/// Whether what is there is not what is written there.
fn is_unreadable(error: &sqlx::Error) -> bool {
    matches!(
        error,
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::AnyDriverError(_)
    )
}

fn read(row: &AnyRow) -> Result<AuditRow, sqlx::Error> {
    Ok(AuditRow {
        number: row.try_get("number")?,
        at_ms: row.try_get("at_ms")?,
        actor: row.try_get("actor")?,
        source: row.try_get("source")?,
        action: row.try_get("action")?,
        kind: row.try_get("kind")?,
        object: row.try_get("object")?,
        organisation: row.try_get("organisation")?,
        team: row.try_get("team")?,
        before: row.try_get("before")?,
        after: row.try_get("after")?,
        hash: row.try_get("hash")?,
    })
}
