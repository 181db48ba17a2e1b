//! Turns the body of a write into the function that a provider runs under its lock, for requests on one
//! resource and for operations of a bulk request.

use serde_json::Value;

use super::carry_over::Named;
use super::draft::{Base, Content};
use super::lane::Compute;
use super::{Caller, Edit, Service};
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
type Prepared<'a> = (Box<Compute<'a>>, Vec<AttrRef>);

impl Service {
    /// Prepares a POST.
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
        let written = written_attributes(kind, &normalized.attributes);
        let attributes = resource::defaults(kind, caller.quirks, normalized.attributes)?;
        let members = match normalized.members {
            Some(members) => {
                MemberChange::Replace(members.into_iter().map(|member| member.0).collect())
            }
            None => MemberChange::Unchanged,
        };
        let id = self.ids.next_id();
        let content = Content { attributes, members, act: Act::Created };
        let draft = self.draft(caller, kind, Base::New(&id), content, &caller.work)?;
        Ok((draft, written))
    }

    /// Prepares a PUT.
    pub(super) fn prepare_replace<'a>(
        &'a self,
        edit: Edit<'a>,
        body: Value,
        applied: &mut Applied,
    ) -> Result<Prepared<'a>, Error> {
        let Edit { caller, kind, precondition } = edit;
        let mut repairs = Repairs { quirks: caller.quirks, applied };
        let mut body = repairs.resource_body(kind, body)?;
        repairs.member_ids(&*self.ids, kind, &mut body);
        let named = Named::of(&body);
        let Normalized { attributes, members } = resource::body(kind, caller.quirks, body)?;
        let written = written_attributes(kind, &attributes);
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
            let base = Base::Existing(current.resource);
            let content = Content { attributes, members: members.clone(), act: Act::Replaced };
            let draft = self.draft(caller, kind, base, content, work)?;
            Ok(Update::Store(Box::new(draft)))
        });
        Ok((change, written))
    }

    /// Prepares a PATCH.
    pub(super) fn prepare_patch<'a>(
        &'a self,
        edit: Edit<'a>,
        id: &ResourceId,
        body: Value,
        applied: &'a mut Applied,
    ) -> Result<Prepared<'a>, Error> {
        let Edit { caller, kind, precondition } = edit;
        let mut repairs = Repairs { quirks: caller.quirks, applied };
        let mut request = PatchRequest::parse(kind, &mut repairs, id, body)?;
        request.repair_members(&*self.ids, &mut repairs);
        let written = request.written_attributes().cloned().collect();
        let change: Box<Compute<'a>> = Box::new(move |current, work| {
            precondition.check(current.resource)?;
            let before = current.resource.document.read(work)?;
            // The engine copies the document and compares the result with it.
            work.spend(2 * bytes(current.resource.document.text()))?;
            let mut repairs = Repairs { quirks: caller.quirks, applied };
            let state = patch::Before { attributes: before, members: current.members };
            match patch::apply(kind, &mut repairs, state, &request.operations, work)? {
                Outcome::NeedMembers => Ok(Update::NeedMembers(usize::MAX)),
                Outcome::Patched(patched) => {
                    if patched.members == MemberChange::Unchanged && patched.attributes == *before {
                        return Ok(Update::Keep);
                    }
                    let (attributes, members) = (patched.attributes, patched.members);
                    let base = Base::Existing(current.resource);
                    let content = Content { attributes, members, act: Act::Patched };
                    let draft = self.draft(caller, kind, base, content, work)?;
                    Ok(Update::Store(Box::new(draft)))
                }
            }
        });
        Ok((change, written))
    }

    /// Prepares a DELETE.
    pub(super) fn prepare_delete<'a>(&'a self, edit: Edit<'a>) -> Box<CheckFn<'a>> {
        let Edit { caller, kind, precondition } = edit;
        Box::new(move |resource| {
            caller.work.check()?;
            precondition.check(resource)?;
            self.deletion_record(caller, kind, resource)
        })
    }

    /// Returns the update that a PUT of `body` requests, with the members left as they are.
    ///
    /// For callers that compute the body from the state under the lock, such as the suite for providers.
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
        let base = Base::Existing(current);
        let content = Content { attributes, members: MemberChange::Unchanged, act: Act::Replaced };
        let draft = self.draft(caller, kind, base, content, &caller.work)?;
        Ok(Update::Store(Box::new(draft)))
    }
}

/// Returns the attributes of a body, for kinds that return some only when they are named or written.
fn written_attributes(kind: &ResourceType, attributes: &Attributes) -> Vec<AttrRef> {
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
