//! Derives rows again when schemas, index marks or the folding of text have changed.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use headcount_core::error::Error;
use headcount_core::ids::{Kind, ResourceId, TenantId};
use headcount_core::index::{Derived, UniqueKey, is_same_folding};
use headcount_core::provider::ProviderError;
use headcount_core::quirks::Quirks;
use headcount_core::resource::Document;
use thiserror::Error as ThisError;

use crate::connection::{DbConnection, lift_limits};
use crate::duplicates;
use crate::error::{WriteError, write_error};
use crate::schema::{documents, resource_index, resource_keys, resources, store_meta, tenants};
use crate::sql::Sql;
use crate::store::Store;
use crate::tx::Tx;

/// Resources that one transaction handles.
const MAX_ROWS: i64 = 200;

/// What happens when another resource has a unique value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Clash {
    /// The rebuild is refused: the administrator who made the value unique has to change a resource first.
    Refuse,
    /// The older resource keeps the value, and the younger one is a duplicate: a new release considers more
    /// texts equal, which no one could have avoided.
    KeepOlder,
}

/// Derives rows from a stored document, or returns why it no longer fits its kind.
pub type DeriveFn<'a> = dyn Fn(Quirks, &Document) -> Result<Derived, Error> + 'a;

/// Why derived rows could not be made. Earlier slices stay; the rebuild can be run again.
#[derive(Debug, ThisError)]
pub enum RebuildError {
    /// A stored resource does not fit the schemas of this deployment.
    #[error(
        "{kind} {id} no longer fits the schemas ({cause}); restore the schema, change the resource, then the schema"
    )]
    Misfit {
        /// Its kind.
        kind: Kind,
        /// Its id.
        id: ResourceId,
        /// What is wrong with it.
        cause: Error,
    },
    /// Two resources have the same value, which must be unique now.
    #[error(
        "{kind} {id} has the same {path} as another resource, and {path} must now be unique; change one of the two first"
    )]
    Taken {
        /// Its kind.
        kind: Kind,
        /// Its id.
        id: ResourceId,
        /// The attribute.
        path: String,
    },
    /// The store could not be read or written.
    #[error("derived data could not be rebuilt: {0}")]
    Store(#[source] Error),
}

impl From<ProviderError> for RebuildError {
    fn from(error: ProviderError) -> Self {
        Self::Store(error.into())
    }
}

impl Store {
    /// Returns whether the derived rows of a kind are those of a fingerprint.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Unavailable`] or [`ProviderError::Internal`].
    pub fn is_derived(&self, kind: &Kind, fingerprint: &str) -> Result<bool, ProviderError> {
        Ok(self.fingerprint(kind)?.as_deref() == Some(fingerprint))
    }

    fn fingerprint(&self, kind: &Kind) -> Result<Option<String>, ProviderError> {
        self.readers.read("a fingerprint is read", |connection| {
            let row = store_meta::table.find(meta_name(kind)).select(store_meta::value);
            row.first::<String>(connection).optional()
        })
    }

    /// Derives the rows of all resources of a kind again, and returns how many resources there are.
    ///
    /// Where text is folded differently than before, two resources may have the same unique value: the older
    /// one keeps it, and [`Store::duplicates`] lists the other.
    ///
    /// Other servers may run meanwhile: each slice is a transaction that locks its resources.
    ///
    /// # Errors
    ///
    /// [`RebuildError`].
    pub fn rebuild(
        &self,
        kind: &Kind,
        fingerprint: &str,
        derive: &DeriveFn<'_>,
    ) -> Result<u64, RebuildError> {
        let tenants = self.readers.read("tenants are listed", |connection| {
            tenants::table.select((tenants::id, tenants::quirks)).load::<(i64, i64)>(connection)
        })?;
        let clash = match self.fingerprint(kind)? {
            Some(before) if is_same_folding(&before, fingerprint) => Clash::Refuse,
            Some(_) | None => Clash::KeepOlder,
        };
        let mut count = 0;
        for (tenant, quirks) in tenants {
            let (tenant, quirks) = (TenantId::new(tenant), Quirks::from_bits(quirks));
            count += self.rebuild_kind(tenant, quirks, kind, clash, derive)?;
        }
        self.write("a fingerprint is written", |connection| {
            let name = meta_name(kind);
            diesel::delete(store_meta::table.find(&name)).execute(connection)?;
            let values = (store_meta::name.eq(&name), store_meta::value.eq(fingerprint));
            diesel::insert_into(store_meta::table).values(values).execute(connection)?;
            Ok(())
        })?;
        Ok(count)
    }

    /// Derives the rows of one tenant's resources of a kind again.
    ///
    /// # Errors
    ///
    /// [`RebuildError`].
    pub fn rebuild_tenant(
        &self,
        tenant: TenantId,
        quirks: Quirks,
        kind: &Kind,
        derive: &DeriveFn<'_>,
    ) -> Result<u64, RebuildError> {
        self.rebuild_kind(tenant, quirks, kind, Clash::Refuse, derive)
    }

    fn rebuild_kind(
        &self,
        tenant: TenantId,
        quirks: Quirks,
        kind: &Kind,
        clash: Clash,
        derive: &DeriveFn<'_>,
    ) -> Result<u64, RebuildError> {
        let Some(number) = self.dictionary.kind(kind) else {
            return Ok(0);
        };
        let (mut last, mut count) = (0, 0);
        loop {
            let mut misfit = None;
            let slice = self.writer.write(&mut |connection| {
                lift_limits(connection)?;
                let rows = lock_slice(connection, tenant, number, last)?;
                let mut tx = Tx {
                    connection,
                    dictionary: &self.dictionary,
                    keys: self.keys(),
                    tenant,
                    kind,
                    number,
                };
                for row in &rows {
                    let outcome = tx.rederive(row, clash, |document| derive(quirks, document))?;
                    if let Err(reason) = outcome {
                        misfit = Some(reason.into_error(kind, &row.id));
                        return Err(WriteError::RolledBack);
                    }
                }
                Ok(rows.last().map(|row| (row.pk, rows.len())))
            });
            match (slice, misfit) {
                (_, Some(error)) => return Err(error),
                (Ok(Some((pk, rows))), None) => {
                    last = pk;
                    count += u64::try_from(rows).unwrap_or(u64::MAX);
                }
                (Ok(None), None) => return Ok(count),
                (Err(error), None) => {
                    return Err(RebuildError::Store(write_error("rows are derived", error)));
                }
            }
        }
    }
}

impl Tx<'_> {
    /// Derives the rows of one locked resource again.
    fn rederive(
        &mut self,
        row: &LockedRow,
        clash: Clash,
        derive: impl Fn(&Document) -> Result<Derived, Error>,
    ) -> Result<Result<(), Misfit>, WriteError> {
        let pk = row.pk;
        let text: String =
            documents::table.find(pk).select(documents::text).first(self.connection)?;
        let derived = match derive(&Document::from_store(text)) {
            Ok(derived) => derived,
            Err(cause) => return Ok(Err(Misfit::Schema(cause))),
        };
        let old_rows = resource_index::table.filter(resource_index::pk.eq(pk));
        diesel::delete(old_rows).execute(self.connection)?;
        let old_keys = resource_keys::table
            .filter(resource_keys::tenant.eq(self.tenant.key()))
            .filter(resource_keys::pk.eq(pk));
        diesel::delete(old_keys).execute(self.connection)?;
        let known = duplicates::keys_in(row.duplicate.as_deref());
        let mut lacking = Vec::new();
        for key in &derived.unique {
            if self.take_key(pk, key)? {
                continue;
            }
            if clash == Clash::Refuse && !known.contains(key) {
                return Ok(Err(Misfit::Taken(key.path.to_string())));
            }
            lacking.push(key.clone());
        }
        let columns = &derived.columns;
        let values = (
            resources::name.eq(columns.name.as_deref()),
            resources::name_key.eq(columns.name_key.as_deref()),
            resources::external_id.eq(columns.external_id.as_deref()),
            resources::active.eq(columns.active.map(i32::from)),
            resources::duplicate.eq(duplicates::text_of(&lacking)),
        );
        diesel::update(resources::table.find(pk)).set(values).execute(self.connection)?;
        self.insert_index(pk, &derived.index)?;
        Ok(Ok(()))
    }

    /// Takes a unique key for a resource; false when an older resource has it.
    fn take_key(&mut self, pk: i64, key: &UniqueKey) -> Result<bool, WriteError> {
        let (tenant, kind, path) = (self.tenant.key(), self.number, self.path_number(&key.path)?);
        // A younger resource has its keys from before, which no longer mean anything.
        let stale = resource_keys::table
            .find((tenant, kind, path, key.folded.as_str()))
            .filter(resource_keys::pk.gt(pk));
        diesel::delete(stale).execute(self.connection)?;
        let sql = Sql::new("INSERT INTO resource_keys (tenant, kind, path, folded, pk) VALUES (")
            .int(tenant)
            .text(", ")
            .int(kind)
            .text(", ")
            .int(path)
            .text(", ")
            .string(key.folded.as_str())
            .text(", ")
            .int(pk)
            .text(") ON CONFLICT DO NOTHING");
        Ok(sql.query::<()>().execute(self.connection)? > 0)
    }
}

/// Why one resource cannot have its derived rows.
enum Misfit {
    Schema(Error),
    Taken(String),
}

impl Misfit {
    fn into_error(self, kind: &Kind, id: &str) -> RebuildError {
        let (kind, id) = (kind.clone(), ResourceId::new(id));
        match self {
            Self::Schema(cause) => RebuildError::Misfit { kind, id, cause },
            Self::Taken(path) => RebuildError::Taken { kind, id, path },
        }
    }
}

/// A resource that no other transaction changes until this one ends.
struct LockedRow {
    pk: i64,
    id: String,
    duplicate: Option<String>,
}

/// Locks the next resources of a kind until the transaction ends.
fn lock_slice(
    connection: &mut DbConnection,
    tenant: TenantId,
    kind: i32,
    after: i64,
) -> QueryResult<Vec<LockedRow>> {
    let mut rows: Vec<(i64, String, Option<String>)> = Sql::new(
        "UPDATE resources SET version = version WHERE pk IN (SELECT s.pk FROM resources s WHERE s.tenant = ",
    )
    .int(tenant.key())
    .text(" AND s.kind = ")
    .int(kind)
    .text(" AND s.pk > ")
    .int(after)
    .text(" ORDER BY s.pk LIMIT ")
    .int(MAX_ROWS)
    .text(") RETURNING pk, id, duplicate")
    .query::<(BigInt, Text, Nullable<Text>)>()
    .load(connection)?;
    rows.sort_unstable();
    Ok(rows.into_iter().map(|(pk, id, duplicate)| LockedRow { pk, id, duplicate }).collect())
}

fn meta_name(kind: &Kind) -> String {
    format!("derived /{kind}")
}
