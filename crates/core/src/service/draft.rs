//! Drafts: a document with everything that is derived from it.

use super::{Caller, Service};
use crate::change::{Act, Activation, Change, ResourceNames};
use crate::error::Error;
use crate::ids::ResourceId;
use crate::index::{self, Columns, Difference, IndexEntry, UniqueKey};
use crate::members::MemberChange;
use crate::provider::Draft;
use crate::quirks::Quirks;
use crate::resource::{Attributes, Document, Resource};
use crate::schema::ResourceType;
use crate::work::{Halt, Work, bytes};

/// The state that a draft replaces.
#[derive(Clone, Copy)]
pub(super) enum Base<'a> {
    /// None: the resource will have this id.
    New(&'a ResourceId),
    /// A resource under the provider's lock.
    Existing(&'a Resource),
}

/// What a resource becomes, and by which act.
pub(super) struct Content {
    pub(super) attributes: Attributes,
    pub(super) members: MemberChange,
    pub(super) act: Act,
}

impl Service {
    /// Derives everything that is stored with a document.
    pub(super) fn draft(
        &self,
        caller: &Caller,
        kind: &ResourceType,
        base: Base<'_>,
        content: Content,
        work: &Work,
    ) -> Result<Draft, Error> {
        let Content { attributes, members, act } = content;
        let (id, before) = match base {
            Base::New(id) => (id, None),
            Base::Existing(resource) => {
                (&resource.id, Some((resource, resource.document.attributes()?)))
            }
        };
        members.check(id)?;
        check_names(before.map(|(_, old)| old), &attributes)?;
        let (entries, keys) = derive(kind, caller.quirks, &attributes, work)?;
        index::check_lengths(kind, &attributes, &entries, &keys)?;
        let (old_entries, old_keys) = match before {
            None => (Vec::new(), Vec::new()),
            Some((_, old)) => derive(kind, caller.quirks, old, work)?,
        };
        // `lastModified` grows even if the clock goes back (RES-019).
        let now = self.clock.now();
        let at = before.map_or(now, |(resource, _)| now.max(resource.modified.next()));
        let columns = Columns::of(kind, &attributes);
        let switched =
            before.and_then(|(_, old)| activation(Columns::of(kind, old).active, columns.active));
        let empty = Attributes::default();
        let paths = changed_paths(before.map_or(&empty, |(_, old)| old), &attributes, &members);
        let names = ResourceNames {
            name: columns.name.clone(),
            external_id: columns.external_id.clone(),
            address: None,
        };
        let document = Document::from_attributes(kind, attributes);
        work.spend(bytes(document.text()))?;
        if document.text().len() > self.limits.document_bytes {
            return Err(Error::message_value(format!(
                "the resource is larger than {} bytes",
                self.limits.document_bytes
            )));
        }
        Ok(Draft {
            kind: kind.kind.clone(),
            id: id.clone(),
            document,
            columns,
            index: Difference::between(old_entries, entries),
            unique: Difference::between(old_keys, keys),
            members,
            member_kinds: self.member_kinds(),
            at,
            change: Change {
                at,
                actor: caller.actor.clone(),
                request: caller.request.clone(),
                act,
                paths,
                switched,
                names,
            },
        })
    }

    /// Returns the record of a deletion.
    pub(super) fn deletion_record(
        &self,
        caller: &Caller,
        kind: &ResourceType,
        resource: &Resource,
    ) -> Result<Change, Error> {
        let columns = Columns::of(kind, resource.document.attributes()?);
        Ok(Change {
            at: self.clock.now().max(resource.modified.next()),
            actor: caller.actor.clone(),
            request: caller.request.clone(),
            act: Act::Deleted,
            paths: Vec::new(),
            switched: None,
            names: ResourceNames {
                name: columns.name,
                external_id: columns.external_id,
                address: None,
            },
        })
    }

    fn member_kinds(&self) -> std::sync::Arc<[crate::ids::Kind]> {
        // RFC 7643 §4.2: members are users and groups, even if a deployment defines other kinds.
        let kinds = self.registry.kinds().iter();
        kinds
            .filter(|kind| kind.membership != crate::schema::Membership::None)
            .map(|kind| kind.kind.clone())
            .collect()
    }
}

/// The attributes besides `userName` by which people and programs know a resource.
const NAMES: [&str; 2] = ["displayName", "externalId"];

/// Refuses control characters in names, as in `userName`. One that a resource has already may be sent again: an
/// earlier release accepted it, and a client that repeats the whole resource does not change it.
fn check_names(before: Option<&Attributes>, after: &Attributes) -> Result<(), Error> {
    for name in NAMES {
        let new = after.top(name);
        let is_controlling = new
            .and_then(serde_json::Value::as_str)
            .is_some_and(|text| text.chars().any(char::is_control));
        if is_controlling && before.and_then(|old| old.top(name)) != new {
            return Err(Error::value(name, "control characters cannot be part of a name"));
        }
    }
    Ok(())
}

/// Derives index rows and unique keys.
fn derive(
    kind: &ResourceType,
    quirks: Quirks,
    attributes: &Attributes,
    work: &Work,
) -> Result<(Vec<IndexEntry>, Vec<UniqueKey>), Halt> {
    let entries = index::index_entries(kind, attributes, work)?;
    Ok((entries, index::unique_keys(kind, quirks, attributes, work)?))
}

fn activation(before: Option<bool>, after: Option<bool>) -> Option<Activation> {
    match (before, after) {
        (Some(true) | None, Some(false)) => Some(Activation::Off),
        (Some(false), Some(true)) => Some(Activation::On),
        _ => None,
    }
}

/// Returns the paths of the attributes that differ, also of those inside extensions.
fn changed_paths(before: &Attributes, after: &Attributes, members: &MemberChange) -> Vec<String> {
    let mut paths = Vec::new();
    let names =
        before.map().keys().chain(after.map().keys().filter(|name| before.top(name).is_none()));
    for name in names {
        let (old, new) = (before.top(name), after.top(name));
        if old == new {
            continue;
        }
        if name.contains(':') {
            let empty = serde_json::Map::new();
            let old = old.and_then(serde_json::Value::as_object).unwrap_or(&empty);
            let new = new.and_then(serde_json::Value::as_object).unwrap_or(&empty);
            let keys = old.keys().chain(new.keys().filter(|key| !old.contains_key(*key)));
            paths.extend(
                keys.filter(|key| old.get(*key) != new.get(*key))
                    .map(|key| format!("{name}:{key}")),
            );
        } else {
            paths.push(name.clone());
        }
    }
    if *members != MemberChange::Unchanged {
        paths.push("members".to_owned());
    }
    paths
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn attributes(value: &Value) -> Attributes {
        Attributes::from_canonical(value.as_object().cloned().unwrap_or_default())
    }

    #[test]
    fn s_e_names_get_no_control_characters_and_keep_those_they_have() {
        for name in NAMES {
            for c in ['\u{7}', '\u{1b}', '\r', '\n', '\u{9b}'] {
                let odd = attributes(&json!({name: format!("a{c}b"), "title": "x"}));
                let plain = attributes(&json!({name: "ab", "title": format!("a{c}b")}));
                let changed = attributes(&json!({name: format!("a{c}c")}));
                assert!(check_names(None, &odd).is_err(), "{name} {c:?}");
                assert!(check_names(Some(&plain), &odd).is_err(), "{name} {c:?}");
                assert!(check_names(Some(&odd), &changed).is_err(), "{name} {c:?}");
                // What an earlier release accepted stops no synchronization.
                assert!(check_names(Some(&odd), &odd).is_ok(), "{name} {c:?}");
                assert!(check_names(Some(&odd), &plain).is_ok(), "{name} {c:?}");
                assert!(check_names(None, &plain).is_ok(), "{name} {c:?}");
            }
        }
    }
}
