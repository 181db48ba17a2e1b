//! Connections: how many an address may have, and how many requests may be at work on each.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;

use actix_web::HttpResponse;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::web::Data;
use headcount_records::AddressBlock;

use crate::api::Api;
use crate::error::{ApiError, Cause};
use crate::lanes::REFUSALS;
use crate::settings::HttpSettings;

/// The connections of one server, by address.
#[derive(Debug)]
pub struct Connections {
    /// The most connections of one address; `None` for no limit.
    limit: Option<usize>,
    /// Which peers are proxies.
    settings: HttpSettings,
    open: Mutex<HashMap<AddressBlock, usize>>,
}

/// A connection. It is counted until its last clone is dropped.
#[derive(Debug, Clone)]
pub struct Connection(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    connections: Arc<Connections>,
    /// The addresses that it is counted for.
    block: Option<AddressBlock>,
    local: Option<SocketAddr>,
    at_work: AtomicUsize,
    cut: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Connections {
    /// Starts without connections.
    pub fn new(settings: &HttpSettings) -> Arc<Self> {
        let limit = settings.connections_per_address;
        Arc::new(Self {
            limit: (limit > 0).then_some(limit),
            settings: settings.clone(),
            open: Mutex::default(),
        })
    }

    /// Accepts a connection, or returns `None` when its address has reached the limit.
    ///
    /// Proxies have no limit: they hold the connections of all their clients.
    pub fn enter(
        self: &Arc<Self>,
        peer: Option<IpAddr>,
        local: Option<SocketAddr>,
    ) -> Option<Connection> {
        let peer = peer.map(|peer| peer.to_canonical());
        let counted = peer.filter(|peer| !self.settings.is_proxy(*peer)).zip(self.limit);
        let block = counted.map(|(peer, limit)| (AddressBlock::of(Some(peer)), limit));
        if let Some((block, limit)) = block {
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            let count = open.entry(block).or_default();
            if *count >= limit {
                metrics::counter!(REFUSED).increment(1);
                return None;
            }
            *count += 1;
        }
        Some(Connection(Arc::new(Inner {
            connections: Arc::clone(self),
            block: block.map(|(block, _)| block),
            local,
            at_work: AtomicUsize::new(0),
            cut: AtomicBool::new(false),
            waker: Mutex::default(),
        })))
    }
}

/// The counter of connections that were closed because their address had too many.
pub(crate) const REFUSED: &str = "headcount_connections_refused_total";

impl Drop for Inner {
    fn drop(&mut self) {
        let Some(block) = &self.block else { return };
        let mut open = self.connections.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(block) {
            *count -= 1;
            if *count == 0 {
                open.remove(block);
            }
        }
    }
}

impl Connection {
    /// Returns the local address of the connection.
    pub(crate) fn local(&self) -> Option<SocketAddr> {
        self.0.local
    }

    /// Ends the connection: its next read or write fails.
    pub(crate) fn cut(&self) {
        self.0.cut.store(true, Ordering::Release);
        let waker = self.0.waker.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Returns whether the connection has to end. If not, `task` is woken when it does.
    pub fn is_cut(&self, task: &Waker) -> bool {
        let mut waker = self.0.waker.lock().unwrap_or_else(PoisonError::into_inner);
        if !waker.as_ref().is_some_and(|known| known.will_wake(task)) {
            *waker = Some(task.clone());
        }
        self.0.cut.load(Ordering::Acquire)
    }

    /// Counts a request until its response is sent. Returns `None` when `limit` are at work already.
    fn begin(&self, limit: usize) -> Option<AtWork> {
        let before = self.0.at_work.fetch_add(1, Ordering::AcqRel);
        let at_work = AtWork(self.clone());
        (before < limit).then_some(at_work)
    }
}

/// A request on a connection.
struct AtWork(Connection);

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.0.at_work.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The middleware that limits the requests of a connection: HTTP/2 announces no limit of its own.
///
/// # Errors
///
/// Those of the handler.
pub async fn limit_requests(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let limit = request.app_data::<Data<Api>>().map(|api| api.settings.requests_per_connection);
    let at_work = match (request.conn_data::<Connection>(), limit) {
        (Some(connection), Some(limit)) => match connection.begin(limit.max(1)) {
            Some(at_work) => Some(at_work),
            None => {
                metrics::counter!(REFUSALS, "lane" => "connection").increment(1);
                let refusal = HttpResponse::from_error(ApiError::from(Cause::Overloaded));
                return Ok(request.into_response(refusal));
            }
        },
        _ => None,
    };
    let mut response = next.call(request).await?;
    // The head of a response lives until its body is sent.
    response.response_mut().extensions_mut().insert(at_work);
    Ok(response.map_into_boxed_body())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connections(limit: usize, behind_proxy: bool, proxies: &[&str]) -> Arc<Connections> {
        let trusted_proxies = proxies.iter().map(|net| net.parse().unwrap()).collect();
        Connections::new(&HttpSettings {
            connections_per_address: limit,
            behind_proxy,
            trusted_proxies,
            ..HttpSettings::default()
        })
    }

    /// How many connections of an address are let in, of ten.
    fn let_in(connections: &Arc<Connections>, address: &str) -> usize {
        let peer: IpAddr = address.parse().unwrap();
        let open: Vec<_> = (0..10).filter_map(|_| connections.enter(Some(peer), None)).collect();
        open.len()
    }

    #[test]
    fn lim_16_s4_an_address_has_its_limit_and_another_its_own() {
        let connections = connections(3, false, &[]);
        assert_eq!(let_in(&connections, "192.0.2.1"), 3);
        assert_eq!(let_in(&connections, "192.0.2.1"), 3, "what was closed does not count");
        let held = connections.enter("2001:db8::1".parse().ok(), None);
        assert_eq!(let_in(&connections, "2001:db8::2"), 2, "a /64 is one address");
        assert_eq!(let_in(&connections, "2001:db8:0:1::1"), 3);
        drop(held);
        assert!(connections.open.lock().unwrap().is_empty());
    }

    #[test]
    fn proxies_have_no_limit() {
        let listed = connections(3, true, &["192.0.2.0/24"]);
        assert_eq!(let_in(&listed, "192.0.2.1"), 10);
        assert_eq!(let_in(&listed, "::ffff:192.0.2.1"), 10);
        // Where some are listed, being near is not enough.
        assert_eq!(let_in(&listed, "127.0.0.1"), 3);
        let near = connections(3, true, &[]);
        for (peer, expected) in
            [("127.0.0.1", 10), ("10.1.2.3", 10), ("::1", 10), ("fd00::1", 10), ("192.0.2.1", 3)]
        {
            assert_eq!(let_in(&near, peer), expected, "{peer}");
        }
        assert_eq!(let_in(&connections(3, false, &[]), "127.0.0.1"), 3);
    }

    #[test]
    fn zero_is_no_limit() {
        assert_eq!(let_in(&connections(0, false, &[]), "192.0.2.1"), 10);
    }

    #[test]
    fn requests_of_a_connection_are_counted_until_they_are_done() {
        let connection = connections(3, false, &[]).enter(None, None).unwrap();
        let first = connection.begin(2).unwrap();
        let _second = connection.begin(2).unwrap();
        assert!(connection.begin(2).is_none() && connection.begin(2).is_none());
        drop(first);
        assert!(connection.begin(2).is_some());
    }

    #[test]
    fn a_task_that_waits_is_woken_when_the_connection_is_cut() {
        let connection = connections(3, false, &[]).enter(None, None).unwrap();
        let (waker, count) = futures_test_waker();
        assert!(!connection.is_cut(&waker));
        connection.cut();
        assert!(connection.is_cut(&waker));
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }

    fn futures_test_waker() -> (Waker, Arc<AtomicUsize>) {
        struct Count(Arc<AtomicUsize>);
        impl std::task::Wake for Count {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
        let count = Arc::new(AtomicUsize::new(0));
        (Waker::from(Arc::new(Count(Arc::clone(&count)))), count)
    }
}
