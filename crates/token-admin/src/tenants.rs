//! What administrators do with tenants. Every adapter comes through here.

use std::sync::Arc;

use headcount_core::clock::Clock;
use headcount_core::ids::TenantId;
use headcount_core::quirks::{QUIRKS, Quirks};

use crate::error::{AdminError, Field, Rule};
use crate::principal::{Action, Principal};
use crate::store::StoreError;
use crate::tenant::{Tenant, TenantChange, TenantStore};

/// What a tenant has outside the store of tenants.
pub trait TenantContents: Send + Sync + 'static {
    /// Derives index rows and unique keys of the tenant's resources again, for other quirks.
    ///
    /// # Errors
    ///
    /// [`StoreError::Refused`] when a resource does not fit; some may have been derived by then.
    fn derive(&self, tenant: TenantId, quirks: Quirks) -> Result<(), StoreError>;

    /// Removes the provisioning log of a tenant that no longer exists.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    fn forget(&self, tenant: TenantId) -> Result<(), StoreError>;
}

/// Creates, changes and deletes tenants.
pub struct Tenants {
    store: Arc<dyn TenantStore>,
    contents: Arc<dyn TenantContents>,
    clock: Arc<dyn Clock>,
}

/// Reads the names of quirks.
///
/// # Errors
///
/// [`Rule::UnknownQuirk`].
pub fn quirks<'n>(names: impl IntoIterator<Item = &'n str>) -> Result<Quirks, AdminError> {
    names.into_iter().try_fold(Quirks::NONE, |set, name| {
        match QUIRKS.iter().find(|quirk| quirk.name == name) {
            Some(quirk) => Ok(set.with(quirk.flag)),
            None => Err(Field::Quirks.breaks(Rule::UnknownQuirk(name.to_owned()))),
        }
    })
}

impl Tenants {
    /// Puts the parts together.
    pub fn new(
        store: Arc<dyn TenantStore>,
        contents: Arc<dyn TenantContents>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { store, contents, clock }
    }

    /// Returns the tenants within reach, by name.
    ///
    /// # Errors
    ///
    /// [`Rule::Role`], [`Rule::Scopes`]; here and below [`AdminError::Store`].
    pub fn list(&self, by: &Principal) -> Result<Vec<Tenant>, AdminError> {
        by.may(Action::ReadTenants)?;
        let mut tenants = self.store.tenants()?;
        tenants.retain(|tenant| by.reaches(tenant.id));
        Ok(tenants)
    }

    /// Finds a tenant by its name. A principal that reaches one tenant alone does not learn which
    /// others exist.
    ///
    /// # Errors
    ///
    /// [`Rule::Missing`], [`Rule::Scopes`].
    pub fn find(&self, by: &Principal, name: &str) -> Result<Tenant, AdminError> {
        let found = self.store.tenant(name)?.filter(|tenant| by.reaches(tenant.id));
        match found {
            Some(tenant) => Ok(tenant),
            None => Err(by.reaches_all().err().unwrap_or_else(|| missing(name))),
        }
    }

    /// Creates a tenant.
    ///
    /// # Errors
    ///
    /// [`Rule::Role`], [`Rule::Scopes`], [`Rule::TenantName`], [`Rule::Taken`].
    pub fn create(&self, by: &Principal, name: &str, quirks: Quirks) -> Result<Tenant, AdminError> {
        by.may(Action::CreateTenant)?;
        if !Tenant::is_name(name) {
            return Err(Field::TenantName.breaks(Rule::TenantName));
        }
        let created = self.store.create_tenant(name, quirks, self.clock.now(), &by.author);
        created.map_err(|error| Field::TenantName.admin_error(error))
    }

    /// Changes a tenant and returns it as it is now, from the next request on.
    ///
    /// # Errors
    ///
    /// [`Rule::Role`], [`Rule::Scopes`], [`Rule::Missing`]; [`Rule::Stored`] when a resource does not
    /// fit the new quirks.
    pub fn change(
        &self,
        by: &Principal,
        name: &str,
        change: TenantChange,
    ) -> Result<Tenant, AdminError> {
        by.may(Action::ChangeTenant)?;
        let tenant = self.find(by, name)?;
        let quirks = change.quirks.unwrap_or(tenant.quirks);
        // Names of groups are claimed or freed when the rule about them changes.
        let rule = Quirks::UNIQUE_GROUP_NAMES;
        if tenant.quirks.has(rule) != quirks.has(rule) {
            let derived = self.contents.derive(tenant.id, quirks);
            derived.map_err(|error| Field::Quirks.admin_error(error))?;
        }
        // Deriving may take long. What is not to be changed is left to the store, since someone else may
        // have changed it meanwhile.
        let set = self.store.set_tenant(name, change, self.clock.now(), &by.author)?;
        set.ok_or_else(|| missing(name))
    }

    /// Deletes a tenant with everything in it, the provisioning log included.
    ///
    /// The log may be in a database of its own. When it cannot be cleared now, pruning clears it:
    /// it removes the records of tenants that no longer exist.
    ///
    /// # Errors
    ///
    /// [`Rule::Role`], [`Rule::Scopes`], [`Rule::Missing`], [`Rule::DefaultStays`].
    pub fn delete(&self, by: &Principal, name: &str) -> Result<(), AdminError> {
        by.may(Action::DeleteTenant)?;
        if name == Tenant::DEFAULT {
            return Err(Field::Tenant.breaks(Rule::DefaultStays));
        }
        let tenant = self.find(by, name)?;
        if !self.store.delete_tenant(name, self.clock.now(), &by.author)? {
            return Err(missing(name));
        }
        if let Err(error) = self.contents.forget(tenant.id) {
            tracing::warn!(
                tenant.id = tenant.id.key(),
                %error,
                "the provisioning log of a deleted tenant is not cleared yet; pruning repeats it"
            );
        }
        Ok(())
    }
}

fn missing(name: &str) -> AdminError {
    Field::Tenant.breaks(Rule::Missing(name.to_owned()))
}
