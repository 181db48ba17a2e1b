//! What admins do, with and without JavaScript.

use std::time::{Duration, Instant};

use headcount_e2e::browser::Troubles;
use headcount_e2e::server::wait_for;
use headcount_e2e::{Client, LAN, Page};

use crate::support::{PASSWORD, Site};

/// Runs a flow with JavaScript and without it.
macro_rules! both_ways {
    ($name:ident, $flow:expr) => {
        mod $name {
            use super::*;

            #[test]
            fn with_scripts() {
                let flow: fn(bool) = $flow;
                flow(true);
            }

            #[test]
            fn without_scripts() {
                let flow: fn(bool) = $flow;
                flow(false);
            }
        }
    };
}

fn log_in(site: &Site, page: &Page, name: &str, password: &str) {
    page.goto(&site.url("/login"));
    page.fill("#name", name);
    page.fill("#password", password);
    page.follow("form.card button");
}

both_ways!(from_an_empty_directory_to_a_green_connection_test, |scripts| {
    let started = Instant::now();
    let site = Site::new();
    // Name, password, password, send: then the page of the identity provider, and its token.
    let page = site.owner(scripts);
    page.wait_for("Create a token below");
    page.follow("nav.tabs li:nth-child(2) a");
    page.wait_for("Enter this in Okta");
    page.follow(".steps form button");
    page.wait_for("This is your new token.");
    let (base, token) = (page.value("#field-0"), page.value("#field-4"));
    assert_eq!(base, format!("{}/scim/v2", site.origin()));
    if scripts {
        // Both values are taken over with a click each.
        for button in ["[data-copy='field-0']", "[data-copy='field-4']"] {
            page.click(button);
        }
        page.wait_for("Copied");
    }
    let (clicks, ready) = (page.clicks(), started.elapsed());

    // What Okta's test sends, first with a token that lost its end.
    let client = Client::new(site.server.address, &token);
    let cut = client.with_token(token.get(..token.len() - 3));
    assert_eq!(cut.get("/Users?startIndex=1&count=1").status, 401);
    let refresh = |page: &Page| {
        if !scripts {
            page.follow("nav.tabs li:nth-child(2) a");
        }
    };
    if scripts {
        page.wait_for("was refused (401)");
        page.wait_for("Paste the whole token");
        assert_eq!(page.eval("document.querySelector('.heard').className"), "heard bad");
    }
    assert_eq!(client.get("/Users?startIndex=1&count=1").status, 200);
    // A stranger's scanner and another token turn nothing.
    let stranger = client.with_token(None);
    stranger.raw("GET", "/wp-login.php", &[], None);
    assert_eq!(cut.get("/Users?count=1").status, 401);
    if scripts {
        let good = takes(&page, "It works.");
        assert_eq!(page.eval("document.querySelector('.heard').className"), "heard good");
        // On a machine that is busy, one of several tries has to be in time.
        let root = Client { base: String::new(), ..client.clone() };
        let tries = (0..4).flat_map(|_| {
            assert_eq!(root.get("/Users?count=1").status, 404);
            let bad = takes(&page, "wrong URL");
            assert_eq!(client.get("/Users?count=1").status, 200);
            [(true, bad), (false, takes(&page, "It works."))]
        });
        let tries: Vec<_> = tries.chain([(false, good)]).collect();
        for bad in [true, false] {
            let times = tries.iter().filter(|(one, _)| *one == bad).map(|(_, time)| *time);
            let best = times.min().unwrap();
            println!("the panel shows {} after {best:?}", if bad { "red" } else { "green" });
            assert!(best < Duration::from_secs(1), "{tries:?}");
        }
    } else {
        let idle =
            "[...document.querySelectorAll('[data-copy]')].every(b => b.offsetParent === null)";
        assert_eq!(page.eval(idle), true, "what needs a script is not shown without one");
        // Without a script, the page is looked at again.
        page.follow(".heard noscript a");
        let reported = wait_for(Duration::from_secs(20), || {
            let there = page.text().contains("It works.");
            if !there {
                page.goto(&page.url());
            }
            there.then_some(())
        });
        assert!(reported.is_some(), "{}", page.text());
    }
    refresh_is_harmless(&page, &site, refresh);
    println!(
        "from the start of the server to the token: {:.1} s, {clicks} clicks, 3 fields; to a green test: {:.1} s",
        ready.as_secs_f64(),
        started.elapsed().as_secs_f64()
    );
    site.is_clean(&page);
});

/// How long the page takes to show a text.
fn takes(page: &Page, text: &str) -> Duration {
    let started = Instant::now();
    page.wait_for(text);
    started.elapsed()
}

#[test]
fn over_plain_http_on_a_network_people_log_in_and_copy() {
    let site = Site::new();
    let origin = format!("http://{LAN}:{}", site.server.address.port());
    let page = site.browser.page();
    page.goto(&format!("{origin}{}", site.setup_path()));
    assert_eq!(page.eval("window.isSecureContext"), false, "as on a network without TLS");
    page.fill("#name", "owner");
    page.fill("#new", PASSWORD);
    page.fill("#again", PASSWORD);
    page.follow("form.card button");
    page.follow(".steps form button");
    page.wait_for("This is your new token.");
    let token = page.value("#field-1");
    page.click("[data-copy='field-1']");
    page.wait_for("Copied");
    // What was copied is pasted somewhere else.
    page.goto(&format!("{origin}/console/explain"));
    page.paste("#name");
    assert_eq!(page.value("#name"), token);
    page.follow(".who form button.link");
    page.fill("#name", "owner");
    page.fill("#password", PASSWORD);
    page.follow("form.card button");
    page.wait_for("Overview");
    assert_eq!(page.troubles(&origin), Troubles::default());
}

fn refresh_is_harmless(page: &Page, site: &Site, refresh: impl Fn(&Page)) {
    page.goto(&site.url("/connect?idp=okta"));
    refresh(page);
    assert!(!page.text().contains("hc_"), "a token is shown once");
}

both_ways!(a_token_is_made_rotated_and_revoked, |scripts| {
    let site = Site::new();
    let page = site.owner(scripts);
    page.goto(&site.url("/tokens"));
    page.fill("#name", "entra");
    page.fill("#cidrs", "10.0.0.0/8, nonsense");
    page.follow("form[action='/console/tokens'] button");
    page.wait_for("\"nonsense\" is not a network such as 203.0.113.0/24");
    assert_eq!(page.value("#name"), "entra", "what was entered stays");
    page.fill("#cidrs", "127.0.0.0/8");
    page.fill("#days", "9999");
    page.follow("form[action='/console/tokens'] button");
    page.wait_for("the life of a token is at most");
    page.fill("#days", "30");
    page.follow("form[action='/console/tokens'] button");
    page.wait_for("Copy the token now");
    let first = Client::new(site.server.address, &page.value("#secret"));
    assert_eq!(first.get("/Users").status, 200);
    page.follow("a.button");
    page.wait_for("entra");
    assert!(!page.text().contains(first.token.as_deref().unwrap()));
    page.follow("td a");
    page.click("details.card summary");
    page.fill("#hours", "1000");
    page.follow("details[open] button");
    page.wait_for("at most 30 days");
    page.fill("#hours", "2");
    page.follow("details[open] button");
    page.wait_for("Copy the token now");
    let second = Client::new(site.server.address, &page.value("#secret"));
    first.get("/Users").assert_status(200);
    second.get("/Users").assert_status(200);
    page.follow(".note a");
    page.wait_for("Replaced by");
    page.click("details.danger summary");
    page.follow("details.danger button");
    page.wait_for("revoked");
    first.get("/Users").assert_status(401);
    second.get("/Users").assert_status(200);
    page.goto(&site.url("/audit"));
    for done in ["created", "rotated", "revoked", "owner (console)"] {
        page.wait_for(done);
    }
    site.is_clean(&page);
});

both_ways!(people_are_found_and_explained, |scripts| {
    let site = Site::new();
    let page = site.owner(scripts);
    site.populate();
    page.goto(&site.url("/resources/Users"));
    page.fill("#q", "jan");
    page.follow("form.search button");
    assert!(page.text().contains("jane@example.com") && !page.text().contains("lena@"));
    page.fill("#q", "active eq false");
    page.follow("form.search button");
    assert!(page.text().contains("omar@example.com") && !page.text().contains("jane@"));
    page.fill("#q", "userName eq jane und");
    page.follow("form.search button");
    assert_eq!(page.value("#q"), "userName eq jane und");
    assert!(
        page.eval("document.querySelector('#q-error mark') !== null") == true,
        "{}",
        page.text()
    );
    page.goto(&site.url("/resources/Users?q=jane"));
    page.follow("td a");
    for shown in ["Engineering", "Research", "Lead", "Timeline", "created"] {
        page.wait_for(shown);
    }
    page.follow(".head a[href^='/console/explain']");
    page.wait_for("is here");
    page.fill("#name", "sven@example.com");
    page.follow("form.search button");
    page.wait_for("was here and has been deleted");
    page.goto(&site.url("/log?status=failed"));
    page.wait_for("another resource already has this userName");
    page.follow(".log a");
    page.wait_for("Request body");
    page.goto(&site.url("/resources/Groups"));
    page.follow("td a");
    page.wait_for("jane@example.com");
    site.is_clean(&page);
});

both_ways!(accounts_are_invited_changed_and_removed, |scripts| {
    let site = Site::new();
    let page = site.owner(scripts);
    page.goto(&site.url("/settings"));
    page.click("section[aria-labelledby=admins] > details.card summary");
    page.fill("#invite-name", "not a name");
    page.follow("details[open] button");
    page.wait_for("use 1 to 64 letters");
    page.fill("#invite-name", "reader");
    page.follow("section[aria-labelledby=admins] > details[open] button");
    page.wait_for("Give this link to reader");
    let link = page.value("#link");

    let other = site.browser.page();
    other.scripts(scripts);
    other.goto(&link);
    other.fill("#new", "short");
    other.fill("#again", "short");
    other.follow("form.card button");
    other.wait_for("at least 15 characters");
    other.fill("#new", PASSWORD);
    other.fill("#again", PASSWORD);
    other.follow("form.card button");
    other.wait_for("Overview");
    other.goto(&site.url("/tokens"));
    other.wait_for("This tenant has no token.");

    page.goto(&site.url("/settings"));
    let change = |page: &Page, act: &str| {
        page.click("tr:nth-child(2) summary");
        page.follow(&format!("tr:nth-child(2) button[value={act}]"));
    };
    change(&page, "role");
    page.wait_for("All sessions of the account have ended");
    other.goto(&site.url("/tokens"));
    assert!(other.url().contains("/console/login"), "{}", other.url());
    log_in(&site, &other, "reader", PASSWORD);
    other.wait_for("Overview");
    change(&page, "remove");
    page.wait_for("The account has been removed");
    other.goto(&site.url(""));
    other.wait_for("Log in");
    // The last owner stays.
    page.click("tr:nth-child(1) summary");
    page.follow("tr:nth-child(1) button[value=remove]");
    page.wait_for("this is the last owner");
    site.is_clean(&page);
    site.is_clean(&other);
});

both_ways!(the_account_and_the_tenant_are_set, |scripts| {
    let site = Site::new();
    let page = site.owner(scripts);
    page.goto(&site.url("/account"));
    let new = "quarry otter velvet";
    page.fill("#old", "wrong");
    page.fill("#new", new);
    page.fill("#again", new);
    page.follow("section.card:nth-of-type(1) button");
    page.wait_for("this is not your password");
    page.fill("#old", PASSWORD);
    page.fill("#new", new);
    page.fill("#again", new);
    page.follow("section.card:nth-of-type(1) button");
    page.wait_for("Your password has changed");
    page.fill("#code", "000000");
    page.follow("section.card:nth-of-type(2) button:not([data-copy])");
    page.wait_for("this code is not valid now");

    page.goto(&site.url("/settings"));
    page.click("section[aria-labelledby=tenants] > details:nth-of-type(1) summary");
    page.fill("#tenant-name", "second");
    page.follow("section[aria-labelledby=tenants] > details[open] button");
    page.wait_for("The tenant has been created.");
    assert_eq!(page.value("#tenant"), "second", "the new tenant is the chosen one");
    page.goto(&site.url("/tokens"));
    assert_eq!(page.value("#tenant"), "second");
    page.goto(&site.url("/account"));
    page.follow("section.card:nth-of-type(3) button");
    page.wait_for("Log in");
    log_in(&site, &page, "owner", PASSWORD);
    page.wait_for("name, password or code is wrong");
    log_in(&site, &page, "owner", new);
    page.wait_for("Overview");
    page.follow(".who form button.link");
    page.wait_for("Log in");
    site.is_clean(&page);
});

#[test]
fn a_token_is_made_with_the_keyboard_alone() {
    let site = Site::new();
    let page = site.owner(true);
    page.goto(&site.url("/tokens"));
    let focused = |page: &Page| {
        let script = "document.activeElement.id || document.activeElement.innerText || ''";
        page.eval(script).as_str().unwrap_or_default().to_owned()
    };
    let tab_to = |wanted: &str| {
        for _ in 0..60 {
            page.press("Tab", "Tab", 9);
            if focused(&page).trim() == wanted {
                let ring = page.eval("getComputedStyle(document.activeElement).outlineStyle");
                assert_ne!(ring, "none", "the focus on {wanted} is seen");
                return;
            }
        }
        panic!("{wanted} is not reached with Tab");
    };
    page.press("Tab", "Tab", 9);
    assert_eq!(focused(&page), "Skip to content");
    tab_to("name");
    page.write("by keyboard");
    tab_to("days");
    tab_to("Create token");
    page.press_and_follow("Enter", "Enter", 13);
    page.wait_for("Copy the token now");
    tab_to("secret");
    let selected = page.eval("getSelection().toString() || document.activeElement.value");
    assert!(selected.as_str().unwrap().starts_with("hc_"));
    site.is_clean(&page);
}
