//! `headcount events tail`.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use headcount_e2e::server::binary;
use headcount_e2e::{Server, on_both};
use serde_json::{Value, json};

use crate::support::{all, types};

on_both!(tail_prints_the_newest_events, |server: &Server| {
    let none = server.run(&["events", "tail", "--types", "user.*"]);
    assert_eq!(none.status.code(), Some(1));
    let client = server.client();
    let ids: Vec<String> =
        (0..30).map(|n| client.create("/Users", &json!({"userName": format!("u{n}")}))).collect();
    let tail = |flags: &[&str]| {
        let output = server.run(&[&["events", "tail", "--output", "json"], flags].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>()
    };
    let newest = tail(&[]);
    let reported: Vec<&str> =
        newest.iter().map(|e| e["resource"]["id"].as_str().unwrap()).collect();
    assert_eq!(reported, ids[10..]);
    assert_eq!(newest, all(&server.admin("events:read"), "types=user.*")[10..]);
    let first = tail(&["--after", "0", "--types", "user.*", "--limit", "2"]);
    assert_eq!(first[1]["resource"]["id"], json!(ids[1]));
    assert_eq!(types(&tail(&["--types", "token.*", "--limit", "1"])), ["token.created"]);
    let text = server.run(&["events", "tail", "--limit", "1"]);
    let line = String::from_utf8(text.stdout).unwrap();
    assert!(line.contains("token.created") || line.contains("user.created"), "{line}");
    for wrong in [["--types", "nothing"], ["--after", "x"], ["--tenant", "nobody"]] {
        assert!(!server.run(&[&["events", "tail"], &wrong[..]].concat()).status.success());
    }
});

on_both!(tail_follows_the_server, |server: &Server| {
    let client = server.client();
    let mut child = Command::new(binary())
        .args([
            "events",
            "tail",
            "--follow",
            "--types",
            "user.*",
            "--database",
            &server.database.url,
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for name in ["first", "second"] {
        let id = client.create("/Users", &json!({"userName": name}));
        assert!(lines.next().unwrap().unwrap().contains(&id));
    }
    child.kill().unwrap();
    child.wait().unwrap();
});
