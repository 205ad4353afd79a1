//! Every target made ready: its address, its keys, its health.

use std::{borrow::Cow, sync::Arc, time::Duration};

use bytes::Bytes;
use hashbrown::HashMap;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header, uri::PathAndQuery};
use tollgate_domain::{
    Auth, Dialect, Endpoint, Envelope, Issuer, Price, Prices, Provider, ProviderName, Snapshot,
    Target, TargetName, Tariff, Task, Transport,
};

use crate::{
    addresses::Reach,
    budget::RetryBudget,
    client::UpstreamRequest,
    discretion::Discretion,
    health::Health,
    keys::{Credential, KeyRing, KeyState},
    request_body::RequestBody,
    tokens::{Material, Token, TokenFailure, TokenSource, sign},
};

/// Where the model's name belongs in an endpoint's address.
const MODEL_PLACEHOLDER: &str = "%7Bmodel%7D";

/// Where an operation's name belongs in the address of an endpoint for media.
const OPERATION_PLACEHOLDER: &str = "%7Boperation%7D";

/// Asks to wait for what takes its time (RFC 7240).
const PREFER: HeaderName = HeaderName::from_static("prefer");

const USER_AGENT: HeaderValue =
    HeaderValue::from_static(concat!("tollgate/", env!("CARGO_PKG_VERSION")));
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const ANY: HeaderValue = HeaderValue::from_static("application/json, text/event-stream");
/// Without the header, any compression would be welcome (RFC 9110, section 12.5.3).
const PLAIN: HeaderValue = HeaderValue::from_static("identity");

/// Every target of a configuration.
#[derive(Debug)]
pub struct Fleet {
    lanes: HashMap<TargetName, Arc<Lane>>,
    prices: Prices,
    providers: HashMap<ProviderName, Arc<ProviderState>>,
}

/// What the targets of one provider share.
#[derive(Debug)]
struct ProviderState {
    provider: Arc<Provider>,
    /// For the models that are asked for without a route.
    direct_keys: Arc<KeyRing>,
    budget: RetryBudget,
    /// Where its credentials come from, where they expire.
    tokens: Option<Arc<TokenSource>>,
    /// Of the models that are asked for without a route: they are the caller's choice and not known ahead.
    direct_health: Arc<Health>,
    headers: HeaderMap,
    discretion: Discretion,
}

/// A target made ready.
#[derive(Debug)]
pub struct Lane {
    name: TargetName,
    header: HeaderValue,
    model: Arc<str>,
    tariff: Tariff,
    endpoints: Vec<Endpoint>,
    state: Arc<ProviderState>,
    /// Providers limit rates by model, so that a key fares with each target by itself.
    keys: Arc<KeyRing>,
    health: Arc<Health>,
}

/// What a request is made of, apart from its credential.
#[derive(Debug)]
pub struct RequestParts<'a> {
    /// `POST` for every call to a model.
    pub method: &'a Method,
    /// Where it goes.
    pub endpoint: &'a Endpoint,
    /// Whether a stream is asked for.
    pub streams: bool,
    /// The body.
    pub body: RequestBody,
    /// The caller's headers that may go along.
    pub forwarded: &'a HeaderMap,
}

// === impl Fleet ===

impl Fleet {
    /// Makes the targets of a configuration ready. Those that an earlier fleet had too, at the same address, keep their health.
    pub fn build(snapshot: &Snapshot, previous: Option<&Self>) -> Self {
        let providers: HashMap<_, _> = snapshot
            .providers
            .iter()
            .map(|(name, provider)| {
                let known = previous
                    .and_then(|fleet| fleet.providers.get(name))
                    .filter(|known| known.provider.endpoints == provider.endpoints);
                (
                    name.clone(),
                    Arc::new(ProviderState::build(provider, known.map(Arc::as_ref))),
                )
            })
            .collect();
        let targets = snapshot
            .routes
            .iter()
            .flat_map(|route| route.strategy.targets());
        let lanes = targets
            .filter_map(|target| {
                let state = providers.get(&target.provider)?;
                let known = previous
                    .and_then(|fleet| fleet.lanes.get(&target.name))
                    .filter(|known| known.state.provider.endpoints == state.provider.endpoints);
                Some((
                    target.name.clone(),
                    Arc::new(Lane::of_target(
                        target,
                        state,
                        &snapshot.prices,
                        known.map(Arc::as_ref),
                    )),
                ))
            })
            .collect();
        Self {
            lanes,
            prices: snapshot.prices.clone(),
            providers,
        }
    }

    /// The lane of a target of this configuration.
    pub fn lane(&self, target: &TargetName) -> Option<Arc<Lane>> {
        self.lanes.get(target).cloned()
    }

    /// Every lane.
    pub fn lanes(&self) -> impl Iterator<Item = &Arc<Lane>> {
        self.lanes.values()
    }

    /// A lane to a model that no route names.
    pub fn direct(&self, provider: &str, model: &str) -> Option<Arc<Lane>> {
        let state = self.providers.get(provider)?;
        let name = format!("{provider}/{model}");
        if let Some(lane) = self.lanes.get(name.as_str()) {
            return Some(Arc::clone(lane));
        }
        Some(Arc::new(Lane::new(
            TargetName::new(name),
            model,
            state,
            &self.prices,
            Arc::clone(&state.direct_keys),
            Arc::clone(&state.direct_health),
        )))
    }
}

// === impl ProviderState ===

impl ProviderState {
    fn build(provider: &Arc<Provider>, previous: Option<&Self>) -> Self {
        let mut headers = HeaderMap::with_capacity(provider.headers.len() + 4);
        headers.insert(header::CONTENT_TYPE, JSON);
        headers.insert(header::ACCEPT, ANY);
        headers.insert(header::ACCEPT_ENCODING, PLAIN);
        headers.insert(header::USER_AGENT, USER_AGENT);
        for (name, value) in &provider.headers {
            headers.insert(name.clone(), value.clone());
        }
        let tokens = match &provider.auth {
            Auth::Issued(issuer) => Some(
                previous
                    .and_then(|known| known.tokens.clone())
                    .filter(|known| known.issuer() == &**issuer)
                    .unwrap_or_else(|| Arc::new(TokenSource::new(Arc::clone(issuer)))),
            ),
            Auth::None | Auth::Header { .. } | Auth::Query { .. } => None,
        };
        Self {
            tokens,
            direct_keys: Arc::new(KeyRing::build(
                &provider.keys,
                &provider.auth,
                previous.map(|known| known.direct_keys.as_ref()),
            )),
            budget: RetryBudget::default(),
            direct_health: previous
                .map(|known| Arc::clone(&known.direct_health))
                .unwrap_or_default(),
            headers,
            discretion: Discretion::of(provider),
            provider: Arc::clone(provider),
        }
    }
}

// === impl Lane ===

impl Lane {
    fn of_target(
        target: &Target,
        state: &Arc<ProviderState>,
        prices: &Prices,
        previous: Option<&Self>,
    ) -> Self {
        let provider = &state.provider;
        let known_keys = previous.map(|known| known.keys.as_ref());
        let keys = KeyRing::build(&provider.keys, &provider.auth, known_keys);
        let health = previous
            .map(|known| Arc::clone(&known.health))
            .unwrap_or_default();
        Self::new(
            target.name.clone(),
            &target.model,
            state,
            prices,
            Arc::new(keys),
            health,
        )
    }

    fn new(
        name: TargetName,
        model: &str,
        state: &Arc<ProviderState>,
        prices: &Prices,
        keys: Arc<KeyRing>,
        health: Arc<Health>,
    ) -> Self {
        let endpoint = |endpoint: &Endpoint| Endpoint {
            uri: with_model(&endpoint.uri, model),
            stream_uri: endpoint
                .stream_uri
                .as_ref()
                .map(|uri| with_model(uri, model)),
            ..endpoint.clone()
        };
        Self {
            header: HeaderValue::from_str(name.as_str()).unwrap_or(HeaderValue::from_static("")),
            endpoints: tollgate_domain::for_model(&state.provider.endpoints, model)
                .map(endpoint)
                .collect(),
            tariff: prices.of(state.provider.name.as_str(), &state.provider.kind, model),
            model: model.into(),
            state: Arc::clone(state),
            name,
            keys,
            health,
        }
    }

    /// `provider/model`.
    pub fn name(&self) -> &TargetName {
        &self.name
    }

    /// The name as a header's value.
    pub fn header(&self) -> &HeaderValue {
        &self.header
    }

    /// What the provider calls the model.
    pub fn model(&self) -> &Arc<str> {
        &self.model
    }

    /// What the model costs at a time since 1970-01-01 UTC, where that is known.
    pub fn price(&self, now: Duration) -> Option<&Arc<Price>> {
        self.tariff.at(now)
    }

    /// Who answers.
    pub fn provider(&self) -> &Provider {
        &self.state.provider
    }

    /// What the provider said, without its credentials and its address.
    pub fn discreet<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let tokens = self.state.tokens.as_ref();
        let tokens = tokens.map(|source| source.shown()).unwrap_or_default();
        self.state.discretion.masked(text, &tokens)
    }

    /// The provider's keys.
    pub fn keys(&self) -> &KeyRing {
        &self.keys
    }

    /// Where the provider's credentials come from, where they expire.
    pub fn tokens(&self) -> Option<&Arc<TokenSource>> {
        self.state.tokens.as_ref()
    }

    /// The provider's retry budget.
    pub fn budget(&self) -> &RetryBudget {
        &self.state.budget
    }

    /// How it fares.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// Why it cannot be called yet, where its address is not known.
    pub fn unresolved(&self) -> Option<&Arc<str>> {
        match &self.state.provider.transport {
            Transport::Unresolved(text) => Some(text),
            Transport::Http | Transport::Demo => None,
        }
    }

    /// Where a task is served for a client, the model's name filled in.
    pub fn endpoint(&self, task: Task, client: Dialect) -> Option<&Endpoint> {
        tollgate_domain::serving(&self.endpoints, task, client)
    }

    /// The request that carries a body to an endpoint, with a key, or with a token where credentials expire. `forwarded` are the caller's
    /// headers that may go along; `wall` is the time since 1970-01-01 UTC.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn request(
        &self,
        parts: RequestParts<'_>,
        key: &KeyState,
        token: Option<&Token>,
        wall: Duration,
    ) -> Result<UpstreamRequest, TokenFailure> {
        let mut request = self.unsigned(parts);
        match &key.credential {
            Credential::None => {}
            Credential::Header(name, value) => {
                request.headers.insert(name.clone(), value.clone());
            }
            Credential::Query(name, secret) => {
                request.uri = with_query(&request.uri, name, secret.expose())
            }
        }
        match (token.map(Token::material), &self.state.provider.auth) {
            (Some(Material::Bearer(value)), _) => {
                request.headers.insert(header::AUTHORIZATION, value.clone());
            }
            (Some(Material::Keys(keys)), Auth::Issued(issuer)) => {
                if let Issuer::Aws(aws) = &**issuer {
                    sign(&mut request, keys, (&aws.region, &aws.service), wall)?;
                }
            }
            _ => {}
        }
        Ok(request)
    }

    /// The same with the credential masked, to be shown.
    pub fn masked_request(
        &self,
        endpoint: &Endpoint,
        streams: bool,
        forwarded: &HeaderMap,
    ) -> UpstreamRequest {
        let mut request = self.unsigned(RequestParts {
            endpoint,
            streams,
            body: RequestBody::whole(Bytes::new()),
            forwarded,
            method: &Method::POST,
        });
        match &self.state.provider.auth {
            Auth::Issued(issuer) => {
                let masked = match &**issuer {
                    Issuer::Aws(_) => "AWS4-HMAC-SHA256 ***",
                    Issuer::Google(_) | Issuer::Entra(_) | Issuer::Ibm(_) => "Bearer ***",
                };
                let masked = HeaderValue::from_static(masked);
                request.headers.insert(header::AUTHORIZATION, masked);
            }
            Auth::Header { name, prefix } if !self.state.provider.keys.is_empty() => {
                let masked = HeaderValue::from_str(&format!("{prefix}***"))
                    .unwrap_or(HeaderValue::from_static("***"));
                request.headers.insert(name.clone(), masked);
            }
            Auth::Query { name } if !self.state.provider.keys.is_empty() => {
                request.uri = with_query(&request.uri, name, "***")
            }
            _ => {}
        }
        request
    }

    fn unsigned(&self, parts: RequestParts<'_>) -> UpstreamRequest {
        let RequestParts {
            method,
            endpoint,
            streams,
            body,
            forwarded,
        } = parts;
        let mut headers = if endpoint.task == Task::Http {
            self.plain_headers(forwarded)
        } else {
            self.headers(endpoint, forwarded)
        };
        // Jobs are waited for where they are short; their streams begin at once.
        if endpoint.dialect.is_job() && !streams {
            headers.insert(PREFER, HeaderValue::from_static("wait"));
        }
        UpstreamRequest {
            method: method.clone(),
            uri: match &endpoint.stream_uri {
                Some(uri) if streams => uri.clone(),
                _ => endpoint.uri.clone(),
            },
            headers,
            body,
            transport: self.state.provider.transport.clone(),
            reach: if self.state.provider.private_addresses {
                Reach::Private
            } else {
                Reach::AsNamed
            },
        }
    }

    /// The headers of a call to a model.
    fn headers(&self, endpoint: &Endpoint, forwarded: &HeaderMap) -> HeaderMap {
        let mut headers = self.state.headers.clone();
        for name in forwarded.keys() {
            // Another language's features mean nothing here, and in an envelope they are in the body.
            let takes_features = endpoint.dialect == Dialect::AnthropicMessages
                && endpoint.envelope == Envelope::Plain;
            if name != "anthropic-beta" || takes_features {
                headers.remove(name);
                for value in forwarded.get_all(name) {
                    headers.append(name.clone(), value.clone());
                }
            }
        }
        headers
    }

    /// The headers of plain HTTP: the client's, and those that the operator sets.
    fn plain_headers(&self, forwarded: &HeaderMap) -> HeaderMap {
        let mut headers = forwarded.clone();
        headers.insert(header::ACCEPT_ENCODING, PLAIN);
        for (name, value) in &self.state.provider.headers {
            headers.insert(name.clone(), value.clone());
        }
        headers
    }
}

/// Fills the model's name into an address.
fn with_model(uri: &Uri, model: &str) -> Uri {
    filled_in(uri, MODEL_PLACEHOLDER, model)
}

/// Fills an operation of OpenAI's media (`generations`, `edits` ...) into an address.
pub fn with_operation(uri: &Uri, operation: &str) -> Uri {
    filled_in(uri, OPERATION_PLACEHOLDER, operation)
}

fn filled_in(uri: &Uri, placeholder: &str, value: &str) -> Uri {
    let text = uri.to_string();
    if !text.contains(placeholder) {
        return uri.clone();
    }
    text.replace(placeholder, &percent_encode(value))
        .parse()
        .unwrap_or_else(|_| uri.clone())
}

/// Adds a query parameter to an address.
fn with_query(uri: &Uri, name: &str, value: &str) -> Uri {
    let path_and_query = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let separator = if uri.query().is_some() { '&' } else { '?' };
    let extended = format!(
        "{path_and_query}{separator}{}={}",
        percent_encode(name),
        percent_encode(value)
    );
    let mut parts = uri.clone().into_parts();
    match extended.parse() {
        Ok(extended) => parts.path_and_query = Some(extended),
        Err(_) => return uri.clone(),
    }
    Uri::from_parts(parts).unwrap_or_else(|_| uri.clone())
}

/// Percent-encodes everything but the unreserved characters (RFC 3986, section 2.3).
fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_models_name_is_filled_into_the_address() {
        let uri = "https://x.example/openai/deployments/%7Bmodel%7D/chat/completions?api-version=1"
            .parse()
            .unwrap();
        let filled = with_model(&uri, "gpt 4o/ü");
        assert_eq!(
            filled.to_string(),
            "https://x.example/openai/deployments/gpt%204o%2F%C3%BC/chat/completions?api-version=1"
        );
    }

    #[test]
    fn a_query_parameter_joins_those_that_are_there() {
        let uri: Uri = "https://x.example/v1?a=1".parse().unwrap();
        assert_eq!(
            with_query(&uri, "key", "s&k").to_string(),
            "https://x.example/v1?a=1&key=s%26k"
        );
        let uri: Uri = "https://x.example/v1".parse().unwrap();
        assert_eq!(
            with_query(&uri, "key", "1").to_string(),
            "https://x.example/v1?key=1"
        );
    }
}
