//! `providers[].auth` where somebody issues credentials that expire, as written.

use schemars::JsonSchema;
use serde::Deserialize;

/// Requests are signed with AWS's keys.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("required" = ["aws"]))]
pub(crate) struct AuthAws {
    /// Where the keys come from. With nothing in it, they are looked for as AWS's own tools do: environment, web identity,
    /// shared credentials file, container, instance.
    pub(crate) aws: Option<Aws>,
}

/// Where AWS's keys come from.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Aws {
    /// Names a pair of keys.
    pub(crate) aws_access_key_id: Option<String>,
    /// The pair's secret. Better a reference than the secret itself.
    pub(crate) aws_secret_access_key: Option<String>,
    /// Belongs to keys that expire.
    pub(crate) aws_session_token: Option<String>,
    /// A profile of the shared credentials file.
    pub(crate) profile: Option<String>,
    /// The role to assume with a web identity.
    pub(crate) role_arn: Option<String>,
    /// Where the platform keeps that identity; read anew each time.
    pub(crate) web_identity_token_file: Option<String>,
    /// The region that requests are signed for. Default: the provider's `region`, or the environment's.
    pub(crate) region: Option<String>,
    /// The service that requests are signed for. Default: `bedrock`.
    pub(crate) service: Option<String>,
    /// Where roles are assumed. Default: the region's own endpoint.
    pub(crate) sts_url: Option<String>,
    /// Where an instance's metadata service is. Default: `http://169.254.169.254`.
    pub(crate) metadata_url: Option<String>,
}

/// Google issues access tokens.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("required" = ["google"]))]
pub(crate) struct AuthGoogle {
    /// To whom. With nothing in it, to whoever the platform's metadata server says (workload identity).
    pub(crate) google: Option<Google>,
}

/// To whom Google issues access tokens.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Google {
    /// The key file of a service account, whole: `file:PATH`.
    pub(crate) service_account: Option<String>,
    /// What the tokens are for. Default: `https://www.googleapis.com/auth/cloud-platform`.
    pub(crate) scope: Option<String>,
    /// Where the metadata server is. Default: `http://metadata.google.internal`.
    pub(crate) metadata_url: Option<String>,
}

/// Microsoft Entra issues access tokens.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("required" = ["entra"]))]
pub(crate) struct AuthEntra {
    /// To which application.
    pub(crate) entra: Option<Entra>,
}

/// An application to which Entra issues access tokens.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["tenant", "client_id", "client_secret"]))]
pub(crate) struct Entra {
    /// The directory, by its id or domain.
    pub(crate) tenant: Option<String>,
    /// The application's id.
    pub(crate) client_id: Option<String>,
    /// The application's secret. Better a reference than the secret itself.
    pub(crate) client_secret: Option<String>,
    /// What the tokens are for. Default: `https://cognitiveservices.azure.com/.default`.
    pub(crate) scope: Option<String>,
    /// Where Entra is. Default: `https://login.microsoftonline.com`.
    pub(crate) authority: Option<String>,
}
