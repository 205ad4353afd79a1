//! How others learn that something has changed: a number in `changes` for each kind of thing, and with `PostgreSQL` a word to all who listen
//! ([`ChangeFeed`]), sent by the transaction that raises the number. What has changed is read elsewhere. Whoever hears nothing looks at the
//! numbers now and then, so that nothing depends on the word.

use std::{future, time::Duration};

use sqlx::{Any, Executor, Transaction, postgres::PgListener};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};
use tollgate_telemetry::events::{ChangesHeard, ChangesUnheard};

use crate::{CONNECTION_TIMEOUT, Failure, Store, StoreError, is_file};

/// Where the word is sent, and how.
const CHANNEL: &str = "tollgate_changes";
const NOTIFY: &str = "NOTIFY tollgate_changes";

/// After so long without a word, the connection is asked whether it is still there.
const QUIET_MAX: Duration = Duration::from_secs(30);

/// The pause before another connection, the first time and at most.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Raises the number of a kind of thing, and tells those who listen once the transaction is done.
pub(crate) async fn raise(
    transaction: &mut Transaction<'_, Any>,
    what: &'static str,
    is_file: bool,
) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE changes SET number = number + 1 WHERE what = $1")
        .bind(what)
        .execute(&mut **transaction)
        .await?;
    tell(transaction, is_file).await
}

/// Tells those who listen, once the transaction is done.
pub(crate) async fn tell(
    transaction: &mut Transaction<'_, Any>,
    is_file: bool,
) -> Result<(), sqlx::Error> {
    if !is_file {
        sqlx::query(NOTIFY).execute(&mut **transaction).await?;
    }
    Ok(())
}

impl Store {
    /// A number that changes with every change of a kind of thing.
    pub(crate) async fn change_of(&self, what: &'static str) -> Result<i64, StoreError> {
        let number = sqlx::query_scalar("SELECT number FROM changes WHERE what = $1")
            .bind(what)
            .fetch_one(&self.pool)
            .await?;
        Ok(number)
    }
}

/// Hears of changes as they are made, on a connection of its own. With `SQLite` nothing is ever heard.
#[derive(Debug)]
pub struct ChangeFeed {
    /// Whether there is a connection; seen anew with every word.
    told: watch::Receiver<bool>,
    listening: JoinSet<()>,
}

impl ChangeFeed {
    /// Begins to listen, on a task of the runtime that this is called in. While there is no connection, it is tried again and again.
    pub fn start(url: &str) -> Self {
        let (tell, told) = watch::channel(false);
        let mut listening = JoinSet::new();
        if !is_file(url) {
            listening.spawn(listen(url.to_owned(), tell));
        }
        Self { told, listening }
    }

    /// Whether changes are heard of; where not, they must be looked for.
    pub fn is_connected(&self) -> bool {
        *self.told.borrow()
    }

    /// Waits until something may have changed: a word came, or a connection came or went. Words that came meanwhile are one. It may be left at
    /// any time, and nothing is missed.
    pub async fn heard(&mut self) {
        if self.told.changed().await.is_err() {
            future::pending::<()>().await;
        }
    }

    /// Ends it.
    pub async fn close(mut self) {
        self.listening.shutdown().await;
    }
}

/// Listens for ever. That there is no connection is told once, and when there is one again.
async fn listen(url: String, told: watch::Sender<bool>) {
    let mut failures = 0_u32;
    loop {
        let problem = match timeout(CONNECTION_TIMEOUT, connect(&url)).await {
            Ok(Ok(listener)) => {
                if failures > 0 {
                    ChangesHeard.emit();
                }
                failures = 0;
                told.send_replace(true);
                let problem = pass_on(listener, &told).await;
                told.send_replace(false);
                problem
            }
            Ok(Err(error)) => Failure::from(error).to_string(),
            Err(_) => no_answer(),
        };
        if failures == 0 {
            ChangesUnheard { problem: &problem }.emit();
        }
        let pause = PAUSE_MIN.saturating_mul(1 << failures.min(6));
        failures = failures.saturating_add(1);
        sleep(pause.min(PAUSE_MAX)).await;
    }
}

async fn connect(url: &str) -> Result<PgListener, sqlx::Error> {
    let mut listener = PgListener::connect(url).await?;
    // Another connection is a matter of ours: what was changed meanwhile is to be looked for.
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await?;
    Ok(listener)
}

/// Passes words on until the connection is gone; gives what is known of the reason.
async fn pass_on(mut listener: PgListener, told: &watch::Sender<bool>) -> String {
    loop {
        match timeout(QUIET_MAX, listener.try_recv()).await {
            Ok(Ok(Some(_))) => {
                told.send_replace(true);
            }
            Ok(Ok(None)) => return "the connection was closed".to_owned(),
            Ok(Err(error)) => return Failure::from(error).to_string(),
            Err(_) => {
                let asked = timeout(CONNECTION_TIMEOUT, listener.execute("SELECT 1"));
                match asked.await {
                    Ok(Ok(_)) => {}
                    Ok(Err(error)) => return Failure::from(error).to_string(),
                    Err(_) => return no_answer(),
                }
            }
        }
    }
}

fn no_answer() -> String {
    format!("the database did not answer within {CONNECTION_TIMEOUT:?}")
}
