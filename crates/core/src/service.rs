//! The use cases of RFC 7644 §3, and nothing else: each a few lines over pure functions and the plug.

mod carry_over;
mod draft;
mod precondition;
mod search;

use std::sync::Arc;

use serde_json::Value;

use crate::clock::{Clock, IdSource};
use crate::error::Error;
use crate::ids::{RequestId, ResourceId, TenantId};
use crate::journal::{Act, Actor};
use crate::lenient::Repairs;
use crate::members::MemberChange;
use crate::patch::{self, Outcome, PatchRequest};
use crate::path::AttrRef;
use crate::provider::{Found, Provider, ProviderError, Update, Updated, With};
use crate::quirks::{Applied, Quirks};
use crate::resource::{self, Attributes, Normalized, Projection, Resource};
use crate::schema::{Registry, ResourceType};

use carry_over::Named;
pub use precondition::{Precondition, Tags};
pub use search::{Listing, parse_filter};

/// Who asks, in which tenant, and how exactly the tenant wants the RFC to be taken.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The tenant, decided by the token.
    pub tenant: TenantId,
    /// Who it is.
    pub actor: Actor,
    /// The tenant's switches.
    pub quirks: Quirks,
    /// The request.
    pub request: RequestId,
}

/// Sizes that an operator may change.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Resources on a page when the client does not say.
    pub default_page: usize,
    /// Resources on a page at most; published as `filter.maxResults`.
    pub max_page: usize,
    /// Members up to which a PATCH of a group answers with the group.
    pub group_reply_members: usize,
    /// Members that are read together with their group; more are streamed.
    pub members_at_once: usize,
    /// The largest document, in bytes.
    pub document_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            default_page: 100,
            max_page: 1_000,
            group_reply_members: 200,
            members_at_once: 5_000,
            document_bytes: 1024 * 1024,
        }
    }
}

/// The use cases, over a registry and a provider.
#[derive(Clone)]
pub struct Service {
    /// The kinds of this deployment.
    pub registry: Arc<Registry>,
    /// The store.
    pub provider: Arc<dyn Provider>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// New ids.
    pub ids: Arc<dyn IdSource>,
    /// Sizes.
    pub limits: Limits,
}

/// What a write did.
#[derive(Debug)]
pub struct Written {
    /// The resource afterwards, with what the reply shows beside it.
    pub found: Found,
    /// Whether the answer shows it; else the answer has no body.
    pub shown: bool,
    /// Whether anything changed.
    pub changed: bool,
    /// What to show, with what the client has just written.
    pub projection: Projection,
    /// The repairs that the request needed.
    pub applied: Applied,
}

/// The lists of a request that shape its reply, before they are resolved against a kind.
#[derive(Debug, Clone, Default)]
pub struct Shape {
    /// `attributes`
    pub attributes: Vec<String>,
    /// `excludedAttributes`
    pub excluded: Vec<String>,
}

impl Shape {
    fn projection(&self, kind: &ResourceType) -> Result<Projection, Error> {
        Projection::new(kind, &self.attributes, &self.excluded)
    }
}

impl Service {
    /// Creates a resource (RFC 7644 §3.3).
    ///
    /// # Errors
    ///
    /// `invalidSyntax`, `invalidValue`, `uniqueness`.
    pub fn create(
        &self,
        caller: &Caller,
        kind: &ResourceType,
        body: Value,
        shape: &Shape,
    ) -> Result<Written, Error> {
        let projection = shape.projection(kind)?;
        let mut applied = Applied::default();
        let body =
            Repairs { quirks: caller.quirks, applied: &mut applied }.resource_body(kind, body);
        let normalized = resource::body(kind, caller.quirks, body)?;
        let written = written(kind, &normalized.attributes);
        let attributes = resource::defaults(kind, caller.quirks, normalized.attributes)?;
        let id = self.ids.next_id();
        let members = match normalized.members {
            Some(members) => {
                MemberChange::Replace(members.into_iter().map(|member| member.0).collect())
            }
            None => MemberChange::Unchanged,
        };
        let draft =
            self.draft(caller, kind, draft::Subject::New(&id), attributes, members, Act::Created)?;
        let with = self.with(kind, &projection, self.limits.members_at_once);
        let found = self.provider.insert(caller.tenant, &draft, with)?;
        Ok(Written {
            found,
            shown: true,
            changed: true,
            projection: projection.with_written(written),
            applied,
        })
    }

    /// Reads a resource (RFC 7644 §3.4.1).
    ///
    /// # Errors
    ///
    /// `404` when there is none in the tenant.
    pub fn get(
        &self,
        caller: &Caller,
        kind: &ResourceType,
        id: &ResourceId,
        shape: &Shape,
    ) -> Result<(Found, Projection), Error> {
        self.possible(kind, id)?;
        let projection = shape.projection(kind)?;
        let with = self.with(kind, &projection, self.limits.members_at_once);
        let found = self.provider.get(caller.tenant, &kind.kind, id, with)?;
        found.map(|found| (found, projection)).ok_or_else(|| Error::not_found(&kind.kind, id))
    }

    /// Replaces a resource (RFC 7644 §3.5.1). What is left out is cleared, except `externalId` and
    /// `active`: clients that do not map them would otherwise switch users on or unlink them.
    ///
    /// # Errors
    ///
    /// As [`Service::create`]; `mutability`, `404`, `412`.
    pub fn replace(
        &self,
        caller: &Caller,
        kind: &ResourceType,
        id: &ResourceId,
        body: Value,
        precondition: &Precondition,
        shape: &Shape,
    ) -> Result<Written, Error> {
        self.possible(kind, id)?;
        let refuse = |error| self.refuse(caller, kind, id, precondition, error);
        let projection = shape.projection(kind).map_err(refuse)?;
        let mut applied = Applied::default();
        let body =
            Repairs { quirks: caller.quirks, applied: &mut applied }.resource_body(kind, body);
        let named = Named::of(&body);
        let Normalized { attributes, members } =
            resource::body(kind, caller.quirks, body).map_err(refuse)?;
        let written = written(kind, &attributes);
        let members = match kind.membership {
            crate::schema::Membership::Members => MemberChange::Replace(
                members.unwrap_or_default().into_iter().map(|member| member.0).collect(),
            ),
            _ => MemberChange::Unchanged,
        };
        let with = self.with(kind, &projection, self.limits.members_at_once);
        let updated = self.update(caller, kind, id, with, precondition, &mut |current| {
            let before = current.document.attributes()?;
            let attributes = named.carry_over(kind, caller.quirks, before, attributes.clone())?;
            patch::check_immutable(kind, before, &attributes)?;
            self.draft(
                caller,
                kind,
                draft::Subject::Existing(current),
                attributes,
                members.clone(),
                Act::Replaced,
            )
            .map(|draft| Update::Store(Box::new(draft)))
        })?;
        let Updated { found, changed } = updated;
        Ok(Written {
            found,
            shown: true,
            changed,
            projection: projection.with_written(written),
            applied,
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
            Repairs { quirks: caller.quirks, applied: &mut applied }.resource_body(kind, body);
        let attributes = resource::body(kind, caller.quirks, body)?.attributes;
        let subject = draft::Subject::Existing(current);
        let draft =
            self.draft(caller, kind, subject, attributes, MemberChange::Unchanged, Act::Replaced)?;
        Ok(Update::Store(Box::new(draft)))
    }

    /// Changes a resource (RFC 7644 §3.5.2).
    ///
    /// # Errors
    ///
    /// Those of [`PatchRequest`] and of the PATCH engine; `404`, `409`, `412`.
    pub fn patch(
        &self,
        caller: &Caller,
        kind: &ResourceType,
        id: &ResourceId,
        body: Value,
        precondition: &Precondition,
        shape: &Shape,
    ) -> Result<Written, Error> {
        self.possible(kind, id)?;
        let refuse = |error| self.refuse(caller, kind, id, precondition, error);
        let projection = shape.projection(kind).map_err(refuse)?;
        let mut applied = Applied::default();
        let mut repairs = Repairs { quirks: caller.quirks, applied: &mut applied };
        let mut request = PatchRequest::parse(kind, &mut repairs, id, body).map_err(refuse)?;
        repairs.impossible_members(&*self.ids, &mut request);
        let limit = match projection.is_explicit() {
            true => self.limits.members_at_once,
            false => self.limits.group_reply_members,
        };
        let with = self.with(kind, &projection, limit);
        let updated = self.provider.update(caller.tenant, &kind.kind, id, with, &mut |current| {
            precondition.check(current.resource)?;
            let before = current.resource.document.attributes()?;
            let mut repairs = Repairs { quirks: caller.quirks, applied: &mut applied };
            match patch::apply(kind, &mut repairs, before, current.members, &request.operations)? {
                Outcome::NeedMembers => Ok(Update::NeedMembers),
                Outcome::Patched(patched) => {
                    if patched.members == MemberChange::Unchanged && patched.attributes == *before {
                        return Ok(Update::Keep);
                    }
                    let subject = draft::Subject::Existing(current.resource);
                    let draft = self.draft(
                        caller,
                        kind,
                        subject,
                        patched.attributes,
                        patched.members,
                        Act::Patched,
                    )?;
                    Ok(Update::Store(Box::new(draft)))
                }
            }
        });
        let Updated { found, changed } = updated.map_err(|error| self.name(kind, id, error))?;
        // The cost of adding one member must not depend on the size of the group.
        let shown = projection.is_explicit() || found.computed.more_members.is_none();
        let projection = projection.with_written(request.written().cloned());
        Ok(Written { found, shown, changed, projection, applied })
    }

    /// Deletes a resource (RFC 7644 §3.6).
    ///
    /// # Errors
    ///
    /// `404`, `412`.
    pub fn delete(
        &self,
        caller: &Caller,
        kind: &ResourceType,
        id: &ResourceId,
        precondition: &Precondition,
    ) -> Result<(), Error> {
        self.possible(kind, id)?;
        let deleted = self.provider.delete(caller.tenant, &kind.kind, id, &mut |resource| {
            precondition.check(resource)?;
            self.deletion(caller, kind, resource)
        });
        deleted.map_err(|error| self.name(kind, id, error))
    }

    /// Chooses the error of a request on one resource whose body was refused: a resource that is not
    /// there, then a precondition that fails, come before what is wrong in the body (ETG-017).
    fn refuse(
        &self,
        caller: &Caller,
        kind: &ResourceType,
        id: &ResourceId,
        precondition: &Precondition,
        error: Error,
    ) -> Error {
        match self.find(caller, kind, id) {
            Ok(resource) if !matches!(error, Error::Syntax(_) | Error::TooLarge(_)) => {
                precondition.check(&resource).err().unwrap_or(error)
            }
            Ok(_) => error,
            Err(missing) => missing,
        }
    }

    /// Returns a resource without anything beside it.
    ///
    /// # Errors
    ///
    /// `404` when there is none in the tenant.
    pub fn find(
        &self,
        caller: &Caller,
        kind: &ResourceType,
        id: &ResourceId,
    ) -> Result<Resource, Error> {
        self.possible(kind, id)?;
        let found = self.provider.get(caller.tenant, &kind.kind, id, With::Nothing)?;
        found.map(|found| found.resource).ok_or_else(|| Error::not_found(&kind.kind, id))
    }

    fn update(
        &self,
        caller: &Caller,
        kind: &ResourceType,
        id: &ResourceId,
        with: With,
        precondition: &Precondition,
        change: &mut dyn FnMut(&Resource) -> Result<Update, Error>,
    ) -> Result<Updated, Error> {
        let updated = self.provider.update(caller.tenant, &kind.kind, id, with, &mut |current| {
            precondition.check(current.resource)?;
            change(current.resource)
        });
        updated.map_err(|error| self.name(kind, id, error))
    }

    /// Refuses an id that this server never gave out, before it reaches a store.
    fn possible(&self, kind: &ResourceType, id: &ResourceId) -> Result<(), Error> {
        if self.ids.could_be(id.as_str()) && !id.as_str().contains('\0') {
            return Ok(());
        }
        Err(Error::not_found(&kind.kind, id))
    }

    /// Names the resource that a provider did not find.
    fn name(&self, kind: &ResourceType, id: &ResourceId, error: Error) -> Error {
        match error {
            Error::Provider(ProviderError::NotFound) => Error::not_found(&kind.kind, id),
            other => other,
        }
    }

    /// What has to be read beside a resource for a reply.
    pub(crate) fn with(
        &self,
        kind: &ResourceType,
        projection: &Projection,
        members: usize,
    ) -> With {
        if projection.shows_members(kind) {
            With::Members(members)
        } else if projection.shows_groups(kind) {
            With::Groups
        } else {
            With::Nothing
        }
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
