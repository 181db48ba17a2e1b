//! What one sender may take of a server: memory, connections, requests, places. Counted, never timed.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use headcount_e2e::http::Connection;
use headcount_e2e::server::wait_for;
use headcount_e2e::{Client, Database, Server, on_both};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(30);

fn started(environment: &[(&str, &str)]) -> Server {
    Server::start_with(Arc::new(Database::sqlite()), &[], environment)
}

/// A request whose body is announced, as far as its head.
fn head(client: &Client, path: &str, length: usize) -> Vec<u8> {
    let whole = String::from_utf8(client.request("POST", path, &[], None)).unwrap();
    whole.replace("Content-Length: 0", &format!("Content-Length: {length}")).into_bytes()
}

/// A client whose token has the right shape and is not accepted.
fn stranger(server: &Server, client: &Client) -> Client {
    let token = server.token(&[]);
    let id = token.split('_').nth(1).unwrap();
    assert!(server.run(&["token", "revoke", id]).status.success());
    client.with_token(Some(&token))
}

/// Memory of the server's process in KiB.
fn resident(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn s4_f8_large_bodies_of_strangers_are_refused_unread() {
    let server = started(&[("HEADCOUNT__LIMITS__CONNECTIONS_PER_ADDRESS", "0")]);
    let client = server.client();
    let unknown = stranger(&server, &client);
    assert_eq!(client.get("/Users").status, 200);
    let before = resident(&server);
    let mut most = 0.0_f64;
    let mut connections: Vec<Connection> = (0..300)
        .map(|_| {
            let mut connection = Connection::open(server.address).unwrap();
            let length = 4 * 1024 * 1024 - 10;
            connection.send(&head(&unknown, "/Bulk", length)).unwrap();
            connection
        })
        .collect();
    let mut grown = 0;
    for (number, connection) in connections.iter_mut().enumerate() {
        // The server may have closed it already.
        let _sent = connection.send(&[b' '; 64 * 1024]);
        if number % 20 == 0 {
            most = most.max(server.metric("headcount_body_bytes", ""));
            grown = grown.max(resident(&server).saturating_sub(before));
        }
    }
    // Not one body was sent to its end, and each sender has an answer.
    for connection in &mut connections {
        let answer = connection.receive(false).unwrap();
        assert!(matches!(answer.status, 401 | 429), "{}", answer.status);
    }
    assert_eq!(most, 0.0, "bytes were reserved for strangers");
    println!("300 unproven bodies: memory grew by {grown} KiB");
    assert_eq!(client.get("/Users").status, 200);
}

#[test]
fn s4_slow_strangers_leave_room_for_bodies_of_others() {
    let budget = 1024 * 1024;
    let server = started(&[
        ("HEADCOUNT__LIMITS__CONNECTIONS_PER_ADDRESS", "0"),
        ("HEADCOUNT__LIMITS__BODY_BYTES", "1048576"),
        ("HEADCOUNT__LIMITS__BULK_BYTES", "1048576"),
        ("HEADCOUNT__LIMITS__BUFFERED_BYTES", "1048576"),
        ("HEADCOUNT__LIMITS__BODY_SECONDS", "60"),
    ]);
    let client = server.client();
    // Proven before: no stranger any more.
    assert_eq!(client.get("/Users").status, 200);
    let unknown = stranger(&server, &client);
    let mut slow: Vec<Connection> = Vec::new();
    for _ in 0..100 {
        let mut connection = Connection::open(server.address).unwrap();
        connection.send(&head(&unknown, "/Users", 16 * 1024)).unwrap();
        slow.push(connection);
    }
    let half = f64::from(budget / 2);
    let waiting = || server.metric("headcount_lane_waiting", "lane=\"body\"");
    assert!(wait_for(PATIENCE, || (waiting() > 0.0).then_some(())).is_some(), "all have room");
    assert_eq!(
        server.metric("headcount_body_bytes", ""),
        half,
        "strangers have a half, and no more"
    );
    let name = "x".repeat(300 * 1024);
    assert_eq!(client.post("/Users", &json!({"userName": "small"})).status, 201);
    // Too long for a name, and read whole to find that out.
    assert_eq!(client.post("/Users", &json!({"userName": name})).status, 400);
    assert!(server.metric("headcount_body_bytes", "") <= f64::from(budget));
}

on_both!(decision_50_a_large_body_of_a_known_token_is_read, |server: &Server| {
    let client = server.client();
    let members = "x".repeat(20 * 1024);
    let user = json!({"userName": "large", "nickName": members});
    assert_eq!(client.post("/Users", &user).status, 201);
    // The same in chunks, whose length is not announced.
    let body = json!({"userName": "chunks", "nickName": members}).to_string();
    let head = String::from_utf8(client.request("POST", "/Users", &[], None)).unwrap();
    let head = head.replace("Content-Length: 0\r\n", "Transfer-Encoding: chunked\r\n");
    let mut connection = Connection::open(server.address).unwrap();
    connection.send(head.as_bytes()).unwrap();
    for part in body.as_bytes().chunks(5_000) {
        connection.send(format!("{:x}\r\n", part.len()).as_bytes()).unwrap();
        connection.send(part).unwrap();
        connection.send(b"\r\n").unwrap();
    }
    connection.send(b"0\r\n\r\n").unwrap();
    assert_eq!(connection.receive(false).unwrap().status, 201);
    assert_eq!(server.metric("headcount_body_bytes", ""), 0.0, "nothing stays reserved");
});

on_both!(decision_50_the_admin_api_refuses_large_bodies_of_strangers_in_its_own_form, |server| {
    let admin = server.admin("admin:write");
    let unknown = stranger(server, &admin);
    let mut connection = Connection::open(server.address).unwrap();
    connection.send(&head(&unknown, "/tokens", 500_000)).unwrap();
    let answer = connection.receive(false).unwrap();
    assert_eq!(answer.status, 401);
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
});

#[test]
fn a_body_that_trickles_is_ended() {
    let server = started(&[("HEADCOUNT__LIMITS__BODY_SECONDS", "600")]);
    let client = server.client();
    let mut connection = Connection::open(server.address).unwrap();
    connection.send(&head(&client, "/Users", 100_000)).unwrap();
    let mut trickle = connection;
    let answer = wait_for(PATIENCE, || {
        let sent = trickle.send(b" ");
        std::thread::sleep(Duration::from_millis(100));
        // The answer waits to be read when the server has stopped to read.
        (sent.is_err() || server.metric("headcount_requests_total", "status=\"408\"") > 0.0)
            .then(|| trickle.receive(false))
    });
    assert_eq!(answer.unwrap().unwrap().status, 408);
}

#[test]
fn lim_16_an_address_has_its_connections_and_no_more() {
    let server = started(&[("HEADCOUNT__LIMITS__CONNECTIONS_PER_ADDRESS", "8")]);
    let client = server.client();
    let mut held: Vec<Connection> =
        (0..8).map(|_| Connection::open(server.address).unwrap()).collect();
    for connection in &mut held {
        assert_eq!(client.on(connection, "GET", "/Users", None).status, 200);
    }
    for _ in 0..20 {
        assert!(client.try_raw("GET", "/Users", &[], None).is_err(), "a ninth is let in");
    }
    // Those that were there go on, and one that leaves makes room.
    for connection in &mut held {
        assert_eq!(client.on(connection, "GET", "/Users", None).status, 200);
    }
    held.pop();
    let next = wait_for(PATIENCE, || client.try_raw("GET", "/Users", &[], None).ok());
    assert_eq!(next.map(|answer| answer.status), Some(200));
    held.clear();
    assert!(wait_for(PATIENCE, || client.try_raw("GET", "/Users", &[], None).ok()).is_some());
    assert!(server.metric("headcount_connections_refused_total", "") >= 20.0);
}

#[test]
fn a_near_proxy_has_as_many_connections_as_it_needs() {
    let server = Server::start_with(
        Arc::new(Database::sqlite()),
        &["--behind-proxy"],
        &[("HEADCOUNT__LIMITS__CONNECTIONS_PER_ADDRESS", "8")],
    );
    let client = server.client();
    let mut held: Vec<Connection> =
        (0..40).map(|_| Connection::open(server.address).unwrap()).collect();
    for connection in &mut held {
        assert_eq!(client.on(connection, "GET", "/Users", None).status, 200);
    }
}

#[test]
fn f8_a_client_that_does_not_take_its_answer_is_cut_off() {
    let server = started(&[("HEADCOUNT__LIMITS__READER_SECONDS", "1")]);
    let client = server.client();
    // More than all buffers between the two hold.
    let address = |n: usize| json!({"type": format!("t{n}"), "formatted": "x".repeat(60_000)});
    let addresses: Vec<Value> = (0..14).map(address).collect();
    for n in 0..40 {
        let user = json!({"userName": format!("u{n}"), "addresses": addresses});
        client.create("/Users", &user);
    }
    let mut idle = Connection::open(server.address).unwrap();
    idle.send(&client.request("GET", "/Users?count=40", &[], None)).unwrap();
    let cut = wait_for(PATIENCE * 2, || {
        (server.metric("headcount_readers_cut_total", "") >= 1.0).then_some(())
    });
    assert!(cut.is_some(), "it was not cut");
    assert!(idle.receive(false).is_err(), "the answer is not whole");
    // One that reads gets all of it.
    assert_eq!(
        client.get("/Users?count=40").json()["Resources"].as_array().map(Vec::len),
        Some(40)
    );
    assert_eq!(server.metric("headcount_readers_cut_total", ""), 1.0);
}

#[test]
fn s13_readers_that_wait_for_events_leave_places_to_others() {
    let server = started(&[("HEADCOUNT__LIMITS__CONNECTIONS_PER_ADDRESS", "0")]);
    let first = server.admin("events:read");
    server.tenant("other", "all");
    let token = server.token(&["--tenant", "other", "--scope", "events:read"]);
    let second = first.with_token(Some(&token));
    let ask = |client: &Client| {
        let mut connection = Connection::open(server.address).unwrap();
        let wait = client.request("GET", "/events?newest=0&wait=30", &[], None);
        connection.send(&wait).unwrap();
        connection
    };
    let crowd: Vec<Connection> = (0..270).map(|_| ask(&first)).collect();
    let refused = || server.metric("headcount_lane_refusals_total", "lane=\"events\"");
    let places = || server.metric("headcount_event_readers", "");
    assert!(wait_for(PATIENCE, || (refused() + places() >= 270.0).then_some(())).is_some());
    assert_eq!(places(), 171.0);
    assert_eq!(refused(), 99.0);
    let others: Vec<Connection> = (0..50).map(|_| ask(&second)).collect();
    assert!(wait_for(PATIENCE, || (places() >= 221.0).then_some(())).is_some(), "{}", places());
    assert_eq!(refused(), 99.0);
    drop((crowd, others));
}

/// A client of HTTP/2 that opens streams and never ends them.
struct Streams {
    stream: rustls::StreamOwned<rustls::ClientConnection, TcpStream>,
    opened: u32,
    answered: usize,
}

const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const WINDOW_UPDATE: u8 = 8;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

impl Streams {
    fn open(server: &Server, certificate: &[u8]) -> Self {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(certificate.to_vec().into()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let session =
            rustls::ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap());
        let socket = TcpStream::connect(server.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let stream = rustls::StreamOwned::new(session.unwrap(), socket);
        let mut streams = Self { stream, opened: 0, answered: 0 };
        streams.stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
        streams.frame(SETTINGS, 0, 0, &[]);
        // The bodies of the answers shall not wait for us.
        streams.frame(WINDOW_UPDATE, 0, 0, &(1_u32 << 30).to_be_bytes());
        streams
    }

    fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.stream.write_all(&frame).unwrap();
    }

    /// Begins a request whose body never comes.
    fn begin(&mut self, path: &str, token: &str, length: usize) {
        // RFC 7541 §6.1, §6.2.2: POST and https stand in the static table, the rest is spelled out.
        let mut block = vec![0x83, 0x87];
        let text = |block: &mut Vec<u8>, text: &str| {
            block.push(u8::try_from(text.len()).unwrap());
            block.extend(text.as_bytes());
        };
        block.push(0x04);
        text(&mut block, path);
        block.push(0x01);
        text(&mut block, "localhost");
        for (name, value) in
            [("authorization", format!("Bearer {token}")), ("content-length", length.to_string())]
        {
            block.push(0x00);
            text(&mut block, name);
            text(&mut block, &value);
        }
        let stream = self.opened * 2 + 1;
        self.opened += 1;
        self.frame(HEADERS, END_HEADERS, stream, &block);
    }

    /// Reads until so many streams were answered.
    fn read_until(&mut self, answered: usize) {
        while self.answered < answered {
            let mut head = [0; 9];
            self.stream.read_exact(&mut head).unwrap();
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; usize::try_from(length).unwrap()];
            self.stream.read_exact(&mut payload).unwrap();
            match (head[3], head[4]) {
                (HEADERS, _) => self.answered += 1,
                (SETTINGS, flags) if flags & ACK == 0 => self.frame(SETTINGS, ACK, 0, &[]),
                _ => {}
            }
        }
    }
}

#[test]
fn s4_five_thousand_streams_of_one_connection_are_answered_but_for_a_hundred() {
    let database = Database::sqlite();
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let path = |name: &str| database.path().join(name).to_str().unwrap().to_owned();
    let (cert_path, key_path) = (path("cert.pem"), path("key.pem"));
    std::fs::write(&cert_path, cert.pem()).unwrap();
    std::fs::write(&key_path, signing_key.serialize_pem()).unwrap();
    let flags = ["--tls-cert", &cert_path, "--tls-key", &key_path];
    let environment = [
        // The bodies that never come shall not be what ends the requests.
        ("HEADCOUNT__LIMITS__BODY_SECONDS", "600"),
        ("HEADCOUNT__LIMITS__BODY_BYTES_PER_SECOND", "0"),
        ("HEADCOUNT__LIMITS__REQUEST_SECONDS", "600"),
        ("HEADCOUNT__HTTP__METRICS_LISTEN", "127.0.0.1:0"),
    ];
    let server = Server::start_with(Arc::new(database), &flags, &environment);
    let metrics = server.log().lines().find_map(|line| {
        let address = line.strip_prefix("metrics are at http://")?.strip_suffix("/metrics")?;
        address.parse().ok()
    });
    let metrics = Client { address: metrics.unwrap(), token: None, base: String::new() };
    let metric = |wanted: &str| -> f64 {
        let text = metrics.get("/metrics").text();
        let lines = text.lines().filter(|line| line.starts_with(wanted));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    };
    let token = server.token(&[]);
    let before = resident(&server);
    let mut streams = Streams::open(&server, cert.der());
    let lengths = [100, 4_194_304];
    for round in 1..=100 {
        for n in 0..50 {
            streams.begin("/scim/v2/Bulk", &token, lengths[n % 2]);
        }
        streams.read_until((round * 50_usize).saturating_sub(100));
    }
    assert_eq!(metric("headcount_lane_refusals_total{lane=\"connection\"}"), 4_900.0);
    assert!(metric("headcount_body_bytes") <= 67_108_864.0);
    println!("5,000 streams: memory grew by {} KiB", resident(&server).saturating_sub(before));
    // Another connection is served meanwhile.
    let mut other = Streams::open(&server, cert.der());
    other.begin("/scim/v2/Users", "hc_wrong", 100);
    other.read_until(1);
}
