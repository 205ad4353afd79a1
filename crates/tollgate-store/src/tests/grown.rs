//! What older versions left in a database, and what this one finds there.

use sqlx::any::AnyPoolOptions;

use super::*;
use crate::schema::migrate_to;

/// Before there were sums.
const RECORDS: &str = "INSERT INTO usage_records (id, at_ms, request_id, revision, key_name, team, end_user, route, provider, model, outcome, status,
    input, input_cached, output, cost_picodollars, cost_at_most_picodollars, cost_unknown, attempts, streamed, duration_ms) VALUES
    ('1', 1728000000000, 'a', 'r', 'one', 'red', 'ann', 'chat', 'openai', 'gpt', 'answered', 200, 10, 5, 7, 2500001, NULL, NULL, 1, 0, 9),
    ('2', 1728000000001, 'b', 'r', 'one', 'red', NULL, 'chat', 'openai', 'gpt', 'cut', 200, 1, NULL, 2, NULL, 3000002, 'unmetered', 1, 1, 9),
    ('3', 1728086400000, 'c', 'r', NULL, NULL, NULL, 'chat', NULL, NULL, 'refused', 429, NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, 1)";

/// Before the books named apps.
const KEYS: &str = "INSERT INTO caller_keys (id, name, team, app, hash, blocked, created_ms) VALUES
    ('k1', 'one', 'red', 'bot', 'h', 0, 1), ('k2', 'two', 'red', NULL, 'h', 0, 1), ('k3', 'three', 'blue', NULL, 'h', 0, 1)";

/// Before keys followed their team to its organisation.
const TEAM: &str = "INSERT INTO objects (id, kind, organisation, team, name, body, version, created_ms, changed_ms, removed_ms) VALUES
    ('red', 'team', 'old', 'red', 'red', '{}', 1, 1, 1, 2), ('red', 'team', 'acme', 'red', 'red', '{}', 1, 3, 3, 4),
    ('budget', 'budget', '', 'red', 'budget', '{}', 1, 2, 2, NULL), ('all', 'budget', '', '', 'all', '{}', 1, 2, 2, NULL)";

#[tokio::test]
async fn what_older_versions_wrote_down_is_summed_up() {
    for database in Database::all("grown") {
        sqlx::any::install_default_drivers();
        let url = match database.url.strip_prefix("sqlite:") {
            Some(_) => format!("{}?mode=rwc", database.url),
            None => database.url.clone(),
        };
        let pool = AnyPoolOptions::new().connect(&url).await.unwrap();
        for (version, then) in [(2, RECORDS), (14, KEYS), (16, TEAM)] {
            migrate_to(&pool, version).await.unwrap();
            sqlx::query(then).execute(&pool).await.unwrap();
        }
        pool.close().await;

        let store = Store::open(&database.url).await.unwrap();
        let usage = async |by: Dimension| {
            let query = UsageQuery {
                by: vec![by],
                ..UsageQuery::default()
            };
            store.usage(&query).await.unwrap()
        };
        let told = async |by: Dimension| {
            let rows = usage(by).await.into_iter();
            let told = rows.map(|row| {
                let of = row.of[0].clone().unwrap_or_default();
                let cost = (row.cost.as_u64(), row.at_most.as_u64());
                (of, row.calls, row.input, row.output, cost)
            });
            told.collect::<Vec<_>>()
        };
        let whole = |of: &str, calls| (of.to_owned(), calls, 16, 9, (2_500_001, 3_000_002));
        let nothing = |of: &str| (of.to_owned(), 1, 0, 0, (0, 0));
        assert_eq!(
            told(Dimension::Day).await,
            [whole("20000", 2), nothing("20001")]
        );
        assert_eq!(told(Dimension::App).await, [whole("bot", 2), nothing("")]);
        assert_eq!(told(Dimension::Minute).await.len(), 2);

        // Keys and budgets of a team are of the organisation that had it last.
        let acme = Tenant::Organisation("acme".to_owned());
        let keys = store.keys_of(&acme, None, 9).await.unwrap();
        let keys: Vec<_> = keys.iter().map(|key| key.name.as_str()).collect();
        assert_eq!(keys, ["one", "two"]);
        let budgets = store.objects(&acme, Kind::Budget, None, 9).await.unwrap();
        assert_eq!((budgets.len(), budgets[0].name.as_str()), (1, "budget"));

        // The records say the same.
        let mut before = Vec::new();
        for by in [Dimension::App, Dimension::User, Dimension::Key] {
            before.push(usage(by).await);
        }
        store.make_sums_anew().await.unwrap();
        for (by, before) in [Dimension::App, Dimension::User, Dimension::Key]
            .into_iter()
            .zip(before)
        {
            assert_eq!(usage(by).await, before);
        }
        store.close().await;
    }
}
