//! The last touch to a body for a provider that spells fields of OpenAI's otherwise. Their values keep their bytes.

use bytes::Bytes;
use serde_json::{Map, Value};
use tollgate_domain::Spelling;

use super::Head;

impl Head {
    /// The body of this head, spelt as a provider wants it. A field that is there in both spellings is taken in OpenAI's. `operators`
    /// are the fields that the operator gave the provider.
    pub fn spelt(
        &self,
        spelling: &[(&str, Spelling)],
        operators: &Map<String, Value>,
        body: &Bytes,
    ) -> Bytes {
        let named: Vec<Option<&str>> = self
            .fields
            .iter()
            .map(|field| {
                let rule = spelling.iter().find(|(name, _)| *name == &*field.name);
                let is_text = body[field.value.clone()].starts_with(b"\"");
                match rule.map(|(_, spelling)| spelling) {
                    Some(Spelling::LeftOut | Spelling::Operators) => None,
                    Some(Spelling::As(name)) => Some(*name),
                    Some(Spelling::TextAs(name)) if is_text => Some(*name),
                    Some(Spelling::TextAs(_)) | None => Some(&*field.name),
                }
            })
            .collect();
        let is_respelt = |name: &str| {
            let mut fields = self.fields.iter().zip(&named);
            fields.any(|(field, named)| *named == Some(name) && &*field.name != name)
        };
        let mut spelt = Vec::with_capacity(body.len() + 32);
        for (field, named) in self.fields.iter().zip(&named) {
            let Some(name) = named else { continue };
            if *name == &*field.name && is_respelt(name) {
                continue;
            }
            spelt.push(if spelt.is_empty() { b'{' } else { b',' });
            spelt.extend_from_slice(Value::from(*name).to_string().as_bytes());
            spelt.push(b':');
            spelt.extend_from_slice(&body[field.value.clone()]);
        }
        for (name, _) in spelling
            .iter()
            .filter(|(_, how)| *how == Spelling::Operators)
        {
            let Some(value) = operators.get(*name) else {
                continue;
            };
            spelt.push(if spelt.is_empty() { b'{' } else { b',' });
            spelt.extend_from_slice(format!("{}:{value}", Value::from(*name)).as_bytes());
        }
        if spelt.is_empty() {
            spelt.push(b'{');
        }
        spelt.push(b'}');
        Bytes::from(spelt)
    }
}

#[cfg(test)]
mod tests {
    use tollgate_domain::Dialect;

    use super::*;
    use crate::HeadLimits;

    const SPELLING: &[(&str, Spelling)] = &[
        ("model", Spelling::As("model_id")),
        ("tool_choice", Spelling::TextAs("tool_choice_option")),
        ("stream", Spelling::LeftOut),
        ("project_id", Spelling::Operators),
        ("space_id", Spelling::Operators),
    ];

    fn spelt(body: &str) -> String {
        spelt_with(&Map::new(), body)
    }

    fn spelt_with(operators: &Map<String, Value>, body: &str) -> String {
        let body = Bytes::copy_from_slice(body.as_bytes());
        let limits = HeadLimits { depth_max: 8 };
        let head = Head::scan(Dialect::OpenaiChat, &body, limits).unwrap();
        let spelt = head.spelt(SPELLING, operators, &body);
        Head::scan(Dialect::OpenaiChat, &spelt, limits).unwrap();
        String::from_utf8(spelt.to_vec()).unwrap()
    }

    #[test]
    fn fields_are_spelt_otherwise_and_values_keep_their_bytes() {
        assert_eq!(
            spelt(r#" { "model" : "m", "stream": true, "n" : 1.50, "tool_choice": "auto" } "#),
            r#"{"model_id":"m","n":1.50,"tool_choice_option":"auto"}"#
        );
        assert_eq!(
            spelt(r#"{"tool_choice": {"type": "function"}}"#),
            r#"{"tool_choice":{"type": "function"}}"#
        );
        assert_eq!(spelt(r#"{"stream":false}"#), "{}");
        assert_eq!(spelt("{}"), "{}");
    }

    #[test]
    fn what_is_the_operators_is_not_the_callers() {
        let operators = Map::from_iter([("project_id".to_owned(), Value::from("p"))]);
        let spelt = |body| spelt_with(&operators, body);
        assert_eq!(
            spelt(r#"{"n":1,"project_id":"x","space_id":"y"}"#),
            r#"{"n":1,"project_id":"p"}"#
        );
        assert_eq!(spelt("{}"), r#"{"project_id":"p"}"#);
    }

    #[test]
    fn no_field_is_there_twice() {
        for body in [
            r#"{"model":"m","model_id":"x"}"#,
            r#"{"model_id":"x","model":"m"}"#,
        ] {
            assert_eq!(spelt(body), r#"{"model_id":"m"}"#);
        }
        assert_eq!(spelt(r#"{"model_id":"x"}"#), r#"{"model_id":"x"}"#);
        assert_eq!(
            spelt(r#"{"tool_choice":{"a":1},"tool_choice_option":"auto"}"#),
            r#"{"tool_choice":{"a":1},"tool_choice_option":"auto"}"#
        );
    }
}
