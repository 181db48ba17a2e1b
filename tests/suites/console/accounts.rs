//! Sessions, forms and guesses, as anybody may send them.

use std::sync::Arc;

use headcount_e2e::{Client, Database, Response, Server, on_both};

use crate::support::{PASSWORD, setup_path};

/// A client that behaves like a browser, but for what a test changes.
struct Visitor {
    client: Client,
    cookie: String,
}

const OURS: (&str, &str) = ("Sec-Fetch-Site", "same-origin");
const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

impl Visitor {
    fn of(server: &Server) -> Self {
        let client = Client { address: server.address, token: None, base: String::new() };
        Self { client, cookie: String::new() }
    }

    fn get(&self, path: &str) -> Response {
        self.client.raw("GET", path, &[("Cookie", self.cookie.as_str())], None)
    }

    fn post(&self, path: &str, headers: &[(&str, &str)], body: &str) -> Response {
        let headers = [&[FORM, ("Cookie", self.cookie.as_str())], headers].concat();
        self.client.raw("POST", path, &headers, Some(body.as_bytes()))
    }

    /// Takes the session out of an answer.
    fn take(&mut self, response: &Response) {
        let cookie = response.header("set-cookie").unwrap_or_default();
        self.cookie = cookie.split(';').next().unwrap_or_default().to_owned();
    }

    fn make_owner(server: &Server) -> Self {
        let mut visitor = Self::of(server);
        let password = PASSWORD.replace(' ', "+");
        let form = format!("name=owner&new={password}&again={password}");
        let made = visitor.post(&setup_path(server), &[OURS], &form);
        assert_eq!(made.status, 303, "{}", made.text());
        visitor.take(&made);
        visitor
    }

    fn log_in(server: &Server, headers: &[(&str, &str)], password: &str) -> Self {
        let mut visitor = Self::of(server);
        let form = format!("name=owner&password={}", password.replace(' ', "+"));
        let answer = visitor.post("/console/login", &[&[OURS], headers].concat(), &form);
        if answer.status == 303 {
            visitor.take(&answer);
        }
        visitor
    }

    fn is_in(&self) -> bool {
        self.get("/console").status == 200
    }

    fn form_token(&self) -> String {
        let page = self.get("/console").text();
        let value = page.split("name=\"token\" value=\"").nth(1).unwrap_or_default();
        value.split('"').next().unwrap_or_default().to_owned()
    }
}

on_both!(adm_08_09_10_21_cookies_forms_and_headers_are_strict, |server| {
    let owner = Visitor::make_owner(server);
    assert!(owner.is_in());
    let made = Visitor::of(server).post(
        "/console/login",
        &[OURS],
        &format!("name=owner&password={}", PASSWORD.replace(' ', "+")),
    );
    let cookie = made.header("set-cookie").unwrap();
    assert!(cookie.starts_with("headcount=") && !cookie.contains("Secure"), "{cookie}");
    for part in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let page = owner.get("/console");
    assert_eq!(page.header("cache-control"), Some("no-store"));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    for (name, value) in
        [("x-content-type-options", "nosniff"), ("cross-origin-opener-policy", "same-origin")]
    {
        assert_eq!(page.header(name), Some(value));
    }
    // A form counts when the browser says that it is ours, and carries the session's own token.
    let token = owner.form_token();
    let form = format!("token={token}&name=x&days=1&scope=scim%3Aread");
    let sent =
        |headers: &[(&str, &str)], form: &str| owner.post("/console/tokens", headers, form).status;
    assert_eq!(sent(&[OURS], &form), 200);
    assert_eq!(sent(&[], &form), 200, "an old browser says nothing");
    for foreign in ["cross-site", "same-site", "none"] {
        assert_eq!(sent(&[("Sec-Fetch-Site", foreign)], &form), 403, "{foreign}");
    }
    assert_eq!(sent(&[("Origin", "null")], &form), 403);
    assert_eq!(sent(&[("Origin", "https://evil.example")], &form), 403);
    assert_eq!(sent(&[OURS], "name=x&days=1&scope=scim%3Aread"), 403);
    assert_eq!(sent(&[OURS], &form.replace(token.get(..8).unwrap(), "00000000")), 403);
    assert_eq!(
        Visitor::of(server).post("/console/login", &[], "name=owner&password=x").status,
        403
    );
    // The protocol knows no cookies.
    let answer = owner.get("/scim/v2/Users");
    assert_eq!(answer.status, 401);
    // Whoever is not logged in learns nothing and gets to the form.
    for path in ["", "/tokens", "/resources/Users", "/log", "/settings", "/connect/heard"] {
        let answer = Visitor::of(server).get(&format!("/console{path}"));
        assert_eq!(answer.status, 303, "{path}");
        assert!(answer.header("location").unwrap().starts_with("/console/login"), "{path}");
    }
    let out = owner.post("/console/logout", &[OURS], &format!("token={token}"));
    assert!(out.header("clear-site-data").is_some());
    assert!(!owner.is_in());
});

on_both!(adm_13_what_each_role_may_do, |server| {
    let owner = Visitor::make_owner(server);
    let token = owner.form_token();
    for role in ["auditor", "admin"] {
        let form = format!("token={token}&act=invite&name={role}&role={role}");
        let page = owner.post("/console/settings", &[OURS], &form).text();
        let link = page.split("/console/setup/").nth(1).unwrap().split('"').next().unwrap();
        let mut other = Visitor::of(server);
        let password = PASSWORD.replace(' ', "+");
        let made = other.post(
            &format!("/console/setup/{link}"),
            &[OURS],
            &format!("new={password}&again={password}"),
        );
        other.take(&made);
        let own = other.form_token();
        for path in ["", "/tokens", "/resources/Users", "/log", "/audit", "/settings", "/explain"] {
            assert_eq!(other.get(&format!("/console{path}")).status, 200, "{role} {path}");
        }
        let status = |path: &str, form: &str| {
            other.post(&format!("/console{path}"), &[OURS], &format!("token={own}&{form}")).status
        };
        let may = role == "admin";
        let expected = if may { 200 } else { 403 };
        assert_eq!(status("/tokens", "name=x&days=1&scope=scim%3Aread"), expected);
        assert_eq!(status("/connect", "name=x&days=1&scope=scim%3Aread"), expected);
        assert_eq!(status("/resources/Users", "as=csv"), expected);
        assert_eq!(status("/settings", "act=create-tenant&name=made"), if may { 303 } else { 403 });
        for act in ["invite", "role", "remove", "everybody", "delete-tenant"] {
            assert_eq!(
                status("/settings", &format!("act={act}&name=owner&role=auditor")),
                403,
                "{role} {act}"
            );
        }
    }
});

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
    let there = |cookie: &Visitor| Visitor {
        client: Visitor::of(&two).client,
        cookie: cookie.cookie.clone(),
    };
    assert!(here.is_in() && there(&here).is_in(), "log-in on one works on the other");
    let form = format!("token={}", here.form_token());
    there(&here).post("/console/logout", &[OURS], &form);
    assert!(!here.is_in() && !there(&here).is_in());

    // A thousand guesses from a thousand addresses, at both replicas.
    for guess in 0..1_000_u32 {
        let server = if guess % 2 == 0 { &one } else { &two };
        let address = format!("203.0.{}.{}", guess / 250, guess % 250);
        let visitor = Visitor::log_in(server, &[("X-Forwarded-For", &address)], "not the password");
        assert!(visitor.cookie.is_empty());
    }
    let counted = headcount_e2e::server::psql(
        &database.url,
        "SELECT amount FROM login_failures WHERE subject = 'to owner'",
    );
    assert!((7..=100).contains(&counted.parse::<i32>().unwrap()), "{counted} were looked at");
    let stranger = Visitor::log_in(&two, &[from("198.51.100.1")], PASSWORD);
    assert!(stranger.cookie.is_empty(), "the account waits for those it does not know");
    assert!(Visitor::log_in(&two, &home, PASSWORD).is_in(), "the admin gets in");
    // Also from the other replica, and after a restart.
    drop(one);
    let three = Server::start_with(database, &proxied, &[]);
    assert!(Visitor::log_in(&three, &[from("198.51.100.2")], PASSWORD).cookie.is_empty());
    assert!(Visitor::log_in(&three, &home, PASSWORD).is_in());
}

on_both!(adm_03_the_setup_link_is_in_a_private_file_and_no_log, |server| {
    use std::os::unix::fs::PermissionsExt as _;
    let path = setup_path(server);
    let secret = path.rsplit('/').next().unwrap();
    assert!(!server.log().contains(secret));
    let name = if server.database.is_postgres() {
        "headcount-setup-link"
    } else {
        "headcount.db-setup-link"
    };
    let file = server.database.path().join(name);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    // A new one is printed whole, and works as well.
    let made = server.run(&["admin", "setup-link"]);
    let printed = String::from_utf8_lossy(&made.stdout).trim().to_owned();
    assert!(printed.starts_with(&format!("http://{}/console/setup/", server.address)), "{printed}");
    let missing = server.run(&["admin", "recover", "owner"]);
    assert!(String::from_utf8_lossy(&missing.stderr).contains("there is no account \"owner\""));
    let owner = Visitor::make_owner(server);
    assert!(owner.is_in());
    for link in [path.as_str(), printed.rsplit_once("/console").map(|(_, rest)| rest).unwrap()] {
        let link = format!("/console{}", link.trim_start_matches("/console"));
        assert_eq!(Visitor::of(server).get(&link).status, 404, "{link}");
    }
    assert!(!server.run(&["admin", "setup-link"]).status.success());
    let listed = server.run(&["admin", "list"]);
    assert!(String::from_utf8_lossy(&listed.stdout).contains("owner"));
    // Recovery ends the sessions that somebody else may have.
    let made = server.run(&["admin", "recover", "owner"]);
    let link = String::from_utf8_lossy(&made.stdout).trim().to_owned();
    let path = format!("/console{}", link.rsplit_once("/console").unwrap().1);
    let form = "new=quarry+otter+velvet&again=quarry+otter+velvet";
    assert_eq!(Visitor::of(server).post(&path, &[OURS], form).status, 303);
    assert!(!owner.is_in());
});
