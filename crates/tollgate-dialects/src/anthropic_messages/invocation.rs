//! Claude on AWS Bedrock: calls of Anthropic's put into the envelope of `InvokeModel` and `CountTokens`
//! (<https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-anthropic-claude-messages.html> and
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/count-tokens.html>, read 2026-11). Answers come without one; streams are taken
//! out of theirs in `frames/chunks.rs`.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tollgate_domain::Spelling;

use crate::{Head, ReadError};

/// What a body calls the beta features that Anthropic's own service is told in a header.
const BETAS: &str = "anthropic_beta";

/// The address says whether to stream; features are set beside those of the body.
const SPELLING: &[(&str, Spelling)] =
    &[("stream", Spelling::LeftOut), (BETAS, Spelling::Operators)];

/// A call as `InvokeModel` takes it. `betas` is what the client says in `anthropic-beta`; features that the body names already stay.
/// What is not changed keeps its bytes.
pub fn enclose_call(head: &Head, body: &Bytes, betas: &str) -> Bytes {
    let there = head.field(BETAS);
    let there = there.and_then(|range| serde_json::from_slice::<Vec<String>>(&body[range]).ok());
    let mut features = there.unwrap_or_default();
    for beta in betas.split(',').map(str::trim) {
        if !beta.is_empty() && !features.iter().any(|known| known == beta) {
            features.push(beta.to_owned());
        }
    }
    if features.is_empty() && head.field("stream").is_none() && head.field(BETAS).is_none() {
        return body.clone();
    }
    let told = (!features.is_empty()).then(|| (BETAS.to_owned(), Value::from(features)));
    head.spelt(SPELLING, &Map::from_iter(told), body)
}

/// The question how many tokens a call has, as `CountTokens` takes it.
pub fn enclose_count(call: &[u8]) -> Bytes {
    let body = STANDARD.encode(call);
    Bytes::from(json!({"input": {"invokeModel": {"body": body}}}).to_string())
}

/// The answer to it, as Anthropic gives it.
///
/// # Errors
/// When it does not say how many.
pub fn read_count(body: &[u8]) -> Result<Bytes, ReadError> {
    #[derive(Deserialize)]
    struct Counted {
        #[serde(rename = "inputTokens")]
        input: u64,
    }
    let counted: Counted =
        serde_json::from_slice(body).map_err(|error| ReadError::Json(error.to_string()))?;
    Ok(Bytes::from(
        json!({"input_tokens": counted.input}).to_string(),
    ))
}

#[cfg(test)]
mod tests {
    use tollgate_domain::Dialect;

    use super::*;
    use crate::HeadLimits;

    fn enclosed(body: &str, betas: &str) -> String {
        let body = Bytes::copy_from_slice(body.as_bytes());
        let limits = HeadLimits { depth_max: 8 };
        let head = Head::scan(Dialect::AnthropicMessages, &body, limits).unwrap();
        let enclosed = enclose_call(&head, &body, betas);
        String::from_utf8(enclosed.to_vec()).unwrap()
    }

    #[test]
    fn features_go_into_the_body_and_streaming_out_of_it() {
        assert_eq!(
            enclosed(r#"{"max_tokens": 1.0, "stream": true}"#, "a-1, b-2,,a-1"),
            r#"{"max_tokens":1.0,"anthropic_beta":["a-1","b-2"]}"#
        );
        assert_eq!(
            enclosed(r#"{"anthropic_beta": ["b-2"], "n": 1}"#, "a-1,b-2"),
            r#"{"n":1,"anthropic_beta":["b-2","a-1"]}"#
        );
        assert_eq!(enclosed(r#"{"stream":false}"#, ""), "{}");
    }

    #[test]
    fn a_body_that_fits_stays_as_it_is() {
        assert_eq!(enclosed(r#" { "n" : 1 } "#, " "), r#" { "n" : 1 } "#);
    }

    /// As they were recorded.
    #[test]
    fn tokens_are_counted_as_bedrock_does_it() {
        let call = r#"{"anthropic_version":"bedrock-2023-05-31","max_tokens":4096,"messages":[{"role":"user","content":[{"text":"hello","type":"text"}]}]}"#;
        assert_eq!(
            enclose_count(call.as_bytes()),
            r#"{"input":{"invokeModel":{"body":"eyJhbnRocm9waWNfdmVyc2lvbiI6ImJlZHJvY2stMjAyMy0wNS0zMSIsIm1heF90b2tlbnMiOjQwOTYsIm1lc3NhZ2VzIjpbeyJyb2xlIjoidXNlciIsImNvbnRlbnQiOlt7InRleHQiOiJoZWxsbyIsInR5cGUiOiJ0ZXh0In1dfV19"}}}"#
        );
        assert_eq!(
            read_count(br#"{"inputTokens": 375}"#).unwrap(),
            r#"{"input_tokens":375}"#
        );
        assert!(read_count(b"{}").is_err());
    }
}
