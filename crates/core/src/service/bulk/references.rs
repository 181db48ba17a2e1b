//! `bulkId:…` where resources are named (RFC 7644 §3.7.2): in the value of a reference, and in the filter
//! of a PATCH path over references. Anywhere else it is an ordinary text.

use serde_json::{Map, Value};

use crate::json::quoted_length;
use crate::path::{AttrRef, PathParts, PathTarget};
use crate::schema::ResourceType;

/// A function that is called with each reference in the data of an operation, and may replace it.
pub(super) type Visitor<'v> = dyn FnMut(&mut String) + 'v;

/// Returns the name after `bulkId:`.
pub(super) fn bulk_id(text: &str) -> Option<&str> {
    text.strip_prefix("bulkId:").filter(|id| !id.is_empty())
}

/// Visits each reference in the body of a resource.
pub(super) fn in_resource(kind: &ResourceType, data: &mut Value, visit: &mut Visitor<'_>) {
    let Value::Object(map) = data else { return };
    for (name, value) in map {
        match kind.resolve_target(name) {
            Ok(PathTarget::Attribute(reference)) => in_value(&reference, value, visit),
            Ok(PathTarget::Container(extension)) => {
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

/// Visits each reference in the body of a PATCH.
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

/// Resolves the path of an operation, and visits the references in its filter.
fn path_of(
    kind: &ResourceType,
    operation: &mut Map<String, Value>,
    visit: &mut Visitor<'_>,
) -> Option<AttrRef> {
    let Some(Value::String(path)) = operation.get_mut("path") else {
        return None;
    };
    let parts = PathParts::of(path).ok()?;
    let reference = kind.resolve(parts.attribute).ok()?;
    let sub = parts.sub.and_then(|sub| reference.attribute.sub(sub)).cloned();
    if reference.attribute.refers
        && let Some(filter) = parts.filter
    {
        let tail = parts.sub.map(|sub| format!(".{sub}")).unwrap_or_default();
        *path = format!("{}[{}]{tail}", parts.attribute, in_filter(filter, visit));
    }
    Some(match sub {
        Some(sub) => AttrRef { sub_attribute: Some(sub), ..reference },
        None => reference,
    })
}

/// Visits each text of a filter, and returns the filter with the replaced texts.
fn in_filter(filter: &str, visit: &mut Visitor<'_>) -> String {
    let mut out = String::with_capacity(filter.len());
    let mut rest = filter;
    while let Some((before, quoted)) = rest.find('"').and_then(|at| rest.split_at_checked(at)) {
        out.push_str(before);
        let length = quoted_length(quoted).unwrap_or(quoted.len());
        let (literal, tail) = quoted.split_at_checked(length).unwrap_or((quoted, ""));
        match serde_json::from_str::<String>(literal) {
            Ok(read) => {
                let mut text = read.clone();
                visit(&mut text);
                match text == read {
                    true => out.push_str(literal),
                    false => out.push_str(&Value::String(text).to_string()),
                }
            }
            // Parsing the filter reports the error.
            Err(_) => out.push_str(literal),
        }
        rest = tail;
    }
    out.push_str(rest);
    out
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

/// Returns whether a value refers to one of `ids`.
fn refers_to(ids: &[&str], at: &AttrRef, value: &Value) -> bool {
    let mut found = false;
    in_value(at, &mut value.clone(), &mut |text| {
        found |= bulk_id(text).is_some_and(|id| ids.contains(&id));
    });
    found
}

/// Removes the elements that refer to one of `ids`, and returns whether the attribute stays.
fn strip(ids: &[&str], at: &AttrRef, value: &mut Value) -> bool {
    if let Value::Array(elements) = value {
        elements.retain(|element| !refers_to(ids, at, element));
        return true;
    }
    !refers_to(ids, at, value)
}

/// Returns the body of a resource without the elements and attributes that refer to one of `ids`.
pub(super) fn without(kind: &ResourceType, data: &Value, ids: &[&str]) -> Value {
    let mut data = data.clone();
    if let Value::Object(map) = &mut data {
        map.retain(|name, value| match kind.resolve_target(name) {
            Ok(PathTarget::Attribute(at)) => strip(ids, &at, value),
            Ok(PathTarget::Container(extension)) => {
                if let Value::Object(inner) = value {
                    let urn = &extension.schema.id;
                    inner.retain(|name, value| {
                        let at = kind.resolve(&format!("{urn}:{name}"));
                        at.map_or(true, |at| strip(ids, &at, value))
                    });
                }
                true
            }
            Err(_) => true,
        });
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_2_a_reference_in_a_filter_is_a_whole_text() {
        let mut seen = Vec::new();
        let filter =
            r#"value eq "a\" eq \"bulkId:x" or value eq "bulkId:y" or display eq "\u00e4[""#;
        let filled = in_filter(filter, &mut |text| {
            seen.push(text.clone());
            if bulk_id(text).is_some() {
                *text = "id".to_owned();
            }
        });
        assert_eq!(filled, filter.replace("bulkId:y", "id"));
        assert_eq!(seen, ["a\" eq \"bulkId:x", "bulkId:y", "ä["]);
    }
}
