//! Changes run under the provider's lock, where others wait for it, as long as they are cheap. One that
//! is not leaves this lane: it is computed on a copy, while no one waits, and stored if the resource is
//! still the one that was copied.

use super::{Caller, Service};
use crate::error::Error;
use crate::ids::{Kind, ResourceId};
use crate::provider::{Current, ProviderError, Update, Updated, With};
use crate::work::{Halt, Work};

/// Units of work that a change may take under the lock: less than a millisecond.
///
/// A PATCH of a document of 2 KB takes about 10,000.
pub const MAX_LANE_UNITS: u64 = 200_000;

/// Members of a group that are read under the lock, for a change that selects some of them.
pub const MAX_LANE_MEMBERS: usize = 1_000;

/// How often a change is computed on a copy before the client is asked to come again.
const MAX_TRIES: usize = 3;

/// A change of the state that it is given, paid for with the work that it is given.
pub(super) type Compute<'a> = dyn FnMut(&Current<'_>, &Work) -> Result<Update, Error> + 'a;

/// The budget of one change under the lock.
pub(super) struct Lane<'a> {
    work: &'a Work,
    /// Whether the change turned out to be too expensive for the lane.
    left: bool,
}

impl<'a> Lane<'a> {
    pub(super) fn new(work: &'a Work) -> Self {
        Self { work, left: false }
    }

    /// Runs the change under the lock; fails when it is too expensive to be run there.
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
        let done = change(current, &part);
        self.left = matches!(done, Err(Error::Halted(Halt::Spent))) && part.is_part_spent();
        match done? {
            Update::NeedMembers(_) => Ok(Update::NeedMembers(MAX_LANE_MEMBERS + 1)),
            done => Ok(done),
        }
    }

    /// Returns whether the change failed for no other reason than that it is too expensive for the lane.
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
        let done = self
            .provider
            .update(caller.tenant, kind, id, with, &mut |current| lane.run(change, current));
        if lane.was_left() { self.update_on_copy(caller, kind, id, with, change) } else { done }
    }

    /// Computes a change on a copy and stores it, unless another writer was faster each time.
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
            let done = self.provider.update(caller.tenant, kind, id, with, &mut |current| {
                caller.work.check()?;
                moved = current.resource.version != version;
                if moved { Err(ProviderError::VersionConflict.into()) } else { Ok(update.clone()) }
            });
            if !moved {
                return done;
            }
        }
        Err(ProviderError::VersionConflict.into())
    }

    /// Computes a change on a copy; returns it with the version that was copied.
    fn compute(
        &self,
        caller: &Caller,
        kind: &Kind,
        id: &ResourceId,
        change: &mut Compute<'_>,
    ) -> Result<(Update, crate::ids::Version), Error> {
        let copy = |with| {
            let found = self.provider.get(caller.tenant, kind, id, with)?;
            found.ok_or_else(|| Error::from(ProviderError::NotFound))
        };
        let found = copy(With::Nothing)?;
        let current = Current { resource: &found.resource, members: None };
        let update = change(&current, &caller.work)?;
        let Update::NeedMembers(most) = update else {
            return Ok((update, found.resource.version));
        };
        // Both anew: members and version belong together.
        let found = copy(With::Members(most))?;
        let current = Current { resource: &found.resource, members: Some(&found.computed.members) };
        Ok((change(&current, &caller.work)?, found.resource.version))
    }
}
