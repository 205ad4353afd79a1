//! The words of the gateway: plain values that every other room speaks.
//!
//! Nothing here does I/O, waits, reads a clock or the environment.
//! [`Snapshot`] is the picture that one request is decided from; the other modules are its parts,
//! and the facts that a call leaves behind ([`Usage`]).

mod accents;
mod allowances;
mod caller_issuers;
mod dialect;
mod ids;
mod issuers;
mod keys;
mod ledger;
mod limits;
mod money;
mod payloads;
mod prices;
mod providers;
mod routes;
mod secret;
mod snapshot;
mod times;
mod usage;

pub use accents::{
    Accent, Documents, Otherwise, Purpose, ReasoningBack, Spelling, ThinkingSwitch, ToolCallIds,
    Turns,
};
pub use allowances::{
    Allowance, CalendarUnit, Facts, Quantity, Raise, Scope, Slots, Then, Whose, Window,
};
pub use caller_issuers::{CallerClaims, CallerIssuer};
pub use dialect::{Dialect, ErrorShape, Framing, Task};
pub use ids::{KeyName, ProviderName, Revision, RouteName, TargetName};
pub use issuers::{
    AssumedRole, AwsIssuer, AwsKeys, AwsRegion, AwsSource, EntraIssuer, EntraProof,
    ExternalAccount, Given, GoogleIssuer, IbmIssuer, Impersonation, Issuer, SubjectFormat,
    SubjectSource,
};
pub use keys::{
    Key, KeyHash, KeyHashError, KeyState, ModelAccess, ModelPattern, ModelPatternError,
    PathPattern, Places, PlacesError, RouteAccess, parse_network,
};
pub use ledger::{OUTCOMES, Payload, UsageRecord};
pub use limits::Limits;
pub use money::{AMOUNT_BYTES_MAX, AmountError, Picodollars};
pub use payloads::{Keep, PayloadPolicy};
pub use prices::{
    Catalogue, CatalogueError, Cost, Price, PriceComponent, Prices, ServiceTier, Tariff, Unit,
    lines_of_map,
};
pub use providers::{
    Auth, BodyModel, ChatInput, Endpoint, Envelope, Models, Provider, ProviderKey, Quirks,
    StreamEnd, StreamUsage, Timeouts, Transport, VectorBytes, for_model, serving,
};
pub use routes::{
    Choice, MODEL_BYTES_MAX, Plain, Prompt, PromptMessage, Retries, Route, Sticky, Strategy, Target,
};
pub use secret::Secret;
pub use snapshot::{DirectUse, LogContent, Snapshot, WhoMayCall};
pub use times::parse_time;
pub use usage::{COUNT_MAX, Unmetered, Usage};
