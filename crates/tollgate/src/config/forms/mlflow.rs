//! MLflow's form: endpoints with a provider each, and routes that split traffic between them
//! (MLflow 3.18, `mlflow/gateway/config.py` and `mlflow/gateway/providers/`).

use serde_json::Number;
use tollgate_upstream::providers::find;

use super::{Rewriter, Rewritten, name_of, report_unknown_name, warn_unknown_key};
use crate::config::{
    diagnostics::{quoted, quoted_node},
    kinds,
    tree::{Content, Entry, Filled, Node, Span},
};

/// How much the model of an endpoint may be, since each destination copies it.
const MODEL_WEIGHT_MAX: usize = 100;

/// Where an endpoint stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndpointForm {
    /// Under `endpoints`, with an `endpoint_type`.
    Current,
    /// Under `routes`, with a `route_type`.
    Before2_9,
}

/// What MLflow's keys of a provider's configuration are called in ours.
const CONFIG_KEYS: &[(&str, Meaning)] = &[
    ("api_key", Meaning::Key),
    ("openai_api_key", Meaning::Key),
    ("anthropic_api_key", Meaning::Key),
    ("mistral_api_key", Meaning::Key),
    ("togetherai_api_key", Meaning::Key),
    ("gemini_api_key", Meaning::Key),
    ("ai21labs_api_key", Meaning::Key),
    ("token", Meaning::Key),
    ("api_base", Meaning::Setting("base_url")),
    ("openai_api_base", Meaning::Setting("base_url")),
    ("anthropic_api_base", Meaning::Setting("base_url")),
    ("model_server_url", Meaning::Setting("base_url")),
    ("host", Meaning::Setting("base_url")),
    ("vertex_project", Meaning::Setting("project")),
    ("vertex_location", Meaning::Setting("location")),
    ("hf_server_url", Meaning::Setting("base_url")),
    ("openai_api_version", Meaning::Setting("api_version")),
    ("openai_deployment_name", Meaning::Setting("deployment")),
    (
        "openai_organization",
        Meaning::Header("openai-organization"),
    ),
    ("anthropic_version", Meaning::Header("anthropic-version")),
    ("openai_api_type", Meaning::OpenaiType),
    ("aws_config", Meaning::Aws),
];

/// What a key of a provider's configuration is for.
#[derive(Clone, Copy)]
enum Meaning {
    /// The credential, which may be the path of a file that holds it.
    Key,
    /// This setting of ours.
    Setting(&'static str),
    /// The value of this header.
    Header(&'static str),
    /// Whether it is Azure's OpenAI, and how to sign in there.
    OpenaiType,
    /// Bedrock's region, and the keys that requests are signed with.
    Aws,
}

impl Rewriter<'_, '_> {
    /// An endpoint → a route of ours; `None` when a mistake in it leaves nothing to rewrite.
    pub(crate) fn endpoint(&mut self, mut endpoint: Node, form: EndpointForm) -> Option<Node> {
        let span = endpoint.span.clone();
        if !self.is_map(&endpoint, "an endpoint") {
            return None;
        }
        self.take_limit(&mut endpoint);
        let type_key = match form {
            EndpointForm::Current if endpoint.entry("route_type").is_none() => "endpoint_type",
            EndpointForm::Current | EndpointForm::Before2_9 => "route_type",
        };
        self.report_missing(&endpoint, &["name", type_key, "model"]);
        let mut entries = Vec::new();
        entries.extend(endpoint.take("name"));
        entries.extend(endpoint.take(type_key).map(|entry| Entry {
            key: "route_type".to_owned(),
            ..entry
        }));
        let model = endpoint.take("model");
        for key in [
            "prompt_template",
            "params",
            "aliases",
            "retries",
            "drop_unsupported",
        ] {
            entries.extend(endpoint.take(key)); // ours, understood here too
        }
        let known = ["name", type_key, "model", "limit"];
        for entry in endpoint.entries() {
            warn_unknown_key(entry, known, self.problems);
        }
        if let Some(model) = model.and_then(|model| self.model(model)) {
            entries.push(model);
        } else {
            entries.retain(|entry| entry.key == "name"); // the mistake in its model has been reported
            entries.push(Entry {
                key: "model".to_owned(),
                key_span: span.clone(),
                value: Node::new(Content::Unknown, span.clone()),
            });
        }
        Some(Node::new(Content::Map(entries), span))
    }

    fn report_missing(&mut self, node: &Node, keys: &[&str]) {
        for key in keys {
            if node.value(key).is_none() {
                self.problems
                    .error(node.head(), format!("`{key}` is missing"))
                    .label(format!("`{key}` is wanted here"));
            }
        }
    }

    /// An endpoint's `model` → a route's, with its provider added.
    fn model(&mut self, model: Entry) -> Option<Entry> {
        let Entry {
            key_span,
            value: mut node,
            ..
        } = model;
        if !self.is_map(&node, "`model`") {
            return None;
        }
        let span = node.span.clone();
        let Some(kind) = node.take("provider") else {
            self.problems
                .error(node.head(), "`provider` is missing")
                .label("`provider` is wanted here");
            return None;
        };
        let name = node.take("name");
        let config = node.take("config");
        for entry in node.entries() {
            warn_unknown_key(entry, ["provider", "name", "config"], self.problems);
        }
        let provider = self.provider(&kind.value, config)?;
        let mut entries = vec![Entry {
            value: Node::text(&provider, kind.value.span.clone()),
            ..kind
        }];
        entries.extend(name);
        Some(Entry {
            key: "model".to_owned(),
            key_span,
            value: Node::new(Content::Map(entries), span),
        })
    }

    /// A provider's kind and configuration → the name of a provider of ours.
    fn provider(&mut self, kind: &Node, config: Option<Entry>) -> Option<String> {
        let Some(known) = find(self.text(kind, "`provider`")?) else {
            kinds::report_unknown(kind, self.problems);
            return None;
        };
        let config = config.map(|entry| entry.value);
        let span = config.as_ref().map_or(&kind.span, |node| &node.span);
        let mut settings = Settings {
            kind: known.name,
            node: Node::new(Content::Map(Vec::new()), span.clone()),
            headers: Vec::new(),
        };
        if let Some(config) = config
            && !matches!(config.content, Content::Null)
        {
            if !self.is_map(&config, "`config`") {
                return None;
            }
            self.settings(config, &mut settings);
        }
        settings.put_headers();
        // What MLflow takes where none is given.
        if settings.kind == "vertex" && settings.node.entry("location").is_none() {
            let value = Node::text("global", kind.span.clone());
            settings.put("location", kind.span.clone(), value);
        }
        Some(self.add_provider(settings.kind, settings.node))
    }

    /// A provider's `config` → our settings.
    fn settings(&mut self, config: Node, settings: &mut Settings) {
        let Content::Map(entries) = config.content else {
            return;
        };
        for entry in entries {
            let meaning = CONFIG_KEYS
                .iter()
                .find(|(key, _)| *key == entry.key)
                .map(|(_, meaning)| *meaning);
            match meaning {
                None if matches!(entry.key.as_str(), "client_id" | "client_secret") => {
                    self.problems.mask(&entry.value);
                    self.problems
                        .error(
                            entry.key_span,
                            "signing in with a client's id and secret is not supported yet",
                        )
                        .help("give an access token as `token`");
                }
                None => {
                    let known = CONFIG_KEYS.iter().map(|(key, _)| *key);
                    warn_unknown_key(&entry, known, self.problems);
                }
                Some(_) if matches!(entry.value.content, Content::Null) => {}
                Some(Meaning::Key) => {
                    let value = self.key_or_file(entry.value);
                    settings.put("api_key", entry.key_span, value);
                }
                Some(Meaning::Setting(key)) => settings.put(key, entry.key_span, entry.value),
                Some(Meaning::Header(name)) => settings.headers.push(Entry {
                    key: name.to_owned(),
                    ..entry
                }),
                Some(Meaning::OpenaiType) => self.openai_type(&entry, settings),
                Some(Meaning::Aws) => self.aws_config(entry, settings),
            }
        }
    }

    /// MLflow takes a key that is the path of a file for the file's content.
    fn key_or_file(&mut self, mut value: Node) -> Node {
        const PATH_BYTES_MAX: usize = 4096;
        let Content::Text(text) = &mut value.content else {
            return value;
        };
        let may_be_path = text.filled == Filled::No
            && text.value.len() <= PATH_BYTES_MAX
            && !text.value.is_empty()
            && !text.value.contains(['\n', '\0']);
        if may_be_path && let Some(content) = self.filler.existing_file(&text.value) {
            text.value = content;
            text.filled = Filled::Yes;
        }
        value
    }

    fn openai_type(&mut self, entry: &Entry, settings: &mut Settings) {
        let Some(kind) = self.text(&entry.value, "`openai_api_type`") else {
            return;
        };
        match kind.to_ascii_lowercase().as_str() {
            "openai" => {}
            "azure" => settings.kind = "azure",
            "azuread" => {
                settings.kind = "azure";
                let span = entry.value.span.clone();
                settings.put("auth", entry.key_span.clone(), Node::text("bearer", span));
            }
            _ => {
                let shown = quoted_node(&entry.value);
                self.problems
                    .error(
                        entry.value.span.clone(),
                        format!("`openai_api_type` cannot be {shown}"),
                    )
                    .help("what is known: `azure`, `azuread`, `openai`");
            }
        }
    }

    /// AWS's region, keys and role. Where there are no keys, they are found as AWS's own tools find them.
    fn aws_config(&mut self, entry: Entry, settings: &mut Settings) {
        let Entry {
            key_span,
            value: mut node,
            ..
        } = entry;
        if !self.is_map(&node, "`aws_config`") {
            return;
        }
        let span = node.span.clone();
        if let Some(region) = node.take("aws_region") {
            settings.put("region", region.key_span, region.value);
        }
        let known = [
            "aws_access_key_id",
            "aws_secret_access_key",
            "aws_session_token",
            "aws_role_arn",
            "session_length_seconds",
        ];
        let mut keys: Vec<Entry> = known.iter().filter_map(|key| node.take(key)).collect();
        for entry in keys.iter_mut().filter(|entry| entry.key == "aws_role_arn") {
            entry.key = "role_arn".to_owned();
        }
        for entry in node.entries() {
            warn_unknown_key(entry, known, self.problems);
        }
        if keys.is_empty() {
            return;
        }
        let aws = Entry {
            key: "aws".to_owned(),
            key_span: key_span.clone(),
            value: Node::new(Content::Map(keys), span.clone()),
        };
        settings.put("auth", key_span, Node::new(Content::Map(vec![aws]), span));
    }

    /// A traffic split → a route of ours that chooses by weight among the endpoints' models.
    pub(crate) fn split(&mut self, mut split: Node, routes: &Rewritten) -> Option<Node> {
        let span = split.span.clone();
        let mut entries = Vec::new();
        entries.extend(split.take("name"));
        if entries.is_empty() {
            self.report_missing(&split, &["name"]);
        }
        let task = split.take("task_type");
        if task.is_none() {
            self.report_missing(&split, &["task_type"]);
        }
        let destinations = split.take("destinations");
        let strategy = split.take("routing_strategy");
        self.report_strategy(strategy.as_ref());
        for entry in split.entries() {
            let known = ["name", "task_type", "destinations", "routing_strategy"];
            warn_unknown_key(entry, known, self.problems);
        }
        let task = task.map(|entry| Entry {
            key: "route_type".to_owned(),
            ..entry
        });
        let models = self.destinations(destinations, task.as_ref(), &split, routes)?;
        let models_span = models.span.clone();
        entries.extend(task);
        let text = |value: &str| Node::text(value, models_span.clone());
        let entry = |key: &str, value: Node| Entry {
            key: key.to_owned(),
            key_span: models_span.clone(),
            value,
        };
        let strategy = vec![entry("type", text("ratio")), entry("models", models)];
        let strategy = Node::new(Content::Map(strategy), models_span.clone());
        let model = vec![entry("strategy", strategy)];
        entries.push(entry(
            "model",
            Node::new(Content::Map(model), models_span.clone()),
        ));
        Some(Node::new(Content::Map(entries), span))
    }

    fn report_strategy(&mut self, strategy: Option<&Entry>) {
        let Some(entry) = strategy else {
            return;
        };
        let is_known = entry.value.as_text() == Some("TRAFFIC_SPLIT");
        if !is_known && !matches!(entry.value.content, Content::Null) {
            let shown = quoted_node(&entry.value);
            self.problems
                .error(
                    entry.value.head(),
                    format!("`routing_strategy` cannot be {shown}"),
                )
                .help("what is known: `TRAFFIC_SPLIT`");
        }
    }

    /// A split's destinations → the models of a strategy, with their weights.
    fn destinations(
        &mut self,
        destinations: Option<Entry>,
        task: Option<&Entry>,
        split: &Node,
        routes: &Rewritten,
    ) -> Option<Node> {
        let Some(Entry {
            key_span, value, ..
        }) = destinations
        else {
            self.problems
                .error(split.head(), "`destinations` is missing")
                .label("`destinations` is wanted here");
            return None;
        };
        let Content::List(items) = value.content else {
            self.problems
                .error(key_span, "`destinations` must be a list")
                .help("begin each with `- name: …`");
            return None;
        };
        let mut models = Vec::new();
        let mut total = Some(0);
        let mut whole = true;
        for item in items {
            let percentage = self.percentage(&item);
            total = total.zip(percentage).map(|(sum, more)| sum + more);
            let model = self.destination(&item, task, percentage.unwrap_or(0), routes);
            whole &= model.is_some();
            models.extend(model);
        }
        if let Some(total) = total
            && total != 100
        {
            self.problems
                .error(
                    key_span,
                    format!("the `traffic_percentage`s make {total}, not 100"),
                )
                .help("each destination takes its part of 100");
        }
        whole.then(|| Node::new(Content::List(models), value.span))
    }

    /// A destination's part; `None` when a mistake has been reported.
    fn percentage(&mut self, item: &Node) -> Option<u64> {
        let written = item.value("traffic_percentage");
        let number = match written.map(|node| &node.content) {
            Some(Content::Number(number)) => number.as_u64(),
            _ => None,
        };
        if let Some(number) = number.filter(|number| *number <= 100) {
            return Some(number);
        }
        let span = written.map_or_else(|| item.head(), Node::head);
        self.problems
            .error(
                span,
                "`traffic_percentage` must be a whole number from 0 to 100",
            )
            .help("each destination takes its part of 100");
        None
    }

    fn destination(
        &mut self,
        item: &Node,
        task: Option<&Entry>,
        weight: u64,
        routes: &Rewritten,
    ) -> Option<Node> {
        if !self.is_map(item, "a destination") {
            return None;
        }
        for entry in item.entries() {
            if !["name", "traffic_percentage"].contains(&entry.key.as_str()) {
                warn_unknown_key(entry, ["name", "traffic_percentage"], self.problems);
            }
        }
        let Some(name) = item.value("name") else {
            self.report_missing(item, &["name"]);
            return None;
        };
        let text = self.text(name, "`name`")?.to_owned();
        let Some(endpoint) = routes.named(&text) else {
            let known = routes.routes.iter().filter_map(name_of);
            report_unknown_name("endpoint", &text, name.span.clone(), known, self.problems);
            return None;
        };
        self.report_other_task(name, endpoint, task);
        let model = endpoint.value("model")?;
        if matches!(model.content, Content::Unknown) {
            return None; // the mistake in it has been reported
        }
        if model.weight() > MODEL_WEIGHT_MAX {
            self.problems
                .error(
                    name.span.clone(),
                    format!("the model of {} is too long to be repeated", quoted(&text)),
                )
                .help("shorten its name, or its tags");
            return None;
        }
        if model.entry("strategy").is_some() {
            self.problems
                .error(
                    name.span.clone(),
                    format!("{} chooses among models itself", quoted(&text)),
                )
                .help("name routes with one model");
            return None;
        }
        let mut model = model.clone();
        let weight = Node::new(Content::Number(Number::from(weight)), name.span.clone());
        model.push("weight", name.span.clone(), weight);
        Some(model)
    }

    fn report_other_task(&mut self, name: &Node, endpoint: &Node, task: Option<&Entry>) {
        let wanted = task.and_then(|task| task.value.as_text());
        let offered = endpoint.value("route_type").and_then(Node::as_text);
        if let (Some(wanted), Some(offered)) = (wanted, offered)
            && wanted != offered
        {
            self.problems
                .error(
                    name.span.clone(),
                    format!(
                        "this endpoint is of type {}, not {}",
                        quoted(offered),
                        quoted(wanted)
                    ),
                )
                .help("`task_type` is the same for a route and all its destinations");
        }
    }

    fn is_map(&mut self, node: &Node, what: &str) -> bool {
        let is_map = matches!(node.content, Content::Map(_));
        if !is_map && !matches!(node.content, Content::Unknown) {
            self.problems
                .error(node.span.clone(), format!("{what} must be a map"))
                .label(format!("found {}", node.kind()));
        }
        is_map
    }

    fn text<'a>(&mut self, node: &'a Node, what: &str) -> Option<&'a str> {
        let text = node.as_text();
        if text.is_none() && !matches!(node.content, Content::Unknown) {
            self.problems
                .error(node.head(), format!("{what} must be text"))
                .label(format!("found {}", node.kind()));
        }
        text
    }
}

/// A provider of ours in the making.
struct Settings {
    kind: &'static str,
    node: Node,
    headers: Vec<Entry>,
}

impl Settings {
    fn put(&mut self, key: &str, key_span: Span, value: Node) {
        self.node.take(key);
        self.node.push(key, key_span, value);
    }

    fn put_headers(&mut self) {
        let headers = std::mem::take(&mut self.headers);
        let Some(first) = headers.first() else {
            return;
        };
        let span = first.key_span.clone();
        let headers = Node::new(Content::Map(headers), span.clone());
        self.node.push("headers", span, headers);
    }
}
