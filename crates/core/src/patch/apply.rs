//! The PATCH engine: operations applied in order to a copy, then the schema's checks over the result.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::effect::Effect;
use super::immutable::check_immutable;
use super::values::{append, drop_if_empty, set};
use super::{Elements, Operation, PatchTarget, Patched, Verb};
use crate::error::{Error, PathError};
use crate::ids::Urn;
use crate::lenient::Repairs;
use crate::members::{Member, MemberChange};
use crate::path::{AttrRef, Place};
use crate::quirks::Quirks;
use crate::resource::{At, Attributes, Identities, Rules, canonical_stored};
use crate::schema::{Extension, ResourceType, ValueType};
use crate::value::Given;
use crate::work::{Halt, VISIT, Work, count, weight};

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
/// that the schema does not allow; [`Halt`] when the work runs out.
pub(crate) fn apply(
    kind: &ResourceType,
    repairs: &mut Repairs<'_>,
    before: &Attributes,
    members: Option<&[Member]>,
    operations: &[Operation],
    work: &Work,
) -> Result<Outcome, Error> {
    let mut engine = Engine {
        kind,
        repairs,
        map: before.clone().into_map(),
        members: MemberChange::default(),
        loaded: members,
        removed: Vec::new(),
        lists: HashMap::new(),
        work,
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
        canonical_stored(kind, quirks, map).map_err(|error| missing_required(error, &removed))?;
    check_immutable(kind, before, &normalized.attributes)?;
    Ok(Outcome::Patched(Box::new(Patched { attributes: normalized.attributes, members })))
}

/// PAT-060: what a `remove` took away and the schema requires is a matter of mutability.
fn missing_required(error: Error, removed: &[String]) -> Error {
    match error {
        Error::Value { path, .. } if removed.contains(&path) => Error::Mutability {
            path,
            reason: "a required attribute cannot be removed; replace its value".into(),
        },
        other => other,
    }
}

/// The state between two operations.
pub(super) struct Engine<'a, 'r> {
    kind: &'a ResourceType,
    pub(super) repairs: &'a mut Repairs<'r>,
    map: Map<String, Value>,
    pub(super) members: MemberChange,
    /// The members of the group before the request, if the caller had them at hand.
    pub(super) loaded: Option<&'a [Member]>,
    /// Paths that a `remove` named, for the choice of error.
    removed: Vec<String>,
    /// Which values the lists have that were appended to, until something else changes them.
    lists: HashMap<List, Identities>,
    /// What the request may cost.
    pub(super) work: &'a Work,
}

/// Sub-attributes and the values that they get; none where they lose theirs.
type Changes = Vec<(Arc<str>, Option<Value>)>;

/// An attribute with several values: the URN of its extension, and its name.
type List = (Option<Urn>, Arc<str>);

fn list(at: &AttrRef) -> List {
    (at.container.clone(), Arc::clone(&at.attribute.name))
}

/// The object in which attributes of a container are, made when it is not there.
fn container<'m>(
    map: &'m mut Map<String, Value>,
    urn: Option<&Urn>,
) -> Result<&'m mut Map<String, Value>, Error> {
    let Some(urn) = urn else {
        return Ok(map);
    };
    let slot = map.entry(urn.as_str()).or_insert_with(|| Value::Object(Map::new()));
    slot.as_object_mut().ok_or_else(|| Error::internal("an extension in a document is an object"))
}

impl Engine<'_, '_> {
    /// Applies one operation; false when it needs the members.
    fn operation(&mut self, operation: &Operation) -> Result<bool, Error> {
        self.pay(operation)?;
        let value = operation.value.clone();
        match &operation.target {
            PatchTarget::Attribute(at) => self.attribute(operation.verb, at, value)?,
            PatchTarget::Elements(elements) => self.elements(operation.verb, elements, value)?,
            PatchTarget::Container(extension) => {
                self.extension(operation.verb, extension, value.unwrap_or(Value::Null))?;
            }
            PatchTarget::Schemas => self.schemas(operation.verb, value)?,
            PatchTarget::Members => self.all_members(operation.verb, value)?,
            PatchTarget::SelectedMembers(filter) => {
                return self.selected_members(operation.verb, filter);
            }
        }
        Ok(true)
    }

    /// Pays for looking at the value of an operation and at those that its attribute has.
    fn pay(&self, operation: &Operation) -> Result<(), Halt> {
        let (PatchTarget::Attribute(at) | PatchTarget::Elements(Elements { attribute: at, .. })) =
            &operation.target
        else {
            return self.work.spend(operation.value.as_ref().map_or(VISIT, weight));
        };
        let container = match &at.container {
            None => Some(&self.map),
            Some(urn) => self.map.get(urn.as_str()).and_then(Value::as_object),
        };
        let values = container.and_then(|map| map.get(&*at.attribute.name)?.as_array());
        let values = count(values.map_or(0, Vec::len)).saturating_mul(VISIT);
        self.work.spend(values + operation.value.as_ref().map_or(VISIT, weight))
    }

    pub(super) fn rules(&self) -> Rules {
        Rules::new(self.repairs.quirks)
    }

    /// The object in which the attribute is, for a change of its values: made when it is not there.
    pub(super) fn whole(&mut self, at: &AttrRef) -> Result<&mut Map<String, Value>, Error> {
        self.lists.remove(&list(at));
        container(&mut self.map, at.container.as_ref())
    }

    /// Appends to the values of an attribute. Which values it has is remembered for the next time.
    fn append(&mut self, at: &AttrRef, new: Vec<Value>, path: &str) -> Result<(), Error> {
        let map = container(&mut self.map, at.container.as_ref())?;
        let slot = map.entry(&*at.attribute.name).or_insert_with(|| Value::Array(Vec::new()));
        let Value::Array(values) = slot else {
            return Err(Error::internal("several values in a document are an array"));
        };
        let identities = self.lists.entry(list(at)).or_default();
        append(values, identities, new, &At::Under(&At::Root, path))
    }

    /// An extension as a whole.
    fn extension(&mut self, verb: Verb, extension: &Extension, value: Value) -> Result<(), Error> {
        let urn = &extension.schema.id;
        if verb == Verb::Remove {
            self.remove_extension(urn);
            return Ok(());
        }
        let effect = self.effect_by(verb, value, |engine, value| {
            match engine.repairs.extension(extension, value) {
                Value::Null => Ok(Given::Cleared),
                Value::Object(map) => engine.known(extension, map).map(Given::Value),
                _ => {
                    let reason = "an extension must be an object of attributes";
                    Err(Error::value(urn.as_str(), reason))
                }
            }
        })?;
        match effect {
            Effect::Keep => {}
            Effect::Clear => self.remove_extension(urn),
            Effect::Set(map) => self.container(verb, extension, map)?,
        }
        Ok(())
    }

    fn remove_extension(&mut self, urn: &Urn) {
        self.map.shift_remove(urn.as_str());
        self.lists.retain(|(container, _), _| container.as_ref() != Some(urn));
    }

    /// Leaves out what the extension does not define, unless that is all there is.
    fn known(
        &mut self,
        extension: &Extension,
        mut map: Map<String, Value>,
    ) -> Result<Map<String, Value>, Error> {
        let schema = &extension.schema;
        let Some(unknown) = map.keys().find(|name| schema.attribute(name).is_none()) else {
            return Ok(map);
        };
        let understood = map.keys().any(|name| schema.attribute(name).is_some());
        if !self.repairs.allows(Quirks::UNKNOWN_ATTRIBUTES) {
            let path = format!("{}:{unknown}", schema.id);
            let reason = "the extension has no attribute of this name";
            return Err(Error::Path(PathError::new(&path, reason)));
        }
        if !understood {
            let at = At::Under(&At::Root, schema.id.as_str());
            return Err(self.rules().unknown(unknown, understood, &at));
        }
        map.retain(|name, _| schema.attribute(name).is_some());
        Ok(map)
    }

    /// A value as an object of attributes of an extension: each by its own rule (PAT-050).
    fn container(
        &mut self,
        verb: Verb,
        extension: &Extension,
        map: Map<String, Value>,
    ) -> Result<(), Error> {
        for (name, value) in map {
            let Some(attribute) = extension.schema.attribute(&name) else {
                continue;
            };
            if attribute.is_read_only() {
                if self.repairs.allows(Quirks::READ_ONLY_IN_VALUE) {
                    continue;
                }
                return Err(Error::Mutability {
                    path: name,
                    reason: "only the server sets this attribute".into(),
                });
            }
            let at = AttrRef {
                container: Some(extension.schema.id.clone()),
                attribute: Arc::clone(attribute),
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
        let path = at.to_string();
        let value = value.unwrap_or(Value::Null);
        let (definition, leaf) = (&at.attribute, at.leaf());
        if leaf.value_type == ValueType::Complex && !leaf.multi_valued {
            return self.merge(verb, at, value, &path);
        }
        let effect = self.effect(verb, leaf, value, &path)?;
        match (&at.sub_attribute, effect) {
            (_, Effect::Keep) => {}
            (None, Effect::Set(Value::Array(new))) if verb == Verb::Add => {
                self.append(at, new, &path)?;
            }
            (None, effect) => {
                let map = self.whole(at)?;
                set(map, &definition.name, effect.value());
            }
            (Some(sub), effect) => {
                let map = self.whole(at)?;
                let parent =
                    map.entry(&*definition.name).or_insert_with(|| Value::Object(Map::new()));
                if let Value::Object(parent) = parent {
                    set(parent, &sub.name, effect.value());
                }
                drop_if_empty(map, &definition.name);
            }
        }
        Ok(())
    }

    /// A singular complex attribute: given sub-attributes are set, others stay (PAT-036, PAT-069).
    fn merge(&mut self, verb: Verb, at: &AttrRef, value: Value, path: &str) -> Result<(), Error> {
        let effect = self.effect_by(verb, value, |engine, value| {
            match engine.repairs.attribute(&at.attribute, value) {
                Value::Null => Ok(Given::Cleared),
                Value::Object(map) => engine.changes(verb, at, map, path).map(Given::Value),
                _ => Err(Error::value(path, "must be an object with sub-attributes")),
            }
        })?;
        if matches!(effect, Effect::Keep) {
            return Ok(());
        }
        let container = self.whole(at)?;
        match effect {
            Effect::Keep => {}
            Effect::Clear => drop(container.shift_remove(&*at.attribute.name)),
            Effect::Set(changes) => {
                let target = container
                    .entry(&*at.attribute.name)
                    .or_insert_with(|| Value::Object(Map::new()));
                if let Value::Object(target) = target {
                    for (name, value) in changes {
                        set(target, &name, value);
                    }
                }
            }
        }
        drop_if_empty(container, &at.attribute.name);
        Ok(())
    }

    /// What happens to each sub-attribute that an object gives: its new value, or none.
    fn changes(
        &mut self,
        verb: Verb,
        at: &AttrRef,
        map: Map<String, Value>,
        path: &str,
    ) -> Result<Changes, Error> {
        let mut changes = Vec::with_capacity(map.len());
        let understood = map.keys().any(|name| at.attribute.sub(name).is_some());
        for (name, value) in map {
            let Some(sub) = at.attribute.sub(&name) else {
                let at = At::Under(&At::Root, path);
                return Err(self.rules().unknown(&name, understood, &at));
            };
            // A client may send back what only the server sets.
            if sub.is_read_only() {
                continue;
            }
            match self.effect(verb, sub, value, &format!("{path}.{}", sub.name))? {
                Effect::Keep => {}
                effect => changes.push((Arc::clone(&sub.name), effect.value())),
            }
        }
        Ok(changes)
    }

    fn remove(&mut self, at: &AttrRef, value: Option<Value>) -> Result<(), Error> {
        let path = at.to_string();
        if let (None, true, Some(list)) =
            (&at.sub_attribute, at.is_plural(), value.filter(|value| !value.is_null()))
        {
            return self.remove_listed(at, list, &path);
        }
        self.removed.push(path);
        let map = self.whole(at)?;
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

    /// `schemas` follows the data; all that can be done to it is to take an extension's data away.
    fn schemas(&mut self, verb: Verb, value: Option<Value>) -> Result<(), Error> {
        let base = &self.kind.schema.id;
        let refuse = || Error::Mutability {
            path: "schemas".to_owned(),
            reason: "the schema of the resource type cannot be removed".into(),
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
            self.remove_extension(urn);
        }
        Ok(())
    }
}
