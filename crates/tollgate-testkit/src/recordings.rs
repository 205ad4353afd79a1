//! Recorded calls of real providers: from a folder of `*.jsonl`, or the selection that comes with the project.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::Path,
};

use anyhow::{Context, Result};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::Value;

/// A recorded call. `recordings/README.md` says where they come from.
#[derive(Clone, Debug, Deserialize)]
pub struct Recording {
    /// Names the recording.
    pub id: String,
    /// Whose call it was.
    pub provider: String,
    /// A short name, such as `chat`.
    pub endpoint: String,
    /// The model that was asked for.
    #[serde(default)]
    pub model: Option<String>,
    /// How it was asked.
    #[serde(default = "post")]
    pub method: String,
    /// The path and query.
    pub url_path: String,
    /// The request's headers, as far as they were kept.
    #[serde(default)]
    pub request_headers: serde_json::Map<String, Value>,
    /// `json` or another kind.
    pub request_body_kind: String,
    /// The request.
    #[serde(default)]
    pub request_body: Value,
    /// The answer's status.
    pub status: u16,
    /// The answer's headers, as far as they were kept.
    #[serde(default)]
    pub response_headers: serde_json::Map<String, Value>,
    /// `json`, `sse` or another kind.
    pub response_body_kind: String,
    /// The answer: text as on the wire, or a value where the recording keeps parsed JSON.
    #[serde(default)]
    pub response_body: Value,
    /// The frames of an AWS event stream, decoded.
    #[serde(default)]
    pub response_events: Vec<Value>,
    /// Whether a stream was asked for or given.
    #[serde(default)]
    pub streaming: bool,
}

fn post() -> String {
    "POST".to_owned()
}

impl Recording {
    /// The request's body as bytes.
    pub fn request_bytes(&self) -> Vec<u8> {
        match &self.request_body {
            Value::String(text) if self.request_body_kind.ends_with("base64") => {
                STANDARD.decode(text).unwrap_or_default()
            }
            Value::String(text) => text.clone().into_bytes(),
            value => value.to_string().into_bytes(),
        }
    }

    /// The answer's body as bytes.
    pub fn response_bytes(&self) -> Vec<u8> {
        match &self.response_body {
            Value::String(text)
                if matches!(self.response_body_kind.as_str(), "eventstream" | "base64") =>
            {
                STANDARD.decode(text).unwrap_or_default()
            }
            Value::String(text) => text.clone().into_bytes(),
            value => value.to_string().into_bytes(),
        }
    }

    /// The answer's content type.
    pub fn content_type(&self) -> &'static str {
        match self.response_body_kind.as_str() {
            "sse" => "text/event-stream",
            "json" => "application/json",
            "ndjson" => "application/x-ndjson",
            "eventstream" => "application/vnd.amazon.eventstream",
            _ => "text/plain",
        }
    }
}

/// The recordings of a folder, or those that come with the project, in the order of the files' names.
///
/// # Errors
/// When a file cannot be read.
pub fn load(folder: Option<&Path>) -> Result<Vec<Recording>> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("recordings");
    let folder = folder.unwrap_or(&own);
    let mut files: Vec<_> = fs::read_dir(folder)
        .with_context(|| format!("cannot read {}", folder.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    files.sort();
    let mut recordings = Vec::new();
    for file in files {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let open = || fs::File::open(&file).map(BufReader::new);
        let reader: Box<dyn Read> = if name.ends_with(".jsonl.zst") {
            Box::new(
                ruzstd::decoding::StreamingDecoder::new(open()?)
                    .map_err(|error| anyhow::anyhow!("{}: {error}", file.display()))?,
            )
        } else if name.ends_with(".jsonl") {
            Box::new(open()?)
        } else {
            continue;
        };
        for line in BufReader::new(reader).lines() {
            let recording =
                serde_json::from_str(&line?).with_context(|| format!("{}", file.display()))?;
            recordings.push(recording);
        }
    }
    Ok(recordings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_projects_own_recordings_can_be_read() {
        let recordings = load(None).unwrap();
        for provider in ["openai", "anthropic", "mlflow"] {
            assert!(
                recordings
                    .iter()
                    .any(|recording| recording.provider == provider),
                "{provider}"
            );
        }
        assert!(recordings.iter().any(|recording| recording.streaming));
    }
}
