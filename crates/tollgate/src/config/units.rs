//! Times and sizes as people write them.

use std::time::Duration;

/// What a time looks like, for schemas and messages.
pub(crate) const DURATION_FORM: &str = "a time such as `250ms`, `5s`, `10m` or `1h`";

/// What a size looks like, for schemas and messages.
pub(crate) const SIZE_FORM: &str = "a size such as `64KiB`, `32MiB` or a number of bytes";

/// Reads `250ms`, `1.5s`, `10m`, `1h`, `7d`, and `1m30s`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (number, behind) = leading_number(rest)?;
        let length = behind
            .find(|character: char| !character.is_ascii_alphabetic())
            .unwrap_or(behind.len());
        let (unit, behind) = behind.split_at_checked(length)?;
        let seconds = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            _ => return None,
        };
        total = total.checked_add(Duration::try_from_secs_f64(number * seconds).ok()?)?;
        rest = behind.trim_start();
    }
    Some(total)
}

/// Reads `64KiB`, `32MiB`, `1GiB`, `64KB`, `10MB`, and bare bytes. `None` when it does not fit into memory's
/// addresses.
pub(crate) fn size(text: &str) -> Option<usize> {
    let (number, unit) = leading_number(text.trim())?;
    let factor: u64 = match unit.trim() {
        "" | "B" => 1,
        "KB" | "kB" => 1000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    whole(number, factor)
}

/// The product as a whole number.
fn whole(number: f64, factor: u64) -> Option<usize> {
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0; // 2^53: floats are exact up to here
    #[expect(clippy::cast_precision_loss, reason = "factors are small")]
    let bytes = number * factor as f64;
    if !(0.0..=EXACT_MAX).contains(&bytes) || bytes.fract() != 0.0 {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be whole, positive and small"
    )]
    let bytes = bytes as u64;
    usize::try_from(bytes).ok()
}

/// The number at the start, and what is behind it.
fn leading_number(text: &str) -> Option<(f64, &str)> {
    let end = text
        .find(|character: char| !character.is_ascii_digit() && character != '.')
        .unwrap_or(text.len());
    let (number, behind) = text.split_at_checked(end)?;
    Some((number.parse().ok()?, behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        for (text, milliseconds) in [
            ("250ms", 250),
            ("1.5s", 1500),
            ("10m", 600_000),
            ("1m30s", 90_000),
            ("1h 5m", 3_900_000),
            (" 0s ", 0),
        ] {
            assert_eq!(
                duration(text),
                Some(Duration::from_millis(milliseconds)),
                "{text}"
            );
        }
        for text in ["", "5", "s", "5 parsecs", "-5s", "5sx", "1..5s", "é", "5é"] {
            assert_eq!(duration(text), None, "{text}");
        }
        assert_eq!(duration(&format!("{}h", "9".repeat(400))), None);
    }

    #[test]
    fn sizes_are_read() {
        for (text, bytes) in [
            ("64KiB", 65_536),
            ("32 MiB", 32 << 20),
            ("1.5KB", 1500),
            ("7", 7),
        ] {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        for text in [
            "",
            "KiB",
            "1.0001B",
            "-1",
            "5 apples",
            "99999999999999999999",
        ] {
            assert_eq!(size(text), None, "{text}");
        }
    }
}
