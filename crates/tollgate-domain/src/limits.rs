//! Bounds that the data plane keeps towards its clients.

use std::{net::IpAddr, time::Duration};

use ipnet::IpNet;

/// Sizes, depths, counts and times that no client may pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request's head (request line and headers). 431 beyond.
    pub header_bytes_max: usize,
    /// Bytes of a request's URL. 414 beyond.
    pub url_bytes_max: usize,
    /// Bytes of a request's body, counted after decompression. 413 beyond.
    pub body_bytes_max: usize,
    /// Nesting of a JSON body. 400 beyond.
    pub json_depth_max: usize,
    /// Bytes of a provider's whole (not streamed) answer.
    pub answer_bytes_max: usize,
    /// Bytes of one event of a provider's stream.
    pub event_bytes_max: usize,
    /// Connections open at once, over all workers.
    pub connections_max: usize,
    /// Time a client has for sending a request's head. 408 beyond.
    pub header_timeout: Duration,
    /// Time a client has for sending a request's body. 408 beyond.
    pub body_timeout: Duration,
    /// Time a client may leave an answer unread before the connection is closed.
    pub write_timeout: Duration,
    /// Time for the calls in flight to finish after SIGTERM.
    pub drain_timeout: Duration,
    /// A worker that comes this much too late to what is due refuses some calls with 503; zero: it never does.
    pub late_max: Duration,
    /// Networks of proxies before the gateway, whose word for the client's address is taken (`X-Forwarded-For`).
    pub trusted_proxies: Vec<IpNet>,
}

impl Limits {
    /// Whether an address is that of a proxy whose word is taken.
    pub fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted_proxies
            .iter()
            .any(|network| network.contains(&address))
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_bytes_max: 64 << 10,
            url_bytes_max: 8 << 10,
            body_bytes_max: 32 << 20,
            json_depth_max: 128,
            answer_bytes_max: 64 << 20,
            event_bytes_max: 8 << 20,
            connections_max: 10_000,
            header_timeout: Duration::from_secs(15),
            body_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(120),
            drain_timeout: Duration::from_secs(30),
            late_max: Duration::from_secs(1),
            trusted_proxies: Vec::new(),
        }
    }
}
