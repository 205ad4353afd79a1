//! Log-probabilities: Gemini's `logprobsResult` and OpenAI's form, which is ours.

use serde_json::{Map, Value, json};

/// Reads `logprobsResult`; `None` where it holds no tokens.
pub(super) fn read(result: &Value) -> Option<Value> {
    let chosen = result["chosenCandidates"].as_array()?;
    let content = chosen.iter().enumerate().map(|(index, chosen)| {
        let mut token = read_token(chosen);
        let top = result["topCandidates"][index]["candidates"].as_array();
        let top = top.map_or(&[][..], Vec::as_slice).iter().map(read_token);
        let top: Vec<Value> = top.map(Value::Object).collect();
        token.insert("top_logprobs".to_owned(), json!(top));
        Value::Object(token)
    });
    let content: Vec<Value> = content.collect();
    (!content.is_empty()).then(|| json!({"content": content}))
}

fn read_token(candidate: &Value) -> Map<String, Value> {
    let token = candidate["token"].as_str().unwrap_or_default();
    let mut read = Map::new();
    read.insert("token".to_owned(), json!(token));
    read.insert(
        "logprob".to_owned(),
        candidate["logProbability"]
            .as_f64()
            .map_or(Value::Null, Value::from),
    );
    read.insert("bytes".to_owned(), json!(token.as_bytes()));
    read
}

/// Writes OpenAI's form as `logprobsResult`; `None` where it is another form.
pub(super) fn write(logprobs: &Value) -> Option<Value> {
    let tokens = logprobs["content"].as_array()?;
    let chosen = tokens.iter().map(write_token);
    let top = tokens.iter().map(|token| {
        let top = token["top_logprobs"].as_array();
        let top = top.map_or(&[][..], Vec::as_slice).iter().map(write_token);
        json!({"candidates": top.collect::<Vec<_>>()})
    });
    Some(json!({
        "topCandidates": top.collect::<Vec<_>>(),
        "chosenCandidates": chosen.collect::<Vec<_>>(),
    }))
}

fn write_token(token: &Value) -> Value {
    json!({"token": token["token"], "logProbability": token["logprob"]})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back_as_they_went() {
        let candidates = json!({
            "topCandidates": [{"candidates": [{"token": "a", "logProbability": -0.5}, {"token": "ä", "logProbability": -1.5}]}],
            "chosenCandidates": [{"token": "a", "logProbability": -0.5}],
        });
        let read = read(&candidates).unwrap();
        assert_eq!(
            read["content"][0]["top_logprobs"][1]["bytes"],
            json!([195, 164])
        );
        assert_eq!(write(&read), Some(candidates));
        assert_eq!(super::read(&json!({})), None);
        assert_eq!(write(&json!({"tokens": ["a"]})), None);
    }
}
