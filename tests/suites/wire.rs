//! What only bytes on a connection can show: heads, chunks, keep-alive, what a proxy adds.

use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use flate2::read::GzDecoder;
use headcount_e2e::http::Connection;
use headcount_e2e::{Client, Database, Response, Server, on_both};
use serde_json::{Value, json};

const BULK: &str = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";

/// Checks that an answer is a SCIM error.
fn refused(response: &Response, status: u16) {
    assert_eq!(response.status, status, "{}", response.text());
    assert_eq!(response.header("content-type"), Some("application/scim+json"));
    assert_eq!(response.json()["schemas"], json!(["urn:ietf:params:scim:api:messages:2.0:Error"]));
    assert_eq!(response.at("/status"), status.to_string());
}

fn creations(count: usize) -> Value {
    creations_named(0, count)
}

/// Creations of users whose names are numbers from `first` on.
fn creations_named(first: usize, count: usize) -> Value {
    let operations: Vec<Value> = (first..first + count)
        .map(|n| json!({"method": "POST", "path": "/Users", "bulkId": n.to_string(), "data": {"userName": format!("u{n}")}}))
        .collect();
    json!({"schemas": [BULK], "Operations": operations})
}

on_both!(blk_025_one_operation_more_than_the_advertised_is_too_many, |server: &Server| {
    let client = server.client();
    let config = client.get("/ServiceProviderConfig").json();
    let most = usize::try_from(config["bulk"]["maxOperations"].as_u64().unwrap()).unwrap();
    let response = client.post("/Bulk", &creations(most + 1));
    refused(&response, 413);
    assert!(response.at("/detail").contains(&most.to_string()), "{}", response.text());
    assert_eq!(client.get("/Users?count=0").at("/totalResults"), "0");
    let whole = client.post("/Bulk", &creations(most));
    assert_eq!(whole.status, 200);
    let results = whole.json()["Operations"].as_array().unwrap().clone();
    assert_eq!(results.len(), most);
    assert!(results.iter().all(|result| result["status"] == "201"));
    assert_eq!(client.get("/Users?count=0").at("/totalResults"), most.to_string());
});

on_both!(blk_026_htp_013_a_body_over_the_limit_is_refused_before_it_is_read, |server: &Server| {
    let client = server.client();
    let config = client.get("/ServiceProviderConfig").json();
    let bulk = config["bulk"]["maxPayloadSize"].as_u64().unwrap();
    for (path, limit) in [("/Bulk", bulk), ("/Users", 1024 * 1024), ("/Users/.search", 1024 * 1024)]
    {
        let head = String::from_utf8(client.request("POST", path, &[], None)).unwrap();
        // The length is announced; not one byte of the body follows.
        let announced = format!("Content-Length: {}\r\n", limit + 1);
        let mut connection = Connection::open(server.address).unwrap();
        connection.send(head.replace("Content-Length: 0\r\n", &announced).as_bytes()).unwrap();
        let answer = connection.receive(false).unwrap();
        refused(&answer, 413);
        assert!(answer.at("/detail").contains(&limit.to_string()), "{}", answer.text());
        // Nothing is announced, and the last chunk never comes.
        let mut connection = Connection::open(server.address).unwrap();
        let chunked = head.replace("Content-Length: 0\r\n", "Transfer-Encoding: chunked\r\n");
        connection.send(chunked.as_bytes()).unwrap();
        let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
        for _ in 0..=limit / 0x10000 {
            if connection.send(chunk.as_bytes()).is_err() {
                break;
            }
        }
        refused(&connection.receive(false).unwrap(), 413);
    }
    assert_eq!(client.get("/Users?count=0").at("/totalResults"), "0");
});

on_both!(blk_033_blk_017_whoever_hangs_up_finds_whole_operations, |server: &Server| {
    let client = server.client();
    let groups: Vec<Value> = (0..200)
        .flat_map(|n| {
            let user = json!({"method": "POST", "path": "/Users", "bulkId": format!("u{n}"), "data": {"userName": format!("u{n}")}});
            let group = json!({"method": "POST", "path": "/Groups", "bulkId": format!("g{n}"),
                "data": {"displayName": format!("g{n}"), "members": [{"value": format!("bulkId:u{n}")}]}});
            [user, group]
        })
        .collect();
    let body = json!({"schemas": [BULK], "Operations": groups}).to_string();
    let request = client.request("POST", "/Bulk", &[], Some(body.as_bytes()));
    let mut connection = Connection::open(server.address).unwrap();
    connection.send(&request).unwrap();
    // Part of it is done, and then no client waits for the answer.
    let begun = headcount_e2e::server::wait_for(Duration::from_secs(20), || {
        (client.get("/Users?count=0").at("/totalResults") != "0").then_some(())
    });
    assert!(begun.is_some());
    drop(connection);
    // Sent again, it creates what is missing and refuses the rest; nothing is there twice.
    let again = client.raw("POST", "/Bulk", &[], Some(body.as_bytes()));
    assert_eq!(again.status, 200);
    for result in again.json()["Operations"].as_array().unwrap() {
        assert!(matches!(result["status"].as_str(), Some("201" | "409")), "{result}");
    }
    let users = client.get("/Users?count=1000").json();
    assert_eq!(users["totalResults"], 200);
    // The client finds each by its name (CRE-015).
    assert_eq!(client.get("/Users?filter=userName+eq+%22u7%22").at("/totalResults"), "1");
    let groups = client.get("/Groups?count=1000").json();
    for group in groups["Resources"].as_array().unwrap() {
        assert_eq!(group["members"].as_array().map(Vec::len), Some(1), "{group}");
    }
});

on_both!(htp_014_err_001_a_target_and_a_head_have_a_limit, |server: &Server| {
    let client = server.client();
    let long = "x".repeat(40 * 1024);
    refused(&client.get(&format!("/Users?filter={long}")), 414);
    refused(&client.get(&format!("/Users/{long}")), 414);
    let anonymous = client.with_token(None);
    refused(&anonymous.get(&format!("/Users?filter={long}")), 414);
    // What the parser itself refuses it answers before there is a request (docs/ERRORS.md), or it
    // ends the connection.
    let huge = "x".repeat(512 * 1024);
    for answer in [
        client.try_raw("GET", &format!("/Users?filter={huge}"), &[], None),
        client.try_raw("GET", "/Users", &[("X-Long", &huge)], None),
    ]
    .into_iter()
    .flatten()
    {
        assert!(matches!(answer.status, 400 | 414 | 431), "{}", answer.status);
    }
    assert_eq!(client.get("/Users").status, 200);
});

on_both!(htp_015_answers_without_a_body_leave_the_connection_sound, |server: &Server| {
    let client = server.client();
    let mut connection = Connection::open(server.address).unwrap();
    for round in 0..3 {
        let made = client.on(
            &mut connection,
            "POST",
            "/Users",
            Some(&json!({"userName": format!("u{round}")})),
        );
        let path = format!("/Users/{}", made.at("/id"));
        let head = client.on(&mut connection, "HEAD", &path, None);
        head.assert_status(200);
        assert_eq!(head.body.len(), 0);
        assert_eq!(head.header("content-type"), Some("application/scim+json"));
        let tag = made.header("etag").unwrap();
        let covered = format!("{path}?excludedAttributes=groups");
        let known = client.request("GET", &covered, &[("If-None-Match", tag)], None);
        connection.send(&known).unwrap();
        let known = connection.receive(false).unwrap();
        known.assert_status(304);
        assert_eq!(known.header("etag"), Some(tag));
        let gone = client.on(&mut connection, "DELETE", &path, None);
        assert_eq!(gone.status, 204);
        assert_eq!(gone.header("content-type"), None);
        assert_eq!(gone.header("transfer-encoding"), None);
        assert!(gone.header("content-length").is_none_or(|length| length == "0"));
        // Had one of them sent a body, it would stand before this answer.
        assert_eq!(client.on(&mut connection, "GET", &path, None).status, 404);
    }
});

on_both!(htp_016_compressed_bodies_are_refused, |server: &Server| {
    let client = server.client();
    let body = b"{\"userName\":\"a\"}";
    for encoding in ["gzip", "br", "deflate", "zstd", "compress", "gzip, identity"] {
        let answer = client.raw("POST", "/Users", &[("Content-Encoding", encoding)], Some(body));
        refused(&answer, 415);
    }
    assert_eq!(client.get("/Users").at("/totalResults"), "0");
    let plain = client.raw("POST", "/Users", &[("Content-Encoding", "identity")], Some(body));
    assert_eq!(plain.status, 201);
});

on_both!(htp_017_whoever_takes_compression_can_read_the_answer, |server: &Server| {
    let client = server.client();
    let id = client.create("/Users", &json!({"userName": "someone"}));
    let answer =
        client.raw("GET", &format!("/Users/{id}"), &[("Accept-Encoding", "gzip, br")], None);
    assert_eq!(answer.status, 200);
    assert!(answer.header("etag").is_some_and(|tag| tag.starts_with("W/")));
    match answer.header("content-encoding") {
        None => assert_eq!(answer.at("/userName"), "someone"),
        Some(encoding) => assert!(["gzip", "br"].contains(&encoding), "{encoding}"),
    }
});

#[test]
fn htp_021_behind_a_proxy_links_are_what_the_proxy_says() {
    for (flags, expected) in [
        (vec!["--behind-proxy"], "https://scim.example.com"),
        (vec![], ""),
        (
            vec!["--behind-proxy", "--public-url", "https://id.example.com/tenant"],
            "https://id.example.com/tenant",
        ),
    ] {
        let server = Server::start_with(Arc::new(Database::sqlite()), &flags, &[]);
        let client = server.client();
        let own = format!("http://{}", server.address);
        let origin = if expected.is_empty() { own.as_str() } else { expected };
        let headers = [("X-Forwarded-Host", "scim.example.com"), ("X-Forwarded-Proto", "https")];
        let body = json!({"userName": "someone"}).to_string();
        let made =
            client.raw("POST", "/Users?attributes=userName", &headers, Some(body.as_bytes()));
        let location = format!("{origin}/scim/v2/Users/{}", made.at("/id"));
        assert_eq!(made.header("location"), Some(location.as_str()), "{flags:?}");
        let schemas = client.raw("GET", "/Schemas?x=y", &headers, None);
        let prefix = format!("{origin}/scim/v2/Schemas/urn:");
        assert!(schemas.at("/Resources/0/meta/location").starts_with(&prefix), "{flags:?}");
    }
}

on_both!(htp_023_a_connection_outlives_a_pause, |server: &Server| {
    let client = server.client();
    let mut connection = Connection::open(server.address).unwrap();
    for round in 0..50 {
        assert_eq!(client.on(&mut connection, "GET", "/Users", None).status, 200, "{round}");
    }
    // Longer than the five seconds after which actix-web would hang up by itself.
    std::thread::sleep(Duration::from_secs(7));
    assert_eq!(client.on(&mut connection, "GET", "/Users", None).status, 200);
});

on_both!(htp_024_a_client_that_asks_first_is_told_to_go_on_or_refused, |server: &Server| {
    let client = server.client();
    let body = b"{\"userName\":\"asked\"}";
    let expecting = |client: &headcount_e2e::Client| {
        let request = client.request("POST", "/Users", &[("Expect", "100-continue")], Some(body));
        request[..request.len() - body.len()].to_vec()
    };
    // The body is sent after the server's word, which the reader skips.
    let mut connection = Connection::open(server.address).unwrap();
    connection.send(&expecting(&client)).unwrap();
    assert_eq!(connection.interim().unwrap(), 100);
    connection.send(body).unwrap();
    assert_eq!(connection.receive(false).unwrap().status, 201);
    // No client without a token is asked for a body.
    for anonymous in [client.with_token(None), client.with_token(Some("hc_wrong"))] {
        let mut connection = Connection::open(server.address).unwrap();
        connection.send(&expecting(&anonymous)).unwrap();
        let answer = connection.receive(false).unwrap();
        refused(&answer, 401);
    }
    assert_eq!(client.get("/Users").at("/totalResults"), "1");
});

/// Asks as a client that takes gzip; returns the answer with its body read, and how long that was on its way.
fn packed(client: &Client, method: &str, path: &str, body: Option<&[u8]>) -> (Response, usize) {
    let mut answer = client.raw(method, path, &[("Accept-Encoding", "br, gzip;q=0.8")], body);
    let sent = answer.body.len();
    if answer.header("content-encoding") == Some("gzip") && method != "HEAD" {
        let mut read = Vec::new();
        GzDecoder::new(&*answer.body).read_to_end(&mut read).expect("it is gzip");
        answer.body = read;
    }
    (answer, sent)
}

on_both!(a9_large_answers_to_reads_are_compressed, |server: &Server| {
    let client = server.client();
    client.post("/Bulk", &creations(300));
    let plain = client.get("/Users?count=300");
    assert_eq!(plain.header("content-encoding"), None);
    assert_eq!(plain.header("vary"), Some("Accept-Encoding"));
    let (list, sent) = packed(&client, "GET", "/Users?count=300", None);
    assert_eq!(list.header("content-encoding"), Some("gzip"));
    assert_eq!(list.header("vary"), Some("Accept-Encoding"));
    assert_eq!(list.header("content-type"), Some("application/scim+json"));
    assert_eq!(list.header("content-length"), Some(sent.to_string().as_str()));
    assert!(sent < plain.body.len() / 5, "{sent} of {}", plain.body.len());
    assert_eq!(list.text(), plain.text());
    let (head, _) = packed(&client, "HEAD", "/Users?count=300", None);
    for name in ["content-encoding", "content-length", "vary", "content-type"] {
        assert_eq!(head.header(name), list.header(name), "{name} of HEAD");
    }
    assert!(head.body.is_empty());
    let search =
        json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"], "count": 300});
    let search = search.to_string();
    for (path, body) in [("/Users/.search", search.as_str()), ("/.search", search.as_str())] {
        let (found, _) = packed(&client, "POST", path, Some(body.as_bytes()));
        assert_eq!(found.header("content-encoding"), Some("gzip"), "{path}");
        assert_eq!(found.at("/Resources/299/userName"), plain.at("/Resources/299/userName"));
    }
    let (schemas, _) = packed(&client, "GET", "/Schemas", None);
    assert_eq!(schemas.header("content-encoding"), Some("gzip"));
    assert_eq!(schemas.header("etag"), client.get("/Schemas").header("etag"), "it is a weak one");
    for refused in ["gzip;q=0", "identity", "br", "gzip;q=0.5, identity;q=1"] {
        let answer = client.raw("GET", "/Users?count=300", &[("Accept-Encoding", refused)], None);
        assert_eq!(answer.header("content-encoding"), None, "{refused}");
        assert_eq!(answer.text(), plain.text());
    }
});

on_both!(a9_a_group_that_is_streamed_is_compressed_as_it_goes, |server: &Server| {
    let client = server.client();
    let mut members = Vec::new();
    for _ in 0..6 {
        let created = client.post("/Bulk", &creations_named(members.len(), 1_000)).json();
        let operations = created["Operations"].as_array().unwrap();
        members.extend(operations.iter().map(|operation| {
            let location = operation["location"].as_str().unwrap();
            json!({"value": location.rsplit('/').next().unwrap()})
        }));
    }
    let id = client.create("/Groups", &json!({"displayName": "large", "members": members}));
    let path = format!("/Groups/{id}");
    let plain = client.get(&path);
    let (group, sent) = packed(&client, "GET", &path, None);
    assert_eq!(group.header("content-encoding"), Some("gzip"));
    assert_eq!(group.header("transfer-encoding"), Some("chunked"));
    assert_eq!(group.header("content-length"), None);
    assert!(sent < plain.body.len() / 3, "{sent} of {}", plain.body.len());
    assert_eq!(group.text(), plain.text());
    assert_eq!(group.header("etag"), plain.header("etag"));
    let tag = plain.header("etag").unwrap();
    let headers = [("If-None-Match", tag), ("Accept-Encoding", "gzip")];
    let known = client.raw("GET", &path, &headers, None);
    known.assert_status(304);
    assert_eq!(known.header("vary"), Some("Accept-Encoding"));
    assert_eq!(known.header("content-encoding"), None);
});

on_both!(a9_small_answers_writes_and_what_holds_a_secret_are_not_compressed, |server: &Server| {
    let client = server.client();
    let plain = |client: &Client, method: &str, path: &str, body: Option<Value>| {
        let body = body.map(|body| body.to_string());
        let (answer, _) = packed(client, method, path, body.as_ref().map(String::as_bytes));
        assert!(answer.status < 300, "{method} {path}: {}", answer.text());
        assert_eq!(answer.header("content-encoding"), None, "{method} {path}");
        answer
    };
    let long = "x".repeat(20_000);
    let user = json!({"userName": "jane", "nickName": long});
    let id = plain(&client, "POST", "/Users", Some(user.clone())).at("/id");
    assert!(plain(&client, "PUT", &format!("/Users/{id}"), Some(user)).body.len() > 20_000);
    plain(&client, "POST", "/Bulk", Some(creations(300)));
    let small = plain(&client, "GET", "/Users?attributes=userName&count=1", None);
    assert_eq!(small.header("vary"), Some("Accept-Encoding"));
    let admin = server.admin("administration");
    let named = json!({"name": "n".repeat(50), "scopes": ["scim:read"]});
    let made = plain(&admin, "POST", "/tokens", Some(named));
    assert!(made.text().contains("hc"), "{}", made.text());
    plain(&admin, "GET", "/audit?limit=1000", None);
    let console = Client { base: String::new(), token: None, ..client };
    let (page, _) = packed(&console, "GET", "/console/login", None);
    assert_eq!(page.header("content-encoding"), None);
});

on_both!(h16_s_k_a_broken_head_is_no_error_of_the_server, |server: &Server| {
    for _ in 0..50 {
        for head in
            ["GET /scim/v2/Users?filter=a eq \"\u{e4}\" HTTP/1.1\r\n\r\n", "\u{1}\u{2}\r\n\r\n"]
        {
            let mut connection = Connection::open(server.address).unwrap();
            connection.send(head.as_bytes()).unwrap();
            assert!(connection.receive(false).is_ok_and(|answer| answer.status == 400));
        }
    }
    assert_eq!(server.metric("headcount_broken_heads_total", ""), 100.0);
    server.terminate();
    assert_eq!(server.stopped(Duration::from_secs(10)), Some(true));
    let log = server.log();
    assert!(!log.contains("ERROR") && !log.contains("stream error"), "{log}");
    let lines = log.matches("clients sent requests whose head could not be read").count();
    assert!((1..=2).contains(&lines), "{log}");
});
