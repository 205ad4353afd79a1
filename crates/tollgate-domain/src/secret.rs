//! Text that cannot be printed: credentials of providers.

use std::{fmt, sync::Arc};

use secrecy::{ExposeSecret, SecretString};

/// A credential. It has no `Display` and no `Serialize`, its `Debug` shows nothing of it, and its
/// memory is wiped when the last copy goes.
#[derive(Clone)]
pub struct Secret(Arc<SecretString>);

impl Secret {
    /// Takes a credential in.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Arc::new(SecretString::from(text.into())))
    }

    /// The credential itself. Call this only where it goes on the wire or into a hash.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

/// For telling whether a configuration has changed; callers' keys are compared by their hashes.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing_of_the_secret() {
        assert_eq!(format!("{:?}", Secret::new("sk-live-42")), "Secret(***)");
    }
}
