//! In what the models behind Bedrock differ, as far as a call has to be written differently for them.

use crate::anthropic_messages::Model as ClaudeModel;

/// Whose model it is, as its id tells: `us.anthropic.claude-sonnet-4-5-20250929-v1:0`, an ARN, or a name of the operator's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Model {
    Claude(ClaudeModel),
    Nova {
        /// From the second generation on, it reasons when asked to.
        reasons: bool,
    },
    GptOss,
    Qwen,
    Other,
}

impl Model {
    pub(super) fn named(id: &str) -> Self {
        if id.contains("claude") {
            Self::Claude(ClaudeModel::named(id))
        } else if id.contains("nova-") {
            Self::Nova {
                reasons: id.contains("nova-2"),
            }
        } else if id.contains("gpt-oss") {
            Self::GptOss
        } else if id.contains("qwen") {
            Self::Qwen
        } else {
            Self::Other
        }
    }

    /// Whether it takes `cachePoint` (<https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html>, read
    /// 2026-11).
    pub(super) fn caches(self) -> bool {
        matches!(self, Self::Claude(_) | Self::Nova { .. })
    }

    /// Whether it takes the status of a tool's result
    /// (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ToolResultBlock.html>, read 2026-11).
    pub(super) fn knows_status(self) -> bool {
        self.caches()
    }

    /// Whether tools may be `strict`
    /// (<https://docs.aws.amazon.com/bedrock/latest/userguide/structured-output.html>, read 2026-11).
    pub(super) fn knows_strict(self) -> bool {
        match self {
            Self::Claude(model) => !model.is_before((4, 5)),
            Self::Nova { .. } => false,
            Self::GptOss | Self::Qwen | Self::Other => true,
        }
    }

    /// Whether it lets its sampling be changed.
    pub(super) fn takes_sampling(self) -> bool {
        match self {
            Self::Claude(model) => model.takes_sampling(),
            _ => true,
        }
    }
}
