//! What fuzzing starts from: recorded traffic in the form of each target's input, and the project's own configurations.

use std::{
    collections::hash_map::DefaultHasher,
    fs,
    hash::{Hash, Hasher},
    path::Path,
};

use anyhow::{Context, Result};
use tollgate_testkit::recordings::{self, Recording};

use super::INPUT_BYTES_MAX;
use crate::project::{command, output, root};

/// How a seed's stream is cut: all in one, and in pieces. See `chunks` in `fuzz/src/lib.rs`.
const CUTS: [[u8; 4]; 2] = [[0; 4], [7, 100, 1, 31]];

/// A body for templates, after the NUL that parts both. See `fuzz/targets/template.rs`.
const TEMPLATE_BODY: &str =
    "\0{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"city\":\"b\"}";

/// Templates that use what templates can.
const TEMPLATES: [&str; 5] = [
    "Summarize: {{ input.text }}",
    "{% for message in input.messages %}{{ loop.index }}. {{ message.role }}: {{ message.content | upper }}\n{% endfor %}",
    "{% if input.city is defined and input.city != 'x' %}{{ input.city }}{% else %}{{ input.messages | length }}{% endif %}",
    "{% macro say(a, b=2) %}{{ a ~ b }}{% endmacro %}{{ say(input.city) }}{% set x = [1, 2] %}{{ x[::-1] | join(', ') }}",
    "[{\"role\": \"system\", \"content\": {{ input.city | tojson }}}, \"{{ input.messages }}\"]",
];

/// Writes the seeds of every target into a folder of its own; each is written once, however often it comes.
pub(super) fn write(folder: &Path) -> Result<()> {
    let mut seeds = Seeds { folder, count: 0 };
    for recording in recordings::load(None)? {
        let answer = recording.response_bytes();
        let call = recording.request_body.to_string().into_bytes();
        seeds.add("head", &[&[0x0d], &call])?;
        seeds.add("call", &[&[0x45], &call])?;
        seeds.add("http", &[&CUTS[1], &as_http(&recording, &answer)])?;
        match recording.response_body_kind.as_str() {
            "ndjson" => seeds.add("frames", &[&[0], &CUTS[1], &answer])?,
            "eventstream" => {
                for framing in [1, 2] {
                    seeds.add("frames", &[&[framing], &CUTS[1], &answer])?;
                    seeds.add("frames", &[&[framing | 4], &CUTS[1], &unframed(&answer)])?;
                }
            }
            "sse" => {
                for cut in &CUTS {
                    seeds.add("sse", &[cut, &answer])?;
                    seeds.add("stream", &[cut, &answer])?;
                }
            }
            _ if recording.status >= 400 => {
                let status = u8::try_from(recording.status - 400).unwrap_or(100);
                seeds.add("error", &[&[status], &answer])?;
            }
            // To each task in turn: see `fuzz/targets/answer.rs`.
            _ => {
                for task in 0..4_u8 {
                    seeds.add("answer", &[&[1 | task << 2], &answer])?;
                }
            }
        }
    }
    for configuration in configurations()? {
        seeds.add("configuration", &[configuration.as_bytes()])?;
        seeds.add("template", &[configuration.as_bytes()])?;
    }
    for template in TEMPLATES {
        seeds.add("template", &[template.as_bytes(), TEMPLATE_BODY.as_bytes()])?;
    }
    println!(
        "Fuzzing starts from {} seeds in {}.",
        seeds.count,
        folder.display()
    );
    Ok(())
}

/// An answer as bytes of HTTP, of known length or in chunks.
fn as_http(recording: &Recording, answer: &[u8]) -> Vec<u8> {
    let mut http = format!(
        "HTTP/1.1 {} x\r\ncontent-type: {}\r\n",
        recording.status,
        recording.content_type()
    )
    .into_bytes();
    if answer.len().is_multiple_of(2) {
        http.extend_from_slice(format!("content-length: {}\r\n\r\n", answer.len()).as_bytes());
        http.extend_from_slice(answer);
        return http;
    }
    http.extend_from_slice(b"transfer-encoding: chunked\r\n\r\n");
    for chunk in answer.chunks(100) {
        http.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        http.extend_from_slice(chunk);
        http.extend_from_slice(b"\r\n");
    }
    http.extend_from_slice(b"0\r\n\r\n");
    http
}

/// AWS's frames as the fuzz target takes them: see `aws_frames` in `fuzz/src/lib.rs`.
fn unframed(mut frames: &[u8]) -> Vec<u8> {
    let mut parts = Vec::new();
    while let Some((prelude, _)) = frames.split_first_chunk::<12>() {
        let number = |at: usize| {
            prelude[at..at + 4]
                .iter()
                .fold(0, |sum, byte| sum << 8 | usize::from(*byte))
        };
        let Some((frame, rest)) = frames.split_at_checked(number(0)) else {
            break;
        };
        let content = frame
            .get(12..frame.len().saturating_sub(4))
            .unwrap_or_default();
        parts.push([&[u8::try_from(number(4)).unwrap_or(0)], content].concat());
        frames = rest;
    }
    parts.join(&u8::MAX)
}

struct Seeds<'a> {
    folder: &'a Path,
    count: usize,
}

impl Seeds<'_> {
    /// Writes a seed, unless it is too long to be of use.
    fn add(&mut self, target: &str, parts: &[&[u8]]) -> Result<()> {
        let seed = parts.concat();
        if seed.len() > INPUT_BYTES_MAX {
            return Ok(());
        }
        let mut hasher = DefaultHasher::new();
        seed.hash(&mut hasher);
        let folder = self.folder.join(target);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(format!("{:016x}", hasher.finish())), seed)?;
        self.count += 1;
        Ok(())
    }
}

/// The texts of the configurations in the project, those within its documentation included.
fn configurations() -> Result<Vec<String>> {
    let files = output(&mut command("git", &["ls-files", "*.yaml", "*.md"]))?;
    let mut texts = Vec::new();
    for file in files.lines() {
        let text =
            fs::read_to_string(root().join(file)).with_context(|| format!("cannot read {file}"))?;
        if file.ends_with(".md") {
            let blocks = text.split("```yaml\n").skip(1);
            texts.extend(blocks.filter_map(|block| Some(block.split_once("```")?.0.to_owned())));
        } else {
            texts.push(text);
        }
    }
    Ok(texts)
}
