//! What expressions find in strings as they are meant is not kept, however it was written.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

static EXPRESSIONS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    let expressions = [
        r"\b[0-9]{13,16}\b",
        r"[\w.+-]+@[\w-]+\.[\w.]+",
        "Müller/Sohn",
    ];
    let expressions = expressions.iter();
    expressions.map(|text| Regex::new(text).unwrap()).collect()
});

fn clean(text: &str) -> String {
    redact(&EXPRESSIONS, text, DEPTH_MAX).into_owned()
}

#[test]
fn strings_are_seen_as_they_are_meant() {
    for (written, kept) in [
        (
            r#"{"a":"M\u00fcller\/Sohn, M\u00FCller"}"#,
            r#"{"a":"[redacted], Müller"}"#,
        ),
        (
            r#"{"a":"by\nann@example.com"}"#,
            r#"{"a":"by\n[redacted]"}"#,
        ),
        (
            r#"{"a":"4111\u0031111 11\u003111111111111\u0031 \"x\""}"#,
            r#"{"a":"41111111 [redacted] \"x\""}"#,
        ),
        (r#"{"\u0061nn\u0040example.com":1}"#, r#"{"[redacted]":1}"#),
        // What is left alone stays as it was written.
        (
            r#"{"a":"M\u00fcller", "b":"ann@example.com"}"#,
            r#"{"a":"M\u00fcller", "b":"[redacted]"}"#,
        ),
        // Strings that hold JSON.
        (
            r#"{"a":"{\"b\":\"ann\\u0040example.com\"}"}"#,
            r#"{"a":"{\"b\":\"[redacted]\"}"}"#,
        ),
        // Outside of strings.
        (r#"{"a":4111111111111111}"#, r#"{"a":[redacted]}"#),
        // Events of a stream, one of which is no JSON.
        (
            "data: a \" sign\n\ndata: {\"a\":\"ann\\u0040example.com\"}\n\n",
            "data: a \" sign\n\ndata: {\"a\":\"[redacted]\"}\n\n",
        ),
        // Cut off within a string, and within an escape.
        (r#"{"a":"ann\u0040example.com"#, r#"{"a":"[redacted]"#),
        (
            r#"{"a":"ann\u0040example.com \u00"#,
            r#"{"a":"[redacted] \\u00"#,
        ),
        (r#"{"a":"ann\u0040example.com\"#, r#"{"a":"[redacted]\\"#),
        // What was taken out had hidden where the number ends.
        (
            r#"{"a":"4111111111111111M\u00fcller/Sohn"}"#,
            r#"{"a":"[redacted][redacted]"}"#,
        ),
        // No JSON.
        ("to ann@example.com", "to [redacted]"),
        ("", ""),
        ("\"", "\""),
    ] {
        assert_eq!(clean(written), kept, "{written}");
    }
}

#[test]
fn what_is_no_escape_stands_for_itself() {
    for (written, meant) in [
        (r"\ud83d\ude00", "😀"),
        (r"\ud83d", r"\ud83d"),
        (r"\ud83d\u0041", r"\ud83dA"),
        (r"\u+041", r"\u+041"),
        (r"\q\", r"\q\"),
        (r"\\n", r"\n"),
        (r"\uü123", r"\uü123"),
    ] {
        assert_eq!(unescaped(written), meant, "{written}");
    }
}

/// A text, and the same as a string of JSON with some of its characters escaped.
fn written(pieces: &[(String, u8)]) -> (String, String) {
    let (mut meant, mut written) = (String::new(), String::new());
    for (piece, how) in pieces {
        meant.push_str(piece);
        for (place, character) in piece.chars().enumerate() {
            let is_chosen = how >> (place % 8) & 1 == 1;
            let must_be = character < ' ' || matches!(character, '"' | '\\');
            match character {
                '/' if is_chosen => written.push_str("\\/"),
                '\n' if is_chosen => written.push_str("\\n"),
                _ if is_chosen || must_be => {
                    let mut units = [0; 2];
                    for unit in character.encode_utf16(&mut units) {
                        written.push_str(&format!("\\u{unit:04x}"));
                    }
                }
                _ => written.push(character),
            }
        }
    }
    (meant, written)
}

fn pieces() -> impl Strategy<Value = Vec<(String, u8)>> {
    let piece = prop_oneof![
        Just("ann@example.com".to_owned()),
        Just("4111111111111111".to_owned()),
        Just("Müller/Sohn".to_owned()),
        Just(" ".to_owned()),
        "[a-z0-9\"\\\\/\n😀é]{0,6}",
    ];
    prop::collection::vec((piece, any::<u8>()), 0..8)
}

/// All strings in a text, as they are meant.
fn strings(text: &str) -> Vec<String> {
    let (mut found, mut rest) = (Vec::new(), text);
    while let Some((_, after)) = rest.split_once('"') {
        let (string, following) = after.split_at(end_of_string(after));
        found.push(unescaped(string).into_owned());
        rest = following.strip_prefix('"').unwrap_or(following);
    }
    found
}

fn is_found(text: &str) -> bool {
    EXPRESSIONS.iter().any(|one| one.is_match(text))
}

proptest! {
    #[test]
    fn nothing_that_is_found_is_kept(some in pieces(), others in pieces(), cut in 0..600_usize) {
        let ((meant, one), (_, other)) = (written(&some), written(&others));
        prop_assert_eq!(unescaped(&one), meant);
        let body = format!("{{\"{other}\":[\"{one}\",1],\"b\":\"{other}\"}}");
        let kept = clean(&body);
        let read: Result<Value, _> = serde_json::from_str(&kept);
        prop_assert!(read.is_ok(), "{}", kept);
        prop_assert!(!strings(&kept).iter().any(|string| is_found(string)), "{}", kept);
        prop_assert!(!is_found(&kept), "{}", kept);
        // The same where it was cut off.
        let cut: String = body.chars().take(cut).collect();
        let kept = clean(&cut);
        prop_assert!(!strings(&kept).iter().any(|string| is_found(string)), "{}", kept);
    }

    #[test]
    fn no_text_is_too_strange(text in "(?s)[\"\\\\u0-9a-f@.\n{}: ]{0,80}") {
        let kept = clean(&text);
        prop_assert!(!strings(&kept).iter().any(|string| is_found(string)), "{}", kept);
    }
}
