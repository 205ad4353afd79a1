//! How much a body may weigh in tokens before any provider has counted it.

use memchr::memmem;

/// Tokens that providers may add to what is asked: instructions for tools, marks between messages.
const HIDDEN_TOKENS: u64 = 1024;

/// Tokens that a picture or a sound is taken for, where an estimate will do.
const MEDIA_TOKENS: u64 = 4096;

/// A word of so many signs of base64 is data, and no text.
const DATA_BYTES_MIN: usize = 2048;

/// Members that stand for something that is not in the body: pictures and files elsewhere, and what was said before.
const REFERENCES: [&[u8]; 14] = [
    b"\"image_url\"",
    b"\"input_image\"",
    b"\"input_file\"",
    b"\"file_id\"",
    b"\"file_url\"",
    b"\"fileUri\"",
    b"\"file_uri\"",
    b"\"fileData\"",
    b"\"file_data\"",
    b"\"url\"",
    b"\"previous_response_id\"",
    b"\"conversation\"",
    b"\"cachedContent\"",
    b"\"cached_content\"",
];

/// What a body weighs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Weight {
    /// Tokens that its text has at most: no text has more than bytes.
    text: u64,
    /// Pictures, sounds and files in it.
    data: u64,
    /// Something that is not in it belongs to the call.
    refers: bool,
}

impl Weight {
    pub(super) fn of(body: &[u8]) -> Self {
        let (mut data, mut data_bytes, mut run) = (0, 0, 0);
        // Most bodies are too short to hold any.
        let looked_at = if body.len() < DATA_BYTES_MIN {
            &[]
        } else {
            body
        };
        for byte in looked_at.iter().chain([&b'"']) {
            if byte.is_ascii_alphanumeric()
                || matches!(byte, b'+' | b'/' | b'=' | b'-' | b'_' | b'\\')
            {
                run += 1;
                continue;
            }
            if run >= DATA_BYTES_MIN {
                data += 1;
                data_bytes += run;
            }
            run = 0;
        }
        let refers = REFERENCES
            .iter()
            .any(|name| memmem::find(body, name).is_some());
        Self {
            text: (body.len() - data_bytes) as u64 + HIDDEN_TOKENS,
            data,
            refers,
        }
    }

    /// The most input tokens that it can be, for a model that takes so many; a picture may be anything.
    pub(super) fn most(self, input_max: u64) -> u64 {
        if self.refers || self.data > 0 {
            input_max
        } else {
            self.text.min(input_max)
        }
    }

    /// About as many input tokens as it will hardly be more than.
    pub(super) fn estimate(self, input_max: u64) -> u64 {
        let media = self.data + u64::from(self.refers);
        self.text
            .saturating_add(media * MEDIA_TOKENS)
            .min(input_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_weighs_its_bytes_and_what_is_hidden() {
        let weight = Weight::of(br#"{"messages": "say \"image_url\" in base64: aGVsbG8="}"#);
        assert_eq!(
            (weight.most(9_999), weight.estimate(9_999)),
            (1024 + 53, 1024 + 53)
        );
        assert_eq!(weight.most(100), 100);
    }

    #[test]
    fn data_and_references_may_be_anything() {
        let picture = format!(r#"{{"data": "{}"}}"#, "iVBO".repeat(5000));
        let weight = Weight::of(picture.as_bytes());
        assert_eq!(
            (weight.most(128_000), weight.estimate(128_000)),
            (128_000, 12 + 1024 + 4096)
        );
        for body in [
            r#"{"image_url": {"url": "https://example.com/a.png"}}"#,
            r#"{"previous_response_id": "resp_1"}"#,
            r#"{"fileData": {"fileUri": "gs://a"}}"#,
        ] {
            assert_eq!(Weight::of(body.as_bytes()).most(128_000), 128_000, "{body}");
        }
    }
}
