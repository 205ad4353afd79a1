//! Prices: the operator's, before those that come with the program.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};

use tollgate_domain::{
    Catalogue, Picodollars, Price, PriceComponent, Prices, ProviderName, ServiceTier, Unit,
};

use super::providers::Providers;
use crate::config::{
    diagnostics::{self, Problems, quoted_node},
    tree::At,
    written,
};

/// Read once: a configuration may be read again and again.
static CATALOGUE: LazyLock<Arc<Catalogue>> = LazyLock::new(|| Arc::new(Catalogue::built_in()));

/// Resolves the list of prices.
pub(crate) fn resolve(
    written: &[written::Price],
    at: At<'_>,
    providers: &Providers,
    problems: &mut Problems,
) -> Prices {
    let mut operators: HashMap<ProviderName, HashMap<Arc<str>, Arc<Price>>> = HashMap::new();
    for (index, written) in written.iter().enumerate() {
        let at = at.item(index);
        let (Some(provider), Some(model)) = (&written.provider, &written.model) else {
            continue; // a mistake in it has been reported
        };
        if !providers.names.contains(provider) {
            let known = providers.names.iter().map(String::as_str);
            let at = at.key("provider");
            problems
                .error(
                    at.span(),
                    format!("there is no provider named {}", quoted_node(at.node())),
                )
                .help(diagnostics::suggestion(provider, known, "the providers"));
        }
        let price = Price::new(components(written, at, problems));
        let models = operators
            .entry(ProviderName::new(provider.as_str()))
            .or_default();
        if models
            .insert(model.as_str().into(), Arc::new(price))
            .is_some()
        {
            problems
                .error(at.span(), "this model has a price already")
                .help("write all prices of a model into one place");
        }
    }
    Prices::new(operators, Arc::clone(&CATALOGUE))
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
        (Unit::Output, written.output),
        (Unit::OutputReasoning, written.output_reasoning),
        (Unit::OutputAudio, written.output_audio),
        (Unit::Search, written.search),
        (Unit::Call, written.call),
    ];
    let mut components = Vec::new();
    for (unit, dollars) in listed {
        let Some(dollars) = dollars else { continue };
        // The shortest text of a number is what was written, however it is kept in between.
        match Picodollars::parse_per_million(&dollars.to_string()) {
            Ok(price) => components.push(PriceComponent {
                unit,
                above: 0,
                tier: ServiceTier::Standard,
                price,
            }),
            Err(_) => {
                problems
                    .error(at.key(unit.as_str()).span(), "this is no price")
                    .help("prices are in dollars for a million, with at most 6 digits behind the point");
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
