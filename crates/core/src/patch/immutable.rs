//! Immutable attributes (RFC 7643 §7): once set, never changed.

use serde_json::Map;

use crate::error::Error;
use crate::resource::Attributes;
use crate::schema::{Container, Mutability, ResourceType};

/// Refuses changes of values that were immutable once set (RFC 7643 §7).
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
            let path = |sub: &str| match urn {
                None => format!("{}{sub}", attribute.name),
                Some(urn) => format!("{urn}:{}{sub}", attribute.name),
            };
            if attribute.mutability == Mutability::Immutable && new != Some(old) {
                return Err(immutable(path("")));
            }
            // Sub-attributes of several values belong to values that come and go as a whole.
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
                if new.and_then(|new| new.get(&*sub.name)) != Some(old) {
                    return Err(immutable(path(&format!(".{}", sub.name))));
                }
            }
        }
    }
    Ok(())
}

fn immutable(path: String) -> Error {
    Error::Mutability { path, reason: "the value was set before and can never change".into() }
}
