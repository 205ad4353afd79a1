//! What is found in bodies, what is refused, and what edits leave alone.

use proptest::prelude::*;
use serde_json::json;

use super::*;

const LIMITS: HeadLimits = HeadLimits { depth_max: 8 };

fn scan(dialect: Dialect, body: &str) -> Result<Head, ReadError> {
    Head::scan(dialect, &Bytes::copy_from_slice(body.as_bytes()), LIMITS)
}

fn chat(body: &str) -> Result<Head, ReadError> {
    scan(Dialect::OpenaiChat, body)
}

/// The body with edits made, which has to be valid again.
fn edited(body: &str, edits: Edits<'_>) -> String {
    let head = chat(body).unwrap();
    let edited = edits.apply(&head, &Bytes::copy_from_slice(body.as_bytes()));
    let edited = String::from_utf8(edited.to_vec()).unwrap();
    chat(&edited).unwrap();
    edited
}

fn map(value: Value) -> Map<String, Value> {
    serde_json::from_value(value).unwrap()
}

const NOTHING: Edits<'static> = Edits {
    model: ModelEdit::Keep,
    defaults: &[],
    ask_usage: false,
};

#[test]
fn finds_what_the_gateway_needs() {
    let head = chat(
        r#" {"model": "a\u0062c", "stream": true, "stream_options": {"include_usage": true}, "user": "u",
            "temperature": 1, "top_p": 0.5, "max_completion_tokens": 7, "messages": [[]]} "#,
    );
    let head = head.unwrap();
    assert_eq!(
        (head.model.as_deref(), head.user.as_deref()),
        (Some("abc"), Some("u"))
    );
    assert_eq!((head.stream, head.include_usage), (true, true));
    assert_eq!(
        (head.temperature, head.top_p, head.max_tokens),
        (Some(1.0), Some(0.5), Some(7))
    );
    let head = scan(
        Dialect::AnthropicMessages,
        r#"{"metadata": {"user_id": "u"}, "model": null}"#,
    )
    .unwrap();
    assert_eq!(
        (head.model, head.user.as_deref(), head.include_usage),
        (None, Some("u"), true)
    );
}

#[test]
fn a_fields_place_is_that_of_its_value() {
    let body = r#"{"a":1, "b" : [ "x" ] }"#;
    let head = chat(body).unwrap();
    assert_eq!(&body.as_bytes()[head.field("b").unwrap()], br#"[ "x" ]"#);
    assert_eq!(head.field("c"), None);
}

#[test]
fn refuses_what_two_readers_could_read_differently() {
    assert_eq!(
        chat(r#"{"model": "a", "mod\u0065l": "b"}"#).unwrap_err(),
        ReadError::shape("model", "appears twice; leave one of them out")
    );
    for body in [
        "",
        "{",
        "[]",
        "\"a\"",
        "{}{}",
        "{\"a\":1,}",
        "{\"a\":01}",
        "nul",
        "{'a':1}",
    ] {
        assert!(chat(body).is_err(), "{body}");
    }
    assert!(
        Head::scan(
            Dialect::OpenaiChat,
            &Bytes::from_static(b"{\"a\":\"\xff\"}"),
            LIMITS
        )
        .is_err()
    );
}

#[test]
fn says_what_would_be_right() {
    assert_eq!(
        chat(r#"{"model": 7}"#).unwrap_err().to_string(),
        "model: must be a text"
    );
    assert_eq!(
        chat(r#"{"stream": "true"}"#).unwrap_err().to_string(),
        "stream: must be true or false"
    );
}

#[test]
fn depth_is_bounded_and_brackets_in_texts_do_not_count() {
    assert!(chat(&format!(r#"{{"a": {}{}}}"#, "[".repeat(7), "]".repeat(7))).is_ok());
    assert_eq!(
        chat(&format!(r#"{{"a": {}"#, "[".repeat(100_000))).unwrap_err(),
        ReadError::TooDeep(8)
    );
    assert!(chat(&format!(r#"{{"a": "\"{}"}}"#, "[".repeat(100))).is_ok());
}

#[test]
fn an_untouched_body_is_the_same_bytes() {
    let body = Bytes::from_static(br#"{"model":"a","x":1}"#);
    let head = Head::scan(Dialect::OpenaiChat, &body, LIMITS).unwrap();
    let edits = Edits {
        model: ModelEdit::Set("a"),
        ..NOTHING
    };
    assert_eq!(edits.apply(&head, &body).as_ptr(), body.as_ptr());
}

#[test]
fn the_model_is_set_in_place() {
    let set = |body| {
        edited(
            body,
            Edits {
                model: ModelEdit::Set("x\"y"),
                ..NOTHING
            },
        )
    };
    assert_eq!(
        set(r#"{ "n" : 1.50,"model" :  "a" , "b":{}}"#),
        r#"{ "n" : 1.50,"model" :  "x\"y" , "b":{}}"#
    );
    assert_eq!(set(r#"{"n":1}"#), r#"{"n":1,"model":"x\"y"}"#);
    assert_eq!(set("{ }"), r#"{"model":"x\"y" }"#);
}

#[test]
fn the_model_is_removed_with_its_comma() {
    let without = |body| {
        edited(
            body,
            Edits {
                model: ModelEdit::Remove,
                ..NOTHING
            },
        )
    };
    assert_eq!(without(r#"{"model":"a"}"#), "{}");
    assert_eq!(without(r#"{"model":"a" , "b":1}"#), r#"{ "b":1}"#);
    assert_eq!(without(r#"{"b":1,"model":"a"}"#), r#"{"b":1}"#);
    assert_eq!(
        without(r#"{"b":1, "model":"a", "c":2}"#),
        r#"{"b":1, "c":2}"#
    );
    let defaults = map(json!({"t": 1}));
    let edits = Edits {
        model: ModelEdit::Remove,
        defaults: &[&defaults],
        ..NOTHING
    };
    assert_eq!(edited(r#"{"model":"a"}"#, edits), r#"{"t":1}"#);
}

#[test]
fn a_default_has_the_name_that_the_dialect_has_for_it() {
    let (one, other) = (map(json!({"top_p": 0.5})), map(json!({"top_p": 0.1})));
    for (body, expected) in [
        (r#"{"k": 1}"#, r#"{"k": 1,"p":0.5}"#),
        (r#"{"p": 1}"#, r#"{"p": 1}"#),
    ] {
        let head = scan(Dialect::CohereChat, body).unwrap();
        let edits = Edits {
            defaults: &[&one, &other],
            ..NOTHING
        };
        assert_eq!(edits.apply(&head, &Bytes::from(body)), expected);
    }
}

#[test]
fn defaults_fill_gaps_only_and_the_first_map_wins() {
    let first = map(json!({"temperature": 0.5, "max_tokens": 10, "model": "no", "stream": true}));
    let second = map(json!({"temperature": 0.9, "top_p": 0.1, "max_completion_tokens": 20}));
    let with = |body| {
        edited(
            body,
            Edits {
                defaults: &[&first, &second],
                ..NOTHING
            },
        )
    };
    assert_eq!(
        with("{}"),
        r#"{"temperature":0.5,"max_tokens":10,"top_p":0.1}"#
    );
    assert_eq!(
        with(r#"{"temperature":0,"max_completion_tokens":5,"top_p":null}"#),
        r#"{"temperature":0,"max_completion_tokens":5,"top_p":0.1}"#
    );
}

#[test]
fn usage_is_asked_for_in_streams_only() {
    let asks = |body| {
        edited(
            body,
            Edits {
                ask_usage: true,
                ..NOTHING
            },
        )
    };
    assert_eq!(asks(r#"{"stream":false}"#), r#"{"stream":false}"#);
    assert_eq!(
        asks(r#"{"stream":true}"#),
        r#"{"stream":true,"stream_options":{"include_usage":true}}"#
    );
    assert_eq!(
        asks(r#"{"stream_options":{"include_usage":false,"x":1},"stream":true}"#),
        r#"{"stream_options":{"include_usage":true,"x":1},"stream":true}"#
    );
    let defaults = map(json!({"stream_options": {"x": 1}}));
    let edits = Edits {
        ask_usage: true,
        defaults: &[&defaults],
        ..NOTHING
    };
    assert_eq!(
        edited(r#"{"stream":true}"#, edits),
        r#"{"stream":true,"stream_options":{"include_usage":true}}"#
    );
    let head = scan(Dialect::AnthropicMessages, r#"{"stream":true}"#).unwrap();
    let body = Bytes::from_static(br#"{"stream":true}"#);
    assert_eq!(
        Edits {
            ask_usage: true,
            ..NOTHING
        }
        .apply(&head, &body),
        body
    );
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from)
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map("[a-c\"\\\\]{0,2}", inner, 0..3)
                .prop_map(|members| members.into_iter().collect()),
        ]
    })
}

proptest! {
    #[test]
    fn edits_change_what_they_say_and_nothing_else(
        mut members in prop::collection::btree_map("[a-e]|model|max_tokens|temperature", any_json(), 0..6),
        default in any_json(),
        pretty in any::<bool>(),
        remove in any::<bool>(),
    ) {
        if members.contains_key("model") {
            members.insert("model".to_owned(), Value::from("old"));
        }
        let before: Value = members.into_iter().collect();
        let body = if pretty { format!("{before:#}") } else { before.to_string() };
        let defaults = map(json!({"max_completion_tokens": default, "a": default}));
        let model = if remove { ModelEdit::Remove } else { ModelEdit::Set("new") };
        let after: Value = serde_json::from_str(&edited(&body, Edits { model, defaults: &[&defaults], ask_usage: true })).unwrap();
        let mut expected = map(before);
        if remove { expected.remove("model"); } else { expected.insert("model".to_owned(), Value::from("new")); }
        if expected.get("a").is_none_or(Value::is_null) { expected.insert("a".to_owned(), default.clone()); }
        if expected.get("max_tokens").is_none_or(Value::is_null) { expected.insert("max_completion_tokens".to_owned(), default); }
        prop_assert_eq!(after, Value::Object(expected));
    }

    #[test]
    fn no_bytes_make_it_panic(body in prop::collection::vec(prop_oneof![Just(b'{'), Just(b'"'), Just(b'\\'), Just(b':'), Just(b','), Just(b'}'), any::<u8>()], 0..40)) {
        drop(Head::scan(Dialect::OpenaiChat, &Bytes::from(body), LIMITS));
    }
}

#[test]
fn defaults_go_into_the_object_that_a_dialect_has_for_them() {
    let edits = |body: Value, defaults: Value| {
        let body = Bytes::from(body.to_string());
        let head = Head::scan(Dialect::OllamaChat, &body, HeadLimits { depth_max: 9 }).unwrap();
        let defaults = defaults.as_object().unwrap().clone();
        let edits = Edits {
            model: ModelEdit::Keep,
            defaults: &[&defaults],
            ask_usage: true,
        };
        serde_json::from_slice::<Value>(&edits.apply(&head, &body)).unwrap()
    };
    let defaults = json!({"max_tokens": 9, "temperature": 0.5, "keep_alive": "1h", "options": {"num_ctx": 4096, "top_k": 5}});
    assert_eq!(
        edits(
            json!({"options": {"temperature": 1, "top_k": 2}}),
            defaults.clone()
        ),
        json!({"options": {"temperature": 1, "top_k": 2, "num_predict": 9, "num_ctx": 4096}, "keep_alive": "1h"})
    );
    assert_eq!(
        edits(json!({"options": null}), json!({"top_p": 0.1})),
        json!({"options": {"top_p": 0.1}})
    );
    // What is no object is the provider's to judge.
    assert_eq!(edits(json!({"options": 7}), defaults)["options"], 7);
    assert_eq!(
        edits(json!({"model": "m"}), json!({})),
        json!({"model": "m"})
    );
}

#[test]
fn geminis_sampling_has_an_object_of_its_own() {
    let defaults = json!({"max_tokens": 9, "temperature": 0.5, "safetySettings": []});
    let defaults = defaults.as_object().unwrap();
    let object =
        json!({"generationConfig": {"temperature": 1, "thinkingConfig": {"thinkingBudget": 0}}});
    let object = object.as_object().unwrap();
    let edited = |body: &str| {
        let body = Bytes::from(body.to_owned());
        let limits = HeadLimits { depth_max: 32 };
        let head = Head::scan(Dialect::GeminiGenerate, &body, limits).unwrap();
        let edits = Edits {
            model: ModelEdit::Remove,
            defaults: &[defaults, object],
            ask_usage: false,
        };
        let edited = edits.apply(&head, &body);
        serde_json::from_slice::<Value>(&edited).unwrap()
    };
    for (body, expected) in [
        (
            r#"{"contents": []}"#,
            json!({"contents": [], "generationConfig": {"maxOutputTokens": 9, "temperature": 0.5, "thinkingConfig": {"thinkingBudget": 0}}, "safetySettings": []}),
        ),
        (
            r#"{"generation_config": {"max_output_tokens": 5, "temperature": null}, "safetySettings": [1]}"#,
            json!({"generation_config": {"max_output_tokens": 5, "temperature": 0.5, "thinkingConfig": {"thinkingBudget": 0}}, "safetySettings": [1]}),
        ),
        (
            r#"{"model": "models/x", "generationConfig": {"maxOutputTokens": 5, "temperature": 0, "thinkingConfig": 1}, "safetySettings": []}"#,
            json!({"generationConfig": {"maxOutputTokens": 5, "temperature": 0, "thinkingConfig": 1}, "safetySettings": []}),
        ),
    ] {
        assert_eq!(edited(body), expected, "{body}");
    }
}

#[test]
fn a_model_is_named_where_its_dialect_names_it() {
    let edited = |body: &str, field| {
        let body = Bytes::from(body.to_owned());
        let limits = HeadLimits { depth_max: 32 };
        let head = Head::scan(Dialect::GeminiEmbeddings, &body, limits).unwrap();
        let edits = Edits {
            model: ModelEdit::Inside {
                field,
                model: "models/m",
            },
            defaults: &[],
            ask_usage: false,
        };
        String::from_utf8(edits.apply(&head, &body).to_vec()).unwrap()
    };
    assert_eq!(
        edited(
            r#"{"requests": [{"model":"models/route","content":1},{"content":2}]}"#,
            "requests"
        ),
        r#"{"requests": [{"model":"models/m","content":1},{"content":2,"model":"models/m"}]}"#
    );
    assert_eq!(
        edited(r#"{"model":"models/route","content":1}"#, "requests"),
        r#"{"content":1}"#
    );
}
