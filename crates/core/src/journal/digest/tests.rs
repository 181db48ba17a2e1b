use super::*;

fn created(body: &str, reply: &str) -> RequestRecord {
    let digester = Digester::new(Arc::new(Registry::builtin().unwrap()));
    let exchange = Exchange {
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
        filter: None,
        status: 201,
        scim_type: None,
        field: None,
        reason: None,
        quirks: Quirks::NONE,
        body: Some(body.to_owned()),
        reply: Some(reply.to_owned()),
        rejected: Vec::new(),
    };
    digester.digest(&exchange).remove(0)
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
