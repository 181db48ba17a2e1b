//! The feed as a stream of server-sent events.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use headcount_e2e::{Client, Server, on_both};
use serde_json::{Value, json};

use crate::support::{PATIENCE, RESOURCES, all};

/// A stream of server-sent events, line by line.
struct Stream {
    lines: BufReader<TcpStream>,
}

impl Stream {
    fn open(reader: &Client, path: &str, last: &str) -> Self {
        let headers = [("Accept", "text/event-stream"), ("Last-Event-ID", last)];
        let mut socket = TcpStream::connect(reader.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.write_all(&reader.request("GET", path, &headers, None)).unwrap();
        let mut stream = Self { lines: BufReader::new(socket) };
        let head = stream.until("\r\n");
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert!(head.contains("content-type: text/event-stream"), "{head}");
        stream
    }

    /// Reads up to a line.
    fn until(&mut self, end: &str) -> String {
        let mut text = String::new();
        loop {
            let mut line = String::new();
            assert!(self.lines.read_line(&mut line).unwrap() > 0, "the stream ended: {text}");
            text.push_str(&line);
            if line == end {
                return text;
            }
        }
    }

    /// Reads the next event: its id, type and data.
    fn event(&mut self) -> (String, String, Value) {
        let (mut id, mut kind) = (String::new(), String::new());
        loop {
            let mut line = String::new();
            assert!(self.lines.read_line(&mut line).unwrap() > 0, "the stream ended");
            match line.trim_end().split_once(": ") {
                Some(("id", value)) => value.clone_into(&mut id),
                Some(("event", value)) => value.clone_into(&mut kind),
                Some(("data", value)) => {
                    return (id, kind, serde_json::from_str(value).unwrap());
                }
                _ => {}
            }
        }
    }

    /// Reads to the end of the body or of the connection.
    fn rest(mut self) -> String {
        let mut text = String::new();
        while !text.ends_with("\n0\r\n") && self.lines.read_line(&mut text).unwrap() > 0 {}
        text
    }
}

on_both!(a_stream_tells_what_comes_and_goes_on_where_it_stopped, |server: &Server| {
    let (client, reader) = (server.client(), server.admin("events:read"));
    let first = client.create("/Users", &json!({"userName": "first"}));
    let mut stream = Stream::open(&reader, &format!("/events?{RESOURCES}"), "");
    let (id, kind, data) = stream.event();
    assert_eq!(kind.as_str(), "user.created");
    assert_eq!(data["resource"]["id"], json!(first));
    assert_eq!(data["id"], json!(id));
    let second = client.create("/Users", &json!({"userName": "second"}));
    assert_eq!(stream.event().2["resource"]["id"], json!(second));
    drop(stream);
    let mut again = Stream::open(&reader, &format!("/events?after=0&{RESOURCES}"), &id);
    assert_eq!(again.event().2["resource"]["id"], json!(second));
    // A token that is revoked reads nothing more.
    let token = reader.token.as_deref().unwrap().get(4..20).unwrap();
    assert!(server.run(&["token", "revoke", token]).status.success());
    client.create("/Users", &json!({"userName": "third"}));
    assert!(!again.rest().contains("data:"));
});

on_both!(a_reader_may_begin_with_the_newest, |server: &Server| {
    let (client, reader) = (server.client(), server.admin("events:read"));
    for name in ["first", "second", "third"] {
        client.create("/Users", &json!({"userName": name}));
    }
    let every = all(&reader, "");
    let newest = |query: &str| reader.get(&format!("/events?{query}")).json();
    let page = newest("newest=2");
    assert_eq!(page["events"].as_array().unwrap()[..], every[every.len() - 2..]);
    assert_eq!(page["next"], every[every.len() - 1]["id"]);
    assert_eq!(page["more"], json!(false));
    assert_eq!(newest("newest=1&types=token.*")["next"], page["next"]);
    let end = newest("newest=0");
    assert_eq!(end["events"], json!([]));
    assert_eq!(end["next"], page["next"]);
    let last = page["next"].as_str().unwrap();
    let before = page["events"][0]["id"].as_str().unwrap();
    assert_eq!(newest(&format!("newest=9&after={before}"))["events"], json!([page["events"][1]]));
    assert_eq!(newest(&format!("newest=9&after={last}")), end);
    assert_eq!(newest("newest=9&after=999.1")["next"], "999.1");
    for wrong in ["newest=1001", "newest=x"] {
        assert_eq!(reader.get(&format!("/events?{wrong}")).status, 400, "{wrong}");
    }
});

on_both!(a_stream_may_begin_with_the_newest, |server: &Server| {
    let (client, reader) = (server.client(), server.admin("events:read"));
    client.create("/Users", &json!({"userName": "first"}));
    let path = format!("/events?newest=0&{RESOURCES}");
    let mut stream = Stream::open(&reader, &path, "");
    let second = client.create("/Users", &json!({"userName": "second"}));
    let (id, _, data) = stream.event();
    assert_eq!(data["resource"]["id"], json!(second));
    let third = client.create("/Users", &json!({"userName": "third"}));
    assert_eq!(stream.event().2["resource"]["id"], json!(third));
    // It continues after the last event when the client reconnects.
    let mut again = Stream::open(&reader, &path, &id);
    assert_eq!(again.event().2["resource"]["id"], json!(third));
});

on_both!(streams_and_waits_end_when_the_server_stops, |server: &Server| {
    let reader = server.admin("events:read");
    let next = reader.get("/events").at("/next");
    let stream = Stream::open(&reader, &format!("/events?after={next}"), "");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| reader.get(&format!("/events?after={next}&wait=30")));
        server.terminate();
        assert_eq!(server.stopped(PATIENCE), Some(true));
        drop(stream.rest());
        drop(waiting.join());
    });
});
