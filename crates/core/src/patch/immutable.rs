//! Immutable attributes (RFC 7643 §7).

use serde_json::{Map, Value};

use crate::error::Error;
use crate::ids::Urn;
use crate::resource::Attributes;
use crate::schema::{Attribute, Container, Mutability, ResourceType, ValueType};
use crate::value::base64;

/// Refuses changes of immutable attributes that have a value.
///
/// # Errors
///
/// `mutability` naming the attribute.
pub(crate) fn check_immutable(
    kind: &ResourceType,
    before: &Attributes,
    after: &Attributes,
) -> Result<(), Error> {
    for (urn, container) in kind.containers() {
        let (urn, attributes) = match container {
            Container::Core => (None, &kind.schema.attributes),
            Container::Extension(extension) => (Some(urn), &extension.schema.attributes),
        };
        let Some(old) = before.container(urn) else {
            continue;
        };
        let empty = Map::new();
        let new = after.container(urn).unwrap_or(&empty);
        for attribute in attributes {
            let Some(old) = old.get(&*attribute.name) else {
                continue;
            };
            let new = new.get(&*attribute.name);
            if attribute.mutability == Mutability::Immutable && !is_same(attribute, old, new) {
                return Err(immutable(urn, &attribute.name));
            }
            // The elements of a list are added and removed as a whole, with their sub-attributes.
            if attribute.multi_valued {
                continue;
            }
            for sub in attribute
                .sub_attributes
                .iter()
                .filter(|sub| sub.mutability == Mutability::Immutable)
            {
                let Some(old) = old.get(&*sub.name) else {
                    continue;
                };
                if !is_same(sub, old, new.and_then(|new| new.get(&*sub.name))) {
                    return Err(immutable(urn, &format!("{}.{}", attribute.name, sub.name)));
                }
            }
        }
    }
    Ok(())
}

/// Returns whether a value means the same as before. Early releases stored bytes as clients sent them.
fn is_same(attribute: &Attribute, old: &Value, new: Option<&Value>) -> bool {
    let Some(new) = new else { return false };
    old == new
        || match (attribute.value_type, old, new) {
            (_, Value::Array(old), Value::Array(new)) => {
                old.len() == new.len()
                    && old.iter().zip(new).all(|(old, new)| is_same(attribute, old, Some(new)))
            }
            (ValueType::Binary, Value::String(old), Value::String(new)) => {
                base64::canonical_of_any(old).is_some_and(|old| old == *new)
            }
            (ValueType::Complex, Value::Object(old), Value::Object(new)) => {
                let subs = attribute.sub_attributes.iter();
                subs.map(|sub| (sub, old.get(&*sub.name), new.get(&*sub.name))).all(
                    |(sub, old, new)| match old {
                        Some(old) => is_same(sub, old, new),
                        None => new.is_none(),
                    },
                )
            }
            _ => false,
        }
}

fn immutable(urn: Option<&Urn>, name: &str) -> Error {
    let path = urn.map_or_else(|| name.to_owned(), |urn| format!("{urn}:{name}"));
    Error::Mutability { path, reason: "the value was set before and can never change".into() }
}
