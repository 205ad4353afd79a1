//! Who issues tokens that callers may show instead of a key, as configured.

use std::sync::Arc;

use http::Uri;

use crate::{ModelAccess, RouteAccess};

/// An issuer of JSON Web Tokens that is trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallerIssuer {
    /// Its own here: callers are called by it and by their claim, as in `login:ann`.
    pub name: Arc<str>,
    /// What tokens say in `iss`.
    pub issuer: Arc<str>,
    /// What tokens have to say in `aud`: one of these.
    pub audiences: Vec<Arc<str>>,
    /// Where its keys are; `None` where its metadata says it.
    pub keys_at: Option<Uri>,
    /// Where its metadata is (`OpenID` Connect Discovery 1.0, section 4).
    pub metadata_at: Uri,
    /// Algorithms that are accepted, in RFC 7518's words.
    pub algorithms: Vec<Arc<str>>,
    /// Which claims say who is calling.
    pub claims: CallerClaims,
    /// Which routes its tokens open.
    pub routes: RouteAccess,
    /// Which models they reach through them.
    pub models: ModelAccess,
    /// Whether its host's name may lead to a private address although it looks public.
    pub private_addresses: bool,
}

impl CallerIssuer {
    /// Whether a caller of this name would show a token of it.
    pub fn names(&self, caller: &str) -> bool {
        let rest = caller.strip_prefix(&*self.name);
        let claim = rest.and_then(|rest| rest.strip_prefix(':'));
        claim.is_some_and(|claim| !claim.is_empty())
    }
}

/// Names of claims; dots lead into objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallerClaims {
    /// Who is calling: the first of these that is there.
    pub name: Vec<Arc<str>>,
    /// The team.
    pub team: Option<Arc<str>>,
    /// The app of the team.
    pub app: Option<Arc<str>>,
    /// The end user.
    pub user: Option<Arc<str>>,
}
