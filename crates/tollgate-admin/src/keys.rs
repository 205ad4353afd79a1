//! Callers' keys: made and rotated with a secret that is shown once, blocked, removed.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use tollgate_domain::{KeyHash, ModelAccess, Places};
use tollgate_store::{Kind, Named, Opening, Overlap, StoredKey, Tenant};

use crate::{
    Admin,
    actor::{Actor, Deed, Thing},
    plan::{ensure_name, find_team, new_id, read},
    problem::Problem,
    resources::{
        Asked, IfMatch, Making, Page, done, json_of, moment, once, paged, parse_moment, seen,
        tagged,
    },
};

/// How long the secret before opens, where a rotation does not say.
const OVERLAP: Duration = Duration::from_secs(24 * 3600);

/// And at most.
const OVERLAP_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// A caller's key.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyBody {
    /// Its own in the whole gateway, for ever; appears in logs and in the books.
    #[schemars(schema_with = "crate::shapes::key_name")]
    name: String,
    /// The team that it belongs to.
    #[schemars(schema_with = "crate::shapes::name")]
    team: String,
    /// The app of the team that uses it, by its name.
    #[serde(default)]
    app: Option<String>,
    /// The routes that it opens; all if left out.
    #[serde(default)]
    routes: Option<Vec<String>>,
    /// The models that it reaches, as providers are asked for them (`gpt-4o`) or `provider/model`, with a `*` at the end all that begin so; all if left out.
    #[serde(default)]
    #[schemars(schema_with = "crate::shapes::models")]
    models: Option<Vec<String>>,
    /// The paths that it may be used at, such as `/v1/embeddings` or, with a `*` at the end, `/v1/audio/*`; all if left out.
    #[serde(default)]
    #[schemars(schema_with = "crate::shapes::paths")]
    paths: Option<Vec<String>>,
    /// The networks that its clients are in, such as `10.0.0.0/8` or a single address; all if left out.
    #[serde(default)]
    #[schemars(schema_with = "crate::shapes::networks")]
    networks: Option<Vec<String>>,
    /// When it ends: a date, or a time as RFC 3339; never if left out.
    #[serde(default)]
    #[schemars(schema_with = "crate::shapes::end")]
    expires_at: Option<String>,
}

/// What may change of a key.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyChange {
    /// The routes that it opens; all if left out.
    #[serde(default)]
    routes: Option<Vec<String>>,
    /// The models that it reaches; all if left out.
    #[serde(default)]
    #[schemars(schema_with = "crate::shapes::models")]
    models: Option<Vec<String>>,
    /// The paths that it may be used at; all if left out.
    #[serde(default)]
    #[schemars(schema_with = "crate::shapes::paths")]
    paths: Option<Vec<String>>,
    /// The networks that its clients are in; all if left out.
    #[serde(default)]
    #[schemars(schema_with = "crate::shapes::networks")]
    networks: Option<Vec<String>>,
    /// When it ends; never if left out.
    #[serde(default)]
    #[schemars(schema_with = "crate::shapes::end")]
    expires_at: Option<String>,
}

/// How a key is rotated.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rotation {
    /// Seconds for which the secret before still opens, a year at most. Default: a day. With 0 nothing but the new one opens at once.
    #[serde(default)]
    #[schemars(range(max = 31_536_000))]
    overlap_seconds: Option<u32>,
    /// While the secret before the one that the key has still opens: that one opens as long as was said, and the one that it has no more. For when nobody
    /// got that.
    #[serde(default)]
    keep_old: bool,
}

type Shared = State<Arc<Admin>>;

pub(crate) async fn list(
    State(admin): Shared,
    actor: Actor,
    Asked(page): Asked<Page>,
) -> Result<Response, Problem> {
    let (most, mut keys) = (page.most()?, Vec::new());
    for tenant in actor.tenants() {
        let some = admin
            .store
            .keys_of(&tenant, page.after.as_deref(), most + 1);
        keys.extend(some.await?);
    }
    keys.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(paged(
        keys,
        most,
        |key| key.id.clone(),
        |key| shown(key, &admin),
    ))
}

pub(crate) async fn make(
    State(admin): Shared,
    actor: Actor,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let (admin, actor, body) = (&admin, &actor, &body);
    let making = Making::new(admin, actor, "key", &headers, body)?;
    once(admin, making, |making| async move {
        let body: KeyBody = read(json_of(body)?)?;
        ensure_name(&body.name)?;
        if body.name.contains(':') {
            return Err(Problem::Invalid(
                "a key's name has no `:`, which stands in those of callers with tokens, as in `login:ann`"
                    .to_owned(),
            ));
        }
        if (admin.around.is_in_file)("key", &body.name) {
            return Err(Problem::Conflict(format!(
                "a key named `{}` stands in the configuration file",
                body.name
            )));
        }
        let team = find_team(admin, actor, &body.team).await?;
        actor.ensure(Deed::Change, Thing::Key, &team.organisation, &body.team)?;
        if let Some(app) = &body.app {
            let name = format!("{}/{app}", body.team);
            if admin.store.object_named(Kind::App, &name).await?.is_none() {
                return Err(Problem::Conflict(format!(
                    "the team has no app named `{app}`"
                )));
            }
        }
        let opening = opening(
            admin,
            Opening {
                routes: body.routes,
                models: body.models,
                paths: body.paths,
                networks: body.networks,
                expires_ms: None,
            },
            body.expires_at.as_deref(),
        )?;
        let secret = (admin.around.new_secret)("tg_").map_err(Problem::Random)?;
        let key = StoredKey {
            id: new_id(),
            name: body.name,
            team: Some(body.team),
            hash: KeyHash::of(&secret).to_string(),
            old: None,
            opening,
            is_blocked: false,
            created_ms: i64::try_from(making.at().as_millis()).unwrap_or(i64::MAX),
            organisation: team.organisation,
            app: body.app,
            version: 1,
        };
        let kept = shown(&key, admin);
        admin.store.add_key(&key, &making.change(&kept)).await?;
        Ok(with_secret(kept, &secret))
    })
    .await
}

pub(crate) async fn see(
    State(admin): Shared,
    actor: Actor,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (key, _) = find(&admin, &actor, &id, Deed::See).await?;
    Ok(seen(&headers, shown(&key, &admin)))
}

pub(crate) async fn replace(
    State(admin): Shared,
    actor: Actor,
    Path(id): Path<String>,
    versions: IfMatch,
    body: Bytes,
) -> Result<Response, Problem> {
    let (key, tenant) = find(&admin, &actor, &id, Deed::Change).await?;
    let version = versions.of(key.version, &shown(&key, &admin));
    let body: KeyChange = read(json_of(&body)?)?;
    let opening = opening(
        &admin,
        Opening {
            routes: body.routes,
            models: body.models,
            paths: body.paths,
            networks: body.networks,
            expires_ms: None,
        },
        body.expires_at.as_deref(),
    )?;
    let change = actor.change(&admin);
    let changed = admin
        .store
        .replace_key(&tenant, Named::Id(&id), version, opening, &change);
    let key = done(changed.await?)?;
    Ok(tagged(StatusCode::OK, shown(&key, &admin)))
}

pub(crate) async fn rotate(
    State(admin): Shared,
    actor: Actor,
    Path(id): Path<String>,
    versions: IfMatch,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let what = format!("rotate {id}");
    let (admin, actor, id, versions, body) = (&admin, &actor, &id, &versions, &body);
    let making = Making::new(admin, actor, &what, &headers, body)?.giving(StatusCode::OK);
    once(admin, making, |making| async move {
        let (mut key, tenant) = find(admin, actor, id, Deed::Change).await?;
        // What is kept of the answer is of this version.
        let version = key.version;
        let asked = versions.of(version, &shown(&key, admin));
        if asked.is_some_and(|asked| asked != version) {
            return Err(Problem::Stale);
        }
        let overlap = overlap(&read(json_of(body)?)?, making.at())?;
        let secret = (admin.around.new_secret)("tg_").map_err(Problem::Random)?;
        let hash = KeyHash::of(&secret).to_string();
        key.rotate(&hash, overlap, making.at())?;
        key.version += 1;
        let change = making.change(&shown(&key, admin));
        let named = Named::Id(id);
        let changed =
            admin
                .store
                .rotate_key(&tenant, named, Some(version), &hash, overlap, &change);
        let key = done(changed.await?)?;
        Ok(with_secret(shown(&key, admin), &secret))
    })
    .await
}

fn overlap(rotation: &Rotation, now: Duration) -> Result<Overlap, Problem> {
    let overlap = rotation
        .overlap_seconds
        .map(|seconds| Duration::from_secs(seconds.into()));
    match overlap {
        Some(_) if rotation.keep_old => Err(Problem::Invalid(
            "`keep_old` leaves the time as it is: leave `overlap_seconds` out".to_owned(),
        )),
        Some(overlap) if overlap > OVERLAP_MAX => Err(Problem::Invalid(
            "`overlap_seconds` is more than a year".to_owned(),
        )),
        Some(Duration::ZERO) => Ok(Overlap::None),
        _ if rotation.keep_old => Ok(Overlap::KeepOld),
        overlap => Ok(Overlap::Until(
            now.saturating_add(overlap.unwrap_or(OVERLAP)),
        )),
    }
}

pub(crate) async fn block(
    state: Shared,
    actor: Actor,
    id: Path<String>,
    versions: IfMatch,
) -> Result<Response, Problem> {
    set_blocked(state, actor, id, versions, true).await
}

pub(crate) async fn unblock(
    state: Shared,
    actor: Actor,
    id: Path<String>,
    versions: IfMatch,
) -> Result<Response, Problem> {
    set_blocked(state, actor, id, versions, false).await
}

async fn set_blocked(
    State(admin): Shared,
    actor: Actor,
    Path(id): Path<String>,
    versions: IfMatch,
    is_blocked: bool,
) -> Result<Response, Problem> {
    let (key, tenant) = find(&admin, &actor, &id, Deed::Change).await?;
    let change = actor.change(&admin);
    let version = versions.of(key.version, &shown(&key, &admin));
    let changed = admin
        .store
        .block_key(&tenant, Named::Id(&id), version, is_blocked, &change);
    let key = done(changed.await?)?;
    Ok(tagged(StatusCode::OK, shown(&key, &admin)))
}

pub(crate) async fn remove(
    State(admin): Shared,
    actor: Actor,
    Path(id): Path<String>,
    versions: IfMatch,
) -> Result<Response, Problem> {
    let (key, tenant) = find(&admin, &actor, &id, Deed::Change).await?;
    let version = versions.of(key.version, &shown(&key, &admin));
    let change = actor.change(&admin);
    let removed = admin
        .store
        .remove_key(&tenant, Named::Id(&id), version, &change);
    done(removed.await?)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// A key that the actor may see, and the tenant that it was found for.
async fn find(
    admin: &Admin,
    actor: &Actor,
    id: &str,
    deed: Deed,
) -> Result<(StoredKey, Tenant), Problem> {
    for tenant in actor.tenants() {
        if let Some(key) = admin.store.key(&tenant, Named::Id(id)).await? {
            let team = key.team.as_deref().unwrap_or_default();
            actor.ensure(deed, Thing::Key, &key.organisation, team)?;
            return Ok((key, tenant));
        }
    }
    Err(Problem::NotFound)
}

/// What a key opens, checked.
fn opening(admin: &Admin, asked: Opening, expires_at: Option<&str>) -> Result<Opening, Problem> {
    check_routes(admin, asked.routes.as_deref())?;
    ModelAccess::read(asked.models.as_deref())
        .map_err(|error| Problem::Invalid(error.to_string()))?;
    Places::read(asked.paths.as_deref(), asked.networks.as_deref())
        .map_err(|error| Problem::Invalid(error.to_string()))?;
    Ok(Opening {
        expires_ms: expires_at.map(parse_moment).transpose()?,
        ..asked
    })
}

fn check_routes(admin: &Admin, routes: Option<&[String]>) -> Result<(), Problem> {
    let known = (admin.around.routes)();
    match routes
        .into_iter()
        .flatten()
        .find(|route| !known.contains(route))
    {
        Some(route) => Err(Problem::Conflict(format!(
            "there is no route named `{route}`"
        ))),
        None => Ok(()),
    }
}

fn with_secret(mut told: Value, secret: &str) -> Value {
    told["key"] = json!(secret);
    told
}

fn shown(key: &StoredKey, admin: &Admin) -> Value {
    let now = i64::try_from((admin.around.now)().as_millis()).unwrap_or(i64::MAX);
    let opening = &key.opening;
    let state = match opening.expires_ms {
        _ if key.is_blocked => "blocked",
        Some(end) if end <= now => "expired",
        _ => "open",
    };
    json!({
        "id": key.id,
        "name": key.name,
        "organisation": key.organisation,
        "team": key.team,
        "app": key.app,
        "routes": opening.routes,
        "models": opening.models,
        "paths": opening.paths,
        "networks": opening.networks,
        "state": state,
        "expires_at": opening.expires_ms.map(moment),
        "old_key_until": key.old.as_ref().map(|(_, until)| moment(*until)),
        "version": key.version,
        "created_at": moment(key.created_ms),
    })
}
