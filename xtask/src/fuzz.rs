//! `cargo xtask fuzz`: runs the fuzz targets of `fuzz/`, starting from recorded traffic and the project's own files.

mod seeds;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::project::{command, output, root, run, succeeds, target};

/// The version of cargo-fuzz that the project is checked with.
const CARGO_FUZZ: &str = "0.13.2";

/// Longer inputs find nothing that shorter ones do not, and slow the search down.
const INPUT_BYTES_MAX: usize = 1 << 16;

/// Seconds that one input may take. All work on an input is linear in its length, so that even the longest takes
/// milliseconds.
const INPUT_SECONDS_MAX: u32 = 10;

/// Megabytes that a target may use.
const MEMORY_MEGABYTES_MAX: u32 = 2048;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The target, such as `sse`; without it all of them, one after another.
    target: Option<String>,
    /// How long each target runs.
    #[arg(long, default_value_t = 60, value_name = "N")]
    seconds: u32,
    /// Run the target with this input only, such as one that an earlier run has found.
    #[arg(long, value_name = "FILE", requires = "target")]
    input: Option<PathBuf>,
}

pub(crate) fn fuzz(arguments: &Arguments) -> Result<()> {
    let fuzzer = Fuzzer {
        program: cargo_fuzz()?,
    };
    let known = fuzzer.targets()?;
    let targets = match &arguments.target {
        None => known,
        Some(target) if known.contains(target) => vec![target.clone()],
        Some(target) => bail!(
            "there is no target `{target}`; there are {}",
            known.join(", ")
        ),
    };
    fuzzer.build(arguments.target.as_deref())?;
    if let (Some(input), [target]) = (&arguments.input, targets.as_slice()) {
        let input = input
            .canonicalize()
            .with_context(|| format!("cannot find {}", input.display()))?;
        return run(fuzzer.command("run", Some(target)).arg(input));
    }
    seeds::write(&folder("seeds"))?;
    let mut found = Vec::new();
    for target in &targets {
        found.extend(fuzzer.search(target, arguments.seconds)?);
    }
    if found.is_empty() {
        return Ok(());
    }
    println!("\nTo see it again:");
    for finding in &found {
        println!("  {}", finding.reproduction());
    }
    bail!(
        "{} of {} targets found something",
        found.len(),
        targets.len()
    )
}

/// An input that a target does not bear.
struct Finding {
    target: String,
    input: PathBuf,
}

impl Finding {
    fn reproduction(&self) -> String {
        let input = self.input.strip_prefix(root()).unwrap_or(&self.input);
        format!(
            "cargo xtask fuzz {} --input {}",
            self.target,
            input.display()
        )
    }
}

/// cargo-fuzz, wherever it is.
struct Fuzzer {
    program: PathBuf,
}

impl Fuzzer {
    fn targets(&self) -> Result<Vec<String>> {
        let listed = output(&mut command(&self.program, &["list"]))?;
        Ok(listed.lines().map(str::to_owned).collect())
    }

    /// All of our code is safe, so that address sanitizers have little to say, and cost half of the speed. Without them, any
    /// toolchain can build the targets.
    fn command(&self, what: &str, target: Option<&str>) -> std::process::Command {
        let mut command = command(&self.program, &[what, "--sanitizer", "none"]);
        command.arg("--target-dir").arg(root().join("fuzz/target"));
        command.args(target);
        command
    }

    fn build(&self, target: Option<&str>) -> Result<()> {
        run(&mut self.command("build", target))
    }

    /// Runs a target for a while, with a line about it.
    fn search(&self, target: &str, seconds: u32) -> Result<Option<Finding>> {
        let (corpus, seeds) = (folder("corpus").join(target), folder("seeds").join(target));
        let log = folder("logs").join(format!("{target}.log"));
        let artifacts = root().join("fuzz/artifacts").join(target);
        for folder in [&corpus, &seeds, &folder("logs")] {
            fs::create_dir_all(folder)?;
        }
        let before = files(&artifacts);
        let status = self
            .command("run", Some(target))
            .args([&corpus, &seeds])
            .args([
                "--".to_owned(),
                format!("-max_total_time={seconds}"),
                format!("-max_len={INPUT_BYTES_MAX}"),
                format!("-timeout={INPUT_SECONDS_MAX}"),
                format!("-rss_limit_mb={MEMORY_MEGABYTES_MAX}"),
                "-print_final_stats=1".to_owned(),
            ])
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log)?)
            .status()?;
        let said = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
        let runs = statistic(&said, "stat::number_of_executed_units:").unwrap_or("?");
        if status.success() {
            println!("{target}: {runs} inputs in {seconds} s, nothing found");
            return Ok(None);
        }
        let mut new = files(&artifacts).into_iter();
        let input =
            new.find(|file| !before.contains(file) || said.contains(&*file.to_string_lossy()));
        let Some(input) = input else {
            bail!("{target} cannot run: see {}", log.display());
        };
        println!(
            "{target}: FOUND SOMETHING after {runs} inputs: {}",
            what_was_found(&said)
        );
        println!("  all of it: {}", log.display());
        Ok(Some(Finding {
            target: target.to_owned(),
            input,
        }))
    }
}

/// A folder of what fuzzing leaves behind, none of which belongs into the repository.
fn folder(name: &str) -> PathBuf {
    root().join("fuzz/target").join(name)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect()
}

fn statistic<'a>(said: &'a str, name: &str) -> Option<&'a str> {
    let line = said
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix(name))?;
    Some(line.trim())
}

/// What a panic says, or libFuzzer about what it ended.
fn what_was_found(said: &str) -> String {
    let mut lines = said.lines();
    let panic = lines.find(|line| line.starts_with("thread ") && line.contains("panicked at"));
    let message = panic.and_then(|_| lines.next());
    let error = said.lines().find(|line| line.contains("ERROR: libFuzzer"));
    let told = message.or(error).unwrap_or("for reasons unknown");
    told.chars().take(200).collect()
}

fn cargo_fuzz() -> Result<PathBuf> {
    let ours = target().join("tools/bin/cargo-fuzz");
    for program in [PathBuf::from("cargo-fuzz"), ours.clone()] {
        if succeeds(&mut command(&program, &["--version"])) {
            return Ok(program);
        }
    }
    let tools = target().join("tools");
    println!(
        "cargo-fuzz is missing: installing version {CARGO_FUZZ} into {} (a minute or two)",
        tools.display()
    );
    let install = [
        "install",
        "cargo-fuzz",
        "--locked",
        "--version",
        CARGO_FUZZ,
        "--root",
    ];
    run(command("cargo", &install).arg(tools))?;
    Ok(ours)
}
