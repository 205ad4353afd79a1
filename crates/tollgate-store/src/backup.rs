//! Everything that the database holds, as lines of JSON: out of either database and into either, so that one can be changed for the other.
//!
//! The first line says what it is, each table begins with a line of its own, rows are lists, and the last line says how many there were and
//! has the hash of all before it: a text that was cut off or changed is not taken for a whole one, and nothing may stand behind it. Sums are
//! made anew out of the records, and are in it only where those are gone.

use std::io::{self, BufRead, Write};

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use sqlx::{Any, AssertSqlSafe, Row, Transaction, any::AnyRow};
use thiserror::Error;

use crate::{Failure, Store, audit::hex, batches::insertion, changes, schema::TEAMS_KEYS, sums};

/// What the first line says.
const FORM: u64 = 2;

/// What it said when the last line had no hash yet.
const FORM_WITHOUT_HASH: u64 = 1;

/// Rows that are read at a time, and entered by one statement.
const PAGE: usize = 1_000;
const AT_ONCE: usize = 50;

/// A table and its columns. `#` stands before those that hold numbers.
struct Table {
    name: &'static str,
    /// So many of the first columns tell rows apart.
    key: usize,
    /// An order in which rows are counted off, where no first columns tell them apart.
    order: Option<&'static str>,
    /// Which rows are written, where not all are.
    only: Option<&'static str>,
    columns: &'static [&'static str],
}

/// Most tables: their first column tells rows apart, and all of them are written.
const USUAL: Table = Table {
    name: "",
    key: 1,
    order: None,
    only: None,
    columns: &[],
};

/// What a sum is of and what it is, where neither end users nor tags are told apart.
const SUM_COLUMNS: [&str; 18] = [
    "#span",
    "key_name",
    "team",
    "app",
    "route",
    "provider",
    "model",
    "outcome",
    "#calls",
    "#input",
    "#output",
    "#cost_millions",
    "#cost_rest",
    "#at_most_millions",
    "#at_most_rest",
    "#unknown",
    "#unmetered_input",
    "#unmetered_output",
];

/// The sums by the hour whose records are gone.
const GONE_HOURS: Option<&str> = Some("span < (SELECT from_ms / 3600000 FROM calls_kept)");

/// Tables that are not empty when they have just been made.
const NEVER_EMPTY: [&str; 2] = ["changes", "calls_kept"];

/// All that is kept.
const TABLES: [Table; 12] = [
    Table {
        name: "usage_records",
        columns: &[
            "id",
            "#at_ms",
            "request_id",
            "revision",
            "key_name",
            "team",
            "end_user",
            "route",
            "task",
            "provider",
            "model",
            "outcome",
            "#status",
            "error_code",
            "#input",
            "#input_cached",
            "#cache_write",
            "#cache_write_1h",
            "#input_audio",
            "#output",
            "#output_reasoning",
            "#output_audio",
            "#search_units",
            "#web_searches",
            "service_tier",
            "#cost_picodollars",
            "#cost_at_most_picodollars",
            "cost_unknown",
            "#attempts",
            "#streamed",
            "#duration_ms",
            "#estimated",
            "tags",
            "#unmetered_input",
            "#unmetered_output",
            "detail",
            "app",
            "client_address",
        ],
        ..USUAL
    },
    Table {
        name: "caller_keys",
        columns: &[
            "id",
            "name",
            "team",
            "hash",
            "old_hash",
            "#old_until_ms",
            "routes",
            "#expires_ms",
            "#blocked",
            "#created_ms",
            "#removed_ms",
            "organisation",
            "app",
            "#version",
            "paths",
            "networks",
            "models",
        ],
        ..USUAL
    },
    Table {
        name: "objects",
        order: Some("kind, id, created_ms, version"),
        columns: &[
            "id",
            "kind",
            "organisation",
            "team",
            "name",
            "body",
            "#version",
            "#created_ms",
            "#changed_ms",
            "#removed_ms",
        ],
        ..USUAL
    },
    Table {
        name: "audit",
        columns: &[
            "#number",
            "#at_ms",
            "actor",
            "source",
            "action",
            "kind",
            "object",
            "organisation",
            "team",
            "before",
            "after",
            "hash",
        ],
        ..USUAL
    },
    Table {
        name: "answered",
        order: Some("actor, request_key"),
        columns: &["request_key", "actor", "request_hash", "answer", "#at_ms"],
        ..USUAL
    },
    Table {
        name: "responses",
        order: Some("owner, id"),
        columns: &["id", "owner", "previous", "input", "answer", "#at_ms"],
        ..USUAL
    },
    Table {
        name: "changes",
        columns: &["what", "#number"],
        ..USUAL
    },
    Table {
        name: "calls_kept",
        columns: &["#from_ms"],
        ..USUAL
    },
    Table {
        name: "usage_days",
        key: 8,
        only: Some("span < (SELECT from_ms / 86400000 FROM calls_kept)"),
        columns: &SUM_COLUMNS,
        ..USUAL
    },
    Table {
        name: "usage_hours",
        key: 8,
        only: GONE_HOURS,
        columns: &SUM_COLUMNS,
        ..USUAL
    },
    Table {
        name: "usage_user_hours",
        key: 9,
        only: GONE_HOURS,
        columns: &[
            "#span",
            "key_name",
            "team",
            "app",
            "route",
            "provider",
            "model",
            "outcome",
            "end_user",
            "#calls",
            "#input",
            "#output",
            "#cost_millions",
            "#cost_rest",
            "#at_most_millions",
            "#at_most_rest",
            "#unknown",
            "#unmetered_input",
            "#unmetered_output",
        ],
        ..USUAL
    },
    Table {
        name: "usage_tag_hours",
        key: 9,
        only: GONE_HOURS,
        columns: &[
            "#span",
            "key_name",
            "team",
            "app",
            "route",
            "provider",
            "model",
            "outcome",
            "tag",
            "#calls",
            "#input",
            "#output",
            "#cost_millions",
            "#cost_rest",
            "#at_most_millions",
            "#at_most_rest",
            "#unknown",
            "#unmetered_input",
            "#unmetered_output",
        ],
        ..USUAL
    },
];

/// What was read in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// So many rows.
    pub rows: u64,
    /// Whether a hash proves them to be those that were written. Backups of earlier versions have none.
    pub is_proven: bool,
}

/// Why something could not be written out or read in.
#[derive(Debug, Error)]
pub enum BackupError {
    /// The text could not be written or read.
    #[error("the backup cannot be written or read")]
    Text(#[from] io::Error),
    /// It is no backup, or not a whole one.
    #[error("line {line} of the backup: {problem}")]
    Line {
        /// From 1.
        line: u64,
        /// What is wrong.
        problem: String,
    },
    /// There is something in the database.
    #[error("the database is not empty: `{0}` has rows; restore into a new one")]
    NotEmpty(&'static str),
    /// The database did not do what it was asked.
    #[error("the database failed")]
    Failed(#[source] Failure),
}

impl From<sqlx::Error> for BackupError {
    fn from(error: sqlx::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl Table {
    fn names(&self) -> Vec<&'static str> {
        self.columns
            .iter()
            .map(|column| column.trim_start_matches('#'))
            .collect()
    }

    /// Rows after one, in the order of the columns that tell them apart, or so many rows later in the order that the table has.
    async fn page(
        &self,
        transaction: &mut Transaction<'_, Any>,
        offset: u64,
        after: Option<&[Value]>,
    ) -> Result<Vec<Vec<Value>>, sqlx::Error> {
        let names = self.names();
        let key = names[..self.key].join(", ");
        let after = after.filter(|_| self.order.is_none()).unwrap_or_default();
        let after = &after[..self.key.min(after.len())];
        let mut conditions: Vec<String> = self.only.iter().map(|only| (*only).to_owned()).collect();
        if !after.is_empty() {
            let places: Vec<String> = (1..=self.key).map(|place| format!("${place}")).collect();
            conditions.push(format!("({key}) > ({})", places.join(", ")));
        }
        let condition = match conditions.is_empty() {
            true => String::new(),
            false => format!("WHERE {}", conditions.join(" AND ")),
        };
        let paging = match self.order {
            Some(order) => format!("ORDER BY {order} LIMIT {PAGE} OFFSET {offset}"),
            None => format!("ORDER BY {key} LIMIT {PAGE}"),
        };
        let columns = names.join(", ");
        let sql = format!("SELECT {columns} FROM {} {condition} {paging}", self.name);
        // Made of words of this file alone.
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for value in after {
            query = match value {
                Value::Number(number) => query.bind(number.as_i64()),
                value => query.bind(value.as_str().map(str::to_owned)),
            };
        }
        let rows = query.fetch_all(&mut **transaction).await?;
        rows.iter().map(|row| self.read(row)).collect()
    }

    fn read(&self, row: &AnyRow) -> Result<Vec<Value>, sqlx::Error> {
        let value = |(place, column): (usize, &&str)| {
            Ok(if column.starts_with('#') {
                json!(row.try_get::<Option<i64>, _>(place)?)
            } else {
                json!(row.try_get::<Option<String>, _>(place)?)
            })
        };
        self.columns.iter().enumerate().map(value).collect()
    }
}

impl Store {
    /// Writes out everything, as of one moment. Gives the number of rows.
    ///
    /// # Errors
    /// When the database fails, or `out` does.
    pub async fn back_up(&self, out: &mut (dyn Write + Send)) -> Result<u64, BackupError> {
        let mut transaction = self.pool.begin().await?;
        if !self.is_file {
            sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                .execute(&mut *transaction)
                .await?;
        }
        let mut hash = Sha256::new();
        let mut line = |value: Value| {
            let text = format!("{value}\n");
            hash.update(&text);
            out.write_all(text.as_bytes())
        };
        line(json!({"tollgate_backup": FORM}))?;
        let mut rows = 0;
        for table in &TABLES {
            line(json!({"table": table.name, "columns": table.names()}))?;
            let (mut after, mut offset): (Option<Vec<Value>>, u64) = (None, 0);
            loop {
                let page = table
                    .page(&mut transaction, offset, after.as_deref())
                    .await?;
                let Some(last) = page.last() else { break };
                after = Some(last.clone());
                offset += page.len() as u64;
                for row in page {
                    line(Value::Array(row))?;
                }
            }
            rows += offset;
        }
        let hash = hex(&hash.finalize());
        writeln!(out, "{}", json!({"rows": rows, "sha256": hash}))?;
        out.flush()?;
        Ok(rows)
    }

    /// Reads everything in, into a database that is empty, whole or not at all.
    ///
    /// # Errors
    /// When the text is no whole backup or was changed, the database is not empty, or it fails.
    pub async fn restore(&self, from: &mut (dyn BufRead + Send)) -> Result<Restored, BackupError> {
        let mut transaction = self.begin_writing().await?;
        let emptied = |table: &&Table| !NEVER_EMPTY.contains(&table.name);
        for table in TABLES.iter().filter(emptied) {
            let sql = format!("SELECT COUNT(*) FROM {}", table.name);
            let count: i64 = sqlx::query_scalar(AssertSqlSafe(sql))
                .fetch_one(&mut *transaction)
                .await?;
            if count > 0 {
                return Err(BackupError::NotEmpty(table.name));
            }
        }
        for table in NEVER_EMPTY {
            sqlx::query(AssertSqlSafe(format!("DELETE FROM {table}")))
                .execute(&mut *transaction)
                .await?;
        }
        let mut reader = Reader::new(from);
        let form = reader.begin()?;
        let mut table: Option<(&Table, Vec<&str>)> = None;
        let mut waiting: Vec<Vec<Value>> = Vec::new();
        let restored = loop {
            match reader.next()? {
                Value::Array(row) => {
                    let Some((of, columns)) = &table else {
                        return Err(reader.problem("a row before its table"));
                    };
                    if row.len() != columns.len() {
                        return Err(reader.problem(
                            "a row with more or fewer values than its table has columns",
                        ));
                    }
                    waiting.push(row);
                    reader.rows += 1;
                    if waiting.len() == AT_ONCE {
                        enter(&mut transaction, of, columns, &mut waiting, self.is_file).await?;
                    }
                }
                Value::Object(head) => {
                    if let Some((of, columns)) = &table {
                        enter(&mut transaction, of, columns, &mut waiting, self.is_file).await?;
                    }
                    if head.contains_key("rows") {
                        break reader.end(form, &head)?;
                    }
                    let told = Value::Object(head);
                    table = Some(known_table(&told).ok_or_else(|| {
                        reader.problem("a table, or a column, that this version does not know")
                    })?);
                }
                _ => return Err(reader.problem("neither a row nor a table")),
            }
        };
        // Older backups do not say from when on calls are kept: all are.
        sqlx::query(
            "INSERT INTO calls_kept (from_ms) SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM calls_kept)",
        )
        .execute(&mut *transaction)
        .await?;
        // Nor whose a team's keys are that are older than it.
        sqlx::raw_sql(TEAMS_KEYS).execute(&mut *transaction).await?;
        // Whoever runs sees that everything is another.
        sqlx::query("UPDATE changes SET number = number + 1 WHERE what <> 'audit'")
            .execute(&mut *transaction)
            .await?;
        changes::tell(&mut transaction, self.is_file).await?;
        sums::make_anew(&mut transaction, self.is_file).await?;
        transaction.commit().await?;
        Ok(restored)
    }
}

/// Lines of a backup, counted.
struct Reader<'a> {
    from: &'a mut (dyn BufRead + Send),
    /// The line that was read last.
    text: Vec<u8>,
    /// Over all lines before it.
    hash: Sha256,
    line: u64,
    rows: u64,
}

impl<'a> Reader<'a> {
    fn new(from: &'a mut (dyn BufRead + Send)) -> Self {
        Self {
            from,
            text: Vec::new(),
            hash: Sha256::new(),
            line: 0,
            rows: 0,
        }
    }

    /// Reads the first line, which says in which form the rest is.
    fn begin(&mut self) -> Result<u64, BackupError> {
        match self.next()?["tollgate_backup"].as_u64() {
            Some(form @ (FORM | FORM_WITHOUT_HASH)) => Ok(form),
            _ => Err(self.problem("this is no backup that this version knows")),
        }
    }

    fn next(&mut self) -> Result<Value, BackupError> {
        self.hash.update(&self.text);
        self.text.clear();
        self.line += 1;
        if self.from.read_until(b'\n', &mut self.text)? == 0 {
            return Err(self.problem("it ends before its last line"));
        }
        serde_json::from_slice(&self.text).map_err(|error| match self.line {
            1 => self.problem("this is no backup; if it is compressed, it has to be unpacked"),
            _ => self.problem(&error.to_string()),
        })
    }

    /// Looks whether what was read is what the last line says, and whether that is the last one.
    fn end(&mut self, form: u64, last: &Map<String, Value>) -> Result<Restored, BackupError> {
        if last.get("rows").and_then(Value::as_u64) != Some(self.rows) {
            return Err(self.problem("there were more or fewer rows than this"));
        }
        let is_proven = match last.get("sha256") {
            None if form == FORM_WITHOUT_HASH => false,
            told => {
                let hash = hex(&self.hash.finalize_reset());
                if told.and_then(Value::as_str) != Some(&hash) {
                    return Err(
                        self.problem("what stands before it was changed: it has another hash")
                    );
                }
                true
            }
        };
        self.line += 1;
        if !self.from.fill_buf()?.is_empty() {
            return Err(self.problem("something stands behind the last line"));
        }
        Ok(Restored {
            rows: self.rows,
            is_proven,
        })
    }

    fn problem(&self, problem: &str) -> BackupError {
        BackupError::Line {
            line: self.line,
            problem: problem.to_owned(),
        }
    }
}

/// A table and those of its columns that a line names.
fn known_table(told: &Value) -> Option<(&'static Table, Vec<&'static str>)> {
    let table = TABLES.iter().find(|table| told["table"] == table.name)?;
    let columns = told["columns"].as_array()?.iter().map(|name| {
        let mut known = table.columns.iter();
        known
            .find(|column| *name == column.trim_start_matches('#'))
            .copied()
    });
    Some((table, columns.collect::<Option<_>>()?))
}

async fn enter(
    transaction: &mut Transaction<'_, Any>,
    table: &Table,
    columns: &[&str],
    rows: &mut Vec<Vec<Value>>,
    is_file: bool,
) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = columns
        .iter()
        .map(|column| column.trim_start_matches('#'))
        .collect();
    let sql = insertion(table.name, &names, rows.len(), is_file);
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for row in rows.drain(..) {
        for (column, value) in columns.iter().zip(row) {
            query = if column.starts_with('#') {
                query.bind(value.as_i64())
            } else {
                query.bind(value.as_str().map(str::to_owned))
            };
        }
    }
    query.execute(&mut **transaction).await?;
    Ok(())
}
