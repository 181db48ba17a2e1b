//! The use cases of RFC 7644 §3. Each is a few lines over pure functions and the plug.

mod bulk;
mod carry_over;
mod commands;
mod cost;
mod draft;
mod lane;
mod names;
mod precondition;
mod search;

use std::sync::Arc;

use serde_json::Value;

use crate::change::{Actor, ResourceNames};
use crate::clock::{Clock, IdSource};
use crate::cursor::CursorCipher;
use crate::error::Error;
use crate::ids::{RequestId, ResourceId, TenantId};
use crate::provider::{Found, Provider, ProviderError, Updated, With};
use crate::quirks::{Applied, Quirks};
use crate::resource::{Projection, Resource};
use crate::schema::{Registry, ResourceType};
use crate::work::Work;

pub use bulk::{BulkDone, Permit};
pub use cost::{Cost, of_filter};
pub use lane::{MAX_LANE_MEMBERS, MAX_LANE_UNITS};
pub use precondition::{Precondition, Tags};
pub use search::Listing;

/// Who makes a request, in which tenant, and which deviations from the RFC the tenant accepts.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The tenant, decided by the token.
    pub tenant: TenantId,
    /// Who makes the request.
    pub actor: Actor,
    /// The user whom the caller acts for, if it acts for one (RFC 7644 §3.11).
    pub user: Option<ResourceId>,
    /// The tenant's quirks.
    pub quirks: Quirks,
    /// The request.
    pub request: RequestId,
    /// The budget of the request.
    pub work: Work,
}

/// Who changes a resource of which kind, and under which condition.
#[derive(Clone, Copy)]
pub struct Edit<'a> {
    /// Who changes it.
    pub caller: &'a Caller,
    /// Its kind.
    pub kind: &'a ResourceType,
    /// What must hold for its version.
    pub precondition: &'a Precondition,
}

impl<'a> Edit<'a> {
    /// A change of whatever version there is.
    pub fn unconditional(caller: &'a Caller, kind: &'a ResourceType) -> Self {
        Self { caller, kind, precondition: Precondition::NONE }
    }
}

/// Limits that an operator may change.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Resources of a page when the client sends no `count`.
    pub default_page: usize,
    /// The maximum number of resources of a page; published as `filter.maxResults`.
    pub max_page: usize,
    /// The maximum number of members with which a PATCH of a group returns the group.
    pub group_reply_members: usize,
    /// Members that are read together with their group; more are streamed.
    pub members_at_once: usize,
    /// The largest document, in bytes.
    pub document_bytes: usize,
    /// Life of a cursor, in seconds.
    pub cursor_seconds: i64,
    /// The budget of one request, in units; see [`crate::work`].
    pub work: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            default_page: 100,
            max_page: 1_000,
            group_reply_members: 200,
            members_at_once: 5_000,
            document_bytes: 1024 * 1024,
            cursor_seconds: 24 * 60 * 60,
            work: crate::work::DEFAULT_UNITS,
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
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The source of new ids.
    pub ids: Arc<dyn IdSource>,
    /// The encryption of cursors.
    pub cursor_cipher: Arc<dyn CursorCipher>,
    /// The limits.
    pub limits: Limits,
}

/// The outcome of a write.
#[derive(Debug)]
pub struct WriteOutcome {
    /// The resource afterwards, with the computed parts that the reply shows.
    pub found: Found,
    /// Whether the reply shows it; otherwise the reply has no body.
    pub shown: bool,
    /// Whether anything changed.
    pub changed: bool,
    /// What to show, with what the client has just written.
    pub projection: Projection,
    /// The repairs that the request needed.
    pub applied: Applied,
}

/// The projection that a request asks for, before it is resolved against a kind.
#[derive(Debug, Clone, Default)]
pub struct Shape {
    /// `attributes`
    pub attributes: Vec<String>,
    /// `excludedAttributes`
    pub excluded: Vec<String>,
}

impl Shape {
    fn projection(
        &self,
        kind: &ResourceType,
        quirks: Quirks,
        applied: &mut Applied,
    ) -> Result<Projection, Error> {
        Projection::read(kind, quirks, applied, &self.attributes, &self.excluded)
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
    ) -> Result<WriteOutcome, Error> {
        let mut applied = Applied::default();
        let projection = shape.projection(kind, caller.quirks, &mut applied)?;
        let (draft, written) = self.prepare_create(caller, kind, body, &mut applied)?;
        let with = self.reads_for(kind, &projection, self.limits.members_at_once);
        let mut found = self.provider.insert(caller.tenant, &draft, with)?;
        self.name_written(caller, kind, &projection, &mut found);
        let projection = projection.with_written(written);
        Ok(WriteOutcome { found, shown: true, changed: true, projection, applied })
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
        self.check_id(kind, id)?;
        let projection = shape.projection(kind, caller.quirks, &mut Applied::default())?;
        let with = self.reads_for(kind, &projection, self.limits.members_at_once);
        let found = self.provider.get(caller.tenant, &kind.kind, id, with)?;
        let mut found = found.ok_or_else(|| Error::not_found(&kind.kind, id))?;
        self.name_members(caller.tenant, kind, &projection, std::slice::from_mut(&mut found))?;
        Ok((found, projection))
    }

    /// Replaces a resource (RFC 7644 §3.5.1). Attributes that the body leaves out are cleared, except
    /// `externalId` and `active`: clients that do not map these would otherwise unlink or activate users.
    ///
    /// # Errors
    ///
    /// As [`Service::create`]; `mutability`, `404`, `412`.
    pub fn replace(
        &self,
        edit: Edit<'_>,
        id: &ResourceId,
        body: Value,
        shape: &Shape,
    ) -> Result<WriteOutcome, Error> {
        let Edit { caller, kind, .. } = edit;
        self.check_id(kind, id)?;
        let mut applied = Applied::default();
        let projection = shape
            .projection(kind, caller.quirks, &mut applied)
            .map_err(|error| self.refuse(edit, id, error))?;
        let (mut change, written) = self
            .prepare_replace(edit, body, &mut applied)
            .map_err(|error| self.refuse(edit, id, error))?;
        let with = self.reads_for(kind, &projection, self.limits.members_at_once);
        let updated = self.update(caller, &kind.kind, id, with, &mut *change);
        drop(change);
        let Updated { mut found, changed } =
            updated.map_err(|error| self.name_missing(kind, id, error))?;
        self.name_written(caller, kind, &projection, &mut found);
        let projection = projection.with_written(written);
        Ok(WriteOutcome { found, shown: true, changed, projection, applied })
    }

    /// Changes a resource (RFC 7644 §3.5.2).
    ///
    /// # Errors
    ///
    /// Those of [`PatchRequest`](crate::patch::PatchRequest) and of the PATCH engine; `404`, `409`, `412`.
    pub fn patch(
        &self,
        edit: Edit<'_>,
        id: &ResourceId,
        body: Value,
        shape: &Shape,
    ) -> Result<WriteOutcome, Error> {
        let Edit { caller, kind, .. } = edit;
        self.check_id(kind, id)?;
        let mut applied = Applied::default();
        let projection = shape
            .projection(kind, caller.quirks, &mut applied)
            .map_err(|error| self.refuse(edit, id, error))?;
        let (mut change, written) = self
            .prepare_patch(edit, id, body, &mut applied)
            .map_err(|error| self.refuse(edit, id, error))?;
        let with = match self.reads_for(kind, &projection, self.limits.members_at_once) {
            // The reply shows the members if there are few of them. Otherwise they are not read.
            With::Members(_) if !projection.is_explicit() => {
                With::AllMembers(self.limits.group_reply_members)
            }
            with => with,
        };
        let updated = self.update(caller, &kind.kind, id, with, &mut *change);
        drop(change);
        let Updated { mut found, changed } =
            updated.map_err(|error| self.name_missing(kind, id, error))?;
        self.name_written(caller, kind, &projection, &mut found);
        // The cost of adding one member must not depend on the size of the group.
        let shown = projection.is_explicit() || found.computed.more_members.is_none();
        let projection = projection.with_written(written);
        Ok(WriteOutcome { found, shown, changed, projection, applied })
    }

    /// Deletes a resource (RFC 7644 §3.6), and returns the names that it had.
    ///
    /// # Errors
    ///
    /// `404`, `412`.
    pub fn delete(&self, edit: Edit<'_>, id: &ResourceId) -> Result<ResourceNames, Error> {
        let Edit { caller, kind, .. } = edit;
        self.check_id(kind, id)?;
        let mut check = self.prepare_delete(edit);
        let mut names = ResourceNames::default();
        self.provider
            .delete(caller.tenant, &kind.kind, id, &mut |resource| {
                let change = check(resource)?;
                names.clone_from(&change.names);
                Ok(change)
            })
            .map_err(|error| self.name_missing(kind, id, error))?;
        drop(check);
        Ok(names)
    }

    /// Chooses the error of a request on one resource whose body was refused. A missing resource, and then a
    /// failed precondition, take precedence over errors in the body (ETG-017).
    fn refuse(&self, edit: Edit<'_>, id: &ResourceId, error: Error) -> Error {
        match self.find(edit.caller, edit.kind, id) {
            Ok(resource) if !matches!(error, Error::Syntax(_) | Error::TooLarge(_)) => {
                edit.precondition.check(&resource).err().unwrap_or(error)
            }
            Ok(_) => error,
            Err(missing) => missing,
        }
    }

    /// Returns a resource without computed parts.
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
        self.check_id(kind, id)?;
        let found = self.provider.get(caller.tenant, &kind.kind, id, With::Nothing)?;
        found.map(|found| found.resource).ok_or_else(|| Error::not_found(&kind.kind, id))
    }

    /// Refuses an id that this server cannot have made, before it reaches a store.
    fn check_id(&self, kind: &ResourceType, id: &ResourceId) -> Result<(), Error> {
        if self.ids.could_be(id.as_str()) && !id.as_str().contains('\0') {
            return Ok(());
        }
        Err(Error::not_found(&kind.kind, id))
    }

    /// Adds the kind and id to the error of a provider that did not find a resource.
    fn name_missing(&self, kind: &ResourceType, id: &ResourceId, error: Error) -> Error {
        match error {
            Error::Provider(ProviderError::NotFound) => Error::not_found(&kind.kind, id),
            other => other,
        }
    }

    /// Returns what has to be read in addition to a resource for a reply.
    pub(crate) fn reads_for(
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
