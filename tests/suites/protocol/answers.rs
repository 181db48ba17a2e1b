//! Conditional requests, headers, slow clients, and what the log says of them.

use std::sync::Arc;
use std::time::Duration;

use headcount_e2e::http::Connection;
use headcount_e2e::server::wait_for;
use headcount_e2e::{Client, Database, Server, on_both};
use serde_json::json;

use crate::support::refused;

/// Creates a user and returns its path and the entity tag of its first version.
fn versioned(client: &Client) -> (String, String) {
    let path = format!("/Users/{}", client.create("/Users", &json!({"userName": "someone"})));
    let tag = client.get(&path).header("etag").unwrap().to_owned();
    (path, tag)
}

on_both!(etg_011_a_known_version_is_not_sent_again, |server: &Server| {
    let client = server.client();
    let (path, tag) = versioned(&client);
    let covered = format!("{path}?excludedAttributes=groups");
    let known = client.raw("GET", &covered, &[("If-None-Match", &tag)], None);
    known.assert_status(304);
    assert_eq!(known.text(), "");
});

on_both!(etg_007_etg_008_conditional_requests_protect_changes, |server: &Server| {
    let client = server.client();
    let (path, tag) = versioned(&client);
    let change =
        json!({"Operations": [{"op": "replace", "path": "title", "value": "x"}]}).to_string();
    let send = |method: &str, tag: &str, body: &str| {
        client.raw(method, &path, &[("If-Match", tag)], Some(body.as_bytes()))
    };
    send("PATCH", &tag, &change).assert_status(200);
    let put = json!({"userName": "other"}).to_string();
    for (method, body) in [("PATCH", change.as_str()), ("PUT", put.as_str()), ("DELETE", "")] {
        refused(&send(method, &tag, body), 412, None, method);
    }
    refused(&send("PATCH", "broken\"", &change), 400, Some("invalidSyntax"), "a malformed tag");
    client.get(&path).assert_at("/userName", "someone");
    send("PUT", "*", &put).assert_status(200);
    send("DELETE", "W/\"1\", \"3\"", "").assert_status(204);
});

on_both!(htp_018_every_answer_has_its_headers, |server: &Server| {
    let client = server.client();
    for response in [
        client.get("/Users"),
        client.get("/Nothing"),
        client.with_token(None).get("/Users"),
        client.delete("/Users"),
    ] {
        assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(response.header("cache-control"), Some("no-store"));
        assert!(response.header("content-security-policy").is_some());
        assert!(response.header("x-request-id").is_some_and(|id| !id.is_empty()));
        assert_eq!(response.header("access-control-allow-origin"), None);
    }
});

on_both!(htp_022_the_id_of_a_request_is_returned, |server: &Server| {
    let named = server.client().raw("GET", "/Users", &[("X-Request-Id", "abc-123")], None);
    assert_eq!(named.header("x-request-id"), Some("abc-123"));
});

on_both!(htp_019_options_allows_no_other_origin, |server: &Server| {
    let origin = [("Origin", "https://evil.example")];
    let options = server.client().raw("OPTIONS", "/Users", &origin, None);
    options.assert_status(204);
    assert_eq!(options.header("access-control-allow-origin"), None);
});

on_both!(head_has_no_body, |server: &Server| {
    let head = server.client().raw("HEAD", "/Users", &[], None);
    head.assert_status(200);
    assert_eq!(head.text(), "");
});

on_both!(a_slow_body_is_cut_off_and_harms_nobody, |_: &Server| {
    let database = Database::sqlite();
    let server =
        Server::start_with(Arc::new(database), &[], &[("HEADCOUNT__LIMITS__BODY_SECONDS", "1")]);
    let client = server.client();
    let mut slow: Vec<Connection> = (0..120)
        .map(|_| {
            let mut connection = Connection::open(server.address).unwrap();
            let request = client.request("POST", "/Users", &[], Some(b"{\"userName\":\"slow\"}"));
            connection.send(request.get(..request.len() - 5).unwrap()).unwrap();
            connection
        })
        .collect();
    assert_eq!(client.get("/Users").status, 200, "others are served meanwhile");
    let answer = slow.pop().unwrap().receive(false).unwrap();
    refused(&answer, 408, None, "a slow body");
    assert_eq!(client.get("/Users").at("/totalResults"), "0");
    std::thread::sleep(Duration::from_millis(10));
});

on_both!(nothing_personal_reaches_the_log, |server: &Server| {
    let client = server.client();
    let secret = client.token.clone().unwrap();
    let marker = "CNRYjane";
    client.post("/Users", &json!({"userName": marker, "password": "CNRYpassword", "emails": [{"value": "CNRYmail@x"}]}));
    client.post("/Users", &json!({"userName": marker.to_uppercase()}));
    client.get(&format!("/Users?filter=userName+eq+%22{marker}%22"));
    client.get(&format!("/Users/{marker}"));
    client.post("/Users", &json!({"userName": marker, "CNRYunknown": {"CNRYkey": 1}}));
    client.raw("POST", "/Users", &[], Some(b"{\"userName\":\"CNRYbroken"));
    client.with_token(Some("CNRYtoken")).get("/Users");
    let log = wait_for(Duration::from_secs(5), || {
        Some(server.log()).filter(|log| log.matches("\"message\":\"request\"").count() >= 7)
    });
    let log = log.unwrap_or_else(|| panic!("seven requests are logged: {}", server.log()));
    assert!(!log.contains("CNRY"), "{log}");
    assert!(!log.contains(secret.get(20..).unwrap()), "{log}");
    assert!(log.contains("\"route\":\"/scim/v2/{endpoint}/{id}\""), "{log}");
    let metrics = Client { base: String::new(), ..client.clone() }.get("/metrics").text();
    assert!(!metrics.contains("CNRY"), "{metrics}");
});
