//! `tollgate prices`: what models cost, as far as it is known.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde_json::{Map, Value, json};
use tollgate_domain::{Catalogue, Price, PriceComponent, ServiceTier};

use super::output;

/// Which prices.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Print JSON, for scripts.
    #[arg(long)]
    json: bool,
    /// Only the models whose name, `kind/model`, contains this.
    filter: Option<String>,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let catalogue = Catalogue::built_in();
    let mut models: Vec<(String, &str, &str, &Price)> = catalogue
        .iter()
        .map(|(kind, model, price)| (format!("{kind}/{model}"), kind, model, price))
        .filter(|(name, ..)| {
            let filter = arguments.filter.as_deref();
            filter.is_none_or(|word| name.contains(word))
        })
        .collect();
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
    let width = models
        .iter()
        .map(|(name, ..)| name.len())
        .max()
        .unwrap_or(0);
    let lines = models.iter().map(|(name, _, _, price)| {
        let components = price.components().iter().map(|component| {
            let price = component.price.per_million();
            format!("{} {price}", label(component))
        });
        format!(
            "{name:width$}  {}",
            components.collect::<Vec<_>>().join("  ")
        )
    });
    output::line(&lines.collect::<Vec<_>>().join("\n"))
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
