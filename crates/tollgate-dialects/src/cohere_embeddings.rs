//! Cohere's embeddings: `POST /v2/embed`.

use bytes::Bytes;

use crate::{Answer, AnswerForm, Call, CallForm, ReadError, Unsupported, Written};

/// Reads a client's call.
pub(crate) fn read_call(_body: &[u8]) -> Result<Call, ReadError> {
    Err(ReadError::shape("body", "SCAFFOLD"))
}

/// Writes a call for a provider.
pub(crate) fn write_call(call: &Call, _form: &CallForm<'_>) -> Result<Written, Unsupported> {
    Err(Unsupported::call(call))
}

/// Reads a provider's whole answer.
pub(crate) fn read_answer(_body: &[u8]) -> Result<Answer, ReadError> {
    Err(ReadError::shape("body", "SCAFFOLD"))
}

/// Writes a whole answer for a client.
pub(crate) fn write_answer(answer: &Answer, form: &AnswerForm<'_>) -> Bytes {
    crate::openai_chat::write_answer(answer, form)
}
