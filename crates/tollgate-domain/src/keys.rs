//! Callers' keys as the gateway keeps them: hashes, never the keys.

use std::{
    collections::HashSet,
    fmt,
    hash::{Hash, Hasher},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use ipnet::{IpNet, Ipv4Net};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use thiserror::Error;

use crate::{KeyName, RouteName, Task};

/// Bits of an IPv6 address before the IPv4 address that it stands for.
const MAPPED_BITS: u8 = 96;

/// What a key may do, and until when.
#[derive(Clone, Debug)]
pub struct Key {
    /// Who it was made for; appears in logs.
    pub name: KeyName,
    /// The team that it belongs to.
    pub team: Option<Arc<str>>,
    /// The app of the team that uses it.
    pub app: Option<Arc<str>>,
    /// The organisation that it belongs to.
    pub organisation: Option<Arc<str>>,
    /// The end user whom it stands for, where it says one.
    pub user: Option<Arc<str>>,
    /// What is kept of the key.
    pub hash: KeyHash,
    /// Which routes it opens.
    pub routes: RouteAccess,
    /// Which models it reaches through them.
    pub models: ModelAccess,
    /// Where it opens them.
    pub places: Places,
    /// Since 1970-01-01 UTC; from then on the key is refused.
    pub expires_at: Option<Duration>,
    /// Whether it opens anything.
    pub state: KeyState,
}

/// Whether a key opens anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyState {
    /// What it is for.
    #[default]
    Open,
    /// Nothing, for now.
    Blocked,
}

/// Which routes a key opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteAccess {
    /// Every route, those of later configurations too.
    All,
    /// These only.
    Only(HashSet<RouteName>),
}

impl RouteAccess {
    /// Whether the route may be used.
    pub fn allows(&self, route: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(routes) => routes.contains(route),
        }
    }
}

/// Which models a key reaches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ModelAccess {
    /// Every model of the routes that it opens.
    #[default]
    All,
    /// These only.
    Only(Arc<[ModelPattern]>),
}

/// A model as its provider is asked for it, or `provider/model`; with a `*` at its end all that begin so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelPattern(Box<str>);

/// The text names no model.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{}` names no model: `gpt-4o`, `openai/gpt-4o` and `openai/*` do, the `*` at the end alone", .0.escape_debug())]
pub struct ModelPatternError(String);

impl ModelAccess {
    /// Reads models as they are written; `None` is all of them.
    ///
    /// # Errors
    /// When one of them is none.
    pub fn read(models: Option<&[String]>) -> Result<Self, ModelPatternError> {
        let Some(models) = models else {
            return Ok(Self::All);
        };
        let models = models.iter().map(|model| ModelPattern::parse(model));
        models.collect::<Result<_, _>>().map(Self::Only)
    }

    /// Whether a target may be asked for a task. What goes to it as plain HTTP nobody reads, so that all models of its provider have to be
    /// open for that.
    pub fn allows(&self, task: Task, provider: &str, model: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(patterns) if task == Task::Http => {
                patterns.iter().any(|pattern| pattern.fits_all_of(provider))
            }
            Self::Only(patterns) => patterns.iter().any(|pattern| pattern.fits(provider, model)),
        }
    }
}

impl ModelPattern {
    /// Reads a model.
    ///
    /// # Errors
    /// When it is empty, has a `*` elsewhere than at its end, or what no model's name has.
    pub fn parse(text: &str) -> Result<Self, ModelPatternError> {
        let stem = text.strip_suffix('*').unwrap_or(text);
        let is_odd = |character: char| character == '*' || character.is_control();
        if text.is_empty() || text.trim() != text || stem.contains(is_odd) {
            return Err(ModelPatternError(text.to_owned()));
        }
        Ok(Self(text.into()))
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn fits(&self, provider: &str, model: &str) -> bool {
        let fits = |pattern: &str| match pattern.strip_suffix('*') {
            Some(stem) => model.starts_with(stem),
            None => model == pattern,
        };
        fits(&self.0) || self.of(provider).is_some_and(fits)
    }

    fn fits_all_of(&self, provider: &str) -> bool {
        *self.0 == *"*" || self.of(provider) == Some("*")
    }

    /// What it says of a provider's models.
    fn of(&self, provider: &str) -> Option<&str> {
        self.0.strip_prefix(provider)?.strip_prefix('/')
    }
}

/// Where a key opens what it opens; everywhere, unless said otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// Paths of requests; every one where there is none here.
    pub paths: Vec<PathPattern>,
    /// Networks that clients are in; every one where there is none here.
    pub networks: Vec<IpNet>,
}

/// A path, or with a `*` at its end all paths that begin so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern(String);

/// A path or a network is none.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PlacesError {
    /// The path.
    #[error("`{0}` is no path: `/v1/embeddings` and `/v1/audio/*` are, the `*` at the end alone")]
    Path(String),
    /// The network.
    #[error("`{0}` is no network: `10.0.0.0/8`, `2001:db8::/32` and single addresses are")]
    Network(String),
}

impl Places {
    /// Reads both as they are written; `None` is everywhere.
    ///
    /// # Errors
    /// When one of them is none.
    pub fn read(
        paths: Option<&[String]>,
        networks: Option<&[String]>,
    ) -> Result<Self, PlacesError> {
        let paths = paths.unwrap_or_default().iter();
        let networks = networks.unwrap_or_default().iter();
        Ok(Self {
            paths: paths
                .map(|path| PathPattern::parse(path))
                .collect::<Result<_, _>>()?,
            networks: networks
                .map(|network| parse_network(network))
                .collect::<Result<_, _>>()?,
        })
    }

    /// Whether a request to this path opens anything.
    pub fn allow_path(&self, path: &str) -> bool {
        self.paths.is_empty() || self.paths.iter().any(|pattern| pattern.fits(path))
    }

    /// Whether a client with this address opens anything.
    pub fn allow_client(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let mut networks = self.networks.iter();
        self.networks.is_empty() || networks.any(|network| network.contains(&address))
    }
}

impl PathPattern {
    /// Reads a path.
    ///
    /// # Errors
    /// When it does not begin with `/`, or has a `*` elsewhere than at its end.
    pub fn parse(text: &str) -> Result<Self, PlacesError> {
        let stem = text.strip_suffix('*').unwrap_or(text);
        if stem.starts_with('/') && !stem.contains(['*', '?', '#']) {
            Ok(Self(text.to_owned()))
        } else {
            Err(PlacesError::Path(text.to_owned()))
        }
    }

    fn fits(&self, path: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(stem) => path.starts_with(stem),
            None => path.strip_suffix('/').unwrap_or(path) == self.0,
        }
    }
}

/// Reads a network, or a single address. Those of IPv4 that are written as of IPv6 are of IPv4, as clients are.
///
/// # Errors
/// When it is neither.
pub fn parse_network(text: &str) -> Result<IpNet, PlacesError> {
    let text = text.trim();
    let network = text.parse::<IpNet>().map(|network| network.trunc());
    network
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map(canonical)
        .map_err(|_| PlacesError::Network(text.to_owned()))
}

/// The network of IPv4 that one of IPv6 stands for (RFC 4291, section 2.5.5.2), or itself.
fn canonical(network: IpNet) -> IpNet {
    let IpNet::V6(written) = network else {
        return network;
    };
    let length = written.prefix_len().checked_sub(MAPPED_BITS);
    let mapped = written.addr().to_ipv4_mapped().zip(length);
    let network_4 = mapped.and_then(|(address, length)| Ipv4Net::new(address, length).ok());
    network_4.map_or(network, IpNet::V4)
}

/// SHA-256 of a key. Keys are 256 random bits, so a fast hash gives nothing away.
#[derive(Clone, Copy)]
pub struct KeyHash([u8; 32]);

/// The text is not a hash that `tollgate key new` printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "not a key hash: `sha256:` and 64 hex digits are wanted, as `tollgate key new` prints them"
)]
pub struct KeyHashError;

impl KeyHash {
    /// The hash of a key that a caller sent.
    pub fn of(key: &str) -> Self {
        Self(Sha256::digest(key.as_bytes()).into())
    }

    /// Reads `sha256:` and 64 hex digits.
    ///
    /// # Errors
    /// When the text has another form.
    pub fn parse(text: &str) -> Result<Self, KeyHashError> {
        let digits = text.strip_prefix("sha256:").ok_or(KeyHashError)?.as_bytes();
        if digits.len() != 64 {
            return Err(KeyHashError);
        }
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            let &[high, low] = pair else {
                return Err(KeyHashError);
            };
            *byte = hex_digit(high)? << 4 | hex_digit(low)?;
        }
        Ok(Self(hash))
    }
}

fn hex_digit(digit: u8) -> Result<u8, KeyHashError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err(KeyHashError),
    }
}

// === impl KeyHash ===

impl PartialEq for KeyHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for KeyHash {}

impl Hash for KeyHash {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_is_read_back_as_printed() {
        let hash = KeyHash::of("tg-1");
        assert_eq!(KeyHash::parse(&hash.to_string()), Ok(hash));
        assert_ne!(hash, KeyHash::of("tg-2"));
    }

    #[test]
    fn places_are_paths_and_networks() {
        let texts = |texts: &[&str]| -> Vec<String> {
            texts.iter().map(|text| (*text).to_owned()).collect()
        };
        let places = Places::read(
            Some(&texts(&["/v1/embeddings", "/v1/audio/*"])),
            Some(&texts(&["10.1.2.3/8", "2001:db8::1"])),
        );
        let places = places.unwrap();
        for (path, is_open) in [
            ("/v1/embeddings", true),
            ("/v1/embeddings/", true),
            ("/v1/embeddings/x", false),
            ("/v1/audio/speech", true),
            ("/v1/chat/completions", false),
        ] {
            assert_eq!(places.allow_path(path), is_open, "{path}");
        }
        for (address, is_open) in [
            ("10.255.0.1", true),
            ("::ffff:10.0.0.1", true),
            ("11.0.0.1", false),
            ("2001:db8::1", true),
            ("2001:db8::2", false),
        ] {
            assert_eq!(
                places.allow_client(address.parse().unwrap()),
                is_open,
                "{address}"
            );
        }
        for (written, meant) in [
            ("::ffff:10.1.1.1", "10.1.1.1/32"),
            ("::ffff:10.1.1.1/104", "10.0.0.0/8"),
            ("::ffff:0:0/96", "0.0.0.0/0"),
            ("::ffff:0:0/95", "::fffe:0:0/95"),
            ("2001:db8::/32", "2001:db8::/32"),
        ] {
            assert_eq!(parse_network(written).unwrap().to_string(), meant);
        }
        for path in ["", "v1", "/a*b", "/a?b", "*"] {
            assert!(PathPattern::parse(path).is_err(), "{path}");
        }
        for network in ["", "10.0.0.0/33", "localhost"] {
            assert!(parse_network(network).is_err(), "{network}");
        }
    }

    #[test]
    fn models_are_named_alone_or_with_their_provider() {
        let read = |models: &[&str]| {
            let models: Vec<String> = models.iter().map(|model| (*model).to_owned()).collect();
            ModelAccess::read(Some(&models))
        };
        for (pattern, provider, model, fits) in [
            ("gpt-4o", "openai", "gpt-4o", true),
            ("gpt-4o", "azure", "gpt-4o", true),
            ("gpt-4o", "openai", "gpt-4o-mini", false),
            ("gpt-4o*", "openai", "gpt-4o-mini", true),
            ("openai/gpt-4o", "openai", "gpt-4o", true),
            ("openai/gpt-4o", "azure", "gpt-4o", false),
            ("openai/*", "openai", "gpt-4o", true),
            ("openai/*", "openai-eu", "gpt-4o", false),
            ("open*", "openai", "gpt-4o", false),
            ("meta/llama", "together", "meta/llama", true),
            ("*", "openai", "gpt-4o", true),
        ] {
            let access = read(&[pattern]).unwrap();
            assert_eq!(
                access.allows(Task::Chat, provider, model),
                fits,
                "{pattern}: {provider}/{model}"
            );
        }
        // Nobody reads which model plain HTTP asks for.
        for (pattern, is_open) in [
            ("gpt-4o", false),
            ("http", false),
            ("openai/gpt*", false),
            ("openai/*", true),
            ("*", true),
        ] {
            let access = read(&[pattern]).unwrap();
            assert_eq!(
                access.allows(Task::Http, "openai", "http"),
                is_open,
                "{pattern}"
            );
        }
        assert!(ModelAccess::All.allows(Task::Http, "openai", "http"));
        assert!(!read(&[]).unwrap().allows(Task::Chat, "openai", "gpt-4o"));
        for model in ["", " ", "a*b", "**", " gpt", "gpt\n"] {
            assert!(read(&[model]).is_err(), "{model:?}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "sha256:",
            "sha256:zz",
            "md5:00",
            &"0".repeat(64),
            &format!("sha256:{}", "é".repeat(32)),
        ] {
            assert_eq!(KeyHash::parse(text), Err(KeyHashError), "{text}");
        }
    }
}
