//! What an operator can set about HTTP.

use std::time::Duration;

use ipnet::IpNet;

use crate::lanes::LaneSizes;

/// What an operator can set about HTTP.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// The address under which clients reach the server, without a slash at its end; taken from each
    /// request when absent.
    pub public_url: Option<String>,
    /// Whether a proxy in front of the server sends the client's address, host and scheme.
    pub behind_proxy: bool,
    /// Proxies that are believed, in addition to the one that connects.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether the server itself speaks TLS.
    pub tls: bool,
    /// The largest body of a request on one resource, in bytes.
    pub body_bytes: usize,
    /// The largest body of a bulk request, in bytes.
    pub bulk_bytes: usize,
    /// Operations of one bulk request; with 0 there is no bulk.
    pub bulk_operations: usize,
    /// Requests that may be at work at once.
    pub lanes: LaneSizes,
    /// How long a request may take, waiting included, without the time in which its body comes. Streams and
    /// long polls take it anew with each part.
    pub request_time: Duration,
    /// How long a body may take.
    pub body_time: Duration,
    /// How fast a body has to come, in bytes per second, after a first grace; 0 for any pace.
    pub body_rate: u32,
    /// Bytes of bodies that are held in memory at once.
    pub buffered_bytes: usize,
    /// Readers that may wait for events at once.
    pub event_readers: usize,
    /// How long a client may leave a part of an answer lying.
    pub reader_time: Duration,
    /// Connections that one address may have, unless it is that of a proxy; 0 for any number.
    pub connections_per_address: usize,
    /// Requests that may be at work at once on one connection.
    pub requests_per_connection: usize,
    /// Failed authentications per second and address, and how many at once.
    pub failures_per_second: u32,
    /// How many failed authentications an address may have in a burst.
    pub failures_burst: u32,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            public_url: None,
            behind_proxy: false,
            trusted_proxies: Vec::new(),
            tls: false,
            body_bytes: 1024 * 1024,
            bulk_bytes: 4 * 1024 * 1024,
            bulk_operations: 1_000,
            lanes: LaneSizes::of_pool(16, false),
            request_time: Duration::from_secs(10),
            body_time: Duration::from_secs(30),
            body_rate: 1024,
            buffered_bytes: 64 * 1024 * 1024,
            event_readers: 512,
            reader_time: Duration::from_secs(60),
            connections_per_address: 200,
            requests_per_connection: 100,
            failures_per_second: 10,
            failures_burst: 100,
        }
    }
}
