//! `tollgate key`: keys for callers.

use std::{io, process::ExitCode};

use anyhow::{Context, bail};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use clap::{Args, Subcommand};
use tollgate_domain::KeyHash;

use super::{output, stored_keys};
use crate::config;

/// What keys begin with.
const PREFIX: &str = "tg_";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a key, and print it once, with the line for the configuration file.
    New(NewArguments),
    /// Make a key in the store, and print it once: no file has to be changed.
    Create(stored_keys::CreateArguments),
    /// List the keys in the store.
    List(stored_keys::ListArguments),
    /// Give a key in the store another secret, and print it once; the old one opens for a while.
    Rotate(stored_keys::RotateArguments),
    /// Block a key in the store, for now.
    Block(stored_keys::NameArguments),
    /// Unblock a key in the store.
    Unblock(stored_keys::NameArguments),
    /// Remove a key from the store, for good.
    Remove(stored_keys::NameArguments),
}

#[derive(Debug, Args)]
#[command(after_help = "\
The key goes to standard output, so that it can be put where it belongs: tollgate key new --name team-a | pbcopy
The line for `keys:` holds only its hash.")]
pub(crate) struct NewArguments {
    /// Whose it is; appears in logs.
    #[arg(long, default_value = "new")]
    name: String,
    /// The routes that it opens, with commas between them; all of them if left out, or with `all`.
    #[arg(long, value_name = "ROUTE,…", value_delimiter = ',')]
    routes: Vec<String>,
    /// When it ends: a date, or a time as in 2027-01-31T18:00:00Z; never if left out.
    #[arg(long, value_name = "DATE")]
    expires: Option<String>,
}

/// Runs a command about keys.
pub(crate) fn run(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::New(arguments) => new(arguments),
        Command::Create(arguments) => stored_keys::create(arguments),
        Command::List(arguments) => stored_keys::list(arguments),
        Command::Rotate(arguments) => stored_keys::rotate(arguments),
        Command::Block(arguments) => stored_keys::block(arguments, true),
        Command::Unblock(arguments) => stored_keys::block(arguments, false),
        Command::Remove(arguments) => stored_keys::remove(arguments),
    }
}

fn new(arguments: &NewArguments) -> anyhow::Result<ExitCode> {
    let key = new_key()?;
    let line = line(arguments, KeyHash::of(&key))?;
    output::remark("The key, which is shown this once:\n")?;
    output::line(&key)?;
    output::remark(&format!(
        "\nThe line for `keys:` in the configuration file:\n\n{line}"
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// A key that nobody has.
pub(super) fn new_key() -> anyhow::Result<String> {
    new_secret(PREFIX).context("the system gives no random numbers")
}

/// A secret that nobody has: a prefix and 43 letters, digits, `-` and `_` for 32 random bytes.
pub(crate) fn new_secret(prefix: &str) -> io::Result<String> {
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    Ok(secret_text(prefix, random))
}

fn secret_text(prefix: &str, random: [u8; 32]) -> String {
    format!("{prefix}{}", URL_SAFE_NO_PAD.encode(random))
}

/// Every route there is, and will be.
pub(super) const ALL: &str = "all";

/// The entry of `keys:` for a key.
fn line(arguments: &NewArguments, hash: KeyHash) -> anyhow::Result<String> {
    if arguments.name.trim().is_empty() {
        bail!("--name is empty");
    }
    let mut line = format!("  - {{name: {}, hash: \"{hash}\"", quoted(&arguments.name)?);
    if arguments.routes == [ALL] {
        line.push_str(", routes: all");
    } else if !arguments.routes.is_empty() {
        let routes: Result<Vec<_>, _> =
            arguments.routes.iter().map(|route| quoted(route)).collect();
        line.push_str(&format!(", routes: [{}]", routes?.join(", ")));
    }
    if let Some(expires) = &arguments.expires {
        config::parse_expiry(expires)
            .with_context(|| format!("--expires: `{expires}` is no date such as 2027-01-31"))?;
        line.push_str(&format!(", expires: {}", quoted(expires)?));
    }
    line.push('}');
    Ok(line)
}

/// A text for YAML, with quotes where it needs them. JSON's quotes are YAML's, too.
fn quoted(text: &str) -> serde_json::Result<String> {
    let is_plain = text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text
            .chars()
            .all(|sign| sign.is_ascii_alphanumeric() || matches!(sign, '_' | '-' | '.'))
        && !["true", "false", "null"].contains(&text.to_ascii_lowercase().as_str());
    if is_plain {
        return Ok(text.to_owned());
    }
    serde_json::to_string(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(name: &str, routes: &[&str], expires: Option<&str>) -> NewArguments {
        NewArguments {
            name: name.to_owned(),
            routes: routes.iter().map(|route| (*route).to_owned()).collect(),
            expires: expires.map(str::to_owned),
        }
    }

    #[test]
    fn keys_are_43_signs_after_their_prefix() {
        let key = secret_text(PREFIX, [255; 32]);
        assert_eq!(key.len(), 46);
        assert!(key.starts_with("tg_") && key.is_ascii());
    }

    #[test]
    fn the_line_is_yaml_that_names_everything() {
        let hash = KeyHash::of("tg_x");
        let line = line(
            &arguments("team: \"a\"", &["chat", "true"], Some("2027-01-31")),
            hash,
        );
        assert_eq!(
            line.expect("valid"),
            format!(
                r#"  - {{name: "team: \"a\"", hash: "{hash}", routes: [chat, "true"], expires: "2027-01-31"}}"#
            ),
        );
    }

    #[test]
    fn all_routes_are_no_list() {
        let hash = KeyHash::of("tg_x");
        let line = line(&arguments("a", &["all"], None), hash);
        let wanted = format!("  - {{name: a, hash: \"{hash}\", routes: all}}");
        assert_eq!(line.expect("valid"), wanted);
    }

    #[test]
    fn what_the_file_would_refuse_is_refused() {
        let hash = KeyHash::of("tg_x");
        assert!(line(&arguments("a", &[], Some("soon")), hash).is_err());
        assert!(line(&arguments(" ", &[], None), hash).is_err());
    }
}
