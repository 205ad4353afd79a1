//! Who is asking: the caller's key, found in the request and among the configured ones, or a token of an issuer that is trusted.

use std::{borrow::Cow, net::IpAddr, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, header::AUTHORIZATION};
use tollgate_domain::{Key, KeyHash, KeyState, ModelAccess, Route, RouteAccess, Task, WhoMayCall};
use tollgate_upstream::Lane;

use crate::{
    gateway::Worker,
    picture::{Picture, shorten},
    refusal::Refusal,
    visit::has_any,
};

mod key_sets;
mod tokens;

pub(crate) use key_sets::{FETCH_AGAIN_AFTER, TrustedIssuer};

/// Who is asking.
#[derive(Clone, Debug)]
pub(crate) enum Caller {
    /// Keys are not configured: whoever reaches the gateway may use it.
    Anyone,
    /// The holder of a key.
    Holder(Arc<Key>),
    /// Who shows a token of an issuer's.
    Bearer(Arc<Key>),
}

impl Caller {
    /// Whether the caller may use a route.
    pub(crate) fn may_use(&self, route: &str) -> bool {
        self.key().is_none_or(|key| key.routes.allows(route))
    }

    /// Whether the caller reaches a target by a task.
    pub(crate) fn may_ask(&self, task: Task, provider: &str, model: &str) -> bool {
        self.key()
            .is_none_or(|key| key.models.allows(task, provider, model))
    }

    /// Leaves the caller's part of a plan.
    ///
    /// # Errors
    /// When nobody is left.
    pub(crate) fn keep_own(&self, plan: &mut Vec<Arc<Lane>>, route: &Route) -> Result<(), Refusal> {
        let Some(ModelAccess::Only(models)) = self.key().map(|key| &key.models) else {
            return Ok(());
        };
        plan.retain(|lane| {
            let provider = &lane.provider().name;
            self.may_ask(route.task, provider.as_str(), lane.model())
        });
        if plan.is_empty() {
            return Err(Refusal::ModelForbidden {
                shown: self.shown(),
                route: shorten(route.name.as_str()),
                models: models
                    .iter()
                    .map(|model| model.as_str().to_owned())
                    .collect(),
            });
        }
        Ok(())
    }

    /// What the caller shows.
    pub(crate) fn shown(&self) -> &'static str {
        match self {
            Self::Anyone | Self::Holder(_) => "key",
            Self::Bearer(_) => "token",
        }
    }

    /// Whether the caller may use models that no route names.
    pub(crate) fn may_use_everything(&self) -> bool {
        self.key().is_none_or(|key| key.routes == RouteAccess::All)
    }

    /// The key's name.
    pub(crate) fn key(&self) -> Option<&Arc<Key>> {
        match self {
            Self::Anyone => None,
            Self::Holder(key) | Self::Bearer(key) => Some(key),
        }
    }
}

/// What is asked from where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct From<'a> {
    /// The request's path.
    pub(crate) path: &'a str,
    /// The client's address.
    pub(crate) client: IpAddr,
}

/// Finds out who is asking. `now` is the time since 1970-01-01 UTC; `query` is that of an address in whose language keys may be
/// there.
pub(crate) async fn identify(
    worker: &Worker,
    picture: &Picture,
    headers: &HeaderMap,
    query: Option<&str>,
    from: From<'_>,
    now: Duration,
) -> Result<Caller, Refusal> {
    let snapshot = &picture.snapshot;
    if snapshot.who_may_call == WhoMayCall::Anyone {
        return Ok(Caller::Anyone);
    }
    let sent = sent_key(headers).or_else(|| parameter(query?, "key"));
    let sent = sent.ok_or(Refusal::KeyMissing)?;
    if !picture.issuers.is_empty() && tokens::is_token(&sent) {
        let holder = tokens::holder(picture, &sent, &worker.upstream);
        let holder = Box::pin(holder).await?;
        return Ok(Caller::Bearer(Arc::new(holder)));
    }
    let key = snapshot
        .keys
        .get(&KeyHash::of(&sent))
        .ok_or(Refusal::KeyUnknown)?;
    if key.expires_at.is_some_and(|expiry| expiry <= now) {
        return Err(Refusal::KeyExpired);
    }
    if key.state == KeyState::Blocked {
        return Err(Refusal::KeyBlocked);
    }
    if !key.places.allow_path(from.path) {
        return Err(Refusal::KeyElsewhere {
            what: "path",
            is: from.path.chars().take(200).collect(),
        });
    }
    if !key.places.allow_client(from.client) {
        return Err(Refusal::KeyElsewhere {
            what: "network",
            is: from.client.to_string(),
        });
    }
    Ok(Caller::Holder(Arc::clone(key)))
}

/// Headers that hold a key and nothing else.
pub(crate) static KEY_HEADERS: [HeaderName; 3] = [
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("api-key"),
    HeaderName::from_static("x-goog-api-key"),
];

/// The key as sent: `x-api-key`, `api-key`, `x-goog-api-key`, a bearer token, or the password of basic credentials (which MLflow's clients
/// send where a user name is set).
fn sent_key(headers: &HeaderMap) -> Option<Cow<'_, str>> {
    let names = match has_any(headers, &KEY_HEADERS) {
        true => &KEY_HEADERS[..],
        false => &[], // as most calls do without
    };
    for name in names {
        if let Some(key) = headers.get(name).and_then(|value| value.to_str().ok()) {
            return Some(Cow::Borrowed(key.trim()));
        }
    }
    let (scheme, credentials) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let credentials = credentials.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(Cow::Borrowed(credentials));
    }
    if scheme.eq_ignore_ascii_case("basic") {
        let pair = String::from_utf8(STANDARD.decode(credentials).ok()?).ok()?;
        return pair
            .split_once(':')
            .map(|(_, password)| Cow::Owned(password.to_owned()));
    }
    None
}

/// A parameter of a query.
pub(crate) fn parameter<'a>(query: &'a str, name: &str) -> Option<Cow<'a, str>> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(known, _)| *known == name)?;
    percent_encoding::percent_decode_str(value)
        .decode_utf8()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(http::HeaderName::from_static(name), value.parse().unwrap())])
    }

    #[test]
    fn every_way_of_sending_a_key_is_understood() {
        for (name, value) in [
            ("authorization", "Bearer tg_1"),
            ("authorization", "bearer  tg_1"),
            ("authorization", "Basic dXNlcjp0Z18x"),
            ("x-api-key", "tg_1"),
            ("api-key", "tg_1"),
            ("x-goog-api-key", "tg_1"),
        ] {
            assert_eq!(
                sent_key(&headers(name, value)).as_deref(),
                Some("tg_1"),
                "{name}: {value}"
            );
        }
        assert_eq!(sent_key(&headers("authorization", "tg_1")), None);
        assert_eq!(sent_key(&HeaderMap::new()), None);
    }
    #[test]
    fn a_key_may_be_in_the_query() {
        for (query, key) in [
            ("key=tg_1", Some("tg_1")),
            ("alt=sse&key=tg%5F1", Some("tg_1")),
            ("monkey=tg_1", None),
            ("key", None),
        ] {
            assert_eq!(parameter(query, "key").as_deref(), key, "{query}");
        }
    }
}
