//! The description of the API, as `OpenAPI` 3.1, made of the same table as its routes and of the types that read what is sent.

use std::sync::Arc;

use axum::{Json, extract::State};
use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};
use tollgate_store::Kind;

use crate::{
    Admin,
    books::{AuditAsked, CallsAsked, UsageAsked},
    keys::{KeyBody, KeyChange, Rotation},
    plan,
    resources::{COLLECTIONS, Page, REQUEST_KEY_MAX},
    users::NewToken,
};

/// An operation of a path.
struct Operation {
    method: &'static str,
    path: String,
    id: String,
    summary: String,
    /// The shape of its query string.
    query: Option<Schema>,
    /// The shape of its body.
    body: Option<Value>,
    /// The status of success, and what it holds.
    success: (&'static str, &'static str),
    /// Whether it takes `If-Match`.
    is_versioned: bool,
    /// Whether it takes an `Idempotency-Key`.
    is_done_once: bool,
}

pub(crate) async fn serve(State(admin): State<Arc<Admin>>) -> Json<Value> {
    Json(describe(admin.around.shapes))
}

pub(crate) fn describe(shapes: fn(Kind) -> Option<Value>) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
    });
    let mut generator = settings.into_generator();
    let mut paths: Map<String, Value> = Map::new();
    for operation in operations(&mut generator, shapes) {
        let path = paths
            .entry(operation.path.clone())
            .or_insert_with(|| json!({}));
        path[operation.method] = operation.describe();
    }
    let mut schemas = generator.take_definitions(true);
    schemas.insert("Problem".to_owned(), problem());
    schemas.insert(
        "Item".to_owned(),
        json!({"type": "object", "description": "What was sent, with `id`, `version` and times."}),
    );
    schemas.insert("List".to_owned(), json!({
        "type": "object",
        "required": ["items"],
        "properties": {
            "items": {"type": "array", "items": {"type": "object"}},
            "next": {"type": ["string", "null"], "description": "Where the next page begins: its `after`."},
        },
    }));
    schemas.insert("Usage".to_owned(), usage());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Tollgate, administration",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Organisations, teams, apps, users, keys, limits, budgets and prices; usage, calls, the audit and the configuration.",
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    })
}

fn operations(
    generator: &mut SchemaGenerator,
    shapes: fn(Kind) -> Option<Value>,
) -> Vec<Operation> {
    let mut operations = Vec::new();
    for (kind, plural) in COLLECTIONS {
        let word = kind.as_str();
        let a = if word.starts_with(['a', 'o']) {
            "an"
        } else {
            "a"
        };
        let body = plan::shape(kind, generator)
            .map(Schema::to_value)
            .or_else(|| shapes(kind).map(|shape| named(shape, generator)));
        let all = format!("/api/v1/{plural}");
        let one = format!("{all}/{{id}}");
        operations.extend([
            operation(
                "get",
                &all,
                &format!("list_{plural}"),
                &format!("Lists {plural}"),
            )
            .asking::<Page>(generator)
            .giving("200", "List"),
            operation(
                "post",
                &all,
                &format!("make_{word}"),
                &format!("Makes {a} {word}"),
            )
            .taking(body.clone())
            .giving("201", "Item"),
            operation(
                "get",
                &one,
                &format!("see_{word}"),
                &format!("Shows {a} {word}"),
            ),
            operation(
                "put",
                &one,
                &format!("replace_{word}"),
                &format!("Gives {a} {word} other words"),
            )
            .taking(body)
            .versioned(),
            operation(
                "delete",
                &one,
                &format!("remove_{word}"),
                &format!("Removes {a} {word}"),
            )
            .versioned()
            .giving("204", ""),
        ]);
    }
    let mut shape = |schema: fn(&mut SchemaGenerator) -> Schema| Some(schema(generator).to_value());
    let (key, change, rotation, token) = (
        shape(KeyBody::json_schema),
        shape(KeyChange::json_schema),
        shape(Rotation::json_schema),
        shape(NewToken::json_schema),
    );
    operations.extend([
        operation(
            "get",
            "/api/v1/users/{id}/tokens",
            "list_tokens",
            "Lists a user's tokens",
        )
        .asking::<Page>(generator)
        .giving("200", "List"),
        operation(
            "post",
            "/api/v1/users/{id}/tokens",
            "make_token",
            "Makes a token, which is shown once",
        )
        .taking(token)
        .giving("201", "Item"),
        operation(
            "delete",
            "/api/v1/users/{id}/tokens/{token}",
            "remove_token",
            "Removes a token",
        )
        .versioned()
        .giving("204", ""),
        operation("get", "/api/v1/keys", "list_keys", "Lists keys")
            .asking::<Page>(generator)
            .giving("200", "List"),
        operation(
            "post",
            "/api/v1/keys",
            "make_key",
            "Makes a key, whose secret is shown once",
        )
        .taking(key)
        .giving("201", "Item"),
        operation("get", "/api/v1/keys/{id}", "see_key", "Shows a key"),
        operation(
            "put",
            "/api/v1/keys/{id}",
            "replace_key",
            "Gives a key other routes and another end",
        )
        .taking(change)
        .versioned(),
        operation(
            "delete",
            "/api/v1/keys/{id}",
            "remove_key",
            "Removes a key for good",
        )
        .versioned()
        .giving("204", ""),
        operation(
            "post",
            "/api/v1/keys/{id}/rotate",
            "rotate_key",
            "Gives a key another secret, which is shown once",
        )
        .taking(rotation)
        .versioned()
        .done_once(),
        operation(
            "post",
            "/api/v1/keys/{id}/block",
            "block_key",
            "Blocks a key",
        )
        .versioned(),
        operation(
            "post",
            "/api/v1/keys/{id}/unblock",
            "unblock_key",
            "Unblocks a key",
        )
        .versioned(),
        operation(
            "get",
            "/api/v1/usage",
            "sum_usage",
            "Sums what was used and what it cost",
        )
        .asking::<UsageAsked>(generator)
        .giving("200", "Usage"),
        operation(
            "get",
            "/api/v1/targets",
            "list_targets",
            "Tells the models that routes may ask, and what they cost",
        )
        .giving("200", "List"),
        operation(
            "get",
            "/api/v1/spending",
            "list_spending",
            "Tells what was used of limits and budgets, and what that comes to at this pace",
        )
        .giving("200", "List"),
        operation(
            "get",
            "/api/v1/calls/{id}",
            "see_call",
            "Tells one call, with what was asked and answered where that is kept",
        ),
        operation(
            "get",
            "/api/v1/calls",
            "list_calls",
            "Finds calls, the newest first",
        )
        .asking::<CallsAsked>(generator)
        .giving("200", "List"),
        operation(
            "get",
            "/api/v1/audit",
            "list_audit",
            "Lists administrative changes, the newest first",
        )
        .asking::<AuditAsked>(generator)
        .giving("200", "List"),
        operation(
            "get",
            "/api/v1/configuration",
            "see_configuration",
            "Shows the configuration, without secrets",
        ),
        operation("get", "/api/v1/me", "see_me", "Shows who is asking"),
        operation(
            "get",
            "/api/v1/openapi.json",
            "describe",
            "Gives this description",
        ),
    ]);
    operations
}

/// A shape of the program's, in whose words names are less strict than here.
fn named(mut shape: Value, generator: &mut SchemaGenerator) -> Value {
    if let Some(name) = shape["properties"].get_mut("name") {
        let description = name["description"].take();
        *name = crate::shapes::name(generator).to_value();
        name["description"] = description;
    }
    shape
}

fn operation(method: &'static str, path: &str, id: &str, summary: &str) -> Operation {
    Operation {
        method,
        path: path.to_owned(),
        id: id.to_owned(),
        summary: summary.to_owned(),
        query: None,
        body: None,
        success: ("200", "Item"),
        is_versioned: false,
        is_done_once: false,
    }
}

impl Operation {
    fn asking<T: JsonSchema>(mut self, generator: &mut SchemaGenerator) -> Self {
        self.query = Some(T::json_schema(generator));
        self
    }

    fn taking(mut self, body: Option<Value>) -> Self {
        self.body = body;
        self
    }

    fn giving(mut self, status: &'static str, schema: &'static str) -> Self {
        self.success = (status, schema);
        self
    }

    fn done_once(mut self) -> Self {
        self.is_done_once = true;
        self
    }

    fn versioned(mut self) -> Self {
        self.is_versioned = true;
        self
    }

    fn describe(&self) -> Value {
        let mut parameters: Vec<Value> = self
            .path
            .split('/')
            .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
            .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string", "minLength": 1}}))
            .collect();
        let query = self
            .query
            .as_ref()
            .and_then(|query| query.get("properties")?.as_object());
        for (name, schema) in query.into_iter().flatten() {
            let mut schema = schema.clone();
            let description = schema
                .as_object_mut()
                .and_then(|schema| schema.remove("description"));
            parameters.push(
                json!({"name": name, "in": "query", "description": description, "schema": schema}),
            );
        }
        if self.is_versioned {
            parameters.push(json!({"name": "If-Match", "in": "header", "description": "The ETag that was looked at.", "schema": {"type": "string"}}));
        }
        if self.success.0 == "201" || self.is_done_once {
            parameters.push(json!({"name": "Idempotency-Key", "in": "header", "description": "Whoever sends the same request again with it gets the same answer.", "schema": {"type": "string", "maxLength": REQUEST_KEY_MAX, "pattern": "^[ -~]*[!-~][ -~]*$"}}));
        }
        let mut responses = Map::new();
        let (status, schema) = self.success;
        let mut success = json!({"description": "Done."});
        if !schema.is_empty() {
            success["content"] = json!({"application/json": {"schema": {"$ref": format!("#/components/schemas/{schema}")}}});
        }
        if self.id == "list_calls" {
            for lines in ["application/jsonl", "text/csv"] {
                success["content"][lines] = json!({"schema": {"type": "string"}});
            }
            success["content"]["application/vnd.apache.parquet"] =
                json!({"schema": {"type": "string", "format": "binary"}});
        }
        responses.insert(status.to_owned(), success);
        let problem = json!({
            "description": "Not done, and why.",
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
        });
        responses.insert("default".to_owned(), problem);
        let mut told = json!({
            "operationId": self.id,
            "summary": self.summary,
            "parameters": parameters,
            "responses": responses,
        });
        if self.id == "describe" {
            // It tells nothing that is anybody's.
            told["security"] = json!([]);
        }
        if let Some(body) = &self.body {
            // Where nothing has to be said, nothing has to be sent.
            let is_required = body["required"].is_array();
            told["requestBody"] =
                json!({"required": is_required, "content": {"application/json": {"schema": body}}});
        }
        told
    }
}

fn usage() -> Value {
    json!({
        "type": "object",
        "required": ["items"],
        "properties": {"items": {"type": "array", "items": {
            "type": "object",
            "description": "A sum, with a member for each word of `by`.",
            "required": [
                "calls", "input_tokens", "output_tokens", "cost_dollars", "calls_of_unknown_cost", "unknown_cost_at_most_dollars",
            ],
            "properties": {
                "calls": {"type": "integer"},
                "input_tokens": {"type": "integer"},
                "output_tokens": {"type": "integer"},
                "cost_dollars": {
                    "type": ["string", "null"],
                    "description": "What the calls cost, as far as that is known; null where it is known of none of them.",
                },
                "calls_of_unknown_cost": {"type": "integer"},
                "unknown_cost_at_most_dollars": {
                    "type": "string",
                    "description": "What those calls cost at most, as far as even that is known.",
                },
            },
            "additionalProperties": {"type": ["string", "null"]},
        }}},
    })
}

fn problem() -> Value {
    json!({
        "type": "object",
        "required": ["title", "status", "code", "detail"],
        "properties": {
            "type": {"type": "string"},
            "title": {"type": ["string", "null"]},
            "status": {"type": "integer"},
            "code": {"type": "string", "description": "The same for the same reason, for programs."},
            "detail": {"type": "string", "description": "For people."},
        },
    })
}
