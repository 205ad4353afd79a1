//! The way out: the only room that opens connections to providers.
//!
//! [`Fleet`] holds every target made ready ([`Lane`]) with its [`Health`] and its provider's keys ([`KeyRing`]); [`Upstream`] is
//! one worker's connections;
//! [`TokenSource`] keeps credentials that expire. Which target is asked, and what follows from a failure, is decided elsewhere.

pub mod providers;

mod addresses;
mod budget;
mod client;
mod connect;
mod connection;
mod decode;
mod demo;
mod discretion;
mod failure;
mod fleet;
mod health;
mod keys;
mod request_body;
mod tokens;

pub use addresses::looks_public;
pub use budget::RetryBudget;
pub use client::{
    Upstream, UpstreamBody, UpstreamRequest, UpstreamResponse, UpstreamSettings, Way,
};
pub use connection::{ProviderSocket, Socket};
pub use failure::{Failure, FailureKind};
pub use fleet::{Fleet, Lane, RequestParts, with_operation};
pub use health::{Admission, Busy, Change, Health};
pub use keys::{KeyRing, KeyState, NoKey};
pub use request_body::{RequestBody, Rest, RestError};
pub use tokens::{
    Look, Renewal, Settling, Token, TokenFailure, TokenSource, fetch, fetch_at_most,
    is_private_key, post_json,
};
