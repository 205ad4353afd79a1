//! People's tokens, and the first of them, whom nobody else could make.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tollgate_domain::KeyHash;
use tollgate_store::{Change, Kind, Object, Store, StoreError, Tenant};

use crate::{
    Admin,
    actor::{Actor, Deed, Role},
    plan::{UserBody, ensure_name, new_id, read, value},
    problem::Problem,
    resources::{
        Asked, IfMatch, Making, Page, done, find, json_of, moment, once, paged, parse_moment,
    },
};

/// What tokens begin with.
pub(crate) const PREFIX: &str = "tga_";

/// What is kept of a token: its hash is its name.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct TokenBody {
    /// The user's id.
    pub(crate) user: String,
    /// What people call it.
    pub(crate) label: String,
    pub(crate) expires_ms: Option<u64>,
}

/// A token that is to be made.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewToken {
    /// For people: where it is used.
    #[schemars(schema_with = "crate::shapes::name")]
    name: String,
    /// When it ends: a date, or a time as RFC 3339; never if left out.
    #[serde(default)]
    #[schemars(schema_with = "crate::shapes::end")]
    expires_at: Option<String>,
}

/// A user who is made from the command line.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// Nobody else's.
    pub name: String,
    /// What this person is.
    pub role: Role,
    /// Where; empty for owners.
    pub organisation: String,
}

/// A user who was made.
#[derive(Clone, Debug)]
pub struct UserMade {
    /// The user's id.
    pub id: String,
    /// The hash of the token that was made with it.
    pub token: String,
}

/// Makes a user with a token, of which the hash is given.
///
/// # Errors
/// When there is a user of that name, no organisation of that name, or the database fails.
pub async fn make_user(
    store: &Store,
    user: &NewUser,
    token_hash: &KeyHash,
    change: &Change,
) -> Result<UserMade, StoreError> {
    let body = UserBody {
        name: user.name.clone(),
        organisation: user.organisation.clone(),
        role: user.role,
        teams: BTreeMap::new(),
    };
    let object = Object {
        id: new_id(),
        kind: Kind::User,
        organisation: user.organisation.clone(),
        team: String::new(),
        name: user.name.clone(),
        body: value(&body),
        version: 1,
        created_ms: 0,
        changed_ms: 0,
    };
    let made = store.add_object(object, change).await?;
    let token = token(&made, token_hash, "command line", None);
    // The user is behind the plan.
    let change = Change {
        planned_behind: None,
        ..change.clone()
    };
    let token = store.add_object(token, &change).await?;
    Ok(UserMade {
        id: made.id,
        token: token.name,
    })
}

fn token(user: &Object, hash: &KeyHash, label: &str, expires_ms: Option<u64>) -> Object {
    let body = TokenBody {
        user: user.id.clone(),
        label: label.to_owned(),
        expires_ms,
    };
    Object {
        id: new_id(),
        kind: Kind::Token,
        organisation: user.organisation.clone(),
        team: String::new(),
        name: hash.to_string(),
        body: value(&body),
        version: 1,
        created_ms: 0,
        changed_ms: 0,
    }
}

type Shared = State<Arc<Admin>>;

pub(crate) async fn me(State(admin): Shared, actor: Actor) -> Result<Response, Problem> {
    let user = admin
        .store
        .object(&Tenant::All, Kind::User, &actor.id)
        .await?;
    let user = user.ok_or(Problem::NotFound)?;
    Ok(Json(crate::resources::shown(&user)).into_response())
}

/// A user whose tokens the actor may look after: everybody looks after the own ones.
async fn whose(admin: &Admin, actor: &Actor, id: &str, deed: Deed) -> Result<Object, Problem> {
    if id == actor.id {
        let user = admin.store.object(&Tenant::All, Kind::User, id).await?;
        return user.ok_or(Problem::NotFound);
    }
    find(admin, actor, Kind::User, id, deed).await
}

async fn tokens_of(admin: &Admin, user: &Object) -> Result<Vec<Object>, Problem> {
    let mut of_user = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let tenant = match user.organisation.as_str() {
            "" => Tenant::All,
            organisation => Tenant::Organisation(organisation.to_owned()),
        };
        let page = admin
            .store
            .objects(&tenant, Kind::Token, after.as_deref(), 500)
            .await?;
        let Some(last) = page.last() else { break };
        after = Some(last.id.clone());
        of_user.extend(
            page.into_iter()
                .filter(|token| token.body["user"] == user.id.as_str()),
        );
    }
    Ok(of_user)
}

pub(crate) async fn tokens(
    State(admin): Shared,
    actor: Actor,
    Path(id): Path<String>,
    Asked(page): Asked<Page>,
) -> Result<Response, Problem> {
    let user = whose(&admin, &actor, &id, Deed::See).await?;
    let mut tokens = tokens_of(&admin, &user).await?;
    let after = page.after.as_deref().unwrap_or_default();
    tokens.retain(|token| token.id.as_str() > after);
    Ok(paged(tokens, page.most()?, |token| token.id.clone(), shown))
}

pub(crate) async fn make_token(
    State(admin): Shared,
    actor: Actor,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let (admin, actor, id, body) = (&admin, &actor, &id, &body);
    let making = Making::new(admin, actor, &format!("token {id}"), &headers, body)?;
    once(admin, making, |making| async move {
        let user = whose(admin, actor, id, Deed::Change).await?;
        let body: NewToken = read(json_of(body)?)?;
        ensure_name(&body.name)?;
        let expires = body.expires_at.as_deref().map(parse_moment).transpose()?;
        let expires = expires.map(|end| u64::try_from(end).unwrap_or_default());
        let secret = (admin.around.new_secret)(PREFIX).map_err(Problem::Random)?;
        let token = token(&user, &KeyHash::of(&secret), &body.name, expires);
        let token = token.made_at(making.at());
        let mut told = shown(&token);
        let change = making.change(&told);
        admin.store.add_object(token, &change).await?;
        told["token"] = json!(secret);
        Ok(told)
    })
    .await
}

pub(crate) async fn remove_token(
    State(admin): Shared,
    actor: Actor,
    Path((id, token)): Path<(String, String)>,
    versions: IfMatch,
) -> Result<Response, Problem> {
    let user = whose(&admin, &actor, &id, Deed::Change).await?;
    let tokens = tokens_of(&admin, &user).await?;
    let known = tokens.iter().find(|known| known.id == token);
    let known = known.ok_or(Problem::NotFound)?;
    let change = actor.change(&admin);
    let version = versions.of(known.version, &shown(known));
    let removed = admin
        .store
        .remove_object(&Tenant::All, Kind::Token, &token, version, &change);
    done(removed.await?)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// A token without anything that opens.
fn shown(token: &Object) -> Value {
    let expires = token.body["expires_ms"].as_i64();
    json!({
        "id": token.id,
        "name": token.body["label"],
        "expires_at": expires.map(moment),
        "version": token.version,
        "created_at": moment(token.created_ms),
    })
}
