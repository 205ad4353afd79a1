//! `tollgate key create` and its like: callers' keys in the store, which running gateways take over within a second.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context, Result, bail};
use clap::Args;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::runtime::Builder;
use tollgate_admin::check_name;
use tollgate_domain::{KeyHash, ModelAccess, Places};
use tollgate_store::{
    Change, Changed, Kind, Named, Opening, Overlap, Store, StoreError, StoredKey, Tenant,
};
use uuid::Uuid;

use super::{
    actor, check_template,
    keys::{ALL, new_key},
    output, serve,
};
use crate::{
    app::all_of,
    config::{self, Environment as _, ProcessEnvironment, Resolved},
};

/// Names that are told at most where one is not known.
const NAMES_MAX: usize = 20;

/// Where the store is.
#[derive(Debug, Args)]
pub(super) struct Place {
    /// The configuration file, which says where the store is.
    #[arg(short, long, env = "TOLLGATE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct CreateArguments {
    #[command(flatten)]
    place: Place,
    /// Whose it is; appears in logs and in the books.
    #[arg(long)]
    name: String,
    /// The team that it belongs to, for limits, budgets and sums.
    #[arg(long)]
    team: Option<String>,
    /// The app of the team that uses it, where the team is administered.
    #[arg(long, requires = "team")]
    app: Option<String>,
    /// The routes that it opens, with commas between them; all of them if left out, or with `all`.
    #[arg(long, value_name = "ROUTE,…", value_delimiter = ',')]
    routes: Vec<String>,
    /// The models that it reaches, such as `gpt-4o,anthropic/*`; all if left out.
    #[arg(long, value_name = "MODEL,…", value_delimiter = ',')]
    models: Vec<String>,
    /// The paths that it may be used at, such as `/v1/embeddings,/v1/audio/*`; all if left out.
    #[arg(long, value_name = "PATH,…", value_delimiter = ',')]
    paths: Vec<String>,
    /// The networks that its clients are in, such as `10.0.0.0/8,192.0.2.1`; all if left out.
    #[arg(long, value_name = "NETWORK,…", value_delimiter = ',')]
    networks: Vec<String>,
    /// When it ends: a date, or a time as in 2027-01-31T18:00:00Z; never if left out.
    #[arg(long, value_name = "DATE", value_parser = parse_end)]
    expires: Option<Duration>,
}

#[derive(Debug, Args)]
pub(super) struct ListArguments {
    #[command(flatten)]
    place: Place,
    /// Print JSON, for scripts.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct RotateArguments {
    #[command(flatten)]
    place: Place,
    /// Whose it is.
    name: String,
    /// How long the old key still opens, such as `24h`; at once it does not with `0s`.
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = parse_time)]
    overlap: Duration,
    /// While the key before the last one still opens: that one opens as long as was said, and the last one no more. For when nobody got that.
    #[arg(long, conflicts_with = "overlap")]
    keep_old: bool,
}

#[derive(Debug, Args)]
pub(super) struct NameArguments {
    #[command(flatten)]
    place: Place,
    /// Whose it is.
    name: String,
}

pub(super) fn create(arguments: &CreateArguments) -> Result<ExitCode> {
    let resolved = arguments.place.resolved()?;
    let snapshot = &resolved.snapshot;
    ensure_name(&arguments.name)?;
    if arguments.name.contains(':') {
        bail!("--name has a `:`, which stands in names of callers with tokens, as in `login:ann`");
    }
    if snapshot
        .keys
        .values()
        .any(|key| key.name.as_str() == arguments.name)
    {
        bail!(
            "a key named `{}` stands in the configuration file",
            arguments.name
        );
    }
    let routes = match arguments.routes.as_slice() {
        [all] if all == ALL => Vec::new(),
        routes => routes.to_vec(),
    };
    for route in &routes {
        if !snapshot.routes_by_name.contains_key(route.as_str()) {
            bail!("--routes: there is no route named `{route}`");
        }
    }
    ModelAccess::read(Some(&arguments.models))?;
    Places::read(Some(&arguments.paths), Some(&arguments.networks))?;
    let listed = |list: &Vec<String>| (!list.is_empty()).then(|| list.clone());
    let secret = new_key()?;
    let key = StoredKey {
        id: Uuid::now_v7().simple().to_string(),
        name: arguments.name.clone(),
        team: arguments.team.clone(),
        hash: KeyHash::of(&secret).to_string(),
        old: None,
        opening: Opening {
            routes: listed(&routes),
            models: listed(&arguments.models),
            paths: listed(&arguments.paths),
            networks: listed(&arguments.networks),
            expires_ms: arguments.expires.map(milliseconds),
        },
        is_blocked: false,
        created_ms: milliseconds(ProcessEnvironment.now()),
        organisation: String::new(),
        app: arguments.app.clone(),
        version: 1,
    };
    let (key, admin) = (&key, resolved.admin);
    with_store(&resolved, async |store| {
        let made = store.plan_and_make(change(), |change| async move {
            let mut key = key.clone();
            // Where the team is administered, its admins see the key.
            if let Some(team) = &key.team {
                key.organisation = organisation_of(store, team, admin).await?;
            }
            if let (Some(team), Some(app)) = (&key.team, &key.app) {
                let name = format!("{team}/{app}");
                if store.object_named(Kind::App, &name).await?.is_none() {
                    bail!("--app: the team `{team}` has no app named `{app}` in the store");
                }
            }
            Ok(store.add_key(&key, &change).await?)
        });
        made.await
    })?;
    show(&secret)
}

/// The organisation of a team; none where no teams are administered.
async fn organisation_of(store: &Store, team: &str, admin: Option<SocketAddr>) -> Result<String> {
    if let Some(found) = store.object_named(Kind::Team, team).await? {
        return Ok(found.organisation);
    }
    let teams = all_of(store, Kind::Team).await?;
    if teams.is_empty() {
        return Ok(String::new());
    }
    let mut names: Vec<&str> = teams.iter().map(|team| team.name.as_str()).collect();
    let more = if names.len() > NAMES_MAX { ", …" } else { "" };
    names.truncate(NAMES_MAX);
    let admin = admin.map_or_else(|| "ADDRESS".to_owned(), |admin| admin.to_string());
    let body = json!({"name": team, "organisation": "ORGANISATION"});
    bail!(
        "--team: there is no team named `{team}`; there are {}{more}. The administrative API makes one:\n  \
         curl -H 'Authorization: Bearer TOKEN' http://{admin}/api/v1/teams -d '{body}'",
        names.join(", ")
    );
}

pub(super) fn list(arguments: &ListArguments) -> Result<ExitCode> {
    let resolved = arguments.place.resolved()?;
    let stored = with_store(&resolved, async |store| Ok(store.keys().await?))?;
    let now = milliseconds(ProcessEnvironment.now());
    if arguments.json {
        let keys: Vec<Value> = stored.keys.iter().map(|key| as_json(key, now)).collect();
        return output::line(&serde_json::to_string_pretty(&keys)?);
    }
    let width = stored
        .keys
        .iter()
        .map(|key| key.name.len())
        .max()
        .unwrap_or(0);
    let lines = stored.keys.iter().map(|key| {
        let team = key.team.as_deref().unwrap_or("-");
        let app = key.app.as_deref().unwrap_or("-");
        let opening = &key.opening;
        let listed = |list: &Option<Vec<String>>| {
            list.as_ref()
                .map_or_else(|| "all".to_owned(), |list| list.join(","))
        };
        let (routes, models, paths, networks) = (
            listed(&opening.routes),
            listed(&opening.models),
            listed(&opening.paths),
            listed(&opening.networks),
        );
        let expires = opening.expires_ms.map_or_else(|| "never".to_owned(), moment);
        format!(
            "{:width$}  {:7}  team {team}  app {app}  routes {routes}  models {models}  paths {paths}  networks {networks}  expires {expires}",
            key.name,
            state(key, now)
        )
    });
    output::table(lines)
}

pub(super) fn rotate(arguments: &RotateArguments) -> Result<ExitCode> {
    let resolved = arguments.place.resolved()?;
    let secret = new_key()?;
    let hash = KeyHash::of(&secret).to_string();
    let change = change();
    let overlap = match arguments.overlap {
        _ if arguments.keep_old => Overlap::KeepOld,
        Duration::ZERO => Overlap::None,
        overlap => Overlap::Until(change.at.saturating_add(overlap)),
    };
    let named = Named::Name(&arguments.name);
    let changed = with_store(&resolved, async |store| {
        let rotated = store.rotate_key(&Tenant::All, named, None, &hash, overlap, &change);
        match rotated.await {
            Err(StoreError::Overlapping(until)) => bail!(
                "the key before the last one opens until {}, as was said when it was rotated; `--overlap 0s` ends both at once, `--keep-old` lets \
                 that one be and ends the last one",
                moment(until)
            ),
            Err(StoreError::NothingOld) => {
                bail!("no key before the last one opens any more: leave --keep-old out")
            }
            changed => Ok(changed?),
        }
    })?;
    ensure(&changed, &arguments.name)?;
    show(&secret)
}

/// Blocks a key, or unblocks it.
pub(super) fn block(arguments: &NameArguments, is_blocked: bool) -> Result<ExitCode> {
    let resolved = arguments.place.resolved()?;
    let named = Named::Name(&arguments.name);
    let changed = with_store(&resolved, async |store| {
        Ok(store
            .block_key(&Tenant::All, named, None, is_blocked, &change())
            .await?)
    })?;
    ensure(&changed, &arguments.name)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn remove(arguments: &NameArguments) -> Result<ExitCode> {
    let resolved = arguments.place.resolved()?;
    let named = Named::Name(&arguments.name);
    let changed = with_store(&resolved, async |store| {
        Ok(store
            .remove_key(&Tenant::All, named, None, &change())
            .await?)
    })?;
    ensure(&changed, &arguments.name)?;
    Ok(ExitCode::SUCCESS)
}

impl Place {
    pub(super) fn resolved(&self) -> Result<Resolved> {
        let Some(file) = self.config.clone().or_else(serve::usual_file) else {
            bail!("there is no tollgate.yaml here; --config FILE says where the configuration is");
        };
        match config::load(&file, &ProcessEnvironment, &check_template) {
            Ok(resolved) => Ok(resolved),
            Err(diagnostics) => {
                output::diagnostics(diagnostics.iter())?;
                bail!("the configuration has mistakes");
            }
        }
    }
}

pub(super) fn with_store<T>(
    resolved: &Resolved,
    ask: impl AsyncFnOnce(&Store) -> Result<T>,
) -> Result<T> {
    let settings = resolved.store.as_ref();
    let settings =
        settings.context("the configuration says `store.url: none`: there is no place for keys")?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let opened = Store::open(settings.url.expose()).await;
        let store = opened.with_context(|| match settings.file() {
            Some(file) => format!("cannot use {}", file.display()),
            None => "cannot use the store".to_owned(),
        })?;
        let answer = ask(&store).await;
        store.close().await;
        answer
    })
}

fn ensure(changed: &Changed<StoredKey>, name: &str) -> Result<()> {
    match changed {
        Changed::Done(_) => Ok(()),
        Changed::Missing => {
            bail!("there is no key named `{name}` in the store; `tollgate key list` shows them")
        }
        // Keys have no owners to lose.
        Changed::Stale | Changed::LastOwner => {
            bail!("somebody else has just changed this key: look at it again")
        }
    }
}

/// Nothing is called here as the administrative API would not call it.
pub(super) fn ensure_name(name: &str) -> Result<()> {
    match check_name(name) {
        Ok(()) => Ok(()),
        Err(problem) => bail!("--name: {problem}"),
    }
}

/// What the audit says of changes that are made here.
pub(super) fn change() -> Change {
    Change {
        at: ProcessEnvironment.now(),
        actor: actor::name(&ProcessEnvironment),
        source: "command line".to_owned(),
        planned_behind: None,
        answer: None,
    }
}

/// The key goes to standard output, what is said about it does not.
fn show(secret: &str) -> Result<ExitCode> {
    output::remark(
        "The key, which is shown this once; running gateways know it within a second:\n",
    )?;
    output::line(secret)
}

fn state(key: &StoredKey, now: i64) -> &'static str {
    match key.opening.expires_ms {
        _ if key.is_blocked => "blocked",
        Some(end) if end <= now => "expired",
        _ => "open",
    }
}

fn as_json(key: &StoredKey, now: i64) -> Value {
    json!({
        "name": key.name,
        "team": key.team,
        "app": key.app,
        "state": state(key, now),
        "routes": key.opening.routes,
        "models": key.opening.models,
        "paths": key.opening.paths,
        "networks": key.opening.networks,
        "created": moment(key.created_ms),
        "expires": key.opening.expires_ms.map(moment),
        "old_key_until": key.old.as_ref().map(|(_, until)| moment(*until)),
    })
}

/// Milliseconds since 1970-01-01 UTC, as RFC 3339.
pub(super) fn moment(milliseconds: i64) -> String {
    Timestamp::from_millisecond(milliseconds)
        .map_or_else(|_| String::new(), |time| time.to_string())
}

pub(super) fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

fn parse_end(text: &str) -> Result<Duration, String> {
    config::parse_expiry(text).ok_or_else(|| "a date such as 2027-01-31 is wanted".to_owned())
}

fn parse_time(text: &str) -> Result<Duration, String> {
    config::parse_duration(text).ok_or_else(|| "a time such as 24h is wanted".to_owned())
}
