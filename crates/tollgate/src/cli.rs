//! The command line: what can be asked for, and what each command prints.
//!
//! Results go to standard output, everything said about them to standard error.

mod actor;
mod check;
mod completions;
mod database;
mod explain;
mod keys;
mod mock;
mod output;
mod people;
mod prices;
mod providers;
mod schema;
mod serve;
mod stored_keys;
mod usage;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::config::{self, TemplateProblem};

/// A gateway between your applications and the AI services that they call.
///
/// One YAML file says who answers what; clients of OpenAI, Anthropic and MLflow connect unchanged.
#[derive(Debug, Parser)]
#[command(
    name = "tollgate",
    version,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "\
Examples:
  tollgate serve                             answer at http://127.0.0.1:5000, with ./tollgate.yaml or the built-in demo
  tollgate serve --config tollgate.yaml --listen 0.0.0.0:8080
  tollgate check tollgate.yaml               show every mistake; the exit status is for scripts
  tollgate explain tollgate.yaml call.json   what a call would become, with nothing sent
  tollgate key new --name team-a             make a key for a caller
  tollgate usage --by key,model              what was used and what it cost
  tollgate schema > tollgate.schema.json     for completion in editors"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve calls until told to stop.
    Serve(serve::Arguments),
    /// Check configuration files, and show every mistake in them.
    Check(check::Arguments),
    /// Show what a call would become: its route, its plan, the requests to providers. Nothing is sent.
    Explain(explain::Arguments),
    /// List the kinds of providers: what they serve, in which languages, where, and how they want a key.
    Providers(providers::Arguments),
    /// List what models cost, in US dollars for a million tokens: the prices that come with the program.
    ///
    /// The configuration's `prices` go first.
    Prices(prices::Arguments),
    /// Show what was used and what it cost, by key, route, model or day.
    Usage(usage::Arguments),
    /// Print the JSON Schema of configuration files, for editors.
    ///
    /// Put `# yaml-language-server: $schema=tollgate.schema.json` at the top of your file.
    Schema,
    /// Make keys for callers, and keep them.
    Key {
        #[command(subcommand)]
        command: keys::Command,
    },
    /// Bring the database up to date, without serving.
    Migrate(database::MigrateArguments),
    /// Write everything in the database into a file.
    Backup(database::FileArguments),
    /// Read a backup into a database that is empty, of either kind.
    Restore(database::FileArguments),
    /// Make users of the administrative API.
    User {
        #[command(subcommand)]
        command: people::UserCommand,
    },
    /// Look at the audit: who changed what.
    Audit {
        #[command(subcommand)]
        command: people::AuditCommand,
    },
    /// Play a provider that makes its answers up, to load gateways and clients with.
    Mock(mock::Arguments),
    /// Print completions for a shell.
    ///
    /// For example: `tollgate completions bash > /etc/bash_completion.d/tollgate`
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Print the version.
    Version,
    /// MLflow's command line, for those who come from there.
    Gateway {
        #[command(subcommand)]
        command: GatewayCommand,
    },
}

#[derive(Debug, Subcommand)]
enum GatewayCommand {
    /// The same as `tollgate serve`, with the words of `mlflow gateway start`.
    Start(MlflowArguments),
}

/// The arguments of `mlflow gateway start`.
#[derive(Debug, Args)]
struct MlflowArguments {
    /// The configuration file.
    #[arg(long, env = "MLFLOW_GATEWAY_CONFIG", value_name = "FILE")]
    config_path: PathBuf,
    /// The address to listen at.
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    /// The port to listen at.
    #[arg(long, default_value_t = 5000)]
    port: u16,
    /// How many threads serve calls.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: Option<u16>,
    #[command(flatten)]
    consent: serve::Consent,
}

/// Runs the command that the arguments ask for.
pub fn run() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Serve(arguments) => serve::run(arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Providers(arguments) => providers::run(&arguments),
        Command::Prices(arguments) => prices::run(&arguments),
        Command::Usage(arguments) => usage::run(&arguments),
        Command::Schema => schema::run(),
        Command::Key { command } => keys::run(&command),
        Command::Migrate(arguments) => database::migrate(&arguments),
        Command::Backup(arguments) => database::back_up(&arguments),
        Command::Restore(arguments) => database::restore(&arguments),
        Command::User { command } => people::user(&command),
        Command::Audit { command } => people::audit(&command),
        Command::Mock(arguments) => mock::run(&arguments),
        Command::Completions { shell } => completions::run(shell, &mut command()),
        Command::Version => output::line(concat!("tollgate ", env!("CARGO_PKG_VERSION"))),
        Command::Gateway {
            command: GatewayCommand::Start(arguments),
        } => arguments.into_serve().and_then(serve::run),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            output::error(&error);
            ExitCode::FAILURE
        }
    }
}

pub(crate) use keys::new_secret;
pub(crate) use prices::as_json as price_as_json;

/// Says whether a prompt template compiles.
pub(crate) fn check_template(template: &str) -> Result<(), TemplateProblem> {
    tollgate_proxy::prompts::check(template).map_err(|problem| TemplateProblem {
        line: problem.line.unwrap_or(1),
        message: problem.message,
    })
}

fn command() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}

impl MlflowArguments {
    fn into_serve(self) -> anyhow::Result<serve::Arguments> {
        let host = match self.host.as_str() {
            host if host.contains(':') && !host.starts_with('[') => format!("[{host}]"),
            host => host.to_owned(),
        };
        let address = format!("{host}:{}", self.port);
        let listen = config::parse_listen(&address)
            .ok_or_else(|| anyhow::anyhow!("--host must be an IP address, not `{}`", self.host))?;
        Ok(serve::Arguments {
            config: Some(self.config_path),
            listen: Some(listen),
            workers: self.workers,
            consent: self.consent,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_consistent() {
        command().debug_assert();
    }

    #[test]
    fn mlflow_s_words_become_ours() {
        let arguments = [
            "tollgate",
            "gateway",
            "start",
            "--config-path",
            "a.yaml",
            "--host",
            "::1",
            "--port",
            "7000",
        ];
        let Command::Gateway {
            command: GatewayCommand::Start(arguments),
        } = Cli::parse_from(arguments).command
        else {
            panic!("another command");
        };
        let serve = arguments.into_serve().expect("an address");
        assert_eq!(serve.config, Some(PathBuf::from("a.yaml")));
        assert_eq!(
            serve.listen,
            Some("[::1]:7000".parse().expect("an address"))
        );
    }

    #[test]
    fn help_is_as_it_was() {
        insta::assert_snapshot!(command().term_width(100).render_long_help().to_string());
    }
}
