//! Credentials that expire: kept, renewed early, and never in a caller's way while the old one is valid.
//!
//! A [`TokenSource`] is shared by all workers. Whoever looks at it when a renewal is due is handed the [`Renewal`], one at a time, and runs it
//! as a task of its own; all others go on with what there is, or wait for the first token together. A renewal that fails leaves
//! the old token where it is. Who issues, and how it is asked, is in the modules below.

mod aws;
mod entra;
mod exchange;
mod external;
mod files;
mod google;
mod ibm;
mod sign;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::HeaderValue;
use thiserror::Error;
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};
use tollgate_domain::{AwsKeys, AwsSource, Issuer, Secret};

use crate::client::Upstream;

pub use exchange::{fetch, fetch_at_most, post_json};
pub use google::is_private_key;
pub(crate) use sign::sign;

/// How long an issuer may take.
const ISSUE_TIMEOUT: Duration = Duration::from_secs(15);

/// So long before its end a token counts as expired: a request takes its time to get there.
const EXPIRES_EARLY: Duration = Duration::from_secs(5);

/// A renewal begins at most so long before the end.
const MARGIN_MAX: Duration = Duration::from_secs(600);

/// Pause before a token is renewed because a provider refused it: the reason may be another.
const REFUSED_PAUSE: Duration = Duration::from_secs(10);

/// First and longest pause after a renewal that failed.
const FAILED_FIRST: Duration = Duration::from_secs(1);
const FAILED_LONGEST: Duration = Duration::from_secs(60);

/// Where a provider's tokens come from, and the one that there is.
#[derive(Debug)]
pub struct TokenSource {
    issuer: Arc<Issuer>,
    state: Mutex<State>,
    /// Counts renewals that came to their end, well or badly.
    settled: watch::Sender<u64>,
}

#[derive(Debug)]
struct State {
    token: Option<Token>,
    /// The one before: calls that began with it may still be under way.
    previous: Option<Token>,
    /// Nobody begins a renewal before; never, where the token does not expire.
    renew_at: Option<Instant>,
    renewing: bool,
    failures_in_a_row: u32,
    failure: Option<TokenFailure>,
}

/// A credential that expires, as it is shown to a provider.
#[derive(Clone)]
pub struct Token(Arc<Issued>);

struct Issued {
    material: Material,
    /// How long from when it was issued.
    expires_at: Option<Instant>,
}

/// What is shown.
pub(crate) enum Material {
    /// As the value of `authorization`.
    Bearer(HeaderValue),
    /// As a signature.
    Keys(AwsKeys),
}

/// What an issuer gave.
pub(crate) struct Grant {
    pub(crate) material: Material,
    /// From now on; `None` where it does not expire.
    pub(crate) lifetime: Option<Duration>,
}

/// Why there is no token. The text is for the log; it holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct TokenFailure(Arc<str>);

/// What a look at a source came to.
#[derive(Debug)]
pub enum Look {
    /// There is a token.
    Ready(Token),
    /// There is none yet; wait for the renewal that is under way, and look again.
    Coming(Settling),
    /// There is none, and the last renewal failed just now.
    Failed(TokenFailure),
}

/// The end of a renewal that is under way.
#[derive(Debug)]
pub struct Settling(watch::Receiver<u64>);

impl Settling {
    /// Waits for it.
    pub async fn wait(mut self) {
        // A source that is gone renews nothing any more.
        let _settled = self.0.changed().await;
    }
}

/// A renewal that has to be run. Dropped before, it is left to whoever looks next.
#[derive(Debug)]
pub struct Renewal {
    source: Arc<TokenSource>,
    done: bool,
}

// === impl TokenSource ===

impl TokenSource {
    pub(crate) fn new(issuer: Arc<Issuer>) -> Self {
        let now = Instant::now();
        let token = match &*issuer {
            Issuer::Aws(aws) => match &aws.source {
                AwsSource::Keys(keys) => Some(Token::new(Material::Keys(keys.clone()), None)),
                _ => None,
            },
            Issuer::Google(_) | Issuer::Entra(_) | Issuer::Ibm(_) => None,
        };
        Self {
            issuer,
            state: Mutex::new(State {
                renew_at: token.is_none().then_some(now),
                token,
                previous: None,
                renewing: false,
                failures_in_a_row: 0,
                failure: None,
            }),
            settled: watch::Sender::new(0),
        }
    }

    /// Who issues.
    pub fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// What there is, and the renewal if one is due: the caller has to have it run.
    pub fn look(self: &Arc<Self>, now: Instant) -> (Look, Option<Renewal>) {
        let mut state = self.state();
        let valid = state.token.clone().filter(|token| token.is_valid(now));
        // Without a token, only a failure asks for a pause.
        let is_missing = valid.is_none() && state.failure.is_none();
        let is_time = state.renew_at.is_some_and(|at| at <= now);
        let is_due = !state.renewing && (is_missing || is_time);
        state.renewing |= is_due;
        let renewal = is_due.then(|| Renewal {
            source: Arc::clone(self),
            done: false,
        });
        let look = match (valid, &state.failure) {
            (Some(token), _) => Look::Ready(token),
            (None, Some(failure)) if !state.renewing => Look::Failed(failure.clone()),
            (None, _) => Look::Coming(Settling(self.settled.subscribe())),
        };
        (look, renewal)
    }

    /// The provider refused the token: it is renewed, though it may seem valid.
    pub fn refused(&self, token: &Token, now: Instant) {
        let mut state = self.state();
        let is_current = state
            .token
            .as_ref()
            .is_some_and(|current| Arc::ptr_eq(&current.0, &token.0));
        if let Some(at) = state.renew_at.filter(|_| is_current) {
            state.renew_at = Some(at.min(now + REFUSED_PAUSE));
        }
    }

    /// What providers are shown of it, to be hidden in what they say.
    pub(crate) fn shown(&self) -> Vec<Secret> {
        let state = self.state();
        let tokens = [&state.token, &state.previous].into_iter().flatten();
        tokens
            .flat_map(|token| token.material().secrets())
            .collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Renewal ===

impl Renewal {
    /// Asks the issuer. `wall` is the time since 1970-01-01 UTC. Gives how long the new token lasts.
    ///
    /// # Errors
    /// When there is no new token; the old one stays until it expires.
    pub async fn run(
        mut self,
        upstream: &Arc<Upstream>,
        wall: Duration,
    ) -> Result<Option<Duration>, TokenFailure> {
        let issuer = Arc::clone(&self.source.issuer);
        let asked = async {
            match &*issuer {
                Issuer::Aws(aws) => aws::issue(aws, upstream, wall).await,
                Issuer::Google(google) => google::issue(google, upstream, wall).await,
                Issuer::Entra(entra) => entra::issue(entra, upstream, wall).await,
                Issuer::Ibm(ibm) => ibm::issue(ibm, upstream, wall).await,
            }
        };
        let result = timeout(ISSUE_TIMEOUT, asked)
            .await
            .unwrap_or_else(|_| Err(TokenFailure::new("the issuer did not answer in time")));
        self.settle(result, Instant::now())
    }

    fn settle(
        &mut self,
        result: Result<Grant, TokenFailure>,
        now: Instant,
    ) -> Result<Option<Duration>, TokenFailure> {
        let is_over = |lifetime: Duration| lifetime <= EXPIRES_EARLY;
        let result = match result {
            Ok(grant) if grant.lifetime.is_some_and(is_over) => Err(TokenFailure::new(
                "what the issuer gave has expired, or is about to",
            )),
            result => result,
        };
        let mut state = self.source.state();
        state.renewing = false;
        let outcome = match result {
            Ok(Grant { material, lifetime }) => {
                let expires_at = lifetime.map(|lifetime| now + lifetime);
                state.previous = state.token.replace(Token::new(material, expires_at));
                state.renew_at = lifetime.map(|lifetime| now + renewed_after(lifetime));
                state.failures_in_a_row = 0;
                state.failure = None;
                Ok(lifetime)
            }
            Err(failure) => {
                let doubled = FAILED_FIRST * 2_u32.saturating_pow(state.failures_in_a_row.min(8));
                let pause = doubled.min(FAILED_LONGEST).mul_f64(jitter());
                state.failures_in_a_row = state.failures_in_a_row.saturating_add(1);
                state.renew_at = Some(now + pause);
                state.failure = Some(failure.clone());
                Err(failure)
            }
        };
        drop(state);
        self.done = true;
        self.source.settled.send_modify(|count| *count += 1);
        outcome
    }
}

impl Drop for Renewal {
    fn drop(&mut self) {
        if !self.done {
            self.source.state().renewing = false;
            self.source.settled.send_modify(|count| *count += 1);
        }
    }
}

/// When a token of this lifetime is renewed: in the last fifth or two of the time in which it can be used, for long ones at most so
/// long before its end; not by all gateways at the same time.
fn renewed_after(lifetime: Duration) -> Duration {
    let usable = lifetime.saturating_sub(EXPIRES_EARLY);
    let margin = (usable / 5).min(MARGIN_MAX / 2);
    usable.saturating_sub(margin.mul_f64(1.0 + fastrand::f64()))
}

/// Between three quarters and one and a quarter.
fn jitter() -> f64 {
    0.75 + fastrand::f64() / 2.0
}

// === impl Token ===

impl Token {
    fn new(material: Material, expires_at: Option<Instant>) -> Self {
        Self(Arc::new(Issued {
            material,
            expires_at,
        }))
    }

    fn is_valid(&self, now: Instant) -> bool {
        self.0
            .expires_at
            .is_none_or(|expires_at| now + EXPIRES_EARLY < expires_at)
    }

    pub(crate) fn material(&self) -> &Material {
        &self.0.material
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}

// === impl Material ===

impl Material {
    /// A bearer token, if a header can carry it.
    pub(crate) fn bearer(token: &str) -> Result<Self, TokenFailure> {
        let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
            .map_err(|_| TokenFailure::new("the token holds signs that no header can carry"))?;
        value.set_sensitive(true);
        Ok(Self::Bearer(value))
    }

    /// Its texts that must not be told.
    fn secrets(&self) -> Vec<Secret> {
        match self {
            Self::Bearer(value) => {
                let token = value.to_str().unwrap_or_default();
                let token = token.strip_prefix("Bearer ").unwrap_or(token);
                vec![Secret::new(token)]
            }
            Self::Keys(keys) => {
                let session = keys.session.iter().cloned();
                session
                    .chain([keys.secret.clone(), Secret::new(&*keys.id)])
                    .collect()
            }
        }
    }
}

// === impl TokenFailure ===

impl TokenFailure {
    pub(crate) fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// A call could not wait any longer.
    pub fn late() -> Self {
        Self::new("the issuer has not answered yet")
    }
}

#[cfg(test)]
mod tests;
