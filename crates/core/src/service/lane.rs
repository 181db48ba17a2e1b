//! Runs cheap changes under the provider's lock, where other writers wait for them. An expensive change
//! leaves this lane: it is computed on a copy without the lock, and stored if the version of the resource
//! is still the same.

use super::{Caller, Service};
use crate::error::Error;
use crate::ids::{Kind, ResourceId};
use crate::provider::{Current, ProviderError, Update, Updated, With};
use crate::work::{Halt, Work};

/// Units of work of a change under the lock: less than a millisecond.
///
/// A PATCH of a document of 2 KB costs about 10,000.
pub const MAX_LANE_UNITS: u64 = 200_000;

/// Members of a group that are read under the lock, for a change that selects some of them.
pub const MAX_LANE_MEMBERS: usize = 1_000;

/// Attempts to compute a change on a copy before the client has to repeat the request.
const MAX_TRIES: usize = 3;

/// A change of a state, paid for with a budget.
pub(super) type Compute<'a> = dyn FnMut(&Current<'_>, &Work) -> Result<Update, Error> + 'a;

/// The budget of one change under the lock.
pub(super) struct Lane<'a> {
    work: &'a Work,
    /// Whether the change was too expensive for the lane.
    left: bool,
}

impl<'a> Lane<'a> {
    pub(super) fn new(work: &'a Work) -> Self {
        Self { work, left: false }
    }

    /// Runs the change under the lock, and fails if it is too expensive for that.
    pub(super) fn run(
        &mut self,
        change: &mut Compute<'_>,
        current: &Current<'_>,
    ) -> Result<Update, Error> {
        let crowded = current.members.is_some_and(|members| members.len() > MAX_LANE_MEMBERS);
        if crowded {
            self.left = true;
            return Err(Halt::Spent.into());
        }
        let part = self.work.part(MAX_LANE_UNITS);
        let update = change(current, &part);
        self.left = matches!(update, Err(Error::Halted(Halt::Spent))) && part.is_part_spent();
        match update? {
            Update::NeedMembers(_) => Ok(Update::NeedMembers(MAX_LANE_MEMBERS + 1)),
            update => Ok(update),
        }
    }

    /// Returns whether the change failed only because it is too expensive for the lane.
    pub(super) fn was_left(&self) -> bool {
        self.left
    }
}

impl Service {
    /// Updates a resource by a change, under the provider's lock if the change is cheap.
    pub(super) fn update(
        &self,
        caller: &Caller,
        kind: &Kind,
        id: &ResourceId,
        with: With,
        change: &mut Compute<'_>,
    ) -> Result<Updated, Error> {
        let mut lane = Lane::new(&caller.work);
        let updated = self
            .provider
            .update(caller.tenant, kind, id, with, &mut |current| lane.run(change, current));
        if lane.was_left() { self.update_on_copy(caller, kind, id, with, change) } else { updated }
    }

    /// Computes a change on a copy and stores it, unless other writers were faster each time.
    ///
    /// # Errors
    ///
    /// What the change returns; [`ProviderError::VersionConflict`].
    pub(super) fn update_on_copy(
        &self,
        caller: &Caller,
        kind: &Kind,
        id: &ResourceId,
        with: With,
        change: &mut Compute<'_>,
    ) -> Result<Updated, Error> {
        for _ in 0..MAX_TRIES {
            let (update, version) = self.compute(caller, kind, id, change)?;
            let mut moved = false;
            let updated = self.provider.update(caller.tenant, kind, id, with, &mut |current| {
                caller.work.check()?;
                moved = current.resource.version != version;
                if moved { Err(ProviderError::VersionConflict.into()) } else { Ok(update.clone()) }
            });
            if !moved {
                return updated;
            }
        }
        Err(ProviderError::VersionConflict.into())
    }

    /// Computes a change on a copy, and returns it with the version of the copy.
    fn compute(
        &self,
        caller: &Caller,
        kind: &Kind,
        id: &ResourceId,
        change: &mut Compute<'_>,
    ) -> Result<(Update, crate::ids::Version), Error> {
        let (tenant, provider) = (caller.tenant, &self.provider);
        let found =
            provider.get(tenant, kind, id, With::Nothing)?.ok_or(ProviderError::NotFound)?;
        let current = Current { resource: &found.resource, members: None };
        let update = change(&current, &caller.work)?;
        let Update::NeedMembers(max) = update else {
            return Ok((update, found.resource.version));
        };
        // The resource is read again, since its version has to be the one of the members.
        let found = provider.get(tenant, kind, id, With::Members(max))?;
        let found = found.ok_or(ProviderError::NotFound)?;
        let current = Current { resource: &found.resource, members: Some(&found.computed.members) };
        Ok((change(&current, &caller.work)?, found.resource.version))
    }
}
