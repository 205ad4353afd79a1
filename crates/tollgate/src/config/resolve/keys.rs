//! Callers' keys: whose they are, what they open, until when.

use std::{
    collections::{HashMap, HashSet},
    fmt::Display,
    sync::Arc,
    time::Duration,
};

use ipnet::IpNet;
use tollgate_domain::{
    CallerIssuer, Key, KeyHash, KeyName, KeyState, ModelAccess, ModelPattern, PathPattern, Places,
    RouteAccess, RouteName, parse_network, parse_time,
};

use super::{Context, routes::Routes};
use crate::config::{
    diagnostics::{self, Problems, quoted, quoted_node},
    tree::{At, Span},
    written::{self, KeyRoutes},
};

/// Resolves the list of keys.
pub(crate) fn resolve(
    written: &[written::Key],
    at: At<'_>,
    routes: &Routes,
    context: &Context<'_>,
    problems: &mut Problems,
) -> HashMap<KeyHash, Arc<Key>> {
    let mut keys = HashMap::new();
    let mut names: HashMap<&str, Span> = HashMap::new();
    for (index, written) in written.iter().enumerate() {
        let at = at.item(index);
        if let Some(name) = &written.name {
            report_name(name, at.key("name"), &mut names, problems);
        }
        let access = access(written.routes.as_ref(), at.key("routes"), routes, problems);
        let expires_at = written
            .expires
            .as_deref()
            .and_then(|text| expiry(text, at.key("expires"), context.now, problems));
        let Some(hash) = hash(written, at.key("hash"), problems) else {
            continue;
        };
        let key = Key {
            name: KeyName::new(written.name.as_deref().unwrap_or_default()),
            team: written.team.as_deref().map(Arc::from),
            app: None,
            organisation: None,
            user: None,
            hash,
            routes: access,
            models: models(written.models.as_deref(), at.key("models"), problems),
            places: places(written, at, problems),
            expires_at,
            state: KeyState::Open,
        };
        if keys.insert(hash, Arc::new(key)).is_some() {
            problems
                .error(at.key("hash").span(), "two keys have this hash")
                .help("make each caller a key of its own: `tollgate key new`");
        }
    }
    keys
}

fn report_name<'a>(
    name: &'a str,
    at: At<'_>,
    names: &mut HashMap<&'a str, Span>,
    problems: &mut Problems,
) {
    if name.trim().is_empty() {
        problems.error(at.span(), "the name is empty");
    } else if let Some(first) = names.insert(name, at.span()) {
        problems
            .error(
                at.span(),
                format!("there are two keys named {}", quoted(name)),
            )
            .label("the second time")
            .related(first, "the first time")
            .help("logs name keys: give each a name of its own");
    }
}

/// Nobody's key is called as a caller with a token is.
pub(crate) fn report_issuers(
    written: &[written::Key],
    at: At<'_>,
    issuers: &[Arc<CallerIssuer>],
    problems: &mut Problems,
) {
    for (index, key) in written.iter().enumerate() {
        let name = key.name.as_deref().unwrap_or_default();
        if issuers.iter().any(|issuer| issuer.names(name)) {
            problems
                .error(
                    at.item(index).key("name").span(),
                    format!("{} may be a caller with a token", quoted(name)),
                )
                .help("such callers are called by their issuer's name and a `:`; give the key another name");
        }
    }
}

fn hash(written: &written::Key, at: At<'_>, problems: &mut Problems) -> Option<KeyHash> {
    match KeyHash::parse(written.hash.as_deref()?.trim()) {
        Ok(hash) => Some(hash),
        Err(error) => {
            problems
                .error(at.span(), error.to_string())
                .help("the key itself does not belong into the file");
            None
        }
    }
}

fn places(written: &written::Key, at: At<'_>, problems: &mut Problems) -> Places {
    let paths = read_each(
        written.paths.as_deref(),
        at.key("paths"),
        problems,
        PathPattern::parse,
    );
    Places {
        paths,
        networks: networks(written.networks.as_deref(), at.key("networks"), problems),
    }
}

/// Reads a list of networks.
pub(crate) fn networks(
    written: Option<&[String]>,
    at: At<'_>,
    problems: &mut Problems,
) -> Vec<IpNet> {
    read_each(written, at, problems, parse_network)
}

/// Which models callers reach.
pub(crate) fn models(
    written: Option<&[String]>,
    at: At<'_>,
    problems: &mut Problems,
) -> ModelAccess {
    if written.is_none() {
        return ModelAccess::All;
    }
    if written.is_some_and(<[_]>::is_empty) {
        problems
            .warning(at.key_span(), "no model is reached")
            .help("list models, or leave `models` out for all of them");
    }
    ModelAccess::Only(read_each(written, at, problems, ModelPattern::parse).into())
}

fn read_each<T, E: Display>(
    written: Option<&[String]>,
    at: At<'_>,
    problems: &mut Problems,
    read: impl Fn(&str) -> Result<T, E>,
) -> Vec<T> {
    let mut known = Vec::new();
    for (index, text) in written.unwrap_or_default().iter().enumerate() {
        match read(text) {
            Ok(one) => known.push(one),
            Err(error) => {
                problems.error(at.item(index).span(), error.to_string());
            }
        }
    }
    known
}

pub(crate) fn access(
    written: Option<&KeyRoutes>,
    at: At<'_>,
    routes: &Routes,
    problems: &mut Problems,
) -> RouteAccess {
    let names = match written {
        None | Some(KeyRoutes::Word(_)) => return RouteAccess::All,
        Some(KeyRoutes::Only(names)) => names,
    };
    let mut opened = HashSet::new();
    for (index, name) in names.iter().enumerate() {
        if let Some(route) = routes.names.get(name) {
            opened.insert(RouteName::new(route.as_str()));
            continue;
        }
        let at = at.item(index);
        let known = routes.names.keys().map(String::as_str);
        problems
            .error(
                at.span(),
                format!("there is no route named {}", quoted_node(at.node())),
            )
            .help(diagnostics::suggestion(name, known, "the routes"));
    }
    if names.is_empty() {
        problems
            .warning(at.key_span(), "this key opens no route")
            .help("list routes, or leave `routes` out for all of them");
    }
    RouteAccess::Only(opened)
}

fn expiry(text: &str, at: At<'_>, now: Duration, problems: &mut Problems) -> Option<Duration> {
    let Some(expires) = parse_expiry(text) else {
        problems
            .error(at.span(), format!("{} is no date", quoted_node(at.node())))
            .help("write `2027-01-31` or `2027-01-31T18:00:00Z`");
        return None;
    };
    if expires <= now {
        problems
            .warning(at.span(), "this key has expired")
            .help("remove it, or give it a later date");
    }
    Some(expires)
}

/// Reads a date, which begins at 00:00 UTC, or a time with its offset; since 1970-01-01 UTC.
pub(crate) fn parse_expiry(text: &str) -> Option<Duration> {
    Duration::try_from(parse_time(text)?.as_duration()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_begin_at_midnight_utc() {
        let day = Duration::from_secs(20_849 * 86_400);
        assert_eq!(parse_expiry("2027-01-31"), Some(day));
        assert_eq!(parse_expiry("2027-01-31T00:00:00Z"), Some(day));
        assert_eq!(parse_expiry("2027-01-31T02:00:00+02:00"), Some(day));
        for text in [
            "",
            "soon",
            "2027-02-30",
            "1960-01-01",
            "2027-01-31T10:00:00",
        ] {
            assert_eq!(parse_expiry(text), None, "{text}");
        }
    }
}
