//! Reading the feed.

use std::time::Duration;

use headcount_e2e::Client;
use serde_json::{Value, json};

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Reads all events behind a cursor.
pub(crate) fn all(reader: &Client, query: &str) -> Vec<Value> {
    let (mut after, mut events) = ("0".to_owned(), Vec::new());
    loop {
        let page = reader.get(&format!("/events?after={after}&{query}"));
        assert_eq!(page.status, 200, "{}", page.text());
        events.extend(page.json()["events"].as_array().unwrap().iter().cloned());
        after = page.at("/next");
        if page.json()["more"] == json!(false) {
            return events;
        }
    }
}

pub(crate) fn types(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap()).collect()
}

/// The events of users and groups, without those of tokens.
pub(crate) const RESOURCES: &str = "types=user.*,group.*";
