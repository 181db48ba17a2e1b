//! Repairs requests: converts the forms that identity providers send to those of the RFC.
//!
//! One function per form, each behind its switch in [`Quirks`], which names the source, and each with a
//! recorded request under `tests/fixtures/quirks`.
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
use crate::path::PathTarget;
use crate::quirks::{Applied, Quirks};
use crate::schema::{Attribute, Membership, ResourceType, Returned, ValueType, find};
use crate::value::is_null_or_empty;

pub(crate) use paths::repair_path;

/// The tenant's switches, and the repairs that one request needed.
#[derive(Debug)]
pub(crate) struct Repairs<'a> {
    pub(crate) quirks: Quirks,
    pub(crate) applied: &'a mut Applied,
}

impl Repairs<'_> {
    /// Returns whether a switch is on, and if so notes that it was needed.
    pub(crate) fn allows(&mut self, quirk: Quirks) -> bool {
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
        self.repair_schemas(kind, &mut out);
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
            // A body may have both the container and a short form of one of its attributes.
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
                        "the attribute \"{}\" is sent twice: under the URN of its schema and without it",
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

    /// Reads a name that is not an attribute of the resource itself as a path, or drops it.
    fn path_as_name(
        &mut self,
        kind: &ResourceType,
        name: String,
        value: Value,
        out: &mut Map<String, Value>,
    ) -> Result<(), Error> {
        let long = repair_path(kind, self.quirks, self.applied, &name).into_owned();
        let repaired = long != name;
        match kind.resolve_target(&long) {
            Ok(PathTarget::Attribute(at))
                if at.sub_attribute.is_none()
                    && (repaired || self.allows(Quirks::PATHS_AS_KEYS)) =>
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
            _ if self.allows(Quirks::UNKNOWN_ATTRIBUTES) => {}
            _ => drop(out.insert(name, value)),
        }
        Ok(())
    }

    /// Returns the attributes of the core schema that are in an object under its URN, like an extension's.
    pub(crate) fn under_core_urn(
        &mut self,
        kind: &ResourceType,
        name: &str,
        value: &Value,
    ) -> Option<Map<String, Value>> {
        let inner = value.as_object()?;
        let is_core = name.eq_ignore_ascii_case(kind.schema.id.as_str());
        (is_core && self.allows(Quirks::CORE_UNDER_URN)).then(|| inner.clone())
    }

    /// Accepts one text for `schemas`, which is an array.
    pub(crate) fn schemas_as_array(&mut self, schemas: &mut Value) {
        if schemas.as_str().is_some_and(|urn| !urn.is_empty()) && self.allows(Quirks::ARRAYS_OF_ONE)
        {
            *schemas = Value::Array(vec![schemas.take()]);
        }
    }

    /// Adds missing `schemas` and those of extensions that the body has, and drops URNs that the kind does
    /// not have.
    fn repair_schemas(&mut self, kind: &ResourceType, out: &mut Map<String, Value>) {
        let key = out.keys().find(|name| name.eq_ignore_ascii_case("schemas")).cloned();
        if let Some(schemas) = key.as_ref().and_then(|key| out.get_mut(key)) {
            self.schemas_as_array(schemas);
        }
        let schemas = key.as_ref().and_then(|key| out.get(key));
        let listed = schemas.and_then(Value::as_array);
        let unnamed = listed.map_or_else(Vec::new, |urns| kind.unnamed_extensions(out, urns));
        let complete = match listed {
            Some(urns) => {
                urns.iter().all(|urn| may_stay(kind, urn))
                    && urns.iter().any(|urn| is_core(kind, urn))
                    && unnamed.is_empty()
            }
            // Normalization refuses whatever else is there.
            None => schemas.is_some_and(|value| !value.is_null()),
        };
        if complete || !self.allows(Quirks::SCHEMAS_REPAIRED) {
            return;
        }
        let listed = listed.into_iter().flatten();
        let mut urns: Vec<Value> = listed.filter(|urn| may_stay(kind, urn)).cloned().collect();
        if !urns.iter().any(|urn| is_core(kind, urn)) {
            urns.insert(0, kind.schema.id.as_str().into());
        }
        urns.extend(unnamed.into_iter().map(|urn| Value::from(urn.as_str())));
        out.insert(key.unwrap_or_else(|| "schemas".to_owned()), Value::Array(urns));
    }

    /// Repairs the value of an attribute, from a whole resource or from PATCH.
    pub(crate) fn attribute(&mut self, attribute: &Attribute, value: Value) -> Value {
        let value = match attribute.value_type {
            ValueType::Complex => self.json_in_text(value),
            _ => value,
        };
        let value = self.strip_wrapper(attribute, value);
        let value = self.array_or_value(attribute, value);
        match value {
            Value::Array(values) if attribute.multi_valued => Value::Array(
                values.into_iter().map(|value| self.single(attribute, value)).collect(),
            ),
            value => self.single(attribute, value),
        }
    }

    /// Accepts one object for an array of one (OneLogin), and an array of one for a value (SCIM-SDK,
    /// Entra).
    fn array_or_value(&mut self, attribute: &Attribute, value: Value) -> Value {
        match value {
            Value::Array(mut values) if !attribute.multi_valued && values.len() <= 1 => {
                if self.allows(Quirks::ARRAYS_OF_ONE) {
                    values.pop().unwrap_or(Value::Null)
                } else {
                    Value::Array(values)
                }
            }
            Value::String(text)
                if attribute.multi_valued
                    && text.is_empty()
                    && self.allows(Quirks::EMPTY_CLEARS) =>
            {
                Value::Null
            }
            one @ Value::Object(_)
                if attribute.multi_valued && self.allows(Quirks::ARRAYS_OF_ONE) =>
            {
                Value::Array(vec![one])
            }
            one @ (Value::String(_) | Value::Number(_) | Value::Bool(_))
                if attribute.multi_valued
                    && (attribute.value_type != ValueType::Complex
                        || attribute.sub("value").is_some())
                    && self.allows(Quirks::ARRAYS_OF_ONE) =>
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
                    && self.allows(Quirks::EMPTY_CLEARS) =>
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
                // A secret is compared with exactly what the client sent.
                Some(digits)
                    if attribute.returned != Returned::Never
                        && self.allows(Quirks::NUMBERS_AS_TEXT) =>
                {
                    Value::String(digits)
                }
                _ => value,
            },
            (ValueType::Integer | ValueType::Decimal, Value::String(text))
                if json::is_number(&text) && self.allows(Quirks::NUMBERS_AS_TEXT) =>
            {
                json::number(&text)
            }
            (_, other) => other,
        }
    }

    /// Repairs an object: the value of `parent`, or of an extension.
    ///
    /// Unknown names are dropped next to known ones. An object of unknown names alone keeps them, so that
    /// it is refused and not read as empty.
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
            && self.allows(Quirks::UNKNOWN_ATTRIBUTES)
        {
            map.retain(|name, _| find(attributes, name).is_some());
        }
        map
    }

    /// Returns whether an object clears a singular attribute: `{"value": ""}` and `{"value": null}`
    /// (Entra, to remove a manager).
    fn is_emptied(&mut self, attribute: &Attribute, map: &Map<String, Value>) -> bool {
        let emptied = !attribute.multi_valued
            && attribute.sub("value").is_some()
            && map
                .iter()
                .any(|(name, value)| name.eq_ignore_ascii_case("value") && is_null_or_empty(value));
        emptied && self.allows(Quirks::EMPTY_CLEARS)
    }

    /// Accepts a manager as a bare id, and any other value as a bare text.
    fn complex_from_text(&mut self, attribute: &Attribute, text: String) -> Value {
        if text.is_empty() {
            return Value::String(text);
        }
        if &*attribute.name != "manager" {
            return self.object_of(attribute, Value::String(text));
        }
        match self.allows(Quirks::MANAGER_SHORT_FORMS) {
            true => Value::Object(forms::wrap_value(Value::String(text))),
            false => Value::String(text),
        }
    }

    /// Repairs the envelope of a PATCH: the case of its names and of `op`, and missing `schemas`.
    pub(crate) fn patch_envelope(&mut self, raw: Value) -> Value {
        const URN: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
        let Value::Object(map) = raw else { return raw };
        let mut out = self.spell_names(map, &["schemas", "Operations"]);
        if let Some(schemas) = out.get_mut("schemas") {
            self.schemas_as_array(schemas);
        }
        let named = out
            .get("schemas")
            .and_then(Value::as_array)
            .is_some_and(|urns| urns.iter().any(|urn| urn == URN));
        if !named && self.allows(Quirks::PATCH_ENVELOPE) {
            out.insert("schemas".to_owned(), serde_json::json!([URN]));
        }
        if let Some(Value::Array(operations)) = out.get_mut("Operations") {
            for operation in operations {
                let Value::Object(map) = operation else {
                    continue;
                };
                let mut spelled = self.spell_names(std::mem::take(map), &["op", "path", "value"]);
                if let Some(Value::String(op)) = spelled.get_mut("op")
                    && op.bytes().any(|byte| byte.is_ascii_uppercase())
                    && self.allows(Quirks::PATCH_ENVELOPE)
                {
                    op.make_ascii_lowercase();
                }
                *map = spelled;
            }
        }
        Value::Object(out)
    }

    /// Gives names in another case their canonical spelling.
    fn spell_names(&mut self, map: Map<String, Value>, names: &[&str]) -> Map<String, Value> {
        let mut out = Map::new();
        for (name, value) in map {
            let canonical = names.iter().find(|canonical| canonical.eq_ignore_ascii_case(&name));
            match canonical {
                Some(canonical) if *canonical != name && self.allows(Quirks::PATCH_ENVELOPE) => {
                    out.insert((*canonical).to_owned(), value);
                }
                _ => drop(out.insert(name, value)),
            }
        }
        out
    }
}

/// Returns whether an element of `schemas` is the URN of the kind's core schema.
fn is_core(kind: &ResourceType, urn: &Value) -> bool {
    urn.as_str().is_some_and(|urn| urn.eq_ignore_ascii_case(kind.schema.id.as_str()))
}

/// Returns whether an element of `schemas` is a URN of the kind. What is no text is refused later.
fn may_stay(kind: &ResourceType, urn: &Value) -> bool {
    is_core(kind, urn) || urn.as_str().is_none_or(|urn| kind.extension(urn).is_some())
}

/// Reads `"True"` and `"False"` in any case, where the tenant allows it.
pub(crate) fn boolean_from_text(quirks: Quirks, applied: &mut Applied, text: &str) -> Option<bool> {
    let flag = flag(text).filter(|_| quirks.has(Quirks::BOOLEANS_AS_TEXT))?;
    applied.note(Quirks::BOOLEANS_AS_TEXT);
    Some(flag)
}

/// Reads `true` and `false` in any case.
pub(crate) fn flag(text: &str) -> Option<bool> {
    let flags = [("true", true), ("false", false)];
    flags.into_iter().find(|(name, _)| text.eq_ignore_ascii_case(name)).map(|(_, flag)| flag)
}

/// Returns the same query text with `+` read as a plus, if that makes a difference.
///
/// In form encoding `+` is a space; Okta's Java client and rauthy do not encode the plus of an address.
pub fn plus_taken_literally(quirks: Quirks, raw_filter: &str) -> Option<String> {
    (quirks.has(Quirks::PLUS_IN_QUERY) && raw_filter.contains('+'))
        .then(|| raw_filter.replace('+', "%2B"))
}
