//! What requests are decided from, composed of the configuration file and of the keys in the store: whichever changes, both are taken.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tollgate_domain::{
    Allowance, Key, KeyHash, KeyName, KeyState, RouteAccess, RouteName, Snapshot, WhoMayCall,
};
use tollgate_proxy::{Gateway, Picture, prompts::TemplateProblem};
use tollgate_store::{StoredKey, StoredKeys};

/// Composes pictures, and hands them to the gateway.
pub(super) struct Composer {
    gateway: Arc<Gateway>,
    parts: Mutex<Parts>,
}

/// What pictures are composed of.
pub(super) struct Parts {
    /// The configuration file's.
    file: Snapshot,
    /// The store's.
    keys: Keys,
}

/// What is known of the keys in the store.
#[derive(Clone, Debug)]
pub(super) enum Keys {
    /// There is no store.
    None,
    /// These.
    Known(StoredKeys),
    /// The store could not be asked yet: there may be keys, so that nobody is let in without one.
    Unknown,
}

impl Parts {
    pub(super) fn new(file: Snapshot, keys: Keys) -> Self {
        Self { file, keys }
    }

    /// The snapshot of both. A name that stands in the file is the file's.
    pub(super) fn snapshot(&self) -> Snapshot {
        let mut snapshot = self.file.clone();
        match &self.keys {
            Keys::None => {}
            Keys::Unknown => snapshot.who_may_call = WhoMayCall::KeyHolders,
            Keys::Known(keys) => {
                if keys.are_wanted {
                    snapshot.who_may_call = WhoMayCall::KeyHolders;
                }
                let named: Vec<KeyName> =
                    snapshot.keys.values().map(|key| key.name.clone()).collect();
                for key in &keys.keys {
                    if named.iter().any(|name| name.as_str() == key.name) {
                        tracing::warn!(
                            key = key.name,
                            "a key of this name stands in the configuration, too, which goes first"
                        );
                        continue;
                    }
                    add(&mut snapshot, key);
                }
            }
        }
        snapshot
    }
}

impl Composer {
    pub(super) fn new(gateway: Arc<Gateway>, parts: Parts) -> Self {
        Self {
            gateway,
            parts: Mutex::new(parts),
        }
    }

    /// Limits and budgets as they are now.
    pub(super) fn allowances(&self) -> Vec<Arc<Allowance>> {
        self.gateway.picture().snapshot.allowances.clone()
    }

    /// Who may call if the configuration file says this.
    pub(super) fn who_may_call(&self, file: &Snapshot) -> WhoMayCall {
        let parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        Parts::new(file.clone(), parts.keys.clone())
            .snapshot()
            .who_may_call
    }

    /// The configuration file has changed.
    ///
    /// # Errors
    /// When a prompt does not compile; then all stays as it was.
    pub(super) fn file_changed(&self, file: Snapshot) -> Result<(), TemplateProblem> {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let next = Parts::new(file, parts.keys.clone());
        let picture = Picture::build(next.snapshot(), Some(&self.gateway.picture()))?;
        self.gateway.replace(picture);
        *parts = next;
        Ok(())
    }

    /// The keys in the store have changed.
    pub(super) fn keys_changed(&self, keys: StoredKeys) {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        parts.keys = Keys::Known(keys);
        // Its prompts have compiled before.
        if let Ok(picture) = Picture::build(parts.snapshot(), Some(&self.gateway.picture())) {
            self.gateway.take_keys(picture);
        }
    }
}

fn add(snapshot: &mut Snapshot, stored: &StoredKey) {
    let routes = match &stored.routes {
        None => RouteAccess::All,
        Some(routes) => {
            let routes = routes.iter().map(|route| RouteName::new(route.as_str()));
            RouteAccess::Only(routes.collect())
        }
    };
    let expires_at = stored.expires_ms.map(time);
    let key = |hash: KeyHash, expires_at: Option<Duration>| Key {
        name: KeyName::new(stored.name.as_str()),
        team: stored.team.as_deref().map(Arc::from),
        hash,
        routes: routes.clone(),
        expires_at,
        state: if stored.is_blocked {
            KeyState::Blocked
        } else {
            KeyState::Open
        },
    };
    if let Some((hash, until)) = &stored.old
        && let Ok(hash) = KeyHash::parse(hash)
    {
        let until = expires_at.map_or(time(*until), |end| end.min(time(*until)));
        snapshot.keys.insert(hash, Arc::new(key(hash, Some(until))));
    }
    if let Ok(hash) = KeyHash::parse(&stored.hash) {
        snapshot.keys.insert(hash, Arc::new(key(hash, expires_at)));
    }
}

/// Milliseconds since 1970-01-01 UTC.
fn time(milliseconds: i64) -> Duration {
    Duration::from_millis(u64::try_from(milliseconds).unwrap_or_default())
}
