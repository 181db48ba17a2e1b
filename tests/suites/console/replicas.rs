//! Two servers on one database: what one decides holds for the other at once.

use std::sync::Arc;

use headcount_e2e::server::psql;
use headcount_e2e::{Database, Server};

use crate::support::{PASSWORD, setup_path};
use crate::visitor::{OURS, Visitor};

#[test]
fn adm_07_18_two_replicas_agree_about_sessions_and_guesses() {
    let database = Arc::new(Database::postgres());
    let proxied = ["--behind-proxy"];
    let one = Server::start_with(Arc::clone(&database), &proxied, &[]);
    let two = Server::start_with(Arc::clone(&database), &proxied, &[]);
    let from = |address: &'static str| ("X-Forwarded-For", address);
    let home = [from("192.0.2.1")];
    drop(Visitor::make_owner(&one));
    let here = Visitor::log_in(&one, &home, PASSWORD);
    let there = |visitor: &Visitor| visitor.at(&two);
    assert!(here.is_in() && there(&here).is_in(), "log-in on one works on the other");
    let form = format!("token={}", here.form_token());
    there(&here).post("/console/logout", &[OURS], &form);
    assert!(!here.is_in() && !there(&here).is_in());

    // A thousand guesses from a thousand addresses, at both replicas, eight at a time.
    let guess = |guess: u32| {
        let server = if guess.is_multiple_of(2) { &one } else { &two };
        let address = format!("203.0.{}.{}", guess / 250, guess % 250);
        let visitor = Visitor::log_in(server, &[("X-Forwarded-For", &address)], "not the password");
        assert!(visitor.cookie.is_empty());
    };
    std::thread::scope(|scope| {
        let guess = &guess;
        for first in 0..8 {
            scope.spawn(move || (first..1_000).step_by(8).for_each(guess));
        }
    });
    let counted =
        psql(&database.url, "SELECT amount FROM login_failures WHERE subject = 'to owner'");
    assert!((7..=100).contains(&counted.parse::<i32>().unwrap()), "{counted} were looked at");
    println!("of 1,000 guesses from 1,000 addresses, {counted} were looked at");
    let stranger = Visitor::log_in(&two, &[from("198.51.100.1")], PASSWORD);
    assert!(stranger.cookie.is_empty(), "the account waits for those it does not know");
    assert!(Visitor::log_in(&two, &home, PASSWORD).is_in(), "the admin gets in");
    // Also from the other replica, and after a restart.
    drop(one);
    let three = Server::start_with(database, &proxied, &[]);
    assert!(Visitor::log_in(&three, &[from("198.51.100.2")], PASSWORD).cookie.is_empty());
    assert!(Visitor::log_in(&three, &home, PASSWORD).is_in());
}

#[test]
fn adm_18_a_new_password_and_another_role_end_sessions_on_both_replicas() {
    let database = Arc::new(Database::postgres());
    let one = Server::start_with(Arc::clone(&database), &[], &[]);
    let two = Server::start_with(Arc::clone(&database), &[], &[]);
    let owner = Visitor::make_owner(&one);
    let other = owner.invite(&one, "other", "admin");
    let elsewhere = Visitor::log_in_as(&two, "other", &[], PASSWORD);
    assert!(other.is_in() && other.at(&two).is_in());
    assert!(elsewhere.is_in() && elsewhere.at(&one).is_in());
    let act = |who: &Visitor, path: &str, form: &str| {
        let form = format!("token={}&{form}", who.form_token());
        who.post(path, &[OURS], &form)
    };
    let gone = |who: &Visitor| !who.at(&one).is_in() && !who.at(&two).is_in();

    // A new password, set at one replica.
    let old = PASSWORD.replace(' ', "+");
    let form = format!("act=password&old={old}&new=quarry+otter+velvet&again=quarry+otter+velvet");
    let mut changed = other.at(&one);
    let answer = act(&other, "/console/account", &form);
    assert_eq!(answer.status, 303, "{}", answer.text());
    assert!(gone(&other) && gone(&elsewhere), "every session from before has ended");
    changed.take(&answer);
    assert!(changed.is_in() && changed.at(&two).is_in(), "the one that changed it has a new one");

    // Another role, given at the other replica.
    let demote = "act=role&name=other&role=auditor";
    assert_eq!(act(&owner.at(&two), "/console/settings", demote).status, 303);
    assert!(gone(&changed));
    let again = Visitor::log_in_as(&one, "other", &[], "quarry otter velvet");
    let make = "name=x&days=1&scope=scim%3Aread";
    assert_eq!(act(&again.at(&two), "/console/tokens", make).status, 403, "the role counts there");

    // Everybody, and the removal of an account.
    assert_eq!(act(&owner, "/console/settings", "act=remove&name=other").status, 303);
    assert!(gone(&again));
    assert_eq!(act(&owner.at(&two), "/console/settings", "act=everybody").status, 303);
    assert!(gone(&owner));
}

#[test]
fn adm_03_04_of_a_hundred_who_open_the_first_links_at_once_one_becomes_the_owner() {
    let database = Arc::new(Database::postgres());
    let one = Server::start_with(Arc::clone(&database), &[], &[]);
    let two = Server::start_with(Arc::clone(&database), &[], &[]);
    // Each replica has made a link of its own; another one is asked for.
    let made = one.run(&["admin", "setup-link"]);
    let printed = String::from_utf8_lossy(&made.stdout).trim().to_owned();
    let links =
        [setup_path(&two), format!("/console{}", printed.rsplit_once("/console").unwrap().1)];
    let password = PASSWORD.replace(' ', "+");
    let attempt = |number: usize| {
        let server = if number.is_multiple_of(2) { &one } else { &two };
        let link = &links[number / 2 % 2];
        let form = format!("name=racer{number}&new={password}&again={password}");
        // A visitor who gets "busy" repeats the request, as people do.
        loop {
            let status = Visitor::of(server).post(link, &[OURS], &form).status;
            if status != 503 {
                return status;
            }
        }
    };
    let answers: Vec<u16> = std::thread::scope(|scope| {
        let attempt = &attempt;
        let racers: Vec<_> = (0..100).map(|number| scope.spawn(move || attempt(number))).collect();
        racers.into_iter().map(|racer| racer.join().unwrap()).collect()
    });
    let of = |status: u16| answers.iter().filter(|answer| **answer == status).count();
    assert_eq!(of(303), 1, "{answers:?}");
    assert_eq!(of(404), 99, "{answers:?}");
    assert_eq!(psql(&database.url, "SELECT count(*) FROM admins"), "1");
}
