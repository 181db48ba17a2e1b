//! Where the APIs are.

/// The path under which everything of SCIM stands.
pub const BASE_PATH: &str = "/scim/v2";
/// The path under which the admin API stands.
pub const ADMIN_PATH: &str = "/api/v1";
