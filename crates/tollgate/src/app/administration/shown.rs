//! The configuration as it is, for people: what belongs to everybody and to those who look, and nothing that opens anything.

use std::{collections::HashMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use serde_json::{Value, json};
use tollgate_admin::Own;
use tollgate_domain::{
    Allowance, Choice, DirectUse, Key, KeyName, KeyState, ModelAccess, Picodollars, Provider,
    Quantity, Route, RouteAccess, Snapshot, WhoMayCall, Whose,
};

/// What is in force. Where somebody looks who sees an organisation alone, the things of others are left out.
pub(super) fn shown(snapshot: &Snapshot, own: Option<&Own>, now: Duration) -> Value {
    let mut providers: Vec<Value> = snapshot
        .providers
        .values()
        .map(|one| provider(one))
        .collect();
    providers.sort_by(|one, other| one["name"].as_str().cmp(&other["name"].as_str()));
    let routes = snapshot.routes.iter().map(|one| route(one));
    let keys = keys(snapshot, own);
    let own_keys: Vec<&str> = keys.iter().map(|key| key.name.as_str()).collect();
    let allowances = snapshot.allowances.iter();
    let allowances = allowances.filter(|one| own.is_none_or(|own| is_for(one, own, &own_keys)));
    let issuers = snapshot.caller_issuers.iter();
    let issuers =
        issuers.map(|issuer| json!({"name": &*issuer.name, "routes": opened(&issuer.routes), "models": reached(&issuer.models)}));
    json!({
        "revision": snapshot.revision.as_str(),
        "who_may_call": match snapshot.who_may_call {
            WhoMayCall::Anyone => "anyone",
            WhoMayCall::KeyHolders => "key_holders",
        },
        "direct_use": snapshot.direct_use == DirectUse::Allowed,
        "providers": providers,
        "routes": routes.collect::<Vec<_>>(),
        "issuers": issuers.collect::<Vec<_>>(),
        "keys": keys.iter().map(|one| key(one)).collect::<Vec<_>>(),
        "limits_and_budgets": allowances.map(|one| allowance(one, now)).collect::<Vec<_>>(),
    })
}

fn provider(provider: &Provider) -> Value {
    let mut tasks: Vec<&str> = Vec::new();
    for endpoint in &provider.endpoints {
        // One task may be served in several dialects.
        if !tasks.contains(&endpoint.task.as_str()) {
            tasks.push(endpoint.task.as_str());
        }
    }
    let timeouts = &provider.timeouts;
    json!({
        "name": provider.name.as_str(),
        "type": &*provider.kind,
        "tasks": tasks,
        "keys": provider.keys.len(),
        "timeouts_ms": {
            "connect": milliseconds(timeouts.connect),
            "first_token": milliseconds(timeouts.first_token),
            "idle": milliseconds(timeouts.idle),
            "whole": milliseconds(timeouts.whole),
        },
    })
}

fn route(route: &Route) -> Value {
    let aliases: Vec<&str> = route.aliases.iter().map(|alias| alias.as_str()).collect();
    let retries = &route.retries;
    json!({
        "name": route.name.as_str(),
        "aliases": aliases,
        "task": route.task.as_str(),
        "strategy": route.strategy.as_str(),
        "targets": targets(route.strategy.choices()),
        "prompt": route.prompt.is_some(),
        "retries": {"per_target": retries.per_target, "attempts_max": retries.attempts_max},
    })
}

fn targets(choices: &[Choice]) -> Vec<String> {
    let names = choices.iter().flat_map(|choice| match choice {
        Choice::Target(target) => vec![target.name.as_str().to_owned()],
        Choice::Nested { strategy, .. } => targets(strategy.choices()),
    });
    names.collect()
}

/// Keys by their names, each once: of one that was rotated the secret that stays counts, not the one before.
fn keys<'a>(snapshot: &'a Snapshot, own: Option<&Own>) -> Vec<&'a Arc<Key>> {
    let mut by_name: HashMap<&KeyName, &Arc<Key>> = HashMap::new();
    for key in snapshot.keys.values() {
        let is_own = |own: &Own| key.organisation.as_deref() == Some(own.organisation.as_str());
        if own.is_none_or(is_own) {
            let end = |key: &Key| key.expires_at.unwrap_or(Duration::MAX);
            let place = by_name.entry(&key.name).or_insert(key);
            if end(place) < end(key) {
                *place = key;
            }
        }
    }
    let mut keys: Vec<_> = by_name.into_values().collect();
    keys.sort_by(|one, other| one.name.as_str().cmp(other.name.as_str()));
    keys
}

fn key(key: &Key) -> Value {
    json!({
        "name": key.name.as_str(),
        "organisation": key.organisation,
        "team": key.team,
        "app": key.app,
        "routes": opened(&key.routes),
        "models": reached(&key.models),
        "expires_at": key.expires_at.map(moment),
        "is_blocked": key.state == KeyState::Blocked,
    })
}

/// Null for all.
fn reached(models: &ModelAccess) -> Option<Vec<&str>> {
    match models {
        ModelAccess::All => None,
        ModelAccess::Only(models) => Some(models.iter().map(|model| model.as_str()).collect()),
    }
}

/// Null for all.
fn opened(routes: &RouteAccess) -> Option<Vec<&str>> {
    let RouteAccess::Only(routes) = routes else {
        return None;
    };
    let mut names: Vec<&str> = routes.iter().map(|route| route.as_str()).collect();
    names.sort_unstable();
    Some(names)
}

/// Whether an allowance is for everybody, or for somebody's own: it may name nobody else.
fn is_for(allowance: &Allowance, own: &Own, own_keys: &[&str]) -> bool {
    let scope = &allowance.scope;
    let fits = |part: &Option<Whose>, is_own: &dyn Fn(&str) -> bool| match part {
        Some(Whose::Named(name)) => is_own(name),
        Some(Whose::Each) | None => true,
    };
    let names = |part: &Option<Whose>| matches!(part, Some(Whose::Named(_)));
    // An app's name is its own in its team alone, and an end user's is nobody's in particular.
    let is_whose = names(&scope.team) || names(&scope.key) || names(&scope.organisation);
    let is_nobody_s = !names(&scope.app) && !names(&scope.user);
    fits(&scope.organisation, &|name| name == own.organisation)
        && fits(&scope.team, &|name| own.teams.contains(name))
        && fits(&scope.key, &|name| own_keys.contains(&name))
        && (is_whose || is_nobody_s)
}

fn allowance(allowance: &Allowance, now: Duration) -> Value {
    let most = allowance.most_at(now);
    let most = match allowance.quantity {
        Quantity::Picodollars => json!(Picodollars::new(most)),
        _ => json!(most),
    };
    json!({"name": &*allowance.name, "of": allowance.quantity.as_str(), "most": most, "for": whose(allowance)})
}

/// Whose calls it is for: `each` stands for everyone, each by itself.
fn whose(allowance: &Allowance) -> Value {
    let scope = &allowance.scope;
    let parts = [
        ("organisation", &scope.organisation),
        ("team", &scope.team),
        ("app", &scope.app),
        ("key", &scope.key),
        ("user", &scope.user),
        ("route", &scope.route),
        ("provider", &scope.provider),
        ("model", &scope.model),
    ];
    let named = parts.into_iter().filter_map(|(part, whose)| {
        let name = match whose.as_ref()? {
            Whose::Named(name) => name,
            Whose::Each => "each",
        };
        Some((part.to_owned(), json!(name)))
    });
    Value::Object(named.collect())
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Since 1970-01-01 UTC, as RFC 3339.
fn moment(time: Duration) -> String {
    let time = i64::try_from(time.as_millis()).ok();
    let time = time.and_then(|time| Timestamp::from_millisecond(time).ok());
    time.map_or_else(String::new, |time| time.to_string())
}
