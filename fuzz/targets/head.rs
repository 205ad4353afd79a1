//! The scan of a call's head: it takes what is JSON and says what is in it; and what is spliced in leaves it so.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value, json};
use tollgate_dialects::{Edits, Head, HeadLimits, ModelEdit, ReadError};
use tollgate_domain::Dialect;
use tollgate_fuzz::{Members, is_json, options};

/// To look a field up takes time for each that is there; the gateway looks up a few.
const FIELDS_LOOKED_UP: usize = 50;

const LIMITS: HeadLimits = HeadLimits { depth_max: 64 };

fuzz_target!(|input: &[u8]| {
    let (options, body) = options(input);
    let body = Bytes::copy_from_slice(body);
    // The heads of the others say `model`, `stream` and sampling elsewhere than at the top, or in other words.
    for dialect in [
        Dialect::OpenaiChat,
        Dialect::OpenaiCompletions,
        Dialect::OpenaiEmbeddings,
        Dialect::AnthropicMessages,
        Dialect::MlflowServing,
    ] {
        let scanned = Head::scan(dialect, &body, LIMITS);
        check_scan(&body, &scanned);
        if let Ok(head) = scanned {
            check_edits(dialect, &head, &body, options);
        }
    }
});

/// Compares the scan with what `serde_json` reads.
fn check_scan(body: &Bytes, scanned: &Result<Head, ReadError>) {
    let read = serde_json::from_slice::<Members>(body);
    match (scanned, read) {
        (Ok(head), Ok(members)) => {
            let value = |name| members.0.iter().find(|(known, _)| known == name);
            let (model, stream) = (value("model"), value("stream"));
            assert_eq!(
                head.model.as_deref(),
                model.and_then(|(_, model)| model.as_str())
            );
            assert_eq!(
                head.stream,
                stream.is_some_and(|(_, stream)| *stream == json!(true))
            );
            for (name, value) in members.0.iter().take(FIELDS_LOOKED_UP) {
                let range = head.field(name).expect("what is there is found");
                assert_eq!(
                    serde_json::from_slice::<Value>(&body[range]).ok().as_ref(),
                    Some(value)
                );
            }
        }
        // Numbers that are too large and halves of characters are left to the provider to judge.
        (Ok(_), Err(_)) => assert!(is_json(body)),
        (Err(ReadError::TooDeep(_)), _) | (Err(_), Err(_)) => {}
        (Err(error), Ok(members)) => {
            let mut names: Vec<&str> = members.0.iter().map(|(name, _)| &**name).collect();
            names.sort_unstable();
            let twice = names.windows(2).any(|pair| pair[0] == pair[1]);
            let is_strange = |(name, value): &(String, Value)| match name.as_str() {
                "model" => !value.is_string() && !value.is_null(),
                "stream" => !value.is_boolean() && !value.is_null(),
                _ => false,
            };
            assert!(twice || members.0.iter().any(is_strange), "{error}");
        }
    }
}

/// Sets what the gateway sets, and reads it back.
fn check_edits(dialect: Dialect, head: &Head, body: &Bytes, options: u8) {
    let defaults = Map::from_iter([
        ("temperature".to_owned(), json!(0.5)),
        ("max_tokens".to_owned(), json!(7)),
        ("a \"name\"".to_owned(), json!({"a": [1]})),
    ]);
    let model = match options % 3 {
        0 => ModelEdit::Keep,
        1 => ModelEdit::Set("the \"model\""),
        _ => ModelEdit::Remove,
    };
    let edits = Edits {
        model,
        defaults: if options & 4 == 0 { &[] } else { &[&defaults] },
        ask_usage: options & 8 != 0,
    };
    let edited = edits.apply(head, body);
    assert!(is_json(&edited), "{}", String::from_utf8_lossy(&edited));
    let again = Head::scan(dialect, &edited, LIMITS).expect("what was taken once is taken again");
    match model {
        ModelEdit::Keep => assert_eq!(again.model, head.model),
        ModelEdit::Set(model) => assert_eq!(again.model.as_deref(), Some(model)),
        ModelEdit::Remove => assert_eq!(again.field("model"), None),
        ModelEdit::Inside { .. } => panic!("is not asked for here"),
    }
    assert_eq!(again.stream, head.stream);
    if options & 4 != 0 {
        for name in defaults.keys().filter(|name| *name != "max_tokens") {
            assert!(again.field(name).is_some(), "{name}");
        }
        assert!(again.max_tokens.is_some() || head.max_tokens.is_none());
    }
}
