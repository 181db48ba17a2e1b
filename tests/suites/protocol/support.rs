//! What every refusal has in common.

use headcount_e2e::Response;
use serde_json::json;

/// Checks that an answer is a SCIM error of the given kind with a detail for people.
pub(crate) fn refused(response: &Response, status: u16, scim_type: Option<&str>, what: &str) {
    let body = response.json();
    assert_eq!(response.status, status, "{what}: {}", response.text());
    assert_eq!(response.header("content-type"), Some("application/scim+json"), "{what}");
    assert_eq!(body["schemas"], json!(["urn:ietf:params:scim:api:messages:2.0:Error"]), "{what}");
    assert_eq!(body["status"], status.to_string(), "{what}");
    assert_eq!(body["scimType"].as_str(), scim_type, "{what}: {body}");
    assert!(body["detail"].as_str().is_some_and(|detail| detail.len() > 10), "{what}: {body}");
}
