//! What requests are decided from, composed of the configuration file and of what stands in the store: whichever changes, both are taken.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::Mutex as LookingLock;
use tollgate_domain::{
    Allowance, Catalogue, Key, KeyHash, KeyName, KeyState, ModelAccess, Places, RouteAccess,
    RouteName, Snapshot, WhoMayCall,
};
use tollgate_proxy::{Gateway, Picture, prompts::TemplateProblem};
use tollgate_store::{Kind, Object, Store, StoreError, StoredKey, StoredKeys, Tenant};

use super::{
    administration::STORED,
    beginnings::{Beginnings, Source, Wanted, added},
    since_1970,
    spent::{Holders, Spent},
    stored_prices::add_prices,
};
use crate::config;

/// Limits, budgets and prices that are read at a time.
const OBJECTS_AT_ONCE: i64 = 500;

/// Composes pictures, and hands them to the gateway.
pub(super) struct Composer {
    gateway: Arc<Gateway>,
    parts: Mutex<Parts>,
    beginnings: Beginnings,
    /// Held by whoever looks at the store, so that what was seen last is what holds.
    looking: LookingLock<()>,
}

/// What pictures are composed of.
pub(super) struct Parts {
    /// The configuration file's.
    file: Snapshot,
    /// The store's.
    stored: Stored,
    /// Prices that are newer than those of the program.
    catalogue: Option<Arc<Catalogue>>,
}

/// What is known of the store.
#[derive(Clone, Debug)]
pub(super) enum Stored {
    /// There is none.
    None,
    /// This stands in it.
    Known(Arc<Known>),
    /// It could not be asked yet: there may be keys, so that nobody is let in without one.
    Unknown,
}

/// What stands in the store, as of one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    pub(super) keys: StoredKeys,
    /// Limits and budgets.
    pub(super) allowances: Vec<Object>,
    pub(super) prices: Vec<Object>,
    pub(super) teams: Vec<Object>,
    /// Another number means that objects have changed.
    pub(super) change_of_objects: i64,
}

impl Known {
    /// Reads it.
    pub(super) async fn read(store: &Store) -> Result<Self, StoreError> {
        // The number first: what changes in between is read again.
        let change_of_objects = store.change_of_objects().await?;
        let mut allowances: Vec<Object> = Vec::new();
        for kind in STORED {
            allowances.extend(all_of(store, kind).await?);
        }
        let prices = all_of(store, Kind::Price).await?;
        let teams = all_of(store, Kind::Team).await?;
        Ok(Self {
            keys: store.keys().await?,
            allowances,
            prices,
            teams,
            change_of_objects,
        })
    }

    /// Reads it again where something has changed.
    pub(super) async fn read_changed(&self, store: &Store) -> Result<Option<Self>, StoreError> {
        let is_known = self.keys.change == store.change_of_keys().await?
            && self.change_of_objects == store.change_of_objects().await?;
        if is_known {
            return Ok(None);
        }
        Self::read(store).await.map(Some)
    }
}

/// All objects of a kind.
pub(crate) async fn all_of(store: &Store, kind: Kind) -> Result<Vec<Object>, StoreError> {
    let (mut all, mut after): (Vec<Object>, Option<String>) = (Vec::new(), None);
    loop {
        let page = store
            .objects(&Tenant::All, kind, after.as_deref(), OBJECTS_AT_ONCE)
            .await?;
        let Some(last) = page.last() else {
            return Ok(all);
        };
        after = Some(last.id.clone());
        all.extend(page);
    }
}

impl Parts {
    pub(super) fn new(file: Snapshot, stored: Stored) -> Self {
        Self {
            file,
            stored,
            catalogue: None,
        }
    }

    /// The same with newer prices.
    pub(super) fn with_catalogue(self, catalogue: Option<Arc<Catalogue>>) -> Self {
        Self { catalogue, ..self }
    }

    /// The snapshot of both. A name that stands in the file is the file's.
    pub(super) fn snapshot(&self) -> Snapshot {
        let mut snapshot = self.file.clone();
        snapshot.prices = snapshot.prices.with_newer(self.catalogue.clone());
        match &self.stored {
            Stored::None => {}
            Stored::Unknown => snapshot.who_may_call = WhoMayCall::KeyHolders,
            Stored::Known(known) => {
                add_allowances(&mut snapshot, &known.allowances);
                add_prices(&mut snapshot, &known.prices);
                let keys = &known.keys;
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
                add_organisations(&mut snapshot, &known.teams);
            }
        }
        snapshot
    }
}

impl Composer {
    /// `source` knows what was used before of limits and budgets that are new.
    pub(super) fn new(gateway: Arc<Gateway>, parts: Parts, source: Source) -> Self {
        Self {
            gateway,
            parts: Mutex::new(parts),
            beginnings: Beginnings::new(source),
            looking: LookingLock::default(),
        }
    }

    /// Limits and budgets as they are now.
    pub(super) fn allowances(&self) -> Vec<Arc<Allowance>> {
        self.gateway.picture().snapshot.allowances.clone()
    }

    /// How long payloads are kept.
    pub(super) fn payloads_kept_for(&self) -> Duration {
        self.gateway.picture().snapshot.payloads.kept_for
    }

    /// Who may call if the configuration file says this.
    pub(super) fn who_may_call(&self, file: &Snapshot) -> WhoMayCall {
        let parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        Parts::new(file.clone(), parts.stored.clone())
            .snapshot()
            .who_may_call
    }

    /// What was used of limits and budgets that the configuration file would bring: the books are asked, and not waited for long.
    pub(super) async fn spent_before(&self, file: &Snapshot) -> Spent {
        let next = {
            let parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
            Parts::new(file.clone(), parts.stored.clone()).snapshot()
        };
        let before = self.gateway.picture();
        let wanted = self.beginnings.wanted(&before.snapshot, &next);
        self.beginnings.read(&wanted, since_1970()).await
    }

    /// The configuration file has changed. `spent`: what was used of limits and budgets that it brings.
    ///
    /// # Errors
    /// When a prompt does not compile; then all stays as it was.
    pub(super) fn file_changed(&self, file: Snapshot, spent: Spent) -> Result<(), TemplateProblem> {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let next = Parts::new(file, parts.stored.clone()).with_catalogue(parts.catalogue.clone());
        let before = self.gateway.picture();
        let picture = Picture::build(next.snapshot(), Some(&before))?;
        let new = self.begin(&before.snapshot, &picture.snapshot, spent);
        self.gateway.replace(picture);
        self.beginnings.hold(&new, since_1970());
        *parts = next;
        Ok(())
    }

    /// Begins to count what a snapshot brings that is about to hold.
    fn begin(&self, before: &Snapshot, next: &Snapshot, spent: Spent) -> Vec<Arc<Allowance>> {
        let counters = self.gateway.counters();
        let new = added(before, next);
        self.beginnings
            .begin(new.clone(), spent, counters, since_1970());
        new
    }

    /// Begins to count all limits and budgets with nothing; what the books say of them is read later.
    pub(super) fn begin_all(&self) {
        let (counters, all) = (self.gateway.counters(), self.allowances());
        self.beginnings
            .begin(all, Spent::default(), counters, since_1970());
    }

    /// Tells the counts what has been entered of calls since that came before limits and budgets did.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) async fn look_again(&self, store: &Store) -> Result<(), StoreError> {
        let counters = self.gateway.counters();
        let holders = Holders::of(&self.gateway.picture().snapshot);
        self.beginnings
            .look_again(store, &holders, counters, since_1970())
            .await
    }

    /// Whether a key, a limit or a budget of this name stands in the configuration file, or a key of a team of this name, or a price of this provider's
    /// model.
    pub(super) fn is_in_file(&self, kind: &str, name: &str) -> bool {
        let parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        if kind == "key" {
            let mut keys = parts.file.keys.values();
            return keys.any(|key| key.name.as_str() == name);
        }
        if kind == Kind::Team.as_str() {
            let mut keys = parts.file.keys.values();
            return keys.any(|key| key.team.as_deref() == Some(name));
        }
        if kind == Kind::Price.as_str() {
            let model = name.split_once('/');
            return model.is_some_and(|(provider, model)| parts.file.prices.says(provider, model));
        }
        let mut allowances = parts.file.allowances.iter();
        allowances.any(|allowance| &*allowance.name == name)
    }

    /// Looks at the store, and takes over what has changed in it: when this is done, what stood there before it was called holds for calls. A limit or
    /// budget that is new begins with what the books say was used.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) async fn look_at(&self, store: &Store) -> Result<(), StoreError> {
        let _alone = self.looking.lock().await;
        let changed = match self.stored() {
            Stored::None => None,
            Stored::Known(known) => known.read_changed(store).await?,
            Stored::Unknown => Some(Known::read(store).await?),
        };
        let Some(changed) = changed.map(Arc::new) else {
            return Ok(());
        };
        let spent = self.wanted(&changed).read(store, since_1970()).await?;
        self.store_changed(changed, spent);
        Ok(())
    }

    fn stored(&self) -> Stored {
        let parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        parts.stored.clone()
    }

    /// What is to be asked of the books before this is known to stand in the store.
    fn wanted(&self, known: &Arc<Known>) -> Wanted {
        let parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let next = Parts::new(parts.file.clone(), Stored::Known(Arc::clone(known))).snapshot();
        let before = self.gateway.picture();
        self.beginnings.wanted(&before.snapshot, &next)
    }

    /// There are newer prices.
    pub(super) fn catalogue_changed(&self, catalogue: Arc<Catalogue>) {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        parts.catalogue = Some(catalogue);
        // Its prompts have compiled before.
        if let Ok(picture) = Picture::build(parts.snapshot(), Some(&self.gateway.picture())) {
            self.gateway.take_keys(picture);
        }
    }

    /// What stands in the store has changed. `spent`: what was used of limits and budgets that it brings.
    fn store_changed(&self, known: Arc<Known>, spent: Spent) {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        parts.stored = Stored::Known(known);
        let before = self.gateway.picture();
        // Its prompts have compiled before.
        if let Ok(picture) = Picture::build(parts.snapshot(), Some(&before)) {
            let new = self.begin(&before.snapshot, &picture.snapshot, spent);
            self.gateway.take_keys(picture);
            self.beginnings.hold(&new, since_1970());
        }
    }
}

/// Adds limits and budgets that stand in the store, and not in the file. One that nobody understands counts nothing, and is told.
fn add_allowances(snapshot: &mut Snapshot, stored: &[Object]) {
    let filed = snapshot.allowances.iter();
    let filed: HashSet<String> = filed.map(|allowance| allowance.name.to_string()).collect();
    for object in stored {
        let name = &object.name;
        if filed.contains(name) {
            tracing::warn!(
                name,
                "a limit or budget of this name stands in the configuration, too, which goes first"
            );
            continue;
        }
        match config::read_allowance(object.kind, &object.body, snapshot) {
            Ok(allowance) => snapshot.allowances.push(allowance),
            Err(problems) => tracing::error!(
                name,
                problem = problems.in_short(),
                "a limit or budget in the store cannot be read, and is not kept"
            ),
        }
    }
}

/// Says which organisations teams belong to. Keys of a team belong to its organisation, those of the file and those that were made before
/// their team was, too.
fn add_organisations(snapshot: &mut Snapshot, teams: &[Object]) {
    let teams = teams.iter();
    snapshot.organisations = teams
        .map(|team| (team.name.as_str().into(), team.organisation.as_str().into()))
        .collect();
    for key in snapshot.keys.values_mut() {
        if key.organisation.is_none()
            && let Some(team) = &key.team
            && let Some(organisation) = snapshot.organisations.get(team)
        {
            Arc::make_mut(key).organisation = Some(Arc::clone(organisation));
        }
    }
}

fn add(snapshot: &mut Snapshot, stored: &StoredKey) {
    let opening = &stored.opening;
    let routes = match &opening.routes {
        None => RouteAccess::All,
        Some(routes) => {
            // By whichever of its names; one that is not there now may come.
            let own_name = |name: &String| match snapshot.routes_by_name.get(name.as_str()) {
                Some(route) => route.name.clone(),
                None => RouteName::new(name.as_str()),
            };
            RouteAccess::Only(routes.iter().map(own_name).collect())
        }
    };
    let expires_at = opening.expires_ms.map(time);
    // They were checked when they were written: whoever wrote one that is not understood knows more than this program, and it opens nothing here.
    let unread = |error: &dyn std::error::Error| {
        tracing::error!(key = stored.name, %error, "a key in the store cannot be read, and opens nothing");
    };
    let models = match ModelAccess::read(opening.models.as_deref()) {
        Ok(models) => models,
        Err(error) => return unread(&error),
    };
    let places = match Places::read(opening.paths.as_deref(), opening.networks.as_deref()) {
        Ok(places) => places,
        Err(error) => return unread(&error),
    };
    let key = |hash: KeyHash, expires_at: Option<Duration>| Key {
        name: KeyName::new(stored.name.as_str()),
        team: stored.team.as_deref().map(Arc::from),
        app: stored.app.as_deref().map(Arc::from),
        organisation: Some(stored.organisation.as_str())
            .filter(|organisation| !organisation.is_empty())
            .map(Arc::from),
        user: None,
        hash,
        routes: routes.clone(),
        models: models.clone(),
        places: places.clone(),
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
