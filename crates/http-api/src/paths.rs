//! The base paths of the two APIs.

use headcount_core::schema::Registry;

/// The base path of SCIM.
pub const BASE_PATH: &str = "/scim/v2";
/// The base path of the admin API.
pub const ADMIN_PATH: &str = "/api/v1";

/// Endpoints that belong to no resource type (RFC 7644 §3.2).
const ENDPOINTS: [&str; 6] =
    ["ServiceProviderConfig", "ResourceTypes", "Schemas", "Me", "Bulk", ".search"];

/// Returns whether a path that has no route ends like one of SCIM, as when the base URL is entered without
/// its path, or with the path of another server: `/Users`, `/v2/Groups/7`, `/Users/.search`.
pub(crate) fn ends_like_scim(registry: &Registry, path: &str) -> bool {
    let last_two = path.rsplit('/').filter(|segment| !segment.is_empty()).take(2);
    let kinds = registry.kinds().iter().map(|kind| kind.endpoint.trim_start_matches('/'));
    let mut known = ENDPOINTS.into_iter().chain(kinds);
    let ends: Vec<&str> = last_two.collect();
    known.any(|known| ends.iter().any(|segment| known.eq_ignore_ascii_case(segment)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ux_1_a_path_ends_like_one_of_scim_by_its_last_two_segments() {
        let registry = Registry::builtin().unwrap();
        for path in
            ["/Users", "/v2/users", "/api/Users/7", "/Users/.search", "/a/Bulk", "/Schemas/x"]
        {
            assert!(ends_like_scim(&registry, path), "{path}");
        }
        for path in ["", "/", "/wp-login.php", "/Users/7/x", "/usersx", "/users.php"] {
            assert!(!ends_like_scim(&registry, path), "{path}");
        }
    }
}
