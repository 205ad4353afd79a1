//! Answers to requests that may be sent again: kept with what was made, or not at all.

use std::time::Duration;

use super::{Database, change, object};
use crate::{Answered, Change, Kind, NewAnswer, Store, StoreError, StoredKey, Tenant};

fn answered(answer: &str) -> Answered {
    Answered {
        request_hash: "hash".to_owned(),
        answer: answer.to_owned(),
    }
}

/// A change whose request came with a key.
fn with_key(key: &str) -> Change {
    Change {
        answer: Some(NewAnswer {
            actor: "ann".to_owned(),
            key: key.to_owned(),
            answered: answered(key),
        }),
        ..change("ann")
    }
}

#[tokio::test]
async fn an_answer_is_kept_with_what_is_made_or_neither_is() {
    for database in Database::all("answered") {
        let store = Store::open(&database.url).await.unwrap();
        let now = change("ann").at;
        let app = |name: &str| object(Kind::App, "a", "t", name);
        store.add_object(app("x"), &with_key("k1")).await.unwrap();
        let kept = store.answered("ann", "k1", now).await.unwrap();
        assert_eq!(kept, Some(answered("k1")));
        assert_eq!(store.answered("bob", "k1", now).await.unwrap(), None);
        // What is not made leaves no answer.
        let taken = store.add_object(app("x"), &with_key("k2")).await;
        assert!(taken.is_err(), "{taken:?}");
        assert_eq!(store.answered("ann", "k2", now).await.unwrap(), None);
        // What was answered is not made again, nor told to others as a change.
        let change_before = store.change_of_objects().await.unwrap();
        let again = store.add_object(app("y"), &with_key("k1")).await;
        assert!(matches!(again, Err(StoreError::Repeated)), "{again:?}");
        let key = StoredKey {
            id: "id".to_owned(),
            name: "key".to_owned(),
            team: None,
            hash: "sha256:0".to_owned(),
            old: None,
            opening: crate::Opening::default(),
            is_blocked: false,
            created_ms: 0,
            organisation: String::new(),
            app: None,
            version: 1,
        };
        let again = store.add_key(&key, &with_key("k1")).await;
        assert!(matches!(again, Err(StoreError::Repeated)), "{again:?}");
        let apps = store.objects(&Tenant::All, Kind::App, None, 10);
        assert_eq!(apps.await.unwrap().len(), 1);
        assert!(store.keys().await.unwrap().keys.is_empty());
        assert_eq!(store.change_of_objects().await.unwrap(), change_before);
        assert_eq!(store.audit(&Tenant::All, None, 10).await.unwrap().len(), 1);
        // After a day the key may be used for something else.
        let day = Duration::from_secs(24 * 3600);
        let later = Change {
            at: now + day,
            ..with_key("k1")
        };
        assert_eq!(store.answered("ann", "k1", now + day).await.unwrap(), None);
        store.add_key(&key, &later).await.unwrap();
        store.close().await;
    }
}

#[tokio::test]
async fn of_the_same_request_sent_twice_at_once_one_makes_it() {
    for database in Database::all("answered-at-once") {
        let (one, other) = (
            Store::open(&database.url).await.unwrap(),
            Store::open(&database.url).await.unwrap(),
        );
        let change = with_key("k");
        let (first, second) = tokio::join!(
            one.add_object(object(Kind::App, "a", "t", "x"), &change),
            other.add_object(object(Kind::App, "a", "t", "y"), &change),
        );
        assert!(first.is_ok() != second.is_ok(), "{first:?} {second:?}");
        let apps = one.objects(&Tenant::All, Kind::App, None, 10);
        assert_eq!(apps.await.unwrap().len(), 1);
        one.close().await;
        other.close().await;
    }
}
