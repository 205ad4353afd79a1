//! The name of a configuration's content.

use serde_json::Value;
use sha2::{Digest, Sha256};
use tollgate_domain::Revision;

use super::{secrets, tree::Node};

/// The first 12 hex digits of the SHA-256 of what is configured, with keys in order and secrets left out: comments,
/// order, form and rotated credentials make no difference.
pub(crate) fn of(root: &Node) -> Revision {
    let text = canonical(&secrets::public_json(root)).to_string();
    let hash = Sha256::digest(text.as_bytes());
    let digits = hash.iter().take(6).map(|byte| format!("{byte:02x}"));
    Revision::new(digits.collect::<String>())
}

/// The same with its keys in order.
fn canonical(value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            let mut entries: Vec<_> = object.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            let sorted = entries
                .into_iter()
                .map(|(key, value)| (key.clone(), canonical(value)));
            Value::Object(sorted.collect())
        }
        Value::Array(items) => items.iter().map(canonical).collect(),
        scalar => scalar.clone(),
    }
}
