//! A form (`multipart/form-data`, RFC 7578) on its way: looked at no further than to where it names its model, so that the files in it need not
//! be held.

use bytes::{Bytes, BytesMut};
use memchr::memmem;
use thiserror::Error;

/// Bytes of a part's headers; more are no form.
const HEADERS_BYTES_MAX: usize = 8 << 10;

/// Characters of a boundary (RFC 2046, section 5.1.1).
const BOUNDARY_CHARS_MAX: usize = 70;

/// The beginning of a form, up to where it names its model.
#[derive(Debug)]
pub struct Form {
    /// A line break, two dashes and the boundary.
    delimiter: Vec<u8>,
    /// What came so far.
    seen: BytesMut,
    /// Where the search goes on.
    at: At,
    /// The place of the model's name.
    model: Option<(usize, usize)>,
    over: bool,
}

#[derive(Clone, Copy, Debug)]
enum At {
    /// Just after a delimiter.
    Headers { start: usize },
    /// In a part's value, of which this much was searched.
    Value {
        start: usize,
        searched: usize,
        is_model: bool,
    },
}

/// A body that is no form.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FormError {
    /// The content type names no boundary.
    #[error("the content type is multipart/form-data without a proper `boundary`")]
    Boundary,
    /// The body is not what the content type says.
    #[error("the body is not a form: {0}")]
    Malformed(&'static str),
}

impl Form {
    /// For a body of this content type; `None` where that is none of a form.
    ///
    /// # Errors
    /// When it is, but names no boundary.
    pub fn of(content_type: &str) -> Result<Option<Self>, FormError> {
        let mut pieces = content_type.split(';').map(str::trim);
        let kind = pieces.next().unwrap_or_default();
        if !kind.eq_ignore_ascii_case("multipart/form-data") {
            return Ok(None);
        }
        let boundary = pieces
            .filter_map(|piece| piece.split_once('='))
            .find(|(name, _)| name.trim().eq_ignore_ascii_case("boundary"))
            .map(|(_, value)| value.trim().trim_matches('"'))
            .filter(|value| (1..=BOUNDARY_CHARS_MAX).contains(&value.len()))
            .ok_or(FormError::Boundary)?;
        Ok(Some(Self {
            delimiter: format!("\r\n--{boundary}").into_bytes(),
            seen: BytesMut::new(),
            at: At::Headers { start: 0 },
            model: None,
            over: false,
        }))
    }

    /// Takes in what came, and looks on. `true`: the model is known, or there is none; what follows need not be looked at.
    ///
    /// # Errors
    /// When it is no form.
    pub fn push(&mut self, chunk: &[u8]) -> Result<bool, FormError> {
        self.seen.extend_from_slice(chunk);
        loop {
            if self.over {
                return Ok(true);
            }
            let goes_on = match self.at {
                At::Headers { start } => self.headers(start)?,
                At::Value {
                    start,
                    searched,
                    is_model,
                } => self.value(start, searched, is_model),
            };
            if !goes_on {
                return Ok(self.over);
            }
        }
    }

    /// Bytes that came so far.
    pub fn len(&self) -> usize {
        self.seen.len()
    }

    /// Whether nothing came yet.
    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }

    /// The model that the form asks for.
    pub fn model(&self) -> Option<&str> {
        let (start, end) = self.model?;
        std::str::from_utf8(self.seen.get(start..end)?).ok()
    }

    /// What came so far, with another model in place of the form's. A form without one gets none.
    pub fn with_model(&self, model: &str) -> Bytes {
        let Some((start, end)) = self.model else {
            return Bytes::copy_from_slice(&self.seen);
        };
        let mut edited = BytesMut::with_capacity(self.seen.len() + model.len());
        edited.extend_from_slice(&self.seen[..start]);
        edited.extend_from_slice(model.as_bytes());
        edited.extend_from_slice(&self.seen[end..]);
        edited.freeze()
    }

    /// Reads the headers of a part; `false` where more has to come.
    fn headers(&mut self, start: usize) -> Result<bool, FormError> {
        let rest = &self.seen[start..];
        // The first delimiter has no line break before it.
        let rest = if start == 0 {
            let opening = &self.delimiter[2..];
            if rest.len() < opening.len() {
                return if opening.starts_with(rest) {
                    Ok(false)
                } else {
                    Err(FormError::Malformed("it does not begin with its boundary"))
                };
            }
            rest.strip_prefix(opening)
                .ok_or(FormError::Malformed("it does not begin with its boundary"))?
        } else {
            rest
        };
        let start = self.seen.len() - rest.len();
        if rest.starts_with(b"--") {
            self.over = true;
            return Ok(true);
        }
        let Some(length) = memmem::find(rest, b"\r\n\r\n") else {
            return if rest.len() > HEADERS_BYTES_MAX {
                Err(FormError::Malformed("a part's headers are too long"))
            } else {
                Ok(false)
            };
        };
        if length > HEADERS_BYTES_MAX {
            return Err(FormError::Malformed("a part's headers are too long"));
        }
        let is_model = is_model(&rest[..length]);
        let start = start + length + 4;
        self.at = At::Value {
            start,
            searched: start,
            is_model,
        };
        Ok(true)
    }

    /// Looks for the end of a part; `false` where more has to come.
    fn value(&mut self, start: usize, searched: usize, is_model: bool) -> bool {
        let rest = &self.seen[searched..];
        let Some(found) = memmem::find(rest, &self.delimiter) else {
            // A delimiter may have begun.
            let kept = self.delimiter.len() - 1;
            self.at = At::Value {
                start,
                searched: self.seen.len().saturating_sub(kept).max(searched),
                is_model,
            };
            return false;
        };
        let end = searched + found;
        if is_model {
            self.model = Some((start, end));
            self.over = true;
        }
        self.at = At::Headers {
            start: end + self.delimiter.len(),
        };
        true
    }
}

/// Whether a part's headers say that it is the field `model`.
fn is_model(headers: &[u8]) -> bool {
    let headers = String::from_utf8_lossy(headers);
    let disposition = headers.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim()
            .eq_ignore_ascii_case("content-disposition")
            .then_some(value)
    });
    disposition.is_some_and(|value| {
        let mut pieces = value.split(';').map(str::trim);
        pieces.any(|piece| {
            piece.split_once('=').is_some_and(|(name, value)| {
                name.trim() == "name" && value.trim().trim_matches('"') == "model"
            })
        })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=xyz";
    const BODY: &str = "--xyz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"model\"\r\nContent-Type: audio/wav\r\n\r\nRI--xy\r\n--xFF\r\n--xyz\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n--xyz\r\nContent-Disposition: form-data; name=\"language\"\r\n\r\nde\r\n--xyz--\r\n";

    fn form() -> Form {
        Form::of(TYPE).unwrap().unwrap()
    }

    #[test]
    fn the_model_is_found_and_replaced_wherever_the_body_is_cut() {
        for cut in 0..BODY.len() {
            let mut form = form();
            let (left, right) = BODY.as_bytes().split_at(cut);
            let known = form.push(left).unwrap();
            if !known {
                assert!(form.push(right).unwrap());
            }
            assert_eq!(form.model(), Some("whisper-1"), "{cut}");
            let mut edited = form.with_model("w").to_vec();
            if known {
                edited.extend_from_slice(right);
            }
            assert_eq!(
                String::from_utf8(edited).unwrap(),
                BODY.replace("whisper-1", "w")
            );
        }
    }

    #[test]
    fn what_is_no_form_is_told_from_a_form_without_a_boundary() {
        assert!(Form::of("application/json").unwrap().is_none());
        assert_eq!(
            Form::of("multipart/form-data").unwrap_err(),
            FormError::Boundary
        );
        assert!(
            Form::of("multipart/form-data; boundary=\"a b\"")
                .unwrap()
                .is_some()
        );
        assert!(form().push(b"{\"model\"").is_err());
    }

    #[test]
    fn a_form_without_a_model_comes_to_its_end() {
        let mut form = form();
        let body = b"--xyz\r\nContent-Disposition: form-data; name=\"n\"\r\n\r\n1\r\n--xyz--";
        assert!(form.push(body).unwrap());
        assert_eq!(form.model(), None);
        assert_eq!(form.with_model("m"), &body[..]);
    }

    proptest! {
        #[test]
        fn garbage_is_survived(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8)) {
            let mut form = form();
            for chunk in [&b"--xyz\r\n"[..]].into_iter().chain(chunks.iter().map(Vec::as_slice)) {
                if form.push(chunk).is_err() {
                    break;
                }
            }
            let _model = form.model();
        }
    }
}
