//! New connections to providers: name, address, TCP, TLS.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::{
    net::{TcpStream, lookup_host},
    time::{Instant, timeout_at},
};
use tokio_rustls::TlsConnector;
use tokio_util::either::Either;

use crate::{
    addresses::{Reach, may_reach},
    connection::Socket,
    failure::{Failure, FailureKind},
};

/// Where a connection leads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    pub(crate) tls: bool,
    pub(crate) host: Arc<str>,
    pub(crate) port: u16,
    /// How far its name may lead.
    pub(crate) reach: Reach,
}

/// Makes connections.
#[derive(Debug)]
pub(crate) struct Connector {
    /// Certificates that are trusted; the platform's own where none are given.
    roots: Option<Arc<RootCertStore>>,
    tls: OnceLock<Arc<ClientConfig>>,
}

impl Connector {
    pub(crate) fn new(roots: Option<Arc<RootCertStore>>) -> Self {
        Self {
            roots,
            tls: OnceLock::new(),
        }
    }

    /// Makes a connection that is ready for its first request, within a time.
    pub(crate) async fn connect(
        &self,
        origin: &Origin,
        within: Duration,
    ) -> Result<Socket, Failure> {
        let deadline = Instant::now() + within;
        timeout_at(deadline, self.connect_by(origin, deadline))
            .await
            .unwrap_or_else(|_| Err(Failure::plain(FailureKind::ConnectTimeout)))
    }

    async fn connect_by(&self, origin: &Origin, deadline: Instant) -> Result<Socket, Failure> {
        let stream = tcp(origin, deadline).await?;
        stream.set_nodelay(true).map_err(Failure::connecting)?;
        if !origin.tls {
            return Ok(Either::Left(stream));
        }
        let name = ServerName::try_from(origin.host.to_string())
            .map_err(|error| Failure::new(FailureKind::Tls, error))?;
        let connector = TlsConnector::from(self.tls()?);
        let stream = connector
            .connect(name, stream)
            .await
            .map_err(|error| Failure::new(FailureKind::Tls, error))?;
        Ok(Either::Right(Box::new(stream)))
    }

    fn tls(&self) -> Result<Arc<ClientConfig>, Failure> {
        if let Some(config) = self.tls.get() {
            return Ok(Arc::clone(config));
        }
        let failure = |error: rustls::Error| Failure::new(FailureKind::Tls, error);
        let builder = ClientConfig::builder_with_provider(Arc::new(
            rustls::crypto::aws_lc_rs::default_provider(),
        ))
        .with_safe_default_protocol_versions()
        .map_err(failure)?;
        let mut config = match &self.roots {
            Some(roots) => builder
                .with_root_certificates(Arc::clone(roots))
                .with_no_client_auth(),
            None => builder
                .with_platform_verifier()
                .map_err(failure)?
                .with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::clone(self.tls.get_or_init(|| Arc::new(config))))
    }
}

/// Tries the addresses of a host in turn; each gets its share of the time, so that one that swallows packets does not use it
/// all up.
async fn tcp(origin: &Origin, deadline: Instant) -> Result<TcpStream, Failure> {
    let host = origin.host.trim_start_matches('[').trim_end_matches(']');
    let found = lookup_host((host, origin.port))
        .await
        .map_err(|error| Failure::new(FailureKind::Dns, error))?;
    let found: Vec<SocketAddr> = found.collect();
    let may_reach = |found: &&SocketAddr| may_reach(host, found.ip(), origin.reach);
    let addresses: Vec<&SocketAddr> = found.iter().filter(may_reach).collect();
    let mut last = if addresses.len() < found.len() {
        let text = "`private_addresses: true` at the provider allows it, but for link-local ones";
        Failure::new(FailureKind::PrivateAddress, text)
    } else {
        Failure::plain(FailureKind::Dns)
    };
    for (index, address) in addresses.iter().enumerate() {
        let left = u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
        let share = deadline.saturating_duration_since(Instant::now()) / left;
        match timeout_at(Instant::now() + share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = Failure::connecting(error),
            Err(_) => {
                last = Failure::new(
                    FailureKind::ConnectTimeout,
                    io::Error::from(io::ErrorKind::TimedOut),
                )
            }
        }
    }
    Err(last)
}
