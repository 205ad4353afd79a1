//! What is told of a database that fails: once, in its own words, and where it is when it cannot be opened; never its address as it was written, which
//! holds its password.

use std::{error::Error, fmt, str::FromStr};

use sqlx::{AnyConnection, Connection, postgres::PgConnectOptions};
use tokio::time::timeout;

use crate::{CONNECTION_TIMEOUT, is_file};

/// Why the database, or the way to it, failed.
#[derive(Debug)]
pub struct Failure {
    /// The server, where that is worth telling.
    place: Option<String>,
    error: sqlx::Error,
}

impl Failure {
    /// Why a database could not be opened. A pool that has tried for long does not say what was wrong: one more connection does.
    pub(crate) async fn of_opening(url: &str, error: sqlx::Error) -> Self {
        let place = place(url);
        let error = match error {
            sqlx::Error::PoolTimedOut if place.is_some() => {
                match timeout(CONNECTION_TIMEOUT, AnyConnection::connect(url)).await {
                    Ok(Err(reason)) => reason,
                    Ok(Ok(_)) | Err(_) => error,
                }
            }
            error => error,
        };
        Self { place, error }
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self { place: None, error }
    }
}

/// Tells all there is: what `sqlx` says has its source in it, so that a chain of both would say the same twice.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        match &self.error {
            // Without the line of the server's own source.
            sqlx::Error::Database(error) => f.write_str(error.message()),
            sqlx::Error::Io(error) => error.fmt(f),
            sqlx::Error::PoolTimedOut => {
                write!(f, "there was no connection within {CONNECTION_TIMEOUT:?}")
            }
            error => error.fmt(f),
        }
    }
}

impl Error for Failure {}

/// A server's name and port.
fn place(url: &str) -> Option<String> {
    let options = PgConnectOptions::from_str(url).ok();
    let options = options.filter(|_| !is_file(url))?;
    Some(match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    })
}

#[cfg(test)]
mod tests {
    use tollgate_testkit::postgres::Postgres;

    use super::*;
    use crate::{Store, StoreError};

    /// An error with its causes, as it is told.
    fn told(error: &StoreError) -> String {
        let causes = std::iter::successors(Error::source(error), |cause| (**cause).source());
        causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
    }

    #[tokio::test]
    async fn a_database_that_cannot_be_opened_is_told_with_its_place_and_reason_once() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
        let address = free.unwrap();
        let refused = Store::open(&format!("postgres://ann:hidden@{address}/x")).await;
        let refused = told(&refused.unwrap_err());
        let beginning = format!("cannot open the database: {address}: Connection refused");
        assert!(refused.starts_with(&beginning), "{refused}");
        assert_eq!(refused.matches("refused").count(), 1, "{refused}");
        let server = Postgres::start();
        let url = server.url();
        let (server, _) = url.rsplit_once('/').unwrap();
        let (_, place) = server.rsplit_once('@').unwrap();
        let missing = Store::open(&format!("{server}/nodb")).await;
        assert_eq!(
            told(&missing.unwrap_err()),
            format!("cannot open the database: {place}: database \"nodb\" does not exist")
        );
    }
}
