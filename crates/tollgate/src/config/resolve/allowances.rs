//! Limits and budgets: what is counted, for whom, in which time.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use jiff::tz::TimeZone;
use tollgate_domain::{
    Allowance, CalendarUnit, CallerIssuer, DirectUse, Key, KeyHash, Picodollars, Quantity, Raise,
    Scope, Snapshot, Then, Whose, Window,
};

use super::routes::Routes;
use crate::config::{
    StoreSettings,
    diagnostics::{self, Problems, quoted, quoted_node},
    tree::{At, Content},
    units,
    written::{self, File},
};

/// Everyone, each by itself.
const EACH: &str = "each";

/// Who may call, as far as the file says.
pub(crate) struct Callers<'a> {
    pub(crate) keys: &'a HashMap<KeyHash, Arc<Key>>,
    pub(crate) issuers: &'a [Arc<CallerIssuer>],
}

/// Resolves the lists of limits and of budgets.
pub(crate) fn resolve(
    file: &File,
    at: At<'_>,
    routes: &Routes,
    callers: &Callers<'_>,
    store: Option<&StoreSettings>,
    problems: &mut Problems,
) -> Vec<Arc<Allowance>> {
    let mut names = HashSet::new();
    let providers = file.providers.iter();
    let (keys, teams) = (callers.keys.values(), callers.keys.values());
    let mut resolver = Resolver {
        known_keys: keys.map(|key| key.name.as_str()).collect(),
        known_teams: teams.filter_map(|key| key.team.as_deref()).collect(),
        issuers: callers.issuers,
        providers: providers.filter_map(|one| one.name.as_deref()).collect(),
        has_open_models: file.direct_use,
        routes,
        has_store: store.is_some(),
        problems,
    };
    let mut allowances = Vec::new();
    for (index, limit) in file.limits.iter().enumerate() {
        let at = at.key("limits").item(index);
        resolver.report_name(limit.name.as_deref(), &mut names, at);
        allowances.extend(resolver.limit(limit, at));
    }
    for (index, budget) in file.budgets.iter().enumerate() {
        let at = at.key("budgets").item(index);
        resolver.report_name(budget.name.as_deref(), &mut names, at);
        allowances.extend(resolver.budget(budget, at));
        if store.is_none() {
            resolver
                .problems
                .error(at.span(), "a budget needs books")
                .help(
                    "after a restart nobody would know what was spent: take `store.url: none` out",
                );
        }
    }
    allowances
}

/// Resolves the one limit or budget of a file, for the routes of a snapshot. Keys and teams may be made later.
pub(crate) fn stored(
    file: &File,
    at: At<'_>,
    snapshot: &Snapshot,
    problems: &mut Problems,
) -> Option<Arc<Allowance>> {
    let names = snapshot.routes_by_name.iter();
    let names = names.map(|(name, route)| (name.to_string(), route.name.to_string()));
    let routes = Routes {
        names: names.collect(),
        resolved: snapshot.routes.clone(),
        ..Routes::default()
    };
    let providers = snapshot.providers.keys();
    let mut resolver = Resolver {
        known_keys: HashSet::new(),
        known_teams: HashSet::new(),
        issuers: &snapshot.caller_issuers,
        providers: providers.map(|name| name.as_str()).collect(),
        has_open_models: snapshot.direct_use == DirectUse::Allowed,
        routes: &routes,
        has_store: true,
        problems,
    };
    match (file.limits.as_slice(), file.budgets.as_slice()) {
        ([limit], []) => resolver.limit(limit, at.key("limits").item(0)),
        ([], [budget]) => resolver.budget(budget, at.key("budgets").item(0)),
        _ => None,
    }
}

struct Resolver<'a, 'p> {
    known_keys: HashSet<&'a str>,
    known_teams: HashSet<&'a str>,
    /// Whom nobody here can know the callers of.
    issuers: &'a [Arc<CallerIssuer>],
    /// Those that can be asked.
    providers: HashSet<&'a str>,
    /// Whether models can be asked for that no route names.
    has_open_models: bool,
    routes: &'a Routes,
    has_store: bool,
    problems: &'p mut Problems,
}

impl Resolver<'_, '_> {
    fn report_name(&mut self, name: Option<&str>, names: &mut HashSet<String>, at: At<'_>) {
        let Some(name) = name else { return };
        let at = at.key("name");
        if name.trim().is_empty() {
            self.problems.error(at.span(), "the name is empty");
        } else if name.chars().any(char::is_control) {
            self.problems
                .error(
                    at.span(),
                    "the name has line ends or other signs that nobody sees",
                )
                .help("it stands in headers and in the log: write it in one line");
        } else if !names.insert(name.to_owned()) {
            self.problems
                .error(
                    at.span(),
                    format!("another limit or budget is named {}", quoted(name)),
                )
                .help("counts are kept by name: give each a name of its own");
        }
    }

    fn limit(&mut self, written: &written::Limit, at: At<'_>) -> Option<Arc<Allowance>> {
        let amounts = [
            ("requests", Quantity::Requests, written.requests),
            ("tokens", Quantity::Tokens, written.tokens),
            ("input_tokens", Quantity::InputTokens, written.input_tokens),
            (
                "output_tokens",
                Quantity::OutputTokens,
                written.output_tokens,
            ),
            ("concurrent", Quantity::Concurrent, written.concurrent),
            (
                "size",
                Quantity::Size,
                written
                    .size
                    .map(|size| u64::try_from(size.0).unwrap_or(u64::MAX)),
            ),
        ];
        let is_misread = |word| matches!(at.key(word).node().content, Content::Unknown);
        if amounts.iter().any(|(word, ..)| is_misread(word)) {
            return None; // It was reported, and may be the one thing.
        }
        let mut given = amounts
            .into_iter()
            .filter_map(|(word, quantity, amount)| Some((word, quantity, amount?)));
        let (Some((word, quantity, most)), None) = (given.next(), given.next()) else {
            self.problems
                .error(at.span(), "a limit is on one thing")
                .help("give one of `requests`, `tokens`, `input_tokens`, `output_tokens`, `concurrent`, `size`");
            return None;
        };
        let (zone, rolling) = (written.time_zone.as_deref(), written.rolling);
        let window = self.window(written.per.as_deref(), zone, rolling, at)?;
        let has_no_time = matches!(quantity, Quantity::Concurrent | Quantity::Size);
        if window.is_some() == has_no_time {
            let problem = self.problems.error(
                at.span(),
                if window.is_some() {
                    "calls at the same time, and the size of one, have no time".to_owned()
                } else {
                    format!("`{word}` are counted in a time")
                },
            );
            problem.help(if window.is_some() {
                "take `per` out"
            } else {
                "give `per`, such as `minute`"
            });
            return None;
        }
        let scope = self.scope(written.of.as_ref(), at.key("of"));
        if quantity == Quantity::Size && (written.then.is_some() || scope.is_by_target()) {
            self.problems
                .error(
                    at.span(),
                    "a limit of the size stops a call before anybody is asked",
                )
                .help("take `then`, `of.provider` and `of.model` out");
            return None;
        }
        Some(Arc::new(Allowance {
            name: written.name.as_deref()?.into(),
            scope,
            quantity,
            most,
            raise: None,
            window,
            then: then(written.then),
            is_told: written.tell.unwrap_or(true),
        }))
    }

    fn budget(&mut self, written: &written::Budget, at: At<'_>) -> Option<Arc<Allowance>> {
        let most = self.dollars(written.dollars?, at.key("dollars"))?;
        let raise = match &written.raise {
            Some(raise) => Some(self.raise(raise, at.key("raise"))?),
            None => None,
        };
        let (zone, rolling) = (written.time_zone.as_deref(), written.rolling);
        let window = self.window(written.per.as_deref(), zone, rolling, at)?;
        Some(Arc::new(Allowance {
            name: written.name.as_deref()?.into(),
            scope: self.scope(written.of.as_ref(), at.key("of")),
            quantity: Quantity::Picodollars,
            most: most.as_u64(),
            raise,
            window: Some(window?),
            then: then(written.then),
            is_told: written.tell.unwrap_or(false),
        }))
    }

    fn dollars(&mut self, dollars: f64, at: At<'_>) -> Option<Picodollars> {
        let amount = dollars.to_string().parse();
        if amount.is_err() {
            self.problems
                .error(at.span(), "this is no amount of money")
                .help("write dollars, such as `250` or `12.5`; some 18 million at most");
        }
        amount.ok()
    }

    /// One that is over is kept: nobody has to look for it in time.
    fn raise(&mut self, written: &written::Raise, at: At<'_>) -> Option<Raise> {
        let by = self.dollars(written.dollars?, at.key("dollars"))?;
        let until = super::parse_expiry(written.until.as_deref()?);
        if until.is_none() {
            self.problems
                .error(at.key("until").span(), "this is no date")
                .help("write `2027-01-31`, or `2027-01-31T18:00:00Z`");
        }
        Some(Raise {
            by: by.as_u64(),
            until: until?,
        })
    }

    /// `Some(None)` where no time is given, `None` where a mistake in it was reported.
    fn window(
        &mut self,
        per: Option<&str>,
        zone: Option<&str>,
        rolling: Option<bool>,
        at: At<'_>,
    ) -> Option<Option<Window>> {
        let Some(per) = per.map(str::trim) else {
            return Some(None);
        };
        if rolling == Some(true) {
            return self
                .rolling(per, zone, at)
                .map(|span| Some(Window::Rolling(span)));
        }
        let unit = match per {
            "day" => Some(CalendarUnit::Day),
            "week" => Some(CalendarUnit::Week),
            "month" => Some(CalendarUnit::Month),
            "year" => Some(CalendarUnit::Year),
            _ => None,
        };
        if let Some(unit) = unit {
            let zone = match zone {
                None => TimeZone::UTC,
                Some(zone) => self.zone(zone, at.key("time_zone"))?,
            };
            return Some(Some(Window::Calendar(unit, zone)));
        }
        if zone.is_some() {
            let at = at.key("time_zone");
            self.problems
                .error(
                    at.span(),
                    "only days, weeks, months and years begin somewhere",
                )
                .help("take `time_zone` out, or say `per: day`, `week`, `month` or `year`");
            return None;
        }
        let span = span_of(per);
        if span.is_none() {
            let at = at.key("per");
            self.problems
                .error(at.span(), format!("{} is no time", quoted_node(at.node())))
                .help("write `second`, `minute`, `hour`, `day`, `week`, `month`, `year`, or a time such as `10m`");
        }
        Some(Some(Window::Span(span?)))
    }

    /// The last so long, whenever it is.
    fn rolling(&mut self, per: &str, zone: Option<&str>, at: At<'_>) -> Option<Duration> {
        let span = match per {
            "day" => Some(Duration::from_secs(86_400)),
            "week" => Some(Duration::from_secs(7 * 86_400)),
            other => span_of(other),
        };
        match (span, zone) {
            (Some(span), None) => return Some(span),
            (None, _) => self
                .problems
                .error(at.key("per").span(), format!("`{per}` has no length that is always the same"))
                .help("with `rolling: true` write `second`, `minute`, `hour`, `day`, `week`, or a time such as `30d`"),
            (_, Some(_)) => self
                .problems
                .error(at.key("time_zone").span(), "a rolling time begins nowhere")
                .help("take `time_zone` out"),
        };
        None
    }

    fn zone(&mut self, name: &str, at: At<'_>) -> Option<TimeZone> {
        let zone = TimeZone::get(name);
        if zone.is_err() {
            self.problems
                .error(at.span(), format!("{} is no time zone that is known here", quoted(name)))
                .help("write a name such as `Europe/Rome`; on a small system the package `tzdata` may be missing");
        }
        zone.ok()
    }

    fn scope(&mut self, written: Option<&written::Scope>, at: At<'_>) -> Scope {
        let Some(written) = written else {
            return Scope::default();
        };
        if let Some(key) = written.key.as_deref().filter(|key| *key != EACH)
            && !self.known_keys.contains(key)
            && !self.is_issuers(key)
        {
            let known = self.known_keys.iter().copied();
            let help = diagnostics::suggestion(key, known, "the keys");
            self.report_unfiled("key", at.key("key"), help);
        }
        if let Some(team) = written.team.as_deref().filter(|team| *team != EACH)
            && !self.known_teams.contains(team)
            && self.issuers.is_empty()
        {
            let known = self.known_teams.iter().copied();
            let help = diagnostics::suggestion(team, known, "the keys' teams");
            self.report_unfiled("team", at.key("team"), help);
        }
        let route = written.route.as_deref().map(|route| {
            // An alias stands for its route.
            let known = self.routes.names.get(route);
            if route != EACH && known.is_none() {
                let known = self.routes.names.keys().map(String::as_str);
                let help = diagnostics::suggestion(route, known, "the routes");
                self.report_unknown("route", at.key("route"), help);
            }
            known.map_or(route, |name| name.as_str())
        });
        let targets = |what, name: &Option<String>| {
            let name = name.as_deref().filter(|name| *name != EACH)?;
            Some((what, name.to_owned()))
        };
        let named = [
            targets("provider", &written.provider),
            targets("model", &written.model),
        ];
        for (what, name) in named.into_iter().flatten() {
            self.report_unasked(what, &name, at.key(what));
        }
        let whose = |name: Option<&str>| {
            name.map(|name| match name {
                EACH => Whose::Each,
                name => Whose::Named(name.into()),
            })
        };
        Scope {
            key: whose(written.key.as_deref()),
            team: whose(written.team.as_deref()),
            route: whose(route),
            user: whose(written.user.as_deref()),
            app: whose(written.app.as_deref()),
            organisation: whose(written.organisation.as_deref()),
            provider: whose(written.provider.as_deref()),
            model: whose(written.model.as_deref()),
        }
    }

    /// Whether it may be the name of a caller with a token, as in `login:ann`.
    fn is_issuers(&self, key: &str) -> bool {
        self.issuers.iter().any(|issuer| issuer.names(key))
    }

    /// A provider that nobody asks, or a model that no route asks for, may be meant for what comes later.
    fn report_unasked(&mut self, what: &'static str, name: &str, at: At<'_>) {
        let known: HashSet<&str> = match what {
            "provider" => self.providers.clone(),
            _ if self.has_open_models => return,
            _ => {
                let routes = self.routes.resolved.iter();
                let targets = routes.flat_map(|route| route.strategy.targets());
                targets.map(|target| &*target.model).collect()
            }
        };
        if known.contains(name) {
            return;
        }
        let help = diagnostics::suggestion(name, known, &format!("the {what}s"));
        self.problems
            .warning(
                at.span(),
                format!("no {what} named {} stands in this file", quoted(name)),
            )
            .help(help)
            .help("it counts nothing until there is one");
    }

    /// What does not stand in the file may be in the store.
    fn report_unfiled(&mut self, what: &str, at: At<'_>, help: String) {
        if !self.has_store {
            return self.report_unknown(what, at, help);
        }
        self.problems
            .warning(
                at.span(),
                format!(
                    "no {what} named {} stands in this file",
                    quoted_node(at.node())
                ),
            )
            .help(help)
            .help("it counts nothing unless `tollgate key create` has made one");
    }

    fn report_unknown(&mut self, what: &str, at: At<'_>, help: String) {
        self.problems
            .error(
                at.span(),
                format!("there is no {what} named {}", quoted_node(at.node())),
            )
            .help(help)
            .help("`each` stands for everyone, each by itself");
    }
}

fn then(written: Option<written::Then>) -> Then {
    match written {
        Some(written::Then::Warn) => Then::Warn,
        Some(written::Then::Refuse) | None => Then::Refuse,
    }
}
/// A time that has a length.
fn span_of(per: &str) -> Option<Duration> {
    match per {
        "second" => Some(Duration::from_secs(1)),
        "minute" => Some(Duration::from_secs(60)),
        "hour" => Some(Duration::from_secs(3600)),
        other => units::duration(other).filter(|span| !span.is_zero()),
    }
}
