//! Names of members, for a client that names `members.display` (ADR 47).

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Caller, Service};
use crate::error::Error;
use crate::ids::{ResourceId, TenantId};
use crate::members::{Member, MemberNames};
use crate::provider::Found;
use crate::resource::Projection;
use crate::schema::ResourceType;

impl Service {
    /// Reads the names of members in one look-up, or returns `None` when the reply does not show them.
    ///
    /// # Errors
    ///
    /// Those of [`Provider::names`](crate::provider::Provider::names).
    pub fn member_names<'m>(
        &self,
        tenant: TenantId,
        kind: &ResourceType,
        projection: &Projection,
        members: impl IntoIterator<Item = &'m Member>,
    ) -> Result<Option<MemberNames>, Error> {
        if !projection.names_members(kind) {
            return Ok(None);
        }
        // Many groups of a page have the same members.
        let ids: BTreeSet<&ResourceId> = members.into_iter().map(|member| &member.id).collect();
        let ids: Vec<ResourceId> = ids.into_iter().cloned().collect();
        Ok(Some(self.provider.names(tenant, &ids)?))
    }

    /// Adds the names of its members to a resource that was written. The write has happened and is
    /// acknowledged: when the look-up fails, the reply has no names.
    pub(super) fn name_written(
        &self,
        caller: &Caller,
        kind: &ResourceType,
        projection: &Projection,
        found: &mut Found,
    ) {
        drop(self.name_members(caller.tenant, kind, projection, std::slice::from_mut(found)));
    }

    /// Adds the names of their members to resources of one kind.
    pub(super) fn name_members(
        &self,
        tenant: TenantId,
        kind: &ResourceType,
        projection: &Projection,
        resources: &mut [Found],
    ) -> Result<(), Error> {
        let members = resources.iter().flat_map(|found| &found.computed.members);
        let Some(names) = self.member_names(tenant, kind, projection, members)?.map(Arc::new)
        else {
            return Ok(());
        };
        for found in resources {
            found.computed.names = Some(Arc::clone(&names));
        }
        Ok(())
    }
}
