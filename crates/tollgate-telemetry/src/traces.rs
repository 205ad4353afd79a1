//! Calls as traces: a span for each call, and one for each try at a provider.
//!
//! Attributes are named as OpenTelemetry's conventions for HTTP and for generative AI name them
//! (<https://opentelemetry.io/docs/specs/semconv/gen-ai/>), spans are written as its protocol's JSON has them
//! (<https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>).
//!
//! Records are queued here, and made into spans by whoever sends them; where to is not known here.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::Duration,
};

use serde_json::{Value, json};
use uuid::Uuid;

use crate::{AttemptOutcome, AttemptRecord, CallRecord, Outcome};

/// Kinds and states of spans, as OTLP counts them.
const SERVER: u8 = 2;
const CLIENT: u8 = 3;
const ERROR: u8 = 2;

/// Where servers listen that are named without a port.
const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;

/// The workers' end of the queue of traces.
#[derive(Clone, Debug)]
pub struct TraceQueue {
    sender: SyncSender<Box<CallRecord>>,
    /// Of calls that belong to no trace yet, so many of a million are told.
    sampled: u32,
    dropped: Arc<AtomicU64>,
}

/// The other end.
#[derive(Debug)]
pub struct Traces {
    receiver: Receiver<Box<CallRecord>>,
    dropped: Arc<AtomicU64>,
}

/// The trace that a call belongs to, as `traceparent` has it (W3C Trace Context).
struct Parent<'a> {
    trace: &'a str,
    span: &'a str,
    is_sampled: bool,
}

/// A queue for so many calls. `sample` is the share of calls, 0 to 1, that are told where the caller does not say.
pub fn traces(queue_max: usize, sample: f64) -> (TraceQueue, Traces) {
    let (sender, receiver) = sync_channel(queue_max);
    let dropped = Arc::<AtomicU64>::default();
    let sampled = (0..=1_000_000_u32)
        .rev()
        .step_by(100)
        .find(|share| f64::from(*share) <= sample * 1e6);
    let queue = TraceQueue {
        sender,
        sampled: sampled.unwrap_or_default(),
        dropped: Arc::clone(&dropped),
    };
    (queue, Traces { receiver, dropped })
}

impl TraceQueue {
    /// Queues a call that is to be told; one that finds no place is dropped, and counted.
    pub(crate) fn send(&self, record: &CallRecord) {
        let is_told = match record.traceparent.as_deref().and_then(parent) {
            Some(parent) => parent.is_sampled,
            None => self.is_chosen(),
        };
        if is_told && self.sender.try_send(Box::new(record.clone())).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn is_chosen(&self) -> bool {
        match self.sampled {
            0 => false,
            1_000_000.. => true,
            share => {
                let random = u64::from_be_bytes(span_bytes());
                random % 1_000_000 < u64::from(share)
            }
        }
    }

    /// Calls that were not told: the queue was full, or nobody took them.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl Traces {
    /// Calls that were not told: the queue was full, or nobody took them.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Calls that are queued: waits for the first a while, and takes what is there then, at most so many. `None` when no more will come.
    pub fn take(&self, patience: Duration, most: usize) -> Option<Vec<CallRecord>> {
        use std::sync::mpsc::RecvTimeoutError;
        let first = match self.receiver.recv_timeout(patience) {
            Ok(first) => first,
            Err(RecvTimeoutError::Timeout) => return Some(Vec::new()),
            Err(RecvTimeoutError::Disconnected) => return None,
        };
        let rest = self.receiver.try_iter().take(most.saturating_sub(1));
        Some(
            std::iter::once(first)
                .chain(rest)
                .map(|record| *record)
                .collect(),
        )
    }

    /// Notes that so many calls could not be told.
    pub fn lost(&self, calls: usize) {
        self.dropped.fetch_add(calls as u64, Ordering::Relaxed);
    }

    /// Notes that those which are still queued could not be told.
    pub fn lose_rest(&self) {
        self.lost(self.receiver.try_iter().count());
    }
}

/// Calls as a request of the protocol (`ExportTraceServiceRequest`).
pub fn request(calls: &[CallRecord]) -> Value {
    let spans: Vec<Value> = calls.iter().flat_map(spans).collect();
    json!({"resourceSpans": [{
        "resource": {"attributes": [text("service.name", "tollgate"), text("service.version", env!("CARGO_PKG_VERSION"))]},
        "scopeSpans": [{
            "scope": {"name": "tollgate", "version": env!("CARGO_PKG_VERSION")},
            "spans": spans,
        }],
    }]})
}

/// The span of a call, and those of its attempts.
fn spans(call: &CallRecord) -> Vec<Value> {
    let parent = call.traceparent.as_deref().and_then(parent);
    let trace = match &parent {
        Some(parent) => parent.trace.to_owned(),
        None => Uuid::now_v7().simple().to_string(),
    };
    let id = span_id();
    let mut spans = vec![whole(call, &trace, &id, parent.map(|parent| parent.span))];
    let last = call.attempts.len().saturating_sub(1);
    let attempts = call.attempts.iter().enumerate();
    spans.extend(
        attempts.map(|(place, attempt)| one_try(call, attempt, &trace, &id, place == last)),
    );
    spans
}

fn whole(call: &CallRecord, trace: &str, id: &str, parent: Option<&str>) -> Value {
    let mut attributes = vec![
        text("http.request.method", call.method.as_str()),
        text("http.route", call.path),
        text("url.scheme", "http"),
        number("http.response.status_code", call.status.into()),
        text("client.address", &call.client_address.to_string()),
        text("tollgate.request_id", &call.request_id),
        text("tollgate.outcome", call.outcome.as_str()),
    ];
    // Where the pattern has no names in it, it is the path.
    let path = (!call.path.contains('{')).then_some(call.path);
    let said = [
        ("url.path", path),
        (
            "tollgate.route",
            call.route.as_ref().map(|route| route.as_str()),
        ),
        ("tollgate.key", call.key.as_ref().map(|key| key.as_str())),
        ("tollgate.team", call.team.as_deref()),
        ("tollgate.app", call.app.as_deref()),
        ("enduser.id", call.user.as_deref()),
        ("error.type", call.error_code.as_deref()),
    ];
    attributes.extend(
        said.into_iter()
            .filter_map(|(name, value)| Some(text(name, value?))),
    );
    if let Some(tollgate_domain::Cost::Known(cost)) = call.cost {
        attributes.push(text("tollgate.cost_dollars", &cost.to_string()));
    }
    let failed = call.status >= 500 || call.outcome == Outcome::Cut;
    let mut span = span(
        trace,
        id,
        &format!("{} {}", call.method, call.path),
        SERVER,
        (call.came_at, call.duration),
        attributes,
        failed,
    );
    if let Some(parent) = parent {
        span["parentSpanId"] = json!(parent);
    }
    span
}

/// The answering one ends with the call: what is streamed belongs to it.
fn one_try(
    call: &CallRecord,
    attempt: &AttemptRecord,
    trace: &str,
    parent: &str,
    is_last: bool,
) -> Value {
    let (_, model) = attempt
        .target
        .as_str()
        .split_once('/')
        .unwrap_or(("", attempt.target.as_str()));
    let operation = call.task.map_or("chat", |task| task.operation_name());
    let mut attributes = vec![
        text("gen_ai.operation.name", operation),
        text(
            "gen_ai.provider.name",
            provider_name(&attempt.provider_kind),
        ),
        text("gen_ai.request.model", model),
        text("tollgate.target", attempt.target.as_str()),
    ];
    attributes.extend(
        attempt
            .status
            .map(|status| number("http.response.status_code", status.into())),
    );
    if let Some(host) = attempt.server.host() {
        let usual = match attempt.server.scheme_str() {
            Some("http" | "ws") => HTTP_PORT,
            _ => HTTPS_PORT,
        };
        let port = attempt.server.port_u16().unwrap_or(usual);
        attributes.push(text("server.address", host));
        attributes.push(number("server.port", port.into()));
    }
    let is_answering = is_last && attempt.outcome == AttemptOutcome::Answered;
    // What began to answer, and broke off.
    let is_cut = is_answering && call.outcome == Outcome::Cut;
    let cut = call.error_code.as_deref().filter(|_| is_cut);
    attributes.extend(
        attempt
            .failure
            .or(cut)
            .map(|failure| text("error.type", failure)),
    );
    let params = &call.params;
    let asked = [
        ("gen_ai.request.temperature", params.temperature),
        ("gen_ai.request.top_p", params.top_p),
    ];
    attributes.extend(
        asked.into_iter().filter_map(|(name, value)| {
            Some(json!({"key": name, "value": {"doubleValue": value?}}))
        }),
    );
    attributes.extend(
        params
            .max_tokens
            .map(|most| number("gen_ai.request.max_tokens", most)),
    );
    if is_answering {
        let usage = &call.usage;
        let written = [usage.cache_write, usage.cache_write_1h].into_iter();
        let written = written.flatten().reduce(u64::saturating_add);
        let used = [
            ("gen_ai.usage.input_tokens", usage.input_total()),
            ("gen_ai.usage.cache_read.input_tokens", usage.input_cached),
            ("gen_ai.usage.cache_creation.input_tokens", written),
            ("gen_ai.usage.output_tokens", usage.output_total()),
        ];
        attributes.extend(
            used.into_iter()
                .filter_map(|(name, value)| Some(number(name, value?))),
        );
        let model = call.answering_model.as_deref();
        attributes.extend(model.map(|model| text("gen_ai.response.model", model)));
        attributes.extend(call.finish_reason.as_deref().map(|reason| {
            json!({"key": "gen_ai.response.finish_reasons", "value": {"arrayValue": {"values": [{"stringValue": reason}]}}})
        }));
    }
    let begun = call.came_at + attempt.begun;
    let lasted = if is_answering {
        call.duration.saturating_sub(attempt.begun)
    } else {
        attempt.duration
    };
    let failed = is_cut || attempt.outcome != AttemptOutcome::Answered;
    let name = format!("{operation} {model}");
    let mut span = span(
        trace,
        &span_id(),
        &name,
        CLIENT,
        (begun, lasted),
        attributes,
        failed,
    );
    span["parentSpanId"] = json!(parent);
    span
}

/// The conventions' word for a kind of provider where they have one, else ours
/// (<https://opentelemetry.io/docs/specs/semconv/registry/attributes/gen-ai/>, read 2026-11).
fn provider_name(kind: &str) -> &str {
    match kind {
        "azure" => "azure.ai.openai",
        "bedrock" => "aws.bedrock",
        "gemini" => "gcp.gemini",
        "mistral" => "mistral_ai",
        "vertex" => "gcp.vertex_ai",
        "watsonx" => "ibm.watsonx.ai",
        "xai" => "x_ai",
        other => other,
    }
}

fn span(
    trace: &str,
    id: &str,
    name: &str,
    kind: u8,
    (begun, lasted): (Duration, Duration),
    attributes: Vec<Value>,
    failed: bool,
) -> Value {
    let nanoseconds = |time: Duration| time.as_nanos().to_string();
    json!({
        "traceId": trace,
        "spanId": id,
        "name": name,
        "kind": kind,
        "startTimeUnixNano": nanoseconds(begun),
        "endTimeUnixNano": nanoseconds(begun + lasted),
        "attributes": attributes,
        "status": if failed { json!({"code": ERROR}) } else { json!({}) },
    })
}

fn text(name: &str, value: &str) -> Value {
    json!({"key": name, "value": {"stringValue": value}})
}

/// 64-bit numbers are texts in the protocol's JSON.
fn number(name: &str, value: u64) -> Value {
    json!({"key": name, "value": {"intValue": value.to_string()}})
}

/// `00-TRACE-SPAN-FLAGS`.
fn parent(traceparent: &str) -> Option<Parent<'_>> {
    let mut parts = traceparent.split('-');
    let (version, trace, span, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_hex = |text: &str, length: usize| {
        text.len() == length
            && text
                .bytes()
                .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let is_known = is_hex(version, 2)
        && version != "ff"
        && is_hex(trace, 32)
        && is_hex(span, 16)
        && is_hex(flags, 2);
    let is_some = |text: &str| text.bytes().any(|byte| byte != b'0');
    (is_known && is_some(trace) && is_some(span)).then(|| Parent {
        trace,
        span,
        is_sampled: u8::from_str_radix(flags, 16).is_ok_and(|flags| flags & 1 == 1),
    })
}

fn span_bytes() -> [u8; 8] {
    let bytes = *Uuid::now_v7().as_bytes();
    let [.., a, b, c, d, e, f, g, h] = bytes;
    [a, b, c, d, e, f, g, h]
}

fn span_id() -> String {
    format!("{:016x}", u64::from_be_bytes(span_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call_log::tests::record;

    #[test]
    fn a_call_is_a_span_with_one_for_each_try() {
        let mut call = record();
        call.traceparent = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into());
        let told = request(&[call.clone()]);
        let spans = told["resourceSpans"][0]["scopeSpans"][0]["spans"]
            .as_array()
            .unwrap();
        assert_eq!(spans.len(), 3);
        assert_eq!(spans[0]["traceId"], "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(spans[0]["parentSpanId"], "b7ad6b7169203331");
        for (one, name) in spans[1..].iter().zip(["chat gpt", "chat claude"]) {
            assert_eq!(
                (&one["parentSpanId"], &one["kind"], &one["name"]),
                (&spans[0]["spanId"], &json!(3), &json!(name))
            );
        }
        let attribute = |span: &Value, name: &str| {
            let attributes = span["attributes"].as_array().unwrap();
            attributes
                .iter()
                .find(|attribute| attribute["key"] == name)
                .map(|attribute| attribute["value"].clone())
        };
        assert_eq!(
            attribute(&spans[1], "error.type"),
            Some(json!({"stringValue": "overloaded"}))
        );
        assert_eq!(attribute(&spans[1], "gen_ai.usage.input_tokens"), None);
        assert_eq!(attribute(&spans[1], "gen_ai.response.model"), None);
        assert_eq!(
            attribute(&spans[2], "gen_ai.response.model"),
            Some(json!({"stringValue": "claude-20260901"}))
        );
        assert_eq!(
            attribute(&spans[2], "gen_ai.usage.input_tokens"),
            Some(json!({"intValue": "100"}))
        );
        for (span, name, expected) in [
            (
                &spans[0],
                "url.path",
                json!({"stringValue": "/v1/chat/completions"}),
            ),
            (
                &spans[1],
                "gen_ai.provider.name",
                json!({"stringValue": "azure.ai.openai"}),
            ),
            (
                &spans[1],
                "server.address",
                json!({"stringValue": "azure.example"}),
            ),
            (&spans[1], "server.port", json!({"intValue": "443"})),
            (
                &spans[2],
                "gen_ai.provider.name",
                json!({"stringValue": "anthropic"}),
            ),
            (&spans[2], "server.port", json!({"intValue": "8443"})),
            (
                &spans[2],
                "gen_ai.usage.cache_read.input_tokens",
                json!({"intValue": "90"}),
            ),
        ] {
            assert_eq!(attribute(span, name), Some(expected), "{name}");
        }
        assert_eq!(spans[2]["status"], json!({}));
        call.outcome = Outcome::Cut;
        call.error_code = Some("stream_broken".into());
        let told = request(&[call]);
        let cut = &told["resourceSpans"][0]["scopeSpans"][0]["spans"][2];
        assert_eq!(cut["status"], json!({"code": ERROR}));
        let word = attribute(cut, "error.type");
        assert_eq!(word, Some(json!({"stringValue": "stream_broken"})));
    }

    #[test]
    fn callers_decide_what_is_told() {
        let sampled = |flags: &str| {
            parent(&format!(
                "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags}"
            ))
            .map(|parent| parent.is_sampled)
        };
        assert_eq!(
            (sampled("01"), sampled("00"), sampled("03")),
            (Some(true), Some(false), Some(true))
        );
        for odd in [
            "",
            "00-x-y-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        ] {
            assert!(parent(odd).is_none(), "{odd}");
        }
    }

    #[test]
    fn a_share_of_calls_is_told() {
        let told = |sample: f64| {
            let (queue, traces) = traces(10_000, sample);
            let mut call = record();
            call.traceparent = None;
            for _ in 0..2_000 {
                queue.send(&call);
            }
            traces.take(Duration::ZERO, 10_000).unwrap().len()
        };
        assert_eq!((told(0.0), told(1.0)), (0, 2_000));
        let half = told(0.5);
        assert!((800..1_200).contains(&half), "{half}");
    }

    #[test]
    fn what_finds_no_place_is_counted() {
        let (queue, traces) = traces(1, 1.0);
        let mut call = record();
        call.traceparent = None;
        for _ in 0..3 {
            queue.send(&call);
        }
        assert_eq!(queue.dropped(), 2);
        assert_eq!(traces.take(Duration::ZERO, 10).unwrap().len(), 1);
        queue.send(&call);
        traces.lose_rest();
        assert_eq!(queue.dropped(), 3);
        drop(queue);
        assert!(traces.take(Duration::ZERO, 10).is_none());
    }
}
