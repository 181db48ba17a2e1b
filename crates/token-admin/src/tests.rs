use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use headcount_core::change::{Act, Activation, Actor, Author};
use headcount_core::clock::{Clock, Timestamp};
use headcount_core::ids::{RequestId, TenantId};
use secrecy::ExposeSecret;

use crate::accounts::Role;
use crate::format::{PresentedToken, Purpose, generate};
use crate::memory::MemoryTokens;
use crate::store::TokenStore;
use crate::tenant::{TenantChange, TenantStore};
use crate::{
    AdminError, Expiry, Field, Holding, NewToken, Policy, Principal, Refusal, Rule, Scopes,
    StoreError, TokenError, TokenState, Tokens, networks,
};

struct TestClock(AtomicI64);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}

struct Bench {
    tokens: Tokens,
    store: Arc<MemoryTokens>,
    clock: Arc<TestClock>,
}

impl Bench {
    fn new() -> Self {
        let store = Arc::new(MemoryTokens::default());
        let clock = Arc::new(TestClock(AtomicI64::new(1_000_000_000)));
        let tokens = Tokens::new(store.clone(), clock.clone(), Policy::default());
        Self { tokens, store, clock }
    }

    fn pass(&self, seconds: i64) {
        self.clock.0.fetch_add(seconds * 1_000_000, Ordering::SeqCst);
    }

    fn issue(&self) -> (crate::Token, PresentedToken) {
        let issued = self.tokens.issue(&operator(), TENANT, new("entra")).unwrap();
        (issued.token, PresentedToken::parse(issued.secret.expose_secret()).unwrap())
    }

    fn refusal(&self, presented: &PresentedToken) -> Refusal {
        match self.tokens.verify(presented) {
            Err(TokenError::Refused(refusal)) => refusal,
            other => panic!("wanted a refusal, got {other:?}"),
        }
    }
}

fn enabled(enabled: bool) -> TenantChange {
    TenantChange { enabled: Some(enabled), quirks: None }
}

const HOUR: Duration = Duration::from_secs(3_600);
const TENANT: TenantId = TenantId::new(1);
const NOW: Timestamp = Timestamp::from_micros(2_000_000_000);

fn admin() -> Author {
    Author { actor: Actor::Admin("test".to_owned()), request: RequestId::new("r1") }
}

fn operator() -> Principal {
    Principal::operator(admin())
}

fn new(name: &str) -> NewToken {
    NewToken {
        name: name.to_owned(),
        scopes: Scopes::PROVISIONING,
        expiry: Expiry::Default,
        cidrs: Vec::new(),
        user: None,
    }
}

#[test]
fn aut_008_tok_01_tokens_have_their_shape_and_never_repeat() {
    let mut seen = HashSet::new();
    for _ in 0..20_000 {
        let (id, secret) = generate(Purpose::Provisioning);
        let text = secret.expose_secret();
        assert_eq!(text.len(), 3 + 16 + 1 + 43 + 6);
        assert!(text.starts_with("hc_"));
        assert_eq!(PresentedToken::parse(text).unwrap().id(), &id);
        assert!(seen.insert(text.to_owned()));
    }
    // Each of 62 digits is drawn equally often: chi-squared with 61 degrees of freedom, p = 0.001.
    let mut counts = [0u32; 128];
    for text in &seen {
        text.bytes().skip(20).take(43).for_each(|byte| counts[usize::from(byte)] += 1);
    }
    let expected = f64::from(20_000 * 43) / 62.0;
    let chi: f64 = counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| (f64::from(*count) - expected).powi(2) / expected)
        .sum();
    assert!(chi < 100.9, "chi² = {chi}");
}

#[test]
fn tok_06_a_mistyped_token_fails_its_checksum() {
    let (_, secret) = generate(Purpose::Administration);
    let text = secret.expose_secret();
    assert_eq!(PresentedToken::parse(text).unwrap().purpose(), Purpose::Administration);
    for at in 0..text.len() {
        let mut wrong = text.as_bytes().to_vec();
        wrong[at] = if wrong[at] == b'x' { b'y' } else { b'x' };
        assert!(PresentedToken::parse(std::str::from_utf8(&wrong).unwrap()).is_none(), "at {at}");
    }
    for wrong in [
        "",
        "hc_",
        "Bearer x",
        text.trim_start_matches('h'),
        &format!("{text} "),
        &text.replace("hca_", "hc_"),
    ] {
        assert!(PresentedToken::parse(wrong).is_none(), "{wrong}");
    }
}

#[test]
fn tok_03_the_hash_is_argon2id_with_19_mib_and_two_passes() {
    let bench = Bench::new();
    let (token, presented) = bench.issue();
    let (row, _) = bench.store.find(&token.id).unwrap().unwrap();
    assert!(
        row.hash.to_store().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
        "{}",
        row.hash.to_store()
    );
    assert!(!row.hash.to_store().contains(presented.expose()));
}

#[test]
fn tok_05_only_the_right_secret_is_accepted() {
    let bench = Bench::new();
    let (token, presented) = bench.issue();
    assert_eq!(bench.tokens.verify(&presented).unwrap().token.id, token.id);
    let (_, other) = bench.issue();
    let forged = format!("hc_{}_{}", token.id, other.expose().get(20..63).unwrap());
    // The checksum is public knowledge: a guessed secret can have the right one.
    let forged = recheck(&forged).unwrap();
    assert_eq!(bench.refusal(&forged), Refusal::WrongSecret);
    let (_, unknown) = generate(Purpose::Provisioning);
    assert_eq!(
        bench.refusal(&PresentedToken::parse(unknown.expose_secret()).unwrap()),
        Refusal::Unknown
    );
}

/// Gives a token without checksum the right one.
fn recheck(body: &str) -> Option<PresentedToken> {
    let mut rest = crc32fast::hash(body.as_bytes());
    let mut digits = Vec::new();
    for _ in 0..6 {
        let digit = u8::try_from(rest % 62).unwrap();
        digits.push(match digit {
            0..=9 => b'0' + digit,
            10..=35 => b'A' + digit - 10,
            _ => b'a' + digit - 36,
        });
        rest /= 62;
    }
    digits.reverse();
    PresentedToken::parse(&format!("{body}{}", String::from_utf8(digits).unwrap()))
}

#[test]
fn tok_07_many_first_uses_share_one_run() {
    let bench = Bench::new();
    let (_, presented) = bench.issue();
    std::thread::scope(|scope| {
        for _ in 0..32 {
            scope.spawn(|| bench.tokens.verify(&presented).unwrap());
        }
    });
}

#[test]
fn tok_09_tok_10_revocation_expiry_and_a_disabled_tenant_count_at_once() {
    let bench = Bench::new();
    let (token, presented) = bench.issue();
    bench.tokens.verify(&presented).unwrap();
    bench.store.set_tenant("default", enabled(false), NOW, &admin()).unwrap();
    assert_eq!(bench.refusal(&presented), Refusal::TenantDisabled);
    bench.store.set_tenant("default", enabled(true), NOW, &admin()).unwrap();
    bench.pass(180 * 86_400 - 1);
    bench.tokens.verify(&presented).unwrap();
    bench.pass(1);
    assert_eq!(bench.refusal(&presented), Refusal::Expired);
    bench.tokens.revoke(&operator(), None, &token.id).unwrap();
    assert_eq!(bench.refusal(&presented), Refusal::Revoked);
}

#[test]
fn aut_009_tok_17_a_life_is_bounded_by_the_policy() {
    let bench = Bench::new();
    let issue =
        |expiry| rule(bench.tokens.issue(&operator(), TENANT, NewToken { expiry, ..new("x") }));
    let years = Duration::from_secs(2 * 365 * 86_400);
    let second = Duration::from_secs(1);
    assert_eq!(issue(Expiry::Never), Some((Field::Expiry, Rule::NeverExpires)));
    assert_eq!(issue(Expiry::After(years + second)), Some((Field::Expiry, Rule::TooLong(years))));
    assert_eq!(issue(Expiry::After(Duration::ZERO)), Some((Field::Expiry, Rule::TooShort(second))));
    assert_eq!(issue(Expiry::After(years)), None);
    assert_eq!(issue(Expiry::After(second)), None);
}

#[test]
fn a_token_has_a_name_and_a_scope() {
    let bench = Bench::new();
    let issue = |new| rule(bench.tokens.issue(&operator(), TENANT, new));
    for name in ["", " ", " x", "x ", "a\u{1}b", &"x".repeat(101)] {
        assert_eq!(issue(new(name)), Some((Field::TokenName, Rule::TokenName)), "{name:?}");
    }
    assert_eq!(issue(new(&"ü".repeat(100))), None);
    let nothing = NewToken { scopes: Scopes::NONE, ..new("x") };
    assert_eq!(issue(nothing), Some((Field::Scopes, Rule::NoScope)));
}

#[test]
fn a_token_of_a_tenant_that_does_not_exist_is_not_made() {
    let bench = Bench::new();
    let made = bench.tokens.issue(&operator(), TenantId::new(99), new("x"));
    assert!(matches!(made, Err(AdminError::Store(StoreError::Missing))));
}

/// The rule that an act broke, if any.
fn rule<T>(done: Result<T, AdminError>) -> Option<(Field, Rule)> {
    match done {
        Ok(_) => None,
        Err(AdminError::Rule { field, rule }) => Some((field, rule)),
        Err(other) => panic!("{other}"),
    }
}

/// An admin token of the tenant with all networks, which ends with the clock's day 100.
fn holding(scopes: Scopes) -> Holding {
    let expires = Some(Timestamp::from_micros(100 * 86_400_000_000));
    Holding { tenant: TENANT, scopes, cidrs: Vec::new(), expires }
}

fn holder(holding: Holding) -> Principal {
    Principal::token(admin(), holding)
}

#[test]
fn a_token_gives_no_scopes_of_the_admin_api_that_it_lacks() {
    let bench = Bench::new();
    let by = holder(holding(Scopes::ADMIN_WRITE));
    let issue = |scopes| rule(bench.tokens.issue(&by, TENANT, NewToken { scopes, ..new("x") }));
    let beyond = Scopes::ADMIN_READ.with(Scopes::TENANTS_ALL);
    let wanted = beyond.with(Scopes::ADMIN_WRITE).with(Scopes::SCIM_READ);
    assert_eq!(issue(wanted), Some((Field::Scopes, Rule::GrantsScopes(beyond))));
    assert_eq!(issue(Scopes::PROVISIONING.with(Scopes::ADMIN_WRITE)), None);
}

#[test]
fn inj_05_s_d_names_cannot_command_what_shows_them() {
    let bench = Bench::new();
    for name in ["a\u{202e}b", "a\u{2028}b", "a\u{9b}b", "a\nb", "a\u{2066}b"] {
        let refused =
            bench.tokens.issue(&operator(), TENANT, NewToken { name: name.to_owned(), ..new("x") });
        assert_eq!(rule(refused), Some((Field::TokenName, Rule::TokenName)), "{name:?}");
    }
}

#[test]
fn a_token_makes_none_that_works_outside_its_networks() {
    let bench = Bench::new();
    let net = |text| networks([text]).unwrap();
    let own = net("203.0.113.0/24");
    let by = holder(Holding { cidrs: own.clone(), ..holding(Scopes::ADMIN_WRITE) });
    let issue = |cidrs| rule(bench.tokens.issue(&by, TENANT, NewToken { cidrs, ..new("x") }));
    let refused = Some((Field::Networks, Rule::GrantsNetworks(own)));
    assert_eq!(issue(net("203.0.0.0/16")), refused);
    assert_eq!(issue([net("203.0.113.7"), net("2001:db8::/32")].concat()), refused);
    assert_eq!(issue([net("203.0.113.7"), net("203.0.113.128/25")].concat()), None);
}

#[test]
fn s7_a_token_without_networks_of_its_own_has_those_of_its_maker() {
    let bench = Bench::new();
    let own = networks(["203.0.113.0/24", "2001:db8::/32"]).unwrap();
    let by = holder(Holding { cidrs: own.clone(), ..holding(Scopes::ADMIN_WRITE) });
    assert_eq!(bench.tokens.issue(&by, TENANT, new("x")).unwrap().token.cidrs, own);
    let free = holder(holding(Scopes::ADMIN_WRITE));
    assert!(bench.tokens.issue(&free, TENANT, new("x")).unwrap().token.cidrs.is_empty());
}

#[test]
fn s7_no_token_revokes_one_that_administers_more() {
    let bench = Bench::new();
    let made = |scopes, cidrs: &[&str]| {
        let cidrs = networks(cidrs.iter().copied()).unwrap();
        let new = NewToken { scopes, cidrs, ..new("x") };
        bench.tokens.issue(&operator(), TENANT, new).unwrap().token.id
    };
    let own = networks(["203.0.113.0/24"]).unwrap();
    let writes = Scopes::ADMIN_WRITE.with(Scopes::ADMIN_READ);
    let by = holder(Holding { cidrs: own.clone(), ..holding(writes) });
    let revoke = |id| rule(bench.tokens.revoke(&by, None, &id));
    let wider = made(writes.with(Scopes::TENANTS_ALL), &["203.0.113.7"]);
    let beyond = (Field::Token, Rule::BeyondScopes(Scopes::TENANTS_ALL));
    assert_eq!(revoke(wider.clone()), Some(beyond));
    let networks = Some((Field::Token, Rule::BeyondNetworks(own)));
    assert_eq!(revoke(made(writes, &[])), networks);
    assert_eq!(revoke(made(writes, &["203.0.113.7"])), None);
    // A provisioning token ends wherever it works from: it may have leaked.
    assert_eq!(revoke(made(Scopes::PROVISIONING, &[])), None);
    let admin = Principal::account(admin(), Role::Admin);
    let beyond = (Field::Token, Rule::BeyondScopes(Scopes::TENANTS_ALL));
    assert_eq!(rule(bench.tokens.revoke(&admin, None, &wider)), Some(beyond));
    let owner = Principal::account(crate::tests::admin(), Role::Owner);
    assert_eq!(rule(bench.tokens.revoke(&owner, None, &wider)), None);
}

#[test]
fn a_token_makes_none_that_outlives_it() {
    let bench = Bench::new();
    let by = holder(holding(Scopes::ADMIN_WRITE));
    let ends = holding(Scopes::NONE).expires.unwrap();
    let issue = |expiry| bench.tokens.issue(&by, TENANT, NewToken { expiry, ..new("x") });
    let day = Duration::from_secs(86_400);
    assert_eq!(
        rule(issue(Expiry::After(day * 101))),
        Some((Field::Expiry, Rule::GrantsLife(ends)))
    );
    assert_eq!(issue(Expiry::Default).unwrap().token.expires, Some(ends));
    let short = issue(Expiry::After(day)).unwrap().token;
    assert_eq!(short.expires, Some(bench.clock.now().plus(day)));
}

#[test]
fn a_token_that_is_rotated_is_within_what_its_new_holder_has() {
    let bench = Bench::new();
    let (token, _) = bench.issue();
    let rotate = |by: &Principal| bench.tokens.rotate(by, None, &token.id, Duration::ZERO);
    let own = networks(["203.0.113.0/24"]).unwrap();
    let near = Holding { cidrs: own.clone(), ..holding(Scopes::ADMIN_WRITE) };
    assert_eq!(rule(rotate(&holder(near))), Some((Field::Networks, Rule::GrantsNetworks(own))));
    let elsewhere = Holding { tenant: TenantId::new(2), ..holding(Scopes::ADMIN_WRITE) };
    let missing = Rule::Missing(token.id.to_string());
    assert_eq!(rule(rotate(&holder(elsewhere))), Some((Field::Token, missing)));
    let by = holding(Scopes::ADMIN_WRITE);
    assert_eq!(rotate(&holder(by.clone())).unwrap().issued.token.expires, by.expires);
}

#[test]
fn an_account_makes_what_its_role_allows() {
    let bench = Bench::new();
    let issue = |role, scopes| {
        let by = Principal::account(admin(), role);
        rule(bench.tokens.issue(&by, TENANT, NewToken { scopes, ..new("x") }))
    };
    let every = Scopes::ADMINISTRATION.with(Scopes::TENANTS_ALL);
    let refused = Some((Field::Scopes, Rule::GrantsScopes(Scopes::TENANTS_ALL)));
    assert_eq!(issue(Role::Admin, every), refused);
    assert_eq!(issue(Role::Admin, Scopes::ADMINISTRATION), None);
    assert_eq!(issue(Role::Owner, every), None);
    let role = Some((Field::Principal, Rule::Role(Role::Admin)));
    assert_eq!(issue(Role::Auditor, Scopes::SCIM_READ), role);
}

#[test]
fn a_rotated_token_has_the_longest_life_of_the_policy_at_most() {
    let bench = Bench::new();
    let (token, _) = bench.issue();
    let longest_life = HOUR * 24;
    let policy = Policy { longest_life, ..Policy::default() };
    let tokens = Tokens::new(bench.store.clone(), bench.clock.clone(), policy);
    let rotated = tokens.rotate(&operator(), None, &token.id, HOUR).unwrap().issued.token;
    assert_eq!(rotated.expires, Some(bench.clock.now().plus(longest_life)));
}

#[test]
fn a_token_that_is_rotated_twice_has_the_same_life_each_time() {
    let bench = Bench::new();
    let (token, _) = bench.issue();
    let rotate = || bench.tokens.rotate(&operator(), None, &token.id, HOUR).unwrap().issued.token;
    let first = rotate();
    bench.pass(60);
    let life = |token: &crate::Token| token.expires.map(|ends| ends.since(token.created));
    assert_eq!(life(&rotate()), life(&first));
    assert_eq!(life(&first), life(&token));
}

#[test]
fn o_rotating_a_token_whose_successor_was_rotated_keeps_the_life() {
    let bench = Bench::new();
    let (token, _) = bench.issue();
    let rotate = |id| bench.tokens.rotate(&operator(), None, id, HOUR).unwrap().issued.token;
    let successor = rotate(&token.id);
    bench.pass(60);
    rotate(&successor.id);
    bench.pass(60);
    let life = |token: &crate::Token| token.expires.map(|ends| ends.since(token.created));
    assert_eq!(life(&rotate(&token.id)), life(&token));
}

#[test]
fn tok_18_a_rotated_token_works_until_the_overlap_is_over() {
    let bench = Bench::new();
    let (token, old) = bench.issue();
    let rotated = bench.tokens.rotate(&operator(), None, &token.id, HOUR).unwrap();
    let fresh = PresentedToken::parse(rotated.issued.secret.expose_secret()).unwrap();
    assert_eq!(rotated.issued.token.replaces.as_ref(), Some(&token.id));
    bench.pass(3_599);
    bench.tokens.verify(&old).unwrap();
    bench.tokens.verify(&fresh).unwrap();
    bench.pass(1);
    assert_eq!(bench.refusal(&old), Refusal::Expired);
    bench.tokens.verify(&fresh).unwrap();
    let again = bench.tokens.rotate(&operator(), None, &token.id, Duration::ZERO);
    assert_eq!(rule(again), Some((Field::Token, Rule::Over(TokenState::Expired))));
}

#[test]
fn tok_20_a_use_is_written_at_most_once_a_minute() {
    let bench = Bench::new();
    let (token, _) = bench.issue();
    for _ in 0..100 {
        bench.tokens.record_use(&token, None, Some("Okta SCIM Client 1.0.0"));
    }
    let used = (0..500).find_map(|_| {
        std::thread::sleep(Duration::from_millis(2));
        bench.store.find(&token.id).unwrap().unwrap().0.token.last_used
    });
    assert_eq!(used.unwrap().agent.as_deref(), Some("Okta SCIM Client 1.0.0"));
}

#[test]
fn aud_01_what_is_done_to_tokens_and_tenants_is_recorded_once() {
    let bench = Bench::new();
    let (token, _) = bench.issue();
    assert_eq!(token.created_by, "test");
    let rotated = bench.tokens.rotate(&operator(), None, &token.id, HOUR).unwrap().issued.token;
    for _ in 0..2 {
        bench.tokens.revoke(&operator(), None, &rotated.id).unwrap();
        bench.store.set_tenant("default", enabled(false), NOW, &admin()).unwrap();
    }
    let second = bench.store.create_tenant("second", Default::default(), NOW, &admin()).unwrap();
    assert!(bench.store.delete_tenant("second", NOW, &admin()).unwrap());
    assert!(!bench.store.delete_tenant("second", NOW, &admin()).unwrap());
    let reported = |tenant| -> Vec<(Act, String, String)> {
        let changes = bench.store.changes(tenant).into_iter();
        changes
            .map(|one| (one.change.act, one.id.to_string(), one.change.paths.join(" ")))
            .collect()
    };
    let (old, new) = (token.id.to_string(), rotated.id.to_string());
    let expected = [
        (Act::Created, old.clone(), ""),
        (Act::Created, new.clone(), "replaces"),
        (Act::Rotated, old, "expires"),
        (Act::Revoked, new, "revoked"),
        (Act::Changed, "1".to_owned(), "enabled"),
    ];
    assert_eq!(reported(TENANT), expected.map(|(act, id, paths)| (act, id, paths.to_owned())));
    let last = bench.store.changes(TENANT).pop().unwrap().change;
    assert_eq!(
        (last.switched, last.names.name.as_deref(), last.actor),
        (Some(Activation::Off), Some("default"), admin().actor)
    );
    let acts: Vec<Act> = reported(second.id).into_iter().map(|(act, ..)| act).collect();
    assert_eq!(acts, [Act::Created, Act::Deleted]);
}

#[test]
fn tok_23_a_hash_with_foreign_parameters_is_refused_without_running() {
    let bench = Bench::new();
    let (token, presented) = bench.issue();
    let (mut row, _) = bench.store.find(&token.id).unwrap().unwrap();
    row.hash = crate::TokenHash::from_store(row.hash.to_store().replace("m=19456", "m=4194304"));
    row.secret_version = 2;
    let replaced = MemoryTokens::default();
    replaced.insert(&row, &admin()).unwrap();
    let tokens = Tokens::new(Arc::new(replaced), bench.clock.clone(), Policy::default());
    assert!(matches!(tokens.verify(&presented), Err(TokenError::Refused(Refusal::WrongSecret))));
}
