//! What a call used, in classes that do not overlap.

use serde::{Deserialize, Serialize};

use crate::{Picodollars, ServiceTier};

/// The most of anything that an answer is believed to have used: hundreds of times what any model takes or makes, and so little that a
/// database can sum up many millions of such answers.
pub const COUNT_MAX: u64 = 1 << 32;

/// The most that a provider is believed to bill for an answer: some ten thousand dollars.
const BILL_MAX: Picodollars = Picodollars::new(10_000_000_000_000_000);

/// Tokens by class, and what is billed by another unit.
///
/// Classes are disjoint: a token is counted in one of them only, so that
/// prices can be applied class by class. `None` means that the provider did not say, which is not zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Input tokens read at the full price: not cached, no audio, no pictures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<u64>,
    /// Input tokens read from the provider's prompt cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_cached: Option<u64>,
    /// Input tokens written to the provider's prompt cache, where their lifetime is the default (5 minutes).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write: Option<u64>,
    /// Input tokens written to the provider's prompt cache for one hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write_1h: Option<u64>,
    /// Input tokens of audio.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_audio: Option<u64>,
    /// Input tokens of pictures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_image: Option<u64>,
    /// Output tokens that are no reasoning, no audio, and no pictures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<u64>,
    /// Output tokens of reasoning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_reasoning: Option<u64>,
    /// Output tokens of audio.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_audio: Option<u64>,
    /// Output tokens of pictures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_image: Option<u64>,
    /// Seconds of sound, where a provider counts those and no tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
    /// Searches, as rerank calls are billed by Cohere: a question with up to 100 documents each. No tokens, and in no sum of
    /// them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search_units: Option<u64>,
    /// Searches of the web that the provider made, and bills beside tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web_searches: Option<u64>,
    /// The same with OpenAI's older tool, `web_search_preview`, which has a price of its own. They are in no other class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web_search_previews: Option<u64>,
    /// What the provider said that the answer cost, where it is one who says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub billed: Option<Picodollars>,
    /// The tier that the provider answered in, where it is not the usual one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<ServiceTier>,
    /// Tokens were counted here, as the provider did not say.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_estimated: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
const fn is_false(is: &bool) -> bool {
    !*is
}

/// Tokens that a call may have used beyond those that are known: it broke off, or its client left, before its provider said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unmetered {
    /// Input tokens.
    pub input: u64,
    /// Output tokens.
    pub output: u64,
}

impl Unmetered {
    /// Whether all that was used is known.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            input: self.input.saturating_add(other.input),
            output: self.output.saturating_add(other.output),
        }
    }
}

impl Usage {
    /// All input tokens; `None` where the provider gave none of the classes.
    pub fn input_total(&self) -> Option<u64> {
        sum(&[
            self.input,
            self.input_cached,
            self.cache_write,
            self.cache_write_1h,
            self.input_audio,
            self.input_image,
        ])
    }

    /// All output tokens; `None` where the provider gave none of the classes.
    pub fn output_total(&self) -> Option<u64> {
        sum(&[
            self.output,
            self.output_reasoning,
            self.output_audio,
            self.output_image,
        ])
    }

    /// Input and output tokens together.
    pub fn total(&self) -> Option<u64> {
        sum(&[self.input_total(), self.output_total()])
    }

    /// Whether an answer can have used that. A provider may say anything, by mistake too.
    pub fn is_believable(&self) -> bool {
        let mut none = Self::default();
        let counts = none.classes_with(self).map(|(_, count)| count);
        counts.into_iter().flatten().all(|count| count <= COUNT_MAX)
            && self.billed.unwrap_or_default() <= BILL_MAX
    }

    /// The same, answered in the tier that a provider names.
    #[must_use]
    pub fn in_tier(mut self, word: Option<&str>) -> Self {
        self.tier = word.and_then(ServiceTier::special).or(self.tier);
        self
    }

    /// Searches of the web, with whatever tool; `None` where the provider told of none.
    pub fn web_searches_total(&self) -> Option<u64> {
        sum(&[self.web_searches, self.web_search_previews])
    }

    /// Adds what another answer used.
    pub fn add(&mut self, other: &Self) {
        // A bill for one of two answers is none for both.
        self.billed = match (self.billed, other.billed) {
            (Some(mine), Some(theirs)) => Some(mine.plus(theirs)),
            (None, theirs) if *self == Self::default() => theirs,
            (mine, None) if *other == Self::default() => mine,
            _ => None,
        };
        self.tier = other.tier.or(self.tier);
        self.is_estimated |= other.is_estimated;
        for (mine, theirs) in self.classes_with(other) {
            *mine = match (*mine, theirs) {
                (Some(mine), Some(theirs)) => Some(mine.saturating_add(theirs)),
                (mine, theirs) => mine.or(theirs),
            };
        }
    }

    /// Takes over the classes that a later report gives; those that it leaves out stay.
    pub fn update(&mut self, later: &Self) {
        self.tier = later.tier.or(self.tier);
        self.billed = later.billed.or(self.billed);
        for (mine, theirs) in self.classes_with(later) {
            *mine = theirs.or(*mine);
        }
    }

    /// Each class beside that of another report.
    fn classes_with(&mut self, other: &Self) -> [(&mut Option<u64>, Option<u64>); 14] {
        [
            (&mut self.input, other.input),
            (&mut self.input_cached, other.input_cached),
            (&mut self.cache_write, other.cache_write),
            (&mut self.cache_write_1h, other.cache_write_1h),
            (&mut self.input_audio, other.input_audio),
            (&mut self.input_image, other.input_image),
            (&mut self.output, other.output),
            (&mut self.output_reasoning, other.output_reasoning),
            (&mut self.output_audio, other.output_audio),
            (&mut self.output_image, other.output_image),
            (&mut self.seconds, other.seconds),
            (&mut self.search_units, other.search_units),
            (&mut self.web_searches, other.web_searches),
            (&mut self.web_search_previews, other.web_search_previews),
        ]
    }
}

fn sum(classes: &[Option<u64>]) -> Option<u64> {
    classes
        .iter()
        .flatten()
        .copied()
        .reduce(u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_is_not_zero() {
        assert_eq!(Usage::default().total(), None);
        assert_eq!(
            Usage {
                output: Some(0),
                ..Usage::default()
            }
            .total(),
            Some(0)
        );
    }

    #[test]
    fn what_two_answers_used_is_added_class_by_class() {
        let mut usage = Usage {
            input: Some(7),
            ..Usage::default()
        };
        usage.add(&Usage {
            input: Some(1),
            output: Some(5),
            ..Usage::default()
        });
        assert_eq!(
            (usage.input, usage.output, usage.input_audio),
            (Some(8), Some(5), None)
        );
    }

    #[test]
    fn the_usual_tier_is_not_told() {
        let tier = |word| Usage::default().in_tier(word).tier;
        assert_eq!(tier(Some("flex")), Some(ServiceTier::Flex));
        for word in [None, Some("default"), Some("standard"), Some("scale")] {
            assert_eq!(tier(word), None);
        }
        let mut usage = Usage::default().in_tier(Some("priority"));
        usage.update(&Usage::default());
        assert_eq!(usage.tier, Some(ServiceTier::Priority));
    }

    #[test]
    fn searches_are_no_tokens() {
        let usage = Usage {
            search_units: Some(1),
            ..Usage::default()
        };
        assert_eq!(usage.total(), None);
    }

    #[test]
    fn what_no_answer_can_have_used_is_not_believed() {
        let of = |input, billed| Usage {
            input: Some(input),
            output: Some(1),
            billed: Some(Picodollars::new(billed)),
            ..Usage::default()
        };
        assert!(Usage::default().is_believable());
        assert!(of(100_000_000, 1_000_000_000_000).is_believable());
        assert!(!of(COUNT_MAX + 1, 0).is_believable());
        assert!(!of(1, u64::MAX).is_believable());
    }

    #[test]
    fn a_later_report_wins_where_it_speaks() {
        let mut usage = Usage {
            input: Some(7),
            output: Some(1),
            ..Usage::default()
        };
        usage.update(&Usage {
            output: Some(5),
            ..Usage::default()
        });
        assert_eq!((usage.input, usage.output), (Some(7), Some(5)));
    }
}
