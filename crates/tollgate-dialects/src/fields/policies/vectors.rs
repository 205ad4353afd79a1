//! What providers do with calls for vectors.

use super::{ADDRESS, HINT, NO_PLACE, Row};
use crate::fields::{
    Field,
    Policy::{Dropped, Mapped, Refused},
};

pub(super) const OPENAI_EMBEDDINGS: &[Row] = &[
    (
        Field::InputType,
        Dropped("vectors are the same for every purpose there"),
    ),
    (
        Field::Truncate,
        Dropped("a text that is too long is refused there"),
    ),
];

pub(super) const OLLAMA_EMBEDDINGS: &[Row] = &[
    (Field::Input, Mapped("`input`; tokens are refused")),
    (
        Field::Truncate,
        Refused("texts are cut at their end there, or not at all"),
    ),
    (
        Field::EncodingFormat,
        Mapped("the gateway writes the vectors as they are asked for"),
    ),
    (Field::User, Dropped(HINT)),
];

pub(super) const OLLAMA_OLD_EMBEDDINGS: &[Row] = &[
    (
        Field::Input,
        Mapped("`prompt`, which is one text; several, and tokens, are refused"),
    ),
    (
        Field::Dimensions,
        Refused("vectors of a model have one length"),
    ),
    (
        Field::EncodingFormat,
        Mapped("the gateway writes the vectors as they are asked for"),
    ),
    (Field::InputType, Dropped(NO_PLACE)),
    (
        Field::Truncate,
        Refused("texts are cut at their end there, unasked"),
    ),
    (Field::User, Dropped(HINT)),
];

pub(super) const GEMINI_EMBEDDINGS: &[Row] = &[
    (Field::Model, Mapped(ADDRESS)),
    (
        Field::Input,
        Mapped("a text is asked for with `embedContent`, several with `batchEmbedContents`"),
    ),
    (Field::InputTokens, Refused("tokens are another model's")),
    (
        Field::EncodingFormat,
        Mapped("the gateway writes the vectors as they are asked for"),
    ),
    (
        Field::InputType,
        Refused("is `taskType`; others have no place there"),
    ),
    (Field::User, Dropped(NO_PLACE)),
];

pub(super) const COHERE_EMBEDDINGS: &[Row] = &[
    (Field::Input, Mapped("`texts`")),
    (Field::InputTokens, Refused("texts alone are taken there")),
    (
        Field::EncodingFormat,
        Mapped("the gateway writes the vectors as they are asked for"),
    ),
    (
        Field::InputType,
        Mapped("`search_document` where it is not given: Cohere wants one"),
    ),
    (Field::User, Dropped(HINT)),
];

/// What its predecessor does otherwise.
pub(super) const COHERE_OLD_EMBEDDINGS: &[Row] = &[(Field::Dimensions, Refused(NO_PLACE))];

pub(super) const VOYAGE_EMBEDDINGS: &[Row] = &[
    (Field::InputTokens, Refused("texts alone are taken there")),
    (Field::Dimensions, Mapped("`output_dimension`")),
    (
        Field::EncodingFormat,
        Mapped("`base64`, or without a word for floats"),
    ),
    (
        Field::InputType,
        Dropped("is `query` or `document`; other purposes have no word there"),
    ),
    (
        Field::Truncate,
        Refused("is `truncation` for `NONE` and `END`; a text is cut at its end only"),
    ),
    (Field::User, Dropped(HINT)),
];

pub(super) const BEDROCK_EMBEDDINGS: &[Row] = &[
    (Field::Model, Mapped(ADDRESS)),
    (
        Field::Input,
        Mapped(
            "`inputText` of Titan, which takes one text, or `texts` of Cohere; tokens are refused",
        ),
    ),
    (
        Field::Dimensions,
        Refused("vectors of the first Titan have one length"),
    ),
    (
        Field::EncodingFormat,
        Mapped("the gateway writes the vectors as they are asked for"),
    ),
    (Field::User, Dropped(HINT)),
];

pub(super) const VERTEX_EMBEDDINGS: &[Row] = &[
    (Field::Model, Mapped(ADDRESS)),
    (
        Field::Input,
        Mapped("`instances`, each text as the `content` of one"),
    ),
    (Field::InputTokens, Refused("tokens are another model's")),
    (
        Field::Dimensions,
        Mapped("`parameters.outputDimensionality`"),
    ),
    (
        Field::EncodingFormat,
        Mapped("the gateway writes the vectors as they are asked for"),
    ),
    (
        Field::InputType,
        Refused("is `task_type` of each instance; others have no place there"),
    ),
    (
        Field::Truncate,
        Refused("is `parameters.autoTruncate` for `NONE` and `END`; a text is cut at its end only"),
    ),
    (Field::User, Dropped(NO_PLACE)),
];

pub(super) const WATSONX_EMBEDDINGS: &[Row] = &[
    (Field::Model, Mapped("`model_id`")),
    (Field::Input, Mapped("`inputs`, always a list")),
    (Field::InputTokens, Refused("texts alone are taken there")),
    (
        Field::Dimensions,
        Refused("vectors of a model have one length"),
    ),
    (
        Field::EncodingFormat,
        Mapped("the gateway writes the vectors as they are asked for"),
    ),
    (
        Field::InputType,
        Dropped("vectors are the same for every purpose there"),
    ),
    (
        Field::Truncate,
        Refused(
            "a text that is too long is refused there, unless `parameters.truncate_input_tokens` says how much is kept",
        ),
    ),
    (Field::User, Dropped(NO_PLACE)),
];
