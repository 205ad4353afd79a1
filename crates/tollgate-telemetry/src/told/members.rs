//! A JSON object, written member by member.

use std::{
    io::Write,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use serde::Serialize;
use tollgate_domain::{AMOUNT_BYTES_MAX, Picodollars};

/// The name of an object's first member, with what stands before and behind it.
macro_rules! first {
    ($name:literal) => {
        concat!("{\"", $name, "\":")
    };
}

/// The name of one of the next members, with what stands before and behind it.
macro_rules! next {
    ($name:literal) => {
        concat!(",\"", $name, "\":")
    };
}

pub(crate) use {first, next};

/// An object that is being written. Names are those of [`first`] and [`next`]: each is known where it is written, and costs no call for its few bytes
/// where that is part of whoever writes it; values are written elsewhere.
pub(crate) struct Members<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Members<'a> {
    /// Goes on behind what stands there.
    pub(crate) fn go_on(out: &'a mut Vec<u8>) -> Self {
        Self { out }
    }

    /// Closes the object.
    pub(crate) fn end(self) {
        self.out.push(b'}');
    }

    /// Members that were written elsewhere.
    pub(crate) fn written(&mut self, members: &[u8]) {
        self.out.extend_from_slice(members);
    }

    /// The name of a member whose value follows.
    #[inline]
    pub(crate) fn name(&mut self, name: &'static str) {
        self.out.extend_from_slice(name.as_bytes());
    }

    /// A text.
    #[inline]
    pub(crate) fn text(&mut self, name: &'static str, value: &str) {
        self.name(name);
        self.put_text(value);
    }

    /// A text that needs no escapes.
    #[inline]
    pub(crate) fn word(&mut self, name: &'static str, value: &str) {
        self.name(name);
        self.put_word(value);
    }

    /// A text that needs no escapes, where there is one.
    #[inline]
    pub(crate) fn word_if(&mut self, name: &'static str, value: Option<&str>) {
        if let Some(value) = value {
            self.word(name, value);
        }
    }

    /// A text, where there is one.
    #[inline]
    pub(crate) fn text_if(&mut self, name: &'static str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    /// A whole number.
    #[inline]
    pub(crate) fn number(&mut self, name: &'static str, value: u64) {
        self.name(name);
        self.digits(value);
    }

    /// Dollars, as a text: a number would be read as a float.
    #[inline]
    pub(crate) fn dollars(&mut self, name: &'static str, value: Picodollars) {
        self.name(name);
        self.put_word(value.text(&mut [0; AMOUNT_BYTES_MAX]));
    }

    /// A whole number, where there is one.
    #[inline]
    pub(crate) fn number_if(&mut self, name: &'static str, value: Option<u64>) {
        if let Some(value) = value {
            self.number(name, value);
        }
    }

    /// True or false.
    #[inline]
    pub(crate) fn flag(&mut self, name: &'static str, value: bool) {
        self.name(name);
        let word: &[u8] = if value { b"true" } else { b"false" };
        self.out.extend_from_slice(word);
    }

    /// A time in milliseconds, with three decimals at most and one at least.
    #[inline]
    pub(crate) fn milliseconds(&mut self, name: &'static str, value: Duration) {
        self.name(name);
        self.put_milliseconds(value);
    }

    fn put_text(&mut self, value: &str) {
        if is_plain(value) {
            self.put_word(value);
        } else {
            self.put_other(value);
        }
    }

    fn put_word(&mut self, value: &str) {
        self.out.reserve(value.len() + 2);
        self.out.push(b'"');
        self.out.extend_from_slice(value.as_bytes());
        self.out.push(b'"');
    }

    fn put_milliseconds(&mut self, value: Duration) {
        let seconds = value.as_secs().saturating_mul(1_000_000);
        let rounded = u64::from((value.subsec_nanos() + 500) / 1_000);
        let microseconds = seconds.saturating_add(rounded);
        self.digits(microseconds / 1_000);
        let [hundreds, tens, ones] = digits_of_three(microseconds % 1_000);
        let decimals = [b'.', hundreds, tens, ones];
        let count = match (tens, ones) {
            (b'0', b'0') => 2,
            (_, b'0') => 3,
            _ => 4,
        };
        self.out.extend_from_slice(&decimals[..count]);
    }

    /// A number with zeros before it, so that it has so many digits.
    fn padded(&mut self, value: u64, width: usize) {
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(value).as_bytes();
        let zeros = width.saturating_sub(digits.len());
        for _ in 0..zeros {
            self.out.push(b'0');
        }
        self.out.extend_from_slice(digits);
    }

    /// The second of a moment, as RFC 3339 has it up to there; [`Self::thousandths`] are to follow. Nothing of one that is beyond all calendars.
    pub(crate) fn second(&mut self, name: &'static str, since_1970: Duration) {
        self.name(name);
        self.out.push(b'"');
        let seconds = i64::try_from(since_1970.as_secs()).unwrap_or(i64::MAX);
        let Ok(moment) = jiff::Timestamp::from_second(seconds) else {
            return;
        };
        let moment = jiff::tz::Offset::UTC.to_datetime(moment);
        self.padded(moment.year().unsigned_abs().into(), 4);
        for (before, part) in [
            (b'-', moment.month()),
            (b'-', moment.day()),
            (b'T', moment.hour()),
            (b':', moment.minute()),
            (b':', moment.second()),
        ] {
            self.out.push(before);
            self.padded(part.unsigned_abs().into(), 2);
        }
    }

    /// The thousandths of a moment whose second stands there, if anything does.
    pub(crate) fn thousandths(&mut self, since_1970: Duration) {
        if self.out.last() != Some(&b'"') {
            let [hundreds, tens, ones] = digits_of_three(since_1970.subsec_millis().into());
            self.out
                .extend_from_slice(&[b'.', hundreds, tens, ones, b'Z']);
        }
        self.out.push(b'"');
    }

    /// An address.
    pub(crate) fn address(&mut self, name: &'static str, value: IpAddr) {
        self.name(name);
        self.out.push(b'"');
        match value {
            IpAddr::V4(address) => self.quad(address),
            IpAddr::V6(address) => {
                let _written = write!(self.out, "{address}");
            }
        }
        self.out.push(b'"');
    }

    fn quad(&mut self, address: Ipv4Addr) {
        for (place, octet) in address.octets().into_iter().enumerate() {
            if place > 0 {
                self.out.push(b'.');
            }
            self.digits(octet.into());
        }
    }

    /// An object, of members that each have a comma before them.
    pub(crate) fn object(&mut self, write: impl FnOnce(&mut Members<'_>)) {
        let begin = self.out.len();
        write(&mut Members::go_on(self.out));
        match self.out.get_mut(begin) {
            Some(comma) => *comma = b'{',
            None => self.out.push(b'{'),
        }
        self.out.push(b'}');
    }

    /// Objects, each written by `write`.
    pub(crate) fn list<T>(
        &mut self,
        name: &'static str,
        values: &[T],
        write: fn(&T, &mut Members<'_>),
    ) {
        self.name(name);
        self.out.push(b'[');
        for (place, value) in values.iter().enumerate() {
            if place > 0 {
                self.out.push(b',');
            }
            let mut members = Members::go_on(self.out);
            write(value, &mut members);
            members.end();
        }
        self.out.push(b']');
    }

    /// Anything else. What cannot be written, as no text, number or list of them, is told as null.
    pub(crate) fn other<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) {
        self.name(name);
        self.put_other(value);
    }

    fn put_other<T: Serialize + ?Sized>(&mut self, value: &T) {
        let begin = self.out.len();
        if serde_json::to_writer(&mut *self.out, value).is_err() {
            self.out.truncate(begin);
            self.out.extend_from_slice(b"null");
        }
    }

    fn digits(&mut self, value: u64) {
        let mut digits = itoa::Buffer::new();
        self.out.extend_from_slice(digits.format(value).as_bytes());
    }
}

/// The digits of a number below a thousand.
fn digits_of_three(number: u64) -> [u8; 3] {
    let digit = |of: u64| b'0' + u8::try_from(of % 10).unwrap_or_default();
    [digit(number / 100), digit(number / 10), digit(number)]
}

/// Whether a text can stand in JSON as it is (RFC 8259, section 7). Eight bytes are looked at together, as most texts are short.
fn is_plain(text: &str) -> bool {
    const EACH: u64 = u64::from_le_bytes([1; 8]);
    let needs_escape = |word: u64| {
        // A byte is zero where it is the one that is looked for.
        let (quote, backslash) = (word ^ (EACH * 0x22), word ^ (EACH * 0x5c));
        (word.wrapping_sub(EACH * 0x20) & !word)
            | (quote.wrapping_sub(EACH) & !quote)
            | (backslash.wrapping_sub(EACH) & !backslash)
    };
    let (words, rest) = text.as_bytes().as_chunks::<8>();
    let mut last = [b' '; 8];
    for (place, byte) in last.iter_mut().zip(rest) {
        *place = *byte;
    }
    let found = words
        .iter()
        .fold(needs_escape(u64::from_le_bytes(last)), |found, word| {
            found | needs_escape(u64::from_le_bytes(*word))
        });
    found & (EACH << 7) == 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn written(write: impl FnOnce(&mut Members<'_>)) -> Value {
        let mut out = Vec::new();
        let mut members = Members::go_on(&mut out);
        members.number(first!("first"), 1);
        write(&mut members);
        members.end();
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn members_are_what_they_were() {
        let seen = written(|members| {
            members.text(next!("a"), "");
            members.text_if(next!("none"), None);
            members.number(next!("b"), u64::MAX);
            members.flag(next!("c"), true);
            members.word(next!("w"), "x");
            members.word_if(next!("none"), None);
            members.address(next!("d"), [10, 0, 200, 9].into());
            members.address(next!("e"), "2001:db8::1".parse().unwrap());
            members.list(next!("f"), &[1, 2], |number, members| {
                members.number(first!("n"), *number)
            });
            members.list::<u64>(next!("g"), &[], |_, _| {});
            members.other(next!("h"), &[0.5]);
        });
        let told = json!({
            "first": 1, "a": "", "b": u64::MAX, "c": true, "w": "x", "d": "10.0.200.9", "e": "2001:db8::1", "f": [{"n": 1}, {"n": 2}], "g": [], "h": [0.5]
        });
        assert_eq!(seen, told);
    }

    proptest! {
        #[test]
        fn any_text_comes_back(text in any::<String>()) {
            let seen = written(|members| members.text(next!("text"), &text));
            prop_assert_eq!(&seen["text"], &Value::from(text));
        }

        #[test]
        fn dollars_are_told_as_everywhere(value: u64, zeros in 0_u32..19) {
            let value = Picodollars::new(value / 10_u64.pow(zeros) * 10_u64.pow(zeros));
            let seen = written(|members| members.dollars(next!("cost"), value));
            prop_assert_eq!(&seen["cost"], &serde_json::to_value(value).unwrap());
        }

        #[test]
        fn moments_are_told_as_everywhere(milliseconds in 0_u64..300_000_000_000_000) {
            let since_1970 = Duration::from_millis(milliseconds);
            let seen = written(|members| {
                members.second(next!("at"), since_1970);
                members.thousandths(since_1970);
            });
            let told = crate::call_log::moment(since_1970);
            prop_assert_eq!(&seen["at"], &Value::from(told));
        }

        #[test]
        fn times_are_rounded_to_microseconds(nanoseconds in 0_u64..10_000_000_000) {
            let seen = written(|members| members.milliseconds(next!("time"), Duration::from_nanos(nanoseconds)));
            let microseconds = (nanoseconds + 500) / 1000;
            let told: Value = serde_json::from_str(&format!("{}.{:03}", microseconds / 1000, microseconds % 1000)).unwrap();
            prop_assert_eq!(&seen["time"], &told);
        }
    }
}
