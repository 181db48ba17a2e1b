//! Tenants: the units of isolation that tokens open.

use headcount_core::clock::Timestamp;
use headcount_core::ids::TenantId;
use headcount_core::quirks::Quirks;

use crate::store::StoreError;

/// A tenant as administrators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Its key.
    pub id: TenantId,
    /// Its name: lower-case letters, digits and hyphens.
    pub name: String,
    /// Whether its tokens work.
    pub enabled: bool,
    /// Its switches.
    pub quirks: Quirks,
    /// When it was created.
    pub created: Timestamp,
}

impl Tenant {
    /// The tenant that every installation has.
    pub const DEFAULT: &'static str = "default";

    /// Tells whether a text can name a tenant.
    pub fn is_name(text: &str) -> bool {
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        (1..=63).contains(&text.len())
            && text.chars().all(inner)
            && !text.starts_with('-')
            && !text.ends_with('-')
    }
}

/// Durable storage for tenants.
pub trait TenantStore: Send + Sync + 'static {
    /// Creates a tenant.
    ///
    /// # Errors
    ///
    /// [`StoreError::Taken`] for a name that exists.
    fn create_tenant(
        &self,
        name: &str,
        quirks: Quirks,
        at: Timestamp,
    ) -> Result<Tenant, StoreError>;

    /// Returns all tenants by name.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    fn tenants(&self) -> Result<Vec<Tenant>, StoreError>;

    /// Finds a tenant by its name.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    fn tenant(&self, name: &str) -> Result<Option<Tenant>, StoreError>;

    /// Changes switches and state of a tenant; false when there is none of this name.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    fn set_tenant(&self, name: &str, enabled: bool, quirks: Quirks) -> Result<bool, StoreError>;

    /// Removes a tenant with everything in it, its tokens included; false when there is none.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    fn delete_tenant(&self, name: &str) -> Result<bool, StoreError>;
}
