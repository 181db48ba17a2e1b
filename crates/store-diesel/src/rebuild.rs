//! Derived rows made anew, when schemas, index marks or the folding of text have changed.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use headcount_core::error::Error;
use headcount_core::ids::{Kind, ResourceId, TenantId};
use headcount_core::index::{Derived, UniqueKey, is_same_folding};
use headcount_core::provider::ProviderError;
use headcount_core::quirks::Quirks;
use headcount_core::resource::Document;
use thiserror::Error as ThisError;

use crate::connection::{DbConnection, unlimited};
use crate::duplicates;
use crate::error::{WriteError, write_error};
use crate::schema::{documents, resource_index, resource_keys, resources, store_meta, tenants};
use crate::sql::Sql;
use crate::store::Store;

/// Resources that one transaction handles.
const SLICE: i64 = 200;

/// What is done when a unique value is another resource's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Clash {
    /// It is refused: whoever has made the value unique has to change one of the two first.
    Refused,
    /// The older resource keeps the value, and the younger one is a duplicate: a new release takes
    /// more texts for one, and nobody could have known.
    Kept,
}

/// Derives rows from a stored document, or says why it does not fit its kind any more.
pub type DeriveFn<'a> = dyn Fn(Quirks, &Document) -> Result<Derived, Error> + 'a;

/// Why derived rows could not be made anew. What was done before stays; it can be done again.
#[derive(Debug, ThisError)]
pub enum RebuildError {
    /// A stored resource does not fit the schemas of this deployment.
    #[error(
        "{kind} {id} does not fit the schemas any more ({cause}); restore the schema, change the resource, then the schema"
    )]
    Misfit {
        /// Its kind.
        kind: Kind,
        /// Its id.
        id: ResourceId,
        /// What is wrong with it.
        cause: Error,
    },
    /// Two resources have one value where it must be unique now.
    #[error(
        "{kind} {id} has the same {path} as another one, which must be unique now; change one of them first"
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
    #[error("derived data could not be made anew: {0}")]
    Store(#[source] Error),
}

impl Store {
    /// Tells whether the derived rows of a kind are those of this fingerprint.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Unavailable`] or [`ProviderError::Internal`].
    pub fn is_derived(&self, kind: &Kind, fingerprint: &str) -> Result<bool, ProviderError> {
        Ok(self.fingerprint(kind)?.as_deref() == Some(fingerprint))
    }

    fn fingerprint(&self, kind: &Kind) -> Result<Option<String>, ProviderError> {
        self.read("a fingerprint is read", |connection| {
            let row = store_meta::table.find(meta_name(kind)).select(store_meta::value);
            row.first::<String>(connection).optional()
        })
    }

    /// Makes the derived rows of all resources of a kind anew and returns how many there are.
    ///
    /// Where text is folded in another way than before, two resources may have one unique value now: the
    /// older one keeps it, and [`Store::duplicates`] lists the other.
    ///
    /// Other servers may go on meanwhile: each slice is a transaction that holds its resources.
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
        let all = self.read("tenants are listed", |connection| {
            tenants::table.select((tenants::id, tenants::quirks)).load::<(i64, i64)>(connection)
        });
        let before = self.fingerprint(kind).map_err(|error| RebuildError::Store(error.into()))?;
        let clash = match before {
            Some(before) if is_same_folding(&before, fingerprint) => Clash::Refused,
            Some(_) | None => Clash::Kept,
        };
        let mut count = 0;
        for (tenant, quirks) in all.map_err(|error| RebuildError::Store(error.into()))? {
            let quirks = Quirks::from_bits(quirks);
            count += self.rebuild_all(TenantId::new(tenant), quirks, kind, clash, derive)?;
        }
        let done = self.writer.write(&mut |connection| {
            let name = meta_name(kind);
            diesel::delete(store_meta::table.find(&name)).execute(connection)?;
            let values = (store_meta::name.eq(&name), store_meta::value.eq(fingerprint));
            diesel::insert_into(store_meta::table).values(values).execute(connection)?;
            Ok(())
        });
        done.map_err(|error| RebuildError::Store(write_error("a fingerprint is written", error)))?;
        Ok(count)
    }

    /// Makes the derived rows of one tenant's resources of a kind anew.
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
        self.rebuild_all(tenant, quirks, kind, Clash::Refused, derive)
    }

    fn rebuild_all(
        &self,
        tenant: TenantId,
        quirks: Quirks,
        kind: &Kind,
        clash: Clash,
        derive: &DeriveFn<'_>,
    ) -> Result<u64, RebuildError> {
        let Some(number) = self.names.kind(kind) else {
            return Ok(0);
        };
        let (mut last, mut count) = (0, 0);
        loop {
            let mut failed = None;
            let slice = self.writer.write(&mut |connection| {
                unlimited(connection)?;
                let rows = hold(connection, tenant, number, last)?;
                for held in &rows {
                    let done =
                        self.derive_one(connection, (tenant, quirks, number), held, clash, derive)?;
                    if let Err(misfit) = done {
                        failed = Some(misfit.about(kind, &held.id));
                        return Err(Error::internal("a failed slice is rolled back").into());
                    }
                }
                Ok(rows.last().map(|held| (held.pk, rows.len())))
            });
            match (slice, failed) {
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

    /// Makes the derived rows of one resource anew, inside a transaction that holds it.
    fn derive_one(
        &self,
        connection: &mut DbConnection,
        (tenant, quirks, kind): (TenantId, Quirks, i32),
        held: &Held,
        clash: Clash,
        derive: &DeriveFn<'_>,
    ) -> Result<Result<(), Misfit>, WriteError> {
        let pk = held.pk;
        let text: String = documents::table.find(pk).select(documents::text).first(connection)?;
        let derived = match derive(quirks, &Document::from_store(text)) {
            Ok(derived) => derived,
            Err(cause) => return Ok(Err(Misfit::Schema(cause))),
        };
        let old_rows = resource_index::table.filter(resource_index::pk.eq(pk));
        diesel::delete(old_rows).execute(connection)?;
        let old_keys = resource_keys::table
            .filter(resource_keys::tenant.eq(tenant.key()))
            .filter(resource_keys::pk.eq(pk));
        diesel::delete(old_keys).execute(connection)?;
        let known = duplicates::keys_in(held.duplicate.as_deref());
        let mut lacking = Vec::new();
        for key in &derived.unique {
            if self.take(connection, tenant, (kind, pk), key)? {
                continue;
            }
            if clash == Clash::Refused && !known.contains(key) {
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
        diesel::update(resources::table.find(pk)).set(values).execute(connection)?;
        self.insert_index(connection, tenant, kind, pk, &derived.index)?;
        Ok(Ok(()))
    }

    /// Takes a unique key for a resource, and tells whether no older one has it.
    fn take(
        &self,
        connection: &mut DbConnection,
        tenant: TenantId,
        (kind, pk): (i32, i64),
        key: &UniqueKey,
    ) -> Result<bool, WriteError> {
        let path = self.path_number(&key.path)?;
        // Whoever comes later has its keys from before, which mean nothing any more.
        let stale = resource_keys::table
            .find((tenant.key(), kind, path, key.folded.as_str()))
            .filter(resource_keys::pk.gt(pk));
        diesel::delete(stale).execute(connection)?;
        let sql = Sql::new("INSERT INTO resource_keys (tenant, kind, path, folded, pk) VALUES (")
            .int(tenant.key())
            .text(", ")
            .int(kind)
            .text(", ")
            .int(path)
            .text(", ")
            .string(key.folded.as_str())
            .text(", ")
            .int(pk)
            .text(") ON CONFLICT DO NOTHING");
        Ok(sql.query::<()>().execute(connection)? > 0)
    }
}

/// Why one resource cannot have its derived rows.
enum Misfit {
    Schema(Error),
    Taken(String),
}

impl Misfit {
    fn about(self, kind: &Kind, id: &str) -> RebuildError {
        let (kind, id) = (kind.clone(), ResourceId::new(id));
        match self {
            Self::Schema(cause) => RebuildError::Misfit { kind, id, cause },
            Self::Taken(path) => RebuildError::Taken { kind, id, path },
        }
    }
}

/// A resource that nobody else changes until the transaction ends.
struct Held {
    pk: i64,
    id: String,
    duplicate: Option<String>,
}

/// Holds the next resources of a kind until the transaction ends.
fn hold(
    connection: &mut DbConnection,
    tenant: TenantId,
    kind: i32,
    after: i64,
) -> QueryResult<Vec<Held>> {
    let some = Sql::new("SELECT s.pk FROM resources s WHERE s.tenant = ").int(tenant.key());
    let some = some.text(" AND s.kind = ").int(kind).text(" AND s.pk > ").int(after);
    let hold = Sql::new("UPDATE resources SET version = version WHERE pk IN (")
        .then(some.text(" ORDER BY s.pk LIMIT ").int(SLICE))
        .text(") RETURNING pk, id, duplicate");
    let mut rows: Vec<(i64, String, Option<String>)> =
        hold.query::<(BigInt, Text, Nullable<Text>)>().load(connection)?;
    rows.sort_unstable();
    Ok(rows.into_iter().map(|(pk, id, duplicate)| Held { pk, id, duplicate }).collect())
}

fn meta_name(kind: &Kind) -> String {
    format!("derived /{kind}")
}
