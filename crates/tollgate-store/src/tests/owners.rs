//! Usage and calls of those whose keys and teams the books name.

use std::sync::Arc;

use super::*;
use crate::Dimension::{App, Key, Organisation};

fn call(number: u64, key: Option<&str>, team: Option<&str>, app: Option<&str>) -> UsageRecord {
    UsageRecord {
        at_ms: 20_000 * 86_400_000 + i64::try_from(number).unwrap(),
        key: key.map(Into::into),
        team: team.map(Into::into),
        app: app.map(Into::into),
        ..record(number)
    }
}

#[tokio::test]
async fn usage_and_calls_are_told_apart_by_owners() {
    for database in Database::all("owners") {
        let (store, ann) = (Store::open(&database.url).await.unwrap(), change("ann"));
        for (organisation, team) in [("acme", "red"), ("acme", "green"), ("other", "blue")] {
            let team = object(Kind::Team, organisation, team, team);
            store.add_object(team, &ann).await.unwrap();
        }
        let calls = [
            call(1, Some("one"), Some("red"), Some("bot")),
            call(2, Some("two"), Some("green"), Some("bot")),
            call(3, Some("login:ann"), Some("blue"), Some("page")),
            call(4, Some("login:ann"), Some("blue"), None),
            call(5, None, None, None),
        ];
        store.enter(&calls).await.unwrap();
        let usage = async |by: Vec<Dimension>, of: &[(Dimension, &str)], teams: Option<&str>| {
            let of = of.iter().map(|(by, name)| (*by, (*name).to_owned()));
            let query = UsageQuery {
                by,
                of: of.collect(),
                teams: teams.map(|team| vec![team.to_owned()]),
                ..UsageQuery::default()
            };
            let rows = store.usage(&query).await.unwrap();
            let mut told: Vec<(String, u64)> = rows
                .iter()
                .map(|row| {
                    let of = row.of.iter().map(|of| of.as_deref().unwrap_or("-"));
                    (of.collect::<Vec<_>>().join(" "), row.calls)
                })
                .collect();
            told.sort();
            told
        };
        let told = |told: &[(&str, u64)]| -> Vec<(String, u64)> {
            told.iter()
                .map(|(of, calls)| ((*of).to_owned(), *calls))
                .collect()
        };
        for (by, expected) in [
            (vec![App], told(&[("-", 2), ("bot", 2), ("page", 1)])),
            (
                vec![Organisation],
                told(&[("-", 1), ("acme", 2), ("other", 2)]),
            ),
            (
                vec![Organisation, App],
                told(&[
                    ("- -", 1),
                    ("acme bot", 2),
                    ("other -", 1),
                    ("other page", 1),
                ]),
            ),
        ] {
            assert_eq!(usage(by.clone(), &[], None).await, expected, "{by:?}");
        }
        let acme = (Organisation, "acme");
        assert_eq!(
            usage(vec![Key], &[acme], None).await,
            told(&[("one", 1), ("two", 1)])
        );
        assert_eq!(
            usage(vec![Key], &[acme, (App, "bot")], Some("red")).await,
            told(&[("one", 1)])
        );
        assert_eq!(usage(vec![], &[acme], Some("blue")).await, told(&[]));
        assert_eq!(usage(vec![], &[(App, "nobody")], None).await, told(&[]));
        for (dimension, name, expected) in [
            (App, "bot", vec![2, 1]),
            (Organisation, "other", vec![4, 3]),
            (App, "nobody", vec![]),
        ] {
            let found = calls_of(&store, vec![(dimension, name.to_owned())]).await;
            assert_eq!(found, ids(expected), "{name}");
        }
        store.close().await;
    }
}

/// The ids of calls that are found by these.
async fn calls_of(store: &Store, of: Vec<(Dimension, String)>) -> Vec<Arc<str>> {
    let query = CallsQuery {
        of,
        most: 10,
        ..CallsQuery::default()
    };
    let found = store.calls(&query).await.unwrap();
    found.into_iter().map(|call| call.id).collect()
}

fn ids(numbers: Vec<u64>) -> Vec<Arc<str>> {
    numbers
        .into_iter()
        .map(|number| record(number).id)
        .collect()
}

/// Usage and calls mean the same by it.
#[tokio::test]
async fn an_empty_value_is_that_of_calls_which_did_not_say() {
    for database in Database::all("unsaid") {
        let store = Store::open(&database.url).await.unwrap();
        let (long, kept) = ("u".repeat(150), "u".repeat(100));
        let said = |number: u64, user: Option<&str>, tag: Option<&str>| UsageRecord {
            user: user.map(Into::into),
            tags: tag.map(Into::into).into_iter().collect(),
            ..call(number, Some("one"), Some("red"), tag)
        };
        let calls = [
            said(1, None, None),
            said(2, Some(""), Some("t")),
            said(3, Some("ann"), Some("t")),
            // As much of a long name as is kept, and a longer one that somebody vouches for.
            said(4, Some(&*kept), None),
            said(5, Some(&long), Some("t")),
        ];
        store.enter(&calls).await.unwrap();
        for (dimension, value, expected) in [
            (Dimension::User, "", vec![2, 1]),
            (Dimension::User, "ann", vec![3]),
            (Dimension::User, &kept, vec![4]),
            (Dimension::User, &long, vec![5, 4]),
            (App, "", vec![4, 1]),
            (Dimension::Tag, "", vec![4, 1]),
            (Dimension::Tag, "t", vec![5, 3, 2]),
            (Key, "", vec![]),
        ] {
            let of = vec![(dimension, value.to_owned())];
            for by in [vec![], vec![Dimension::Minute], vec![Dimension::Tag]] {
                let query = UsageQuery {
                    by: by.clone(),
                    of: of.clone(),
                    ..UsageQuery::default()
                };
                let rows = store.usage(&query).await.unwrap();
                let calls: u64 = rows.iter().map(|row| row.calls).sum();
                // Calls without any tag are in the sum of none, unless they are asked for.
                if by != [Dimension::Tag] || dimension == Dimension::Tag {
                    let expected = u64::try_from(expected.len()).unwrap();
                    assert_eq!(calls, expected, "{dimension:?} {value} {by:?}");
                }
            }
            assert_eq!(
                calls_of(&store, of).await,
                ids(expected),
                "{dimension:?} {value}"
            );
        }
        store.close().await;
    }
}

#[tokio::test]
async fn what_is_older_than_its_team_is_its_organisations_once_that_is_there() {
    for database in Database::all("handed") {
        let (store, ann) = (Store::open(&database.url).await.unwrap(), change("ann"));
        for (name, team) in [
            ("early", Some("red")),
            ("others", Some("blue")),
            ("nobodys", None),
        ] {
            let key = StoredKey {
                organisation: String::new(),
                team: team.map(str::to_owned),
                ..key(name)
            };
            store.add_key(&key, &ann).await.unwrap();
        }
        let budget = object(Kind::Budget, "", "red", "budget");
        store.add_object(budget, &ann).await.unwrap();
        let before = store.change_of_keys().await.unwrap();
        let red = object(Kind::Team, "acme", "red", "red");
        store.add_object(red, &ann).await.unwrap();
        assert!(store.change_of_keys().await.unwrap() > before);
        let team = Tenant::Team {
            organisation: "acme".to_owned(),
            team: "red".to_owned(),
        };
        for tenant in [Tenant::Organisation("acme".to_owned()), team] {
            let keys = store.keys_of(&tenant, None, 9).await.unwrap();
            assert_eq!((keys.len(), keys[0].name.as_str()), (1, "early"));
            let budgets = store.objects(&tenant, Kind::Budget, None, 9).await.unwrap();
            assert_eq!(budgets.len(), 1);
        }
        // Older backups do not say it.
        let mut backup = Vec::new();
        store.back_up(&mut backup).await.unwrap();
        let backup = String::from_utf8(backup).unwrap();
        let older = backup.replace(r#"null,"acme",null"#, r#"null,"",null"#);
        assert_ne!(older, backup);
        let older = older.replace(r#"{"tollgate_backup":2}"#, r#"{"tollgate_backup":1}"#);
        let (older, _) = older.split_once(r#","sha256""#).unwrap();
        let older = format!("{older}}}");
        let copy = format!("sqlite:{}", database.folder.join("copy.db").display());
        let copy = Store::open(&copy).await.unwrap();
        copy.restore(&mut older.as_bytes()).await.unwrap();
        assert_eq!(
            copy.keys().await.unwrap().keys,
            store.keys().await.unwrap().keys
        );
        copy.close().await;
        store.close().await;
    }
}
