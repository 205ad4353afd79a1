//! Who issues credentials that expire, as configured. How they are asked lives in `tollgate-upstream`.

use std::{path::PathBuf, sync::Arc};

use http::Uri;

use crate::Secret;

/// Who issues a provider's credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Issuer {
    /// AWS: requests are signed with its keys.
    Aws(AwsIssuer),
    /// Google: its access tokens are bearer tokens.
    Google(GoogleIssuer),
    /// Microsoft Entra: its access tokens are bearer tokens.
    Entra(EntraIssuer),
}

/// Where AWS's keys come from, and what is signed with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsIssuer {
    /// The region that requests are signed for.
    pub region: Arc<str>,
    /// The service that requests are signed for, such as `bedrock`.
    pub service: Arc<str>,
    /// Where the keys come from.
    pub source: AwsSource,
}

/// Where AWS's keys come from: one of the places of its standard credential chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AwsSource {
    /// They are given, and do not expire as far as anybody here knows.
    Keys(AwsKeys),
    /// A role is assumed with a token that the platform keeps in a file (`AssumeRoleWithWebIdentity`).
    WebIdentity {
        /// The role's ARN.
        role: Arc<str>,
        /// Names the session in AWS's logs.
        session: Arc<str>,
        /// Read anew each time: the platform replaces it.
        token_file: PathBuf,
        /// The security token service.
        endpoint: Uri,
    },
    /// The endpoint that ECS, or EKS's pod identity, gives its containers.
    Container {
        /// The whole address.
        endpoint: Uri,
        /// What is sent as `authorization`.
        authorization: Option<Given>,
    },
    /// The metadata service of an EC2 instance, version 2.
    Instance {
        /// Scheme and host.
        endpoint: Uri,
    },
}

/// A pair of AWS's keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsKeys {
    /// Names the pair; no secret.
    pub id: Arc<str>,
    /// Signs.
    pub secret: Secret,
    /// Belongs to keys that expire.
    pub session: Option<Secret>,
}

/// A secret, or the file in which the platform keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Given {
    /// The secret itself.
    Here(Secret),
    /// Read anew each time.
    File(PathBuf),
}

/// How Google's tokens are got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GoogleIssuer {
    /// A service account signs for itself (RFC 7523).
    ServiceAccount {
        /// The account.
        email: Arc<str>,
        /// Names the key.
        key_id: Option<Arc<str>>,
        /// PKCS#8, as PEM.
        private_key: Secret,
        /// Where the signed assertion becomes a token.
        endpoint: Uri,
        /// What the token is for.
        scope: Arc<str>,
    },
    /// The metadata server of Google's platforms, workload identity included.
    Metadata {
        /// The whole address.
        endpoint: Uri,
    },
}

/// How Entra's tokens are got: an application shows its secret (client credentials).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntraIssuer {
    /// The whole address, tenant included.
    pub endpoint: Uri,
    /// The application.
    pub client_id: Arc<str>,
    /// Its secret.
    pub client_secret: Secret,
    /// What the token is for.
    pub scope: Arc<str>,
}
