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
    /// The role to assume: with a web identity where one is given, else with the keys that would be used otherwise.
    pub(crate) role_arn: Option<String>,
    /// What the role's owner agreed upon with those who may assume it.
    pub(crate) external_id: Option<String>,
    /// Names the session in AWS's logs. Default: `AWS_ROLE_SESSION_NAME`, or `tollgate`.
    pub(crate) session_name: Option<String>,
    /// How long the role's keys are to last. Default: as long as AWS gives them, which is an hour.
    #[schemars(range(min = 900, max = 43_200))]
    pub(crate) session_length_seconds: Option<u32>,
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
    /// The configuration of a workload identity federation (`type: external_account`), whole: `file:PATH`.
    pub(crate) external_account: Option<String>,
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
    /// To whom. With nothing in it, to the application that `AZURE_FEDERATED_TOKEN_FILE` vouches for (AKS's workload identity), else to
    /// the managed identity of the platform.
    pub(crate) entra: Option<Entra>,
}

/// To whom Entra issues access tokens.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Entra {
    /// The directory, by its id or domain. Default, for a workload identity: `AZURE_TENANT_ID`.
    pub(crate) tenant: Option<String>,
    /// The application's id; of a managed identity, which one where there are several. Default, for a workload identity: `AZURE_CLIENT_ID`.
    pub(crate) client_id: Option<String>,
    /// The application's secret. Better a reference than the secret itself.
    pub(crate) client_secret: Option<String>,
    /// Where the platform keeps a token that vouches for the application; read anew each time. Default: `AZURE_FEDERATED_TOKEN_FILE`.
    pub(crate) federated_token_file: Option<String>,
    /// What the tokens are for. Default: `https://cognitiveservices.azure.com/.default`.
    pub(crate) scope: Option<String>,
    /// Where Entra is. Default: `https://login.microsoftonline.com`, or `AZURE_AUTHORITY_HOST` for a workload identity.
    pub(crate) authority: Option<String>,
    /// Where a virtual machine's metadata service is, which vouches for a managed identity. Default: `http://169.254.169.254`, unless App
    /// Service names another (`IDENTITY_ENDPOINT`).
    pub(crate) metadata_url: Option<String>,
}

/// IBM Cloud issues access tokens.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("required" = ["ibm"]))]
pub(crate) struct AuthIbm {
    /// For which key.
    pub(crate) ibm: Option<Ibm>,
}

/// A key for which IBM Cloud issues access tokens.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Ibm {
    /// The key. Better a reference than the key itself. Default: the provider's `api_key`.
    pub(crate) api_key: Option<String>,
    /// Where keys are exchanged. Default: `https://iam.cloud.ibm.com`.
    pub(crate) iam_url: Option<String>,
}
