//! The whole program from the outside: real sockets, a scripted provider, raw bytes.

mod stage;

mod basics;
mod bedrock;
mod callers;
mod changes;
mod command_line;
mod credentials;
mod faults;
mod mlflow;
mod prompts;
mod routing;
mod streams;
