//! Who issues tokens that callers may send instead of a key.

use std::{collections::HashSet, sync::Arc};

use http::Uri;
use tollgate_domain::{CallerClaims, CallerIssuer};

use super::{
    keys::{access, models},
    routes::Routes,
};
use crate::config::{
    diagnostics::{Problems, quoted},
    tree::At,
    written::{self, Audience},
};

/// All are asymmetric: what an issuer publishes must not be enough to sign with.
const ALGORITHMS: [&str; 9] = [
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA",
];

const ALGORITHMS_DEFAULT: [&str; 4] = ["RS256", "PS256", "ES256", "EdDSA"];

const NAME_CLAIMS_DEFAULT: [&str; 4] = ["azp", "client_id", "appid", "sub"];

/// Where an issuer's metadata is, below it.
const METADATA: &str = "/.well-known/openid-configuration";

/// Resolves the list of issuers.
pub(crate) fn resolve(
    written: &[written::CallerIssuer],
    at: At<'_>,
    routes: &Routes,
    problems: &mut Problems,
) -> Vec<Arc<CallerIssuer>> {
    let (mut names, mut issuers) = (HashSet::new(), HashSet::new());
    let mut resolved = Vec::new();
    for (index, written) in written.iter().enumerate() {
        let at = at.item(index);
        let (Some(name), Some(issuer)) = (written.name.as_deref(), written.issuer.as_deref())
        else {
            continue; // a mistake in it has been reported
        };
        if name.trim().is_empty() || name.contains(':') || !names.insert(name) {
            problems
                .error(
                    at.key("name").span(),
                    "the name is empty, holds `:`, or is another issuer's",
                )
                .help("callers are called by it, as in `login:ann`");
        }
        if !issuers.insert(issuer) {
            problems.error(
                at.key("issuer").span(),
                format!("{} is there already", quoted(issuer)),
            );
        }
        let metadata = format!("{}{METADATA}", issuer.trim_end_matches('/'));
        let metadata_at = address(&metadata, at.key("issuer"), problems);
        let keys_at = written
            .jwks_url
            .as_deref()
            .map(|url| address(url, at.key("jwks_url"), problems));
        let audiences = audiences(written.audience.as_ref(), at.key("audience"), problems);
        let algorithms = algorithms(
            written.algorithms.as_deref(),
            at.key("algorithms"),
            problems,
        );
        let routes = access(written.routes.as_ref(), at.key("routes"), routes, problems);
        let models = models(written.models.as_deref(), at.key("models"), problems);
        let (Some(metadata_at), Some(keys_at)) = (
            metadata_at,
            keys_at.map_or(Some(None), |uri| Some(Some(uri?))),
        ) else {
            continue;
        };
        let claim = |claim: &Option<String>| claim.as_deref().map(Arc::from);
        resolved.push(Arc::new(CallerIssuer {
            name: name.into(),
            issuer: issuer.into(),
            audiences,
            keys_at,
            metadata_at,
            algorithms,
            claims: CallerClaims {
                name: match claim(&written.claims.name) {
                    Some(name) => vec![name],
                    None => NAME_CLAIMS_DEFAULT.map(Arc::from).to_vec(),
                },
                team: claim(&written.claims.team),
                app: claim(&written.claims.app),
                user: claim(&written.claims.user),
            },
            routes,
            models,
            private_addresses: written.private_addresses,
        }));
    }
    resolved
}

/// An address with TLS; on this machine it may go without.
fn address(text: &str, at: At<'_>, problems: &mut Problems) -> Option<Uri> {
    let uri = text.parse::<Uri>().ok().filter(|uri| {
        let is_here = matches!(uri.host(), Some("127.0.0.1" | "localhost" | "[::1]"));
        uri.host().is_some()
            && (uri.scheme_str() == Some("https") || uri.scheme_str() == Some("http") && is_here)
    });
    if uri.is_none() {
        problems
            .error(
                at.span(),
                "this is no address that keys can be trusted from",
            )
            .help("write `https://HOST/…`; only on this machine `http` will do");
    }
    uri
}

fn audiences(written: Option<&Audience>, at: At<'_>, problems: &mut Problems) -> Vec<Arc<str>> {
    let audiences: Vec<Arc<str>> = match written {
        None => Vec::new(),
        Some(Audience::One(audience)) => vec![audience.as_str().into()],
        Some(Audience::Several(audiences)) => audiences
            .iter()
            .map(|audience| audience.as_str().into())
            .collect(),
    };
    if written.is_some() && audiences.iter().all(|audience| audience.trim().is_empty()) {
        problems
            .error(at.span(), "there is no audience")
            .help("without one, tokens that were made for others would open this gateway");
    }
    audiences
}

fn algorithms(written: Option<&[String]>, at: At<'_>, problems: &mut Problems) -> Vec<Arc<str>> {
    let Some(written) = written else {
        return ALGORITHMS_DEFAULT.map(Arc::from).to_vec();
    };
    let known = || format!("one of {}", ALGORITHMS.join(", "));
    if written.is_empty() {
        problems
            .error(at.span(), "no algorithm is accepted, and so no token")
            .help(known())
            .help(format!(
                "or leave `algorithms` out for {}",
                ALGORITHMS_DEFAULT.join(", ")
            ));
    }
    for (index, algorithm) in written.iter().enumerate() {
        if !ALGORITHMS.contains(&algorithm.as_str()) {
            problems
                .error(
                    at.item(index).span(),
                    format!(
                        "{} is no algorithm that is accepted here",
                        quoted(algorithm)
                    ),
                )
                .help(known());
        }
    }
    written
        .iter()
        .map(|algorithm| algorithm.as_str().into())
        .collect()
}
