//! The same questions, put to both databases.

mod administered;
mod answered;
mod changes;
mod changing;
mod failures;
mod grown;
mod keeper;
mod owners;
mod retention;

use std::{fs, path::PathBuf};

use tollgate_domain::{Payload, Picodollars, ServiceTier, Unmetered, Usage, UsageRecord};
use tollgate_testkit::postgres::Postgres;

use administered::{change, key, object};

use crate::{
    BackupError, Before, CallsQuery, Change, Changed, Dimension, KeptResponse, Kind, Named, Object,
    Opening, Overlap, Store, StoreError, StoredKey, Tenant, UsageQuery, Verdict,
};

/// A database of a test's own; a folder that goes with it, and a server where it has one.
struct Database {
    url: String,
    folder: PathBuf,
    _server: Option<Postgres>,
}

impl Database {
    fn all(test: &str) -> [Self; 2] {
        let make = |name: &str| {
            let name = format!("tollgate-store-{test}-{name}-{}", std::process::id());
            let folder = std::env::temp_dir().join(name);
            fs::create_dir_all(&folder).unwrap();
            folder
        };
        let (file, other) = (make("sqlite"), make("postgres"));
        let server = Postgres::start();
        [
            Self {
                url: format!("sqlite:{}", file.join("books.db").display()),
                folder: file,
                _server: None,
            },
            Self {
                url: server.url(),
                folder: other,
                _server: Some(server),
            },
        ]
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let _removed = fs::remove_dir_all(&self.folder);
    }
}

fn record(number: u64) -> UsageRecord {
    let day = i64::try_from(number % 2).unwrap();
    UsageRecord {
        id: format!("{number:08}").into(),
        at_ms: 20_000 * 86_400_000 + day * 86_400_000,
        request_id: format!("req-{number}").into(),
        revision: "r".into(),
        key: (!number.is_multiple_of(3)).then(|| format!("team-{}", number % 3).into()),
        team: Some("research".into()),
        app: None,
        user: None,
        route: Some("chat".into()),
        task: Some("llm/v1/chat".into()),
        provider: Some("openai".into()),
        model: Some("gpt".into()),
        outcome: "answered".into(),
        status: 200,
        error_code: None,
        usage: Usage {
            input: Some(10),
            input_cached: Some(5),
            output: Some(3),
            tier: number.is_multiple_of(7).then_some(ServiceTier::Flex),
            ..Usage::default()
        },
        cost: (!number.is_multiple_of(5)).then_some(1_234_567),
        cost_at_most: number.is_multiple_of(10).then_some(1_000_001),
        cost_unknown: number.is_multiple_of(5).then(|| "unpriced".into()),
        attempts: 1,
        streamed: number % 2 == 1,
        duration_ms: 7,
        tags: match number % 6 {
            0 => vec!["canary".into(), "it's, a \"tag\"".into()],
            3 => vec!["canary".into()],
            _ => Vec::new(),
        },
        detail: number
            .is_multiple_of(2)
            .then(|| "{\"client_address\":\"10.0.0.1\",\"error\":\"\\u0000\"}".into()),
        hold: Some(format!("hold-{number}").into()),
        payload: None,
        unmetered: Unmetered {
            input: number % 4,
            output: number % 3,
        },
    }
}

#[tokio::test]
async fn sums_stop_where_they_do_not_fit() {
    let absurd = |number| UsageRecord {
        usage: Usage {
            input: Some(u64::MAX),
            input_cached: Some(u64::MAX),
            output: Some(u64::MAX),
            ..Usage::default()
        },
        cost: Some(u64::MAX),
        cost_at_most: Some(u64::MAX),
        unmetered: Unmetered {
            input: u64::MAX,
            output: u64::MAX,
        },
        ..record(number)
    };
    let greatest = i64::MAX.unsigned_abs();
    for database in Database::all("absurd") {
        let store = Store::open(&database.url).await.unwrap();
        for number in [2, 4, 6, 8] {
            store.enter(&[absurd(number)]).await.unwrap();
        }
        let told = async |by: &[Dimension]| {
            let query = UsageQuery {
                by: by.to_vec(),
                ..UsageQuery::default()
            };
            let row = store.usage(&query).await.unwrap().remove(0);
            (row.input, row.output, row.unmetered.output, row.cost)
        };
        let most = Picodollars::new(u64::MAX);
        for _ in 0..2 {
            for by in [&[][..], &[Dimension::Minute], &[Dimension::Tag]] {
                let (input, output, unmetered, cost) = told(by).await;
                assert_eq!([input, output, unmetered], [greatest; 3], "{by:?}");
                assert!(cost <= most && cost > Picodollars::new(greatest / 2));
            }
            store.make_sums_anew().await.unwrap();
        }
        // What earlier versions left in a file, where a sum did not fit.
        if database.url.starts_with("sqlite") {
            let sql = "UPDATE usage_days SET input = 1.8e19";
            sqlx::query(sql).execute(&store.pool).await.unwrap();
            store.enter(&[record(10)]).await.unwrap();
            assert_eq!(told(&[]).await.0, greatest);
        }
        store.close().await;
    }
}

/// As the books have it: what it was held under is for the journal only.
fn found(number: u64) -> UsageRecord {
    UsageRecord {
        hold: None,
        ..record(number)
    }
}

#[tokio::test]
async fn records_are_entered_once_and_found_again() {
    for database in Database::all("once") {
        let store = Store::open(&database.url).await.unwrap();
        let records: Vec<_> = (0..30).map(record).collect();
        assert_eq!(store.enter(&records).await.unwrap(), 30);
        assert_eq!(store.enter(&records).await.unwrap(), 0);
        // Many go together, and some of them are there already.
        let more: Vec<_> = (20..130).map(record).collect();
        assert_eq!(store.enter(&more).await.unwrap(), 100);
        assert_eq!(store.find("req-111").await.unwrap(), [found(111)]);
        assert_eq!(store.find("req-7").await.unwrap(), [found(7)]);
        assert_eq!(store.find("req-999").await.unwrap(), []);
        store.close().await;
        // It is there when it is opened again.
        let store = Store::open(&database.url).await.unwrap();
        let rows = store.usage(&UsageQuery::default()).await.unwrap();
        assert_eq!(rows.len(), 1);
        let sum = &rows[0];
        assert_eq!(
            (sum.calls, sum.input, sum.output, sum.unknown),
            (130, 1950, 390, 26)
        );
        assert_eq!(sum.cost, Picodollars::new(104 * 1_234_567));
        assert_eq!(sum.at_most, Picodollars::new(13 * 1_000_001));
        let unmetered = |of: u64| (0..130).map(|number| number % of).sum::<u64>();
        assert_eq!(
            (sum.unmetered.input, sum.unmetered.output),
            (unmetered(4), unmetered(3))
        );
        store.close().await;
    }
}

#[tokio::test]
async fn usage_is_told_apart() {
    for database in Database::all("apart") {
        let store = Store::open(&database.url).await.unwrap();
        let records: Vec<_> = (0..30).map(record).collect();
        store.enter(&records).await.unwrap();
        let query = UsageQuery {
            by: vec![Dimension::Day, Dimension::Key],
            since_ms: Some(20_001 * 86_400_000),
            ..UsageQuery::default()
        };
        let rows = store.usage(&query).await.unwrap();
        let of: Vec<_> = rows.iter().map(|row| (row.of.clone(), row.calls)).collect();
        let day = Some("20001".to_owned());
        let key = |name: &str| vec![day.clone(), Some(name.to_owned())];
        assert_eq!(
            of,
            [
                (vec![day.clone(), None], 5),
                (key("team-1"), 5),
                (key("team-2"), 5)
            ]
        );
        let query = UsageQuery {
            of: vec![(Dimension::Key, "team-2".to_owned())],
            ..UsageQuery::default()
        };
        assert_eq!(store.usage(&query).await.unwrap()[0].calls, 10);
        let query = UsageQuery {
            by: vec![Dimension::Tag],
            ..UsageQuery::default()
        };
        let rows = store.usage(&query).await.unwrap().into_iter();
        let mut by_tag: Vec<_> = rows.map(|row| (row.of[0].clone(), row.calls)).collect();
        by_tag.sort();
        let tag = |tag: &str| Some(tag.to_owned());
        assert_eq!(by_tag, [(tag("canary"), 10), (tag("it's, a \"tag\""), 5)]);
        let query = UsageQuery {
            of: vec![(Dimension::Route, "elsewhere".to_owned())],
            ..UsageQuery::default()
        };
        assert_eq!(store.usage(&query).await.unwrap(), []);
        store.close().await;
    }
}

/// Sums by the day and by the hour say the same as the records, for any span, and when they are made anew.
#[tokio::test]
async fn sums_say_what_the_records_say() {
    const MINUTE: i64 = 60_000;
    for database in Database::all("rollups") {
        let store = Store::open(&database.url).await.unwrap();
        let start = 20_000 * 86_400_000;
        let records: Vec<_> = (0..200)
            .map(|number| UsageRecord {
                at_ms: start + i64::try_from(number).unwrap() * 37 * MINUTE + 1,
                user: (number % 4 == 0).then(|| format!("user-{}", number % 3).into()),
                ..record(number)
            })
            .collect();
        for some in records.chunks(70) {
            store.enter(some).await.unwrap();
        }
        for anew in [false, true] {
            if anew {
                store.make_sums_anew().await.unwrap();
            }
            for (since, until) in [
                (0, i64::MAX),
                (start, start + 86_400_000),
                (start + 5 * MINUTE, start + 3 * 86_400_000 + 7 * MINUTE),
                (start + 61 * MINUTE, start + 100 * MINUTE),
                (start + 1, start + 1),
                (start + 37 * MINUTE + 1, start + 37 * MINUTE + 2),
            ] {
                for by in [
                    vec![],
                    vec![Dimension::Day, Dimension::Key],
                    vec![Dimension::Hour],
                    vec![Dimension::User, Dimension::Day],
                    vec![Dimension::Minute],
                ] {
                    let tagged = UsageQuery {
                        since_ms: Some(since),
                        until_ms: Some(until),
                        of: vec![(Dimension::Tag, "canary".to_owned())],
                        by: by.clone(),
                        ..UsageQuery::default()
                    };
                    let tagged = store.usage(&tagged).await.unwrap();
                    let tagged: u64 = tagged.iter().map(|row| row.calls).sum();
                    let known = records
                        .iter()
                        .filter(|record| (since..until).contains(&record.at_ms))
                        .filter(|record| !record.tags.is_empty());
                    assert_eq!(tagged, known.count() as u64, "tagged, by {by:?}");
                    let query = UsageQuery {
                        since_ms: Some(since),
                        until_ms: Some(until),
                        by: by.clone(),
                        ..UsageQuery::default()
                    };
                    let rows = store.usage(&query).await.unwrap();
                    let calls: u64 = rows.iter().map(|row| row.calls).sum();
                    let cost: u64 = rows.iter().map(|row| row.cost.as_u64()).sum();
                    let within = records
                        .iter()
                        .filter(|record| (since..until).contains(&record.at_ms));
                    let expected: Vec<_> = within.collect();
                    assert_eq!(calls, expected.len() as u64, "{since} to {until} by {by:?}");
                    let expected_cost: u64 = expected.iter().filter_map(|record| record.cost).sum();
                    assert_eq!(cost, expected_cost);
                    if by == [Dimension::User, Dimension::Day] {
                        let of_one = rows
                            .iter()
                            .filter(|row| row.of[0].as_deref() == Some("user-1"));
                        let of_one: u64 = of_one.map(|row| row.calls).sum();
                        let known = expected
                            .iter()
                            .filter(|record| record.user.as_deref() == Some("user-1"));
                        assert_eq!(of_one, known.count() as u64);
                    }
                }
            }
        }
        store.close().await;
    }
}

#[tokio::test]
async fn sums_of_great_amounts_are_told() {
    for database in Database::all("sums") {
        let store = Store::open(&database.url).await.unwrap();
        let dear = |number| UsageRecord {
            cost: Some(u64::MAX / 2),
            ..record(number)
        };
        store.enter(&[dear(1), dear(2)]).await.unwrap();
        let rows = store.usage(&UsageQuery::default()).await.unwrap();
        assert_eq!(rows[0].cost, Picodollars::new(u64::MAX / 2 * 2));
        store.close().await;
    }
}

#[tokio::test]
async fn several_processes_may_make_the_tables_at_once() {
    for database in Database::all("tables") {
        let open = || Store::open(&database.url);
        let (one, two, three) = tokio::join!(open(), open(), open());
        for store in [one, two, three] {
            store.unwrap().close().await;
        }
    }
}

#[tokio::test]
async fn tables_of_another_version_are_refused() {
    for database in Database::all("version") {
        let store = Store::open(&database.url).await.unwrap();
        sqlx::query("UPDATE _sqlx_migrations SET version = version + 9000")
            .execute(&store.pool)
            .await
            .unwrap();
        store.close().await;
        let error = Store::open(&database.url).await.unwrap_err();
        assert!(
            matches!(error, StoreError::Newer(version) if version > 9000),
            "{error:?}"
        );
    }
    assert!(matches!(
        Store::open("mysql://x").await.unwrap_err(),
        StoreError::Url(scheme) if scheme == "mysql"
    ));
}

#[tokio::test]
async fn no_text_of_a_callers_keeps_others_out() {
    for database in Database::all("texts") {
        let store = Store::open(&database.url).await.unwrap();
        let strange = "a\0b\u{1f600}\u{7f}'; --";
        let odd = UsageRecord {
            user: Some(strange.into()),
            model: Some(strange.into()),
            error_code: Some(strange.into()),
            ..record(1)
        };
        assert_eq!(store.enter(&[odd, record(2)]).await.unwrap(), 2);
        let found = store.find("req-1").await.unwrap();
        let kept = strange.replace('\0', "\u{fffd}");
        assert_eq!(found[0].user.as_deref(), Some(kept.as_str()));
        store.close().await;
    }
}

#[tokio::test]
async fn calls_are_found_by_what_is_known_of_them() {
    for database in Database::all("calls") {
        let store = Store::open(&database.url).await.unwrap();
        let records: Vec<_> = (0..100).map(record).collect();
        store.enter(&records).await.unwrap();
        let found = async |query: CallsQuery| {
            let calls = store.calls(&query).await.unwrap();
            calls
                .iter()
                .map(|call| call.id.to_string())
                .collect::<Vec<_>>()
        };
        let all = CallsQuery {
            most: 1000,
            ..CallsQuery::default()
        };
        assert_eq!(found(all.clone()).await.len(), 100);
        let page = found(CallsQuery {
            most: 2,
            before: Some(Before {
                at_ms: record(50).at_ms,
                id: "00000050".to_owned(),
            }),
            ..CallsQuery::default()
        })
        .await;
        assert_eq!(
            page,
            ["00000048", "00000046"],
            "even ones came on the first day"
        );
        let key = CallsQuery {
            of: vec![(Dimension::Key, "team-1".to_owned())],
            status: Some(200),
            ..all.clone()
        };
        assert_eq!(found(key).await.len(), 33);
        for (tag, count) in [("canary", 34), ("it's, a \"tag\"", 17), ("none", 0)] {
            let tagged = CallsQuery {
                of: vec![(Dimension::Tag, tag.to_owned())],
                ..all.clone()
            };
            assert_eq!(found(tagged.clone()).await.len(), count);
            let one_of_them = CallsQuery {
                status: Some(200),
                most: 1,
                ..tagged
            };
            assert_eq!(found(one_of_them).await.len(), count.min(1));
        }
        let dear = CallsQuery {
            cost_from: Some(1_234_567),
            teams: Some(vec!["research".to_owned(), "x".to_owned()]),
            ..all.clone()
        };
        assert_eq!(found(dear).await.len(), 80);
        assert_eq!(
            found(CallsQuery {
                teams: Some(Vec::new()),
                ..all.clone()
            })
            .await
            .len(),
            0
        );
        assert_eq!(
            found(CallsQuery {
                request_id: Some("req-7".to_owned()),
                ..all
            })
            .await,
            ["00000007"]
        );
        store.close().await;
    }
}

#[tokio::test]
async fn a_backup_goes_from_either_database_into_the_other() {
    let (mut texts, mut sums) = (Vec::new(), Vec::new());
    let databases = Database::all("backup");
    for database in &databases {
        let store = Store::open(&database.url).await.unwrap();
        let records: Vec<_> = (0..1_234).map(record).collect();
        store.enter(&records).await.unwrap();
        store.add_key(&key("a"), &change("ann")).await.unwrap();
        let app = object(Kind::App, "a", "t", "x");
        store.add_object(app, &change("ann")).await.unwrap();
        let mut text = Vec::new();
        assert_eq!(
            store.back_up(&mut text).await.unwrap(),
            1_234 + 1 + 1 + 2 + 3 + 1
        );
        sums.push(store.usage(&UsageQuery::default()).await.unwrap());
        let refused = store.restore(&mut text.as_slice()).await;
        assert!(
            matches!(refused, Err(BackupError::NotEmpty("usage_records"))),
            "{refused:?}"
        );
        texts.push(text);
        store.close().await;
    }
    assert_eq!(texts[0], texts[1]);
    for (database, text) in Database::all("restore").iter().zip(texts.iter().rev()) {
        let store = Store::open(&database.url).await.unwrap();
        // Cut off anywhere, nothing of it is taken.
        let half = &text[..text.len() / 2];
        assert!(store.restore(&mut &half[..]).await.is_err());
        let restored = store.restore(&mut text.as_slice()).await.unwrap();
        assert_eq!((restored.rows, restored.is_proven), (1_242, true));
        assert_eq!(store.usage(&UsageQuery::default()).await.unwrap(), sums[0]);
        assert_eq!(store.find("req-7").await.unwrap(), [found(7)]);
        assert_eq!(store.keys().await.unwrap().keys, [key("a")]);
        assert!(matches!(
            store.verify_audit().await.unwrap(),
            Verdict::Whole { rows: 2, .. }
        ));
        store.close().await;
    }
}

#[tokio::test]
async fn a_backup_that_is_not_as_it_was_written_is_refused() {
    for database in Database::all("damaged") {
        let store = Store::open(&database.url).await.unwrap();
        store.enter(&[record(1)]).await.unwrap();
        let mut text = Vec::new();
        store.back_up(&mut text).await.unwrap();
        store.close().await;
        let text = String::from_utf8(text).unwrap();
        let (rest, _) = text.split_once(",\"sha256\"").unwrap();
        let without_hash = format!("{rest}}}\n");
        let earlier = without_hash.replace("{\"tollgate_backup\":2}", "{\"tollgate_backup\":1}");
        let copy = format!("sqlite:{}", database.folder.join("copy.db").display());
        let copy = Store::open(&copy).await.unwrap();
        for (damaged, problem) in [
            (text.replace("1234567", "1234568"), "another hash"),
            (
                text.replace("\"sha256\":\"", "\"sha256\":\"0"),
                "another hash",
            ),
            (without_hash, "another hash"),
            (format!("{text}garbage"), "something stands behind"),
            (text.repeat(2), "something stands behind"),
            (format!("{earlier}\n"), "something stands behind"),
        ] {
            assert_ne!(damaged, text);
            let refused = copy.restore(&mut damaged.as_bytes()).await.unwrap_err();
            assert!(refused.to_string().contains(problem), "{refused}");
        }
        let compressed = [0x1f, 0x8b, 0x08, 0x00, b'\n', 0xff];
        let refused = copy.restore(&mut &compressed[..]).await.unwrap_err();
        assert!(refused.to_string().contains("no backup"), "{refused}");
        // Nothing of all these is there; of a time before there were hashes it is taken.
        let restored = copy.restore(&mut earlier.as_bytes()).await.unwrap();
        assert!(!restored.is_proven);
        assert_eq!(copy.find("req-1").await.unwrap(), [found(1)]);
        copy.close().await;
    }
}

#[tokio::test]
async fn a_conversation_is_found_by_its_last_answer_and_its_owner() {
    for database in Database::all("responses") {
        let store = Store::open(&database.url).await.unwrap();
        let turn = |id: &str, previous: Option<&str>| KeptResponse {
            owner: "key one".to_owned(),
            id: id.to_owned(),
            previous: previous.map(str::to_owned),
            input: format!("\"{id}?\""),
            answer: "{}".to_owned(),
        };
        let turns = [turn("a", None), turn("b", Some("a")), turn("c", Some("b"))];
        for (second, turn) in turns.iter().enumerate() {
            let now = std::time::Duration::from_secs(second as u64);
            store.keep_response(turn, now).await.unwrap();
        }
        let found = store.conversation("key one", "c").await.unwrap();
        assert_eq!(found.as_deref(), Some(&turns[..]));
        assert_eq!(store.conversation("key two", "c").await.unwrap(), None);
        assert_eq!(store.conversation("key one", "d").await.unwrap(), None);
        // Without its beginning it is not whole.
        let before = std::time::Duration::from_secs(1);
        assert_eq!(store.forget_responses_before(before).await.unwrap(), 1);
        assert_eq!(store.conversation("key one", "c").await.unwrap(), None);
        assert!(store.forget_response("key one", "c").await.unwrap());
        assert!(!store.forget_response("key one", "c").await.unwrap());
    }
}

#[tokio::test]
async fn payloads_are_found_by_what_their_json_means() {
    for database in Database::all("meant") {
        let store = Store::open(&database.url).await.unwrap();
        let said = "He [said]* \"naïve\",\nand left. 🙂 Ünten (Привет)?";
        let quoted = serde_json::json!({ "content": said }).to_string();
        let in_ascii = quoted.chars().map(|sign| match sign {
            sign if sign.is_ascii() => sign.to_string(),
            sign => {
                let mut units = [0; 2];
                let units = sign.encode_utf16(&mut units).iter();
                units.map(|unit| format!("\\u{unit:04X}")).collect()
            }
        });
        let in_ascii: String = in_ascii.collect();
        let ways = [said.to_owned(), quoted, in_ascii, "naive".to_owned()];
        let records: Vec<UsageRecord> = (0..)
            .zip(&ways)
            .map(|(number, request)| UsageRecord {
                payload: Some(Payload {
                    request: request.as_str().into(),
                    response: "".into(),
                }),
                ..record(number)
            })
            .collect();
        store.enter(&records).await.unwrap();
        for text in [
            said,
            "\"naïve\"",
            "[SAID]* \"na",
            ",\nand",
            "left. 🙂",
            "NAÏVE",
            "ünTEN (пРИВЕТ)?",
        ] {
            let query = CallsQuery {
                text: Some(text.to_owned()),
                most: 10,
                ..CallsQuery::default()
            };
            let found = store.calls(&query).await.unwrap();
            assert_eq!(found.len(), 3, "{text}");
        }
        store.close().await;
    }
}

#[tokio::test]
async fn payloads_are_found_by_their_text_and_dropped_by_the_day() {
    for database in Database::all("payloads") {
        let store = Store::open(&database.url).await.unwrap();
        let with_payload = |number: u64, text: &str| UsageRecord {
            payload: Some(Payload {
                request: text.into(),
                response: "100%_sure\0".into(),
            }),
            ..record(number)
        };
        // Of two days.
        let records = [
            with_payload(2, "a cat"),
            with_payload(3, "a dog"),
            record(5),
            with_payload(7, "a cat!"),
        ];
        assert_eq!(store.enter(&records).await.unwrap(), 4);
        assert_eq!(store.enter(&records).await.unwrap(), 0);
        let found = async |text: &str| {
            let query = CallsQuery {
                text: Some(text.to_owned()),
                most: 10,
                ..CallsQuery::default()
            };
            let calls = store.calls(&query).await.unwrap();
            calls
                .iter()
                .map(|call| call.id.to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(found("cat").await, ["00000007", "00000002"]);
        assert_eq!(found("cat!").await, ["00000007"]);
        assert_eq!(found("100%_s").await, ["00000007", "00000003", "00000002"]);
        assert_eq!(found("100__s").await, [""; 0]);
        let ours = ["research".to_owned()];
        let call = store.call(Some(&ours), "00000003").await;
        let call = call.unwrap().unwrap();
        for others in [&["other".to_owned()][..], &[]] {
            assert_eq!(store.call(Some(others), "00000003").await.unwrap(), None);
        }
        let payload = store.payload(&call).await.unwrap().unwrap();
        assert_eq!(
            (&*payload.request, &*payload.response),
            ("a dog", "100%_sure\u{fffd}")
        );
        let second_day = std::time::Duration::from_secs(20_001 * 86_400);
        assert_eq!(store.drop_payloads_before(second_day).await.unwrap(), 1);
        assert_eq!(found("cat").await, ["00000007"]);
        let gone = store.call(None, "00000002").await.unwrap().unwrap();
        assert_eq!(store.payload(&gone).await.unwrap(), None);
    }
}
