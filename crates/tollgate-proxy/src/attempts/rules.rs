//! What can go wrong with an attempt and what follows from it: the table, [`rule`], and the pauses.

use std::time::Duration;

use http::HeaderMap;
use tollgate_dialects::{ErrorKind, ProviderError};
use tollgate_upstream::{Failure, FailureKind, Lane, TokenFailure};

use crate::{
    refusal::Refusal,
    stream::{Break, discreet},
};

/// Why an attempt did not answer.
#[derive(Debug)]
pub(crate) enum Miss {
    /// The provider said so.
    Said(ProviderError),
    /// The connection did not do.
    Failed(Failure),
    /// There is no credential to ask with.
    NoCredential(TokenFailure),
    /// Nothing came in time; which patience ended.
    Silent(&'static str),
    /// What came cannot be understood.
    Unreadable(String),
    /// The answer is too long.
    TooLarge,
}

/// What follows from a miss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) next: Next,
    pub(super) bench: Bench,
    /// A stable word for logs and metrics.
    pub(super) word: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The caller's own doing: nobody else is asked.
    End,
    /// Another key of the same provider at once, then another target.
    OtherKey,
    /// Another key after a pause, then another target, then (where there is none) the same again after a pause.
    OtherKeyLater,
    /// The same target again after a pause, then another.
    Again,
    /// Another target at once, and where there is none the same again after a pause.
    Elsewhere,
    /// Another target at once, and never the same again.
    OtherTarget,
}

/// Whose health suffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bench {
    Nobody,
    Target,
    Key,
    /// The key, once another key of the provider has answered the same call: until then it may as well be the caller's own doing.
    KeyIfAnotherAnswers,
}

impl Miss {
    /// The same without the provider's credentials and address, wherever its own words are told.
    pub(super) fn discreet(self, lane: &Lane) -> Self {
        match self {
            Self::Said(error) => Self::Said(discreet(error, lane)),
            Self::Unreadable(problem) => Self::Unreadable(lane.discreet(&problem).into_owned()),
            other => other,
        }
    }

    /// Whether an answer that had begun may have gone on without us, or has come to its end without being understood.
    pub(super) fn is_breaking_off(&self) -> bool {
        match self {
            Self::Failed(_) | Self::Silent(_) | Self::TooLarge | Self::Unreadable(_) => true,
            Self::Said(_) | Self::NoCredential(_) => false,
        }
    }

    /// Whether nothing was asked.
    pub(super) fn is_unasked(&self) -> bool {
        match self {
            Self::NoCredential(_) => true,
            Self::Failed(failure) => failure.kind().is_unasked(),
            Self::Said(_) | Self::Silent(_) | Self::Unreadable(_) | Self::TooLarge => false,
        }
    }

    /// The text for the log, causes included.
    pub(super) fn detail(&self) -> String {
        match self {
            Self::Said(error) => error.message.clone(),
            Self::Failed(failure) => {
                let causes = std::iter::successors(std::error::Error::source(failure), |cause| {
                    cause.source()
                });
                causes.fold(failure.to_string(), |text, cause| {
                    format!("{text}: {cause}")
                })
            }
            Self::NoCredential(failure) => format!("no credential: {failure}"),
            Self::Silent(after) => (*after).to_owned(),
            Self::Unreadable(problem) => format!("the provider's answer cannot be read: {problem}"),
            Self::TooLarge => "the provider's answer is too large".to_owned(),
        }
    }
}

/// The table. A caller's own mistakes bench nobody.
pub(super) fn rule(miss: &Miss) -> Rule {
    use ErrorKind as Kind;
    let (next, bench, word) = match miss {
        Miss::Said(error) => match (error.kind, error.status) {
            (Kind::Authentication, _) => (Next::OtherKey, Bench::Key, "authentication"),
            (Kind::Billing, _) => (Next::OtherKey, Bench::Key, "billing"),
            (Kind::Permission, _) => (Next::OtherKey, Bench::KeyIfAnotherAnswers, "permission"),
            (Kind::RateLimited, _) => (Next::OtherKeyLater, Bench::Key, "rate_limited"),
            // The gateway named the model, not the caller; another target may have it, and this one will not have it soon.
            (Kind::NotFound, _) => (Next::OtherTarget, Bench::Nobody, "not_found"),
            (Kind::Timeout, _) => (Next::Again, Bench::Nobody, "timeout"),
            (Kind::Overloaded, _) => (Next::Elsewhere, Bench::Target, "overloaded"),
            (Kind::Server, _) => (Next::Again, Bench::Target, "server"),
            (Kind::InvalidRequest | Kind::TooLarge, _) => {
                (Next::End, Bench::Nobody, "invalid_request")
            }
        },
        // The caller's own doing.
        Miss::Failed(failure) if failure.kind() == FailureKind::Request => {
            (Next::End, Bench::Nobody, "request")
        }
        Miss::Failed(failure) => (Next::Again, Bench::Target, failure.kind().as_str()),
        // Its source has pauses of its own.
        Miss::NoCredential(_) => (Next::Elsewhere, Bench::Nobody, "no_credential"),
        Miss::Silent(after) => (Next::Elsewhere, Bench::Target, *after),
        Miss::Unreadable(_) => (Next::Elsewhere, Bench::Target, "unreadable"),
        Miss::TooLarge => (Next::End, Bench::Nobody, "answer_too_large"),
    };
    Rule { next, bench, word }
}

/// What the client is told when this was the last miss.
pub(super) fn refusal_of(miss: Miss) -> Refusal {
    match miss {
        Miss::Said(error) if error.kind == ErrorKind::Authentication => {
            Refusal::CredentialsExhausted {
                status: error.status,
            }
        }
        Miss::Said(error) => Refusal::Provider(Box::new(error)),
        Miss::Failed(failure) if failure.kind() == FailureKind::Request => Refusal::BodyMalformed {
            problem: "the rest of the body did not come, came too late, or was too long".to_owned(),
        },
        Miss::Failed(failure) if failure.is_timeout() => Refusal::TimedOut {
            after: failure.kind().as_str(),
        },
        Miss::Failed(failure) if failure.answer_began() => Refusal::AnswerUnreadable,
        Miss::Failed(_) => Refusal::Unreachable,
        Miss::NoCredential(_) => Refusal::CredentialMissing,
        Miss::Silent(after) => Refusal::TimedOut { after },
        Miss::Unreadable(_) => Refusal::AnswerUnreadable,
        Miss::TooLarge => Refusal::AnswerTooLarge,
    }
}

pub(super) fn miss_of(how: Break) -> Miss {
    match how {
        Break::Said { error, .. } => Miss::Said(error),
        Break::Cut(Some(failure)) => Miss::Failed(failure),
        Break::Cut(None) => Miss::Unreadable("the stream ended before it was complete".to_owned()),
        Break::Unreadable(problem) => Miss::Unreadable(problem),
        Break::Silent(after) => Miss::Silent(after),
    }
}

/// The longest pause that is believed.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(86_400);

/// The pause that a provider asks for: `retry-after-ms`, or `retry-after` in seconds or until a date. `now` is since 1970-01-01 UTC, for
/// providers that do not say what time it is where they are.
pub(super) fn retry_after(headers: &HeaderMap, now: Duration) -> Option<Duration> {
    let text = |name: &str| Some(headers.get(name)?.to_str().ok()?.trim());
    let number = |name: &str| {
        let number = text(name)?.parse::<f64>().ok();
        number.filter(|number| (0.0..=86_400_000.0).contains(number))
    };
    let date = |name: &str| {
        let date = jiff::fmt::rfc2822::parse(text(name)?).ok()?;
        u64::try_from(date.timestamp().as_second())
            .ok()
            .map(Duration::from_secs)
    };
    let milliseconds = number("retry-after-ms").map(|number| number / 1000.0);
    let pause = milliseconds
        .or_else(|| number("retry-after"))
        .map(Duration::from_secs_f64)
        .or_else(|| Some(date("retry-after")?.saturating_sub(date("date").unwrap_or(now))));
    pause.map(|pause| pause.min(RETRY_AFTER_MAX))
}

/// The pause before a retry: doubles each time, a fifth more or less by chance, so that callers do not come back all at once.
pub(super) fn backoff(first: Duration, longest: Duration, retries_before: u32) -> Duration {
    let doubled = first.saturating_mul(2_u32.saturating_pow(retries_before.min(16)));
    doubled.min(longest).mul_f64(0.8 + 0.4 * fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(kind: ErrorKind, status: u16) -> Miss {
        Miss::Said(ProviderError {
            status,
            kind,
            message: String::new(),
            code: None,
            param: None,
            retry_after: None,
        })
    }

    #[test]
    fn a_callers_own_mistakes_bench_nobody() {
        for (kind, status) in [
            (ErrorKind::InvalidRequest, 400),
            (ErrorKind::InvalidRequest, 422),
            (ErrorKind::NotFound, 404),
            (ErrorKind::TooLarge, 413),
            (ErrorKind::Timeout, 408),
        ] {
            assert_eq!(rule(&said(kind, status)).bench, Bench::Nobody, "{status}");
        }
    }

    #[test]
    fn a_refused_key_benches_the_key_and_not_the_target() {
        for (kind, status, bench) in [
            (ErrorKind::Authentication, 401, Bench::Key),
            (ErrorKind::Billing, 402, Bench::Key),
            (ErrorKind::Permission, 403, Bench::KeyIfAnotherAnswers),
            (ErrorKind::RateLimited, 429, Bench::Key),
        ] {
            assert_eq!(rule(&said(kind, status)).bench, bench, "{status}");
        }
    }

    #[test]
    fn the_providers_pause_is_read_in_all_its_forms() {
        let now = Duration::from_secs(784_111_770);
        let retry_after = |headers: &HeaderMap| retry_after(headers, now);
        let headers = |name: &'static str, value: &'static str| {
            HeaderMap::from_iter([(
                http::HeaderName::from_static(name),
                http::HeaderValue::from_static(value),
            )])
        };
        assert_eq!(
            retry_after(&headers("retry-after", "2")),
            Some(Duration::from_secs(2))
        );
        assert_eq!(
            retry_after(&headers("retry-after-ms", "150")),
            Some(Duration::from_millis(150))
        );
        let mut date = headers("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(retry_after(&date), Some(Duration::from_secs(7)));
        date.insert(
            "date",
            http::HeaderValue::from_static("Sun, 06 Nov 1994 08:49:35 GMT"),
        );
        assert_eq!(
            retry_after(&date),
            Some(Duration::from_secs(2)),
            "by the provider's own clock"
        );
        assert_eq!(
            retry_after(&headers("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT")),
            Some(Duration::ZERO)
        );
        assert_eq!(retry_after(&headers("retry-after", "soon")), None);
        assert_eq!(retry_after(&headers("retry-after", "-1")), None);
    }

    #[test]
    fn backoff_doubles_to_its_limit() {
        let (first, longest) = (Duration::from_millis(100), Duration::from_secs(1));
        for (retries, expected) in [(0, 100), (1, 200), (2, 400), (5, 1000), (60, 1000)] {
            let pause = backoff(first, longest, retries).as_millis();
            assert!(
                (expected * 79 / 100..=expected * 121 / 100).contains(&pause),
                "{retries}: {pause}"
            );
        }
    }
}
