//! `cargo xtask ship`: the program as it is shipped, built once to learn what it does under load and once more with what was learned.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use crate::{
    bench,
    project::{command, output, run, target},
};

/// Builds it; the program is in `target/shipped`.
pub(crate) fn ship() -> Result<()> {
    let host = host()?;
    let profdata = profdata(&host)?;
    let (folder, learned) = (target().join("pgo"), target().join("pgo/learned"));
    // What an older program did says nothing about this one.
    let _removed = fs::remove_dir_all(&learned);
    fs::create_dir_all(&learned)?;
    println!("Building the program that learns.");
    let program = build(
        &folder,
        &host,
        &format!("-Cprofile-generate={}", learned.display()),
    )?;
    println!("Making it work.");
    bench::train(&program)?;
    let merged = folder.join("learned.profdata");
    run(Command::new(profdata)
        .arg("merge")
        .arg("-o")
        .arg(&merged)
        .arg(&learned))?;
    println!("Building the program that has learned.");
    let program = build(
        &folder,
        &host,
        &format!("-Cprofile-use={}", merged.display()),
    )?;
    let shipped = target().join("shipped");
    fs::create_dir_all(&shipped)?;
    let shipped = shipped.join("tollgate");
    fs::copy(program, &shipped)?;
    println!("{}", shipped.display());
    Ok(())
}

fn build(folder: &Path, host: &str, flags: &str) -> Result<PathBuf> {
    let arguments = [
        "build",
        "--profile",
        "ship",
        "--package",
        "tollgate",
        "--target",
        host,
        "--target-dir",
    ];
    run(command("cargo", &arguments)
        .arg(folder)
        .env("RUSTFLAGS", flags))?;
    Ok(folder.join(host).join("ship/tollgate"))
}

/// This machine's target, as the compiler calls it.
fn host() -> Result<String> {
    let told = output(&mut command("rustc", &["--version", "--verbose"]))?;
    let host = told.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc does not say its host")?.to_owned())
}

/// The compiler's own tool that merges what was learned; installs it where it is missing.
fn profdata(host: &str) -> Result<PathBuf> {
    let sysroot = output(&mut command("rustc", &["--print", "sysroot"]))?;
    let tool = Path::new(sysroot.trim())
        .join("lib/rustlib")
        .join(host)
        .join("bin/llvm-profdata");
    if !tool.exists() {
        run(&mut command("rustup", &["component", "add", "llvm-tools"]))?;
    }
    ensure!(
        tool.exists(),
        "{} is missing: `rustup component add llvm-tools` installs it",
        tool.display()
    );
    Ok(tool)
}
