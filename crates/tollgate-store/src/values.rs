//! The values of a row, as both ways into the database take them.

use std::borrow::Cow;

use rusqlite::types::{ToSqlOutput, ValueRef};
use sqlx::{Any, any::AnyArguments, query::Query};

/// A column's value; nothing where it has none.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Number(Option<i64>),
    Text(Option<Cow<'a, str>>),
}

/// Binds values to the next places of a statement.
pub(crate) fn bind<'q>(
    query: Query<'q, Any, AnyArguments>,
    values: impl IntoIterator<Item = Value<'q>>,
) -> Query<'q, Any, AnyArguments> {
    values.into_iter().fold(query, |query, value| match value {
        Value::Number(number) => query.bind(number),
        Value::Text(Some(Cow::Borrowed(text))) => query.bind(text),
        Value::Text(Some(Cow::Owned(text))) => query.bind(text),
        Value::Text(None) => query.bind(None::<String>),
    })
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Number(Some(number))
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(Some(Cow::Borrowed(text)))
    }
}

impl<'a> From<Option<&'a str>> for Value<'a> {
    fn from(text: Option<&'a str>) -> Self {
        Self::Text(text.map(Cow::Borrowed))
    }
}

impl<'a> From<Option<Cow<'a, str>>> for Value<'a> {
    fn from(text: Option<Cow<'a, str>>) -> Self {
        Self::Text(text)
    }
}

impl rusqlite::ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Number(Some(number)) => ValueRef::Integer(*number),
            Self::Text(Some(text)) => ValueRef::Text(text.as_bytes()),
            Self::Number(None) | Self::Text(None) => ValueRef::Null,
        }))
    }
}
