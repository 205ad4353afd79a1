//! Times as people write them.

use jiff::{Timestamp, civil::Date, fmt::temporal::Pieces, tz::TimeZone};

/// Reads a date, which begins at 00:00 UTC, or a time with its offset. The last day of all, 9999-12-31, which many write for never, is the last time
/// that there is, some hours before it.
pub fn parse_time(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if let Ok(time) = text.parse() {
        return Some(time);
    }
    let written = Pieces::parse(text).ok()?;
    // A time that does not say where would be read as its day.
    let is_date = text.len() == "2027-01-31".len();
    if written.date() == Date::MAX && (is_date || written.offset().is_some()) {
        return Some(Timestamp::MAX);
    }
    let date: Date = is_date.then(|| text.parse().ok())??;
    Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_day_is_the_last_time() {
        for text in [
            "9999-12-31",
            "9999-12-31T00:00:00Z",
            "9999-12-31T23:59:59.999+01:00",
        ] {
            assert_eq!(parse_time(text), Some(Timestamp::MAX), "{text}");
        }
        let day = parse_time("9999-12-30").unwrap();
        assert_eq!(day.to_string(), "9999-12-30T00:00:00Z");
        for text in [
            "9999-12-32",
            "9999-12-31T23:59",
            "10000-01-01",
            "9999-12-31T25:00:00Z",
        ] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }
}
