//! Taking fields out of a JSON object one by one, with errors that name them. What nobody takes is left over, so that
//! nothing is lost without notice. Null counts as absent everywhere.

use serde_json::{Map, Value};

use crate::ReadError;

/// An object that is being read.
#[derive(Debug)]
pub(crate) struct Fields {
    /// Such as `messages[0]`; empty for the body itself.
    path: String,
    map: Map<String, Value>,
}

impl Fields {
    /// The body itself.
    ///
    /// # Errors
    /// When it is not a JSON object.
    pub(crate) fn of_body(body: &[u8]) -> Result<Self, ReadError> {
        match serde_json::from_slice(body) {
            Ok(Value::Object(map)) => Ok(Self {
                path: String::new(),
                map,
            }),
            Ok(_) => Err(ReadError::shape("body", "is not a JSON object")),
            Err(error) => Err(ReadError::Json(error.to_string())),
        }
    }

    /// A part of the body.
    ///
    /// # Errors
    /// When it is not an object.
    pub(crate) fn of(path: impl Into<String>, value: Value) -> Result<Self, ReadError> {
        let path = path.into();
        match value {
            Value::Object(map) => Ok(Self { path, map }),
            _ => Err(ReadError::shape(path, "must be an object")),
        }
    }

    /// The path of a field.
    pub(crate) fn path(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    /// An error about a field.
    pub(crate) fn error(&self, name: &str, problem: &str) -> ReadError {
        ReadError::shape(self.path(name), problem)
    }

    /// Looks at a field and leaves it.
    pub(crate) fn peek(&self, name: &str) -> Option<&Value> {
        self.map.get(name).filter(|value| !value.is_null())
    }

    /// The names of all that is still there.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.map.keys().map(String::as_str)
    }

    /// Takes whatever is there.
    pub(crate) fn any(&mut self, name: &str) -> Option<Value> {
        self.map.shift_remove(name).filter(|value| !value.is_null())
    }

    /// Puts a field (back) in, so that it is among what is left over.
    pub(crate) fn leave(&mut self, name: &str, value: Value) {
        self.map.insert(name.to_owned(), value);
    }

    /// Takes a text.
    pub(crate) fn text(&mut self, name: &str) -> Result<Option<String>, ReadError> {
        match self.any(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.error(name, "must be a text")),
        }
    }

    /// Takes a text that has to be there.
    pub(crate) fn required_text(&mut self, name: &str) -> Result<String, ReadError> {
        self.text(name)?
            .ok_or_else(|| self.error(name, "is missing; it must be a text"))
    }

    /// Takes a boolean.
    pub(crate) fn flag(&mut self, name: &str) -> Result<Option<bool>, ReadError> {
        match self.any(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(_) => Err(self.error(name, "must be true or false")),
        }
    }

    /// Takes a number.
    pub(crate) fn number(&mut self, name: &str) -> Result<Option<f64>, ReadError> {
        match self.any(name) {
            None => Ok(None),
            Some(value) => value
                .as_f64()
                .map(Some)
                .ok_or_else(|| self.error(name, "must be a number")),
        }
    }

    /// Takes a whole number that is not negative. `100.0` is one, too.
    pub(crate) fn count(&mut self, name: &str) -> Result<Option<u64>, ReadError> {
        let Some(value) = self.any(name) else {
            return Ok(None);
        };
        let count = value
            .as_u64()
            .or_else(|| whole(&value).and_then(|number| u64::try_from(number).ok()));
        count
            .map(Some)
            .ok_or_else(|| self.error(name, "must be a whole number, not negative"))
    }

    /// Takes a whole number.
    pub(crate) fn integer(&mut self, name: &str) -> Result<Option<i64>, ReadError> {
        let Some(value) = self.any(name) else {
            return Ok(None);
        };
        let integer = value.as_i64().or_else(|| whole(&value));
        integer
            .map(Some)
            .ok_or_else(|| self.error(name, "must be a whole number of at most 64 bits"))
    }

    /// Takes a list.
    pub(crate) fn list(&mut self, name: &str) -> Result<Vec<Value>, ReadError> {
        match self.any(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(list)) => Ok(list),
            Some(_) => Err(self.error(name, "must be a list")),
        }
    }

    /// Takes a text, or a list of texts.
    pub(crate) fn texts(&mut self, name: &str) -> Result<Vec<String>, ReadError> {
        let list = match self.any(name) {
            None => return Ok(Vec::new()),
            Some(Value::String(text)) => return Ok(vec![text]),
            Some(Value::Array(list)) => list,
            Some(_) => return Err(self.error(name, "must be a text or a list of texts")),
        };
        let text = |value| {
            if let Value::String(text) = value {
                Ok(text)
            } else {
                Err(self.error(name, "must hold texts only"))
            }
        };
        list.into_iter().map(text).collect()
    }

    /// What was not taken.
    pub(crate) fn rest(mut self) -> Map<String, Value> {
        self.map.retain(|_, value| !value.is_null());
        self.map
    }
}

/// A whole number that was written with a fraction of zero.
fn whole(value: &Value) -> Option<i64> {
    let number = value
        .as_f64()
        .filter(|number| number.fract() == 0.0 && number.abs() < 9.0e15)?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "whole, and far within the range"
    )]
    Some(number as i64)
}

/// Puts a field into an object that is being written, if there is something to put.
pub(crate) fn put(map: &mut Map<String, Value>, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        map.insert(name.to_owned(), value.into());
    }
}
