//! What can be looked at and not changed: usage, calls, the audit, the configuration.

mod exports;
mod parquet;

use std::{collections::HashMap, net::IpAddr, sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tollgate_domain::{OUTCOMES, Picodollars, Quantity, ServiceTier, UsageRecord};
use tollgate_store::{Before, CallsQuery, Dimension, Kind, Tenant, UsageQuery, UsageRow};

use crate::{
    Admin, Own, Spent,
    actor::{Actor, Deed, Role, Thing},
    problem::Problem,
    resources::{Asked, moment, most, paged, parse_moment},
};

/// Teams of an organisation that are asked for at a time.
const TEAMS_AT_ONCE: i64 = 500;

/// Which usage.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UsageAsked {
    /// By what it is told apart, with commas between them: `minute`, `hour`, `day`, `key`, `team`, `app`, `organisation`, `user`, `tag`, `route`,
    /// `provider`, `model`, `outcome`. Default: `key`.
    #[schemars(schema_with = "crate::shapes::dimensions")]
    by: Option<String>,
    /// From this date or time on.
    #[schemars(schema_with = "crate::shapes::time")]
    since: Option<String>,
    /// Until this date or time, which does not count.
    #[schemars(schema_with = "crate::shapes::time")]
    until: Option<String>,
    /// Of this key only.
    key: Option<String>,
    /// Of this team only.
    team: Option<String>,
    /// Of this app's keys only.
    app: Option<String>,
    /// Of this organisation's teams only.
    organisation: Option<String>,
    /// Of this end user only.
    user: Option<String>,
    /// With this tag only.
    tag: Option<String>,
    /// Of this route only.
    route: Option<String>,
    /// Of this provider only.
    provider: Option<String>,
    /// Of this model only.
    model: Option<String>,
    /// Of calls that ended so only: `answered`, `refused`, `provider_error`, `cut`, `client_gone`, `crashed`.
    #[schemars(schema_with = "crate::shapes::outcome")]
    outcome: Option<String>,
}

/// Which calls.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CallsAsked {
    /// Items at most. Default: 50, and of a file all.
    #[schemars(range(min = 1, max = 500))]
    limit: Option<u32>,
    /// Where the page before ended: its `next`.
    after: Option<String>,
    /// From this date or time on.
    #[schemars(schema_with = "crate::shapes::time")]
    since: Option<String>,
    /// Until this date or time, which does not count.
    #[schemars(schema_with = "crate::shapes::time")]
    until: Option<String>,
    /// Of this key only.
    key: Option<String>,
    /// Of this team only.
    team: Option<String>,
    /// Of this app's keys only.
    app: Option<String>,
    /// Of this organisation's teams only.
    organisation: Option<String>,
    /// Of this end user only.
    user: Option<String>,
    /// With this tag only.
    tag: Option<String>,
    /// Of this route only.
    route: Option<String>,
    /// Of this provider only.
    provider: Option<String>,
    /// Of this model only.
    model: Option<String>,
    /// That ended so only: `answered`, `refused`, `provider_error`, `cut`, `client_gone`, `crashed`.
    #[schemars(schema_with = "crate::shapes::outcome")]
    outcome: Option<String>,
    /// That have this id in `x-request-id` only.
    request_id: Option<String>,
    /// That came from this address only.
    client_address: Option<IpAddr>,
    /// That were answered with this status only.
    status: Option<u16>,
    /// That have this code of an error only.
    error_code: Option<String>,
    /// That cost at least so many dollars.
    #[schemars(regex(pattern = "^[0-9]{1,7}(\\.[0-9]{1,12})?$"))]
    cost_from: Option<String>,
    /// That took at least so many milliseconds.
    #[schemars(range(max = 4_294_967_295_u32))]
    duration_from_ms: Option<u32>,
    /// In whose payload, as far as it is kept, this text is.
    text: Option<String>,
    /// How they are written. Default: `json`.
    format: Option<Format>,
}

/// How calls are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Format {
    /// A page with where the next one begins.
    #[default]
    Json,
    /// A line each; with a `limit`, where the next page begins is in `x-next`.
    Jsonl,
    /// Comma-separated values with a head; with a `limit`, where the next page begins is in `x-next`.
    Csv,
    /// A Parquet file; with a `limit`, where the next page begins is in `x-next`.
    Parquet,
}

/// Which administrative changes.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuditAsked {
    /// Items at most. Default: 50.
    #[schemars(range(min = 1, max = 500))]
    limit: Option<u32>,
    /// Where the page before ended: its `next`.
    #[schemars(range(min = 1, max = 9_007_199_254_740_991_i64))]
    after: Option<i64>,
}

type Shared = State<Arc<Admin>>;

/// Teams whose calls the actor may see; `None` for all calls.
async fn teams(admin: &Admin, actor: &Actor) -> Result<Option<Vec<String>>, Problem> {
    if actor.role == Role::Owner {
        return Ok(None);
    }
    if let Some(own) = actor.own_teams() {
        return Ok(Some(own));
    }
    let tenant = Tenant::Organisation(actor.organisation.clone());
    let mut teams: Vec<String> = Vec::new();
    loop {
        let after = teams.last().cloned();
        let page = admin
            .store
            .objects(&tenant, Kind::Team, after.as_deref(), TEAMS_AT_ONCE);
        let page = page.await?;
        if page.is_empty() {
            return Ok(Some(teams));
        }
        teams.extend(page.into_iter().map(|team| team.id));
    }
}

fn conditions(given: [(Dimension, &Option<String>); 10]) -> Vec<(Dimension, String)> {
    let given = given.into_iter();
    given
        .filter_map(|(dimension, value)| Some((dimension, value.clone()?)))
        .collect()
}

/// The time that is asked for.
fn span(since: Option<&str>, until: Option<&str>) -> Result<(Option<i64>, Option<i64>), Problem> {
    let (since, until) = (
        since.map(parse_moment).transpose()?,
        until.map(parse_moment).transpose()?,
    );
    match since.zip(until) {
        Some((since, until)) if since > until => Err(Problem::Invalid(
            "`since` is later than `until`: nothing can be between them".to_owned(),
        )),
        _ => Ok((since, until)),
    }
}

fn check_outcome(outcome: Option<&str>) -> Result<(), Problem> {
    match outcome.filter(|outcome| !OUTCOMES.contains(outcome)) {
        Some(outcome) => Err(Problem::Invalid(format!(
            "`outcome`: `{outcome}` is none of {}",
            OUTCOMES.join(", ")
        ))),
        None => Ok(()),
    }
}

pub(crate) async fn usage(
    State(admin): Shared,
    actor: Actor,
    Asked(asked): Asked<UsageAsked>,
) -> Result<Response, Problem> {
    let by = asked.by.as_deref().unwrap_or("key").split(',');
    let by = by.map(|word| {
        let mut known = Dimension::ALL.into_iter();
        let found = known.find(|dimension| dimension.as_str() == word.trim());
        found.ok_or_else(|| {
            let words = Dimension::ALL.map(Dimension::as_str).join(", ");
            Problem::Invalid(format!("`by`: `{word}` is none of {words}"))
        })
    });
    let by: Vec<Dimension> = by.collect::<Result<_, _>>()?;
    let (since_ms, until_ms) = span(asked.since.as_deref(), asked.until.as_deref())?;
    check_outcome(asked.outcome.as_deref())?;
    let query = UsageQuery {
        since_ms,
        until_ms,
        of: conditions([
            (Dimension::Key, &asked.key),
            (Dimension::Team, &asked.team),
            (Dimension::App, &asked.app),
            (Dimension::Organisation, &asked.organisation),
            (Dimension::User, &asked.user),
            (Dimension::Tag, &asked.tag),
            (Dimension::Route, &asked.route),
            (Dimension::Provider, &asked.provider),
            (Dimension::Model, &asked.model),
            (Dimension::Outcome, &asked.outcome),
        ]),
        keys: None,
        teams: teams(&admin, &actor).await?,
        made: false,
        by,
    };
    let rows = admin.store.usage(&query).await?;
    let items: Vec<Value> = rows.iter().map(|row| shown_usage(row, &query.by)).collect();
    Ok(Json(json!({"items": items})).into_response())
}

/// What was used of limits and budgets that the actor may see, and what that comes to at this pace.
pub(crate) async fn spending(State(admin): Shared, actor: Actor) -> Result<Response, Problem> {
    let now = (admin.around.now)();
    let spent = (admin.around.spending)(admin.store.clone()).await?;
    let mut items = Vec::new();
    let mut whose: HashMap<Arc<str>, (String, String)> = HashMap::new();
    for spent in spent {
        let (kind, name) = (kind_of(&spent), &spent.allowance.name);
        if !whose.contains_key(name) {
            let object = admin.store.object_named(kind, name).await?;
            // Those of the file are for those who run the gateway.
            let owner = object.map(|object| (object.organisation, object.team));
            whose.insert(Arc::clone(name), owner.unwrap_or_default());
        }
        let (organisation, team) = &whose[name];
        if actor.may(Deed::See, Thing::Object(kind), organisation, team) {
            items.push(shown_spending(&spent, now));
        }
    }
    Ok(Json(json!({"items": items})).into_response())
}

fn kind_of(spent: &Spent) -> Kind {
    match spent.allowance.quantity {
        Quantity::Picodollars => Kind::Budget,
        _ => Kind::Limit,
    }
}

fn shown_spending(spent: &Spent, now: Duration) -> Value {
    let allowance = &spent.allowance;
    let (begin, end) = spent.window;
    let milliseconds = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    let amount = |amount: u128| {
        let amount = u64::try_from(amount).unwrap_or(u64::MAX);
        match allowance.quantity {
            Quantity::Picodollars => json!(Picodollars::new(amount)),
            _ => json!(amount),
        }
    };
    // As much again in what is left of the window as in what is over.
    let elapsed = now.saturating_sub(begin).as_millis().max(1);
    let whole = end.saturating_sub(begin).as_millis();
    let forecast = spent.used.saturating_mul(whole) / elapsed;
    json!({
        "name": &*allowance.name,
        "kind": kind_of(spent).as_str(),
        "of": allowance.quantity.as_str(),
        "subject": spent.subject.replace('\n', ", "),
        "most": amount(allowance.most_at(now).into()),
        "used": amount(spent.used),
        "left": amount(u128::from(allowance.most_at(now)).saturating_sub(spent.used)),
        "forecast": amount(forecast),
        "window_begins_at": moment(milliseconds(begin)),
        "window_ends_at": moment(milliseconds(end)),
    })
}

fn shown_usage(row: &UsageRow, by: &[Dimension]) -> Value {
    let mut told = Map::new();
    for (value, by) in row.of.iter().zip(by) {
        let value = match (by.span_ms(), value) {
            (Some(span), Some(value)) => {
                let number: i64 = value.parse().unwrap_or_default();
                Some(moment(number.saturating_mul(span)))
            }
            (_, value) => value.clone(),
        };
        told.insert(by.as_str().to_owned(), json!(value));
    }
    told.insert("calls".to_owned(), json!(row.calls));
    told.insert("input_tokens".to_owned(), json!(row.input));
    told.insert("output_tokens".to_owned(), json!(row.output));
    told.insert("cost_dollars".to_owned(), json!(row.known_cost()));
    told.insert("calls_of_unknown_cost".to_owned(), json!(row.unknown));
    told.insert(
        "unknown_cost_at_most_dollars".to_owned(),
        json!(row.at_most),
    );
    Value::Object(told)
}

pub(crate) async fn calls(
    State(admin): Shared,
    actor: Actor,
    Asked(asked): Asked<CallsAsked>,
) -> Result<Response, Problem> {
    let most = most(asked.limit)?;
    let before = asked.after.as_deref().filter(|after| !after.is_empty());
    let before = before.map(str::parse::<Before>).transpose();
    let before = before
        .map_err(|()| Problem::Invalid("`after` is the `next` of the page before".to_owned()))?;
    let cost = asked.cost_from.as_deref().map(str::parse::<Picodollars>);
    let cost = cost.transpose().map_err(|_| {
        Problem::Invalid("`cost_from` is an amount of dollars, such as 0.05".to_owned())
    })?;
    let (since_ms, until_ms) = span(asked.since.as_deref(), asked.until.as_deref())?;
    check_outcome(asked.outcome.as_deref())?;
    let text = asked.text.filter(|text| !text.is_empty());
    let query = CallsQuery {
        since_ms: match text {
            Some(_) => since_ms.max(Some(payloads_shown_from(&admin))),
            None => since_ms,
        },
        until_ms,
        of: conditions([
            (Dimension::Key, &asked.key),
            (Dimension::Team, &asked.team),
            (Dimension::App, &asked.app),
            (Dimension::Organisation, &asked.organisation),
            (Dimension::User, &asked.user),
            (Dimension::Tag, &asked.tag),
            (Dimension::Route, &asked.route),
            (Dimension::Provider, &asked.provider),
            (Dimension::Model, &asked.model),
            (Dimension::Outcome, &asked.outcome),
        ]),
        keys: None,
        teams: teams(&admin, &actor).await?,
        request_id: asked.request_id,
        client_address: asked.client_address.map(|address| address.to_string()),
        status: asked.status,
        error_code: asked.error_code,
        cost_from: cost.map(Picodollars::as_u64),
        duration_from_ms: asked.duration_from_ms.map(u64::from),
        text,
        before,
        most: u32::try_from(most + 1).unwrap_or(u32::MAX),
    };
    let format = asked.format.unwrap_or_default();
    if format != Format::Json && asked.limit.is_none() {
        let all = exports::whole(admin, query, format).await?;
        return Ok(file_of(format, all, None));
    }
    let mut calls = admin.store.calls(&query).await?;
    if format == Format::Json {
        return Ok(paged(
            calls,
            most,
            |call| place(call).to_string(),
            shown_call,
        ));
    }
    let kept = usize::try_from(most).unwrap_or(usize::MAX);
    let has_more = calls.len() > kept;
    calls.truncate(kept);
    let next = calls.last().filter(|_| has_more);
    let next = next.map(|call| place(call).to_string());
    let mut writer = exports::Writer::new(format)?;
    let mut file = writer.part(&calls)?;
    file.extend(writer.end()?);
    Ok(file_of(format, file, next))
}

/// One call, with its payload where that is kept.
pub(crate) async fn call(
    State(admin): Shared,
    actor: Actor,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let teams = teams(&admin, &actor).await?;
    let call = admin.store.call(teams.as_deref(), &id).await?;
    let call = call.ok_or(Problem::NotFound)?;
    let payload = match call.at_ms >= payloads_shown_from(&admin) {
        true => admin.store.payload(&call).await?,
        false => None,
    };
    let mut told = shown_call(&call);
    told["request"] = json!(payload.as_ref().map(|payload| &*payload.request));
    told["response"] = json!(payload.as_ref().map(|payload| &*payload.response));
    Ok(Json(told).into_response())
}

/// When the oldest calls came whose payloads are shown, in milliseconds since 1970-01-01 UTC: what is older stands in the store until its day goes.
fn payloads_shown_from(admin: &Admin) -> i64 {
    let kept_for = (admin.around.payloads_kept_for)();
    let from = (admin.around.now)().saturating_sub(kept_for);
    i64::try_from(from.as_millis()).unwrap_or(i64::MAX)
}

/// Where the page that ends with a call goes on.
fn place(call: &UsageRecord) -> Before {
    Before {
        at_ms: call.at_ms,
        id: call.id.to_string(),
    }
}

/// A file of calls; where the next page begins is in a header, if this is one.
fn file_of(format: Format, file: impl IntoResponse, next: Option<String>) -> Response {
    let kind = match format {
        Format::Json | Format::Jsonl => "application/jsonl",
        Format::Csv => "text/csv; charset=utf-8",
        Format::Parquet => "application/vnd.apache.parquet",
    };
    let mut response = file.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    if let Some(next) = next.and_then(|next| HeaderValue::from_str(&next).ok()) {
        headers.insert("x-next", next);
    }
    response
}

fn shown_call(call: &UsageRecord) -> Value {
    let money = |amount: Option<u64>| amount.map(Picodollars::new);
    let usage = &call.usage;
    let detail = call.detail.as_deref();
    let detail: Option<Value> = detail.and_then(|detail| serde_json::from_str(detail).ok());
    json!({
        "id": &*call.id,
        "at": moment(call.at_ms),
        "request_id": &*call.request_id,
        "revision": &*call.revision,
        "key": call.key,
        "team": call.team,
        "app": call.app,
        "user": call.user,
        "tags": call.tags,
        "route": call.route,
        "task": call.task,
        "provider": call.provider,
        "model": call.model,
        "outcome": &*call.outcome,
        "status": call.status,
        "error_code": call.error_code,
        "tokens_are_estimated": usage.is_estimated,
        "input_tokens": usage.input_total(),
        "cached_tokens": usage.input_cached,
        "cache_write_tokens": usage.cache_write,
        "cache_write_1h_tokens": usage.cache_write_1h,
        "audio_input_tokens": usage.input_audio,
        "output_tokens": usage.output_total(),
        "reasoning_tokens": usage.output_reasoning,
        "audio_output_tokens": usage.output_audio,
        "search_units": usage.search_units,
        "web_searches": usage.web_searches_total(),
        "service_tier": usage.tier.map(ServiceTier::as_str),
        "cost_dollars": money(call.cost),
        "cost_at_most_dollars": money(call.cost_at_most),
        "cost_unknown": call.cost_unknown,
        "attempts": call.attempts,
        "streamed": call.streamed,
        "duration_ms": call.duration_ms,
        "detail": detail,
    })
}

/// The newest first; `after` is the number where the page before ended.
pub(crate) async fn audit(
    State(admin): Shared,
    actor: Actor,
    Asked(asked): Asked<AuditAsked>,
) -> Result<Response, Problem> {
    let (before, most) = (asked.after, most(asked.limit)?);
    if before.is_some_and(|before| !(1..1 << 53).contains(&before)) {
        return Err(Problem::Invalid(
            "`after` is the `next` of the page before".to_owned(),
        ));
    }
    let mut rows = Vec::new();
    for tenant in actor.tenants() {
        rows.extend(admin.store.audit(&tenant, before, most + 1).await?);
    }
    rows.retain(|row| actor.may(Deed::See, Thing::Audit, &row.organisation, &row.team));
    rows.sort_by_key(|row| std::cmp::Reverse(row.number));
    Ok(paged(
        rows,
        most,
        |row| row.number.to_string(),
        |row| {
            let json = |text: &Option<String>| {
                text.as_deref()
                    .and_then(|text| serde_json::from_str::<Value>(text).ok())
            };
            json!({
                "number": row.number,
                "at": moment(row.at_ms),
                "actor": row.actor,
                "source": row.source,
                "action": row.action,
                "kind": row.kind,
                "object": row.object,
                "organisation": row.organisation,
                "team": row.team,
                "before": json(&row.before),
                "after": json(&row.after),
                "hash": row.hash,
            })
        },
    ))
}

pub(crate) async fn targets(State(admin): Shared, actor: Actor) -> Result<Response, Problem> {
    actor.ensure(Deed::See, Thing::Configuration, &actor.organisation, "")?;
    Ok(Json(json!({"items": (admin.around.targets)()})).into_response())
}

pub(crate) async fn configuration(State(admin): Shared, actor: Actor) -> Result<Response, Problem> {
    actor.ensure(Deed::See, Thing::Configuration, &actor.organisation, "")?;
    let teams = teams(&admin, &actor).await?;
    let own = teams.map(|teams| Own {
        organisation: actor.organisation.clone(),
        teams: teams.into_iter().collect(),
    });
    Ok(Json((admin.around.configuration)(own.as_ref())).into_response())
}

#[cfg(test)]
mod tests {
    use tollgate_domain::Unmetered;

    use super::*;

    #[test]
    fn a_cost_that_is_known_of_no_call_is_not_zero() {
        let told = |cost, unknown| {
            let row = UsageRow {
                of: vec![Some("a".to_owned())],
                calls: 2,
                input: 8,
                output: 7,
                cost: Picodollars::new(cost),
                at_most: Picodollars::ZERO,
                unknown,
                unmetered: Unmetered::default(),
            };
            shown_usage(&row, &[Dimension::Key])["cost_dollars"].clone()
        };
        assert_eq!(told(0, 2), Value::Null);
        assert_eq!(told(0, 1), "0");
        assert_eq!(told(0, 0), "0");
        // Of tries that were lost the cost may be known where that of the call is not.
        assert_eq!(told(1_000_000_000_000, 2), "1");
    }
}
