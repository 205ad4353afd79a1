//! The data plane: what happens between a client's request and its answer.
//!
//! [`flow`] tells the life of a request from top to bottom; each step is a module named after the idea that it
//! deals with. Nothing here knows of configuration files, databases or the administrative side: a [`Picture`] comes in,
//! [`tollgate_telemetry::CallRecord`]s go out.

pub mod flow;
pub mod prompts;
pub mod server;

mod account;
mod address;
mod admission;
mod attempts;
mod body;
mod boxed;
mod credentials;
mod estimate;
mod expand;
mod explain;
mod gateway;
mod keys;
mod listings;
mod paths;
mod patience;
mod payloads;
mod picture;
mod plain;
mod pulse;
mod question;
mod realtime;
mod refusal;
mod reply;
mod responses;
mod routes;
mod stream;
mod turn;
mod upload;
mod visit;

pub use admission::{Counters, Settler, Sharing, SharingLine, WhenAway};
pub use explain::explain;
pub use gateway::{Bookless, Exposure, Gateway, Worker};
pub use paths::is_own_path;
pub use picture::Picture;
pub use pulse::Pulse;
pub use reply::ReplyBody;
pub use responses::{Errand, Responses, Turn, Wanted};
pub use turn::TurnEnd;
pub use visit::client_address;
