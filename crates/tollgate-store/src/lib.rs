//! The database: `SQLite`, a file, or `PostgreSQL` for more than one node, asked the same questions.
//!
//! Only here is SQL spoken. The data plane never comes here: it writes a journal, which a [`Keeper`] enters into the books.

mod answered;
mod audit;
mod backup;
mod batches;
mod calls;
mod changes;
mod changing;
mod failure;
mod file;
mod keeper;
mod keys;
mod ledger;
mod objects;
mod owners;
mod payloads;
mod responses;
mod retention;
mod schema;
mod sums;
mod usage;
mod values;

#[cfg(test)]
mod tests;

use std::{
    borrow::Cow, fs::OpenOptions, os::unix::fs::OpenOptionsExt, str::FromStr, sync::Arc,
    time::Duration,
};

use file::FileWriter;
use ledger::{Entering, Statements};
use sqlx::{
    Any, AnyConnection, AnyPool, Connection, Transaction, any::AnyPoolOptions,
    migrate::MigrateError, sqlite::SqliteConnectOptions,
};
use thiserror::Error;
use tokio::sync::Mutex;

pub use answered::{Answered, NewAnswer};
pub use audit::{AuditRow, Change, Verdict};
pub use backup::{BackupError, Restored};
pub use calls::{Before, CallsQuery};
pub use changes::ChangeFeed;
pub use failure::Failure;
pub use keeper::{Dead, Keeper, Round, Skipped};
pub use keys::{Named, Opening, Overlap, StoredKey, StoredKeys};
pub use objects::{Changed, Kind, Object, Tenant};
pub use responses::KeptResponse;
pub use usage::{Dimension, UsageQuery, UsageRow};

/// Connections to a server at most. A file has one, whose thread and cache are not for nothing: nobody here asks two things at once.
const CONNECTIONS_MAX: u32 = 4;

/// How long a connection may take; a server that refuses is asked again within that time.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(2);

/// What `PostgreSQL` says of a text with a NUL, which it keeps in none (its manual, appendix A: `character_not_in_repertoire`).
const NUL: &str = "22021";

/// How codes of `PostgreSQL` begin that say that nothing is to be had of it for now: connections that fail, too many of them, a server that stops or
/// starts (its manual, appendix A).
const AWAY: [&str; 3] = ["08", "53300", "57P0"];

/// A database that is open, with its tables as this program wants them.
#[derive(Clone, Debug)]
pub struct Store {
    pool: AnyPool,
    /// It is `SQLite`.
    is_file: bool,
    entering: Arc<Entering>,
    /// Held by whoever plans a change here and makes it.
    changing: Arc<Mutex<()>>,
}

/// Why the database could not do something.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The address is none.
    #[error(
        "the store's `url` begins with `sqlite:` (then a path) or with `postgres://`, not as `{0}` does"
    )]
    Url(String),
    /// It could not be opened.
    #[error("cannot open the database")]
    Open(#[source] Failure),
    /// Its tables could not be made, or are not as this program knows them.
    #[error("the database's tables are not as this version wants them")]
    Schema(#[source] MigrateError),
    /// Its tables were changed by a program that is newer than this one.
    #[error(
        "a newer version of tollgate has changed the database (its change {0} is not known here): start that version, or restore a backup of before"
    )]
    Newer(i64),
    /// It did not answer in time.
    #[error("the database did not answer within {0:?}")]
    Slow(Duration),
    /// There is one of that name already.
    #[error("there is a {kind} named `{name}` already")]
    Taken {
        /// What it is.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// There was one of that name, which the books still name.
    #[error(
        "there was a {kind} named `{name}`, and the books still name it: a name stays for ever, so take another"
    )]
    TakenForEver {
        /// What it was.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// The request's key has come before, and something was answered.
    #[error("a request with this key was answered before")]
    Repeated,
    /// Something else was changed between the plan of a change and the change.
    #[error("something else was changed at the same time: try again")]
    Overtaken,
    /// A key is to get another secret while the one before the one that it has still opens: until then, in milliseconds since 1970-01-01 UTC.
    #[error("the key's secret of before still opens")]
    Overlapping(i64),
    /// A key's secret of before is to be kept, and opens no more.
    #[error("the key has no secret of before that still opens")]
    NothingOld,
    /// Others do the same at the same time.
    #[error("another process keeps entering the same records")]
    Busy,
    /// It cannot be reached.
    #[error("the database cannot be reached")]
    Away(#[source] Failure),
    /// A text has a sign that it does not keep, NUL.
    #[error("the database keeps no text with a NUL in it")]
    Nul(#[source] Failure),
    /// It did not do what it was asked.
    #[error("the database failed")]
    Failed(#[source] Failure),
    /// The file did not take what was to be entered.
    #[error("the database failed")]
    File(#[from] rusqlite::Error),
    /// The journal could not be read.
    #[error("cannot read the journal")]
    Journal(#[source] std::io::Error),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(|error| error.code());
        let code = code.map(Cow::into_owned).unwrap_or_default();
        match error {
            error if code == NUL => Self::Nul(error.into()),
            error if AWAY.iter().any(|away| code.starts_with(away)) => Self::Away(error.into()),
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed => Self::Away(error.into()),
            error => Self::Failed(error.into()),
        }
    }
}

impl Store {
    /// Opens a database, makes it where it is a file that is not there yet, and brings its tables up to date.
    ///
    /// # Errors
    /// When it cannot be reached, or its tables are of another version.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        sqlx::any::install_default_drivers();
        let is_file = is_file(url);
        if !is_file && !url.starts_with("postgres:") && !url.starts_with("postgresql:") {
            let scheme = url.split(':').next().unwrap_or_default();
            return Err(StoreError::Url(scheme.to_owned()));
        }
        let url = match url.contains('?') {
            false if is_file => format!("{url}?mode=rwc"),
            _ => url.to_owned(),
        };
        if is_file {
            let begun = begin_file(&url).await;
            begun.map_err(|error| StoreError::Open(error.into()))?;
        }
        let pool = AnyPoolOptions::new()
            .max_connections(if is_file { 1 } else { CONNECTIONS_MAX })
            .acquire_timeout(CONNECTION_TIMEOUT)
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    if is_file {
                        schema::prepare_file(connection).await?;
                    }
                    Ok(())
                })
            })
            .connect(&url)
            .await;
        let pool = match pool {
            Ok(pool) => pool,
            Err(error) => return Err(StoreError::Open(Failure::of_opening(&url, error).await)),
        };
        let entering = if is_file {
            let writer = FileWriter::new(&url);
            let writer = writer.map_err(|error| StoreError::Open(error.into()))?;
            Entering::File(Box::new(writer))
        } else {
            Entering::Server(Box::new(Statements::new()))
        };
        schema::migrate(&pool).await.map_err(|error| match error {
            MigrateError::VersionMissing(version) => StoreError::Newer(version),
            error => StoreError::Schema(error),
        })?;
        Ok(Self {
            pool,
            is_file,
            entering: Arc::new(entering),
            changing: Arc::default(),
        })
    }

    /// A transaction that writes. A file has one writer at a time: whoever waited for his turn with what he read before would find it outdated.
    pub(crate) async fn begin_writing(&self) -> Result<Transaction<'static, Any>, sqlx::Error> {
        if self.is_file {
            self.pool.begin_with("BEGIN IMMEDIATE").await
        } else {
            self.pool.begin().await
        }
    }

    /// Has a statement compare a text as bytes, which a file does anyway: a server compares as its language does, and what is told in pages goes
    /// by bytes everywhere.
    pub(crate) const fn bytewise(&self) -> &'static str {
        if self.is_file { "" } else { r#" COLLATE "C""# }
    }

    /// Closes it, what was asked done.
    pub async fn close(&self) {
        if let Entering::File(writer) = &*self.entering {
            writer.close();
        }
        self.pool.close().await;
    }
}

/// Makes the file where it is not there yet, for nobody else to read, as what `SQLite` makes beside it is then, too; and sees that it is a database: a
/// pool that cannot use it would only say that it has waited for long.
async fn begin_file(url: &str) -> Result<(), sqlx::Error> {
    let options = SqliteConnectOptions::from_str(url)?;
    if url.ends_with("?mode=rwc") {
        // Where this fails, opening it says why.
        let _made = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(options.get_filename());
    }
    let mut connection = AnyConnection::connect(url).await?;
    schema::prepare_file(&mut connection).await?;
    connection.close().await
}

/// Whether an address is that of a `SQLite` file.
fn is_file(url: &str) -> bool {
    url.starts_with("sqlite:")
}
