//! Answers that are jobs: asked for again until they are done, or listened to where they stream. Nobody's job is ended at its
//! provider, too.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Uri, header};
use tokio::{
    runtime::Handle,
    time::{Instant, sleep_until, timeout, timeout_at},
};
use tollgate_dialects::{Job, JobState};
use tollgate_domain::Timeouts;
use tollgate_upstream::{Upstream, UpstreamRequest, UpstreamResponse, Way};

use super::{Engaged, Miss, Outgoing, Reply, Run, answers::collect};

/// Between two questions whether a job is done: it begins with the first and grows to the second.
const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// How long a provider may take to end a job that nobody waits for.
const CANCEL_PATIENCE: Duration = Duration::from_secs(10);

/// Where Replicate's streams are, beside its API.
const STREAM_DOMAINS: [&str; 2] = [".replicate.com", ".replicate.net"];

/// A job at its provider. Dropped before it is over, it is ended there.
#[derive(Debug)]
pub(super) struct RunningJob {
    upstream: Arc<Upstream>,
    timeouts: Timeouts,
    /// Where it is asked for.
    uri: Uri,
    headers: HeaderMap,
    /// As the request went that began it.
    way: Way,
    is_finished: AtomicBool,
}

impl RunningJob {
    /// For a job of this id, which a request of this way began.
    fn new(
        upstream: &Arc<Upstream>,
        timeouts: &Timeouts,
        way: Way,
        id: &str,
    ) -> Result<Self, Miss> {
        let is_plain = |sign: char| sign.is_ascii_alphanumeric() || "-_".contains(sign);
        if id.is_empty() || !id.chars().all(is_plain) {
            return Err(Miss::Unreadable(
                "the job's id is no word that an address can hold".to_owned(),
            ));
        }
        let mut headers = way.headers.clone();
        for name in ["prefer", "content-type"] {
            headers.remove(name);
        }
        Ok(Self {
            upstream: Arc::clone(upstream),
            timeouts: *timeouts,
            uri: below(&way.uri, id)?,
            headers,
            way,
            is_finished: AtomicBool::new(false),
        })
    }

    /// Notes that it is over: nobody has to end it any more.
    pub(super) fn finish(&self) {
        self.is_finished.store(true, Ordering::Relaxed);
    }

    /// Asks how far it has come.
    async fn ask(&self, deadline: Instant) -> Result<UpstreamResponse, Miss> {
        let request = self
            .way
            .request(Method::GET, self.uri.clone(), self.headers.clone());
        self.send(request, deadline).await
    }

    /// Opens its stream, if it is where a stream of this provider's may be. Keys go to the provider's own host only.
    async fn listen(
        &self,
        stream: &str,
        deadline: Instant,
    ) -> Option<Result<UpstreamResponse, Miss>> {
        let uri: Uri = stream.parse().ok()?;
        let host = uri.host()?;
        let is_own = uri.authority() == self.uri.authority() && uri.scheme() == self.uri.scheme();
        let is_theirs = STREAM_DOMAINS.iter().any(|domain| host.ends_with(domain));
        let mut headers = match (is_own, is_theirs && uri.scheme_str() == Some("https")) {
            (true, _) => self.headers.clone(),
            (false, true) => HeaderMap::new(),
            (false, false) => return None,
        };
        headers.insert(
            header::ACCEPT,
            HeaderValue::from_static("text/event-stream"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let request = self.way.request(Method::GET, uri, headers);
        Some(self.send(request, deadline).await)
    }

    async fn send(
        &self,
        request: UpstreamRequest,
        deadline: Instant,
    ) -> Result<UpstreamResponse, Miss> {
        timeout_at(deadline, self.upstream.send(request, &self.timeouts))
            .await
            .map_err(|_| Miss::Silent("first_token_timeout"))?
            .map_err(Miss::Failed)
    }
}

impl Drop for RunningJob {
    fn drop(&mut self) {
        if *self.is_finished.get_mut() {
            return;
        }
        // Where the workers themselves have ended, there is nobody left to do it.
        let (Ok(uri), Ok(_)) = (below(&self.uri, "cancel"), Handle::try_current()) else {
            return;
        };
        let request = self.way.request(Method::POST, uri, self.headers.clone());
        let (upstream, timeouts) = (Arc::clone(&self.upstream), self.timeouts);
        self.upstream.tasks().spawn(async move {
            // Nobody waits for what comes of it, and the provider ends the job some day by itself.
            let _answered = timeout(CANCEL_PATIENCE, upstream.send(request, &timeouts)).await;
        });
    }
}

/// An address below another.
fn below(uri: &Uri, segment: &str) -> Result<Uri, Miss> {
    let mut parts = uri.clone().into_parts();
    let path = format!("{}/{segment}", uri.path().trim_end_matches('/'));
    let path = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    parts.path_and_query = path.parse().ok();
    Uri::from_parts(parts).map_err(|error| Miss::Unreadable(error.to_string()))
}

impl Run<'_> {
    /// Follows a job until it is done, or until its first content.
    pub(super) async fn follow_job(
        &mut self,
        engaged: &Engaged,
        outgoing: &Outgoing,
        way: Way,
        response: UpstreamResponse,
        first_token: Instant,
    ) -> Result<Reply, Miss> {
        let timeouts = &engaged.lane.provider().timeouts;
        let whole = engaged.started + timeouts.whole;
        let mut bytes = self.job_in(response, timeouts, whole).await?;
        let mut job = read(&bytes)?;
        let running = RunningJob::new(&self.worker.upstream, timeouts, way, &job.id)?;
        let running = engaged.job.get_or_init(|| Box::new(running));
        let mut pause = PAUSE_MIN;
        loop {
            match job.state {
                JobState::Done => break,
                JobState::Failed(error) => {
                    running.finish();
                    return Err(Miss::Said(error));
                }
                JobState::Running => {}
            }
            if outgoing.streams
                && let Some(stream) = &job.stream
                && let Some(opened) = running.listen(stream, first_token).await
            {
                let opened = self.heard(engaged, outgoing, opened?).await?;
                return self
                    .open_stream(engaged, outgoing, opened.body, first_token)
                    .await;
            }
            let next = Instant::now() + pause;
            if next >= whole {
                return Err(Miss::Silent("whole_timeout"));
            }
            sleep_until(next).await;
            pause = (pause * 2).min(PAUSE_MAX);
            let told = running.ask(whole).await?;
            let told = self.heard(engaged, outgoing, told).await?;
            bytes = self.job_in(told, timeouts, whole).await?;
            job = read(&bytes)?;
        }
        running.finish();
        self.finish_whole(&engaged.lane, outgoing, bytes).await
    }

    /// An answer that is no error.
    async fn heard(
        &mut self,
        engaged: &Engaged,
        outgoing: &Outgoing,
        response: UpstreamResponse,
    ) -> Result<UpstreamResponse, Miss> {
        if response.status.is_success() {
            Ok(response)
        } else {
            Err(self.read_error(engaged, outgoing, response).await)
        }
    }

    async fn job_in(
        &self,
        response: UpstreamResponse,
        timeouts: &Timeouts,
        whole: Instant,
    ) -> Result<Bytes, Miss> {
        let bytes_max = self.limits.answer_bytes_max;
        collect(response.body, bytes_max, timeouts.idle, whole).await
    }
}

fn read(bytes: &[u8]) -> Result<Job, Miss> {
    Job::read(bytes).map_err(|error| Miss::Unreadable(error.to_string()))
}
