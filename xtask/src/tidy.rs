//! `cargo xtask tidy`: the shape of the sources.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Result, bail};
use serde_json::Value;

use crate::project::{command, output, root};

/// Lines beyond which a file is probably two.
const LINES_MAX: usize = 900;

/// Which room imports which, tests aside. A new edge is a decision: explain it in the commit that adds it here.
const EDGES: &[(&str, &str)] = &[
    ("tollgate", "tollgate-admin"),
    ("tollgate", "tollgate-counters"),
    ("tollgate", "tollgate-domain"),
    // A command of the program.
    ("tollgate", "tollgate-mock"),
    ("tollgate", "tollgate-proxy"),
    ("tollgate", "tollgate-store"),
    ("tollgate", "tollgate-telemetry"),
    ("tollgate", "tollgate-upstream"),
    ("tollgate-admin", "tollgate-domain"),
    ("tollgate-admin", "tollgate-store"),
    ("tollgate-counters", "tollgate-domain"),
    ("tollgate-dialects", "tollgate-domain"),
    ("tollgate-proxy", "tollgate-counters"),
    ("tollgate-proxy", "tollgate-dialects"),
    ("tollgate-proxy", "tollgate-domain"),
    ("tollgate-proxy", "tollgate-http1"),
    ("tollgate-proxy", "tollgate-telemetry"),
    ("tollgate-proxy", "tollgate-upstream"),
    ("tollgate-store", "tollgate-domain"),
    // The journal that it enters into the books.
    ("tollgate-store", "tollgate-telemetry"),
    ("tollgate-telemetry", "tollgate-domain"),
    ("tollgate-testkit", "tollgate-dialects"),
    ("tollgate-testkit", "tollgate-domain"),
    ("tollgate-upstream", "tollgate-domain"),
    ("tollgate-upstream", "tollgate-http1"),
    ("xtask", "tollgate-domain"),
    ("xtask", "tollgate-testkit"),
    // The page of providers is made of its table.
    ("xtask", "tollgate-upstream"),
];

pub(crate) fn tidy() -> Result<()> {
    crate::docs::check()?;
    let mut problems = edges()?;
    for file in output(&mut command(
        "git",
        &[
            "ls-files",
            "--cached",
            "--others",
            "--exclude-standard",
            "*.rs",
        ],
    ))?
    .lines()
    {
        check_file(file, &mut problems);
    }
    for problem in &problems {
        eprintln!("{problem}");
    }
    if !problems.is_empty() {
        bail!("{} things are not as they should be", problems.len());
    }
    println!("tidy: sources and rooms are as they should be");
    Ok(())
}

fn check_file(file: &str, problems: &mut Vec<String>) {
    let Ok(text) = fs::read_to_string(root().join(file)) else {
        return;
    };
    if Path::new(file)
        .file_name()
        .is_some_and(|name| name == "mod.rs")
    {
        problems.push(format!(
            "{file}: a module is named after its folder, not `mod.rs`"
        ));
    }
    if !text.starts_with("//!") && !text.starts_with("#![no_main]") {
        problems.push(format!(
            "{file}: the first line says what lives here (`//! ...`)"
        ));
    }
    let lines = text.lines().count();
    if lines > LINES_MAX && !file.contains("/tests") {
        problems.push(format!("{file}: {lines} lines; is it still one story?"));
    }
}

/// Compares the edges between our crates with the list.
fn edges() -> Result<Vec<String>> {
    let metadata: Value = serde_json::from_str(&output(&mut command(
        "cargo",
        &["metadata", "--format-version", "1", "--no-deps"],
    ))?)?;
    let packages = metadata["packages"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    let ours: BTreeSet<&str> = packages
        .iter()
        .filter_map(|package| package["name"].as_str())
        .collect();
    let mut found = BTreeSet::new();
    for package in packages {
        let dependencies = package["dependencies"]
            .as_array()
            .map_or(&[][..], Vec::as_slice);
        for dependency in dependencies
            .iter()
            .filter(|dependency| dependency["kind"].is_null())
        {
            if let (Some(from), Some(to)) = (package["name"].as_str(), dependency["name"].as_str())
                && ours.contains(to)
            {
                found.insert((from, to));
            }
        }
    }
    let allowed: BTreeSet<(&str, &str)> = EDGES.iter().copied().collect();
    let new = found
        .difference(&allowed)
        .map(|(from, to)| format!("{from} imports {to}: a new edge between rooms"));
    let gone = allowed
        .difference(&found)
        .map(|(from, to)| format!("{from} no longer imports {to}: take the edge off the list"));
    Ok(new.chain(gone).collect())
}
