//! The PATCH engine: applies operations in order to a copy, then checks the result against the schema.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::effect::Effect;
use super::immutable::check_immutable;
use super::values::{append, drop_if_empty, set};
use super::{Elements, Operation, PatchTarget, Patched, Verb, read_only};
use crate::error::{Error, PathError};
use crate::ids::Urn;
use crate::lenient::Repairs;
use crate::members::{Member, MemberChange};
use crate::path::{AttrRef, AttrSource};
use crate::quirks::Quirks;
use crate::resource::{At, Attributes, Identities, Others, Rules, canonical_stored};
use crate::schema::{Extension, ResourceType, ValueType};
use crate::value::Given;
use crate::work::{Halt, VISIT, Work, count, weight};

/// The outcome of applying operations.
#[derive(Debug)]
pub enum Outcome {
    /// They applied.
    Patched(Box<Patched>),
    /// They select members by something other than ids: the caller has to supply the members.
    NeedMembers,
}

/// What operations are applied to.
#[derive(Clone, Copy)]
pub(crate) struct Before<'a> {
    pub(crate) attributes: &'a Attributes,
    /// The group's members, if the caller has read them.
    pub(crate) members: Option<&'a [Member]>,
}

/// Applies `operations` in order to a copy of `before`.
///
/// The result satisfies the same invariants as `before`; a failing operation discards all of them.
///
/// # Errors
///
/// The errors of RFC 7644 §3.5.2 for the first operation that cannot be applied, or for a result
/// that the schema does not allow; [`Halt`] when the work runs out.
pub(crate) fn apply(
    kind: &ResourceType,
    repairs: &mut Repairs<'_>,
    before: Before<'_>,
    operations: &[Operation],
    work: &Work,
) -> Result<Outcome, Error> {
    let mut engine = Engine {
        kind,
        repairs,
        map: before.attributes.clone().into_map(),
        members: MemberChange::default(),
        loaded: before.members,
        removed: Vec::new(),
        lists: HashMap::new(),
        work,
    };
    for operation in operations {
        let progress = engine
            .operation(operation)
            .map_err(|error| error.within(&format!("operation {}", operation.number)))?;
        if progress == Progress::NeedMembers {
            return Ok(Outcome::NeedMembers);
        }
    }
    let Engine { map, members, removed, repairs, .. } = engine;
    let quirks = repairs.quirks;
    let normalized =
        canonical_stored(kind, quirks, map).map_err(|error| missing_required(error, &removed))?;
    check_immutable(kind, before.attributes, &normalized.attributes)?;
    Ok(Outcome::Patched(Box::new(Patched { attributes: normalized.attributes, members })))
}

/// Turns the error for a missing required value into one of mutability if a `remove` removed it (PAT-060).
fn missing_required(error: Error, removed: &[String]) -> Error {
    match error {
        Error::Value { path: Some(path), .. } if removed.contains(&path) => Error::Mutability {
            path,
            reason: "a required attribute cannot be removed; replace its value".into(),
        },
        other => other,
    }
}

/// Whether an operation has been applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    Applied,
    NeedMembers,
}

/// The state between two operations.
pub(super) struct Engine<'a, 'r> {
    kind: &'a ResourceType,
    pub(super) repairs: &'a mut Repairs<'r>,
    map: Map<String, Value>,
    pub(super) members: MemberChange,
    /// The members of the group before the request, if the caller has read them.
    pub(super) loaded: Option<&'a [Member]>,
    /// Paths that a `remove` named, for the choice of error.
    removed: Vec<String>,
    /// The values of lists that were appended to, until an operation changes them in another way.
    lists: HashMap<List, Identities>,
    /// The budget of the request.
    pub(super) work: &'a Work,
}

/// Sub-attributes with their new values; none where the value is cleared.
type Changes = Vec<(Arc<str>, Option<Value>)>;

/// An attribute with several values: the URN of its extension, and its name.
type List = (Option<Urn>, Arc<str>);

fn list(at: &AttrRef) -> List {
    (at.container.clone(), Arc::clone(&at.attribute.name))
}

/// Returns the object that the attributes of a container are in, and makes it if it is missing.
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
    /// Applies one operation.
    fn operation(&mut self, operation: &Operation) -> Result<Progress, Error> {
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
        Ok(Progress::Applied)
    }

    /// Pays for reading the value of an operation and those of its attribute.
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

    /// Returns the object that an attribute is in, for a change of its values, and makes it if it is missing.
    pub(super) fn whole(&mut self, at: &AttrRef) -> Result<&mut Map<String, Value>, Error> {
        self.lists.remove(&list(at));
        container(&mut self.map, at.container.as_ref())
    }

    /// Appends to the values of an attribute, and remembers its values for the next time.
    fn append(&mut self, at: &AttrRef, new: Vec<Value>, path: &str) -> Result<(), Error> {
        let map = container(&mut self.map, at.container.as_ref())?;
        let slot = map.entry(&*at.attribute.name).or_insert_with(|| Value::Array(Vec::new()));
        let Value::Array(values) = slot else {
            return Err(Error::internal("several values in a document are an array"));
        };
        let identities = self.lists.entry(list(at)).or_default();
        append(values, identities, new, &At::Under(&At::Root, path))
    }

    /// Changes an extension as a whole.
    fn extension(&mut self, verb: Verb, extension: &Extension, value: Value) -> Result<(), Error> {
        let urn = &extension.schema.id;
        if verb == Verb::Remove {
            self.remove_extension(urn);
            return Ok(());
        }
        let effect = self.effect_by(verb, value, |engine, value| {
            match engine.repairs.extension(extension, value) {
                Value::Null => Ok(Given::Cleared),
                Value::Object(map) => engine.drop_unknown(extension, map).map(Given::Value),
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

    /// Drops attributes that the extension does not define, and refuses a value of such attributes alone.
    fn drop_unknown(
        &mut self,
        extension: &Extension,
        mut map: Map<String, Value>,
    ) -> Result<Map<String, Value>, Error> {
        let schema = &extension.schema;
        let Some(unknown) = map.keys().find(|name| schema.attribute(name).is_none()) else {
            return Ok(map);
        };
        if !self.repairs.allows(Quirks::UNKNOWN_ATTRIBUTES) {
            let path = format!("{}:{unknown}", schema.id);
            let reason = "the extension has no attribute of this name";
            return Err(Error::Path(PathError::new(&path, reason)));
        }
        let others = Others::of(&schema.attributes, &map);
        if others == Others::None {
            let at = At::Under(&At::Root, schema.id.as_str());
            return Err(self.rules().unknown(unknown, others, &at));
        }
        map.retain(|name, _| schema.attribute(name).is_some());
        Ok(map)
    }

    /// Applies an object of attributes of an extension, each by its own rule (PAT-050).
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
                return Err(read_only(name));
            }
            let at = AttrRef {
                container: Some(extension.schema.id.clone()),
                attribute: Arc::clone(attribute),
                sub_attribute: None,
                source: AttrSource::Document,
            };
            self.attribute(verb, &at, Some(value))?;
        }
        Ok(())
    }

    /// Changes the attribute or sub-attribute of a path.
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

    /// Changes a singular complex attribute: sets the given sub-attributes and keeps others (PAT-036,
    /// PAT-069).
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

    /// Returns the change of each sub-attribute in an object.
    fn changes(
        &mut self,
        verb: Verb,
        at: &AttrRef,
        map: Map<String, Value>,
        path: &str,
    ) -> Result<Changes, Error> {
        let mut changes = Vec::with_capacity(map.len());
        let others = Others::of(&at.attribute.sub_attributes, &map);
        for (name, value) in map {
            let Some(sub) = at.attribute.sub(&name) else {
                let at = At::Under(&At::Root, path);
                return Err(self.rules().unknown(&name, others, &at));
            };
            // Clients send back what they have read, with values that only the server sets.
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

    /// Removes the data of extensions whose URNs an operation removes from `schemas`. Otherwise `schemas`
    /// follows the data.
    fn schemas(&mut self, verb: Verb, value: Option<Value>) -> Result<(), Error> {
        let kind = self.kind;
        let urns: Vec<String> = match value {
            Some(Value::Array(urns)) => {
                urns.into_iter().filter_map(|urn| urn.as_str().map(str::to_owned)).collect()
            }
            Some(Value::String(urn)) => vec![urn],
            None | Some(Value::Null) if verb == Verb::Remove => return Err(core_schema_stays()),
            _ => return Err(Error::value("schemas", "must be an array of URNs")),
        };
        let unknown = urns.iter().any(|urn| {
            !urn.eq_ignore_ascii_case(kind.schema.id.as_str()) && kind.extension(urn).is_none()
        });
        if verb != Verb::Remove && unknown && !self.repairs.allows(Quirks::SCHEMAS_REPAIRED) {
            return Err(Error::value(
                "schemas",
                format!("names a schema that {} does not have", kind.kind),
            ));
        }
        // `remove` removes the schemas that it names, `replace` those that it does not name.
        let removed_if_named = match verb {
            Verb::Add => return Ok(()),
            Verb::Remove => true,
            Verb::Replace => false,
        };
        if contains_urn(&urns, &kind.schema.id) == removed_if_named {
            return Err(core_schema_stays());
        }
        for extension in &kind.extensions {
            let urn = &extension.schema.id;
            if contains_urn(&urns, urn) == removed_if_named {
                self.remove_extension(urn);
            }
        }
        Ok(())
    }
}

fn core_schema_stays() -> Error {
    Error::Mutability {
        path: "schemas".to_owned(),
        reason: "the schema of the resource type cannot be removed".into(),
    }
}

fn contains_urn(urns: &[String], urn: &Urn) -> bool {
    urns.iter().any(|known| known.eq_ignore_ascii_case(urn.as_str()))
}
