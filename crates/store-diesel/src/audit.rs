//! The record of changes as it is stored: read for verification and export, and the names in it erased.

use diesel::prelude::*;
use diesel::sql_types::Bool;
use headcount_core::change::{Act, Author, Change, ResourceNames, TENANT_KIND, TOKEN_KIND};
use headcount_core::clock::Timestamp;
use headcount_core::ids::{Kind, ResourceId, TenantId};
use headcount_core::index::fold;
use headcount_core::provider::{ProviderError, Source};
use headcount_core::work::Work;
use headcount_records::chain::AuditRow;
use headcount_records::verify::{SequencedRow, Unsequenced};

use crate::changes::{append_other, forget, names};
use crate::connection::{DbConnection, unlimited};
use crate::error::write_error;
use crate::pool::{self, View};
use crate::schema::{changes, resources, tenants, tokens};
use crate::sequencer::Row;
use crate::sql::watched;
use crate::store::Store;

/// Rows that are read at once while names are looked for.
const SLICE: i64 = 1_000;

/// A slice of the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditSlice {
    /// Rows in the order of their places.
    pub rows: Vec<SequencedRow>,
    /// When the slice reaches the end of the chain: what has no place yet, in the same state of the data.
    pub unsequenced: Option<Unsequenced>,
}

/// Somebody or something whose names stand in the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recalled {
    /// Its kind.
    pub kind: Kind,
    /// Its id.
    pub id: ResourceId,
    /// Whether it still exists, so that its names are not only a memory.
    pub exists: bool,
}

type Stored = (Row, (Option<i64>, Option<String>));

impl Store {
    /// Reads rows of the chain after a place, at most `limit`, of one tenant or of all.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Unavailable`] or [`ProviderError::Internal`].
    pub fn audit(
        &self,
        tenant: Option<TenantId>,
        after: i64,
        limit: usize,
    ) -> Result<AuditSlice, ProviderError> {
        pool::read(&self.readers, (View::Snapshot, None), "the audit is read", |connection| {
            let rows = sequenced(connection, tenant, after, limit)?;
            let end = rows.len() < limit;
            let unsequenced = if end { Some(unsequenced(connection)?) } else { None };
            Ok(AuditSlice { rows, unsequenced })
        })
    }

    /// Reads the end of the chain: place and hash of its last row.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Unavailable`] or [`ProviderError::Internal`].
    pub fn last_sequenced(&self) -> Result<Option<(i64, String)>, ProviderError> {
        let last = self.read("the end of the audit is read", |connection| {
            changes::table
                .filter(changes::place.is_not_null())
                .order(changes::place.desc())
                .select((changes::place, changes::hash))
                .first::<(Option<i64>, Option<String>)>(connection)
                .optional()
        })?;
        Ok(last.and_then(|(place, hash)| Some((place?, hash.unwrap_or_default()))))
    }

    /// Finds what the record holds names of, by id, name (in any case) or `externalId`.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Unavailable`] or [`ProviderError::Internal`].
    pub fn recall(
        &self,
        tenant: TenantId,
        who: &str,
        work: &Work,
    ) -> Result<Vec<Recalled>, ProviderError> {
        let (folded, mut after) = (fold(who), i64::MIN);
        let mut found: Vec<(String, String)> = Vec::new();
        loop {
            let rows = self.read_for(work, "names are looked for in the audit", |connection| {
                Ok(named(connection, tenant, after)?)
            })?;
            let Some((last, ..)) = rows.last() else { break };
            after = *last;
            for (_, kind, id, personal) in rows {
                let known = names(personal.as_deref());
                let is_it = id == who
                    || known.external_id.as_deref() == Some(who)
                    || known.name.is_some_and(|name| fold(&name) == folded);
                if is_it && found.iter().all(|(_, known)| *known != id) {
                    found.push((kind, id));
                }
            }
        }
        self.read("it is asked who still exists", |connection| {
            let recalled = |(kind, id): &(String, String)| -> QueryResult<Recalled> {
                let exists = exists(connection, tenant, kind, id)?;
                let (kind, id) = (Kind::new(kind.as_str()), ResourceId::new(id.as_str()));
                Ok(Recalled { kind, id, exists })
            };
            found.iter().map(recalled).collect()
        })
    }

    /// Finds what was deleted before a moment and whose names are still kept, some at a time.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Unavailable`] or [`ProviderError::Internal`].
    pub fn long_gone(&self, before: Timestamp) -> Result<Vec<(TenantId, Recalled)>, ProviderError> {
        let rows = self.read("it is asked who is long gone", |connection| {
            changes::table
                // Written out, so that the planner knows the index of these rows.
                .filter(diesel::dsl::sql::<Bool>("act = 'deleted'"))
                .filter(changes::personal.is_not_null())
                .filter(changes::at.lt(before.micros()))
                .order(changes::at)
                .limit(SLICE)
                .select((changes::tenant, changes::kind, changes::resource))
                .load::<(i64, String, String)>(connection)
        })?;
        let gone = |(tenant, kind, id): (i64, String, String)| {
            let recalled =
                Recalled { kind: Kind::new(kind), id: ResourceId::new(id), exists: false };
            (TenantId::new(tenant), recalled)
        };
        Ok(rows.into_iter().map(gone).collect())
    }

    /// Erases the names of something that no longer exists from the record, records that, and returns
    /// how many rows held them. The chain holds as before, since it is made over digests.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Unavailable`] or [`ProviderError::Internal`].
    pub fn erase_names(
        &self,
        tenant: TenantId,
        of: &Recalled,
        at: Timestamp,
        by: &Author,
    ) -> Result<usize, ProviderError> {
        let change =
            Change { names: ResourceNames::default(), ..Change::of(Act::Erased, "", &[], at, by) };
        let done = self.writer.write(&mut |connection| {
            unlimited(connection)?;
            let count = forget(connection, tenant, Some(&of.id))?;
            if count > 0 {
                append_other(connection, tenant, &change, of.kind.as_str(), of.id.as_str())?;
            }
            Ok(count)
        });
        done.map_err(|error| match write_error("names are erased", error) {
            headcount_core::Error::Provider(error) => error,
            other => ProviderError::Internal(Source::new("names are erased", other)),
        })
    }
}

fn sequenced(
    connection: &mut DbConnection,
    tenant: Option<TenantId>,
    after: i64,
    limit: usize,
) -> QueryResult<Vec<SequencedRow>> {
    let rows = changes::table
        .filter(changes::place.gt(after))
        .order(changes::place)
        .limit(i64::try_from(limit).unwrap_or(i64::MAX))
        .select((Row::as_select(), (changes::place, changes::hash)));
    let rows: Vec<Stored> = match tenant {
        Some(tenant) => rows.filter(changes::tenant.eq(tenant.key())).load(connection)?,
        None => rows.load(connection)?,
    };
    let sequenced = |(row, (place, hash)): Stored| {
        Some(SequencedRow {
            position: place?,
            hash: hash.unwrap_or_default(),
            row: AuditRow::from(row),
        })
    };
    Ok(rows.into_iter().filter_map(sequenced).collect())
}

fn unsequenced(connection: &mut DbConnection) -> QueryResult<Unsequenced> {
    let open = || changes::table.filter(changes::place.is_null());
    Ok(Unsequenced {
        count: open().count().get_result(connection)?,
        erased: open()
            .filter(changes::act.eq(Act::Erased.word()))
            .select((changes::tenant, changes::resource))
            .load(connection)?,
        deleted_tenants: open()
            .filter(changes::act.eq(Act::Deleted.word()))
            .filter(changes::kind.eq(TENANT_KIND))
            .select(changes::tenant)
            .load(connection)?,
        displaced: open()
            .filter(changes::hash.is_not_null())
            .order(changes::seq)
            .select(changes::seq)
            .load(connection)?,
    })
}

type NamedRow = (i64, String, String, Option<String>);

fn named(
    connection: &mut DbConnection,
    tenant: TenantId,
    after: i64,
) -> QueryResult<Vec<NamedRow>> {
    changes::table
        .filter(watched(connection))
        .filter(changes::tenant.eq(tenant.key()))
        .filter(changes::seq.gt(after))
        .filter(changes::personal.is_not_null())
        .order(changes::seq)
        .limit(SLICE)
        .select((changes::seq, changes::kind, changes::resource, changes::personal))
        .load(connection)
}

/// Tells whether something is still there. Ids are never given again: what is gone stays gone.
fn exists(
    connection: &mut DbConnection,
    tenant: TenantId,
    kind: &str,
    id: &str,
) -> QueryResult<bool> {
    let count: i64 = match kind {
        TOKEN_KIND => tokens::table.filter(tokens::id.eq(id)).count().get_result(connection)?,
        TENANT_KIND => {
            tenants::table.filter(tenants::id.eq(tenant.key())).count().get_result(connection)?
        }
        _ => resources::table
            .filter((resources::tenant + 0).eq(tenant.key()))
            .filter(resources::id.eq(id))
            .count()
            .get_result(connection)?,
    };
    Ok(count > 0)
}
