//! Values that a PUT keeps although the body leaves them out.

use serde_json::{Map, Value};

use crate::error::Error;
use crate::quirks::Quirks;
use crate::resource::{Attributes, canonical_stored};
use crate::schema::{Mutability, ResourceType};

/// Whether a body names the attributes that PUT keeps when they are left out.
pub(super) struct Named {
    external_id: bool,
    active: bool,
}

impl Named {
    pub(super) fn of(body: &Value) -> Self {
        let [external_id, active] = ["externalId", "active"].map(|wanted| {
            body.as_object()
                .is_some_and(|map| map.keys().any(|name| name.eq_ignore_ascii_case(wanted)))
        });
        Self { external_id, active }
    }

    /// Adds what the body left out and must stay: `externalId`, `active`, immutable values (CHR-005).
    pub(super) fn carry_over(
        &self,
        kind: &ResourceType,
        quirks: Quirks,
        before: &Attributes,
        after: Attributes,
    ) -> Result<Attributes, Error> {
        let mut map = after.into_map();
        let mut carried = false;
        for (name, named) in [("externalId", self.external_id), ("active", self.active)] {
            if let (false, Some(value)) = (named, before.top(name)) {
                carried |= keep(&mut map, name, value);
            }
        }
        for attribute in kind.schema.attributes.iter() {
            let immutable = attribute.mutability == Mutability::Immutable;
            if let (true, false, Some(value)) =
                (immutable, map.contains_key(&*attribute.name), before.top(&attribute.name))
            {
                carried |= keep(&mut map, &attribute.name, value);
            }
        }
        for extension in &kind.extensions {
            let urn = &extension.schema.id;
            for attribute in extension.schema.attributes.iter() {
                let immutable = attribute.mutability == Mutability::Immutable;
                let Some(value) =
                    before.container(Some(urn)).and_then(|old| old.get(&*attribute.name))
                else {
                    continue;
                };
                let inner = map.entry(urn.as_str()).or_insert_with(|| Value::Object(Map::new()));
                if let (true, Some(inner)) = (immutable, inner.as_object_mut())
                    && !inner.contains_key(&*attribute.name)
                {
                    carried |= keep(inner, &attribute.name, value);
                }
            }
        }
        if !carried {
            map.retain(|_, value| value.as_object().is_none_or(|object| !object.is_empty()));
            return Ok(Attributes::from_canonical(map));
        }
        Ok(canonical_stored(kind, quirks, map)?.attributes)
    }
}

/// Sets a field, and returns whether that changed it.
fn keep(map: &mut Map<String, Value>, name: &str, value: &Value) -> bool {
    let changes = map.get(name) != Some(value);
    if changes {
        map.insert(name.to_owned(), value.clone());
    }
    changes
}
