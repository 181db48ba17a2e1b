use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use headcount_core::change::{Act, Actor, Author};
use headcount_core::clock::{Clock, Timestamp};
use headcount_core::ids::{RequestId, TenantId};
use secrecy::{ExposeSecret, SecretString};

use super::memory::MemoryAccounts;
use super::*;
use crate::error::{AdminError, Field, Rule, Weakness};
use crate::principal::Principal;

mod recorded;
mod second_factor;

struct Hands(AtomicI64);

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}

struct Bench {
    accounts: Accounts,
    store: Arc<MemoryAccounts>,
    clock: Arc<Hands>,
}

const GOOD: &str = "velvet otter quarry";

impl Bench {
    fn new() -> Self {
        let (store, clock) = (
            Arc::new(MemoryAccounts::default()),
            Arc::new(Hands(AtomicI64::new(1_700_000_000_000_000))),
        );
        Self::over(store, clock, &[1], PasswordCost::TESTS)
    }

    /// The same accounts in another process, with these keys.
    fn over(
        store: Arc<MemoryAccounts>,
        clock: Arc<Hands>,
        keys: &[u8],
        cost: PasswordCost,
    ) -> Self {
        let keys: Vec<[u8; 32]> = keys.iter().map(|byte| [*byte; 32]).collect();
        let keys = AccountKeys::new(keys.iter().map(<[u8; 32]>::as_slice)).unwrap();
        let accounts = Accounts::with_keys(store.clone(), clock.clone(), keys, cost);
        Self { accounts, store, clock }
    }

    fn with_owner() -> Self {
        let bench = Self::new();
        let link = bench.accounts.setup_link(&operator()).unwrap();
        let made = bench.accounts.redeem(
            link.secret.expose_secret(),
            "Owner",
            &GOOD.into(),
            &home(),
            &RequestId::new("r"),
        );
        assert_eq!(made.unwrap().name, "owner");
        bench
    }

    fn pass(&self, seconds: i64) {
        self.clock.0.fetch_add(seconds * 1_000_000, Ordering::SeqCst);
    }

    fn try_from(&self, password: &str, place: &ClientNetwork) -> Result<SignedIn, AdminError> {
        self.log_in("owner", password, "", None, place)
    }

    fn log_in(
        &self,
        name: &str,
        password: &str,
        code: &str,
        device: Option<&str>,
        network: &ClientNetwork,
    ) -> Result<SignedIn, AdminError> {
        let (password, request) = (&password.into(), &RequestId::new("r"));
        self.accounts.log_in(&LogIn { name, password, code, device, network, request })
    }

    /// Sets up a second factor.
    fn secret(&self) -> TotpSecret {
        let secret = TotpSecret::generate();
        let code = secret.code(self.clock.now().micros() / 30_000_000);
        self.accounts.enable_codes(&by(), &secret, &code).unwrap();
        secret
    }

    /// Waits for a new code.
    fn next_code(&self, secret: &TotpSecret) -> String {
        self.pass(30);
        secret.code(self.clock.now().micros() / 30_000_000)
    }

    fn password(&self) -> Password {
        self.store.admin("owner").unwrap().unwrap().password
    }

    /// Guesses the password of the owner from 40 addresses, until every one of them has to wait.
    fn forty_guessers(&self) {
        for guess in 0..400 {
            drop(self.try_from("not the password at all", &stranger(guess % 40)));
        }
    }
}

fn stranger(number: u32) -> ClientNetwork {
    ClientNetwork::of(Some(std::net::Ipv4Addr::from(0xcb00_7100 + number).into()))
}

fn home() -> ClientNetwork {
    ClientNetwork::of(Some("192.0.2.1".parse().unwrap()))
}

fn author(actor: Actor) -> Author {
    Author { actor, request: RequestId::new("r") }
}

fn by() -> Principal {
    Principal::account(author(Actor::Admin("owner".to_owned())), Role::Owner)
}

fn operator() -> Principal {
    Principal::operator(author(Actor::Cli))
}

#[test]
fn adm_13_only_an_owner_manages_the_accounts_of_others() {
    let bench = Bench::with_owner();
    let admin = Principal::account(author(Actor::Admin("other".to_owned())), Role::Admin);
    let accounts = &bench.accounts;
    let refused = |done: Result<(), AdminError>| match done {
        Err(AdminError::Rule { rule, .. }) => assert_eq!(rule, Rule::Role(Role::Owner)),
        other => panic!("{other:?}"),
    };
    refused(accounts.invitation(&admin, "third", Role::Auditor).map(drop));
    refused(accounts.set_role(&admin, "owner", Role::Auditor));
    refused(accounts.remove(&admin, "owner"));
    refused(accounts.log_out_everywhere(&admin, Some("owner")));
    refused(accounts.log_out_everywhere(&admin, None));
}

#[test]
fn adm_02_passwords_are_long_and_not_the_first_guess() {
    let check = |text: &str, code| password::check(&SecretString::from(text), "jane.roe", code);
    assert_eq!(check(GOOD, false), Ok(()));
    assert_eq!(check("velvet otter q", false), Err(Rule::PasswordTooShort(15)));
    assert_eq!(check("velvet otter qu", false), Ok(()));
    assert_eq!(check("velv8ott", true), Ok(()));
    assert_eq!(check("velv8ot", true), Err(Rule::PasswordTooShort(8)));
    assert_eq!(check("", false), Err(Rule::PasswordTooShort(15)));
    let longest = "velvet otter quarry ".chars().cycle().take(128).collect::<String>();
    assert_eq!(check(&longest, false), Ok(()));
    assert_eq!(check(&format!("{longest}x"), false), Err(Rule::PasswordTooLong(128)));
    assert_eq!(check("日本語のパスワードはとても長い", false), Ok(()));
    for (guess, why) in [
        ("passwordpassword1", Weakness::Repeats),
        ("headcountheadcount", Weakness::Repeats),
        ("aaaaaaaaaaaaaaaaaaa", Weakness::Repeats),
        ("Welcome2Headcount!", Weakness::FewWords),
        ("abcdefghijklmnopqrst", Weakness::Sequence),
        ("administrator-2026!", Weakness::FewWords),
        ("qwertyqwertyqwerty", Weakness::Repeats),
    ] {
        assert_eq!(check(guess, false), Err(Rule::PasswordGuessable(why)), "{guess}");
    }
    // Of several reasons, any one is named.
    for guess in ["Password123456789", "1234567890123456", "jane.roe jane.roe 2024"] {
        assert!(matches!(check(guess, false), Err(Rule::PasswordGuessable(_))), "{guess}");
    }
    for guess in ["letmein1", "p@ssw0rd", "jane.roe1", "qwertzui", "12.03.1984", "Football123"] {
        assert!(matches!(check(guess, true), Err(Rule::PasswordGuessable(_))), "{guess}");
    }
    assert_eq!(check("velvet otter\u{7}quarry", false), Err(Rule::PasswordCharacters));
}

#[test]
fn adm_03_a_setup_link_works_once_for_an_hour_and_only_for_the_first() {
    let bench = Bench::new();
    let (old, link, other) = (
        bench.accounts.setup_link(&operator()).unwrap(),
        bench.accounts.setup_link(&operator()).unwrap(),
        bench.accounts.setup_link(&operator()).unwrap(),
    );
    let redeem = |link: &Link, password: &str| {
        let (secret, request) = (link.secret.expose_secret(), RequestId::new("r"));
        bench.accounts.redeem(secret, "jane", &password.into(), &home(), &request)
    };
    assert!(matches!(redeem(&link, "short"), Err(AdminError::Rule { field: Field::Password, .. })));
    assert!(bench.accounts.purpose(link.secret.expose_secret()).is_ok(), "a slip costs nothing");
    redeem(&link, GOOD).unwrap();
    for link in [&link, &other, &old] {
        assert!(matches!(redeem(link, GOOD), Err(AdminError::Rule { rule: Rule::LinkOver, .. })));
    }
    assert!(matches!(
        bench.accounts.setup_link(&operator()),
        Err(AdminError::Rule { rule: Rule::NotFirst, .. })
    ));

    let late = Bench::new();
    let link = late.accounts.setup_link(&operator()).unwrap();
    late.pass(3_600);
    assert!(matches!(
        late.accounts.purpose(link.secret.expose_secret()),
        Err(AdminError::Rule { rule: Rule::LinkOver, .. })
    ));
    assert!(matches!(
        late.accounts.purpose("guessed"),
        Err(AdminError::Rule { rule: Rule::LinkOver, .. })
    ));
}

#[test]
fn adm_09_sessions_end_by_idleness_by_age_and_by_what_is_done_to_the_account() {
    let bench = Bench::with_owner();
    let log_in = || bench.try_from(GOOD, &home()).unwrap().cookie;
    let alive = |cookie: &SecretString, by| {
        bench.accounts.session(cookie.expose_secret(), by).unwrap().is_some()
    };
    let cookie = log_in();
    let seconds = |span: Duration| i64::try_from(span.as_secs()).unwrap();
    let (idle, longest) = (seconds(SESSION_IDLE), seconds(SESSION_MAX_AGE));
    bench.pass(idle - 1);
    assert!(alive(&cookie, SentBy::Person));
    bench.pass(idle - 1);
    assert!(alive(&cookie, SentBy::Page), "a page that asks by itself");
    bench.pass(1);
    assert!(!alive(&cookie, SentBy::Person), "does not keep a session alive");
    let cookie = log_in();
    for _ in 0..(longest / (idle - 1)) {
        assert!(alive(&cookie, SentBy::Person));
        bench.pass(idle - 1);
    }
    bench.pass(longest % (idle - 1));
    assert!(!alive(&cookie, SentBy::Person));

    let (one, two) = (log_in(), log_in());
    bench.accounts.log_out(one.expose_secret()).unwrap();
    assert!(!alive(&one, SentBy::Person) && alive(&two, SentBy::Person));
    let new = "quarry velvet otter";
    let changed = bench.accounts.change_password(&by(), &GOOD.into(), &new.into(), &home());
    assert!(!alive(&two, SentBy::Person) && alive(&changed.unwrap().cookie, SentBy::Person));
    assert!(bench.try_from(GOOD, &home()).is_err());
    let cookie = bench.try_from(new, &home()).unwrap().cookie;
    bench.accounts.log_out_everywhere(&by(), None).unwrap();
    assert!(!alive(&cookie, SentBy::Person));
}

#[test]
fn adm_15_the_last_owner_stays_and_roles_end_sessions() {
    let bench = Bench::with_owner();
    let demoted = bench.accounts.set_role(&by(), "owner", Role::Auditor);
    assert!(matches!(demoted, Err(AdminError::Rule { rule: Rule::LastOwner, .. })));
    assert!(matches!(
        bench.accounts.remove(&by(), "owner"),
        Err(AdminError::Rule { rule: Rule::LastOwner, .. })
    ));
    let link = bench.accounts.invitation(&by(), "second", Role::Owner).unwrap();
    let request = RequestId::new("r");
    bench
        .accounts
        .redeem(link.secret.expose_secret(), "ignored", &GOOD.into(), &home(), &request)
        .unwrap();
    let cookie = bench.try_from(GOOD, &home()).unwrap().cookie;
    bench.accounts.set_role(&by(), "owner", Role::Auditor).unwrap();
    assert!(bench.accounts.session(cookie.expose_secret(), SentBy::Person).unwrap().is_none());
    assert!(matches!(
        bench.accounts.remove(&by(), "second"),
        Err(AdminError::Rule { rule: Rule::LastOwner, .. })
    ));
    bench.accounts.remove(&by(), "owner").unwrap();
    let changes = bench.store.changes().into_iter().filter(|(kind, ..)| kind == ADMIN_KIND);
    let reported: Vec<(String, Act)> =
        changes.map(|(_, name, change)| (name, change.act)).collect();
    let expected = [
        ("owner", Act::Created),
        ("second", Act::Created),
        ("owner", Act::Changed),
        ("owner", Act::Deleted),
    ];
    assert_eq!(reported, expected.map(|(name, act)| (name.to_owned(), act)));
}

#[test]
fn adm_06_a_thousand_guesses_get_nowhere_and_the_admin_gets_in() {
    let bench = Bench::with_owner();
    // A day of guesses, each from another address.
    for guess in 0..1_000_u32 {
        let place = ClientNetwork::of(Some(std::net::Ipv4Addr::from(0x0a00_0000 + guess).into()));
        assert!(matches!(
            bench.try_from("not the password at all", &place),
            Err(AdminError::Refused)
        ));
        bench.pass(86);
    }
    let checked = bench.store.attempts("to owner");
    assert!((7..=100).contains(&checked), "{checked} guesses were looked at");
    // The account is open to someone who was there before, also while others guess.
    bench.try_from(GOOD, &home()).unwrap();
    // One address alone is stopped, whatever account it tries; time opens it again.
    let other = ClientNetwork::of(Some("198.51.100.7".parse().unwrap()));
    for n in 0..50 {
        drop(bench.log_in(&format!("somebody{n}"), "wrong", "", None, &other));
    }
    let waits = bench.store.attempt(&["from 198.51.100.7".to_owned()], bench.clock.now());
    assert!(matches!(waits.unwrap(), Attempt::Wait(_)));
    bench.pass(2 * 24 * 3_600);
    bench.try_from(GOOD, &other).unwrap();
}

#[test]
fn adm_16_a_code_is_asked_for_and_works_once() {
    let bench = Bench::with_owner();
    let secret = TotpSecret::generate();
    let now = bench.clock.now();
    let code = |at: Timestamp| secret.code(at.micros() / 30_000_000);
    assert!(bench.accounts.enable_codes(&by(), &secret, "12345").is_err());
    bench.accounts.enable_codes(&by(), &secret, &code(now)).unwrap();
    let log_in = |code: &str| bench.log_in("owner", GOOD, code, None, &home());
    assert!(log_in("").is_err());
    assert!(log_in(&code(now)).is_err(), "the code that switched it on is used up");
    bench.pass(30);
    let next = code(bench.clock.now());
    log_in(&next).unwrap();
    assert!(log_in(&next).is_err());
    let disable = |code: &str| bench.accounts.disable_codes(&by(), code, None, &home());
    assert!(matches!(disable(""), Err(AdminError::Refused)));
    assert!(matches!(disable(&next), Err(AdminError::Refused)), "it was used to log in");
    let last = bench.next_code(&secret);
    let cookie = log_in(&bench.next_code(&secret)).unwrap().cookie;
    assert!(matches!(disable(&last), Err(AdminError::Refused)), "a later one was used");
    assert!(disable(&bench.next_code(&secret)).unwrap().is_none());
    assert!(bench.accounts.session(cookie.expose_secret(), SentBy::Person).unwrap().is_some());
    log_in("").unwrap();
}

#[test]
fn a_lost_password_is_replaced_by_a_link_that_keeps_the_role() {
    let bench = Bench::with_owner();
    assert!(matches!(
        bench.accounts.recovery_link(&operator(), "nobody"),
        Err(AdminError::Rule { rule: Rule::Missing(_), .. })
    ));
    let link = bench.accounts.recovery_link(&operator(), "OWNER").unwrap();
    let (new, request) = ("otter velvet quarry", RequestId::new("r"));
    bench
        .accounts
        .redeem(link.secret.expose_secret(), "x", &new.into(), &home(), &request)
        .unwrap();
    assert_eq!(bench.accounts.admins(&by()).unwrap()[0].role, Role::Owner);
    assert!(bench.try_from(GOOD, &home()).is_err());
    bench.try_from(new, &home()).unwrap();
}

#[test]
fn what_is_kept_of_sessions_and_links_opens_nothing() {
    let bench = Bench::with_owner();
    let cookie = bench.try_from(GOOD, &home()).unwrap().cookie;
    let digest = Secret::of(cookie.expose_secret());
    assert!(bench.accounts.session(digest.as_str(), SentBy::Person).unwrap().is_none());
    let session = bench.accounts.session(cookie.expose_secret(), SentBy::Person).unwrap().unwrap();
    assert_ne!(session.form_token, digest.as_str());
    assert!(bench.accounts.recently_authenticated(&session));
    bench.pass(300);
    assert!(!bench.accounts.recently_authenticated(&session));
    let place = home();
    let prove = |password: &str| {
        bench.accounts.reauthenticate(&session, cookie.expose_secret(), &password.into(), &place)
    };
    assert!(prove("wrong").is_err());
    prove(GOOD).unwrap();
    let session = bench.accounts.session(cookie.expose_secret(), SentBy::Person).unwrap().unwrap();
    assert!(bench.accounts.recently_authenticated(&session));
}
