//! From what was seen of a request to its records: names, dialect, redacted bodies.
//!
//! A bulk request becomes a record of its own and one for each operation, so that whoever was created
//! or refused in it is found.

use std::sync::Arc;

use serde_json::{Value, json};

use super::redact::{self, Words};
use super::request::RequestRecord;
use crate::clock::Timestamp;
use crate::filter::{Filter, Literal, ParsedFilter, Syntax};
use crate::ids::{RequestId, ResourceId, TenantId, TokenId};
use crate::index::fold;
use crate::quirks::Quirks;
use crate::schema::{Attribute, Registry, Returned};

/// Names kept of one request, at most.
const MOST_NAMES: usize = 256;
/// Bodies above this size are neither parsed nor kept: they take longer than the request.
const LONGEST_PARSED: usize = 512 * 1024;

/// What was seen of one request when it had been answered.
#[derive(Debug, Clone)]
pub struct Exchange<B> {
    /// When it arrived.
    pub at: Timestamp,
    /// How long it took, in microseconds.
    pub micros: i64,
    /// Its id.
    pub request: RequestId,
    /// The tenant, when the token was proven.
    pub tenant: Option<TenantId>,
    /// The token that was presented.
    pub token: Option<TokenId>,
    /// Its name.
    pub token_name: Option<String>,
    /// Why it was refused.
    pub refused: Option<String>,
    /// The client's address.
    pub address: Option<String>,
    /// The client's `User-Agent`; none when the header was absent.
    pub agent: Option<String>,
    /// The HTTP method.
    pub method: &'static str,
    /// The path below the base.
    pub path: String,
    /// The filter of the query, decoded.
    pub filter: Option<String>,
    /// The HTTP status.
    pub status: u16,
    /// The `scimType`.
    pub scim_type: Option<&'static str>,
    /// The attribute that was rejected.
    pub field: Option<String>,
    /// The `detail`.
    pub reason: Option<String>,
    /// The repairs.
    pub quirks: Quirks,
    /// The body of the request, as it came.
    pub body: Option<B>,
    /// The body of the answer to a write, as it went.
    pub reply: Option<B>,
    /// Of a bulk request, the attribute that was rejected in each operation.
    pub rejected: Vec<Option<String>>,
}

impl<B: AsRef<[u8]>> Exchange<B> {
    /// Returns how many bytes of bodies wait with it.
    pub fn bytes(&self) -> usize {
        let length = |body: &Option<B>| body.as_ref().map_or(0, |body| body.as_ref().len());
        length(&self.body) + length(&self.reply)
    }
}

/// Makes records out of exchanges, for one deployment's schemas.
#[derive(Debug, Clone)]
pub struct Digester {
    registry: Arc<Registry>,
    /// The names of attributes that are never returned, in lower case.
    never: Vec<String>,
    words: Option<Words>,
}

impl Digester {
    /// Makes one for the kinds of a registry.
    pub fn new(registry: Arc<Registry>) -> Self {
        let never = never_returned(&registry);
        let words = Words::new(&never);
        Self { registry, never, words }
    }

    /// Makes the records of a request: one, and of a bulk request one more per operation.
    pub fn digest<B: AsRef<[u8]>>(&self, exchange: &Exchange<B>) -> Vec<RequestRecord> {
        let Self { registry, never, .. } = self;
        let (sent, answered) = (exchange.body.as_ref(), exchange.reply.as_ref());
        let (sent, answered) = (sent.map(AsRef::as_ref), answered.map(AsRef::as_ref));
        let body = Body::read(sent);
        // What was created has the names that the request gave it.
        let created = exchange.method == "POST" && exchange.status == 201 && body.json().is_some();
        let reply = if created { Body::id_of(answered) } else { Body::read(answered) };
        let mut whole = record(registry, exchange, &body, &reply);
        whole.path = redact::line(whole.path, never);
        whole.query = whole.query.map(|query| redact::line(query, never));
        let mut records = Vec::new();
        if whole.path == "/Bulk" {
            // The operations speak for themselves.
            whole.names.clear();
            records = operations(registry, &whole, &body, &reply, (&exchange.rejected, never));
        }
        whole.body = body.kept(sent, self);
        whole.reply = match whole.status {
            201 if created => {
                let plain = answered.and_then(|bytes| self.plain(bytes));
                plain.or_else(|| Body::read(answered).kept(answered, self))
            }
            ..300 => reply.kept(answered, self),
            _ => None,
        };
        records.insert(0, whole);
        records
    }

    /// What is kept of a JSON body in which nothing is to be masked: as it came. `None` when something
    /// may be.
    fn plain(&self, bytes: &[u8]) -> Option<String> {
        let text = std::str::from_utf8(bytes).ok().filter(|text| text.len() <= LONGEST_PARSED)?;
        let plain = self.words.as_ref().is_some_and(|words| words.are_absent(text));
        plain.then(|| redact::cut(text.to_owned()))
    }
}

fn record<B>(
    registry: &Registry,
    exchange: &Exchange<B>,
    body: &Body,
    reply: &Body,
) -> RequestRecord {
    let mut record = RequestRecord {
        at: exchange.at,
        micros: exchange.micros,
        request: exchange.request.clone(),
        tenant: exchange.tenant,
        token: exchange.token.clone(),
        token_name: exchange.token_name.clone(),
        refused: exchange.refused.clone(),
        address: exchange.address.clone(),
        agent: exchange.agent.clone(),
        idp: None,
        method: exchange.method.to_owned(),
        path: exchange.path.clone(),
        kind: None,
        resource: None,
        name: None,
        names: Vec::new(),
        query: exchange.filter.clone(),
        status: exchange.status,
        scim_type: exchange.scim_type.map(str::to_owned),
        field: exchange.field.clone(),
        reason: exchange.reason.clone(),
        quirks: exchange.quirks,
        body: None,
        reply: None,
    };
    if record.query.is_none() {
        // The filter of a search by POST.
        record.query = body.json().and_then(|body| text_of(body, "filter"));
    }
    about(registry, &mut record, body.json(), reply.json());
    record.idp = dialect(&record, body.json()).map(str::to_owned);
    record
}

/// Fills in what a record is about: kind, id and names.
fn about(
    registry: &Registry,
    record: &mut RequestRecord,
    body: Option<&Value>,
    reply: Option<&Value>,
) {
    let mut segments = record.path.trim_start_matches('/').split('/');
    let kind = segments.next().and_then(|endpoint| registry.by_endpoint(endpoint));
    record.kind = kind.map(|kind| kind.kind.clone());
    let id = segments.next().filter(|id| !id.is_empty() && *id != ".search");
    let mut names = Names::default();
    let created = reply.and_then(|reply| text_of(reply, "id"));
    if let Some(id) = id.map(str::to_owned).or(created).filter(|_| kind.is_some()) {
        names.add(&id);
        record.resource = Some(ResourceId::new(id));
    }
    body.into_iter().for_each(|body| names.collect(body));
    // Whom a group has besides is not what the request was about.
    names.without_members = true;
    reply.into_iter().for_each(|reply| names.collect(reply));
    if let Some(filter) = &record.query {
        names.of_filter(filter);
    }
    record.name = names.label;
    record.names = names.folded;
}

/// The operations of a bulk request, each as if it had been sent alone.
fn operations(
    registry: &Registry,
    whole: &RequestRecord,
    body: &Body,
    reply: &Body,
    (rejected, never): (&[Option<String>], &[String]),
) -> Vec<RequestRecord> {
    let list = |body: &Body| {
        let found = body.json().and_then(|json| member(json, "Operations").cloned());
        found.and_then(|list| list.as_array().cloned()).unwrap_or_default()
    };
    let mut records = Vec::new();
    for (index, (asked, answered)) in list(body).into_iter().zip(list(reply)).enumerate() {
        let mut one = RequestRecord {
            method: text_of(&asked, "method").unwrap_or_default(),
            path: text_of(&asked, "path").unwrap_or_default(),
            status: text_of(&answered, "status").and_then(|text| text.parse().ok()).unwrap_or(0),
            query: None,
            quirks: Quirks::NONE,
            ..whole.clone()
        };
        let error = member(&answered, "response");
        one.scim_type = error.and_then(|error| text_of(error, "scimType"));
        one.field = rejected.get(index).cloned().flatten();
        one.reason = error.and_then(|error| text_of(error, "detail"));
        let mut data = member(&asked, "data").cloned();
        about(registry, &mut one, data.as_ref(), None);
        let location = text_of(&answered, "location");
        let created = location.as_deref().and_then(|location| location.rsplit('/').next());
        if let Some(id) = created.filter(|_| one.kind.is_some()) {
            one.names.push(fold(id));
            one.resource = Some(ResourceId::new(id));
        }
        if let Some(data) = &mut data {
            redact::mask(data, never);
        }
        one.body = data.map(|data| redact::cut(data.to_string()));
        records.push(one);
    }
    records
}

/// A body as far as it can be read.
enum Body {
    None,
    Json(Value),
    /// It is no JSON object, or too large: so long it was.
    Opaque(usize),
}

impl Body {
    fn read(bytes: Option<&[u8]>) -> Self {
        match bytes {
            None | Some([]) => Self::None,
            Some(bytes) if bytes.len() > LONGEST_PARSED => Self::Opaque(bytes.len()),
            Some(bytes) => match crate::json::parse(bytes) {
                Ok(value) if value.is_object() => Self::Json(value),
                Ok(_) | Err(_) => Self::Opaque(bytes.len()),
            },
        }
    }

    /// Reads of the answer to a creation what its request does not say: the id. The rest is not looked at,
    /// which takes a fraction of the time.
    fn id_of(bytes: Option<&[u8]>) -> Self {
        #[derive(serde::Deserialize)]
        struct Created {
            id: String,
        }
        let created = bytes.and_then(|bytes| serde_json::from_slice::<Created>(bytes).ok());
        created.map_or(Self::None, |Created { id }| Self::Json(json!({"id": id})))
    }

    fn json(&self) -> Option<&Value> {
        if let Self::Json(value) = self { Some(value) } else { None }
    }

    /// What is kept of it. Of a body that cannot be read, nothing: it may hold a secret.
    ///
    /// `bytes` are those it was read from: where nothing is to be masked, they are kept as they came.
    fn kept(self, bytes: Option<&[u8]>, by: &Digester) -> Option<String> {
        match self {
            Self::None => None,
            Self::Opaque(length) => Some(format!("({length} bytes, not kept)")),
            Self::Json(mut value) => {
                if let Some(plain) = bytes.and_then(|bytes| by.plain(bytes)) {
                    return Some(plain);
                }
                redact::mask(&mut value, &by.never);
                Some(redact::cut(value.to_string()))
            }
        }
    }
}

/// The names of attributes that are never returned, in lower case.
fn never_returned(registry: &Registry) -> Vec<String> {
    fn collect(attributes: &[Arc<Attribute>], names: &mut Vec<String>) {
        for attribute in attributes {
            if attribute.returned == Returned::Never {
                names.push(attribute.name.to_ascii_lowercase());
            }
            collect(&attribute.sub_attributes, names);
        }
    }
    let mut names = Vec::new();
    for schema in registry.schemas() {
        collect(&schema.attributes, &mut names);
    }
    names
}

/// Collects what a resource goes by, out of bodies and filters.
#[derive(Default)]
struct Names {
    folded: Vec<String>,
    label: Option<String>,
    /// The label is a userName or displayName, which no other name replaces.
    is_proper: bool,
    without_members: bool,
}

impl Names {
    fn add(&mut self, name: &str) {
        let known = fold(name);
        let fits = !known.is_empty() && known.len() <= 1_024 && !redact::looks_like_token(name);
        if fits && self.folded.len() < MOST_NAMES && !self.folded.contains(&known) {
            self.folded.push(known);
        }
    }

    /// Adds a value under the attribute's name, as far as people are named by it.
    fn attribute(&mut self, attribute: &str, value: &Value) {
        let lower = attribute.to_ascii_lowercase();
        let path = lower.rsplit(':').next().unwrap_or_default();
        let last = path.rsplit('.').next().unwrap_or_default();
        if value.as_str().is_some_and(redact::looks_like_token) {
            return;
        }
        match (last, value) {
            ("username" | "displayname", Value::String(text)) => {
                self.add(text);
                if !self.is_proper && !text.is_empty() {
                    self.label = Some(text.clone());
                    self.is_proper = last == "username";
                }
            }
            ("externalid", Value::String(text)) => {
                self.add(text);
                if self.label.is_none() {
                    self.label = Some(text.clone());
                }
            }
            _ if path.starts_with("emails") => self.values_of(value),
            _ if path.starts_with("members") && !self.without_members => {
                self.values_of(value);
                // `members[value eq "2819c223"]`
                self.of_brackets(attribute);
            }
            _ => {}
        }
    }

    /// The texts of a value, or of `value` in objects and arrays of them.
    fn values_of(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.add(text),
            Value::Array(values) => values.iter().for_each(|value| self.values_of(value)),
            Value::Object(map) => {
                if let Some(value) = map.get("value") {
                    self.values_of(value);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn of_brackets(&mut self, path: &str) {
        let inner = path.split_once('[').and_then(|(_, rest)| rest.rsplit_once(']'));
        if let Some((filter, _)) = inner {
            self.of_filter(filter);
        }
    }

    fn collect(&mut self, body: &Value) {
        let Some(map) = body.as_object() else { return };
        for (name, value) in map {
            if name.eq_ignore_ascii_case("Operations") {
                value.as_array().into_iter().flatten().for_each(|one| self.operation(one));
            } else if name.contains(':') && value.is_object() {
                self.collect(value);
            } else {
                self.attribute(name, value);
            }
        }
    }

    fn operation(&mut self, operation: &Value) {
        let value = member(operation, "value");
        match (text_of(operation, "path").filter(|path| !path.is_empty()), value) {
            (Some(path), Some(value)) => self.attribute(&path, value),
            (Some(path), None) => self.attribute(&path, &Value::Null),
            (None, Some(value)) => self.collect(value),
            (None, None) => {}
        }
    }

    /// The texts that a filter compares with.
    fn of_filter(&mut self, filter: &str) {
        let loose = Syntax { bare_words: true, loose_forms: true };
        if let Ok((filter, _)) = ParsedFilter::parse_with(filter, loose) {
            self.of_tree(&filter);
        }
    }

    fn of_tree(&mut self, filter: &ParsedFilter) {
        match filter {
            Filter::And(all) | Filter::Or(all) => all.iter().for_each(|one| self.of_tree(one)),
            Filter::Not(inner) | Filter::Element(_, inner) => self.of_tree(inner),
            Filter::Compare(_, _, Literal::Text(text)) => self.add(text),
            Filter::Compare(..) | Filter::Present(_) => {}
        }
    }
}

/// Tells the identity provider from how it speaks.
///
/// Most say their name as `User-Agent`. Entra sends none at all and OneLogin an empty one, as their
/// recorded conversations show; and only Entra writes `op` with a capital.
fn dialect(record: &RequestRecord, body: Option<&Value>) -> Option<&'static str> {
    const AGENTS: [(&str, &str); 9] = [
        ("okta", "okta"),
        ("onelogin", "onelogin"),
        ("jumpcloud", "jumpcloud"),
        ("authentik", "authentik"),
        ("keycloak", "keycloak"),
        ("rauthy", "rauthy"),
        ("google", "google"),
        ("pingidentity", "ping"),
        ("microsoft", "entra"),
    ];
    let capital = |body: &Value| {
        let operations = member(body, "Operations").and_then(Value::as_array);
        operations.into_iter().flatten().any(|operation| {
            let op = text_of(operation, "op").unwrap_or_default();
            op.starts_with(|first: char| first.is_ascii_uppercase())
        })
    };
    let named = match record.agent.as_deref() {
        Some("") => Some("onelogin"),
        Some(agent) => {
            let agent = agent.to_ascii_lowercase();
            AGENTS.iter().find(|(word, _)| agent.contains(word)).map(|(_, name)| *name)
        }
        None => Some("entra"),
    };
    named.or_else(|| body.filter(|body| capital(body)).map(|_| "entra"))
}

/// A member of an object, whatever the case of its name.
fn member<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    let map = value.as_object()?;
    map.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn text_of(value: &Value, name: &str) -> Option<String> {
    member(value, name)?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests;
