//! How people come in: the link on the terminal, codes from an authenticator, the password again.

use std::io::Read as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use headcount_e2e::server::{binary, psql, wait_for};
use headcount_e2e::{Database, Server};

use crate::support::{PASSWORD, Site};
use crate::visitor::{OURS, Visitor};

#[test]
fn adm_03_on_a_terminal_the_setup_link_is_printed_and_no_file_is_left() {
    let database = Database::sqlite();
    let binary = binary();
    let serve =
        format!("exec {} serve --database {} --listen 127.0.0.1:0", binary.display(), database.url);
    // `script` gives the server a terminal; it ends with it.
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--command", &serve, "/dev/null"]);
    command.current_dir(database.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut screen = child.stdout.take().unwrap();
    let (sender, seen) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut some = [0; 4_096];
        while let Ok(length) = screen.read(&mut some) {
            if length == 0 || sender.send(some[..length].to_vec()).is_err() {
                return;
            }
        }
    });
    let mut shown = String::new();
    let link = wait_for(Duration::from_secs(20), || {
        shown.extend(seen.try_iter().map(|some| String::from_utf8_lossy(&some).into_owned()));
        let rest = shown.split("/console/setup/").nth(1)?;
        rest.split_once(char::is_whitespace).map(|(secret, _)| secret.to_owned())
    });
    drop(child.kill());
    drop(child.wait());
    let link = link.unwrap_or_else(|| panic!("no link on the terminal: {shown}"));
    assert!(link.len() >= 32, "{link}");
    assert!(shown.contains("make the first account with this link, within an hour"), "{shown}");
    let names = std::fs::read_dir(database.path()).unwrap().map(|entry| entry.unwrap().file_name());
    for name in names {
        assert!(!name.to_string_lossy().contains("setup-link"), "{name:?}");
    }
}

#[expect(clippy::disallowed_methods, reason = "an authenticator has a clock of its own")]
fn steps_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / 30
}

/// Waits if the next step begins soon, so that a code of the step before still counts when it arrives.
#[expect(clippy::disallowed_methods, reason = "an authenticator has a clock of its own")]
fn keep_away_from_the_next_step() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let left = 30 - now.as_secs() % 30;
    if left < 10 {
        std::thread::sleep(Duration::from_secs(left));
    }
}

/// The code that an authenticator shows for a key as the page shows it, some steps from now.
fn code(key: &str, steps: i64) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let (mut bits, mut held, mut bytes) = (0_u32, 0, Vec::new());
    for letter in key.bytes().filter(|letter| *letter != b' ') {
        let value = ALPHABET.iter().position(|known| *known == letter).unwrap();
        bits = (bits << 5) | u32::try_from(value).unwrap();
        held += 5;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from((bits >> held) & 0xff).unwrap());
        }
    }
    let step = steps_now().saturating_add_signed(steps);
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &bytes);
    let digest = ring::hmac::sign(&key, &step.to_be_bytes());
    let digest = digest.as_ref();
    let offset = usize::from(digest[19] & 0x0f);
    let four: [u8; 4] = digest[offset..offset + 4].try_into().unwrap();
    format!("{:06}", (u32::from_be_bytes(four) & 0x7fff_ffff) % 1_000_000)
}

fn codes(scripts: bool) {
    let site = Site::new();
    let page = site.owner(scripts);
    page.goto(&site.url("/account"));
    let key = page.value("#secret");
    keep_away_from_the_next_step();
    let used = code(&key, -1);
    page.fill("#code", &used);
    page.follow("section.card:nth-of-type(2) button:not([data-copy])");
    page.wait_for("Log-in now also asks for a code.");
    page.follow(".who form button.link");
    let log_in = |code: &str| {
        page.fill("#name", "owner");
        page.fill("#password", PASSWORD);
        page.fill("#code", code);
        page.follow("form.card button");
    };
    log_in("");
    page.wait_for("name, password or code is wrong");
    // The code that was used is used up; those of the half minutes before and after count.
    log_in(&used);
    page.wait_for("name, password or code is wrong");
    log_in(&code(&key, 0));
    page.wait_for("Overview");
    page.goto(&site.url("/account"));
    page.fill("#end-code", &code(&key, 1));
    page.follow("section.card:nth-of-type(2) button.bad");
    page.wait_for("Log-in no longer asks for codes.");
    site.is_clean(&page);
}

#[test]
fn adm_16_codes_are_set_up_asked_for_and_given_up_with_scripts() {
    codes(true);
}

#[test]
fn adm_16_codes_are_set_up_asked_for_and_given_up_without_scripts() {
    codes(false);
}

#[test]
fn s17_a_server_hashes_with_64_mib_and_seals_second_factors() {
    let database = Arc::new(Database::postgres());
    let server = Server::start_with(Arc::clone(&database), &[], &[]);
    let owner = Visitor::make_owner(&server);
    let hash = psql(&database.url, "SELECT phc FROM admins");
    assert!(hash.starts_with("$argon2id$v=19$m=65536,t=3,p=1$"), "{hash}");
    let page = owner.get("/console/account").text();
    let key = page.split("name=\"secret\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let (token, typed, code) = (owner.form_token(), key.replace(' ', "+"), code(key, 0));
    let form = format!("token={token}&act=codes&secret={typed}&code={code}");
    assert_eq!(owner.post("/console/account", &[OURS], &form).status, 303);
    // A format, a nonce of 24 bytes, the secret's 20, a tag of 16.
    let length = || psql(&database.url, "SELECT length(totp) FROM admins");
    assert_eq!(length(), "61");
    drop(server);
    // What an earlier release stored is sealed at the start.
    psql(&database.url, "UPDATE admins SET totp = decode(repeat('07', 20), 'hex')");
    let server = Server::start_with(Arc::clone(&database), &[], &[]);
    assert_eq!(length(), "61");
    drop(server);
}

#[test]
fn adm_14_five_minutes_after_the_password_dangerous_acts_ask_for_it_again() {
    let server = Server::start(Database::postgres());
    let owner = Visitor::make_owner(&server);
    let token = owner.form_token();
    let asks = |path: &str| owner.get(path).text().contains("needed again after five minutes");
    assert!(!asks("/console/tokens"));
    let later = "UPDATE admin_sessions SET proven = proven - 301000000";
    psql(&server.database.url, later);
    let made = owner.post(
        "/console/tokens",
        &[OURS],
        &format!("token={token}&name=kept&days=1&scope=scim%3Aread"),
    );
    assert_eq!(made.status, 422);
    assert!(
        made.text().contains("enter your password to continue") && made.text().contains("kept")
    );
    for path in ["/console/tokens", "/console/connect", "/console/settings", "/console/account"] {
        assert!(asks(path), "{path}");
    }
    let acts = [
        ("/console/tokens", "name=x&days=1&scope=scim%3Aread", 303),
        ("/console/connect", "name=y&days=1&scope=scim%3Aread", 303),
        ("/console/settings", "act=invite&name=x&role=auditor", 303),
        ("/console/settings", "act=role&name=owner&role=owner", 303),
        // The password is right, and the code is not.
        ("/console/account", "act=no-codes&code=1", 422),
    ];
    for (path, form, done) in acts {
        psql(&server.database.url, later);
        let send = |password: &str| {
            let form = format!("token={token}&{form}&password={password}");
            owner.post(path, &[OURS], &form)
        };
        assert_eq!(send("").status, 422, "{path} {form}");
        let wrong = send("not+the+password");
        assert_eq!(wrong.status, 422, "{path} {form}");
        assert!(wrong.text().contains("this is not your password"), "{path} {form}");
        if form.contains("act=role") {
            continue; // It would end the session.
        }
        let right = send(&PASSWORD.replace(' ', "+"));
        assert_eq!(right.status, done, "{path} {form}: {}", right.text());
        assert!(!right.text().contains("this is not your password"), "{path} {form}");
    }
    // Personal data leaves only after the password, too.
    psql(&server.database.url, later);
    let export = |password: &str| {
        let form = format!("token={token}&as=csv&password={password}");
        owner.post("/console/resources/Users", &[OURS], &form).status
    };
    assert_eq!(export(""), 401);
    assert_eq!(export(&PASSWORD.replace(' ', "+")), 200);
}

#[test]
fn adm_09_over_https_the_session_has_a_name_that_only_this_host_can_set() {
    let database = Arc::new(Database::sqlite());
    let server = Server::start_with(database, &["--behind-proxy"], &[]);
    drop(Visitor::make_owner(&server));
    let tls = [("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "scim.example.com")];
    let ours = [&tls[..], &[("Origin", "https://scim.example.com")]].concat();
    let form = format!("name=owner&password={}", PASSWORD.replace(' ', "+"));
    let visitor = Visitor::of(&server);
    let foreign = [&tls[..], &[("Origin", "http://scim.example.com")]].concat();
    assert_eq!(visitor.post("/console/login", &foreign, &form).status, 403);
    let answer = visitor.post("/console/login", &ours, &form);
    assert_eq!(answer.status, 303, "{}", answer.text());
    let cookie = answer.header("set-cookie").unwrap();
    assert!(cookie.starts_with("__Host-headcount="), "{cookie}");
    for part in ["; Secure", "; HttpOnly", "; SameSite=Strict", "; Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains("Domain"), "{cookie}");
    let value = cookie.split(';').next().unwrap();
    let open = |cookie: &str| {
        let headers = [&tls[..], &[("Cookie", cookie)]].concat();
        visitor.client.raw("GET", "/console", &headers, None).status
    };
    assert_eq!(open(value), 200);
    // A cookie that a neighbour on plain http could have set counts for nothing.
    assert_eq!(open(value.trim_start_matches("__Host-")), 303);
}
