//! Everything that the database holds, as lines of JSON: out of either database and into either, so that one can be changed for the other.
//!
//! The first line says what it is, each table begins with a line of its own, rows are lists, and the last line says how many there were: a
//! text that was cut off is not taken for a whole one. Sums are not in it; they are made anew.

use std::io::{self, BufRead, Write};

use serde_json::{Value, json};
use sqlx::{Any, AssertSqlSafe, Row, Transaction, any::AnyRow};
use thiserror::Error;

use crate::{Store, changes, ledger::insertion, sums};

/// What the first line says.
const FORM: u64 = 1;

/// Rows that are read at a time, and entered by one statement.
const PAGE: usize = 1_000;
const AT_ONCE: usize = 50;

/// A table and its columns. `#` stands before those that hold numbers.
struct Table {
    name: &'static str,
    /// An order in which rows are counted off, where the first column may be the same in two of them.
    order: Option<&'static str>,
    columns: &'static [&'static str],
}

/// All that is kept.
const TABLES: [Table; 7] = [
    Table {
        name: "usage_records",
        order: None,
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
            "service_tier",
            "#cost_picodollars",
            "#cost_at_most_picodollars",
            "cost_unknown",
            "#attempts",
            "#streamed",
            "#duration_ms",
            "#estimated",
            "tags",
        ],
    },
    Table {
        name: "caller_keys",
        order: None,
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
        ],
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
    },
    Table {
        name: "audit",
        order: None,
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
    },
    Table {
        name: "answered",
        order: Some("actor, request_key"),
        columns: &["request_key", "actor", "request_hash", "answer", "#at_ms"],
    },
    Table {
        name: "responses",
        order: Some("owner, id"),
        columns: &["id", "owner", "previous", "input", "answer", "#at_ms"],
    },
    Table {
        name: "changes",
        order: None,
        columns: &["what", "#number"],
    },
];

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
    Failed(#[from] sqlx::Error),
}

impl Table {
    fn names(&self) -> Vec<&'static str> {
        self.columns
            .iter()
            .map(|column| column.trim_start_matches('#'))
            .collect()
    }

    /// Rows after one, in the order of the first column, or so many rows later in the order that the table has.
    async fn page(
        &self,
        transaction: &mut Transaction<'_, Any>,
        offset: u64,
        after: Option<&Value>,
    ) -> Result<Vec<Vec<Value>>, sqlx::Error> {
        let names = self.names();
        let (columns, first) = (names.join(", "), names[0]);
        let (condition, paging) = match (self.order, after) {
            (Some(_), _) => (String::new(), format!("LIMIT {PAGE} OFFSET {offset}")),
            (None, None) => (String::new(), format!("LIMIT {PAGE}")),
            (None, Some(_)) => (format!("WHERE {first} > $1"), format!("LIMIT {PAGE}")),
        };
        let order = self.order.unwrap_or(first);
        let sql = format!(
            "SELECT {columns} FROM {} {condition} ORDER BY {order} {paging}",
            self.name
        );
        // Made of words of this file alone.
        let mut query = sqlx::query(AssertSqlSafe(sql));
        if !condition.is_empty() {
            query = match after {
                Some(Value::Number(number)) => query.bind(number.as_i64()),
                Some(Value::String(text)) => query.bind(text.clone()),
                _ => query,
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
        let mut line = |value: Value| writeln!(out, "{value}");
        line(json!({"tollgate_backup": FORM}))?;
        let mut rows = 0;
        for table in &TABLES {
            line(json!({"table": table.name, "columns": table.names()}))?;
            let (mut after, mut offset) = (None, 0);
            loop {
                let page = table.page(&mut transaction, offset, after.as_ref()).await?;
                let Some(last) = page.last() else { break };
                after = last.first().cloned();
                offset += page.len() as u64;
                for row in page {
                    line(Value::Array(row))?;
                }
            }
            rows += offset;
        }
        line(json!({"rows": rows}))?;
        out.flush()?;
        Ok(rows)
    }

    /// Reads everything in, into a database that is empty, whole or not at all. Gives the number of rows.
    ///
    /// # Errors
    /// When the text is no whole backup, the database is not empty, or it fails.
    pub async fn restore(&self, from: &mut (dyn BufRead + Send)) -> Result<u64, BackupError> {
        let mut transaction = self.pool.begin().await?;
        for table in TABLES.iter().filter(|table| table.name != "changes") {
            let sql = format!("SELECT COUNT(*) FROM {}", table.name);
            let count: i64 = sqlx::query_scalar(AssertSqlSafe(sql))
                .fetch_one(&mut *transaction)
                .await?;
            if count > 0 {
                return Err(BackupError::NotEmpty(table.name));
            }
        }
        sqlx::query("DELETE FROM changes")
            .execute(&mut *transaction)
            .await?;
        let mut reader = Reader::new(from);
        reader.begin()?;
        let mut table: Option<(&Table, Vec<&str>)> = None;
        let mut waiting: Vec<Vec<Value>> = Vec::new();
        let rows = loop {
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
                    if let Some(rows) = head.get("rows") {
                        if rows.as_u64() != Some(reader.rows) {
                            return Err(reader.problem("there were more or fewer rows than this"));
                        }
                        break reader.rows;
                    }
                    let told = Value::Object(head);
                    table = Some(known_table(&told).ok_or_else(|| {
                        reader.problem("a table, or a column, that this version does not know")
                    })?);
                }
                _ => return Err(reader.problem("neither a row nor a table")),
            }
        };
        // Whoever runs sees that everything is another.
        sqlx::query("UPDATE changes SET number = number + 1 WHERE what <> 'audit'")
            .execute(&mut *transaction)
            .await?;
        changes::tell(&mut transaction, self.is_file).await?;
        sums::make_anew(&mut transaction, self.is_file).await?;
        transaction.commit().await?;
        Ok(rows)
    }
}

/// Lines of a backup, counted.
struct Reader<'a> {
    from: &'a mut (dyn BufRead + Send),
    line: u64,
    rows: u64,
}

impl<'a> Reader<'a> {
    fn new(from: &'a mut (dyn BufRead + Send)) -> Self {
        Self {
            from,
            line: 0,
            rows: 0,
        }
    }

    fn begin(&mut self) -> Result<(), BackupError> {
        match self.next()?["tollgate_backup"].as_u64() {
            Some(FORM) => Ok(()),
            _ => Err(self.problem("this is no backup that this version knows")),
        }
    }

    fn next(&mut self) -> Result<Value, BackupError> {
        let mut text = String::new();
        self.line += 1;
        if self.from.read_line(&mut text)? == 0 {
            return Err(self.problem("it ends before its last line"));
        }
        serde_json::from_str(&text).map_err(|error| self.problem(&error.to_string()))
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
