//! Reads the body of a PATCH into operations with resolved paths.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Elements, Operation, PatchTarget, Verb, read_only};
use crate::error::{Error, Lead, PathError, excerpt};
use crate::filter::{Comparison, Filter, Literal, ParsedFilter};
use crate::ids::ResourceId;
use crate::json;
use crate::lenient::{self, Repairs};
use crate::members::MAX_MEMBERS;
use crate::path::{AttrRef, AttrSource, PathParts, PathTarget};
use crate::quirks::Quirks;
use crate::schema::{Attribute, ResourceType, ValueType};

/// Operations of one PATCH.
pub const MAX_OPERATIONS: usize = 1_000;
/// Bytes of a path.
const MAX_PATH_BYTES: usize = 1_024;
const URN: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

/// A PATCH whose paths are resolved.
#[derive(Debug, Clone)]
pub struct PatchRequest {
    /// The operations in order.
    pub operations: Vec<Operation>,
}

impl PatchRequest {
    /// Reads the body of a PATCH on the resource `id`.
    ///
    /// # Errors
    ///
    /// `invalidSyntax` for the envelope, `invalidPath` and `invalidFilter` for paths, `mutability`
    /// for read-only targets, `413` above the limits.
    pub(crate) fn parse(
        kind: &ResourceType,
        repairs: &mut Repairs<'_>,
        id: &ResourceId,
        raw: Value,
    ) -> Result<Self, Error> {
        let Value::Object(mut envelope) = repairs.patch_envelope(raw) else {
            return Err(Error::syntax("the request body must be a JSON object with Operations"));
        };
        let urns = envelope.get("schemas").and_then(Value::as_array);
        if !urns.is_some_and(|urns| urns.iter().any(|urn| urn == URN)) {
            return Err(Error::syntax(format!("schemas must name {URN}")));
        }
        let Some(Value::Array(raw)) = envelope.remove("Operations") else {
            return Err(Error::syntax("Operations is missing; it is an array of operations"));
        };
        if raw.is_empty() && !repairs.allows(Quirks::PATCH_ENVELOPE) {
            return Err(Error::syntax("Operations is empty; send at least one operation"));
        }
        if raw.len() > MAX_OPERATIONS {
            return Err(Error::TooLarge(format!(
                "more than {MAX_OPERATIONS} operations in one PATCH; send several"
            )));
        }
        let mut reader =
            Reader { kind, repairs, id, operations: Vec::with_capacity(raw.len()), values: 0 };
        for (index, operation) in raw.into_iter().enumerate() {
            let number = index + 1;
            reader
                .operation(number, operation)
                .map_err(|error| error.within(&format!("operation {number}")))?;
        }
        Ok(Self { operations: reader.operations })
    }

    /// Returns the attributes that the client writes, for replies (RFC 7643 §7 `returned: request`).
    pub fn written_attributes(&self) -> impl Iterator<Item = &AttrRef> {
        self.operations.iter().filter_map(|operation| match &operation.target {
            PatchTarget::Attribute(reference) => Some(reference),
            PatchTarget::Elements(elements) => Some(&elements.attribute),
            PatchTarget::Container(_)
            | PatchTarget::Schemas
            | PatchTarget::Members
            | PatchTarget::SelectedMembers(_) => None,
        })
    }
}

struct Reader<'a, 'r> {
    kind: &'a ResourceType,
    repairs: &'a mut Repairs<'r>,
    id: &'a ResourceId,
    operations: Vec<Operation>,
    /// The number of values in all operations.
    values: usize,
}

impl Reader<'_, '_> {
    fn operation(&mut self, number: usize, raw: Value) -> Result<(), Error> {
        let Value::Object(mut raw) = raw else {
            return Err(Error::syntax("an operation must be an object with op, path and value"));
        };
        let verb = parse_verb(raw.get("op").and_then(Value::as_str))?;
        let value = raw.remove("value");
        if let Some(Value::Array(values)) = &value {
            self.values += values.len();
            if self.values > MAX_MEMBERS {
                return Err(Error::TooLarge(format!(
                    "more than {MAX_MEMBERS} values in one PATCH; send several"
                )));
            }
        }
        if verb != Verb::Remove && value.is_none() {
            return Err(Error::value("value", "add and replace need a value"));
        }
        let path = match raw.remove("path") {
            None | Some(Value::Null) => None,
            Some(Value::String(path)) => Some(path).filter(|path| !path.is_empty()),
            Some(other) => {
                let path = json::to_text(&other);
                return Err(Error::Path(PathError::new(&path, "a path must be a text")));
            }
        };
        match path {
            Some(path) => {
                let whole = value
                    .as_ref()
                    .filter(|_| verb != Verb::Remove)
                    .and_then(|value| self.repairs.under_core_urn(self.kind, &path, value));
                if let Some(inner) = whole {
                    return self.pathless(number, verb, inner);
                }
                let Some(target) = self.target(&path)? else {
                    return Ok(());
                };
                self.check_writable(&target)?;
                let value = match (&target, value) {
                    (PatchTarget::Container(_), Some(value)) => {
                        Some(self.repairs.json_in_text(value))
                    }
                    (_, value) => value,
                };
                self.operations.push(Operation { verb, target, value, number });
                Ok(())
            }
            None if verb == Verb::Remove => {
                Err(Error::NoTarget("remove needs a path; name the attribute to remove".to_owned()))
            }
            None => match value.map(|value| self.repairs.json_in_text(value)) {
                Some(Value::Object(map)) => self.pathless(number, verb, map),
                _ => Err(Error::value(
                    "value",
                    "an operation without a path needs an object of attributes",
                )),
            },
        }
    }

    /// Makes one operation per attribute of a pathless value.
    fn pathless(
        &mut self,
        number: usize,
        verb: Verb,
        map: Map<String, Value>,
    ) -> Result<(), Error> {
        let names = map.len();
        let mut unknown = Vec::new();
        for (name, value) in map {
            if name.eq_ignore_ascii_case("schemas") {
                continue;
            }
            if name.eq_ignore_ascii_case("id") {
                self.check_id(&value)?;
                continue;
            }
            if let Some(inner) = self.repairs.under_core_urn(self.kind, &name, &value) {
                self.pathless(number, verb, inner)?;
                continue;
            }
            let plain =
                self.kind.schema.attribute(&name).is_some() || self.kind.extension(&name).is_some();
            if !plain
                && name.contains(['.', ':', '['])
                && !self.repairs.allows(Quirks::PATHS_AS_KEYS)
            {
                return Err(Error::syntax(format!(
                    "\"{}\" is not an attribute of {}",
                    excerpt(&name),
                    self.kind.kind
                )));
            }
            let target = match self.target(&name) {
                Ok(Some(target)) => target,
                Ok(None) => continue,
                // An unknown name in a value is ignored, but not one with a mistake in it.
                Err(Error::Path(error))
                    if error.lead != Lead::Mistaken
                        && self.repairs.allows(Quirks::UNKNOWN_ATTRIBUTES) =>
                {
                    unknown.push(name);
                    continue;
                }
                Err(error) => return Err(error),
            };
            match self.check_writable(&target) {
                Err(_) if self.repairs.allows(Quirks::READ_ONLY_IN_VALUE) => continue,
                checked => checked?,
            }
            self.operations.push(Operation { verb, target, value: Some(value), number });
        }
        match unknown.first() {
            Some(name) if unknown.len() == names => Err(Error::value(
                excerpt(name),
                format!("{} has no such attribute, and the value names no other", self.kind.kind),
            )),
            _ => Ok(()),
        }
    }

    /// Accepts the id of the resource itself, and refuses any other.
    fn check_id(&mut self, value: &Value) -> Result<(), Error> {
        let same = value.is_null() || value.as_str() == Some(self.id.as_str());
        if same && self.repairs.allows(Quirks::READ_ONLY_IN_VALUE) {
            return Ok(());
        }
        Err(Error::Mutability {
            path: "id".to_owned(),
            reason: "the id of a resource never changes; remove it from the value".into(),
        })
    }

    fn check_writable(&self, target: &PatchTarget) -> Result<(), Error> {
        match target {
            PatchTarget::Attribute(reference) => {
                if reference.attribute.is_read_only() || reference.leaf().is_read_only() {
                    return Err(read_only(reference.to_string()));
                }
            }
            PatchTarget::Elements(elements) => {
                let sub = elements.sub_attribute.as_ref().is_some_and(|sub| sub.is_read_only());
                if elements.attribute.attribute.is_read_only() || sub {
                    return Err(read_only(elements.attribute.to_string()));
                }
            }
            PatchTarget::Container(_)
            | PatchTarget::Schemas
            | PatchTarget::Members
            | PatchTarget::SelectedMembers(_) => {}
        }
        Ok(())
    }

    /// Resolves a path, or returns `None` when the operation is to be ignored.
    fn target(&mut self, path: &str) -> Result<Option<PatchTarget>, Error> {
        if path.len() > MAX_PATH_BYTES {
            return Err(Error::Path(PathError::new(
                path,
                format!("longer than {MAX_PATH_BYTES} bytes"),
            )));
        }
        let parts = PathParts::of(path)?;
        let Repairs { quirks, applied } = &mut *self.repairs;
        let attribute = lenient::repair_path(self.kind, *quirks, applied, parts.attribute);
        let reference = match self.kind.resolve_target(&attribute) {
            Ok(PathTarget::Attribute(reference)) => reference,
            Ok(PathTarget::Container(extension)) if parts.filter.is_none() => {
                return Ok(Some(PatchTarget::Container(extension)));
            }
            Ok(PathTarget::Container(_)) => {
                return Err(Error::Path(PathError::new(
                    path,
                    "a filter selects values of an attribute, not of a schema",
                )));
            }
            Err(error)
                if error.lead == Lead::Foreign && self.repairs.allows(Quirks::FOREIGN_PATHS) =>
            {
                return Ok(None);
            }
            Err(error) => {
                return Err(Error::Path(PathError { path: excerpt(path), ..error }));
            }
        };
        match parts.filter {
            None => self.plain_target(path, reference).map(Some),
            Some(filter) => self.selected_target(path, filter, parts.sub, reference).map(Some),
        }
    }

    /// Resolves the filter of a path, and the sub-attribute after it.
    fn selected_target(
        &mut self,
        path: &str,
        filter: &str,
        sub: Option<&str>,
        reference: AttrRef,
    ) -> Result<PatchTarget, Error> {
        let parsed = ParsedFilter::parse_leniently(filter, self.repairs)?;
        let mut context = crate::filter::Context {
            kind: self.kind,
            quirks: self.repairs.quirks,
            applied: self.repairs.applied,
            unknown_is_absent: false,
        };
        let is_list =
            reference.source != AttrSource::Schemas && context.is_list_of_values(&reference);
        if !is_list
            && (reference.sub_attribute.is_some()
                || reference.attribute.value_type != ValueType::Complex)
        {
            return Err(Error::filter(format!(
                "{reference} has no sub-attributes to filter by in [ ]"
            )));
        }
        let resolved = context.inside(&reference, &parsed)?;
        let sub_attribute = match sub {
            None => None,
            Some(sub) if is_list && sub.eq_ignore_ascii_case("value") => None,
            Some(name) => Some(Arc::clone(reference.attribute.sub(name).ok_or_else(|| {
                Error::Path(PathError::new(
                    path,
                    format!("{reference} has no sub-attribute of this name"),
                ))
            })?)),
        };
        if reference.source == AttrSource::Members {
            return match sub_attribute {
                None => Ok(PatchTarget::SelectedMembers(resolved)),
                Some(_) => Err(members_are_whole()),
            };
        }
        let template = template(self.repairs, &reference, &parsed);
        Ok(PatchTarget::Elements(Elements {
            attribute: reference,
            filter: resolved,
            sub_attribute,
            template,
        }))
    }

    fn plain_target(&mut self, path: &str, reference: AttrRef) -> Result<PatchTarget, Error> {
        match (&reference.source, &reference.sub_attribute) {
            (AttrSource::Schemas, _) => return Ok(PatchTarget::Schemas),
            (AttrSource::Members, None) => return Ok(PatchTarget::Members),
            (AttrSource::Members, Some(_)) => return Err(members_are_whole()),
            _ => {}
        }
        if reference.is_plural()
            && reference.sub_attribute.is_some()
            && !reference.attribute.is_read_only()
            && !self.repairs.allows(Quirks::PATHS_INTO_ALL)
        {
            let reason = "which of the values is meant? Select by a filter, as in emails[type eq \"work\"].value";
            return Err(Error::Path(PathError::new(path, reason)));
        }
        Ok(PatchTarget::Attribute(reference))
    }
}

fn parse_verb(op: Option<&str>) -> Result<Verb, Error> {
    match op {
        Some("add") => Ok(Verb::Add),
        Some("replace") => Ok(Verb::Replace),
        Some("remove") => Ok(Verb::Remove),
        Some(other) => Err(Error::syntax(format!(
            "op is \"{}\"; it must be add, replace or remove",
            excerpt(other)
        ))),
        None => Err(Error::syntax("op is missing; it must be add, replace or remove")),
    }
}

/// Returns the error for an edit of a member: members are added and removed as a whole (CHR-007).
pub(super) fn members_are_whole() -> Error {
    Error::Mutability {
        path: "members".to_owned(),
        reason: "a member is added or removed as a whole, never edited".into(),
    }
}

/// Returns the sub-attributes of a value that satisfies a filter of `eq` terms joined by `and`.
fn template(
    repairs: &mut Repairs<'_>,
    parent: &AttrRef,
    filter: &ParsedFilter,
) -> Option<Map<String, Value>> {
    let mut map = Map::new();
    let mut pending = vec![filter];
    while let Some(filter) = pending.pop() {
        match filter {
            Filter::And(terms) => pending.extend(terms.iter().rev()),
            Filter::Compare(path, Comparison::Equal, literal) => {
                let (name, value) = if parent.is_simple_list() {
                    ("value".to_owned(), literal_value(&parent.attribute, literal)?)
                } else {
                    let sub = parent.attribute.sub(path.as_str())?;
                    let value = literal_value(sub, literal)?;
                    (sub.name.to_string(), repairs.attribute(sub, value))
                };
                // No value satisfies two different ones.
                if map.insert(name, value.clone()).is_some_and(|other| other != value) {
                    return None;
                }
            }
            _ => return None,
        }
    }
    Some(map)
}

/// Returns the value that satisfies `eq` with a literal that fits the attribute.
fn literal_value(attribute: &Attribute, literal: &Literal) -> Option<Value> {
    Some(match (attribute.value_type, literal) {
        (_, Literal::Null) => return None,
        (ValueType::Boolean, Literal::Boolean(flag)) => Value::Bool(*flag),
        (ValueType::Boolean, Literal::Word(word)) => Value::Bool(lenient::flag(word)?),
        (ValueType::Integer | ValueType::Decimal, Literal::Number(digits)) => json::number(digits),
        (_, Literal::Boolean(flag)) => Value::String(flag.to_string()),
        (_, Literal::Text(text) | Literal::Word(text) | Literal::Number(text)) => {
            Value::String(text.clone())
        }
    })
}
