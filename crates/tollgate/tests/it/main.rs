//! The whole program from the outside: real sockets, a scripted provider, raw bytes.

mod stage;

mod administration;
mod basics;
mod bedrock;
mod bedrock_claude;
mod books;
mod caller_tokens;
mod callers;
mod change_feed;
mod changes;
mod cohere;
mod command_line;
mod copies;
mod credentials;
mod discretion;
mod faults;
mod gemini;
mod kept_responses;
mod limits;
mod media;
mod mlflow;
mod ollama;
mod plain_http;
mod prompts;
mod provider_keys;
mod realtime;
mod replicate;
mod responses;
mod routing;
mod shared_limits;
mod stored_prices;
mod store_there;
mod streams;
mod traces;
mod watsonx;
