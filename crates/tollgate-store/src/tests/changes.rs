//! Hearing of changes as they are made.

use std::time::Duration;

use tokio::time::timeout;
use tollgate_testkit::postgres::Postgres;

use super::{Database, change, key, object};
use crate::{ChangeFeed, Kind, Named, Store, Tenant};

const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for words until there is a connection, or none.
async fn until(feed: &mut ChangeFeed, is_connected: bool) {
    let waited = timeout(PATIENCE, async {
        while feed.is_connected() != is_connected {
            feed.heard().await;
        }
    });
    waited.await.unwrap();
}

#[tokio::test]
async fn every_change_is_heard_of_and_nothing_is_heard_of_a_file() {
    let [file, server] = Database::all("feed");
    let mut deaf = ChangeFeed::start(&file.url);
    let mut feed = ChangeFeed::start(&server.url);
    until(&mut feed, true).await;
    let quiet = timeout(Duration::from_millis(100), feed.heard()).await;
    assert!(quiet.is_err(), "nothing has changed yet");
    for database in [&file, &server] {
        let store = Store::open(&database.url).await.unwrap();
        let heard = async |feed: &mut ChangeFeed| timeout(PATIENCE, feed.heard()).await.unwrap();
        let hears = database.url == server.url;
        store.add_key(&key("a"), &change("ann")).await.unwrap();
        if hears {
            heard(&mut feed).await;
        }
        let (all, by) = (Tenant::All, change("ann"));
        let blocked = store.block_key(&all, Named::Name("a"), None, true, &by);
        blocked.await.unwrap();
        if hears {
            heard(&mut feed).await;
        }
        let app = object(Kind::App, "a", "t", "x");
        store.add_object(app, &change("ann")).await.unwrap();
        if hears {
            heard(&mut feed).await;
        }
        store.close().await;
    }
    let quiet = timeout(Duration::from_millis(100), deaf.heard()).await;
    assert!(quiet.is_err() && !deaf.is_connected());
    // What nobody commits nobody hears of.
    let quiet = timeout(Duration::from_millis(100), feed.heard()).await;
    assert!(quiet.is_err(), "there was no other change");
    feed.close().await;
    deaf.close().await;
}

#[tokio::test]
async fn a_feed_that_loses_its_connection_finds_another() {
    let server = Postgres::start();
    let mut feed = ChangeFeed::start(&server.url());
    until(&mut feed, true).await;
    for _ in 0..3 {
        let ended = server.ask(
            "SELECT COUNT(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'",
        );
        assert_eq!(ended, "1");
        timeout(PATIENCE, feed.heard()).await.unwrap();
        until(&mut feed, true).await;
    }
    server.stop();
    until(&mut feed, false).await;
    server.resume();
    until(&mut feed, true).await;
    let store = Store::open(&server.url()).await.unwrap();
    store.add_key(&key("a"), &change("ann")).await.unwrap();
    timeout(PATIENCE, feed.heard()).await.unwrap();
    store.close().await;
    feed.close().await;
}
