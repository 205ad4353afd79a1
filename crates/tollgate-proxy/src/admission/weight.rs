//! How much a body may weigh in tokens before any provider has counted it.

use memchr::memchr_iter;

/// Tokens that providers may add to what is asked: instructions for tools, marks between messages.
const HIDDEN_TOKENS: u64 = 1024;

/// Tokens that a picture or a sound is taken for, where an estimate will do.
const MEDIA_TOKENS: u64 = 4096;

/// Searches of the web that a call is taken for at most which lets its provider make some, and does not bound them: mostly it is one to
/// four.
const WEB_SEARCHES_ASSUMED: u64 = 10;

/// Tokens that are read of what a search finds: seven to seventeen thousand, in recorded calls.
const SEARCH_TOKENS: u64 = 20_000;

/// A text of so many bytes may be data in base64.
const DATA_BYTES_MIN: usize = 2048;

/// As much of a text's end is looked at to tell data from words; a data URL begins with words.
const LOOKED_AT: usize = 512;

/// What a body weighs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Weight {
    /// Tokens that its text has at most: no text has more than bytes.
    text: u64,
    /// Pictures, sounds and files in it.
    data: u64,
    /// Something that is not in it belongs to the call.
    refers: bool,
    /// Its provider may search the web, and reads what it finds.
    searches: bool,
    /// So often at most, where it says so.
    searches_max: Option<u64>,
}

impl Weight {
    /// Weighs a body of JSON, looking from quote to quote.
    pub(crate) fn of(body: &[u8]) -> Self {
        let mut weight = Self::default();
        let (mut from, mut data_bytes) = (0, 0);
        let mut before: [&[u8]; 2] = [b"", b""];
        for quote in memchr_iter(b'"', body) {
            let text = body.get(from..quote).unwrap_or_default();
            from = quote + 1;
            if is_data(text) {
                weight.data += 1;
                data_bytes += text.len();
            }
            weight.refers |= is_reference(text);
            weight.searches |= is_search(text, before);
            weight.bound_searches(before[1], text);
            before = [before[1], text];
        }
        weight.bound_searches(before[1], body.get(from..).unwrap_or_default());
        weight.text = (body.len() - data_bytes) as u64 + HIDDEN_TOKENS;
        weight
    }

    /// Takes down how often the web may be searched, where a member with this name says so.
    fn bound_searches(&mut self, name: &[u8], behind: &[u8]) {
        if matches!(name, b"max_uses" | b"max_tool_calls") {
            self.searches_max = number(behind);
        }
    }

    /// The most input tokens that it can be, for a model that takes so many; a picture may be anything.
    pub(super) fn most(self, input_max: u64) -> u64 {
        if self.refers || self.data > 0 {
            return input_max;
        }
        let found = self.web_searches().saturating_mul(SEARCH_TOKENS);
        self.text.saturating_add(found).min(input_max)
    }

    /// About as many input tokens as it will hardly be more than.
    pub(super) fn estimate(self, input_max: u64) -> u64 {
        let media = self.data + u64::from(self.refers) + u64::from(self.searches);
        self.text
            .saturating_add(media * MEDIA_TOKENS)
            .min(input_max)
    }

    /// The most searches of the web that its provider can be taken to make.
    pub(super) fn web_searches(self) -> u64 {
        let bound = self.searches_max.unwrap_or(WEB_SEARCHES_ASSUMED);
        u64::from(self.searches) * bound
    }
}

/// Whether a text is a member that stands for something that is not in the body: pictures and files elsewhere, and what was said before.
fn is_reference(text: &[u8]) -> bool {
    matches!(
        text,
        b"image_url"
            | b"input_image"
            | b"input_file"
            | b"file_id"
            | b"file_url"
            | b"fileUri"
            | b"file_uri"
            | b"fileData"
            | b"file_data"
            | b"url"
            | b"previous_response_id"
            | b"conversation"
            | b"cachedContent"
            | b"cached_content"
    )
}

/// Whether a text, by the two before it, is a tool of the provider's that searches the web. A function of the caller's may have the same
/// name.
fn is_search(text: &[u8], before: [&[u8]; 2]) -> bool {
    match text {
        b"googleSearch"
        | b"google_search"
        | b"googleSearchRetrieval"
        | b"enterpriseWebSearch"
        | b"web_search_options" => true,
        _ => {
            text.starts_with(b"web_search")
                && before[0] == b"type"
                && before[1].trim_ascii() == b":"
        }
    }
}

/// The number of a member, which stands behind its name: `: 3, `.
fn number(text: &[u8]) -> Option<u64> {
    let digits = text
        .trim_ascii_start()
        .strip_prefix(b":")?
        .trim_ascii_start();
    let end = digits.iter().position(|byte| !byte.is_ascii_digit());
    let digits = digits.get(..end.unwrap_or(digits.len()))?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Whether a text is base64, and long.
fn is_data(text: &[u8]) -> bool {
    let is_sign = |byte: &u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'-' | b'_' | b'\\')
    };
    text.len() >= DATA_BYTES_MIN && text.iter().rev().take(LOOKED_AT).all(is_sign)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_weighs_its_bytes_and_what_is_hidden() {
        let weight = Weight::of(br#"{"messages": "say \"image_url\" in base64: aGVsbG8="}"#);
        assert_eq!(weight.most(9_999), 1024 + 53);
        assert_eq!(weight.estimate(9_999), 1024 + 53);
        assert_eq!(weight.most(100), 100);
        let long = format!(r#"{{"text": "{}"}}"#, "say it again ".repeat(1000));
        assert_eq!(Weight::of(long.as_bytes()).most(99_999), 1024 + 13_012);
    }

    #[test]
    fn data_and_references_may_be_anything() {
        for head in ["", "data:image/png;base64,"] {
            let picture = format!(r#"{{"data": "{head}{}"}}"#, "iVBO".repeat(5000));
            let weight = Weight::of(picture.as_bytes());
            assert_eq!(weight.most(128_000), 128_000);
            assert_eq!(weight.estimate(128_000), 12 + 1024 + 4096);
        }
        for body in [
            r#"{"image_url": {"url": "https://example.com/a.png"}}"#,
            r#"{"previous_response_id": "resp_1"}"#,
            r#"{"fileData": {"fileUri": "gs://a"}}"#,
        ] {
            assert_eq!(Weight::of(body.as_bytes()).most(128_000), 128_000, "{body}");
        }
    }

    #[test]
    fn searches_of_the_web_are_read() {
        for (body, searches) in [
            (
                r#"{"tools": [{"type": "web_search_20250305", "name": "web_search"}]}"#,
                10,
            ),
            (
                r#"{"tools": [{"type": "web_search_20250305", "name": "web_search", "max_uses": 2}]}"#,
                2,
            ),
            (
                r#"{"max_tool_calls":3,"tools":[{"type":"web_search_preview"}]}"#,
                3,
            ),
            (r#"{"tools": [{"googleSearch": {}}]}"#, 10),
            (r#"{"web_search_options": {}}"#, 10),
            (
                r#"{"tools": [{"type": "function", "function": {"name": "web_search"}}]}"#,
                0,
            ),
            (
                r#"{"messages": [{"content": "say {\"type\": \"web_search\"}"}], "max_uses": 5}"#,
                0,
            ),
        ] {
            let weight = Weight::of(body.as_bytes());
            assert_eq!(weight.web_searches(), searches, "{body}");
            let text = 1024 + body.len() as u64;
            assert_eq!(weight.most(1 << 20), text + searches * 20_000, "{body}");
            assert_eq!(weight.most(100), 100, "{body}");
        }
    }
}
