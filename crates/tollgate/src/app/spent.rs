//! What has been used of allowances already, out of the books: counts begin where they ended when the process stopped.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use tollgate_admin::Spent as Told;
use tollgate_domain::{Allowance, Facts, Key, Quantity, Scope, Snapshot, Whose, Window};
use tollgate_proxy::Counters;
use tollgate_store::{Dimension, Store, StoreError, UsageQuery, UsageRow};

/// Windows shorter than this begin anew: a restart takes about as long.
const SHORT: Duration = Duration::from_secs(5);

/// So many allowances that want the same to be summed are asked for one by one; more are found in the sums of everybody.
const FEW: usize = 20;

/// What has been used of allowances, as of one moment, by what they are counted as, and by whom.
#[derive(Debug, Default)]
pub(super) struct Spent {
    of: HashMap<String, Vec<One>>,
    /// What came later is not in it.
    read_at: Duration,
}

#[derive(Debug)]
struct One {
    subject: String,
    used: u128,
    /// The end of the part of time that it was used in; `None` where that does not matter.
    part_end: Option<Duration>,
}

/// Rolling times up to this long are read by the minute, longer ones by the hour.
const BY_MINUTE: Duration = Duration::from_secs(6 * 3600);

/// Whose keys and teams are, which the books do not say.
#[derive(Default)]
pub(super) struct Holders {
    keys: HashMap<String, Arc<Key>>,
    organisations: HashMap<Arc<str>, Arc<str>>,
}

impl Holders {
    /// Of the keys and teams that a snapshot has.
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        let keys = snapshot.keys.values();
        Self {
            keys: keys
                .map(|key| (key.name.to_string(), Arc::clone(key)))
                .collect(),
            organisations: snapshot.organisations.clone(),
        }
    }

    /// Of a key, or else of the team that a call had: callers with tokens have no key.
    fn organisation<'a>(
        &'a self,
        key: Option<&'a Arc<Key>>,
        team: Option<&str>,
    ) -> Option<&'a str> {
        let of_key = key.and_then(|key| key.organisation.as_deref());
        of_key.or_else(|| self.organisations.get(team?).map(AsRef::as_ref))
    }
}

impl Spent {
    /// Reads it out of the books: what calls used that came before `now`, the time since 1970-01-01 UTC, in the window that is then.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) async fn read(
        store: &Store,
        allowances: &[Arc<Allowance>],
        holders: &Holders,
        now: Duration,
    ) -> Result<Self, StoreError> {
        let mut alike: HashMap<Kind, Vec<Asked<'_>>> = HashMap::new();
        for allowance in allowances {
            if let Some(asked) = Asked::of(allowance, now) {
                alike.entry(asked.kind()).or_default().push(asked);
            }
        }
        let mut spent = Self {
            read_at: now,
            ..Self::default()
        };
        for asked in alike.into_values() {
            spent.read_alike(store, &asked, holders).await?;
        }
        Ok(spent)
    }

    /// Reads what was used of allowances that want the same to be summed.
    async fn read_alike(
        &mut self,
        store: &Store,
        asked: &[Asked<'_>],
        holders: &Holders,
    ) -> Result<(), StoreError> {
        let [first, ..] = asked else { return Ok(()) };
        if asked.len() <= FEW {
            for asked in asked {
                let rows = store.usage(&asked.query).await?;
                self.add(asked, rows.iter(), holders);
            }
            return Ok(());
        }
        let everybody = UsageQuery {
            of: Vec::new(),
            ..first.query.clone()
        };
        let rows = store.usage(&everybody).await?;
        let mut of: HashMap<Vec<&str>, Vec<&UsageRow>> = HashMap::new();
        for row in &rows {
            let told = first.query.of.iter().map(|(dimension, _)| {
                let told = told(&first.query, row, *dimension);
                told.unwrap_or_default()
            });
            of.entry(told.collect()).or_default().push(row);
        }
        for asked in asked {
            let names = asked.query.of.iter().map(|(_, name)| name.as_str());
            let rows = of.get(&names.collect::<Vec<_>>());
            self.add(asked, rows.into_iter().flatten().copied(), holders);
        }
        Ok(())
    }

    /// Adds what sums say of an allowance.
    fn add<'a>(
        &mut self,
        asked: &Asked<'_>,
        rows: impl Iterator<Item = &'a UsageRow>,
        holders: &Holders,
    ) {
        let allowance = asked.allowance;
        let mut sums: BTreeMap<(String, Option<Duration>), u128> = BTreeMap::new();
        for row in rows {
            let part_end = asked.part.map(|part| end_of(part, row));
            if let Some(subject) = subject(&allowance.scope, &asked.query, row, holders) {
                *sums.entry((subject, part_end)).or_default() += used(allowance.quantity, row);
            }
        }
        if sums.is_empty() {
            return;
        }
        let ones = self.of.entry(allowance.identity()).or_default();
        ones.extend(sums.into_iter().map(|((subject, part_end), used)| One {
            subject,
            used,
            part_end,
        }));
    }

    /// What was used of an allowance, by whom, and when.
    pub(super) fn of(&self, allowance: &Allowance) -> Vec<(&str, u64, Duration)> {
        let amount = |used: u128| u64::try_from(used).unwrap_or(u64::MAX);
        self.all_of(allowance)
            .map(|one| (one.subject.as_str(), amount(one.used), self.at(one)))
            .collect()
    }

    fn all_of(&self, allowance: &Allowance) -> impl Iterator<Item = &One> {
        self.of.get(&allowance.identity()).into_iter().flatten()
    }

    /// When it was used, at the latest.
    fn at(&self, one: &One) -> Duration {
        let read_at = self.read_at;
        one.part_end.map_or(read_at, |end| end.min(read_at))
    }

    /// For people: one of which nothing was used yet is told, too, where it is for all together.
    pub(super) fn told(&self, allowances: &[Arc<Allowance>], now: Duration) -> Vec<Told> {
        let mut told = Vec::new();
        for allowance in allowances {
            let Some(window) = &allowance.window else {
                continue;
            };
            let one = |subject: &str, used: u128| Told {
                allowance: Arc::clone(allowance),
                subject: subject.to_owned(),
                used,
                window: window.around(now),
            };
            let before = told.len();
            let mut sums: BTreeMap<&str, u128> = BTreeMap::new();
            for one in self.all_of(allowance) {
                *sums.entry(&one.subject).or_default() += one.used;
            }
            told.extend(sums.into_iter().map(|(subject, used)| one(subject, used)));
            if told.len() == before && !allowance.scope.tells_apart() {
                told.push(one("", 0));
            }
        }
        told
    }

    /// Tells what it says of allowances to whoever keeps count.
    pub(super) fn tell(&self, allowances: &[Arc<Allowance>], counters: &Counters, now: Duration) {
        for allowance in allowances {
            for one in self.all_of(allowance).filter(|one| one.used > 0) {
                counters.add_used(allowance, &one.subject, one.used, self.at(one), now);
            }
        }
    }

    /// The same beyond what was told before.
    pub(super) fn tell_beyond(
        &self,
        told: &Self,
        allowances: &[Arc<Allowance>],
        counters: &Counters,
        now: Duration,
    ) {
        for allowance in allowances {
            let told: HashMap<_, u128> = told
                .all_of(allowance)
                .map(|one| ((one.subject.as_str(), one.part_end), one.used))
                .collect();
            for one in self.all_of(allowance) {
                let told = told.get(&(one.subject.as_str(), one.part_end));
                let beyond = one.used.saturating_sub(told.copied().unwrap_or_default());
                if beyond > 0 {
                    counters.add_used(allowance, &one.subject, beyond, self.at(one), now);
                }
            }
        }
    }
}

/// What is asked of the books for an allowance.
struct Asked<'a> {
    allowance: &'a Arc<Allowance>,
    query: UsageQuery,
    /// The parts of time that a rolling window is made of.
    part: Option<Dimension>,
}

/// What those have in common that can be asked for at once: what is told apart, what is named, and since when.
type Kind = (Vec<Dimension>, Vec<Dimension>, Option<i64>);

impl<'a> Asked<'a> {
    /// `None` where nothing is remembered.
    fn of(allowance: &'a Arc<Allowance>, now: Duration) -> Option<Self> {
        let window = allowance
            .window
            .as_ref()
            .filter(|window| !is_short(window))?;
        let (begin, _) = window.around(now);
        let mut query = query(&allowance.scope);
        query.since_ms = Some(milliseconds(begin));
        query.until_ms = Some(milliseconds(now));
        let part = match window {
            Window::Rolling(span) if *span <= BY_MINUTE => Some(Dimension::Minute),
            Window::Rolling(_) => Some(Dimension::Hour),
            _ => None,
        };
        query.by.extend(part);
        Some(Self {
            allowance,
            query,
            part,
        })
    }

    fn kind(&self) -> Kind {
        let named = self.query.of.iter().map(|(dimension, _)| *dimension);
        (self.query.by.clone(), named.collect(), self.query.since_ms)
    }
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

fn is_short(window: &Window) -> bool {
    matches!(window, Window::Span(span) | Window::Rolling(span) if *span < SHORT)
}

/// When the part of time that a sum is of was over, since 1970-01-01 UTC.
fn end_of(part: Dimension, row: &UsageRow) -> Duration {
    let number = row
        .of
        .last()
        .and_then(|text| text.as_deref()?.parse::<u64>().ok());
    let span = u64::try_from(part.span_ms().unwrap_or_default()).unwrap_or_default();
    // Its last millisecond: what begins then is in the part of the time that it belongs to.
    let end = number.map(|number| (number + 1).saturating_mul(span).saturating_sub(1));
    Duration::from_millis(end.unwrap_or(u64::MAX))
}

/// The calls of a scope, told apart by all that decides whose they are.
fn query(scope: &Scope) -> UsageQuery {
    let mut query = UsageQuery {
        made: true,
        ..UsageQuery::default()
    };
    for (whose, dimension) in [
        (&scope.key, Dimension::Key),
        (&scope.team, Dimension::Team),
        (&scope.app, Dimension::App),
        (&scope.route, Dimension::Route),
        (&scope.user, Dimension::User),
        (&scope.provider, Dimension::Provider),
        (&scope.model, Dimension::Model),
    ] {
        if let Some(Whose::Named(name)) = whose {
            query.of.push((dimension, name.to_string()));
        }
        if whose.is_some() {
            query.by.push(dimension);
        }
    }
    // Organisations are known by their keys and teams.
    if scope.organisation.is_some() && scope.key.is_none() {
        query.by.push(Dimension::Key);
    }
    if scope.organisation.is_some() && scope.team.is_none() {
        query.by.push(Dimension::Team);
    }
    query
}

/// What a sum says of a dimension.
fn told<'a>(query: &UsageQuery, row: &'a UsageRow, dimension: Dimension) -> Option<&'a str> {
    let place = query.by.iter().position(|by| *by == dimension)?;
    row.of.get(place)?.as_deref()
}

/// Whom of an allowance's scope a sum belongs to.
fn subject(scope: &Scope, query: &UsageQuery, row: &UsageRow, holders: &Holders) -> Option<String> {
    let told = |dimension| told(query, row, dimension);
    let key = told(Dimension::Key);
    let holder = key.and_then(|key| holders.keys.get(key));
    let team = told(Dimension::Team);
    let subject = scope.subject(&Facts {
        key,
        team,
        route: told(Dimension::Route),
        user: told(Dimension::User),
        app: told(Dimension::App),
        organisation: holders.organisation(holder, team),
        provider: told(Dimension::Provider),
        model: told(Dimension::Model),
    });
    subject.map(Cow::into_owned)
}

fn used(quantity: Quantity, row: &UsageRow) -> u128 {
    // What may have been used counts as used.
    let input = |row: &UsageRow| u128::from(row.input) + u128::from(row.unmetered.input);
    let output = |row: &UsageRow| u128::from(row.output) + u128::from(row.unmetered.output);
    match quantity {
        Quantity::Requests => row.calls.into(),
        Quantity::Tokens => input(row) + output(row),
        Quantity::InputTokens => input(row),
        Quantity::OutputTokens => output(row),
        Quantity::Concurrent | Quantity::Size => 0,
        // What may have been spent counts as spent.
        Quantity::Picodollars => u128::from(row.cost.as_u64()) + u128::from(row.at_most.as_u64()),
    }
}

#[cfg(test)]
mod tests {
    use tollgate_domain::{Then, UsageRecord};

    use super::*;

    const NOW: Duration = Duration::from_secs(1_790_000_000);

    fn each_key_of(count: usize, route: Option<Whose>) -> Vec<Arc<Allowance>> {
        let allowance = |number| Allowance {
            name: format!("limit-{number}").into(),
            scope: Scope {
                key: Some(Whose::Named(format!("key-{number}").into())),
                route: route.clone(),
                ..Scope::default()
            },
            quantity: Quantity::Requests,
            most: 100,
            raise: None,
            window: Some(Window::Rolling(Duration::from_secs(3600))),
            then: Then::Refuse,
            is_told: true,
        };
        (0..count)
            .map(|number| Arc::new(allowance(number)))
            .collect()
    }

    fn call(key: usize, route: &str, number: usize) -> UsageRecord {
        UsageRecord {
            id: format!("{key}-{route}-{number}").into(),
            at_ms: milliseconds(NOW.saturating_sub(Duration::from_secs(60 * number as u64 + 1))),
            key: Some(format!("key-{key}").into()),
            route: Some(route.into()),
            outcome: "answered".into(),
            ..UsageRecord::default()
        }
    }

    /// What each allowance has lost, by whom.
    async fn read(store: &Store, allowances: &[Arc<Allowance>]) -> Vec<Vec<(String, u64)>> {
        let spent = Spent::read(store, allowances, &Holders::default(), NOW)
            .await
            .unwrap();
        let used = |allowance: &Arc<Allowance>| {
            let mut sums: BTreeMap<String, u64> = BTreeMap::new();
            for (subject, used, _) in spent.of(allowance) {
                *sums.entry(subject.to_owned()).or_default() += used;
            }
            sums.into_iter().collect()
        };
        allowances.iter().map(used).collect()
    }

    #[tokio::test]
    async fn many_allowances_read_at_once_have_lost_what_each_has_by_itself() {
        let file = std::env::temp_dir().join(format!("tollgate-spent-{}.db", std::process::id()));
        let store = Store::open(&format!("sqlite:{}", file.display()))
            .await
            .unwrap();
        let calls: Vec<UsageRecord> = (0..50)
            .flat_map(|key| {
                (0..key % 7).map(move |number| call(key, ["a", "b"][number % 2], number))
            })
            .collect();
        store.enter(&calls).await.unwrap();
        for route in [None, Some(Whose::Each), Some(Whose::Named("a".into()))] {
            let allowances = each_key_of(60, route);
            let together = read(&store, &allowances).await;
            let mut apart = Vec::new();
            for allowance in &allowances {
                apart.extend(read(&store, std::slice::from_ref(allowance)).await);
            }
            assert!(allowances.len() > FEW && together.iter().flatten().count() > FEW);
            assert_eq!(together, apart);
        }
        store.close().await;
        std::fs::remove_file(file).unwrap();
    }
}
