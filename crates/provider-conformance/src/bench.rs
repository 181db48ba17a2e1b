//! The test bench of a clause: a service over the provider, with a clock that ticks and ids that count.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use headcount_core::change::{Actor, Recorded};
use headcount_core::clock::{Clock, IdSource, Timestamp};
use headcount_core::cursor::CursorCipher;
use headcount_core::error::Error;
use headcount_core::ids::{ChainPosition, RequestId, ResourceId, TenantId};
use headcount_core::message::SearchRequest;
use headcount_core::provider::{Found, With};
use headcount_core::quirks::Quirks;
use headcount_core::schema::{Registry, ResourceType};
use headcount_core::service::{Caller, Edit, Limits, Service, Shape, WriteOutcome};
use headcount_core::work::Work;
use serde_json::{Value, json};

use crate::Subject;

/// A clock that advances by a microsecond each time it is read.
struct Ticking(AtomicI64);

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.fetch_add(1, Ordering::SeqCst))
    }
}

/// Ids that count, with a prefix that makes their order differ from that of creation.
struct Counting(AtomicI64);

impl IdSource for Counting {
    fn next_id(&self) -> ResourceId {
        let number = self.0.fetch_add(1, Ordering::SeqCst);
        ResourceId::new(format!("{:04x}-{number}", (number * 40_503) % 65_521))
    }
}

/// Encrypts nothing, so that cursors are readable in failing tests.
struct PlainCursors;

impl CursorCipher for PlainCursors {
    fn encrypt(&self, text: &str, purpose: &str) -> String {
        format!("{purpose}|{text}")
    }

    fn decrypt(&self, encrypted: &str, purpose: &str) -> Option<String> {
        encrypted.strip_prefix(purpose)?.strip_prefix('|').map(str::to_owned)
    }
}

/// A service over the provider under test.
pub struct Bench {
    /// The service.
    pub service: Service,
    /// The subject.
    pub subject: Subject,
}

/// The kind of users.
pub const USER: &str = "User";
/// The kind of groups.
pub const GROUP: &str = "Group";

impl Bench {
    /// Sets a service up over the built-in kinds.
    ///
    /// # Panics
    ///
    /// When the built-in schemas are invalid.
    pub fn new(subject: Subject) -> Self {
        let registry = Registry::builtin().unwrap_or_else(|error| panic!("{error}"));
        Self::over(subject, Arc::new(registry))
    }

    /// Sets a service up over the kinds of a registry.
    pub fn over(subject: Subject, registry: Arc<Registry>) -> Self {
        let service = Service {
            registry,
            provider: Arc::clone(&subject.provider),
            clock: Arc::new(Ticking(AtomicI64::new(1_767_225_600_000_000))),
            ids: Arc::new(Counting(AtomicI64::new(1))),
            cursor_cipher: Arc::new(PlainCursors),
            limits: Limits::default(),
        };
        Self { service, subject }
    }

    /// Returns the caller of one of the two tenants.
    pub fn caller(&self, tenant: usize) -> Caller {
        Caller {
            tenant: self.tenant(tenant),
            actor: Actor::System,
            user: None,
            quirks: Quirks::ALL,
            request: RequestId::new("r"),
            work: Work::default(),
        }
    }

    /// Returns one of the two tenants.
    pub fn tenant(&self, index: usize) -> TenantId {
        self.subject.tenants.get(index).copied().unwrap_or_else(|| panic!("there are two tenants"))
    }

    /// Returns a kind by its name.
    pub fn kind(&self, kind: &str) -> Arc<ResourceType> {
        let found = self.service.registry.kind(kind);
        Arc::clone(found.unwrap_or_else(|| panic!("{kind} is a kind")))
    }

    /// Tries to create a resource in a tenant.
    ///
    /// # Errors
    ///
    /// The error of the service.
    pub fn try_create(
        &self,
        tenant: usize,
        kind: &str,
        body: Value,
    ) -> Result<WriteOutcome, Error> {
        self.service.create(&self.caller(tenant), &self.kind(kind), body, &Shape::default())
    }

    /// Creates a resource in the first tenant and returns its id.
    ///
    /// # Panics
    ///
    /// When the service refuses.
    pub fn create(&self, kind: &str, body: Value) -> ResourceId {
        let written = self.try_create(0, kind, body.clone());
        written.unwrap_or_else(|error| panic!("{body}: {error}")).found.resource.id
    }

    /// Creates a user with a name.
    pub fn user(&self, name: &str) -> ResourceId {
        self.create(USER, json!({"userName": name}))
    }

    /// Creates a group with members.
    pub fn group(&self, name: &str, members: &[&ResourceId]) -> ResourceId {
        self.create(GROUP, json!({"displayName": name, "members": member_list(members)}))
    }

    /// Tries to apply one PATCH operation.
    ///
    /// # Errors
    ///
    /// The error of the service.
    pub fn try_patch(
        &self,
        tenant: usize,
        kind: &str,
        id: &ResourceId,
        operation: Value,
    ) -> Result<WriteOutcome, Error> {
        let body = json!({"Operations": [operation]});
        let (caller, kind) = (self.caller(tenant), self.kind(kind));
        self.service.patch(Edit::unconditional(&caller, &kind), id, body, &Shape::default())
    }

    /// Applies one PATCH operation in the first tenant.
    ///
    /// # Panics
    ///
    /// When the service refuses.
    pub fn patch(&self, kind: &str, id: &ResourceId, operation: Value) -> WriteOutcome {
        self.try_patch(0, kind, id, operation.clone())
            .unwrap_or_else(|error| panic!("{operation}: {error}"))
    }

    /// Tries to delete a resource.
    ///
    /// # Errors
    ///
    /// The error of the service.
    pub fn try_delete(&self, tenant: usize, kind: &str, id: &ResourceId) -> Result<(), Error> {
        let (caller, kind) = (self.caller(tenant), self.kind(kind));
        self.service.delete(Edit::unconditional(&caller, &kind), id).map(drop)
    }

    /// Reads a resource with its members.
    ///
    /// # Panics
    ///
    /// When the provider fails.
    pub fn get(&self, tenant: usize, kind: &str, id: &ResourceId) -> Option<Found> {
        let with = if kind == GROUP { With::Members(100_000) } else { With::Groups };
        let found = self.subject.provider.get(self.tenant(tenant), &self.kind(kind).kind, id, with);
        found.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Returns the ids of a group's members in a fixed order.
    pub fn members(&self, group: &ResourceId) -> Vec<String> {
        let found = self.get(0, GROUP, group).unwrap_or_else(|| panic!("{group} exists"));
        let mut ids: Vec<_> =
            found.computed.members.iter().map(|member| member.id.to_string()).collect();
        ids.sort();
        ids
    }

    /// Searches the first tenant and returns the names that were found, and the total.
    ///
    /// # Panics
    ///
    /// When the service refuses.
    pub fn search(&self, kind: &str, request: &SearchRequest) -> (Vec<String>, u64) {
        let listing = self.service.search(&self.caller(0), &[self.kind(kind)], request);
        let listing = listing.unwrap_or_else(|error| panic!("{request:?}: {error}"));
        (listing.resources.iter().map(name_of).collect(), listing.head.total)
    }

    /// Searches by a filter.
    pub fn filter(&self, kind: &str, filter: &str) -> Vec<String> {
        let request = SearchRequest {
            filter: Some(filter.to_owned()),
            count: Some(1_000),
            ..SearchRequest::default()
        };
        let (names, total) = self.search(kind, &request);
        assert_eq!(u64::try_from(names.len()).unwrap_or(0), total, "{filter}: the total is exact");
        names
    }

    /// Returns all recorded changes of the first tenant.
    ///
    /// # Panics
    ///
    /// When the feed fails.
    pub fn changes(&self) -> Vec<Recorded> {
        let changes = self.subject.feed.changes(self.tenant(0), ChainPosition::START, 100_000);
        changes.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Returns the id of the user with a name; empty when there is none.
    pub fn id_of(&self, name: &str) -> String {
        let request = SearchRequest {
            filter: Some(format!("userName eq \"{name}\"")),
            ..SearchRequest::default()
        };
        let listing = self.service.search(&self.caller(0), &[self.kind(USER)], &request);
        let listing = listing.unwrap_or_else(|error| panic!("{error}"));
        listing.resources.first().map(|found| found.resource.id.to_string()).unwrap_or_default()
    }
}

fn name_of(found: &Found) -> String {
    let attributes = found.resource.document.attributes().unwrap_or_else(|error| panic!("{error}"));
    let name = attributes.top("userName").or_else(|| attributes.top("displayName"));
    name.and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Makes the `members` of a body.
pub fn member_list(members: &[&ResourceId]) -> Value {
    members.iter().map(|id| json!({"value": id.as_str()})).collect()
}

/// Returns the HTTP status of a result.
pub fn status<T>(result: Result<T, Error>) -> u16 {
    match result {
        Ok(_) => 200,
        Err(error) => error.status_and_type().0,
    }
}
