//! The base paths of the two APIs.

/// The base path of SCIM.
pub const BASE_PATH: &str = "/scim/v2";
/// The base path of the admin API.
pub const ADMIN_PATH: &str = "/api/v1";
