//! How long records stay, and what happens where none can be kept.

use std::sync::Arc;

use headcount_e2e::server::wait_for;
use headcount_e2e::{Database, Server, on_both};
use serde_json::json;

use crate::support::{SOON, explain, lines, record};

on_both!(old_records_go, |server: &Server| {
    let client = server.client();
    client.post("/Users", &json!({"userName": "jane"}));
    record(server, |record| record["name"] == "jane");
    let database = Arc::clone(&server.database);
    server.terminate();
    assert_eq!(server.stopped(SOON), Some(true));
    let settings = [("HEADCOUNT__PROVISIONING_LOG__KEEP_DAYS", "0")];
    let again = Server::start_with(database, &[], &settings);
    again.client().get("/Users");
    let emptied = wait_for(SOON, || lines(&again, &[]).is_empty().then_some(()));
    assert!(emptied.is_some(), "{:#?}", lines(&again, &[]));
    // What happened outlives what was asked.
    let story = explain(&again, "jane");
    assert_eq!(story["entries"][0]["request"], json!(null));
    assert_eq!(story["entries"][0]["changes"][0]["act"], "created");
});

#[test]
fn a_log_that_cannot_be_written_stops_nothing_sqlite() {
    let database = Database::sqlite();
    // Nothing can be opened or written under this name.
    std::fs::create_dir(database.path().join("headcount-log.db")).unwrap();
    let server = Server::start(database);
    let client = server.client();
    for number in 0..20 {
        let user = json!({"userName": format!("user{number}")});
        assert_eq!(client.post("/Users", &user).status, 201);
    }
    let dropped =
        wait_for(SOON, || (server.metric("headcount_log_dropped_total", "") >= 20.0).then_some(()));
    assert!(dropped.is_some());
    assert_eq!(client.get("/Users").at("/totalResults"), "20");
    assert_eq!(server.log().matches("the provisioning log cannot be written").count(), 1);
    let refused = server.run(&["log", "tail"]);
    assert!(!refused.status.success(), "a log that cannot be read is no empty log");
}

#[test]
fn nothing_is_kept_when_it_is_switched_off_sqlite() {
    let settings = [("HEADCOUNT__PROVISIONING_LOG__KEEP", "false")];
    let server = Server::start_with(Arc::new(Database::sqlite()), &[], &settings);
    server.client().post("/Users", &json!({"userName": "jane"}));
    server.terminate();
    assert_eq!(server.stopped(SOON), Some(true));
    assert!(lines(&server, &[]).is_empty());
}
