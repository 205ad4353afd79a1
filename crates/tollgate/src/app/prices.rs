//! The thread that looks for newer prices than those that come with the program.

use std::{
    collections::BTreeSet,
    fs, io,
    path::Path,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::task::TaskTracker;
use tollgate_domain::Catalogue;
use tollgate_upstream::{Upstream, UpstreamSettings, fetch_at_most, providers::KINDS};

use super::composer::Composer;
use crate::config::{CatalogueSettings, CatalogueSource};

/// How long an address may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(30);

/// The pause after a failure.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// So many unknown types are named at most, and so many characters of each.
const NAMES_MAX: usize = 10;
const NAME_MAX: usize = 100;

/// Bytes of a catalogue at most; LiteLLM's map has some 3.5 MB (2026-11).
const BYTES_MAX: usize = 32 << 20;

/// The thread that looks.
pub(super) struct PriceWatch {
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

impl PriceWatch {
    /// Takes the prices of a file before it returns, so that no call is priced by older ones; an address is asked behind the back.
    pub(super) fn start(settings: CatalogueSettings, composer: Arc<Composer>) -> io::Result<Self> {
        let runtime = super::current_thread()?;
        let (stop, stopped) = watch::channel(false);
        let mut looking = Looking {
            settings,
            composer,
            last: String::new(),
        };
        let is_file = matches!(looking.settings.source, CatalogueSource::File(_));
        if is_file {
            let _taken = runtime.block_on(looking.look(None));
        }
        let thread = thread::Builder::new()
            .name("prices".to_owned())
            .spawn(move || runtime.block_on(looking.run(is_file, stopped)))?;
        Ok(Self { stop, thread })
    }

    /// Ends it.
    pub(super) fn close(self) {
        let _told = self.stop.send(true);
        let _ended = self.thread.join();
    }
}

struct Looking {
    settings: CatalogueSettings,
    composer: Arc<Composer>,
    /// What was taken last.
    last: String,
}

impl Looking {
    async fn run(mut self, is_taken: bool, mut stopped: watch::Receiver<bool>) {
        let upstream = Arc::new(Upstream::new(
            UpstreamSettings::default(),
            TaskTracker::new(),
        ));
        let mut pause = if is_taken {
            self.settings.every
        } else {
            Duration::ZERO
        };
        loop {
            tokio::select! {
                _ = stopped.wait_for(|stopped| *stopped) => return,
                () = sleep(pause) => {}
            }
            let every = self.settings.every;
            pause = match self.look(Some(&upstream)).await {
                Ok(()) => every,
                Err(()) => every.min(TRY_AGAIN_AFTER),
            };
        }
    }

    /// Takes the prices where they have changed. What cannot be read changes nothing.
    async fn look(&mut self, upstream: Option<&Arc<Upstream>>) -> Result<(), ()> {
        let read = match (&self.settings.source, upstream) {
            (CatalogueSource::File(file), _) => read_file(file),
            (
                CatalogueSource::Address {
                    uri,
                    private_addresses,
                },
                Some(upstream),
            ) => {
                let fetched = fetch_at_most(BYTES_MAX, uri.clone(), *private_addresses, upstream);
                match timeout(FETCH_TIMEOUT, fetched).await {
                    Ok(Ok(bytes)) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
                    Ok(Err(failure)) => Err(failure.to_string().replace("issuer", "server")),
                    Err(_) => Err("it does not answer in time".to_owned()),
                }
            }
            (CatalogueSource::Address { .. }, None) => return Ok(()),
        };
        let taken = read.and_then(|text| {
            if text == self.last {
                return Ok(None);
            }
            let catalogue = Catalogue::read_any(&text).map_err(|error| error.to_string())?;
            Ok(Some((text, catalogue)))
        });
        match taken {
            Ok(None) => Ok(()),
            Ok(Some((text, catalogue))) => {
                tracing::info!(models = catalogue.iter().count(), "newer prices are taken");
                let unknown = unknown_kinds(&catalogue);
                if !unknown.is_empty() {
                    tracing::warn!(
                        types = unknown.join(", "),
                        "some of the newer prices are of no provider: a line begins with a provider's type, not its name"
                    );
                }
                self.last = text;
                self.composer.catalogue_changed(Arc::new(catalogue));
                Ok(())
            }
            Err(problem) => {
                tracing::warn!(problem, "newer prices cannot be read; the ones before stay");
                Err(())
            }
        }
    }
}

/// What prices are of that is no provider's type: such prices hold for nobody.
fn unknown_kinds(catalogue: &Catalogue) -> Vec<String> {
    let kinds: BTreeSet<&str> = catalogue.iter().map(|(kind, ..)| kind).collect();
    let is_unknown = |kind: &&str| !KINDS.iter().any(|known| known.name == *kind);
    let unknown = kinds.into_iter().filter(is_unknown).take(NAMES_MAX);
    unknown
        .map(|kind| kind.chars().take(NAME_MAX).collect())
        .collect()
}

fn read_file(file: &Path) -> Result<String, String> {
    let told = |error: io::Error| format!("{}: {error}", file.display());
    let length = fs::metadata(file).map_err(told)?.len();
    if length > BYTES_MAX as u64 {
        let file = file.display();
        return Err(format!(
            "{file}: it has {length} bytes, of {BYTES_MAX} at most"
        ));
    }
    fs::read_to_string(file).map_err(told)
}
