//! The form of headers that tell limits: structured fields (RFC 9651), whatever limits are called.

use std::{fmt::Write as _, time::Duration};

use jiff::tz::TimeZone;
use tollgate_domain::{Allowance, CalendarUnit, Quantity, Window};

/// The greatest whole number that a structured field has (RFC 9651, section 3.3.1).
const NUMBER_MAX: u64 = 999_999_999_999_999;

/// A day where clocks are never changed.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// An allowance in the headers that tell limits, as far as that is always the same.
#[derive(Debug)]
pub(super) struct HeaderText {
    /// Its name: as a string (RFC 9651, section 3.3.3), and of a budget as a token.
    pub(super) name: String,
    /// The whole of its policy, where its quota and its window are always as large.
    policy: Option<String>,
}

impl HeaderText {
    pub(super) fn of(allowance: &Allowance) -> Self {
        let name = match allowance.quantity {
            Quantity::Picodollars => in_token(&allowance.name),
            _ => in_string(&allowance.name),
        };
        let length = match allowance.window {
            None => Some(None),
            Some(Window::Span(span) | Window::Rolling(span)) => Some(Some(span)),
            Some(Window::Calendar(CalendarUnit::Day, ref zone)) if *zone == TimeZone::UTC => {
                Some(Some(DAY))
            }
            // Months differ, and days where clocks are changed.
            Some(Window::Calendar(..)) => None,
        };
        let policy = length
            .filter(|_| allowance.raise.is_none())
            .map(|length| policy(&name, allowance.quantity, allowance.most, length));
        Self { name, policy }
    }

    /// Adds its policy, with so large a quota, and so long a window where it has one.
    pub(super) fn add_policy(
        &self,
        list: &mut String,
        quantity: Quantity,
        most: u64,
        length: Option<Duration>,
    ) {
        match &self.policy {
            Some(policy) => add_item(list, policy),
            None => add_item(list, &policy(&self.name, quantity, most, length)),
        }
    }
}

fn policy(name: &str, quantity: Quantity, most: u64, length: Option<Duration>) -> String {
    let mut policy = name.to_owned();
    add_number(&mut policy, ";q=", most);
    if let Some(unit) = quota_unit(quantity) {
        policy.push_str(";qu=\"");
        policy.push_str(unit);
        policy.push('"');
    }
    if let Some(length) = length {
        add_number(&mut policy, ";w=", whole_seconds(length));
    }
    policy
}

/// Seconds, of which a part is one.
pub(super) fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

/// Adds an item to a list.
pub(super) fn add_item(list: &mut String, item: &str) {
    if !list.is_empty() {
        list.push_str(", ");
    }
    list.push_str(item);
}

/// A name as a string. Strings have no signs beyond ASCII: those are told by their bytes, as `%c3%bc`.
fn in_string(name: &str) -> String {
    let mut string = String::with_capacity(name.len() + 2);
    string.push('"');
    add_escaped(&mut string, name);
    string.push('"');
    string
}

fn add_escaped(list: &mut String, name: &str) {
    for byte in name.bytes() {
        match byte {
            b'"' | b'\\' => {
                list.push('\\');
                list.push(char::from(byte));
            }
            b' '..=b'~' => list.push(char::from(byte)),
            _ => add_encoded(list, byte),
        }
    }
}

/// Adds a parameter to the last item. `parameter` has what stands before and behind its name, as in `;w=`.
#[inline]
pub(super) fn add_number(list: &mut String, parameter: &'static str, number: u64) {
    let mut digits = itoa::Buffer::new();
    list.push_str(parameter);
    list.push_str(digits.format(number.min(NUMBER_MAX)));
}

/// What a quota counts (draft-ietf-httpapi-ratelimit-headers-10, section 3.1.1); nothing stands for requests.
const fn quota_unit(quantity: Quantity) -> Option<&'static str> {
    match quantity {
        Quantity::Requests => None,
        Quantity::Tokens => Some("tokens"),
        Quantity::InputTokens => Some("input-tokens"),
        Quantity::OutputTokens => Some("output-tokens"),
        Quantity::Concurrent => Some("concurrent-requests"),
        Quantity::Size => Some("content-bytes"),
        Quantity::Picodollars => Some("picodollars"),
    }
}

/// A name as a token (RFC 9110, section 5.6.2): what a token has not is told by its bytes, as `%20`.
fn in_token(name: &str) -> String {
    let mut token = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"!#$&'*+-.^_`|~".contains(&byte) {
            token.push(char::from(byte));
        } else {
            add_encoded(&mut token, byte);
        }
    }
    token
}

fn add_encoded(text: &mut String, byte: u8) {
    // Writing to a text cannot fail.
    let _written = write!(text, "%{byte:02x}");
}

#[cfg(test)]
mod tests {
    use tollgate_domain::{Raise, Scope, Then};

    use super::*;

    #[test]
    fn a_name_cannot_end_its_string() {
        let mut list = String::new();
        add_item(&mut list, &in_string("q\"; w=1, \"z\\"));
        add_number(&mut list, ";q=", u64::MAX);
        add_item(&mut list, &in_string("bü\r\nro"));
        assert_eq!(
            list,
            r#""q\"; w=1, \"z\\";q=999999999999999, "b%c3%bc%0d%0aro""#
        );
        assert_eq!(in_token("a b=\"c\",é%"), "a%20b%3d%22c%22%2c%c3%a9%25");
        assert_eq!(in_token("heads-up"), "heads-up");
    }

    #[test]
    fn a_policy_is_the_same_for_as_long_as_its_quota_and_its_window_are() {
        let hour = Duration::from_secs(3600);
        let rome = TimeZone::get("Europe/Rome").unwrap();
        let allowance = |window, raise| Allowance {
            name: "a b".into(),
            scope: Scope::default(),
            quantity: Quantity::Tokens,
            most: 100,
            raise,
            window,
            then: Then::Refuse,
            is_told: true,
        };
        let day = |zone| Some(Window::Calendar(CalendarUnit::Day, zone));
        let raise = Some(Raise {
            by: 50,
            until: hour,
        });
        // What a count says of it just then, where it may be otherwise the next time.
        let now = (150, Some(Duration::from_millis(89_999_500)));
        for (window, raise, told) in [
            (None, None, r#""a b";q=100;qu="tokens""#),
            (
                Some(Window::Span(hour)),
                None,
                r#""a b";q=100;qu="tokens";w=3600"#,
            ),
            (
                Some(Window::Rolling(hour)),
                None,
                r#""a b";q=100;qu="tokens";w=3600"#,
            ),
            (
                day(TimeZone::UTC),
                None,
                r#""a b";q=100;qu="tokens";w=86400"#,
            ),
            (day(rome), None, r#""a b";q=150;qu="tokens";w=90000"#),
            (
                Some(Window::Span(hour)),
                raise,
                r#""a b";q=150;qu="tokens";w=90000"#,
            ),
        ] {
            let text = HeaderText::of(&allowance(window, raise));
            let mut list = String::new();
            text.add_policy(&mut list, Quantity::Tokens, now.0, now.1);
            assert_eq!(list, told);
        }
        let budget = Allowance {
            quantity: Quantity::Picodollars,
            ..allowance(None, None)
        };
        assert_eq!(HeaderText::of(&budget).name, "a%20b");
    }
}
