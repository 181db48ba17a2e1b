//! The record of changes as it is stored: read for verification and export, and the names in it erased.

use diesel::prelude::*;
use diesel::sql_types::Bool;
use headcount_core::change::{Act, Author, Change, ResourceNames, TENANT_KIND, TOKEN_KIND};
use headcount_core::clock::Timestamp;
use headcount_core::ids::{ChainPosition, ChangeSeq, Kind, ResourceId, TenantId};
use headcount_core::index::fold;
use headcount_core::provider::ProviderError;
use headcount_core::work::Work;
use headcount_records::verify::{Protection, SequencedRow, Unsequenced};

use crate::change_rows::{HashedRow, parse_names};
use crate::changes::{append_other, forget};
use crate::connection::{DbConnection, lift_limits};
use crate::pool::View;
use crate::protection;
use crate::schema::{changes, resources, tenants, tokens};
use crate::sql::{still_wanted, unindexed};
use crate::store::Store;

/// Rows that one statement reads while names are looked for.
const MAX_ROWS: i64 = 1_000;

/// A slice of the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditSlice {
    /// Rows in the order of their positions.
    pub rows: Vec<SequencedRow>,
    /// When the slice reaches the end of the chain: what has no position yet, in the same state of the data.
    pub unsequenced: Option<Unsequenced>,
}

/// A person or a thing whose names are in the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recalled {
    /// Its kind.
    pub kind: Kind,
    /// Its id.
    pub id: ResourceId,
    /// Whether it still exists, and its names with it.
    pub exists: bool,
}

impl Store {
    /// Reads rows of the chain after a position, at most `limit`, of one tenant or of all.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Unavailable`] or [`ProviderError::Internal`].
    pub fn audit(
        &self,
        tenant: Option<TenantId>,
        after: ChainPosition,
        limit: usize,
    ) -> Result<AuditSlice, ProviderError> {
        self.readers.read_in(View::Snapshot, None, "the audit is read", |connection| {
            let rows = read_sequenced(connection, tenant, after, limit)?;
            let unsequenced = match rows.len() < limit {
                true => Some(read_unsequenced(connection)?),
                false => None,
            };
            Ok(AuditSlice { rows, unsequenced })
        })
    }

    /// Returns how changes are authenticated.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Unavailable`] or [`ProviderError::Internal`].
    pub fn protection(&self) -> Result<Protection<'_>, ProviderError> {
        let keys = self.keys();
        let accepted =
            self.readers.read("what of the audit is accepted is read", |connection| {
                protection::accepted(connection, keys)
            })?;
        Ok(Protection { keys, accepted })
    }

    /// Accepts that changes up to a position have no code, or one by a key that is not known.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Unavailable`] or [`ProviderError::Internal`].
    pub fn accept_changes(&self, position: ChainPosition) -> Result<(), ProviderError> {
        self.write("changes without a code are accepted", |connection| {
            Ok(protection::accept(connection, self.keys(), position)?)
        })
    }

    /// Reads the end of the chain: position and hash of its last row.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Unavailable`] or [`ProviderError::Internal`].
    pub fn last_sequenced(&self) -> Result<Option<(ChainPosition, String)>, ProviderError> {
        let last = self.readers.read("the end of the audit is read", |connection| {
            changes::table
                .filter(changes::place.is_not_null())
                .order(changes::place.desc())
                .select((changes::place, changes::hash))
                .first::<(Option<i64>, Option<String>)>(connection)
                .optional()
        })?;
        Ok(last
            .and_then(|(place, hash)| Some((ChainPosition::new(place?), hash.unwrap_or_default()))))
    }

    /// Finds what the record contains names of, by id, name (in any case) or `externalId`.
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
            let rows = self.readers.read_for(work, "names are looked for", |connection| {
                Ok(read_names(connection, tenant, after)?)
            })?;
            let Some((last, ..)) = rows.last() else { break };
            after = *last;
            for (_, kind, id, personal) in rows {
                let names = parse_names(personal.as_deref());
                let matches = id == who
                    || names.external_id.as_deref() == Some(who)
                    || names.name.is_some_and(|name| fold(&name) == folded);
                if matches && found.iter().all(|(_, known)| *known != id) {
                    found.push((kind, id));
                }
            }
        }
        self.readers.read("what still exists is looked for", |connection| {
            let mut recalled = Vec::with_capacity(found.len());
            for (kind, id) in &found {
                let exists = exists(connection, tenant, kind, id)?;
                let (kind, id) = (Kind::new(kind.as_str()), ResourceId::new(id.as_str()));
                recalled.push(Recalled { kind, id, exists });
            }
            Ok(recalled)
        })
    }

    /// Finds what was deleted before a moment, and log-ins before it, whose names or addresses are still in the
    /// record, some at a time.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Unavailable`] or [`ProviderError::Internal`].
    pub fn long_gone(&self, before: Timestamp) -> Result<Vec<(TenantId, Recalled)>, ProviderError> {
        let rows = self.readers.read("what was deleted long ago is looked for", |connection| {
            let mut rows = Vec::new();
            // Literals, so that the planner recognizes the partial indexes of these rows.
            for which in ["act = 'deleted'", "kind = 'Session'"] {
                let found = changes::table
                    .filter(diesel::dsl::sql::<Bool>(which))
                    .filter(changes::personal.is_not_null())
                    .filter(changes::at.lt(before.micros()))
                    .order(changes::at)
                    .limit(MAX_ROWS)
                    .select((changes::tenant, changes::kind, changes::resource))
                    .load::<(i64, String, String)>(connection)?;
                rows.extend(found);
            }
            Ok(rows)
        })?;
        let gone = rows.into_iter().map(|(tenant, kind, id)| {
            let (kind, id) = (Kind::new(kind), ResourceId::new(id));
            (TenantId::new(tenant), Recalled { kind, id, exists: false })
        });
        Ok(gone.collect())
    }

    /// Erases the names of something that no longer exists from the record, records that, and returns how many
    /// rows contained them. The chain stays valid, since it is made over digests.
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
        self.write("names are erased", |connection| {
            lift_limits(connection)?;
            let count = forget(connection, tenant, Some(&of.id))?;
            if count > 0 {
                append_other(
                    connection,
                    self.keys(),
                    tenant,
                    &change,
                    of.kind.as_str(),
                    of.id.as_str(),
                )?;
            }
            Ok(count)
        })
    }
}

/// The columns of a row of the chain.
type Columns = (HashedRow, (Option<i64>, Option<String>, Option<String>));

fn read_sequenced(
    connection: &mut DbConnection,
    tenant: Option<TenantId>,
    after: ChainPosition,
    limit: usize,
) -> QueryResult<Vec<SequencedRow>> {
    let rows = changes::table
        .filter(changes::place.gt(after.number()))
        .order(changes::place)
        .limit(i64::try_from(limit).unwrap_or(i64::MAX))
        .select((HashedRow::as_select(), (changes::place, changes::hash, changes::place_mac)));
    let rows: Vec<Columns> = match tenant {
        Some(tenant) => rows.filter(changes::tenant.eq(tenant.key())).load(connection)?,
        None => rows.load(connection)?,
    };
    let sequenced = rows.into_iter().filter_map(|(row, (place, hash, place_mac))| {
        let (position, hash) = (ChainPosition::new(place?), hash.unwrap_or_default());
        Some(SequencedRow { position, hash, place_mac, row: row.into() })
    });
    Ok(sequenced.collect())
}

fn read_unsequenced(connection: &mut DbConnection) -> QueryResult<Unsequenced> {
    let open = changes::table.filter(changes::place.is_null());
    Ok(Unsequenced {
        count: open.count().get_result(connection)?,
        erased: open
            .filter(changes::act.eq(Act::Erased.word()))
            .select((changes::tenant, changes::resource))
            .load(connection)?,
        deleted_tenants: open
            .filter(changes::act.eq(Act::Deleted.word()))
            .filter(changes::kind.eq(TENANT_KIND))
            .select(changes::tenant)
            .load(connection)?,
        displaced: open
            .filter(changes::hash.is_not_null())
            .order(changes::seq)
            .select(changes::seq)
            .load::<i64>(connection)?
            .into_iter()
            .map(ChangeSeq::new)
            .collect(),
        copied: protection::copied(connection)?,
    })
}

/// Number, kind, id and names of a row.
type NamesRow = (i64, String, String, Option<String>);

fn read_names(
    connection: &mut DbConnection,
    tenant: TenantId,
    after: i64,
) -> QueryResult<Vec<NamesRow>> {
    changes::table
        .filter(still_wanted(connection))
        .filter(changes::tenant.eq(tenant.key()))
        .filter(changes::seq.gt(after))
        .filter(changes::personal.is_not_null())
        .order(changes::seq)
        .limit(MAX_ROWS)
        .select((changes::seq, changes::kind, changes::resource, changes::personal))
        .load(connection)
}

/// Returns whether something still exists. Ids are never used again: what was deleted stays deleted.
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
            .filter(unindexed!(resources::tenant).eq(tenant.key()))
            .filter(resources::id.eq(id))
            .count()
            .get_result(connection)?,
    };
    Ok(count > 0)
}
