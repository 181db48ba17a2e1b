//! Events in the words of RFC 9967: the claims of a Security Event Token (RFC 8417), unsigned.

use serde_json::{Map, Value, json};

use headcount_core::change::Act;

use crate::events::{Event, EventKind};
use headcount_core::resource::Attributes;

/// What all event URIs begin with (RFC 9967 §2.4).
const PREFIX: &str = "urn:ietf:params:scim:event:prov:";
const PATCH_SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

/// The state of a resource right after the event.
#[derive(Debug, Clone, Copy)]
pub struct State<'a> {
    /// What a reader of the resource is shown by default.
    pub shown: &'a Map<String, Value>,
    /// Everything that is stored of it.
    pub stored: &'a Attributes,
}

/// Whether the events of a resource have its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Payload {
    /// They name the attributes that changed.
    #[default]
    Thin,
    /// They have the state, where there is one.
    Full,
}

/// Returns the claims for an event on a resource; none for what SCIM has no word for.
///
/// `uri` is the resource's address below the base URL, `issuer` who issues it. With the `state`, or where
/// the event itself says all, the token is `full`; else it is a `notice`. `jti` is the event's id and
/// `iat` the time of the change, so that the token is the same whenever it is made.
pub fn claims(
    event: &Event,
    uri: &str,
    issuer: &str,
    style: Payload,
    state: Option<State<'_>>,
) -> Option<Value> {
    let (name, payload) = payload(event, style, state)?;
    let mut subject = json!({"format": "scim", "uri": uri});
    if let (Some(subject), Some(id)) = (subject.as_object_mut(), &event.external_id) {
        subject.insert("externalId".to_owned(), id.as_str().into());
    }
    let mut events = Map::new();
    events.insert(format!("{PREFIX}{name}"), payload);
    Some(json!({
        "iss": issuer,
        "iat": event.at.micros().div_euclid(1_000_000),
        "jti": event.id.to_string(),
        "txn": event.request.as_str(),
        "sub_id": subject,
        "events": events,
    }))
}

/// The name of the event behind the prefix, and its payload.
fn payload(event: &Event, style: Payload, state: Option<State<'_>>) -> Option<(String, Value)> {
    let (name, data) = match (event.what, event.act) {
        (EventKind::Deleted, _) => return Some(("delete".to_owned(), json!({}))),
        (EventKind::Deactivated, _) => return Some(("deactivate".to_owned(), json!({}))),
        (EventKind::Reactivated, _) => return Some(("activate".to_owned(), json!({}))),
        (EventKind::Other(_), _) => return None,
        (EventKind::Created, _) => ("create", state.map(|state| Value::from(state.shown.clone()))),
        (EventKind::Updated, Act::Replaced) => {
            ("put", state.map(|state| Value::from(state.shown.clone())))
        }
        (EventKind::Updated, _) => ("patch", state.map(|state| operations(event, state))),
        // The event says which member it was; no state is needed.
        (EventKind::MemberAdded | EventKind::MemberRemoved, _) => ("patch", membership(event)),
    };
    let version = event.version.map(|version| version.to_string());
    Some(match data.filter(|_| style == Payload::Full) {
        Some(data) => (format!("{name}:full"), json!({"version": version, "data": data})),
        None => {
            let attributes = &event.attributes;
            (format!("{name}:notice"), json!({"version": version, "attributes": attributes}))
        }
    })
}

/// A PATCH that makes the changed attributes what they are now.
fn operations(event: &Event, state: State<'_>) -> Value {
    let mut operations = Vec::new();
    for path in &event.attributes {
        let shown = at(path, |name| state.shown.get(name));
        match (shown, at(path, |name| state.stored.top(name))) {
            (Some(value), _) => {
                operations.push(json!({"op": "replace", "path": path, "value": value}));
            }
            (None, None) => operations.push(json!({"op": "remove", "path": path})),
            // It has a value that is returned only on request.
            (None, Some(_)) => {}
        }
    }
    json!({"schemas": [PATCH_SCHEMA], "Operations": operations})
}

/// Finds an attribute by its path: a top-level name, or one inside an extension.
fn at<'a>(path: &str, top: impl Fn(&str) -> Option<&'a Value>) -> Option<&'a Value> {
    match path.rsplit_once(':') {
        Some((urn, name)) => top(urn)?.get(name),
        None => top(path),
    }
}

fn membership(event: &Event) -> Option<Value> {
    let member = event.member.as_ref()?.as_str();
    let operation = match event.what {
        EventKind::MemberAdded => {
            json!({"op": "add", "path": "members", "value": [{"value": member}]})
        }
        _ => json!({"op": "remove", "path": format!("members[value eq {}]", Value::from(member))}),
    };
    Some(json!({"schemas": [PATCH_SCHEMA], "Operations": [operation]}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::EventId;
    use headcount_core::change::Actor;
    use headcount_core::clock::Timestamp;
    use headcount_core::ids::{ChainPosition, Kind, RequestId, ResourceId, Version};
    use headcount_core::resource::Document;

    fn event(what: EventKind, act: Act, attributes: &[&str]) -> Event {
        Event {
            id: EventId { position: ChainPosition::new(7), number: 1 },
            what,
            act,
            at: Timestamp::from_micros(1_500_000),
            actor: Actor::Cli,
            request: RequestId::new("q1"),
            kind: Kind::new("User"),
            resource: ResourceId::new("r1"),
            version: Some(Version::new(2)),
            external_id: Some("x1".to_owned()),
            attributes: attributes.iter().map(|name| (*name).to_owned()).collect(),
            member: None,
        }
    }

    fn object(value: &Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    fn only_event(claims: &Value) -> (String, Value) {
        let (name, payload) = claims["events"].as_object().unwrap().iter().next().unwrap();
        (name.strip_prefix(PREFIX).unwrap().to_owned(), payload.clone())
    }

    #[test]
    fn evt_001_evt_002_evt_008_the_claims() {
        let claims = claims(
            &event(EventKind::Deleted, Act::Deleted, &[]),
            "/Users/r1",
            "https://a",
            Payload::Full,
            None,
        );
        assert_eq!(
            claims.unwrap(),
            json!({
                "iss": "https://a", "iat": 1, "jti": "7.1", "txn": "q1",
                "sub_id": {"format": "scim", "uri": "/Users/r1", "externalId": "x1"},
                "events": {"urn:ietf:params:scim:event:prov:delete": {}},
            })
        );
    }

    #[test]
    fn evt_003_evt_004_evt_005_a_payload_is_data_or_names() {
        let shown = object(&json!({"id": "r1", "title": "x", "urn:e:User": {"a": 1}}));
        let stored = json!({"schemas": [], "title": "x", "urn:e:User": {"a": 1}, "hidden": "h"});
        let stored = Document::from_store(stored.to_string());
        let state = State { shown: &shown, stored: stored.attributes().unwrap() };
        let paths = ["title", "nickName", "hidden", "urn:e:User:a", "urn:e:User:b"];
        for (what, act, name) in [
            (EventKind::Created, Act::Created, "create"),
            (EventKind::Updated, Act::Replaced, "put"),
            (EventKind::Updated, Act::Patched, "patch"),
        ] {
            let event = event(what, act, &paths);
            let reported = |full, state| {
                only_event(&claims(&event, "/Users/r1", "https://a", full, state).unwrap())
            };
            let notice =
                (format!("{name}:notice"), json!({"version": "W/\"2\"", "attributes": paths}));
            assert_eq!(reported(Payload::Thin, Some(state)), notice);
            assert_eq!(reported(Payload::Full, None), notice);
            let (full, payload) = reported(Payload::Full, Some(state));
            assert_eq!(full, format!("{name}:full"));
            assert_eq!(payload["version"], "W/\"2\"");
            assert_eq!(payload.get("attributes"), None);
            if name != "patch" {
                assert_eq!(payload["data"], Value::from(shown.clone()));
                continue;
            }
            assert_eq!(
                payload["data"],
                json!({"schemas": [PATCH_SCHEMA], "Operations": [
                    {"op": "replace", "path": "title", "value": "x"},
                    {"op": "remove", "path": "nickName"},
                    {"op": "replace", "path": "urn:e:User:a", "value": 1},
                    {"op": "remove", "path": "urn:e:User:b"},
                ]})
            );
        }
    }

    #[test]
    fn evt_007_switches_have_no_payload() {
        for (what, name) in
            [(EventKind::Reactivated, "activate"), (EventKind::Deactivated, "deactivate")]
        {
            let event = event(what, Act::Patched, &["active"]);
            let reported = claims(&event, "/Users/r1", "https://a", Payload::Full, None).unwrap();
            assert_eq!(only_event(&reported), (name.to_owned(), json!({})));
        }
    }

    #[test]
    fn a_membership_is_a_patch_that_says_all() {
        for (what, operation) in [
            (
                EventKind::MemberAdded,
                json!({"op": "add", "path": "members", "value": [{"value": "u\"1"}]}),
            ),
            (
                EventKind::MemberRemoved,
                json!({"op": "remove", "path": "members[value eq \"u\\\"1\"]"}),
            ),
        ] {
            let event = Event {
                member: Some(ResourceId::new("u\"1")),
                ..event(what, Act::Deleted, &["members"])
            };
            let reported =
                |full| only_event(&claims(&event, "/Groups/g", "i", full, None).unwrap());
            assert_eq!(reported(Payload::Full).0, "patch:full");
            assert_eq!(reported(Payload::Full).1["data"]["Operations"], json!([operation]));
            assert_eq!(reported(Payload::Thin).0, "patch:notice");
            assert_eq!(reported(Payload::Thin).1["attributes"], json!(["members"]));
        }
    }
}
