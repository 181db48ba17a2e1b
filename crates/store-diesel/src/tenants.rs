//! Tenants as rows.

use diesel::prelude::*;
use headcount_core::change::{Act, Author, Change, TENANT_KIND};
use headcount_core::clock::Timestamp;
use headcount_core::ids::TenantId;
use headcount_core::quirks::Quirks;
use headcount_records::mac::MacKeys;
use headcount_token_admin::{StoreError, Tenant, TenantChange, TenantStore};

use crate::changes;
use crate::connection::{DbConnection, lift_limits};
use crate::schema::tenants;
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

fn record(
    connection: &mut DbConnection,
    keys: &MacKeys,
    tenant: TenantId,
    change: &Change,
) -> QueryResult<()> {
    let id = tenant.key().to_string();
    changes::append_other(connection, keys, tenant, change, TENANT_KIND, &id)
}

impl TenantStore for Store {
    fn create_tenant(
        &self,
        name: &str,
        quirks: Quirks,
        at: Timestamp,
        by: &Author,
    ) -> Result<Tenant, StoreError> {
        let values = (
            tenants::name.eq(name),
            tenants::enabled.eq(1),
            tenants::quirks.eq(quirks.bits()),
            tenants::created.eq(at.micros()),
        );
        self.write_admin(|connection| {
            let row = diesel::insert_into(tenants::table)
                .values(values)
                .returning(COLUMNS)
                .get_result::<Row>(connection)?;
            let tenant = tenant(row);
            record(
                connection,
                self.keys(),
                tenant.id,
                &Change::of(Act::Created, name, &[], at, by),
            )?;
            Ok(tenant)
        })
    }

    fn tenants(&self) -> Result<Vec<Tenant>, StoreError> {
        let rows = self.read_admin("tenants are listed", |connection| {
            tenants::table.select(COLUMNS).order(tenants::name).load::<Row>(connection)
        })?;
        Ok(rows.into_iter().map(tenant).collect())
    }

    fn tenant(&self, name: &str) -> Result<Option<Tenant>, StoreError> {
        // PostgreSQL refuses a text with a NUL.
        if name.contains('\0') {
            return Ok(None);
        }
        let row = self.read_admin("a tenant is read", |connection| {
            tenants::table
                .filter(tenants::name.eq(name))
                .select(COLUMNS)
                .first::<Row>(connection)
                .optional()
        })?;
        Ok(row.map(tenant))
    }

    fn set_tenant(
        &self,
        name: &str,
        change: TenantChange,
        at: Timestamp,
        by: &Author,
    ) -> Result<Option<Tenant>, StoreError> {
        self.write_admin(|connection| {
            let row = tenants::table.filter(tenants::name.eq(name));
            // A write that changes nothing locks the row, so that what it returns stays true.
            let before: Option<Row> = diesel::update(row)
                .set(tenants::enabled.eq(tenants::enabled))
                .returning(COLUMNS)
                .get_result(connection)
                .optional()?;
            let Some(before) = before.map(tenant) else { return Ok(None) };
            let after = before.with(change);
            if let Some(change) = before.change(&after, at, by) {
                let enabled = tenants::enabled.eq(i32::from(after.enabled));
                let values = (enabled, tenants::quirks.eq(after.quirks.bits()));
                diesel::update(row).set(values).execute(connection)?;
                record(connection, self.keys(), before.id, &change)?;
            }
            Ok(Some(after))
        })
    }

    fn delete_tenant(&self, name: &str, at: Timestamp, by: &Author) -> Result<bool, StoreError> {
        // Everything that belongs to a tenant refers to it and is deleted with it. The record of changes
        // stays, without the names in it.
        self.write_admin(|connection| {
            lift_limits(connection)?;
            let id: Option<i64> = diesel::delete(tenants::table.filter(tenants::name.eq(name)))
                .returning(tenants::id)
                .get_result(connection)
                .optional()?;
            let Some(id) = id.map(TenantId::new) else { return Ok(false) };
            changes::forget(connection, id, None)?;
            record(connection, self.keys(), id, &Change::of(Act::Deleted, name, &[], at, by))?;
            Ok(true)
        })
    }
}
