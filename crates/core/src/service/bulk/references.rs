//! `bulkId:…` in places that name resources (RFC 7644 §3.7.2): the value of a reference, and the
//! filter of a PATCH path over references. Anywhere else it is a text like any other.

use serde_json::{Map, Value};

use crate::path::{AttrRef, Target};
use crate::schema::ResourceType;

/// What an operation does with the references in its data.
pub(super) type Visitor<'v> = dyn FnMut(&mut String) + 'v;

/// Returns the name behind `bulkId:`.
pub(super) fn bulk_id(text: &str) -> Option<&str> {
    text.strip_prefix("bulkId:").filter(|id| !id.is_empty())
}

/// Shows each reference in the body of a resource.
pub(super) fn in_resource(kind: &ResourceType, data: &mut Value, visit: &mut Visitor<'_>) {
    let Value::Object(map) = data else { return };
    for (name, value) in map {
        match kind.resolve_target(name) {
            Ok(Target::Attribute(reference)) => in_value(&reference, value, visit),
            Ok(Target::Container(extension)) => {
                let urn = &extension.schema.id;
                for (name, value) in value.as_object_mut().into_iter().flatten() {
                    if let Ok(reference) = kind.resolve(&format!("{urn}:{name}")) {
                        in_value(&reference, value, visit);
                    }
                }
            }
            Err(_) => {}
        }
    }
}

/// Shows each reference in the body of a PATCH.
pub(super) fn in_patch(kind: &ResourceType, data: &mut Value, visit: &mut Visitor<'_>) {
    let envelope = data.as_object_mut().into_iter().flatten();
    let lists = envelope.filter(|(name, _)| name.eq_ignore_ascii_case("Operations"));
    for operation in lists.filter_map(|(_, list)| list.as_array_mut()).flatten() {
        let Some(operation) = operation.as_object_mut() else { continue };
        let target = path_of(kind, operation, visit);
        let Some(value) = operation.get_mut("value") else { continue };
        match target {
            Some(reference) => in_value(&reference, value, visit),
            None => in_resource(kind, value, visit),
        }
    }
}

/// Resolves the path of an operation and shows the references in its filter.
fn path_of(
    kind: &ResourceType,
    operation: &mut Map<String, Value>,
    visit: &mut Visitor<'_>,
) -> Option<AttrRef> {
    let Some(Value::String(path)) = operation.get_mut("path") else {
        return None;
    };
    let name = path.split('[').next().unwrap_or_default();
    let reference = kind.resolve(name).ok()?;
    if reference.attribute.refers {
        // Bulk ids have neither quotes nor escapes when they stand in a filter.
        let mut parts: Vec<String> = path.split('"').map(str::to_owned).collect();
        for part in parts.iter_mut().skip(1).step_by(2) {
            visit(part);
        }
        *path = parts.join("\"");
    }
    let sub = path.rsplit_once("].").map(|(_, sub)| sub);
    let sub = sub.and_then(|sub| reference.attribute.sub(sub));
    Some(match sub {
        Some(sub) => AttrRef { sub_attribute: Some(std::sync::Arc::clone(sub)), ..reference },
        None => reference,
    })
}

fn in_value(at: &AttrRef, value: &mut Value, visit: &mut Visitor<'_>) {
    if !at.attribute.refers {
        return;
    }
    if let Some(sub) = &at.sub_attribute
        && !names_a_resource(&sub.name)
    {
        return;
    }
    match value {
        Value::Array(elements) => {
            for element in elements {
                in_element(element, visit);
            }
        }
        one => in_element(one, visit),
    }
}

fn in_element(element: &mut Value, visit: &mut Visitor<'_>) {
    match element {
        Value::String(text) => visit(text),
        Value::Object(map) => {
            for (name, value) in map {
                if let Value::String(text) = value
                    && names_a_resource(name)
                {
                    visit(text);
                }
            }
        }
        _ => {}
    }
}

fn names_a_resource(sub_attribute: &str) -> bool {
    sub_attribute.eq_ignore_ascii_case("value") || sub_attribute.eq_ignore_ascii_case("$ref")
}

/// Returns the body of a resource without the elements and attributes that refer to one of `ids`.
pub(super) fn without(kind: &ResourceType, data: &Value, ids: &[&str]) -> Value {
    let refers = |at: &AttrRef, value: &Value| {
        let mut found = false;
        in_value(at, &mut value.clone(), &mut |text| {
            found |= bulk_id(text).is_some_and(|id| ids.contains(&id));
        });
        found
    };
    let keep = |at: Option<AttrRef>, value: &mut Value| -> bool {
        let Some(at) = at else { return true };
        if let Value::Array(elements) = value {
            elements.retain(|element| !refers(&at, element));
            return true;
        }
        !refers(&at, value)
    };
    let mut data = data.clone();
    if let Value::Object(map) = &mut data {
        map.retain(|name, value| match kind.resolve_target(name) {
            Ok(Target::Attribute(at)) => keep(Some(at), value),
            Ok(Target::Container(extension)) => {
                if let Value::Object(inner) = value {
                    let urn = &extension.schema.id;
                    inner.retain(|name, value| {
                        keep(kind.resolve(&format!("{urn}:{name}")).ok(), value)
                    });
                }
                true
            }
            Err(_) => true,
        });
    }
    data
}
