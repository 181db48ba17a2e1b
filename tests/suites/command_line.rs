//! The command line: what it prints, what it refuses, how the server starts and stops.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, Instant};

use headcount_e2e::http::Connection;
use headcount_e2e::server::{Scratch, binary};
use headcount_e2e::{Client, Database, Server, on_both};
use serde_json::{Value, json};

/// Runs the binary in a directory.
fn headcount(directory: &Scratch, arguments: &[&str]) -> Output {
    Command::new(binary()).args(arguments).current_dir(directory.path()).output().unwrap()
}

/// Checks that a command failed with one sentence that says what to do.
fn refused(output: &Output, words: &[&str]) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{text}");
    assert!(text.starts_with("headcount: "), "{text}");
    assert_eq!(text.trim_end().lines().count(), 1, "one sentence: {text}");
    for word in words {
        assert!(text.contains(word), "{word:?} in: {text}");
    }
}

fn json_of(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

on_both!(a_token_is_made_listed_rotated_and_revoked, |server: &Server| {
    let made = server.run(&["token", "create", "--name", "entra"]);
    assert!(made.status.success());
    let secret = String::from_utf8(made.stdout).unwrap();
    assert_eq!(secret.lines().count(), 1, "only the secret is on standard output");
    assert!(secret.starts_with("hc_"), "{secret}");
    assert!(!String::from_utf8_lossy(&made.stderr).contains(secret.trim()), "and nowhere else");
    let client = Client::new(server.address, secret.trim());
    assert_eq!(client.get("/Users").status, 200);
    let listed = json_of(&server.run(&["token", "list", "--output", "json"]));
    let id = listed["tokens"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(listed["tokens"][0]["name"], "entra");
    assert_eq!(listed["tokens"][0]["scopes"], json!(["scim:read", "users:write", "groups:write"]));
    assert!(!listed.to_string().contains(secret.trim()));
    let rotated =
        json_of(&server.run(&["token", "rotate", &id, "--overlap", "1h", "--output", "json"]));
    assert_eq!(rotated["replaces"], id.as_str());
    let fresh = client.with_token(rotated["token"].as_str());
    client.get("/Users").assert_status(200);
    fresh.get("/Users").assert_status(200);
    assert!(server.run(&["token", "revoke", &id]).status.success());
    client.get("/Users").assert_status(401);
    fresh.get("/Users").assert_status(200);
    assert!(server.run(&["token", "revoke", &id]).status.success(), "it stays revoked");
    refused(&server.run(&["token", "revoke", "0000000000000000"]), &["token list"]);
    refused(&server.run(&["token", "rotate", &id]), &["was revoked"]);
    let at_once = json_of(&server.run(&[
        "token",
        "rotate",
        rotated["id"].as_str().unwrap(),
        "--overlap",
        "0s",
        "--output",
        "json",
    ]));
    assert_eq!(fresh.get("/Users").status, 401, "without overlap the old token ends at once");
    assert_eq!(client.with_token(at_once["token"].as_str()).get("/Users").status, 200);
    let text = server.run(&["token", "list"]);
    assert!(String::from_utf8_lossy(&text.stdout).contains("LAST USED"));
});

on_both!(last_use_is_written_down, |server: &Server| {
    let client = server.client();
    let request = client.raw("GET", "/Users", &[("User-Agent", "Okta SCIM Client 1.0.0")], None);
    assert_eq!(request.status, 200);
    let used = headcount_e2e::server::wait_for(Duration::from_secs(5), || {
        let listed = json_of(&server.run(&["token", "list", "--output", "json"]));
        Some(listed["tokens"][0].clone()).filter(|token| token["lastUsed"].is_string())
    });
    let used = used.expect("the use is written within seconds");
    assert_eq!(used["lastAgent"], json!("Okta SCIM Client 1.0.0"));
    assert_eq!(used["lastAddress"], json!("127.0.0.1"));
});

on_both!(tenants_are_made_changed_and_deleted_with_their_tokens, |server: &Server| {
    let made = json_of(&server.run(&["tenant", "create", "acme", "--output", "json"]));
    assert_eq!(made["name"], json!("acme"));
    assert_eq!(made["quirks"], json!("all"));
    refused(&server.run(&["tenant", "create", "acme"]), &["another tenant has this name"]);
    refused(&server.run(&["tenant", "create", "Not A Name"]), &["lower-case"]);
    refused(
        &server.run(&["tenant", "create", "x", "--quirks", "nonsense"]),
        &["nonsense", "bare-words"],
    );
    let client = Client::new(server.address, &server.token(&["--tenant", "acme"]));
    client.create("/Users", &json!({"userName": "someone"}));
    assert_eq!(
        server.client().get("/Users").at("/totalResults"),
        "0",
        "tenants do not see each other"
    );
    assert!(server.run(&["tenant", "set", "acme", "--enabled", "false"]).status.success());
    assert_eq!(client.get("/Users").status, 401);
    assert!(
        server
            .run(&["tenant", "set", "acme", "--enabled", "true", "--quirks", "none"])
            .status
            .success()
    );
    assert_eq!(client.get("/Users").status, 200);
    assert_eq!(client.post("/Users", &json!({"userName": "strict", "active": "True"})).status, 400);
    refused(&server.run(&["tenant", "delete", "acme"]), &["--yes"]);
    assert!(server.run(&["tenant", "delete", "acme", "--yes"]).status.success());
    assert_eq!(client.get("/Users").status, 401);
    refused(&server.run(&["tenant", "delete", "default", "--yes"]), &["switch it off"]);
    refused(
        &server.run(&["token", "create", "--name", "x", "--tenant", "acme"]),
        &["tenant create acme"],
    );
    let listed = json_of(&server.run(&["tenant", "list", "--output", "json"]));
    assert_eq!(listed["tenants"].as_array().map(Vec::len), Some(1));
});

on_both!(aut_004_aut_009_wrong_wishes_for_tokens_are_refused, |server: &Server| {
    for (arguments, words) in [
        (vec!["--expires", "never"], vec!["allow_never_expires"]),
        (vec!["--expires", "1000d"], vec!["730 days"]),
        (vec!["--expires", "soon"], vec!["180d"]),
        (vec!["--scope", "root"], vec!["root", "provisioning"]),
        (vec!["--cidr", "here"], vec!["203.0.113.0/24"]),
    ] {
        refused(
            &server.run(&[&["token", "create", "--name", "x"][..], &arguments].concat()),
            &words,
        );
    }
    refused(&server.run(&["token", "create", "--name", " "]), &["name"]);
    let short =
        server.run(&["token", "create", "--name", "short", "--expires", "1s", "--output", "json"]);
    let client = Client::new(server.address, json_of(&short)["token"].as_str().unwrap());
    let expired = headcount_e2e::server::wait_for(Duration::from_secs(5), || {
        (client.get("/Users").status == 401).then_some(())
    });
    assert!(expired.is_some());
});

#[test]
fn the_database_is_made_private_in_the_working_directory() {
    let database = Database::sqlite();
    let path = database.path().to_owned();
    let server = Server::start(database);
    server.client();
    for file in ["headcount.db", "headcount.db-wal", "headcount.db-shm"] {
        let mode = std::fs::metadata(path.join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
}

#[test]
fn ux_4_only_serve_and_migrate_make_a_database() {
    let directory = Scratch::new();
    let commands: [&[&str]; 14] = [
        &["token", "create", "--name", "oops"],
        &["token", "list"],
        &["tenant", "create", "oops"],
        &["tenant", "list"],
        &["log", "tail"],
        &["log", "explain", "jane"],
        &["events", "tail"],
        &["admin", "list"],
        &["admin", "setup-link"],
        &["audit", "verify"],
        &["audit", "export"],
        &["audit", "erase", "jane"],
        &["reindex"],
        &["duplicates"],
    ];
    for arguments in commands {
        let output = headcount(&directory, arguments);
        refused(&output, &["there is no database at ./headcount.db", "--database", "--config"]);
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "no file is made");
    assert!(headcount(&directory, &["migrate"]).status.success());
    assert!(headcount(&directory, &["log", "tail"]).status.success());
    assert!(headcount(&directory, &["log", "explain", "jane"]).status.success());
    assert!(!directory.path().join("headcount-log.db").exists(), "reading makes no log");
    let made = headcount(&directory, &["token", "create", "--name", "first"]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let told = String::from_utf8_lossy(&made.stderr).into_owned();
    let file = directory.path().join("headcount.db");
    assert!(told.contains(&format!("database: {}", file.display())), "{told}");
    let again = headcount(&directory, &["token", "create", "--name", "first"]);
    let told = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(told.contains("another working token of this tenant is called \"first\""), "{told}");
}

#[test]
fn ux_4_a_database_of_postgresql_without_tables_gets_none_from_a_command() {
    let database = Database::postgres();
    let directory = Scratch::new();
    let run = |arguments: &[&str]| {
        headcount(&directory, &[arguments, &["--database", &database.url]].concat())
    };
    refused(&run(&["token", "list"]), &["there are no tables yet", "headcount migrate"]);
    assert!(run(&["migrate"]).status.success());
    assert!(run(&["token", "list"]).status.success());
}

#[test]
fn ux_10_commands_know_the_public_url_of_the_server() {
    let flags = ["--public-url", "https://scim.example.com/"];
    let server = Server::start_with(Arc::new(Database::sqlite()), &flags, &[]);
    assert_eq!(server.client().get("/Users").status, 200);
    for command in [&["admin", "setup-link"][..], &["admin", "invite", "x", "--role", "admin"]] {
        let made = server.run(command);
        let link = String::from_utf8_lossy(&made.stdout).into_owned();
        assert!(link.starts_with("https://scim.example.com/console/setup/"), "{link}");
    }
}

#[test]
fn the_server_says_where_it_listens_and_what_comes_next() {
    let server = Server::start(Database::sqlite());
    let reported = |server: &Server| {
        headcount_e2e::server::wait_for(Duration::from_secs(5), || {
            Some(server.log()).filter(|log| log.contains("token create"))
        })
    };
    let log = reported(&server).expect("the next command is printed");
    assert!(log.contains(&format!("headcount listens on http://{}", server.address)), "{log}");
    assert!(log.contains("/scim/v2"), "{log}");
    let next = log
        .lines()
        .find(|line| line.contains("token create"))
        .expect("the next command is printed")
        .trim()
        .to_owned();
    let ran = Command::new("sh")
        .args(["-c", &next])
        .current_dir(server.database.path())
        .output()
        .unwrap();
    assert!(ran.status.success(), "{next}: {}", String::from_utf8_lossy(&ran.stderr));
    let client = Client::new(server.address, String::from_utf8_lossy(&ran.stdout).trim());
    assert_eq!(client.get("/Users").status, 200, "the printed command makes a token that works");
    let again = Server::start_with(Arc::new(Database::sqlite()), &[], &[]);
    assert!(reported(&again).is_some(), "and with no token it is printed again");
}

#[test]
fn aut_013_sec_008_what_would_be_unsafe_or_wrong_is_refused_before_anything_starts() {
    let directory = Scratch::new();
    refused(
        &headcount(&directory, &["serve", "--listen", "0.0.0.0:0"]),
        &["--tls-cert", "--behind-proxy"],
    );
    refused(&headcount(&directory, &["serve", "--listen", "nowhere"]), &["127.0.0.1:8080"]);
    refused(&headcount(&directory, &["serve", "--database", "headcount.db"]), &["sqlite:FILE"]);
    refused(
        &headcount(&directory, &["serve", "--database", "mysql://u:secret@h/d"]),
        &["sqlite:FILE"],
    );
    refused(
        &headcount(&directory, &["serve", "--database", "sqlite:no/such/directory/x.db"]),
        &["directory"],
    );
    refused(&headcount(&directory, &["serve", "--config", "missing.toml"]), &["missing.toml"]);
    refused(&headcount(&directory, &["serve", "--public-url", "example"]), &["https://"]);
    std::fs::write(directory.path().join("config.toml"), "[http]\nlisten_on = \"x\"\n").unwrap();
    refused(&headcount(&directory, &["serve"]), &["config.toml", "did you mean http.listen?"]);
    std::fs::write(directory.path().join("config.toml"), "[limits]\npage = \"many\"\n").unwrap();
    refused(&headcount(&directory, &["check-config"]), &["limits.page"]);
    std::fs::remove_file(directory.path().join("config.toml")).unwrap();
    let unreachable = headcount(
        &directory,
        &["token", "list", "--database", "postgres://u:hidden@127.0.0.1:1/d"],
    );
    refused(&unreachable, &["cannot be reached"]);
    assert!(!String::from_utf8_lossy(&unreachable.stderr).contains("hidden"));
}

#[test]
fn dur_09_a_second_server_on_the_same_file_is_refused() {
    let first = Server::start(Database::sqlite());
    refused(&first.run(&["serve", "--listen", "127.0.0.1:0"]), &["another headcount", "stop it"]);
    assert!(first.run(&["token", "list"]).status.success(), "commands work next to it");
}

#[test]
fn the_configuration_is_shown_with_where_it_comes_from() {
    let directory = Scratch::new();
    std::fs::write(directory.path().join("c.toml"), "[limits]\npage = 50\n").unwrap();
    let output = Command::new(binary())
        .args([
            "check-config",
            "--config",
            "c.toml",
            "--output",
            "json",
            "--database",
            "postgres://u:hidden@h/d",
        ])
        .env("HEADCOUNT__HTTP__LISTEN", "127.0.0.1:9")
        .current_dir(directory.path())
        .output()
        .unwrap();
    let settings = json_of(&output)["settings"].clone();
    let find = |key: &str| {
        settings.as_array().unwrap().iter().find(|setting| setting["key"] == key).cloned().unwrap()
    };
    assert_eq!(find("limits.page")["value"], json!("50"));
    assert_eq!(find("limits.page")["from"], json!("c.toml"));
    assert_eq!(find("http.listen")["from"], "HEADCOUNT__HTTP__LISTEN");
    assert_eq!(find("logging.format")["from"], "default");
    assert!(!settings.to_string().contains("hidden"));
    let version = headcount(&directory, &["--version"]);
    assert!(String::from_utf8_lossy(&version.stdout).starts_with("headcount "));
}

on_both!(health_readiness_and_metrics_need_no_token, |server: &Server| {
    let client = Client { token: None, base: String::new(), ..server.client() };
    assert_eq!(client.get("/healthz").status, 200);
    assert_eq!(client.get("/readyz").status, 200);
    let scim = server.client();
    scim.create("/Users", &json!({"userName": "someone"}));
    let metrics = client.get("/metrics").text();
    for name in [
        "headcount_requests_total{",
        "headcount_request_seconds_bucket",
        "headcount_argon2_runs_total",
    ] {
        assert!(metrics.contains(name), "{name}: {metrics}");
    }
    assert_eq!(
        metrics.contains("headcount_writer_batch_size"),
        !server.database.is_postgres(),
        "{metrics}"
    );
    assert!(
        server.metric("headcount_requests_total", "route=\"/scim/v2/{endpoint}\"") >= 1.0,
        "{metrics}"
    );
});

on_both!(requests_in_flight_are_finished_before_the_server_stops, |server: &Server| {
    let client = server.client();
    let mut connection = Connection::open(server.address).unwrap();
    let request = client.request("POST", "/Users", &[], Some(b"{\"userName\":\"last\"}"));
    let (head, tail) = request.split_at(request.len() - 4);
    connection.send(head).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    server.terminate();
    std::thread::sleep(Duration::from_millis(200));
    connection.send(tail).unwrap();
    let answer = connection.receive(false).unwrap();
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!(server.stopped(Duration::from_secs(30)), Some(true));
});

#[test]
fn a_server_stops_at_once_when_nothing_is_asked_of_it() {
    let server = Server::start(Database::sqlite());
    // It says where it listens a moment before it takes signals; once it answers, it takes both.
    assert_eq!(server.client().get("/Users").status, 200);
    let started = Instant::now();
    server.terminate();
    assert_eq!(server.stopped(Duration::from_secs(20)), Some(true));
    println!("stopped after {:?}", started.elapsed());
}

#[test]
fn acknowledged_writes_survive_kill_9() {
    let database = Arc::new(Database::sqlite());
    let first = Server::start_with(Arc::clone(&database), &[], &[]);
    let client = first.client();
    let acknowledged: Vec<String> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..8)
            .map(|writer| {
                let client = &client;
                scope.spawn(move || {
                    let mut made = Vec::new();
                    for round in 0..1_000 {
                        let name = format!("w{writer}-{round}");
                        let body = json!({"userName": name}).to_string();
                        match client.try_raw("POST", "/Users", &[], Some(body.as_bytes())) {
                            Ok(response) if response.status == 201 => made.push(name),
                            _ => break,
                        }
                    }
                    made
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(600));
        drop(first);
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    });
    assert!(acknowledged.len() > 20, "{}", acknowledged.len());
    let second = Server::start_with(database, &[], &[]);
    let client = Client { address: second.address, ..client };
    let mut connection = Connection::open(second.address).unwrap();
    for name in &acknowledged {
        let path = format!("/Users?filter=userName+eq+%22{name}%22&attributes=id");
        assert_eq!(
            client.on(&mut connection, "GET", &path, None).at("/totalResults"),
            "1",
            "{name} was acknowledged"
        );
    }
}

on_both!(htp_021_links_follow_the_public_url_or_the_request, |server: &Server| {
    let client = server.client();
    let id = client.create("/Users", &json!({"userName": "someone"}));
    let location = client.get(&format!("/Users/{id}")).at("/meta/location");
    assert_eq!(location, format!("http://{}/scim/v2/Users/{id}", server.address));
    let forged =
        client.raw("GET", &format!("/Users/{id}"), &[("X-Forwarded-Host", "evil.example")], None);
    assert_eq!(forged.at("/meta/location"), location);
});

#[test]
fn htp_021_res_023_with_a_public_url_the_host_header_does_not_matter() {
    let flags = ["--public-url", "https://id.example.com/scim-host/"];
    let server = Server::start_with(Arc::new(Database::sqlite()), &flags, &[]);
    let client = server.client();
    let made = client.raw("POST", "/Users", &[], Some(b"{\"userName\":\"someone\"}"));
    let location = made.at("/meta/location");
    assert!(location.starts_with("https://id.example.com/scim-host/scim/v2/Users/"), "{location}");
    assert_eq!(made.header("location"), Some(location.as_str()));
}

#[test]
fn aut_013_tls_01_the_server_speaks_tls_with_a_certificate() {
    use rcgen::{CertifiedKey, generate_simple_self_signed};
    let database = Database::sqlite();
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (cert_path, key_path) = (database.path().join("cert.pem"), database.path().join("key.pem"));
    std::fs::write(&cert_path, cert.pem()).unwrap();
    std::fs::write(&key_path, signing_key.serialize_pem()).unwrap();
    let flags =
        ["--tls-cert", cert_path.to_str().unwrap(), "--tls-key", key_path.to_str().unwrap()];
    let server = Server::start_with(Arc::new(database), &flags, &[]);
    let client = server.client();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    for versions in [&[&rustls::version::TLS12][..], &[&rustls::version::TLS13][..]] {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots.clone())
            .with_no_client_auth();
        let session =
            rustls::ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap())
                .unwrap();
        let stream = std::net::TcpStream::connect(server.address).unwrap();
        let mut connection = Connection::over(Box::new(rustls::StreamOwned::new(session, stream)));
        let answer = client.on(&mut connection, "GET", "/Users", None);
        assert_eq!(answer.status, 200);
    }
    let config = client.with_token(None);
    assert!(
        config.try_raw("GET", "/ServiceProviderConfig", &[], None).is_err(),
        "plain HTTP is not answered"
    );
}

#[test]
fn commands_refuse_a_database_that_a_newer_release_made() {
    let server = Server::start(Database::postgres());
    headcount_e2e::server::psql(
        &server.database.url,
        "INSERT INTO __diesel_schema_migrations (version) VALUES ('9999')",
    );
    refused(&server.run(&["token", "list"]), &["newer headcount", "9999"]);
    refused(&server.run(&["serve", "--listen", "127.0.0.1:0"]), &["newer headcount"]);
}
