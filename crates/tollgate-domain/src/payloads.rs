//! Which calls' payloads are kept: what was asked and answered.

use std::{collections::HashMap, time::Duration};

use crate::RouteName;

/// Which payloads are kept, how, and for how long.
#[derive(Clone, Debug, PartialEq)]
pub struct PayloadPolicy {
    /// Of calls of all routes that have no word of their own.
    pub keep: Keep,
    /// Of single routes.
    pub routes: HashMap<RouteName, Keep>,
    /// Bytes of each direction; what is beyond is cut off.
    pub bytes_max: usize,
    /// Regular expressions; what they find is not kept.
    pub redact: Vec<String>,
    /// So long, those of a policy before this one, too.
    pub kept_for: Duration,
}

/// Where nothing is said of it: nothing is kept, and what there is goes after thirty days.
impl Default for PayloadPolicy {
    fn default() -> Self {
        Self {
            keep: Keep::None,
            routes: HashMap::new(),
            bytes_max: 16 << 10,
            redact: Vec::new(),
            kept_for: Duration::from_secs(30 * 86_400),
        }
    }
}

/// Which calls' payloads are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Keep {
    /// Of none.
    #[default]
    None,
    /// Of a share of them, 0 to 1, by chance.
    Share(f64),
    /// Of all.
    All,
}

impl PayloadPolicy {
    /// What is kept of a route's calls.
    pub fn of(&self, route: &str) -> Keep {
        self.routes.get(route).copied().unwrap_or(self.keep)
    }

    /// Whether anything is kept.
    pub fn keeps_some(&self) -> bool {
        let mut routes = self.routes.values();
        self.keep != Keep::None || routes.any(|keep| *keep != Keep::None)
    }
}
