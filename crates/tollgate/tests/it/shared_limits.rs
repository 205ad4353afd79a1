//! Limits and budgets of several gateways together, on `PostgreSQL` and Redis: as exact as those of one, whichever of them dies.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use tollgate_domain::Picodollars;
use tollgate_testkit::{
    Reply, ScriptedProvider, TestGateway, client, postgres::Postgres, redis::Redis,
};

use crate::stage::{chat, openai_answer, program};

/// What three gateways share. Servers stop when it is dropped.
struct Site {
    provider: ScriptedProvider,
    redis: Redis,
    postgres: Postgres,
}

impl Site {
    async fn new() -> Self {
        let answer = Reply::json(200, &openai_answer("Hello"));
        Self {
            provider: ScriptedProvider::always(answer).await,
            redis: Redis::start(),
            postgres: Postgres::start(),
        }
    }

    /// A gateway of the site, with these allowances.
    async fn gateway(&self, allowances: &str, counters: &str) -> TestGateway {
        let configuration = format!(
            "store: {{url: \"{}\"}}\ncounters: {{url: \"{}\", {counters}}}\n{allowances}\n\
             providers:\n  - {{name: openai, type: openai, base_url: \"{}/v1\", api_key: sk-up}}\n\
             routes:\n  - {{name: chat, retries: {{per_target: 0}}, model: {{provider: openai, name: gpt-4o}}}}\n",
            self.postgres.url(),
            self.redis.url(),
            self.provider.url(),
        );
        TestGateway::start(program(), &configuration).await
    }

    async fn gateways(&self, allowances: &str, counters: &str) -> Vec<TestGateway> {
        let mut gateways = Vec::new();
        for _ in 0..3 {
            gateways.push(self.gateway(allowances, counters).await);
        }
        gateways
    }
}

const PATIENT: &str = "deadline: 5s";

fn small() -> Value {
    let mut call = chat("chat");
    call["max_tokens"] = json!(10);
    call
}

async fn ask(address: SocketAddr) -> Option<client::Answer> {
    let body = small().to_string().into_bytes();
    client::post(address, "/v1/chat/completions", &[], body)
        .await
        .ok()
}

/// So many callers at once, spread over gateways; gives how many were answered. Whoever is refused because of what others may need, or
/// whose gateway dies, comes again.
async fn rush(addresses: Vec<SocketAddr>, callers: usize) -> usize {
    let addresses = Arc::new(addresses);
    let mut tasks = JoinSet::new();
    for caller in 0..callers {
        let addresses = Arc::clone(&addresses);
        tasks.spawn(async move {
            for turn in 0..600 {
                let answer = ask(addresses[(caller + turn) % addresses.len()]).await;
                match answer {
                    Some(answer) if answer.status == 200 => return 1,
                    Some(answer) if answer.status == 429 => {
                        let told = answer.text();
                        if says_nothing_is_reserved(&told) {
                            return 0;
                        }
                    }
                    // The provider failed, or the gateway is about to end.
                    Some(answer) => assert!(answer.status >= 500, "{}", answer.text()),
                    None => {}
                }
                sleep(Duration::from_millis(20)).await;
            }
            0
        });
    }
    let mut answered = 0;
    while let Some(one) = tasks.join_next().await {
        answered += one.expect("no panic");
    }
    answered
}

fn addresses(gateways: &[TestGateway]) -> Vec<SocketAddr> {
    gateways.iter().map(TestGateway::address).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn three_gateways_keep_a_limit_exactly() {
    let site = Site::new().await;
    let gateways = site
        .gateways(
            "limits:\n  - {name: all, requests: 150, per: month}",
            PATIENT,
        )
        .await;
    assert_eq!(rush(addresses(&gateways), 400).await, 150);
    assert_eq!(site.provider.received().len(), 150);
    let refused = ask(gateways[0].address()).await.unwrap();
    assert!(
        refused.text().contains(
            "the limit `all` allows 150 requests per month; 150 are used, 0 are reserved"
        ),
        "{}",
        refused.text()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn three_gateways_overrun_no_budget() {
    let site = Site::new().await;
    let allowances = "budgets:\n  - {name: all, dollars: 0.0192, per: month, tell: true}\n\
         limits:\n  - {name: many, tokens: 100000000, per: day}\n  - {name: at once, concurrent: 50}";
    let gateways = site.gateways(allowances, PATIENT).await;
    let answered = rush(addresses(&gateways), 400).await;
    // Each costs 0.000095, and is let in while the most that it can cost is left.
    let spent = answered * 95;
    assert!(
        spent <= 19_200,
        "{answered} calls spent {spent} millionths of a dollar"
    );
    assert!(
        spent > 19_200 - 5_000,
        "{answered}: nothing is left reserved, and what was left was used"
    );
    assert_eq!(site.provider.received().len(), answered);
}

/// What calls of a gateway that died have used is in the counts when it is back, and what they held is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_dies_leaves_nothing_reserved_and_nothing_unspent() {
    let site = Site::new().await;
    let allowances =
        "limits:\n  - {name: all, requests: 300, per: month}\n  - {name: at once, concurrent: 40}";
    let mut gateways = site.gateways(allowances, PATIENT).await;
    let mut rushing = JoinSet::new();
    rushing.spawn(rush(addresses(&gateways), 600));
    let mut killed = gateways.remove(0);
    for _ in 0..3 {
        sleep(Duration::from_millis(150)).await;
        killed = killed.kill_and_restart().await;
    }
    let answered = rushing.join_next().await.unwrap().unwrap();
    let mut told = String::new();
    // Until the journal of the last that died is entered.
    for _ in 0..100 {
        let refused = ask(killed.address()).await.unwrap();
        told = refused.text().to_string();
        if refused.status == 429 && told.contains("300 are used, 0 are reserved") {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    assert!(
        told.contains("300 are used, 0 are reserved"),
        "{told}\n{}",
        killed.output()
    );
    // Calls that were under way in one that died were not answered; some of them were made all the same.
    assert!(answered <= 300 && answered > 150, "{answered}");
    assert!(site.provider.received().len() >= answered);
}

/// A budget and limits that allow 500 calls, and a thousand callers.
const FIVE_HUNDRED: &str = "budgets:\n  - {name: money, dollars: 0.0475, per: month}\n\
     limits:\n  - {name: all, requests: 500, per: month}\n  - {name: tokens, tokens: 100000000, per: day}\n  - {name: at once, concurrent: 60}";

/// Waits until a gateway says that nothing is reserved of the limit, or of the budget, that is used up.
async fn told_when_nothing_is_reserved(gateway: &TestGateway) -> String {
    let mut told = String::new();
    for _ in 0..200 {
        if let Some(refused) = ask(gateway.address()).await {
            told = refused.text().to_string();
            if refused.status == 429 && says_nothing_is_reserved(&told) {
                break;
            }
        }
        sleep(Duration::from_millis(100)).await;
    }
    told
}

fn says_nothing_is_reserved(told: &str) -> bool {
    told.contains(" 0 are reserved") || told.contains(" $0 are reserved")
}

/// Waits until what gateways have written is entered. They do it while nobody else wants the cores.
async fn all_is_entered(gateways: &[TestGateway]) {
    for gateway in gateways {
        for _ in 0..600 {
            let metrics = gateway.get("/metrics").await.text();
            if metrics.contains("tollgate_books_waiting_bytes 0\n") {
                break;
            }
            sleep(Duration::from_millis(100)).await;
        }
    }
}

/// What the books of a site say once all is entered: calls that a provider was asked for, and what they cost in millionths of a dollar.
async fn spent_in_the_books(gateways: &[TestGateway]) -> (u64, u64) {
    let mut told = (0, 0);
    for _ in 0..50 {
        all_is_entered(gateways).await;
        // What those have left who died is entered besides.
        sleep(Duration::from_millis(300)).await;
        let rows = gateways[0].command(&["usage", "--json", "--by", "outcome"]);
        let rows: Value = serde_json::from_str(&rows).expect("JSON");
        let made = rows.as_array().into_iter().flatten();
        let made = made.filter(|row| row["outcome"] != "refused");
        let sums = made.fold((0, 0), |(calls, cost), row| {
            let dollars = row["cost_dollars"].as_str().unwrap_or("0");
            let cost_here: Picodollars = dollars.parse().expect("dollars");
            (
                calls + row["calls"].as_u64().unwrap_or_default(),
                cost + cost_here.as_u64() / 1_000_000,
            )
        });
        if sums == told && sums.0 > 0 {
            break;
        }
        told = sums;
    }
    told
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a minute: cargo xtask soak"]
async fn a_thousand_callers_overrun_nothing_of_three_gateways() {
    let site = Site::new().await;
    let gateways = site.gateways(FIVE_HUNDRED, PATIENT).await;
    let answered = rush(addresses(&gateways), 1000).await;
    let told = told_when_nothing_is_reserved(&gateways[0]).await;
    assert!(says_nothing_is_reserved(&told), "{told}");
    let (calls, cost) = spent_in_the_books(&gateways).await;
    println!("{answered} answered, {calls} in the books, {cost} millionths of a dollar: {told}");
    assert_eq!(calls, answered as u64);
    assert_eq!(cost, calls * 95);
    // No other call fits into what is left: it may need 4,845.
    assert!(
        cost <= 47_500 && cost > 47_500 - 4_845,
        "{calls} for {cost}"
    );
    assert_eq!(site.provider.received().len(), answered);
}

/// Gateways die one after the other, clients leave, the provider fails and breaks off.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a minute: cargo xtask soak"]
async fn whatever_happens_a_thousand_callers_overrun_nothing() {
    let mut site = Site::new().await;
    let seen = std::sync::atomic::AtomicUsize::new(0);
    site.provider = ScriptedProvider::start(move |_| {
        let number = seen.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let answer = Reply::json(200, &openai_answer("Hello"));
        match number % 10 {
            3 => Reply::json(500, &json!({"error": {"message": "broken"}})),
            6 => Reply::close(),
            8 => answer.after(Duration::from_millis(300)),
            _ => answer.after(Duration::from_millis(10)),
        }
    })
    .await;
    let mut gateways = site.gateways(FIVE_HUNDRED, PATIENT).await;
    let mut rushing = JoinSet::new();
    rushing.spawn(rush(addresses(&gateways), 1000));
    // Those who do not wait for the slow answers.
    let leaving = addresses(&gateways);
    rushing.spawn(async move {
        for turn in 0..200 {
            let address = leaving[turn % leaving.len()];
            let _left = tokio::time::timeout(Duration::from_millis(15), ask(address)).await;
        }
        0
    });
    for _ in 0..2 {
        for place in 0..gateways.len() {
            sleep(Duration::from_millis(200)).await;
            let killed = gateways.remove(place);
            gateways.insert(place, killed.kill_and_restart().await);
        }
    }
    let mut answered = 0;
    while let Some(some) = rushing.join_next().await {
        answered += some.unwrap();
    }
    let told = told_when_nothing_is_reserved(&gateways[0]).await;
    assert!(says_nothing_is_reserved(&told), "{told}");
    let (calls, cost) = spent_in_the_books(&gateways).await;
    println!("{answered} answered, {calls} in the books, {cost} millionths of a dollar: {told}");
    // Those whose client had left are in the books, and those that a gateway died over before they were are not.
    assert!(cost >= answered as u64 * 95, "{cost} for {answered}");
    assert!(cost <= 47_500, "{cost}");
}

/// Clients that leave while the counts are asked: whatever comes first, what they asked for or that it is given back.
#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_before_the_counts_answer_holds_nothing() {
    let site = Site::new().await;
    let gateway = site
        .gateway("limits:\n  - {name: one, concurrent: 20}", PATIENT)
        .await;
    let address = gateway.address();
    assert_eq!(ask(address).await.unwrap().status, 200);
    for _ in 0..3 {
        site.redis.pause();
        let mut leaving = JoinSet::new();
        for _ in 0..20 {
            leaving.spawn(tokio::time::timeout(
                Duration::from_millis(200),
                ask(address),
            ));
        }
        while let Some(left) = leaving.join_next().await {
            assert!(left.unwrap().is_err(), "nobody is answered");
        }
        site.redis.go_on();
        sleep(Duration::from_millis(500)).await;
    }
    let answer = ask(address).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_that_are_lost_begin_again_with_what_the_books_say() {
    let mut site = Site::new().await;
    let gateways = site
        .gateways(
            "limits:\n  - {name: all, requests: 20, per: month}",
            PATIENT,
        )
        .await;
    let (first, second) = (gateways[0].address(), gateways[1].address());
    for _ in 0..6 {
        assert_eq!(ask(first).await.unwrap().status, 200);
        assert_eq!(ask(second).await.unwrap().status, 200);
    }
    site.redis.stop();
    let refused = ask(first).await.unwrap();
    assert_eq!(
        (refused.status, refused.json()["error"]["code"].clone()),
        (503, json!("counters_away"))
    );
    site.redis.resume();
    assert_eq!(rush(vec![first, second], 40).await, 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_was_left_out_over_a_restart_begins_with_the_books() {
    let site = Site::new().await;
    let limit = "limits:\n  - {name: all, requests: 900, per: month}\n";
    let mut gateway = site.gateway(limit, PATIENT).await;
    let with = std::fs::read_to_string(gateway.configuration_file()).unwrap();
    let without = with.replace(limit, "");
    for (calls, next) in [(3, &without), (4, &with)] {
        for _ in 0..calls {
            assert_eq!(ask(gateway.address()).await.unwrap().status, 200);
        }
        sleep(Duration::from_millis(500)).await; // it looks at what is counted once it has started
        gateway.signal("TERM");
        gateway.wait_for_end().await;
        gateway.write_configuration(next);
        gateway = gateway.kill_and_restart().await;
    }
    let answer = ask(gateway.address()).await.unwrap();
    assert_eq!(left(&answer), Some(900 - 3 - 4 - 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_one_gateway_does_not_have_is_counted_by_the_others() {
    let site = Site::new().await;
    let limit = "limits:\n  - {name: all, requests: 900, per: month}\n";
    let gateway = site.gateway(limit, PATIENT).await;
    let mut calls = 0;
    let mut ask_often = async || {
        for _ in 0..5 {
            calls += 1;
            let answer = ask(gateway.address()).await.unwrap();
            assert_eq!((answer.status, left(&answer)), (200, Some(900 - calls)));
            sleep(Duration::from_millis(100)).await;
        }
    };
    ask_often().await;
    let _without = site.gateway("", PATIENT).await;
    ask_often().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_is_of_what_others_have_left() {
    let mut site = Site::new().await;
    let limit = "limits:\n  - {name: all, requests: 10, per: month}";
    let counters = "deadline: 1s, when_away: share, share: 0.5";
    let gateways = site.gateways(limit, counters).await;
    let ask_often = async |gateway: &TestGateway, times: usize| {
        let mut answered = 0;
        for _ in 0..times {
            let answer = ask(gateway.address()).await.unwrap();
            answered += usize::from(answer.status == 200);
        }
        answered
    };
    assert_eq!(ask_often(&gateways[0], 5).await, 5);
    assert_eq!(ask_often(&gateways[1], 1).await, 1);
    site.redis.stop();
    // Half of five, of which it has had one; nothing of what was never heard of.
    assert_eq!(ask_often(&gateways[1], 4).await, 1);
    assert_eq!(ask_often(&gateways[2], 2).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_that_are_away_are_told_at_the_start() {
    let mut site = Site::new().await;
    site.redis.stop();
    let limit = "limits:\n  - {name: all, requests: 10, per: month}";
    let gateway = site.gateway(limit, "deadline: 200ms").await;
    let told = async |text: &str| {
        for _ in 0..100 {
            if gateway.output().contains(text) {
                return true;
            }
            sleep(Duration::from_millis(100)).await;
        }
        false
    };
    assert!(told("counts of limits and budgets do not answer").await);
    let metrics = gateway.get("/metrics").await.text();
    assert!(metrics.contains("\ntollgate_counters_away 1"), "{metrics}");
    site.redis.resume();
    assert!(told("counts of limits and budgets answer again").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_was_closed_for_its_idleness_refuses_nobody() {
    let site = Site::new().await;
    let limit = "limits:\n  - {name: all, requests: 900, per: month}";
    let gateway = site.gateway(limit, "deadline: 1s").await;
    let statuses = async || {
        let mut statuses = Vec::new();
        for _ in 0..6 {
            statuses.push(ask(gateway.address()).await.unwrap().status);
        }
        statuses
    };
    assert_eq!(statuses().await, [200; 6]);
    site.redis.close_idle_after(1);
    sleep(Duration::from_secs(4)).await;
    assert_eq!(statuses().await, [200; 6]);
    let metrics = gateway.get("/metrics").await.text();
    assert!(
        metrics.contains("\ntollgate_counters_unanswered_total 0"),
        "{metrics}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_without_counts_is_the_operators_choice() {
    let mut site = Site::new().await;
    let limit = "limits:\n  - {name: all, requests: 10, per: month}";
    let open = site
        .gateway(limit, "deadline: 200ms, when_away: answer, prefix: open")
        .await;
    let shared = site
        .gateway(
            limit,
            "deadline: 200ms, when_away: share, share: 0.4, prefix: shared",
        )
        .await;
    for gateway in [&open, &shared] {
        for _ in 0..2 {
            assert_eq!(ask(gateway.address()).await.unwrap().status, 200);
        }
    }
    // Too busy to answer: nobody waits for it longer than said.
    site.redis.pause();
    let begun = Instant::now();
    assert_eq!(ask(open.address()).await.unwrap().status, 200);
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "{:?}",
        begun.elapsed()
    );
    site.redis.go_on();
    sleep(Duration::from_millis(300)).await;

    site.redis.stop();
    for _ in 0..12 {
        assert_eq!(ask(open.address()).await.unwrap().status, 200);
    }
    let statuses = async {
        let mut statuses = Vec::new();
        for _ in 0..4 {
            statuses.push(ask(shared.address()).await.unwrap().status);
        }
        statuses
    };
    // Two of its four were used before.
    assert_eq!(statuses.await, [200, 200, 429, 429]);
    let refused = ask(shared.address()).await.unwrap();
    assert_eq!(
        (left(&refused), refused.header("retry-after")),
        (Some(0), "1")
    );
    let told = refused.text();
    assert!(
        told.contains("the shared counts do not answer, and this gateway's own share of the limit `all` allows 4 requests per month; 4 are used"),
        "{told}"
    );
    assert!(open.output().contains("do not answer"), "{}", open.output());
    site.redis.resume();
    // What was used meanwhile counts.
    let mut status = 0;
    for _ in 0..100 {
        status = ask(open.address()).await.unwrap().status;
        if status == 429 {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(status, 429);
}

/// What an answer says is left.
fn left(answer: &client::Answer) -> Option<u64> {
    let told = answer.header("ratelimit").split(";r=").nth(1)?;
    told.split(';').next()?.parse().ok()
}

/// Waits until so much is left, for ten seconds at most.
async fn left_at_last(address: SocketAddr, wanted: impl Fn(u64) -> u64) -> (u64, u64) {
    let mut told = (0, 0);
    for calls in 1..=100 {
        let answer = ask(address).await.expect("an answer");
        told = (left(&answer).unwrap_or_default(), wanted(calls));
        if answer.status == 200 && told.0 == told.1 {
            // It stays so.
            sleep(Duration::from_secs(1)).await;
            let answer = ask(address).await.expect("an answer");
            return (left(&answer).unwrap_or_default(), wanted(calls + 1));
        }
        sleep(Duration::from_millis(100)).await;
    }
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_counted_once() {
    let mut site = Site::new().await;
    let gateway = site
        .gateway(
            "limits:\n  - {name: all, requests: 1000, per: month}",
            "deadline: 200ms, when_away: answer",
        )
        .await;
    let address = gateway.address();
    for _ in 0..5 {
        assert_eq!(ask(address).await.unwrap().status, 200);
    }
    // Lost and back, empty: what was answered meanwhile is told, and stands in the books.
    site.redis.stop();
    for _ in 0..20 {
        assert_eq!(ask(address).await.unwrap().status, 200);
    }
    sleep(Duration::from_millis(1500)).await;
    site.redis.resume();
    let (told, wanted) = left_at_last(address, |calls| 1000 - 25 - calls).await;
    assert_eq!(told, wanted);
    // Only slow: nothing is lost, and what is told more than once counts once.
    let before = 1000 - told;
    site.redis.pause();
    for _ in 0..8 {
        assert_eq!(ask(address).await.unwrap().status, 200);
    }
    site.redis.go_on();
    let (told, wanted) = left_at_last(address, |calls| 1000 - before - 8 - calls).await;
    assert_eq!(told, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_limit_says_what_is_used_and_when_there_is_room() {
    let site = Site::new().await;
    let gateway = site
        .gateway(
            "limits:\n  - {name: rr, requests: 4, per: 20s, rolling: true}",
            PATIENT,
        )
        .await;
    let address = gateway.address();
    for _ in 0..4 {
        assert_eq!(ask(address).await.unwrap().status, 200);
    }
    let mut refused = ask(address).await.unwrap();
    while refused.status == 429 && !says_nothing_is_reserved(&refused.text()) {
        sleep(Duration::from_millis(50)).await;
        refused = ask(address).await.unwrap();
    }
    assert_eq!(refused.status, 429);
    let told = refused.text();
    assert!(
        told.contains("the limit `rr` allows 4 requests in any 20 seconds; 4 are used"),
        "{told}"
    );
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((10..=21).contains(&wait), "{wait}");
    assert_eq!(refused.header("ratelimit"), format!("\"rr\";r=0;t={wait}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_that_changes_is_counted_anew_by_all() {
    let site = Site::new().await;
    let limit = |per: &str| format!("limits:\n  - {{name: all, requests: 900, per: {per}}}");
    let gateway = site.gateway(&limit("1000h"), PATIENT).await;
    let address = gateway.address();
    let mut calls = 0;
    for (per, length) in [("2000h", 7_200_000), ("1000h", 3_600_000)] {
        for _ in 0..3 {
            calls += 1;
            assert_eq!(ask(address).await.unwrap().status, 200);
        }
        // Until all are in the books, however busy the machine is.
        for _ in 0..200 {
            let told = gateway.command(&["usage", "--json"]);
            if told.contains(&format!("\"calls\": {calls}")) {
                break;
            }
            sleep(Duration::from_millis(100)).await;
        }
        let text = std::fs::read_to_string(gateway.configuration_file()).unwrap();
        let before = text
            .lines()
            .find(|line| line.contains("name: all"))
            .unwrap()
            .to_owned();
        let after = limit(per).lines().last().unwrap().to_owned();
        gateway.write_configuration(&text.replace(&before, &after));
        let policy = format!("\"all\";q=900;w={length}");
        loop {
            calls += 1;
            let answer = ask(address).await.unwrap();
            if answer.header("ratelimit-policy") == policy {
                let told = left(&answer).unwrap();
                // The last ones may not have been in the books yet.
                assert!(
                    told < 900 - 3 && told >= 900 - calls,
                    "{told} after {calls}"
                );
                break;
            }
            sleep(Duration::from_millis(300)).await;
        }
    }
}
