//! Accounts on both databases: what has to hold when many come at once and on all replicas.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use headcount_core::change::{Actor, Author, ChangeFeed};
use headcount_core::clock::{Clock, Timestamp};
use headcount_core::ids::{ChainPosition, RequestId};
use headcount_store_diesel::Store;
use headcount_token_admin::accounts::{
    AccountKeys, AccountStore, Accounts, Attempt, ClientNetwork, Flashes, Link, LogIn, Password,
    PasswordCost, Role, SERVER, SealedTotp, SentBy,
};
use headcount_token_admin::{AdminError, Principal, Rule, TokenHash};
use secrecy::ExposeSecret;

mod support;

struct Hands(AtomicI64);

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}

fn clock() -> Arc<Hands> {
    Arc::new(Hands(AtomicI64::new(1_700_000_000_000_000)))
}

/// Two replicas on one database; on SQLite, two views of the one server there is.
fn replicas(stores: &[Arc<Store>; 2]) -> [Accounts; 2] {
    let clock = clock();
    [0, 1].map(|index| {
        let keys = AccountKeys::new([[7; 32].as_slice()]).unwrap();
        let (store, clock) = (stores[index].clone(), clock.clone());
        Accounts::with_keys(store, clock, keys, PasswordCost::TESTS)
    })
}

fn author() -> Author {
    Author { actor: Actor::Admin("owner".to_owned()), request: RequestId::new("r") }
}

fn by() -> Principal {
    Principal::account(author(), Role::Owner)
}

fn operator() -> Principal {
    Principal::operator(author())
}

const GOOD: &str = "velvet otter quarry";

fn home() -> ClientNetwork {
    ClientNetwork::of(Some("192.0.2.1".parse().unwrap()))
}

fn make_owner(accounts: &Accounts, name: &str) {
    let link = accounts.setup_link(&operator()).unwrap();
    let (link, request) = (link.secret.expose_secret(), RequestId::new("r"));
    accounts.redeem(link, name, &GOOD.into(), &home(), &request).unwrap();
}

/// Runs a test on both databases.
macro_rules! on_both {
    ($name:ident, $test:expr) => {
        mod $name {
            use super::*;

            #[test]
            fn sqlite() {
                let scratch = support::Scratch::new();
                let store = support::sqlite_store(&scratch);
                let test: fn(&[Arc<Store>; 2]) = $test;
                test(&[store.clone(), store]);
            }

            #[test]
            fn postgres() {
                let database = support::Database::new();
                let stores = [0, 1].map(|_| support::postgres_store(&database));
                let test: fn(&[Arc<Store>; 2]) = $test;
                test(&stores);
            }
        }
    };
}

on_both!(adm_04_a_hundred_who_use_the_setup_link_make_one_owner, |stores| {
    let both = replicas(stores);
    // Half of them come with the link of one replica, half with that of the other.
    let links = [0, 1].map(|index| both[index].setup_link(&operator()).unwrap());
    let won: usize = std::thread::scope(|scope| {
        let attempts: Vec<_> = (0..100)
            .map(|n| {
                let (accounts, link) = (&both[n % 2], &links[(n / 2) % 2]);
                scope.spawn(move || {
                    let (link, request) = (link.secret.expose_secret(), RequestId::new("r"));
                    let name = format!("admin{n}");
                    match accounts.redeem(link, &name, &GOOD.into(), &home(), &request) {
                        Ok(_) => 1,
                        // A busy machine may turn some of them away: they have not won either.
                        Err(
                            AdminError::Rule { rule: Rule::LinkOver, .. } | AdminError::Store(_),
                        ) => 0,
                        Err(other) => panic!("{other}"),
                    }
                })
            })
            .collect();
        attempts.into_iter().map(|attempt| attempt.join().unwrap()).sum()
    });
    assert_eq!(won, 1);
    assert_eq!(both[0].admins(&by()).unwrap().len(), 1);
    assert!(matches!(
        both[1].setup_link(&operator()),
        Err(AdminError::Rule { rule: Rule::NotFirst, .. })
    ));
});

on_both!(adm_15_two_owners_who_demote_each_other_leave_one, |stores| {
    let both = replicas(stores);
    make_owner(&both[0], "left");
    let link = both[0].invitation(&operator(), "right", Role::Owner).unwrap();
    let (link, request) = (link.secret.expose_secret(), RequestId::new("r"));
    both[1].redeem(link, "", &GOOD.into(), &home(), &request).unwrap();
    for _ in 0..100 {
        std::thread::scope(|scope| {
            for (accounts, other) in [(&both[0], "right"), (&both[1], "left")] {
                scope.spawn(move || match accounts.set_role(&by(), other, Role::Admin) {
                    Ok(()) | Err(AdminError::Rule { rule: Rule::LastOwner, .. }) => {}
                    Err(other) => panic!("{other}"),
                });
            }
        });
        let owners = both[0].admins(&by()).unwrap();
        let owners: Vec<_> = owners.iter().filter(|admin| admin.role == Role::Owner).collect();
        assert_eq!(owners.len(), 1);
        both[0].set_role(&by(), "left", Role::Owner).unwrap();
        both[0].set_role(&by(), "right", Role::Owner).unwrap();
    }
});

on_both!(adm_18_what_ends_a_session_ends_it_on_the_other_replica, |stores| {
    let both = replicas(stores);
    make_owner(&both[0], "owner");
    let log_in = |on: usize, password: &str| {
        let (password, home, request) = (password.into(), home(), RequestId::new("r"));
        let (name, password, network, request) = ("owner", &password, &home, &request);
        let attempt = LogIn { name, password, code: "", device: None, network, request };
        both[on].log_in(&attempt).unwrap().cookie
    };
    let alive =
        |on: usize, cookie: &str| both[on].session(cookie, SentBy::Person).unwrap().is_some();
    let ended = |end: &dyn Fn(&str)| {
        let cookie = log_in(0, GOOD);
        let cookie = cookie.expose_secret();
        assert!(alive(0, cookie) && alive(1, cookie));
        end(cookie);
        assert!(!alive(0, cookie) && !alive(1, cookie));
    };
    ended(&|cookie| both[0].log_out(cookie).unwrap());
    ended(&|_| both[1].log_out_everywhere(&by(), Some("owner")).unwrap());
    ended(&|_| both[1].log_out_everywhere(&by(), None).unwrap());
    ended(&|_| both[1].set_role(&by(), "owner", Role::Owner).unwrap());
    ended(&|_| {
        both[1].change_password(&by(), &GOOD.into(), &GOOD.into(), &home()).unwrap();
    });
    let link = both[1].invitation(&by(), "other", Role::Owner).unwrap();
    let (link, request) = (link.secret.expose_secret(), RequestId::new("r"));
    let other = both[0].redeem(link, "", &GOOD.into(), &home(), &request).unwrap();
    both[1].remove(&by(), "other").unwrap();
    assert!(!alive(0, other.cookie.expose_secret()));
});

on_both!(adm_07_attempts_are_counted_over_all_replicas, |stores| {
    let subjects = ["from 192.0.2.9".to_owned(), "to owner".to_owned()];
    let now = Timestamp::from_micros(1_700_000_000_000_000);
    let allowed = AtomicI64::new(0);
    std::thread::scope(|scope| {
        for n in 0..40 {
            let (store, subjects, allowed) = (&stores[n % 2], &subjects, &allowed);
            scope.spawn(move || {
                // A busy machine may keep someone from asking; who asks gets an answer.
                let answer = (0..100).find_map(|_| store.attempt(subjects, now).ok()).unwrap();
                allowed.fetch_add(i64::from(answer == Attempt::Allowed), Ordering::SeqCst);
            });
        }
    });
    assert_eq!(allowed.into_inner(), 7, "the seventh has to wait before the eighth");
    let other = ["from 192.0.2.8".to_owned(), "to owner".to_owned()];
    assert_eq!(
        stores[1].attempt(&other, now).unwrap(),
        Attempt::Wait(now.plus_seconds(60)),
        "the account waits for everybody who is not known"
    );
    assert_eq!(stores[0].attempt(&other[..1], now).unwrap(), Attempt::Allowed);
    stores[0].reset_attempts(&subjects[..1], &subjects[1..]).unwrap();
    assert_eq!(stores[1].attempt(&subjects[..1], now).unwrap(), Attempt::Allowed);
    let later = now.plus_seconds(60);
    assert_eq!(stores[1].attempt(&subjects[1..], later).unwrap(), Attempt::Allowed);
});

on_both!(adm_16_a_step_is_used_once_and_changes_are_recorded, |stores| {
    let both = replicas(stores);
    make_owner(&both[0], "owner");
    assert!(stores[0].use_step("owner", 5).unwrap());
    assert!(!stores[1].use_step("owner", 5).unwrap());
    assert!(!stores[1].use_step("owner", 4).unwrap());
    assert!(stores[1].use_step("owner", 6).unwrap());
    let now = Timestamp::from_micros(1_700_000_000_000_000);
    let sealed = |byte| SealedTotp::from_store(vec![byte; 61]);
    stores[0].set_totp("owner", &sealed(1), now, &author()).unwrap();
    let row = stores[1].admin("owner").unwrap().unwrap();
    assert_eq!((row.totp, row.admin.second_factor), (Some(sealed(1)), true));
    stores[1].reseal("owner", &sealed(3), &sealed(2)).unwrap();
    assert_eq!(stores[0].admin("owner").unwrap().unwrap().totp, Some(sealed(1)));
    stores[1].reseal("owner", &sealed(1), &sealed(2)).unwrap();
    assert_eq!(stores[0].admin("owner").unwrap().unwrap().totp, Some(sealed(2)));
    let link = both[0].recovery_link(&operator(), "owner").unwrap();
    let (link, request) = (link.secret.expose_secret(), RequestId::new("r"));
    both[1].redeem(link, "", &GOOD.into(), &home(), &request).unwrap();
    assert!(stores[1].admin("owner").unwrap().unwrap().totp.is_none());
    stores[0].sequence().unwrap();
    let changes = stores[0].changes(SERVER, ChainPosition::START, 100).unwrap();
    let reported: Vec<String> = changes
        .iter()
        .map(|one| format!("{} {} {}", one.kind, one.change.act.word(), one.change.paths.join(" ")))
        .collect();
    let expected = [
        "Link created first",
        "Admin created owner",
        "Session created ",
        "Admin changed secondFactor",
        "Link created recover",
        "Admin changed password recovered",
        "Session created ",
    ];
    assert_eq!(reported, expected);
    let addresses: Vec<_> = changes.iter().map(|one| one.change.names.address.as_deref()).collect();
    assert_eq!(addresses[2], Some("192.0.2.1"));
});

on_both!(s11_a_password_that_does_not_stand_alone_keeps_its_second_factor, |stores| {
    let both = replicas(stores);
    make_owner(&both[0], "owner");
    let now = Timestamp::from_micros(1_700_000_000_000_000);
    let stored = stores[0].admin("owner").unwrap().unwrap().password;
    let weak = |alone| Password { stands_alone: alone, ..stored.clone() };
    let set = |alone| stores[0].set_password("owner", &weak(alone), now, &author()).unwrap();
    assert!(!set(Some(false)), "without a second factor");
    stores[0].set_totp("owner", &SealedTotp::from_store(vec![1; 61]), now, &author()).unwrap();
    let remove =
        |new: Option<&Password>| stores[1].remove_totp("owner", new, now, &author()).unwrap();
    for alone in [Some(false), None] {
        assert!(set(alone));
        assert!(!remove(None));
        assert!(stores[0].admin("owner").unwrap().unwrap().totp.is_some());
    }
    assert!(remove(Some(&stored)));
    let row = stores[0].admin("owner").unwrap().unwrap();
    assert!(row.totp.is_none() && row.password.stands_alone == Some(true));
});

on_both!(s17_a_password_is_hashed_again_unless_it_was_changed_meanwhile, |stores| {
    let both = replicas(stores);
    make_owner(&both[0], "owner");
    let password = || stores[1].admin("owner").unwrap().unwrap().password;
    let (old, now) = (password(), Timestamp::from_micros(1_700_000_000_000_000));
    stores[0].set_password("owner", &old, now, &author()).unwrap();
    let hash = |text: &str| TokenHash::from_store(text.to_owned());
    let new = Password { hash: hash("new"), stands_alone: Some(false) };
    stores[0].rehash("owner", &hash("another"), &new).unwrap();
    assert_eq!(password().hash.to_store(), old.hash.to_store());
    stores[0].rehash("owner", &old.hash, &new).unwrap();
    assert_eq!((password().hash.to_store(), password().stands_alone), ("new", Some(false)));
});

on_both!(s8_links_of_an_account_that_lost_its_rights_are_dead, |stores| {
    let both = replicas(stores);
    make_owner(&both[0], "owner");
    let as_boss = Author { actor: Actor::Admin("boss".to_owned()), request: RequestId::new("r") };
    let boss = Principal::account(as_boss, Role::Owner);
    let redeem = |link: &Link| {
        let (link, request) = (link.secret.expose_secret(), RequestId::new("r"));
        both[1].redeem(link, "", &GOOD.into(), &home(), &request)
    };
    let over =
        |link: &Link| matches!(redeem(link), Err(AdminError::Rule { rule: Rule::LinkOver, .. }));
    let make_boss =
        || drop(redeem(&both[0].invitation(&by(), "boss", Role::Owner).unwrap()).unwrap());
    make_boss();
    let (door, other) = (both[0].invitation(&boss, "door", Role::Owner).unwrap(), by());
    both[1].set_role(&other, "boss", Role::Admin).unwrap();
    assert!(over(&door));
    let late = both[0].invitation(&boss, "door", Role::Auditor);
    assert!(matches!(late, Err(AdminError::Rule { rule: Rule::Role(Role::Owner), .. })));
    both[1].set_role(&other, "boss", Role::Owner).unwrap();
    assert!(over(&door), "not even when the rights come back");
    let door = both[0].invitation(&boss, "door", Role::Owner).unwrap();
    let recovery = both[0].recovery_link(&operator(), "boss").unwrap();
    both[1].remove(&other, "boss").unwrap();
    make_boss();
    assert!(over(&door) && over(&recovery), "not even for another account of the same name");
    assert_eq!(both[0].admins(&other).unwrap().len(), 2);
    // Links of the operator outlive accounts.
    let link = both[0].invitation(&operator(), "third", Role::Owner).unwrap();
    both[1].remove(&other, "boss").unwrap();
    redeem(&link).unwrap();
});

on_both!(s8_of_an_owner_who_invites_while_he_is_removed_no_link_is_left, |stores| {
    let both = replicas(stores);
    make_owner(&both[0], "owner");
    let as_boss = Author { actor: Actor::Admin("boss".to_owned()), request: RequestId::new("r") };
    let boss = Principal::account(as_boss, Role::Owner);
    for round in 0..20 {
        let link = both[0].invitation(&by(), "boss", Role::Owner).unwrap();
        let (link, request) = (link.secret.expose_secret(), RequestId::new("r"));
        both[0].redeem(link, "", &GOOD.into(), &home(), &request).unwrap();
        let made: Vec<_> = std::thread::scope(|scope| {
            let invite = || both[0].invitation(&boss, "door", Role::Owner).ok();
            let inviting = scope.spawn(move || (0..10).filter_map(|_| invite()).collect());
            both[1].remove(&by(), "boss").unwrap();
            inviting.join().unwrap()
        });
        let works = |link: &Link| both[1].purpose(link.secret.expose_secret()).is_ok();
        assert!(!made.iter().any(works), "round {round}");
    }
});

on_both!(n_the_address_of_an_old_log_in_is_erased, |stores| {
    let both = replicas(stores);
    make_owner(&both[0], "owner");
    let now = Timestamp::from_micros(1_700_000_000_000_000);
    assert!(stores[0].long_gone(now).unwrap().is_empty());
    let gone = stores[0].long_gone(now.plus_seconds(1)).unwrap();
    let kinds: Vec<_> = gone.iter().map(|(_, of)| of.kind.as_str()).collect();
    assert_eq!(kinds, ["Session"]);
    for (tenant, of) in &gone {
        assert_eq!(stores[1].erase_names(*tenant, of, now, &author()).unwrap(), 1);
    }
    assert!(stores[0].long_gone(now.plus_seconds(1)).unwrap().is_empty());
    stores[0].sequence().unwrap();
    let changes = stores[0].changes(SERVER, ChainPosition::START, 100).unwrap();
    let told = changes.iter().map(|one| {
        let names = &one.change.names;
        format!("{} {} {:?} {:?}", one.kind, one.change.act.word(), names.name, names.address)
    });
    let expected = [
        "Link created Some(\"first\") None",
        "Admin created Some(\"owner\") None",
        "Session created None None",
        "Session erased None None",
    ];
    assert_eq!(told.collect::<Vec<_>>(), expected);
});

on_both!(ux_5_what_is_shown_once_is_shown_by_any_replica_and_ends_with_its_session, |stores| {
    let accounts = &replicas(stores)[0];
    make_owner(accounts, "owner");
    let flashes = [0, 1].map(|index| Flashes::new(stores[index].clone(), clock()));
    let log_in = || {
        let (password, home, request) = (GOOD.into(), home(), RequestId::new("r"));
        let (name, password, network, request) = ("owner", &password, &home, &request);
        let attempt = LogIn { name, password, code: "", device: None, network, request };
        accounts.log_in(&attempt).unwrap().cookie
    };
    let cookie = log_in();
    let cookie = cookie.expose_secret();
    let id = flashes[0].leave(cookie, &"hc_secret".into()).unwrap();
    assert!(flashes[1].collect(log_in().expose_secret(), &id).unwrap().is_none());
    let shown: usize = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..20)
            .map(|n| {
                let (flashes, id) = (&flashes[n % 2], &id);
                scope.spawn(move || usize::from(flashes.collect(cookie, id).unwrap().is_some()))
            })
            .collect();
        asked.into_iter().map(|asked| asked.join().unwrap()).sum()
    });
    assert_eq!(shown, 1);
    let id = flashes[0].leave(cookie, &"hc_secret".into()).unwrap();
    accounts.log_out(cookie).unwrap();
    assert!(flashes[1].collect(cookie, &id).unwrap().is_none());
    assert!(flashes[0].leave(cookie, &"hc_secret".into()).is_err());
});
