//! `cargo xtask ship`: the program as it is shipped, built once to learn what it does under load and once more with what was learned, and then laid
//! out anew: what a call runs through lies together, as far as the processor's caches are concerned.

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

const BOLT: &str = "/usr/bin/llvm-bolt-19";
const MERGE_TOLD: &str = "/usr/lib/llvm-19/bin/merge-fdata";

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
        // What the layout is changed by.
        &format!(
            "-Cprofile-use={} -Clink-arg=-Wl,--emit-relocs",
            merged.display()
        ),
    )?;
    let laid_out = lay_out(&folder, &program)?;
    let shipped = target().join("shipped");
    fs::create_dir_all(&shipped)?;
    let shipped = shipped.join("tollgate");
    fs::copy(laid_out, &shipped)?;
    println!("{}", shipped.display());
    Ok(())
}

/// Lays the program out as it runs under load, by LLVM's BOLT (<https://github.com/llvm/llvm-project/tree/main/bolt>, read 2026-11).
fn lay_out(folder: &Path, program: &Path) -> Result<PathBuf> {
    bench::install(BOLT, "bolt-19")?;
    let (watched, told) = (folder.join("watched"), folder.join("told"));
    let _removed = fs::remove_dir_all(&told);
    fs::create_dir_all(&told)?;
    println!("Building the program that is watched.");
    run(Command::new(BOLT)
        .arg(program)
        .arg("-o")
        .arg(&watched)
        .args([
            "-instrument",
            "-instrumentation-file-append-pid",
            // Looked for beside where the tool is called from.
            "-runtime-instrumentation-lib=llvm-19/lib/libbolt_rt_instr.a",
        ])
        .arg(format!(
            "-instrumentation-file={}",
            told.join("run").display()
        )))?;
    println!("Making it work.");
    bench::train(&watched)?;
    let mut merge = Command::new(MERGE_TOLD);
    for file in fs::read_dir(&told)? {
        merge.arg(file?.path());
    }
    let merged = folder.join("told.fdata");
    run(merge.arg("-o").arg(&merged))?;
    println!("Laying it out.");
    let laid_out = folder.join("laid-out");
    run(Command::new(BOLT)
        .arg(program)
        .arg("-o")
        .arg(&laid_out)
        .arg(format!("-data={}", merged.display()))
        .args([
            "-reorder-blocks=ext-tsp",
            "-reorder-functions=cdsort",
            "-split-functions",
            "-split-all-cold",
            "-split-eh",
            "-icf=1",
            "-use-gnu-stack",
        ]))?;
    Ok(laid_out)
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
