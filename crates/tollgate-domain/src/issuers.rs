//! Who issues credentials that expire, as configured. How they are asked lives in `tollgate-upstream`.

use std::{path::PathBuf, sync::Arc, time::Duration};

use http::{HeaderName, Uri};

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
    /// IBM Cloud: its access tokens are bearer tokens.
    Ibm(IbmIssuer),
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
    /// A role is assumed with keys from another place (`AssumeRole`).
    AssumedRole(Box<AssumedRole>),
}

/// A role of AWS's that is assumed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssumedRole {
    /// Where the keys come from that the request is signed with.
    pub base: AwsSource,
    /// The role's ARN.
    pub role: Arc<str>,
    /// Names the session in AWS's logs.
    pub session: Arc<str>,
    /// What the role's owner agreed upon with those who may assume it.
    pub external_id: Option<Arc<str>>,
    /// How long the keys are to last; AWS's hour where nothing is said.
    pub lifetime: Option<Duration>,
    /// The security token service.
    pub endpoint: Uri,
    /// The region that it is in.
    pub region: Arc<str>,
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
    /// A token of somebody else's is exchanged (workload identity federation, RFC 8693).
    External(Box<ExternalAccount>),
}

/// An account that somebody else vouches for: what Google calls `external_account`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalAccount {
    /// The pool and the provider of identities in it.
    pub audience: Arc<str>,
    /// What kind of token is shown.
    pub subject_token_type: Arc<str>,
    /// Where that token comes from.
    pub subject: SubjectSource,
    /// Google's security token service.
    pub endpoint: Uri,
    /// What the token is for.
    pub scope: Arc<str>,
    /// The project that a workforce's calls are charged to.
    pub user_project: Option<Arc<str>>,
    /// The service account to act as.
    pub impersonation: Option<Impersonation>,
    /// Whether its addresses may lead into the private network.
    pub allows_private: bool,
}

/// Where the token comes from that is shown to Google.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubjectSource {
    /// A file that the platform replaces; read anew each time.
    File {
        /// The file.
        path: PathBuf,
        /// What is in it.
        format: SubjectFormat,
    },
    /// An address that answers with it.
    Url {
        /// The whole address.
        endpoint: Uri,
        /// What is sent along; such headers may hold secrets.
        headers: Vec<(HeaderName, Secret)>,
        /// What the answer is.
        format: SubjectFormat,
    },
    /// A request to AWS's security token service, signed and not sent: Google sends it to learn who signed.
    Aws {
        /// Where the keys come from.
        source: AwsSource,
        /// The address that is signed, with `{region}` where the region belongs.
        verification: Arc<str>,
        /// The region, or the metadata service that knows it.
        region: AwsRegion,
    },
}

/// What a token is wrapped in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubjectFormat {
    /// Nothing.
    Text,
    /// A field of an object.
    Json(Arc<str>),
}

/// A region of AWS's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AwsRegion {
    /// It is known.
    Named(Arc<str>),
    /// The instance's metadata service knows it: scheme and host.
    OfInstance(Uri),
}

/// The service account that an external account acts as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Impersonation {
    /// The whole address (`generateAccessToken`).
    pub endpoint: Uri,
    /// How long its tokens are to last.
    pub lifetime: Duration,
}

/// How Entra's tokens are got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntraIssuer {
    /// An application proves who it is (client credentials).
    Application {
        /// The whole address, tenant included.
        endpoint: Uri,
        /// The application.
        client_id: Arc<str>,
        /// How it proves who it is.
        proof: EntraProof,
        /// What the token is for.
        scope: Arc<str>,
    },
    /// The platform vouches for whatever runs there (managed identity).
    Managed {
        /// The whole address, query included.
        endpoint: Uri,
        /// What App Service wants to be shown (`X-IDENTITY-HEADER`); virtual machines want nothing.
        header: Option<Secret>,
    },
}

/// How an application proves to Entra who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntraProof {
    /// By its secret.
    Secret(Secret),
    /// By a token that the platform keeps in a file (workload identity); read anew each time.
    Federated(PathBuf),
}

/// How IBM Cloud's tokens are got: for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IbmIssuer {
    /// The whole address.
    pub endpoint: Uri,
    /// The key.
    pub api_key: Secret,
}
