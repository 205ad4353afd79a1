//! The whole program from the outside: real sockets, a scripted provider, raw bytes.

mod stage;

mod basics;
mod callers;
mod changes;
mod command_line;
mod copies;
mod faults;
mod mlflow;
mod ollama;
mod prompts;
mod routing;
mod streams;
