//! Replays recorded conversations of identity providers: one file per scenario, one JSON step per line.
//!
//! The form of a step is described in `tests/fixtures/idp/README.md`.

mod matching;
mod walk;

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::Path;
use std::sync::Mutex;

use flate2::read::GzDecoder;
use serde_json::{Map, Value};

use crate::http::{Client, Response};

pub(crate) use matching::{matches, pointer};

/// What a scenario came to.
#[derive(Debug, Default)]
pub struct Report {
    /// Steps that passed.
    pub passed: usize,
    /// What is wrong, one text per step that failed.
    pub failures: Vec<String>,
    /// The slowest step of those that had a time limit, as `milliseconds of limit`.
    pub slowest: Option<(u128, u64)>,
}

/// The variables of a scenario: saved ones, `rnd`, and `uuid_…` invented at first use.
#[derive(Debug, Clone, Default)]
pub(crate) struct Variables {
    values: HashMap<String, String>,
    known: HashSet<String>,
}

/// A step that cannot be taken since an earlier one failed.
struct Blocked(String);

impl Variables {
    /// Begins with some values.
    pub(crate) fn new(values: &[(&str, &str)]) -> Self {
        let mut variables = Self::default();
        for (name, value) in values {
            variables.set(name, value);
        }
        variables
    }

    /// Sets one.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.known.insert(name.to_owned());
        self.values.insert(name.to_owned(), value.to_owned());
    }

    /// Puts values in the place of their names.
    pub(crate) fn fill(&mut self, text: &str) -> Result<String, String> {
        self.substitute(text).map_err(|Blocked(name)| format!("{{{name}}} was never kept"))
    }

    /// Does so in all texts of a value.
    pub(crate) fn fill_all(&mut self, value: &Value) -> Result<Value, String> {
        self.deep(value).map_err(|Blocked(name)| format!("{{{name}}} was never kept"))
    }

    fn substitute(&mut self, text: &str) -> Result<String, Blocked> {
        let mut out = String::new();
        let mut rest = text;
        while let Some(start) = rest.find('{') {
            out.push_str(rest.get(..start).unwrap_or_default());
            let tail = rest.get(start..).unwrap_or_default();
            let Some((inside, behind)) = tail.get(1..).and_then(|tail| tail.split_once('}')) else {
                break;
            };
            let mut parts = inside.split('|');
            let name = parts.next().unwrap_or_default();
            let is_name = !name.is_empty()
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
                && !name.starts_with(|c: char| c.is_ascii_digit());
            match self.value(name).filter(|_| is_name) {
                Some(value) => {
                    out.push_str(&parts.fold(value, |value, filter| filtered(&value, filter)));
                    rest = behind;
                }
                None if is_name && self.known.contains(name) => {
                    return Err(Blocked(name.to_owned()));
                }
                // Not ours: a literal brace stays.
                None => {
                    out.push('{');
                    rest = tail.get(1..).unwrap_or_default();
                }
            }
        }
        out.push_str(rest);
        Ok(out)
    }

    fn value(&mut self, name: &str) -> Option<String> {
        if let Some(value) = self.values.get(name) {
            return Some(value.clone());
        }
        let invented = name.starts_with("uuid_").then(|| random_uuid(name))?;
        self.values.insert(name.to_owned(), invented.clone());
        Some(invented)
    }

    fn deep(&mut self, value: &Value) -> Result<Value, Blocked> {
        Ok(match value {
            Value::String(text) => Value::String(self.substitute(text)?),
            Value::Array(values) => {
                values.iter().map(|value| self.deep(value)).collect::<Result<_, _>>()?
            }
            Value::Object(map) => {
                let mut out = Map::new();
                for (name, value) in map {
                    out.insert(self.substitute(name)?, self.deep(value)?);
                }
                Value::Object(out)
            }
            other => other.clone(),
        })
    }
}

fn filtered(value: &str, filter: &str) -> String {
    match filter {
        "q" => percent(value, false),
        "qp" => percent(value, true),
        "upper" => value.to_uppercase(),
        "lower" => value.to_lowercase(),
        other => panic!("there is no filter |{other}"),
    }
}

fn percent(text: &str, plus: bool) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b'-' | b'~' => {
                out.push(char::from(byte));
            }
            b' ' if plus => out.push('+'),
            other => drop(write!(out, "%{other:02X}")),
        }
    }
    out
}

/// Something that was not there before: names must not clash between runs.
fn unique() -> u128 {
    use std::hash::{BuildHasher, Hasher};
    let random =
        || u128::from(std::collections::hash_map::RandomState::new().build_hasher().finish());
    random() << 64 | random()
}

fn random_uuid(_name: &str) -> String {
    let hex = format!("{:032x}", unique());
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    format!("{}-{}-4{}-a{}-{}", part(0, 8), part(8, 12), part(13, 16), part(17, 20), part(20, 32))
}

/// Runs one scenario file.
pub fn run(client: &Client, file: &Path) -> Report {
    let text =
        std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let steps: Vec<Value> = text
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
        .map(|line| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
        })
        .collect();
    let rnd = format!("{:010x}", unique() & 0xff_ffff_ffff);
    let values =
        HashMap::from([("rnd".to_owned(), rnd), ("base_path".to_owned(), client.base.clone())]);
    let mut scenario = Scenario {
        client,
        variables: Variables { values, known: saved_names(&steps) },
        report: Report::default(),
    };
    for (index, step) in steps.iter().enumerate() {
        scenario.step(index + 1, step);
    }
    scenario.report
}

/// The names that some step saves.
fn saved_names(steps: &[Value]) -> HashSet<String> {
    let mut known = HashSet::new();
    for step in steps {
        let repeat = step["repeat"].as_u64().unwrap_or(1);
        for name in step["save"].as_object().into_iter().flat_map(|save| save.keys()) {
            if name.contains("{i}") {
                known.extend((0..repeat).map(|i| name.replace("{i}", &i.to_string())));
            } else {
                known.insert(name.clone());
            }
        }
    }
    known
}

struct Scenario<'a> {
    client: &'a Client,
    variables: Variables,
    report: Report,
}

impl Scenario<'_> {
    fn step(&mut self, number: usize, step: &Value) {
        let done = if step.get("walk").is_some() {
            self.walk(step)
        } else if step.get("repeat").is_some() {
            self.repeat(step)
        } else {
            let mut variables = self.variables.clone();
            let done = once(self.client, step, &mut variables);
            self.variables = variables;
            done.map(|(reasons, response)| {
                self.note_time(step, &response);
                reasons
            })
        };
        let cleanup = step["cleanup"].as_bool() == Some(true);
        let reasons = match done {
            Ok(reasons) => reasons,
            // Nothing was made, so that there is nothing to remove.
            Err(Blocked(_)) if cleanup => return,
            Err(Blocked(name)) => {
                vec![format!("{{{name}}} was never saved: an earlier step failed")]
            }
        };
        if reasons.is_empty() {
            self.report.passed += 1;
        } else {
            let what = step["step"].as_str().unwrap_or_default();
            self.report.failures.push(format!("step {number}, {what}: {}", reasons.join("; ")));
        }
    }

    fn note_time(&mut self, step: &Value, response: &Response) {
        let Some(limit) = step["expect"]["max_ms"].as_u64() else {
            return;
        };
        let took = response.elapsed.as_millis();
        if self.report.slowest.is_none_or(|(slowest, _)| took > slowest) {
            self.report.slowest = Some((took, limit));
        }
    }

    fn repeat(&mut self, step: &Value) -> Result<Vec<String>, Blocked> {
        let times = step["repeat"].as_u64().unwrap_or(1);
        let width = step["parallel"].as_u64().unwrap_or(1).clamp(1, 64);
        let template = step.to_string();
        let next = Mutex::new(0..times);
        let results = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..width {
                scope.spawn(|| {
                    while let Some(index) = { next.lock().expect("no worker panics").next() } {
                        let step =
                            serde_json::from_str(&template.replace("{i}", &index.to_string()))
                                .expect("it was JSON");
                        let mut variables = self.variables.clone();
                        let done = once(self.client, &step, &mut variables);
                        results.lock().expect("no worker panics").push((index, done, variables));
                    }
                });
            }
        });
        let mut reasons = Vec::new();
        for (index, done, variables) in results.into_inner().expect("no worker panics") {
            match done {
                Ok((why, response)) => {
                    self.note_time(step, &response);
                    reasons.extend(why.into_iter().map(|why| format!("#{index}: {why}")));
                }
                Err(Blocked(_)) if step["cleanup"].as_bool() == Some(true) => {}
                Err(blocked) => return Err(blocked),
            }
            for (name, value) in variables.values {
                self.variables.values.entry(name).or_insert(value);
            }
        }
        Ok(reasons)
    }
}

/// Sends one step and judges its answer.
fn once(
    client: &Client,
    step: &Value,
    variables: &mut Variables,
) -> Result<(Vec<String>, Response), Blocked> {
    let path = variables.substitute(step["path"].as_str().unwrap_or_default())?;
    let response = send(client, step, &path, variables)?;
    let reasons = judge(step, &path, &response, variables)?;
    if response.status < 400 {
        save(step, &response, variables)?;
    }
    Ok((reasons, response))
}

fn send(
    client: &Client,
    step: &Value,
    path: &str,
    variables: &mut Variables,
) -> Result<Response, Blocked> {
    let method = step["method"].as_str().unwrap_or("GET");
    let body = match (step.get("raw_body"), step.get("body")) {
        (Some(raw), _) => {
            Some(variables.substitute(raw.as_str().unwrap_or_default())?.into_bytes())
        }
        (None, Some(body)) => Some(variables.deep(body)?.to_string().into_bytes()),
        (None, None) => None,
    };
    let mut client = client.clone();
    let mut headers: Vec<(String, String)> = Vec::new();
    for (name, value) in step["headers"].as_object().into_iter().flatten() {
        let value = match value {
            Value::Null => "-".to_owned(),
            value => variables.substitute(value.as_str().unwrap_or_default())?,
        };
        if name.eq_ignore_ascii_case("authorization") {
            client.token = None;
            if value == "-" {
                continue;
            }
        }
        headers.push((name.clone(), value));
    }
    let headers: Vec<(&str, &str)> =
        headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    Ok(decompressed(client.raw(method, path, &headers, body.as_deref())))
}

/// A recorded client that accepts gzip gets it, and reads what is inside.
fn decompressed(mut response: Response) -> Response {
    if response.header("content-encoding") == Some("gzip") {
        let mut plain = Vec::new();
        // What cannot be read stays as it came, and fails as a body that is no JSON.
        if GzDecoder::new(response.body.as_slice()).read_to_end(&mut plain).is_ok() {
            response.body = plain;
        }
    }
    response
}

fn judge(
    step: &Value,
    path: &str,
    response: &Response,
    variables: &mut Variables,
) -> Result<Vec<String>, Blocked> {
    let expect = &step["expect"];
    let wanted = expect["status"].as_array();
    if let Some(wanted) = wanted
        .filter(|wanted| !wanted.iter().any(|code| code.as_u64() == Some(response.status.into())))
    {
        let wanted: Vec<_> = wanted.iter().map(ToString::to_string).collect();
        return Ok(vec![format!(
            "status {}, wanted {} ({})",
            response.status,
            wanted.join("/"),
            response.text()
        )]);
    }
    let mut reasons = Vec::new();
    for (name, wanted) in expect["headers"].as_object().into_iter().flatten() {
        let actual = response.header(&name.to_lowercase()).map(Value::from);
        let wanted = variables.deep(wanted)?;
        reasons
            .extend(matches(actual.as_ref(), &wanted).map(|why| format!("header {name}: {why}")));
    }
    if response.status != 204 {
        let body = serde_json::from_slice(&response.body).ok();
        for (at, wanted) in expect["body"].as_object().into_iter().flatten() {
            let (at, wanted) = (variables.substitute(at)?, variables.deep(wanted)?);
            let actual = body.as_ref().and_then(|body| pointer(body, &at));
            reasons.extend(matches(actual, &wanted).map(|why| format!("{at}: {why}")));
        }
    }
    if step["invariants"].as_bool() != Some(false) {
        reasons.extend(invariants(step, path, response));
    }
    Ok(reasons)
}

fn save(step: &Value, response: &Response, variables: &mut Variables) -> Result<(), Blocked> {
    let body = response.json();
    for (name, from) in step["save"].as_object().into_iter().flatten() {
        let from = from.as_str().unwrap_or_default();
        let value = match from.strip_prefix("header:") {
            Some(header) => response.header(&header.to_lowercase()).map(Value::from),
            None => pointer(&body, from).cloned(),
        };
        if let Some(value) = value.filter(|value| !value.is_null()) {
            let name = variables.substitute(name)?;
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            variables.values.insert(name, text);
        }
    }
    Ok(())
}

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
        let media = response
            .header("content-type")
            .unwrap_or_default()
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_lowercase();
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
    let resources: Vec<&Value> = if says(LIST) {
        // A walk by cursor has no positions (RFC 9865).
        let by_cursor = step["cursor"] == true || path.contains("cursor");
        for name in ["totalResults", "startIndex", "itemsPerPage"] {
            if !(body[name].is_u64() || by_cursor && name == "startIndex") {
                bad.push(format!("{name} is no whole number"));
            }
        }
        match body["Resources"].as_array() {
            Some(resources) => resources.iter().take(50).collect(),
            None => {
                bad.push("a list without Resources".to_owned());
                Vec::new()
            }
        }
    } else if method == "GET" && !one {
        bad.push("a collection answered something else than a list".to_owned());
        Vec::new()
    } else {
        vec![&body]
    };
    for resource in resources {
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

/// Tells whether a path is about one resource, about a collection, or about neither.
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
