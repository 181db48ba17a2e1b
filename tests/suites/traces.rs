//! Traces leave the server as they should, and nothing of a person with them. The binary under test is
//! built with the feature `otel`, as `cargo xtask test` builds it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use headcount_e2e::{Database, Server};
use serde_json::json;

/// Takes what is sent and says that it is well.
fn collect(stream: TcpStream, sender: &Sender<(String, Vec<u8>)>) {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut first, mut length) = (String::new(), 0);
        if reader.read_line(&mut first).unwrap_or(0) == 0 {
            return;
        }
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
        if sender.send((first, body)).is_err() {
            return;
        }
    }
}

#[test]
fn pii_01_a_request_is_a_span_without_names_sqlite() {
    let collector = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1/traces", collector.local_addr().unwrap());
    let (sender, traces) = channel();
    std::thread::spawn(move || {
        for stream in collector.incoming().map_while(Result::ok) {
            let sender = sender.clone();
            std::thread::spawn(move || collect(stream, &sender));
        }
    });
    let settings = [("HEADCOUNT__TELEMETRY__OTLP_URL", url.as_str())];
    let server = Server::start_with(Arc::new(Database::sqlite()), &[], &settings);
    let client = server.client();
    let made = client.post("/Users", &json!({"userName": "CNRYname", "password": "CNRYsecret"}));
    let id = made.at("/id");
    client.get("/Users?filter=userName%20eq%20%22CNRYname%22");
    client.get(&format!("/Users/{id}"));
    server.terminate();
    assert_eq!(server.stopped(Duration::from_secs(30)), Some(true));
    let (mut heads, mut bytes) = (Vec::new(), Vec::new());
    while let Ok((head, body)) = traces.recv_timeout(Duration::from_secs(5)) {
        heads.push(head);
        bytes.extend(body);
        let text = String::from_utf8_lossy(&bytes);
        if text.contains("/scim/v2/{endpoint}/{id}") {
            break;
        }
    }
    assert!(heads.iter().all(|head| head.starts_with("POST /v1/traces ")), "{heads:?}");
    let text = String::from_utf8_lossy(&bytes);
    let request = made.header("x-request-id").unwrap();
    for known in ["POST", "/scim/v2/{endpoint}/{id}", "headcount", request] {
        assert!(text.contains(known), "{known:?} in {text}");
    }
    let token = client.token.unwrap();
    for secret in ["CNRY", id.as_str(), token.as_str(), "userName"] {
        assert!(!text.contains(secret), "{secret:?} is in a trace");
    }
}
