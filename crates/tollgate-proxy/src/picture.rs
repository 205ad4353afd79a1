//! What requests are decided from: the configuration's snapshot with everything that can be prepared ahead of them.

use std::sync::Arc;

use hashbrown::HashMap;
use http::{HeaderValue, Method};
use tollgate_domain::{
    Choice, Dialect, DirectUse, MODEL_BYTES_MAX, Retries, Route, RouteName, Snapshot, Strategy,
    Target, TargetName, Task,
};
use tollgate_upstream::Fleet;

use crate::{
    admission::AllowanceIndex,
    keys::{Caller, TrustedIssuer},
    paths::{self, Asked, What},
    payloads::Payloads,
    plain::PlainRoutes,
    prompts::{Template, TemplateProblem},
    refusal::Refusal,
    routes::Tree,
};

/// A snapshot made ready. Replaced whole when the configuration changes; a request keeps the one that it began with.
#[derive(Debug)]
pub struct Picture {
    /// What was configured.
    pub snapshot: Snapshot,
    /// The providers, with their health.
    pub fleet: Fleet,
    /// Who issues tokens that callers may show, with their keys.
    pub(crate) issuers: Vec<Arc<TrustedIssuer>>,
    routes: HashMap<RouteName, Arc<CompiledRoute>>,
    plain_routes: PlainRoutes,
    /// The revision, as answers carry it.
    pub(crate) revision: HeaderValue,
    /// Which payloads are kept, where any are.
    pub(crate) payloads: Option<Arc<Payloads>>,
    /// Limits and budgets by whom they are for.
    pub(crate) allowances: AllowanceIndex,
}

/// A route made ready.
#[derive(Debug)]
pub(crate) struct CompiledRoute {
    /// As configured.
    pub(crate) route: Arc<Route>,
    /// Its strategy, with its targets looked up.
    pub(crate) tree: Tree,
    /// Those of its targets that have tags.
    tagged: Vec<Arc<Target>>,
    /// Its prompt, compiled.
    pub(crate) template: Option<Template>,
    /// Its name, as answers carry it.
    pub(crate) header: HeaderValue,
}

impl Picture {
    /// Prepares a snapshot; providers that an earlier picture had too keep their health.
    ///
    /// # Errors
    /// When a route's prompt does not compile; configuration checks have said so before.
    pub fn build(snapshot: Snapshot, previous: Option<&Self>) -> Result<Self, TemplateProblem> {
        let fleet = Fleet::build(&snapshot, previous.map(|picture| &picture.fleet));
        let mut routes = HashMap::new();
        for route in &snapshot.routes {
            let compiled = Arc::new(CompiledRoute::build(route, &fleet)?);
            for name in std::iter::once(&route.name).chain(&route.aliases) {
                routes.insert(name.clone(), Arc::clone(&compiled));
            }
        }
        let revision = header_value(snapshot.revision.as_str());
        let before = previous.map_or(&[][..], |picture| &picture.issuers);
        let issuers = snapshot.caller_issuers.iter();
        let issuers = issuers.map(|issuer| TrustedIssuer::new(issuer, before));
        Ok(Self {
            issuers: issuers.collect(),
            payloads: Payloads::of(&snapshot).map(Arc::new),
            plain_routes: PlainRoutes::of(snapshot.routes.iter().map(AsRef::as_ref)),
            allowances: AllowanceIndex::of(&snapshot.allowances),
            snapshot,
            fleet,
            routes,
            revision,
        })
    }

    /// What a request asks for. What is no path of the gateway's own may be one of a route for plain HTTP.
    pub(crate) fn asked<'a>(&'a self, method: &Method, path: &'a str) -> Asked<'a> {
        let asked = paths::find(method, path);
        if asked.what != What::Unknown {
            return asked;
        }
        match self.plain_routes.find(path) {
            None => asked,
            Some((route, rest)) => Asked {
                what: What::Plain { route, rest },
                shape: asked.shape,
                pattern: "/{http}",
            },
        }
    }

    /// The route that a client's `model` names: a route's name, an alias, or `provider/model` where that is allowed.
    pub(crate) fn route(
        &self,
        model: &str,
        caller: &Caller,
    ) -> Result<Arc<CompiledRoute>, Refusal> {
        self.named(model, caller)?.open_to(caller, model)
    }

    /// The route of a name or an alias, whether it is open to the caller or not.
    pub(crate) fn named(
        &self,
        model: &str,
        caller: &Caller,
    ) -> Result<&Arc<CompiledRoute>, Refusal> {
        self.routes.get(model).ok_or_else(|| Refusal::RouteUnknown {
            model: shorten(model),
            nearest: self.nearest(model, caller),
        })
    }

    /// The route that a client's `model` names, or that `provider/model` stands for; it must do what is asked.
    pub(crate) fn route_or_direct(
        &self,
        model: &str,
        asked: Task,
        caller: &Caller,
    ) -> Result<Arc<CompiledRoute>, Refusal> {
        let route = match self.route(model, caller) {
            Ok(route) => route,
            Err(refusal @ Refusal::RouteUnknown { .. }) => {
                self.direct_route(model, asked, caller).ok_or(refusal)?
            }
            Err(refusal) => return Err(refusal),
        };
        let does = route.route.task;
        if does == asked {
            Ok(route)
        } else {
            Err(Refusal::WrongTask {
                asked: shorten(model),
                route: route.route.name.clone(),
                does: does.as_str(),
                wanted: asked.as_str(),
            })
        }
    }

    /// The route of a call in a dialect. With Ollama one model continues texts and conversations, so that its texts go to routes for chats as
    /// well, but for those with a prompt, which is made of messages.
    pub(crate) fn route_of_call(
        &self,
        model: &str,
        dialect: Dialect,
        caller: &Caller,
    ) -> Result<Arc<CompiledRoute>, Refusal> {
        let found = self.route_or_direct(model, dialect.task(), caller);
        match found {
            Err(refusal @ Refusal::WrongTask { .. }) if dialect == Dialect::OllamaGenerate => {
                let chat = self.route_or_direct(model, Task::Chat, caller).ok();
                chat.filter(|route| route.template.is_none()).ok_or(refusal)
            }
            found => found,
        }
    }

    /// The one route that does something and that a caller may use, for calls that need not name a model.
    pub(crate) fn only_route(&self, task: Task, caller: &Caller) -> Option<Arc<CompiledRoute>> {
        let mut fit = self.routes_for(caller).filter(|route| route.task == task);
        match (fit.next(), fit.next()) {
            (Some(route), None) => self.routes.get(&route.name).cloned(),
            _ => None,
        }
    }

    /// The route that `provider/model` stands for, for one task.
    fn direct_route(&self, model: &str, task: Task, caller: &Caller) -> Option<Arc<CompiledRoute>> {
        if self.snapshot.direct_use == DirectUse::Refused || !caller.may_use_everything() {
            return None;
        }
        let (provider, model_name) = model.split_once('/')?;
        if model_name.len() > MODEL_BYTES_MAX {
            return None;
        }
        let lane = self.fleet.direct(provider, model_name)?;
        let target = Arc::new(Target {
            name: lane.name().clone(),
            provider: provider.into(),
            model: model_name.into(),
            weight: 1,
            tags: Vec::new(),
        });
        let route = Arc::new(Route {
            name: lane.name().as_str().into(),
            aliases: Vec::new(),
            task,
            strategy: Strategy::Single(Choice::Target(target)),
            params: serde_json::Map::new(),
            prompt: None,
            drop_unsupported: false,
            retries: Retries::default(),
            plain: None,
        });
        let header = header_value(route.name.as_str());
        Some(Arc::new(CompiledRoute {
            route,
            tree: Tree::single(lane),
            tagged: Vec::new(),
            template: None,
            header,
        }))
    }

    /// The routes that a caller may use by the names of their models, in the order written.
    pub(crate) fn routes_for<'a>(
        &'a self,
        caller: &'a Caller,
    ) -> impl Iterator<Item = &'a Arc<Route>> {
        self.snapshot
            .routes
            .iter()
            .filter(|route| route.task != Task::Http && is_open(route, caller))
    }

    /// The name that may have been meant: at most a third of its letters differ.
    fn nearest(&self, model: &str, caller: &Caller) -> Option<String> {
        let names = self
            .routes
            .iter()
            .filter(|(_, compiled)| is_open(&compiled.route, caller))
            .map(|(name, _)| name.as_str());
        names
            .filter_map(|name| {
                let distance = strsim::damerau_levenshtein(
                    &name.to_ascii_lowercase(),
                    &shorten(model).to_ascii_lowercase(),
                );
                (distance * 3 <= name.len()).then_some((distance, name))
            })
            .min()
            .map(|(_, name)| name.to_owned())
    }
}

impl CompiledRoute {
    fn build(route: &Arc<Route>, fleet: &Fleet) -> Result<Self, TemplateProblem> {
        let template = route.prompt.as_ref().map(Template::compile).transpose()?;
        let lane = |target: &Target| {
            fleet
                .lane(&target.name)
                .expect("the fleet was built from the same snapshot")
        };
        let targets = route.strategy.targets();
        let tagged = targets.into_iter().filter(|target| !target.tags.is_empty());
        Ok(Self {
            tree: Tree::build(&route.strategy, &lane),
            tagged: tagged.cloned().collect(),
            template,
            header: header_value(route.name.as_str()),
            route: Arc::clone(route),
        })
    }
}

impl CompiledRoute {
    /// The route, if a caller may use it who named it so.
    pub(crate) fn open_to(
        self: &Arc<Self>,
        caller: &Caller,
        model: &str,
    ) -> Result<Arc<Self>, Refusal> {
        if caller.may_use(self.route.name.as_str()) {
            Ok(Arc::clone(self))
        } else {
            Err(Refusal::RouteForbidden {
                shown: caller.shown(),
                asked: shorten(model),
                route: self.route.name.clone(),
            })
        }
    }

    /// The words that the configuration has for a target in this route.
    pub(crate) fn tags(&self, target: &TargetName) -> &[Arc<str>] {
        let mut tagged = self.tagged.iter();
        tagged
            .find(|tagged| tagged.name == *target)
            .map_or(&[], |tagged| &tagged.tags)
    }
}

/// Whether a caller may use a route, and reaches anybody by it.
fn is_open(route: &Route, caller: &Caller) -> bool {
    let mut targets = route.strategy.targets().into_iter();
    caller.may_use(route.name.as_str())
        && targets.any(|target| caller.may_ask(route.task, target.provider.as_str(), &target.model))
}

/// A name as a header's value; what a header cannot carry is left out.
pub(crate) fn header_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| {
        let ascii: String = text.chars().filter(|c| (' '..='~').contains(c)).collect();
        HeaderValue::from_str(&ascii).unwrap_or(HeaderValue::from_static(""))
    })
}

/// As much of a client's text as is fit to be repeated.
pub(crate) fn shorten(text: &str) -> String {
    const CHARACTERS_MAX: usize = 100;
    if text.len() <= CHARACTERS_MAX {
        return text.to_owned();
    }
    text.chars().take(CHARACTERS_MAX).collect()
}
