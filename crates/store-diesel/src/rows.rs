//! The writes of one resource: all rows of one change, inside an open transaction.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Integer, Nullable, Text};
use headcount_core::change::Change;
use headcount_core::error::Error;
use headcount_core::ids::{ResourceId, Version};
use headcount_core::index::{Columns, IndexEntry, UniqueKey};
use headcount_core::members::MemberDelta;
use headcount_core::provider::{
    ChangeFn, CheckFn, Current, Draft, Found, ProviderError, Update, Updated, With,
};
use headcount_core::resource::{Computed, Resource};

use crate::change_rows::Effect;
use crate::changes;
use crate::connection::with_backend;
use crate::duplicates;
use crate::error::{DbErrorKind, WriteError, classify, retry_on_constraint};
use crate::find::{complete, resource};
use crate::members;
use crate::schema::{documents, resource_index, resource_keys, resources};
use crate::sql::Sql;
use crate::tx::Tx;
use crate::write::{count_slot, row_lock};

/// Index rows that one statement inserts.
const MAX_INDEX_ROWS: usize = 100;

/// A resource that only this transaction may change.
struct Locked {
    pk: i64,
    columns: Columns,
    /// The unique keys of it that an older resource has, as its row holds them.
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

/// Returns the statement that writes the version and the time of a change, and the columns only if they
/// changed: each column that is written is written to its index, too.
fn column_update(pk: i64, before: &Columns, draft: &Draft) -> Sql {
    let mut sql = Sql::new("UPDATE resources SET version = version + 1, modified = ");
    sql = sql.int(draft.at.micros());
    let Columns { name, name_key, external_id, active } = &draft.columns;
    if draft.columns != *before {
        sql = sql
            .text(", name = ")
            .optional(name.clone())
            .text(", name_key = ")
            .optional(name_key.clone())
            .text(", external_id = ")
            .optional(external_id.clone())
            .text(match active {
                Some(true) => ", active = 1",
                Some(false) => ", active = 0",
                None => ", active = NULL",
            });
    }
    sql.text(" WHERE pk = ").int(pk)
}

impl Tx<'_> {
    pub(crate) fn insert(&mut self, draft: &Draft, with: With) -> Result<Found, WriteError> {
        let columns = &draft.columns;
        let values = (
            resources::tenant.eq(self.tenant.key()),
            resources::kind.eq(self.number),
            resources::id.eq(draft.id.as_str()),
            resources::version.eq(1),
            resources::created.eq(draft.at.micros()),
            resources::modified.eq(draft.at.micros()),
            resources::name.eq(columns.name.as_deref()),
            resources::name_key.eq(columns.name_key.as_deref()),
            resources::external_id.eq(columns.external_id.as_deref()),
            resources::active.eq(columns.active.map(i32::from)),
        );
        let pk: i64 = with_backend!(self.connection, |one| diesel::insert_into(resources::table)
            .values(values)
            .returning(resources::pk)
            .get_result(one))?;
        self.claim(pk, &draft.unique.insert)?;
        let document = (
            documents::pk.eq(pk),
            documents::tenant.eq(self.tenant.key()),
            documents::text.eq(draft.document.text()),
        );
        with_backend!(self.connection, |one| diesel::insert_into(documents::table)
            .values(document)
            .execute(one))?;
        self.insert_index(pk, &draft.index.insert)?;
        let applied = self.first_members(pk, draft)?;
        self.append_and_count(
            Step::Insert,
            &draft.change,
            &Effect {
                kind: draft.kind.as_str(),
                id: draft.id.as_str(),
                version: Some(Version::FIRST),
                members: &applied.delta,
                left: &[],
            },
        )?;
        let resource = Resource {
            kind: draft.kind.clone(),
            id: draft.id.clone(),
            version: Version::FIRST,
            created: draft.at,
            modified: draft.at,
            document: draft.document.clone(),
        };
        let mut computed = Computed::default();
        // A resource cannot be a member of a group before it exists, and its own members were just written.
        if let With::Members(limit) = with {
            let members = applied.members(self.dictionary, limit);
            (computed.members, computed.more_members) = (members.members, members.next);
        }
        Ok(Found { resource, computed })
    }

    pub(crate) fn update(
        &mut self,
        id: &ResourceId,
        with: With,
        change: &mut ChangeFn<'_>,
    ) -> Result<Updated, WriteError> {
        let mut locked = self.lock(id)?;
        let mut update = change(&Current { resource: &locked.resource, members: None })?;
        if let Update::NeedMembers(most) = update {
            let some = members::page(self.connection, self.dictionary, locked.pk, 0, most)?;
            update = change(&Current { resource: &locked.resource, members: Some(&some.members) })?;
        }
        let mut changed = false;
        if let Update::Store(draft) = update
            && let Some(delta) = self.store(&locked, &draft)?
        {
            changed = true;
            let after = &mut locked.resource;
            after.version = after.version.next();
            after.modified = draft.at;
            after.document = draft.document.clone();
            let effect = Effect {
                kind: self.kind.as_str(),
                id: id.as_str(),
                version: Some(after.version),
                members: &delta,
                left: &[],
            };
            let last = column_update(locked.pk, &locked.columns, &draft);
            changes::append_with(
                self.connection,
                self.keys,
                self.tenant,
                &draft.change,
                &effect,
                last,
            )?;
        }
        let found =
            complete(self.connection, self.dictionary, vec![(locked.pk, locked.resource)], with)?;
        let found = found.into_iter().next();
        let found = found.ok_or_else(|| Error::internal("one row is one resource"))?;
        Ok(Updated { found, changed })
    }

    pub(crate) fn delete(
        &mut self,
        id: &ResourceId,
        check: &mut CheckFn<'_>,
    ) -> Result<(), WriteError> {
        let Locked { pk, resource: before, .. } = self.lock(id)?;
        let change = check(&before)?;
        let left = self.leave_groups(pk, change.at)?;
        let row = resources::table.find(pk);
        // When another writer made it a member after it left its groups, the next try takes it out of that
        // group, too.
        with_backend!(self.connection, |one| diesel::delete(row).execute(one))
            .map_err(retry_on_constraint)?;
        self.append_and_count(
            Step::Delete,
            &change,
            &Effect {
                kind: self.kind.as_str(),
                id: id.as_str(),
                version: Some(before.version),
                members: &MemberDelta::default(),
                left: &left,
            },
        )
    }

    /// Locks a resource and reads it. Nothing is read before the lock is held, so that no other writer can have
    /// read what this one replaces.
    fn lock(&mut self, id: &ResourceId) -> Result<Locked, WriteError> {
        let rows: Vec<LockedRow> = Sql::new(
            "SELECT pk, version, created, modified, name, name_key, external_id, active, duplicate \
             FROM resources WHERE ",
        )
        .unindexed("tenant", self.tenant.key())
        .text(" AND ")
        .unindexed("kind", self.number)
        .text(" AND id = ")
        .string(id.as_str())
        .then(row_lock(self.connection))
        .query::<LockedTypes>()
        .load(self.connection)?;
        let (pk, version, created, modified, name, name_key, external_id, active, duplicate) =
            rows.into_iter().next().ok_or(ProviderError::NotFound)?;
        // A statement of its own: PostgreSQL reads what is joined to a row that it waited for as of the
        // beginning of the wait.
        let text: String = with_backend!(self.connection, |one| documents::table
            .find(pk)
            .select(documents::text)
            .first(one))?;
        let row = (pk, id.as_str().to_owned(), version, created, modified, text);
        let active = active.map(|active| active != 0);
        let columns = Columns { name, name_key, external_id, active };
        Ok(Locked { pk, columns, duplicate, resource: resource(self.kind, row) })
    }

    /// Writes what differs between a locked resource and its draft, except for its row; `None` when nothing
    /// does.
    fn store(&mut self, locked: &Locked, draft: &Draft) -> Result<Option<MemberDelta>, WriteError> {
        let pk = locked.pk;
        let differs = draft.document != locked.resource.document;
        if differs {
            for key in &draft.unique.remove {
                let path = self.path_number(&key.path)?;
                let key = (self.tenant.key(), self.number, path, key.folded.as_str());
                // The key of a duplicate belongs to another resource.
                let row = resource_keys::table.find(key).filter(resource_keys::pk.eq(pk));
                with_backend!(self.connection, |one| diesel::delete(row).execute(one))?;
            }
            self.claim(pk, &draft.unique.insert)?;
            Sql::new("UPDATE documents SET text = ")
                .string(draft.document.text())
                .text(" WHERE pk = ")
                .int(pk)
                .query::<()>()
                .execute(self.connection)?;
            for entry in &draft.index.remove {
                let path = self.path_number(&entry.path)?;
                let row = resource_index::table.find((pk, path, entry.element));
                with_backend!(self.connection, |one| diesel::delete(row).execute(one))?;
            }
            self.insert_index(pk, &draft.index.insert)?;
        }
        let delta = self.change_members(pk, draft)?.delta;
        if !differs && delta.is_empty() {
            return Ok(None);
        }
        if let Some(lacking) = &locked.duplicate {
            self.claim_lacking(pk, lacking, draft)?;
        }
        Ok(Some(delta))
    }

    /// Lets a duplicate claim the keys that it lacks and does not give up; refused while another has them.
    fn claim_lacking(&mut self, pk: i64, lacking: &str, draft: &Draft) -> Result<(), WriteError> {
        let mut wanted = duplicates::keys_in(Some(lacking));
        wanted.retain(|key| !draft.unique.remove.contains(key));
        self.claim(pk, &wanted)?;
        Sql::new("UPDATE resources SET duplicate = NULL WHERE pk = ")
            .int(pk)
            .query::<()>()
            .execute(self.connection)?;
        Ok(())
    }

    /// Claims unique keys one by one: when the database refuses one, its attribute is the one that is taken.
    fn claim(&mut self, pk: i64, keys: &[UniqueKey]) -> Result<(), WriteError> {
        for key in keys {
            let values = (
                resource_keys::tenant.eq(self.tenant.key()),
                resource_keys::kind.eq(self.number),
                resource_keys::path.eq(self.path_number(&key.path)?),
                resource_keys::folded.eq(key.folded.as_str()),
                resource_keys::pk.eq(pk),
            );
            let inserted =
                with_backend!(self.connection, |one| diesel::insert_into(resource_keys::table)
                    .values(values)
                    .execute(one));
            match inserted {
                Err(error) if classify(&error) == DbErrorKind::Constraint => {
                    return Err(ProviderError::Uniqueness(key.path.clone()).into());
                }
                inserted => inserted?,
            };
        }
        Ok(())
    }

    pub(crate) fn insert_index(
        &mut self,
        pk: i64,
        entries: &[IndexEntry],
    ) -> Result<(), WriteError> {
        for chunk in entries.chunks(MAX_INDEX_ROWS) {
            let mut sql = Sql::new(
                "INSERT INTO resource_index (pk, path, element, tenant, kind, value, label) VALUES ",
            );
            for (index, entry) in chunk.iter().enumerate() {
                sql = sql
                    .text(if index > 0 { ", (" } else { "(" })
                    .int(pk)
                    .text(", ")
                    .int(self.path_number(&entry.path)?)
                    .text(", ")
                    .int(entry.element)
                    .text(", ")
                    .int(self.tenant.key())
                    .text(", ")
                    .int(self.number)
                    .text(", ")
                    .string(entry.value.as_str());
                sql = match &entry.label {
                    Some(label) => sql.text(", ").string(label.as_str()).text(")"),
                    None => sql.text(", NULL)"),
                };
            }
            // Users have a handful of values each: few statements, worth keeping.
            let query = if chunk.len() <= 8 { sql.query::<()>() } else { sql.uncached::<()>() };
            query.execute(self.connection)?;
        }
        Ok(())
    }

    /// Records a change, and counts the resource that it inserted or deleted.
    fn append_and_count(
        &mut self,
        step: Step,
        change: &Change,
        effect: &Effect<'_>,
    ) -> Result<(), WriteError> {
        let (tenant, kind) = (self.tenant.key(), self.number);
        let (amount, removed) = match step {
            Step::Insert => (1, 0),
            Step::Delete => (-1, 1),
        };
        let slot = count_slot(self.connection);
        let count = Sql::new("UPDATE resource_counts SET amount = amount + ")
            .int(amount)
            .text(", removed = removed + ")
            .int(removed)
            .text(" WHERE tenant = ")
            .int(tenant)
            .text(" AND kind = ")
            .int(kind)
            .text(" AND slot = ")
            .then(slot.clone());
        if changes::append_with(self.connection, self.keys, self.tenant, change, effect, count)? > 0
        {
            return Ok(());
        }
        // The first count of this slot. When another writer inserts its row meanwhile, the next try finds it.
        Sql::new("INSERT INTO resource_counts (tenant, kind, slot, amount, removed) VALUES (")
            .int(tenant)
            .text(", ")
            .int(kind)
            .text(", ")
            .then(slot)
            .text(", ")
            .int(amount)
            .text(", ")
            .int(removed)
            .text(")")
            .query::<()>()
            .execute(self.connection)
            .map_err(retry_on_constraint)?;
        Ok(())
    }
}

/// A write that changes how many resources there are.
#[derive(Debug, Clone, Copy)]
enum Step {
    Insert,
    Delete,
}
