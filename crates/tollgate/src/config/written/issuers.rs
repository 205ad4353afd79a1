//! `issuers`, as written.

use schemars::JsonSchema;
use serde::Deserialize;

use super::KeyRoutes;

/// Who issues tokens (JSON Web Tokens, as of `OpenID` Connect) that callers may send instead of a key.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["name", "issuer", "audience"]))]
pub(crate) struct CallerIssuer {
    /// Its own here. Callers are called by it and by their claim, as in `login:ann`, in limits, logs and the books.
    pub(crate) name: Option<String>,
    /// What tokens say in `iss`: an address, below which its metadata is found.
    pub(crate) issuer: Option<String>,
    /// What tokens have to say in `aud`.
    pub(crate) audience: Option<Audience>,
    /// Where its keys are. Default: where its metadata (`/.well-known/openid-configuration`) says.
    pub(crate) jwks_url: Option<String>,
    /// Algorithms that are accepted: `RS256`, `RS384`, `RS512`, `PS256`, `PS384`, `PS512`, `ES256`, `ES384`, `EdDSA`. Default: `RS256`, `PS256`,
    /// `ES256`, `EdDSA`.
    pub(crate) algorithms: Option<Vec<String>>,
    /// Which claims say who is calling; dots lead into objects.
    pub(crate) claims: CallerClaims,
    /// The routes that its tokens open. Default: `all`.
    pub(crate) routes: Option<KeyRoutes>,
    /// The models that its tokens reach by them, as those of a key. Default: all.
    pub(crate) models: Option<Vec<String>>,
    /// Whether its host may have a private address although its name looks public.
    pub(crate) private_addresses: bool,
}

/// Which claims say who is calling.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct CallerClaims {
    /// Who is calling. Default: the first that is there of `azp`, `client_id`, `appid`, `sub`.
    pub(crate) name: Option<String>,
    /// The team, for limits, budgets and sums; of a list the first. Default: none.
    pub(crate) team: Option<String>,
    /// The app, as a key's, for limits and budgets; of a list the first. Default: none.
    pub(crate) app: Option<String>,
    /// The end user. It goes before the one that a call names. Default: none.
    pub(crate) user: Option<String>,
}

/// One audience, or several of which one has to be there.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Audience {
    /// This one.
    One(String),
    /// One of these.
    Several(Vec<String>),
}
