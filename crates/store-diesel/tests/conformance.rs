//! The store keeps the contract on both databases.

mod support;

use headcount_provider_conformance::provider_conformance;

#[cfg(feature = "sqlite")]
provider_conformance!(sqlite, support::sqlite());

#[cfg(feature = "postgres")]
provider_conformance!(postgres, support::postgres());
