//! What every identity provider relies on, whatever a step is about.

use serde_json::Value;

use crate::http::Response;

const LIST: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";
const ERROR: &str = "urn:ietf:params:scim:api:messages:2.0:Error";

/// What every identity provider relies on, whatever a step is about.
pub(crate) fn invariants(step: &Value, path: &str, response: &Response) -> Vec<String> {
    let method = step["method"].as_str().unwrap_or_default();
    let mut bad = Vec::new();
    if (300..400).contains(&response.status) && response.status != 304 {
        bad.push(format!("a redirect {}, which identity providers do not follow", response.status));
    }
    if matches!(response.status, 204 | 304) || method == "HEAD" {
        if !response.body.is_empty() {
            bad.push("a body where there must be none".to_owned());
        }
        return bad;
    }
    if !response.body.is_empty() {
        let media = response.header("content-type").unwrap_or_default().to_lowercase();
        let media = media.split(';').next().unwrap_or_default().trim();
        if media != "application/scim+json" {
            bad.push(format!("Content-Type is {media}"));
        }
        if serde_json::from_slice::<Value>(&response.body).is_err() {
            bad.push("the body is not JSON".to_owned());
            return bad;
        }
    }
    let body = response.json();
    let says = |urn: &str| {
        body["schemas"].as_array().is_some_and(|urns| urns.iter().any(|known| known == urn))
    };
    if response.status >= 400 {
        if !says(ERROR) {
            bad.push("the error lacks the SCIM Error schema".to_owned());
        } else if body["status"] != response.status.to_string().as_str() {
            bad.push(format!(
                "the error's status is {}, not the text \"{}\"",
                body["status"], response.status
            ));
        }
        if body["detail"].as_str().is_none_or(str::is_empty) {
            bad.push("the error has no detail".to_owned());
        }
        return bad;
    }
    let Some(one) = about_one(path) else {
        return bad;
    };
    let trimmed = step["trimmed"] == true
        || path.split_once('?').is_some_and(|(_, query)| {
            query.replace("excludedAttributes=", "").contains("attributes=")
        });
    let resources = if says(LIST) {
        // A walk by cursor has no positions (RFC 9865).
        let by_cursor = step["cursor"] == true || path.contains("cursor");
        check_list(&body, by_cursor, &mut bad);
        body["Resources"].as_array().map(Vec::as_slice).unwrap_or_default()
    } else if method == "GET" && !one {
        bad.push("a collection answered something else than a list".to_owned());
        &[]
    } else {
        std::slice::from_ref(&body)
    };
    for resource in resources.iter().take(50) {
        if resource["id"].as_str().is_none_or(str::is_empty) {
            bad.push("a resource without id".to_owned());
        }
        let complete = resource["schemas"].as_array().is_some_and(|schemas| !schemas.is_empty())
            && resource.pointer("/meta/resourceType").is_some()
            && resource.pointer("/meta/location").is_some();
        if !trimmed && !complete {
            bad.push("a resource without schemas, meta.resourceType or meta.location".to_owned());
        }
    }
    if response.status == 201 && response.header("location").is_none() {
        bad.push("201 without Location".to_owned());
    }
    bad
}

/// Checks what is around the resources of a list.
fn check_list(list: &Value, by_cursor: bool, bad: &mut Vec<String>) {
    for name in ["totalResults", "startIndex", "itemsPerPage"] {
        if !(list[name].is_u64() || by_cursor && name == "startIndex") {
            bad.push(format!("{name} is no whole number"));
        }
    }
    if !list["Resources"].is_array() {
        bad.push("a list without Resources".to_owned());
    }
}

/// Returns whether a path is about one resource or about a collection; `None` for neither.
fn about_one(path: &str) -> Option<bool> {
    let path = path.split('?').next().unwrap_or_default();
    let mut parts = path.split('/').filter(|part| !part.is_empty());
    let collection = parts.next()?;
    if !matches!(collection, "Users" | "Groups") {
        return None;
    }
    let one = parts.next().is_some();
    parts.next().is_none().then_some(one)
}
