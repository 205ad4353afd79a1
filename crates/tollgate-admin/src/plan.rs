//! What a request's body has to be for an object of a kind, and to whom the object belongs then.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use tollgate_store::{Dimension, Kind, Object, StoredKey, Tenant, UsageQuery};
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};
use uuid::Uuid;

use crate::{
    Admin,
    actor::{Actor, Deed, Role, TeamRole, Thing},
    problem::Problem,
};

/// Characters of a name at most.
const NAME_MAX: usize = 100;

/// Users, or keys, that are looked through at a time.
const AT_ONCE: i64 = 500;

/// An organisation: those who share nothing with others.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OrganisationBody {
    /// Its own, for ever.
    #[schemars(schema_with = "crate::shapes::name")]
    pub(crate) name: String,
    /// For people.
    #[serde(default)]
    pub(crate) description: String,
}

/// A team of an organisation: what keys, limits, budgets and sums are told apart by.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TeamBody {
    /// Its own in the whole gateway, for ever.
    #[schemars(schema_with = "crate::shapes::name")]
    pub(crate) name: String,
    /// The organisation that it belongs to; one's own if left out.
    #[serde(default)]
    pub(crate) organisation: String,
    /// For people.
    #[serde(default)]
    pub(crate) description: String,
}

/// An app of a team: what calls the gateway.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AppBody {
    /// Its own in its team, for ever.
    #[schemars(schema_with = "crate::shapes::name")]
    pub(crate) name: String,
    /// The team that it belongs to.
    #[schemars(schema_with = "crate::shapes::name")]
    pub(crate) team: String,
    /// For people.
    #[serde(default)]
    pub(crate) description: String,
}

/// A person.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserBody {
    /// Its own in the whole gateway, for ever; the audit names it.
    #[schemars(schema_with = "crate::shapes::name")]
    pub(crate) name: String,
    /// The organisation; one's own if left out, none for owners.
    #[serde(default)]
    pub(crate) organisation: String,
    /// What this person is there.
    pub(crate) role: Role,
    /// What this person is in teams, by their names.
    #[serde(default)]
    pub(crate) teams: BTreeMap<String, TeamRole>,
}

/// An object that could be made.
pub(crate) struct Planned {
    pub(crate) id: String,
    pub(crate) organisation: String,
    pub(crate) team: String,
    pub(crate) name: String,
    pub(crate) body: Value,
}

impl Planned {
    /// As it is handed to the store.
    pub(crate) fn object(self, kind: Kind) -> Object {
        Object {
            id: self.id,
            kind,
            organisation: self.organisation,
            team: self.team,
            name: self.name,
            body: self.body,
            version: 1,
            created_ms: 0,
            changed_ms: 0,
        }
    }
}

/// Reads a body, and finds out to whom the object would belong. What the actor may do is checked, too.
pub(crate) async fn plan(
    admin: &Admin,
    actor: &Actor,
    kind: Kind,
    body: Value,
) -> Result<Planned, Problem> {
    let planned = match kind {
        Kind::Organisation => organisation(body)?,
        Kind::Team => team(admin, actor, body).await?,
        Kind::App => app(admin, actor, body).await?,
        Kind::User => user(admin, actor, body).await?,
        Kind::Limit | Kind::Budget => allowance(admin, actor, kind, body).await?,
        Kind::Price => price(admin, actor, body)?,
        // Made under their users.
        Kind::Token => return Err(Problem::NotFound),
    };
    let (organisation, team) = (&planned.organisation, &planned.team);
    actor.ensure(Deed::Change, Thing::Object(kind), organisation, team)?;
    Ok(planned)
}

fn organisation(body: Value) -> Result<Planned, Problem> {
    let body: OrganisationBody = read(body)?;
    Ok(Planned {
        id: body.name.clone(),
        organisation: body.name.clone(),
        team: String::new(),
        name: body.name.clone(),
        body: value(&body),
    })
}

async fn team(admin: &Admin, actor: &Actor, body: Value) -> Result<Planned, Problem> {
    let mut body: TeamBody = read(body)?;
    own_if_empty(&mut body.organisation, actor)?;
    ensure_organisation(admin, actor, &body.organisation).await?;
    ensure_nobody_else_s(admin, actor, &body).await?;
    Ok(Planned {
        id: body.name.clone(),
        organisation: body.organisation.clone(),
        team: body.name.clone(),
        name: body.name.clone(),
        body: value(&body),
    })
}

/// The books tell calls of teams apart by their names: whoever makes a team sees what was called under its name before. None but owners take over what
/// was nobody's; what was another organisation's team, nobody makes again.
async fn ensure_nobody_else_s(
    admin: &Admin,
    actor: &Actor,
    team: &TeamBody,
) -> Result<(), Problem> {
    let name = &team.name;
    if actor.role == Role::Owner || admin.store.object_named(Kind::Team, name).await?.is_some() {
        return Ok(());
    }
    let whose = Tenant::Team {
        organisation: String::new(),
        team: name.clone(),
    };
    let calls = UsageQuery {
        of: vec![(Dimension::Team, name.clone())],
        by: vec![Dimension::Team],
        ..UsageQuery::default()
    };
    let is_used = (admin.around.is_in_file)(Kind::Team.as_str(), name)
        || !admin.store.keys_of(&whose, None, 1).await?.is_empty()
        || !admin.store.usage(&calls).await?.is_empty();
    if is_used {
        return Err(Problem::Conflict(format!(
            "there were keys or calls of a team `{name}` before there was that team: an owner has to make it, or take another name"
        )));
    }
    Ok(())
}

async fn app(admin: &Admin, actor: &Actor, body: Value) -> Result<Planned, Problem> {
    let body: AppBody = read(body)?;
    let team = find_team(admin, actor, &body.team).await?;
    Ok(Planned {
        id: new_id(),
        organisation: team.organisation,
        team: body.team.clone(),
        // Neither name has it.
        name: format!("{}/{}", body.team, body.name),
        body: value(&body),
    })
}

async fn user(admin: &Admin, actor: &Actor, body: Value) -> Result<Planned, Problem> {
    let mut body: UserBody = read(body)?;
    if body.role == Role::Owner {
        if !body.organisation.is_empty() || !body.teams.is_empty() {
            return Err(Problem::Invalid(
                "owners belong to no organisation and to no team: they see all of them".to_owned(),
            ));
        }
        if actor.role != Role::Owner {
            return Err(Problem::Forbidden("only owners make owners".to_owned()));
        }
    } else {
        own_if_empty(&mut body.organisation, actor)?;
        ensure_organisation(admin, actor, &body.organisation).await?;
    }
    for team in body.teams.keys() {
        let found = find_team(admin, actor, team).await?;
        if found.organisation != body.organisation {
            return Err(no_team(team));
        }
    }
    Ok(Planned {
        id: new_id(),
        organisation: body.organisation.clone(),
        team: String::new(),
        name: body.name.clone(),
        body: value(&body),
    })
}

/// A limit or a budget belongs to the team, to the key's team, or to the organisation, that it is for. One for all calls is the owners'.
async fn allowance(
    admin: &Admin,
    actor: &Actor,
    kind: Kind,
    body: Value,
) -> Result<Planned, Problem> {
    let Some(name) = body["name"].as_str().map(str::to_owned) else {
        return Err(Problem::Invalid("`name` is missing".to_owned()));
    };
    if (admin.around.is_in_file)(kind.as_str(), &name) {
        return Err(Problem::Conflict(format!(
            "a limit or budget named `{name}` stands in the configuration file"
        )));
    }
    let other = if kind == Kind::Limit {
        Kind::Budget
    } else {
        Kind::Limit
    };
    if admin.store.object_named(other, &name).await?.is_some() {
        return Err(Problem::Conflict(format!(
            "there is a {} named `{name}` already",
            other.as_str()
        )));
    }
    (admin.around.check)(kind, &body).map_err(Problem::Invalid)?;
    let said = |part: &str| {
        body["of"][part]
            .as_str()
            .filter(|name| *name != "each")
            .map(str::to_owned)
    };
    // Which team a caller with a token has, its claims say.
    let key = said("key").filter(|key| !(admin.around.is_issuers)(key));
    let (organisation, team) = match (said("team"), key) {
        (Some(team), _) => (find_team(admin, actor, &team).await?.organisation, team),
        (None, Some(key)) => {
            let key = admin
                .store
                .key(&Tenant::All, tollgate_store::Named::Name(&key))
                .await?;
            // One that may not be seen is not there.
            let key = key.filter(|key| {
                let team = key.team.as_deref().unwrap_or_default();
                actor.may(Deed::See, Thing::Key, &key.organisation, team)
            });
            let key = key.ok_or_else(|| {
                Problem::Conflict(
                    "`of.key`: there is no such key in the store, and no issuer of tokens that such a caller would have"
                        .to_owned(),
                )
            })?;
            (key.organisation, key.team.unwrap_or_default())
        }
        (None, None) if said("organisation").is_some() => {
            let organisation = said("organisation").unwrap_or_default();
            ensure_organisation(admin, actor, &organisation).await?;
            (organisation, String::new())
        }
        (None, None) if actor.role == Role::Owner => (String::new(), String::new()),
        (None, None) => {
            return Err(Problem::Forbidden(
                "a limit or budget for everybody's calls is the owners' to make: name your organisation, or a team of yours, in `of`".to_owned(),
            ));
        }
    };
    Ok(Planned {
        id: name.clone(),
        organisation,
        team,
        name,
        body,
    })
}

/// What a model costs, it costs everybody: a price is the owners' to say, as providers are the whole gateway's.
fn price(admin: &Admin, actor: &Actor, body: Value) -> Result<Planned, Problem> {
    // Nobody else learns from mistakes which providers there are.
    actor.ensure(Deed::Change, Thing::Object(Kind::Price), "", "")?;
    (admin.around.check)(Kind::Price, &body).map_err(Problem::Invalid)?;
    let said = |part: &str| body[part].as_str().unwrap_or_default();
    let model = format!("{}/{}", said("provider"), said("model"));
    if (admin.around.is_in_file)(Kind::Price.as_str(), &model) {
        return Err(Problem::Conflict(format!(
            "a price of `{model}` stands in the configuration file"
        )));
    }
    let name = match said("from") {
        "" => model,
        from => format!("{model} from {from}"),
    };
    Ok(Planned {
        id: new_id(),
        organisation: String::new(),
        team: String::new(),
        name,
        body,
    })
}

/// Whether something still needs an object that is to go.
pub(crate) async fn ensure_unneeded(admin: &Admin, object: &Object) -> Result<(), Problem> {
    if object.kind == Kind::App {
        return ensure_no_key_of(admin, object).await;
    }
    let tenant = match object.kind {
        Kind::Organisation => Tenant::Organisation(object.organisation.clone()),
        Kind::Team => Tenant::Team {
            organisation: object.organisation.clone(),
            team: object.team.clone(),
        },
        _ => return Ok(()),
    };
    let below: &[Kind] = match object.kind {
        Kind::Organisation => &[Kind::Team, Kind::User],
        _ => &[Kind::App, Kind::Limit, Kind::Budget],
    };
    for kind in below {
        if let Some(first) = admin.store.objects(&tenant, *kind, None, 1).await?.first() {
            return Err(still_has(kind.as_str(), &first.name));
        }
    }
    if let Some(key) = admin.store.keys_of(&tenant, None, 1).await?.first() {
        return Err(still_has("key", &key.name));
    }
    if object.kind == Kind::Team {
        return ensure_no_user_of(admin, object).await;
    }
    Ok(())
}

/// Whether somebody is in a team: who is could not be changed any more without it.
async fn ensure_no_user_of(admin: &Admin, team: &Object) -> Result<(), Problem> {
    let whose = Tenant::Organisation(team.organisation.clone());
    let mut after: Option<String> = None;
    loop {
        let users = admin
            .store
            .objects(&whose, Kind::User, after.as_deref(), AT_ONCE)
            .await?;
        let is_in_team = |user: &&Object| user.body["teams"].get(&team.name).is_some();
        if let Some(user) = users.iter().find(is_in_team) {
            return Err(still_has("user", &user.name));
        }
        let Some(last) = users.last() else {
            return Ok(());
        };
        after = Some(last.id.clone());
    }
}

/// Whether a key is an app's.
async fn ensure_no_key_of(admin: &Admin, app: &Object) -> Result<(), Problem> {
    let whose = Tenant::Team {
        organisation: app.organisation.clone(),
        team: app.team.clone(),
    };
    let mut after: Option<String> = None;
    loop {
        let keys = admin
            .store
            .keys_of(&whose, after.as_deref(), AT_ONCE)
            .await?;
        let is_of_app = |key: &&StoredKey| key.app.as_deref() == app.body["name"].as_str();
        if let Some(key) = keys.iter().find(is_of_app) {
            return Err(still_has("key", &key.name));
        }
        let Some(last) = keys.last() else {
            return Ok(());
        };
        after = Some(last.id.clone());
    }
}

fn still_has(what: &str, name: &str) -> Problem {
    Problem::Conflict(format!(
        "it still has the {what} `{name}`: remove that first"
    ))
}

/// The shape of a body.
pub(crate) fn shape(kind: Kind, generator: &mut SchemaGenerator) -> Option<Schema> {
    Some(match kind {
        Kind::Organisation => OrganisationBody::json_schema(generator),
        Kind::Team => TeamBody::json_schema(generator),
        Kind::App => AppBody::json_schema(generator),
        Kind::User => UserBody::json_schema(generator),
        Kind::Token | Kind::Limit | Kind::Budget | Kind::Price => return None,
    })
}

/// A team by its name, for those who name it.
pub(crate) async fn find_team(admin: &Admin, actor: &Actor, name: &str) -> Result<Object, Problem> {
    let team = admin.store.object_named(Kind::Team, name).await?;
    // One that may not be seen is not there.
    let team = team.filter(|team| {
        actor.may(
            Deed::See,
            Thing::Object(Kind::Team),
            &team.organisation,
            &team.team,
        )
    });
    team.ok_or_else(|| no_team(name))
}

fn no_team(name: &str) -> Problem {
    Problem::Conflict(format!("there is no team named `{name}`"))
}

async fn ensure_organisation(admin: &Admin, actor: &Actor, name: &str) -> Result<(), Problem> {
    let found = admin.store.object_named(Kind::Organisation, name).await?;
    let may_see = actor.may(Deed::See, Thing::Object(Kind::Organisation), name, "");
    if !may_see && name == actor.organisation {
        // Members know the own one, and nothing is theirs to change in all of it.
        actor.ensure(Deed::Change, Thing::Object(Kind::Organisation), name, "")?;
    }
    if found.is_none() || !may_see {
        return Err(Problem::Conflict(format!(
            "there is no organisation named `{name}`"
        )));
    }
    Ok(())
}

fn own_if_empty(organisation: &mut String, actor: &Actor) -> Result<(), Problem> {
    if organisation.is_empty() {
        organisation.clone_from(&actor.organisation);
    }
    if organisation.is_empty() {
        return Err(Problem::Conflict(
            "`organisation` is missing, and your role belongs to none".to_owned(),
        ));
    }
    Ok(())
}

/// Whether what is to be made may be called as it says. What is there goes on under its name.
pub(crate) fn ensure_new_name(body: &Value) -> Result<(), Problem> {
    body["name"].as_str().map_or(Ok(()), ensure_name)
}

pub(crate) fn ensure_name(name: &str) -> Result<(), Problem> {
    check_name(name).map_err(Problem::Invalid)
}

/// Whether something may be called so.
///
/// # Errors
/// When it may not: what a name has to be.
pub fn check_name(name: &str) -> Result<(), String> {
    let is_long = name.chars().count() > NAME_MAX;
    let has_odd_ends = name.starts_with(' ') || name.ends_with(' ');
    if name.is_empty()
        || is_long
        || has_odd_ends
        || name.chars().any(|c| c == '/' || !is_seen(c))
        || name == "each"
    {
        return Err(format!(
            "a name has 1 to {NAME_MAX} characters, no `/`, nothing that cannot be seen and no space at its ends, and is not `each`"
        ));
    }
    Ok(())
}

/// Whether people tell a text with this character from one without it; of all spaces one is known to everybody.
fn is_seen(character: char) -> bool {
    use GeneralCategory::{Control, Format, LineSeparator, ParagraphSeparator, SpaceSeparator};
    character == ' '
        || !matches!(
            character.general_category(),
            Control | Format | LineSeparator | ParagraphSeparator | SpaceSeparator
        )
}

pub(crate) fn read<T: DeserializeOwned>(body: Value) -> Result<T, Problem> {
    serde_path_to_error::deserialize(body).map_err(|error| {
        let path = error.path().to_string();
        let told = error.into_inner().to_string();
        // What is named in the text already, or is the body as a whole, needs no path.
        let is_told = path == "." || told.contains(&format!("`{path}`"));
        Problem::Invalid(if is_told {
            told
        } else {
            format!("`{path}`: {told}")
        })
    })
}

pub(crate) fn value<T: Serialize>(body: &T) -> Value {
    // What was read from JSON is written as JSON.
    serde_json::to_value(body).unwrap_or_default()
}

pub(crate) fn new_id() -> String {
    Uuid::now_v7().simple().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_look_alike_are_the_same() {
        for name in [
            "research",
            "R & D",
            "\u{4f1a}\u{8a08}",
            "caf\u{e9}",
            "a:b",
            "\u{1f980}",
        ] {
            assert_eq!(check_name(name), Ok(()), "{name:?}");
        }
        for name in [
            "",
            " ",
            "each",
            "a/b",
            " research",
            "research ",
            "a\nb",
            "research\u{200b}",
            "a\u{202e}b",
            "a\u{2028}b",
            "a\u{2029}b",
            "a\u{a0}b",
            "a\u{3000}b",
            "\u{ad}x",
            "\u{feff}x",
            "x\u{e0041}",
        ] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
    }
}
