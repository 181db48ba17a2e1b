//! Everything that a store can be asked for, once.

use std::sync::Arc;
use std::time::Duration;

use headcount_core::change::{Actor, Author, ChangeFeed};
use headcount_core::clock::{Clock, Timestamp};
use headcount_core::ids::{ChainPosition, Kind, RequestId, ResourceId, TenantId, TokenId};
use headcount_core::index;
use headcount_core::message::SearchRequest;
use headcount_core::quirks::Quirks;
use headcount_core::work::Work;
use headcount_provider_conformance::bench::{Bench, GROUP, USER};
use headcount_records::activity::{Activity, ChangeQuery, Refusals, Slots};
use headcount_records::audit_list::AuditTrail;
use headcount_records::{LogQuery, LogScope, RequestLog as _, RequestRecord, Retention, Traces};
use headcount_store_diesel::{LogStore, Store};
use headcount_token_admin::accounts::{
    AccountKeys, AccountStore as _, Accounts, ClientNetwork, LogIn, Password, PasswordCost, Role,
    SealedTotp, SentBy,
};

use headcount_token_admin::{
    Expiry, LastUsed, NewToken, Policy, Principal, Scopes, TenantChange, TenantStore as _,
    TokenStore as _, Tokens,
};
use secrecy::ExposeSecret;
use serde_json::json;

use crate::support::{self, cli};

const NOW: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);
const PASSWORD: &str = "velvet otter quarry";

struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        NOW
    }
}

/// Asks a store for everything.
pub(crate) fn run(store: &Arc<Store>, log: &LogStore) {
    let bench = Bench::new(support::subject(Arc::clone(store), Box::new(())));
    resources(&bench);
    searches(&bench);
    record_of_changes(store, &bench);
    tokens(store, bench.tenant(0));
    accounts(store);
    requests(log, bench.tenant(0));
    upkeep(store, &bench);
}

fn resources(bench: &Bench) {
    let people: Vec<ResourceId> = (0..12).map(|n| bench.user(&format!("user{n}"))).collect();
    let members: Vec<&ResourceId> = people.iter().collect();
    let group = bench.group("all", &members[..11]);
    let other = bench.group("none", &[]);
    for id in &people[..2] {
        let mail = json!([{"value": "a@b.c", "type": "work"}, {"value": "d@e.f", "type": "home"}]);
        bench.patch(USER, id, json!({"op": "add", "path": "emails", "value": mail}));
        bench.patch(USER, id, json!({"op": "replace", "path": "active", "value": false}));
        bench.patch(USER, id, json!({"op": "remove", "path": "emails[type eq \"home\"]"}));
        bench.get(0, USER, id).unwrap();
    }
    bench.patch(USER, &people[2], json!({"op": "replace", "path": "userName", "value": "renamed"}));
    let one = json!([{"value": people[11].as_str()}]);
    bench.patch(GROUP, &group, json!({"op": "add", "path": "members", "value": one.clone()}));
    bench.patch(GROUP, &group, json!({"op": "remove", "path": "members", "value": one}));
    bench.patch(
        GROUP,
        &other,
        json!({"op": "replace", "path": "members", "value": [{"value": people[0].as_str()}]}),
    );
    bench.get(0, GROUP, &group).unwrap();
    let provider = &bench.subject.provider;
    provider.members(bench.tenant(0), &group, None, 5).unwrap();
    provider.memberships(bench.tenant(0), &people[..2]).unwrap();
    bench.try_delete(0, USER, &people[9]).unwrap();
    let gone = bench.user("gone again");
    bench.try_delete(0, USER, &gone).unwrap();
}

/// Filters of each way to answer one, orders, and pages at their begin, in the midst and by cursor.
fn searches(bench: &Bench) {
    let ask = |kind: &str, filter: &str, sort: &str, start: i64| {
        let request = SearchRequest {
            filter: (!filter.is_empty()).then(|| filter.to_owned()),
            sort_by: (!sort.is_empty()).then(|| sort.to_owned()),
            start_index: (start > 0).then_some(start),
            count: Some(2),
            ..SearchRequest::default()
        };
        bench.search(kind, &request);
    };
    for filter in [
        "",
        "userName eq \"user1\"",
        "externalId eq \"x\"",
        "userName sw \"user\"",
        "userName co \"ser\"",
        "active eq false",
        "emails.value eq \"a@b.c\"",
        "emails[type eq \"work\" and value co \"b\"]",
        "emails pr",
        "not (emails.value eq \"a@b.c\")",
        "groups.display eq \"all\"",
        "title eq \"x\"",
        "active eq false and title pr",
        "meta.lastModified gt \"2020-01-01T00:00:00Z\"",
        "userName eq \"user1\" or emails.value sw \"a@\"",
    ] {
        ask(USER, filter, "", 0);
        ask(USER, filter, "", 3);
    }
    for sort in ["userName", "externalId", "meta.created", "name.familyName", "id", "emails.value"]
    {
        ask(USER, "", sort, 0);
        ask(USER, "active eq false", sort, 2);
    }
    ask(GROUP, "displayName eq \"all\"", "", 0);
    ask(GROUP, &format!("members.value eq \"{}\"", bench.id_of("user1")), "", 0);
    ask(GROUP, "displayName eq \"all\" and members pr", "", 0);
}

fn record_of_changes(store: &Store, bench: &Bench) {
    let tenant = bench.tenant(0);
    store.sequence().unwrap();
    bench.user("sealed later");
    store.sequence_all().unwrap();
    store.changes(tenant, ChainPosition::START, 10).unwrap();
    store.newest_changes(tenant, 10).unwrap();
    store.history(tenant, &ResourceId::new(bench.id_of("user1")), 10, &Work::unlimited()).unwrap();
    store.audit(None, ChainPosition::START, 10).unwrap();
    store.audit(Some(tenant), ChainPosition::START, 10_000).unwrap();
    AuditTrail::audit(store, tenant, ChainPosition::START, 10).unwrap();
    store.count_changes(tenant, Timestamp::from_micros(0), &Work::unlimited()).unwrap();
    store.last_sequenced().unwrap();
    store.long_gone(NOW).unwrap();
    for one in store.recall(tenant, "gone again", &Work::unlimited()).unwrap() {
        store.erase_names(tenant, &one, NOW, &cli()).unwrap();
    }
    let slots = Slots { from: Timestamp::from_micros(0), seconds: 3_600, count: 2 };
    store.changes_by_slot(tenant, slots, &Work::unlimited()).unwrap();
    for (tenant, by_people) in
        [(None, false), (Some(tenant), false), (None, true), (Some(tenant), true)]
    {
        for before in [None, Some(ChainPosition::new(5))] {
            store
                .latest(&ChangeQuery { tenant, by_people, before, limit: 5 }, &Work::unlimited())
                .unwrap();
        }
    }
}

fn tokens(store: &Arc<Store>, tenant: TenantId) {
    let tokens = Tokens::new(store.clone(), Arc::new(Fixed), Policy::default());
    let new = || NewToken {
        name: "t".to_owned(),
        scopes: Scopes::PROVISIONING,
        expiry: Expiry::After(Duration::from_secs(86_400)),
        cidrs: Vec::new(),
        user: None,
    };
    let by = Principal::operator(cli());
    let first = tokens.issue(&by, tenant, new()).unwrap().token.id;
    let second = tokens.issue(&by, tenant, new()).unwrap().token.id;
    tokens.rotate(&by, None, &first, Duration::from_secs(60)).unwrap();
    tokens.find(&first).unwrap();
    store.mark_used(&first, &LastUsed { at: NOW, address: None, agent: None }).unwrap();
    tokens.revoke(&by, None, &second).unwrap();
    tokens.list(&by, None).unwrap();
    tokens.list(&by, Some(tenant)).unwrap();
    store.announce_expiring(NOW, NOW.plus_seconds(1_000_000), &cli()).unwrap();
    store.tenants().unwrap();
    store.create_tenant("third", Quirks::ALL, NOW, &cli()).unwrap();
    let off = TenantChange { enabled: Some(false), quirks: Some(Quirks::NONE) };
    store.set_tenant("third", off, NOW, &cli()).unwrap();
    store.delete_tenant("third", NOW, &cli()).unwrap();
}

fn accounts(store: &Arc<Store>) {
    let keys = AccountKeys::new([[7; 32].as_slice()]).unwrap();
    let accounts = Accounts::with_keys(store.clone(), Arc::new(Fixed), keys, PasswordCost::TESTS);
    let (place, request) = (ClientNetwork::of(None), RequestId::new("r"));
    let by = Principal::operator(cli());
    let author = Author { actor: Actor::Admin("owner".to_owned()), request: request.clone() };
    let owner = Principal::account(author, Role::Owner);
    let redeem = |link: &str, name: &str| {
        accounts.redeem(link, name, &PASSWORD.into(), &place, &request).unwrap()
    };
    redeem(accounts.setup_link(&by).unwrap().secret.expose_secret(), "owner");
    redeem(accounts.invitation(&by, "other", Role::Admin).unwrap().secret.expose_secret(), "");
    redeem(accounts.recovery_link(&by, "other").unwrap().secret.expose_secret(), "");
    let log_in = |password: &str| {
        let (name, password, network) = ("owner", password.into(), &place);
        let (password, request) = (&password, &request);
        accounts.log_in(&LogIn { name, password, code: "", device: None, network, request })
    };
    assert!(log_in("wrong").is_err());
    let session = log_in(PASSWORD).unwrap();
    let cookie = session.cookie.expose_secret();
    accounts.session(cookie, SentBy::Person).unwrap();
    accounts.admins(&by).unwrap();
    accounts.change_password(&owner, &PASSWORD.into(), &PASSWORD.into(), &place).unwrap();
    let sealed = |byte| SealedTotp::from_store(vec![byte; 61]);
    store.set_totp("owner", &sealed(1), NOW, &cli()).unwrap();
    store.reseal("owner", &sealed(1), &sealed(2)).unwrap();
    let password = store.admin("owner").unwrap().unwrap().password;
    store.rehash("owner", &password.hash, &password).unwrap();
    store
        .set_password("owner", &Password { stands_alone: None, ..password.clone() }, NOW, &cli())
        .unwrap();
    store.remove_totp("owner", Some(&password), NOW, &cli()).unwrap();
    store.use_step("owner", 5).unwrap();
    accounts.set_role(&by, "other", Role::Auditor).unwrap();
    accounts.log_out(cookie).unwrap();
    accounts.log_out_everywhere(&by, Some("owner")).unwrap();
    accounts.log_out_everywhere(&by, None).unwrap();
    accounts.remove(&by, "other").unwrap();
    store.reset_attempts(&["from x".to_owned()], &["to y".to_owned()]).unwrap();
}

fn requests(log: &LogStore, tenant: TenantId) {
    let record = |n: i64| RequestRecord {
        at: Timestamp::from_micros(n),
        micros: 1,
        request: RequestId::new(n.to_string()),
        tenant: Some(tenant),
        token: Some(TokenId::new("t")),
        token_name: None,
        refused: None,
        address: None,
        agent: None,
        idp: None,
        method: "PATCH".to_owned(),
        path: "/Users".to_owned(),
        kind: Some(Kind::new("User")),
        resource: None,
        name: None,
        names: vec!["jane".to_owned()],
        query: None,
        status: 409,
        scim_type: None,
        field: None,
        reason: None,
        quirks: Quirks::from_bits(1),
        changed: Some(true),
        proven: n > 1,
        unkept: 0,
        body: None,
        reply: None,
    };
    log.append(&[record(1), record(2)]).unwrap();
    log.add_unkept(&[(RequestId::new("1"), 7)]).unwrap();
    let base = || LogQuery { scope: LogScope::Tenant(tenant), limit: 5, ..LogQuery::default() };
    for query in [
        LogQuery { scope: LogScope::All, ..base() },
        base(),
        LogQuery { failed: true, ..base() },
        LogQuery { token: Some(TokenId::new("t")), ..base() },
        LogQuery { request: Some(RequestId::new("1")), ..base() },
        LogQuery { name: Some("jane".to_owned()), ..base() },
        LogQuery { name: Some("jane".to_owned()), failed: true, before: Some(9), ..base() },
        LogQuery { kind: Some(Kind::new("User")), ..base() },
        LogQuery { kind: Some(Kind::new("Group")), ..base() },
        LogQuery { kind: Some(Kind::new("Group")), failed: true, ..base() },
        LogQuery { before: Some(9), ..base() },
        LogQuery { after: Some(1), ..base() },
    ] {
        log.requests(&query, &Work::unlimited()).unwrap();
    }
    let slots = Slots { from: Timestamp::from_micros(0), seconds: 1, count: 2 };
    log.refusals_by_slot(tenant, slots, &Work::unlimited()).unwrap();
    log.quirk_counts(tenant).unwrap();
    let mut traces = Traces::default();
    traces.add("jane@example.com");
    log.erase(tenant, &["jane".to_owned()], &traces).unwrap();
    log.prune(Retention { before: Timestamp::from_micros(2), bytes: u64::MAX, strangers: 1 })
        .unwrap();
    log.prune(Retention { before: Timestamp::from_micros(0), bytes: 0, strangers: 0 }).unwrap();
    log.tenants().unwrap();
    log.forget(tenant).unwrap();
}

fn upkeep(store: &Store, bench: &Bench) {
    let kind = bench.kind(USER);
    let derive = |quirks, document: &_| index::derive(&kind, quirks, document);
    store.rebuild(&kind.kind, &index::fingerprint(&kind), &derive).unwrap();
    store.is_derived(&kind.kind, "").unwrap();
    store.duplicates(5).unwrap();
    store.resource_counts().unwrap();
    store.resource_totals().unwrap();
    store.keep_statistics().unwrap();
    store.server_key("k", &[0; 32], NOW).unwrap();
    store.set_meta("m", "v").unwrap();
    store.meta("m").unwrap();
    store.ping().unwrap();
}
