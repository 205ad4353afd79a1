//! The configuration as written: one type per section, whose documentation is the reference that
//! `tollgate schema` hands out.
//!
//! Every field may be absent here, since a file with mistakes is still read to its end; what must not be
//! absent is `required` in the schema, which [`super::check`] holds the file against. Nothing that holds credentials
//! is `Debug`.

mod admin;
mod allowances;
mod counters;
mod credentials;
mod issuers;
mod keys;
mod payloads;
mod prices;
mod providers;
mod routes;
mod server;
mod store;
mod traces;

use std::{borrow::Cow, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema};
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::Value;

use tollgate_store::Kind;

use super::units;

pub(crate) use admin::Admin;
pub(crate) use allowances::{Budget, Limit, Raise, Scope, Then};
pub(crate) use counters::{Counters, WhenAway};
pub(crate) use credentials::{AuthAws, AuthEntra, AuthGoogle, AuthIbm, Aws, Entra, Google, Ibm};
pub(crate) use issuers::{Audience, CallerIssuer};
pub(crate) use keys::{Key, KeyRoutes};
pub(crate) use payloads::{Keep, KeepWord, Payloads};
pub(crate) use prices::{CONDITIONAL, Catalogue, Price};
pub(crate) use providers::{
    ApiKey, Auth, AuthRule, ChatInput, Provider, SpokenDialect, StreamEnd, StreamUsage, Timeouts,
};
pub(crate) use routes::{
    Choice, PromptItem, PromptTemplate, Retries, Route, Sticky, Strategy, StrategyRule,
};
pub(crate) use server::{Auto, Limits, Log, LogFormat, LogLevel, Runtime, Server, Workers};
pub(crate) use store::{Store, WhenFull};
pub(crate) use traces::Traces;

/// The configuration of a Tollgate gateway.
///
/// Any text may take its value from outside: `{{ env.NAME }}` anywhere in it, or `$NAME` or `file:PATH` as the whole
/// text. A text that starts with `$$` stands for one with a single `$`. Paths start at the configuration's folder.
/// Top-level keys that start with `x-` are left to you, for YAML anchors.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(title = "Tollgate", extend("patternProperties" = {"^x-": true}))]
pub(crate) struct File {
    /// Where the gateway listens, and the bounds it keeps towards its clients.
    pub(crate) server: Server,
    /// What is logged, and how.
    pub(crate) log: Log,
    /// Calls as traces.
    pub(crate) traces: Traces,
    /// Where the books are kept.
    pub(crate) store: Store,
    /// Which calls' payloads are kept.
    pub(crate) payloads: Payloads,
    /// Where limits and budgets are counted.
    pub(crate) counters: Counters,
    /// The administrative API.
    pub(crate) admin: Admin,
    /// Whether clients may ask for `provider/model` without a route. With `keys`, only keys that open all routes may.
    pub(crate) direct_use: bool,
    /// Who answers: services and their credentials.
    pub(crate) providers: Vec<Provider>,
    /// What clients may ask for by name.
    pub(crate) routes: Vec<Route>,
    /// How much may be used, in a time or at once.
    pub(crate) limits: Vec<Limit>,
    /// How much money may be spent in a time.
    pub(crate) budgets: Vec<Budget>,
    /// What models cost, where the prices that come with the program do not say so, or not what you pay.
    pub(crate) prices: Vec<Price>,
    /// Newer prices than those that come with the program.
    pub(crate) catalogue: Catalogue,
    /// Who issues tokens that callers may send instead of a key.
    pub(crate) issuers: Vec<CallerIssuer>,
    /// Who may ask. Without keys, anyone who reaches the gateway may, and it serves loopback addresses only.
    pub(crate) keys: Vec<Key>,
}

/// A time such as `5s`.
#[derive(Clone, Copy)]
pub(crate) struct Wait(pub(crate) Duration);

/// A size such as `32MiB`.
#[derive(Clone, Copy)]
pub(crate) struct Size(pub(crate) usize);

/// The JSON Schema of a limit, a budget or a price.
pub(crate) fn stored_shape(kind: Kind) -> Option<Value> {
    // Whole, wherever it is put.
    let settings =
        SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let mut generator = settings.into_generator();
    let mut shape = match kind {
        Kind::Limit => Limit::json_schema(&mut generator).to_value(),
        Kind::Budget => Budget::json_schema(&mut generator).to_value(),
        Kind::Price => Price::json_schema(&mut generator).to_value(),
        _ => return None,
    };
    without_required_null(&mut shape);
    Some(shape)
}

/// Takes `null` out of what a schema, or one in it, requires: what must be there may not be null either.
fn without_required_null(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            object.values_mut().for_each(without_required_null);
            let required = object.get("required").and_then(Value::as_array).cloned();
            let properties = object.get_mut("properties").and_then(Value::as_object_mut);
            let Some((required, properties)) = required.zip(properties) else {
                return;
            };
            for name in required.iter().filter_map(Value::as_str) {
                let Some(property) = properties.get_mut(name).and_then(Value::as_object_mut) else {
                    continue;
                };
                let kinds = property.get("type").and_then(Value::as_array);
                if let Some(first) = kinds.and_then(|kinds| kinds.first()).cloned() {
                    property.insert("type".to_owned(), first);
                }
                property.remove("default");
            }
        }
        Value::Array(items) => items.iter_mut().for_each(without_required_null),
        _ => {}
    }
}

/// The JSON Schema of the configuration.
pub(crate) fn schema() -> Value {
    let generator = SchemaGenerator::default();
    let mut schema = generator.into_root_schema_for::<File>().to_value();
    without_null(&mut schema);
    schema
}

/// Takes `null` out of a schema: an optional key is left out, or has nothing behind its colon.
fn without_null(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            object.values_mut().for_each(without_null);
            if object.get("default") == Some(&Value::Null) {
                object.remove("default");
            }
            if let Some(Value::Array(types)) = object.get_mut("type") {
                types.retain(|name| name != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    object.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(branches)) = object.get_mut("anyOf") {
                branches.retain(|branch| branch.get("type") != Some(&Value::from("null")));
                if let [Value::Object(only)] = branches.as_mut_slice() {
                    let only = std::mem::take(only);
                    object.remove("anyOf");
                    object.extend(only);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(without_null),
        _ => {}
    }
}

// === impl Wait ===

impl<'de> Deserialize<'de> for Wait {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        units::duration(&text)
            .map(Self)
            .ok_or_else(|| D::Error::custom("not a time"))
    }
}

impl JsonSchema for Wait {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Time".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": "tollgate-time",
            "pattern": "^\\s*([0-9.]+(ms|s|m|min|h|d)\\s*)+$",
            "examples": ["250ms", "5s", "10m"],
        })
    }
}

// === impl Size ===

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let text = value.as_str().map(str::to_owned);
        units::size(&text.unwrap_or_else(|| value.to_string()))
            .map(Self)
            .ok_or_else(|| D::Error::custom("not a size"))
    }
}

impl JsonSchema for Size {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "integer"],
            "format": "tollgate-size",
            "minimum": 1,
            "pattern": "^\\s*[0-9.]+\\s*(B|KB|kB|MB|GB|KiB|MiB|GiB)?\\s*$",
            "examples": ["64KiB", "32MiB"],
        })
    }
}
