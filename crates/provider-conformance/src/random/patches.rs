//! Random PATCH requests, and one request in its three forms.

use std::sync::Arc;

use headcount_core::schema::{Attribute, Container, ResourceType, ValueType};
use serde_json::{Map, Value, json};

use super::{Random, values};

/// An attribute with the URN of its schema.
struct Target {
    urn: String,
    core: bool,
    attribute: Arc<Attribute>,
}

impl Target {
    fn path(&self) -> String {
        match self.core {
            true => self.attribute.name.to_string(),
            false => self.long(),
        }
    }

    fn long(&self) -> String {
        format!("{}:{}", self.urn, self.attribute.name)
    }

    fn any(random: &mut Random, kind: &ResourceType) -> Self {
        let containers: Vec<_> = kind.containers().collect();
        let (urn, container) = random.one(&containers);
        let attribute = Arc::clone(random.one(container.attributes(kind)));
        Self { urn: urn.to_string(), core: matches!(container, Container::Core), attribute }
    }
}

/// Makes the body of a PATCH; `ids` are those of possible members.
pub fn request(random: &mut Random, kind: &ResourceType, ids: &[String]) -> Value {
    let operations: Vec<Value> =
        (0..1 + random.below(3)).map(|_| operation(random, kind, ids)).collect();
    json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations})
}

fn operation(random: &mut Random, kind: &ResourceType, ids: &[String]) -> Value {
    let verb = *random.one(&["add", "replace", "remove", "Add", "replace"]);
    let target = Target::any(random, kind);
    let attribute = &target.attribute;
    if &*attribute.name == "members" {
        return members(random, verb, ids);
    }
    match random.below(12) {
        0 => json!({"op": verb, "path": "externalId", "value": values::text(random)}),
        1 if !target.core => json!({"op": verb, "path": target.urn,
            "value": {attribute.name.to_string(): values::value(random, attribute)}}),
        2 => {
            let mut map = Map::new();
            for _ in 0..1 + random.below(3) {
                let target = Target::any(random, kind);
                if &*target.attribute.name != "members" {
                    map.insert(target.path(), values::value(random, &target.attribute));
                }
            }
            json!({"op": verb, "value": map})
        }
        3 => {
            json!({"op": verb, "path": "schemas", "value": [random.one(&[&*target.urn, kind.schema.id.as_str()])]})
        }
        4..=7 if attribute.value_type == ValueType::Complex => on_selected(random, verb, &target),
        8 => {
            json!({"op": verb, "path": target.path(), "value": values::element(random, attribute)})
        }
        9 if verb == "remove" => {
            json!({"op": verb, "path": target.path(), "value": values::value(random, attribute)})
        }
        _ if verb == "remove" => json!({"op": verb, "path": random.respell(&target.path())}),
        _ => {
            json!({"op": verb, "path": random.respell(&target.path()), "value": values::value(random, attribute)})
        }
    }
}

/// Makes an operation on values that a filter selects, on one sub-attribute of them, or of all.
fn on_selected(random: &mut Random, verb: &str, target: &Target) -> Value {
    let sub = Arc::clone(random.one(&target.attribute.sub_attributes));
    let by = Arc::clone(random.one(&target.attribute.sub_attributes));
    let filter = match random.below(5) {
        0 => format!("{} pr", by.name),
        1 => format!("not ({} eq {})", by.name, values::literal(random, &by)),
        _ => format!(
            "{} {} {}",
            by.name,
            random.one(&["eq", "eq", "ne"]),
            values::literal(random, &by)
        ),
    };
    let (path, value) = match random.below(3) {
        0 => (format!("{}[{filter}]", target.path()), values::element(random, &target.attribute)),
        1 => (format!("{}[{filter}].{}", target.path(), sub.name), values::simple(random, &sub)),
        _ => (format!("{}.{}", target.path(), sub.name), values::simple(random, &sub)),
    };
    match verb {
        "remove" => json!({"op": verb, "path": path}),
        _ => json!({"op": verb, "path": path, "value": value}),
    }
}

fn members(random: &mut Random, verb: &str, ids: &[String]) -> Value {
    if ids.is_empty() {
        return json!({"op": "remove", "path": "members"});
    }
    let list: Vec<Value> =
        (0..random.below(4)).map(|_| json!({"value": random.one(ids)})).collect();
    match random.below(6) {
        0 => json!({"op": "remove", "path": format!("members[value eq \"{}\"]", random.one(ids))}),
        1 => {
            json!({"op": "remove", "path": format!("members[type eq \"{}\"]", random.one(&["User", "group"]))})
        }
        2 => {
            json!({"op": "remove", "path": format!("members[not (value sw \"{}\")]", random.one(&["0", "a", "f"]))})
        }
        3 => json!({"op": verb, "value": {"members": list}}),
        _ => json!({"op": verb, "path": "members", "value": list}),
    }
}

/// Makes a change of one attribute in three forms: by path, without a path, by the path with its URN.
pub fn three_forms(random: &mut Random, kind: &ResourceType) -> [Value; 3] {
    let verb = *random.one(&["add", "replace"]);
    let mut target = Target::any(random, kind);
    // A value without a path may repeat what only the server sets, but a path must not name it.
    while target.attribute.is_read_only() || &*target.attribute.name == "members" {
        target = Target::any(random, kind);
    }
    let sub = (!target.attribute.multi_valued && random.once_in(3))
        .then(|| target.attribute.sub_attributes.iter().find(|sub| !sub.is_read_only()))
        .flatten();
    let (value, suffix) = match sub {
        Some(sub) => (values::simple(random, sub), format!(".{}", sub.name)),
        None => (values::value(random, &target.attribute), String::new()),
    };
    let name = target.attribute.name.to_string();
    let inner = match sub {
        Some(sub) => json!({name: {sub.name.to_string(): value}}),
        None => json!({name: value}),
    };
    let pathless = if target.core { inner } else { json!({&*target.urn: inner}) };
    let (short, long) =
        (format!("{}{suffix}", target.path()), format!("{}{suffix}", target.long()));
    [
        json!({"op": verb, "path": short, "value": value}),
        json!({"op": verb, "value": pathless}),
        json!({"op": verb, "path": long, "value": value}),
    ]
    .map(|operation| json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [operation]}))
}
