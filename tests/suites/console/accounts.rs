//! Sessions, forms and guesses, as anybody may send them.

use headcount_e2e::on_both;
use serde_json::json;

use crate::support::{PASSWORD, setup_path};
use crate::visitor::{OURS, Visitor};

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
    let form = format!("token={token}&name=x&again=x&days=1&scope=scim%3Aread");
    let sent =
        |headers: &[(&str, &str)], form: &str| owner.post("/console/tokens", headers, form).status;
    assert_eq!(sent(&[OURS], &form), 303);
    assert_eq!(sent(&[], &form), 303, "an old browser says nothing");
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
    // A visitor who is not logged in learns nothing and gets to the form.
    let form = Visitor::of(server).get("/console/login").text();
    assert!(
        form.contains("headcount admin recover NAME") && !form.contains("--database"),
        "{form}"
    );
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
        let page = owner.post_and_follow("/console/settings", &form).text();
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
        let expected = if may { 303 } else { 403 };
        assert_eq!(status("/tokens", "name=x&days=1&scope=scim%3Aread"), expected);
        assert_eq!(status("/connect", "name=y&days=1&scope=scim%3Aread"), expected);
        assert_eq!(status("/resources/Users", "as=csv"), if may { 200 } else { 403 });
        assert_eq!(status("/settings", "act=create-tenant&name=made"), expected);
        for act in ["invite", "role", "remove", "everybody", "delete-tenant"] {
            assert_eq!(
                status("/settings", &format!("act={act}&name=owner&role=auditor")),
                403,
                "{role} {act}"
            );
        }
    }
});

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
    // Recovery ends the sessions that someone else may have.
    let made = server.run(&["admin", "recover", "owner"]);
    let link = String::from_utf8_lossy(&made.stdout).trim().to_owned();
    let path = format!("/console{}", link.rsplit_once("/console").unwrap().1);
    let form = "new=quarry+otter+velvet&again=quarry+otter+velvet";
    assert_eq!(Visitor::of(server).post(&path, &[OURS], form).status, 303);
    assert!(!owner.is_in());
});

on_both!(a_nul_is_a_letter_that_matches_nothing, |server| {
    let owner = Visitor::make_owner(server);
    let form = "name=own%00er&password=x%00y&code=%00";
    assert_eq!(Visitor::of(server).post("/console/login", &[OURS], form).status, 401);
    for path in [
        "?tenant=a%00b",
        "/explain?name=a%00b",
        "/log?name=a%00b&token=a%00b&kind=a%00b",
        "/log/a%00b",
        "/resources/Users?q=a%00b",
        "/resources/Users?q=title%20eq%20%22a%00b%22",
        "/resources/Users/a%00b",
        "/resources/a%00b/a%00b",
        "/audit?by=a%00b&of=a%00b",
        "/tokens/a%00b",
        "/setup/a%00b",
    ] {
        let answer = owner.get(&format!("/console{path}"));
        assert!(answer.status < 500, "{path}: {} {}", answer.status, answer.text());
    }
    let form = format!("token={}&name=a%00b&days=1&scope=scim%3Aread", owner.form_token());
    assert!(owner.post("/console/tokens", &[OURS], &form).status < 500);
    assert!(owner.is_in());
});

on_both!(adm_19_an_export_holds_what_the_search_finds_and_no_formula, |server| {
    let owner = Visitor::make_owner(server);
    let client = server.client();
    for (name, title) in [("=cmd|'/C calc'!A0", "+1"), ("jane@example.com", "say \"hi\", twice")] {
        client.create("/Users", &json!({"userName": name, "title": title, "active": true}));
    }
    client.create("/Users", &json!({"userName": "kim@example.com", "active": false}));
    let export = |kind: &str, search: &str| {
        let form = format!("token={}&as={kind}&{search}", owner.form_token());
        owner.post("/console/resources/Users", &[OURS], &form)
    };
    let csv = export("csv", "q=active+eq+true");
    assert_eq!(csv.header("content-type"), Some("text/csv; charset=utf-8"));
    assert_eq!(
        csv.header("content-disposition"),
        Some("attachment; filename=\"headcount-users.csv\"")
    );
    let text = csv.text();
    let lines: Vec<&str> = text.trim_start_matches('\u{feff}').lines().collect();
    assert_eq!(lines.len(), 3, "a heading and what is active: {text}");
    assert!(lines[0].starts_with("\"id\",\"name\",\"externalId\",\"active\""), "{text}");
    assert!(text.contains(",\"'=cmd|'/C calc'!A0\",") && text.contains(",\"'+1\""), "{text}");
    assert!(text.contains(",\"say \"\"hi\"\", twice\""), "{text}");
    // What a plain text finds on the page is what it finds here.
    assert_eq!(export("csv", "q=kim").text().lines().count(), 2);
    let all = export("json", "q=").json();
    let names = all.as_array().unwrap().iter().map(|one| &one["attributes"]["userName"]);
    assert_eq!(names.count(), 3);
});

on_both!(what_settings_do_the_command_line_does, |server| {
    let owner = Visitor::make_owner(server);
    let run = |arguments: &[&str]| {
        let done = server.run(&[&["admin"], arguments].concat());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        (done.status.success(), text(&done.stdout), text(&done.stderr))
    };
    let (_, link, _) = run(&["invite", "other", "--role", "auditor"]);
    let path = format!("/console{}", link.rsplit_once("/console").unwrap().1);
    let password = PASSWORD.replace(' ', "+");
    let mut other = Visitor::of(server);
    other.take(&other.post(&path, &[OURS], &format!("new={password}&again={password}")));
    let changes = |visitor: &Visitor| {
        let form = format!("token={}&name=x&days=1&scope=scim%3Aread", visitor.form_token());
        visitor.post("/console/tokens", &[OURS], &form).status
    };
    assert!(other.is_in());
    assert_eq!(changes(&other), 403);
    assert!(!run(&["role", "other", "king"]).0);
    assert!(run(&["role", "other", "admin"]).0);
    assert!(!other.is_in(), "another role ends sessions");
    other = Visitor::log_in_as(server, "other", &[], PASSWORD);
    assert_eq!(changes(&other), 303);
    assert!(run(&["log-out", "other"]).0);
    assert!(!other.is_in() && owner.is_in());
    assert!(!run(&["log-out", "nobody"]).0);
    assert!(run(&["remove", "other"]).0);
    assert!(!Visitor::log_in_as(server, "other", &[], PASSWORD).is_in());
    let (done, _, reason) = run(&["remove", "owner"]);
    assert!(!done && reason.contains("this is the last owner"), "{reason}");
    assert!(run(&["log-out"]).0);
    assert!(!owner.is_in());
    let owner = Visitor::log_in(server, &[], PASSWORD);
    let audit = owner.get("/console/audit?of=everything&by=people").text();
    assert!(audit.contains("command line") && audit.contains("deleted"), "{audit}");
    // Every command that a page shows is one that the program knows.
    for path in ["", "/connect", "/tokens", "/log", "/explain", "/audit", "/settings", "/account"] {
        let page = owner.get(&format!("/console{path}")).text();
        let shown = page.split("<pre tabindex=\"0\"><code>").skip(1);
        let ours: Vec<&str> = shown
            .map(|code| code.split("</code>").next().unwrap())
            .filter_map(|code| code.split_once(" --database "))
            .filter_map(|(_, rest)| rest.split_once(' '))
            .map(|(_, command)| command)
            .collect();
        assert!(!ours.is_empty(), "{path} shows no command");
        for command in ours {
            let words: Vec<&str> = command.split_whitespace().take(2).collect();
            let help = server.run(&[words.as_slice(), &["--help"]].concat());
            assert!(help.status.success(), "{path}: {command}");
        }
    }
});
