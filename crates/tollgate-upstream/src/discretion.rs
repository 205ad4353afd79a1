//! What a provider's words may not show: the credentials that it was sent, and where it is. Who reads them is the proxy's business.

use std::{borrow::Cow, cmp::Reverse};

use http::HeaderValue;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tollgate_domain::{Provider, Secret};

/// What stands in a credential's place.
const MASK: &str = "***";

/// Shorter credentials are hidden where they stand as a word alone: their letters are everywhere.
const SECRET_BYTES_MIN: usize = 6;

/// So many times a text may be wrapped in another as JSON strings are, and is still looked into.
const WRAPPINGS_MAX: usize = 4;

/// All but what an address may hold as it is.
const GENTLE: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Credentials that are known by the word before them, whoever sent them.
const BY_WORD: [ByWord; 2] = [
    ByWord {
        word: "bearer ",
        is_in: |sign| {
            sign.is_ascii_alphanumeric() || matches!(sign, '-' | '.' | '_' | '~' | '+' | '/' | '=')
        },
        // Words of a sentence are shorter.
        length_min: 16,
    },
    // AWS's: good for the same request, for some minutes.
    ByWord {
        word: "signature=",
        is_in: |sign| sign.is_ascii_hexdigit(),
        length_min: 32,
    },
];

struct ByWord {
    /// In lower case.
    word: &'static str,
    is_in: fn(char) -> bool,
    length_min: usize,
}

/// What is hidden of one provider. Looked through for errors alone.
#[derive(Debug)]
pub(crate) struct Discretion {
    /// The longest first.
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
        add_headers(
            &mut secrets,
            provider.headers.iter().map(|(_, value)| value),
        );
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
        places.sort_by_key(|place| (Reverse(place.len()), place.clone()));
        places.dedup();
        Self {
            secrets: the_longest_first(secrets),
            places,
            provider: provider.name.to_string(),
        }
    }

    /// What is hidden of a request for a credential: what is secret in its body, and headers that are.
    pub(crate) fn about<'a>(
        sent: &[Secret],
        headers: impl Iterator<Item = &'a HeaderValue>,
    ) -> Self {
        let mut secrets = Vec::new();
        for secret in sent {
            add(&mut secrets, secret.expose());
        }
        add_headers(&mut secrets, headers);
        Self {
            secrets: the_longest_first(secrets),
            places: Vec::new(),
            provider: String::new(),
        }
    }

    /// A text of the provider's with `***` in the place of credentials, and the provider's name in the place of its address. `tokens` are
    /// the credentials that expire. Escapes of JSON hide nothing: where there is something behind them, they are taken out of the text.
    pub(crate) fn masked<'a>(&self, text: &'a str, tokens: &[Secret]) -> Cow<'a, str> {
        let mut told = self.masked_plainly(text, tokens);
        let mut bare: Option<String> = None;
        for _ in 0..WRAPPINGS_MAX {
            let Some(unwrapped) = unescaped(bare.as_deref().unwrap_or(&told)) else {
                break;
            };
            let masked = self.masked_plainly(&unwrapped, tokens);
            if masked != unwrapped {
                told = Cow::Owned(masked.into_owned());
                bare = None;
            } else {
                bare = Some(unwrapped);
            }
        }
        told
    }

    fn masked_plainly<'a>(&self, text: &'a str, tokens: &[Secret]) -> Cow<'a, str> {
        let mut told = Cow::Borrowed(text);
        for secret in self.secrets.iter().chain(tokens) {
            if let Some(masked) = without(&told, secret.expose()) {
                told = Cow::Owned(masked);
            }
        }
        for credential in &BY_WORD {
            if let Some(masked) = credential.masked(&told) {
                told = Cow::Owned(masked);
            }
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
    if text.is_empty() {
        return;
    }
    let encoded = utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    if encoded != text {
        secrets.push(Secret::new(encoded));
        // As many servers write it, and some of those in lower case.
        let gently = utf8_percent_encode(text, GENTLE).to_string();
        secrets.push(Secret::new(with_low_escapes(&gently)));
        secrets.push(Secret::new(gently));
    }
    secrets.push(Secret::new(text));
}

/// `%2f` for `%2F`.
fn with_low_escapes(text: &str) -> String {
    let mut parts = text.split('%');
    let mut told = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2).unwrap_or((part, ""));
        told += "%";
        told += &digits.to_ascii_lowercase();
        told += rest;
    }
    told
}

/// Takes in those headers that are credentials.
fn add_headers<'a>(secrets: &mut Vec<Secret>, headers: impl Iterator<Item = &'a HeaderValue>) {
    let sensitive = headers.filter(|value| value.is_sensitive());
    for value in sensitive.filter_map(|value| value.to_str().ok()) {
        add(secrets, value);
        // `Bearer`, `Basic` ...
        if let Some((_, bare)) = value.split_once(' ') {
            add(secrets, bare);
        }
    }
}

fn the_longest_first(mut secrets: Vec<Secret>) -> Vec<Secret> {
    secrets.sort_by_key(|secret| Reverse(secret.expose().len()));
    secrets
}

/// The text without a credential; `None` where it is not there.
fn without(text: &str, secret: &str) -> Option<String> {
    let is_edge = |sign: Option<char>| !sign.is_some_and(char::is_alphanumeric);
    let stands = |at: usize| {
        secret.len() >= SECRET_BYTES_MIN
            || is_edge(text.get(..at).and_then(|text| text.chars().next_back()))
                && is_edge(
                    text.get(at + secret.len()..)
                        .and_then(|text| text.chars().next()),
                )
    };
    let mut told = String::new();
    let mut from = 0;
    for (at, _) in text.match_indices(secret).filter(|(at, _)| stands(*at)) {
        told += text.get(from..at)?;
        told += MASK;
        from = at + secret.len();
    }
    (from > 0).then(|| told + text.get(from..).unwrap_or_default())
}

impl ByWord {
    /// The text with every such credential masked; `None` where there is none.
    fn masked(&self, text: &str) -> Option<String> {
        let lower = text.to_ascii_lowercase();
        let mut told = String::new();
        let mut from = 0;
        for (at, _) in lower.match_indices(self.word) {
            let start = at + self.word.len();
            let rest = text.get(start..)?;
            let length = rest.find(|sign| !(self.is_in)(sign)).unwrap_or(rest.len());
            if start >= from && length >= self.length_min {
                told += text.get(from..start)?;
                told += MASK;
                from = start + length;
            }
        }
        (from > 0).then(|| told + text.get(from..).unwrap_or_default())
    }
}

/// The text with the escapes of JSON's strings resolved, wherever they stand (RFC 8259, section 7); `None` where there are none.
fn unescaped(text: &str) -> Option<String> {
    let mut rest = text;
    let mut told = String::new();
    let mut found = false;
    while let Some((before, after)) = rest.split_once('\\') {
        told += before;
        if let Some((sign, left)) = escape(after) {
            found = true;
            told.push(sign);
            rest = left;
        } else {
            told.push('\\');
            rest = after;
        }
    }
    told += rest;
    found.then_some(told)
}

/// What stands after a backslash: the sign that is meant, and the rest. Halves of pairs are no credential's.
fn escape(after: &str) -> Option<(char, &str)> {
    let mut signs = after.chars();
    let sign = match signs.next()? {
        sign @ ('"' | '\\' | '/') => sign,
        'n' | 'r' | 't' | 'b' | 'f' => ' ',
        'u' => {
            let (digits, left) = signs.as_str().split_at_checked(4)?;
            if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return None;
            }
            let code = u32::from_str_radix(digits, 16).ok()?;
            let sign = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
            return Some((sign, left));
        }
        _ => return None,
    };
    Some((sign, signs.as_str()))
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
            "no such key: sk-a%2fb%2bc%3dd.",
            "no such key: sk%2Da%2Fb%2Bc%3Dd.",
        ] {
            assert_eq!(discretion.masked(text, &[]), "no such key: ***.");
        }
        assert_eq!(
            discretion.masked(
                "you sent Authorization: Bearer ya29.a0AfH6SMBx-1234567, which ended",
                &[]
            ),
            "you sent Authorization: Bearer ***, which ended"
        );
        let sentence = "a bearer token is wanted, and one more bearer token";
        assert_eq!(discretion.masked(sentence, &[]), sentence);
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
            discretion.masked(
                "POST https://LLM.corp.example:8443/v1 at llm.corp.example failed, Grüße",
                &[]
            ),
            "POST https://mine/v1 at mine failed, Grüße"
        );
        assert_eq!(discretion.masked("fine", &[]), "fine");
    }

    #[test]
    fn escapes_hide_nothing() {
        let discretion = discretion(&["sk-a/b+c"], &["llm.corp.example"]);
        for text in [
            r#"{"message": "no such key: sk-a\/b+c"}"#,
            r#"{"message": "no such key: sk-a\u002fb\u002Bc"}"#,
            r#"{"message": "{\"inner\": \"sk-a\\\/b+c\"}"}"#,
            r#"{"message": "at http:\/\/llm\u002ecorp.example\/v1"}"#,
        ] {
            let told = discretion.masked(text, &[]);
            assert!(told.contains("***") || told.contains("mine"), "{told}");
            assert!(!told.contains("b+c") && !told.contains("corp"), "{told}");
        }
        for text in [r"C:\users \u00e9 \ud83d \", r"a \u12", "\\"] {
            assert_eq!(discretion.masked(text, &[]), text);
        }
    }

    #[test]
    fn short_credentials_are_hidden_as_words() {
        let discretion = discretion(&["ab1"], &[]);
        assert_eq!(
            discretion.masked("ab1 (ab1), not cab1s; x=ab1", &[]),
            "*** (***), not cab1s; x=***"
        );
    }

    #[test]
    fn tokens_and_signatures_are_hidden() {
        let discretion = discretion(&[], &[]);
        let tokens = [Secret::new("FwoGZXIvYXdzEBc")];
        let signature = "0123456789abcdef".repeat(4);
        assert_eq!(
            discretion.masked(
                &format!("x-amz-security-token:FwoGZXIvYXdzEBc\nSignature={signature}, end"),
                &tokens
            ),
            "x-amz-security-token:***\nSignature=***, end"
        );
    }
}
