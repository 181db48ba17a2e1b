//! On PostgreSQL a statement ends, whatever it waits for.
#![cfg(feature = "postgres")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use diesel::PgConnection;
use diesel::connection::{Connection as _, SimpleConnection as _};
use headcount_core::clock::Timestamp;
use headcount_core::error::Error;
use headcount_core::ids::TenantId;
use headcount_core::message::SearchRequest;
use headcount_core::provider::{ProviderError, With};
use headcount_core::schema::Registry;
use headcount_core::work::{Halt, Work};
use headcount_provider_conformance::bench::{Bench, USER};
use headcount_records::activity::{Activity as _, ChangeQuery, Slots};
use headcount_records::{LogQuery, LogScope, RequestLog as _};
use headcount_store_diesel::{DatabaseUrl, LogStore, OlderSchema, Settings, Store};
use headcount_token_admin::accounts::AccountStore as _;
use headcount_token_admin::{StoreError, TenantStore as _, TokenStore as _};
use serde_json::json;
use support::{Database, plan};

/// The tables that someone else has locked.
const LOCKED: &str = "BEGIN; LOCK TABLE resources, tokens, admins, tenants, requests, changes IN ACCESS EXCLUSIVE MODE";

fn checked<T>(what: &str, done: Result<T, Error>) {
    match done.map(drop) {
        Err(error) => assert_eq!(error.status_and_type().0, 503, "{what}: {error:?}"),
        Ok(()) => panic!("{what} was answered although its table is locked"),
    }
}

fn store_error<T>(done: Result<T, StoreError>) -> Result<T, Error> {
    done.map_err(|error| match error {
        StoreError::Unavailable(error) => Error::Provider(*error.downcast().unwrap()),
        other => panic!("{other:?}"),
    })
}

fn what_waits_for_a_lock_ends(prepared_statements: bool) {
    let database = Arc::new(Database::new());
    let settings = Settings {
        statement_limit: Duration::from_millis(100),
        prepared_statements,
        ..Settings::serve(DatabaseUrl::parse(&database.url).unwrap())
    };
    let store =
        Store::open(&settings, &plan(&Registry::builtin().unwrap()), OlderSchema::Migrate).unwrap();
    let log = LogStore::new(&settings);
    let bench = Bench::new(support::subject(Arc::clone(&store), Box::new(Arc::clone(&database))));
    let (tenant, user, work) = (bench.tenant(0), bench.user("jane"), Work::unlimited());
    let mut other = PgConnection::establish(&database.url).unwrap();
    other.batch_execute(LOCKED).unwrap();
    let slots = Slots { from: Timestamp::from_micros(0), seconds: 1, count: 2 };
    let latest = ChangeQuery { limit: 1, ..ChangeQuery::default() };
    let scope = LogScope::Tenant(TenantId::new(1));
    let requests = LogQuery { scope, limit: 1, ..LogQuery::default() };
    let name = json!({"op": "replace", "path": "title", "value": "x"});
    checked("a resource", bench.service.find(&bench.caller(0), &bench.kind(USER), &user));
    checked(
        "a search",
        bench.service.search(&bench.caller(0), &[bench.kind(USER)], &SearchRequest::default()),
    );
    checked("tokens", store_error(store.list(Some(tenant))));
    checked("tenants", store_error(store.tenants()));
    checked("accounts", store_error(store.admins()));
    checked("activity", store.changes_by_slot(tenant, slots, &work).map_err(Error::from));
    checked("the audit", store.latest(&latest, &work).map_err(Error::from));
    checked("the log", log.requests(&requests, &work).map_err(Error::from));
    checked("a creation", bench.try_create(0, USER, json!({"userName": "joe"})));
    checked("a change", bench.try_patch(0, USER, &user, name));
    let read = bench.subject.provider.get(tenant, &bench.kind(USER).kind, &user, With::Nothing);
    assert!(matches!(read, Err(ProviderError::Halted(Halt::Deadline))), "{read:?}");
    // The connections are as good as before.
    other.batch_execute("ROLLBACK").unwrap();
    assert!(bench.get(0, USER, &user).is_some());
    bench.user("joe");
}

#[test]
fn what_waits_for_a_lock_ends_with_503() {
    what_waits_for_a_lock_ends(true);
}

#[test]
fn what_waits_for_a_lock_ends_with_503_behind_a_pooler() {
    what_waits_for_a_lock_ends(false);
}
