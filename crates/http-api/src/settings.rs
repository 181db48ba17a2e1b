//! The settings of HTTP.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use crate::lanes::{LaneSizes, WriteConnections};

/// The settings of HTTP.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// The URL under which clients reach the server, without a slash at its end; without it, that of each
    /// request.
    pub public_url: Option<String>,
    /// Whether a proxy in front of the server sends the client's address, host and scheme.
    pub behind_proxy: bool,
    /// The only proxies that are believed. Without any, and with `behind_proxy`, peers on this machine and in
    /// private networks are.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether the server itself speaks TLS.
    pub tls: bool,
    /// Whether the console and the admin API have a listener of their own, which the public URL does not reach.
    pub admin_apart: bool,
    /// The largest body of a request on one resource, in bytes.
    pub body_bytes: usize,
    /// The largest body of a bulk request, in bytes.
    pub bulk_bytes: usize,
    /// The most operations of one bulk request; 0 switches bulk off.
    pub bulk_operations: usize,
    /// How many requests may be at work at once.
    pub lanes: LaneSizes,
    /// How long a request may take, including its wait for a thread, but not the transfer of its body. For
    /// streams and long polls it begins again with each part.
    pub request_time: Duration,
    /// How long a body may take.
    pub body_time: Duration,
    /// How fast a body must arrive, in bytes per second, after the first seconds; 0 for any rate.
    pub body_rate: u32,
    /// The most bytes of bodies that are held in memory at once.
    pub buffered_bytes: usize,
    /// The most readers that may wait for events at once.
    pub event_readers: usize,
    /// How long a client may take to receive a part of a response.
    pub reader_time: Duration,
    /// The most connections of one address, unless it is that of a proxy; 0 for any number.
    pub connections_per_address: usize,
    /// The most requests that may be at work at once on one connection.
    pub requests_per_connection: usize,
    /// The most failed authentications of one address per second, on average.
    pub failures_per_second: u32,
    /// The most failed authentications of one address in a burst.
    pub failures_burst: u32,
}

impl HttpSettings {
    /// Returns whether the headers of a peer about its clients are believed (TLS-06): whether it is a listed proxy
    /// or, where none is listed and there is one, near.
    pub fn is_proxy(&self, peer: IpAddr) -> bool {
        if !self.trusted_proxies.is_empty() {
            return self.is_listed(peer);
        }
        let is_near = match peer.to_canonical() {
            IpAddr::V4(peer) => peer.is_loopback() || peer.is_private() || peer.is_link_local(),
            IpAddr::V6(peer) => {
                peer.is_loopback() || peer.is_unique_local() || peer.is_unicast_link_local()
            }
        };
        self.behind_proxy && is_near
    }

    /// Returns whether the operator has a proxy in front of the server.
    pub(crate) fn expects_proxy(&self) -> bool {
        self.behind_proxy || !self.trusted_proxies.is_empty()
    }

    /// Returns whether an address is that of a listed proxy.
    pub(crate) fn is_listed(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted_proxies.iter().any(|net| net.contains(&address))
    }
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            public_url: None,
            behind_proxy: false,
            trusted_proxies: Vec::new(),
            tls: false,
            admin_apart: false,
            body_bytes: 1024 * 1024,
            bulk_bytes: 4 * 1024 * 1024,
            bulk_operations: 1_000,
            lanes: LaneSizes::of_pool(16, WriteConnections::Own),
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
