//! Whose price of a model holds, and when.
//!
//! Prices come with the program ([`Catalogue`], whose data and its licence are in `data/`), and from the operator, whose word goes first.
//! A price that is not known is not zero: its calls are unpriced, and say so.

mod map;
mod price;

use std::{collections::HashMap, sync::Arc, time::Duration};

use thiserror::Error;

pub use map::lines_of_map;
pub use price::{Cost, Price, PriceComponent, ServiceTier, Unit};

use crate::ProviderName;

/// The prices that come with the program: a line a model, as [`Catalogue::read`] says.
const BUILT_IN: &str = include_str!("../data/prices.txt");

/// The prices of all models.
#[derive(Clone, Debug, Default)]
pub struct Prices {
    /// By the provider's name in the configuration, then by model; `*` is every other model.
    operators: HashMap<ProviderName, HashMap<Arc<str>, Tariff>>,
    /// Newer than what comes with the program.
    newer: Option<Arc<Catalogue>>,
    catalogue: Arc<Catalogue>,
}

/// The prices of a model over time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tariff {
    /// Each with when it begins, since 1970-01-01 UTC, in that order.
    prices: Vec<(Duration, Arc<Price>)>,
}

/// Prices by the kind of a provider and its model.
#[derive(Debug, Default)]
pub struct Catalogue {
    models: HashMap<Arc<str>, HashMap<Arc<str>, Arc<Price>>>,
}

/// What is wrong with a line of a catalogue.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line} is no price: {problem}")]
pub struct CatalogueError {
    /// From 1.
    pub line: usize,
    /// What is wrong.
    pub problem: String,
}

/// The price of every other model of a provider.
const EVERY_OTHER: &str = "*";

// === impl Prices ===

impl Prices {
    /// The operator's prices, and for all other models those of a catalogue.
    pub fn new(
        operators: HashMap<ProviderName, HashMap<Arc<str>, Tariff>>,
        catalogue: Arc<Catalogue>,
    ) -> Self {
        Self {
            operators,
            newer: None,
            catalogue,
        }
    }

    /// The same with a catalogue that goes before the one that comes with the program.
    pub fn with_newer(self, newer: Option<Arc<Catalogue>>) -> Self {
        Self { newer, ..self }
    }

    /// Adds a price of the operator's that begins at a time, since 1970-01-01 UTC; says whether there was none of that model that begins then.
    pub fn add(
        &mut self,
        provider: ProviderName,
        model: Arc<str>,
        from: Duration,
        price: Arc<Price>,
    ) -> bool {
        let models = self.operators.entry(provider).or_default();
        models.entry(model).or_default().add(from, price)
    }

    /// Whether the operator says what a provider's model costs; `*` is every other model.
    pub fn says(&self, provider: &str, model: &str) -> bool {
        let models = self.operators.get(provider);
        models.is_some_and(|models| models.contains_key(model))
    }

    /// What the operator says: provider, model, when it begins since 1970-01-01 UTC, and the price, in no order.
    pub fn said(&self) -> impl Iterator<Item = (&ProviderName, &str, Duration, &Price)> {
        self.operators.iter().flat_map(|(provider, models)| {
            models.iter().flat_map(move |(model, tariff)| {
                let prices = tariff.prices.iter();
                prices.map(move |(from, price)| (provider, &**model, *from, &**price))
            })
        })
    }

    /// The prices of a provider's model. Until the operator's first begins, it is the catalogue's, which also says what the model takes and
    /// gives at most where the operator does not.
    pub fn of(&self, provider: &str, kind: &str, model: &str) -> Tariff {
        let said = self.operators.get(provider);
        let said = said.and_then(|models| models.get(model).or_else(|| models.get(EVERY_OTHER)));
        let mut tariff = said.cloned().unwrap_or_default();
        let newer = self.newer.as_ref().and_then(|newer| newer.of(kind, model));
        let listed = newer.or_else(|| self.catalogue.of(kind, model));
        if let Some(listed) = listed {
            for (_, price) in &mut tariff.prices {
                Arc::make_mut(price).bound_like(listed);
            }
        }
        if tariff.at(Duration::ZERO).is_none() {
            tariff.prices.splice(
                0..0,
                listed.map(|price| (Duration::ZERO, Arc::clone(price))),
            );
        }
        tariff
    }
}

// === impl Tariff ===

impl Tariff {
    /// Adds a price that begins at a time, since 1970-01-01 UTC; says whether there was none that begins then.
    pub fn add(&mut self, from: Duration, price: Arc<Price>) -> bool {
        match self.prices.binary_search_by_key(&from, |(from, _)| *from) {
            Ok(_) => false,
            Err(place) => {
                self.prices.insert(place, (from, price));
                true
            }
        }
    }

    /// The price at a time, since 1970-01-01 UTC; `None` where nobody has said it.
    pub fn at(&self, now: Duration) -> Option<&Arc<Price>> {
        let later = self.prices.partition_point(|(from, _)| *from <= now);
        let (_, price) = self.prices.get(later.checked_sub(1)?)?;
        Some(price)
    }
}

// === impl Catalogue ===

impl Catalogue {
    /// The prices that come with the program.
    pub fn built_in() -> Self {
        // The file is read by a test; a line that cannot be read would have no price.
        Self::read(BUILT_IN).unwrap_or_default()
    }

    /// Reads a catalogue of either form: lines as [`Self::read`] wants them, or LiteLLM's map of prices as it is published.
    ///
    /// # Errors
    /// The first line that is none, or a map without prices.
    pub fn read_any(text: &str) -> Result<Self, CatalogueError> {
        let whole = |problem: &str| CatalogueError {
            line: 1,
            problem: problem.to_owned(),
        };
        let catalogue = if text.trim_start().starts_with('{') {
            let map = serde_json::from_str(text)
                .map_err(|error| whole(&format!("the map cannot be read: {error}")))?;
            let lines = lines_of_map(&map).into_iter();
            let lines = lines.map(|((kind, model), price)| format!("{kind} {model} {price}\n"));
            Self::read(&lines.collect::<String>())?
        } else {
            Self::read(text)?
        };
        if catalogue.models.is_empty() {
            return Err(whole("there is no price in it"));
        }
        Ok(catalogue)
    }

    /// Reads a catalogue: a line a model, with the kind of its provider, its name, and its prices, between spaces. Lines that begin with
    /// `#` are for people.
    ///
    /// # Errors
    /// The first line that is none.
    pub fn read(text: &str) -> Result<Self, CatalogueError> {
        let mut catalogue = Self::default();
        for (index, line) in text.lines().enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |problem: String| CatalogueError {
                line: index + 1,
                problem,
            };
            let mut words = line.split(' ');
            let (Some(kind), Some(model)) = (words.next(), words.next()) else {
                return Err(wrong("it names no model".to_owned()));
            };
            let price = Arc::new(Price::read(words).map_err(wrong)?);
            if !catalogue.models.contains_key(kind) {
                catalogue.models.insert(kind.into(), HashMap::new());
            }
            if let Some(models) = catalogue.models.get_mut(kind) {
                models.insert(model.into(), price);
            }
        }
        Ok(catalogue)
    }

    /// The price of a model of a kind of provider. Fine-tuned models of OpenAI's have the price that is listed for their base.
    pub fn of(&self, kind: &str, model: &str) -> Option<&Arc<Price>> {
        let models = self.models.get(kind)?;
        let found = models.get(model).or_else(|| models.get(EVERY_OTHER));
        found.or_else(|| {
            let (base, _) = model.strip_prefix("ft:")?.split_once(':')?;
            models.get(format!("ft:{base}").as_str())
        })
    }

    /// All of it: kind, model, price.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, &Price)> {
        self.models.iter().flat_map(|(kind, models)| {
            let models = models.iter();
            models.map(move |(model, price)| (&**kind, &**model, &**price))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Usage;

    fn cost(price: &Price, usage: &Usage) -> Option<String> {
        let cost = price.cost(usage, ServiceTier::Standard);
        cost.map(|cost| cost.to_string())
    }

    fn price(text: &str) -> Price {
        Price::read(text.split(' ')).unwrap()
    }

    #[test]
    fn the_operators_word_goes_first() {
        let catalogue = Catalogue::read("# of today\nopenai gpt input=1\nopenai ft:gpt input=2\n");
        let said = |text| {
            let mut tariff = Tariff::default();
            assert!(tariff.add(Duration::ZERO, Arc::new(price(text))));
            tariff
        };
        let operators = HashMap::from([
            (
                ProviderName::from("mine"),
                HashMap::from([("gpt".into(), said("input=9"))]),
            ),
            (
                ProviderName::from("free"),
                HashMap::from([("*".into(), said("input=0"))]),
            ),
        ]);
        let prices = Prices::new(operators, Arc::new(catalogue.unwrap()));
        let usage = Usage {
            input: Some(1_000_000),
            ..Usage::default()
        };
        let dollars = |provider, kind, model| {
            let tariff = prices.of(provider, kind, model);
            cost(tariff.at(Duration::ZERO)?, &usage)
        };
        assert_eq!(dollars("mine", "openai", "gpt").as_deref(), Some("9"));
        assert_eq!(dollars("other", "openai", "gpt").as_deref(), Some("1"));
        let tuned = dollars("other", "openai", "ft:gpt:acme::1");
        assert_eq!(tuned.as_deref(), Some("2"));
        assert_eq!(dollars("free", "vllm", "llama").as_deref(), Some("0"));
        assert_eq!(dollars("other", "vllm", "llama"), None);
    }

    #[test]
    fn what_a_model_gives_at_most_is_known_whoever_says_it() {
        let catalogue = Catalogue::read("openai gpt input=1 input_max=10 output_max=20\n");
        let mut prices = Prices::new(HashMap::new(), Arc::new(catalogue.unwrap()));
        let own = price("input=9");
        for (provider, price) in [
            ("silent", own.clone()),
            ("says", own.with_output_max(Some(5))),
        ] {
            assert!(prices.add(
                provider.into(),
                "gpt".into(),
                Duration::ZERO,
                Arc::new(price)
            ));
        }
        let bounds = |provider, kind| {
            let tariff = prices.of(provider, kind, "gpt");
            let price = tariff.at(Duration::ZERO).unwrap();
            (price.input_max(), price.output_max())
        };
        assert_eq!(bounds("silent", "openai"), (Some(10), Some(20)));
        assert_eq!(bounds("says", "openai"), (Some(10), Some(5)));
        assert_eq!(bounds("says", "vllm"), (None, Some(5)));
        assert_eq!(bounds("silent", "vllm"), (None, None));
    }

    #[test]
    fn a_price_holds_from_its_day_on() {
        let catalogue = Arc::new(Catalogue::read("openai gpt input=1\n").unwrap());
        let newer = r#"{"gpt": {"litellm_provider": "openai", "input_cost_per_token": 2e-06, "max_input_tokens": 9}}"#;
        let newer = Arc::new(Catalogue::read_any(newer).unwrap());
        let day = |days: u64| Duration::from_secs(days * 86_400);
        let mut tariff = Tariff::default();
        assert!(tariff.add(day(20), Arc::new(price("input=4"))));
        assert!(tariff.add(day(10), Arc::new(price("input=3"))));
        assert!(!tariff.add(day(10), Arc::new(price("input=9"))));
        let mine = HashMap::from([("gpt".into(), tariff)]);
        let prices = Prices::new(
            HashMap::from([(ProviderName::from("mine"), mine)]),
            catalogue,
        );
        let at = |prices: &Prices, days: u64| {
            let tariff = prices.of("mine", "openai", "gpt");
            let price = tariff.at(day(days)).unwrap();
            price.components()[0].price.per_million().to_string()
        };
        let days = [0, 9, 10, 19, 20];
        assert_eq!(
            days.map(|days| at(&prices, days)),
            ["1", "1", "3", "3", "4"]
        );
        let prices = prices.with_newer(Some(newer));
        assert_eq!(at(&prices, 0), "2");
        for text in [
            "{}",
            "",
            "{",
            "gpt",
            "hello world",
            "openai gpt input=1\nopenai gpt-2",
        ] {
            assert!(Catalogue::read_any(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_low_price_of_openais_for_writing_to_the_cache_is_that_of_reading() {
        let map = r#"{"ft:gpt": {"litellm_provider": "openai", "input_cost_per_token": 3.75e-06, "cache_creation_input_token_cost": 1.875e-06},
            "gpt-6": {"litellm_provider": "openai", "input_cost_per_token": 2e-06, "cache_read_input_token_cost": 2e-07, "cache_creation_input_token_cost": 2.5e-06}}"#;
        let usage = Usage {
            input_cached: Some(1_000_000),
            ..Usage::default()
        };
        let cached = |catalogue: &Catalogue, model| {
            let found = catalogue.of("openai", model);
            cost(found.unwrap(), &usage)
        };
        let read = Catalogue::read_any(map).unwrap();
        assert_eq!(cached(&read, "ft:gpt").as_deref(), Some("1.875"));
        assert_eq!(cached(&read, "gpt-6").as_deref(), Some("0.2"));
        let tuned = "ft:gpt-4o-2024-11-20:acme::1";
        let tuned = cached(&Catalogue::built_in(), tuned);
        assert_eq!(tuned.as_deref(), Some("1.875"));
    }

    #[test]
    fn what_is_no_price_is_told_with_its_line() {
        for line in [
            "openai",
            "openai m",
            "Not Found",
            "openai m input_max=9",
            "openai m input",
            "openai m inputs=1",
            "openai m input=x",
            "openai m input@soon=1",
        ] {
            assert_eq!(Catalogue::read(&format!("\n{line}")).unwrap_err().line, 2);
        }
    }

    #[test]
    fn the_catalogue_of_the_program_can_be_read() {
        let catalogue = Catalogue::read(BUILT_IN).unwrap();
        assert!(catalogue.iter().count() > 2000);
        let price = catalogue.of("openai", "gpt-4o").unwrap();
        let usage = Usage {
            input: Some(1),
            output: Some(1),
            ..Usage::default()
        };
        assert_eq!(cost(price, &usage).as_deref(), Some("0.0000125"));
        assert_eq!(
            (price.input_max(), price.output_max()),
            (Some(128_000), Some(16_384))
        );
    }
}
