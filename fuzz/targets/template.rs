//! Prompt templates, filled in from the body of a call: the input is a template, then a NUL, then the body.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::json;
use tollgate_domain::Prompt;
use tollgate_proxy::prompts::{Rendered, Template, check};

/// What a rendering may give at most, with what JSON needs around it.
const OUTPUT_BYTES_MAX: usize = 1 << 20;

fuzz_target!(|input: &str| {
    let (template, body) = input.split_once('\0').unwrap_or((input, ""));
    let compiled = Template::compile(&Prompt::Text(template.into()));
    assert_eq!(compiled.is_ok(), check(template).is_ok());
    let Ok(compiled) = compiled else { return };
    let body = serde_json::from_str(body).unwrap_or_else(|_| default_body());
    let Some(body) = body.as_object() else { return };
    if let Ok(Rendered::Text(text)) = compiled.render(body) {
        assert!(text.len() <= OUTPUT_BYTES_MAX);
    }
});

fn default_body() -> serde_json::Value {
    json!({"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}], "city": "b", "n": 3})
}
