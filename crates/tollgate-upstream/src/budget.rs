//! The retry budget of a provider: retries are paid for by first attempts, so that they cannot amplify an outage.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// What a first attempt brings, in hundredths of a retry.
const DEPOSIT: u32 = 20;

/// What a retry costs, in the same unit.
const COST: u32 = 100;

/// The most that can be saved up.
const BALANCE_MAX: u32 = 100 * COST;

/// Given without any first attempt, so that a quiet provider can be retried too: this many retries in each such time.
const ALLOWANCE: u32 = 10 * COST;
const ALLOWANCE_PERIOD: Duration = Duration::from_secs(10);

/// A provider's retry budget.
#[derive(Debug, Default)]
pub struct RetryBudget {
    account: Mutex<Option<Purse>>,
}

#[derive(Clone, Copy, Debug)]
struct Purse {
    balance: u32,
    allowance: u32,
    allowed_since: Instant,
}

impl RetryBudget {
    /// A first attempt was made.
    pub fn deposit(&self, now: Instant) {
        self.with_purse(now, |purse| {
            purse.balance = (purse.balance + DEPOSIT).min(BALANCE_MAX)
        });
    }

    /// Asks for a retry; `false` when it cannot be paid.
    pub fn try_take(&self, now: Instant) -> bool {
        self.with_purse(now, |purse| {
            for account in [&mut purse.balance, &mut purse.allowance] {
                if let Some(rest) = account.checked_sub(COST) {
                    *account = rest;
                    return true;
                }
            }
            false
        })
    }

    fn with_purse<T>(&self, now: Instant, action: impl FnOnce(&mut Purse) -> T) -> T {
        let mut account = self.account.lock().unwrap_or_else(PoisonError::into_inner);
        let purse = account.get_or_insert(Purse {
            balance: 0,
            allowance: ALLOWANCE,
            allowed_since: now,
        });
        if now >= purse.allowed_since + ALLOWANCE_PERIOD {
            purse.allowance = ALLOWANCE;
            purse.allowed_since = now;
        }
        action(purse)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_are_a_fifth_of_first_attempts_and_a_small_allowance() {
        let (budget, now) = (RetryBudget::default(), Instant::now());
        for _ in 0..100 {
            budget.deposit(now);
        }
        let retries = (0..1_000).filter(|_| budget.try_take(now)).count();
        assert_eq!(retries, 20 + 10);
    }

    #[test]
    fn the_allowance_comes_back() {
        let (budget, now) = (RetryBudget::default(), Instant::now());
        while budget.try_take(now) {}
        assert!(!budget.try_take(now));
        assert!(budget.try_take(now + ALLOWANCE_PERIOD));
    }

    #[test]
    fn savings_are_bounded() {
        let (budget, now) = (RetryBudget::default(), Instant::now());
        for _ in 0..100_000 {
            budget.deposit(now);
        }
        assert_eq!((0..1_000).filter(|_| budget.try_take(now)).count(), 110);
    }
}
