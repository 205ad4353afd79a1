//! What was asked and answered, where the operator wants it kept: chosen, cut to a bound, and without what is not to be kept.

use regex::Regex;
use tollgate_domain::{Keep, PayloadPolicy, Snapshot};
use tollgate_telemetry::CallContent;

/// Stands for what is not kept.
const REDACTED: &str = "[redacted]";

/// The policy, ready to be used.
#[derive(Debug)]
pub(crate) struct Payloads {
    policy: PayloadPolicy,
    redact: Vec<Regex>,
}

impl Payloads {
    /// Of a snapshot; `None` where nothing is kept. An expression that is none was refused with the configuration.
    pub(crate) fn of(snapshot: &Snapshot) -> Option<Self> {
        let policy = snapshot.payloads.clone()?;
        let expressions = policy.redact.iter();
        let redact = expressions.filter_map(|expression| Regex::new(expression).ok());
        let redact = redact.collect();
        policy.keeps_some().then_some(Self { policy, redact })
    }

    /// Whether this call's payload is kept.
    pub(crate) fn chooses(&self, route: &str) -> bool {
        match self.policy.of(route) {
            Keep::None => false,
            Keep::All => true,
            Keep::Share(share) => fastrand::f64() < share,
        }
    }

    /// Bytes of each direction at most.
    pub(crate) fn bytes_max(&self) -> usize {
        self.policy.bytes_max
    }

    /// The same without what is not to be kept.
    pub(crate) fn redacted(&self, content: CallContent) -> CallContent {
        let clean = |mut text: String| {
            for expression in &self.redact {
                if let std::borrow::Cow::Owned(cleaned) = expression.replace_all(&text, REDACTED) {
                    text = cleaned;
                }
            }
            text
        };
        CallContent {
            request: clean(content.request),
            response: clean(content.response),
        }
    }
}
