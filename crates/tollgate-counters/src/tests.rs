//! Against a real server.

use std::{sync::Arc, time::Duration};

use tollgate_domain::{Quantity, Scope, Then, Window};
use tollgate_testkit::redis::Redis;

use super::*;

/// In a time to come: what is over is forgotten by the server's own clock.
const NOW: Duration = Duration::from_secs(4_000_000_000);
const DEADLINE: Duration = Duration::from_secs(5);

fn allowance(name: &str, most: u64, window: Option<u64>) -> Allowance {
    Allowance {
        name: name.into(),
        scope: Scope::default(),
        raise: None,
        quantity: match window {
            Some(_) => Quantity::Requests,
            None => Quantity::Concurrent,
        },
        most,
        window: window.map(|seconds| Window::Span(Duration::from_secs(seconds))),
        then: Then::Refuse,
        is_told: false,
    }
}

fn ask(allowance: &Allowance, amount: u64) -> Ask<'_> {
    Ask {
        allowance,
        subject: "a",
        amount,
        refuses: true,
    }
}

fn shared(redis: &Redis, node: &str) -> SharedCounts {
    SharedCounts::new(&redis.url(), "test", node, DEADLINE).unwrap()
}

async fn begun(line: &mut Line, allowances: &[&Allowance]) {
    for allowance in allowances {
        line.begin(allowance, &[], "e1", NOW).await.unwrap();
    }
}

fn hold(taken: &Taken, name: &str) -> Hold {
    let Taken::Whole { epoch, .. } = taken else {
        panic!("{taken:?}")
    };
    Hold {
        name: name.to_owned(),
        epoch: epoch.clone(),
    }
}

fn used(allowance: &Allowance, amount: u64) -> Vec<Used> {
    Vec::from_iter(Used::new(allowance, "a", amount, NOW, NOW))
}

async fn count(line: &mut Line, allowance: &Allowance) -> Count {
    let name = "look";
    let asks = [Ask {
        refuses: false,
        ..ask(allowance, 0)
    }];
    let taken = line.take(name, &asks, NOW).await.unwrap();
    line.settle(&hold(&taken, name), &[]).await.unwrap();
    let Taken::Whole { counts, .. } = taken else {
        panic!()
    };
    counts[0]
}

#[tokio::test]
async fn all_give_or_none_does_and_a_hold_is_settled_once() {
    let redis = Redis::start();
    let mut line = shared(&redis, "one").line().unwrap();
    let (wide, narrow) = (
        allowance("wide", 100, Some(600)),
        allowance("narrow", 10, Some(600)),
    );
    let asks = |amount| [ask(&wide, amount), ask(&narrow, amount)];
    assert_eq!(
        line.take("c0", &asks(5), NOW).await.unwrap(),
        Taken::Unknown
    );
    begun(&mut line, &[&wide, &narrow]).await;
    let taken = line.take("c1", &asks(5), NOW).await.unwrap();
    let short = line.take("c2", &asks(6), NOW).await.unwrap();
    assert_eq!(
        short,
        Taken::Short {
            place: 1,
            count: Count {
                used: 0,
                reserved: 5
            },
            parts: Vec::new(),
        }
    );
    assert_eq!(
        count(&mut line, &wide).await,
        Count {
            used: 0,
            reserved: 5
        }
    );
    let hold = hold(&taken, "c1");
    for _ in 0..2 {
        line.settle(&hold, &used(&narrow, 7)).await.unwrap();
    }
    assert_eq!(
        count(&mut line, &narrow).await,
        Count {
            used: 7,
            reserved: 0
        }
    );
    assert_eq!(
        count(&mut line, &wide).await,
        Count {
            used: 0,
            reserved: 0
        }
    );
    // The next window begins with nothing.
    let later = NOW + Duration::from_secs(600);
    let taken = line.take("c3", &asks(10), later).await.unwrap();
    assert!(matches!(taken, Taken::Whole { .. }), "{taken:?}");
}

#[tokio::test]
async fn many_callers_of_many_gateways_take_no_more_than_there_is() {
    let redis = Redis::start();
    let narrow = Arc::new(allowance("narrow", 500, Some(600)));
    let mut first = shared(&redis, "n0").line().unwrap();
    begun(&mut first, &[&narrow]).await;
    let mut tasks = tokio::task::JoinSet::new();
    for node in 0..3 {
        let line = shared(&redis, &format!("n{node}")).line().unwrap();
        for caller in 0..400 {
            let (mut line, narrow) = (line.clone(), Arc::clone(&narrow));
            tasks.spawn(async move {
                let name = format!("c{caller}");
                let taken = line.take(&name, &[ask(&narrow, 1)], NOW).await.unwrap();
                let Taken::Whole { .. } = &taken else {
                    return 0;
                };
                let hold = hold(&taken, &name);
                line.settle(&hold, &used(&narrow, 1)).await.unwrap();
                1
            });
        }
    }
    let mut let_in = 0;
    while let Some(one) = tasks.join_next().await {
        let_in += one.unwrap();
    }
    assert_eq!(let_in, 500);
    assert_eq!(
        count(&mut first, &narrow).await,
        Count {
            used: 500,
            reserved: 0
        }
    );
}

#[tokio::test]
async fn what_was_used_while_counts_were_lost_counts() {
    let mut redis = Redis::start();
    let mut line = shared(&redis, "one").line().unwrap();
    let narrow = allowance("narrow", 10, Some(600));
    begun(&mut line, &[&narrow]).await;
    let taken = line.take("c1", &[ask(&narrow, 5)], NOW).await.unwrap();
    redis.stop();
    assert!(line.take("c2", &[ask(&narrow, 1)], NOW).await.is_err());
    let gone = line.take("c3", &[ask(&narrow, 1)], NOW).await.unwrap_err();
    assert!(
        !gone.is_closed(),
        "nobody is there to be asked again: {gone:?}"
    );
    redis.resume();
    while line
        .begin(&narrow, &[("a", 3, NOW)], "e2", NOW)
        .await
        .is_err()
    {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    line.settle(&hold(&taken, "c1"), &used(&narrow, 4))
        .await
        .unwrap();
    assert_eq!(
        count(&mut line, &narrow).await,
        Count {
            used: 7,
            reserved: 0
        }
    );
    // Whoever begins later begins nothing.
    line.begin(&narrow, &[("a", 1, NOW)], "e3", NOW)
        .await
        .unwrap();
    assert_eq!(count(&mut line, &narrow).await.used, 7);
}

#[tokio::test]
async fn what_the_dead_hold_is_reserved_until_it_is_settled() {
    let redis = Redis::start();
    let (mut dead, mut alive) = (
        shared(&redis, "dead").line().unwrap(),
        shared(&redis, "alive").line().unwrap(),
    );
    let (narrow, at_once) = (
        allowance("narrow", 10, Some(600)),
        allowance("at once", 10, None),
    );
    begun(&mut dead, &[&narrow, &at_once]).await;
    dead.live(true, NOW).await.unwrap();
    for call in ["c1", "c2"] {
        let asks = [ask(&narrow, 4), ask(&at_once, 1)];
        dead.take(call, &asks, NOW).await.unwrap();
    }
    assert!(alive.has_company().await.unwrap());
    // As if it was not heard of for a while.
    let client = Client::open(redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let (): () = connection.del("{test}:alive:dead").await.unwrap();
    alive.live(true, NOW).await.unwrap();
    assert_eq!(count(&mut alive, &narrow).await.reserved, 8);
    assert_eq!(count(&mut alive, &at_once).await.reserved, 0);
    let mut held = alive.held_by("dead").await.unwrap();
    held.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(held.len(), 2);
    let (name, of_it) = &held[0];
    assert!(
        name == "c1" && of_it[0].is_of(&narrow) && of_it[0].subject == "a" && of_it[0].amount == 4
    );
    alive
        .settle_for("dead", "c1", &used(&narrow, 3))
        .await
        .unwrap();
    alive.bury("dead").await.unwrap();
    assert_eq!(
        count(&mut alive, &narrow).await,
        Count {
            used: 3,
            reserved: 0
        }
    );
    assert_eq!(alive.held_by("dead").await.unwrap(), []);
    // Of those that keep no books nothing will ever be settled.
    let mut bookless = shared(&redis, "bookless").line().unwrap();
    bookless.live(false, NOW).await.unwrap();
    bookless.take("c1", &[ask(&narrow, 4)], NOW).await.unwrap();
    let (): () = connection.del("{test}:alive:bookless").await.unwrap();
    alive.live(true, NOW).await.unwrap();
    assert_eq!(
        count(&mut alive, &narrow).await,
        Count {
            used: 3,
            reserved: 0
        }
    );
}

#[tokio::test]
async fn a_server_that_is_slow_is_not_waited_for() {
    let redis = Redis::start();
    let shared = SharedCounts::new(&redis.url(), "test", "one", Duration::from_millis(20)).unwrap();
    let mut line = shared.line().unwrap();
    let narrow = allowance("narrow", 10, Some(600));
    begun(&mut line, &[&narrow]).await;
    redis.pause();
    let begun = tokio::time::Instant::now();
    assert!(line.take("c1", &[ask(&narrow, 1)], NOW).await.is_err());
    assert!(begun.elapsed() < Duration::from_secs(2));
    redis.go_on();
    // It was taken all the same, as is seen when it is settled.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let lost = Hold {
        name: "c1".to_owned(),
        epoch: String::new(),
    };
    for _ in 0..2 {
        line.settle(&lost, &used(&narrow, 1)).await.unwrap();
    }
    assert_eq!(
        count(&mut line, &narrow).await,
        Count {
            used: 1,
            reserved: 0
        }
    );
}

#[tokio::test]
async fn a_connection_that_was_closed_is_told_apart_and_made_anew() {
    let redis = Redis::start();
    let mut line = shared(&redis, "one").line().unwrap();
    let mut other = shared(&redis, "two").line().unwrap();
    let narrow = allowance("narrow", 10, Some(600));
    begun(&mut line, &[&narrow]).await;
    let mut close = async || {
        let mut closing = redis::cmd("CLIENT");
        closing.arg("KILL").arg("TYPE").arg("normal");
        let _closed: u32 = closing.query_async(&mut other.manager).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    close().await;
    let problem = line.take("c1", &[ask(&narrow, 1)], NOW).await.unwrap_err();
    assert!(problem.is_closed(), "{problem:?}");
    let taken = line.take("c2", &[ask(&narrow, 1)], NOW).await.unwrap();
    close().await;
    // To settle twice does no harm, so that is done.
    let settled = line.settle(&hold(&taken, "c2"), &used(&narrow, 1)).await;
    assert_eq!(settled.unwrap(), Settled::Whole(vec![1]));
}

#[tokio::test]
async fn a_rolling_time_counts_its_parts_together() {
    let redis = Redis::start();
    let mut line = shared(&redis, "one").line().unwrap();
    let rolling = Allowance {
        window: Some(Window::Rolling(Duration::from_secs(60))),
        ..allowance("rolling", 10, Some(60))
    };
    let at = |seconds| NOW + Duration::from_secs(seconds);
    line.begin(
        &rolling,
        &[("a", 2, at(0)), ("a", 1, at(0)), ("a", 3, at(20))],
        "e1",
        NOW,
    )
    .await
    .unwrap();
    let asks = [ask(&rolling, 1)];
    for (seconds, used) in [(20, 6), (60, 6), (61, 3), (80, 3), (81, 0)] {
        let name = format!("look {seconds}");
        let taken = line.take(&name, &asks, at(seconds)).await.unwrap();
        let Taken::Whole { counts, .. } = &taken else {
            panic!("{taken:?}")
        };
        assert_eq!(counts[0].used, used, "{seconds}");
        line.settle(&hold(&taken, &name), &[]).await.unwrap();
    }
    // What is settled goes into its part, and the sum of all is told.
    let taken = line.take("h", &asks, at(30)).await.unwrap();
    let used = Vec::from_iter(Used::new(&rolling, "a", 4, at(30), at(30)));
    assert_eq!(
        line.settle(&hold(&taken, "h"), &used).await.unwrap(),
        Settled::Whole(vec![10])
    );
    let short = line.take("i", &asks, at(40)).await.unwrap();
    let Taken::Short { count, parts, .. } = short else {
        panic!("{short:?}")
    };
    assert_eq!((count.used, count.reserved), (10, 0));
    // A part is a second: those of 0, 20 and 30, seen from 40.
    let used: Vec<(usize, u64)> = parts
        .into_iter()
        .enumerate()
        .filter(|(_, used)| *used > 0)
        .collect();
    assert_eq!(used, [(20, 3), (40, 3), (50, 4)]);
}

#[tokio::test]
async fn what_a_call_used_belongs_to_the_time_when_it_began() {
    let redis = Redis::start();
    let mut line = shared(&redis, "one").line().unwrap();
    let minute = Duration::from_secs(60);
    let rolling = Allowance {
        window: Some(Window::Rolling(minute)),
        ..allowance("rolling", 10, Some(60))
    };
    for allowance in [&allowance("each minute", 10, Some(60)), &rolling] {
        begun(&mut line, &[allowance]).await;
        let asks = [ask(allowance, 3)];
        let taken = line.take("c1", &asks, NOW).await.unwrap();
        let ended = NOW + minute + Duration::from_secs(1);
        let used = Vec::from_iter(Used::new(allowance, "a", 3, NOW, ended));
        line.settle(&hold(&taken, "c1"), &used).await.unwrap();
        for (name, at, counted) in [("then", NOW, 3), ("now", ended, 0)] {
            let taken = line.take(name, &asks, at).await.unwrap();
            let Taken::Whole { counts, .. } = &taken else {
                panic!("{taken:?}")
            };
            assert_eq!(counts[0].used, counted, "{name}");
            line.settle(&hold(&taken, name), &[]).await.unwrap();
        }
    }
}

#[tokio::test]
async fn what_a_call_used_in_a_window_that_is_long_over_is_not_missed() {
    let redis = Redis::start();
    let mut line = shared(&redis, "one").line().unwrap();
    let narrow = allowance("narrow", 10, Some(60));
    begun(&mut line, &[&narrow]).await;
    let long_ago = Duration::from_secs(1_000_000);
    for name in ["c1", "c2"] {
        let taken = line.take(name, &[ask(&narrow, 3)], NOW).await.unwrap();
        let used = Vec::from_iter(Used::new(&narrow, "a", 3, long_ago, NOW));
        let settled = line.settle(&hold(&taken, name), &used).await.unwrap();
        assert_eq!(settled, Settled::Whole(vec![0]), "{name}");
    }
    let nothing = Count {
        used: 0,
        reserved: 0,
    };
    assert_eq!(count(&mut line, &narrow).await, nothing);
}

#[tokio::test]
async fn what_the_books_said_is_not_counted_again_however_often_it_is_told() {
    let redis = Redis::start();
    let mut line = shared(&redis, "one").line().unwrap();
    let narrow = allowance("narrow", 10, Some(600));
    // Answered without the counts, which did not answer.
    let away = |name: &str| Hold {
        name: name.to_owned(),
        epoch: String::new(),
    };
    let at = |seconds, amount| {
        let ended = NOW + Duration::from_secs(seconds);
        Vec::from_iter(Used::new(&narrow, "a", amount, ended, ended))
    };
    let early = line.settle(&away("c1"), &at(1, 3)).await.unwrap();
    assert_eq!(early, Settled::Unknown, "nobody has begun");
    let read_of = NOW + Duration::from_secs(2);
    line.begin(&narrow, &[("a", 3, NOW)], "e1", read_of)
        .await
        .unwrap();
    // The first is among what the books said, the second came after.
    for _ in 0..3 {
        line.settle(&away("c1"), &at(1, 3)).await.unwrap();
        line.settle(&away("c2"), &at(2, 4)).await.unwrap();
    }
    assert_eq!(count(&mut line, &narrow).await.used, 7);
    // What is forgotten begins anew.
    let counted = line.counted().await.unwrap();
    assert_eq!(Vec::from_iter(&counted), [&identity(&narrow)]);
    line.forget(&[&identity(&narrow)]).await.unwrap();
    assert_eq!(line.counted().await.unwrap(), HashSet::new());
    assert_eq!(
        line.take("c3", &[ask(&narrow, 1)], NOW).await.unwrap(),
        Taken::Unknown
    );
}

#[tokio::test]
async fn a_count_that_the_server_forgot_begins_again_with_the_books() {
    let redis = Redis::start();
    let mut line = shared(&redis, "one").line().unwrap();
    let rolling = Allowance {
        window: Some(Window::Rolling(Duration::from_secs(600))),
        ..allowance("rolling", 10, Some(600))
    };
    for allowance in [&allowance("day", 10, Some(600)), &rolling] {
        begun(&mut line, &[allowance]).await;
        let asks = [ask(allowance, 3)];
        let mut holds = Vec::new();
        for name in ["c1", "c2"] {
            let taken = line.take(name, &asks, NOW).await.unwrap();
            holds.push(hold(&taken, name));
        }
        line.settle(&holds[0], &used(allowance, 3)).await.unwrap();
        let key = format!("{{test}}:used:{}", used(allowance, 3)[0].key);
        let forgotten: u32 = line.manager.del(&key).await.unwrap();
        assert_eq!(forgotten, 1);

        // Neither who asks nor who settles goes on with nothing.
        let taken = line.take("c3", &asks, NOW).await.unwrap();
        assert_eq!(taken, Taken::Unknown);
        let settled = line.settle(&holds[1], &used(allowance, 3)).await.unwrap();
        assert_eq!(settled, Settled::Unknown);
        let allowances = [Arc::new(allowance.clone())];
        assert_eq!(line.unknown(&allowances).await.unwrap().len(), 1);
        assert_eq!(line.epoch().await.unwrap(), None);
        line.begin(allowance, &[("a", 3, NOW)], "e2", NOW)
            .await
            .unwrap();
        line.settle(&holds[1], &used(allowance, 3)).await.unwrap();
        let counted = Count {
            used: 6,
            reserved: 0,
        };
        assert_eq!(count(&mut line, allowance).await, counted);

        // What is over by right is not missed.
        let later = NOW + Duration::from_secs(10_000);
        line.live(false, later).await.unwrap();
        let _gone: u32 = line.manager.del(&key).await.unwrap();
        let taken = line.take("c4", &asks, NOW).await.unwrap();
        line.settle(&hold(&taken, "c4"), &[]).await.unwrap();
    }
}

#[tokio::test]
async fn a_server_that_may_forget_counts_is_found_out() {
    let redis = Redis::start();
    let mut line = shared(&redis, "one").line().unwrap();
    assert_eq!(line.forgets().await, None);
    let mut setting = redis::cmd("CONFIG");
    setting
        .arg("SET")
        .arg("maxmemory-policy")
        .arg("volatile-lru");
    let () = setting.query_async(&mut line.manager).await.unwrap();
    assert_eq!(line.forgets().await.as_deref(), Some("volatile-lru"));
}
