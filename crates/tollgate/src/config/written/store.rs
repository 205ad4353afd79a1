//! `store`, as written.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Size, Wait};

/// Where the books are kept: what was used, by whom, and what it cost.
///
/// Each call is appended to a journal before its client has the last byte, and entered into the database after; a database that is slow or
/// away keeps no call waiting.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Store {
    /// The database: `sqlite:PATH`, or `postgres://USER:PASSWORD@HOST/DATABASE` for more than one node; `none` for no books. Default:
    /// `sqlite:tollgate.db`, beside the configuration.
    pub(crate) url: Option<String>,
    /// The folder of the journal, on a disk of this machine. Default: `tollgate.journal`, beside the configuration.
    pub(crate) journal: Option<String>,
    /// How much may wait in the journal while the database is away. Default: `1GiB`.
    pub(crate) journal_max: Option<Size>,
    /// How long answers of OpenAI's responses are kept, for calls that go on from them by `previous_response_id` and for `GET
    /// /v1/responses/{id}`, where the provider keeps none. What was asked and answered stands in the database then. Default: `0s`, not at all.
    pub(crate) responses_kept: Option<Wait>,
    /// How long single calls are kept, a day at least. Sums of them stay for ever, and so does what budgets are counted by. Default: for ever.
    pub(crate) calls_kept: Option<Wait>,
    /// What becomes of calls when that is reached, or the journal cannot be written to. Default: `refuse`.
    pub(crate) when_full: Option<WhenFull>,
}

/// What becomes of calls that cannot be written down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum WhenFull {
    /// They are refused with 503: nothing is spent that is not in the books.
    #[default]
    Refuse,
    /// They are answered; as many as fit into memory are written down later, and what is lost is counted.
    Answer,
}
