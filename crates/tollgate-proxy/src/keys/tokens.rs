//! JSON Web Tokens of trusted issuers, which callers show instead of a key (RFC 7519, RFC 8725).

use std::{borrow::Cow, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, Validation, decode, decode_header, errors::ErrorKind};
use serde::Deserialize;
use serde_json::{Map, Value};
use tollgate_domain::{CallerIssuer, Key, KeyHash, KeyName, KeyState, Places, Snapshot};
use tollgate_upstream::Upstream;

use crate::{picture::Picture, refusal::Refusal};

/// Seconds by which clocks may differ.
const LEEWAY: u64 = 60;

/// Bytes of a claim that says who is calling.
const CLAIM_BYTES_MAX: usize = 200;

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
    let head = decode_header(token).map_err(|_| invalid("it cannot be read"))?;
    if head.crit.is_some() {
        // RFC 7515, section 4.1.11: whoever does not understand all of it refuses.
        return Err(invalid(
            "its header has a `crit`, and nothing that it may name is understood here",
        ));
    }
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
    let (mut problem, mut other) = (None, None);
    for key in keys
        .iter()
        .filter(|key| head.kid.is_none() || key.id == head.kid)
    {
        if !key.algorithms.contains(&head.alg) {
            other = Some(of_another_kind(head.alg, key.algorithms));
            continue;
        }
        match decode::<Map<String, Value>>(token, &key.key, &validation) {
            Ok(token_data) => return caller(issuer, token, &token_data.claims, &picture.snapshot),
            Err(error) => problem = Some(told(error.kind())),
        }
    }
    // A token that names no key is tried with all of them.
    Err(problem
        .or(other)
        .unwrap_or_else(|| invalid("it is signed with a key that its issuer does not have")))
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

fn invalid(why: impl Into<Cow<'static, str>>) -> Refusal {
    Refusal::TokenInvalid { why: why.into() }
}

fn of_another_kind(said: Algorithm, of_key: &[Algorithm]) -> Refusal {
    let names: Vec<String> = of_key.iter().map(|known| format!("{known:?}")).collect();
    invalid(format!(
        "its header says that it is signed with {said:?}, and its issuer's key is for {}",
        names.join(", ")
    ))
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
    invalid(why)
}

fn caller(
    issuer: &CallerIssuer,
    token: &str,
    claims: &Map<String, Value>,
    snapshot: &Snapshot,
) -> Result<Key, Refusal> {
    let mut names = issuer.claims.name.iter();
    let name = names.find(|name| claim(claims, name).is_some());
    let name = name.ok_or(invalid("it does not say who is calling"))?;
    let name = said(claims, Some(name), "name")?.unwrap_or_default();
    let team = said(claims, issuer.claims.team.as_deref(), "team")?;
    let app = said(claims, issuer.claims.app.as_deref(), "app")?;
    let user = said(claims, issuer.claims.user.as_deref(), "user")?;
    Ok(Key {
        name: KeyName::new(format!("{}:{name}", issuer.name)),
        organisation: snapshot.organisation_of(team),
        team: team.map(Arc::from),
        app: app.map(Arc::from),
        user: user.map(Arc::from),
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

/// What a claim says of who is calling, where it is there. It goes into logs, the books and answers, as it is.
fn said<'a>(
    claims: &'a Map<String, Value>,
    name: Option<&str>,
    of: &'static str,
) -> Result<Option<&'a str>, Refusal> {
    let Some((name, text)) = name.and_then(|name| Some((name, claim(claims, name)?))) else {
        return Ok(None);
    };
    let refused = |why: &str| invalid(format!("its {of}, the claim `{name}`, {why}"));
    if text.len() > CLAIM_BYTES_MAX {
        return Err(refused(&format!("has more than {CLAIM_BYTES_MAX} bytes")));
    }
    if text.contains(char::is_control) {
        return Err(refused("has control characters"));
    }
    Ok(Some(text))
}

/// A claim's text; of a list the first. Dots lead into objects, unless the whole name is that of a claim.
fn claim<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    let value = claims.get(name).or_else(|| {
        let mut parts = name.split('.');
        let first = claims.get(parts.next()?)?;
        parts.try_fold(first, |value, part| value.get(part))
    })?;
    let text = value.as_str().or_else(|| value.get(0)?.as_str())?;
    Some(text.trim()).filter(|text| !text.is_empty())
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
