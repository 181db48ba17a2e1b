//! Tenants: the units of isolation that tokens open.

use headcount_core::change::{Act, Activation, Author, Change};
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

    /// Returns whether a text can name a tenant.
    pub fn is_name(text: &str) -> bool {
        (1..=63).contains(&text.len())
            && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
            && !text.starts_with('-')
            && !text.ends_with('-')
    }

    /// Returns this tenant as a change makes it.
    #[must_use]
    pub fn with(&self, change: TenantChange) -> Self {
        Self {
            enabled: change.enabled.unwrap_or(self.enabled),
            quirks: change.quirks.unwrap_or(self.quirks),
            ..self.clone()
        }
    }

    /// Returns the record of giving this tenant the settings of `changed`, none when they are its own.
    pub fn change(&self, changed: &Self, at: Timestamp, by: &Author) -> Option<Change> {
        let (enabled, quirks) = (changed.enabled, changed.quirks);
        let differs = [("enabled", self.enabled != enabled), ("quirks", self.quirks != quirks)];
        let paths: Vec<&str> =
            differs.iter().filter(|(_, differs)| *differs).map(|(path, _)| *path).collect();
        if paths.is_empty() {
            return None;
        }
        let switched = if enabled { Activation::On } else { Activation::Off };
        Some(Change {
            switched: (self.enabled != enabled).then_some(switched),
            ..Change::of(Act::Changed, &self.name, &paths, at, by)
        })
    }
}

/// What to change about a tenant; `None` keeps what it has.
#[derive(Debug, Clone, Copy, Default)]
pub struct TenantChange {
    /// Whether its tokens work.
    pub enabled: Option<bool>,
    /// Its quirks.
    pub quirks: Option<Quirks>,
}

/// Durable storage for tenants.
///
/// Every method is atomic, and what is done to a tenant is recorded with it as a change of this tenant
/// (AUD-01).
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
        by: &Author,
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

    /// Changes quirks and state of a tenant and returns it as it is then; `None` when there is none of
    /// this name. What the change leaves out keeps the value that it has at the time of the write, and
    /// what stays as it is leaves no record.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    fn set_tenant(
        &self,
        name: &str,
        change: TenantChange,
        at: Timestamp,
        by: &Author,
    ) -> Result<Option<Tenant>, StoreError>;

    /// Removes a tenant with everything in it, its tokens included; false when there is none. The
    /// record of its changes stays and ends with this one.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    fn delete_tenant(&self, name: &str, at: Timestamp, by: &Author) -> Result<bool, StoreError>;
}
