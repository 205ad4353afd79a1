//! Limits and budgets as configured: what they may be called, whom they can be for, and what may overrun them.

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

#[test]
fn a_budget_that_one_call_may_overrun_is_told() {
    let file = |bound: &str, then: &str| {
        let budget = format!("{{name: all, of: {{provider: mine}}, dollars: 1, per: day{then}}}");
        let text = format!(
            "
providers: [{{name: mine, type: vllm, base_url: 'http://127.0.0.1:8000/v1'}}, {{name: openai, type: openai, api_key: k}}]
prices: [{{provider: mine, model: m, input: 1, output: 1{bound}}}, {{provider: openai, model: n, input: 1, output: 1}}]
routes: [{{name: a, model: {{provider: mine, name: m}}}}, {{name: b, model: {{provider: mine, name: m}}}}, {{name: c, model: {{provider: openai, name: n}}}}]
budgets: [{budget}]
"
        );
        warnings(&resolved(&text))
    };
    let told = file("", "");
    let expected = "nobody says how many tokens `mine/m` gives at most";
    assert_eq!(told.matches("nobody says").count(), 1, "{told}");
    assert!(told.contains(expected), "{told}");
    assert_eq!(file(", output_max: 9000", ""), "");
    assert_eq!(file("", ", then: warn"), "");
}
