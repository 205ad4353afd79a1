//! A configuration that changes while calls are served: read again, checked, and swapped whole or not at all.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use tollgate_proxy::Gateway;
use tollgate_telemetry::events::{ConfigurationRefused, ConfigurationTaken};

use super::composer::Composer;
use crate::{
    cli,
    config::{
        self, CatalogueSettings, CountersSettings, Diagnostic, Diagnostics, LogFormat, LogLevel,
        ProcessEnvironment, Resolved, ServerSettings, StoreSettings, TracesSettings, Watch,
    },
};

/// Reads a configuration file again when it changes.
pub(super) struct Reloader {
    file: PathBuf,
    watch: Watch,
    /// What the listeners were made from; they are not made again.
    settings: ServerSettings,
    /// What the program was started with.
    fixed: Fixed,
    gateway: Arc<Gateway>,
    composer: Arc<Composer>,
}

impl Reloader {
    pub(super) fn new(
        file: PathBuf,
        files: Vec<PathBuf>,
        settings: ServerSettings,
        fixed: Fixed,
        gateway: Arc<Gateway>,
        composer: Arc<Composer>,
    ) -> Self {
        Self {
            file,
            watch: Watch::new(files),
            settings,
            fixed,
            gateway,
            composer,
        }
    }

    /// Waits until a file of the configuration has changed.
    pub(super) async fn changed(&mut self) {
        self.watch.changed().await;
    }

    /// Takes the configuration as it is now, or keeps the old one and says why.
    pub(super) async fn reload(&mut self) {
        let resolved = match config::load(&self.file, &ProcessEnvironment, &cli::check_template) {
            Ok(resolved) => resolved,
            Err(diagnostics) => return self.refuse(&in_short(&diagnostics)),
        };
        self.watch.set_files(resolved.files.clone());
        let who_may_call = self.composer.who_may_call(&resolved.snapshot);
        if let Err(error) = config::check_listen(self.settings, who_may_call) {
            return self.refuse(&error.to_string());
        }
        for warning in &resolved.warnings {
            tracing::warn!(%warning, "configuration");
        }
        for section in self.fixed.changed(&Fixed::of(&resolved)) {
            tracing::warn!(
                section,
                "changes of this section take effect at the next start"
            );
        }
        let revision = resolved.snapshot.revision.clone();
        let spent = self.composer.spent_before(&resolved.snapshot).await;
        match self.composer.file_changed(resolved.snapshot, spent) {
            Ok(()) => {
                ConfigurationTaken {
                    revision: &revision,
                }
                .emit(self.gateway.telemetry());
            }
            Err(problem) => self.refuse(&problem.to_string()),
        }
    }

    fn refuse(&self, problem: &str) {
        self.gateway.keep(problem.to_owned());
        ConfigurationRefused { problem }.emit(self.gateway.telemetry());
    }
}

/// What the program is started with: a change of it waits for the next start.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fixed {
    server: ServerSettings,
    log: (LogFormat, LogLevel, bool),
    store: Option<StoreSettings>,
    counters: Option<CountersSettings>,
    admin: Option<SocketAddr>,
    traces: Option<TracesSettings>,
    catalogue: Option<CatalogueSettings>,
}

impl Fixed {
    /// As a configuration says it.
    pub(crate) fn of(resolved: &Resolved) -> Self {
        Self {
            server: resolved.server,
            log: (resolved.log.format, resolved.log.level, resolved.log.calls),
            store: resolved.store.clone(),
            counters: resolved.counters.clone(),
            admin: resolved.admin,
            traces: resolved.traces.clone(),
            catalogue: resolved.catalogue.clone(),
        }
    }

    /// The sections of the file that say something else.
    fn changed(&self, now: &Self) -> Vec<&'static str> {
        let sections = [
            ("server", self.server == now.server),
            ("log", self.log == now.log),
            ("store", self.store == now.store),
            ("counters", self.counters == now.counters),
            ("admin", self.admin == now.admin),
            ("traces", self.traces == now.traces),
            ("catalogue", self.catalogue == now.catalogue),
        ];
        let changed = sections.into_iter().filter(|(_, is_same)| !is_same);
        changed.map(|(section, _)| section).collect()
    }
}

/// All mistakes, one line each, without the configuration's own text.
fn in_short(diagnostics: &Diagnostics) -> String {
    let lines: Vec<String> = diagnostics.iter().map(Diagnostic::one_line).collect();
    lines.join("; ")
}
