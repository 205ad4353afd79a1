//! The tables, and how they come to be.

use std::{borrow::Cow, time::Duration};

use sqlx::{
    AnyConnection, AnyPool, Executor,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
};
use tokio::time::sleep;

/// Every change of the tables there ever was, in order. What has been published is never changed, only added to.
const MIGRATIONS: [(i64, &str, &str); 17] = [
    (1, "usage", include_str!("../migrations/0001_usage.sql")),
    (2, "keys", include_str!("../migrations/0002_keys.sql")),
    (3, "sums", include_str!("../migrations/0003_sums.sql")),
    (
        4,
        "administration",
        include_str!("../migrations/0004_administration.sql"),
    ),
    (
        5,
        "responses",
        include_str!("../migrations/0005_responses.sql"),
    ),
    (6, "places", include_str!("../migrations/0006_places.sql")),
    (
        7,
        "estimated",
        include_str!("../migrations/0007_estimated.sql"),
    ),
    (8, "tags", include_str!("../migrations/0008_tags.sql")),
    (
        9,
        "calls_kept",
        include_str!("../migrations/0009_calls_kept.sql"),
    ),
    (
        10,
        "failures",
        include_str!("../migrations/0010_failures.sql"),
    ),
    (
        11,
        "failures_by_caller",
        include_str!("../migrations/0011_failures_by_caller.sql"),
    ),
    (12, "models", include_str!("../migrations/0012_models.sql")),
    (
        13,
        "unmetered",
        include_str!("../migrations/0013_unmetered.sql"),
    ),
    (14, "detail", include_str!("../migrations/0014_detail.sql")),
    (15, "apps", include_str!("../migrations/0015_apps.sql")),
    (
        16,
        "searches and clients",
        include_str!("../migrations/0016_searches_and_clients.sql"),
    ),
    (17, "teams' keys", TEAMS_KEYS),
];

/// Gives organisations what was their teams' before there were these teams. Older backups want it, too.
pub(crate) const TEAMS_KEYS: &str = include_str!("../migrations/0017_teams_keys.sql");

/// Looks at most, and the pause between them.
const TRIES_MAX: u32 = 5;
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Brings the tables up to date. One process does that at a time: `PostgreSQL` holds a lock, and in a file each change is made whole or
/// not at all.
///
/// # Errors
/// When that fails, or the database has seen a change that this program does not know, or another one under its name.
pub(crate) async fn migrate(pool: &AnyPool) -> Result<(), MigrateError> {
    migrate_to(pool, i64::MAX).await
}

/// Brings the tables to where they were at a version.
pub(crate) async fn migrate_to(pool: &AnyPool, last: i64) -> Result<(), MigrateError> {
    let migrations = MIGRATIONS.iter().filter(|(version, ..)| *version <= last);
    let migrations = migrations.map(|(version, description, sql)| {
        Migration::new(
            *version,
            Cow::Borrowed(*description),
            MigrationType::Simple,
            sqlx::SqlStr::from_static(sql),
            false,
        )
    });
    let migrator = Migrator {
        migrations: migrations.collect(),
        ..Migrator::DEFAULT
    };
    let mut tries = 1;
    loop {
        match migrator.run(pool).await {
            // In a file there is no lock for this: another process may just have made the same tables, which a second look tells.
            Err(MigrateError::ExecuteMigration(..) | MigrateError::Execute(_))
                if tries < TRIES_MAX =>
            {
                tries += 1;
                sleep(TRY_AGAIN_AFTER).await;
            }
            result => return result,
        }
    }
}

/// Sets a connection to `SQLite`: readers do not wait for the writer, and a commit survives the death of the process. One that the
/// machine itself dies over may be lost from the end; the journal has it until the next commit is on the disk.
pub(crate) async fn prepare_file(connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
    connection.execute("PRAGMA busy_timeout = 5000").await?;
    write_ahead(connection).await?;
    for pragma in ["PRAGMA synchronous = NORMAL", "PRAGMA foreign_keys = ON"] {
        connection.execute(pragma).await?;
    }
    Ok(())
}

/// `SQLite` does not wait for others who are doing the same to a new file.
async fn write_ahead(connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
    let mut tries = 1;
    loop {
        match connection.execute("PRAGMA journal_mode = WAL").await {
            Err(error) if is_busy(&error) && tries < TRIES_MAX => {
                tries += 1;
                sleep(TRY_AGAIN_AFTER).await;
            }
            result => return result.map(|_| ()),
        }
    }
}

/// Whether the file is locked by another (<https://www.sqlite.org/rescode.html#busy>, read 2026-11): the last byte of the code says so.
fn is_busy(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    let code = code.and_then(|code| code.parse::<u32>().ok());
    code.is_some_and(|code| code & 0xff == 5)
}
