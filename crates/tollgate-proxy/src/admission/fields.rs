//! The form of headers that tell limits: structured fields (RFC 9651), whatever limits are called.

use std::fmt::Write as _;

use tollgate_domain::Quantity;

/// The greatest whole number that a structured field has (RFC 9651, section 3.3.1).
const NUMBER_MAX: u64 = 999_999_999_999_999;

/// Begins an item of a list with a name, which is a string (RFC 9651, section 3.3.3). Strings have no signs beyond ASCII: those are told by their
/// bytes, as `%c3%bc`.
pub(super) fn add_item(list: &mut String, name: &str) {
    if !list.is_empty() {
        list.push_str(", ");
    }
    list.push('"');
    let is_plain = |byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
    if name.bytes().all(is_plain) {
        list.push_str(name);
    } else {
        add_escaped(list, name);
    }
    list.push('"');
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
pub(super) const fn quota_unit(quantity: Quantity) -> Option<&'static str> {
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
pub(super) fn in_token(name: &str) -> String {
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
    use super::*;

    #[test]
    fn a_name_cannot_end_its_string() {
        let mut list = String::new();
        add_item(&mut list, "q\"; w=1, \"z\\");
        add_number(&mut list, ";q=", u64::MAX);
        add_item(&mut list, "bü\r\nro");
        assert_eq!(
            list,
            r#""q\"; w=1, \"z\\";q=999999999999999, "b%c3%bc%0d%0aro""#
        );
        assert_eq!(in_token("a b=\"c\",é%"), "a%20b%3d%22c%22%2c%c3%a9%25");
        assert_eq!(in_token("heads-up"), "heads-up");
    }
}
