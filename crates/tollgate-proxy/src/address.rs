//! Where a call's path leaves the name of its route, and what the client wants of the model.

use tollgate_domain::{Dialect, Task};

use crate::paths::What;

/// Where the name of the route is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Address<'a> {
    /// In the body's `model`.
    Body(Dialect),
    /// In the body's `model`, of a call that asks something about a call.
    Side {
        /// What the client speaks.
        dialect: Dialect,
        /// What comes after the dialect's own path.
        side: &'static str,
    },
    /// In the path; the route's task tells the dialect.
    Path(&'a str),
    /// In the body's `model`, or in that of a form.
    Media {
        /// What is asked for.
        task: Task,
        /// The last part of the address.
        operation: &'static str,
    },
    /// In the path, of what is passed on as it is.
    Plain {
        /// The route's name.
        route: &'a str,
        /// What comes behind the route's path.
        rest: &'a str,
    },
    /// In the path, in a dialect whose addresses name the model.
    Named {
        /// What the client speaks.
        dialect: Dialect,
        /// Percent-encoded, as it came.
        name: &'a str,
        /// Whether to stream, where the address says so.
        stream: Option<bool>,
        /// What is wanted of the model.
        errand: Errand,
    },
}

impl<'a> Address<'a> {
    /// Of a call to a model; `None` of anything else. `name` is what a path names, decoded.
    pub(crate) fn of(what: &What<'a>, name: &'a str) -> Option<Self> {
        Some(match *what {
            What::CallByModel(dialect) => Self::Body(dialect),
            What::SideCall { dialect, side } => Self::Side { dialect, side },
            What::CallByName(_) => Self::Path(name),
            What::Media { task, operation } => Self::Media { task, operation },
            What::Plain { route, rest } => Self::Plain { route, rest },
            What::CallAt {
                dialect,
                name,
                stream,
            } => Self::Named {
                dialect,
                name,
                stream,
                errand: Errand::Answer,
            },
            What::CountTokens(name) => Self::Named {
                dialect: Dialect::GeminiGenerate,
                name,
                stream: Some(false),
                errand: Errand::CountTokens,
            },
            _ => return None,
        })
    }
}

/// What is wanted of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Errand {
    /// An answer.
    Answer,
    /// How many tokens the question has. Nobody but its own provider can tell.
    CountTokens,
}

/// What a task's own client speaks where the path does not say: MLflow's invocations.
pub(crate) fn dialect_of(task: Task) -> Dialect {
    match task {
        Task::Chat => Dialect::OpenaiChat,
        Task::Completions => Dialect::OpenaiCompletions,
        Task::Embeddings => Dialect::OpenaiEmbeddings,
        Task::Rerank => Dialect::CohereRerank,
        Task::Images
        | Task::Speech
        | Task::Transcriptions
        | Task::Moderations
        | Task::Realtime
        | Task::Http => Dialect::OpenaiMedia,
        Task::Predict => Dialect::MlflowServing,
    }
}
