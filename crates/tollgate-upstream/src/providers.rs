//! The known kinds of providers, as data: address, how to sign in, what is spoken where, how it differs.
//!
//! A kind whose language is already spoken is a row in [`KINDS`] and nothing else
//! (`docs/adding-a-provider.md`). The configuration reads the table to fill in what the operator did not write;
//! the data plane sees only the resolved [`tollgate_domain::Provider`].
//!
//! Facts come from each provider's documentation, named in the row and read in 2026-11, and from recorded
//! traffic.

mod accents;
mod kinds;
mod page;
mod rows;

use tollgate_domain::{Dialect, Envelope, Models, Quirks, Task};

pub use kinds::{
    AZURE_DEPLOYMENTS, BEDROCK_CONVERSE, BEDROCK_INVOCATIONS, CUSTOM_ANTHROPIC, CUSTOM_COHERE,
    CUSTOM_GEMINI, CUSTOM_OLLAMA, CUSTOM_RESPONSES, KINDS, UNSPOKEN,
};
pub use page::page;

/// A kind of provider: what a configuration's `type` names.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// The name in configuration files, and in metrics as `gen_ai.provider.name`.
    pub name: &'static str,
    /// Other names that are understood.
    pub aliases: &'static [&'static str],
    /// How it is reached.
    pub reach: Reach,
    /// Where it is, without a trailing slash; `None` where every operator has an address of their own.
    pub base_url: Option<&'static str>,
    /// The base URL where a region stands for it, as `{region}`.
    pub regional_url: Option<&'static str>,
    /// Put between a base URL that is only a host and an endpoint's path, as the official clients'
    /// base URLs contain it: `/v1`, or nothing.
    pub version_path: &'static str,
    /// How a key is sent.
    pub sign_in: SignIn,
    /// Whether a key is wanted.
    pub key: KeyNeed,
    /// What is served, what is spoken there, and where.
    pub endpoints: &'static [KindEndpoint],
    /// Headers with a fixed value, which the configuration may replace.
    pub headers: &'static [(&'static str, &'static str)],
    /// How it differs from its dialect's own description.
    pub quirks: Quirks,
    /// Where the facts of this row come from.
    pub source: &'static str,
}

/// How a kind is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// By HTTP.
    Http,
    /// Inside the gateway.
    Demo,
}

/// How a key is sent, unless the configuration says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignIn {
    /// `Authorization: Bearer KEY`.
    Bearer,
    /// The bare key in this header.
    Header(&'static str),
    /// `Authorization: Bearer KEY` where there is one; else requests are signed with AWS's keys.
    AwsOrBearer,
    /// `Authorization: Bearer TOKEN`, where the token is what IBM Cloud gives for the key.
    IbmKey,
}

/// Whether a kind wants a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyNeed {
    /// Every call is refused without one.
    Required,
    /// It depends on the installation.
    Optional,
}

/// An endpoint of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KindEndpoint {
    /// What it serves.
    pub task: Task,
    /// What is spoken there.
    pub dialect: Dialect,
    /// Comes after the base URL. `{model}` stands for the model's name.
    pub path: &'static str,
    /// The path for streams, where it is another.
    pub stream_path: Option<&'static str>,
    /// For which models it is.
    pub models: Models,
    /// Texts that its bodies have to hold, by field.
    pub fields: &'static [(&'static str, &'static str)],
    /// Whether its bodies name the model although those of the kind's other endpoints do not.
    pub names_model: bool,
    /// What its bodies and streams are put into.
    pub envelope: Envelope,
}

/// A kind that configurations name but whose language is not spoken yet.
#[derive(Clone, Copy, Debug)]
pub struct UnspokenKind {
    /// The names it goes by.
    pub names: &'static [&'static str],
    /// What would work today instead.
    pub instead: &'static str,
}

/// The kind of this name; letter case, `-` and `_` make no difference.
pub fn find(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| {
        std::iter::once(&kind.name)
            .chain(kind.aliases)
            .any(|known| same_name(known, name))
    })
}

/// The kind of this name whose language is not spoken yet.
pub fn find_unspoken(name: &str) -> Option<&'static UnspokenKind> {
    UNSPOKEN
        .iter()
        .find(|kind| kind.names.iter().any(|known| same_name(known, name)))
}

/// Whether two names of kinds are the same, as MLflow compares them.
fn same_name(left: &str, right: &str) -> bool {
    let fold = |name: &str| name.to_ascii_lowercase().replace('-', "_");
    fold(left) == fold(right)
}

// === impl Kind ===

impl Kind {
    /// The endpoints for a task, the usual one first.
    pub fn serving(&self, task: Task) -> impl Iterator<Item = &'static KindEndpoint> {
        self.endpoints
            .iter()
            .filter(move |endpoint| endpoint.task == task)
    }
}

impl Kind {
    /// What it can do, in a word each, without repetition.
    pub fn tasks(&self) -> Vec<String> {
        let mut words: Vec<String> = Vec::new();
        for endpoint in self.endpoints {
            let word = match (endpoint.task, endpoint.dialect) {
                (Task::Chat, Dialect::OpenaiResponses) => "responses",
                (task, _) => task.as_str().rsplit('/').next().unwrap_or_default(),
            };
            if !words.iter().any(|known| known == word) {
                words.push(word.to_owned());
            }
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_folded_as_mlflow_folds_them() {
        assert_eq!(
            find("MLflow-Model-Serving").map(|kind| kind.name),
            Some("mlflow")
        );
        assert_eq!(find("TogetherAI").map(|kind| kind.name), Some("together"));
        assert!(find("").is_none());
        assert_eq!(find("AI21labs").map(|kind| kind.name), Some("ai21"));
        assert!(find_unspoken("Sap-AI-Core").is_some());
        assert_eq!(find("vertex-ai").map(|kind| kind.name), Some("vertex"));
        assert_eq!(
            find("amazon-bedrock").map(|kind| kind.name),
            Some("bedrock")
        );
    }

    #[test]
    fn no_name_stands_for_two_kinds() {
        let mut seen = HashSet::new();
        let spoken = KINDS
            .iter()
            .flat_map(|kind| std::iter::once(&kind.name).chain(kind.aliases));
        let unspoken = UNSPOKEN.iter().flat_map(|kind| kind.names);
        for name in spoken.chain(unspoken) {
            assert!(seen.insert(*name), "{name} twice");
        }
    }

    #[test]
    fn every_row_is_whole() {
        let others = [
            &AZURE_DEPLOYMENTS,
            &BEDROCK_CONVERSE,
            &BEDROCK_INVOCATIONS,
            &CUSTOM_ANTHROPIC,
            &CUSTOM_GEMINI,
            &CUSTOM_OLLAMA,
            &CUSTOM_COHERE,
            &CUSTOM_RESPONSES,
        ];
        for kind in KINDS.iter().chain(others) {
            assert!(!kind.name.is_empty() && !kind.source.is_empty(), "{kind:?}");
            assert!(!kind.endpoints.is_empty(), "{}", kind.name);
            if let Some(base) = kind.base_url {
                let uri: http::Uri = base.parse().expect("an address");
                assert!(uri.host().is_some() && !base.ends_with('/'), "{base}");
            }
            for endpoint in kind.endpoints {
                assert!(endpoint.path.starts_with('/'), "{}", kind.name);
            }
        }
    }

    #[test]
    fn the_documentation_has_the_table() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/providers.md");
        let text = std::fs::read_to_string(path).expect("docs/providers.md");
        assert!(
            text == page(),
            "docs/providers.md is not what the table says: run `cargo xtask docs`"
        );
    }
}
