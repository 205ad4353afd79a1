//! Callers' keys as the gateway keeps them: hashes, never the keys.

use std::{
    collections::HashSet,
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use thiserror::Error;

use crate::{KeyName, RouteName};

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
