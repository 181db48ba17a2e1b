//! The same requests as operations of bulk requests (BLK-028): what is written one by one must be
//! judged, carried out and answered alike.

use serde_json::{Map, json};

use super::{Case, Exchange};
use crate::http::{Client, Response};

const BULK: &str = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";

/// Groups of the checklist that speak of writing resources, whichever way they are written.
const GROUPS: [&str; 12] =
    ["CHR", "CRE", "DEL", "ENT", "ETG", "EXT", "GRP", "I18", "PAT", "PUT", "RES", "USR"];

/// Returns whether the case can be played as bulk requests as well.
pub fn can_be_bulk(case: &Case) -> bool {
    let of = |groups: &[&str]| {
        case.ids.iter().any(|id| groups.iter().any(|group| id.starts_with(group)))
    };
    // What a reply shows is chosen by a request of its own (PRJ), not by an operation.
    let about_writes = of(&GROUPS) && !of(&["PRJ"]);
    let path = |exchange: &Exchange| exchange.target.replace(['{', '}'], "");
    !case.directly
        && about_writes
        && case
            .exchanges
            .iter()
            .any(|exchange| wraps(exchange) && is_resource(&exchange.method, &path(exchange)))
}

/// Returns whether the headers and the body of an exchange can be those of an operation.
fn wraps(exchange: &Exchange) -> bool {
    let body = exchange.body.trim();
    let written = body.starts_with("raw ") || body.starts_with("hex ");
    let known = ["Authorization", "If-Match"];
    let headers = exchange.headers.iter().all(|(name, _)| known.contains(&name.as_str()));
    headers && !written && (exchange.method == "DELETE" || !body.is_empty())
}

/// Returns whether a target is an endpoint for POST, or a resource for the other writes.
fn is_resource(method: &str, target: &str) -> bool {
    let own = ["Me", "Bulk", ".search", "Schemas", "ResourceTypes", "ServiceProviderConfig"];
    let mut parts = target.split('/');
    let (root, endpoint, id) = (parts.next(), parts.next(), parts.next());
    let named = endpoint.is_some_and(|name| !name.is_empty() && !own.contains(&name));
    let plain =
        root == Some("") && parts.next().is_none() && !target.contains(['?', '#', '%', '\\']);
    let fits = match method {
        "POST" => id.is_none(),
        "PUT" | "PATCH" | "DELETE" => id.is_some_and(|id| !id.is_empty() && id != ".search"),
        _ => false,
    };
    plain && named && fits
}

/// Sends an exchange as the one operation of a bulk request and returns the answer that the request
/// itself would have had; `None` when it cannot be an operation.
pub(super) fn send(
    exchange: &Exchange,
    client: &Client,
    reader: &Client,
    target: &str,
    headers: &[(&str, &str)],
    body: Option<&[u8]>,
) -> Option<Result<Response, String>> {
    if !wraps(exchange) || !is_resource(&exchange.method, target) {
        return None;
    }
    let mut operation = Map::new();
    operation.insert("method".to_owned(), exchange.method.as_str().into());
    operation.insert("path".to_owned(), target.into());
    if exchange.method == "POST" {
        operation.insert("bulkId".to_owned(), "it".into());
    }
    if let Some(body) = body {
        operation.insert("data".to_owned(), serde_json::from_slice(body).ok()?);
    }
    let mut others = Vec::new();
    for (name, value) in headers {
        if name.eq_ignore_ascii_case("if-match") {
            operation.insert("version".to_owned(), (*value).into());
        } else {
            others.push((*name, *value));
        }
    }
    let request = json!({"schemas": [BULK], "Operations": [operation]}).to_string();
    let answer = client.try_raw("POST", "/Bulk", &others, Some(request.as_bytes()));
    Some(answer.map_err(|error| format!("no answer: {error}")).and_then(|answer| {
        if answer.status == 200 {
            unwrapped(exchange, (client, &others), reader, answer)
        } else {
            Ok(answer)
        }
    }))
}

/// Makes the result of the operation the answer to the request.
fn unwrapped(
    exchange: &Exchange,
    (writer, authorization): (&Client, &[(&str, &str)]),
    reader: &Client,
    answer: Response,
) -> Result<Response, String> {
    let text = answer.text();
    let result = answer.json()["Operations"][0].clone();
    let said = |name: &str| result[name].as_str().map(str::to_owned);
    let status = said("status").and_then(|status| status.parse::<u16>().ok());
    let status = status.ok_or_else(|| format!("a result without a status: {text}"))?;
    let mut headers: Vec<(String, String)> =
        answer.headers.into_iter().filter(|(name, _)| name != "content-length").collect();
    if status >= 400 {
        let body = result["response"].to_string().into_bytes();
        return Ok(Response { status, headers, body, elapsed: answer.elapsed });
    }
    let location = said("location").ok_or_else(|| format!("a success without location: {text}"))?;
    if status != 204 {
        headers.push(("location".to_owned(), location.clone()));
        headers.extend(said("version").map(|version| ("etag".to_owned(), version)));
    }
    // A bulk request never answers with the resource; a PATCH by itself may.
    let silent = exchange.method == "PATCH" && exchange.status == [204];
    if status == 204 || silent {
        return Ok(Response { status: 204, headers, body: Vec::new(), elapsed: answer.elapsed });
    }
    let path = location.split_once(&reader.base).map(|(_, path)| path);
    let path = path.ok_or_else(|| format!("a location outside of the base: {location}"))?;
    // The writer reads, unless it may only write.
    let read = |client: &Client, headers: &[(&str, &str)]| {
        client.try_raw("GET", path, headers, None).map_err(|error| error.to_string())
    };
    let mut read_back = read(writer, authorization)?;
    if read_back.status == 403 {
        read_back = read(reader, &[])?;
    }
    let read = read_back;
    if read.header("etag") != said("version").as_deref() {
        return Err(format!("the version is not the resource's: {text}"));
    }
    Ok(Response { status, headers, body: read.body, elapsed: answer.elapsed })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::parse;

    #[test]
    fn writes_on_resources_can_be_operations_and_nothing_else() {
        let bulk = |id: &str, request: &str| {
            can_be_bulk(&parse("f", &format!("== {id}  t\n> {request}\n< 200\n"))[0])
        };
        assert!(bulk("PAT-001", "PATCH /Users/{id}\nreplace title \"x\""));
        assert!(bulk("CRE-001", "POST /Users\n{\"userName\": \"a\"}"));
        assert!(bulk("DEL-001", "DELETE /Users/{id}\nIf-Match: W/\"1\""));
        for (id, request) in [
            ("FLT-001", "POST /Users\n{\"userName\": \"a\"}"),
            ("CRE-001", "POST /Users\nraw {"),
            ("CRE-001", "POST /Users\n"),
            ("CRE-001", "POST /Users?attributes=id\n{\"userName\": \"a\"}"),
            ("CRE-001", "POST /Users/.search\n{\"filter\": \"a\"}"),
            ("CRE-001", "GET /Users"),
            ("CRE-001", "PUT /Users\n{\"userName\": \"a\"}"),
            ("DEL-001", "DELETE /Users/{id}\nIf-None-Match: *"),
        ] {
            assert!(!bulk(id, request), "{request}");
        }
    }
}
