//! Plays a case against a server and reports every difference.

use serde_json::{Map, Value, json};

use super::{Case, Exchange, Stage, bulk};
use crate::http::Response;
use crate::replay::{Variables, invariants, matches, pointer};

const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

/// Plays a case; the error names the exchange that failed and why.
///
/// # Errors
///
/// What was not as expected.
pub fn run(case: &Case, stage: &Stage) -> Result<(), String> {
    let mut variables = Variables::new(&[
        ("base", &format!("http://{}{}", stage.client.address, stage.client.base)),
        ("base_path", &stage.client.base),
        ("host", &stage.client.address.to_string()),
        ("token", stage.client.token.as_deref().unwrap_or_default()),
    ]);
    for (name, token) in &stage.tokens {
        variables.set(name, token);
    }
    for exchange in &case.exchanges {
        let failed = |why: String| {
            let file = case.place.split(':').next().unwrap_or_default();
            let request = format!("{} {}", exchange.method, exchange.target);
            format!("{file}:{}: {request}\n  {why}", exchange.line)
        };
        let response = send(exchange, stage, &mut variables).map_err(failed)?;
        judge(exchange, &response, &mut variables).map_err(|why| {
            failed(format!("{why}\n  answer: {} {}", response.status, response.text()))
        })?;
    }
    Ok(())
}

fn send(exchange: &Exchange, stage: &Stage, variables: &mut Variables) -> Result<Response, String> {
    let target = encode(&variables.fill(&exchange.target)?);
    let body = body(exchange, variables)?;
    let mut client = stage.client.clone();
    let mut headers = Vec::new();
    for (name, value) in &exchange.headers {
        let value = variables.fill(value)?;
        if name.eq_ignore_ascii_case("authorization") {
            client.token = None;
            if value == "-" {
                continue;
            }
        }
        headers.push((name.as_str(), value));
    }
    // A target with a scheme or a leading dot is relative to the host, not to the base.
    let target = match target.strip_prefix('^') {
        Some(absolute) => {
            client.base = String::new();
            absolute.to_owned()
        }
        None => target,
    };
    let headers: Vec<(&str, &str)> =
        headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    if stage.in_bulk {
        let operation =
            bulk::send(exchange, &client, &stage.client, &target, &headers, body.as_deref());
        if let Some(answer) = operation {
            return answer;
        }
    }
    client
        .try_raw(&exchange.method, &target, &headers, body.as_deref())
        .map_err(|error| format!("no answer: {error}"))
}

/// Encodes characters that a request line cannot have; `%` and `+` are the author's own.
fn encode(target: &str) -> String {
    let mut out = String::new();
    for byte in target.bytes() {
        match byte {
            b' ' | b'"' | b'[' | b']' | b'<' | b'>' | b'{' | b'}' | b'|' | b'\\' | b'^' | b'`'
                if !(byte == b'^' && out.is_empty()) =>
            {
                out.push_str(&format!("%{byte:02X}"));
            }
            0x21..=0x7e => out.push(char::from(byte)),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

/// Makes the body: raw, as JSON with its `schemas` put in, or as PATCH operations.
fn body(exchange: &Exchange, variables: &mut Variables) -> Result<Option<Vec<u8>>, String> {
    let text = exchange.body.trim();
    if text.is_empty() {
        return Ok(None);
    }
    if let Some(raw) = text.strip_prefix("raw ") {
        return Ok(Some(variables.fill(raw)?.into_bytes()));
    }
    if let Some(hex) = text.strip_prefix("hex ") {
        let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        let byte = |pair: &[u8]| u8::from_str_radix(&String::from_utf8_lossy(pair), 16).ok();
        return Ok(Some(digits.chunks(2).filter_map(byte).collect()));
    }
    let is_operation = |line: &str| {
        let parsed: Result<Value, _> = serde_json::from_str(line.trim());
        parsed.is_ok_and(|value| value.get("op").is_some())
    };
    let operations = exchange.method == "PATCH" && text.lines().next().is_some_and(is_operation);
    let value = if text.starts_with('{') && !operations {
        let parsed: Value =
            serde_json::from_str(text).map_err(|error| format!("the case's JSON: {error}"))?;
        with_schemas(exchange, variables.fill_all(&parsed)?)
    } else {
        let operations = text.lines().map(|line| operation(line.trim()));
        let operations = Value::Array(operations.collect::<Result<_, _>>()?);
        json!({"schemas": [PATCH], "Operations": variables.fill_all(&operations)?})
    };
    Ok(Some(value.to_string().into_bytes()))
}

/// Puts the URN of the endpoint into a body that names none.
fn with_schemas(exchange: &Exchange, body: Value) -> Value {
    let Value::Object(map) = body else { return body };
    let path = exchange.target.split('?').next().unwrap_or_default();
    let endpoint = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    let urn = match (exchange.method.as_str(), endpoint) {
        _ if path.ends_with("/.search") => "urn:ietf:params:scim:api:messages:2.0:SearchRequest",
        (_, "Bulk") => "urn:ietf:params:scim:api:messages:2.0:BulkRequest",
        ("PATCH", _) => PATCH,
        (_, "Users" | "Me") => "urn:ietf:params:scim:schemas:core:2.0:User",
        (_, "Groups") => "urn:ietf:params:scim:schemas:core:2.0:Group",
        (_, "Devices") => "urn:ietf:params:scim:schemas:core:2.0:Device",
        _ => return Value::Object(map),
    };
    if map.keys().any(|name| name.eq_ignore_ascii_case("schemas")) {
        return Value::Object(map);
    }
    let mut out = Map::new();
    out.insert("schemas".to_owned(), json!([urn]));
    out.extend(map);
    Value::Object(out)
}

/// Reads an operation of PATCH: `replace title "x"`, `remove members[value eq "1"]`, `add {"a": 1}`.
fn operation(line: &str) -> Result<Value, String> {
    if line.starts_with('{') {
        return serde_json::from_str(line).map_err(|error| format!("{line}: {error}"));
    }
    let (op, rest) = line.split_once(' ').unwrap_or((line, ""));
    let mut operation = Map::new();
    operation.insert("op".to_owned(), op.into());
    let rest = rest.trim();
    let value = |text: &str| -> Result<Value, String> {
        serde_json::from_str(text).map_err(|error| format!("{line}: {error}"))
    };
    if rest.starts_with(['{', '[', '"']) {
        operation.insert("value".to_owned(), value(rest)?);
        return Ok(Value::Object(operation));
    }
    let (mut depth, mut quoted) = (0_usize, false);
    let end = rest.char_indices().find(|(_, c)| {
        match c {
            '"' => quoted = !quoted,
            '[' if !quoted => depth += 1,
            ']' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        *c == ' ' && depth == 0 && !quoted
    });
    let (path, text) = match end {
        Some((at, _)) => rest.split_at(at),
        None => (rest, ""),
    };
    if !path.is_empty() {
        operation.insert("path".to_owned(), path.into());
    }
    if !text.trim().is_empty() {
        operation.insert("value".to_owned(), value(text.trim())?);
    }
    Ok(Value::Object(operation))
}

fn judge(
    exchange: &Exchange,
    response: &Response,
    variables: &mut Variables,
) -> Result<(), String> {
    if !exchange.status.contains(&response.status) {
        return Err(format!("status {}, wanted {:?}", response.status, exchange.status));
    }
    let body = response.json();
    if response.status >= 400 && exchange.method != "HEAD" {
        let wanted = exchange.scim_type.as_deref();
        if body["scimType"].as_str() != wanted {
            return Err(format!("scimType {}, wanted {wanted:?}", body["scimType"]));
        }
    }
    for (name, from) in &exchange.saves {
        let value = match from.strip_prefix("header:") {
            Some(header) => response.header(&header.to_lowercase()).map(Value::from),
            None => pointer(&body, from).cloned(),
        };
        let value = value.ok_or_else(|| format!("there is nothing at {from} to keep"))?;
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        variables.set(name, &text);
    }
    for (at, wanted) in &exchange.checks {
        let (actual, wanted) = if at.starts_with('/') {
            let at = variables.fill(at)?;
            let at = if at == "/" { String::new() } else { at };
            (pointer(&body, &at).cloned(), variables.fill_all(&wanted_value(wanted))?)
        } else {
            let actual = response.header(&at.to_lowercase()).map(Value::from);
            (actual, variables.fill_all(&plain(wanted))?)
        };
        if let Some(why) = matches(actual.as_ref(), &wanted) {
            return Err(format!("{at}: {why}"));
        }
    }
    let trimmed = exchange.body.contains("ttributes\"");
    let step = json!({"method": exchange.method, "trimmed": trimmed, "cursor": exchange.body.contains("\"cursor\"")});
    let mut bad = invariants(&step, &exchange.target, response);
    bad.extend(empties(&body, ""));
    if bad.is_empty() { Ok(()) } else { Err(bad.join("; ")) }
}

/// A JSON value, a matcher, or `absent`.
fn wanted_value(text: &str) -> Value {
    match text {
        "absent" => "<absent>".into(),
        "present" => "<present>".into(),
        text if text.starts_with('<') => text.into(),
        text => serde_json::from_str(text).unwrap_or_else(|_| text.into()),
    }
}

fn plain(text: &str) -> Value {
    match text {
        "absent" => "<absent>".into(),
        "present" => "<present>".into(),
        text => text.into(),
    }
}

/// RES-027: what is not assigned is not shown; `members` of an empty group are the exception.
fn empties(value: &Value, at: &str) -> Vec<String> {
    match value {
        Value::Null if !at.is_empty() => vec![format!("{at} is null")],
        Value::Array(values) if values.is_empty() => {
            let shown = ["/members", "/Resources", "/Operations", "/schemaExtensions"];
            if shown.iter().any(|known| at.ends_with(known)) {
                Vec::new()
            } else {
                vec![format!("{at} is an empty array")]
            }
        }
        Value::Array(values) => values
            .iter()
            .enumerate()
            .flat_map(|(index, value)| empties(value, &format!("{at}/{index}")))
            .collect(),
        Value::Object(map) => {
            map.iter().flat_map(|(name, value)| empties(value, &format!("{at}/{name}"))).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_read() {
        assert_eq!(
            operation("replace emails[type eq \"a b\"].value \"x y\"").unwrap(),
            json!({"op": "replace", "path": "emails[type eq \"a b\"].value", "value": "x y"})
        );
        assert_eq!(operation("remove title").unwrap(), json!({"op": "remove", "path": "title"}));
        assert_eq!(operation("add {\"a\": 1}").unwrap(), json!({"op": "add", "value": {"a": 1}}));
        assert_eq!(
            encode("/Users?filter=a eq \"ü\"&x=+%41"),
            "/Users?filter=a%20eq%20%22%C3%BC%22&x=+%41"
        );
    }

    #[test]
    fn what_is_empty_is_found() {
        let body = json!({"a": null, "members": [], "b": {"c": []}});
        assert_eq!(empties(&body, ""), ["/a is null", "/b/c is an empty array"]);
    }
}
