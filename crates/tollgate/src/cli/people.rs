//! `tollgate user` and `tollgate audit`: the first person who may administer, and whether the audit is whole.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use tollgate_admin::{NewUser, Role, make_user};
use tollgate_domain::KeyHash;
use tollgate_store::{Kind, Tenant, Verdict};

use super::{
    keys::new_secret,
    output,
    stored_keys::{Place, change, ensure_name, moment, with_store},
};

#[derive(Debug, Subcommand)]
pub(super) enum UserCommand {
    /// Make a user with a token for the administrative API, and print that once.
    Create(CreateArguments),
}

#[derive(Debug, Args)]
pub(super) struct CreateArguments {
    #[command(flatten)]
    place: Place,
    /// Who it is; the audit names it.
    #[arg(long)]
    name: String,
    /// What this person is.
    #[arg(long, value_enum, default_value_t = UserRole::Owner)]
    role: UserRole,
    /// The organisation; owners belong to none.
    #[arg(long)]
    organisation: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum UserRole {
    /// Sees and changes everything.
    Owner,
    /// Sees and changes everything of an organisation.
    Admin,
    /// Sees everything of an organisation.
    Auditor,
    /// Sees what belongs to the own teams.
    Member,
}

#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// Look through the whole audit for rows that were changed or taken out.
    Verify(Place),
    /// Show the last changes.
    List(ListArguments),
}

#[derive(Debug, Args)]
pub(super) struct ListArguments {
    #[command(flatten)]
    place: Place,
    /// So many at most.
    #[arg(long, default_value_t = 50)]
    limit: u16,
    /// Print JSON, for scripts.
    #[arg(long)]
    json: bool,
}

pub(super) fn user(command: &UserCommand) -> Result<ExitCode> {
    let UserCommand::Create(arguments) = command;
    let role = match arguments.role {
        UserRole::Owner => Role::Owner,
        UserRole::Admin => Role::Admin,
        UserRole::Auditor => Role::Auditor,
        UserRole::Member => Role::Member,
    };
    let organisation = arguments.organisation.clone().unwrap_or_default();
    if organisation.is_empty() != (role == Role::Owner) {
        bail!(
            "owners belong to no organisation, and all others to one: give --organisation with --role"
        );
    }
    ensure_name(&arguments.name)?;
    let resolved = arguments.place.resolved()?;
    let secret = new_secret("tga_")?;
    let user = NewUser {
        name: arguments.name.clone(),
        role,
        organisation,
    };
    let (user, hash) = (&user, &KeyHash::of(&secret));
    with_store(&resolved, async |store| {
        let made = store.plan_and_make(change(), |change| async move {
            let name = &user.organisation;
            if !name.is_empty()
                && store
                    .object_named(Kind::Organisation, name)
                    .await?
                    .is_none()
            {
                bail!("there is no organisation named `{name}`");
            }
            Ok(make_user(store, user, hash, &change).await?)
        });
        made.await
    })?;
    output::remark("The token for the administrative API, which is shown this once:\n")?;
    output::line(&secret)
}

pub(super) fn audit(command: &AuditCommand) -> Result<ExitCode> {
    match command {
        AuditCommand::Verify(place) => verify(place),
        AuditCommand::List(arguments) => list(arguments),
    }
}

fn verify(place: &Place) -> Result<ExitCode> {
    let resolved = place.resolved()?;
    match with_store(&resolved, async |store| Ok(store.verify_audit().await?))? {
        Verdict::Whole { rows, hash } => output::line(&format!(
            "{rows} rows, all as they were written; the last one's hash is {hash}"
        )),
        Verdict::Broken { number, problem } => {
            output::line(&format!("row {number}: {problem}"))?;
            Ok(ExitCode::FAILURE)
        }
    }
}

fn list(arguments: &ListArguments) -> Result<ExitCode> {
    let resolved = arguments.place.resolved()?;
    let rows = with_store(&resolved, async |store| {
        Ok(store
            .audit(&Tenant::All, None, arguments.limit.into())
            .await?)
    })?;
    if arguments.json {
        return output::line(&serde_json::to_string_pretty(&rows)?);
    }
    let lines = rows.iter().map(|row| {
        format!(
            "{}  {}  {} ({})  {} {} {}",
            row.number,
            moment(row.at_ms),
            row.actor,
            row.source,
            row.action,
            row.kind,
            row.object
        )
    });
    output::table(lines)
}
