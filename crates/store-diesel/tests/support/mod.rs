//! Fresh databases for tests: a private file, or a database made from a migrated template.
#![allow(
    dead_code,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "each test binary uses a part of it"
)]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use headcount_core::change::{Actor, Author};
use headcount_core::clock::Timestamp;
use headcount_core::ids::RequestId;
use headcount_core::quirks::Quirks;
use headcount_core::schema::Registry;
use headcount_provider_conformance::Subject;
use headcount_store_diesel::{DatabaseUrl, KindPlan, OlderSchema, Settings, Store};
use headcount_token_admin::TenantStore;

/// A directory that goes with its last user.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::SeqCst);
        let path =
            std::env::temp_dir().join(format!("headcount-store-{}-{count}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// The kinds and paths of a registry, as the server gives them to the store.
pub(crate) fn plan(registry: &Registry) -> Vec<KindPlan> {
    let paths = |kind: &Arc<headcount_core::schema::ResourceType>| {
        let unique = kind.unique.iter().map(ToString::to_string);
        let names = kind.name.iter().map(ToString::to_string);
        kind.indexed
            .iter()
            .map(|indexed| indexed.path.to_string())
            .chain(unique)
            .chain(names)
            .collect()
    };
    registry
        .kinds()
        .iter()
        .map(|kind| KindPlan { kind: kind.kind.clone(), paths: paths(kind) })
        .collect()
}

/// Opens a store on a new SQLite file.
pub(crate) fn sqlite_store(scratch: &Scratch) -> Arc<Store> {
    let url = DatabaseUrl::Sqlite(scratch.0.join("test.db"));
    Store::open(&Settings::serve(url), &plan(&Registry::builtin().unwrap()), OlderSchema::Migrate)
        .unwrap()
}

/// The server that the test command started, as a URL without a database name.
pub(crate) fn postgres_server() -> String {
    std::env::var("HEADCOUNT_TEST_POSTGRES").expect(
        "the tests of PostgreSQL need a server: run `cargo xtask test`, which starts one and sets HEADCOUNT_TEST_POSTGRES",
    )
}

/// A database that goes with its last user.
pub(crate) struct Database {
    pub(crate) url: String,
    name: String,
}

impl Database {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::SeqCst);
        let name = format!("t{}_{count}", std::process::id());
        admin(&format!("CREATE DATABASE {name}"));
        Self { url: postgres_server().replace("/postgres", &format!("/{name}")), name }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        admin(&format!("DROP DATABASE {} WITH (FORCE)", self.name));
    }
}

fn admin(statement: &str) {
    use diesel::connection::{Connection, SimpleConnection};
    let mut connection = diesel::PgConnection::establish(&postgres_server()).unwrap();
    connection.batch_execute(statement).unwrap();
}

pub(crate) fn postgres_store(database: &Database) -> Arc<Store> {
    let url = DatabaseUrl::parse(&database.url).unwrap();
    Store::open(&Settings::serve(url), &plan(&Registry::builtin().unwrap()), OlderSchema::Migrate)
        .unwrap()
}

/// Someone at the command line.
pub(crate) fn cli() -> Author {
    Author { actor: Actor::Cli, request: RequestId::new("test") }
}

pub(crate) fn subject(store: Arc<Store>, guard: Box<dyn std::any::Any + Send + Sync>) -> Subject {
    let first = store.tenant("default").unwrap().unwrap().id;
    let at = Timestamp::from_micros(0);
    let second = store.create_tenant("second", Quirks::ALL, at, &cli()).unwrap().id;
    Subject { provider: store.clone(), feed: store, tenants: [first, second], guard }
}

pub(crate) fn sqlite() -> Subject {
    sqlite_for(&Registry::builtin().unwrap())
}

/// A new SQLite file for the kinds of a registry.
pub(crate) fn sqlite_for(registry: &Registry) -> Subject {
    let scratch = Scratch::new();
    let url = DatabaseUrl::Sqlite(scratch.0.join("test.db"));
    let store = Store::open(&Settings::serve(url), &plan(registry), OlderSchema::Migrate).unwrap();
    subject(store, Box::new(scratch))
}

pub(crate) fn postgres() -> Subject {
    postgres_for(&Registry::builtin().unwrap())
}

/// A new PostgreSQL database for the kinds of a registry.
pub(crate) fn postgres_for(registry: &Registry) -> Subject {
    let database = Database::new();
    let settings = Settings::serve(DatabaseUrl::parse(&database.url).unwrap());
    let store = Store::open(&settings, &plan(registry), OlderSchema::Migrate).unwrap();
    subject(store, Box::new(database))
}
