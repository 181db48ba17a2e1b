//! From the body of a write to what a provider runs under its lock. A request on one resource and an
//! operation of a bulk request are the same command.

use serde_json::Value;

use super::carry_over::Named;
use super::draft::{Content, Subject};
use super::lane::Compute;
use super::{Caller, Precondition, Service};
use crate::change::Act;
use crate::error::Error;
use crate::ids::ResourceId;
use crate::lenient::Repairs;
use crate::members::MemberChange;
use crate::patch::{self, Outcome, PatchRequest};
use crate::path::AttrRef;
use crate::provider::{CheckFn, Draft, Update};
use crate::quirks::Applied;
use crate::resource::{self, Attributes, Normalized, Resource};
use crate::schema::{Membership, ResourceType};
use crate::work::{bytes, weight};

/// A change, and the attributes that the client writes with it.
type Changing<'a> = (Box<Compute<'a>>, Vec<AttrRef>);

impl Service {
    /// POST: a new resource with an id of its own.
    pub(super) fn prepare_create(
        &self,
        caller: &Caller,
        kind: &ResourceType,
        body: Value,
        applied: &mut Applied,
    ) -> Result<(Draft, Vec<AttrRef>), Error> {
        let mut repairs = Repairs { quirks: caller.quirks, applied };
        let mut body = repairs.resource_body(kind, body)?;
        repairs.member_ids(&*self.ids, kind, &mut body);
        let normalized = resource::body(kind, caller.quirks, body)?;
        let written = written(kind, &normalized.attributes);
        let attributes = resource::defaults(kind, caller.quirks, normalized.attributes)?;
        let members = match normalized.members {
            Some(members) => {
                MemberChange::Replace(members.into_iter().map(|member| member.0).collect())
            }
            None => MemberChange::Unchanged,
        };
        let id = self.ids.next_id();
        let content = Content { attributes, members, act: Act::Created };
        let draft = self.draft(caller, kind, Subject::New(&id), content, &caller.work)?;
        Ok((draft, written))
    }

    /// PUT.
    pub(super) fn prepare_replace<'a>(
        &'a self,
        caller: &'a Caller,
        kind: &'a ResourceType,
        body: Value,
        precondition: &'a Precondition,
        applied: &mut Applied,
    ) -> Result<Changing<'a>, Error> {
        let mut repairs = Repairs { quirks: caller.quirks, applied };
        let mut body = repairs.resource_body(kind, body)?;
        repairs.member_ids(&*self.ids, kind, &mut body);
        let named = Named::of(&body);
        let Normalized { attributes, members } = resource::body(kind, caller.quirks, body)?;
        let written = written(kind, &attributes);
        let members = match kind.membership {
            Membership::Members => MemberChange::Replace(
                members.unwrap_or_default().into_iter().map(|member| member.0).collect(),
            ),
            Membership::Groups | Membership::None => MemberChange::Unchanged,
        };
        let size = attributes.map().values().map(weight).sum();
        let change: Box<Compute<'a>> = Box::new(move |current, work| {
            precondition.check(current.resource)?;
            let before = current.resource.document.read(work)?;
            work.spend(size)?;
            let attributes = named.carry_over(kind, caller.quirks, before, attributes.clone())?;
            patch::check_immutable(kind, before, &attributes)?;
            let subject = Subject::Existing(current.resource);
            let content = Content { attributes, members: members.clone(), act: Act::Replaced };
            let draft = self.draft(caller, kind, subject, content, work)?;
            Ok(Update::Store(Box::new(draft)))
        });
        Ok((change, written))
    }

    /// PATCH.
    pub(super) fn prepare_patch<'a>(
        &'a self,
        caller: &'a Caller,
        kind: &'a ResourceType,
        id: &ResourceId,
        body: Value,
        precondition: &'a Precondition,
        applied: &'a mut Applied,
    ) -> Result<Changing<'a>, Error> {
        let mut repairs = Repairs { quirks: caller.quirks, applied };
        let mut request = PatchRequest::parse(kind, &mut repairs, id, body)?;
        request.repair_members(&*self.ids, &mut repairs);
        let written = request.written().cloned().collect();
        let change: Box<Compute<'a>> = Box::new(move |current, work| {
            precondition.check(current.resource)?;
            let before = current.resource.document.read(work)?;
            // A copy is changed, and compared with what it was.
            work.spend(2 * bytes(current.resource.document.text()))?;
            let mut repairs = Repairs { quirks: caller.quirks, applied };
            let operations = &request.operations;
            match patch::apply(kind, &mut repairs, before, current.members, operations, work)? {
                Outcome::NeedMembers => Ok(Update::NeedMembers(usize::MAX)),
                Outcome::Patched(patched) => {
                    if patched.members == MemberChange::Unchanged && patched.attributes == *before {
                        return Ok(Update::Keep);
                    }
                    let (attributes, members) = (patched.attributes, patched.members);
                    let subject = Subject::Existing(current.resource);
                    let content = Content { attributes, members, act: Act::Patched };
                    let draft = self.draft(caller, kind, subject, content, work)?;
                    Ok(Update::Store(Box::new(draft)))
                }
            }
        });
        Ok((change, written))
    }

    /// DELETE.
    pub(super) fn prepare_delete<'a>(
        &'a self,
        caller: &'a Caller,
        kind: &'a ResourceType,
        precondition: &'a Precondition,
    ) -> Box<CheckFn<'a>> {
        Box::new(move |resource| {
            caller.work.check()?;
            precondition.check(resource)?;
            self.deletion_record(caller, kind, resource)
        })
    }

    /// Returns what has to be stored for a resource to become what `body` says, as PUT does it.
    ///
    /// For callers that compute the body from the state under the lock, such as tests of providers.
    ///
    /// # Errors
    ///
    /// As [`Service::replace`], without the resource's absence.
    pub fn replacement(
        &self,
        caller: &Caller,
        kind: &ResourceType,
        current: &Resource,
        body: Value,
    ) -> Result<Update, Error> {
        let mut applied = Applied::default();
        let body =
            Repairs { quirks: caller.quirks, applied: &mut applied }.resource_body(kind, body)?;
        let attributes = resource::body(kind, caller.quirks, body)?.attributes;
        let subject = Subject::Existing(current);
        let content = Content { attributes, members: MemberChange::Unchanged, act: Act::Replaced };
        let draft = self.draft(caller, kind, subject, content, &caller.work)?;
        Ok(Update::Store(Box::new(draft)))
    }
}

/// The attributes that a body has, for kinds that return some only when asked or written.
fn written(kind: &ResourceType, attributes: &Attributes) -> Vec<AttrRef> {
    if kind.spliceable {
        return Vec::new();
    }
    let top = attributes.map().keys().filter_map(|name| kind.resolve(name).ok());
    let inner = kind.extensions.iter().flat_map(|extension| {
        let urn = &extension.schema.id;
        let names = attributes.container(Some(urn)).into_iter().flat_map(|map| map.keys());
        names.filter_map(move |name| kind.resolve(&format!("{urn}:{name}")).ok())
    });
    top.chain(inner).collect()
}
