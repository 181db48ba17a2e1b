use proptest::prelude::*;
use serde_json::{Map, json};

use super::*;

fn created(body: &str, reply: &str) -> RequestRecord {
    record_of(201, body, reply)
}

fn record_of(status: u16, body: &str, reply: &str) -> RequestRecord {
    let builder = RecordBuilder::new(Arc::new(Registry::builtin().unwrap()));
    let exchange = HttpExchange {
        at: Timestamp::from_micros(0),
        micros: 1,
        request: RequestId::new("r"),
        tenant: None,
        token: None,
        token_name: None,
        refused: None,
        address: None,
        agent: None,
        method: "POST",
        path: "/Users".to_owned(),
        routed: true,
        filter: None,
        status,
        scim_type: None,
        field: None,
        reason: None,
        quirks: Quirks::NONE,
        body: Some(body.to_owned()),
        reply: Some(reply.to_owned()),
        proven: true,
        changed: None,
        names: ResourceNames::default(),
        operations: Vec::new(),
    };
    builder.build(exchange).remove(0)
}

#[test]
fn a_creation_is_known_by_its_id_and_the_names_it_was_sent_with() {
    let reply = r#"{"id":"7","userName":"Jane@example.com"}"#;
    let record = created(r#"{"userName":"Jane@example.com","externalId":"E1"}"#, reply);
    assert_eq!(record.resource, Some(ResourceId::new("7")));
    assert_eq!(record.names, ["7", &fold("Jane@example.com"), &fold("E1")]);
    assert_eq!(record.reply.as_deref(), Some(reply));
}

#[test]
fn the_answer_to_a_creation_is_read_in_full_where_the_request_cannot_be() {
    let record = created("no JSON", r#"{"id":"7","userName":"jane"}"#);
    assert_eq!(record.names, ["7", "jane"]);
}

#[test]
fn the_answer_to_a_creation_is_masked_like_any_other_body() {
    let record = created(r#"{"userName":"jane"}"#, r#"{"id":"7","password":"Ev3ryb0dy"}"#);
    assert!(!record.reply.unwrap().contains("Ev3ryb0dy"));
    assert_eq!(record.resource, Some(ResourceId::new("7")));
}

#[test]
fn nothing_is_kept_of_a_refused_body_that_two_readers_would_understand_differently() {
    for body in [
        r#"{"userName":"jane","userName":"Ev3ryb0dy"}"#,
        r#"{"userName":"jane","x":{"a":1,"a":"Ev3ryb0dy"}}"#,
        r#"{"userName":"jane","title":"Ev3ryb0dy""#,
    ] {
        let record = record_of(400, body, r#"{"status":"400"}"#);
        assert_eq!(record.body, Some(format!("({} bytes, not kept)", body.len())));
        assert_eq!((record.name, record.names), (None, Vec::new()));
    }
    let record = record_of(409, r#"{"userName":"jane","x":{"a":1}}"#, r#"{"status":"409"}"#);
    assert_eq!(record.body.as_deref(), Some(r#"{"userName":"jane","x":{"a":1}}"#));
    assert_eq!(record.names, ["jane"]);
}

/// Names of members, those that name someone and others, as identity providers write them.
const MEMBERS: [&str; 19] = [
    "userName",
    "USERNAME",
    "displayName",
    "externalId",
    "emails",
    "emails[type eq \"work\"].value",
    "members",
    "members[value eq \"2819c223\"]",
    "urn:ietf:params:scim:schemas:core:2.0:User",
    "urn:ietf:params:scim:schemas:core:2.0:User:userName",
    "Operations",
    "op",
    "path",
    "value",
    "name",
    "name.displayName",
    "title",
    "manager",
    "id",
];

fn bodies() -> impl Strategy<Value = Value> {
    let texts = prop::sample::select(
        MEMBERS.iter().copied().chain(["Jane", "jane@example.com", "e1", ""]).collect::<Vec<_>>(),
    );
    let leaf = prop_oneof![
        4 => texts.prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => any::<i32>().prop_map(Value::from),
        1 => Just(Value::Null),
    ];
    let member = prop::sample::select(MEMBERS.to_vec()).prop_map(str::to_owned);
    let value = leaf.prop_recursive(4, 24, 5, move |inner| {
        let members = prop::collection::vec((member.clone(), inner.clone()), 0..5);
        prop_oneof![
            1 => prop::collection::vec(inner, 0..4).prop_map(Value::from),
            3 => members.prop_map(|members| Value::Object(Map::from_iter(members))),
        ]
    });
    let path = prop::sample::select(MEMBERS.to_vec());
    let operation = (path, value.clone())
        .prop_map(|(path, value)| json!({"op": "Replace", "path": path, "value": value}));
    let operations = prop::collection::vec(operation, 1..4);
    prop_oneof![
        operations.prop_map(|list| json!({"Operations": list})),
        value.prop_filter("a body is an object", Value::is_object),
    ]
}

proptest! {
    #[test]
    fn what_is_skipped_of_a_body_names_no_one(body in bodies()) {
        let text = body.to_string();
        let read = Body::sketch(Some(text.as_bytes()), is_telling);
        prop_assert_eq!(read.whole(), Some(body.clone()));
        let reported = |body: &Value| {
            let mut names = Names::default();
            names.collect(body);
            (names.folded, names.label)
        };
        prop_assert_eq!(read.json().map(reported), Some(reported(&body)));
    }
}
