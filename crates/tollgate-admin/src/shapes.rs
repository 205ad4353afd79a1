//! Shapes that the description gives to texts which mean something.

use schemars::{Schema, SchemaGenerator, json_schema};
use tollgate_store::Dimension;

/// A name: see `plan::check_name`.
pub(crate) fn name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "minLength": 1,
        "maxLength": 100,
        "pattern": r"^(?!each$)(?=.*\S)[^/\u0000-\u001f\u007f-\u009f]+$",
    })
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

/// What usage is told apart by: see `books::usage`.
pub(crate) fn dimensions(_: &mut SchemaGenerator) -> Schema {
    let word = Dimension::ALL.map(Dimension::as_str).join("|");
    json_schema!({"type": "string", "pattern": format!("^({word})(,({word}))*$")})
}
