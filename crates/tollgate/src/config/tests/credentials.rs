//! Who issues a provider's credentials, as configured and as the environment says.

use tollgate_domain::{
    AwsRegion, AwsSource, EntraIssuer, EntraProof, ExternalAccount, GoogleIssuer, Issuer,
    SubjectFormat, SubjectSource,
};

use super::*;

type Variables<'a> = &'a [(&'static str, &'static str)];

/// Who issues a provider's credentials, where `AUTH` and the environment say.
fn issuer(auth: &str, variables: &[(&'static str, &'static str)]) -> Issuer {
    let text = format!("direct_use: true\nproviders: [{{name: a, type: bedrock, {auth}}}]\n");
    let mut environment = environment();
    environment.variables.extend(variables.iter().copied());
    environment.files.insert(
        "/home/me/.aws/credentials",
        "# mine\n[default]\naws_access_key_id = AKIDEFAULT\naws_secret_access_key=s1\n\n[work]\naws_access_key_id=AKIWORK\naws_secret_access_key=s2\naws_session_token=t2\n",
    );
    let loaded = load_text("t", &text, Path::new("/etc"), &environment, &check_template);
    let resolved = loaded.unwrap_or_else(|diagnostics| panic!("{diagnostics}"));
    match &resolved.snapshot.providers["a"].auth {
        tollgate_domain::Auth::Issued(issuer) => (**issuer).clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn awss_keys_are_looked_for_in_the_order_of_its_tools() {
    const HOME: (&str, &str) = ("HOME", "/home/me");
    const CONTAINER: (&str, &str) = ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/x");
    const IDENTITY: [(&str, &str); 2] = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/var/token"),
        ("AWS_ROLE_ARN", "arn:aws:iam::1:role/r"),
    ];
    const VARIABLES: [(&str, &str); 2] = [
        ("AWS_ACCESS_KEY_ID", "AKIENV"),
        ("AWS_SECRET_ACCESS_KEY", "s"),
    ];
    let found = |auth: &str, variables: &[&[(&'static str, &'static str)]]| {
        let Issuer::Aws(aws) = issuer(auth, &variables.concat()) else {
            panic!("AWS");
        };
        assert_eq!((&*aws.region, &*aws.service), ("us-east-1", "bedrock"));
        match aws.source {
            AwsSource::Keys(keys) => keys.id.to_string(),
            AwsSource::WebIdentity { endpoint, .. } | AwsSource::Container { endpoint, .. } => {
                endpoint.to_string()
            }
            AwsSource::Instance { endpoint } => format!("instance {endpoint}"),
            AwsSource::AssumedRole(role) => role.endpoint.to_string(),
        }
    };
    let region = "region: us-east-1";
    let all = [&VARIABLES[..], &IDENTITY, &[HOME, CONTAINER]];
    assert_eq!(found(region, &all), "AKIENV");
    assert_eq!(
        found(region, &all[1..]),
        "https://sts.us-east-1.amazonaws.com/"
    );
    assert_eq!(found(region, &all[2..]), "AKIDEFAULT");
    let profile = ("AWS_PROFILE", "work");
    assert_eq!(found(region, &[&[HOME, profile]]), "AKIWORK");
    assert_eq!(found(region, &[&[CONTAINER]]), "http://169.254.170.2/v2/x");
    assert_eq!(found(region, &[]), "instance http://169.254.169.254/");
    let variable = [("AWS_REGION", "us-east-1")];
    assert_eq!(
        found("base_url: \"http://b\"", &[&variable]),
        "instance http://169.254.169.254/"
    );
    let given =
        "region: us-east-1, auth: {aws: {aws_access_key_id: AKIGIVEN, aws_secret_access_key: x}}";
    assert_eq!(found(given, &all), "AKIGIVEN");
    let profile = "region: us-east-1, auth: {aws: {profile: work}}";
    assert_eq!(found(profile, &all), "AKIWORK");
}

#[test]
fn a_role_is_assumed_with_the_keys_that_would_be_used_otherwise() {
    const VARIABLES: [(&str, &str); 3] = [
        ("AWS_ACCESS_KEY_ID", "AKIENV"),
        ("AWS_SECRET_ACCESS_KEY", "s"),
        ("AWS_ROLE_SESSION_NAME", "of-the-environment"),
    ];
    let assumed = |more: &str, variables: Variables<'_>| {
        let auth = format!("region: eu-west-1, auth: {{aws: {{role_arn: \"arn:r\"{more}}}}}");
        let Issuer::Aws(aws) = issuer(&auth, variables) else {
            panic!("AWS");
        };
        match aws.source {
            AwsSource::AssumedRole(role) => *role,
            other => panic!("{other:?}"),
        }
    };
    let id = |source: &AwsSource| match source {
        AwsSource::Keys(keys) => keys.id.to_string(),
        other => format!("{other:?}"),
    };
    let role = assumed("", &VARIABLES);
    assert_eq!(id(&role.base), "AKIENV");
    assert_eq!((&*role.role, &*role.region), ("arn:r", "eu-west-1"));
    assert_eq!(&*role.session, "of-the-environment");
    assert_eq!((role.external_id, role.lifetime), (None, None));
    assert_eq!(
        role.endpoint.to_string(),
        "https://sts.eu-west-1.amazonaws.com/"
    );
    let role = assumed(
        ", aws_access_key_id: AKIGIVEN, aws_secret_access_key: x, external_id: e, session_name: n, session_length_seconds: 900, sts_url: \"http://sts:1\"",
        &VARIABLES,
    );
    assert_eq!(id(&role.base), "AKIGIVEN");
    assert_eq!(
        (&*role.session, role.external_id.as_deref()),
        ("n", Some("e"))
    );
    assert_eq!(role.lifetime, Some(Duration::from_secs(900)));
    assert_eq!(role.endpoint.to_string(), "http://sts:1/");
    let role = assumed("", &[]);
    assert!(matches!(role.base, AwsSource::Instance { .. }), "{role:?}");
    assert_eq!(&*role.session, "tollgate");
}

#[test]
fn issuers_have_their_usual_addresses() {
    let base = "base_url: \"https://x.example\"";
    let entra = issuer(
        &format!(
            "{base}, auth: {{entra: {{tenant: contoso.com, client_id: app, client_secret: $OPENAI_API_KEY}}}}"
        ),
        // Somebody's secret is given: what the environment vouches for is somebody else.
        &[
            ("AZURE_FEDERATED_TOKEN_FILE", "/var/token"),
            ("AZURE_AUTHORITY_HOST", "https://other"),
        ],
    );
    let Issuer::Entra(EntraIssuer::Application {
        endpoint,
        client_id,
        proof,
        scope,
    }) = entra
    else {
        panic!("{entra:?}");
    };
    assert_eq!(
        endpoint.to_string(),
        "https://login.microsoftonline.com/contoso.com/oauth2/v2.0/token"
    );
    assert_eq!(
        (&*client_id, &*scope),
        ("app", "https://cognitiveservices.azure.com/.default")
    );
    let EntraProof::Secret(secret) = proof else {
        panic!("{proof:?}");
    };
    assert_eq!(secret.expose(), "sk-from-the-environment");
    let google = issuer(&format!("{base}, auth: {{google: {{}}}}"), &[]);
    let Issuer::Google(GoogleIssuer::Metadata { endpoint }) = google else {
        panic!("{google:?}");
    };
    assert_eq!(
        endpoint.to_string(),
        "http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/token"
    );
    for auth in [
        "auth: {ibm: {api_key: $OPENAI_API_KEY}}",
        "api_key: $OPENAI_API_KEY, auth: {ibm: {}}",
    ] {
        let ibm = issuer(&format!("{base}, {auth}"), &[]);
        let Issuer::Ibm(ibm) = ibm else {
            panic!("{ibm:?}");
        };
        assert_eq!(
            ibm.endpoint.to_string(),
            "https://iam.cloud.ibm.com/identity/token"
        );
        assert_eq!(ibm.api_key.expose(), "sk-from-the-environment");
    }
}

/// Its key is not sent, but exchanged.
#[test]
fn watsonx_exchanges_its_key() {
    let text = "direct_use: true\nproviders: [{name: a, type: watsonx, region: eu-de, api_key: $OPENAI_API_KEY, params: {project_id: p}}]\n";
    let resolved = resolved(text);
    let provider = &resolved.snapshot.providers["a"];
    let tollgate_domain::Auth::Issued(issuer) = &provider.auth else {
        panic!("{:?}", provider.auth);
    };
    let Issuer::Ibm(ibm) = &**issuer else {
        panic!("{issuer:?}");
    };
    assert_eq!(ibm.api_key.expose(), "sk-from-the-environment");
    assert!(provider.keys.is_empty());
    let chat = &provider.endpoints[0];
    assert_eq!(
        chat.uri.to_string(),
        "https://eu-de.ml.cloud.ibm.com/ml/v1/text/chat?version=2025-02-06"
    );
}

#[test]
fn azures_platforms_are_found_by_what_they_say() {
    const WORKLOAD: [(&str, &str); 4] = [
        ("AZURE_FEDERATED_TOKEN_FILE", "/var/token"),
        ("AZURE_TENANT_ID", "of-the-pod"),
        ("AZURE_CLIENT_ID", "app-of-the-pod"),
        ("AZURE_AUTHORITY_HOST", "https://login.microsoftonline.us/"),
    ];
    const APP_SERVICE: [(&str, &str); 2] = [
        ("IDENTITY_ENDPOINT", "http://127.0.0.1:41000/msi/token"),
        ("IDENTITY_HEADER", "from-the-platform"),
    ];
    let found = |more: &str, variables: Variables<'_>| {
        let auth = format!("base_url: \"https://x.example\", auth: {{entra: {{{more}}}}}");
        match issuer(&auth, variables) {
            Issuer::Entra(EntraIssuer::Application {
                endpoint,
                client_id,
                proof,
                ..
            }) => {
                let EntraProof::Federated(file) = proof else {
                    panic!("{proof:?}");
                };
                format!("{endpoint} {client_id} {}", file.display())
            }
            Issuer::Entra(EntraIssuer::Managed { endpoint, header }) => {
                format!("{endpoint} {}", header.is_some())
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        found("", &[WORKLOAD.as_slice(), &APP_SERVICE].concat()),
        "https://login.microsoftonline.us/of-the-pod/oauth2/v2.0/token app-of-the-pod /var/token"
    );
    assert_eq!(
        found(
            "tenant: t, client_id: c, federated_token_file: /mine, authority: \"https://e\"",
            &WORKLOAD
        ),
        "https://e/t/oauth2/v2.0/token c /mine"
    );
    assert_eq!(
        found("", &APP_SERVICE),
        "http://127.0.0.1:41000/msi/token?api-version=2019-08-01&resource=https%3A%2F%2Fcognitiveservices%2Eazure%2Ecom true"
    );
    // Without its header it is another platform's endpoint.
    assert_eq!(
        found("client_id: c/1", &APP_SERVICE[..1]),
        "http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fcognitiveservices%2Eazure%2Ecom&client_id=c%2F1 false"
    );
    assert_eq!(
        found(
            "scope: \"api://x/.default\", metadata_url: \"http://m\"",
            &APP_SERVICE
        ),
        "http://m/metadata/identity/oauth2/token?api-version=2018-02-01&resource=api%3A%2F%2Fx false"
    );
}

/// A configuration of a federation, with another source and other addresses.
fn federation(source: &str, more: &str) -> String {
    format!(
        r#"{{"type": "external_account", "audience": "//iam/pool", "subject_token_type": "urn:jwt", "credential_source": {source}{more}}}"#
    )
}

fn external(file: &str, provider: &str) -> String {
    let file = serde_json::to_string(file).expect("a text");
    format!(
        "direct_use: true\nproviders: [{{name: a, type: custom, base_url: \"https://x.example\", {provider}auth: {{google: {{external_account: {file}}}}}}}]\n"
    )
}

fn federated(source: &str, more: &str, provider: &str) -> ExternalAccount {
    let resolved = resolved(&external(&federation(source, more), provider));
    let auth = &resolved.snapshot.providers["a"].auth;
    let tollgate_domain::Auth::Issued(issuer) = auth else {
        panic!("{auth:?}");
    };
    match &**issuer {
        Issuer::Google(GoogleIssuer::External(account)) => (**account).clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_federations_sources_are_understood() {
    let account = federated(
        r#"{"file": "/var/token", "format": {"type": "json", "subject_token_field_name": "id"}}"#,
        r#", "service_account_impersonation_url": "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/a:generateAccessToken""#,
        "",
    );
    assert_eq!(
        account.endpoint.to_string(),
        "https://sts.googleapis.com/v1/token"
    );
    let SubjectSource::File { path, format } = &account.subject else {
        panic!("{account:?}");
    };
    assert_eq!(path, Path::new("/var/token"));
    assert_eq!(*format, SubjectFormat::Json("id".into()));
    let impersonation = account.impersonation.expect("there");
    assert_eq!(impersonation.lifetime, Duration::from_secs(3600));
    // As Azure has it: its metadata service, which speaks no TLS.
    let account = federated(
        r#"{"url": "http://169.254.169.254/metadata/identity/oauth2/token?resource=r", "headers": {"Metadata": "True"}, "format": {"type": "json", "subject_token_field_name": "access_token"}}"#,
        "",
        "",
    );
    let SubjectSource::Url {
        endpoint, headers, ..
    } = &account.subject
    else {
        panic!("{account:?}");
    };
    assert_eq!(endpoint.host(), Some("169.254.169.254"));
    assert_eq!(headers[0].0, "metadata");
    assert!(!account.allows_private);
    let account = federated(
        r#"{"environment_id": "aws1", "region_url": "http://169.254.169.254/latest/meta-data/placement/availability-zone", "url": "http://169.254.169.254/latest/meta-data/iam/security-credentials"}"#,
        "",
        "",
    );
    let SubjectSource::Aws { source, region, .. } = &account.subject else {
        panic!("{account:?}");
    };
    let instance: http::Uri = "http://169.254.169.254".parse().expect("an address");
    assert_eq!(*region, AwsRegion::OfInstance(instance.clone()));
    assert_eq!(*source, AwsSource::Instance { endpoint: instance });
}

#[test]
fn a_federation_leads_into_the_private_network_only_where_that_is_allowed() {
    const FILE: &str = r#"{"file": "/var/token"}"#;
    let url = |url: &str| format!(r#"{{"url": "{url}"}}"#);
    let more = |name: &str, url: &str| format!(r#", "{name}": "{url}""#);
    let metadata = "http://169.254.169.254/x";
    for (source, more) in [
        (FILE.to_owned(), more("token_url", "http://sts.googleapis.com/v1/token")),
        (FILE.to_owned(), more("token_url", "https://10.0.0.1/v1/token")),
        (FILE.to_owned(), more("token_url", "https://localhost/v1/token")),
        (FILE.to_owned(), more("token_url", metadata)),
        (FILE.to_owned(), more("service_account_impersonation_url", metadata)),
        (FILE.to_owned(), more("service_account_impersonation_url", "https://[::1]/x")),
        (url("http://127.0.0.1:8080/token"), String::new()),
        (url("http://tokens.example.com/token"), String::new()),
        (url("https://metadata.google.internal/x"), String::new()),
        (r#"{"environment_id": "aws1", "url": "http://10.0.0.1/x"}"#.to_owned(), String::new()),
        (
            r#"{"environment_id": "aws1", "regional_cred_verification_url": "http://sts.{region}.amazonaws.com"}"#.to_owned(),
            String::new(),
        ),
    ] {
        let text = external(&federation(&source, &more), "");
        let told = refused(&text);
        assert!(told.contains("leads into the private network"), "{source} {more}: {told}");
        let account = federated(&source, &more, "private_addresses: true, ");
        assert!(account.allows_private);
    }
}

#[test]
fn what_no_federation_is_made_of_is_refused() {
    for (source, more, expected) in [
        (
            r#"{"executable": {"command": "/bin/x"}}"#,
            "",
            "no programs are run",
        ),
        (r#"{"certificate": {}}"#, "", "no certificates are shown"),
        (
            r#"{"environment_id": "azure1"}"#,
            "",
            "`environment_id` is not `aws1`",
        ),
        (
            r#"{"file": "/a", "url": "https://b.example"}"#,
            "",
            "neither a `file` nor a `url` alone",
        ),
        (
            r#"{"file": "/a", "format": {"type": "json"}}"#,
            "",
            "`subject_token_field_name`",
        ),
        (
            r#"{"file": "/a", "format": {"type": "xml"}}"#,
            "",
            "neither `text` nor `json`",
        ),
        (
            r#"{"url": "https://b.example", "headers": {"host": "x"}}"#,
            "",
            "cannot be sent",
        ),
        (
            r#"{"file": "/a"}"#,
            r#", "client_id": "x""#,
            "no OAuth client",
        ),
        (
            r#"{"file": "/a"}"#,
            r#", "service_account_impersonation_url": "https://b.example", "service_account_impersonation": {"token_lifetime_seconds": 60}"#,
            "`token_lifetime_seconds`",
        ),
    ] {
        let told = refused(&external(&federation(source, more), ""));
        assert!(told.contains(expected), "{source} {more}: {told}");
    }
}

#[test]
fn mlflows_keys_of_bedrock_are_understood() {
    let text = "endpoints:\n  - name: chat\n    endpoint_type: llm/v1/chat\n    model:\n      provider: bedrock\n      name: amazon.nova-lite-v1:0\n      config: {aws_config: {aws_region: us-west-2, aws_access_key_id: AKI1, aws_secret_access_key: s}}\n";
    let resolved = resolved(text);
    assert_eq!(warnings(&resolved), "");
    let provider = resolved.snapshot.providers.values().next().expect("one");
    assert!(format!("{:?}", provider.auth).contains("us-west-2"));
    assert_eq!(
        address(&resolved, "chat"),
        "https://bedrock-runtime.us-west-2.amazonaws.com/model/%7Bmodel%7D/converse"
    );
}

#[test]
fn mlflows_role_of_bedrock_is_assumed() {
    let text = "endpoints:\n  - name: chat\n    endpoint_type: llm/v1/chat\n    model:\n      provider: bedrock\n      name: amazon.nova-lite-v1:0\n      config: {aws_config: {aws_region: us-west-2, aws_role_arn: \"arn:aws:iam::1:role/r\", session_length_seconds: 1800}}\n";
    let resolved = resolved(text);
    assert_eq!(warnings(&resolved), "");
    let provider = resolved.snapshot.providers.values().next().expect("one");
    let tollgate_domain::Auth::Issued(issuer) = &provider.auth else {
        panic!("{:?}", provider.auth);
    };
    let Issuer::Aws(aws) = &**issuer else {
        panic!("{issuer:?}");
    };
    let AwsSource::AssumedRole(role) = &aws.source else {
        panic!("{aws:?}");
    };
    assert_eq!(&*role.role, "arn:aws:iam::1:role/r");
    assert_eq!(role.lifetime, Some(Duration::from_secs(1800)));
}
