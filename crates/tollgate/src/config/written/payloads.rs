//! `payloads`, as written.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Size, Wait};

/// Which calls' payloads, what was asked and answered, are kept in the store. They stand there in clear.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Payloads {
    /// Of which calls. Default: `none`.
    pub(crate) keep: Option<Keep>,
    /// The same for single routes, which goes first.
    pub(crate) routes: BTreeMap<String, Keep>,
    /// Size of each direction; what is beyond is cut off. At most, and by default, `64KiB` and `16KiB`.
    pub(crate) size: Option<Size>,
    /// Regular expressions; what they find is not kept, nor is it in the log.
    pub(crate) redact: Vec<String>,
    /// How long, those that were kept before it was said so, too. At least, and by default, `1d` and `30d`.
    pub(crate) kept_for: Option<Wait>,
}

/// Of which calls payloads are kept.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Keep {
    /// Of none, or of all.
    Word(KeepWord),
    /// Of a share of them, by chance.
    Share(#[schemars(range(min = 0, max = 1))] f64),
}

/// Of none, or of all.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum KeepWord {
    None,
    All,
}
