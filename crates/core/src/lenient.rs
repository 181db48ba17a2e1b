//! Repairs: what arrives becomes what the RFC says should have arrived.
//!
//! The forms that identity providers send instead of those of the RFC: one function per form, each
//! behind its switch in [`Quirks`], each with the source there and a recorded request under
//! `tests/fixtures/quirks`. What comes out has the forms of the RFC.
//!
//! Quirks that change what a request means are asked for where their rules are, in the PATCH engine and
//! elsewhere; `docs/ARCHITECTURE.md` lists the files.

mod forms;
mod husks;
mod members;
mod paths;
mod wrapped;

use serde_json::{Map, Value};

use crate::error::{Error, Lead, PathError, excerpt};
use crate::json;
use crate::path::Target;
use crate::quirks::{Applied, Quirks};
use crate::schema::{Attribute, Membership, ResourceType, Returned, ValueType, find};

pub(crate) use paths::path;

/// The tenant's switches, and the repairs that one request needed.
#[derive(Debug)]
pub(crate) struct Repairs<'a> {
    pub(crate) quirks: Quirks,
    pub(crate) applied: &'a mut Applied,
}

impl Repairs<'_> {
    /// Tells whether a switch is on, and notes that it was needed.
    fn uses(&mut self, quirk: Quirks) -> bool {
        let on = self.quirks.has(quirk);
        if on {
            self.applied.note(quirk);
        }
        on
    }

    /// Repairs the body of a POST or PUT.
    ///
    /// # Errors
    ///
    /// `invalidPath` for a name under a URN that is nearly one of the kind's.
    pub(crate) fn resource_body(
        &mut self,
        kind: &ResourceType,
        raw: Value,
    ) -> Result<Value, Error> {
        let Value::Object(map) = raw else { return Ok(raw) };
        let mut out = Map::new();
        for (name, value) in map {
            if name.eq_ignore_ascii_case("schemas") {
                out.insert(name, value);
                continue;
            }
            self.top_level(kind, name, value, &mut out)?;
        }
        self.schemas_repaired(kind, &mut out);
        Ok(Value::Object(out))
    }

    /// Repairs one top-level attribute, or drops it.
    fn top_level(
        &mut self,
        kind: &ResourceType,
        name: String,
        value: Value,
        out: &mut Map<String, Value>,
    ) -> Result<(), Error> {
        if let Some(attribute) = kind.schema.attribute(&name) {
            let members = kind.membership == Membership::Members && &*attribute.name == "members";
            let value =
                if members { self.members(value) } else { self.attribute(attribute, value) };
            out.insert(name, value);
        } else if let Some(extension) = kind.extension(&name) {
            let value = match self.extension(extension, value) {
                Value::Object(map) => {
                    Value::Object(self.object(None, &extension.schema.attributes, map))
                }
                other => other,
            };
            // The container may stand beside a short form of one of its attributes.
            match (out.get_mut(extension.schema.id.as_str()), value) {
                (Some(Value::Object(known)), Value::Object(more)) => known.extend(more),
                (_, value) => drop(out.insert(name, value)),
            }
        } else if let Some(common) = kind.common_attribute(&name) {
            let value =
                if &*common.name == "externalId" { self.attribute(common, value) } else { value };
            out.insert(name, value);
        } else if let Some(inner) = self.under_core_urn(kind, &name, &value) {
            for (name, value) in inner {
                if out.keys().any(|known| known.eq_ignore_ascii_case(&name)) {
                    return Err(Error::syntax(format!(
                        "the attribute \"{}\" stands twice: under the URN of its schema and without it",
                        excerpt(&name)
                    )));
                }
                self.top_level(kind, name, value, out)?;
            }
        } else {
            self.path_as_name(kind, name, value, out)?;
        }
        Ok(())
    }

    /// Takes a name that is no attribute of the resource itself for the path of one, or drops it.
    fn path_as_name(
        &mut self,
        kind: &ResourceType,
        name: String,
        value: Value,
        out: &mut Map<String, Value>,
    ) -> Result<(), Error> {
        let long = path(kind, self.quirks, self.applied, &name).into_owned();
        let spelled = long != name;
        match kind.resolve_target(&long) {
            Ok(Target::Attribute(at))
                if at.sub_attribute.is_none() && (spelled || self.uses(Quirks::PATHS_AS_KEYS)) =>
            {
                let mut inner = Map::new();
                inner.insert(at.attribute.name.to_string(), value);
                match at.container {
                    None => {
                        for (name, value) in inner {
                            self.top_level(kind, name, value, out)?;
                        }
                    }
                    Some(urn) => {
                        self.top_level(kind, urn.to_string(), Value::Object(inner), out)?;
                    }
                }
            }
            Err(error) if error.lead == Lead::Mistaken => {
                return Err(Error::Path(PathError { path: excerpt(&name), ..error }));
            }
            _ if self.uses(Quirks::UNKNOWN_ATTRIBUTES) => {}
            _ => drop(out.insert(name, value)),
        }
        Ok(())
    }

    /// The attributes of the core schema as an object under its URN, as if they were an extension.
    pub(crate) fn under_core_urn(
        &mut self,
        kind: &ResourceType,
        name: &str,
        value: &Value,
    ) -> Option<Map<String, Value>> {
        let inner = value.as_object()?;
        let is_core = name.eq_ignore_ascii_case(kind.schema.id.as_str());
        (is_core && self.uses(Quirks::CORE_UNDER_URN)).then(|| inner.clone())
    }

    /// One text for `schemas`, which is an array.
    pub(crate) fn schemas_as_array(&mut self, schemas: &mut Value) {
        if schemas.as_str().is_some_and(|urn| !urn.is_empty()) && self.uses(Quirks::ARRAYS_OF_ONE) {
            *schemas = Value::Array(vec![schemas.take()]);
        }
    }

    /// Missing `schemas` become the endpoint's own; URNs that the kind does not have are dropped, and
    /// those of extensions that the body carries are added.
    fn schemas_repaired(&mut self, kind: &ResourceType, out: &mut Map<String, Value>) {
        let key = out.keys().find(|name| name.eq_ignore_ascii_case("schemas")).cloned();
        if let Some(schemas) = key.as_ref().and_then(|key| out.get_mut(key)) {
            self.schemas_as_array(schemas);
        }
        let listed = key.as_ref().and_then(|key| out.get(key)).and_then(Value::as_array);
        let is_text = |value: &Value| value.is_string();
        let known = |value: &Value| {
            let urn = value.as_str().unwrap_or_default();
            urn.eq_ignore_ascii_case(kind.schema.id.as_str()) || kind.extension(urn).is_some()
        };
        let base = |value: &Value| {
            value.as_str().is_some_and(|urn| urn.eq_ignore_ascii_case(kind.schema.id.as_str()))
        };
        let unnamed = listed.map_or_else(Vec::new, |urns| kind.unnamed_extensions(out, urns));
        let fine = match listed {
            Some(urns) => {
                urns.iter().all(|urn| !is_text(urn) || known(urn))
                    && urns.iter().any(base)
                    && unnamed.is_empty()
            }
            None => key.as_ref().and_then(|key| out.get(key)).is_some_and(|value| !value.is_null()),
        };
        if fine || !self.uses(Quirks::SCHEMAS_REPAIRED) {
            return;
        }
        let mut urns: Vec<Value> = listed
            .into_iter()
            .flatten()
            .filter(|urn| !is_text(urn) || known(urn))
            .cloned()
            .collect();
        if !urns.iter().any(base) {
            urns.insert(0, kind.schema.id.as_str().into());
        }
        urns.extend(unnamed.into_iter().map(|urn| Value::from(urn.as_str())));
        out.insert(key.unwrap_or_else(|| "schemas".to_owned()), Value::Array(urns));
    }

    /// Repairs the value of an attribute, whether it is a whole value or comes from PATCH.
    pub(crate) fn attribute(&mut self, attribute: &Attribute, value: Value) -> Value {
        let value = match attribute.value_type {
            ValueType::Complex => self.json_in_text(value),
            _ => value,
        };
        let value = self.unwrapped(attribute, value);
        let value = self.array_or_value(attribute, value);
        match value {
            Value::Array(values) if attribute.multi_valued => Value::Array(
                values.into_iter().map(|value| self.single(attribute, value)).collect(),
            ),
            value => self.single(attribute, value),
        }
    }

    /// One object for an array of one (OneLogin), an array of one for a value (SCIM-SDK, Entra).
    fn array_or_value(&mut self, attribute: &Attribute, value: Value) -> Value {
        match value {
            Value::Array(mut values) if !attribute.multi_valued && values.len() <= 1 => {
                if self.uses(Quirks::ARRAYS_OF_ONE) {
                    values.pop().unwrap_or(Value::Null)
                } else {
                    Value::Array(values)
                }
            }
            Value::String(text)
                if attribute.multi_valued && text.is_empty() && self.uses(Quirks::EMPTY_CLEARS) =>
            {
                Value::Null
            }
            one @ Value::Object(_)
                if attribute.multi_valued && self.uses(Quirks::ARRAYS_OF_ONE) =>
            {
                Value::Array(vec![one])
            }
            one @ (Value::String(_) | Value::Number(_) | Value::Bool(_))
                if attribute.multi_valued
                    && (attribute.value_type != ValueType::Complex
                        || attribute.sub("value").is_some())
                    && self.uses(Quirks::ARRAYS_OF_ONE) =>
            {
                Value::Array(vec![one])
            }
            other => other,
        }
    }

    fn single(&mut self, attribute: &Attribute, value: Value) -> Value {
        let value = match attribute.value_type {
            ValueType::Complex => self.json_in_text(value),
            _ => self.plain(value),
        };
        match (attribute.value_type, value) {
            (_, Value::String(text)) if self.is_cleared(attribute, &text) => Value::Null,
            (ValueType::Complex, Value::Object(map)) => {
                let map = self.object(Some(attribute), &attribute.sub_attributes, map);
                if self.is_emptied(attribute, &map) || self.is_husk(attribute, &map) {
                    Value::Null
                } else {
                    Value::Object(map)
                }
            }
            (of, Value::Object(map))
                if of != ValueType::Complex
                    && attribute.multi_valued
                    && husks::is_empty_object(&map)
                    && self.uses(Quirks::EMPTY_CLEARS) =>
            {
                Value::Null
            }
            (ValueType::Complex, Value::String(text)) => self.complex_from_text(attribute, text),
            (ValueType::Complex, value @ (Value::Number(_) | Value::Bool(_))) => {
                self.object_of(attribute, value)
            }
            (ValueType::Boolean, Value::String(text)) => {
                boolean_from_text(self.quirks, self.applied, &text)
                    .map_or(Value::String(text), Value::Bool)
            }
            (ValueType::Binary, Value::String(text)) => Value::String(self.base64(text)),
            (ValueType::DateTime, Value::String(text)) => Value::String(self.moment(text)),
            (ValueType::String, value) => match json::digits(&value) {
                // A secret is what was sent, letter by letter.
                Some(digits)
                    if attribute.returned != Returned::Never
                        && self.uses(Quirks::NUMBERS_AS_TEXT) =>
                {
                    Value::String(digits)
                }
                _ => value,
            },
            (ValueType::Integer | ValueType::Decimal, Value::String(text))
                if json::is_number(&text) && self.uses(Quirks::NUMBERS_AS_TEXT) =>
            {
                json::number(&text)
            }
            (_, other) => other,
        }
    }

    /// Repairs an object: the value of `parent`, or of an extension.
    ///
    /// Unknown names are ignored beside known ones. Where they are all that a value says they stay, so
    /// that it is refused and not taken for an empty one.
    fn object(
        &mut self,
        parent: Option<&Attribute>,
        attributes: &[std::sync::Arc<Attribute>],
        mut map: Map<String, Value>,
    ) -> Map<String, Value> {
        let mut unknown = false;
        for (name, value) in &mut map {
            match find(attributes, name) {
                Some(attribute) => *value = self.attribute(attribute, value.take()),
                None => unknown = true,
            }
        }
        let mut known = map.keys().filter_map(|name| find(attributes, name));
        if unknown
            && known.any(|known| parent.is_none_or(|parent| !parent.describes(&known.name)))
            && self.uses(Quirks::UNKNOWN_ATTRIBUTES)
        {
            map.retain(|name, _| find(attributes, name).is_some());
        }
        map
    }

    /// `{"value": ""}` and `{"value": null}` mean that a singular attribute has no value (Entra,
    /// when a manager is removed).
    fn is_emptied(&mut self, attribute: &Attribute, map: &Map<String, Value>) -> bool {
        let empty = |value: &Value| value.is_null() || value.as_str() == Some("");
        let emptied = !attribute.multi_valued
            && attribute.sub("value").is_some()
            && map.iter().any(|(name, value)| name.eq_ignore_ascii_case("value") && empty(value));
        emptied && self.uses(Quirks::EMPTY_CLEARS)
    }

    /// A manager as his bare id; any other value as a bare text.
    fn complex_from_text(&mut self, attribute: &Attribute, text: String) -> Value {
        if text.is_empty() {
            return Value::String(text);
        }
        if &*attribute.name != "manager" {
            return self.object_of(attribute, Value::String(text));
        }
        match self.uses(Quirks::MANAGER_SHORT_FORMS) {
            true => Value::Object(forms::valued(Value::String(text))),
            false => Value::String(text),
        }
    }

    /// Repairs the envelope of a PATCH: the case of its names and of `op`, and missing `schemas`.
    pub(crate) fn patch_envelope(&mut self, raw: Value) -> Value {
        const URN: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
        let Value::Object(map) = raw else { return raw };
        let mut out = self.spelled(map, &["schemas", "Operations"]);
        if let Some(schemas) = out.get_mut("schemas") {
            self.schemas_as_array(schemas);
        }
        let named = out
            .get("schemas")
            .and_then(Value::as_array)
            .is_some_and(|urns| urns.iter().any(|urn| urn == URN));
        if !named && self.uses(Quirks::PATCH_ENVELOPE) {
            out.insert("schemas".to_owned(), serde_json::json!([URN]));
        }
        if let Some(Value::Array(operations)) = out.get_mut("Operations") {
            for operation in operations {
                let Value::Object(map) = operation else {
                    continue;
                };
                let mut spelled = self.spelled(std::mem::take(map), &["op", "path", "value"]);
                if let Some(Value::String(op)) = spelled.get_mut("op")
                    && op.bytes().any(|byte| byte.is_ascii_uppercase())
                    && self.uses(Quirks::PATCH_ENVELOPE)
                {
                    op.make_ascii_lowercase();
                }
                *map = spelled;
            }
        }
        Value::Object(out)
    }

    /// Gives names in another case their canonical spelling.
    fn spelled(&mut self, map: Map<String, Value>, names: &[&str]) -> Map<String, Value> {
        let mut out = Map::new();
        for (name, value) in map {
            let canonical = names.iter().find(|canonical| canonical.eq_ignore_ascii_case(&name));
            match canonical {
                Some(canonical) if *canonical != name && self.uses(Quirks::PATCH_ENVELOPE) => {
                    out.insert((*canonical).to_owned(), value);
                }
                _ => drop(out.insert(name, value)),
            }
        }
        out
    }

    /// Tells whether a repair is allowed, and notes it; for the PATCH engine's own decisions.
    pub(crate) fn allows(&mut self, quirk: Quirks) -> bool {
        self.uses(quirk)
    }
}

/// `"True"` and `"False"` in any case.
pub(crate) fn boolean_from_text(quirks: Quirks, applied: &mut Applied, text: &str) -> Option<bool> {
    let flag = flag(text).filter(|_| quirks.has(Quirks::BOOLEANS_AS_TEXT))?;
    applied.note(Quirks::BOOLEANS_AS_TEXT);
    Some(flag)
}

/// `true` and `false` in any case.
pub(crate) fn flag(text: &str) -> Option<bool> {
    let flags = [("true", true), ("false", false)];
    flags.into_iter().find(|(name, _)| text.eq_ignore_ascii_case(name)).map(|(_, flag)| flag)
}

/// The same query text with `+` read as a plus, if that makes a difference.
///
/// Form encoding says a space; Okta's Java client and rauthy leave the plus of an address as it is.
pub fn plus_taken_literally(quirks: Quirks, raw_filter: &str) -> Option<String> {
    (quirks.has(Quirks::PLUS_IN_QUERY) && raw_filter.contains('+'))
        .then(|| raw_filter.replace('+', "%2B"))
}
