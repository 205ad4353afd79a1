//! A configuration that changes while calls are served: read again, checked, and swapped whole or not at all.

use std::{path::PathBuf, sync::Arc};

use tollgate_proxy::Gateway;
use tollgate_telemetry::events::{ConfigurationRefused, ConfigurationTaken};

use super::composer::Composer;
use crate::{
    cli,
    config::{self, Diagnostic, Diagnostics, ProcessEnvironment, ServerSettings, Watch},
};

/// Reads a configuration file again when it changes.
pub(super) struct Reloader {
    file: PathBuf,
    watch: Watch,
    /// What the listeners were made from; they are not made again.
    settings: ServerSettings,
    /// What the configuration said of the server when it was last read.
    written: ServerSettings,
    gateway: Arc<Gateway>,
    composer: Arc<Composer>,
}

impl Reloader {
    pub(super) fn new(
        file: PathBuf,
        files: Vec<PathBuf>,
        settings: ServerSettings,
        written: ServerSettings,
        gateway: Arc<Gateway>,
        composer: Arc<Composer>,
    ) -> Self {
        Self {
            file,
            watch: Watch::new(files),
            settings,
            written,
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
        if std::mem::replace(&mut self.written, resolved.server) != resolved.server {
            tracing::warn!(
                "changes under `server` take effect at the next start, but for `limits` on bodies and answers"
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

/// All mistakes, one line each, without the configuration's own text.
fn in_short(diagnostics: &Diagnostics) -> String {
    let lines: Vec<String> = diagnostics.iter().map(Diagnostic::one_line).collect();
    lines.join("; ")
}
