//! What is administered: keys and objects, and the audit of what becomes of them.

use super::*;

pub(super) fn key(name: &str) -> StoredKey {
    StoredKey {
        id: format!("id-{name}"),
        name: name.to_owned(),
        team: Some("research".to_owned()),
        organisation: "acme".to_owned(),
        app: None,
        version: 1,
        hash: format!("sha256:{name}"),
        old: None,
        opening: Opening {
            routes: Some(vec!["chat".to_owned()]),
            models: Some(vec!["openai/*".to_owned()]),
            paths: Some(vec!["/v1/*".to_owned()]),
            networks: Some(vec!["10.0.0.0/8".to_owned()]),
            expires_ms: Some(5),
        },
        is_blocked: false,
        created_ms: 1,
    }
}

#[tokio::test]
async fn keys_are_kept_and_every_change_is_seen() {
    for database in Database::all("keys") {
        let store = Store::open(&database.url).await.unwrap();
        let none = store.keys().await.unwrap();
        assert_eq!((none.keys.len(), none.are_wanted), (0, false));
        let mut changes = vec![none.change];
        store.add_key(&key("a"), &change("ann")).await.unwrap();
        changes.push(store.change_of_keys().await.unwrap());
        store.add_key(&key("b"), &change("ann")).await.unwrap();
        let taken = store
            .add_key(
                &StoredKey {
                    id: "another".to_owned(),
                    ..key("a")
                },
                &change("ann"),
            )
            .await;
        assert!(matches!(taken, Err(StoreError::Taken { name, .. }) if name == "a"));
        let (all, by) = (Tenant::All, change("ann"));
        let blocked = store.block_key(&all, Named::Name("a"), None, true, &by);
        assert!(matches!(blocked.await.unwrap(), Changed::Done(_)));
        changes.push(store.change_of_keys().await.unwrap());
        let until = std::time::Duration::from_millis(77);
        let rotated = store.rotate_key(
            &all,
            Named::Id("id-b"),
            None,
            "sha256:new",
            Overlap::Until(until),
            &by,
        );
        assert!(matches!(rotated.await.unwrap(), Changed::Done(_)));
        changes.push(store.change_of_keys().await.unwrap());
        let kept = store.keys().await.unwrap();
        let blocked = StoredKey {
            is_blocked: true,
            version: 2,
            ..key("a")
        };
        let rotated = StoredKey {
            hash: "sha256:new".to_owned(),
            old: Some(("sha256:b".to_owned(), 77)),
            version: 2,
            ..key("b")
        };
        assert_eq!(kept.keys, [blocked, rotated]);
        for name in ["a", "b"] {
            for is_there in [true, false] {
                let removed = store.remove_key(&all, Named::Name(name), None, &by);
                let removed = removed.await.unwrap();
                assert_eq!(matches!(removed, Changed::Done(_)), is_there);
            }
        }
        changes.push(store.change_of_keys().await.unwrap());
        assert!(
            changes.windows(2).all(|pair| pair[0] < pair[1]),
            "{changes:?}"
        );
        // Nobody takes that for a gateway that wants no key.
        let left = store.keys().await.unwrap();
        assert_eq!((left.keys.len(), left.are_wanted), (0, true));
        // The books name it still: nobody else is called so.
        let again = StoredKey {
            id: "again".to_owned(),
            team: Some("others".to_owned()),
            ..key("a")
        };
        assert!(matches!(
            store.add_key(&again, &change("ann")).await,
            Err(StoreError::TakenForEver { kind: "key", name }) if name == "a"
        ));
        assert!(store.keys().await.unwrap().keys.is_empty());
        store.close().await;
    }
}

/// Callers choose some of these texts.
pub(super) fn change(actor: &str) -> Change {
    Change {
        at: std::time::Duration::from_secs(1_800_000_000),
        actor: actor.to_owned(),
        source: "127.0.0.1".to_owned(),
        planned_behind: None,
        answer: None,
    }
}

pub(super) fn object(kind: Kind, organisation: &str, team: &str, name: &str) -> Object {
    Object {
        id: format!("{}-{name}", kind.as_str()),
        kind,
        organisation: organisation.to_owned(),
        team: team.to_owned(),
        name: name.to_owned(),
        body: serde_json::json!({"name": name}),
        version: 0,
        created_ms: 0,
        changed_ms: 0,
    }
}

#[tokio::test]
async fn objects_are_told_and_changed_for_their_tenant_only() {
    for database in Database::all("objects") {
        let store = Store::open(&database.url).await.unwrap();
        let bob = change("bob");
        for (organisation, team, name) in [("a", "t1", "x"), ("a", "t2", "y"), ("b", "t3", "z")] {
            let app = object(Kind::App, organisation, team, name);
            store.add_object(app, &change("ann")).await.unwrap();
        }
        let taken = store.add_object(object(Kind::App, "b", "t3", "x"), &bob);
        assert!(matches!(
            taken.await,
            Err(StoreError::Failed(_) | StoreError::Taken { .. })
        ));
        let team = |organisation: &str, team: &str| Tenant::Team {
            organisation: organisation.to_owned(),
            team: team.to_owned(),
        };
        for (tenant, seen) in [
            (Tenant::All, 3),
            (Tenant::Organisation("a".to_owned()), 2),
            (team("a", "t1"), 1),
            (team("b", "t1"), 0),
        ] {
            let objects = store.objects(&tenant, Kind::App, None, 10).await.unwrap();
            assert_eq!(objects.len(), seen, "{tenant:?}");
        }
        let others = Tenant::Organisation("b".to_owned());
        let body = serde_json::json!({"name": "x", "more": true});
        let replace = |tenant: Tenant, version| {
            let (store, bob, body) = (&store, &bob, body.clone());
            async move {
                let replaced =
                    store.replace_object(&tenant, Kind::App, "app-x", version, body, bob);
                replaced.await.unwrap()
            }
        };
        assert_eq!(replace(others.clone(), None).await, Changed::Missing);
        assert_eq!(replace(team("a", "t1"), Some(7)).await, Changed::Stale);
        assert!(
            matches!(replace(team("a", "t1"), Some(1)).await, Changed::Done(now) if now.version == 2)
        );
        let removed = store.remove_object(&others, Kind::App, "app-x", None, &bob);
        assert_eq!(removed.await.unwrap(), Changed::Missing);
        let rows = store.audit(&others, None, 10).await.unwrap();
        assert_eq!(rows.len(), 1);
        // The name of what was removed is the books' or free again.
        for (kind, is_free) in [
            (Kind::Organisation, false),
            (Kind::Team, false),
            (Kind::App, false),
            (Kind::User, false),
            (Kind::Limit, true),
            (Kind::Budget, true),
            (Kind::Price, true),
        ] {
            let made = object(kind, "a", "t1", "again");
            store.add_object(made.clone(), &bob).await.unwrap();
            let removed = store.remove_object(&Tenant::All, kind, &made.id, None, &bob);
            assert!(matches!(removed.await.unwrap(), Changed::Done(_)));
            match store.add_object(made, &bob).await {
                Err(StoreError::TakenForEver { .. }) => assert!(!is_free, "{kind:?}"),
                made => assert!(made.is_ok() && is_free, "{kind:?}: {made:?}"),
            }
        }
        store.close().await;
    }
}

/// A database of another language sorted `alpha` before `Zeta`, and whoever went on behind one missed the other.
#[tokio::test]
async fn pages_go_by_bytes_whatever_language_the_database_speaks() {
    let names = [
        "Zeta", "alpha", "Beta", "beta2", "_under", "émile", "zebra", "Ärger", "a b", "A-b", "ab",
        "aB", "10", "9", "~t",
    ];
    for database in Database::all("pages") {
        let (store, ann) = (Store::open(&database.url).await.unwrap(), change("ann"));
        for name in names {
            let team = Object {
                id: name.to_owned(),
                ..object(Kind::Team, "acme", name, name)
            };
            store.add_object(team, &ann).await.unwrap();
            store.add_key(&key(name), &ann).await.unwrap();
        }
        let (mut teams, mut keys): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
        for _ in names {
            let (after, behind) = (teams.last().cloned(), keys.last().cloned());
            let page = store.objects(&Tenant::All, Kind::Team, after.as_deref(), 1);
            teams.extend(page.await.unwrap().into_iter().map(|team| team.id));
            let page = store.keys_of(&Tenant::All, behind.as_deref(), 1);
            keys.extend(page.await.unwrap().into_iter().map(|key| key.id));
        }
        let mut sorted = names.map(str::to_owned);
        sorted.sort();
        assert_eq!(teams, sorted);
        let stored = store.keys().await.unwrap().keys;
        let stored: Vec<String> = stored.into_iter().map(|key| key.name).collect();
        assert_eq!(stored, sorted);
        assert_eq!(keys, sorted.map(|name| format!("id-{name}")));
        store.close().await;
    }
}

/// Both saw the other one, and nobody was left.
#[tokio::test]
async fn two_owners_do_not_take_each_others_place_at_once() {
    for database in Database::all("owners") {
        let store = Store::open(&database.url).await.unwrap();
        for round in 0..8 {
            let [first, second] = ["first", "second"].map(|name| {
                let mut owner = object(Kind::User, "", "", &format!("{name} of {round}"));
                owner.body["role"] = "owner".into();
                owner
            });
            for owner in [&first, &second] {
                store.add_object(owner.clone(), &change("x")).await.unwrap();
            }
            let (all, change) = (Tenant::All, change("x"));
            let removed = store.remove_object(&all, Kind::User, &first.id, None, &change);
            let less = serde_json::json!({"name": second.name, "role": "member"});
            let replaced = store.replace_object(&all, Kind::User, &second.id, None, less, &change);
            let (removed, replaced) = tokio::join!(removed, replaced);
            let became = [removed.unwrap(), replaced.unwrap()];
            let refused = became.iter().filter(|what| **what == Changed::LastOwner);
            assert_eq!(refused.count(), 1, "{became:?}");
            // Who is left goes when there are others.
            let mut next = object(Kind::User, "", "", &format!("next of {round}"));
            next.body["role"] = "owner".into();
            store.add_object(next.clone(), &change).await.unwrap();
            for owner in [&first, &second] {
                let _gone = store
                    .remove_object(&all, Kind::User, &owner.id, None, &change)
                    .await
                    .unwrap();
            }
            next.body["role"] = "member".into();
            let last =
                store.replace_object(&all, Kind::User, &next.id, None, next.body.clone(), &change);
            assert_eq!(last.await.unwrap(), Changed::LastOwner);
            // The next round begins with none.
            let forget = sqlx::query("DELETE FROM objects WHERE kind = 'user'");
            forget.execute(&store.pool).await.unwrap();
        }
        store.close().await;
    }
}

#[tokio::test]
async fn a_changed_row_of_the_audit_is_found_and_one_that_is_gone() {
    for database in Database::all("audit") {
        let store = Store::open(&database.url).await.unwrap();
        for name in ["x", "y", "z"] {
            let app = object(Kind::App, "a", "t", name);
            store.add_object(app, &change("ann")).await.unwrap();
        }
        let whole = store.verify_audit().await.unwrap();
        assert!(matches!(whole, Verdict::Whole { rows: 3, .. }), "{whole:?}");
        let tamper = async |sql: &'static str| {
            sqlx::query(sql).execute(&store.pool).await.unwrap();
            store.verify_audit().await.unwrap()
        };
        let broken = tamper("UPDATE audit SET actor = 'bob' WHERE number = 2").await;
        assert!(
            matches!(broken, Verdict::Broken { number: 2, .. }),
            "{broken:?}"
        );
        let mended = tamper("UPDATE audit SET actor = 'ann' WHERE number = 2").await;
        assert_eq!(mended, whole);
        // Rows of numbers that none has.
        for forged in ["0", "-7"] {
            let insert = format!(
                "INSERT INTO audit SELECT {forged}, at_ms, actor, source, action, kind, object, organisation, team, before, after, hash \
                 FROM audit WHERE number = 2"
            );
            let insert = sqlx::query(sqlx::AssertSqlSafe(insert));
            insert.execute(&store.pool).await.unwrap();
            let broken = store.verify_audit().await.unwrap();
            assert!(
                matches!(&broken, Verdict::Broken { number, .. } if number.to_string() == forged),
                "{broken:?}"
            );
        }
        assert_eq!(tamper("DELETE FROM audit WHERE number < 1").await, whole);
        // A file takes what is no number and no text.
        let unreadable = [
            "at_ms = at_ms + 0.5",
            "actor = x'ff'",
            "actor = CAST(x'ff' AS TEXT)",
        ];
        for spoiled in unreadable.into_iter().filter(|_| store.is_file) {
            for (what, number) in [(spoiled, 2), ("at_ms = 1800000000000, actor = 'ann'", 0)] {
                let update = format!("UPDATE audit SET {what} WHERE number = 2");
                let update = sqlx::query(sqlx::AssertSqlSafe(update));
                update.execute(&store.pool).await.unwrap();
                let found = match store.verify_audit().await.unwrap() {
                    Verdict::Broken { number, .. } => number,
                    Verdict::Whole { .. } => 0,
                };
                assert_eq!(found, number, "{what}");
            }
        }
        let uncounted = tamper("UPDATE changes SET what = 'gone' WHERE what = 'audit'").await;
        assert!(
            matches!(uncounted, Verdict::Broken { number: 4, .. }),
            "{uncounted:?}"
        );
        let counted = tamper("UPDATE changes SET what = 'audit' WHERE what = 'gone'").await;
        assert_eq!(counted, whole);
        let short = tamper("DELETE FROM audit WHERE number = 3").await;
        assert!(
            matches!(short, Verdict::Broken { number: 3, .. }),
            "{short:?}"
        );
        let holed = tamper("DELETE FROM audit WHERE number = 1").await;
        assert!(
            matches!(holed, Verdict::Broken { number: 2, .. }),
            "{holed:?}"
        );
        store.close().await;
    }
}
