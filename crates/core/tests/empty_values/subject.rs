//! A user and a group with a value in each kind of attribute, and what a request makes of them.

use std::sync::Arc;

use headcount_core::error::Error;
use headcount_core::ids::{ResourceId, TenantId};
use headcount_core::memory::MemoryProvider;
use headcount_core::quirks::Quirks;
use headcount_core::schema::Registry;
use headcount_core::schema::registry::{IndexMarks, SchemaFile};
use headcount_core::service::{Caller, Edit, Shape};
use headcount_provider_conformance::Subject;
use headcount_provider_conformance::bench::{Bench, GROUP, USER};
use serde_json::{Value, json};

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
const DESK: &str = "urn:example:params:scim:schemas:extension:desk:1.0:User";

/// How a request names what it works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Pathless,
    Path,
    Sub,
    Filter,
    FilterSub,
    NoMatch,
    NoMatchSub,
}

impl Way {
    pub(crate) fn name(self, verb: &str) -> &'static str {
        match self {
            Self::Path if verb.starts_with('P') => "body",
            Self::Sub if verb.starts_with('P') => "sub-attribute in a body",
            Self::Pathless => "no path",
            Self::Path => "path",
            Self::Sub => "sub-attribute",
            Self::Filter => "filter",
            Self::FilterSub => "filter and sub-attribute",
            Self::NoMatch => "filter without match",
            Self::NoMatchSub => "filter without match and sub-attribute",
        }
    }

    fn is_sub(self) -> bool {
        matches!(self, Self::Sub | Self::FilterSub | Self::NoMatchSub)
    }
}

/// The switches of the tenant.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Quirky {
    All,
    None,
}

impl Quirky {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::None => "none",
        }
    }

    fn quirks(self) -> Quirks {
        match self {
            Self::All => Quirks::ALL,
            Self::None => Quirks::NONE,
        }
    }
}

/// A kind of attribute, and the attribute that stands for it.
pub(crate) struct Kind {
    /// The name in the table.
    pub(crate) name: &'static str,
    resource: &'static str,
    /// The extension it is in.
    urn: Option<&'static str>,
    /// Its name; none for the extension itself.
    attribute: Option<&'static str>,
    sub: Option<&'static str>,
    /// Filters that select its first value, and none.
    filters: Option<(&'static str, &'static str)>,
    /// Another value than it has, and another one of its sub-attribute.
    new: &'static str,
    new_sub: &'static str,
}

const PLAIN: Kind = Kind {
    name: "",
    resource: USER,
    urn: None,
    attribute: None,
    sub: None,
    filters: None,
    new: "",
    new_sub: "",
};

pub(crate) const KINDS: &[Kind] = &[
    Kind { name: "text", attribute: Some("title"), new: "\"new\"", ..PLAIN },
    Kind { name: "boolean", urn: Some(DESK), attribute: Some("onSite"), new: "true", ..PLAIN },
    Kind { name: "number", urn: Some(DESK), attribute: Some("seats"), new: "2", ..PLAIN },
    Kind {
        name: "complex",
        attribute: Some("name"),
        sub: Some("givenName"),
        filters: Some(("givenName eq \"old\"", "givenName eq \"other\"")),
        new: r#"{"givenName":"new"}"#,
        new_sub: "\"new\"",
        ..PLAIN
    },
    Kind {
        name: "complex with a value",
        urn: Some(ENTERPRISE),
        attribute: Some("manager"),
        sub: Some("value"),
        filters: Some(("value eq \"old\"", "value eq \"other\"")),
        new: r#"{"value":"new"}"#,
        new_sub: "\"new\"",
        ..PLAIN
    },
    Kind {
        name: "list of texts",
        urn: Some(DESK),
        attribute: Some("skills"),
        new: r#"["new"]"#,
        ..PLAIN
    },
    Kind {
        name: "list of complex",
        attribute: Some("emails"),
        sub: Some("value"),
        filters: Some(("type eq \"work\"", "type eq \"other\"")),
        new: r#"[{"value":"new"}]"#,
        new_sub: "\"new\"",
        ..PLAIN
    },
    Kind {
        name: "members",
        resource: GROUP,
        attribute: Some("members"),
        sub: Some("value"),
        filters: Some(("value eq \"FIRST\"", "value eq \"other\"")),
        new: r#"[{"value":"THIRD"}]"#,
        new_sub: "\"THIRD\"",
        ..PLAIN
    },
    Kind {
        name: "extension",
        urn: Some(ENTERPRISE),
        sub: Some("department"),
        new: r#"{"department":"new"}"#,
        new_sub: "\"new\"",
        ..PLAIN
    },
];

impl Kind {
    /// The values of a line of the table: its heading and what is sent.
    pub(crate) fn values(&self, verb: &str, way: Way) -> Vec<(&'static str, Value)> {
        let plain = ["null", "[]", "\"\"", "{}", "[null]", "[{}]"];
        let plain = plain.into_iter().chain([r#"[{"value":""}]"#, r#"[{"value":null}]"#]);
        let mut values: Vec<(&str, Value)> =
            plain.map(|text| (text, serde_json::from_str(text).unwrap())).collect();
        let new = if way.is_sub() { self.new_sub } else { self.new };
        let mut inner: Value = serde_json::from_str(new).unwrap_or_default();
        // What is listed next to a `remove` is a value that is there.
        if verb == "remove" && !way.is_sub() && inner.is_array() {
            inner = match self.name {
                "list of texts" => json!(["old"]),
                "members" => json!([{"value": "FIRST"}]),
                _ => json!([{"value": "old"}]),
            };
        }
        let own = match (way.is_sub(), self.sub, self.attribute, self.urn) {
            (true, Some(sub), _, _) => sub,
            (_, _, Some(name), _) => name,
            (_, _, None, urn) => urn.unwrap_or_default(),
        };
        values.push(("wrapped", json!({own: inner})));
        let listed = !way.is_sub() && new.starts_with('[');
        let unknown = json!({"unknown": "x"});
        values.push(("unknown", if listed { json!([unknown]) } else { unknown }));
        values
    }

    /// The path of a PATCH; none where there is no such path.
    fn path(&self, way: Way) -> Option<String> {
        let attribute = match (self.urn, self.attribute) {
            (Some(urn), Some(name)) => format!("{urn}:{name}"),
            (Some(urn), None) => urn.to_owned(),
            (None, name) => name.unwrap_or_default().to_owned(),
        };
        let sub = |sub: &str| match self.attribute {
            Some(_) => format!("{attribute}.{sub}"),
            None => format!("{attribute}:{sub}"),
        };
        let filtered = |filter: &str| format!("{attribute}[{filter}]");
        match way {
            Way::Pathless | Way::Path => Some(attribute),
            Way::Sub => self.sub.map(sub),
            Way::Filter => self.filters.map(|(first, _)| filtered(first)),
            Way::NoMatch => self.filters.map(|(_, none)| filtered(none)),
            Way::FilterSub => Some(format!("{}.{}", filtered(self.filters?.0), self.sub?)),
            Way::NoMatchSub => Some(format!("{}.{}", filtered(self.filters?.1), self.sub?)),
        }
    }

    /// The same resource without the attribute, or with another value in it.
    fn with(&self, resource: &Value, value: Option<Value>) -> Value {
        let mut resource = resource.clone();
        let map = resource.as_object_mut().unwrap();
        match (self.urn, self.attribute) {
            (Some(urn), Some(name)) => put(map[urn].as_object_mut().unwrap(), name, value),
            (Some(name), None) | (None, Some(name)) => put(map, name, value),
            (None, None) => {}
        }
        resource
    }

    /// The same resource with another value of the sub-attribute, of the first or of all values.
    fn with_sub(&self, resource: &Value, value: Option<&Value>, all: bool) -> Value {
        let (mut whole, sub) = (self.whole(resource), self.sub.unwrap());
        match &mut whole {
            Value::Array(values) => {
                let count = if all { values.len() } else { 1 };
                for one in values.iter_mut().take(count) {
                    put(one.as_object_mut().unwrap(), sub, value.cloned());
                }
            }
            one => put(one.as_object_mut().unwrap(), sub, value.cloned()),
        }
        let gone = whole.as_object().is_some_and(serde_json::Map::is_empty);
        self.with(resource, (!gone).then_some(whole))
    }

    fn whole(&self, resource: &Value) -> Value {
        match (self.urn, self.attribute) {
            (Some(urn), Some(name)) => resource[urn][name].clone(),
            (Some(name), None) | (None, Some(name)) => resource[name].clone(),
            (None, None) => Value::Null,
        }
    }
}

fn put(map: &mut serde_json::Map<String, Value>, name: &str, value: Option<Value>) {
    match value {
        Some(value) => drop(map.insert(name.to_owned(), value)),
        None => drop(map.shift_remove(name)),
    }
}

/// The schemas of all the cells.
pub(crate) struct World {
    registry: Arc<Registry>,
}

impl World {
    pub(crate) fn new() -> Self {
        let schema = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Schema"], "id": DESK, "name": "Desk",
            "attributes": [
                {"name": "onSite", "type": "boolean"},
                {"name": "seats", "type": "integer"},
                {"name": "skills", "type": "string", "multiValued": true},
            ],
        });
        let kind = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ResourceType"],
            "id": "User", "name": "User", "endpoint": "/Users",
            "schema": "urn:ietf:params:scim:schemas:core:2.0:User",
            "schemaExtensions": [{"schema": DESK, "required": false}],
        });
        let document = |content| SchemaFile { file: "desk.json".to_owned(), content };
        let documents = [document(schema), document(kind)];
        let registry = Registry::from_documents(&documents, &IndexMarks::new()).unwrap();
        Self { registry: Arc::new(registry) }
    }

    /// Says in a word what a request makes of its target; none where there is no such request.
    pub(crate) fn outcome(
        &self,
        verb: &str,
        way: Way,
        kind: &Kind,
        quirks: Quirky,
        value: &Value,
    ) -> Option<String> {
        kind.path(way)?;
        let stage = Stage::new(&self.registry, kind);
        let after = match stage.send(verb, way, quirks.quirks(), value) {
            Ok(after) => after,
            Err(error) => {
                let (status, scim_type) = error.status_and_type();
                return Some(format!("{status} {}", scim_type.unwrap_or_default()));
            }
        };
        let candidates = stage.candidates(verb, way);
        let word = candidates.into_iter().find(|(_, state)| *state == after).map(|(word, _)| word);
        Some(word.unwrap_or_else(|| {
            panic!("{verb}, {}, {}, {value}: {after}", way.name(verb), kind.name)
        }))
    }
}

/// One resource of its own.
struct Stage<'k> {
    bench: Bench,
    kind: &'k Kind,
    id: ResourceId,
    members: Vec<String>,
    before: Value,
}

impl<'k> Stage<'k> {
    fn new(registry: &Arc<Registry>, kind: &'k Kind) -> Self {
        let provider = Arc::new(MemoryProvider::default());
        let tenants = [TenantId::new(1), TenantId::new(2)];
        let subject =
            Subject { provider: provider.clone(), feed: provider, tenants, guard: Box::new(()) };
        let bench = Bench::over(subject, Arc::clone(registry));
        let members: Vec<String> = match kind.resource {
            GROUP => ["a", "b", "c"].map(|name| bench.user(name).to_string()).to_vec(),
            _ => Vec::new(),
        };
        let before = match kind.resource {
            GROUP => json!({"displayName": "g", "members": [
                {"value": members[0]}, {"value": members[1]}]}),
            _ => json!({
                "userName": "jane", "title": "old", "active": true,
                "name": {"givenName": "old"},
                "emails": [{"value": "old", "type": "work"}, {"value": "other", "type": "home"}],
                ENTERPRISE: {"department": "old", "manager": {"value": "old"}},
                DESK: {"onSite": false, "seats": 1, "skills": ["old", "other"]},
            }),
        };
        let id = bench.create(kind.resource, before.clone());
        Self { bench, kind, id, members, before }
    }

    fn caller(&self, quirks: Quirks) -> Caller {
        Caller { quirks, ..self.bench.caller(0) }
    }

    /// Sends the request and returns the resource afterwards.
    fn send(&self, verb: &str, way: Way, quirks: Quirks, value: &Value) -> Result<Value, Error> {
        let (caller, kind) = (self.caller(quirks), self.bench.kind(self.kind.resource));
        let (shape, edit) = (Shape::default(), Edit::unconditional(&caller, &kind));
        let service = &self.bench.service;
        let value = self.named(value);
        match verb {
            "POST" => {
                // The names of the resource that is there are taken.
                self.bench.try_delete(0, self.kind.resource, &self.id)?;
                let written = service.create(&caller, &kind, self.body(way, &value), &shape)?;
                Ok(self.read(&written.found.resource.id))
            }
            "PUT" => {
                let body = self.body(way, &value);
                service.replace(edit, &self.id, body, &shape)?;
                Ok(self.read(&self.id))
            }
            _ => {
                let path = self.path(way);
                let operation = match way {
                    Way::Pathless if verb == "remove" => {
                        json!({"op": verb, "value": {path: value}})
                    }
                    Way::Pathless => json!({"op": verb, "value": self.pathless(&value)}),
                    _ => json!({"op": verb, "path": path, "value": value}),
                };
                let body = json!({
                    "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
                    "Operations": [operation],
                });
                service.patch(edit, &self.id, body, &shape)?;
                Ok(self.read(&self.id))
            }
        }
    }

    /// The value of an operation without a path.
    fn pathless(&self, value: &Value) -> Value {
        match (self.kind.urn, self.kind.attribute) {
            (Some(urn), Some(name)) => json!({urn: {name: value}}),
            (urn, name) => json!({urn.or(name).unwrap_or_default(): value}),
        }
    }

    fn body(&self, way: Way, value: &Value) -> Value {
        let mut body = match way {
            Way::Sub => self.kind.with_sub(&self.before, Some(value), false),
            _ => self.kind.with(&self.before, Some(value.clone())),
        };
        let schema = self.bench.kind(self.kind.resource).schema.id.to_string();
        let urns = match self.kind.resource {
            GROUP => json!([schema]),
            _ => json!([schema, ENTERPRISE, DESK]),
        };
        body["schemas"] = urns;
        body
    }

    /// The resource as it is stored, with its members.
    fn read(&self, id: &ResourceId) -> Value {
        let found = self.bench.get(0, self.kind.resource, id).unwrap();
        let mut resource: Value = serde_json::from_str(found.resource.document.text()).unwrap();
        resource.as_object_mut().unwrap().shift_remove("schemas");
        if self.kind.resource == GROUP {
            let ids = self.bench.members(id).into_iter();
            resource["members"] = ids.map(|id| json!({"value": id})).collect();
        }
        resource
    }

    /// Puts the ids of members where their names stand.
    fn named(&self, value: &Value) -> Value {
        serde_json::from_str(&self.names(value.to_string())).unwrap()
    }

    fn names(&self, text: String) -> String {
        match self.members.as_slice() {
            [first, _, third] => text.replace("FIRST", first).replace("THIRD", third),
            _ => text,
        }
    }

    fn path(&self, way: Way) -> String {
        self.names(self.kind.path(way).unwrap())
    }

    /// The states that have a word.
    fn candidates(&self, verb: &str, way: Way) -> Vec<(String, Value)> {
        let (kind, before) = (self.kind, &self.before);
        let mut states = vec![("unchanged", before.clone())];
        let mut first_gone = kind.whole(before);
        if let Value::Array(values) = &mut first_gone {
            values.remove(0);
        } else {
            first_gone = Value::Null;
        }
        let first_gone = kind.with(before, (!first_gone.is_null()).then_some(first_gone));
        let no_one = |state: Value| match kind.name {
            // A group always shows its members.
            "members" => kind.with(&state, Some(json!([]))),
            _ => state,
        };
        match way {
            Way::Filter | Way::NoMatch => states.push(("removed", first_gone)),
            Way::Sub | Way::FilterSub | Way::NoMatchSub => {
                let all = way == Way::Sub && !verb.starts_with('P');
                states.push(("cleared", kind.with_sub(before, None, all)));
                states.push(("removed", if all { kind.with(before, None) } else { first_gone }));
            }
            Way::Pathless | Way::Path => {
                states.push(("cleared", no_one(kind.with(before, None))));
                states.push(("removed", first_gone));
            }
        }
        if verb != "remove" {
            let reference = Self::new(&self.bench.service.registry, kind);
            let new = if way.is_sub() { kind.new_sub } else { kind.new };
            let new = serde_json::from_str(new).unwrap();
            if let Ok(after) = reference.send(verb, way, Quirks::ALL, &new) {
                states.push(("set", after));
            }
        }
        let empty = |value: &Value| value.as_object().is_some_and(serde_json::Map::is_empty);
        states
            .into_iter()
            .map(|(word, mut state)| {
                state.as_object_mut().unwrap().retain(|_, value| !empty(value));
                let mut members = state.get("members").and_then(Value::as_array).cloned();
                if let Some(members) = &mut members {
                    members.sort_by_key(ToString::to_string);
                    state["members"] = Value::Array(members.clone());
                }
                (word.to_owned(), state)
            })
            .collect()
    }
}
