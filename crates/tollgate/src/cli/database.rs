//! `tollgate migrate`, `backup` and `restore`: the database as a whole.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufReader, BufWriter},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result};
use clap::Args;

use super::{
    output,
    stored_keys::{Place, with_store},
};

#[derive(Debug, Args)]
pub(super) struct MigrateArguments {
    #[command(flatten)]
    place: Place,
    /// Make the sums of usage anew out of the records.
    #[arg(long)]
    sums: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tollgate backup books.backup
  tollgate backup - | zstd > books.backup.zst
  tollgate restore --config on-postgres.yaml books.backup     move from SQLite to PostgreSQL

It holds everything as of one moment, whoever is writing meanwhile: usage, keys (their hashes), what was administered, the audit.")]
pub(super) struct FileArguments {
    #[command(flatten)]
    place: Place,
    /// The file; `-` for standard output, or input.
    file: PathBuf,
}

pub(super) fn migrate(arguments: &MigrateArguments) -> Result<ExitCode> {
    let resolved = arguments.place.resolved()?;
    // Opened, it is up to date.
    with_store(&resolved, async |store| {
        if arguments.sums {
            store.make_sums_anew().await?;
        }
        Ok(())
    })?;
    output::remark("The database is as this version wants it.")?;
    if arguments.sums {
        output::remark("The sums of usage were made anew out of the records.")?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn back_up(arguments: &FileArguments) -> Result<ExitCode> {
    let resolved = arguments.place.resolved()?;
    let rows = with_store(&resolved, async |store| {
        if is_standard(&arguments.file) {
            let mut out = BufWriter::new(io::stdout());
            return Ok(store.back_up(&mut out).await?);
        }
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            // It tells who asked for what.
            .mode(0o600)
            .open(&arguments.file)
            .with_context(|| format!("cannot make {}", arguments.file.display()))?;
        let mut out = BufWriter::new(&file);
        let rows = store.back_up(&mut out).await?;
        drop(out);
        file.sync_all()?;
        Ok(rows)
    })?;
    output::remark(&format!("{rows} rows are written."))?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn restore(arguments: &FileArguments) -> Result<ExitCode> {
    let resolved = arguments.place.resolved()?;
    let restored = with_store(&resolved, async |store| {
        if is_standard(&arguments.file) {
            let mut from = BufReader::new(io::stdin());
            return Ok(store.restore(&mut from).await?);
        }
        let file = File::open(&arguments.file)
            .with_context(|| format!("cannot open {}", arguments.file.display()))?;
        Ok(store.restore(&mut BufReader::new(file)).await?)
    })?;
    output::remark(&format!("{} rows are restored.", restored.rows))?;
    if !restored.is_proven {
        output::remark(
            "warning: an earlier version made this backup, without a hash: nothing proves that it is as it was written.",
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

fn is_standard(file: &Path) -> bool {
    file == Path::new("-")
}
