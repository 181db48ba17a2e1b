//! What must not be written down.

use std::sync::Arc;
use std::time::Duration;

use headcount_e2e::server::wait_for;
use headcount_e2e::{Database, Server};
use serde_json::json;

fn searches_stay_out_of_the_log(database: Database) {
    // Even where everything is logged that the server has to say.
    let everything = [("HEADCOUNT__LOGGING__FILTER", "trace")];
    let server = Server::start_with(Arc::new(database), &[], &everything);
    let client = server.client();
    client.create("/Users", &json!({"userName": "someone"}));
    let urn = "urn:ietf:params:scim:api:messages:2.0:SearchRequest";
    for (path, body, status) in [
        ("/Users/.search", json!({"schemas": [urn], "filter": "userName eq \"CNRYname\""}), 200),
        ("/.search", json!({"schemas": [urn], "filter": "emails.value co \"CNRYmail\""}), 200),
        ("/Users/.search", json!({"schemas": [urn], "filter": "nickName eq \"CNRYnick\""}), 200),
        ("/Users/.search", json!({"schemas": [urn], "filter": "CNRYattribute eq \"x\""}), 400),
        ("/Users/.search", json!({"schemas": [urn], "filter": "userName eq \"CNRYbroken"}), 400),
        ("/Users/.search", json!({"schemas": [urn], "sortBy": "CNRYsort"}), 400),
        ("/Users/.search", json!({"schemas": [urn], "cursor": "CNRYcursor"}), 400),
        ("/Groups/.search", json!({"schemas": ["CNRYurn"], "filter": 5}), 400),
    ] {
        let response = client.post(path, &body);
        assert_eq!(response.status, status, "{body}: {}", response.text());
    }
    client.raw("POST", "/Users/.search", &[], Some(b"{\"filter\": \"CNRYtorn"));
    let log = wait_for(Duration::from_secs(10), || {
        Some(server.log()).filter(|log| log.matches("\"message\":\"request\"").count() >= 10)
    });
    let log = log.unwrap_or_else(|| panic!("ten requests are logged: {}", server.log()));
    let bad: Vec<&str> = log.lines().filter(|line| line.contains("CNRY")).collect();
    assert!(bad.is_empty(), "{bad:?}");
}

#[test]
fn sch_010_searches_stay_out_of_the_log_on_sqlite() {
    searches_stay_out_of_the_log(Database::sqlite());
}

#[test]
fn sch_010_searches_stay_out_of_the_log_on_postgres() {
    searches_stay_out_of_the_log(Database::postgres());
}
