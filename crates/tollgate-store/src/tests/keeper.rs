//! Journals get into the books, whoever wrote them and however much.

use std::{
    collections::HashSet,
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use tollgate_domain::{Payload, UsageRecord};
use tollgate_telemetry::journal::Journal;

use super::{Database, record};
use crate::{Keeper, Round, Store, UsageQuery};

#[tokio::test]
async fn journals_are_entered_and_removed_whoever_wrote_them() {
    for database in Database::all("journals") {
        let root = database.folder.join("journal");
        let dead = Journal::open(&root, "dead", 1 << 20).unwrap();
        let pens = [dead.pen(0), dead.pen(1)];
        for number in 0..10 {
            pens[usize::try_from(number % 2).unwrap()].write(&record(number));
        }
        // It died in the middle of a record; the client of that call has not had its last byte.
        let torn = root.join("dead/000-00000001.journal");
        let mut bytes = fs::read(&torn).unwrap();
        let half = bytes[..bytes.len() / 10].to_vec();
        bytes.extend(half);
        fs::write(&torn, bytes).unwrap();
        let alive = Journal::open(&root, "alive", 1 << 20).unwrap();
        alive.pen(0).write(&record(50));
        let own = Journal::open(&root, "own", 1 << 20).unwrap();
        let pen = own.pen(0);
        pen.write(&record(60));

        let store = Store::open(&database.url).await.unwrap();
        let state = Arc::clone(own.state());
        let mut keeper = Keeper::new(store.clone(), root.clone(), own.folder().to_owned(), state);
        let round = |entered| Round {
            entered,
            ..Round::default()
        };
        // Both others live: only our own is ours.
        assert_eq!(keeper.round().await.unwrap(), round(1));
        assert_eq!(keeper.dead().unwrap().len(), 0);
        drop((dead, pens));
        let mut dead = keeper.dead().unwrap();
        let dead = dead.pop().unwrap();
        assert_eq!(dead.name(), "dead");
        // Nobody else enters it meanwhile.
        assert_eq!(keeper.dead().unwrap().len(), 0);
        let wanted = ["hold-3".to_owned(), "hold-99".to_owned()].into();
        let mut told = Round::default();
        keeper.enter_dead(&dead, &wanted, &mut told).await.unwrap();
        assert_eq!(told.entered, 10);
        assert_eq!(told.wanted, [record(3)]);
        dead.remove();
        assert!(!root.join("dead").exists() && root.join("alive").exists());
        assert_eq!(own.state().waiting(), 0);
        pen.write(&record(61));
        assert_eq!(keeper.round().await.unwrap(), round(1));
        assert_eq!(keeper.round().await.unwrap(), round(0));
        assert_eq!(
            store.usage(&UsageQuery::default()).await.unwrap()[0].calls,
            12
        );
        keeper.finish().await;
        assert!(!root.join("own").exists());
    }
}

/// Of what began, that which has a record ended, wherever the record went in the meantime.
#[tokio::test]
async fn calls_that_had_not_ended_leave_a_record_of_what_was_known() {
    for database in Database::all("crashed") {
        let root = database.folder.join("journal");
        let dead = Journal::open(&root, "dead", 1 << 20).unwrap();
        let pen = dead.pen(0);
        let begun = |number: u64| UsageRecord {
            outcome: "crashed".into(),
            cost_at_most: Some(7),
            ..record(number)
        };
        let calls: Vec<_> = (0..4)
            .map(|call| pen.begin(&begun(call)).unwrap())
            .collect();
        // One went on to another provider.
        let again = UsageRecord {
            provider: Some("second".into()),
            ..begun(3)
        };
        pen.end(calls[3]);
        pen.begin(&again).unwrap();
        pen.add(&record(0));
        pen.end(calls[0]);
        pen.flush();
        let store = Store::open(&database.url).await.unwrap();
        // The record of another was entered while the process lived.
        store.enter(&[record(1)]).await.unwrap();
        // It died over writing the file anew.
        fs::write(root.join("dead/000.anew"), b"half").unwrap();
        drop((dead, pen));

        let own = Journal::open(&root, "own", 1 << 20).unwrap();
        let state = Arc::clone(own.state());
        let mut keeper = Keeper::new(store.clone(), root.clone(), own.folder().to_owned(), state);
        let dead = keeper.dead().unwrap().pop().unwrap();
        let wanted = ["hold-1", "hold-3"].map(str::to_owned).into();
        let mut told = Round::default();
        keeper.enter_dead(&dead, &wanted, &mut told).await.unwrap();
        assert_eq!((told.entered, told.crashed), (3, 2));
        assert_eq!(told.wanted, [again]);
        let mut once_more = Round::default();
        keeper
            .enter_dead(&dead, &wanted, &mut once_more)
            .await
            .unwrap();
        assert_eq!(once_more, Round::default());
        dead.remove();
        assert!(!root.join("dead").exists());
        let usage = store.usage(&UsageQuery::default()).await.unwrap();
        assert_eq!(usage[0].calls, 4);
        // Whoever ends in order leaves none.
        let pen = own.pen(0);
        pen.begin(&begun(9)).unwrap();
        pen.flush();
        keeper.finish().await;
        assert!(!root.join("own").exists());
    }
}

#[tokio::test]
async fn a_damaged_file_is_set_aside_and_the_others_are_entered() {
    for database in Database::all("damaged") {
        let root = database.folder.join("journal");
        let dead = Journal::open(&root, "dead", 1 << 30).unwrap();
        let long = UsageRecord {
            payload: Some(Payload {
                request: "x".repeat(3 << 20).into(),
                ..Payload::default()
            }),
            ..record(1)
        };
        // Longer than what is read at a time, and the second fills the file.
        let pen = dead.pen(0);
        pen.write(&long);
        pen.write(&UsageRecord {
            id: record(2).id,
            ..long.clone()
        });
        pen.write(&record(3));
        drop((dead, pen));
        let store = Store::open(&database.url).await.unwrap();
        let own = Journal::open(&root, "own", 1 << 20).unwrap();
        let state = Arc::clone(own.state());
        let mut keeper = Keeper::new(store.clone(), root.clone(), own.folder().to_owned(), state);
        let first = root.join("dead/000-00000001.journal");
        let mut bytes = fs::read(&first).unwrap();
        let middle = bytes.len() / 2 + 1000;
        bytes[middle] ^= 1;
        fs::write(&first, bytes).unwrap();
        let dead = keeper.dead().unwrap().pop().unwrap();
        let mut told = Round::default();
        keeper
            .enter_dead(&dead, &HashSet::new(), &mut told)
            .await
            .unwrap();
        assert_eq!((told.entered, told.skipped.unreadable), (2, 1));
        dead.remove();
        let left = fs::read_dir(root.join("dead")).unwrap();
        let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["000-00000001.damaged"]);
        assert_eq!(keeper.dead().unwrap().len(), 0, "it is not looked at again");
        keeper.finish().await;
    }
}

/// Records that are written while a round goes on which does not end.
const WRITTEN_MAX: u64 = 8_000;

/// Whoever writes faster than can be entered would hold up all else that is done between rounds.
#[tokio::test]
async fn a_round_ends_however_much_is_written_meanwhile() {
    for database in Database::all("endless") {
        let root = database.folder.join("journal");
        let own = Journal::open(&root, "own", 1 << 30).unwrap();
        let pen = own.pen(0);
        (0..120).for_each(|number| pen.write(&record(number)));
        let store = Store::open(&database.url).await.unwrap();
        let state = Arc::clone(own.state());
        let mut keeper = Keeper::new(store, root, own.folder().to_owned(), state);
        let writes = Arc::new(AtomicBool::new(true));
        let goes_on = Arc::clone(&writes);
        let writer = thread::spawn(move || {
            let mut number = 120;
            loop {
                // In bursts, so that it is ahead wherever this runs, and its file stays the same.
                (0..200).for_each(|more| pen.write(&record(number + more)));
                number += 200;
                thread::sleep(Duration::from_millis(20));
                if number > WRITTEN_MAX || !goes_on.load(Ordering::Relaxed) {
                    // Whenever the round ended, there is more.
                    pen.write(&record(number));
                    return number + 1;
                }
            }
        });
        let round = keeper.round().await.unwrap();
        writes.store(false, Ordering::Relaxed);
        let written = writer.join().unwrap();
        assert!(
            (120..written.min(WRITTEN_MAX)).contains(&round.entered),
            "{} of {written}",
            round.entered
        );
        let mut entered = round.entered;
        while entered < written {
            let more = keeper.round().await.unwrap().entered;
            assert!(more > 0, "{entered} of {written}");
            entered += more;
        }
        keeper.finish().await;
    }
}

#[tokio::test]
async fn a_worker_that_writes_much_does_not_keep_the_others_out() {
    for database in Database::all("turns") {
        let root = database.folder.join("journal");
        let own = Journal::open(&root, "own", 1 << 30).unwrap();
        let (busy, calm) = (own.pen(0), own.pen(1));
        let all = 40_000;
        (1..all).for_each(|number| busy.write(&record(number)));
        calm.write(&record(all));
        let store = Store::open(&database.url).await.unwrap();
        let state = Arc::clone(own.state());
        let mut keeper = Keeper::new(store.clone(), root, own.folder().to_owned(), state);
        let sought = record(all).request_id;
        let mut entered = 0;
        while store.find(&sought).await.unwrap().is_empty() {
            let round = keeper.round().await.unwrap();
            assert!(round.has_more, "it came last");
            entered += round.entered;
        }
        assert!(entered < 3 * all / 4, "{entered} came before it");
    }
}
