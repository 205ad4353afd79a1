//! A JSON object, written member by member.

use std::{
    io::Write,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use serde::Serialize;

/// An object that is being written.
pub(super) struct Members<'a> {
    out: &'a mut Vec<u8>,
    is_first: bool,
}

impl<'a> Members<'a> {
    /// Opens the object.
    pub(super) fn begin(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self {
            out,
            is_first: true,
        }
    }

    /// Closes it.
    pub(super) fn end(self) {
        self.out.push(b'}');
    }

    /// A name that needs no escapes, and what separates it.
    fn name(&mut self, name: &str) {
        let before: &[u8] = if std::mem::take(&mut self.is_first) {
            b"\""
        } else {
            b",\""
        };
        self.out.extend_from_slice(before);
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    /// A text.
    pub(super) fn text(&mut self, name: &str, value: &str) {
        if value
            .bytes()
            .fold(false, |has, byte| has | needs_escape(byte))
        {
            return self.other(name, value);
        }
        self.name(name);
        self.out.push(b'"');
        self.out.extend_from_slice(value.as_bytes());
        self.out.push(b'"');
    }

    /// A text, where there is one.
    pub(super) fn text_if(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    /// A whole number.
    pub(super) fn number(&mut self, name: &str, value: u64) {
        self.name(name);
        self.digits(value);
    }

    /// A whole number, where there is one.
    pub(super) fn number_if(&mut self, name: &str, value: Option<u64>) {
        if let Some(value) = value {
            self.number(name, value);
        }
    }

    /// True or false.
    pub(super) fn flag(&mut self, name: &str, value: bool) {
        self.name(name);
        let word: &[u8] = if value { b"true" } else { b"false" };
        self.out.extend_from_slice(word);
    }

    /// A time in milliseconds, with three decimals at most and one at least.
    pub(super) fn milliseconds(&mut self, name: &str, value: Duration) {
        self.name(name);
        let microseconds = (value + Duration::from_nanos(500)).as_micros();
        let microseconds = u64::try_from(microseconds).unwrap_or(u64::MAX);
        self.digits(microseconds / 1000);
        self.out.push(b'.');
        let rest = u32::try_from(microseconds % 1000).unwrap_or_default();
        let decimals = [rest / 100, rest / 10 % 10, rest % 10];
        let last = decimals.iter().rposition(|decimal| *decimal > 0);
        let decimals = decimals.iter().take(last.unwrap_or_default() + 1);
        let decimals = decimals.filter_map(|decimal| char::from_digit(*decimal, 10));
        decimals.for_each(|digit| self.out.extend(u8::try_from(digit)));
    }

    /// An address.
    pub(super) fn address(&mut self, name: &str, value: IpAddr) {
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

    /// Objects, each written by `write`.
    pub(super) fn list<T>(&mut self, name: &str, values: &[T], write: fn(&T, &mut Members<'_>)) {
        self.name(name);
        self.out.push(b'[');
        for (place, value) in values.iter().enumerate() {
            if place > 0 {
                self.out.push(b',');
            }
            let mut members = Members::begin(self.out);
            write(value, &mut members);
            members.end();
        }
        self.out.push(b']');
    }

    /// Anything else. What cannot be written, as no text, number or list of them, is told as null.
    pub(super) fn other<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) {
        self.name(name);
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

/// Whether a byte of a text cannot stand in JSON as it is (RFC 8259, section 7).
fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn written(write: impl FnOnce(&mut Members<'_>)) -> Value {
        let mut out = Vec::new();
        let mut members = Members::begin(&mut out);
        write(&mut members);
        members.end();
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn members_are_what_they_were() {
        let seen = written(|members| {
            members.text("a", "");
            members.text_if("none", None);
            members.number("b", u64::MAX);
            members.flag("c", true);
            members.address("d", [10, 0, 200, 9].into());
            members.address("e", "2001:db8::1".parse().unwrap());
            members.list("f", &[1, 2], |number, members| members.number("n", *number));
            members.list::<u64>("g", &[], |_, _| {});
            members.other("h", &[0.5]);
        });
        let told = json!({
            "a": "", "b": u64::MAX, "c": true, "d": "10.0.200.9", "e": "2001:db8::1", "f": [{"n": 1}, {"n": 2}], "g": [], "h": [0.5]
        });
        assert_eq!(seen, told);
    }

    proptest! {
        #[test]
        fn any_text_comes_back(text in any::<String>()) {
            let seen = written(|members| members.text("text", &text));
            prop_assert_eq!(&seen["text"], &Value::from(text));
        }

        #[test]
        fn times_are_rounded_to_microseconds(nanoseconds in 0_u64..10_000_000_000) {
            let seen = written(|members| members.milliseconds("time", Duration::from_nanos(nanoseconds)));
            let microseconds = (nanoseconds + 500) / 1000;
            let told: Value = serde_json::from_str(&format!("{}.{:03}", microseconds / 1000, microseconds % 1000)).unwrap();
            prop_assert_eq!(&seen["time"], &told);
        }
    }
}
