//! Whether two JSON values mean the same: members in any order, `null` the same as absent, numbers by value.

use serde_json::Value;

/// Where two values first differ, and how; `None` where they mean the same.
pub fn difference(left: &Value, right: &Value) -> Option<String> {
    difference_at("", left, right)
}

fn difference_at(path: &str, left: &Value, right: &Value) -> Option<String> {
    match (left, right) {
        (Value::Object(left), Value::Object(right)) => {
            let names = left
                .keys()
                .chain(right.keys().filter(|name| !left.contains_key(*name)));
            names.into_iter().find_map(|name| {
                let of = |object: &serde_json::Map<String, Value>| {
                    object.get(name).cloned().unwrap_or(Value::Null)
                };
                difference_at(&format!("{path}.{name}"), &of(left), &of(right))
            })
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => left
            .iter()
            .zip(right)
            .enumerate()
            .find_map(|(index, (left, right))| {
                difference_at(&format!("{path}[{index}]"), left, right)
            }),
        (Value::Number(left), Value::Number(right)) if left.as_f64() == right.as_f64() => None,
        _ if left == right => None,
        _ => Some(format!(
            "at {}: {} is not {}",
            if path.is_empty() { "the top" } else { path },
            shorten(left),
            shorten(right)
        )),
    }
}

fn shorten(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(300) {
        None => text,
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn order_null_and_notation_make_no_difference() {
        assert_eq!(
            difference(&json!({"a": 1, "b": null}), &json!({"a": 1.0})),
            None
        );
        assert_eq!(
            difference(
                &json!({"a": [1, {"b": 2}]}),
                &json!({"a": [1, {"b": 2, "c": null}]})
            ),
            None
        );
    }

    #[test]
    fn the_place_of_a_difference_is_told() {
        let told = difference(&json!({"a": [1, {"b": 2}]}), &json!({"a": [1, {"b": 3}]}));
        assert_eq!(told.as_deref(), Some("at .a[1].b: 2 is not 3"));
        assert!(difference(&json!([1]), &json!([1, 2])).is_some());
    }
}
