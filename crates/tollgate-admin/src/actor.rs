//! Who is asking, and what that person may see and change.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    extract::FromRequestParts,
    http::{header, request::Parts},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tollgate_domain::KeyHash;
use tollgate_store::{Change, Kind, Tenant};

use crate::{Admin, Client, problem::Problem, users::TokenBody};

/// What a person is in an organisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Sees and changes everything, in all organisations.
    Owner,
    /// Sees and changes everything of one organisation.
    Admin,
    /// Sees everything of one organisation, and changes nothing.
    Auditor,
    /// Sees what belongs to the own teams; changes it as their admin.
    Member,
}

/// What a person is in a team.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TeamRole {
    /// Makes its apps, keys, limits and budgets.
    Admin,
    /// Sees them.
    Member,
}

/// A kind of thing, to decide who may do what with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Thing {
    Object(Kind),
    Key,
    Audit,
    Configuration,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    See,
    Change,
}

/// A person with a token that opens.
#[derive(Clone, Debug)]
pub(crate) struct Actor {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) role: Role,
    /// Empty of owners.
    pub(crate) organisation: String,
    pub(crate) teams: BTreeMap<String, TeamRole>,
    /// Where the request came from.
    source: String,
}

impl Actor {
    /// Whose things this person may look at, as far as roles go.
    pub(crate) fn tenants(&self) -> Vec<Tenant> {
        match self.role {
            Role::Owner => vec![Tenant::All],
            Role::Admin | Role::Auditor => vec![Tenant::Organisation(self.organisation.clone())],
            Role::Member => {
                let team = |team: &String| Tenant::Team {
                    organisation: self.organisation.clone(),
                    team: team.clone(),
                };
                self.teams.keys().map(team).collect()
            }
        }
    }

    /// Teams whose calls this person may see; `None` for all calls. Of an organisation's its teams are to be asked for.
    pub(crate) fn own_teams(&self) -> Option<Vec<String>> {
        match self.role {
            Role::Owner | Role::Admin | Role::Auditor => None,
            Role::Member => Some(self.teams.keys().cloned().collect()),
        }
    }

    /// Whether this person may do something with what belongs to an organisation and to a team of it.
    pub(crate) fn may(&self, deed: Deed, thing: Thing, organisation: &str, team: &str) -> bool {
        let is_own = !organisation.is_empty() && organisation == self.organisation;
        match self.role {
            Role::Owner => true,
            Role::Admin => {
                let is_beyond = thing == Thing::Object(Kind::Organisation) && deed == Deed::Change;
                is_own && !is_beyond
            }
            Role::Auditor => is_own && deed == Deed::See,
            Role::Member => {
                let Some(role) = self.teams.get(team).filter(|_| is_own) else {
                    return false;
                };
                match (thing, deed) {
                    (Thing::Audit, _) => deed == Deed::See && *role == TeamRole::Admin,
                    (Thing::Object(Kind::Team), _) => deed == Deed::See,
                    (
                        Thing::Key | Thing::Object(Kind::App | Kind::Limit | Kind::Budget),
                        Deed::See,
                    ) => true,
                    (
                        Thing::Key | Thing::Object(Kind::App | Kind::Limit | Kind::Budget),
                        Deed::Change,
                    ) => *role == TeamRole::Admin,
                    (
                        Thing::Object(Kind::Organisation | Kind::User | Kind::Token | Kind::Price)
                        | Thing::Configuration,
                        _,
                    ) => false,
                }
            }
        }
    }

    /// The same, or why not.
    pub(crate) fn ensure(
        &self,
        deed: Deed,
        thing: Thing,
        organisation: &str,
        team: &str,
    ) -> Result<(), Problem> {
        if self.may(deed, thing, organisation, team) {
            return Ok(());
        }
        let whose = match (organisation, team) {
            ("", _) => "what belongs to no organisation".to_owned(),
            (organisation, "") => format!("the organisation `{organisation}`"),
            (_, team) => format!("the team `{team}`"),
        };
        let what = match deed {
            Deed::See => "look into",
            Deed::Change => "change this for",
        };
        Err(Problem::Forbidden(format!(
            "your role does not let you {what} {whose}"
        )))
    }

    /// What the audit says of a change by this person.
    pub(crate) fn change(&self, admin: &Admin) -> Change {
        Change {
            at: (admin.around.now)(),
            actor: self.name.clone(),
            source: self.source.clone(),
            planned_behind: None,
            answer: None,
        }
    }
}

impl FromRequestParts<Arc<Admin>> for Actor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, admin: &Arc<Admin>) -> Result<Self, Problem> {
        let sent = parts.headers.get(header::AUTHORIZATION);
        let sent = sent.and_then(|value| value.to_str().ok());
        // Schemes are the same however they are written (RFC 9110, section 11.1).
        let token = sent
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let (_, token) = token.ok_or(Problem::Unauthenticated)?;
        // Looked up by its hash: nothing that is compared has to be kept from those who measure time.
        let hash = KeyHash::of(token.trim()).to_string();
        let token = admin.store.object_named(Kind::Token, &hash).await?;
        let token = token.ok_or(Problem::Unknown)?;
        let body: TokenBody = read(token.body)?;
        let now = (admin.around.now)().as_millis();
        if body.expires_ms.is_some_and(|end| u128::from(end) <= now) {
            return Err(Problem::Unknown);
        }
        let user = admin
            .store
            .object(&Tenant::All, Kind::User, &body.user)
            .await?;
        let user = user.ok_or(Problem::Unknown)?;
        let body: crate::plan::UserBody = read(user.body)?;
        let source = parts.extensions.get::<Client>();
        Ok(Self {
            id: user.id,
            name: user.name,
            role: body.role,
            organisation: user.organisation,
            teams: body.teams,
            source: source.map_or_else(String::new, |source| source.0.to_string()),
        })
    }
}

fn read<T: serde::de::DeserializeOwned>(body: serde_json::Value) -> Result<T, Problem> {
    serde_json::from_value(body).map_err(|error| {
        tracing::error!(%error, "an object in the store cannot be read");
        Problem::Unknown
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn actor(role: Role, teams: &[(&str, TeamRole)]) -> Actor {
        Actor {
            id: "1".to_owned(),
            name: "ann".to_owned(),
            role,
            organisation: if role == Role::Owner { "" } else { "acme" }.to_owned(),
            teams: teams
                .iter()
                .map(|(team, role)| ((*team).to_owned(), *role))
                .collect(),
            source: String::new(),
        }
    }

    const THINGS: [Thing; 11] = [
        Thing::Object(Kind::Organisation),
        Thing::Object(Kind::Team),
        Thing::Object(Kind::App),
        Thing::Object(Kind::User),
        Thing::Object(Kind::Token),
        Thing::Object(Kind::Limit),
        Thing::Object(Kind::Budget),
        Thing::Object(Kind::Price),
        Thing::Key,
        Thing::Audit,
        Thing::Configuration,
    ];

    #[test]
    fn nobody_but_owners_reaches_another_organisation() {
        let teams = [("research", TeamRole::Admin)];
        for role in [Role::Admin, Role::Auditor, Role::Member] {
            for thing in THINGS {
                for deed in [Deed::See, Deed::Change] {
                    for (organisation, team) in [
                        ("other", ""),
                        ("other", "research"),
                        ("", ""),
                        ("", "research"),
                    ] {
                        assert!(
                            !actor(role, &teams).may(deed, thing, organisation, team),
                            "{role:?} {deed:?} {thing:?}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn auditors_and_members_change_nothing() {
        let teams = [("research", TeamRole::Member)];
        for thing in THINGS {
            assert!(!actor(Role::Auditor, &[]).may(Deed::Change, thing, "acme", "research"));
            assert!(!actor(Role::Member, &teams).may(Deed::Change, thing, "acme", "research"));
            assert!(!actor(Role::Member, &teams).may(Deed::See, thing, "acme", "sales"));
            assert!(actor(Role::Auditor, &[]).may(Deed::See, thing, "acme", "sales"));
        }
    }

    #[test]
    fn a_teams_admin_makes_what_is_the_teams_and_nothing_wider() {
        let ann = actor(Role::Member, &[("research", TeamRole::Admin)]);
        for thing in [
            Thing::Key,
            Thing::Object(Kind::App),
            Thing::Object(Kind::Limit),
        ] {
            assert!(ann.may(Deed::Change, thing, "acme", "research"));
            assert!(!ann.may(Deed::Change, thing, "acme", ""));
        }
        for thing in [
            Thing::Object(Kind::Team),
            Thing::Object(Kind::User),
            Thing::Object(Kind::Organisation),
            Thing::Object(Kind::Price),
        ] {
            assert!(!ann.may(Deed::Change, thing, "acme", "research"));
        }
        assert!(!actor(Role::Admin, &[]).may(
            Deed::Change,
            Thing::Object(Kind::Organisation),
            "acme",
            ""
        ));
    }
}
