//! Changes of the same things at the same time, by two programs.

use super::*;

async fn two_programs(database: &Database) -> [Store; 2] {
    [
        Store::open(&database.url).await.unwrap(),
        Store::open(&database.url).await.unwrap(),
    ]
}

/// Adds an object where none of the other kind has its name, or says that there is one.
async fn add_alone(store: &Store, made: &Object, other: Kind) -> Result<bool, StoreError> {
    let made = store.plan_and_make(change("ann"), |change| async move {
        if store.object_named(other, &made.name).await?.is_some() {
            return Ok(false);
        }
        store.add_object(made.clone(), &change).await?;
        Ok(true)
    });
    made.await
}

#[tokio::test]
async fn what_was_planned_by_what_is_no_more_is_planned_again() {
    for database in Database::all("changing") {
        let [one, other] = two_programs(&database).await;
        for round in 0..20 {
            let name = format!("of round {round}");
            let limit = object(Kind::Limit, "", "", &name);
            let budget = object(Kind::Budget, "", "", &name);
            let (limit, budget) = tokio::join!(
                add_alone(&one, &limit, Kind::Budget),
                add_alone(&other, &budget, Kind::Limit)
            );
            assert!(limit.unwrap() != budget.unwrap(), "{name}");
        }
        for store in [one, other] {
            store.close().await;
        }
    }
}

/// Each found that the other had changed the key, and that the emergency could wait.
#[tokio::test]
async fn who_has_looked_at_no_version_changes_what_is_there() {
    for database in Database::all("unlooked") {
        let [one, other] = two_programs(&database).await;
        let (all, ann) = (Tenant::All, change("ann"));
        one.add_key(&key("a"), &ann).await.unwrap();
        let app = object(Kind::App, "acme", "t", "x");
        one.add_object(app.clone(), &ann).await.unwrap();
        let (name, opening) = (Named::Name("a"), Opening::default());
        for _ in 0..20 {
            let (blocked, changed, app, again) = tokio::join!(
                one.block_key(&all, name, None, true, &ann),
                other.replace_key(&all, name, None, opening.clone(), &ann),
                one.replace_object(&all, Kind::App, &app.id, None, app.body.clone(), &ann),
                other.replace_object(&all, Kind::App, &app.id, None, app.body.clone(), &ann),
            );
            for changed in [blocked.unwrap(), changed.unwrap()] {
                assert!(matches!(changed, Changed::Done(_)), "{changed:?}");
            }
            for changed in [app.unwrap(), again.unwrap()] {
                assert!(matches!(changed, Changed::Done(_)), "{changed:?}");
            }
        }
        let (replaced, removed) = tokio::join!(
            one.replace_object(&all, Kind::App, &app.id, None, app.body.clone(), &ann),
            other.remove_object(&all, Kind::App, &app.id, None, &ann),
        );
        assert!(!matches!(replaced.unwrap(), Changed::Stale));
        assert!(matches!(removed.unwrap(), Changed::Done(_)));
        let key = one.key(&all, name).await.unwrap().unwrap();
        assert_eq!((key.version, key.is_blocked), (41, true));
        for store in [one, other] {
            store.close().await;
        }
    }
}
