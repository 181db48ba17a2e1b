//! Requests without a valid token cannot push others out of the log.

use std::sync::Arc;
use std::time::Duration;

use headcount_e2e::http::Connection;
use headcount_e2e::server::wait_for;
use headcount_e2e::{Client, Server, on_both};
use serde_json::json;

use crate::support::{SOON, lines, record};

/// Sends the same request `count` times over as few connections as the server allows.
fn flood(server: &Server, client: &Client, target: &str, count: usize) {
    let request = client.request("GET", target, &[], None);
    let mut connection = Connection::open(server.address).unwrap();
    for _ in 0..count {
        let answered = connection.send(&request).and_then(|()| connection.receive(false));
        let answer = answered.or_else(|_closed| {
            connection = Connection::open(server.address)?;
            connection.send(&request)?;
            connection.receive(false)
        });
        assert!((400..500).contains(&answer.unwrap().status));
    }
}

const FLOOD: usize = 4_000;

on_both!(aud_02_s3_no_stranger_takes_the_place_of_a_proven_request, |server: &Server| {
    let client = server.client();
    for number in 0..20 {
        client.post("/Users", &json!({"userName": format!("user{number}")}));
    }
    let outside = server.token(&["--cidr", "203.0.113.0/24"]);
    let expired = server.token(&["--expires", "1s"]);
    record(server, |record| record["name"] == "user19");
    // A filter of 2 KB, which no stranger may leave in the log.
    let filtered = format!("/Users?filter=userName%20eq%20%22{}%22", "x".repeat(2_000));
    let root = Client { base: String::new(), ..client.clone() };
    std::thread::sleep(Duration::from_secs(1));
    flood(server, &client.with_token(None), &filtered, FLOOD);
    flood(server, &client.with_token(Some("nonsense")), &filtered, FLOOD);
    flood(server, &client.with_token(Some(&expired)), &filtered, FLOOD);
    flood(server, &client.with_token(Some(&outside)), &filtered, FLOOD);
    flood(server, &root.with_token(None), "/wrong/base/Users?filter=a", FLOOD);
    flood(server, &root, "/wrong/base/Users?filter=a", FLOOD);
    let floods = 6 * FLOOD;
    let counted = || {
        let all = lines(server, &[]);
        let unkept: u64 = all.iter().map(|line| line["unkept"].as_u64().unwrap()).sum();
        let others = all.len() - 20 + usize::try_from(unkept).unwrap();
        (others == floods).then_some(all)
    };
    let all = wait_for(SOON, counted).unwrap_or_else(|| {
        panic!("{floods} requests are not all kept or counted: {:#?}", lines(server, &[]))
    });
    assert!((20..=220).contains(&all.len()), "{} are kept", all.len());
    assert!(all.iter().all(|line| line["status"] == 201 || line["filter"] == json!(null)));
    assert_eq!(all.iter().filter(|line| line["status"] == 201).count(), 20);
    let reported = all.iter().find(|line| line["refused"] == "expired").unwrap();
    assert_eq!(reported["token"], "test", "the connection test with an expired token is found");
    assert_eq!(server.metric("headcount_log_dropped_total", ""), 0.0);
    let untold = server.metric("headcount_log_refusals_untold_total", "");
    assert_eq!(untold, f64::from(u32::try_from(floods + 20 - all.len()).unwrap()));
    let tail = server.run(&["log", "tail", "--failed"]);
    let tail = String::from_utf8(tail.stdout).unwrap();
    assert!(tail.contains("more requests without a valid token were counted"), "{tail}");
    // Not even where the log has next to no room: the next server prunes it at once.
    let database = Arc::clone(&server.database);
    server.terminate();
    assert_eq!(server.stopped(SOON), Some(true));
    let again =
        Server::start_with(database, &[], &[("HEADCOUNT__PROVISIONING_LOG__KEEP_BYTES", "600000")]);
    flood(&again, &again.client().with_token(None), &filtered, FLOOD);
    again.client().post("/Users", &json!({"userName": "user20"}));
    record(&again, |record| record["name"] == "user20");
    let all = lines(&again, &[]);
    assert_eq!(all.iter().filter(|line| line["status"] == 201).count(), 21, "{all:#?}");
});

on_both!(a_connection_test_with_a_wrong_token_is_found_beside_a_flood, |server: &Server| {
    let client = server.client();
    flood(server, &client.with_token(None), "/Users", 300);
    let wrong = client.with_token(Some(&"X".repeat(40)));
    assert_eq!(wrong.raw("GET", "/Users?count=1", &[("User-Agent", "desk")], None).status, 401);
    let reported = record(server, |record| record["agent"] == "desk");
    assert_eq!(reported["refused"], json!("malformed"));
    assert_eq!(reported["unkept"], json!(0));
    let (untold, dropped) = ("headcount_log_refusals_untold_total", "headcount_log_dropped_total");
    assert!(server.metric(untold, "") > 200.0 && server.metric(dropped, "") == 0.0);
});
