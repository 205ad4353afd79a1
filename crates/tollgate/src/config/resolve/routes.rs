//! Routes: what clients may ask for, and who may answer.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use http::{HeaderName, Method};
use tollgate_domain::{
    Choice, Plain, Provider, ProviderName, Retries, Route, RouteName, Sticky, Strategy, Target,
    TargetName, Task,
};
use tollgate_proxy::is_own_path;
use tollgate_upstream::providers;

use super::{Context, is_plain_name, prompts, providers::Providers};
use crate::config::{
    diagnostics::{self, Problems, quoted, quoted_node},
    tree::{At, Span},
    written::{self, StrategyRule},
};

/// The routes of a file.
#[derive(Default)]
pub(crate) struct Routes {
    /// Those without mistakes, in the order written.
    pub(crate) resolved: Vec<Arc<Route>>,
    /// By name and by alias.
    pub(crate) by_name: HashMap<RouteName, Arc<Route>>,
    /// Every name and alias → the route's name, those of routes with mistakes too.
    pub(crate) names: BTreeMap<String, String>,
    /// The names of providers that some route uses.
    pub(crate) providers_used: HashSet<String>,
}

/// Resolves the list of routes.
pub(crate) fn resolve(
    written: &[written::Route],
    at: At<'_>,
    providers: &Providers,
    context: &Context<'_>,
    problems: &mut Problems,
) -> Routes {
    let mut routes = Routes {
        resolved: Vec::new(),
        by_name: HashMap::new(),
        names: BTreeMap::new(),
        providers_used: HashSet::new(),
    };
    let mut places: HashMap<String, Span> = HashMap::new();
    let mut paths: HashMap<String, Span> = HashMap::new();
    for (index, written) in written.iter().enumerate() {
        let at = at.item(index);
        let Some(name) = &written.name else {
            continue;
        };
        name_route(name, written, at, &mut routes, &mut places, problems);
        let resolver = Resolver {
            task: written.route_type.map_or(Task::Chat, Task::from),
            providers,
            used: &mut routes.providers_used,
            paths: &mut paths,
            problems,
        };
        let Some(route) = resolver.route(name, written, at, context) else {
            continue;
        };
        let route = Arc::new(route);
        for name in std::iter::once(&route.name).chain(&route.aliases) {
            routes.by_name.insert(name.clone(), Arc::clone(&route));
        }
        routes.resolved.push(route);
    }
    routes
}

/// Takes a route's names, each of which must be its own.
fn name_route(
    name: &str,
    written: &written::Route,
    at: At<'_>,
    routes: &mut Routes,
    places: &mut HashMap<String, Span>,
    problems: &mut Problems,
) {
    if !is_plain_name(name) {
        problems
            .error(
                at.key("name").span(),
                format!(
                    "{} is no name for a route",
                    quoted_node(at.key("name").node())
                ),
            )
            .help("use letters, digits, `_`, `.` and `-`; `aliases` may hold other signs");
    }
    let aliases = written.aliases.iter().enumerate();
    let aliases = aliases.map(|(index, alias)| (alias.as_str(), at.key("aliases").item(index)));
    for (taken, place) in std::iter::once((name, at.key("name"))).chain(aliases) {
        if taken != name && !is_one_word(taken) {
            problems.error(place.span(), "an alias must not be empty or hold spaces");
            continue;
        }
        if let Some(first) = places.get(taken) {
            problems
                .error(place.span(), format!("the name {} is taken", quoted(taken)))
                .label("the second time")
                .related(first.clone(), "the first time")
                .help("names and aliases of routes must differ from each other");
            continue;
        }
        places.insert(taken.to_owned(), place.span());
        routes.names.insert(taken.to_owned(), name.to_owned());
    }
}

fn is_one_word(name: &str) -> bool {
    !name.is_empty()
        && !name
            .chars()
            .any(|sign| sign.is_whitespace() || sign.is_control())
}

/// Resolves one route.
struct Resolver<'a> {
    task: Task,
    providers: &'a Providers,
    used: &'a mut HashSet<String>,
    /// Paths of plain HTTP that are taken.
    paths: &'a mut HashMap<String, Span>,
    problems: &'a mut Problems,
}

/// Whether a choice may be a strategy of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    Outer,
    Inner,
}

impl Resolver<'_> {
    fn route(
        mut self,
        name: &str,
        written: &written::Route,
        at: At<'_>,
        context: &Context<'_>,
    ) -> Option<Route> {
        if written.params.contains_key("model") {
            self.problems
                .error(
                    at.key("params").key("model").key_span(),
                    "a route's model is not one of its `params`",
                )
                .help("name it under `model`: `model: {provider: …, name: …}`");
        }
        let plain = self.plain(name, written, at);
        let prompt = written.prompt_template.as_ref().and_then(|template| {
            let at = at.key("prompt_template");
            prompts::resolve(template, self.task, at, context, self.problems)
        });
        let retries = self.retries(&written.retries, at.key("retries"));
        let strategy = self.model(written.model.as_ref()?, at.key("model"))?;
        Some(Route {
            name: RouteName::new(name),
            aliases: written
                .aliases
                .iter()
                .map(|alias| RouteName::new(alias.as_str()))
                .collect(),
            task: self.task,
            strategy,
            params: written.params.clone(),
            prompt,
            drop_unsupported: written.drop_unsupported,
            retries,
            plain,
        })
    }

    /// What a route of plain HTTP is for; others have no such settings, and it has none of theirs.
    fn plain(&mut self, name: &str, written: &written::Route, at: At<'_>) -> Option<Plain> {
        let is_plain = self.task == Task::Http;
        for (key, present, belongs) in [
            ("path", written.path.is_some(), is_plain),
            ("methods", !written.methods.is_empty(), is_plain),
            (
                "prompt_template",
                written.prompt_template.is_some(),
                !is_plain,
            ),
            ("params", !written.params.is_empty(), !is_plain),
        ] {
            if present && !belongs {
                let problem = self.problems.error(
                    at.key(key).key_span(),
                    format!("a route of type `{}` has no `{key}`", self.task.as_str()),
                );
                problem.help(if is_plain {
                    "what is asked of it is passed on as it is"
                } else {
                    "a route with `route_type: http` has"
                });
            }
        }
        if !is_plain {
            return None;
        }
        let path = match written.path.as_deref() {
            Some(path) => path.strip_suffix('/').unwrap_or(path).to_owned(),
            None => format!("/{name}"),
        };
        let place = if written.path.is_some() {
            "path"
        } else {
            "name"
        };
        self.report_path(&path, at.key(place));
        let mut methods = Vec::new();
        for (index, method) in written.methods.iter().enumerate() {
            match method.to_ascii_uppercase().parse::<Method>() {
                Ok(method) if method != Method::CONNECT => methods.push(method),
                _ => {
                    let place = at.key("methods").item(index).span();
                    self.problems
                        .error(place, format!("{} is no method", quoted(method)))
                        .help("such as `GET` or `POST`");
                }
            }
        }
        Some(Plain {
            path: path.into(),
            methods,
        })
    }

    /// Says where a path cannot be one of plain HTTP.
    fn report_path(&mut self, path: &str, at: At<'_>) {
        let is_sign = |sign: char| sign.is_ascii_alphanumeric() || "-._~/".contains(sign);
        let parts = path.split('/').skip(1);
        let is_part = |part: &str| !part.is_empty() && part != "." && part != "..";
        if !path.starts_with('/') || !path.chars().all(is_sign) || !parts.clone().all(is_part) {
            self.problems
                .error(at.span(), format!("{} is no path", quoted(path)))
                .help("write `/one` or `/one/two`, of letters, digits, `-`, `.`, `_` and `~`");
        } else if is_own_path(path) {
            self.problems
                .error(
                    at.span(),
                    format!("the gateway itself answers at {}", quoted(path)),
                )
                .help("begin with another word, such as `path: /apis/NAME`");
        } else if let Some(first) = self.paths.get(path) {
            self.problems
                .error(at.span(), format!("the path {} is taken", quoted(path)))
                .label("the second time")
                .related(first.clone(), "the first time");
        }
        self.paths.insert(path.to_owned(), at.span());
    }

    /// A route's `model`: one model, or a strategy.
    fn model(&mut self, written: &written::Choice, at: At<'_>) -> Option<Strategy> {
        if written.strategy.is_some() {
            self.report_mixture(written, at);
        }
        match &written.strategy {
            Some(strategy) => self.strategy(strategy, at.key("strategy"), Depth::Outer),
            None if at.has("strategy") => None, // a mistake in it has been reported
            None => self
                .target(written, at)
                .map(|target| Strategy::Single(Choice::Target(target))),
        }
    }

    fn report_mixture(&mut self, written: &written::Choice, at: At<'_>) {
        for (key, present) in [
            ("provider", written.provider.is_some()),
            ("name", written.name.is_some()),
        ] {
            if present {
                self.problems
                    .error(
                        at.key(key).key_span(),
                        format!("`{key}` and `strategy` exclude each other"),
                    )
                    .related(at.key("strategy").key_span(), "the strategy")
                    .help("name each model under `strategy.models`");
            }
        }
    }

    fn strategy(
        &mut self,
        written: &written::Strategy,
        at: At<'_>,
        depth: Depth,
    ) -> Option<Strategy> {
        let models = written.models.as_deref()?;
        let mut choices = Vec::new();
        let mut whole = true;
        for (index, model) in models.iter().enumerate() {
            match self.choice(model, at.key("models").item(index), depth) {
                Some(choice) => choices.push(choice),
                None => whole = false,
            }
        }
        // Without a rule that is known, what is wrong with the models is told all the same.
        let rule = written.rule?;
        self.report_shape(rule, written, at);
        let sticky = self.sticky(written.sticky.as_ref(), rule, at.key("sticky"));
        if !whole || choices.is_empty() {
            return None;
        }
        Some(match rule {
            StrategyRule::Single => Strategy::Single(choices.pop()?),
            StrategyRule::Ordered => Strategy::Ordered(choices),
            StrategyRule::RoundRobin => Strategy::RoundRobin(choices),
            StrategyRule::Ratio => Strategy::Ratio { choices, sticky },
            StrategyRule::LeastBusy => Strategy::LeastBusy(choices),
            StrategyRule::Fastest => Strategy::Fastest(choices),
        })
    }

    fn report_shape(&mut self, rule: StrategyRule, written: &written::Strategy, at: At<'_>) {
        let models = written.models.as_deref().unwrap_or_default();
        let at = at.key("models");
        if models.is_empty() {
            self.problems
                .error(at.key_span(), "a strategy needs models to choose among")
                .help("add `- {provider: …, name: …}`");
        }
        if rule == StrategyRule::Single && models.len() > 1 {
            self.problems
                .error(at.key_span(), "`single` takes one model")
                .help(
                    "several are for `ordered`, `round_robin`, `ratio`, `least_busy` or `fastest`",
                );
        }
        let weighs = matches!(
            rule,
            StrategyRule::Ratio | StrategyRule::LeastBusy | StrategyRule::RoundRobin
        );
        let all_zero = models.iter().all(|model| model.weight == Some(0));
        if weighs && all_zero && !models.is_empty() {
            self.problems
                .error(at.key_span(), "every weight is 0: nobody would be asked")
                .help("give at least one model a weight of 1 or more");
        }
    }

    fn sticky(
        &mut self,
        written: Option<&written::Sticky>,
        rule: StrategyRule,
        at: At<'_>,
    ) -> Option<Sticky> {
        let written = written?;
        if rule != StrategyRule::Ratio {
            self.problems
                .error(at.key_span(), "only a `ratio` can be `sticky`")
                .help("use `type: ratio`, or leave `sticky` out");
        }
        match written {
            written::Sticky::User(_) => Some(Sticky::User),
            written::Sticky::Header(header) => {
                let written = header.header.as_deref()?;
                let Ok(name) = written.parse::<HeaderName>() else {
                    self.problems.error(
                        at.key("header").span(),
                        format!("{} is no name for a header", quoted(written)),
                    );
                    return None;
                };
                Some(Sticky::Header(name))
            }
        }
    }

    /// A member of a strategy: a model, or in the outer one a strategy.
    fn choice(&mut self, written: &written::Choice, at: At<'_>, depth: Depth) -> Option<Choice> {
        if !at.has("strategy") {
            return self.target(written, at).map(Choice::Target);
        }
        if depth == Depth::Inner {
            self.problems
                .error(
                    at.key("strategy").key_span(),
                    "strategies nest one level deep only",
                )
                .help("list the models here, or make the inner strategy the outer one");
            return None;
        }
        self.report_mixture(written, at);
        let strategy =
            self.strategy(written.strategy.as_ref()?, at.key("strategy"), Depth::Inner)?;
        Some(Choice::Nested {
            weight: written.weight.unwrap_or(1),
            strategy: Box::new(strategy),
        })
    }

    fn target(&mut self, written: &written::Choice, at: At<'_>) -> Option<Arc<Target>> {
        let Some(name) = &written.provider else {
            if !at.has("provider") {
                self.problems
                    .error(at.span(), "it is not said who answers")
                    .label("`provider` is missing")
                    .help("give `provider` and `name`, or a `strategy`");
            }
            return None;
        };
        self.used.insert(name.clone());
        if !self.providers.names.contains(name) {
            self.report_unknown_provider(name, at.key("provider"));
            return None;
        }
        let provider = self.providers.resolved.get(name.as_str())?;
        self.report_unserved(provider, at.key("provider"));
        let model = self.model_name(written, provider, at)?;
        Some(Arc::new(Target {
            name: TargetName::new(format!("{name}/{model}")),
            provider: ProviderName::new(name.as_str()),
            model,
            weight: written.weight.unwrap_or(1),
            tags: written.tags.iter().map(|tag| tag.as_str().into()).collect(),
        }))
    }

    fn report_unknown_provider(&mut self, name: &str, at: At<'_>) {
        let known = self.providers.names.iter().map(String::as_str);
        let help = diagnostics::suggestion(name, known, "the providers");
        let problem = self.problems.error(
            at.span(),
            format!("there is no provider named {}", quoted_node(at.node())),
        );
        problem.help(help);
        if let Some(kind) = providers::find(name) {
            problem.help(format!(
                "`{name}` is a kind of provider: add `{{name: {name}, type: {}, …}}` to `providers`",
                kind.name
            ));
        }
    }

    fn report_unserved(&mut self, provider: &Provider, at: At<'_>) {
        // Without endpoints, a mistake in the provider's address has been reported.
        if provider.serves(self.task) || provider.endpoints.is_empty() {
            return;
        }
        let served: Vec<&str> = provider
            .endpoints
            .iter()
            .map(|endpoint| endpoint.task.as_str())
            .collect();
        self.problems
            .error(
                at.span(),
                format!(
                    "the provider {} cannot serve `{}`",
                    quoted(provider.name.as_str()),
                    self.task.as_str()
                ),
            )
            .help(format!(
                "a provider of type `{}` serves {}",
                provider.kind,
                diagnostics::list(&served)
            ));
    }

    fn model_name(
        &mut self,
        written: &written::Choice,
        provider: &Provider,
        at: At<'_>,
    ) -> Option<Arc<str>> {
        if let Some(name) = &written.name {
            return Some(name.as_str().into());
        }
        if at.has("name") {
            return None; // a mistake in it has been reported
        }
        if let Some(model) = provider
            .default_model
            .as_ref()
            .filter(|_| self.task != Task::Http)
        {
            return Some(Arc::clone(model));
        }
        if self.task == Task::Http {
            return Some("http".into()); // whatever is asked for, the path says so
        }
        if !provider.quirks.model_in_body && provider.kind.as_ref() == "mlflow" {
            return Some("default".into()); // a model server has one model, whatever its name
        }
        self.problems
            .error(at.span(), "it is not said which model to ask for")
            .label("`name` is missing")
            .help(format!(
                "give `name`, or set `params.model` of the provider {}",
                quoted(provider.name.as_str())
            ));
        None
    }

    fn retries(&mut self, written: &written::Retries, at: At<'_>) -> Retries {
        let default = Retries::default();
        let retries = Retries {
            per_target: written.per_target.unwrap_or(default.per_target),
            attempts_max: written.attempts_max.unwrap_or(default.attempts_max),
            backoff: written.backoff.map_or(default.backoff, |wait| wait.0),
            backoff_max: written
                .backoff_max
                .map_or(default.backoff_max, |wait| wait.0),
        };
        if retries.backoff > retries.backoff_max {
            self.problems
                .error(
                    at.key("backoff").span(),
                    "`backoff` is longer than `backoff_max`",
                )
                .help("`backoff` is the first wait, `backoff_max` the longest");
        }
        retries
    }
}
