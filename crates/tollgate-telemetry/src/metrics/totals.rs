//! The metrics of calls, made out of what shards have of them, and their catalogue.

use prometheus_client::{encoding::DescriptorEncoder, registry::Unit};
use tollgate_domain::Picodollars;

use super::{
    calls::{Alike, Calls, FIRST_TOKEN_SECONDS, GATEWAY_SECONDS, OPERATION_SECONDS, TOKENS, Told},
    costs, counters,
    families::{Family, Histogram},
    histograms,
};

/// What calls have left behind.
#[derive(Debug, Default)]
pub(super) struct Totals {
    requests: Family<u64, 4>,
    refusals: Family<u64, 1>,
    attempts: Family<u64, 3>,
    retries: Family<u64, 1>,
    tokens: Family<u64, 3>,
    search_units: Family<u64, 2>,
    cost: Family<Picodollars, 2>,
    cost_unknown: Family<u64, 3>,
    fields_dropped: Family<u64, 1>,
    gateway_duration: Family<Histogram, 1>,
    operation_duration: Family<Histogram, 4>,
    first_token: Family<Histogram, 3>,
    token_usage: Family<Histogram, 4>,
}

impl Totals {
    /// Adds the calls of a shard.
    pub(super) fn add(&mut self, calls: &Calls) {
        let add = |mine: &mut u64, theirs: &u64| *mine += theirs;
        self.refusals.add(&calls.refusals, add);
        self.attempts.add(&calls.attempts, add);
        self.retries.add(&calls.retries, add);
        self.fields_dropped.add(&calls.fields_dropped, add);
        for (labels, alike) in calls.alike.iter() {
            let told = Told::of(labels.each_ref().map(|label| &**label));
            self.add_alike(told, alike);
        }
    }

    fn add_alike(&mut self, told: Told<'_>, alike: &Alike) {
        let Told {
            route,
            task,
            status,
            outcome,
            ..
        } = told;
        *self.requests.entry([route, task, status, outcome]) += alike.calls;
        self.gateway_duration
            .entry([route])
            .add(&alike.gateway_seconds);
        if !alike.operation.is_empty() {
            self.add_target(told, alike);
        }
    }

    /// What is told of calls that were put to a target.
    fn add_target(&mut self, told: Told<'_>, alike: &Alike) {
        let Told {
            route,
            target,
            provider,
            model,
            error,
            ..
        } = told;
        let operation = alike.operation;
        if alike.answered_at_once > 0 {
            *self.attempts.entry([target, "answered", "none"]) += alike.answered_at_once;
        }
        self.operation_duration
            .entry([operation, provider, model, error])
            .add(&alike.seconds);
        if alike.first_token_seconds.is_told() {
            self.first_token
                .entry([operation, provider, model])
                .add(&alike.first_token_seconds);
        }
        for (kind, tokens) in [("input", &alike.input), ("output", &alike.output)] {
            if tokens.is_told() {
                self.token_usage
                    .entry([operation, provider, model, kind])
                    .add(tokens);
            }
        }
        for (class, tokens) in alike.tokens {
            if let Some(tokens) = tokens {
                *self.tokens.entry([route, target, class]) += tokens;
            }
        }
        if let Some(units) = alike.search_units {
            *self.search_units.entry([route, target]) += units;
        }
        if let Some(cost) = alike.cost {
            let sum = self.cost.entry([route, target]);
            *sum = sum.plus(cost);
        }
        for (reason, calls) in [("unpriced", alike.unpriced), ("unmetered", alike.unmetered)] {
            if calls > 0 {
                *self.cost_unknown.entry([route, target, reason]) += calls;
            }
        }
    }

    pub(super) fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> std::fmt::Result {
        counters(
            encoder,
            "tollgate_requests",
            "Requests, by how they ended.",
            ["route", "task", "status", "outcome"],
            &self.requests,
        )?;
        counters(
            encoder,
            "tollgate_refusals",
            "Requests that were refused or met a provider's error, by code.",
            ["code"],
            &self.refusals,
        )?;
        counters(
            encoder,
            "tollgate_attempts",
            "Tries at targets, by how they went.",
            ["target", "outcome", "failure"],
            &self.attempts,
        )?;
        counters(
            encoder,
            "tollgate_retries",
            "Tries at targets after another try of the same call had failed.",
            ["target"],
            &self.retries,
        )?;
        counters(
            encoder,
            "tollgate_tokens",
            "Tokens by class; the classes do not overlap.",
            ["route", "target", "class"],
            &self.tokens,
        )?;
        counters(
            encoder,
            "tollgate_search_units",
            "Searches that were billed, of rerank calls.",
            ["route", "target"],
            &self.search_units,
        )?;
        costs(
            encoder,
            "tollgate_cost_dollars",
            "What calls cost, as far as that is known, in US dollars.",
            ["route", "target"],
            &self.cost,
        )?;
        counters(
            encoder,
            "tollgate_cost_unknown",
            "Calls whose cost is not known.",
            ["route", "target", "reason"],
            &self.cost_unknown,
        )?;
        counters(
            encoder,
            "tollgate_fields_dropped",
            "Fields that targets could not express and that were left out.",
            ["route"],
            &self.fields_dropped,
        )?;
        let seconds = Some(&Unit::Seconds);
        histograms(
            encoder,
            "tollgate_gateway_duration",
            "The gateway's own time for a request: all of it less waiting for providers and pauses.",
            seconds,
            ["route"],
            &GATEWAY_SECONDS,
            &self.gateway_duration,
        )?;
        histograms(
            encoder,
            "gen_ai_client_operation_duration",
            "Time of a call, by who answered.",
            seconds,
            [
                "gen_ai_operation_name",
                "gen_ai_provider_name",
                "gen_ai_request_model",
                "error_type",
            ],
            &OPERATION_SECONDS,
            &self.operation_duration,
        )?;
        histograms(
            encoder,
            "gen_ai_server_time_to_first_token",
            "Time to the first content of a stream.",
            seconds,
            [
                "gen_ai_operation_name",
                "gen_ai_provider_name",
                "gen_ai_request_model",
            ],
            &FIRST_TOKEN_SECONDS,
            &self.first_token,
        )?;
        histograms(
            encoder,
            "gen_ai_client_token_usage",
            "Tokens of a call.",
            None,
            [
                "gen_ai_operation_name",
                "gen_ai_provider_name",
                "gen_ai_request_model",
                "gen_ai_token_type",
            ],
            &TOKENS,
            &self.token_usage,
        )
    }
}
