//! What counts give, and what becomes of them.

use proptest::prelude::*;
use tollgate_domain::{Quantity, Scope, Window};

use super::*;

fn allowance(name: &str, most: u64, window: Option<u64>) -> Arc<Allowance> {
    Arc::new(Allowance {
        name: name.into(),
        scope: Scope::default(),
        raise: None,
        quantity: Quantity::Tokens,
        most,
        window: window.map(|seconds| Window::Span(Duration::from_secs(seconds))),
        then: Then::Refuse,
        is_told: true,
    })
}

fn ask(allowance: &Arc<Allowance>, amount: u64) -> Ask<'_> {
    Ask {
        counted: Box::leak(Box::new(Arc::new(Counted::of(allowance)))),
        subject: "".into(),
        amount,
        targets: Vec::new(),
    }
}

fn left(counters: &Counters, hold: &Hold, room: Room, now: Duration) -> Left {
    counters.left(std::slice::from_ref(hold), room, now)[0]
}

const NOW: Duration = Duration::from_secs(1_000_000);

#[test]
fn all_give_or_none_does() {
    let counters = Counters::default();
    let (wide, narrow) = (
        allowance("wide", 100, Some(60)),
        allowance("narrow", 10, Some(60)),
    );
    let holds = counters
        .take(&[ask(&wide, 5), ask(&narrow, 5)], Room::Whole, NOW)
        .unwrap();
    let (_, shortage) = counters
        .take(&[ask(&wide, 6), ask(&narrow, 6)], Room::Whole, NOW)
        .unwrap_err();
    assert_eq!(shortage.name, "narrow");
    assert_eq!(
        (
            shortage.used.as_str(),
            shortage.reserved.as_str(),
            shortage.asked.as_str()
        ),
        ("0", "5", "6")
    );
    assert_eq!(
        shortage.wait,
        Duration::from_secs(1),
        "calls under way are in the way"
    );
    assert_eq!(
        (
            left(&counters, &holds[0], Room::Whole, NOW).amount,
            left(&counters, &holds[1], Room::Whole, NOW).amount
        ),
        (95, 5)
    );
    counters.settle(&holds, |_| 10, NOW, NOW);
    let (_, shortage) = counters
        .take(&[ask(&narrow, 1)], Room::Whole, NOW)
        .unwrap_err();
    assert!(shortage.wait > Duration::from_secs(1) && shortage.wait <= Duration::from_secs(60));
    let later = NOW + Duration::from_secs(60);
    assert!(
        counters
            .take(&[ask(&narrow, 10)], Room::Whole, later)
            .is_ok()
    );
}

#[test]
fn what_is_reserved_is_still_reserved_in_the_next_window() {
    let counters = Counters::default();
    let narrow = allowance("narrow", 10, Some(60));
    let held = counters.take(&[ask(&narrow, 8)], Room::Whole, NOW).unwrap();
    let later = NOW + Duration::from_secs(60);
    assert!(
        counters
            .take(&[ask(&narrow, 3)], Room::Whole, later)
            .is_err()
    );
    counters.settle(&held, |_| 2, later, later);
    let window = Some((Duration::from_secs(60), Duration::from_secs(20)));
    assert_eq!(
        left(&counters, &held[0], Room::Whole, later),
        Left { amount: 8, window }
    );
}

#[test]
fn what_a_call_used_belongs_to_the_time_when_it_began() {
    let minute = Duration::from_secs(60);
    let rolling = Arc::new(Allowance {
        window: Some(Window::Rolling(minute)),
        ..(*allowance("rolling", 10, None)).clone()
    });
    for each in [allowance("each minute", 10, Some(60)), rolling] {
        let counters = Counters::default();
        let early = counters.take(&[ask(&each, 8)], Room::Whole, NOW).unwrap();
        let later = NOW + Duration::from_secs(61);
        let take = |amount| counters.take(&[ask(&each, amount)], Room::Whole, later);
        assert!(take(3).is_err(), "it may still use it");
        counters.settle(&early, |_| 8, NOW, later);
        let late = take(10).expect("nothing of it was used now");
        counters.settle(&late, |_| 1, later, later);
        assert!(take(10).is_err() && take(9).is_ok());
    }
}

#[test]
fn a_share_is_of_what_was_left_and_of_windows_that_nobody_counted_together() {
    let counters = Counters::default();
    let narrow = allowance("narrow", 10, Some(60));
    let take = |amount, now| {
        let taken = counters.take(&[ask(&narrow, amount)], Room::Share(0.5), now);
        taken.map(|holds| counters.give_back(&holds))
    };
    assert!(take(1, NOW).is_err(), "nothing was heard of it");
    counters.hear([(&ask(&narrow, 0), 6)], NOW);
    assert!(take(3, NOW).is_err());
    assert!(take(2, NOW).is_ok());
    let later = NOW + Duration::from_secs(60);
    assert!(take(6, later).is_err());
    assert!(take(5, later).is_ok());
    // What is told is what this gateway may still give, and nobody waits for the window's end.
    let share = Room::Share(0.5);
    let held = counters.take(&[ask(&narrow, 3)], share, later).unwrap();
    assert_eq!(left(&counters, &held[0], share, later).amount, 2);
    let refused = counters.take(&[ask(&narrow, 3)], share, later);
    let (_, shortage) = refused.unwrap_err();
    assert_eq!(shortage.told["ratelimit"], "\"narrow\";r=2;t=20");
    counters.settle(&held, |_| 5, later, later);
    let refused = counters.take(&[ask(&narrow, 1)], share, later);
    assert_eq!(refused.unwrap_err().1.wait, Duration::from_secs(1));
}

#[test]
fn a_warning_is_told_once_a_window() {
    let counters = Counters::default();
    let soft = Arc::new(Allowance {
        then: Then::Warn,
        ..(*allowance("soft", 10, Some(60))).clone()
    });
    let mut told = Vec::new();
    for now in [NOW, NOW, NOW, NOW + Duration::from_secs(60)] {
        let holds = counters.take(&[ask(&soft, 6)], Room::Whole, now).unwrap();
        let reached = counters
            .settle(&holds, |_| 6, now, now)
            .pop()
            .map(|(_, used)| used);
        told.push(reached);
    }
    assert_eq!(told, [None, Some(12), None, None]);
}

#[test]
fn a_rolling_time_forgets_what_is_older() {
    let counters = Counters::default();
    let rolling = Arc::new(Allowance {
        window: Some(Window::Rolling(Duration::from_secs(60))),
        ..(*allowance("rolling", 10, None)).clone()
    });
    let after = |seconds| NOW + Duration::from_secs(seconds);
    // Out of the books, in any order.
    counters.add_used(&rolling, "", 2, after(0), after(10));
    counters.add_used(
        &rolling,
        "",
        3,
        after(0) - Duration::from_secs(30),
        after(10),
    );
    counters.add_used(
        &rolling,
        "",
        9,
        after(0) - Duration::from_secs(90),
        after(10),
    );
    let take = |amount, now| counters.take(&[ask(&rolling, amount)], Room::Whole, now);
    let (_, shortage) = take(6, after(10)).unwrap_err();
    assert_eq!(
        (shortage.used.as_str(), shortage.wait),
        ("5", Duration::from_secs(21))
    );
    counters.settle(&take(5, after(10)).unwrap(), |_| 5, after(20), after(20));
    assert!(take(1, after(30)).is_err());
    // The oldest three are over, then the two, then the five.
    for (seconds, left) in [(31, 3), (60, 3), (61, 5), (80, 5), (81, 10)] {
        assert!(take(left + 1, after(seconds)).is_err(), "{seconds}");
        counters.give_back(&take(left, after(seconds)).unwrap());
    }
}

#[test]
fn what_the_books_say_is_used() {
    let counters = Counters::default();
    let narrow = allowance("narrow", 10, Some(60));
    counters.add_used(&narrow, "", 9, NOW, NOW);
    assert!(counters.take(&[ask(&narrow, 2)], Room::Whole, NOW).is_err());
    assert!(counters.take(&[ask(&narrow, 1)], Room::Whole, NOW).is_ok());
}

#[test]
fn what_is_over_makes_room_and_what_is_held_stays() {
    let counters = Counters::default();
    let each = allowance("each", 10, Some(60));
    let take = |subject: usize, now| {
        let ask = Ask {
            subject: subject.to_string().into(),
            ..ask(&each, 4)
        };
        counters.take(&[ask], Room::Whole, now).unwrap()
    };
    let held = take(0, NOW);
    for subject in 1..COUNTS_MAX {
        counters.give_back(&take(subject, NOW));
    }
    assert_eq!(&*take(COUNTS_MAX, NOW)[0].subject, OTHERS);
    let later = NOW + Duration::from_secs(100);
    assert_eq!(&*take(COUNTS_MAX, later)[0].subject, COUNTS_MAX.to_string());
    assert_eq!(counters.state().counts.len(), 3);
    assert_eq!(left(&counters, &held[0], Room::Whole, later).amount, 6);
    assert_eq!(
        left(&counters, &take(0, later)[0], Room::Whole, later).amount,
        2
    );
}

proptest! {
    /// Whatever calls reserve and use, never more is used than allowed, as long as none uses more than it reserved.
    #[test]
    fn no_allowance_is_overrun(calls in prop::collection::vec((1_u64..50, 0_u64..50, any::<bool>()), 1..60)) {
        let counters = Counters::default();
        let narrow = allowance("narrow", 200, Some(1_000_000_000));
        let (mut used, mut open) = (0, Vec::new());
        for (amount, share, settles) in calls {
            if let Ok(mut holds) = counters.take(&[ask(&narrow, amount)], Room::Whole, NOW) {
                open.push((holds.remove(0), share.min(amount)));
            }
            if settles && let Some((hold, share)) = open.pop() {
                counters.settle(&[hold], |_| share, NOW, NOW);
                used += share;
            }
            let held: u64 = open.iter().map(|(hold, _)| hold.amount).sum();
            prop_assert!(used + held <= 200);
        }
        let open: Vec<Hold> = open.into_iter().map(|(hold, _)| hold).collect();
        counters.give_back(&open);
        let hold = counters.take(&[ask(&narrow, 200 - used)], Room::Whole, NOW).unwrap();
        prop_assert_eq!(left(&counters, &hold[0], Room::Whole, NOW).amount, 0);
    }
}
