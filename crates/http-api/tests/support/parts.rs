//! Parts of a server that every test of this crate needs: time, ids, cursors and use cases in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use headcount_core::change::{Actor, Author};
use headcount_core::clock::{Clock, IdSource, Timestamp};
use headcount_core::cursor::PlainCursors;
use headcount_core::ids::{RequestId, ResourceId};
use headcount_core::provider::Provider;
use headcount_core::schema::Registry;
use headcount_core::service::{Limits, Service};
use headcount_token_admin::Principal;

/// Time and ids that count up.
#[derive(Default)]
pub(crate) struct Counter(AtomicI64);

impl Clock for Counter {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(1_767_225_600_000_000 + self.0.fetch_add(1, Ordering::SeqCst))
    }
}

impl IdSource for Counter {
    fn next_id(&self) -> ResourceId {
        ResourceId::new(format!("id-{}", self.0.fetch_add(1, Ordering::SeqCst)))
    }
}

/// The use cases of SCIM over a provider.
pub(crate) fn service(
    provider: Arc<dyn Provider>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
) -> Service {
    Service {
        registry: Arc::new(Registry::builtin().unwrap()),
        provider,
        clock,
        ids,
        cursor_cipher: Arc::new(PlainCursors),
        limits: Limits::default(),
    }
}

/// Someone at the command line, who may do everything.
pub(crate) fn operator() -> Principal {
    Principal::operator(Author { actor: Actor::Cli, request: RequestId::new("test") })
}
