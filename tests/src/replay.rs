//! Replays recorded conversations of identity providers: one file per scenario, one JSON step per line.
//!
//! The form of a step is described in `tests/fixtures/idp/README.md`.

mod invariants;
mod matching;
mod variables;
mod walk;

use std::collections::{HashMap, HashSet};
use std::io::Read as _;
use std::path::Path;
use std::sync::Mutex;

use flate2::read::GzDecoder;
use serde_json::Value;

use crate::http::{Client, Response};

use variables::{Blocked, unique};

pub(crate) use invariants::invariants;
pub(crate) use matching::{matches, pointer};
pub(crate) use variables::Variables;

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
        let judged = if step.get("walk").is_some() {
            self.walk(step)
        } else if step.get("repeat").is_some() {
            self.repeat(step)
        } else {
            let mut variables = self.variables.clone();
            let judged = once(self.client, step, &mut variables);
            self.variables = variables;
            judged.map(|(reasons, response)| {
                self.note_time(step, &response);
                reasons
            })
        };
        let cleanup = step["cleanup"].as_bool() == Some(true);
        let reasons = match judged {
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
                        let judged = once(self.client, &step, &mut variables);
                        results.lock().expect("no worker panics").push((index, judged, variables));
                    }
                });
            }
        });
        let mut reasons = Vec::new();
        for (index, judged, variables) in results.into_inner().expect("no worker panics") {
            match judged {
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
