//! Limits and budgets: who may use how much of what, in which time. Both are allowances; the data plane keeps count of them.

use std::{borrow::Cow, sync::Arc, time::Duration};

use jiff::{Span, Timestamp, ToSpan as _, Unit as TimeUnit, ZonedRound, tz::TimeZone};

/// So much of something for somebody, in a time.
#[derive(Clone, Debug)]
pub struct Allowance {
    /// Its own.
    pub name: Arc<str>,
    /// Whose calls it is for.
    pub scope: Scope,
    /// What is counted.
    pub quantity: Quantity,
    /// So much of it: a count, or picodollars.
    pub most: u64,
    /// So much more, for a while.
    pub raise: Option<Raise>,
    /// In this time; `None` for what is only counted while it lasts.
    pub window: Option<Window>,
    /// What happens beyond.
    pub then: Then,
    /// Whether answers tell what is left.
    pub is_told: bool,
}

/// More of an allowance, for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raise {
    /// So much, in the allowance's own unit.
    pub by: u64,
    /// Until then, since 1970-01-01 UTC.
    pub until: Duration,
}

/// Whose calls an allowance is for: all parts have to fit, and one that is left out fits every call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Callers' keys.
    pub key: Option<Whose>,
    /// The teams that keys belong to.
    pub team: Option<Whose>,
    /// Routes.
    pub route: Option<Whose>,
    /// The end users that calls name.
    pub user: Option<Whose>,
    /// The apps that keys belong to.
    pub app: Option<Whose>,
    /// The organisations that keys belong to.
    pub organisation: Option<Whose>,
    /// The providers that are asked.
    pub provider: Option<Whose>,
    /// The models that are asked, as providers call them.
    pub model: Option<Whose>,
}

/// One part of a scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// This one.
    Named(Arc<str>),
    /// Everyone, each by itself.
    Each,
}

/// What is known of a call, to find its allowances.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts<'a> {
    /// The caller's key.
    pub key: Option<&'a str>,
    /// The key's team.
    pub team: Option<&'a str>,
    /// The route.
    pub route: Option<&'a str>,
    /// The end user.
    pub user: Option<&'a str>,
    /// The key's app.
    pub app: Option<&'a str>,
    /// The key's organisation.
    pub organisation: Option<&'a str>,
    /// The provider.
    pub provider: Option<&'a str>,
    /// The model.
    pub model: Option<&'a str>,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// Calls.
    Requests,
    /// Tokens, in and out.
    Tokens,
    /// Tokens in.
    InputTokens,
    /// Tokens out.
    OutputTokens,
    /// Calls at the same time.
    Concurrent,
    /// Bytes of one call's body; nothing is counted.
    Size,
    /// Money.
    Picodollars,
}

/// What happens beyond an allowance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Calls are refused.
    Refuse,
    /// It is told, once a window.
    Warn,
}

/// The time that counts.
#[derive(Clone, Debug, PartialEq)]
pub enum Window {
    /// The last so long, whenever it is. It is counted in sixty parts, of which the oldest counts until all of it is over: a little more than
    /// the time counts, and never less.
    Rolling(Duration),
    /// So long, counted from 1970-01-01 UTC.
    Span(Duration),
    /// A day, week (from Monday), month or year as people have it somewhere.
    Calendar(CalendarUnit, TimeZone),
}

/// Parts of time that are counted by themselves: their beginnings since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slots {
    /// The first's.
    pub first: Duration,
    /// From one to the next.
    pub step: Duration,
    /// How many.
    pub count: u32,
}

/// The parts of a rolling time.
const ROLLING_PARTS: u32 = 60;

/// What people count time by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CalendarUnit {
    /// From midnight.
    Day,
    /// From Monday.
    Week,
    /// From the first.
    Month,
    /// From the first of January.
    Year,
}

/// Who is meant where a call does not say: a part of its own, so that nobody escapes by leaving it out.
const NOBODY: &str = "-";

/// Whether a name could be taken for nobody's; in subjects such a name has one dash more.
fn is_like_nobody(name: &str) -> bool {
    name.bytes().all(|byte| byte == b'-')
}

/// A name of a subject as it was given.
fn told_name(name: &str) -> &str {
    let given = name.strip_prefix(NOBODY);
    let given = given.filter(|given| !given.is_empty() && is_like_nobody(given));
    given.unwrap_or(name)
}

impl Allowance {
    /// What it is counted as: its name, and what changes the meaning of its count, which is whose calls, what of them, and in which time. How much
    /// is allowed does not.
    pub fn identity(&self) -> String {
        let (quantity, name) = (self.quantity.as_str(), &self.name);
        let scope: Vec<String> = self
            .scope
            .parts()
            .into_iter()
            .filter_map(|(word, whose)| match whose.as_ref()? {
                Whose::Named(name) => Some(format!("{word}={name:?}")),
                Whose::Each => Some(format!("each {word}")),
            })
            .collect();
        let scope = scope.join(",");
        let window = match &self.window {
            None => String::new(),
            Some(Window::Rolling(span)) => format!("rolling {}", span.as_millis()),
            Some(Window::Span(span)) => span.as_millis().to_string(),
            Some(Window::Calendar(unit, zone)) => {
                format!("{unit:?} {}", zone.iana_name().unwrap_or_default())
            }
        };
        format!("{quantity}|{window}|{scope}|{name}")
    }

    /// So much of it there is at a time, since 1970-01-01 UTC.
    pub fn most_at(&self, now: Duration) -> u64 {
        let raise = self.raise.filter(|raise| now < raise.until);
        self.most.saturating_add(raise.map_or(0, |raise| raise.by))
    }
}

impl Scope {
    /// Its parts with their words, in the order in which a subject has them.
    fn parts(&self) -> [(&'static str, &Option<Whose>); 8] {
        [
            ("key", &self.key),
            ("team", &self.team),
            ("route", &self.route),
            ("user", &self.user),
            ("app", &self.app),
            ("organisation", &self.organisation),
            ("provider", &self.provider),
            ("model", &self.model),
        ]
    }

    /// Whom of it a subject is, for people; empty where it is for all calls together.
    pub fn told(&self, subject: &str) -> String {
        let mut names = subject.split('\n');
        let mut told = Vec::new();
        for (word, whose) in self.parts() {
            match whose {
                None => {}
                Some(Whose::Named(name)) => told.push(format!("{word} {name}")),
                Some(Whose::Each) => told.push(match names.next() {
                    Some(NOBODY) => format!("no {word}"),
                    Some(name) => format!("{word} {}", told_name(name)),
                    None => format!("each {word}"),
                }),
            }
        }
        told.join(", ")
    }

    /// Whether it depends on who is asked, and not on the call alone.
    pub fn is_by_target(&self) -> bool {
        self.provider.is_some() || self.model.is_some()
    }

    /// Whether it is for several, each by itself.
    pub fn tells_apart(&self) -> bool {
        let mut parts = self.parts().into_iter();
        parts.any(|(_, whose)| *whose == Some(Whose::Each))
    }

    /// Whom of an allowance's scope a call belongs to; `None` where it is not for that call.
    pub fn subject<'a>(&self, facts: &Facts<'a>) -> Option<Cow<'a, str>> {
        let mut subject = Cow::Borrowed("");
        macro_rules! fits {
            ($part:ident) => {
                match &self.$part {
                    None => true,
                    Some(whose) => whose.fits(facts.$part, &mut subject),
                }
            };
        }
        let is_its = fits!(key)
            && fits!(team)
            && fits!(route)
            && fits!(user)
            && fits!(app)
            && fits!(organisation)
            && fits!(provider)
            && fits!(model);
        is_its.then_some(subject)
    }
}

impl Whose {
    /// Whether it fits what is known of a call; whom it tells apart goes to the subject.
    fn fits<'a>(&self, fact: Option<&'a str>, subject: &mut Cow<'a, str>) -> bool {
        // An empty name names nobody.
        let fact = fact.filter(|name| !name.is_empty());
        match self {
            Self::Named(name) => fact == Some(name),
            Self::Each => {
                add_to_subject(subject, fact);
                true
            }
        }
    }
}

fn add_to_subject<'a>(subject: &mut Cow<'a, str>, name: Option<&'a str>) {
    let name = match name {
        None => Cow::Borrowed(NOBODY),
        Some(name) if is_like_nobody(name) => Cow::Owned(format!("{NOBODY}{name}")),
        Some(name) => Cow::Borrowed(name),
    };
    if subject.is_empty() {
        *subject = name;
        return;
    }
    let subject = subject.to_mut();
    subject.reserve(1 + name.len());
    // No name has it, so that two pairs of names are never one.
    subject.push('\n');
    subject.push_str(&name);
}

impl Quantity {
    /// Whether a call takes as much of it as it is large.
    pub const fn is_of_size(self) -> bool {
        match self {
            Self::Tokens | Self::InputTokens | Self::OutputTokens | Self::Picodollars => true,
            Self::Requests | Self::Concurrent | Self::Size => false,
        }
    }

    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Tokens => "tokens",
            Self::InputTokens => "input tokens",
            Self::OutputTokens => "output tokens",
            Self::Concurrent => "concurrent calls",
            Self::Size => "bytes",
            Self::Picodollars => "dollars",
        }
    }
}

impl Window {
    /// Its words in a sentence: so much `per hour`.
    pub fn told(&self) -> String {
        let unit = |span: &Duration| match span.as_secs() {
            1 if span.subsec_nanos() == 0 => "second".to_owned(),
            60 => "minute".to_owned(),
            3_600 => "hour".to_owned(),
            seconds if seconds > 3_600 && seconds % 3_600 == 0 => {
                format!("{} hours", seconds / 3_600)
            }
            seconds if seconds > 60 && seconds % 60 == 0 => format!("{} minutes", seconds / 60),
            _ => format!("{} seconds", span.as_secs_f64()),
        };
        match self {
            Self::Span(span) => format!("per {}", unit(span)),
            Self::Rolling(span) => format!("in any {}", unit(span)),
            Self::Calendar(calendar, zone) => {
                let word = match calendar {
                    CalendarUnit::Day => "day",
                    CalendarUnit::Week => "week",
                    CalendarUnit::Month => "month",
                    CalendarUnit::Year => "year",
                };
                match zone.iana_name() {
                    None | Some("UTC") => format!("per {word}"),
                    Some(zone) => format!("per {word} of {zone}"),
                }
            }
        }
    }

    /// The parts that count at a time, since 1970-01-01 UTC: one, but of a rolling time. What is used then goes into the last.
    pub fn slots(&self, now: Duration) -> Slots {
        let Self::Rolling(span) = self else {
            let (first, _) = self.around(now);
            return Slots {
                first,
                step: Duration::ZERO,
                count: 1,
            };
        };
        let step = (span.as_millis() / u128::from(ROLLING_PARTS)).max(1);
        let begin = |time: Duration| time.as_millis() / step;
        let (first, last) = (begin(now.saturating_sub(*span)), begin(now));
        Slots {
            first: milliseconds(first * step),
            step: milliseconds(step),
            count: u32::try_from(last - first + 1).unwrap_or(u32::MAX),
        }
    }

    /// Until when what is used at a time counts; both since 1970-01-01 UTC.
    pub fn counts_until(&self, now: Duration) -> Duration {
        match self {
            Self::Rolling(span) => {
                let slots = self.slots(now);
                slots
                    .last()
                    .saturating_add(slots.step)
                    .saturating_add(*span)
            }
            _ => self.around(now).1,
        }
    }

    /// The beginning and the end of the window that a time is in; both, and the time, since 1970-01-01 UTC.
    pub fn around(&self, now: Duration) -> (Duration, Duration) {
        match self {
            Self::Rolling(span) => (now.saturating_sub(*span), now),
            Self::Span(span) => {
                let span = span.max(&Duration::from_millis(1)).as_millis();
                let begin = now.as_millis() / span * span;
                (milliseconds(begin), milliseconds(begin + span))
            }
            Self::Calendar(unit, zone) => {
                calendar(*unit, zone, now).unwrap_or((Duration::ZERO, Duration::MAX))
            }
        }
    }
}

impl Slots {
    /// The last's beginning.
    pub fn last(&self) -> Duration {
        let before = self.step.saturating_mul(self.count.saturating_sub(1));
        self.first.saturating_add(before)
    }
}

fn milliseconds(count: u128) -> Duration {
    Duration::from_millis(u64::try_from(count).unwrap_or(u64::MAX))
}

/// `None` for times that the calendar does not reach.
fn calendar(unit: CalendarUnit, zone: &TimeZone, now: Duration) -> Option<(Duration, Duration)> {
    let seconds = i64::try_from(now.as_secs()).ok()?;
    let time = Timestamp::from_second(seconds).ok()?.to_zoned(zone.clone());
    let down = ZonedRound::new()
        .smallest(TimeUnit::Day)
        .mode(jiff::RoundMode::Trunc);
    let midnight = time.round(down).ok()?;
    let (begin, span): (_, Span) = match unit {
        CalendarUnit::Day => (midnight, 1.day()),
        CalendarUnit::Week => {
            let days = i64::from(midnight.weekday().to_monday_zero_offset());
            (midnight.checked_sub(days.days()).ok()?, 1.week())
        }
        CalendarUnit::Month => (midnight.first_of_month().ok()?, 1.month()),
        CalendarUnit::Year => (midnight.first_of_year().ok()?, 1.year()),
    };
    let end = begin.checked_add(span).ok()?;
    let since_1970 = |time: &jiff::Zoned| Duration::try_from(time.timestamp().as_duration()).ok();
    Some((since_1970(&begin)?, since_1970(&end)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_raise_lasts_until_its_end() {
        let allowance = Allowance {
            name: "a".into(),
            scope: Scope::default(),
            quantity: Quantity::Picodollars,
            most: 100,
            raise: Some(Raise {
                by: 50,
                until: Duration::from_secs(10),
            }),
            window: None,
            then: Then::Refuse,
            is_told: false,
        };
        let at = |seconds| allowance.most_at(Duration::from_secs(seconds));
        assert_eq!((at(9), at(10)), (150, 100));
    }

    #[test]
    fn nobody_can_be_named() {
        let scope = Scope {
            user: Some(Whose::Each),
            ..Scope::default()
        };
        let subject = |user| {
            let facts = Facts {
                user,
                ..Facts::default()
            };
            scope.subject(&facts).unwrap()
        };
        let mut known = Vec::new();
        for (user, told) in [
            (None, "no user"),
            (Some("-"), "user -"),
            (Some("--"), "user --"),
            (Some("-a"), "user -a"),
        ] {
            let subject = subject(user);
            assert_eq!(scope.told(&subject), told);
            assert!(!known.contains(&subject), "{subject}");
            known.push(subject);
        }
        assert_eq!(subject(Some("")), subject(None));
    }

    #[test]
    fn another_count_is_what_another_window_kind_or_scope_has() {
        let fixed = Allowance {
            name: "a".into(),
            scope: Scope::default(),
            quantity: Quantity::Requests,
            most: 100,
            raise: None,
            window: Some(Window::Span(Duration::from_secs(3600))),
            then: Then::Refuse,
            is_told: false,
        };
        let day = |zone| {
            Some(Window::Calendar(
                CalendarUnit::Day,
                TimeZone::get(zone).unwrap(),
            ))
        };
        let others = [
            Allowance {
                window: Some(Window::Span(Duration::from_secs(7200))),
                ..fixed.clone()
            },
            Allowance {
                window: Some(Window::Rolling(Duration::from_secs(3600))),
                ..fixed.clone()
            },
            Allowance {
                window: day("UTC"),
                ..fixed.clone()
            },
            Allowance {
                window: day("Europe/Rome"),
                ..fixed.clone()
            },
            Allowance {
                quantity: Quantity::Tokens,
                ..fixed.clone()
            },
            Allowance {
                name: "b".into(),
                ..fixed.clone()
            },
            Allowance {
                scope: Scope {
                    team: named("a"),
                    ..Scope::default()
                },
                ..fixed.clone()
            },
            Allowance {
                scope: Scope {
                    team: Some(Whose::Each),
                    ..Scope::default()
                },
                ..fixed.clone()
            },
        ];
        let mut identities: Vec<String> = others.iter().map(Allowance::identity).collect();
        identities.push(fixed.identity());
        let count = identities.len();
        identities.sort();
        identities.dedup();
        assert_eq!(identities.len(), count, "{identities:?}");
        let raised = Allowance {
            most: 200,
            then: Then::Warn,
            is_told: true,
            ..fixed.clone()
        };
        assert_eq!(raised.identity(), fixed.identity());
    }

    #[test]
    fn whom_a_limit_is_for_and_in_which_time_is_told() {
        let scope = Scope {
            key: Some(Whose::Each),
            team: named("research"),
            user: Some(Whose::Each),
            ..Scope::default()
        };
        assert_eq!(scope.told("k\n-"), "key k, team research, no user");
        assert_eq!(Scope::default().told(""), "");
        let told = |seconds| Window::Span(Duration::from_secs(seconds)).told();
        assert_eq!(
            [1, 10, 60, 600, 3600, 7200].map(told),
            [
                "per second",
                "per 10 seconds",
                "per minute",
                "per 10 minutes",
                "per hour",
                "per 2 hours"
            ]
        );
        assert_eq!(
            Window::Rolling(Duration::from_secs(60)).told(),
            "in any minute"
        );
    }

    #[test]
    fn a_rolling_time_counts_no_less_than_itself() {
        let window = Window::Rolling(Duration::from_secs(60));
        let seconds = |seconds| Duration::from_secs(seconds);
        let slots = window.slots(Duration::from_millis(1_000_500));
        assert_eq!(
            (slots.first, slots.step, slots.last()),
            (seconds(940), seconds(1), seconds(1000))
        );
        assert_eq!(window.counts_until(seconds(1000)), seconds(1061));
        assert_eq!(window.around(seconds(1000)), (seconds(940), seconds(1000)));
    }

    fn named(name: &str) -> Option<Whose> {
        Some(Whose::Named(name.into()))
    }

    #[test]
    fn a_scope_is_for_the_calls_that_fit_all_of_it() {
        let facts = Facts {
            key: Some("k"),
            team: None,
            route: Some("r"),
            user: Some("u"),
            ..Facts::default()
        };
        let subject = |scope: Scope| scope.subject(&facts);
        assert_eq!(subject(Scope::default()).as_deref(), Some(""));
        let (key, route) = (named("k"), named("r"));
        assert_eq!(
            subject(Scope {
                key: key.clone(),
                route,
                ..Scope::default()
            })
            .as_deref(),
            Some("")
        );
        let route = named("other");
        assert_eq!(
            subject(Scope {
                key,
                route,
                ..Scope::default()
            }),
            None
        );
        let (team, user) = (Some(Whose::Each), Some(Whose::Each));
        assert_eq!(
            subject(Scope {
                team,
                user,
                ..Scope::default()
            })
            .as_deref(),
            Some("-\nu")
        );
    }

    fn around(window: &Window, time: &str) -> (String, String) {
        let time: Timestamp = time.parse().unwrap();
        let (begin, end) = window.around(Duration::try_from(time.as_duration()).unwrap());
        let told = |time: Duration| {
            let seconds = i64::try_from(time.as_secs()).unwrap();
            Timestamp::from_second(seconds).unwrap().to_string()
        };
        (told(begin), told(end))
    }

    #[test]
    fn windows_begin_where_people_expect_it() {
        let pair = |begin: &str, end: &str| (begin.to_owned(), end.to_owned());
        let minute = Window::Span(Duration::from_secs(60));
        assert_eq!(
            around(&minute, "2026-11-25T16:51:59Z"),
            pair("2026-11-25T16:51:00Z", "2026-11-25T16:52:00Z")
        );
        let calendar = |unit, zone: &str| Window::Calendar(unit, TimeZone::get(zone).unwrap());
        assert_eq!(
            around(
                &calendar(CalendarUnit::Month, "UTC"),
                "2026-02-28T23:59:59Z"
            ),
            pair("2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z")
        );
        // A Wednesday; in Rome summer time is over.
        assert_eq!(
            around(
                &calendar(CalendarUnit::Week, "Europe/Rome"),
                "2026-11-25T16:51:59Z"
            ),
            pair("2026-11-22T23:00:00Z", "2026-11-29T23:00:00Z")
        );
        // The day on which summer time ends has 25 hours.
        assert_eq!(
            around(
                &calendar(CalendarUnit::Day, "Europe/Rome"),
                "2026-10-25T12:00:00Z"
            ),
            pair("2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z")
        );
    }
}
