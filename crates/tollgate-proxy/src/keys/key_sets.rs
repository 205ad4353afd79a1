//! The keys that issuers of callers' tokens sign with: fetched when they are first needed, again after a while, and when a token names one
//! that is not known.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::Uri;
use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::Value;
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};
use tollgate_domain::CallerIssuer;
use tollgate_telemetry::events::{IssuerAway, IssuerKeysLeftOut};
use tollgate_upstream::{Upstream, fetch};

/// Keys are fetched again after this time; the old ones are used until the new ones are there.
const FRESH_FOR: Duration = Duration::from_secs(600);

/// For a key that is not known, and after a failure, they are not fetched more often than this: whoever invents names of keys must not keep
/// the issuer busy.
pub(crate) const FETCH_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// How long a call waits for them.
const WAIT: Duration = Duration::from_secs(5);

/// How long a fetch may take: longer than a call waits, so that a slow issuer is not asked from the beginning again and again.
const FETCH_TIMEOUT: Duration = Duration::from_secs(20);

/// Keys of an issuer at most, of those that are of use here.
const KEYS_MAX: usize = 100;

/// A trusted issuer with its keys.
#[derive(Debug)]
pub(crate) struct TrustedIssuer {
    pub(crate) issuer: Arc<CallerIssuer>,
    state: Mutex<State>,
    /// Counts the fetches that are over.
    settled: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    keys: Option<Arc<[IssuerKey]>>,
    /// When they were fetched last, and when that was tried last.
    fetched: Option<Instant>,
    tried: Option<Instant>,
    is_fetching: bool,
}

/// A fetch that is under way. Dropped before its end, it is left to whoever needs keys next.
struct Fetching(Arc<TrustedIssuer>);

/// A key of an issuer's.
pub(crate) struct IssuerKey {
    pub(crate) id: Option<String>,
    pub(crate) key: DecodingKey,
    /// What it can have signed with.
    pub(crate) algorithms: &'static [Algorithm],
}

#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: String,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Value>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let keys = self.keys.as_ref().map(|keys| keys.len());
        f.debug_struct("State")
            .field("keys", &keys)
            .finish_non_exhaustive()
    }
}

impl TrustedIssuer {
    /// With the keys of an earlier picture, where it was the same.
    pub(crate) fn new(issuer: &Arc<CallerIssuer>, before: &[Arc<Self>]) -> Arc<Self> {
        let same = before.iter().find(|known| known.issuer == *issuer);
        same.map_or_else(
            || {
                Arc::new(Self {
                    issuer: Arc::clone(issuer),
                    state: Mutex::default(),
                    settled: watch::Sender::new(0),
                })
            },
            Arc::clone,
        )
    }

    /// The keys that a token may be signed with that names one, or none; nothing where there is no such key. `None` where that is not known:
    /// no keys are, or the one that it names is not among those that were had before, and the issuer does not say which it has now.
    pub(crate) async fn keys(
        self: &Arc<Self>,
        id: Option<&str>,
        upstream: &Arc<Upstream>,
    ) -> Option<Arc<[IssuerKey]>> {
        let has =
            |keys: &[IssuerKey]| id.is_none() || keys.iter().any(|key| key.id.as_deref() == id);
        let (known, is_fresh) = self.known();
        match known {
            Some(keys) if has(&keys) => {
                if !is_fresh {
                    self.have_fetched(upstream);
                }
                Some(keys)
            }
            _ => {
                self.have_fetched(upstream);
                self.wait_for_fetch().await;
                // Another key may have come since.
                let known = self.known().0;
                known.filter(|keys| has(keys) || self.has_just_said())
            }
        }
    }

    /// Whether the issuer was asked in these seconds, and has said which keys it has.
    fn has_just_said(&self) -> bool {
        let state = self.state();
        !state.is_fetching && state.fetched >= state.tried
    }

    fn known(&self) -> (Option<Arc<[IssuerKey]>>, bool) {
        let state = self.state();
        let is_fresh = state
            .fetched
            .is_some_and(|fetched| fetched.elapsed() < FRESH_FOR);
        (state.keys.clone(), is_fresh)
    }

    /// Has them fetched, if nobody does so just now or has just tried to: in a task of its own, since the call that needs them may be over
    /// before.
    fn have_fetched(self: &Arc<Self>, upstream: &Arc<Upstream>) {
        if let Some(fetching) = self.begin() {
            let upstream = Arc::clone(upstream);
            let tracker = upstream.tasks().clone();
            let _fetching = tracker.spawn(async move { fetching.run(&upstream).await });
        }
    }

    fn begin(self: &Arc<Self>) -> Option<Fetching> {
        let mut state = self.state();
        let has_just_tried = state
            .tried
            .is_some_and(|tried| tried.elapsed() < FETCH_AGAIN_AFTER);
        if state.is_fetching || has_just_tried {
            return None;
        }
        state.is_fetching = true;
        state.tried = Some(Instant::now());
        Some(Fetching(Arc::clone(self)))
    }

    /// Waits for the end of a fetch that is under way, but not for ever.
    async fn wait_for_fetch(&self) {
        let mut settled = self.settled.subscribe();
        if self.state().is_fetching {
            let _settled = timeout(WAIT, settled.changed()).await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn read(&self, upstream: &Arc<Upstream>) -> Result<Vec<IssuerKey>, String> {
        let issuer = &self.issuer;
        let get = async |uri: Uri| {
            let body = fetch(uri, issuer.private_addresses, upstream).await;
            body.map_err(|failure| failure.to_string())
        };
        let keys_at = match &issuer.keys_at {
            Some(uri) => uri.clone(),
            None => {
                let body = get(issuer.metadata_at.clone()).await?;
                let metadata: Metadata = serde_json::from_slice(&body)
                    .map_err(|error| format!("its metadata cannot be read: {error}"))?;
                if *metadata.issuer != *issuer.issuer {
                    return Err(format!(
                        "its metadata is of another issuer, `{}`",
                        metadata.issuer
                    ));
                }
                let uri: Uri = metadata
                    .jwks_uri
                    .parse()
                    .map_err(|_| "its `jwks_uri` is no address".to_owned())?;
                let is_open = uri.scheme_str() == Some("http");
                if is_open && issuer.metadata_at.scheme_str() != Some("http") {
                    return Err("its `jwks_uri` is not reached with TLS".to_owned());
                }
                uri
            }
        };
        let body = get(keys_at).await?;
        let set: KeySet = serde_json::from_slice(&body)
            .map_err(|error| format!("its keys cannot be read: {error}"))?;
        let keys = set.keys.into_iter().filter_map(IssuerKey::read);
        let mut keys: Vec<IssuerKey> = keys.take(KEYS_MAX + 1).collect();
        if keys.len() > KEYS_MAX {
            keys.truncate(KEYS_MAX);
            IssuerKeysLeftOut {
                issuer: &issuer.name,
                taken: KEYS_MAX,
            }
            .emit();
        }
        Ok(keys)
    }
}

impl IssuerKey {
    /// A key of a set; nothing for one that is not understood, or is not for signatures (RFC 7517, sections 4.2 and 4.3).
    fn read(key: Value) -> Option<Self> {
        let key: Jwk = serde_json::from_value(key).ok()?;
        let common = &key.common;
        let is_used = common.public_key_use.as_ref();
        let operations = common.key_operations.as_deref();
        let verifies = is_used.is_none_or(|used| *used == PublicKeyUse::Signature)
            && operations.is_none_or(|may| may.contains(&KeyOperations::Verify));
        if !verifies {
            return None;
        }
        Some(Self {
            id: common.key_id.clone(),
            algorithms: algorithms(&key)?,
            key: DecodingKey::from_jwk(&key).ok()?,
        })
    }
}

impl Fetching {
    async fn run(self, upstream: &Arc<Upstream>) {
        let issuer = &self.0;
        let read = timeout(FETCH_TIMEOUT, issuer.read(upstream))
            .await
            .unwrap_or_else(|_| Err("it did not answer in time".to_owned()));
        match read {
            Ok(keys) => {
                let mut state = issuer.state();
                state.keys = Some(keys.into());
                state.fetched = Some(Instant::now());
            }
            Err(problem) => IssuerAway {
                issuer: &issuer.issuer.name,
                problem: &problem,
            }
            .emit(),
        }
    }
}

impl Drop for Fetching {
    fn drop(&mut self) {
        self.0.state().is_fetching = false;
        self.0.settled.send_modify(|count| *count += 1);
    }
}

/// The algorithms that a key signs with: those of its type (RFC 7518, section 3.1; RFC 8037), or the one of these that it says (RFC 7517, section 4.4);
/// nothing for one that is of no use here.
fn algorithms(key: &Jwk) -> Option<&'static [Algorithm]> {
    use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    let of_type: &'static [Algorithm] = match &key.algorithm {
        AlgorithmParameters::RSA(_) => &[RS256, RS384, RS512, PS256, PS384, PS512],
        AlgorithmParameters::EllipticCurve(curve) => match curve.curve {
            EllipticCurve::P256 => &[ES256],
            EllipticCurve::P384 => &[ES384],
            _ => return None,
        },
        AlgorithmParameters::OctetKeyPair(_) => &[EdDSA],
        _ => return None,
    };
    let Some(said) = key.common.key_algorithm else {
        return Some(of_type);
    };
    let mut single = of_type.chunks(1);
    single.find(|one| one.iter().all(|known| KeyAlgorithm::from(*known) == said))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_are_for_what_they_say() {
        use Algorithm::{ES256, PS256, RS256};
        let rsa = json!({"kty": "RSA", "n": "AQAB", "e": "AQAB"});
        let curve = json!({"kty": "EC", "crv": "P-256", "x": "A".repeat(43), "y": "A".repeat(43)});
        let read = |key: &Value, more: Value| {
            let mut key = key.clone();
            for (name, value) in more.as_object().unwrap() {
                key[name] = value.clone();
            }
            IssuerKey::read(key).map(|key| key.algorithms)
        };
        assert_eq!(read(&rsa, json!({})).unwrap().len(), 6);
        for (key, more, expected) in [
            (&rsa, json!({"alg": "RS256", "use": "sig"}), Some(RS256)),
            (&rsa, json!({"alg": "PS256"}), Some(PS256)),
            (&rsa, json!({"alg": "ES256"}), None),
            (&rsa, json!({"alg": "RSA-OAEP"}), None),
            (&rsa, json!({"alg": "of-tomorrow"}), None),
            (&curve, json!({}), Some(ES256)),
            (&curve, json!({"use": "enc"}), None),
            (&curve, json!({"use": "of-tomorrow"}), None),
            (&curve, json!({"key_ops": ["verify"]}), Some(ES256)),
            (&curve, json!({"key_ops": ["encrypt"]}), None),
            (&curve, json!({"key_ops": []}), None),
        ] {
            let found = read(key, more.clone());
            let expected = expected.map(|one| vec![one]);
            assert_eq!(found.map(<[_]>::to_vec), expected, "{more}");
        }
    }
}
