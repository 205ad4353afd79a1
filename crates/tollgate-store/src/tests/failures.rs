//! Finding the few calls that ended in a way of their own.

use tollgate_domain::UsageRecord;

use super::{Database, record};
use crate::{CallsQuery, Dimension, Store};

/// A call that ended so, of a key.
fn ended(number: u64, status: u16, error_code: Option<&str>, key: &str) -> UsageRecord {
    UsageRecord {
        at_ms: 20_000 * 86_400_000 + i64::try_from(number).unwrap_or_default(),
        status,
        error_code: error_code.map(Into::into),
        key: Some(key.into()),
        ..record(number)
    }
}

#[tokio::test]
async fn calls_are_found_by_how_they_ended() {
    for database in Database::all("failures") {
        let store = Store::open(&database.url).await.unwrap();
        let records = [
            ended(1, 200, None, "a"),
            ended(2, 502, Some("upstream_unreadable"), "a"),
            ended(3, 502, Some("upstream_unreachable"), "b"),
            ended(4, 200, Some("upstream_cut"), "b"),
            ended(5, 429, None, "b"),
        ];
        assert_eq!(store.enter(&records).await.unwrap(), 5);
        let of = |key: &str| vec![(Dimension::Key, key.to_owned())];
        let of_both = |key: &str| {
            let team = record(1).team.unwrap_or_default().to_string();
            [of(key), vec![(Dimension::Team, team)]].concat()
        };
        for (status, error_code, of, found) in [
            (Some(502), None, vec![], vec![3, 2]),
            (Some(200), None, vec![], vec![4, 1]),
            (Some(418), None, vec![], vec![]),
            (Some(502), None, of("a"), vec![2]),
            (Some(418), None, of("a"), vec![]),
            (Some(429), None, of_both("b"), vec![5]),
            (Some(429), None, of_both("a"), vec![]),
            (None, Some("upstream_cut"), vec![], vec![4]),
            (None, Some("upstream_cut"), of("b"), vec![4]),
            (None, Some("upstream_cut"), of("a"), vec![]),
            (Some(502), Some("upstream_unreachable"), vec![], vec![3]),
        ] {
            let query = CallsQuery {
                of,
                status,
                error_code: error_code.map(str::to_owned),
                most: 10,
                ..CallsQuery::default()
            };
            let calls = store.calls(&query).await.unwrap();
            let ids: Vec<_> = calls.iter().map(|call| call.id.clone()).collect();
            let expected: Vec<_> = found.into_iter().map(|number| record(number).id).collect();
            assert_eq!(ids, expected, "{query:?}");
        }
        store.close().await;
    }
}

#[tokio::test]
async fn calls_are_found_by_where_they_came_from() {
    for database in Database::all("clients") {
        let store = Store::open(&database.url).await.unwrap();
        let from = |number, detail: Option<&str>| UsageRecord {
            detail: detail.map(Into::into),
            ..ended(number, 200, None, "a")
        };
        let records = [
            from(1, Some(r#"{"client_address":"10.0.0.9","method":"POST"}"#)),
            from(
                2,
                Some(r#"{"client_address":"2001:db8::1","method":"POST"}"#),
            ),
            from(3, Some(r#"{"method":"10.0.0.9"}"#)),
            from(4, None),
            from(5, Some(r#"{"client_address":"10.0.0.9"}"#)),
        ];
        assert_eq!(store.enter(&records).await.unwrap(), 5);
        for (address, found) in [
            ("10.0.0.9", vec![5, 1]),
            ("2001:db8::1", vec![2]),
            ("10.0.0.1", vec![]),
        ] {
            let query = CallsQuery {
                client_address: Some(address.to_owned()),
                most: 10,
                ..CallsQuery::default()
            };
            let calls = store.calls(&query).await.unwrap();
            let ids: Vec<_> = calls.iter().map(|call| call.id.clone()).collect();
            let expected: Vec<_> = found.into_iter().map(|number| record(number).id).collect();
            assert_eq!(ids, expected, "{address}");
        }
        store.close().await;
    }
}
