//! Calls as a Parquet file (<https://parquet.apache.org/docs/file-format/>, read 2026-11), for those who look at many of them elsewhere.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

use parquet::{
    basic::Compression,
    data_type::{BoolType, ByteArray, ByteArrayType, DataType, Int64Type},
    errors::ParquetError,
    file::{
        properties::WriterProperties,
        writer::{SerializedFileWriter, SerializedRowGroupWriter},
    },
    schema::parser::parse_message_type,
};
use tollgate_domain::{ServiceTier, UsageRecord};

/// The columns. Money is in dollars, exactly.
const SCHEMA: &str = "
message calls {
  required binary id (UTF8);
  required int64 at (TIMESTAMP(MILLIS, true));
  required binary request_id (UTF8);
  required binary revision (UTF8);
  optional binary key (UTF8);
  optional binary team (UTF8);
  optional binary app (UTF8);
  optional binary user (UTF8);
  optional binary tags (UTF8);
  optional binary route (UTF8);
  optional binary task (UTF8);
  optional binary provider (UTF8);
  optional binary model (UTF8);
  required binary outcome (UTF8);
  required int64 status;
  optional binary error_code (UTF8);
  required boolean tokens_are_estimated;
  optional int64 input_tokens;
  optional int64 cached_tokens;
  optional int64 cache_write_tokens;
  optional int64 cache_write_1h_tokens;
  optional int64 audio_input_tokens;
  optional int64 output_tokens;
  optional int64 reasoning_tokens;
  optional int64 audio_output_tokens;
  optional int64 search_units;
  optional int64 web_searches;
  optional binary service_tier (UTF8);
  optional int64 cost_dollars (DECIMAL(18, 12));
  optional int64 cost_at_most_dollars (DECIMAL(18, 12));
  optional binary cost_unknown (UTF8);
  required int64 attempts;
  required boolean streamed;
  required int64 duration_ms;
  optional binary detail (UTF8);
}";

/// A file that is taken away while it is written.
pub(super) struct Writer {
    file: SerializedFileWriter<Written>,
    written: Written,
}

impl Writer {
    /// # Errors
    /// When it cannot be begun.
    pub(super) fn new() -> Result<Self, ParquetError> {
        let schema = Arc::new(parse_message_type(SCHEMA)?);
        let properties = WriterProperties::builder()
            .set_compression(Compression::UNCOMPRESSED)
            .build();
        let written = Written::default();
        let file = SerializedFileWriter::new(written.clone(), schema, Arc::new(properties))?;
        Ok(Self { file, written })
    }

    /// What some calls more add to it.
    ///
    /// # Errors
    /// When they cannot be written.
    pub(super) fn part(&mut self, calls: &[UsageRecord]) -> Result<Vec<u8>, ParquetError> {
        if !calls.is_empty() {
            columns(&mut self.file, calls)?;
            self.file.flush()?;
        }
        Ok(self.written.take())
    }

    /// Its end.
    ///
    /// # Errors
    /// When that cannot be written.
    pub(super) fn end(mut self) -> Result<Vec<u8>, ParquetError> {
        self.file.finish()?;
        Ok(self.written.take())
    }
}

/// What was written and not taken yet.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        written.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// All of them, in the order of the schema.
fn columns(
    writer: &mut SerializedFileWriter<Written>,
    calls: &[UsageRecord],
) -> Result<(), ParquetError> {
    let mut group = Columns(writer.next_row_group()?);
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    group.texts(calls, |call| Some(&call.id))?;
    group.numbers(calls, true, |call| Some(call.at_ms))?;
    group.texts(calls, |call| Some(&call.request_id))?;
    group.texts(calls, |call| Some(&call.revision))?;
    group.options(calls, |call| call.key.as_deref())?;
    group.options(calls, |call| call.team.as_deref())?;
    group.options(calls, |call| call.app.as_deref())?;
    group.options(calls, |call| call.user.as_deref())?;
    group.column::<ByteArrayType>(calls.iter().map(listed_tags), false)?;
    group.options(calls, |call| call.route.as_deref())?;
    group.options(calls, |call| call.task.as_deref())?;
    group.options(calls, |call| call.provider.as_deref())?;
    group.options(calls, |call| call.model.as_deref())?;
    group.texts(calls, |call| Some(&call.outcome))?;
    group.numbers(calls, true, |call| Some(call.status.into()))?;
    group.options(calls, |call| call.error_code.as_deref())?;
    group.answers(calls, |call| call.usage.is_estimated)?;
    group.numbers(calls, false, |call| call.usage.input_total().map(number))?;
    group.numbers(calls, false, |call| call.usage.input_cached.map(number))?;
    group.numbers(calls, false, |call| call.usage.cache_write.map(number))?;
    group.numbers(calls, false, |call| call.usage.cache_write_1h.map(number))?;
    group.numbers(calls, false, |call| call.usage.input_audio.map(number))?;
    group.numbers(calls, false, |call| call.usage.output_total().map(number))?;
    group.numbers(calls, false, |call| call.usage.output_reasoning.map(number))?;
    group.numbers(calls, false, |call| call.usage.output_audio.map(number))?;
    group.numbers(calls, false, |call| call.usage.search_units.map(number))?;
    group.numbers(calls, false, |call| {
        call.usage.web_searches_total().map(number)
    })?;
    group.options(calls, |call| call.usage.tier.map(ServiceTier::as_str))?;
    group.numbers(calls, false, |call| call.cost.map(number))?;
    group.numbers(calls, false, |call| call.cost_at_most.map(number))?;
    group.options(calls, |call| call.cost_unknown.as_deref())?;
    group.numbers(calls, true, |call| Some(call.attempts.into()))?;
    group.answers(calls, |call| call.streamed)?;
    group.numbers(calls, true, |call| Some(number(call.duration_ms)))?;
    group.options(calls, |call| call.detail.as_deref())?;
    group.0.close().map(|_| ())
}

/// A call's tags, apart by commas; nothing for none.
fn listed_tags(call: &UsageRecord) -> Option<ByteArray> {
    let tags: Vec<&str> = call.tags.iter().map(|tag| &**tag).collect();
    (!tags.is_empty()).then(|| tags.join(",").as_str().into())
}

/// Columns, one after the other.
struct Columns<'a>(SerializedRowGroupWriter<'a, Written>);

impl Columns<'_> {
    fn texts<'c>(
        &mut self,
        calls: &'c [UsageRecord],
        of: impl Fn(&'c UsageRecord) -> Option<&'c str>,
    ) -> Result<(), ParquetError> {
        let values = calls.iter().map(|call| of(call).map(ByteArray::from));
        self.column::<ByteArrayType>(values, true)
    }

    fn options<'c>(
        &mut self,
        calls: &'c [UsageRecord],
        of: impl Fn(&'c UsageRecord) -> Option<&'c str>,
    ) -> Result<(), ParquetError> {
        let values = calls.iter().map(|call| of(call).map(ByteArray::from));
        self.column::<ByteArrayType>(values, false)
    }

    fn numbers(
        &mut self,
        calls: &[UsageRecord],
        is_required: bool,
        of: impl Fn(&UsageRecord) -> Option<i64>,
    ) -> Result<(), ParquetError> {
        self.column::<Int64Type>(calls.iter().map(of), is_required)
    }

    fn answers(
        &mut self,
        calls: &[UsageRecord],
        of: impl Fn(&UsageRecord) -> bool,
    ) -> Result<(), ParquetError> {
        self.column::<BoolType>(calls.iter().map(|call| Some(of(call))), true)
    }

    /// A column of values, some of which may be missing unless all are required.
    fn column<T: DataType>(
        &mut self,
        values: impl Iterator<Item = Option<T::T>>,
        is_required: bool,
    ) -> Result<(), ParquetError> {
        let values: Vec<Option<T::T>> = values.collect();
        let levels: Vec<i16> = values
            .iter()
            .map(|value| i16::from(value.is_some()))
            .collect();
        let there: Vec<T::T> = values.into_iter().flatten().collect();
        let Some(mut column) = self.0.next_column()? else {
            return Err(ParquetError::General("a column too many".to_owned()));
        };
        let levels = (!is_required).then_some(levels.as_slice());
        column.typed::<T>().write_batch(&there, levels, None)?;
        column.close()
    }
}

#[cfg(test)]
mod tests {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use tollgate_domain::Usage;

    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let call = UsageRecord {
            id: "a".into(),
            at_ms: 1_700_000_000_000,
            outcome: "answered".into(),
            status: 200,
            model: Some("gpt".into()),
            cost: Some(95_000_000),
            usage: Usage {
                input: Some(12),
                ..Usage::default()
            },
            ..UsageRecord::default()
        };
        let calls = [
            call.clone(),
            UsageRecord {
                model: None,
                cost: None,
                ..call
            },
        ];
        let mut writer = Writer::new().unwrap();
        let mut file = Vec::new();
        for call in calls.chunks(1) {
            file.extend(writer.part(call).unwrap());
        }
        file.extend(writer.end().unwrap());
        let file = axum::body::Bytes::from(file);
        let reader = SerializedFileReader::new(file).unwrap();
        let rows: Vec<String> = reader
            .get_row_iter(None)
            .unwrap()
            .map(|row| row.unwrap().to_string())
            .collect();
        assert!(rows[0].contains("model: \"gpt\""), "{}", rows[0]);
        assert!(
            rows[0].contains("cost_dollars: 0.000095000000"),
            "{}",
            rows[0]
        );
        assert!(rows[0].contains("at: 2023-11-14 22:13:20"), "{}", rows[0]);
        assert!(
            rows[1].contains("model: null") && rows[1].contains("cost_dollars: null"),
            "{}",
            rows[1]
        );
        let mut empty = Writer::new().unwrap();
        assert_eq!(empty.part(&[]).unwrap(), Vec::<u8>::new());
        let empty = axum::body::Bytes::from(empty.end().unwrap());
        assert!(SerializedFileReader::new(empty).is_ok());
    }
}
