//! The stage for tests: a provider that does what a script says ([`ScriptedProvider`]), the real program on a free port
//! ([`TestGateway`]), a client that sees every byte ([`client`]), AWS's binary frames ([`frames`]), recorded calls ([`recordings`]) and their replay ([`traffic`]).
//!
//! Nothing of the program depends on this crate.

#![expect(clippy::panic, reason = "tests fail by panicking")]

pub mod client;
pub mod frames;
pub mod meaning;
pub mod recordings;
pub mod traffic;

mod gateway;
pub mod postgres;
mod provider;
pub mod redis;

pub use gateway::TestGateway;
pub use provider::{Ending, Received, Reply, ScriptedProvider};
