//! Single calls go, and what they come to stays.

use std::{sync::Arc, time::Duration};

use tollgate_domain::UsageRecord;
use tollgate_telemetry::journal::Journal;

use super::{Database, record};
use crate::{CallsQuery, Dimension, Keeper, Skipped, Store, UsageQuery, UsageRow};

const DAY: Duration = Duration::from_secs(86_400);
const DAY_MS: i64 = 86_400_000;
const HOUR_MS: i64 = 3_600_000;

/// The first day that there are calls of; a hundred days of ten calls follow.
const FIRST: i64 = 20_000;

/// Of a hundred days, thirty and the one that has begun are kept.
const KEPT_FROM: i64 = FIRST + 69;

fn call(number: u64) -> UsageRecord {
    let (day, part) = (number / 10, number % 10);
    UsageRecord {
        at_ms: (FIRST + i64::try_from(day).unwrap()) * DAY_MS
            + i64::try_from(part).unwrap() * 8_400_000,
        user: (!number.is_multiple_of(4)).then(|| format!("user-{}", number % 3).into()),
        ..record(number)
    }
}

fn all() -> Vec<UsageRecord> {
    (0..1_000).map(call).collect()
}

/// Questions that sums answer, whatever becomes of the records.
fn questions() -> Vec<UsageQuery> {
    let mut questions = Vec::new();
    for by in [
        vec![],
        vec![Dimension::Day, Dimension::Key],
        vec![Dimension::Hour, Dimension::Model],
        vec![Dimension::User],
        vec![Dimension::Tag, Dimension::Day],
    ] {
        for (since, until) in [
            (None, None),
            (Some(10 * DAY_MS), Some(80 * DAY_MS)),
            (Some(20 * DAY_MS + 3 * HOUR_MS), Some(75 * DAY_MS + 12_345)),
            (Some(69 * DAY_MS + 1), None),
        ] {
            let at = |time: Option<i64>| time.map(|time| FIRST * DAY_MS + time);
            questions.push(UsageQuery {
                since_ms: at(since),
                until_ms: at(until),
                by: by.clone(),
                ..UsageQuery::default()
            });
        }
    }
    questions
}

async fn answers(store: &Store) -> Vec<Vec<UsageRow>> {
    let mut answers = Vec::new();
    for question in questions() {
        answers.push(store.usage(&question).await.unwrap());
    }
    answers
}

async fn calls(store: &Store) -> usize {
    let query = CallsQuery {
        most: 2_000,
        ..CallsQuery::default()
    };
    store.calls(&query).await.unwrap().len()
}

/// Enters a hundred days, of which the last are kept.
async fn with_some_kept(database: &Database) -> Store {
    let store = Store::open(&database.url).await.unwrap();
    store.enter(&all()).await.unwrap();
    assert_eq!(store.calls_kept_from().await.unwrap(), 0);
    // A clock that is a hundred years ahead drops nothing more.
    store.keep_calls_for(DAY * 30, DAY * 60_000).await.unwrap();
    let from = store.calls_kept_from().await.unwrap();
    assert_eq!(from, KEPT_FROM * DAY_MS);
    store
}

async fn drop_all(store: &Store) -> Vec<u64> {
    let from = store.calls_kept_from().await.unwrap();
    let mut dropped = Vec::new();
    while dropped.last() != Some(&0) {
        dropped.push(store.drop_calls_before(from, 300).await.unwrap());
    }
    dropped
}

#[tokio::test]
async fn sums_say_the_same_when_single_calls_are_gone() {
    for database in Database::all("dropped") {
        let store = Store::open(&database.url).await.unwrap();
        store.enter(&all()).await.unwrap();
        let before = answers(&store).await;
        store.close().await;
        let store = with_some_kept(&database).await;
        // What was said holds at once, dropped or not.
        assert_eq!(
            (calls(&store).await, answers(&store).await == before),
            (310, true)
        );
        assert_eq!(drop_all(&store).await, [300, 300, 90, 0]);
        assert_eq!(calls(&store).await, 310);
        let after = answers(&store).await;
        for ((question, before), after) in questions().iter().zip(&before).zip(&after) {
            assert_eq!(before, after, "{question:?}");
        }
        store.make_sums_anew().await.unwrap();
        assert_eq!(answers(&store).await, before);
        // What is no longer kept is never kept again.
        store.keep_calls_for(DAY * 90, DAY * 20_100).await.unwrap();
        assert_eq!(store.calls_kept_from().await.unwrap(), KEPT_FROM * DAY_MS);
        store.close().await;
    }
}

/// Of the time whose records are gone a part of an hour is the whole of it, so that no budget lacks anything; and what sums do not tell apart is
/// not known.
#[tokio::test]
async fn hours_whose_calls_are_gone_count_as_a_whole() {
    for database in Database::all("hours") {
        let store = with_some_kept(&database).await;
        drop_all(&store).await;
        let asked = async |since: i64, until: i64, by: &[Dimension]| {
            let query = UsageQuery {
                since_ms: Some(since),
                until_ms: Some(until),
                by: by.to_vec(),
                ..UsageQuery::default()
            };
            let rows = store.usage(&query).await.unwrap();
            rows.iter().map(|row| row.calls).sum::<u64>()
        };
        // The second call of a day comes at 2:20.
        let day = (FIRST + 5) * DAY_MS;
        let (early, late) = (day + 2 * HOUR_MS + 1, day + 2 * HOUR_MS + 2);
        assert_eq!(asked(early, late, &[]).await, 1);
        assert_eq!(asked(early, early, &[]).await, 0);
        assert_eq!(asked(day, day + DAY_MS, &[Dimension::Minute]).await, 0);
        let day = KEPT_FROM * DAY_MS;
        let (early, late) = (day + 2 * HOUR_MS + 1, day + 2 * HOUR_MS + 2);
        assert_eq!(asked(early, late, &[]).await, 0);
        assert_eq!(asked(day, day + DAY_MS, &[Dimension::Minute]).await, 10);
        // A part of both.
        assert_eq!(asked(day - 3 * HOUR_MS + 1, day + 1, &[]).await, 2);
        store.close().await;
    }
}

#[tokio::test]
async fn a_backup_has_the_sums_of_the_time_whose_calls_are_gone() {
    let databases = Database::all("backup-dropped");
    let (mut texts, mut told) = (Vec::new(), Vec::new());
    for database in &databases {
        let store = with_some_kept(database).await;
        // Whether they are gone or about to go, the sums of that time are in it.
        let mut text = Vec::new();
        store.back_up(&mut text).await.unwrap();
        texts.push(text);
        told.push(answers(&store).await);
        drop_all(&store).await;
        let mut text = Vec::new();
        store.back_up(&mut text).await.unwrap();
        texts.push(text);
        store.close().await;
    }
    assert_eq!(told[0], told[1]);
    // Each into a database of the other kind.
    let [into_file, into_server] = Database::all("restore-dropped");
    let [again_file, again_server] = Database::all("restore-gone");
    let into = [&into_server, &again_server, &into_file, &again_file];
    for (text, database) in texts.iter().zip(into) {
        let store = Store::open(&database.url).await.unwrap();
        store.restore(&mut text.as_slice()).await.unwrap();
        assert_eq!(store.calls_kept_from().await.unwrap(), KEPT_FROM * DAY_MS);
        assert_eq!(calls(&store).await, 310);
        assert_eq!(answers(&store).await, told[0]);
        store.make_sums_anew().await.unwrap();
        assert_eq!(answers(&store).await, told[0]);
        store.close().await;
    }
}

/// A backup of a time before there was such a thing.
#[tokio::test]
async fn an_older_backup_is_restored_with_all_its_calls() {
    let [database, _] = Database::all("older");
    let store = Store::open(&database.url).await.unwrap();
    store.enter(&all()).await.unwrap();
    let told = answers(&store).await;
    let mut text = Vec::new();
    store.back_up(&mut text).await.unwrap();
    store.close().await;
    let text = String::from_utf8(text).unwrap();
    let text = text.replace("{\"tollgate_backup\":2}", "{\"tollgate_backup\":1}");
    let (older, _) = text.split_once("{\"table\":\"calls_kept\"").unwrap();
    // Beside the calls, the numbers of changes.
    let older = format!("{older}{{\"rows\":1003}}\n");
    for database in Database::all("from-older") {
        let store = Store::open(&database.url).await.unwrap();
        store.restore(&mut older.as_bytes()).await.unwrap();
        assert_eq!(store.calls_kept_from().await.unwrap(), 0);
        assert_eq!(answers(&store).await, told);
        store.close().await;
    }
}

/// A journal that was entered long ago and is found again: its calls cannot be told from new ones by their records, which are gone.
#[tokio::test]
async fn a_journal_that_is_found_late_is_not_entered_twice() {
    for database in Database::all("late") {
        let root = database.folder.join("journal");
        let dead = Journal::open(&root, "dead", 1 << 30).unwrap();
        let pen = dead.pen(0);
        (0..1_000).for_each(|number| pen.write(&call(number)));
        pen.write(&UsageRecord {
            id: "new".into(),
            ..call(999)
        });
        drop((dead, pen));
        let store = with_some_kept(&database).await;
        drop_all(&store).await;
        let own = Journal::open(&root, "own", 1 << 30).unwrap();
        let state = Arc::clone(own.state());
        let mut keeper = Keeper::new(store.clone(), root, own.folder().to_owned(), state);
        let dead = keeper.dead().unwrap().pop().unwrap();
        let mut told = crate::Round::default();
        let wanted = ["hold-3".to_owned()].into();
        keeper.enter_dead(&dead, &wanted, &mut told).await.unwrap();
        let skipped = Skipped {
            too_old: 690,
            unreadable: 0,
        };
        assert_eq!((told.entered, told.skipped), (1, skipped));
        assert_eq!(told.wanted.len(), 1, "what it held is still to be settled");
        let sums = store.usage(&UsageQuery::default()).await.unwrap();
        assert_eq!(sums[0].calls, 1_001);
        keeper.finish().await;
    }
}
