//! The replay of recorded calls through the real program: each in its own dialect, and in the other chat dialect there and back.
//!
//! A call's provider is played by a script that answers as recorded. What reaches it is compared with the recorded request, and what
//! reaches the client with the recorded answer.

mod assumed;
mod costs;
mod foreign;
mod gist;
mod plain;
mod stage;

use std::{collections::BTreeMap, fmt, fs::File, path::Path, sync::Arc};

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::sync::Semaphore;
use tollgate_dialects::{
    Call, CallForm, ErrorKind, Policy, Rule, field_named, read_call, read_error, rules, write_call,
};
use tollgate_domain::{ChatInput, Dialect, Picodollars, StreamUsage};

use crate::{
    client::Answer,
    meaning::difference,
    recordings::{self, Recording},
};
use gist::{AnswerGist, CallGist};
use plain::Plain;
use stage::{Part, Stage};

/// Calls that are replayed at once.
const AT_ONCE: usize = 16;

/// Failures that are shown.
const SHOWN_MAX: usize = 60;

/// Characters of a failure that are shown; answers may be long.
const SHOWN_CHARS: usize = 600;

/// How replays went.
#[derive(Debug, Default)]
pub struct Counts {
    rows: BTreeMap<(String, &'static str), Row>,
    /// Calls in no dialect that the gateway speaks, which pass as they are.
    foreign: BTreeMap<String, Row>,
    failures: Vec<String>,
}

#[derive(Debug, Default)]
struct Row {
    passed: usize,
    lossy: usize,
    impossible: usize,
    failed: usize,
}

/// How one replay went.
#[derive(Debug)]
enum Verdict {
    /// Everything arrived.
    Passed,
    /// Everything arrived but for what the table names.
    Lossy,
    /// The client's dialect cannot ask this.
    Impossible,
    /// Something else was lost or changed.
    Failed(String),
}

/// Replays the recordings of a folder, or those that come with the project. What was said in each translated call is written into
/// `exchanges`, a line of JSON each.
///
/// # Errors
/// When the recordings cannot be read, or the exchanges not be written.
pub fn replay(
    program: &Path,
    folder: Option<&Path>,
    filter: Option<&str>,
    exchanges: Option<&Path>,
) -> Result<Counts> {
    let fits = |recording: &Recording| {
        filter.is_none_or(|word| {
            [&recording.id, &recording.provider, &recording.endpoint]
                .iter()
                .any(|text| text.contains(word))
        })
    };
    let recordings: Vec<Recording> = recordings::load(folder)?.into_iter().filter(fits).collect();
    let plain: Arc<Vec<Plain>> = Arc::new(recordings.iter().filter_map(Plain::of).collect());
    let (mut parts, mut foreign) = (Vec::new(), Vec::new());
    for recording in recordings.into_iter().map(assumed::with_request) {
        let is_plain = Plain::of(&recording).is_some();
        match Part::of(recording) {
            Ok(part) => parts.push(part),
            Err(_) if is_plain => {}
            Err(recording) => foreign.push(*recording),
        }
    }
    let foreign = Arc::new(foreign);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let exchanges = exchanges.map(File::create).transpose()?;
    runtime.block_on(async {
        let mut counts = replay_all(program, parts, exchanges).await?;
        let verdicts = plain::replay(program, &plain).await;
        for (part, verdict) in plain.iter().zip(verdicts) {
            counts.add(&part.recording, "own", verdict);
        }
        let verdicts = foreign::replay(program, &foreign).await;
        for (recording, verdict) in foreign.iter().zip(verdicts) {
            counts.add_foreign(recording, verdict);
        }
        Ok(counts)
    })
}

async fn replay_all(program: &Path, parts: Vec<Part>, exchanges: Option<File>) -> Result<Counts> {
    let parts = Arc::new(parts);
    let stage = Arc::new(Stage::set(program, Arc::clone(&parts), exchanges).await);
    let gate = Arc::new(Semaphore::new(AT_ONCE));
    let tasks = tokio_util::task::TaskTracker::new();
    let mut running = Vec::new();
    for index in 0..parts.len() {
        let (parts, stage, gate) = (Arc::clone(&parts), Arc::clone(&stage), Arc::clone(&gate));
        running.push(tasks.spawn(async move {
            let _permit = gate.acquire().await;
            let part = &parts[index];
            let mut verdicts = Vec::new();
            for client in part.clients() {
                verdicts.push(if client == part.dialect {
                    ("own", own_dialect(&stage, index, part).await)
                } else {
                    let verdict = other_dialect(&stage, index, part, client).await;
                    (client.as_str(), verdict)
                });
            }
            (index, verdicts)
        }));
    }
    let mut counts = Counts::default();
    for task in running {
        let (index, verdicts) = task.await.context("a replay panicked")?;
        for (client, verdict) in verdicts {
            counts.add(&parts[index].recording, client, verdict);
        }
    }
    for (index, lines) in stage.calls().await {
        let part = &parts[index];
        let says_cost = |line: &&Value| {
            let kind = line["gen_ai.provider.name"].as_str();
            kind.is_some_and(|kind| costs::SAY_COSTS.contains(&kind))
        };
        let lines_with_cost: Vec<_> = lines.iter().filter(says_cost).collect();
        if let Some(billed) = costs::billed(part).filter(|_| !lines_with_cost.is_empty()) {
            let billed = Picodollars::new(billed).to_string();
            let lines = lines_with_cost.into_iter();
            let other = lines
                .into_iter()
                .find(|line| line["usage"]["billed"] != *billed);
            let verdict = other.map_or(Verdict::Passed, |line| {
                let usage = &line["usage"];
                Verdict::Failed(format!(
                    "it was billed {billed}, and the gateway says {usage}"
                ))
            });
            counts.add(&part.recording, "bill", verdict);
        }
        let Some(cost) = costs::of(part) else {
            continue;
        };
        let cost = Picodollars::new(cost).to_string();
        let other = lines.iter().find(|line| line["cost_dollars"] != *cost);
        counts.add(
            &part.recording,
            "cost",
            match other {
                None => Verdict::Passed,
                Some(line) => Verdict::Failed(format!(
                    "it cost {cost}, and the gateway says {} of {} for a client of {}",
                    line["cost_dollars"], line["usage"], line["dialect"]
                )),
            },
        );
    }
    Ok(counts)
}

/// Replays a call in the dialect that it was recorded in.
async fn own_dialect(stage: &Stage, index: usize, part: &Part) -> Verdict {
    let request = part.request_for_client();
    let answer = match stage.call(index, part, part.dialect, &request).await {
        Ok(answer) => answer,
        Err(error) => return Verdict::Failed(format!("{error:#}")),
    };
    let Some(received) = stage.received(index) else {
        return Verdict::Failed(format!(
            "nothing reached the provider: {} {}",
            answer.status,
            answer.text()
        ));
    };
    let bare = |value: &Value| {
        let mut bare = without(value, &["model", "stream_options"]);
        // Each of these names the model.
        if let Some(Value::Array(requests)) = bare.get_mut("requests") {
            requests
                .iter_mut()
                .for_each(|request| *request = without(request, &["model"]));
        }
        bare
    };
    if let Some(difference) = difference(&bare(&received), &bare(&part.recording.request_body)) {
        return Verdict::Failed(format!("the request changed {difference}"));
    }
    match same_answer(part, &answer) {
        Ok(()) => Verdict::Passed,
        Err(problem) => Verdict::Failed(problem),
    }
}

/// Whether a client of the same dialect got what the provider said.
fn same_answer(part: &Part, answer: &Answer) -> Result<(), String> {
    let recording = &part.recording;
    if recording.status >= 400 {
        return same_error(part, answer);
    }
    if answer.status >= 400 && part.tells_trouble() {
        // An error that came with status 200, before any content, has its own status at the gateway.
        return Ok(());
    }
    if answer.status != 200 {
        return Err(format!(
            "status {} instead of {}: {}",
            answer.status,
            recording.status,
            answer.text()
        ));
    }
    let said = part.said();
    if !part.is_answered_by_stream() {
        if part.asks_for_stream() && part.dialect != Dialect::MlflowServing {
            return gist::of_answer(part.dialect, false, &said).and_then(|said| {
                gist::of_answer(part.dialect, true, &answer.body)
                    .and_then(|heard| said.compare(&heard))
            });
        }
        return if answer.body == said {
            Ok(())
        } else {
            Err("the answer's bytes changed".to_owned())
        };
    }
    let said = part.events(&said);
    let said: Vec<&String> = said.iter().filter(|event| !part.is_hidden(event)).collect();
    let heard = part.events(&answer.body);
    let complete = stage::is_complete(part, &said);
    let cut = if complete {
        said.len()
    } else {
        said.len().min(heard.len().saturating_sub(1))
    };
    if said
        .iter()
        .take(cut)
        .zip(&heard)
        .any(|(said, heard)| *said != heard)
    {
        return Err("the stream's events changed".to_owned());
    }
    match (complete, heard.last()) {
        (true, Some(_))
            if heard.len() == said.len()
                || (heard.len() == said.len() + 1
                    && heard.last().is_some_and(|mark| mark == "[DONE]")) =>
        {
            Ok(())
        }
        (true, _) => Err(format!("{} events instead of {}", heard.len(), said.len())),
        (false, Some(last)) if last.contains("\"error\"") => Ok(()),
        (false, None) if answer.status >= 400 => Ok(()),
        (false, last) => Err(format!("a broken stream ends with {last:?}")),
    }
}

/// Whether a provider's error reached the client: its status, message and code. A refused key is the gateway's, which the client
/// is told instead.
fn same_error(part: &Part, answer: &Answer) -> Result<(), String> {
    let recording = &part.recording;
    let said = read_error(part.dialect, recording.status, &recording.response_bytes());
    if said.kind == ErrorKind::Authentication {
        return if answer.status == 502 {
            Ok(())
        } else {
            Err(format!("status {} for a refused key", answer.status))
        };
    }
    if answer.status != said.status {
        return Err(format!(
            "status {} instead of {}",
            answer.status, said.status
        ));
    }
    let heard = read_error(part.dialect, answer.status, &answer.body);
    if heard.message != said.message {
        return Err(format!(
            "the error's text changed from {:?} to {:?}",
            said.message, heard.message
        ));
    }
    Ok(())
}

/// Dialects that can ask for vectors of pictures, and for vectors that are no floats.
const COHERE_VECTORS: [Dialect; 2] = [Dialect::CohereEmbeddings, Dialect::CohereOldEmbeddings];

fn asks_for_other_vectors(call: &Call) -> bool {
    let Call::Embedding(call) = call else {
        return false;
    };
    let types = call.extra.fields.get("embedding_types");
    let types = types
        .and_then(Value::as_array)
        .filter(|_| COHERE_VECTORS.contains(&call.extra.dialect));
    call.extra.fields.contains_key("images")
        || types.is_some_and(|types| !types.contains(&Value::from("float")))
}

/// Replays a call as a client of the other chat dialect would have made it.
async fn other_dialect(stage: &Stage, index: usize, part: &Part, other: Dialect) -> Verdict {
    let recording = &part.recording;
    // What a hosted Claude is told of its envelope is no part of the call.
    let bare = |body: &Value| match part.dialect {
        Dialect::AnthropicMessages => without(body, &["anthropic_version"]),
        _ => body.clone(),
    };
    let recorded = bare(&recording.request_body).to_string();
    let Ok(mut call) = read_call(part.dialect, recorded.as_bytes()) else {
        return Verdict::Impossible;
    };
    // Some dialects say so in their address.
    if let Call::Chat(chat) = &mut call {
        chat.stream = part.asks_for_stream();
    }
    if asks_for_other_vectors(&call) && !COHERE_VECTORS.contains(&other) {
        return Verdict::Impossible;
    }
    let route = part.route(other);
    let form = CallForm {
        dialect: other,
        model: (!stage::is_named_by_address(other)).then_some(route.as_str()),
        chat_input: ChatInput::Messages,
        stream_usage: StreamUsage::Unasked,
        drop_unsupported: true,
    };
    let Ok(written) = write_call(&call, &form) else {
        return Verdict::Impossible;
    };
    let request: Value = serde_json::from_slice(&written.body).unwrap_or_default();
    let answer = match stage.call(index, part, other, &request).await {
        Ok(answer) => answer,
        Err(error) => return Verdict::Failed(format!("{error:#}")),
    };
    let Some(received) = stage.received(index) else {
        return Verdict::Failed(format!(
            "nothing reached the provider: {} {}",
            answer.status,
            answer.text()
        ));
    };
    if let Err(error) = stage.note(part, other, &received, &answer) {
        return Verdict::Failed(format!("the exchange cannot be written: {error}"));
    }
    let mut named: Vec<String> = written.dropped;
    named.extend(
        answer
            .header("x-tollgate-dropped")
            .split(", ")
            .filter(|name| !name.is_empty())
            .map(str::to_owned),
    );
    let lost = match lost_in_call(part.dialect, other, &recorded, &bare(&received), &named) {
        Ok(lost) => lost,
        Err(problem) => return Verdict::Failed(problem),
    };
    if let Err(problem) = answer_in_other(part, other, &answer) {
        return Verdict::Failed(problem);
    }
    if lost || !named.is_empty() {
        Verdict::Lossy
    } else {
        Verdict::Passed
    }
}

/// Compares what reached the provider with what was recorded. What is missing must be named; says whether anything is.
fn lost_in_call(
    own: Dialect,
    other: Dialect,
    recorded: &str,
    received: &Value,
    named: &[String],
) -> Result<bool, String> {
    let before = gist::of_call(own, recorded.as_bytes())?;
    let after = gist::of_call(own, received.to_string().as_bytes())?;
    let lost = CallGist::differences(&before, &after);
    let in_table = |field: &str| {
        rules().iter().any(|rule| {
            let concerns = match rule.field {
                Some(about) => gist::concerns(about, field),
                None => gist::extra_concerns(rule.name, field),
            };
            concerns
                && ((rule.from, rule.to) == (own, other) || (rule.from, rule.to) == (other, own))
        })
    };
    let concerns = |name: &str, field: &str| {
        let about = field_named(own, name).or_else(|| field_named(other, name));
        about.map_or_else(
            || gist::extra_concerns(name, field),
            |about| gist::concerns(about, field),
        )
    };
    for (field, problem) in &lost {
        if !named.iter().any(|name| concerns(name, field)) && !in_table(field) {
            return Err(format!(
                "{field} was lost on the way to {} and back: {problem} (named: {named:?})",
                other.as_str()
            ));
        }
    }
    Ok(!lost.is_empty())
}

/// Whether a client of the other dialect got what the provider said.
fn answer_in_other(part: &Part, other: Dialect, answer: &Answer) -> Result<(), String> {
    let recording = &part.recording;
    if recording.status >= 400 {
        let said = read_error(part.dialect, recording.status, &recording.response_bytes());
        let heard = read_error(other, answer.status, &answer.body);
        let is_refused_key = said.kind == ErrorKind::Authentication;
        let expected = if is_refused_key { 502 } else { said.status };
        if answer.status != expected {
            return Err(format!("status {} instead of {expected}", answer.status));
        }
        return if is_refused_key || heard.message == said.message {
            Ok(())
        } else {
            Err(format!("the error's text changed to {:?}", heard.message))
        };
    }
    let streamed = part.asks_for_stream();
    let body = part.said();
    let said = if part.has_vectors_of_integers() {
        gist::of_integers(&body)
    } else {
        gist::of_answer(part.dialect, part.is_answered_by_stream(), &body)
    };
    match said {
        // What was recorded is itself broken; the client must not take it for whole.
        Err(_) if answer.status >= 400 => Ok(()),
        Err(_) => match gist::of_answer(other, streamed, &answer.body) {
            Err(_) => Ok(()),
            Ok(_) => Err("a broken answer arrived as a whole one".to_owned()),
        },
        Ok(said) => {
            let heard = gist::of_answer(other, streamed, &answer.body).map_err(|problem| {
                format!("the answer cannot be read: {problem}: {}", answer.text())
            })?;
            AnswerGist::compare(&said, &heard)
        }
    }
}

fn without(value: &Value, names: &[&str]) -> Value {
    let mut value = value.clone();
    if let Value::Object(members) = &mut value {
        members.retain(|name, _| !names.contains(&name.as_str()));
    }
    value
}

// === impl Counts ===

impl Counts {
    /// How many replays failed.
    pub fn failed(&self) -> usize {
        let rows = self.rows.values().chain(self.foreign.values());
        rows.map(|row| row.failed).sum()
    }

    fn add(&mut self, recording: &Recording, client: &'static str, verdict: Verdict) {
        let row = self.rows.entry((kind_of(recording), client)).or_default();
        row.count(&verdict);
        self.note_failure(recording, client, verdict);
    }

    fn add_foreign(&mut self, recording: &Recording, verdict: Verdict) {
        let row = self.foreign.entry(kind_of(recording)).or_default();
        row.count(&verdict);
        self.note_failure(recording, "plain HTTP", verdict);
    }

    fn note_failure(&mut self, recording: &Recording, client: &str, verdict: Verdict) {
        if let Verdict::Failed(problem) = verdict {
            self.failures.push(format!(
                "{} {} ({client}): {problem}",
                recording.provider, recording.id
            ));
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for failure in self.failures.iter().take(SHOWN_MAX) {
            let shown: String = failure.chars().take(SHOWN_CHARS).collect();
            writeln!(f, "{shown}")?;
        }
        if self.failures.len() > SHOWN_MAX {
            writeln!(f, "... and {} more", self.failures.len() - SHOWN_MAX)?;
        }
        let mut clients: Vec<&str> = self.rows.keys().map(|(_, client)| *client).collect();
        clients.sort_unstable();
        clients.dedup();
        // Each in its own dialect first.
        clients.sort_by_key(|client| *client != "own");
        let heads: String = clients
            .iter()
            .map(|client| format!(" {client} |"))
            .collect();
        writeln!(f, "| recorded |{heads}")?;
        writeln!(f, "|---|{}", "--:|".repeat(clients.len()))?;
        let mut recorded: Vec<&String> = self.rows.keys().map(|(recorded, _)| recorded).collect();
        recorded.dedup();
        let mut totals: BTreeMap<&str, Row> = BTreeMap::new();
        for recorded in recorded {
            write!(f, "| {recorded} |")?;
            for client in &clients {
                let row = self.rows.get(&(recorded.clone(), *client));
                write!(f, " {} |", row.map(Row::to_string).unwrap_or_default())?;
                if let Some(row) = row {
                    totals.entry(client).or_default().add(row);
                }
            }
            writeln!(f)?;
        }
        write!(f, "| **all** |")?;
        for client in &clients {
            write!(f, " {} |", totals.entry(client).or_default())?;
        }
        writeln!(f)?;
        if self.foreign.is_empty() {
            return Ok(());
        }
        let mut all = Row::default();
        self.foreign.values().for_each(|row| all.add(row));
        writeln!(
            f,
            "\nAnother {} calls were recorded in no dialect that the gateway speaks. They go through a route for plain HTTP as they are, byte \
             for byte: passed / failed.\n",
            all.passed + all.failed
        )?;
        writeln!(f, "| recorded | as it is |\n|---|--:|")?;
        for (kind, row) in &self.foreign {
            writeln!(f, "| {kind} | {} / {} |", row.passed, row.failed)?;
        }
        writeln!(f, "| **all** | {} / {} |", all.passed, all.failed)
    }
}

/// Whose call it was, and to what.
fn kind_of(recording: &Recording) -> String {
    format!("{} {}", recording.provider, recording.endpoint)
}

impl Row {
    fn count(&mut self, verdict: &Verdict) {
        match verdict {
            Verdict::Passed => self.passed += 1,
            Verdict::Lossy => self.lossy += 1,
            Verdict::Impossible => self.impossible += 1,
            Verdict::Failed(_) => self.failed += 1,
        }
    }

    fn add(&mut self, other: &Self) {
        self.passed += other.passed;
        self.lossy += other.lossy;
        self.impossible += other.impossible;
        self.failed += other.failed;
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} / {} / {} / {}",
            self.passed, self.lossy, self.impossible, self.failed
        )
    }
}

/// The table of what dialects cannot express, as Markdown: for each client's dialect what is done with its fields at each
/// provider's, then how and why.
pub fn rules_table() -> String {
    let mut text = String::new();
    for rules in rules().chunk_by(|left, right| left.from == right.from) {
        text += &matrix(rules);
    }
    text += "\n# How, and why\n";
    let mut targets: Vec<Dialect> = rules().iter().map(|rule| rule.to).collect();
    targets.sort();
    targets.dedup();
    for to in targets {
        text += &reasons(to);
    }
    text
}

/// What is done with the fields of one client's dialect.
fn matrix(rules: &[Rule]) -> String {
    let Some(first) = rules.first() else {
        return String::new();
    };
    let mut targets: Vec<Dialect> = rules.iter().map(|rule| rule.to).collect();
    targets.dedup();
    let mut names: Vec<&str> = Vec::new();
    for rule in rules {
        if !names.contains(&rule.name) {
            names.push(rule.name);
        }
    }
    let heads: String = targets
        .iter()
        .map(|to| format!(" to `{}` |", to.as_str()))
        .collect();
    let mut text = format!(
        "\n## Clients that speak `{}`\n\n| field |{heads}\n|---|",
        first.from.as_str()
    );
    text += &"---|".repeat(targets.len());
    text.push('\n');
    for name in names {
        text += &format!("| `{name}` |");
        for to in &targets {
            let rule = rules
                .iter()
                .find(|rule| rule.to == *to && rule.name == name);
            text += &format!(" {} |", rule.map_or("", |rule| word(rule.policy)));
        }
        text.push('\n');
    }
    text
}

/// How a provider's dialect does with each field, and why.
fn reasons(to: Dialect) -> String {
    let mut text = format!(
        "\n## To `{}`\n\n| field | what is done | how, or why |\n|---|---|---|\n",
        to.as_str()
    );
    let mut rows: Vec<(&str, &str, &str)> = Vec::new();
    for rule in rules().iter().filter(|rule| rule.to == to) {
        let (Policy::Mapped(why) | Policy::Dropped(why) | Policy::Refused(why)) = rule.policy;
        let row = (rule.name, word(rule.policy), why);
        if !rows.contains(&row) {
            rows.push(row);
        }
    }
    for (name, done, why) in rows {
        text += &format!("| `{name}` | {done} | {why} |\n");
    }
    text
}

const fn word(policy: Policy) -> &'static str {
    match policy {
        Policy::Mapped(_) => "mapped",
        Policy::Dropped(_) => "dropped",
        Policy::Refused(_) => "refused",
    }
}
