//! What people administer, beside keys: small documents of a kind, each of a tenant. No question is put without one.

use std::time::Duration;

use serde_json::Value;
use sqlx::{Any, Executor, Row, Transaction, any::AnyRow};

use crate::{
    Change, Store, StoreError, answered,
    audit::{self, Deed},
    changes, owners,
};

/// The role of those who may do everything.
const OWNER: &str = "owner";

/// Whose things may be seen and changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tenant {
    /// Everybody's: the operator's own view.
    All,
    /// Those of an organisation.
    Organisation(String),
    /// Those of a team of an organisation.
    Team {
        /// The organisation.
        organisation: String,
        /// The team.
        team: String,
    },
}

/// A kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Those who share nothing.
    Organisation,
    /// Of an organisation.
    Team,
    /// Of a team: what calls the gateway.
    App,
    /// A person.
    User,
    /// What a person signs in with.
    Token,
    /// How much may be used.
    Limit,
    /// How much money may be spent.
    Budget,
    /// What a model costs.
    Price,
}

/// An object as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// Its own, for ever.
    pub id: String,
    /// What it is.
    pub kind: Kind,
    /// The organisation that it belongs to.
    pub organisation: String,
    /// The team that it belongs to; empty where it belongs to none.
    pub team: String,
    /// What no other of its kind has now.
    pub name: String,
    /// What it says.
    pub body: Value,
    /// Another with every change, from 1.
    pub version: i64,
    /// When it was made, in milliseconds since 1970-01-01 UTC.
    pub created_ms: i64,
    /// When it was changed last.
    pub changed_ms: i64,
}

/// What became of a change.
#[derive(Clone, Debug, PartialEq)]
pub enum Changed<T> {
    /// It was made; this is how it is now, or was before it was removed.
    Done(T),
    /// There is no such thing for this tenant.
    Missing,
    /// It has changed since it was looked at.
    Stale,
    /// It is the last owner, and one has to be left who may do everything.
    LastOwner,
}

impl Tenant {
    /// The organisation and the team, empty where any will do.
    pub(crate) fn places(&self) -> (&str, &str) {
        match self {
            Self::All => ("", ""),
            Self::Organisation(organisation) => (organisation, ""),
            Self::Team { organisation, team } => (organisation, team),
        }
    }

    /// Whether something of these belongs to it.
    pub fn has(&self, organisation: &str, team: &str) -> bool {
        match self {
            Self::All => true,
            Self::Organisation(own) => own == organisation,
            Self::Team {
                organisation: own,
                team: of,
            } => own == organisation && of == team,
        }
    }
}

impl Object {
    /// As it is when it is made at this time, since 1970-01-01 UTC.
    #[must_use]
    pub fn made_at(self, at: Duration) -> Self {
        let now = milliseconds(at);
        Self {
            version: 1,
            created_ms: now,
            changed_ms: now,
            ..self
        }
    }
}

impl Kind {
    /// All.
    pub const ALL: [Self; 8] = [
        Self::Organisation,
        Self::Team,
        Self::App,
        Self::User,
        Self::Token,
        Self::Limit,
        Self::Budget,
        Self::Price,
    ];

    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Organisation => "organisation",
            Self::Team => "team",
            Self::App => "app",
            Self::User => "user",
            Self::Token => "token",
            Self::Limit => "limit",
            Self::Budget => "budget",
            Self::Price => "price",
        }
    }

    /// Whether the books name it, so that nobody may be called so after it.
    const fn is_named_for_ever(self) -> bool {
        match self {
            Self::Organisation | Self::Team | Self::App | Self::User => true,
            Self::Token | Self::Limit | Self::Budget | Self::Price => false,
        }
    }

    fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

const COLUMNS: &str = "id, kind, organisation, team, name, body, version, created_ms, changed_ms";

impl Store {
    /// Adds an object; its version, and when it was made, are set here.
    ///
    /// # Errors
    /// When there is one of that name, or was one whose name stays for ever, what the change's request asks was answered before, or the database fails.
    pub async fn add_object(&self, object: Object, change: &Change) -> Result<Object, StoreError> {
        let object = object.made_at(change.at);
        let mut transaction = self.begin_changing(change).await?;
        let added = sqlx::query(
            "INSERT INTO objects (id, kind, organisation, team, name, body, version, created_ms, changed_ms) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(&object.id)
        .bind(object.kind.as_str())
        .bind(&object.organisation)
        .bind(&object.team)
        .bind(&object.name)
        .bind(object.body.to_string())
        .bind(object.version)
        .bind(object.created_ms)
        .bind(object.changed_ms)
        .execute(&mut *transaction)
        .await;
        match added {
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
                return Err(StoreError::Taken {
                    kind: object.kind.as_str(),
                    name: object.name,
                });
            }
            added => added?,
        };
        // Behind the insertion, which nobody can remove one of that name after.
        if object.kind.is_named_for_ever()
            && was_there(&mut transaction, object.kind, &object.name).await?
        {
            return Err(StoreError::TakenForEver {
                kind: object.kind.as_str(),
                name: object.name,
            });
        }
        if object.kind == Kind::Team {
            let (organisation, team) = (&object.organisation, &object.name);
            owners::hand_over(&mut transaction, organisation, team, self.is_file).await?;
        }
        self.note(
            &mut transaction,
            change,
            "create",
            &object,
            None,
            Some(&object),
        )
        .await?;
        answered::keep(&mut transaction, change).await?;
        transaction.commit().await?;
        Ok(object)
    }

    /// An object by its id.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn object(
        &self,
        tenant: &Tenant,
        kind: Kind,
        id: &str,
    ) -> Result<Option<Object>, StoreError> {
        find(&self.pool, tenant, kind, id).await
    }

    /// An object by its name, whoever's it is: names of a kind are one person's at a time.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn object_named(&self, kind: Kind, name: &str) -> Result<Option<Object>, StoreError> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM objects WHERE kind = $1 AND name = $2 AND removed_ms IS NULL"
        )))
        .bind(kind.as_str())
        .bind(name)
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.as_ref().map(read).transpose()?)
    }

    /// A tenant's objects by id, those after one, at most so many.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn objects(
        &self,
        tenant: &Tenant,
        kind: Kind,
        after: Option<&str>,
        most: i64,
    ) -> Result<Vec<Object>, StoreError> {
        let (organisation, team) = tenant.places();
        let bytewise = self.bytewise();
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM objects WHERE kind = $1 AND ($2 = '' OR organisation = $2) AND ($3 = '' OR team = $3) \
             AND id{bytewise} > $4 AND removed_ms IS NULL ORDER BY id{bytewise} LIMIT $5"
        )))
        .bind(kind.as_str())
        .bind(organisation)
        .bind(team)
        .bind(after.unwrap_or_default())
        .bind(most)
        .fetch_all(&self.pool)
        .await?;
        let objects: Result<_, sqlx::Error> = rows.iter().map(read).collect();
        Ok(objects?)
    }

    /// Gives an object other words. `version` is the one that was looked at, where that matters; where not, it is changed as it is then.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn replace_object(
        &self,
        tenant: &Tenant,
        kind: Kind,
        id: &str,
        version: Option<i64>,
        body: Value,
        change: &Change,
    ) -> Result<Changed<Object>, StoreError> {
        let mut transaction = self.begin_changing(change).await?;
        let Some(before) = find(&mut *transaction, tenant, kind, id).await? else {
            return Ok(Changed::Missing);
        };
        if version.is_some_and(|version| version != before.version) {
            return Ok(Changed::Stale);
        }
        let after = Object {
            body,
            version: before.version + 1,
            changed_ms: milliseconds(change.at),
            ..before.clone()
        };
        let done = sqlx::query(
            "UPDATE objects SET body = $1, version = $2, changed_ms = $3 WHERE id = $4 AND version = $5 AND kind = $6 AND removed_ms IS NULL",
        )
        .bind(after.body.to_string())
        .bind(after.version)
        .bind(after.changed_ms)
        .bind(id)
        .bind(before.version)
        .bind(kind.as_str())
        .execute(&mut *transaction)
        .await?;
        if done.rows_affected() == 0 {
            return Ok(Changed::Stale);
        }
        self.note(
            &mut transaction,
            change,
            "replace",
            &before,
            Some(&before),
            Some(&after),
        )
        .await?;
        if is_owner(&before) && !is_owner(&after) && !has_owner(&mut transaction).await? {
            return Ok(Changed::LastOwner);
        }
        transaction.commit().await?;
        Ok(Changed::Done(after))
    }

    /// Removes an object; gives it as it was.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn remove_object(
        &self,
        tenant: &Tenant,
        kind: Kind,
        id: &str,
        version: Option<i64>,
        change: &Change,
    ) -> Result<Changed<Object>, StoreError> {
        let mut transaction = self.begin_changing(change).await?;
        let Some(before) = find(&mut *transaction, tenant, kind, id).await? else {
            return Ok(Changed::Missing);
        };
        if version.is_some_and(|version| version != before.version) {
            return Ok(Changed::Stale);
        }
        let done = sqlx::query("UPDATE objects SET removed_ms = $1 WHERE id = $2 AND version = $3 AND kind = $4 AND removed_ms IS NULL")
            .bind(milliseconds(change.at))
            .bind(id)
            .bind(before.version)
            .bind(kind.as_str())
            .execute(&mut *transaction)
            .await?;
        if done.rows_affected() == 0 {
            return Ok(Changed::Stale);
        }
        self.note(
            &mut transaction,
            change,
            "remove",
            &before,
            Some(&before),
            None,
        )
        .await?;
        if is_owner(&before) && !has_owner(&mut transaction).await? {
            return Ok(Changed::LastOwner);
        }
        transaction.commit().await?;
        Ok(Changed::Done(before))
    }

    /// A number that changes with every change of an object.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn change_of_objects(&self) -> Result<i64, StoreError> {
        self.change_of("objects").await
    }

    async fn note(
        &self,
        transaction: &mut Transaction<'_, Any>,
        change: &Change,
        action: &str,
        object: &Object,
        before: Option<&Object>,
        after: Option<&Object>,
    ) -> Result<(), sqlx::Error> {
        changes::raise(transaction, "objects", self.is_file).await?;
        let deed = Deed {
            action,
            kind: object.kind.as_str(),
            object: &object.id,
            organisation: &object.organisation,
            team: &object.team,
            before: before.map(|object| object.body.clone()),
            after: after.map(|object| object.body.clone()),
        };
        audit::append(transaction, change, deed).await
    }
}

/// An object by its id.
async fn find(
    place: impl Executor<'_, Database = Any>,
    tenant: &Tenant,
    kind: Kind,
    id: &str,
) -> Result<Option<Object>, StoreError> {
    let (organisation, team) = tenant.places();
    let row = sqlx::query(sqlx::AssertSqlSafe(format!(
        "SELECT {COLUMNS} FROM objects WHERE id = $1 AND kind = $2 AND ($3 = '' OR organisation = $3) AND ($4 = '' OR team = $4) \
         AND removed_ms IS NULL"
    )))
    .bind(id)
    .bind(kind.as_str())
    .bind(organisation)
    .bind(team)
    .fetch_optional(place)
    .await?;
    Ok(row.as_ref().map(read).transpose()?)
}

/// Whether one of that name was removed.
async fn was_there(
    transaction: &mut Transaction<'_, Any>,
    kind: Kind,
    name: &str,
) -> Result<bool, sqlx::Error> {
    let row = sqlx::query(
        "SELECT id FROM objects WHERE kind = $1 AND name = $2 AND removed_ms IS NOT NULL LIMIT 1",
    )
    .bind(kind.as_str())
    .bind(name)
    .fetch_optional(&mut **transaction)
    .await?;
    Ok(row.is_some())
}

fn read(row: &AnyRow) -> Result<Object, sqlx::Error> {
    let kind: String = row.try_get("kind")?;
    let kind = Kind::parse(&kind).ok_or_else(|| sqlx::Error::Decode("an unknown kind".into()))?;
    let body: String = row.try_get("body")?;
    let body = serde_json::from_str(&body).map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
    Ok(Object {
        id: row.try_get("id")?,
        kind,
        organisation: row.try_get("organisation")?,
        team: row.try_get("team")?,
        name: row.try_get("name")?,
        body,
        version: row.try_get("version")?,
        created_ms: row.try_get("created_ms")?,
        changed_ms: row.try_get("changed_ms")?,
    })
}

pub(crate) fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// Whether a person may do everything.
fn is_owner(object: &Object) -> bool {
    object.kind == Kind::User && object.body["role"] == OWNER
}

/// Whether anybody is left who may do everything.
async fn has_owner(transaction: &mut Transaction<'_, Any>) -> Result<bool, StoreError> {
    let bodies = sqlx::query("SELECT body FROM objects WHERE kind = $1 AND removed_ms IS NULL")
        .bind(Kind::User.as_str())
        .fetch_all(&mut **transaction)
        .await?;
    for row in bodies {
        let body: Value = serde_json::from_str(row.try_get("body")?).unwrap_or_default();
        if body["role"] == OWNER {
            return Ok(true);
        }
    }
    Ok(false)
}
