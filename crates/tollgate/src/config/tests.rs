//! Whole files through the whole of configuration.

use std::{collections::HashMap, io};

use proptest::prelude::*;
use tollgate_domain::{Choice, DirectUse, RouteAccess, Strategy, Transport};

use super::*;

mod bedrock;
mod credentials;
mod limits;

/// An environment of its own for each test.
#[derive(Default)]
struct TestEnvironment {
    variables: HashMap<&'static str, &'static str>,
    files: HashMap<&'static str, &'static str>,
}

impl Environment for TestEnvironment {
    fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(name).map(|value| (*value).to_owned())
    }

    fn read(&self, path: &Path) -> io::Result<String> {
        let content = self.files.get(path.to_string_lossy().as_ref());
        content
            .map(|content| (*content).to_owned())
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such file"))
    }

    fn now(&self) -> Duration {
        Duration::from_secs(1_767_225_600) // 2026-01-01
    }
}

fn environment() -> TestEnvironment {
    TestEnvironment {
        variables: HashMap::from([
            ("OPENAI_API_KEY", "sk-from-the-environment"),
            ("OPENAI_API_KEY_2", "sk-from-the-environment-2"),
            ("OPENAI_ORGANIZATION", "org-1"),
            ("COLLECTOR_TOKEN", "collector"),
            ("ANTHROPIC_API_KEY", "ant-from-the-environment"),
            ("AZURE_API_KEY", "az-from-the-environment"),
            ("FIVE", "5"),
            ("EMPTY", ""),
        ]),
        files: HashMap::from([
            ("/etc/in-house.key", "from-a-file\n"),
            ("/etc/prompt.txt", "{{ input.text }}{% if %}"),
        ]),
    }
}

/// Stands in for the data plane's compiler: templates with `{% if %}` are wrong in that line.
fn check_template(template: &str) -> Result<(), TemplateProblem> {
    let wrong = template.lines().position(|line| line.contains("{% if %}"));
    wrong.map_or(Ok(()), |line| {
        Err(TemplateProblem {
            line: line + 1,
            message: "unexpected end of block".to_owned(),
        })
    })
}

fn load(text: &str) -> Result<Resolved, Diagnostics> {
    load_text(
        "tollgate.yaml",
        text,
        Path::new("/etc"),
        &environment(),
        &check_template,
    )
}

fn resolved(text: &str) -> Resolved {
    load(text).unwrap_or_else(|diagnostics| panic!("{diagnostics}"))
}

fn refused(text: &str) -> String {
    match load(text) {
        Ok(_) => panic!("taken:\n{text}"),
        Err(diagnostics) => diagnostics.to_string(),
    }
}

fn warnings(resolved: &Resolved) -> String {
    let shown: Vec<String> = resolved
        .warnings
        .iter()
        .map(Diagnostic::to_string)
        .collect();
    shown.join("\n\n")
}

/// The names of a route's targets, in order.
fn targets(resolved: &Resolved, route: &str) -> Vec<String> {
    let route = &resolved.snapshot.routes_by_name[route];
    let targets = route.strategy.targets();
    targets
        .iter()
        .map(|target| target.name.to_string())
        .collect()
}

/// The address that a route's first target is called at.
fn address(resolved: &Resolved, route: &str) -> String {
    let route = &resolved.snapshot.routes_by_name[route];
    let targets = route.strategy.targets();
    let provider = &resolved.snapshot.providers[&targets[0].provider];
    provider
        .endpoint(route.task, tollgate_domain::Dialect::OpenaiChat)
        .expect("served")
        .uri
        .to_string()
}

// === files that run ===

#[test]
fn the_article_s_file_starts_as_it_stands() {
    let resolved = resolved(include_str!("../../../../examples/article.yaml"));
    assert_eq!(
        targets(&resolved, "resilient_chat"),
        ["openai_chat/gpt-4", "anthropic_chat/claude-2"]
    );
    let local = &resolved.snapshot.providers["mlflow_local_llm"];
    assert!(matches!(local.transport, Transport::Unresolved(_)));
    assert_eq!(local.params["max_tokens"], 256);
    let openai = &resolved.snapshot.providers["openai_chat"];
    assert_eq!(openai.default_model.as_deref(), Some("gpt-3.5-turbo"));
    assert_eq!(openai.keys[0].secret.expose(), "sk-from-the-environment");
    assert!(!openai.params.contains_key("model"));
    insta::assert_snapshot!(warnings(&resolved));
}

#[test]
fn mlflow_s_file_runs_unchanged() {
    let resolved = resolved(include_str!("../../../../examples/mlflow.yaml"));
    assert_eq!(warnings(&resolved), "");
    assert_eq!(
        targets(&resolved, "split"),
        ["openai/gpt-4o-mini", "anthropic/claude-sonnet-4-5"]
    );
    let split = &resolved.snapshot.routes_by_name["split"].strategy;
    let weights: Vec<u32> = split.choices().iter().map(Choice::weight).collect();
    assert!(matches!(split, Strategy::Ratio { .. }) && weights == [80, 20]);
    assert_eq!(
        address(&resolved, "scored-here"),
        "http://127.0.0.1:5001/invocations"
    );
    assert_eq!(
        address(&resolved, "local-embeddings"),
        "http://127.0.0.1:11434/api/embed"
    );
}

#[test]
fn the_full_example_is_understood() {
    let resolved = resolved(include_str!("../../../../examples/tollgate.yaml"));
    assert_eq!(warnings(&resolved), "");
    assert_eq!(resolved.files, [Path::new("/etc/in-house.key")]);
    assert_eq!(
        targets(&resolved, "experiment"),
        [
            "openai/gpt-4o-mini",
            "local/llama-3.3-70b",
            "in-house/new-model"
        ]
    );
    assert_eq!(
        address(&resolved, "embeddings"),
        "https://models.example.com/api/v1/embed/%7Bmodel%7D?tenant=blue"
    );
    let in_house = &resolved.snapshot.providers["in-house"];
    assert_eq!(in_house.keys[0].secret.expose(), "from-a-file");
    let azure = resolved.snapshot.providers["azure"]
        .endpoint(
            tollgate_domain::Task::Chat,
            tollgate_domain::Dialect::OpenaiChat,
        )
        .expect("serves chat");
    assert_eq!(
        azure.uri.to_string(),
        "https://example.openai.azure.com/openai/deployments/%7Bmodel%7D/chat/completions?api-version=2024-10-21"
    );
    let team = resolved
        .snapshot
        .keys
        .values()
        .find(|key| key.name.as_str() == "team-a")
        .expect("there");
    assert!(team.routes.allows("chat") && !team.routes.allows("experiment"));
    assert_eq!(
        resolved.snapshot.limits,
        tollgate_domain::Limits::default(),
        "the example shows what is usual"
    );
}

#[test]
fn the_demo_runs_without_anything() {
    let resolved = load_demo(&TestEnvironment::default(), &|_| Ok(())).expect("no mistakes");
    assert_eq!(warnings(&resolved), "");
    assert_eq!(resolved.snapshot.direct_use, DirectUse::Allowed);
    for route in [
        "demo",
        "demo-failover",
        "demo-completions",
        "demo-embeddings",
    ] {
        assert!(!targets(&resolved, route).is_empty());
    }
}

#[test]
fn examples_fit_the_published_schema() {
    let validator = jsonschema::validator_for(&schema()).expect("a schema");
    for text in [
        include_str!("../../../../examples/article.yaml"),
        include_str!("../../../../examples/tollgate.yaml"),
        demo::TEXT,
    ] {
        let value: serde_json::Value = serde_saphyr::from_str(text).expect("YAML");
        if let Err(error) = validator.validate(&value) {
            panic!("{error} at {}", error.instance_path());
        }
    }
}

#[test]
fn the_schema_is_as_it_was() {
    insta::assert_json_snapshot!(schema());
}

// === values from outside ===

#[test]
fn values_are_taken_from_outside() {
    let resolved = resolved(
        r#"
providers:
  - {name: a, type: custom, base_url: "http://h:{{ env.FIVE }}/v{{env.FIVE}}", api_key: $OPENAI_API_KEY}
  - {name: b, type: custom, base_url: http://h, api_key: $$OPENAI_API_KEY}
  - {name: c, type: custom, base_url: http://h, api_key: "${OPENAI_API_KEY}"}
  - {name: d, type: custom, base_url: http://h, api_key: "file:in-house.key"}
routes:
  - name: r
    prompt_template: "{{ env.FIVE }} {{ input.text }} $FIVE"
    retries: {attempts_max: "{{ env.FIVE }}"}
    model: {strategy: {type: ordered, models: [{provider: a, name: m}, {provider: b, name: m}, {provider: c, name: m}, {provider: d, name: m}]}}
"#,
    );
    let secret = |name: &str| {
        let provider = &resolved.snapshot.providers[name];
        provider.keys[0].secret.expose().to_owned()
    };
    assert_eq!(address(&resolved, "r"), "http://h:5/v5/chat/completions");
    assert_eq!(secret("a"), "sk-from-the-environment");
    assert_eq!(secret("b"), "$OPENAI_API_KEY");
    assert_eq!(secret("c"), "sk-from-the-environment");
    assert_eq!(secret("d"), "from-a-file");
    let route = &resolved.snapshot.routes_by_name["r"];
    assert_eq!(route.retries.attempts_max, 5);
    assert_eq!(
        route.prompt,
        Some(tollgate_domain::Prompt::Text(
            "5 {{ input.text }} $FIVE".into()
        ))
    );
}

#[test]
fn mlflow_takes_a_file_s_content_for_its_path() {
    let resolved = resolved(
        "
endpoints:
  - name: a
    endpoint_type: llm/v1/chat
    model: {provider: openai, name: m, config: {openai_api_key: in-house.key}}
",
    );
    let provider = &resolved.snapshot.providers["openai"];
    assert_eq!(provider.keys[0].secret.expose(), "from-a-file");
    assert_eq!(resolved.files, [Path::new("/etc/in-house.key")]);
}

// === other forms ===

#[test]
fn routes_of_before_mlflow_2_9_bring_their_providers() {
    let resolved = resolved(
        "
routes:
  - name: old
    route_type: llm/v1/chat
    model: {provider: openai, name: m, config: {openai_api_key: $OPENAI_API_KEY}}
  - name: old-too
    route_type: llm/v1/completions
    model: {provider: openai, name: n, config: {openai_api_key: $OPENAI_API_KEY}}
  - name: new
    model: {provider: demo, name: x}
",
    );
    assert_eq!(resolved.snapshot.providers.len(), 2);
    assert_eq!(targets(&resolved, "old-too"), ["openai/n"]);
    assert_eq!(targets(&resolved, "new"), ["demo/x"]);
}

#[test]
fn mlflow_s_kinds_of_openai_become_azure() {
    let resolved = resolved(
        "
endpoints:
  - name: a
    endpoint_type: llm/v1/chat
    model:
      provider: openai
      name: gpt-4
      config: {openai_api_type: azuread, openai_api_key: k, openai_api_base: 'https://x.example',
               openai_deployment_name: my dep, openai_api_version: 2024-02-01}
",
    );
    assert_eq!(
        address(&resolved, "a"),
        "https://x.example/openai/deployments/my%20dep/chat/completions?api-version=2024-02-01"
    );
    let azure = &resolved.snapshot.providers["azure"];
    assert!(!azure.quirks.model_in_body);
    assert!(
        matches!(&azure.auth, tollgate_domain::Auth::Header { name, .. } if name == "authorization")
    );
}

#[test]
fn azures_responses_are_asked_where_its_version_has_them() {
    use tollgate_domain::{BodyModel, Dialect, Endpoint, Task};
    let responses = |settings: &str| -> Option<Endpoint> {
        let resolved = resolved(&format!(
            "direct_use: true\nproviders: [{{name: a, type: azure, api_key: $AZURE_API_KEY, base_url: \"https://x.example\", {settings}}}]\n"
        ));
        let endpoints = &resolved.snapshot.providers["a"].endpoints;
        let chats = endpoints
            .iter()
            .filter(|endpoint| endpoint.task == Task::Chat);
        let mut chats = chats.cloned();
        let first = chats.next().expect("a chat");
        assert_eq!(first.dialect, Dialect::OpenaiChat, "{settings}");
        let next = chats.next();
        if next.is_some() && settings.contains("api_version") {
            assert_eq!(first.model, BodyModel::Unnamed, "{settings}");
        }
        next
    };
    for version in ["2024-10-21", "2025-02-01-preview"] {
        assert_eq!(responses(&format!("api_version: \"{version}\"")), None);
    }
    assert_eq!(responses("deployment: d"), None);
    for (settings, uri, model) in [
        (
            "api_version: 2025-03-01-preview",
            "https://x.example/openai/responses?api-version=2025-03-01-preview",
            BodyModel::Asked,
        ),
        (
            "api_version: 2025-04-01-preview, deployment: my dep",
            "https://x.example/openai/responses?api-version=2025-04-01-preview",
            BodyModel::Fixed("my dep".into()),
        ),
        (
            "query: {}",
            "https://x.example/openai/v1/responses",
            BodyModel::Asked,
        ),
    ] {
        let endpoint = responses(settings).expect("responses");
        assert_eq!(
            (endpoint.uri.to_string().as_str(), endpoint.model),
            (uri, model)
        );
    }
}

#[test]
fn what_mlflow_passes_over_is_a_warning() {
    let resolved = resolved(
        "
endpoints:
  - name: a
    endpoint_type: llm/v1/chat
    model: {provider: openai, name: m, config: {openai_api_key: $OPENAI_API_KEY, openai_api_bse: http://x}}
    limit: {calls: 2, renewal_period: minute}
rate_limit: 3
",
    );
    insta::assert_snapshot!(warnings(&resolved));
}

#[test]
fn a_key_s_name_is_no_secret_and_its_text_is_one() {
    let file = |entry: &str| {
        format!(
            "
providers: [{{name: mine, type: vllm, base_url: 'http://127.0.0.1:8000/v1'}}]
routes: [{{name: a, model: {{provider: mine, name: m}}}}]
{entry}
"
        )
    };
    let limit = "limits: [{name: few, of: {key: limited, token: hidden}, requests: 1, per: day}]";
    let told = refused(&file(limit));
    assert!(told.contains("of: {key: limited, token: ***}"), "{told}");
    for kept in ["0d", "60s", "23h"] {
        let told = refused(&file(&format!("payloads: {{keep: all, kept_for: {kept}}}")));
        assert!(told.contains("kept for a day at least"), "{told}");
    }
}

// === the revision ===

#[test]
fn a_revision_names_what_is_configured() {
    let base = "providers: [{name: a, type: openai, api_key: one}]\nroutes: [{name: r, model: {provider: a, name: m}}]";
    let revision = |text: &str| resolved(text).snapshot.revision.to_string();
    let first = revision(base);
    assert_eq!(first.len(), 12);
    for same in [
        base.replace("api_key: one", "api_key: two"),
        base.replace("name: a, type: openai", "type: openai, name: a"),
        format!("# a comment\n{base}"),
    ] {
        assert_eq!(revision(&same), first, "{same}");
    }
    for other in [
        base.replace("name: m", "name: n"),
        format!(
            "{base}\nkeys: [{{name: k, hash: 'sha256:{}'}}]",
            "0".repeat(64)
        ),
        format!("{base}\nserver: {{limits: {{json_depth: 64}}}}"),
    ] {
        assert_ne!(revision(&other), first, "{other}");
    }
}

// === loopback only, unless there are keys ===

#[test]
fn strangers_are_served_only_with_keys_or_consent() {
    let with = |text: &str| {
        let resolved = resolved(text);
        check_listen(resolved.server, resolved.snapshot.who_may_call)
    };
    let key = format!("keys: [{{name: k, hash: 'sha256:{}'}}]", "0".repeat(64));
    assert!(with("direct_use: true").is_ok());
    assert!(with("direct_use: true\nserver: {listen: '[::1]:5000'}").is_ok());
    assert!(with("direct_use: true\nserver: {listen: 0.0.0.0:5000, public: true}").is_ok());
    assert!(
        with(&format!(
            "direct_use: true\nserver: {{listen: 0.0.0.0:5000}}\n{key}"
        ))
        .is_ok()
    );
    let refusal = with("direct_use: true\nserver: {listen: 0.0.0.0:5000}").expect_err("refused");
    insta::assert_snapshot!(refusal.to_string());
}

#[test]
fn keys_open_routes_by_any_of_their_names() {
    let resolved = resolved(&format!(
        "
providers: [{{name: a, type: demo, params: {{model: m}}}}]
routes:
  - {{name: r, aliases: [vendor/r], model: {{provider: a}}}}
  - {{name: s, model: {{provider: a}}}}
keys:
  - {{name: k, hash: 'sha256:{}', routes: [vendor/r]}}
  - {{name: l, hash: 'sha256:{}', expires: 2026-01-02}}
",
        "0".repeat(64),
        "1".repeat(64)
    ));
    let key = |name: &str| {
        let mut keys = resolved.snapshot.keys.values();
        keys.find(|key| key.name.as_str() == name).expect("there")
    };
    assert!(key("k").routes.allows("r") && !key("k").routes.allows("s"));
    assert_eq!(key("l").routes, RouteAccess::All);
    assert_eq!(
        key("l").expires_at,
        Some(environment().now() + Duration::from_secs(86_400))
    );
}

// === mistakes, one at a time ===

#[test]
fn mistakes_fit_on_one_line_each() {
    let diagnostics = load("server: {}\nlog: {level: loud}\nlogs: 1\n").expect_err("mistakes");
    let lines: Vec<String> = diagnostics.iter().map(Diagnostic::one_line).collect();
    assert_eq!(
        lines,
        [
            "tollgate.yaml:2:14: error: `level` cannot be `loud`",
            "tollgate.yaml:3:1: error: unknown key `logs`",
        ]
    );
}

/// Each case is a file with one mistake. The snapshot shows how it is told.
macro_rules! mistakes {
    ($($name:ident: $text:expr;)*) => {
        $(#[test]
        fn $name() {
            insta::assert_snapshot!(refused($text));
        })*
    };
}

/// A file with one provider and what a test adds to it.
macro_rules! with_provider {
    ($more:expr) => {
        concat!(
            "providers:\n  - name: a\n    type: openai\n    api_key: $OPENAI_API_KEY\n",
            $more
        )
    };
}

/// A file with one provider that has further settings.
macro_rules! provider {
    ($settings:expr) => {
        concat!("direct_use: true\nproviders:\n  - name: a\n", $settings)
    };
}

mistakes! {
    empty_file: "";
    not_a_map: "- a\n- b\n";
    not_yaml: "providers:\n  - name: a\n   type: openai\n";
    not_yaml_because_of_a_tab: "providers:\n\t- name: a\n";
    not_yaml_because_of_braces: "routes:\n  - name: {{ env.A }}/b\n";
    two_documents: "direct_use: true\n---\ndirect_use: false\n";
    key_twice: "direct_use: true\nlog: {}\ndirect_use: false\n";
    braces_without_quotes: provider!("    type: openai\n    api_key: {{ env.OPENAI_API_KEY }}\n");
    unknown_key: provider!("    type: demo\n    timeout: {connect: 5s}\n");
    unknown_key_without_likeness: "providrs: []\nzzz: 1\n";
    unknown_key_that_may_be_a_secret: provider!("    type: openai\n    api_kye: hunter2hunter2\n");
    missing_key: "providers:\n  - type: demo\n";
    missing_model: with_provider!("routes:\n  - name: r\n");
    wrong_kind_of_value: "direct_use: yes\n";
    wrong_kind_of_list: "providers: {name: a, type: demo}\n";
    text_without_quotes: provider!("    type: demo\n    params: {model: m}\n    api_version: 2024\n");
    unknown_word: with_provider!("routes:\n  - {name: r, route_type: llm/v1/chats, model: {provider: a, name: m}}\n");
    neither_word_nor_map: provider!("    type: openai\n    api_key: $OPENAI_API_KEY\n    auth: baerer\n");
    number_out_of_range: "server: {limits: {json_depth: 100000}}\n";
    time_without_unit: "server: {limits: {drain_timeout: 30}}\n";
    time_of_zero: provider!("    type: demo\n    timeouts: {connect: 0s}\n");
    size_with_unknown_unit: "server: {limits: {body: 32 apples}}\n";
    variable_not_set: provider!("    type: openai\n    api_key: \"{{ env.OPENAI_KEY }}\"\n");
    variable_not_set_in_a_list: provider!("    type: openai\n    api_keys:\n      - $OPENAI_API_KEY\n      - {key: $NOT_THERE}\n");
    variable_with_a_wrong_name: provider!("    type: openai\n    api_key: \"{{ env.OPENAI-KEY }}\"\n");
    variable_that_is_empty: provider!("    type: openai\n    api_key: $EMPTY\n");
    value_from_outside_is_not_shown: provider!("    type: \"{{ env.OPENAI_API_KEY }}\"\n");
    file_not_there: provider!("    type: openai\n    api_key: file:not-there.key\n");
    listen_at_no_address: "server: {listen: \"example.com:80\"}\n";
    provider_without_key: provider!("    type: openai\n");
    provider_with_two_kinds_of_keys: provider!("    type: openai\n    api_key: aaaa\n    api_keys: [bbbb]\n");
    provider_key_with_a_line_end: provider!("    type: openai\n    api_key: \"aaaa\\nbbbb\"\n");
    provider_of_unknown_kind: provider!("    type: opneai\n");
    watsonx_without_region: provider!("    type: watsonx\n    api_key: $OPENAI_API_KEY\n    params: {space_id: s}\n");
    watsonx_without_project: provider!("    type: watsonx\n    api_key: $OPENAI_API_KEY\n    region: us-south\n");
    watsonx_without_key: provider!("    type: watsonx\n    region: us-south\n    params: {project_id: p}\n");
    watsonx_with_several_keys: provider!("    type: watsonx\n    api_keys: [aaaa, bbbb]\n    region: us-south\n    params: {project_id: p}\n");
    bedrock_without_region: provider!("    type: bedrock\n    api_key: aaaa\n");
    region_that_is_none: provider!("    type: bedrock\n    api_key: aaaa\n    region: \"us-east-1.evil.example/\"\n");
    half_a_pair_of_aws_keys: provider!("    type: bedrock\n    region: us-east-1\n    auth: {aws: {aws_secret_access_key: hunter2}}\n");
    aws_profile_that_is_not_there: provider!("    type: bedrock\n    region: us-east-1\n    auth: {aws: {profile: nobody}}\n");
    key_beside_an_issuer: provider!("    type: bedrock\n    region: us-east-1\n    api_key: aaaa\n    auth: aws\n");
    service_account_that_is_none: provider!("    type: custom\n    base_url: http://a\n    auth: {google: {service_account: \"hunter2\"}}\n");
    external_account_that_is_none: provider!("    type: custom\n    base_url: http://a\n    auth: {google: {external_account: \"hunter2\"}}\n");
    ibm_without_key: provider!("    type: custom\n    base_url: http://a\n    auth: {ibm: {}}\n");
    ibm_with_several_keys: provider!("    type: custom\n    base_url: http://a\n    api_keys: [aaaa, bbbb]\n    auth: {ibm: {}}\n");
    ibm_with_two_keys: provider!("    type: custom\n    base_url: http://a\n    api_key: aaaa\n    auth: {ibm: {api_key: hunter2}}\n");
    entra_with_two_proofs: provider!("    type: custom\n    base_url: http://a\n    auth: {entra: {tenant: t, client_id: c, client_secret: hunter2, federated_token_file: /token}}\n");
    entra_of_nobody: provider!("    type: custom\n    base_url: http://a\n    auth: {entra: {client_secret: hunter2}}\n");
    terms_of_no_role: provider!("    type: bedrock\n    region: us-east-1\n    auth: {aws: {external_id: x, web_identity_token_file: /token}}\n");
    entra_without_secret: provider!("    type: custom\n    base_url: http://a\n    auth: {entra: {tenant: t, client_id: c}}\n");
    provider_not_spoken_yet: provider!("    type: sap_ai_core\n");
    provider_name_with_a_slash: "direct_use: true\nproviders: [{name: a/b, type: demo}]\n";
    provider_twice: "direct_use: true\nproviders: [{name: a, type: demo}, {name: a, type: demo}]\n";
    provider_without_address: provider!("    type: azure\n    api_key: $AZURE_API_KEY\n");
    vertex_without_project_and_location: provider!("    type: vertex\n    api_key: $OPENAI_API_KEY\n");
    vertex_of_a_place_that_is_none: provider!("    type: vertex\n    api_key: $OPENAI_API_KEY\n    project: p\n    location: us/central1\n");
    project_of_another_kind: provider!("    type: gemini\n    api_key: $OPENAI_API_KEY\n    project: p\n");
    provider_with_two_addresses: provider!("    type: custom\n    base_url: http://a\n    api_base: http://b\n");
    address_without_scheme: provider!("    type: custom\n    base_url: localhost:8000/v1\n");
    address_with_password: provider!("    type: custom\n    base_url: https://user:hunter2@example.com\n");
    address_with_a_key: provider!("    type: custom\n    base_url: https://example.com/v1?api_key=hunter2\n");
    query_with_a_key: provider!("    type: custom\n    base_url: https://example.com\n    query: {key: hunter2}\n");
    setting_of_another_kind: provider!("    type: openai\n    api_key: k\n    api_version: 2024-10-21\n");
    path_that_is_not_served: provider!("    type: openai\n    api_key: k\n    paths: {predict: /predict}\n");
    header_of_ours: provider!("    type: demo\n    headers: {content-length: \"5\"}\n");
    header_that_is_none: provider!("    type: demo\n    auth: {header: \"x y\"}\n");
    registry_uri_that_is_none: provider!("    type: mlflow\n    model_uri: runs:/abc/model\n");
    model_that_is_no_text: provider!("    type: demo\n    params: {model: 4}\n");
    route_twice: with_provider!("routes:\n  - {name: r, model: {provider: a, name: m}}\n  - {name: s, aliases: [r], model: {provider: a, name: m}}\n");
    route_name_with_spaces: with_provider!("routes:\n  - {name: my route, model: {provider: a, name: m}}\n");
    route_of_unknown_provider: with_provider!("routes:\n  - {name: r, model: {provider: anthropic, name: m}}\n");
    route_of_misspelt_provider: "providers: [{name: openai_chat, type: demo}]\nroutes:\n  - {name: r, model: {provider: open_ai_chat, name: m}}\n";
    route_without_provider: with_provider!("routes:\n  - {name: r, model: {name: m}}\n");
    route_without_model_name: with_provider!("routes:\n  - {name: r, model: {provider: a}}\n");
    route_that_is_not_served: "providers: [{name: a, type: anthropic, api_key: $ANTHROPIC_API_KEY}]\nroutes:\n  - {name: r, route_type: llm/v1/embeddings, model: {provider: a, name: m}}\n";
    route_with_model_among_params: with_provider!("routes:\n  - {name: r, params: {model: x}, model: {provider: a, name: m}}\n");
    issuer_that_accepts_no_algorithm: with_provider!("routes:\n  - {name: r, model: {provider: a, name: m}}\nissuers:\n  - {name: login, issuer: \"https://a\", audience: b, algorithms: []}\n");
    key_called_as_a_caller_with_a_token: with_provider!("routes:\n  - {name: r, model: {provider: a, name: m}}\nissuers:\n  - {name: login, issuer: \"https://a\", audience: b}\nkeys:\n  - {name: \"login:ann\", hash: \"sha256:60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752\"}\n");
    key_of_a_model_that_is_none: with_provider!("routes:\n  - {name: r, model: {provider: a, name: m}}\nkeys:\n  - {name: k, models: [\"a*b\"], hash: \"sha256:60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752\"}\n");
    limit_on_nothing: with_provider!("routes:\n  - {name: r, model: {provider: a, name: m}}\nlimits:\n  - {name: l, per: minute}\n");
    limit_on_two_things: with_provider!("routes:\n  - {name: r, model: {provider: a, name: m}}\nlimits:\n  - {name: l, requests: 1, tokens: 2, per: minute}\n");
    limit_without_a_time: with_provider!("routes:\n  - {name: r, model: {provider: a, name: m}}\nlimits:\n  - {name: l, requests: 1}\n");
    limit_of_calls_at_once_in_a_time: with_provider!("routes:\n  - {name: r, model: {provider: a, name: m}}\nlimits:\n  - {name: l, concurrent: 1, per: minute}\n");
    limit_in_no_time: with_provider!("routes:\n  - {name: r, model: {provider: a, name: m}}\nlimits:\n  - {name: l, requests: 1, per: fortnight}\n");
    limit_in_no_zone: with_provider!("routes:\n  - {name: r, model: {provider: a, name: m}}\nlimits:\n  - {name: l, requests: 1, per: day, time_zone: Mars/Olympus}\n");
    limit_with_a_zone_for_minutes: with_provider!("routes:\n  - {name: r, model: {provider: a, name: m}}\nlimits:\n  - {name: l, requests: 1, per: minute, time_zone: Europe/Rome}\n");
    limit_of_unknown_key: with_provider!("store: {url: none}\nroutes:\n  - {name: r, model: {provider: a, name: m}}\nlimits:\n  - {name: l, of: {key: k}, requests: 1, per: minute}\n");
    limit_of_unknown_route: with_provider!("routes:\n  - {name: r, model: {provider: a, name: m}}\nlimits:\n  - {name: l, of: {route: rr}, requests: 1, per: minute}\n");
    limit_twice: with_provider!("routes:\n  - {name: r, model: {provider: a, name: m}}\nlimits:\n  - {name: l, requests: 1, per: minute}\nbudgets:\n  - {name: l, dollars: 1, per: day}\n");
    budget_that_is_too_fine: with_provider!("routes:\n  - {name: r, model: {provider: a, name: m}}\nbudgets:\n  - {name: b, dollars: 0.0000000000001, per: day}\n");
    budget_without_books: with_provider!("routes:\n  - {name: r, model: {provider: a, name: m}}\nstore: {url: none}\nbudgets:\n  - {name: b, dollars: 1, per: day}\n");
    store_of_no_kind: with_provider!("routes:\n  - {name: r, model: {provider: a, name: m}}\nstore: {url: \"mysql://x\"}\n");
    calls_kept_for_hours: with_provider!("routes:\n  - {name: r, model: {provider: a, name: m}}\nstore: {calls_kept: 6h}\n");
    payloads_kept_longer_than_calls: with_provider!("routes:\n  - {name: r, model: {provider: a, name: m}}\nstore: {calls_kept: 7d}\npayloads: {keep: all, kept_for: 8d}\n");
    payloads_kept_as_usual_and_calls_for_less: with_provider!("routes:\n  - {name: r, model: {provider: a, name: m}}\nstore: {calls_kept: 7d}\npayloads: {keep: all}\n");
    price_of_unknown_provider: with_provider!("routes:\n  - {name: r, model: {provider: a, name: m}}\nprices:\n  - {provider: b, model: m, input: 1}\n");
    price_that_is_too_fine: with_provider!("routes:\n  - {name: r, model: {provider: a, name: m}}\nprices:\n  - {provider: a, model: m, input: 0.12345678}\n");
    price_below_zero: with_provider!("routes:\n  - {name: r, model: {provider: a, name: m}}\nprices:\n  - {provider: a, model: m, input: -1}\n");
    price_of_nothing: with_provider!("routes:\n  - {name: r, model: {provider: a, name: m}}\nprices:\n  - {provider: a, model: m}\n");
    price_of_unknown_case: with_provider!("routes:\n  - {name: r, model: {provider: a, name: m}}\nprices:\n  - {provider: a, model: m, \"input@soon\": 1, \"output>many\": 2, \"provider@flex\": b, \"output@flex\": 3}\n");
    price_twice: with_provider!("routes:\n  - {name: r, model: {provider: a, name: m}}\nprices:\n  - {provider: a, model: m, input: 1}\n  - {provider: a, model: m, output: 1}\n");
    strategy_beside_provider: with_provider!("routes:\n  - {name: r, model: {provider: a, strategy: {type: single, models: [{provider: a, name: m}]}}}\n");
    strategy_without_models: with_provider!("routes:\n  - {name: r, model: {strategy: {type: ordered, models: []}}}\n");
    strategy_of_unknown_rule: "providers: [{name: a, type: demo}]\nroutes:\n  - {name: chat, model: {strategy: {type: orderd, models: [{provider: nope, name: x}]}}}\n";
    strategy_of_one_with_two: with_provider!("routes:\n  - {name: r, model: {strategy: {type: single, models: [{provider: a, name: m}, {provider: a, name: n}]}}}\n");
    strategy_with_weights_of_zero: with_provider!("routes:\n  - {name: r, model: {strategy: {type: ratio, models: [{provider: a, name: m, weight: 0}]}}}\n");
    strategy_nested_twice: with_provider!("routes:\n  - name: r\n    model:\n      strategy:\n        type: ratio\n        models:\n          - strategy:\n              type: ordered\n              models:\n                - strategy: {type: single, models: [{provider: a, name: m}]}\n");
    sticky_without_ratio: with_provider!("routes:\n  - {name: r, model: {strategy: {type: ordered, sticky: user, models: [{provider: a, name: m}]}}}\n");
    backoff_longer_than_its_bound: with_provider!("routes:\n  - {name: r, retries: {backoff: 1m}, model: {provider: a, name: m}}\n");
    template_that_does_not_compile: with_provider!("routes:\n  - name: r\n    prompt_template: |\n      Answer:\n      {% if %}\n      done\n    model: {provider: a, name: m}\n");
    template_from_a_file_that_does_not_compile: with_provider!("routes:\n  - name: r\n    prompt_template: file:prompt.txt\n    model: {provider: a, name: m}\n");
    template_message_that_does_not_compile: with_provider!("routes:\n  - name: r\n    prompt_template: [{role: system, content: \"{% if %}\"}, \"{{ input.messages }}\"]\n    model: {provider: a, name: m}\n");
    template_message_that_is_a_text: with_provider!("routes:\n  - name: r\n    prompt_template: [\"Be kind.\"]\n    model: {provider: a, name: m}\n");
    template_of_messages_for_completions: with_provider!("routes:\n  - name: r\n    route_type: llm/v1/completions\n    prompt_template: [{role: user, content: x}]\n    model: {provider: a, name: m}\n");
    template_for_embeddings: with_provider!("routes:\n  - {name: r, route_type: llm/v1/embeddings, prompt_template: x, model: {provider: a, name: m}}\n");
    key_instead_of_its_hash: "direct_use: true\nkeys:\n  - {name: k, hash: tg_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}\n";
    key_of_unknown_route: "direct_use: true\nkeys:\n  - {name: k, hash: \"sha256:0000000000000000000000000000000000000000000000000000000000000000\", routes: [chat]}\n";
    key_twice_in_the_list: "direct_use: true\nkeys:\n  - {name: k, hash: \"sha256:0000000000000000000000000000000000000000000000000000000000000000\"}\n  - {name: k, hash: \"sha256:0000000000000000000000000000000000000000000000000000000000000000\"}\n";
    key_with_a_wrong_date: "direct_use: true\nkeys:\n  - {name: k, hash: \"sha256:0000000000000000000000000000000000000000000000000000000000000000\", expires: next week}\n";
    mlflow_kind_not_spoken_yet: "endpoints:\n  - {name: a, endpoint_type: llm/v1/chat, model: {provider: litellm, name: m, config: {litellm_api_key: $OPENAI_API_KEY}}}\n";
    mlflow_without_type: "endpoints:\n  - {name: a, model: {provider: openai, name: m, config: {openai_api_key: $OPENAI_API_KEY}}}\n";
    mlflow_unset_variable: "endpoints:\n  - {name: a, endpoint_type: llm/v1/chat, model: {provider: openai, name: m, config: {openai_api_key: $NOT_THERE}}}\n";
    mlflow_percentages: "endpoints:\n  - {name: a, endpoint_type: llm/v1/chat, model: {provider: ollama, name: m}}\nroutes:\n  - {name: s, task_type: llm/v1/chat, destinations: [{name: a, traffic_percentage: 80}, {name: a, traffic_percentage: 30}]}\n";
    mlflow_unknown_destination: "endpoints:\n  - {name: chat, endpoint_type: llm/v1/chat, model: {provider: ollama, name: m}}\nroutes:\n  - {name: s, task_type: llm/v1/chat, destinations: [{name: chatt, traffic_percentage: 100}]}\n";
    mlflow_destination_of_another_type: "endpoints:\n  - {name: e, endpoint_type: llm/v1/embeddings, model: {provider: ollama, name: m}}\nroutes:\n  - {name: s, task_type: llm/v1/chat, destinations: [{name: e, traffic_percentage: 100}]}\n";
}

#[test]
fn all_mistakes_are_told_in_one_run() {
    insta::assert_snapshot!(refused(
        r#"server: {listen: everywhere}
providers:
  - name: one
    type: opnai
    api_key: sk-live-1234567890   # the production key, sk-live-1234567890
  - name: two
    type: anthropic
    api_key: "{{ env.NOT_THERE }}"
    tiemouts: {connect: 5s}
  - name: three
    type: custom
    base_url: example.com
routes:
  - name: chat
    route_type: llm/v1/chat
    model: {provider: tow, name: m}
  - name: chat
    model:
      strategy:
        type: ratio
        models:
          - {provider: one, name: m, weight: -1}
          - {provider: two}
    prompt_template: |
      {% if %}
keys:
  - {name: k, hash: tg_secretsecretsecret, routes: [chta]}
"#
    ));
}

// === secrets stay secret ===

/// Letters and digits that stand for a literal credential.
fn secret_text() -> impl proptest::strategy::Strategy<Value = String> {
    "[a-z0-9]{12,24}zq7"
}

/// Places where a credential may stand.
const SECRET_PLACES: &[&str] = &[
    "providers: [{name: a, type: nonsense, api_key: SECRET}]",
    "providers:\n  - name: a\n    type: openai\n    api_key: SECRET # SECRET\n    base_url: nonsense\n",
    "providers:\n  - name: a\n    type: openai\n    api_key: |\n      SECRET\n      nonsense\n    extra: 1\n",
    "providers: [{name: a, type: openai, api_keys: [SECRET, {key: SECRET, weight: 0}], extra: 1}]",
    "providers: [{name: a, type: openai, api_kee: SECRET}]",
    "providers: [{name: a, type: openai, api_key: [SECRET]}]",
    "providers: [{name: a, type: openai, api_key: {SECRET: SECRET}}]",
    "providers: [{name: a, type: openai, api_key: \"SECRET\"}",
    "providers:\n  - name: a\n   api_key: SECRET\n",
    "providers:\n  - name: a\n    api_key: SECRET\n   type: x\n",
    "providers:\n  - api_key: SECRET\n    api_key: SECRET\n",
    "providers: [{name: a, type: custom, base_url: \"https://u:SECRET@h/\"}]",
    "providers: [{name: a, type: demo, headers: {authorization: SECRET, x-my-token: SECRET, host: x}}]",
    "providers: [{name: a, type: demo, query: {key: SECRET}, extra: 1}]",
    "x-a: &a SECRET\nproviders: [{name: a, type: x, api_key: *a}]",
    "providers: [{name: a, type: custom, auth: {ibm: {api_key: SECRET, iam: x}}}]",
    "direct_use: true\nproviders: [{name: a, type: custom, base_url: \"https://h\", api_key: SECRET, auth: {ibm: {}}}]",
    "providers: [{name: a, type: custom, auth: {entra: {client_secret: SECRET, federated_token_file: x}}}]",
    "keys: [{name: k, hash: SECRET}]",
    "keys: [{name: k, hash: tg_SECRET, routes: SECRET_}]",
    "endpoints: [{name: a, endpoint_type: x, model: {provider: openai, config: {openai_api_key: SECRET, opena_api_key: SECRET}}}]",
    "providers: [{name: a, type: sk-SECRET}]",
    "routes: [{name: sk-SECRET, sk-SECRET: 1}]",
    "direct_use: true\nproviders: [{name: a, type: openai, api_key: SECRET, headers: {authorization: SECRET}}]",
    "providers: [{name: a, type: custom, base_url: \"https://h/?key=SECRET\"}]",
    "direct_use: true\nproviders: [{name: a, type: custom, base_url: \"https://h\", query: {token: SECRET}}]",
];

proptest! {
    #[test]
    fn literal_secrets_are_never_shown(secret in secret_text(), place in 0..SECRET_PLACES.len()) {
        let text = SECRET_PLACES[place].replace("SECRET_", "x").replace("SECRET", &secret);
        let shown = match load(&text) {
            Ok(resolved) => format!("{resolved:?} {}", warnings(&resolved)),
            Err(diagnostics) => format!("{diagnostics} {diagnostics:?}"),
        };
        prop_assert!(!shown.contains(&secret), "{shown}");
    }

    #[test]
    fn values_from_outside_are_never_shown(place in 0..SECRET_PLACES.len(), reference in 0..3_usize) {
        let reference = ["\"{{ env.OPENAI_API_KEY }}\"", "$OPENAI_API_KEY", "\"file:in-house.key\""][reference];
        let text = SECRET_PLACES[place].replace("\"SECRET\"", "SECRET").replace("SECRET", reference);
        let shown = match load(&text) {
            Ok(resolved) => format!("{resolved:?} {}", warnings(&resolved)),
            Err(diagnostics) => format!("{diagnostics} {diagnostics:?}"),
        };
        prop_assert!(!shown.contains("sk-from-the-environment") && !shown.contains("from-a-file"), "{shown}");
    }

    // === foreign bytes ===

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,200}") {
        drop(load(&text));
    }

    #[test]
    fn no_arrangement_of_known_words_makes_it_panic(
        words in proptest::collection::vec(0..WORDS.len(), 0..40),
    ) {
        let text: String = words.into_iter().map(|word| WORDS[word]).collect();
        drop(load(&text).map_err(|diagnostics| diagnostics.to_string()));
    }

    #[test]
    fn no_damage_to_a_file_makes_it_panic(at in 0..4096_usize, bytes in "[\\PC\n\t]{0,8}", cut in 0..40_usize) {
        let text = include_str!("../../../../examples/tollgate.yaml");
        let mut characters: Vec<char> = text.chars().collect();
        let start = at % characters.len();
        let end = (start + cut).min(characters.len());
        characters.splice(start..end, bytes.chars());
        let damaged: String = characters.into_iter().collect();
        if let Err(diagnostics) = load(&damaged) {
            let shown = diagnostics.to_string();
            prop_assert!(!shown.contains("cannot be read"), "the schema and the types differ: {shown}");
        }
    }
}

// === files that are far too large ===

/// Each of them was shown with the whole file looked through again.
#[test]
fn of_very_many_mistakes_the_first_are_shown() {
    let text: String = (0..5000)
        .map(|number| format!("key_{number}: 1\n"))
        .collect();
    let diagnostics = load(&text).expect_err("no key is known");
    assert_eq!(diagnostics.iter().count(), 201);
    let shown = diagnostics.to_string();
    assert!(shown.contains("`key_0`"), "{shown}");
    assert!(
        shown.ends_with("tollgate.yaml: 4800 more are not shown"),
        "{shown}"
    );
}

/// The search for a free name began anew for each.
#[test]
fn any_number_of_endpoints_get_providers_of_their_own() {
    const COUNT: usize = 2000;
    let mut text = "endpoints:\n".to_owned();
    for number in 0..COUNT {
        text.push_str(&format!(
            "  - {{name: e{number}, endpoint_type: llm/v1/chat, model: {{provider: openai, name: m, config: {{openai_api_key: k{number}}}}}}}\n"
        ));
    }
    let resolved = resolved(&text);
    assert_eq!(resolved.snapshot.providers.len(), COUNT);
    assert_eq!(targets(&resolved, "e0"), ["openai/m"]);
    assert_eq!(targets(&resolved, "e1999"), ["openai-2000/m"]);
}

/// Each was searched for among all of them, and no request could hold them.
#[test]
fn very_many_headers_are_refused() {
    let mut text = "providers:\n  - name: p\n    type: demo\n    headers:\n".to_owned();
    text.extend((0..65).map(|number| format!("      x-{number}: a\n")));
    let shown = refused(&text);
    assert!(shown.contains("there are 65 headers"), "{shown}");
}

/// Each destination copied it.
#[test]
fn a_very_long_model_is_not_repeated() {
    let text = format!(
        "endpoints:\n  - {{name: e, endpoint_type: llm/v1/chat, model: {{provider: demo, name: {}}}}}\n\
         routes:\n  - {{name: s, task_type: llm/v1/chat, destinations: [{{name: e, traffic_percentage: 100}}]}}\n",
        "m".repeat(10_000)
    );
    let shown = refused(&text);
    assert!(shown.contains("too long to be repeated"), "{shown}");
}

/// Known words come in any order; which of two that are as much alike was told changed from run to run.
#[test]
fn the_word_that_was_meant_is_always_the_same() {
    let meant = |words: [&'static str; 3]| diagnostics::did_you_mean("route_x", words);
    assert_eq!(meant(["route_a", "route_c", "route_b"]), Some("route_c"));
    assert_eq!(meant(["route_c", "route_b", "route_a"]), Some("route_c"));
}

#[test]
fn of_very_many_known_words_some_are_told() {
    let names: Vec<String> = (0..5000).map(|number| format!("n{number}")).collect();
    let told = diagnostics::suggestion("x", names.iter().map(String::as_str), "the routes");
    assert!(told.len() < 1000 && told.ends_with(", …"), "{told}");
    let long = "x".repeat(1 << 20);
    assert_eq!(diagnostics::did_you_mean(&long, [long.as_str()]), None);
}

/// Pieces that configuration files are made of.
const WORDS: &[&str] = &[
    "\n",
    "\n  ",
    "\n    ",
    "- ",
    ": ",
    "{",
    "}",
    "[",
    "]",
    ", ",
    "\"",
    "'",
    "|\n",
    "&a ",
    "*a",
    "<<: ",
    "é",
    "providers",
    "routes",
    "endpoints",
    "keys",
    "name",
    "type",
    "model",
    "provider",
    "strategy",
    "models",
    "destinations",
    "config",
    "openai",
    "mlflow",
    "demo",
    "api_key",
    "{{ env.FIVE }}",
    "$FIVE",
    "file:x",
    "1",
    "true",
    "null",
    "prompt_template",
    "{% if %}",
    "headers",
    "limit",
    "task_type",
];
