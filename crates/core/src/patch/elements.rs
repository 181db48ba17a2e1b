//! Operations on some values of a complex attribute: those that a filter or a list selects.

use serde_json::{Map, Value};

use super::apply::Engine;
use super::values::{demote_others, describes, drop_if_empty, one_as_array, one_element, set};
use super::{Elements, Verb};
use crate::error::Error;
use crate::filter::{Filter, element_matches};
use crate::path::AttrRef;
use crate::quirks::Quirks;
use crate::resource::{At, is_primary};
use crate::work::{VISIT, count};

impl Engine<'_, '_> {
    /// `remove` with a list beside the path takes away those values and no others (PAT-058).
    pub(super) fn remove_listed(
        &mut self,
        at: &AttrRef,
        list: Value,
        path: &str,
    ) -> Result<(), Error> {
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
        let work = self.work;
        let map = self.container_map(at.container.as_ref())?;
        if let Some(Value::Array(values)) = map.get_mut(&*at.attribute.name) {
            work.spend(VISIT * count(values.len()) * count(listed.len()))?;
            values.retain(|value| !listed.iter().any(|listed| describes(listed, value)));
        }
        drop_if_empty(map, &at.attribute.name);
        Ok(())
    }

    /// A sub-attribute of all values, as `emails.type`.
    pub(super) fn every_element(
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
    pub(super) fn elements(
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
        let mut touched = Vec::new();
        for (index, value) in values.iter().enumerate() {
            if element_matches(&target.filter, value, self.work)? {
                touched.push(index);
            }
        }
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
            let (mut index, mut touched) = (0, touched.iter().peekable());
            values.retain(|_| {
                let gone = touched.next_if_eq(&&index).is_some();
                index += 1;
                !gone
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
