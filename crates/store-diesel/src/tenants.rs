//! Tenants as rows.

use diesel::prelude::*;
use headcount_core::clock::Timestamp;
use headcount_core::ids::TenantId;
use headcount_core::quirks::Quirks;
use headcount_token_admin::{StoreError, Tenant, TenantStore};

use crate::error::token_error;
use crate::schema::{changes, tenants};
use crate::store::Store;

type Row = (i64, String, i32, i64, i64);

const COLUMNS: (tenants::id, tenants::name, tenants::enabled, tenants::quirks, tenants::created) =
    (tenants::id, tenants::name, tenants::enabled, tenants::quirks, tenants::created);

fn tenant((id, name, enabled, quirks, created): Row) -> Tenant {
    Tenant {
        id: TenantId::new(id),
        name,
        enabled: enabled != 0,
        quirks: Quirks::from_bits(quirks),
        created: Timestamp::from_micros(created),
    }
}

impl TenantStore for Store {
    fn create_tenant(
        &self,
        name: &str,
        quirks: Quirks,
        at: Timestamp,
    ) -> Result<Tenant, StoreError> {
        let values = (
            tenants::name.eq(name),
            tenants::enabled.eq(1),
            tenants::quirks.eq(quirks.bits()),
            tenants::created.eq(at.micros()),
        );
        let row = self.writer.write(&mut |connection| {
            Ok(diesel::insert_into(tenants::table)
                .values(values)
                .returning(COLUMNS)
                .get_result::<Row>(connection)?)
        });
        row.map(tenant).map_err(token_error)
    }

    fn tenants(&self) -> Result<Vec<Tenant>, StoreError> {
        let rows = self.read("tenants are listed", |connection| {
            tenants::table.select(COLUMNS).order(tenants::name).load::<Row>(connection)
        });
        rows.map(|rows| rows.into_iter().map(tenant).collect()).map_err(unavailable)
    }

    fn tenant(&self, name: &str) -> Result<Option<Tenant>, StoreError> {
        let row = self.read("a tenant is read", |connection| {
            tenants::table
                .filter(tenants::name.eq(name))
                .select(COLUMNS)
                .first::<Row>(connection)
                .optional()
        });
        row.map(|row| row.map(tenant)).map_err(unavailable)
    }

    fn set_tenant(&self, name: &str, enabled: bool, quirks: Quirks) -> Result<bool, StoreError> {
        let values = (tenants::enabled.eq(i32::from(enabled)), tenants::quirks.eq(quirks.bits()));
        let changed = self.writer.write(&mut |connection| {
            Ok(diesel::update(tenants::table.filter(tenants::name.eq(name)))
                .set(values)
                .execute(connection)?)
        });
        changed.map(|rows| rows > 0).map_err(token_error)
    }

    fn delete_tenant(&self, name: &str) -> Result<bool, StoreError> {
        // Everything that belongs to a tenant refers to it and goes with it. The record of changes
        // stays, without what it says of persons.
        let deleted = self.writer.write(&mut |connection| {
            let deleted: Vec<i64> = diesel::delete(tenants::table.filter(tenants::name.eq(name)))
                .returning(tenants::id)
                .get_results(connection)?;
            for id in &deleted {
                diesel::update(changes::table.filter(changes::tenant.eq(id)))
                    .set(changes::personal.eq(None::<String>))
                    .execute(connection)?;
            }
            Ok(deleted.len())
        });
        deleted.map(|rows| rows > 0).map_err(token_error)
    }
}

pub(crate) fn unavailable(error: headcount_core::provider::ProviderError) -> StoreError {
    StoreError::Unavailable(error.into())
}
