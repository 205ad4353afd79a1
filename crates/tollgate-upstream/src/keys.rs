//! A provider's keys: which one goes with the next call, and which are left alone for a while.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::{HeaderName, HeaderValue};
use tokio::time::Instant;
use tollgate_domain::{Auth, ProviderKey};

/// How long a refused key is left alone before it is tried again: keys do get their rights back.
const REFUSED_FOR: Duration = Duration::from_secs(60);

/// First and longest pause of a key that ran into a rate limit, where the provider names none.
const RATE_LIMITED_FIRST: Duration = Duration::from_secs(1);
const RATE_LIMITED_LONGEST: Duration = Duration::from_secs(60);

/// Keys to choose from. A provider that wants none has one that is nothing.
#[derive(Debug)]
pub struct KeyRing {
    keys: Vec<Arc<KeyState>>,
}

/// A key, ready to be sent, and how it fares.
#[derive(Debug)]
pub struct KeyState {
    ordinal: usize,
    weight: u32,
    fingerprint: u64,
    /// The credential as it goes on the wire.
    pub(crate) credential: Credential,
    state: Mutex<Fare>,
}

/// A credential as it goes on the wire.
#[derive(Clone, Debug)]
pub(crate) enum Credential {
    None,
    Header(HeaderName, HeaderValue),
    Query(Arc<str>, tollgate_domain::Secret),
}

#[derive(Clone, Copy, Debug, Default)]
struct Fare {
    away: Option<Away>,
    rate_limits_in_a_row: u32,
}

/// A key that is left alone.
#[derive(Clone, Copy, Debug)]
struct Away {
    until: Instant,
    /// The status with which the provider refused it; `None` where it waits out a rate limit.
    refused: Option<u16>,
}

/// Why there is no key to go with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoKey {
    /// All that were not tried wait out a rate limit; the first of them is back then.
    Waiting {
        /// When.
        until: Instant,
    },
    /// The provider refused them.
    Refused {
        /// With this status.
        status: u16,
    },
    /// All were tried.
    Tried,
}

// === impl KeyRing ===

impl KeyRing {
    /// For a provider's keys. Keys that an earlier ring had too keep their state.
    pub(crate) fn build(keys: &[Arc<ProviderKey>], auth: &Auth, previous: Option<&Self>) -> Self {
        if keys.is_empty() || *auth == Auth::None {
            return Self {
                keys: vec![Arc::new(KeyState::new(0, 1, 0, Credential::None))],
            };
        }
        let build = |key: &Arc<ProviderKey>| {
            let fingerprint = fingerprint(key.secret.expose());
            let known = previous.and_then(|ring| {
                ring.keys
                    .iter()
                    .find(|known| known.fingerprint == fingerprint)
            });
            let state = KeyState::new(key.ordinal, key.weight, fingerprint, credential(key, auth));
            if let Some(known) = known {
                *state.fare() = *known.fare();
            }
            Arc::new(state)
        };
        Self {
            keys: keys.iter().map(build).collect(),
        }
    }

    /// A key that is not left alone and not among those tried, by weight.
    ///
    /// # Errors
    /// When there is none: why.
    pub fn pick(&self, now: Instant, tried: &[usize]) -> Result<Arc<KeyState>, NoKey> {
        let fit = |key: &&Arc<KeyState>| !tried.contains(&key.ordinal) && key.away(now).is_none();
        if let [only] = self.keys.as_slice() {
            return match fit(&only) {
                true => Ok(Arc::clone(only)),
                false => Err(self.no_key(now, tried)),
            };
        }
        let total: u32 = self.keys.iter().filter(fit).map(|key| key.weight).sum();
        if total == 0 {
            return Err(self.no_key(now, tried));
        }
        let mut draw = fastrand::u32(0..total);
        for key in self.keys.iter().filter(fit) {
            match draw.checked_sub(key.weight) {
                None => return Ok(Arc::clone(key)),
                Some(rest) => draw = rest,
            }
        }
        Err(self.no_key(now, tried))
    }

    /// A rate limit passes by itself, so it is told before a refusal.
    fn no_key(&self, now: Instant, tried: &[usize]) -> NoKey {
        let untried = self.keys.iter().filter(|key| !tried.contains(&key.ordinal));
        let away: Vec<Away> = untried.filter_map(|key| key.away(now)).collect();
        let waiting = away.iter().filter(|away| away.refused.is_none());
        match waiting.map(|away| away.until).min() {
            Some(until) => NoKey::Waiting { until },
            None => away
                .iter()
                .find_map(|away| away.refused)
                .map_or(NoKey::Tried, |status| NoKey::Refused { status }),
        }
    }
}

// === impl KeyState ===

impl KeyState {
    fn new(ordinal: usize, weight: u32, fingerprint: u64, credential: Credential) -> Self {
        Self {
            ordinal,
            weight: weight.max(1),
            fingerprint,
            credential,
            state: Mutex::default(),
        }
    }

    /// The key's place in the configuration, from 1; 0 where the provider wants none.
    pub fn ordinal(&self) -> usize {
        self.ordinal
    }

    /// The provider took it.
    pub fn succeeded(&self) {
        *self.fare() = Fare::default();
    }

    /// The provider refused it with this status: wrong, without money, without rights.
    pub fn refused(&self, now: Instant, status: u16) {
        // A provider without keys refuses the caller's address or the model, and leaving "the key" alone would leave it alone for all.
        if self.ordinal > 0 {
            self.fare().away = Some(Away {
                until: now + REFUSED_FOR,
                refused: Some(status),
            });
        }
    }

    /// It ran into a rate limit; the provider may say for how long.
    pub fn rate_limited(&self, now: Instant, retry_after: Option<Duration>) {
        let mut fare = self.fare();
        let doubled = RATE_LIMITED_FIRST * 2_u32.saturating_pow(fare.rate_limits_in_a_row.min(8));
        fare.rate_limits_in_a_row = fare.rate_limits_in_a_row.saturating_add(1);
        let pause = retry_after.unwrap_or_else(|| doubled.min(RATE_LIMITED_LONGEST));
        fare.away = Some(Away {
            until: now + pause,
            refused: None,
        });
    }

    fn away(&self, now: Instant) -> Option<Away> {
        self.fare().away.filter(|away| now < away.until)
    }

    fn fare(&self) -> MutexGuard<'_, Fare> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn credential(key: &ProviderKey, auth: &Auth) -> Credential {
    match auth {
        // Tokens are no keys.
        Auth::None | Auth::Issued(_) => Credential::None,
        Auth::Query { name } => Credential::Query(Arc::clone(name), key.secret.clone()),
        Auth::Header { name, prefix } => {
            match HeaderValue::from_str(&format!("{prefix}{}", key.secret.expose())) {
                Ok(mut value) => {
                    value.set_sensitive(true);
                    Credential::Header(name.clone(), value)
                }
                // The configuration refuses keys that no header can carry.
                Err(_) => Credential::None,
            }
        }
    }
}

/// Tells keys apart between configurations, without keeping them.
fn fingerprint(secret: &str) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    secret.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use tollgate_domain::Secret;

    use super::*;

    fn ring(weights: &[u32]) -> KeyRing {
        let keys: Vec<_> = weights
            .iter()
            .enumerate()
            .map(|(index, weight)| {
                Arc::new(ProviderKey {
                    ordinal: index + 1,
                    secret: Secret::new(format!("sk-{index}")),
                    weight: *weight,
                })
            })
            .collect();
        let auth = Auth::Header {
            name: http::header::AUTHORIZATION,
            prefix: "Bearer ".into(),
        };
        KeyRing::build(&keys, &auth, None)
    }

    #[test]
    fn keys_are_taken_by_weight() {
        let (ring, now) = (ring(&[3, 1]), Instant::now());
        let firsts = (0..4_000)
            .filter(|_| ring.pick(now, &[]).unwrap().ordinal() == 1)
            .count();
        assert!((2_800..3_200).contains(&firsts), "{firsts}");
    }

    #[test]
    fn a_dead_key_is_passed_over() {
        let (ring, now) = (ring(&[1, 1]), Instant::now());
        let dead = ring.pick(now, &[2]).unwrap();
        dead.refused(now, 401);
        assert!((0..50).all(|_| ring.pick(now, &[]).unwrap().ordinal() == 2));
        assert_eq!(
            ring.pick(now, &[2]).unwrap_err(),
            NoKey::Refused { status: 401 }
        );
        assert!(ring.pick(now + REFUSED_FOR, &[2]).is_ok());
    }

    #[test]
    fn a_rate_limit_lasts_as_long_as_the_provider_says() {
        let (ring, now) = (ring(&[1]), Instant::now());
        let key = ring.pick(now, &[]).unwrap();
        key.rate_limited(now, Some(Duration::from_secs(7)));
        assert_eq!(
            ring.pick(now, &[]).unwrap_err(),
            NoKey::Waiting {
                until: now + Duration::from_secs(7)
            }
        );
        key.succeeded();
        assert!(ring.pick(now, &[]).is_ok());
    }

    #[test]
    fn rate_limits_without_a_pause_get_longer_ones() {
        let (ring, now) = (ring(&[1]), Instant::now());
        let key = ring.pick(now, &[]).unwrap();
        key.rate_limited(now, None);
        key.rate_limited(now, None);
        assert_eq!(
            ring.pick(now, &[]).unwrap_err(),
            NoKey::Waiting {
                until: now + Duration::from_secs(2)
            }
        );
    }

    #[test]
    fn a_rate_limit_is_told_before_a_refusal() {
        let (ring, now) = (ring(&[1, 1]), Instant::now());
        ring.pick(now, &[2]).unwrap().refused(now, 402);
        let second = ring.pick(now, &[]).unwrap();
        assert_eq!(
            ring.pick(now, &[1, 2]).unwrap_err(),
            NoKey::Tried,
            "both were tried"
        );
        second.rate_limited(now, Some(Duration::from_secs(3)));
        assert_eq!(
            ring.pick(now, &[]).unwrap_err(),
            NoKey::Waiting {
                until: now + Duration::from_secs(3)
            }
        );
    }

    #[test]
    fn a_key_keeps_its_state_over_a_reload() {
        let now = Instant::now();
        let before = ring(&[1, 1]);
        before.pick(now, &[2]).unwrap().refused(now, 401);
        let keys: Vec<_> = (0..2)
            .map(|index| {
                Arc::new(ProviderKey {
                    ordinal: index + 1,
                    secret: Secret::new(format!("sk-{index}")),
                    weight: 1,
                })
            })
            .collect();
        let auth = Auth::Header {
            name: http::header::AUTHORIZATION,
            prefix: "Bearer ".into(),
        };
        let after = KeyRing::build(&keys, &auth, Some(&before));
        assert_eq!(after.pick(now, &[]).unwrap().ordinal(), 2);
    }

    #[test]
    fn a_key_cannot_be_printed() {
        let ring = ring(&[1]);
        assert!(!format!("{ring:?}").contains("sk-0"));
    }
}
