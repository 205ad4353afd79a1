//! Prices: the operator's, before those that come with the program.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
    sync::{Arc, LazyLock},
    time::Duration,
};

use http::Uri;
use tollgate_domain::{
    Allowance, Catalogue, MODEL_BYTES_MAX, Picodollars, Price, PriceComponent, Prices,
    ProviderName, Quantity, Route, Snapshot, Target, Task, Then, Unit, Whose,
};

use super::{providers::Providers, routes::Routes};
use crate::config::{
    CatalogueSettings, CatalogueSource,
    diagnostics::{self, Problems, quoted, quoted_node},
    tree::At,
    written,
};

/// How often newer prices are looked at, unless said otherwise, and at most.
const LOOK_AT_FILE_EVERY: Duration = Duration::from_secs(60);
const FETCH_EVERY: Duration = Duration::from_secs(24 * 3600);
const EVERY_MIN: Duration = Duration::from_secs(1);

/// Read once: a configuration may be read again and again.
static CATALOGUE: LazyLock<Arc<Catalogue>> = LazyLock::new(|| Arc::new(Catalogue::built_in()));

/// What the operator says that a model costs.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) provider: ProviderName,
    pub(crate) model: Arc<str>,
    /// When it begins, since 1970-01-01 UTC.
    pub(crate) from: Duration,
    pub(crate) price: Arc<Price>,
}

/// Resolves the list of prices.
pub(crate) fn resolve(
    written: &[written::Price],
    at: At<'_>,
    providers: &Providers,
    problems: &mut Problems,
) -> Prices {
    let names: Vec<&str> = providers.names.iter().map(String::as_str).collect();
    let mut prices = Prices::new(HashMap::new(), Arc::clone(&CATALOGUE));
    for (index, written) in written.iter().enumerate() {
        let at = at.item(index);
        let Some(said) = one(written, at, &names, problems) else {
            continue; // a mistake in it has been reported
        };
        if !prices.add(said.provider, said.model, said.from, said.price) {
            problems
                .error(at.span(), "this model has a price already")
                .help(
                    "write all prices of a model into one place, or say `from` when another begins",
                );
        }
    }
    prices
}

/// Says of which models one call may cost more than was reserved for it of a budget that refuses: nobody bounds what they give.
pub(crate) fn warn_unbounded(
    (prices, now): (&Prices, Duration),
    allowances: &[Arc<Allowance>],
    (providers, routes): (&Providers, &Routes),
    at: At<'_>,
    problems: &mut Problems,
) {
    let mut told = HashSet::new();
    for route in &routes.resolved {
        if !matches!(route.task, Task::Chat | Task::Completions) {
            continue;
        }
        for target in route.strategy.targets() {
            let Some(provider) = providers.resolved.get(&target.provider) else {
                continue;
            };
            let tariff = prices.of(target.provider.as_str(), &provider.kind, &target.model);
            let is_unbounded = tariff.at(now).is_some_and(|price| {
                let of_output = price.most(0, 1, 0);
                price.output_max().is_none() && of_output > price.most(0, 0, 0)
            });
            let mut budgets = allowances.iter();
            if is_unbounded
                && budgets.any(|budget| is_refused_by(budget, route, target))
                && told.insert(&target.name)
            {
                let name = quoted(&target.name.to_string());
                problems
                    .warning(
                        at.key_span(),
                        format!("nobody says how many tokens {name} gives at most"),
                    )
                    .help("a call without `max_tokens` that gives more than 65,536 costs more than was reserved for it, and may overrun a budget: say `output_max` in `prices`");
            }
        }
    }
}

/// Whether calls of a route may be refused for what a target costs.
fn is_refused_by(budget: &Allowance, route: &Route, target: &Target) -> bool {
    let fits = |whose: &Option<Whose>, name: &str| match whose {
        Some(Whose::Named(named)) => &**named == name,
        Some(Whose::Each) | None => true,
    };
    let scope = &budget.scope;
    budget.quantity == Quantity::Picodollars
        && budget.then == Then::Refuse
        && fits(&scope.route, route.name.as_str())
        && fits(&scope.provider, target.provider.as_str())
        && fits(&scope.model, &target.model)
}

/// Resolves a price that stands in the store.
pub(crate) fn stored(
    file: &written::File,
    at: At<'_>,
    snapshot: &Snapshot,
    problems: &mut Problems,
) -> Option<Said> {
    let names: Vec<&str> = snapshot
        .providers
        .keys()
        .map(ProviderName::as_str)
        .collect();
    one(
        file.prices.first()?,
        at.key("prices").item(0),
        &names,
        problems,
    )
}

fn one(
    written: &written::Price,
    at: At<'_>,
    providers: &[&str],
    problems: &mut Problems,
) -> Option<Said> {
    let (provider, model) = (written.provider.as_deref()?, written.model.as_deref()?);
    if !providers.contains(&provider) {
        let known = providers.iter().copied();
        let at = at.key("provider");
        problems
            .error(
                at.span(),
                format!("there is no provider named {}", quoted_node(at.node())),
            )
            .help(diagnostics::suggestion(provider, known, "the providers"));
    }
    if model.len() > MODEL_BYTES_MAX {
        problems.error(
            at.key("model").span(),
            format!("`model` has more than {MODEL_BYTES_MAX} bytes"),
        );
    }
    let price = Price::new(components(written, at, problems)).with_output_max(written.output_max);
    let from = match written.from.as_deref() {
        None => Some(Duration::ZERO),
        Some(text) => super::parse_expiry(text),
    };
    if from.is_none() {
        problems
            .error(at.key("from").span(), "this is no date")
            .help("write `2027-01-31`, or `2027-01-31T18:00:00Z`");
    }
    Some(Said {
        provider: ProviderName::new(provider),
        model: model.into(),
        from: from?,
        price: Arc::new(price),
    })
}

/// Resolves where newer prices come from, where they do. Relative paths start at `folder`.
pub(crate) fn catalogue(
    written: &written::Catalogue,
    at: At<'_>,
    folder: &Path,
    problems: &mut Problems,
) -> Option<CatalogueSettings> {
    let source = match (&written.file, &written.url) {
        (None, None) => return None,
        (Some(_), Some(_)) => {
            problems
                .error(at.span(), "prices come from one place")
                .help("give `file` or `url`");
            return None;
        }
        (Some(file), None) => CatalogueSource::File(folder.join(file.trim())),
        (None, Some(url)) => {
            let uri = url.trim().parse::<Uri>().ok().filter(|uri| {
                matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some()
            });
            if uri.is_none() {
                problems
                    .error(at.key("url").span(), "this is no address")
                    .help("write `https://HOST/PATH`");
            }
            CatalogueSource::Address {
                uri: uri?,
                private_addresses: written.private_addresses,
            }
        }
    };
    let usual = match source {
        CatalogueSource::File(_) => LOOK_AT_FILE_EVERY,
        CatalogueSource::Address { .. } => FETCH_EVERY,
    };
    Some(CatalogueSettings {
        source,
        every: written.every.map_or(usual, |every| every.0.max(EVERY_MIN)),
    })
}

fn components(
    written: &written::Price,
    at: At<'_>,
    problems: &mut Problems,
) -> Vec<PriceComponent> {
    let listed = [
        (Unit::Input, written.input),
        (Unit::InputCached, written.input_cached),
        (Unit::CacheWrite, written.cache_write),
        (Unit::CacheWrite1h, written.cache_write_1h),
        (Unit::InputAudio, written.input_audio),
        (Unit::InputImage, written.input_image),
        (Unit::Output, written.output),
        (Unit::OutputReasoning, written.output_reasoning),
        (Unit::OutputAudio, written.output_audio),
        (Unit::OutputImage, written.output_image),
        (Unit::Second, written.second),
        (Unit::Search, written.search),
        (Unit::WebSearch, written.web_search),
        (Unit::Call, written.call),
    ];
    let usual = listed.into_iter();
    let usual = usual.filter_map(|(unit, dollars)| Some((unit.as_str(), dollars?)));
    let conditional = written.conditional.iter();
    let conditional = conditional.map(|(key, dollars)| (key.as_str(), *dollars));
    let mut components = Vec::new();
    for (key, dollars) in usual.chain(conditional) {
        // The shortest text of a number is what was written, however it is kept in between.
        let Ok(price) = Picodollars::parse_per_million(&dollars.to_string()) else {
            let problem = format!("{} is no price", quoted(key));
            problems.error(at.key(key).span(), problem).help(
                "prices are in dollars for a million, with at most 6 digits behind the point",
            );
            continue;
        };
        match PriceComponent::named(key, price) {
            Some(component) => components.push(component),
            None => {
                problems
                    .error(at.key(key).key_span(), "this says no case that is known")
                    .help("write `input>200000`, `input@flex` or `input>200000@flex`; tiers are `flex`, `priority` and `batch`");
            }
        }
    }
    if components.is_empty() && !problems.has_errors() {
        problems
            .error(at.span(), "nothing has a price here")
            .help("give `input` and `output`, in dollars for a million tokens; 0 where it is free");
    }
    components
}
