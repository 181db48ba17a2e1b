//! Walks over many resources, while they hold still and while they change.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use headcount_e2e::http::Connection;
use headcount_e2e::server::wait_for;
use headcount_e2e::{Client, Database, Response, Server, on_both, seed};
use serde_json::{Value, json};

fn ids(page: &Value) -> Vec<String> {
    let resources = page["Resources"].as_array().unwrap();
    resources.iter().map(|resource| resource["id"].as_str().unwrap().to_owned()).collect()
}

fn ok(response: &Response) -> Value {
    assert_eq!(response.status, 200, "{}", response.text());
    response.json()
}

/// Walks by `startIndex` to the end and returns the ids in the order in which they came.
fn by_index(client: &Client, query: &str, count: usize) -> Vec<String> {
    let mut connection = Connection::open(client.address).unwrap();
    let mut seen = Vec::new();
    loop {
        let path = format!("/Users?{query}startIndex={}&count={count}", seen.len() + 1);
        let page = ok(&client.on(&mut connection, "GET", &path, None));
        assert_eq!(page["startIndex"], seen.len() + 1);
        let here = ids(&page);
        assert_eq!(page["itemsPerPage"], here.len());
        if here.is_empty() {
            assert_eq!(page["totalResults"], seen.len());
            return seen;
        }
        seen.extend(here);
    }
}

/// Walks by cursors to the end; `between` is called after each page.
fn by_cursor(
    client: &Client,
    query: &str,
    count: usize,
    mut between: impl FnMut(usize, &mut Client),
) -> Vec<String> {
    let (mut client, mut cursor) = (client.clone(), String::new());
    let mut seen = Vec::new();
    for page in 1.. {
        let path = format!("/Users?{query}cursor={cursor}&count={count}");
        let body = ok(&client.get(&path));
        let here = ids(&body);
        assert!(here.len() <= count);
        seen.extend(here);
        match body["nextCursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => break,
        }
        between(page, &mut client);
    }
    seen
}

fn each_once(seen: &[String], wanted: &[String]) {
    let different: HashSet<_> = seen.iter().collect();
    assert_eq!(different.len(), seen.len(), "no one is seen twice");
    assert_eq!(different, wanted.iter().collect(), "and no one is lost");
}

on_both!(pag_008_pages_hold_the_order_of_creation, |server: &Server| {
    let client = server.client();
    let made = seed::users(&client, &seed::named("u", 1_200));
    assert_eq!(by_index(&client, "", 500), made, "created first, listed first");
    assert_eq!(by_index(&client, "", 7).len(), 1_200);
    assert_eq!(by_index(&client, "", 500), made, "the same order again");
    assert_eq!(by_cursor(&client, "", 500, |_, _| {}), made);
});

on_both!(srt_008_equal_keys_are_in_one_order_on_all_pages, |server: &Server| {
    let client = server.client();
    let bodies: Vec<Value> =
        (0..1_000).map(|n| json!({"userName": format!("u{n}"), "title": "same"})).collect();
    let made = seed::users(&client, &bodies);
    for sort in ["sortBy=title&", "sortBy=title&sortOrder=descending&", "sortBy=nickName&"] {
        each_once(&by_index(&client, sort, 90), &made);
        each_once(&by_cursor(&client, sort, 90, |_, _| {}), &made);
        assert_eq!(by_index(&client, sort, 90), by_index(&client, sort, 333), "{sort}");
    }
    let filtered = "filter=title+eq+%22same%22&sortBy=title&";
    each_once(&by_index(&client, filtered, 90), &made);
});

on_both!(pag_010_a_deep_page_is_answered_like_any_other, |server: &Server| {
    let client = server.client();
    let made = seed::users(&client, &seed::named("u", 3_000));
    let page = ok(&client.get("/Users?startIndex=2999&count=10"));
    assert_eq!(ids(&page), made[2_998..]);
    assert_eq!(page["totalResults"], 3_000);
    for start in ["3001", "1000000", "9223372036854775807"] {
        let page = ok(&client.get(&format!("/Users?startIndex={start}&count=10")));
        assert_eq!(page["totalResults"], json!(3_000), "{start}");
        assert_eq!(ids(&page).len(), 0, "{start}");
    }
});

on_both!(pag_011_pages_are_answered_while_resources_come_and_go, |server: &Server| {
    let client = server.client();
    seed::users(&client, &seed::named("u", 300));
    let (done, pages) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for query in ["", "sortBy=userName&", "filter=userName+sw+%22w%22&"] {
            let (client, done, pages) = (&client, &done, &pages);
            scope.spawn(move || {
                let mut connection = Connection::open(client.address).unwrap();
                let mut start = 1;
                while !done.load(Ordering::SeqCst) {
                    let path = format!("/Users?{query}startIndex={start}&count=50");
                    let page = ok(&client.on(&mut connection, "GET", &path, None));
                    assert!(page["totalResults"].is_u64(), "{page}");
                    start = if ids(&page).is_empty() { 1 } else { start + 50 };
                    pages.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        let write = || {
            for round in 0..10 {
                let made = seed::users(&client, &seed::named(&format!("w{round}-"), 40));
                seed::delete_users(&client, &made);
            }
        };
        let written = std::panic::catch_unwind(std::panic::AssertUnwindSafe(write));
        done.store(true, Ordering::SeqCst);
        written.unwrap();
    });
    assert!(pages.into_inner() >= 3, "there was paging meanwhile");
});

fn an_expired_cursor(database: Database) {
    let second = [("HEADCOUNT__LIMITS__CURSOR_SECONDS", "1")];
    let server = Server::start_with(Arc::new(database), &[], &second);
    let client = server.client();
    assert_eq!(client.get("/ServiceProviderConfig").at("/pagination/cursorTimeout"), "1");
    let made = seed::users(&client, &seed::named("u", 3));
    let first = ok(&client.get("/Users?cursor=&count=2"));
    let path = format!("/Users?count=2&cursor={}", first["nextCursor"].as_str().unwrap());
    let refused = wait_for(Duration::from_secs(20), || {
        let response = client.get(&path);
        if response.status == 200 {
            assert_eq!(ids(&response.json()), made[2..], "a cursor is good until it has expired");
            return None;
        }
        Some(response)
    });
    let refused = refused.expect("a cursor of one second expires");
    refused.assert_status(400);
    refused.assert_at("/scimType", "expiredCursor");
    assert!(refused.at("/detail").contains("start again"), "{}", refused.text());
    assert_eq!(ids(&ok(&client.get("/Users?cursor=&count=2"))), made[..2]);
}

#[test]
fn cur_008_a_cursor_expires_on_sqlite() {
    an_expired_cursor(Database::sqlite());
}

#[test]
fn cur_008_a_cursor_expires_on_postgres() {
    an_expired_cursor(Database::postgres());
}

on_both!(cur_020_a_walk_loses_and_repeats_nobody_while_others_come_and_go, |server: &Server| {
    let client = server.client();
    let made = seed::users(&client, &seed::named("u", 20_000));
    // Those who go stand all over the walk, before it and behind it, and so does each part of them.
    let leavers: Vec<String> = (0..500).map(|n| made[(n * 211 % 500) * 40 + 7].clone()).collect();
    let mut stayers: HashSet<&String> = made.iter().collect();
    for leaver in &leavers {
        assert!(stayers.remove(leaver));
    }
    let mut going = leavers.chunks(30);
    let seen = by_cursor(&client, "attributes=id&", 1_000, |page, client| {
        let (leaving, client) = (going.next().unwrap_or_default(), &*client);
        let coming = seed::named(&format!("new{page}-"), 30);
        std::thread::scope(|scope| {
            scope.spawn(|| seed::delete_users(client, leaving));
            scope.spawn(|| seed::users(client, &coming));
        });
    });
    let different: HashSet<&String> = seen.iter().collect();
    assert_eq!(different.len(), seen.len(), "no one is seen twice");
    let lost = stayers.difference(&different).count();
    assert_eq!(lost, 0, "who was there throughout is seen");
    assert!(going.next().is_none(), "all of them left during the walk");
});

#[test]
fn cur_020_a_walk_goes_on_at_another_replica_and_after_a_restart_on_postgres() {
    let database = Arc::new(Database::postgres());
    let start = || Server::start_with(Arc::clone(&database), &[], &[]);
    let (first, second) = (start(), start());
    let client = first.client();
    let made = seed::users(&client, &seed::named("u", 50));
    let mut restarted = Vec::new();
    drop(first);
    let elsewhere = Client { address: second.address, ..client };
    let seen = by_cursor(&elsewhere, "sortBy=userName&", 5, |page, client| {
        if page % 3 == 0 {
            restarted.push(start());
        }
        let server = restarted.last().unwrap_or(&second);
        client.address = server.address;
    });
    each_once(&seen, &made);
    assert!(restarted.len() >= 3);
}

#[test]
fn cur_020_a_walk_on_sqlite_goes_on_after_a_restart() {
    let database = Arc::new(Database::sqlite());
    let start = || Server::start_with(Arc::clone(&database), &[], &[]);
    let mut server = start();
    let client = server.client();
    let made = seed::users(&client, &seed::named("u", 30));
    let seen = by_cursor(&client, "", 10, |_, client| {
        server.terminate();
        assert_eq!(server.stopped(Duration::from_secs(20)), Some(true));
        server = start();
        client.address = server.address;
    });
    each_once(&seen, &made);
}

on_both!(pag_012_a_page_holds_a_hundred_resources_unless_fewer_are_asked_for, |server: &Server| {
    let client = server.tenant("hundred", "all");
    seed::users(&client, &seed::named("u", 130));
    let config = client.get("/ServiceProviderConfig").json();
    assert_eq!(config["pagination"]["defaultPageSize"], 100);
    for (query, expected) in [("", 100), ("?count=100", 100), ("?startIndex=101&count=100", 30)] {
        let page = ok(&client.get(&format!("/Users{query}")));
        assert_eq!(ids(&page).len(), expected, "{query}");
        assert_eq!(page["totalResults"], json!(130), "{query}");
    }
});
