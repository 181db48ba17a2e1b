//! From an HTTP exchange to its records: names, dialect, redacted bodies.
//!
//! A bulk request has its own record and one for each operation, so that each resource that it created, and each
//! one that was refused, can be found.

mod body;
mod names;

use std::sync::Arc;

use serde_json::Value;

use self::body::Body;
use self::names::{Names, is_telling};
use super::RequestRecord;
use super::redact::{self, Words};
use headcount_core::change::ResourceNames;
use headcount_core::clock::Timestamp;
use headcount_core::ids::{RequestId, ResourceId, TenantId, TokenId};
use headcount_core::index::fold;
use headcount_core::json;
use headcount_core::quirks::Quirks;
use headcount_core::schema::{Attribute, Registry, Returned};

/// One request with its response.
#[derive(Debug, Clone)]
pub struct HttpExchange<B> {
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
    /// The client's `User-Agent`; `None` without the header.
    pub agent: Option<String>,
    /// The HTTP method.
    pub method: &'static str,
    /// The path below the base.
    pub path: String,
    /// Whether the path has a route. Of another, nothing says what it is about.
    pub routed: bool,
    /// The filter of the query, decoded.
    pub filter: Option<String>,
    /// The HTTP status.
    pub status: u16,
    /// The `scimType`.
    pub scim_type: Option<&'static str>,
    /// The attribute that was rejected.
    pub field: Option<String>,
    /// The `detail`, or the unknown name that the request was answered without.
    pub reason: Option<String>,
    /// The repairs.
    pub quirks: Quirks,
    /// The body of the request, as it was received.
    pub body: Option<B>,
    /// The body of the response to a write, as it was sent.
    pub reply: Option<B>,
    /// Whether the token was proven, and used where it may be used.
    pub proven: bool,
    /// Whether it changed anything; `None` where that is not known, as for a read.
    pub changed: Option<bool>,
    /// The names of the resource, where neither body has them: those of a deleted one.
    pub names: ResourceNames,
    /// The outcome of each operation of a bulk request.
    pub operations: Vec<Operated>,
}

/// The outcome of one operation of a bulk request, beyond what the response says.
#[derive(Debug, Clone, Default)]
pub struct Operated {
    /// The attribute that was rejected.
    pub rejected: Option<String>,
    /// Whether it changed anything.
    pub changed: bool,
}

impl<B: AsRef<[u8]>> HttpExchange<B> {
    /// Returns how many bytes its bodies have.
    pub fn bytes(&self) -> usize {
        [&self.body, &self.reply].into_iter().flatten().map(|body| body.as_ref().len()).sum()
    }
}

/// Makes records of exchanges, for the schemas of one deployment.
#[derive(Debug, Clone)]
pub struct RecordBuilder {
    registry: Arc<Registry>,
    /// The names of attributes that are never returned, in lower case.
    never: Vec<String>,
    words: Words,
}

impl RecordBuilder {
    /// Returns a builder for the schemas of a registry.
    pub fn new(registry: Arc<Registry>) -> Self {
        let never = never_returned(&registry);
        let words = Words::new(&never);
        Self { registry, never, words }
    }

    /// Makes the records of a request: one, and for a bulk request one more per operation.
    pub fn build<B: AsRef<[u8]>>(&self, mut exchange: HttpExchange<B>) -> Vec<RequestRecord> {
        let Self { registry, never, .. } = self;
        let (sent, answered) = (exchange.body.take(), exchange.reply.take());
        // Before anything is read from them.
        exchange.path = redact::token(exchange.path);
        for text in [&mut exchange.agent, &mut exchange.reason, &mut exchange.field] {
            *text = text.take().map(redact::token);
        }
        let operated = std::mem::take(&mut exchange.operations);
        let (sent, answered) =
            (sent.as_ref().map(AsRef::as_ref), answered.as_ref().map(AsRef::as_ref));
        // The body of a refused request was perhaps never parsed: it is parsed strictly here.
        let accepted = exchange.status < 400;
        let body = if accepted { Body::sketch(sent, is_telling) } else { Body::read(sent) };
        // A created resource has the names of the request, and an id.
        let created = exchange.method == "POST" && exchange.status == 201 && body.json().is_some();
        let reply = if created { Body::id(answered) } else { Body::sketch(answered, is_telling) };
        let mut whole = record(registry, exchange, &body, &reply);
        whole.path = redact::line(whole.path, never);
        whole.query = whole.query.map(|query| redact::line(query, never));
        let mut records = Vec::new();
        if whole.path == "/Bulk" {
            // The operations have records of their own.
            whole.names.clear();
            records = operations(registry, &whole, &body, &reply, (&operated, never));
        }
        if !whole.proven {
            // What a stranger sends belongs in no timeline.
            whole.names.clear();
            whole.resource = None;
        }
        whole.body = body.text(self);
        whole.reply = reply.text(self).filter(|_| whole.status < 300);
        records.insert(0, whole);
        records
    }
}

fn record<B>(
    registry: &Registry,
    exchange: HttpExchange<B>,
    body: &Body<'_>,
    reply: &Body<'_>,
) -> RequestRecord {
    let mut record = RequestRecord {
        at: exchange.at,
        micros: exchange.micros,
        request: exchange.request,
        tenant: exchange.tenant,
        token: exchange.token,
        token_name: exchange.token_name,
        refused: exchange.refused,
        address: exchange.address,
        agent: exchange.agent,
        idp: None,
        method: exchange.method.to_owned(),
        path: exchange.path,
        kind: None,
        resource: None,
        name: None,
        names: Vec::new(),
        query: exchange.filter,
        status: exchange.status,
        scim_type: exchange.scim_type.map(str::to_owned),
        field: exchange.field,
        reason: exchange.reason,
        quirks: exchange.quirks,
        changed: exchange.changed,
        proven: exchange.proven,
        unkept: 0,
        body: None,
        reply: None,
    };
    if record.query.is_none() {
        // The filter of a search by POST.
        record.query = body.json().and_then(|body| text_of(body, "filter"));
    }
    if exchange.routed {
        about(registry, &mut record, body.json(), reply.json());
        name_as_known(&mut record, exchange.names);
    }
    record.idp = dialect(&record, body.json()).map(str::to_owned);
    record
}

/// Sets what a record is about: kind, id and names.
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
    // The other members of the group are not what the request was about.
    names.without_members = true;
    reply.into_iter().for_each(|reply| names.collect(reply));
    if let Some(filter) = &record.query {
        names.of_filter(filter);
    }
    record.name = names.label;
    record.names = names.folded;
}

/// Adds the names that the server knows of the resource.
fn name_as_known(record: &mut RequestRecord, known: ResourceNames) {
    let mut names = Names::default();
    [&known.name, &known.external_id].into_iter().flatten().for_each(|name| names.add(name));
    names.folded.retain(|name| !record.names.contains(name));
    record.names.append(&mut names.folded);
    // A name that people read beats the value of a PATCH.
    record.name = known.name.or(record.name.take()).or(known.external_id);
}

/// Returns records of the operations of a bulk request, each as if it had been sent alone.
fn operations(
    registry: &Registry,
    whole: &RequestRecord,
    body: &Body<'_>,
    reply: &Body<'_>,
    (operated, never): (&[Operated], &[String]),
) -> Vec<RequestRecord> {
    let mut records = Vec::new();
    let pairs = operations_of(body).into_iter().zip(operations_of(reply));
    for (index, (asked, answered)) in pairs.enumerate() {
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
        let operated = operated.get(index).cloned().unwrap_or_default();
        (one.field, one.changed) = (operated.rejected, Some(operated.changed));
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
        one.body = data.map(|data| redact::cut(&json::to_text(&data)));
        records.push(one);
    }
    records
}

fn operations_of(body: &Body<'_>) -> Vec<Value> {
    let operations = body.whole().and_then(|json| member(&json, "Operations").cloned());
    operations.and_then(|list| list.as_array().cloned()).unwrap_or_default()
}

/// Returns the names of attributes that are never returned, in lower case.
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

/// Recognizes the identity provider by its dialect.
///
/// Most send their name as `User-Agent`. As their recorded conversations show, Entra sends no such header and
/// OneLogin an empty one, and only Entra capitalizes `op`.
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
    let by_agent = match record.agent.as_deref() {
        Some("") => Some("onelogin"),
        Some(agent) => {
            let agent = agent.to_ascii_lowercase();
            AGENTS.iter().find(|(word, _)| agent.contains(word)).map(|(_, name)| *name)
        }
        None => Some("entra"),
    };
    by_agent.or_else(|| body.filter(|body| has_capital_op(body)).map(|_| "entra"))
}

fn has_capital_op(body: &Value) -> bool {
    let operations = member(body, "Operations").and_then(Value::as_array);
    operations.into_iter().flatten().any(|operation| {
        let op = text_of(operation, "op").unwrap_or_default();
        op.starts_with(|first: char| first.is_ascii_uppercase())
    })
}

/// Returns a member of an object by its name in any case.
fn member<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    let map = value.as_object()?;
    map.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn text_of(value: &Value, name: &str) -> Option<String> {
    member(value, name)?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests;
