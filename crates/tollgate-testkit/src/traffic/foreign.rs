//! The replay of recorded calls in no dialect: they pass through a route for plain HTTP, and are compared byte by byte.

use std::{
    collections::HashMap,
    fmt::Write,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use tollgate_dialects::ErrorKind;

use super::{Verdict, stage::index_of};
use crate::{
    Reply, ScriptedProvider, TestGateway,
    client::{self, Answer},
    provider::Received,
    recordings::Recording,
};

/// Replays them, one after the other; how each went, in their order.
pub(super) async fn replay(program: &Path, recordings: &Arc<Vec<Recording>>) -> Vec<Verdict> {
    if recordings.is_empty() {
        return Vec::new();
    }
    let received = Arc::<Mutex<HashMap<usize, Received>>>::default();
    let (seen, script) = (Arc::clone(&received), Arc::clone(recordings));
    let provider = ScriptedProvider::start(move |request| {
        let recording = index_of(request).and_then(|index| Some((index, script.get(index)?)));
        let Some((index, recording)) = recording else {
            return Reply::body(500, "text/plain", "no such recording");
        };
        seen.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(index, request.clone());
        reply(recording)
    })
    .await;
    let configuration = configuration(recordings, &provider.url());
    let gateway = TestGateway::start(program, &configuration).await;
    let mut verdicts = Vec::new();
    for (index, recording) in recordings.iter().enumerate() {
        let trace = format!("00-{:032x}-00000000000000ff-01", index + 1);
        let path = format!("/{}{}", name(recording), address(recording));
        let body = sent_body(recording);
        let content_type = recording.request_headers.get("content-type");
        let content_type = content_type.and_then(serde_json::Value::as_str);
        let mut headers = vec![("traceparent", trace.as_str())];
        headers.extend(content_type.map(|content_type| ("content-type", content_type)));
        let address = gateway.address();
        let answer = client::send(address, &recording.method, &path, &headers, body.clone()).await;
        let sent = received
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&index);
        let verdict = match (answer, sent) {
            (Err(error), _) => Err(format!("{error:#}")),
            (Ok(answer), None) => Err(format!(
                "nothing reached the provider: {} {}",
                answer.status,
                answer.text()
            )),
            (Ok(answer), Some(sent)) => {
                same_request(recording, &body, &sent).and_then(|()| same_answer(recording, &answer))
            }
        };
        verdicts.push(verdict.map_or_else(Verdict::Failed, |()| Verdict::Passed));
    }
    verdicts
}

/// Its route, and its provider's name: one for each, so that no error sets another's provider aside.
fn name(recording: &Recording) -> String {
    format!("only-{}", recording.id)
}

/// Path and query, as they were on the wire: some recordings hold them decoded.
fn address(recording: &Recording) -> String {
    let bytes = recording.url_path.bytes();
    bytes.fold(String::new(), |mut address, byte| {
        if byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte) {
            address.push(char::from(byte));
        } else {
            address.push_str(&format!("%{byte:02X}"));
        }
        address
    })
}

fn sent_body(recording: &Recording) -> Vec<u8> {
    match recording.request_body_kind.as_str() {
        "none" => Vec::new(),
        _ => recording.request_bytes(),
    }
}

fn said_body(recording: &Recording) -> Vec<u8> {
    match recording.response_body_kind.as_str() {
        "none" => Vec::new(),
        _ => recording.response_bytes(),
    }
}

fn said_type(recording: &Recording) -> &str {
    let told = recording.response_headers.get("content-type");
    told.and_then(serde_json::Value::as_str)
        .unwrap_or("text/plain")
}

fn reply(recording: &Recording) -> Reply {
    Reply::body(recording.status, said_type(recording), said_body(recording))
}

fn same_request(recording: &Recording, body: &[u8], sent: &Received) -> Result<(), String> {
    if sent.method != recording.method || sent.path != address(recording) {
        return Err(format!(
            "{} {} became {} {}",
            recording.method, recording.url_path, sent.method, sent.path
        ));
    }
    if sent.body != body {
        return Err("the request's bytes changed".to_owned());
    }
    Ok(())
}

/// Whether the answer is the provider's own. A refused key is the gateway's.
fn same_answer(recording: &Recording, answer: &Answer) -> Result<(), String> {
    let is_same = match ErrorKind::of_status(recording.status) {
        ErrorKind::Authentication => answer.status == 502,
        _ => {
            answer.status == recording.status
                && answer.body == said_body(recording)
                && answer.header("content-type") == said_type(recording)
        }
    };
    if is_same {
        Ok(())
    } else {
        Err(format!("{} {}", answer.status, answer.text()))
    }
}

/// One provider and route for each.
fn configuration(recordings: &[Recording], url: &str) -> String {
    let (mut providers, mut routes) = (String::from("providers:\n"), String::from("routes:\n"));
    for recording in recordings {
        let name = name(recording);
        // Writing to a string cannot fail.
        let _written = writeln!(
            providers,
            "  - {{name: \"{name}\", type: custom, base_url: \"{url}\", api_key: k}}"
        );
        let _written = writeln!(
            routes,
            "  - {{name: \"{name}\", route_type: http, retries: {{per_target: 0, attempts_max: 1}}, model: {{provider: \"{name}\"}}}}"
        );
    }
    format!("store: {{url: none}}\n{providers}{routes}")
}
