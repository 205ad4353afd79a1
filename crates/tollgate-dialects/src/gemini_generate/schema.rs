//! Schemas: Gemini's `Schema`, a subset of OpenAPI's (<https://ai.google.dev/api/caching#Schema>, read 2026-11), and JSON Schema.

use serde_json::{Map, Value, json};

/// Names of a `Schema` whose value is a number, which may be written as a text.
const NUMBERS: [&str; 6] = [
    "maxItems",
    "minItems",
    "maxProperties",
    "minProperties",
    "maxLength",
    "minLength",
];

/// Reads a `Schema` as JSON Schema: types in small letters, and `nullable` as a type.
pub(super) fn to_json_schema(schema: Value) -> Value {
    let Value::Object(members) = schema else {
        return schema;
    };
    let mut read = Map::new();
    let mut nullable = false;
    for (name, value) in members {
        match (camel_keyword(&name), value) {
            ("nullable", Value::Bool(is)) => nullable = is,
            ("type", Value::String(word)) if word == "TYPE_UNSPECIFIED" => {}
            ("type", Value::String(word)) => {
                read.insert(name, Value::String(word.to_ascii_lowercase()));
            }
            ("properties", Value::Object(properties)) => {
                let properties = properties.into_iter();
                let properties = properties.map(|(name, value)| (name, to_json_schema(value)));
                read.insert(name, Value::Object(properties.collect()));
            }
            ("items", value) => {
                read.insert(name, to_json_schema(value));
            }
            ("anyOf", Value::Array(several)) => {
                let several = several.into_iter().map(to_json_schema);
                read.insert("anyOf".to_owned(), several.collect());
            }
            (keyword, Value::String(text)) if NUMBERS.contains(&keyword) => {
                let number = text.parse::<u64>().map_or(json!(text), Value::from);
                read.insert(keyword.to_owned(), number);
            }
            (keyword, value) => {
                read.insert(keyword.to_owned(), value);
            }
        }
    }
    if nullable {
        allow_null(&mut read);
    }
    Value::Object(read)
}

/// The keywords of a `Schema` that have two words, in the one spelling that JSON Schema knows.
fn camel_keyword(name: &str) -> &str {
    match name {
        "any_of" => "anyOf",
        "max_items" => "maxItems",
        "min_items" => "minItems",
        "max_properties" => "maxProperties",
        "min_properties" => "minProperties",
        "max_length" => "maxLength",
        "min_length" => "minLength",
        "property_ordering" => "propertyOrdering",
        name => name,
    }
}

fn allow_null(schema: &mut Map<String, Value>) {
    if let Some(kind @ Value::String(_)) = schema.get("type").cloned() {
        schema.insert("type".to_owned(), json!([kind, "null"]));
    } else if let Some(Value::Array(several)) = schema.get_mut("anyOf") {
        several.push(json!({"type": "null"}));
    }
}

/// Whether a JSON Schema is a `Schema` as well, whose every word means there what it means here. All others are given as what they
/// are, under a name of their own.
pub(super) fn is_plain(schema: &Value) -> bool {
    let Value::Object(members) = schema else {
        return false;
    };
    members.contains_key("type")
        && members
            .iter()
            .all(|(name, value)| is_plain_member(name, value, members))
}

fn is_plain_member(name: &str, value: &Value, schema: &Map<String, Value>) -> bool {
    match name {
        "type" => value.as_str().is_some_and(|word| {
            ["string", "number", "integer", "boolean", "array", "object"].contains(&word)
        }),
        // Other formats of texts are refused.
        "format" => match schema.get("type").and_then(Value::as_str) {
            Some("string") => value == "date-time" || value == "enum",
            Some("integer") => value == "int32" || value == "int64",
            Some("number") => value == "float" || value == "double",
            _ => false,
        },
        "enum" => value.as_array().is_some_and(|words| {
            words
                .iter()
                .all(|word| word.as_str() != Some("") && word.is_string())
        }),
        // An object without properties is refused.
        "properties" => value
            .as_object()
            .is_some_and(|properties| !properties.is_empty() && properties.values().all(is_plain)),
        "items" => is_plain(value),
        "description" | "title" | "pattern" => value.is_string(),
        "required" | "propertyOrdering" => value.is_array(),
        "minimum" | "maximum" => value.is_number(),
        "minItems" | "maxItems" | "minLength" | "maxLength" => value.is_u64(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_of_googles_is_read_as_json_schema() {
        let schema = json!({
            "type": "OBJECT", "properties": {
                "type": {"type": "STRING", "nullable": true, "max_length": "5"},
                "list": {"type": "ARRAY", "items": {"type": "INTEGER", "format": "int32"}, "minItems": "1"},
                "either": {"any_of": [{"type": "STRING"}, {"type": "NUMBER"}], "nullable": true},
            }, "required": ["type"], "property_ordering": ["type", "list"],
        });
        let expected = json!({
            "type": "object", "properties": {
                "type": {"type": ["string", "null"], "maxLength": 5},
                "list": {"type": "array", "items": {"type": "integer", "format": "int32"}, "minItems": 1},
                "either": {"anyOf": [{"type": "string"}, {"type": "number"}, {"type": "null"}]},
            }, "required": ["type"], "propertyOrdering": ["type", "list"],
        });
        assert_eq!(to_json_schema(schema), expected);
    }

    #[test]
    fn what_googles_schema_cannot_say_is_no_plain_schema() {
        let with = |member: Value| {
            let property = json!({"type": "object", "properties": {"a": member}});
            is_plain(&property)
        };
        for plain in [
            json!({"type": "string", "enum": ["a"], "description": "d"}),
            json!({"type": "array", "items": {"type": "number"}, "maxItems": 2}),
            json!({"type": "string", "format": "date-time"}),
        ] {
            assert!(with(plain.clone()), "{plain}");
        }
        for beyond in [
            json!({"$ref": "#/$defs/a"}),
            json!({"type": ["string", "null"]}),
            json!({"type": "object", "additionalProperties": false}),
            json!({"type": "object", "properties": {}}),
            json!({"anyOf": [{"type": "string"}]}),
            json!({"type": "string", "format": "uri"}),
            json!({"type": "integer", "enum": [1]}),
            json!({"type": "string", "const": "a"}),
            json!(true),
        ] {
            assert!(!with(beyond.clone()), "{beyond}");
        }
    }
}
