//! Not written yet.

use bytes::Bytes;
use tollgate_domain::Task;

use crate::{Answer, AnswerForm, Call, CallForm, ReadError, Unsupported, Written};

pub(crate) fn read_call(body: &[u8]) -> Result<Call, ReadError> {
    let _ = body;
    Err(ReadError::Json("not written yet".into()))
}

pub(crate) fn write_call(call: &Call, form: &CallForm<'_>) -> Result<Written, Unsupported> {
    let _ = (call, form);
    Err(Unsupported { fields: vec![] })
}

pub(crate) fn read_answer(task: Task, body: &[u8]) -> Result<Answer, ReadError> {
    let _ = (task, body);
    Err(ReadError::Json("not written yet".into()))
}

pub(crate) fn write_answer(answer: &Answer, form: &AnswerForm<'_>) -> Bytes {
    let _ = (answer, form);
    Bytes::new()
}
