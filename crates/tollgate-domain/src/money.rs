//! Money: exact integers, never a float.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use thiserror::Error;

/// Picodollars in a dollar.
const PER_DOLLAR: u64 = 1_000_000_000_000;

/// Digits behind the point that a dollar can have.
const DIGITS: usize = 12;

/// Bytes of the longest text of an amount: some 18 million dollars, to the last digit.
pub const AMOUNT_BYTES_MAX: usize = 8 + 1 + DIGITS;

/// An amount of money in millionths of a millionth of a US dollar.
///
/// A token at a dollar for a million of them costs a million of these. Sums stop at the greatest amount, some 18 million dollars,
/// rather than wrap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Picodollars(u64);

/// What is no amount of money.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("an amount in dollars is a number such as `12.5`, with at most 12 digits behind the point")]
pub struct AmountError;

impl Picodollars {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// An amount in picodollars.
    pub const fn new(picodollars: u64) -> Self {
        Self(picodollars)
    }

    /// The amount in picodollars.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The amount that is nearest to so many dollars, as JSON's numbers give them; `None` for what is no amount.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "rounded, and within bounds"
    )]
    pub fn nearest(dollars: f64) -> Option<Self> {
        let picodollars = (dollars * PER_DOLLAR as f64).round();
        (0.0..u64::MAX as f64)
            .contains(&picodollars)
            .then_some(Self(picodollars as u64))
    }

    /// The amount in dollars, as nearly as a float has it: for graphs, never for sums.
    #[expect(
        clippy::cast_precision_loss,
        reason = "for graphs, which need no more than 15 digits"
    )]
    pub fn as_dollars(self) -> f64 {
        self.0 as f64 / PER_DOLLAR as f64
    }

    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// What is left of it.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// So many of it.
    #[must_use]
    pub const fn times(self, count: u64) -> Self {
        Self(self.0.saturating_mul(count))
    }

    /// As much more or less as one amount is than another; the same where that is nothing.
    #[must_use]
    pub fn in_measure(self, now: Self, then: Self) -> Self {
        if then == Self::ZERO {
            return self;
        }
        let (now, then) = (u128::from(now.0), u128::from(then.0));
        let scaled = (u128::from(self.0) * now + then / 2) / then;
        Self(u64::try_from(scaled).unwrap_or(u64::MAX))
    }

    /// A price for each, where the text gives dollars for a million of them.
    ///
    /// # Errors
    /// When it is no number, or has more than 6 digits behind the point.
    pub fn parse_per_million(text: &str) -> Result<Self, AmountError> {
        let whole: Self = text.parse()?;
        if whole.0.is_multiple_of(1_000_000) {
            Ok(Self(whole.0 / 1_000_000))
        } else {
            Err(AmountError)
        }
    }

    /// The price of a million of what this is the price of.
    #[must_use]
    pub const fn per_million(self) -> Self {
        self.times(1_000_000)
    }

    /// Dollars, exactly, written into the end of some room: `0.00125`.
    pub fn text(self, room: &mut [u8; AMOUNT_BYTES_MAX]) -> &str {
        let digit = |of: u64| b'0' + u8::try_from(of % 10).unwrap_or_default();
        let (mut dollars, mut parts) = (self.0 / PER_DOLLAR, self.0 % PER_DOLLAR);
        let mut begin = room.len();
        if parts > 0 {
            let mut digits = DIGITS;
            // Most prices are whole millionths.
            if parts.is_multiple_of(1_000_000) {
                parts /= 1_000_000;
                digits -= 6;
            }
            while parts.is_multiple_of(10) {
                parts /= 10;
                digits -= 1;
            }
            for _ in 0..digits {
                begin -= 1;
                room[begin] = digit(parts);
                parts /= 10;
            }
            begin -= 1;
            room[begin] = b'.';
        }
        loop {
            begin -= 1;
            room[begin] = digit(dollars);
            dollars /= 10;
            if dollars == 0 {
                break;
            }
        }
        str::from_utf8(&room[begin..]).unwrap_or_default()
    }
}

impl FromStr for Picodollars {
    type Err = AmountError;

    /// Reads dollars, such as `12.5`.
    fn from_str(text: &str) -> Result<Self, AmountError> {
        let (dollars, fraction) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
        let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if dollars.is_empty() || !is_digits(dollars) || !is_digits(fraction) {
            return Err(AmountError);
        }
        let fraction = fraction.trim_end_matches('0');
        if fraction.len() > DIGITS {
            return Err(AmountError);
        }
        let dollars: u64 = dollars.parse().map_err(|_| AmountError)?;
        let parts: u64 = format!("{fraction:0<DIGITS$}")
            .parse()
            .map_err(|_| AmountError)?;
        dollars
            .checked_mul(PER_DOLLAR)
            .and_then(|whole| whole.checked_add(parts))
            .map(Self)
            .ok_or(AmountError)
    }
}

/// Dollars, exactly: `0.00125`.
impl fmt::Display for Picodollars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text(&mut [0; AMOUNT_BYTES_MAX]))
    }
}

/// Dollars, as a text: a number would be read as a float.
impl Serialize for Picodollars {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Picodollars {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn dollars_are_read_and_written_exactly() {
        for (text, picodollars, written) in [
            ("0", 0, "0"),
            ("1", PER_DOLLAR, "1"),
            (" 12.50 ", 12 * PER_DOLLAR + PER_DOLLAR / 2, "12.5"),
            ("0.000000000001", 1, "0.000000000001"),
            ("3.00000000000000", 3 * PER_DOLLAR, "3"),
        ] {
            let amount: Picodollars = text.parse().unwrap();
            assert_eq!(amount, Picodollars::new(picodollars));
            assert_eq!(amount.to_string(), written);
        }
        for text in [
            "",
            ".5",
            "-1",
            "1e3",
            "1,5",
            "0.0000000000001",
            "99999999999",
        ] {
            assert_eq!(text.parse::<Picodollars>(), Err(AmountError), "{text}");
        }
    }

    #[test]
    fn numbers_are_taken_for_the_nearest_amount() {
        for (dollars, expected) in [
            (0.0, "0"),
            (8.5e-5, "0.000085"),
            (0.007_650_916_900_000_000_5, "0.0076509169"),
            (0.000_150_687_500_000_000_02, "0.0001506875"),
        ] {
            let amount = Picodollars::nearest(dollars).unwrap();
            assert_eq!(amount.to_string(), expected);
        }
        for none in [-0.01, 1e12, f64::NAN, f64::INFINITY] {
            assert_eq!(Picodollars::nearest(none), None, "{none}");
        }
    }

    #[test]
    fn prices_are_for_a_million() {
        let price = Picodollars::parse_per_million("0.15").unwrap();
        assert_eq!(price, Picodollars::new(150_000));
        assert_eq!(price.per_million().to_string(), "0.15");
        assert_eq!(price.times(7).to_string(), "0.00000105");
        assert!(Picodollars::parse_per_million("0.0000001").is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(amount: u64) {
            let amount = Picodollars::new(amount);
            prop_assert_eq!(amount.to_string().parse::<Picodollars>(), Ok(amount));
        }
    }
}
