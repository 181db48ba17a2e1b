//! No principal hands out more than it has.

use headcount_e2e::visitor::OURS;
use headcount_e2e::{Client, Server, Visitor, on_both};
use serde_json::{Value, json};

/// Makes a token on the page of tokens and returns the status.
fn console_token(who: &Visitor, scopes: &[&str]) -> u16 {
    let scopes: String = scopes.iter().map(|scope| format!("&scope={scope}")).collect();
    let form = format!("token={}&name=x&again=x&days=1{scopes}", who.form_token());
    who.post("/console/tokens", &[OURS], &form).status
}

on_both!(adm_13_an_admin_makes_no_token_that_deletes_tenants, |server: &Server| {
    let owner = Visitor::make_owner(server);
    let admin = owner.invite(server, "second", "admin");
    let everything = ["admin%3Aread", "admin%3Awrite", "tenants%3Aall"];
    assert_eq!(console_token(&admin, &everything), 403);
    assert_eq!(console_token(&admin, &["admin%3Aread", "admin%3Awrite"]), 303);
    assert_eq!(console_token(&owner, &everything), 303);
});

/// Makes a token through the admin API and returns the status and why it was refused.
fn api_token(admin: &Client, body: &Value) -> (u16, String) {
    let headers = [("Content-Type", "application/json")];
    let made = admin.raw("POST", "/tokens", &headers, Some(body.to_string().as_bytes()));
    (made.status, made.at("/detail"))
}

/// A client of the admin API whose token works from here alone, for a day.
fn narrow(server: &Server) -> Client {
    let limits = ["--scope", "admin:write", "--cidr", "127.0.0.0/8", "--expires", "1d"];
    let token = server.token(&limits);
    Client { base: "/api/v1".to_owned(), ..Client::new(server.address, &token) }
}

on_both!(tok_a_token_makes_none_that_works_outside_its_networks, |server: &Server| {
    let admin = narrow(server);
    for cidrs in [json!(["0.0.0.0/0"]), json!(["127.0.0.1", "203.0.113.9"])] {
        let (status, detail) = api_token(&admin, &json!({"name": "x", "cidrs": cidrs}));
        assert_eq!(status, 403, "{cidrs}");
        assert!(detail.starts_with("cidrs: "), "{detail}");
    }
    assert_eq!(api_token(&admin, &json!({"name": "x", "cidrs": ["127.0.0.1"]})).0, 201);
});

on_both!(s7_a_token_without_networks_has_those_of_its_maker, |server: &Server| {
    let body = json!({"name": "x", "expiresIn": 60}).to_string();
    let headers = [("Content-Type", "application/json")];
    let made = narrow(server).raw("POST", "/tokens", &headers, Some(body.as_bytes()));
    assert_eq!(made.status, 201, "{}", made.text());
    assert_eq!(made.json()["cidrs"], json!(["127.0.0.0/8"]));
});

on_both!(tok_a_token_makes_none_that_outlives_it, |server: &Server| {
    let admin = narrow(server);
    let body = |expires: u32| json!({"name": "x", "cidrs": ["127.0.0.1"], "expiresIn": expires});
    let (status, detail) = api_token(&admin, &body(86_500));
    assert_eq!(status, 403);
    assert!(detail.starts_with("expiresIn: "), "{detail}");
    assert_eq!(api_token(&admin, &body(3_600)).0, 201);
});

on_both!(tok_a_token_rotates_none_that_works_outside_its_networks, |server: &Server| {
    let admin = narrow(server);
    let made = server.run(&["token", "create", "--name", "idp", "--output", "json"]);
    let made: Value = serde_json::from_slice(&made.stdout).unwrap();
    let path = format!("/tokens/{}/rotate", made["id"].as_str().unwrap());
    let rotated = admin.raw("POST", &path, &[], None);
    assert_eq!(rotated.status, 403, "{}", rotated.text());
    assert_eq!(rotated.at("/type"), "urn:headcount:problem:grant");
});
