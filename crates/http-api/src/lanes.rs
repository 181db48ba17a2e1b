//! The lanes on which requests wait for a thread and a connection.
//!
//! Cheap work has lanes of its own, which expensive work cannot fill. Within each lane, turns are divided by
//! tenant, and within a tenant by token ([`shares`]). A request whose token is not proven yet is a stranger's, and
//! strangers are distinguished by address.

mod queue;
mod shares;
mod slots;

use std::sync::atomic::{AtomicUsize, Ordering};

use headcount_core::ids::{TenantId, TokenId};
use headcount_core::service::Cost;
use headcount_records::AddressBlock;
use tokio::time::Instant;

use queue::Queue;
use shares::Shares;
pub(crate) use slots::{Slot, Slots};

/// What kind of work a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Proving a token or a session, and nothing else.
    Proof,
    /// Reading a resource by its id or a key.
    Point,
    /// Reading a page by an index.
    Page,
    /// Reading without an index: searches, histories, exports.
    Scan,
    /// Writing.
    Write,
}

impl Lane {
    /// All lanes.
    pub(crate) const ALL: [Self; 5] =
        [Self::Proof, Self::Point, Self::Page, Self::Scan, Self::Write];

    /// Returns the name in metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Proof => "proof",
            Self::Point => "point",
            Self::Page => "page",
            Self::Scan => "scan",
            Self::Write => "write",
        }
    }
}

impl From<Cost> for Lane {
    fn from(cost: Cost) -> Self {
        match cost {
            Cost::Point => Self::Point,
            Cost::Page => Self::Page,
            Cost::Scan => Self::Scan,
        }
    }
}

/// How many requests are at work at once on each lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneSizes {
    /// Token checks; those that wait for argon2 hold no connection.
    pub proofs: usize,
    /// Point reads.
    pub points: usize,
    /// Pages and scans together, and writes where they take a connection of the same pool.
    pub shared: usize,
    /// Scans, out of the shared ones.
    pub scans: usize,
    /// Writes that have a connection of their own; none when they share.
    pub writes: Option<usize>,
}

/// Which connections writes use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteConnections {
    /// One of their own, as on SQLite.
    Own,
    /// Those of the pool.
    Pooled,
}

impl LaneSizes {
    /// Writes that wait for the one writer: many of them share a commit.
    const MAX_WRITES: usize = 96;
    const MAX_PROOFS: usize = 32;

    /// Divides a pool of connections.
    ///
    /// Requests that may take long never hold all of it: a filter that costs more than expected still leaves a
    /// connection to point reads and token checks. A pool of one cannot be divided.
    pub fn of_pool(connections: usize, writes: WriteConnections) -> Self {
        let reserve = (connections / 8).max(1);
        let shared = connections.saturating_sub(reserve).max(1);
        Self {
            proofs: Self::MAX_PROOFS,
            points: connections.max(2),
            shared,
            scans: (shared / 3).max(1),
            writes: (writes == WriteConnections::Own).then_some(Self::MAX_WRITES),
        }
    }

    /// Returns how many threads may be at work at once.
    pub fn threads(&self) -> usize {
        self.proofs + self.points + self.shared + self.writes.unwrap_or(0)
    }
}

/// One of those among whom turns are divided.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Party {
    Lane(Lane),
    Tenant(TenantId),
    /// All users of the console.
    Console,
    /// All requests whose token is not proven.
    Strangers,
    Token(TokenId),
    Account(String),
    Address(AddressBlock),
    /// Bodies of responses that are read while they are sent.
    Streams,
}

/// The owner of a turn: a tenant and one of its tokens, or their counterparts at the console and among strangers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner([Party; 2]);

impl Owner {
    pub(crate) fn token(tenant: TenantId, token: &TokenId) -> Self {
        Self([Party::Tenant(tenant), Party::Token(token.clone())])
    }

    pub(crate) fn stream(tenant: TenantId) -> Self {
        Self([Party::Tenant(tenant), Party::Streams])
    }

    pub(crate) fn stranger(address: AddressBlock) -> Self {
        Self([Party::Strangers, Party::Address(address)])
    }

    /// An account of the console.
    pub fn account(name: &str) -> Self {
        Self([Party::Console, Party::Account(name.to_owned())])
    }

    /// A client of the console that is not logged in.
    pub fn visitor(address: Option<std::net::IpAddr>) -> Self {
        Self([Party::Console, Party::Address(AddressBlock::of(address))])
    }
}

/// The right to be at work on a lane.
pub(crate) type LaneTurn = queue::Turn<3, Party>;

/// The right to hold a number of bytes of bodies in memory.
#[derive(Debug)]
pub(crate) struct Reserved(
    #[expect(dead_code, reason = "it is returned when it is dropped")] queue::Turn<2, Party>,
);

/// All queues of a server.
#[derive(Debug)]
pub(crate) struct Lanes {
    proofs: Queue<3, Party>,
    points: Queue<3, Party>,
    shared: Queue<3, Party>,
    writes: Option<Queue<3, Party>>,
    /// In units of [`UNIT`].
    bodies: Queue<2, Party>,
    pub(crate) reader_slots: Slots,
    /// Threads that still work for a request that no longer waits.
    pub(crate) abandoned: AtomicUsize,
}

/// The unit in which bodies are counted, in bytes.
const UNIT: usize = 1024;

/// How full the queues of a server are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The name of each lane, its requests at work and its requests that wait.
    pub lanes: Vec<(&'static str, usize, usize)>,
    /// Bytes of bodies that are reserved.
    pub body_bytes: usize,
    /// Requests that wait for memory for their body.
    pub bodies_waiting: usize,
    /// Readers that wait for events.
    pub event_readers: usize,
    /// Threads that still work for requests that no longer wait.
    pub abandoned: usize,
}

impl Lanes {
    pub(crate) fn new(sizes: &LaneSizes, body_bytes: usize, event_readers: usize) -> Self {
        let shared = Shares::new(sizes.shared).limit(Party::Lane(Lane::Scan), sizes.scans);
        let units = body_bytes.div_ceil(UNIT);
        // Half of the memory stays free for proven clients, however many strangers send slowly.
        let bodies = Shares::new(units).limit(Party::Strangers, units / 2);
        Self {
            proofs: Queue::new(Shares::new(sizes.proofs)),
            points: Queue::new(Shares::new(sizes.points)),
            shared: Queue::new(shared),
            writes: sizes.writes.map(|size| Queue::new(Shares::new(size))),
            bodies: Queue::new(bodies),
            reader_slots: Slots::new(event_readers),
            abandoned: AtomicUsize::new(0),
        }
    }

    fn queue(&self, lane: Lane) -> &Queue<3, Party> {
        match lane {
            Lane::Proof => &self.proofs,
            Lane::Point => &self.points,
            Lane::Page | Lane::Scan => &self.shared,
            Lane::Write => self.writes.as_ref().unwrap_or(&self.shared),
        }
    }

    /// Waits for a turn on a lane. Returns `None` when the deadline passes.
    pub(crate) async fn turn(
        &self,
        lane: Lane,
        Owner([tenant, token]): Owner,
        deadline: Instant,
    ) -> Option<LaneTurn> {
        let turn = self.queue(lane).turn([Party::Lane(lane), tenant, token], 1, deadline).await;
        if turn.is_none() {
            metrics::counter!(REFUSALS, "lane" => lane.name()).increment(1);
        }
        turn
    }

    /// Waits for memory for a body, in bytes. Returns `None` when the deadline passes.
    pub(crate) async fn reserve(
        &self,
        Owner(path): Owner,
        bytes: usize,
        deadline: Instant,
    ) -> Option<Reserved> {
        let turn = self.bodies.turn(path, bytes.div_ceil(UNIT), deadline).await;
        if turn.is_none() {
            metrics::counter!(REFUSALS, "lane" => "body").increment(1);
        }
        turn.map(Reserved)
    }

    /// Returns how full the queues are.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let lanes = Lane::ALL.iter().map(|lane| {
            let load = self.queue(*lane).load(Some(&Party::Lane(*lane)));
            (lane.name(), load.held, load.waiting)
        });
        let bodies = self.bodies.load(None);
        Snapshot {
            lanes: lanes.collect(),
            body_bytes: bodies.held * UNIT,
            bodies_waiting: bodies.waiting,
            event_readers: self.reader_slots.count(),
            abandoned: self.abandoned.load(Ordering::Relaxed),
        }
    }
}

/// The counter of requests that did not get a turn in time.
pub(crate) const REFUSALS: &str = "headcount_lane_refusals_total";

#[cfg(test)]
mod tests;
