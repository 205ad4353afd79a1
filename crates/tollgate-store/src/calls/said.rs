//! Patterns that find what was said in what is kept of it, in capitals or not: `SQLite`'s (`GLOB`) and `PostgreSQL`'s (`~`). What capitals are is told
//! in the patterns, since `SQLite` knows those of ASCII alone, and neither knows them where JSON escapes a sign.

/// Whose patterns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patterns {
    /// `SQLite`'s.
    Globs,
    /// `PostgreSQL`'s.
    Expressions,
}

impl Patterns {
    /// Between a text and a pattern that it is to have in it.
    pub(super) const fn operator(self) -> &'static str {
        match self {
            Self::Globs => "GLOB",
            Self::Expressions => "~",
        }
    }

    /// The ways in which a text is written in what is kept: as it is, and as JSON has it within a string, with its own signs or with escapes for all
    /// that is not ASCII.
    pub(super) fn of(self, text: &str) -> Vec<String> {
        let quoted = serde_json::Value::from(text).to_string();
        let within = quoted
            .strip_prefix('"')
            .and_then(|quoted| quoted.strip_suffix('"'))
            .unwrap_or(text);
        let in_ascii = within.chars().map(|sign| match sign {
            sign if sign.is_ascii() => self.plain(sign),
            sign => self.escape(sign),
        });
        let mut ways = vec![
            text.chars().map(|sign| self.plain(sign)).collect(),
            within.chars().map(|sign| self.plain(sign)).collect(),
            in_ascii.collect::<String>(),
        ];
        ways.dedup();
        if self == Self::Globs {
            ways = ways.iter().map(|way| format!("*{way}*")).collect();
        }
        ways
    }

    /// A sign as it is.
    fn plain(self, sign: char) -> String {
        self.any_of(&cases(sign))
    }

    /// A sign as JSON escapes it. Digits of both cases may come together: what that finds beside them is no text that anybody writes.
    fn escape(self, sign: char) -> String {
        let escapes = cases(sign).into_iter().map(|sign| {
            let mut units = [0; 2];
            let units = sign.encode_utf16(&mut units).iter();
            let escapes = units.map(|unit| format!("\\u{unit:04x}"));
            escapes.collect::<String>().chars().collect::<Vec<_>>()
        });
        let escapes: Vec<Vec<char>> = escapes.collect();
        let length = escapes.iter().map(Vec::len).max().unwrap_or_default();
        let places = (0..length).map(|place| {
            let there = escapes.iter().filter_map(|escape| escape.get(place));
            let digits = there.flat_map(|sign| match sign {
                'u' | '\\' => [*sign; 2],
                digit => [*digit, digit.to_ascii_uppercase()],
            });
            let mut digits: Vec<char> = digits.collect();
            digits.sort_unstable();
            digits.dedup();
            self.any_of(&digits)
        });
        places.collect()
    }

    /// One of these signs, of which those that mean something in a pattern come alone.
    fn any_of(self, signs: &[char]) -> String {
        match (signs, self) {
            ([sign @ ('*' | '?' | '[')], Self::Globs) => format!("[{sign}]"),
            ([sign], Self::Expressions) if sign.is_ascii_punctuation() => format!("\\{sign}"),
            ([sign], _) => sign.to_string(),
            (signs, _) => format!("[{}]", signs.iter().collect::<String>()),
        }
    }
}

/// A sign, and what it is in capitals and in small letters, where that is one sign.
fn cases(sign: char) -> Vec<char> {
    let upper = alone(sign.to_uppercase()).unwrap_or(sign);
    let lower = [sign, upper].map(|sign| alone(sign.to_lowercase()).unwrap_or(sign));
    let mut cases = [&[sign, upper], &lower[..]].concat();
    cases.sort_unstable();
    cases.dedup();
    cases
}

fn alone(mut signs: impl Iterator<Item = char>) -> Option<char> {
    let first = signs.next();
    first.filter(|_| signs.next().is_none())
}
