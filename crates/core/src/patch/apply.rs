//! The PATCH engine: operations applied in order to a copy, then the schema's checks over the result.

use serde_json::{Map, Value};

use super::{Elements, Operation, PatchTarget, Patched, Verb};
use crate::error::{Error, PathError};
use crate::filter::{
    Comparison, Filter, Operand, ResolvedFilter, element_matches, row, rows_match,
};
use crate::ids::{ResourceId, Urn};
use crate::lenient::Repairs;
use crate::members::{self, Member, MemberChange, MemberRef};
use crate::path::{AttrRef, Place};
use crate::quirks::Quirks;
use crate::resource::{At, Attributes, Rules, canonical, is_primary, same_value};
use crate::schema::{Attribute, Mutability, ResourceType, ValueType};

/// What came of applying operations.
#[derive(Debug)]
pub enum Outcome {
    /// They applied.
    Patched(Box<Patched>),
    /// They select members by something else than ids: the caller has to bring the members.
    NeedMembers,
}

/// Applies `operations` in order to a copy of `before`.
///
/// The result satisfies the same invariants as `before`; a failing operation discards all of them.
/// `members` are the group's members, if the caller has them at hand.
///
/// # Errors
///
/// The errors of RFC 7644 §3.5.2 for the first operation that cannot be applied, or for a result
/// that the schema does not allow.
pub(crate) fn apply(
    kind: &ResourceType,
    repairs: &mut Repairs<'_>,
    before: &Attributes,
    members: Option<&[Member]>,
    operations: &[Operation],
) -> Result<Outcome, Error> {
    let mut engine = Engine {
        kind,
        repairs,
        map: before.clone().into_map(),
        members: MemberChange::default(),
        loaded: members,
        removed: Vec::new(),
    };
    for operation in operations {
        let done = engine.operation(operation);
        if !done.map_err(|error| error.within(&format!("operation {}", operation.number)))? {
            return Ok(Outcome::NeedMembers);
        }
    }
    let Engine { map, members, removed, repairs, .. } = engine;
    let quirks = repairs.quirks;
    let normalized =
        canonical(kind, quirks, map).map_err(|error| missing_required(error, &removed))?;
    check_immutable(kind, before, &normalized.attributes)?;
    Ok(Outcome::Patched(Box::new(Patched { attributes: normalized.attributes, members })))
}

/// PAT-060: what a `remove` took away and the schema requires is a matter of mutability.
fn missing_required(error: Error, removed: &[String]) -> Error {
    match error {
        Error::Value { path, .. } if removed.contains(&path) => Error::Mutability {
            path,
            reason: "a required attribute cannot be removed; replace its value",
        },
        other => other,
    }
}

struct Engine<'a, 'r> {
    kind: &'a ResourceType,
    repairs: &'a mut Repairs<'r>,
    map: Map<String, Value>,
    members: MemberChange,
    loaded: Option<&'a [Member]>,
    /// Paths that a `remove` named, for the choice of error.
    removed: Vec<String>,
}

impl Engine<'_, '_> {
    /// Applies one operation; false when it needs the members.
    fn operation(&mut self, operation: &Operation) -> Result<bool, Error> {
        let value = operation.value.clone();
        match &operation.target {
            PatchTarget::Attribute(at) => self.attribute(operation.verb, at, value)?,
            PatchTarget::Elements(elements) => self.elements(operation.verb, elements, value)?,
            PatchTarget::Container(extension) => {
                let urn = &extension.schema.id;
                match (operation.verb, value.unwrap_or(Value::Null)) {
                    (Verb::Remove, _) | (Verb::Replace, Value::Null) => {
                        self.map.shift_remove(urn.as_str());
                    }
                    (Verb::Add, Value::Null) => {}
                    (_, Value::Object(map)) => self.container(operation.verb, extension, map)?,
                    _ => {
                        return Err(Error::value(
                            urn.as_str(),
                            "an extension must be an object of attributes",
                        ));
                    }
                }
            }
            PatchTarget::Schemas => self.schemas(operation.verb, value)?,
            PatchTarget::Members => self.all_members(operation.verb, value)?,
            PatchTarget::SelectedMembers(filter) => {
                return self.selected_members(operation.verb, filter);
            }
        }
        Ok(true)
    }

    fn rules(&self) -> Rules {
        Rules { quirks: self.repairs.quirks }
    }

    /// The object in which attributes of a container stand, made when it is not there.
    fn container_map(&mut self, urn: Option<&Urn>) -> Result<&mut Map<String, Value>, Error> {
        let Some(urn) = urn else {
            return Ok(&mut self.map);
        };
        let slot = self.map.entry(urn.as_str()).or_insert_with(|| Value::Object(Map::new()));
        slot.as_object_mut()
            .ok_or_else(|| Error::internal("an extension in a document is an object"))
    }

    /// A value as an object of attributes of an extension: each by its own rule (PAT-050).
    fn container(
        &mut self,
        verb: Verb,
        extension: &crate::schema::Extension,
        map: Map<String, Value>,
    ) -> Result<(), Error> {
        for (name, value) in map {
            let Some(attribute) = extension.schema.attribute(&name) else {
                if self.repairs.allows(Quirks::UNKNOWN_ATTRIBUTES) {
                    continue;
                }
                let path = format!("{}:{name}", extension.schema.id);
                return Err(Error::Path(PathError::new(
                    &path,
                    "the extension has no attribute of this name",
                )));
            };
            if attribute.is_read_only() {
                if self.repairs.allows(Quirks::READ_ONLY_IN_VALUE) {
                    continue;
                }
                return Err(Error::Mutability {
                    path: name,
                    reason: "only the server sets this attribute",
                });
            }
            let at = AttrRef {
                container: Some(extension.schema.id.clone()),
                attribute: std::sync::Arc::clone(attribute),
                sub_attribute: None,
                place: Place::Document,
            };
            self.attribute(verb, &at, Some(value))?;
        }
        Ok(())
    }

    /// An attribute or sub-attribute named by a path.
    fn attribute(&mut self, verb: Verb, at: &AttrRef, value: Option<Value>) -> Result<(), Error> {
        if at.sub_attribute.is_some() && at.is_plural() {
            return self.every_element(verb, at, value);
        }
        if verb == Verb::Remove {
            return self.remove(at, value);
        }
        let value = value.unwrap_or(Value::Null);
        let was_unset = value.is_null() || value.as_array().is_some_and(Vec::is_empty);
        if verb == Verb::Add && was_unset {
            // PAT-049: adding nothing changes nothing.
            return Ok(());
        }
        let path = at.to_string();
        match &at.sub_attribute {
            None => {
                let definition = &at.attribute;
                let value = self.repairs.attribute(definition, one_as_array(definition, value));
                if definition.value_type == ValueType::Complex && !definition.multi_valued {
                    return self.merge(at, value, &path);
                }
                let value =
                    self.rules().attribute(definition, value, &At::Under(&At::Root, &path))?;
                let map = self.container_map(at.container.as_ref())?;
                match value {
                    None => drop(map.shift_remove(&*definition.name)),
                    Some(Value::Array(new)) if verb == Verb::Add => {
                        append(map, &definition.name, new);
                    }
                    Some(value) => drop(map.insert(definition.name.to_string(), value)),
                }
            }
            Some(sub) => {
                let value = self.repairs.attribute(sub, value);
                let value = self.rules().attribute(sub, value, &At::Under(&At::Root, &path))?;
                let map = self.container_map(at.container.as_ref())?;
                let parent =
                    map.entry(&*at.attribute.name).or_insert_with(|| Value::Object(Map::new()));
                if let Value::Object(parent) = parent {
                    set(parent, &sub.name, value);
                }
                drop_if_empty(map, &at.attribute.name);
            }
        }
        Ok(())
    }

    /// A singular complex attribute: given sub-attributes are set, others stay (PAT-036, PAT-069).
    fn merge(&mut self, at: &AttrRef, value: Value, path: &str) -> Result<(), Error> {
        let map = match value {
            Value::Object(map) => map,
            Value::Null => {
                self.container_map(at.container.as_ref())?.shift_remove(&*at.attribute.name);
                return Ok(());
            }
            _ => return Err(Error::value(path, "must be an object with sub-attributes")),
        };
        let rules = self.rules();
        let mut changes = Vec::with_capacity(map.len());
        for (name, value) in map {
            let Some(sub) = at.attribute.sub(&name) else {
                return Err(Error::syntax(format!(
                    "{path} has no sub-attribute \"{}\"",
                    crate::error::excerpt(&name)
                )));
            };
            // A client may send back what only the server sets.
            if !sub.is_read_only() {
                let place = format!("{path}.{}", sub.name);
                changes.push((sub, rules.attribute(sub, value, &At::Under(&At::Root, &place))?));
            }
        }
        let container = self.container_map(at.container.as_ref())?;
        let target =
            container.entry(&*at.attribute.name).or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(target) = target {
            for (sub, value) in changes {
                set(target, &sub.name, value);
            }
        }
        drop_if_empty(container, &at.attribute.name);
        Ok(())
    }

    fn remove(&mut self, at: &AttrRef, value: Option<Value>) -> Result<(), Error> {
        let path = at.to_string();
        if let (None, true, Some(list)) =
            (&at.sub_attribute, at.is_plural(), value.filter(|value| !value.is_null()))
        {
            return self.remove_listed(at, list, &path);
        }
        self.removed.push(path);
        let map = self.container_map(at.container.as_ref())?;
        match &at.sub_attribute {
            None => drop(map.shift_remove(&*at.attribute.name)),
            Some(sub) => {
                if let Some(Value::Object(parent)) = map.get_mut(&*at.attribute.name) {
                    parent.shift_remove(&*sub.name);
                }
                drop_if_empty(map, &at.attribute.name);
            }
        }
        Ok(())
    }

    /// `remove` with a list beside the path takes away those values and no others (PAT-058).
    fn remove_listed(&mut self, at: &AttrRef, list: Value, path: &str) -> Result<(), Error> {
        if !self.repairs.allows(Quirks::REMOVE_BY_VALUE_LIST) {
            return Err(Error::syntax(
                "remove takes no value; select what to remove by a filter in the path",
            ));
        }
        let list = self.repairs.attribute(&at.attribute, one_as_array(&at.attribute, list));
        let listed = self.rules().attribute(&at.attribute, list, &At::Under(&At::Root, path))?;
        let listed = match listed {
            Some(Value::Array(listed)) => listed,
            _ => return Ok(()),
        };
        let map = self.container_map(at.container.as_ref())?;
        if let Some(Value::Array(values)) = map.get_mut(&*at.attribute.name) {
            values.retain(|value| !listed.iter().any(|listed| describes(listed, value)));
        }
        drop_if_empty(map, &at.attribute.name);
        Ok(())
    }

    /// A sub-attribute of all values, as `emails.type`.
    fn every_element(
        &mut self,
        verb: Verb,
        at: &AttrRef,
        value: Option<Value>,
    ) -> Result<(), Error> {
        let elements = Elements {
            attribute: AttrRef { sub_attribute: None, ..at.clone() },
            filter: Filter::everything(),
            sub_attribute: at.sub_attribute.clone(),
            template: Some(Map::new()),
        };
        self.elements(verb, &elements, value)
    }

    /// The values that a filter selects, or one sub-attribute of them.
    fn elements(
        &mut self,
        verb: Verb,
        target: &Elements,
        value: Option<Value>,
    ) -> Result<(), Error> {
        let definition = &target.attribute.attribute;
        let path = match &target.sub_attribute {
            None => target.attribute.to_string(),
            Some(sub) => format!("{}.{}", target.attribute, sub.name),
        };
        let at = At::Under(&At::Root, &path);
        let rules = self.rules();
        let change = match (verb, &target.sub_attribute, value) {
            (Verb::Remove, None, _) => Change::RemoveElement,
            (Verb::Remove, Some(sub), _) => Change::Set(sub.name.to_string(), None),
            (_, Some(sub), value) => {
                let value = self.repairs.attribute(sub, value.unwrap_or(Value::Null));
                Change::Set(sub.name.to_string(), rules.attribute(sub, value, &at)?)
            }
            (_, None, value) => {
                let value =
                    self.repairs.attribute(definition, one_element(value.unwrap_or(Value::Null)));
                let value = match value {
                    Value::Array(mut one) if definition.multi_valued && one.len() <= 1 => {
                        one.pop().unwrap_or(Value::Null)
                    }
                    other => other,
                };
                match (verb, rules.single(definition, value, &at)?) {
                    (Verb::Add, None) => return Ok(()),
                    (_, None) => Change::RemoveElement,
                    (Verb::Add, Some(value)) => Change::Merge(value),
                    (_, Some(value)) => Change::Whole(value),
                }
            }
        };
        let mut values: Vec<Value> = match self
            .container_map(target.attribute.container.as_ref())?
            .shift_remove_keeping(&definition.name)
        {
            Some(Value::Array(values)) => values,
            Some(one) => vec![one],
            None => Vec::new(),
        };
        let selected: Vec<bool> =
            values.iter().map(|value| element_matches(&target.filter, value)).collect();
        let mut touched: Vec<usize> =
            (0..).zip(&selected).filter(|(_, s)| **s).map(|(index, _)| index).collect();
        let builds = !matches!(&change, Change::RemoveElement | Change::Set(_, None));
        if touched.is_empty() && builds {
            let Some(element) =
                target.template.clone().filter(|_| self.repairs.allows(Quirks::CREATE_BY_FILTER))
            else {
                return Err(Error::NoTarget(format!(
                    "{path}: no value matches the filter of the path"
                )));
            };
            touched.push(values.len());
            values.push(Value::Object(element));
        }
        let sets_primary = match &change {
            Change::Set(name, Some(value)) => name == "primary" && *value == Value::Bool(true),
            Change::Merge(value) | Change::Whole(value) => is_primary(value),
            Change::Set(..) | Change::RemoveElement => false,
        };
        if sets_primary && touched.len() > 1 {
            return Err(Error::value(path, "only one value can be primary; select one"));
        }
        let before: Vec<bool> = values.iter().map(is_primary).collect();
        change.apply(&mut values, &touched);
        // PAT-016: a new primary value makes the others ordinary.
        let new_primary = touched.iter().find(|index| {
            values.get(**index).is_some_and(is_primary) && before.get(**index) != Some(&true)
                || sets_primary && values.get(**index).is_some_and(is_primary)
        });
        if let Some(keep) = new_primary.copied() {
            demote_others(&mut values, keep);
        }
        values.retain(|value| value.as_object().is_none_or(|object| !object.is_empty()));
        let map = self.container_map(target.attribute.container.as_ref())?;
        let whole = if definition.multi_valued {
            Value::Array(values)
        } else {
            values.pop().unwrap_or(Value::Null)
        };
        map.insert(definition.name.to_string(), whole);
        drop_if_empty(map, &definition.name);
        Ok(())
    }

    /// `schemas` follows the data; all that can be done to it is to take an extension's data away.
    fn schemas(&mut self, verb: Verb, value: Option<Value>) -> Result<(), Error> {
        let base = &self.kind.schema.id;
        let refuse = || Error::Mutability {
            path: "schemas".to_owned(),
            reason: "the schema of the resource type cannot be removed",
        };
        let urns: Vec<String> = match value {
            Some(Value::Array(urns)) => {
                urns.into_iter().filter_map(|urn| urn.as_str().map(str::to_owned)).collect()
            }
            Some(Value::String(urn)) => vec![urn],
            None | Some(Value::Null) if verb == Verb::Remove => return Err(refuse()),
            _ => return Err(Error::value("schemas", "must be an array of URNs")),
        };
        let names = |urn: &Urn| urns.iter().any(|named| named.eq_ignore_ascii_case(urn.as_str()));
        let known = |urn: &String| {
            urn.eq_ignore_ascii_case(base.as_str()) || self.kind.extension(urn).is_some()
        };
        if verb != Verb::Remove
            && !urns.iter().all(known)
            && !self.repairs.allows(Quirks::SCHEMAS_REPAIRED)
        {
            return Err(Error::value(
                "schemas",
                format!("names a schema that {} does not have", self.kind.kind),
            ));
        }
        let gone: Vec<&Urn> = match verb {
            Verb::Add => return Ok(()),
            Verb::Replace if names(base) => self
                .kind
                .extensions
                .iter()
                .map(|e| &e.schema.id)
                .filter(|urn| !names(urn))
                .collect(),
            Verb::Remove if !names(base) => {
                self.kind.extensions.iter().map(|e| &e.schema.id).filter(|urn| names(urn)).collect()
            }
            Verb::Replace | Verb::Remove => return Err(refuse()),
        };
        for urn in gone {
            self.map.shift_remove(urn.as_str());
        }
        Ok(())
    }

    fn all_members(&mut self, verb: Verb, value: Option<Value>) -> Result<(), Error> {
        let value = self.repairs.members(value.unwrap_or(Value::Null));
        match verb {
            Verb::Add => self.members.add(&members::refs(value)?),
            Verb::Replace => self.members.replace(&members::refs(value)?),
            Verb::Remove if value.is_null() => self.members.replace(&[]),
            Verb::Remove if self.repairs.allows(Quirks::REMOVE_BY_VALUE_LIST) => {
                self.members.remove(&members::refs(value)?);
            }
            Verb::Remove => {
                return Err(Error::syntax(
                    "remove takes no value; name the member in the path, as in members[value eq \"id\"]",
                ));
            }
        }
        Ok(())
    }

    fn selected_members(&mut self, verb: Verb, filter: &ResolvedFilter) -> Result<bool, Error> {
        if verb != Verb::Remove {
            return Err(Error::Mutability {
                path: "members".to_owned(),
                reason: "a member is added or removed as a whole, never edited",
            });
        }
        if let Some(ids) = named_members(filter) {
            self.members.remove(&ids);
            return Ok(true);
        }
        let Some(loaded) = self.loaded else {
            return Ok(false);
        };
        let mut gone = Vec::new();
        for (id, kind) in self.members.preview(loaded) {
            // Who becomes a member in this very request is taken for a user, as members mostly are.
            let kind = kind.as_ref().map_or("User", |kind| kind.as_str());
            if element_matches(filter, &row(id.as_str(), ("type", kind), None)) {
                gone.push(MemberRef(id));
            }
        }
        self.members.remove(&gone);
        Ok(true)
    }
}

/// Returns the ids when a filter is nothing but `value eq "…"` terms joined by `or`.
fn named_members(filter: &ResolvedFilter) -> Option<Vec<MemberRef>> {
    match filter {
        Filter::Compare(at, Comparison::Equal, Operand(id))
            if at.sub_attribute.as_ref().is_some_and(|sub| &*sub.name == "value") =>
        {
            Some(vec![MemberRef(ResourceId::new(id.as_str()))])
        }
        Filter::Or(terms) => {
            let ids: Option<Vec<_>> = terms.iter().map(named_members).collect();
            ids.map(|ids| ids.into_iter().flatten().collect())
        }
        _ => None,
    }
}

/// What happens to each selected value.
enum Change {
    RemoveElement,
    Set(String, Option<Value>),
    Merge(Value),
    Whole(Value),
}

impl Change {
    fn apply(self, values: &mut Vec<Value>, touched: &[usize]) {
        if matches!(self, Self::RemoveElement) {
            let mut index = 0;
            values.retain(|_| {
                index += 1;
                !touched.contains(&(index - 1))
            });
            return;
        }
        for index in touched {
            let Some(value) = values.get_mut(*index) else {
                continue;
            };
            match &self {
                Self::RemoveElement => {}
                Self::Whole(new) => *value = new.clone(),
                Self::Set(name, new) => {
                    if let Value::Object(object) = value {
                        set(object, name, new.clone());
                    }
                }
                Self::Merge(new) => {
                    if let (Value::Object(object), Value::Object(new)) = (value, new) {
                        object.extend(new.clone());
                    }
                }
            }
        }
    }
}

trait KeepPlace {
    /// Takes a value out of a map without moving the others.
    fn shift_remove_keeping(&mut self, name: &str) -> Option<Value>;
}

impl KeepPlace for Map<String, Value> {
    fn shift_remove_keeping(&mut self, name: &str) -> Option<Value> {
        self.get_mut(name).map(Value::take)
    }
}

fn set(object: &mut Map<String, Value>, name: &str, value: Option<Value>) {
    match value {
        Some(value) => drop(object.insert(name.to_owned(), value)),
        None => drop(object.shift_remove(name)),
    }
}

fn drop_if_empty(map: &mut Map<String, Value>, name: &str) {
    let empty = match map.get(name) {
        Some(Value::Object(object)) => object.is_empty(),
        Some(Value::Array(values)) => values.is_empty(),
        Some(Value::Null) => true,
        _ => false,
    };
    if empty {
        map.shift_remove(name);
    }
}

/// CHR-035: in PATCH, one value may stand for an array of one.
fn one_as_array(attribute: &Attribute, value: Value) -> Value {
    match value {
        Value::Array(_) | Value::Null => value,
        one if attribute.multi_valued && one.as_str() != Some("") => Value::Array(vec![one]),
        other => other,
    }
}

/// The value for one selected element may come as an array of one.
fn one_element(value: Value) -> Value {
    match value {
        Value::Array(mut values) if values.len() == 1 => values.pop().unwrap_or(Value::Null),
        other => other,
    }
}

/// Appends values that are not there yet; one that is there is completed (PAT-038, PAT-039).
fn append(map: &mut Map<String, Value>, name: &str, new: Vec<Value>) {
    let slot = map.entry(name).or_insert_with(|| Value::Array(Vec::new()));
    let Value::Array(values) = slot else { return };
    for value in new {
        let makes_primary = is_primary(&value);
        let known = values.iter().position(|known| same_value(known, &value));
        let index = match known.and_then(|index| values.get_mut(index).map(|known| (index, known)))
        {
            Some((index, Value::Object(known))) => {
                if let Value::Object(value) = value {
                    known.extend(value);
                }
                index
            }
            Some((index, _)) => index,
            None => {
                values.push(value);
                values.len() - 1
            }
        };
        if makes_primary {
            demote_others(values, index);
        }
    }
}

fn demote_others(values: &mut [Value], keep: usize) {
    for (index, value) in values.iter_mut().enumerate() {
        if index != keep
            && is_primary(value)
            && let Value::Object(object) = value
        {
            object.insert("primary".to_owned(), Value::Bool(false));
        }
    }
}

/// Tells whether a listed value means a stored one: by its `value`, else by all that it says.
fn describes(listed: &Value, stored: &Value) -> bool {
    match (listed, stored) {
        (Value::Object(listed), Value::Object(stored)) => {
            match (listed.get("value"), listed.get("type")) {
                (Some(value), kind) => {
                    stored.get("value") == Some(value)
                        && kind.is_none_or(|kind| stored.get("type") == Some(kind))
                }
                (None, _) => listed.iter().all(|(name, value)| stored.get(name) == Some(value)),
            }
        }
        (listed, stored) => listed == stored,
    }
}

/// Refuses changes of values that were immutable once set (RFC 7643 §7).
///
/// # Errors
///
/// `mutability` naming the attribute.
pub(crate) fn check_immutable(
    kind: &ResourceType,
    before: &Attributes,
    after: &Attributes,
) -> Result<(), Error> {
    for (urn, container) in kind.containers() {
        let (urn, attributes) = match container {
            crate::schema::Container::Core => (None, &kind.schema.attributes),
            crate::schema::Container::Extension(extension) => {
                (Some(urn), &extension.schema.attributes)
            }
        };
        let Some(old) = before.container(urn) else {
            continue;
        };
        let empty = Map::new();
        let new = after.container(urn).unwrap_or(&empty);
        for attribute in attributes {
            let Some(old) = old.get(&*attribute.name) else {
                continue;
            };
            let new = new.get(&*attribute.name);
            let path = |sub: &str| match urn {
                None => format!("{}{sub}", attribute.name),
                Some(urn) => format!("{urn}:{}{sub}", attribute.name),
            };
            if attribute.mutability == Mutability::Immutable && new != Some(old) {
                return Err(immutable(path("")));
            }
            // Sub-attributes of several values belong to values that come and go as a whole.
            if attribute.multi_valued {
                continue;
            }
            for sub in attribute
                .sub_attributes
                .iter()
                .filter(|sub| sub.mutability == Mutability::Immutable)
            {
                let Some(old) = old.get(&*sub.name) else {
                    continue;
                };
                if new.and_then(|new| new.get(&*sub.name)) != Some(old) {
                    return Err(immutable(path(&format!(".{}", sub.name))));
                }
            }
        }
    }
    Ok(())
}

fn immutable(path: String) -> Error {
    Error::Mutability { path, reason: "the value was set before and can never change" }
}

/// Answers filters over members that are at hand, for [`crate::memory`].
pub(crate) fn members_match(predicate: &ResolvedFilter, members: &[Member]) -> bool {
    let rows: Vec<Value> = members
        .iter()
        .map(|member| row(member.id.as_str(), ("type", member.kind.as_str()), None))
        .collect();
    rows_match(predicate, &rows)
}
