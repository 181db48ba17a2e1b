//! The provider: each method is one transaction that begins with its write, or one consistent read.

use diesel::prelude::*;
use headcount_core::error::Error;
use headcount_core::ids::{Kind, ResourceId, TenantId};
use headcount_core::members::{MemberNames, MembershipEntry};
use headcount_core::provider::{
    ChangeFn, CheckFn, Draft, Found, Key, Members, Page, Provider, ProviderError, Query, Step,
    StepDone, Updated, With,
};

use crate::connection::{DbConnection, with_backend};
use crate::error::{WriteError, write_error};
use crate::find::{Row, complete, resource};
use crate::members;
use crate::pool::View;
use crate::schema::{documents, resources};
use crate::sql::unindexed;
use crate::store::Store;
use crate::tx::Tx;
use crate::write::Job;

impl Provider for Store {
    fn get(
        &self,
        tenant: TenantId,
        kind: &Kind,
        id: &ResourceId,
        with: With,
    ) -> Result<Option<Found>, ProviderError> {
        let Some(number) = self.dictionary.kind(kind) else {
            return Ok(None);
        };
        let view = match with {
            // Members and version belong together; the computed groups of a user do not count.
            With::Members(_) | With::AllMembers(_) => View::Snapshot,
            With::Nothing | With::Groups => View::Statement,
        };
        self.readers.read_in(view, None, "a resource is read", |connection| {
            let row: Option<Row> = with_backend!(connection, |one| resources::table
                .inner_join(documents::table.on(documents::pk.eq(resources::pk)))
                .filter(unindexed!(resources::tenant).eq(tenant.key()))
                .filter(unindexed!(resources::kind).eq(number))
                .filter(resources::id.eq(id.as_str()))
                .select((
                    resources::pk,
                    resources::id,
                    resources::version,
                    resources::created,
                    resources::modified,
                    documents::text,
                ))
                .first(one))
            .optional()?;
            let resources = row.into_iter().map(|row| (row.0, resource(kind, row))).collect();
            Ok(complete(connection, &self.dictionary, resources, with)?.pop())
        })
    }

    fn find(&self, tenant: TenantId, query: &Query<'_>) -> Result<Page, ProviderError> {
        self.page(tenant, query)
    }

    fn insert(&self, tenant: TenantId, draft: &Draft, with: With) -> Result<Found, ProviderError> {
        self.write("a resource is inserted", |connection| {
            self.check_known(&draft.kind)?;
            self.tx(connection, tenant, &draft.kind)?.insert(draft, with)
        })
    }

    fn update(
        &self,
        tenant: TenantId,
        kind: &Kind,
        id: &ResourceId,
        with: With,
        change: &mut ChangeFn<'_>,
    ) -> Result<Updated, Error> {
        let mut unchanged = None;
        let outcome = self.writer.write(&mut |connection| {
            let updated = self.tx(connection, tenant, kind)?.update(id, with, change)?;
            if updated.changed {
                return Ok(updated);
            }
            // Nothing changed, and nothing has to reach the disk.
            unchanged = Some(updated);
            Err(WriteError::RolledBack)
        });
        match (outcome, unchanged) {
            (Ok(updated), _) | (Err(WriteError::RolledBack), Some(updated)) => Ok(updated),
            (Err(error), _) => Err(write_error("a resource is updated", error)),
        }
    }

    fn delete(
        &self,
        tenant: TenantId,
        kind: &Kind,
        id: &ResourceId,
        check: &mut CheckFn<'_>,
    ) -> Result<(), Error> {
        self.writer
            .write(&mut |connection| self.tx(connection, tenant, kind)?.delete(id, check))
            .map_err(|error| write_error("a resource is deleted", error))
    }

    fn members(
        &self,
        tenant: TenantId,
        group: &ResourceId,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Members, ProviderError> {
        let after = match after {
            None => 0,
            Some(key) => key.0.parse().map_err(|_bad| ProviderError::InvalidKey)?,
        };
        self.readers.read("members are read", |connection| {
            let pk: Option<i64> = resources::table
                .filter(unindexed!(resources::tenant).eq(tenant.key()))
                .filter(resources::id.eq(group.as_str()))
                .select(resources::pk)
                .first(connection)
                .optional()?;
            match pk {
                Some(pk) => members::page(connection, &self.dictionary, pk, after, limit),
                None => Ok(Members::default()),
            }
        })
    }

    fn memberships(
        &self,
        tenant: TenantId,
        ids: &[ResourceId],
    ) -> Result<Vec<MembershipEntry>, ProviderError> {
        self.readers.read("memberships are read", |connection| {
            let mut entries = Vec::new();
            for id in ids {
                let pks: Vec<i64> = resources::table
                    .filter(unindexed!(resources::tenant).eq(tenant.key()))
                    .filter(resources::id.eq(id.as_str()))
                    .select(resources::pk)
                    .load(connection)?;
                entries.extend(members::groups_of(connection, &pks)?.into_values().flatten());
            }
            Ok(entries)
        })
    }

    fn names(&self, tenant: TenantId, ids: &[ResourceId]) -> Result<MemberNames, ProviderError> {
        self.readers.read("names are read", |connection| members::names(connection, tenant, ids))
    }

    fn batch(
        &self,
        tenant: TenantId,
        steps: &mut [Step<'_>],
        failures: Option<usize>,
    ) -> Vec<Result<StepDone, Error>> {
        let mut jobs: Vec<Box<Job<'_, StepDone>>> =
            steps.iter_mut().map(|step| self.step(tenant, step)).collect();
        let mut borrowed: Vec<&mut Job<'_, StepDone>> =
            jobs.iter_mut().map(|job| &mut **job).collect();
        let mut results = Vec::with_capacity(borrowed.len());
        for slice in borrowed.chunks_mut(STEP_BATCH) {
            let failed = results.iter().filter(|result: &&Result<_, _>| result.is_err()).count();
            let left = failures.map(|most| most.saturating_sub(failed));
            if left == Some(0) {
                break;
            }
            results.extend(self.writer.write_each(slice, left));
            if matches!(results.last(), Some(Err(WriteError::Refused(Error::Halted(_))))) {
                break;
            }
        }
        results
            .into_iter()
            .map(|result| result.map_err(|error| write_error("operations are carried out", error)))
            .collect()
    }
}

/// Steps of a bulk request that one commit carries, so that other writers get their turn in between.
const STEP_BATCH: usize = 200;

impl Store {
    /// A resource of an unknown kind does not exist; to insert one is a defect.
    fn check_known(&self, kind: &Kind) -> Result<(), WriteError> {
        let known = self.dictionary.kind(kind);
        known
            .map(drop)
            .ok_or_else(|| Error::internal("the store knows the kinds it is asked for").into())
    }

    fn tx<'a>(
        &'a self,
        connection: &'a mut DbConnection,
        tenant: TenantId,
        kind: &'a Kind,
    ) -> Result<Tx<'a>, WriteError> {
        let number = self.dictionary.kind(kind).ok_or(ProviderError::NotFound)?;
        Ok(Tx { connection, dictionary: &self.dictionary, keys: self.keys(), tenant, kind, number })
    }

    fn step<'s>(&'s self, tenant: TenantId, step: &'s mut Step<'_>) -> Box<Job<'s, StepDone>> {
        match step {
            Step::Insert(draft) => Box::new(move |connection| {
                self.check_known(&draft.kind)?;
                let found =
                    self.tx(connection, tenant, &draft.kind)?.insert(draft, With::Nothing)?;
                Ok(StepDone::Stored(found.resource))
            }),
            Step::Update(kind, id, change) => Box::new(move |connection| {
                let mut tx = self.tx(connection, tenant, kind)?;
                Ok(StepDone::of(tx.update(id, With::Nothing, &mut **change)?))
            }),
            Step::Delete(kind, id, check) => Box::new(move |connection| {
                self.tx(connection, tenant, kind)?.delete(id, &mut **check)?;
                Ok(StepDone::Deleted)
            }),
        }
    }
}
