//! The immutable picture that a request is decided from.

use std::{collections::HashMap, sync::Arc, time::Duration};

use crate::{
    Allowance, CallerIssuer, Key, KeyHash, Limits, PayloadPolicy, Prices, Provider, ProviderName,
    Revision, Route, RouteName,
};

/// Everything configured, checked and resolved. Replaced whole, never changed.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Names this configuration.
    pub revision: Revision,
    /// When it was made, since 1970-01-01 UTC; model lists show it as their date of creation.
    pub made_at: Duration,
    /// By name.
    pub providers: HashMap<ProviderName, Arc<Provider>>,
    /// In the order written.
    pub routes: Vec<Arc<Route>>,
    /// By name and by alias.
    pub routes_by_name: HashMap<RouteName, Arc<Route>>,
    /// Callers' keys.
    pub keys: HashMap<KeyHash, Arc<Key>>,
    /// Who issues tokens that callers may show instead of one.
    pub caller_issuers: Vec<Arc<CallerIssuer>>,
    /// The organisations that teams belong to, by the teams' names, as far as the store says.
    pub organisations: HashMap<Arc<str>, Arc<str>>,
    /// Whether callers need one.
    pub who_may_call: WhoMayCall,
    /// Who may use how much.
    pub allowances: Vec<Arc<Allowance>>,
    /// What models cost.
    pub prices: Prices,
    /// Whether `provider/model` may be asked for without a route.
    pub direct_use: DirectUse,
    /// Bounds towards clients.
    pub limits: Limits,
    /// Whether calls' content goes into the log.
    pub log_content: LogContent,
    /// Which calls' payloads are kept in the store, and what is taken out of them and of the log.
    pub payloads: PayloadPolicy,
}

impl Snapshot {
    /// The organisation of a team.
    pub fn organisation_of(&self, team: Option<&str>) -> Option<Arc<str>> {
        self.organisations.get(team?).cloned()
    }
}

/// Whether `provider/model` may be asked for without a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirectUse {
    /// By anyone who may use every route.
    Allowed,
    /// By nobody.
    Refused,
}

/// Who may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhoMayCall {
    /// Whoever reaches the gateway: there are no keys, and never were.
    Anyone,
    /// Who holds a key.
    KeyHolders,
}

/// Whether calls' content goes into the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogContent {
    /// What was asked and answered, up to a bound.
    Included,
    /// Nothing of it.
    LeftOut,
}
