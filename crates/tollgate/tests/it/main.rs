//! The whole program from the outside: real sockets, a scripted provider, raw bytes.

mod stage;

mod basics;
mod callers;
mod changes;
mod cohere;
mod command_line;
mod faults;
mod mlflow;
mod prompts;
mod routing;
mod streams;
