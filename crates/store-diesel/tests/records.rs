//! What is done to tokens and tenants is recorded in the transaction that does it.

mod support;

use std::sync::Arc;
use std::time::Duration;

use headcount_core::change::{Act, Activation, Actor, ChangeFeed as _, Recorded};
use headcount_core::clock::{Clock, Timestamp};
use headcount_core::ids::{ChainPosition, TenantId, TokenId};
use headcount_core::quirks::Quirks;
use headcount_store_diesel::Store;
use headcount_token_admin::memory::MemoryTokens;
use headcount_token_admin::{
    Expiry, NewToken, Policy, Principal, Scopes, TenantChange, TenantStore, TokenStore, Tokens,
};
use support::{Database, Scratch, cli, postgres_store, sqlite_store};

const DAY: i64 = 86_400;
const NOW: Timestamp = Timestamp::from_micros(1_000_000_000);
const DEFAULT: TenantId = TenantId::new(1);

struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        NOW
    }
}

fn on_both(test: fn(Arc<Store>)) {
    let scratch = Scratch::new();
    test(sqlite_store(&scratch));
    let database = Database::new();
    test(postgres_store(&database));
}

fn operator() -> Principal {
    Principal::operator(cli())
}

fn span(seconds: i64) -> Duration {
    Duration::from_secs(seconds.unsigned_abs())
}

fn new(name: &str, days: i64) -> NewToken {
    NewToken {
        name: name.to_owned(),
        scopes: Scopes::PROVISIONING,
        expiry: Expiry::After(span(days * DAY)),
        cidrs: Vec::new(),
        user: None,
    }
}

fn acts(changes: &[Recorded]) -> Vec<(Act, String, String)> {
    let act = |one: &Recorded| (one.change.act, one.id.to_string(), one.change.paths.join(" "));
    changes.iter().map(act).collect()
}

#[test]
fn aud_01_both_databases_record_what_the_memory_records() {
    on_both(|store| {
        let memory = Arc::new(MemoryTokens::default());
        let run = |tokens: Arc<dyn TokenStore>, tenants: &dyn TenantStore| -> Vec<TokenId> {
            let tokens = Tokens::new(tokens, Arc::new(Fixed), Policy::default());
            let old = tokens.issue(&operator(), DEFAULT, new("one", 100)).unwrap().token.id;
            let new = tokens.rotate(&operator(), None, &old, span(3_600)).unwrap().issued.token.id;
            // The rest of its life is shorter than the overlap: nothing about the old one changes.
            let last = tokens.rotate(&operator(), None, &old, span(DAY)).unwrap().issued.token.id;
            // The second time changes nothing, and is not recorded.
            tokens.revoke(&operator(), None, &new).unwrap();
            tokens.revoke(&operator(), None, &new).unwrap();
            assert!(tokens.revoke(&operator(), None, &TokenId::new("none")).is_err());
            let set = |enabled, quirks| {
                let change = TenantChange { enabled: Some(enabled), quirks: Some(quirks) };
                let set = tenants.set_tenant("default", change, NOW, &cli()).unwrap().unwrap();
                assert_eq!((set.enabled, set.quirks), (enabled, quirks));
            };
            set(true, Quirks::default());
            set(false, Quirks::default());
            set(true, Quirks::NONE);
            let none = tenants.set_tenant("none", TenantChange::default(), NOW, &cli()).unwrap();
            assert!(none.is_none());
            let kept = TenantChange { enabled: None, quirks: Some(Quirks::default()) };
            let kept = tenants.set_tenant("default", kept, NOW, &cli()).unwrap().unwrap();
            assert!(kept.enabled, "what a change leaves out stays as it is");
            let second = tenants.create_tenant("second", Quirks::ALL, NOW, &cli()).unwrap().id;
            assert!(tenants.create_tenant("second", Quirks::ALL, NOW, &cli()).is_err());
            assert_eq!(second.key(), 2);
            tokens.issue(&operator(), second, self::new("two", 100)).unwrap();
            assert!(tenants.delete_tenant("second", NOW, &cli()).unwrap());
            assert!(!tenants.delete_tenant("second", NOW, &cli()).unwrap());
            vec![old, new, last]
        };
        let made = run(store.clone(), &*store);
        let expected = run(memory.clone(), &*memory);
        let renamed = |(act, id, paths): (Act, String, String)| {
            let place = expected.iter().position(|known| known.as_str() == id);
            (act, place.map_or(id, |place| made[place].to_string()), paths)
        };
        let changes = store.changes(DEFAULT, ChainPosition::START, 100).unwrap();
        let wanted = acts(&memory.changes(DEFAULT)).into_iter().map(renamed);
        assert_eq!(acts(&changes), wanted.collect::<Vec<_>>());
        assert_eq!(changes.len(), 8);
        assert!(changes.iter().all(|one| one.change.actor == Actor::Cli));
        assert!(changes.iter().all(|one| one.change.request == cli().request));
        assert_eq!(changes[0].change.names.name.as_deref(), Some("one"));
        let switched = [changes[5].change.switched, changes[6].change.switched];
        assert_eq!(switched, [Some(Activation::Off), Some(Activation::On)]);
        let second = store.changes(TenantId::new(2), ChainPosition::START, 100).unwrap();
        let second: Vec<_> = second.iter().map(|one| (one.change.act, one.kind.as_str())).collect();
        let wanted = [(Act::Created, "Tenant"), (Act::Created, "Token"), (Act::Deleted, "Tenant")];
        assert_eq!(second, wanted);
    });
}

#[test]
fn a_token_that_expires_soon_is_reported_once_for_each_end() {
    on_both(|store| {
        let tokens = Tokens::new(store.clone(), Arc::new(Fixed), Policy::default());
        let soon = tokens.issue(&operator(), DEFAULT, new("soon", 13)).unwrap().token.id;
        let later = tokens.issue(&operator(), DEFAULT, new("later", 20)).unwrap().token.id;
        let rotated = tokens.issue(&operator(), DEFAULT, new("rotated", 100)).unwrap().token.id;
        tokens.rotate(&operator(), None, &rotated, span(DAY)).unwrap();
        let revoked = tokens.issue(&operator(), DEFAULT, new("revoked", 1)).unwrap().token.id;
        tokens.revoke(&operator(), None, &revoked).unwrap();
        let tell = |after: i64| {
            let now = NOW.plus_seconds(after * DAY);
            store.announce_expiring(now, now.plus_seconds(14 * DAY), &cli()).unwrap()
        };
        assert_eq!([tell(0), tell(0), tell(5), tell(6), tell(6)], [1, 0, 0, 1, 0]);
        let reported = store.changes(DEFAULT, ChainPosition::START, 100).unwrap().into_iter();
        let reported: Vec<_> = reported.filter(|one| one.change.act == Act::Expiring).collect();
        let ids: Vec<&str> = reported.iter().map(|one| one.id.as_str()).collect();
        assert_eq!(ids, [soon.as_str(), later.as_str()]);
        assert_eq!(tell(90), 1, "what takes over from the rotated one ends, too");
    });
}
