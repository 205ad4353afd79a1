//! The way into books that are a file: a connection of their own, used by whoever enters records, in his own thread.
//!
//! Everything else that is asked of the database goes by the pool, the same way for both kinds. Records are too many for that: each value would be boxed, sent to another
//! thread and boxed again, three times the work of entering it (measured: 42 against 12 microseconds a record).

use std::{
    fmt,
    path::PathBuf,
    str::FromStr,
    sync::{Mutex, PoisonError},
};

use rusqlite::{Connection, OpenFlags, Statement, TransactionBehavior};
use sqlx::sqlite::SqliteConnectOptions;
use tollgate_domain::UsageRecord;

use crate::{
    batches::insertion,
    ledger::{COLUMNS, values},
    payloads,
    retention::KEPT_FROM,
    sums::{self, Source, addition},
    values::Value,
};

/// Set on the connection. What is entered in one transaction stays in memory until its end, and pages that change all the time go from the log into the
/// file once in four thousand pages.
const PRAGMAS: &str = "PRAGMA synchronous = NORMAL; PRAGMA busy_timeout = 5000; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -8192; \
    PRAGMA wal_autocheckpoint = 4000;";

/// Enters records into a file.
pub(crate) struct FileWriter {
    path: PathBuf,
    /// Opened when it is first needed, and anew after a failure.
    connection: Mutex<Option<Connection>>,
    record: String,
    /// For each of [`Source::SUMS`].
    sums: [String; Source::SUMS.len()],
}

impl FileWriter {
    /// For the file that a URL names.
    ///
    /// # Errors
    /// When it names none.
    pub(crate) fn new(url: &str) -> Result<Self, sqlx::Error> {
        let options = SqliteConnectOptions::from_str(url)?;
        Ok(Self {
            path: options.get_filename().to_owned(),
            connection: Mutex::default(),
            record: insertion("usage_records", &COLUMNS, 1, true) + " ON CONFLICT (id) DO NOTHING",
            sums: Source::SUMS.map(|source| addition(source, 1, true)),
        })
    }

    /// Enters records and adds them to the sums, unless one of them is there already; then nothing is done, and the answer is no.
    ///
    /// # Errors
    /// When the database fails; then nothing was entered.
    pub(crate) fn enter(&self, records: &[&UsageRecord]) -> Result<bool, rusqlite::Error> {
        self.by_connection(|connection| self.enter_by(connection, records))
    }

    /// From when on single calls are kept, in milliseconds since 1970-01-01 UTC.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) fn calls_kept_from(&self) -> Result<i64, rusqlite::Error> {
        self.by_connection(|connection| {
            let mut statement = connection.prepare_cached(KEPT_FROM)?;
            statement.query_row([], |row| row.get(0))
        })
    }

    fn by_connection<T>(
        &self,
        ask: impl FnOnce(&mut Connection) -> Result<T, rusqlite::Error>,
    ) -> Result<T, rusqlite::Error> {
        let mut place = self
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut connection = match place.take() {
            Some(connection) => connection,
            None => self.open()?,
        };
        let answer = ask(&mut connection)?;
        *place = Some(connection);
        Ok(answer)
    }

    /// Closes the connection.
    pub(crate) fn close(&self) {
        let mut place = self
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *place = None;
    }

    fn open(&self) -> Result<Connection, rusqlite::Error> {
        // The file is there: its tables were made by the pool.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.execute_batch(PRAGMAS)?;
        Ok(connection)
    }

    fn enter_by(
        &self,
        connection: &mut Connection,
        records: &[&UsageRecord],
    ) -> Result<bool, rusqlite::Error> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut statement = transaction.prepare_cached(&self.record)?;
        for record in records {
            if execute(&mut statement, values(record))? == 0 {
                return Ok(false);
            }
        }
        drop(statement);
        for (statement, sums) in self.sums.iter().zip(sums::of_records(records)) {
            let mut statement = transaction.prepare_cached(statement)?;
            for (of, sum) in &sums {
                execute(&mut statement, sums::values(of, sum))?;
            }
        }
        let mut made = String::new();
        for entry in payloads::entries(records) {
            if made != entry.making {
                transaction.execute_batch(&entry.making)?;
                made.clone_from(&entry.making);
            }
            let mut statement = transaction.prepare_cached(&entry.insertion)?;
            execute(&mut statement, entry.values())?;
        }
        transaction.commit()?;
        Ok(true)
    }
}

/// Enters a row; says how many there are more.
fn execute<'a>(
    statement: &mut Statement<'_>,
    values: impl IntoIterator<Item = Value<'a>>,
) -> Result<usize, rusqlite::Error> {
    for (place, value) in values.into_iter().enumerate() {
        statement.raw_bind_parameter(place + 1, value)?;
    }
    statement.raw_execute()
}

impl fmt::Debug for FileWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileWriter")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}
