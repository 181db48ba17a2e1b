//! Tenants as the admin API changes them: with what has to be done about their groups.

use headcount_core::clock::Timestamp;
use headcount_core::journal::Author;
use headcount_core::quirks::Quirks;
use headcount_store_diesel::RebuildError;
use headcount_token_admin::{StoreError, Tenant, TenantStore};

use crate::wiring::{self, Parts};

/// The store of tenants, which keeps the names of groups unique where a tenant wants it.
pub(crate) struct Tenancy(pub(crate) Parts);

impl TenantStore for Tenancy {
    fn create_tenant(
        &self,
        name: &str,
        quirks: Quirks,
        at: Timestamp,
        by: &Author,
    ) -> Result<Tenant, StoreError> {
        self.0.store.create_tenant(name, quirks, at, by)
    }

    fn tenants(&self) -> Result<Vec<Tenant>, StoreError> {
        self.0.store.tenants()
    }

    fn tenant(&self, name: &str) -> Result<Option<Tenant>, StoreError> {
        self.0.store.tenant(name)
    }

    fn set_tenant(
        &self,
        name: &str,
        enabled: bool,
        quirks: Quirks,
        at: Timestamp,
        by: &Author,
    ) -> Result<bool, StoreError> {
        let Some(tenant) = self.0.store.tenant(name)? else {
            return Ok(false);
        };
        wiring::keep_unique(&self.0, &tenant, quirks).map_err(|error| {
            match error.downcast::<RebuildError>() {
                Ok(RebuildError::Store(error)) => StoreError::Unavailable(error.into()),
                Ok(refused) => StoreError::Refused(refused.to_string()),
                Err(other) => StoreError::Unavailable(other.into()),
            }
        })?;
        self.0.store.set_tenant(name, enabled, quirks, at, by)
    }

    fn delete_tenant(&self, name: &str, at: Timestamp, by: &Author) -> Result<bool, StoreError> {
        self.0.store.delete_tenant(name, at, by)
    }
}
