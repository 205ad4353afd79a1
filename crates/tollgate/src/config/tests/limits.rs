//! Limits as configured: what they may be called, and whom they can be for.

use super::*;

#[test]
fn limits_on_whom_nobody_can_ask_are_warned_of() {
    let limits = |of: &str| {
        let text = format!(
            "providers: [{{name: a, type: openai, api_key: k}}]\n\
             routes: [{{name: r, model: {{provider: a, name: m}}}}]\n\
             limits: [{{name: l, of: {{{of}}}, requests: 1, per: hour}}]\n"
        );
        warnings(&resolved(&text))
    };
    for (of, told) in [
        ("provider: nosuch", "no provider named `nosuch`"),
        ("model: nosuch", "no model named `nosuch`"),
    ] {
        assert!(limits(of).contains(told), "{}", limits(of));
    }
    for of in ["provider: a", "model: m", "provider: each, model: each"] {
        assert!(!limits(of).contains("no provider"), "{}", limits(of));
        assert!(!limits(of).contains("no model"), "{}", limits(of));
    }
}

#[test]
fn a_limits_name_has_one_line() {
    let text = "providers: [{name: a, type: openai, api_key: k}]\n\
                routes: [{name: r, model: {provider: a, name: m}}]\n\
                limits: [{name: \"l\\r\\nx: y\", requests: 1, per: hour}]\n";
    let told = refused(text);
    assert!(told.contains("the name has line ends"), "{told}");
}

#[test]
fn a_number_that_is_none_is_the_only_mistake() {
    for number in ["-5", "1.5", "99999999999999999999", "many"] {
        let text = format!(
            "providers: [{{name: a, type: openai, api_key: k}}]\n\
             routes: [{{name: r, model: {{provider: a, name: m}}}}]\n\
             limits: [{{name: l, requests: {number}, per: hour}}]\n"
        );
        let told = refused(&text);
        assert!(told.contains("`requests`"), "{told}");
        assert!(!told.contains("a limit is on one thing"), "{told}");
    }
}

#[test]
fn the_name_of_a_key_is_no_secret() {
    let text = "providers: [{name: a, type: openai, api_key: k}]\n\
                routes: [{name: r, model: {provider: a, name: m}}]\n\
                limits: [{name: l, of: {key: ann, user: sk-0123456789}, requests: 1, per: hour}]\n";
    let told = warnings(&resolved(text));
    assert!(told.contains("no key named `ann`"), "{told}");
    assert!(told.contains("{key: ann, user: ***}"), "{told}");
}
