//! `tollgate prices`: what models cost, as far as it is known, or as far as the operator says it.

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Map, Value, json};
use tollgate_domain::{Catalogue, Price, PriceComponent, ServiceTier};
use tollgate_store::Kind;

use super::{
    output,
    stored_keys::{Place, milliseconds, moment, with_store},
};
use crate::{
    app::{add_prices, all_of},
    config,
};

/// As many names are compared with what was written at a time.
const COMPARED_AT_ONCE: usize = 500;

/// Which prices.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Print JSON, for scripts.
    #[arg(long, conflicts_with = "lines")]
    json: bool,
    /// Print lines that `catalogue.file` of the configuration takes.
    #[arg(long)]
    lines: bool,
    /// Read this file instead of what comes with the program: such lines, or LiteLLM's map of prices.
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Only what the operator says: prices of the configuration, and those that the administrative API has put into the store.
    #[arg(long, conflicts_with_all = ["lines", "from"])]
    own: bool,
    #[command(flatten)]
    place: Place,
    /// Only the models whose name, `kind/model`, contains this.
    filter: Option<String>,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    if arguments.own {
        return own(arguments);
    }
    let catalogue = match &arguments.from {
        None => Catalogue::built_in(),
        Some(file) => {
            let text = fs::read_to_string(file)
                .with_context(|| format!("cannot read {}", file.display()))?;
            Catalogue::read_any(&text).with_context(|| format!("{}", file.display()))?
        }
    };
    let mut models: Vec<(String, &str, &str, &Price)> = catalogue
        .iter()
        .map(|(kind, model, price)| (format!("{kind}/{model}"), kind, model, price))
        .filter(|(name, ..)| {
            let filter = arguments.filter.as_deref();
            filter.is_none_or(|word| has(name, word))
        })
        .collect();
    if let (true, Some(word)) = (models.is_empty(), &arguments.filter) {
        let names: Vec<String> = catalogue
            .iter()
            .map(|(kind, model, _)| format!("{kind}/{model}"))
            .collect();
        return none(word, names.iter().map(String::as_str));
    }
    models.sort_by(|one, other| one.0.cmp(&other.0));
    if arguments.json {
        let models: Vec<Value> = models
            .iter()
            .map(|(_, kind, model, price)| {
                json!({"kind": kind, "model": model, "dollars_per_million": as_json(price)})
            })
            .collect();
        return output::line(&serde_json::to_string_pretty(&models)?);
    }
    if arguments.lines {
        let lines = models.iter().map(|(_, kind, model, price)| {
            let bound = |word: &str, bound: Option<u64>| {
                bound.map_or_else(String::new, |bound| format!(" {word}={bound}"))
            };
            let components = price.components().iter();
            let components = components.map(|component| {
                format!(" {}={}", label(component), component.price.per_million())
            });
            format!(
                "{kind} {model}{}{}{}",
                components.collect::<String>(),
                bound("input_max", price.input_max()),
                bound("output_max", price.output_max()),
            )
        });
        return output::table(lines);
    }
    let width = models
        .iter()
        .map(|(name, ..)| name.len())
        .max()
        .unwrap_or(0);
    let lines = models
        .iter()
        .map(|(name, _, _, price)| format!("{name:width$}  {}", listed(price)));
    output::table(lines)
}

/// A price of the operator's.
struct Own {
    /// `provider/model`.
    name: String,
    /// When it begins, where it has not always been.
    from: Option<String>,
    price: Price,
    stands_in: &'static str,
}

fn own(arguments: &Arguments) -> Result<ExitCode> {
    let resolved = arguments.place.resolved()?;
    let stored = match resolved.store {
        Some(_) => with_store(&resolved, async |store| {
            Ok(all_of(store, Kind::Price).await?)
        })?,
        None => Vec::new(),
    };
    let mut whole = resolved.snapshot.clone();
    add_prices(&mut whole, &stored);
    let filed = &resolved.snapshot.prices;
    let mut prices: Vec<Own> = whole
        .prices
        .said()
        .map(|(provider, model, from, price)| Own {
            name: format!("{}/{model}", provider.as_str()),
            from: (!from.is_zero()).then(|| moment(milliseconds(from))),
            price: price.clone(),
            stands_in: if filed.says(provider.as_str(), model) {
                "configuration"
            } else {
                "store"
            },
        })
        .filter(|own| {
            let filter = arguments.filter.as_deref();
            filter.is_none_or(|word| has(&own.name, word))
        })
        .collect();
    if let (true, Some(word)) = (prices.is_empty(), &arguments.filter) {
        let names: Vec<String> = whole
            .prices
            .said()
            .map(|(provider, model, ..)| format!("{}/{model}", provider.as_str()))
            .collect();
        return none(word, names.iter().map(String::as_str));
    }
    prices.sort_by(|one, other| (&one.name, &one.from).cmp(&(&other.name, &other.from)));
    if arguments.json {
        let prices: Vec<Value> = prices
            .iter()
            .map(|own| {
                json!({
                    "model": own.name,
                    "from": own.from,
                    "dollars_per_million": as_json(&own.price),
                    "stands_in": own.stands_in,
                })
            })
            .collect();
        return output::line(&serde_json::to_string_pretty(&prices)?);
    }
    let width = prices.iter().map(|own| own.name.len()).max().unwrap_or(0);
    let lines = prices.iter().map(|own| {
        let from = own.from.as_ref();
        let from = from.map_or_else(String::new, |from| format!("  from {from}"));
        let components = listed(&own.price);
        format!(
            "{:width$}  {components}{from}  ({})",
            own.name, own.stands_in
        )
    });
    output::table(lines)
}

/// Whether a name contains a word, in capitals or not.
fn has(name: &str, word: &str) -> bool {
    name.to_lowercase().contains(&word.to_lowercase())
}

/// Says that no model is named so, and which are named much like it, with their provider or without.
fn none<'a>(word: &str, names: impl Iterator<Item = &'a str> + Clone) -> Result<ExitCode> {
    let models = names
        .clone()
        .filter_map(|name| Some(name.split_once('/')?.1));
    let known: Vec<&str> = names.chain(models).collect();
    let likely = known.chunks(COMPARED_AT_ONCE);
    let likely = likely.filter_map(|known| config::did_you_mean(word, known.iter().copied()));
    let meant = config::did_you_mean(word, likely);
    let help = meant.map_or_else(String::new, |name| format!("; did you mean `{name}`?"));
    bail!("no model with a price has `{word}` in its name{help}");
}

/// The components of a price, for people.
fn listed(price: &Price) -> String {
    let components = price.components().iter().map(|component| {
        let price = component.price.per_million();
        format!("{} {price}", label(component))
    });
    components.collect::<Vec<_>>().join("  ")
}

/// Dollars for a million, by what is counted.
pub(crate) fn as_json(price: &Price) -> Value {
    let components = price.components().iter().map(|component| {
        let price = json!(component.price.per_million());
        (label(component), price)
    });
    Value::Object(Map::from_iter(components))
}

/// `input`, `input>200000`, `input>200000@flex`.
fn label(component: &PriceComponent) -> String {
    let mut label = component.unit.as_str().to_owned();
    if component.above > 0 {
        label += &format!(">{}", component.above);
    }
    if component.tier != ServiceTier::Standard {
        label += &format!("@{}", component.tier.as_str());
    }
    label
}
