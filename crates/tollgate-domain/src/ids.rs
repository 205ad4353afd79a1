//! Names of things: one type each, so that none is taken for another.

use std::{borrow::Borrow, fmt, sync::Arc};

use serde::Serialize;

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes a name as it was written.
            pub fn new(name: impl Into<Arc<str>>) -> Self {
                Self(name.into())
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl From<&$name> for Arc<str> {
            fn from(name: &$name) -> Self {
                Self::clone(&name.0)
            }
        }

        impl From<&str> for $name {
            fn from(name: &str) -> Self {
                Self::new(name)
            }
        }
    };
}

name! {
    /// The name of a route, which is what a client writes into `model`.
    RouteName
}
name! {
    /// The name of a configured provider.
    ProviderName
}
name! {
    /// `provider/model`: what an attempt is made at. Appears in headers, logs and metrics.
    TargetName
}
name! {
    /// The name of a caller's key. Never the key itself.
    KeyName
}
name! {
    /// Identifies the configuration that an answer was made under: the first 12 hex digits of
    /// the SHA-256 of its resolved form, secrets left out.
    Revision
}
