//! The forms a configuration may have, and how the others become ours.
//!
//! Ours has `providers` and `routes` that name them; the article's is a part of it. MLflow's has `endpoints`, each with
//! a provider of its own; there, `routes` split traffic between endpoints. Before MLflow 2.9, `routes` were what
//! `endpoints` are now. Rewriting is done on the tree, so that every value keeps the place that it was written at.

mod mlflow;

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::{
    diagnostics::{self, Problems, quoted},
    tree::{Content, Entry, Node, Span},
    values::Filler,
};
use mlflow::EndpointForm;

/// Rewrites a file's tree to our form.
pub(crate) fn rewrite(root: &mut Node, filler: &mut Filler<'_>, problems: &mut Problems) {
    if !matches!(root.content, Content::Map(_)) {
        return; // reported when it is held against the schema
    }
    let is_mlflow = root.entry("endpoints").is_some();
    let endpoints = take_list(root, "endpoints", problems);
    let routes = take_list(root, "routes", problems);
    let own = provider_names(root);
    let mut rewriter = Rewriter {
        taken: own.clone(),
        own,
        anonymous: Vec::new(),
        limits: Vec::new(),
        names: HashMap::new(),
        ordinals: HashMap::new(),
        filler,
        problems,
    };

    let mut rewritten = Rewritten::default();
    for endpoint in endpoints.items {
        rewritten.add(rewriter.endpoint(endpoint, EndpointForm::Current));
    }
    let mut splits = Vec::new();
    for route in routes.items {
        if is_split(&route) {
            splits.push(route);
        } else if is_endpoint_before_2_9(&route, &rewriter.own) {
            rewritten.add(rewriter.endpoint(route, EndpointForm::Before2_9));
        } else {
            rewritten.add(Some(rewriter.route(route)));
        }
    }
    for split in splits {
        let route = rewriter.split(split, &rewritten);
        rewritten.add(route);
    }
    let (anonymous, limits) = (rewriter.anonymous, rewriter.limits);
    if is_mlflow {
        warn_unknown_sections(root, problems);
    }
    put_list(root, "providers", anonymous);
    put_list(root, "limits", limits);
    if !rewritten.routes.is_empty() || routes.was_written {
        let span = routes.key_span.or(endpoints.key_span).unwrap_or(0..0);
        let list = Node::new(Content::List(rewritten.routes), span.clone());
        root.push("routes", span, list);
    }
}

/// Turns parts of other forms into parts of ours.
struct Rewriter<'a, 'b> {
    /// The names of the file's own providers.
    own: HashSet<String>,
    /// Providers that endpoints describe without naming them.
    anonymous: Vec<Node>,
    /// Limits of routes and endpoints.
    limits: Vec<Node>,
    /// Their names, by kind and configuration: what makes one the same as another.
    names: HashMap<(String, Value), String>,
    /// The names of all providers.
    taken: HashSet<String>,
    /// The last number that was put after a kind to make a name.
    ordinals: HashMap<String, usize>,
    filler: &'a mut Filler<'b>,
    problems: &'a mut Problems,
}

/// Routes of ours, in the order in which they are written.
#[derive(Default)]
struct Rewritten {
    routes: Vec<Node>,
    /// By name, the first where two have the same.
    places: HashMap<String, usize>,
}

/// A list taken out of the root.
struct TakenList {
    items: Vec<Node>,
    key_span: Option<Span>,
    was_written: bool,
}

/// Takes a list out of the root; what is no list stays, for the schema to complain about.
fn take_list(root: &mut Node, key: &str, problems: &mut Problems) -> TakenList {
    let nothing = TakenList {
        items: Vec::new(),
        key_span: None,
        was_written: false,
    };
    let is_list = root
        .value(key)
        .is_some_and(|value| value.as_list().is_some());
    if !is_list && key != "endpoints" {
        return nothing;
    }
    let Some(Entry {
        key_span, value, ..
    }) = root.take(key)
    else {
        return nothing;
    };
    let Content::List(items) = value.content else {
        problems
            .error(key_span, "`endpoints` must be a list")
            .help("begin each endpoint with `- name: …`");
        return nothing;
    };
    TakenList {
        items,
        key_span: Some(key_span),
        was_written: true,
    }
}

fn put_list(root: &mut Node, key: &str, items: Vec<Node>) {
    if items.is_empty() {
        return;
    }
    if let Content::Map(entries) = &mut root.content
        && let Some(entry) = entries.iter_mut().find(|entry| entry.key == key)
        && let Content::List(present) = &mut entry.value.content
    {
        present.extend(items);
        return;
    }
    let span = items.first().map_or(0..0, |item| item.span.clone());
    root.push(key, span.clone(), Node::new(Content::List(items), span));
}

fn provider_names(root: &Node) -> HashSet<String> {
    let providers = root.value("providers").and_then(Node::as_list);
    let names = providers.into_iter().flatten().filter_map(|provider| {
        let name = provider.value("name")?.as_text()?;
        Some(name.to_owned())
    });
    names.collect()
}

/// Whether a route is one of MLflow's traffic splits.
fn is_split(route: &Node) -> bool {
    route.entry("destinations").is_some() || route.entry("task_type").is_some()
}

/// Whether a route brings a provider of its own, as before MLflow 2.9.
fn is_endpoint_before_2_9(route: &Node, providers: &HashSet<String>) -> bool {
    let Some(model) = route.value("model") else {
        return false;
    };
    let provider = model.value("provider").and_then(Node::as_text);
    let is_named = provider.is_some_and(|name| providers.contains(name));
    model.entry("config").is_some() && !is_named
}

/// MLflow passes over what it does not know; so its files must still run, but not in silence.
fn warn_unknown_sections(root: &mut Node, problems: &mut Problems) {
    const KNOWN: &[&str] = &["server", "log", "direct_use", "providers", "keys"];
    let Content::Map(entries) = &mut root.content else {
        return;
    };
    entries.retain(|entry| {
        let known = KNOWN.contains(&entry.key.as_str()) || entry.key.starts_with("x-");
        if !known {
            warn_unknown_key(
                entry,
                KNOWN.iter().copied().chain(["endpoints", "routes"]),
                problems,
            );
        }
        known
    });
}

/// Says that MLflow would pass over a key, and that we do so too.
fn warn_unknown_key<'a>(
    entry: &Entry,
    known: impl IntoIterator<Item = &'a str> + Clone,
    problems: &mut Problems,
) {
    problems.mask_unknown(&entry.key, &entry.value, known.clone());
    problems
        .warning(
            entry.key_span.clone(),
            format!("unknown key {} has no effect", quoted(&entry.key)),
        )
        .help(diagnostics::suggestion(
            &entry.key,
            known,
            "the keys that are known here",
        ));
}

impl Rewriter<'_, '_> {
    /// A route of our own form, which may still have a `limit`, and name a kind that needs no
    /// configuration instead of a provider.
    fn route(&mut self, mut route: Node) -> Node {
        self.take_limit(&mut route);
        if let Content::Map(entries) = &mut route.content {
            let model = entries.iter_mut().find(|entry| entry.key == "model");
            if let Some(entry) = model {
                self.implied_provider(&mut entry.value);
            }
        }
        route
    }

    /// A route's or endpoint's `limit` → one of our limits: so many calls in a time, for all callers of that route together.
    fn take_limit(&mut self, node: &mut Node) {
        let Some(mut limit) = node.take("limit") else {
            return;
        };
        let Some(name) = node.value("name").cloned() else {
            return; // reported where names are
        };
        let (calls, period) = (
            limit.value.take("calls"),
            limit.value.take("renewal_period"),
        );
        let (Some(calls), Some(period)) = (calls, period) else {
            if !matches!(limit.value.content, Content::Null) {
                self.problems
                    .error(limit.key_span, "a limit says how many calls in which time")
                    .help("write `limit: {calls: 60, renewal_period: minute}`");
            }
            return;
        };
        // MLflow reads `key` and makes no use of it.
        for entry in limit.value.entries() {
            warn_unknown_key(entry, ["calls", "renewal_period", "key"], self.problems);
        }
        let span = limit.key_span;
        let map = || Node::new(Content::Map(Vec::new()), span.clone());
        let (mut scope, mut ours) = (map(), map());
        scope.push("route", span.clone(), name.clone());
        ours.push("name", span.clone(), name);
        ours.push("of", span.clone(), scope);
        ours.push("requests", calls.key_span, calls.value);
        ours.push("per", period.key_span, period.value);
        self.limits.push(ours);
    }

    /// `provider: demo` needs no entry under `providers`.
    fn implied_provider(&mut self, choice: &mut Node) {
        let span = choice
            .value("provider")
            .map(|provider| provider.span.clone());
        let name = choice.value("provider").and_then(Node::as_text);
        if let (Some("demo"), Some(span)) = (name, span)
            && !self.own.contains("demo")
        {
            self.add_provider("demo", Node::new(Content::Map(Vec::new()), span));
        }
        let Content::Map(entries) = &mut choice.content else {
            return;
        };
        for entry in entries {
            match (&mut entry.value.content, entry.key.as_str()) {
                (Content::Map(_), "strategy") => self.implied_provider(&mut entry.value),
                (Content::List(models), "models") => models
                    .iter_mut()
                    .for_each(|model| self.implied_provider(model)),
                _ => {}
            }
        }
    }

    /// Adds a provider for a configuration, unless there is one for it, and returns its name.
    fn add_provider(&mut self, kind: &str, mut node: Node) -> String {
        let same = (kind.to_owned(), node.to_json());
        if let Some(name) = self.names.get(&same) {
            return name.clone();
        }
        let mut name = kind.to_owned();
        let ordinal = self.ordinals.entry(kind.to_owned()).or_insert(1);
        while !self.taken.insert(name.clone()) {
            *ordinal += 1;
            name = format!("{kind}-{ordinal}");
        }
        let span = node.span.clone();
        node.push("name", span.clone(), Node::text(&name, span.clone()));
        node.push("type", span.clone(), Node::text(kind, span));
        self.anonymous.push(node);
        self.names.insert(same, name.clone());
        name
    }
}

impl Rewritten {
    fn add(&mut self, route: Option<Node>) {
        let Some(route) = route else { return };
        if let Some(name) = name_of(&route) {
            let place = self.routes.len();
            self.places.entry(name.to_owned()).or_insert(place);
        }
        self.routes.push(route);
    }

    fn named(&self, name: &str) -> Option<&Node> {
        self.routes.get(*self.places.get(name)?)
    }
}

fn name_of(route: &Node) -> Option<&str> {
    route.value("name")?.as_text()
}

/// Says that a name is not among the known ones.
fn report_unknown_name<'a>(
    what: &str,
    name: &str,
    span: Span,
    known: impl IntoIterator<Item = &'a str> + Clone,
    problems: &mut Problems,
) {
    problems
        .error(span, format!("there is no {what} named {}", quoted(name)))
        .help(diagnostics::suggestion(
            name,
            known,
            &format!("the {what}s"),
        ));
}
