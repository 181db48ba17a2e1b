//! The provider: each method one transaction that begins with its write, or one consistent read.

use diesel::prelude::*;
use headcount_core::error::Error;
use headcount_core::ids::{Kind, ResourceId, TenantId};
use headcount_core::members::{MemberNames, MembershipEntry};
use headcount_core::provider::{
    ChangeFn, CheckFn, Draft, Found, Key, Members, Page, Provider, ProviderError, Query, Source,
    Step, StepDone, Updated, With,
};

use crate::connection::{DbConnection, direct};
use crate::error::{WriteError, write_error};
use crate::find::{Row, complete};
use crate::members;
use crate::pool::{self, View};
use crate::schema::{documents, resources};
use crate::store::Store;
use crate::write::Job;

impl Provider for Store {
    fn get(
        &self,
        tenant: TenantId,
        kind: &Kind,
        id: &ResourceId,
        with: With,
    ) -> Result<Option<Found>, ProviderError> {
        let Some(number) = self.names.kind(kind) else {
            return Ok(None);
        };
        let read = |connection: &mut DbConnection| -> Result<_, WriteError> {
            let row: Option<Row> = direct!(connection, |one| resources::table
                .inner_join(documents::table.on(documents::pk.eq(resources::pk)))
                .filter((resources::tenant + 0).eq(tenant.key()))
                .filter((resources::kind + 0).eq(number))
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
            Ok(complete(connection, self, kind, row.into_iter().collect(), with)?.pop())
        };
        let view = match with {
            // Members and version belong together; the computed groups of a user do not count.
            With::Members(_) | With::AllMembers(_) => View::Snapshot,
            With::Nothing | With::Groups => View::Statement,
        };
        pool::read(&self.readers, (view, None), "a resource is read", read)
    }

    fn find(&self, tenant: TenantId, query: &Query<'_>) -> Result<Page, ProviderError> {
        self.page(tenant, query)
    }

    fn insert(&self, tenant: TenantId, draft: &Draft, with: With) -> Result<Found, ProviderError> {
        let done =
            self.writer.write(&mut |connection| self.insert_in(connection, tenant, draft, with));
        done.map_err(|error| match write_error("a resource is inserted", error) {
            Error::Provider(error) => error,
            other => ProviderError::Internal(Source::new("an insert runs no foreign code", other)),
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
        let mut kept = None;
        let done = self.writer.write(&mut |connection| {
            let updated = self.update_in(connection, tenant, kind, id, with, change)?;
            if updated.changed {
                return Ok(updated);
            }
            // Nothing changed, and there is nothing to bring to the disk: the transaction is rolled back,
            // and this is its answer.
            kept = Some(updated);
            Err(WriteError::Refused(Error::internal("an unchanged resource is kept")))
        });
        match (done, kept) {
            (Ok(updated), _) | (Err(WriteError::Refused(_)), Some(updated)) => Ok(updated),
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
        let done = self
            .writer
            .write(&mut |connection| self.delete_in(connection, tenant, kind, id, check));
        done.map_err(|error| write_error("a resource is deleted", error))
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
        self.read("members are read", |connection| {
            let pk: Option<i64> = resources::table
                .filter((resources::tenant + 0).eq(tenant.key()))
                .filter(resources::id.eq(group.as_str()))
                .select(resources::pk)
                .first(connection)
                .optional()?;
            match pk {
                Some(pk) => members::page(connection, &self.names, pk, after, limit),
                None => Ok(Members::default()),
            }
        })
    }

    fn memberships(
        &self,
        tenant: TenantId,
        ids: &[ResourceId],
    ) -> Result<Vec<MembershipEntry>, ProviderError> {
        self.read("memberships are read", |connection| {
            let mut entries = Vec::new();
            for id in ids {
                let pks: Vec<i64> = resources::table
                    .filter((resources::tenant + 0).eq(tenant.key()))
                    .filter(resources::id.eq(id.as_str()))
                    .select(resources::pk)
                    .load(connection)?;
                entries.extend(members::groups_of(connection, &pks)?.into_values().flatten());
            }
            Ok(entries)
        })
    }

    fn names(&self, tenant: TenantId, ids: &[ResourceId]) -> Result<MemberNames, ProviderError> {
        self.read("names are read", |connection| members::names(connection, tenant, ids))
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
        for slice in borrowed.chunks_mut(BATCH) {
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

/// Steps of a bulk request that one commit carries: other writers come in between.
const BATCH: usize = 200;

impl Store {
    fn step<'s>(&'s self, tenant: TenantId, step: &'s mut Step<'_>) -> Box<Job<'s, StepDone>> {
        match step {
            Step::Insert(draft) => Box::new(move |connection| {
                let found = self.insert_in(connection, tenant, draft, With::Nothing)?;
                Ok(StepDone::Stored(found.resource))
            }),
            Step::Update(kind, id, change) => Box::new(move |connection| {
                let updated =
                    self.update_in(connection, tenant, kind, id, With::Nothing, &mut **change)?;
                Ok(StepDone::of(updated))
            }),
            Step::Delete(kind, id, check) => Box::new(move |connection| {
                self.delete_in(connection, tenant, kind, id, &mut **check)
                    .map(|()| StepDone::Deleted)
            }),
        }
    }
}
