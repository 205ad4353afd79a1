//! How a conversation with a provider fails below its own words: no connection, no answer, half an answer.

use std::{error::Error, fmt, io};

/// A failure of the connection to a provider. Its `Display` names no address, so it may be shown.
#[derive(Debug)]
pub struct Failure {
    kind: FailureKind,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// What failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// The host's name has no address.
    Dns,
    /// The host's name leads into the private network, which is not allowed.
    PrivateAddress,
    /// The connection was refused or is impossible.
    Connect,
    /// No connection in time.
    ConnectTimeout,
    /// The TLS handshake failed.
    Tls,
    /// The connection was closed before the head of an answer.
    ClosedBeforeHead,
    /// The connection was closed within the body of an answer.
    ClosedInBody,
    /// What came is not HTTP, or beyond its limits.
    Protocol,
    /// The client did not send the rest of its request.
    Request,
    /// The answer is compressed, which nobody asked for, and cannot be unpacked.
    Encoding,
}

impl FailureKind {
    /// A stable word for logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::PrivateAddress => "private_address",
            Self::Connect => "connect",
            Self::ConnectTimeout => "connect_timeout",
            Self::Tls => "tls",
            Self::ClosedBeforeHead => "closed_before_head",
            Self::ClosedInBody => "closed_in_body",
            Self::Protocol => "protocol",
            Self::Request => "request",
            Self::Encoding => "encoding",
        }
    }

    /// Whether nothing was asked: there was no connection to ask by.
    pub const fn is_unasked(self) -> bool {
        matches!(
            self,
            Self::Dns | Self::PrivateAddress | Self::Connect | Self::ConnectTimeout | Self::Tls
        )
    }
}

// === impl Failure ===

impl Failure {
    pub(crate) fn new(kind: FailureKind, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            kind,
            source: Some(source.into()),
        }
    }

    pub(crate) fn plain(kind: FailureKind) -> Self {
        Self { kind, source: None }
    }

    /// From an attempt to connect.
    pub(crate) fn connecting(error: io::Error) -> Self {
        Self::new(FailureKind::Connect, error)
    }

    /// What failed.
    pub fn kind(&self) -> FailureKind {
        self.kind
    }

    /// Whether time ran out.
    pub fn is_timeout(&self) -> bool {
        self.kind == FailureKind::ConnectTimeout
    }

    /// Whether an answer had begun.
    pub fn answer_began(&self) -> bool {
        matches!(
            self.kind,
            FailureKind::ClosedInBody | FailureKind::Protocol | FailureKind::Encoding
        )
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            FailureKind::Dns => "the host's name has no address",
            FailureKind::PrivateAddress => {
                "the host's name leads to a private address, which is not allowed"
            }
            FailureKind::Connect => "no connection to the provider",
            FailureKind::ConnectTimeout => "no connection to the provider in time",
            FailureKind::Tls => "the TLS handshake failed",
            FailureKind::ClosedBeforeHead => "the provider closed the connection before answering",
            FailureKind::ClosedInBody => "the provider closed the connection within its answer",
            FailureKind::Protocol => "what the provider sent is not HTTP",
            FailureKind::Request => "the client did not send the rest of its request",
            FailureKind::Encoding => "the provider's answer is compressed and cannot be unpacked",
        })
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn Error + 'static))
    }
}
