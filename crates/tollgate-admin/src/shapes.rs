//! Shapes that the description gives to texts which mean something.

use schemars::{Schema, SchemaGenerator, json_schema};
use tollgate_domain::OUTCOMES;
use tollgate_store::Dimension;

/// What cannot be seen, as far as it has four digits: the categories Cc, Cf, Zl, Zp and Zs of Unicode 16, but for the space.
const UNSEEN: &str = r"\u0000-\u001f\u007f-\u00a0\u00ad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u2064\u2066-\u206f\u3000\ufeff\ufff9-\ufffb";

/// A name: see `plan::check_name`.
pub(crate) fn name(_: &mut SchemaGenerator) -> Schema {
    named_without("/")
}

fn named_without(signs: &str) -> Schema {
    json_schema!({
        "type": "string",
        "minLength": 1,
        "maxLength": 100,
        "pattern": format!("^(?!each$)(?! )(?!.* $)[^{signs}{UNSEEN}]+$"),
    })
}

/// A key's name: it is no name of a caller with a token, as in `login:ann`.
pub(crate) fn key_name(_: &mut SchemaGenerator) -> Schema {
    named_without("/:")
}

/// A date or a time: see `resources::parse_moment`.
pub(crate) fn time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "anyOf": [
            {"type": "string", "format": "date"},
            {"type": "string", "format": "date-time"},
        ],
    })
}

/// The same, or null for never.
pub(crate) fn end(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "anyOf": [
            {"type": "string", "format": "date"},
            {"type": "string", "format": "date-time"},
            {"type": "null"},
        ],
    })
}

/// Models: see `tollgate_domain::ModelPattern`.
pub(crate) fn models(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": ["array", "null"],
        "items": {"type": "string", "pattern": r"^([^*\s\u0000-\u001f\u007f-\u009f]+\*?|\*)$"},
    })
}

/// Paths: see `tollgate_domain::PathPattern`.
pub(crate) fn paths(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": ["array", "null"],
        "items": {"type": "string", "pattern": "^/[^*?#]*\\*?$"},
    })
}

/// Networks and single addresses: see `tollgate_domain::parse_network`.
pub(crate) fn networks(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": ["array", "null"],
        "items": {"anyOf": [
            {"type": "string", "format": "ipv4"},
            {"type": "string", "format": "ipv6"},
            {"type": "string", "pattern": "^((25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])(\\.(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])){3}/(3[0-2]|[12]?[0-9]))$"},
            {"type": "string", "pattern": "^[0-9a-f]{1,4}(:[0-9a-f]{1,4}){7}/(12[0-8]|1[01][0-9]|[1-9]?[0-9])$"},
        ]},
    })
}

/// What usage is told apart by: see `books::usage`.
pub(crate) fn dimensions(_: &mut SchemaGenerator) -> Schema {
    let word = Dimension::ALL.map(Dimension::as_str).join("|");
    json_schema!({"type": "string", "pattern": format!("^({word})(,({word}))*$")})
}

/// How calls may end: see `books::check_outcome`.
pub(crate) fn outcome(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "enum": OUTCOMES})
}
