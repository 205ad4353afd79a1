//! What a provider's words may not show: the credentials that it was sent, and where it is. Who reads them is the proxy's business.

use std::borrow::Cow;

use http::{HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tollgate_domain::{Provider, Secret};

/// What stands in a credential's place.
const MASK: &str = "***";

/// Shorter texts are no credentials, and would be found everywhere.
const SECRET_BYTES_MIN: usize = 6;

/// All but what an address may hold as it is.
const GENTLE: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// What is hidden of one provider. Looked through for errors alone.
#[derive(Debug)]
pub(crate) struct Discretion {
    secrets: Vec<Secret>,
    /// `host:port`, `//host`, and the host where it cannot be a word: in lower case, the longest first.
    places: Vec<String>,
    /// Stands in a place's place.
    provider: String,
}

// === impl Discretion ===

impl Discretion {
    pub(crate) fn of(provider: &Provider) -> Self {
        let mut secrets = Vec::new();
        for key in &provider.keys {
            add(&mut secrets, key.secret.expose());
        }
        for value in sensitive(&provider.headers) {
            let bare = value.split_once(' ').map_or(value, |(_, bare)| bare);
            add(&mut secrets, bare);
        }
        let mut places: Vec<String> = Vec::new();
        for endpoint in &provider.endpoints {
            let uris = [Some(&endpoint.uri), endpoint.stream_uri.as_ref()];
            for uri in uris.into_iter().flatten() {
                let Some(host) = uri.host().map(str::to_ascii_lowercase) else {
                    continue;
                };
                let port = match (uri.port_u16(), uri.scheme_str()) {
                    (Some(port), _) => port,
                    (None, Some("http")) => 80,
                    (None, _) => 443,
                };
                places.push(format!("{host}:{port}"));
                places.push(format!("//{host}"));
                if host.contains(['.', ':']) {
                    places.push(host);
                }
            }
        }
        places.sort_by_key(|place| (std::cmp::Reverse(place.len()), place.clone()));
        places.dedup();
        Self {
            secrets,
            places,
            provider: provider.name.to_string(),
        }
    }

    /// A text of the provider's with `***` in the place of credentials, and the provider's name in the place of its address.
    pub(crate) fn masked<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut told = Cow::Borrowed(text);
        for secret in &self.secrets {
            if told.contains(secret.expose()) {
                told = Cow::Owned(told.replace(secret.expose(), MASK));
            }
        }
        if let Some(masked) = without_tokens(&told) {
            told = Cow::Owned(masked);
        }
        for place in &self.places {
            let slashes = if place.starts_with("//") { "//" } else { "" };
            let name = format!("{slashes}{}", self.provider);
            if let Some(replaced) = replaced(&told, place, &name) {
                told = Cow::Owned(replaced);
            }
        }
        told
    }
}

/// Takes a credential in, as it is and as an address would have it.
fn add(secrets: &mut Vec<Secret>, text: &str) {
    if text.len() < SECRET_BYTES_MIN {
        return;
    }
    let encoded = utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    if encoded != text {
        secrets.push(Secret::new(encoded));
        // As many servers write it.
        let gently = utf8_percent_encode(text, GENTLE).to_string();
        secrets.push(Secret::new(gently));
    }
    secrets.push(Secret::new(text));
}

fn sensitive(headers: &[(HeaderName, HeaderValue)]) -> impl Iterator<Item = &str> {
    let headers = headers.iter().filter(|(_, value)| value.is_sensitive());
    headers.filter_map(|(_, value)| value.to_str().ok())
}

/// The text with every token masked that follows `Bearer`; `None` where there is none. Tokens that expire are known by this alone.
fn without_tokens(text: &str) -> Option<String> {
    const WORD: &str = "bearer ";
    let lower = text.to_ascii_lowercase();
    let mut told = String::new();
    let mut from = 0;
    for (at, _) in lower.match_indices(WORD) {
        let start = at + WORD.len();
        let rest = text.get(start..)?;
        let is_in_token = |sign: char| {
            sign.is_ascii_alphanumeric() || matches!(sign, '-' | '.' | '_' | '~' | '+' | '/' | '=')
        };
        let length = rest.find(|sign| !is_in_token(sign)).unwrap_or(rest.len());
        // Words of a sentence are shorter.
        if start >= from && length >= 16 {
            told += text.get(from..start)?;
            told += MASK;
            from = start + length;
        }
    }
    (from > 0).then(|| told + text.get(from..).unwrap_or_default())
}

/// The text with a lower-case word replaced, however it is written; `None` where it is not there.
fn replaced(text: &str, word: &str, by: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let mut told = String::new();
    let mut from = 0;
    for (at, _) in lower.match_indices(word) {
        told += text.get(from..at)?;
        told += by;
        from = at + word.len();
    }
    (from > 0).then(|| told + text.get(from..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn discretion(secrets: &[&str], places: &[&str]) -> Discretion {
        let mut kept = Vec::new();
        for secret in secrets {
            add(&mut kept, secret);
        }
        Discretion {
            secrets: kept,
            places: places.iter().map(|place| (*place).to_owned()).collect(),
            provider: "mine".to_owned(),
        }
    }

    #[test]
    fn credentials_are_masked_in_every_form() {
        let discretion = discretion(&["sk-a/b+c=d"], &[]);
        for text in [
            "no such key: sk-a/b+c=d.",
            "no such key: sk-a%2Fb%2Bc%3Dd.",
            "no such key: sk%2Da%2Fb%2Bc%3Dd.",
        ] {
            assert_eq!(discretion.masked(text), "no such key: ***.");
        }
        assert_eq!(
            discretion
                .masked("you sent Authorization: Bearer ya29.a0AfH6SMBx-1234567, which ended"),
            "you sent Authorization: Bearer ***, which ended"
        );
        let sentence = "a bearer token is wanted, and one more bearer token";
        assert_eq!(discretion.masked(sentence), sentence);
    }

    #[test]
    fn places_are_named_by_the_provider() {
        let discretion = discretion(
            &[],
            &[
                "llm.corp.example:8443",
                "//llm.corp.example",
                "llm.corp.example",
            ],
        );
        assert_eq!(
            discretion
                .masked("POST https://LLM.corp.example:8443/v1 at llm.corp.example failed, Grüße"),
            "POST https://mine/v1 at mine failed, Grüße"
        );
        assert_eq!(discretion.masked("fine"), "fine");
    }
}
