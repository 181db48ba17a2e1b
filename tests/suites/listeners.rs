//! What each listener serves, the certificate of the server, and what a start says about its surroundings.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use headcount_e2e::http::Connection;
use headcount_e2e::server::wait_for;
use headcount_e2e::{Client, Database, Response, Server};

const SOON: Duration = Duration::from_secs(20);

fn bare(server: &Server) -> Client {
    Client { address: server.address, token: None, base: String::new() }
}

#[test]
fn s9_pii_04_metrics_have_neither_tokens_nor_tenants() {
    for (setting, expected) in [("false", false), ("true", true)] {
        let settings = [("HEADCOUNT__TELEMETRY__TENANT_LABEL", setting)];
        let server = Server::start_with(Arc::new(Database::sqlite()), &[], &settings);
        let client = server.tenant("secretive", "all");
        client.create("/Users", &serde_json::json!({"userName": "jane"}));
        let of_users = || server.metric("headcount_resources", "kind=\"User\"");
        assert!(wait_for(SOON, || (of_users() == 1.0).then_some(())).is_some());
        let text = bare(&server).get("/metrics").text();
        let token = client.token.unwrap();
        let id = token.split('_').nth(1).unwrap();
        assert!(!text.contains(id), "{text}");
        assert_eq!(text.contains("secretive"), expected, "{text}");
        let provisioning = "purpose=\"provisioning\"";
        let ends = server.metric("headcount_token_expires_timestamp_seconds", provisioning);
        assert!(ends > 1.7e9, "{text}");
        let works = server.metric("headcount_tokens", "state=\"works\"");
        assert_eq!(works, 1.0, "{text}");
    }
}

#[test]
fn s9_a_proxy_does_not_pass_on_metrics_of_loopback() {
    let server = Server::start(Database::sqlite());
    let client = bare(&server);
    assert_eq!(client.get("/metrics").status, 200);
    for name in ["X-Forwarded-For", "Forwarded"] {
        assert_eq!(client.raw("GET", "/metrics", &[(name, "203.0.113.9")], None).status, 404);
    }
    let settings = [("HEADCOUNT__HTTP__METRICS_PUBLIC", "true")];
    let server = Server::start_with(Arc::new(Database::sqlite()), &[], &settings);
    let passed = bare(&server).raw("GET", "/metrics", &[("X-Forwarded-For", "203.0.113.9")], None);
    assert_eq!(passed.status, 200);
}

#[test]
fn s9_console_and_admin_api_may_have_a_listener_of_their_own() {
    let public = "https://scim.example.com";
    let settings =
        [("HEADCOUNT__HTTP__ADMIN_LISTEN", "127.0.0.1:0"), ("HEADCOUNT__HTTP__PUBLIC_URL", public)];
    let server = Server::start_with(Arc::new(Database::sqlite()), &[], &settings);
    let begin = "console and admin API listen on http://";
    let found = || {
        let log = server.log();
        log.lines().find_map(|line| line.strip_prefix(begin)?.parse().ok())
    };
    let main = bare(&server);
    let own = Client { address: wait_for(SOON, found).unwrap(), ..main.clone() };
    for (path, on_main, on_own) in [
        ("/healthz", 200, 200),
        ("/scim/v2/Users", 401, 404),
        ("/api/v1/tokens", 404, 401),
        ("/console/login", 404, 200),
        ("/metrics", 200, 404),
    ] {
        assert_eq!(main.get(path).status, on_main, "{path}");
        assert_eq!(own.get(path).status, on_own, "{path}");
    }
    let file = server.database.path().join("headcount.db-setup-link");
    let link = wait_for(SOON, || std::fs::read_to_string(&file).ok()).unwrap();
    assert!(link.starts_with(&format!("http://{}/console/setup/", own.address)), "{link}");
    let admin = Client { address: own.address, ..server.admin("administration") };
    assert_eq!(admin.get("/tokens").status, 200);
    server.terminate();
    assert_eq!(server.stopped(SOON), Some(true), "both listeners end");
}

/// Writes a certificate for `localhost` that ends on a day of some year, and returns it.
fn certificate(directory: &Path, year: i32) -> rustls::pki_types::CertificateDer<'static> {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    parameters.not_after = rcgen::date_time_ymd(year, 1, 1);
    let certificate = parameters.self_signed(&key).unwrap();
    std::fs::write(directory.join("key.pem"), key.serialize_pem()).unwrap();
    std::fs::write(directory.join("cert.pem"), certificate.pem()).unwrap();
    certificate.der().clone()
}

/// Asks over TLS, trusting one certificate; none when the server has another one.
fn over_tls(
    server: &Server,
    trusted: &rustls::pki_types::CertificateDer<'static>,
    path: &str,
) -> Option<Response> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let session = rustls::ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap());
    let stream = std::net::TcpStream::connect(server.address).unwrap();
    let mut connection =
        Connection::over(Box::new(rustls::StreamOwned::new(session.unwrap(), stream)));
    connection.send(&bare(server).request("GET", path, &[], None)).ok()?;
    connection.receive(false).ok()
}

fn hang_up(server: &Server) {
    let killed = Command::new("kill").args(["-HUP", &server.pid().to_string()]).status();
    assert!(killed.is_ok_and(|status| status.success()));
}

#[test]
fn s16_tls_02_tls_03_a_new_certificate_is_used_and_a_bad_one_is_not() {
    let database = Database::sqlite();
    let path = |name: &str| database.path().join(name);
    let (cert, key) = (path("cert.pem"), path("key.pem"));
    let first = certificate(database.path(), 2090);
    let flags = ["--tls-cert", cert.to_str().unwrap(), "--tls-key", key.to_str().unwrap()];
    let database = Arc::new(database);
    let server = Server::start_with(Arc::clone(&database), &flags, &[]);
    let answer = over_tls(&server, &first, "/healthz").unwrap();
    // HDR-02
    assert_eq!(answer.header("strict-transport-security"), Some("max-age=31536000"));
    let days = || -> f64 {
        let text = over_tls(&server, &first, "/metrics").map_or_else(String::new, |it| it.text());
        let line =
            text.lines().find(|line| line.starts_with("headcount_tls_certificate_days_left "));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_default()
    };
    assert!(days() > 365.0 * 20.0, "{}", days());
    // A key without its certificate: one error, however often it is looked at.
    let old_key = std::fs::read(&key).unwrap();
    std::fs::write(&key, rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap();
    let errors = || server.log().matches("the certificate stays the old one").count();
    assert!(wait_for(SOON, || (errors() == 1).then_some(())).is_some());
    assert!(over_tls(&server, &first, "/healthz").is_some());
    std::fs::write(&key, old_key).unwrap();
    hang_up(&server);
    assert!(wait_for(SOON, || server.log().contains("was read again").then_some(())).is_some());
    // Both files are new.
    let second = certificate(database.path(), 2091);
    let is_used = || over_tls(&server, &second, "/healthz").map(drop);
    assert!(wait_for(SOON, is_used).is_some());
    assert!(over_tls(&server, &first, "/healthz").is_none());
    assert_eq!(errors(), 1, "{}", server.log());
    // Without waiting for a look.
    let third = certificate(database.path(), 2092);
    hang_up(&server);
    assert!(wait_for(SOON, || over_tls(&server, &third, "/healthz").map(drop)).is_some());
}

#[test]
fn s16_hanging_up_ends_nothing() {
    let server = Server::start(Database::sqlite());
    hang_up(&server);
    for _ in 0..20 {
        assert_eq!(bare(&server).get("/healthz").status, 200);
    }
    assert_eq!(server.stopped(Duration::ZERO), None);
}

#[test]
fn hdr_02_behind_a_proxy_tls_is_what_the_proxy_says() {
    let flags = ["--behind-proxy", "--public-url", "https://scim.example.com"];
    let server = Server::start_with(Arc::new(Database::sqlite()), &flags, &[]);
    for (proto, expected) in [("https", true), ("http", false)] {
        let answer = bare(&server).raw("GET", "/healthz", &[("X-Forwarded-Proto", proto)], None);
        assert_eq!(answer.header("strict-transport-security").is_some(), expected, "{proto}");
    }
    let plain = Server::start(Database::sqlite());
    assert_eq!(bare(&plain).get("/healthz").header("strict-transport-security"), None);
}

#[test]
fn cfg_01_s_l_a_database_that_anyone_can_read_is_named_at_start() {
    let database = Arc::new(Database::sqlite());
    drop(Server::start_with(Arc::clone(&database), &[], &[]));
    let file = database.path().join("headcount.db");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).unwrap();
    let server = Server::start_with(Arc::clone(&database), &[], &[]);
    let advice = format!("run chmod 600 {}", file.display());
    assert!(server.log().contains(&advice), "{}", server.log());
    drop(server);
    // Files that SQLite made next to it have its mode.
    for entry in std::fs::read_dir(database.path()).unwrap() {
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(entry.unwrap().path(), mode).unwrap();
    }
    let server = Server::start_with(Arc::clone(&database), &[], &[]);
    assert!(!server.log().contains("chmod"), "{}", server.log());
}

#[test]
fn cfg_03_s_a_s_b_settings_and_errors_show_no_secret() {
    let database = Database::sqlite();
    let check = |name: &str, value: &str| {
        let mut command = Command::new(headcount_e2e::server::binary());
        command.args(["check-config"]).current_dir(database.path()).env(name, value);
        let output = command.output().unwrap();
        let shown = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&shown).into_owned())
    };
    for (name, value, fits) in [
        ("HEADCOUNT__DATABASE__URL", "postgres://u:SEC%2FRET@h/d", true),
        ("HEADCOUNT__DATABASE__URL", "postgres://u:SEC/RET@h/d", false),
        ("HEADCOUNT__DATABASE__URL", "postgres://u:SEC?RET@h/d", false),
        ("HEADCOUNT__DATABASE__URL", "postgres://u@h/d?passw%6frd=SECRET", true),
        ("HEADCOUNT__DATABASE__URL", "postgres://u@h/d?PASSWORD=SECRET", false),
        ("HEADCOUNT__DATABASE__URL", "host=h password=SECRET", false),
        ("HEADCOUNT__DATABASE__URL", "u:SECRET@h/d", false),
        ("HEADCOUNT__TELEMETRY__OTLP_URL", "http://user:SECRET@h/v1/traces", true),
        ("HEADCOUNT__TELEMETRY__OTLP_URL", "user:SECRET@h", true),
        ("HEADCOUNT__HTTP__PUBLIC_URL", "https://user:SECRET@h", true),
    ] {
        let (passed, shown) = check(name, value);
        assert_eq!(passed, fits, "{value}: {shown}");
        assert!(!shown.contains("SEC") && !shown.contains("RET@"), "{value}: {shown}");
    }
    // A file that cannot be read repeats no line of it.
    std::fs::write(
        database.path().join("config.toml"),
        "[database]\nurl = \"postgres://u:SECRET@h/d\n",
    )
    .unwrap();
    let (passed, shown) = check("UNUSED", "");
    assert!(!passed && shown.contains("line 2") && !shown.contains("SECRET"), "{shown}");
}

#[test]
fn pii_06_s_m_the_memory_of_a_server_gets_into_no_file() {
    let server = Server::start(Database::sqlite());
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.pid())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    let values: Vec<&str> = core.split_whitespace().skip(4).collect();
    assert_eq!(values, ["0", "0", "bytes"], "{core}");
}
