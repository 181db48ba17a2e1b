//! Drafts: a document and everything that follows from it.

use super::{Caller, Service};
use crate::change::{Act, Change, Names, Switched};
use crate::error::Error;
use crate::ids::ResourceId;
use crate::index::{self, Columns, Difference};
use crate::members::MemberChange;
use crate::provider::Draft;
use crate::resource::{Attributes, Document, Resource};
use crate::schema::ResourceType;
use crate::work::{Halt, Work, bytes};

/// What a draft is about.
#[derive(Clone, Copy)]
pub(super) enum Subject<'a> {
    /// A resource that will have this id.
    New(&'a ResourceId),
    /// A resource under the provider's lock.
    Existing(&'a Resource),
}

/// What a resource shall be, and by which act.
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
        subject: Subject<'_>,
        content: Content,
        work: &Work,
    ) -> Result<Draft, Error> {
        let Content { attributes, members, act } = content;
        let (id, before) = match subject {
            Subject::New(id) => (id, None),
            Subject::Existing(resource) => {
                (&resource.id, Some((resource, resource.document.attributes()?)))
            }
        };
        members.check(id)?;
        let derive = |attributes: &_| -> Result<_, Halt> {
            let entries = index::index_entries(kind, attributes, work)?;
            Ok((entries, index::unique_keys(kind, caller.quirks, attributes, work)?))
        };
        let (entries, keys) = derive(&attributes)?;
        index::check_lengths(kind, &attributes, &entries, &keys)?;
        let (old_entries, old_keys) = match before {
            None => (Vec::new(), Vec::new()),
            Some((_, old)) => derive(old)?,
        };
        // `lastModified` never goes back, whatever the clock does (RES-019).
        let now = self.clock.now();
        let at = before.map_or(now, |(resource, _)| now.max(resource.modified.next()));
        let columns = Columns::of(kind, &attributes);
        let switched =
            before.and_then(|(_, old)| switched(Columns::of(kind, old).active, columns.active));
        let empty = Attributes::default();
        let paths = changed_paths(before.map_or(&empty, |(_, old)| old), &attributes, &members);
        let names = Names { name: columns.name.clone(), external_id: columns.external_id.clone() };
        let document = Document::from_attributes(kind, attributes);
        work.spend(bytes(document.text()))?;
        if document.text().len() > self.limits.document_bytes {
            return Err(Error::value(
                "",
                format!("the resource is larger than {} bytes", self.limits.document_bytes),
            ));
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

    /// The record of a deletion.
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
            names: Names { name: columns.name, external_id: columns.external_id },
        })
    }

    fn member_kinds(&self) -> std::sync::Arc<[crate::ids::Kind]> {
        // RFC 7643 §4.2: members are users and groups, whatever else a deployment defines.
        let kinds = self.registry.kinds().iter();
        let person = |kind: &&std::sync::Arc<ResourceType>| {
            kind.membership != crate::schema::Membership::None
        };
        kinds.filter(person).map(|kind| kind.kind.clone()).collect()
    }
}

fn switched(before: Option<bool>, after: Option<bool>) -> Option<Switched> {
    match (before, after) {
        (Some(true) | None, Some(false)) => Some(Switched::Off),
        (Some(false), Some(true)) => Some(Switched::On),
        _ => None,
    }
}

/// Names the attributes that differ; inside extensions, one by one.
fn changed_paths(before: &Attributes, after: &Attributes, members: &MemberChange) -> Vec<String> {
    let mut paths = Vec::new();
    let names =
        before.map().keys().chain(after.map().keys().filter(|name| before.top(name).is_none()));
    for name in names {
        let (old, new) = (before.top(name), after.top(name));
        if old == new {
            continue;
        }
        let inner = |value: Option<&serde_json::Value>| {
            value.and_then(serde_json::Value::as_object).cloned().unwrap_or_default()
        };
        if name.contains(':') {
            let (old, new) = (inner(old), inner(new));
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
