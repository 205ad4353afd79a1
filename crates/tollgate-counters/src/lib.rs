//! Counts of limits and budgets that several gateways share, kept in Redis or Valkey.
//!
//! All allowances of a call are asked in one step there and back, by a script, so that no two gateways give away the same. What a call holds
//! stands under its gateway's name: when that dies, what its calls can have used stays reserved until its journal is entered into the books.
//! Which allowances there are, what calls ask of them, and what becomes of calls while the counts are away is not decided here.

mod scripts;

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
    time::Duration,
};

use redis::{
    AsyncCommands, Client, RedisError,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use scripts::SCRIPTS;
use thiserror::Error;
use tokio::sync::Notify;
use tollgate_domain::Allowance;

/// A gateway that was not heard of for so long is gone.
pub const ALIVE_FOR: Duration = Duration::from_secs(10);

/// What calls of a gateway hold that is gone is given back after this time, where nobody entered its journal.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// What was used in a window is kept for so long after its end: clocks differ.
const KEPT_AFTER: Duration = Duration::from_secs(3600);

/// With this begins what stands for an allowance that is held and given back, and never used up.
const HELD_ONLY: &str = "held|";

/// The greatest amount that is added at once: sums have to fit into 64 bits with a sign.
const AMOUNT_MAX: u64 = 1 << 60;

/// The longest pause before a lost connection is tried again.
const RECONNECT_AFTER_MAX: Duration = Duration::from_millis(500);

/// Where counts are shared, and under which name this process shares them.
pub struct SharedCounts {
    client: Client,
    /// What all keys begin with, in braces: one slot of a cluster.
    prefix: String,
    node: String,
    /// Answers are waited for no longer.
    deadline: Duration,
    /// Told when somebody met an allowance that is not counted yet.
    unknown: Notify,
}

/// A connection, for the runtime that it was made in.
#[derive(Clone)]
pub struct Line {
    manager: ConnectionManager,
    prefix: String,
    node: String,
}

/// What a call asks of an allowance.
#[derive(Clone, Debug)]
pub struct Ask<'a> {
    /// The allowance.
    pub allowance: &'a Allowance,
    /// Whom of its scope the call belongs to.
    pub subject: &'a str,
    /// So much.
    pub amount: u64,
    /// Whether it is refused where there is not enough.
    pub refuses: bool,
}

/// What was counted when a call asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// What was used in the window.
    pub used: u64,
    /// What calls under way may still use.
    pub reserved: u64,
}

/// What became of an asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Every allowance gave.
    Whole {
        /// The counts' own time: they begin anew when they were lost.
        epoch: String,
        /// For each, what was counted before.
        counts: Vec<Count>,
    },
    /// One has not enough left.
    Short {
        /// Its place among those that were asked.
        place: usize,
        /// What was counted.
        count: Count,
        /// Of a rolling time, what was used in each of its parts, the oldest first.
        parts: Vec<u64>,
    },
    /// One is not counted yet: somebody has to begin with what the books say.
    Unknown,
}

/// What became of a settling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It is done; for each of what was used, the sum with it, or nothing at all where it was counted before.
    Whole(Vec<u64>),
    /// The counts are lost, and nobody has begun to count one of them again: it is to be said again.
    Unknown,
}

/// What a call used of an allowance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Used {
    /// The time's part that it goes into, in which the call began.
    key: String,
    /// What the allowance is called where it is counted.
    identity: String,
    /// When the call ended, in milliseconds since 1970-01-01 UTC.
    ended_ms: u64,
    /// All parts that count then.
    slots: [String; 4],
    /// When it may be forgotten, in milliseconds since 1970-01-01 UTC.
    until_ms: u64,
    amount: u64,
}

/// Why the counts could not be asked.
#[derive(Debug, Error)]
pub enum CountersError {
    /// The address is none.
    #[error("the counters' `url` has to be of the form `redis://HOST:PORT/NUMBER`")]
    Url(#[source] RedisError),
    /// They did not answer.
    #[error("the counters do not answer")]
    Away(#[from] RedisError),
    /// They did not answer in time.
    #[error("the counters did not answer within {0:?}")]
    Slow(Duration),
    /// They said something else than they should.
    #[error("the counters answer what they should not: {0}")]
    Strange(String),
}

// === impl CountersError ===

impl CountersError {
    /// Whether the connection was closed, as servers do with one that is idle: another is being made. Where none could be made, nothing was closed.
    pub fn is_closed(&self) -> bool {
        match self {
            Self::Away(error) => error.is_connection_dropped() && !error.is_connection_refusal(),
            Self::Url(_) | Self::Slow(_) | Self::Strange(_) => false,
        }
    }
}

// === impl SharedCounts ===

impl SharedCounts {
    /// Counts at an address, shared under a prefix. `node` is this process's own name, which its journal has, too.
    ///
    /// # Errors
    /// When the address is none. Nothing is asked yet.
    pub fn new(
        url: &str,
        prefix: &str,
        node: &str,
        deadline: Duration,
    ) -> Result<Self, CountersError> {
        Ok(Self {
            client: Client::open(url).map_err(CountersError::Url)?,
            prefix: format!("{{{prefix}}}"),
            node: node.to_owned(),
            deadline,
            unknown: Notify::new(),
        })
    }

    /// Whether this is an address.
    pub fn is_url(url: &str) -> bool {
        Client::open(url).is_ok()
    }

    /// This process's name.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// A connection for this runtime, which is made when it is used.
    ///
    /// # Errors
    /// When the address cannot be used.
    pub fn line(&self) -> Result<Line, CountersError> {
        let settings = ConnectionManagerConfig::new()
            .set_number_of_retries(0)
            .set_max_delay(RECONNECT_AFTER_MAX)
            .set_connection_timeout(Some(self.deadline.max(RECONNECT_AFTER_MAX)))
            .set_response_timeout(Some(self.deadline));
        Ok(Line {
            manager: ConnectionManager::new_lazy_with_config(self.client.clone(), settings)?,
            prefix: self.prefix.clone(),
            node: self.node.clone(),
        })
    }

    /// How long an answer may take.
    pub fn deadline(&self) -> Duration {
        self.deadline
    }

    /// Notes that an allowance is not counted yet.
    pub fn note_unknown(&self) {
        self.unknown.notify_one();
    }

    /// Waits until an allowance is not counted yet.
    pub async fn met_unknown(&self) {
        self.unknown.notified().await;
    }
}

impl fmt::Debug for SharedCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The address may hold a password.
        f.debug_struct("SharedCounts")
            .field("prefix", &self.prefix)
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line")
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

// === impl Line ===

impl Line {
    /// Takes what a call asks of every allowance, or nothing of any. `hold` is the call's own name.
    ///
    /// # Errors
    /// When there is no answer in time. It may have been taken all the same: whoever gives up settles the hold, and asks
    /// again under another name.
    pub async fn take(
        &mut self,
        hold: &str,
        asks: &[Ask<'_>],
        now: Duration,
    ) -> Result<Taken, CountersError> {
        let mut call = SCRIPTS.take.prepare_invoke();
        call.key(&self.prefix).arg(&self.node).arg(hold);
        for ask in asks {
            let identity = identity(ask.allowance);
            let most = match ask.refuses {
                true => ask.allowance.most_at(now).to_string(),
                false => String::new(),
            };
            call.arg(&identity)
                .arg(base(&identity, ask.subject))
                .arg(spent(&identity, ask.allowance, ask.subject, now).to_vec())
                .arg(ask.amount.min(AMOUNT_MAX))
                .arg(most);
        }
        let told: Vec<String> = call.invoke_async(&mut self.manager).await?;
        read_taken(&told)
    }

    /// Gives back what a call holds and adds what it used, once. Gives what was used of each with that; nothing where it was settled before, or
    /// is among what the books said when the counts began.
    ///
    /// # Errors
    /// When there is no answer in time; it is to be said again.
    pub async fn settle(&mut self, hold: &Hold, used: &[Used]) -> Result<Settled, CountersError> {
        let node = self.node.clone();
        match self.settle_of(&node, hold, used).await {
            // However often it is said, it is done once.
            Err(problem) if problem.is_closed() => self.settle_of(&node, hold, used).await,
            settled => settled,
        }
    }

    async fn settle_of(
        &mut self,
        node: &str,
        hold: &Hold,
        used: &[Used],
    ) -> Result<Settled, CountersError> {
        let mut call = SCRIPTS.settle.prepare_invoke();
        call.key(&self.prefix)
            .arg(node)
            .arg(&hold.name)
            .arg(&hold.epoch);
        for used in used {
            let amount = used.amount.min(AMOUNT_MAX);
            call.arg(&used.key)
                .arg(used.until_ms)
                .arg(amount)
                .arg(used.slots.to_vec())
                .arg(&used.identity)
                .arg(used.ended_ms);
        }
        let told: Vec<String> = call.invoke_async(&mut self.manager).await?;
        if told.first().is_some_and(|word| word == "unknown") {
            return Ok(Settled::Unknown);
        }
        let sums = told.iter().map(|sum| sum.parse().unwrap_or_default());
        Ok(Settled::Whole(sums.collect()))
    }

    /// Says that this process is there, and gives back what others hold that are not. `keeps_books`: whether what its calls use is written
    /// down where somebody finds it.
    ///
    /// # Errors
    /// When there is no answer in time.
    pub async fn live(&mut self, keeps_books: bool, now: Duration) -> Result<(), CountersError> {
        let (prefix, node) = (&self.prefix, &self.node);
        let books = if keeps_books { 'b' } else { '-' };
        let seen = format!("{books}{}", now.as_millis());
        let (): () = redis::pipe()
            .hset(format!("{prefix}:nodes"), node, seen)
            .pset_ex(
                format!("{prefix}:alive:{node}"),
                "",
                u64::try_from(ALIVE_FOR.as_millis()).unwrap_or(u64::MAX),
            )
            .query_async(&mut self.manager)
            .await?;
        let _swept: i64 = SCRIPTS
            .sweep
            .key(prefix)
            .arg(milliseconds(now))
            .arg(milliseconds(now.saturating_sub(PATIENCE)))
            .arg(HELD_ONLY)
            .invoke_async(&mut self.manager)
            .await?;
        Ok(())
    }

    /// The counts' own time; `None` where nothing is counted yet, or what was is lost.
    ///
    /// # Errors
    /// When there is no answer in time.
    pub async fn epoch(&mut self) -> Result<Option<String>, CountersError> {
        Ok(self.manager.get(format!("{}:epoch", self.prefix)).await?)
    }

    /// What the server does when it has no room left, where it may do something else than refuse to take more: then it forgets counts. `None`
    /// as well where it does not say.
    pub async fn forgets(&mut self) -> Option<String> {
        let mut asking = redis::cmd("CONFIG");
        asking.arg("GET").arg("maxmemory-policy");
        let told: Vec<String> = asking.query_async(&mut self.manager).await.ok()?;
        let policy = told.into_iter().nth(1)?;
        (policy != "noeviction").then_some(policy)
    }

    /// Whether other gateways are there.
    ///
    /// # Errors
    /// When there is no answer in time.
    pub async fn has_company(&mut self) -> Result<bool, CountersError> {
        let nodes: Vec<String> = self.manager.hkeys(format!("{}:nodes", self.prefix)).await?;
        Ok(nodes.iter().any(|node| *node != self.node))
    }

    /// Of some allowances, those that are not counted yet.
    ///
    /// # Errors
    /// When there is no answer in time.
    pub async fn unknown<'a, T>(&mut self, allowances: &'a [T]) -> Result<Vec<&'a T>, CountersError>
    where
        T: AsRef<Allowance>,
    {
        if allowances.is_empty() {
            return Ok(Vec::new());
        }
        let mut asking = redis::pipe();
        for allowance in allowances {
            let identity = identity(allowance.as_ref());
            asking.exists(format!("{}:known:{identity}", self.prefix));
        }
        let known: Vec<bool> = asking.query_async(&mut self.manager).await?;
        let told = allowances.iter().zip(known);
        Ok(told
            .filter_map(|(allowance, is_known)| (!is_known).then_some(allowance))
            .collect())
    }

    /// Begins to count an allowance with what the books say was used, by whom and when; nothing where somebody else has begun. `read_of`: what
    /// calls used that ended before this time is among it.
    ///
    /// # Errors
    /// When there is no answer in time.
    pub async fn begin(
        &mut self,
        allowance: &Allowance,
        used: &[(&str, u64, Duration)],
        epoch: &str,
        read_of: Duration,
    ) -> Result<(), CountersError> {
        let mut call = SCRIPTS.begin.prepare_invoke();
        call.key(&self.prefix)
            .arg(identity(allowance))
            .arg(epoch)
            .arg(milliseconds(read_of));
        // Each part of the time is set once.
        let mut parts: BTreeMap<String, Used> = BTreeMap::new();
        for (subject, amount, at) in used.iter().filter(|(_, amount, _)| *amount > 0) {
            let Some(used) = Used::new(allowance, subject, *amount, *at, *at) else {
                continue;
            };
            match parts.get_mut(&used.key) {
                Some(part) => part.amount = part.amount.saturating_add(used.amount),
                None => {
                    parts.insert(used.key.clone(), used);
                }
            }
        }
        for used in parts.values() {
            let amount = used.amount.min(AMOUNT_MAX);
            call.arg(&used.key).arg(used.until_ms).arg(amount);
        }
        let _begun: i64 = call.invoke_async(&mut self.manager).await?;
        Ok(())
    }

    /// The identities of allowances that somebody has begun to count, those apart that are only held and given back.
    ///
    /// # Errors
    /// When there is no answer in time.
    pub async fn counted(&mut self) -> Result<HashSet<String>, CountersError> {
        let key = format!("{}:counted", self.prefix);
        let mut counted: HashSet<String> = self.manager.smembers(key).await?;
        counted.retain(|identity| !identity.starts_with(HELD_ONLY));
        Ok(counted)
    }

    /// Forgets that allowances are counted, by their identities: whoever counts them again begins with the books. Where there is more in the
    /// counts than the books say, that stays.
    ///
    /// # Errors
    /// When there is no answer in time.
    pub async fn forget(&mut self, identities: &[&String]) -> Result<(), CountersError> {
        if identities.is_empty() {
            return Ok(());
        }
        let prefix = &self.prefix;
        let known = identities.iter();
        let known = known.map(|identity| format!("{prefix}:known:{identity}"));
        let (): () = redis::pipe()
            .atomic()
            .del(known.collect::<Vec<_>>())
            .ignore()
            .srem(format!("{prefix}:counted"), identities)
            .ignore()
            .query_async(&mut self.manager)
            .await?;
        Ok(())
    }

    /// What calls of another process hold that has died, by their names.
    ///
    /// # Errors
    /// When there is no answer in time.
    pub async fn held_by(&mut self, node: &str) -> Result<Vec<(String, Vec<Held>)>, CountersError> {
        let key = format!("{}:holds:{node}", self.prefix);
        let holds: Vec<(String, String)> = self.manager.hgetall(key).await?;
        let read = |(hold, text): (String, String)| {
            let held: Vec<(String, String, String)> = serde_json::from_str(&text).ok()?;
            let held = held.into_iter().filter_map(|(identity, base, amount)| {
                let subject = base.strip_prefix(&identity)?.strip_prefix('|')?.to_owned();
                let amount = amount.parse().ok()?;
                Some(Held {
                    identity,
                    subject,
                    amount,
                })
            });
            Some((hold, held.collect()))
        };
        Ok(holds.into_iter().filter_map(read).collect())
    }

    /// Settles a call of another process that has died.
    ///
    /// # Errors
    /// When there is no answer in time.
    pub async fn settle_for(
        &mut self,
        node: &str,
        hold: &str,
        used: &[Used],
    ) -> Result<(), CountersError> {
        let epoch = self.epoch().await?;
        let hold = Hold {
            name: hold.to_owned(),
            epoch: epoch.unwrap_or_default(),
        };
        self.settle_of(node, &hold, used).await?;
        Ok(())
    }

    /// Forgets a process that is gone, all that its calls used being settled: what they still hold is given back.
    ///
    /// # Errors
    /// When there is no answer in time.
    pub async fn bury(&mut self, node: &str) -> Result<(), CountersError> {
        let _buried: i64 = SCRIPTS
            .bury
            .key(&self.prefix)
            .arg(node)
            .invoke_async(&mut self.manager)
            .await?;
        Ok(())
    }
}

/// What stands for a call that holds something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The call's own name.
    pub name: String,
    /// The counts' own time, as they told it when it was taken.
    pub epoch: String,
}

/// What a call holds of an allowance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// What stands for the allowance.
    identity: String,
    /// Whom of its scope the call belongs to.
    pub subject: String,
    /// So much.
    pub amount: u64,
}

impl Held {
    /// Whether it is of this allowance.
    pub fn is_of(&self, allowance: &Allowance) -> bool {
        self.identity == identity(allowance)
    }
}

impl Used {
    /// What was used by a call that began and ended at these times; `None` of what is only held.
    pub fn new(
        allowance: &Allowance,
        subject: &str,
        amount: u64,
        began: Duration,
        ended: Duration,
    ) -> Option<Self> {
        let window = allowance.window.as_ref()?;
        let identity = identity(allowance);
        let base = base(&identity, subject);
        Some(Self {
            slots: spent(&identity, allowance, subject, ended),
            identity,
            ended_ms: milliseconds(ended),
            key: format!("{base}|{}", milliseconds(window.slots(began).last())),
            until_ms: milliseconds(window.counts_until(began).saturating_add(KEPT_AFTER)),
            amount,
        })
    }

    /// So much.
    pub fn amount(&self) -> u64 {
        self.amount
    }
}

/// What an allowance is called where it is counted.
fn identity(allowance: &Allowance) -> String {
    let identity = allowance.identity();
    match &allowance.window {
        None => format!("{HELD_ONLY}{identity}"),
        Some(_) => identity,
    }
}

fn base(identity: &str, subject: &str) -> String {
    format!("{identity}|{subject}")
}

/// Where what was used is found: what the keys of all parts of the time begin with, the first part's beginning, from one to the next, how many.
fn spent(identity: &str, allowance: &Allowance, subject: &str, now: Duration) -> [String; 4] {
    let slots = allowance.window.as_ref().map(|window| window.slots(now));
    let [first, step] = slots.map_or([Duration::ZERO; 2], |slots| [slots.first, slots.step]);
    [
        base(identity, subject),
        milliseconds(first).to_string(),
        milliseconds(step).to_string(),
        slots.map_or(1, |slots| slots.count).to_string(),
    ]
}

fn milliseconds(time: Duration) -> u64 {
    // Scripts count in floating point, which has no more whole numbers.
    u64::try_from(time.as_millis())
        .unwrap_or(u64::MAX)
        .min(1 << 53)
}

fn read_taken(told: &[String]) -> Result<Taken, CountersError> {
    let strange = || CountersError::Strange(told.join(" "));
    let count = |pair: &[String]| -> Option<Count> {
        let number = |text: &String| {
            text.parse::<i64>()
                .ok()
                .map(|number| number.max(0).unsigned_abs())
        };
        Some(Count {
            used: number(&pair[0])?,
            reserved: number(&pair[1])?,
        })
    };
    let taken = match told {
        [word, epoch, counts @ ..] if word == "taken" && counts.len().is_multiple_of(2) => {
            let counts: Option<Vec<Count>> = counts.chunks(2).map(count).collect();
            counts.map(|counts| Taken::Whole {
                epoch: epoch.clone(),
                counts,
            })
        }
        [word, place, used, reserved, parts @ ..] if word == "short" => {
            let parts: Result<Vec<u64>, _> = parts.iter().map(|part| part.parse()).collect();
            let told = (place.parse().ok(), count(&[used.clone(), reserved.clone()]));
            match (told, parts) {
                ((Some(place), Some(count)), Ok(parts)) => Some(Taken::Short {
                    place,
                    count,
                    parts,
                }),
                _ => None,
            }
        }
        [word, ..] if word == "unknown" => Some(Taken::Unknown),
        _ => None,
    };
    taken.ok_or_else(strange)
}

#[cfg(test)]
mod tests;
