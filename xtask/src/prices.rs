//! Makes the prices that come with the program, of the map of prices that LiteLLM publishes (MIT licence; its notice stands at the head of
//! the file that is made). That map is `litellm/model_prices_and_context_window_backup.json` in its Python wheel.

use std::{fmt::Write as _, fs, path::PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::{Map, Value};
use tollgate_domain::lines_of_map;

use crate::project;

/// What to make prices of.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// LiteLLM's map of prices.
    map: PathBuf,
    /// LiteLLM's version, to be named in the file.
    version: String,
}

/// Where they are kept.
const FILE: &str = "crates/tollgate-domain/data/prices.txt";

/// Fewer would mean that the map has changed its shape.
const MODELS_MIN: usize = 2000;

const HEAD: &str = "\
# Prices of models, by the kind of a provider, in US dollars for a million of what is counted.
# `input_max` and `output_max` are the tokens that a model takes and gives at most. `input>200000` holds for calls with more input tokens than that, `input@flex` for that service tier.
# Made by `cargo xtask prices`. Do not edit: the configuration's `prices` go first.
";

pub(crate) fn prices(arguments: &Arguments) -> Result<()> {
    let text = fs::read_to_string(&arguments.map)
        .with_context(|| format!("cannot read {}", arguments.map.display()))?;
    let map: Map<String, Value> = serde_json::from_str(&text).context("the map is no JSON")?;
    let mut lines = lines_of_map(&map);
    lines.insert(("demo", "*".to_owned()), "input=0 output=0".to_owned());
    ensure!(
        lines.len() >= MODELS_MIN,
        "the map has {} models only",
        lines.len()
    );
    let mut file = HEAD.to_owned();
    writeln!(
        file,
        "#\n# The figures are those of LiteLLM {}, which are under the MIT License:\n#",
        arguments.version
    )?;
    for line in include_str!("../../crates/tollgate-domain/data/LICENSE-prices").lines() {
        writeln!(file, "{}", format!("#   {line}").trim_end())?;
    }
    for ((kind, model), components) in &lines {
        writeln!(file, "{kind} {model} {components}")?;
    }
    fs::write(project::root().join(FILE), file)?;
    println!("{FILE}: {} models", lines.len());
    Ok(())
}
