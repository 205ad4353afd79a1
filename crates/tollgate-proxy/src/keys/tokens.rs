//! JSON Web Tokens of trusted issuers, which callers show instead of a key (RFC 7519, RFC 8725).

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, Validation, decode, decode_header, errors::ErrorKind};
use serde::Deserialize;
use serde_json::{Map, Value};
use tollgate_domain::{CallerIssuer, Key, KeyHash, KeyName, KeyState, Places, Snapshot};
use tollgate_upstream::Upstream;

use crate::{picture::Picture, refusal::Refusal};

/// Seconds by which clocks may differ.
const LEEWAY: u64 = 60;

/// Bytes of a claim that says who is calling; the rest is left out.
const CLAIM_BYTES_MAX: usize = 256;

#[derive(Deserialize)]
struct Unverified {
    iss: String,
}

/// Whether what was sent looks like a token, and not like a key.
pub(super) fn is_token(sent: &str) -> bool {
    sent.starts_with("eyJ") && sent.bytes().filter(|byte| *byte == b'.').count() == 2
}

/// Who shows a token, as if it were a key.
pub(super) async fn holder(
    picture: &Picture,
    token: &str,
    upstream: &Arc<Upstream>,
) -> Result<Key, Refusal> {
    let invalid = |why| Refusal::TokenInvalid { why };
    let head = decode_header(token).map_err(|_| invalid("it cannot be read"))?;
    let iss = issuer_of(token).ok_or(invalid("it does not say who issued it"))?;
    let trusted = picture
        .issuers
        .iter()
        .find(|trusted| *trusted.issuer.issuer == *iss)
        .ok_or(invalid("who issued it is not trusted here"))?;
    let issuer = &trusted.issuer;
    let is_accepted = issuer
        .algorithms
        .iter()
        .any(|known| known.parse() == Ok(head.alg));
    if !is_accepted {
        return Err(invalid("its algorithm is not accepted here"));
    }
    let keys = trusted.keys(head.kid.as_deref(), upstream).await;
    let keys = keys.ok_or(Refusal::IssuerAway)?;
    let validation = validation(issuer, head.alg);
    let mut problem = invalid("it is signed with a key that its issuer does not have");
    for key in keys
        .iter()
        .filter(|key| head.kid.is_none() || key.id == head.kid)
    {
        match decode::<Map<String, Value>>(token, &key.key, &validation) {
            Ok(token_data) => return caller(issuer, token, &token_data.claims, &picture.snapshot),
            Err(error) => problem = told(error.kind()),
        }
    }
    Err(problem)
}

/// Read before anything is proved, to find out whose keys would prove it.
fn issuer_of(token: &str) -> Option<String> {
    let payload = token.split('.').nth(1)?;
    let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
    let unverified: Unverified = serde_json::from_slice(&payload).ok()?;
    Some(unverified.iss)
}

fn validation(issuer: &CallerIssuer, algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.leeway = LEEWAY;
    validation.validate_nbf = true;
    validation.set_issuer(&[&*issuer.issuer]);
    validation.set_audience(&issuer.audiences);
    validation.set_required_spec_claims(&["exp", "iss", "aud"]);
    validation
}

fn told(kind: &ErrorKind) -> Refusal {
    let why = match kind {
        ErrorKind::ExpiredSignature => return Refusal::TokenExpired,
        ErrorKind::ImmatureSignature => "it is not valid yet",
        ErrorKind::InvalidAudience => "it is for another audience",
        ErrorKind::InvalidSignature => "its signature is not its issuer's",
        ErrorKind::MissingRequiredClaim(_) => "it does not say for whom or until when it is",
        _ => "it is not as it should be",
    };
    Refusal::TokenInvalid { why }
}

fn caller(
    issuer: &CallerIssuer,
    token: &str,
    claims: &Map<String, Value>,
    snapshot: &Snapshot,
) -> Result<Key, Refusal> {
    let names = issuer.claims.name.iter();
    let name = names.filter_map(|name| claim(claims, name)).next();
    let name = name.ok_or(Refusal::TokenInvalid {
        why: "it does not say who is calling",
    })?;
    let said = |name: &Option<Arc<str>>| Some(Arc::from(claim(claims, name.as_deref()?)?));
    let team: Option<Arc<str>> = said(&issuer.claims.team);
    Ok(Key {
        name: KeyName::new(format!("{}:{name}", issuer.name)),
        organisation: snapshot.organisation_of(team.as_deref()),
        team,
        app: said(&issuer.claims.app),
        user: said(&issuer.claims.user),
        hash: KeyHash::of(token),
        routes: issuer.routes.clone(),
        models: issuer.models.clone(),
        places: Places::default(),
        expires_at: claims
            .get("exp")
            .and_then(Value::as_u64)
            .map(Duration::from_secs),
        state: KeyState::Open,
    })
}

/// A claim's text; of a list the first. Dots lead into objects, unless the whole name is that of a claim.
fn claim<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    let value = claims.get(name).or_else(|| {
        let mut parts = name.split('.');
        let first = claims.get(parts.next()?)?;
        parts.try_fold(first, |value, part| value.get(part))
    })?;
    let text = value.as_str().or_else(|| value.get(0)?.as_str())?;
    let text = text.trim();
    let end = (0..=CLAIM_BYTES_MAX.min(text.len()))
        .rev()
        .find(|end| text.is_char_boundary(*end));
    text.get(..end?).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn claims_are_found_by_their_names_and_in_objects() {
        let Value::Object(claims) = json!({"a": "x", "b": {"c": "y"}, "d.e": "z", "l": ["first", "second"], "n": 1, "empty": " "})
        else {
            unreachable!()
        };
        for (name, found) in [
            ("a", Some("x")),
            ("b.c", Some("y")),
            ("d.e", Some("z")),
            ("l", Some("first")),
            ("n", None),
            ("empty", None),
            ("b.c.d", None),
            ("", None),
        ] {
            assert_eq!(claim(&claims, name), found, "{name}");
        }
    }

    #[test]
    fn keys_are_no_tokens() {
        assert!(is_token("eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJhIn0.c2ln"));
        for sent in ["tg_abc", "sk-a.b.c", "eyJh", "eyJ.a", "eyJ.a.b.c"] {
            assert!(!is_token(sent), "{sent}");
        }
    }
}
