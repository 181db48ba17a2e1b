//! Texts that look like the grammar around them, in every part of a PATCH that can contain one.

use serde_json::{Value, json};

use super::tests::run;
use crate::schema::Registry;

fn texts() -> Vec<String> {
    serde_json::from_str(include_str!("../../fixtures/nasty-texts.json")).unwrap()
}

/// Runs one operation on a user with two roles, by path and as the key of a pathless value.
fn roles(text: &str, verb: &str, path: &str, value: &Value, after: &Value) {
    let registry = Registry::builtin().unwrap();
    let kind = registry.kind("User").unwrap();
    let before = json!({"userName": "bj", "active": true,
        "roles": [{"value": text, "type": "a"}, {"value": "plain", "type": "b"}]});
    let by_path = match verb {
        "remove" => json!({"op": verb, "path": path}),
        _ => json!({"op": verb, "path": path, "value": value}),
    };
    let mut forms = vec![by_path];
    if verb != "remove" {
        forms.push(json!({"op": verb, "value": {path: value}}));
    }
    for operation in forms {
        let case = json!({"before": before, "operations": [operation]});
        let result = run(kind, &case).unwrap_or_else(|error| panic!("{operation}: {error}"));
        assert_eq!(&result["roles"], after, "{text:?}: {operation}");
    }
}

#[test]
fn a_2_the_filter_of_a_path_may_hold_any_text() {
    for text in texts() {
        let selected = format!("roles[value eq {}]", json!(text));
        let plain = json!({"value": "plain", "type": "b"});
        roles(&text, "remove", &selected, &json!(null), &json!([plain]));
        roles(
            &text,
            "remove",
            &format!("{selected}.type"),
            &json!(null),
            &json!([{"value": text}, plain]),
        );
        for verb in ["replace", "add"] {
            let changed = json!([{"value": text, "display": "D", "type": "a"}, plain]);
            roles(&text, verb, &format!("{selected}.display"), &json!("D"), &changed);
        }
        let other = format!("{text}!");
        let absent = format!("roles[value eq {} and type eq \"c\"].display", json!(other));
        let created = json!([{"value": text, "type": "a"}, plain,
            {"value": other, "display": "D", "type": "c"}]);
        roles(&text, "replace", &absent, &json!("D"), &created);
    }
}

#[test]
fn a_2_the_filter_of_a_path_may_name_any_member() {
    let registry = Registry::builtin().unwrap();
    let kind = registry.kind("Group").unwrap();
    for text in texts() {
        let case = json!({"before": {"displayName": "g"}, "members": ["a", text],
            "operations": [{"op": "remove", "path": format!("members[value eq {}]", json!(text))}]});
        assert_eq!(run(kind, &case).unwrap()["members"], json!(["a"]), "{text:?}");
    }
}
