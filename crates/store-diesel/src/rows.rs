//! The writes of one resource: all rows of one change, inside a transaction that somebody else opened.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Integer, Nullable, Text};
use headcount_core::change::Change;
use headcount_core::error::Error;
use headcount_core::ids::{Kind, ResourceId, TenantId};
use headcount_core::index::{Columns, IndexEntry, UniqueKey};
use headcount_core::members::MemberDelta;
use headcount_core::provider::{
    ChangeFn, CheckFn, Current, Draft, Found, ProviderError, Update, Updated, With,
};
use headcount_core::resource::{Computed, Resource};

use crate::changes::{self, Effect};
use crate::connection::{DbConnection, direct};
use crate::duplicates;
use crate::error::{Meaning, WriteError, meaning};
use crate::find::{complete, resource};
use crate::members;
use crate::schema::{documents, resource_index, resource_keys, resources};
use crate::sql::Sql;
use crate::store::Store;
use crate::write::{count_slot, row_lock};

/// Index rows that one statement inserts at most.
const ROWS: usize = 100;

/// A resource that this transaction alone may change.
struct Locked {
    pk: i64,
    columns: Columns,
    /// The unique keys that an older resource has, if there are any.
    duplicate: Option<String>,
    resource: Resource,
}

type LockedTypes = (
    BigInt,
    BigInt,
    BigInt,
    BigInt,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Integer>,
    Nullable<Text>,
);
type LockedRow = (
    i64,
    i64,
    i64,
    i64,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<i32>,
    Option<String>,
);

/// What writes the version and the moment of a change, and the columns when they are not as they were: each
/// that is written is written in its index, too.
fn column_update(pk: i64, before: &Columns, draft: &Draft) -> Sql {
    let mut sql = Sql::new("UPDATE resources SET version = version + 1, modified = ");
    sql = sql.int(draft.at.micros());
    let Columns { name, name_key, external_id, active } = &draft.columns;
    if draft.columns != *before {
        sql = sql.text(", name = ").optional(name.clone());
        sql = sql.text(", name_key = ").optional(name_key.clone());
        sql = sql.text(", external_id = ").optional(external_id.clone());
        sql = sql.text(match active {
            Some(true) => ", active = 1",
            Some(false) => ", active = 0",
            None => ", active = NULL",
        });
    }
    sql.text(" WHERE pk = ").int(pk)
}

/// Counts a resource that came or went, and records the change.
fn count(
    connection: &mut DbConnection,
    tenant: TenantId,
    (kind, by): (i32, i64),
    change: &Change,
    effect: &Effect<'_>,
) -> Result<(), WriteError> {
    let slot = count_slot(connection);
    let removed = (-by).max(0);
    let count = Sql::new("UPDATE resource_counts SET amount = amount + ").int(by);
    let count = count.text(", removed = removed + ").int(removed);
    let count = count.text(" WHERE tenant = ").int(tenant.key()).text(" AND kind = ").int(kind);
    let count = count.text(" AND slot = ").then(slot.clone());
    if changes::append_with(connection, tenant, change, effect, count)? > 0 {
        return Ok(());
    }
    let first =
        Sql::new("INSERT INTO resource_counts (tenant, kind, slot, amount, removed) VALUES (");
    let first = first.int(tenant.key()).text(", ").int(kind).text(", ").then(slot);
    let first = first.text(", ").int(by).text(", ").int(removed).text(")");
    match first.query::<()>().execute(connection) {
        // Another writer made the row meanwhile; the next try counts in it.
        Err(error) if meaning(&error) == Meaning::Constraint => Err(WriteError::Retry),
        done => Ok(done.map(drop)?),
    }
}

impl Store {
    pub(crate) fn insert_in(
        &self,
        connection: &mut DbConnection,
        tenant: TenantId,
        draft: &Draft,
        with: With,
    ) -> Result<Found, WriteError> {
        let kind = self
            .names
            .kind(&draft.kind)
            .ok_or_else(|| Error::internal("the store knows the kinds it is asked for"))?;
        let columns = &draft.columns;
        let values = (
            resources::tenant.eq(tenant.key()),
            resources::kind.eq(kind),
            resources::id.eq(draft.id.as_str()),
            resources::version.eq(1),
            resources::created.eq(draft.at.micros()),
            resources::modified.eq(draft.at.micros()),
            resources::name.eq(columns.name.as_deref()),
            resources::name_key.eq(columns.name_key.as_deref()),
            resources::external_id.eq(columns.external_id.as_deref()),
            resources::active.eq(columns.active.map(i32::from)),
        );
        let pk: i64 = direct!(connection, |one| diesel::insert_into(resources::table)
            .values(values)
            .returning(resources::pk)
            .get_result(one))?;
        self.claim(connection, tenant, kind, pk, &draft.unique.insert)?;
        let document = (
            documents::pk.eq(pk),
            documents::tenant.eq(tenant.key()),
            documents::text.eq(draft.document.text()),
        );
        direct!(connection, |one| diesel::insert_into(documents::table)
            .values(document)
            .execute(one))?;
        self.insert_index(connection, tenant, kind, pk, &draft.index.insert)?;
        let applied = members::first(connection, &self.names, tenant, pk, draft)?;
        let members = &applied.delta;
        let effect = Effect { kind: &draft.kind, id: &draft.id, version: 1, members, left: &[] };
        count(connection, tenant, (kind, 1), &draft.change, &effect)?;
        let at = draft.at.micros();
        let row = (pk, draft.id.as_str().to_owned(), 1, at, at, draft.document.text().to_owned());
        let resource = resource(&draft.kind, row);
        let mut computed = Computed::default();
        // No resource can be a member of a group before it exists, and its own were just written.
        if let With::Members(limit) = with {
            let members = applied.members(&self.names, limit);
            (computed.members, computed.more_members) = (members.members, members.next);
        }
        Ok(Found { resource, computed })
    }

    pub(crate) fn update_in(
        &self,
        connection: &mut DbConnection,
        tenant: TenantId,
        kind: &Kind,
        id: &ResourceId,
        with: With,
        change: &mut ChangeFn<'_>,
    ) -> Result<Updated, WriteError> {
        let number = self.kind_number(kind)?;
        let mut locked = self.lock(connection, tenant, kind, number, id)?;
        let mut update = change(&Current { resource: &locked.resource, members: None })?;
        if let Update::NeedMembers(most) = update {
            let some = members::page(connection, &self.names, locked.pk, 0, most)?;
            update = change(&Current { resource: &locked.resource, members: Some(&some.members) })?;
        }
        let mut changed = false;
        if let Update::Store(draft) = update
            && let Some(delta) = self.store(connection, tenant, number, &locked, &draft)?
        {
            changed = true;
            let after = &mut locked.resource;
            after.version = after.version.next();
            after.modified = draft.at;
            after.document = draft.document.clone();
            let version = after.version.counter();
            let effect = Effect { kind, id, version, members: &delta, left: &[] };
            let last = column_update(locked.pk, &locked.columns, &draft);
            changes::append_with(connection, tenant, &draft.change, &effect, last)?;
        }
        let Locked { pk, resource: after, .. } = locked;
        let row = (
            pk,
            after.id.as_str().to_owned(),
            after.version.counter(),
            after.created.micros(),
            after.modified.micros(),
            after.document.text().to_owned(),
        );
        let found = complete(connection, self, kind, vec![row], with)?.pop();
        let found = found.ok_or_else(|| Error::internal("one row is one resource"))?;
        Ok(Updated { found, changed })
    }

    pub(crate) fn delete_in(
        &self,
        connection: &mut DbConnection,
        tenant: TenantId,
        kind: &Kind,
        id: &ResourceId,
        check: &mut CheckFn<'_>,
    ) -> Result<(), WriteError> {
        let number = self.kind_number(kind)?;
        let Locked { pk, resource: before, .. } =
            self.lock(connection, tenant, kind, number, id)?;
        let change = check(&before)?;
        let left = members::leave_all(connection, pk, change.at)?;
        let row = resources::table.find(pk);
        let gone = direct!(connection, |one| diesel::delete(row).execute(one));
        match gone {
            // Somebody made it a member between the two statements above: take it out of that group, too.
            Err(error) if meaning(&error) == Meaning::Constraint => return Err(WriteError::Retry),
            done => done?,
        };
        let version = before.version.counter();
        let effect = Effect { kind, id, version, members: &MemberDelta::default(), left: &left };
        count(connection, tenant, (number, -1), &change, &effect)?;
        Ok(())
    }

    /// Locks a resource and reads it. Nothing of it was read before the lock was held, so that nobody
    /// can have read what it replaces.
    fn lock(
        &self,
        connection: &mut DbConnection,
        tenant: TenantId,
        kind: &Kind,
        number: i32,
        id: &ResourceId,
    ) -> Result<Locked, WriteError> {
        let sql = Sql::new(
            "SELECT pk, version, created, modified, name, name_key, external_id, active, duplicate \
             FROM resources WHERE tenant + 0 = ",
        );
        let sql = sql.int(tenant.key()).text(" AND kind + 0 = ").int(number);
        let sql = sql.text(" AND id = ").string(id.as_str()).then(row_lock(connection));
        let locked: Vec<LockedRow> = sql.query::<LockedTypes>().load(connection)?;
        let (pk, version, created, modified, name, name_key, external_id, active, duplicate) =
            locked.into_iter().next().ok_or(ProviderError::NotFound)?;
        // A statement of its own: on PostgreSQL, what is joined to a row that was waited for is as old as
        // the beginning of the wait.
        let text: String = direct!(connection, |one| documents::table
            .find(pk)
            .select(documents::text)
            .first(one))?;
        let row = (pk, id.as_str().to_owned(), version, created, modified, text);
        let active = active.map(|active| active != 0);
        let columns = Columns { name, name_key, external_id, active };
        Ok(Locked { pk, columns, duplicate, resource: resource(kind, row) })
    }

    /// Writes what differs between a locked resource and its draft, all but its row; `None` when nothing does.
    fn store(
        &self,
        connection: &mut DbConnection,
        tenant: TenantId,
        kind: i32,
        locked: &Locked,
        draft: &Draft,
    ) -> Result<Option<MemberDelta>, WriteError> {
        let Locked { pk, resource: ref before, .. } = *locked;
        let differs = draft.document != before.document;
        if differs {
            for key in &draft.unique.remove {
                let path = self.path_number(&key.path)?;
                let key = (tenant.key(), kind, path, key.folded.as_str());
                // That of a duplicate is another's.
                let row = resource_keys::table.find(key).filter(resource_keys::pk.eq(pk));
                direct!(connection, |one| diesel::delete(row).execute(one))?;
            }
            self.claim(connection, tenant, kind, pk, &draft.unique.insert)?;
            Sql::new("UPDATE documents SET text = ")
                .string(draft.document.text())
                .text(" WHERE pk = ")
                .int(pk)
                .query::<()>()
                .execute(connection)?;
            for entry in &draft.index.remove {
                let path = self.path_number(&entry.path)?;
                let row = resource_index::table.find((pk, path, entry.element));
                direct!(connection, |one| diesel::delete(row).execute(one))?;
            }
            self.insert_index(connection, tenant, kind, pk, &draft.index.insert)?;
        }
        let delta = members::apply(connection, &self.names, tenant, pk, draft)?.delta;
        if !differs && delta.is_empty() {
            return Ok(None);
        }
        if locked.duplicate.is_some() {
            let lacking = duplicates::keys_in(locked.duplicate.as_deref());
            self.settle(connection, tenant, (kind, pk), &lacking, draft)?;
        }
        Ok(Some(delta))
    }

    pub(crate) fn path_number(&self, path: &str) -> Result<i32, WriteError> {
        let number = self.names.path(path);
        number.ok_or_else(|| Error::internal("the store knows the paths it is given").into())
    }

    /// Claims unique keys one by one: when the database refuses, it is this attribute that is taken.
    pub(crate) fn claim(
        &self,
        connection: &mut DbConnection,
        tenant: TenantId,
        kind: i32,
        pk: i64,
        keys: &[UniqueKey],
    ) -> Result<(), WriteError> {
        for key in keys {
            let values = (
                resource_keys::tenant.eq(tenant.key()),
                resource_keys::kind.eq(kind),
                resource_keys::path.eq(self.path_number(&key.path)?),
                resource_keys::folded.eq(key.folded.as_str()),
                resource_keys::pk.eq(pk),
            );
            let inserted = direct!(connection, |one| diesel::insert_into(resource_keys::table)
                .values(values)
                .execute(one));
            match inserted {
                Err(error) if meaning(&error) == Meaning::Constraint => {
                    return Err(ProviderError::Uniqueness(key.path.clone()).into());
                }
                done => done?,
            };
        }
        Ok(())
    }

    pub(crate) fn insert_index(
        &self,
        connection: &mut DbConnection,
        tenant: TenantId,
        kind: i32,
        pk: i64,
        entries: &[IndexEntry],
    ) -> Result<(), WriteError> {
        for chunk in entries.chunks(ROWS) {
            let mut sql = Sql::new(
                "INSERT INTO resource_index (pk, path, element, tenant, kind, value, label) VALUES ",
            );
            for (index, entry) in chunk.iter().enumerate() {
                let path = self.path_number(&entry.path)?;
                sql = sql.text(if index > 0 { ", (" } else { "(" });
                sql = sql.int(pk).text(", ").int(path).text(", ").int(entry.element);
                sql = sql
                    .text(", ")
                    .int(tenant.key())
                    .text(", ")
                    .int(kind)
                    .text(", ")
                    .string(entry.value.as_str());
                sql = match &entry.label {
                    Some(label) => sql.text(", ").string(label.as_str()).text(")"),
                    None => sql.text(", NULL)"),
                };
            }
            // Users have a handful of values each: few statements, worth keeping.
            let cached = chunk.len() <= 8;
            if cached {
                sql.query::<()>().execute(connection)?
            } else {
                sql.uncached::<()>().execute(connection)?
            };
        }
        Ok(())
    }

    fn kind_number(&self, kind: &Kind) -> Result<i32, WriteError> {
        self.names.kind(kind).ok_or_else(|| ProviderError::NotFound.into())
    }
}
