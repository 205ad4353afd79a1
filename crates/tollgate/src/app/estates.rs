//! What gateways leave that die: their journals are entered into the books, and what their last calls used is settled with the counts that
//! they shared.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use tollgate_counters::{CountersError, Held, Line, Used};
use tollgate_domain::{Allowance, Facts, Quantity, Scope, UsageRecord};
use tollgate_store::{Keeper, Round, Skipped, StoreError};
use tollgate_telemetry::events::CallsCrashed;

/// Enters what the dead have left.
pub(super) struct Estates {
    /// The counts that they shared, where they did.
    line: Option<Line>,
    /// Of those whose journals are being entered, by their names.
    open: HashMap<String, Estate>,
}

#[derive(Default)]
struct Estate {
    /// What their calls held when they died, by its name.
    held: HashMap<String, Vec<Held>>,
    round: Round,
    is_entered: bool,
}

impl Estates {
    pub(super) fn new(line: Option<Line>) -> Self {
        Self {
            line,
            open: HashMap::new(),
        }
    }

    /// Enters all that is left by those who died; gives the lines that were not entered. While the counts do not answer, it waits.
    pub(super) async fn enter(
        &mut self,
        keeper: &mut Keeper,
        allowances: &[Arc<Allowance>],
    ) -> Result<Skipped, StoreError> {
        let mut skipped = Skipped::default();
        for dead in keeper.dead()? {
            let name = dead.name().to_owned();
            if !self.open.contains_key(&name) {
                let Ok(held) = self.held_by(&name).await else {
                    continue;
                };
                let estate = Estate {
                    held,
                    ..Estate::default()
                };
                self.open.insert(name.clone(), estate);
            }
            let Some(estate) = self.open.get_mut(&name) else {
                continue;
            };
            let wanted: HashSet<String> = estate.held.keys().cloned().collect();
            keeper.enter_dead(&dead, &wanted, &mut estate.round).await?;
            skipped.add(std::mem::take(&mut estate.round.skipped));
            estate.is_entered = true;
            let calls = estate.round.crashed;
            if calls > 0 {
                CallsCrashed { calls }.emit();
            }
            dead.remove();
        }
        let entered = self.open.iter().filter(|(_, estate)| estate.is_entered);
        let entered: Vec<String> = entered.map(|(name, _)| name.clone()).collect();
        for name in entered {
            // What could not be settled is settled in another round.
            if self.settle(&name, allowances).await.is_ok() {
                self.open.remove(&name);
            }
        }
        Ok(skipped)
    }

    async fn held_by(&mut self, node: &str) -> Result<HashMap<String, Vec<Held>>, CountersError> {
        match &mut self.line {
            Some(line) => Ok(line.held_by(node).await?.into_iter().collect()),
            None => Ok(HashMap::new()),
        }
    }

    async fn settle(
        &mut self,
        node: &str,
        allowances: &[Arc<Allowance>],
    ) -> Result<(), CountersError> {
        let (Some(line), Some(estate)) = (&mut self.line, self.open.get(node)) else {
            return Ok(());
        };
        for record in &estate.round.wanted {
            let Some((hold, held)) = record
                .hold
                .as_deref()
                .and_then(|hold| Some((hold, estate.held.get(hold)?)))
            else {
                continue;
            };
            let used: Vec<Used> = held
                .iter()
                .filter_map(|held| {
                    let allowance = allowances.iter().find(|allowance| held.is_of(allowance))?;
                    let amount = if is_anothers(allowance, &held.subject, record) {
                        0
                    } else {
                        used(allowance.quantity, record, held.amount)
                    };
                    let (began, ended) = times(record);
                    Used::new(allowance, &held.subject, amount, began, ended)
                })
                .collect();
            line.settle_for(node, hold, &used).await?;
        }
        line.bury(node).await
    }
}

/// Whether an allowance is for one who could have been asked, and was not.
fn is_anothers(allowance: &Allowance, subject: &str, record: &UsageRecord) -> bool {
    // Of all that tells whose a call is, who was asked comes last.
    let asked = Scope {
        provider: allowance.scope.provider.clone(),
        model: allowance.scope.model.clone(),
        ..Scope::default()
    };
    let facts = Facts {
        provider: record.provider.as_deref(),
        model: record.model.as_deref(),
        ..Facts::default()
    };
    let asked = asked.subject(&facts);
    asked.is_none_or(|asked| !subject.ends_with(&*asked))
}

/// When a call had begun and ended, since 1970-01-01 UTC.
fn times(record: &UsageRecord) -> (Duration, Duration) {
    let began = Duration::from_millis(u64::try_from(record.at_ms).unwrap_or_default());
    (began, began + Duration::from_millis(record.duration_ms))
}

/// What a call used of a quantity, as the books say. What they do not say is what was reserved.
fn used(quantity: Quantity, record: &UsageRecord, reserved: u64) -> u64 {
    let is_whole = matches!(&*record.outcome, "answered" | "refused" | "provider_error");
    let usage = &record.usage;
    let tokens = |told: Option<u64>| match told {
        _ if !record.unmetered.is_nothing() => told.unwrap_or_default(),
        Some(told) if is_whole => told,
        None if matches!(&*record.outcome, "refused" | "provider_error") => 0,
        _ => reserved,
    };
    let unmetered = record.unmetered;
    match quantity {
        Quantity::Requests => u64::from(&*record.outcome != "refused"),
        Quantity::Concurrent | Quantity::Size => 0,
        Quantity::InputTokens => tokens(usage.input_total()).saturating_add(unmetered.input),
        Quantity::OutputTokens => tokens(usage.output_total()).saturating_add(unmetered.output),
        Quantity::Tokens => tokens(usage.total())
            .saturating_add(unmetered.input)
            .saturating_add(unmetered.output),
        Quantity::Picodollars => match (record.cost, record.cost_at_most) {
            (Some(cost), _) | (None, Some(cost)) => cost,
            (None, None) if record.provider.is_none() => 0,
            (None, None) => reserved,
        },
    }
}
