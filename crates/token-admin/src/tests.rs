use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use headcount_core::clock::{Clock, Timestamp};
use headcount_core::ids::{RequestId, TenantId};
use headcount_core::journal::{Act, Actor, Author, Switched};
use secrecy::ExposeSecret;

use crate::format::{Presented, Purpose, generate};
use crate::memory::MemoryTokens;
use crate::store::TokenStore;
use crate::tenant::TenantStore;
use crate::{Expiry, NewToken, Policy, Refusal, Scopes, TokenError, Tokens};

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

    fn issue(&self) -> (crate::Token, Presented) {
        let issued = self.tokens.issue(TENANT, new("entra")).unwrap();
        (issued.token, Presented::parse(issued.secret.expose_secret()).unwrap())
    }

    fn refusal(&self, presented: &Presented) -> Refusal {
        match self.tokens.verify(presented) {
            Err(TokenError::Refused(refusal)) => refusal,
            other => panic!("wanted a refusal, got {other:?}"),
        }
    }
}

const TENANT: TenantId = TenantId::new(1);
const NOW: Timestamp = Timestamp::from_micros(2_000_000_000);

fn admin() -> Author {
    Author { actor: Actor::Admin("test".to_owned()), request: RequestId::new("r1") }
}

fn new(name: &str) -> NewToken {
    NewToken {
        purpose: Purpose::Provisioning,
        name: name.to_owned(),
        scopes: Scopes::PROVISIONING,
        expiry: Expiry::Default,
        cidrs: Vec::new(),
        user: None,
        by: admin(),
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
        assert_eq!(Presented::parse(text).unwrap().id(), &id);
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
    assert_eq!(Presented::parse(text).unwrap().purpose(), Purpose::Administration);
    for at in 0..text.len() {
        let mut wrong = text.as_bytes().to_vec();
        wrong[at] = if wrong[at] == b'x' { b'y' } else { b'x' };
        assert!(Presented::parse(std::str::from_utf8(&wrong).unwrap()).is_none(), "at {at}");
    }
    for wrong in [
        "",
        "hc_",
        "Bearer x",
        text.trim_start_matches('h'),
        &format!("{text} "),
        &text.replace("hca_", "hc_"),
    ] {
        assert!(Presented::parse(wrong).is_none(), "{wrong}");
    }
}

#[test]
fn tok_03_the_hash_is_argon2id_with_19_mib_and_two_passes() {
    let bench = Bench::new();
    let (token, presented) = bench.issue();
    let row = bench.store.find(&token.id).unwrap().unwrap();
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
    // The checksum is public knowledge: whoever guesses secrets gets it right.
    let forged = recheck(&forged).unwrap();
    assert_eq!(bench.refusal(&forged), Refusal::WrongSecret);
    let (_, unknown) = generate(Purpose::Provisioning);
    assert_eq!(
        bench.refusal(&Presented::parse(unknown.expose_secret()).unwrap()),
        Refusal::Unknown
    );
}

/// Gives a token without checksum the right one.
fn recheck(body: &str) -> Option<Presented> {
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
    Presented::parse(&format!("{body}{}", String::from_utf8(digits).unwrap()))
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
    bench.store.set_tenant("default", false, Default::default(), NOW, &admin()).unwrap();
    assert_eq!(bench.refusal(&presented), Refusal::TenantDisabled);
    bench.store.set_tenant("default", true, Default::default(), NOW, &admin()).unwrap();
    bench.pass(180 * 86_400 - 1);
    bench.tokens.verify(&presented).unwrap();
    bench.pass(1);
    assert_eq!(bench.refusal(&presented), Refusal::Expired);
    assert!(bench.tokens.revoke(&token.id, &admin()).unwrap());
    assert!(!bench.tokens.revoke(&token.id, &admin()).unwrap());
    assert_eq!(bench.refusal(&presented), Refusal::Revoked);
}

#[test]
fn aut_009_tok_17_a_life_is_bounded_by_the_policy() {
    let bench = Bench::new();
    let issue = |expiry| bench.tokens.issue(TENANT, NewToken { expiry, ..new("x") });
    assert!(matches!(issue(Expiry::Never), Err(TokenError::Invalid(_))));
    assert!(matches!(issue(Expiry::After(3 * 365 * 86_400)), Err(TokenError::Invalid(_))));
    assert!(matches!(issue(Expiry::After(0)), Err(TokenError::Invalid(_))));
    assert!(issue(Expiry::After(60)).is_ok());
    assert!(matches!(bench.tokens.issue(TENANT, new("  ")), Err(TokenError::Invalid(_))));
    assert!(matches!(
        bench.tokens.issue(TENANT, NewToken { scopes: Scopes::default(), ..new("x") }),
        Err(TokenError::Invalid(_))
    ));
    assert!(bench.tokens.issue(TenantId::new(99), new("x")).is_err());
}

#[test]
fn tok_18_a_rotated_token_works_until_the_overlap_is_over() {
    let bench = Bench::new();
    let (token, old) = bench.issue();
    let rotated = bench.tokens.rotate(&token.id, 3_600, &admin()).unwrap();
    let fresh = Presented::parse(rotated.issued.secret.expose_secret()).unwrap();
    assert_eq!(rotated.issued.token.replaces.as_ref(), Some(&token.id));
    bench.pass(3_599);
    bench.tokens.verify(&old).unwrap();
    bench.tokens.verify(&fresh).unwrap();
    bench.pass(1);
    assert_eq!(bench.refusal(&old), Refusal::Expired);
    bench.tokens.verify(&fresh).unwrap();
    assert!(bench.tokens.rotate(&token.id, 0, &admin()).is_err());
}

#[test]
fn tok_20_a_use_is_written_at_most_once_a_minute() {
    let bench = Bench::new();
    let (token, _) = bench.issue();
    for _ in 0..100 {
        bench.tokens.used(&token, None, Some("Okta SCIM Client 1.0.0"));
    }
    let used = (0..500).find_map(|_| {
        std::thread::sleep(std::time::Duration::from_millis(2));
        bench.store.find(&token.id).unwrap().unwrap().token.last_used
    });
    assert_eq!(used.unwrap().agent.as_deref(), Some("Okta SCIM Client 1.0.0"));
}

#[test]
fn aud_01_what_is_done_to_tokens_and_tenants_is_recorded_once() {
    let bench = Bench::new();
    let (token, _) = bench.issue();
    assert_eq!(token.created_by, "test");
    let rotated = bench.tokens.rotate(&token.id, 3_600, &admin()).unwrap().issued.token;
    for _ in 0..2 {
        bench.tokens.revoke(&rotated.id, &admin()).unwrap();
        bench.store.set_tenant("default", false, Default::default(), NOW, &admin()).unwrap();
    }
    let second = bench.store.create_tenant("second", Default::default(), NOW, &admin()).unwrap();
    assert!(bench.store.delete_tenant("second", NOW, &admin()).unwrap());
    assert!(!bench.store.delete_tenant("second", NOW, &admin()).unwrap());
    let told = |tenant| -> Vec<(Act, String, String)> {
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
    assert_eq!(told(TENANT), expected.map(|(act, id, paths)| (act, id, paths.to_owned())));
    let last = bench.store.changes(TENANT).pop().unwrap().change;
    assert_eq!(
        (last.switched, last.names.name.as_deref(), last.actor),
        (Some(Switched::Off), Some("default"), admin().actor)
    );
    let acts: Vec<Act> = told(second.id).into_iter().map(|(act, ..)| act).collect();
    assert_eq!(acts, [Act::Created, Act::Deleted]);
}

#[test]
fn tok_23_a_hash_with_foreign_parameters_is_refused_without_running() {
    let bench = Bench::new();
    let (token, presented) = bench.issue();
    let mut row = bench.store.find(&token.id).unwrap().unwrap();
    row.hash = crate::TokenHash::from_store(row.hash.to_store().replace("m=19456", "m=4194304"));
    row.secret_version = 2;
    let replaced = MemoryTokens::default();
    replaced.insert(&row, &admin()).unwrap();
    let tokens = Tokens::new(Arc::new(replaced), bench.clock.clone(), Policy::default());
    assert!(matches!(tokens.verify(&presented), Err(TokenError::Refused(Refusal::WrongSecret))));
}

#[test]
fn sco_names_are_read_and_written() {
    assert_eq!(
        Scopes::parse("provisioning").unwrap().to_string(),
        "scim:read users:write groups:write"
    );
    assert_eq!(
        Scopes::parse("scim:read,events:read").unwrap(),
        Scopes::SCIM_READ.with(Scopes::EVENTS_READ)
    );
    assert_eq!(Scopes::parse("scim:read root"), Err("root".to_owned()));
    assert!(!Scopes::SCIM_READ.allow(Scopes::PROVISIONING));
}
