//! Operations on the values of an attribute that a filter or a list selects.

use serde_json::{Map, Value};

use super::apply::Engine;
use super::effect::Effect;
use super::values::{ListedValues, demote_others, drop_if_empty, one_as_array, one_element, set};
use super::{Elements, Verb};
use crate::error::Error;
use crate::filter::{Filter, element_matches};
use crate::path::AttrRef;
use crate::quirks::Quirks;
use crate::resource::{At, is_primary};
use crate::schema::Attribute;
use crate::work::{VISIT, count};

impl Engine<'_, '_> {
    /// Removes the values in the list of a `remove`, and no others (PAT-058).
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
        let Some(Value::Array(listed)) = listed.value() else {
            return Ok(());
        };
        let listed = ListedValues::new(&listed);
        let work = self.work;
        let map = self.whole(at)?;
        if let Some(Value::Array(values)) = map.get_mut(&*at.attribute.name) {
            work.spend(VISIT * count(values.len()) * (1 + count(listed.partial())))?;
            values.retain(|value| !listed.select(value));
        }
        drop_if_empty(map, &at.attribute.name);
        Ok(())
    }

    /// Changes a sub-attribute of all values, as `emails.type`.
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

    /// Changes the values that a filter selects, or one sub-attribute of them.
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
        let Some(change) = self.change(verb, target, value, &path)? else {
            return Ok(());
        };
        // Taking the value leaves `null` in its position: the order of names stays the same.
        let slot = self.whole(&target.attribute)?.get_mut(&*definition.name);
        let mut values: Vec<Value> = match slot.map(Value::take) {
            Some(Value::Array(values)) => values,
            Some(one) => vec![one],
            None => Vec::new(),
        };
        let mut selected = Vec::with_capacity(values.len());
        for value in &values {
            selected.push(element_matches(&target.filter, value, self.work)?);
        }
        if !selected.contains(&true)
            && let Some(element) = self.create_element(verb, target, &change, &path)?
        {
            selected.push(true);
            values.push(Value::Object(element));
        }
        if change.sets_primary() && selected.iter().filter(|selected| **selected).count() > 1 {
            return Err(Error::value(path, "only one value can be primary; select one"));
        }
        let values = self.apply_change(definition, &change, values, &selected);
        let map = self.whole(&target.attribute)?;
        let whole = if definition.multi_valued {
            Value::Array(values)
        } else {
            values.into_iter().next_back().unwrap_or(Value::Null)
        };
        map.insert(definition.name.to_string(), whole);
        drop_if_empty(map, &definition.name);
        Ok(())
    }

    /// Decides what happens to each selected value, or returns `None` when nothing does.
    fn change(
        &mut self,
        verb: Verb,
        target: &Elements,
        value: Option<Value>,
        path: &str,
    ) -> Result<Option<ElementChange>, Error> {
        let value = value.unwrap_or(Value::Null);
        let definition = &target.attribute.attribute;
        Ok(match (verb, &target.sub_attribute) {
            (Verb::Remove, None) => Some(ElementChange::Remove),
            (Verb::Remove, Some(sub)) => Some(ElementChange::Set(sub.name.to_string(), None)),
            (_, Some(sub)) => match self.effect(verb, sub, value, path)? {
                Effect::Keep => None,
                effect => Some(ElementChange::Set(sub.name.to_string(), effect.value())),
            },
            (_, None) => {
                let effect = self.effect_by(verb, value, |engine, value| {
                    let value = engine.repairs.attribute(definition, one_element(value));
                    let at = At::Under(&At::Root, path);
                    engine.rules().single(definition, one_element(value), &at)
                })?;
                match effect {
                    Effect::Keep => None,
                    Effect::Clear => Some(ElementChange::Remove),
                    // A plain value has no parts that could stay.
                    Effect::Set(value) if verb == Verb::Add && value.is_object() => {
                        Some(ElementChange::Merge(value))
                    }
                    Effect::Set(value) => Some(ElementChange::Whole(value)),
                }
            }
        })
    }

    /// Returns the value that a path without match creates, if it creates one.
    fn create_element(
        &mut self,
        verb: Verb,
        target: &Elements,
        change: &ElementChange,
        path: &str,
    ) -> Result<Option<Map<String, Value>>, Error> {
        if change.is_removal() && (verb == Verb::Remove || target.is_every()) {
            return Ok(None);
        }
        // RFC 7644 §3.5.2.3: `replace` fails without a match, unless the tenant allows it.
        if (change.is_removal() || target.template.is_some())
            && self.repairs.allows(Quirks::CREATE_BY_FILTER)
        {
            return match &target.template {
                Some(template) if !change.is_removal() => {
                    self.create_from_template(target, template, path).map(Some)
                }
                _ => Ok(None),
            };
        }
        Err(Error::NoTarget(format!("{path}: no value matches the filter of the path")))
    }

    /// Makes the value that the filter of a path describes, by the rules for values from clients.
    fn create_from_template(
        &mut self,
        target: &Elements,
        template: &Map<String, Value>,
        path: &str,
    ) -> Result<Map<String, Value>, Error> {
        let definition = &target.attribute.attribute;
        for sub in &definition.sub_attributes {
            if let Some(value) = template.get(&*sub.name) {
                let at = At::Under(&At::Root, path);
                self.rules().attribute(sub, value.clone(), &At::Under(&at, &sub.name))?;
            }
        }
        Ok(template.clone())
    }

    /// Applies a change to the selected values.
    fn apply_change(
        &mut self,
        definition: &Attribute,
        change: &ElementChange,
        mut values: Vec<Value>,
        selected: &[bool],
    ) -> Vec<Value> {
        let clears = matches!(change, ElementChange::Set(_, None));
        let sets_primary = change.sets_primary();
        let mut new_primary = None;
        let mut index = 0;
        values.retain_mut(|value| {
            let is_selected = selected.get(index) == Some(&true);
            index += 1;
            if !is_selected {
                return true;
            }
            let was_primary = is_primary(value);
            if !change.apply(value) {
                return false;
            }
            if is_primary(value) && (sets_primary || !was_primary) {
                new_primary.get_or_insert(index - 1);
            }
            match value.as_object() {
                Some(left) if left.is_empty() => false,
                Some(left) => !(clears && self.repairs.leaves_husk(definition, left)),
                None => true,
            }
        });
        // A new primary value makes the others ordinary (PAT-016).
        if let Some(keep) = new_primary {
            demote_others(&mut values, keep);
        }
        values
    }
}

/// What happens to each selected value.
#[derive(Debug)]
enum ElementChange {
    Remove,
    Set(String, Option<Value>),
    Merge(Value),
    Whole(Value),
}

impl ElementChange {
    /// Returns whether it only removes something.
    fn is_removal(&self) -> bool {
        matches!(self, Self::Remove | Self::Set(_, None))
    }

    fn sets_primary(&self) -> bool {
        match self {
            Self::Set(name, Some(value)) => name == "primary" && *value == Value::Bool(true),
            Self::Merge(value) | Self::Whole(value) => is_primary(value),
            Self::Set(..) | Self::Remove => false,
        }
    }

    /// Changes one value, and returns whether the value stays.
    fn apply(&self, value: &mut Value) -> bool {
        match (self, value) {
            (Self::Remove, _) => return false,
            (Self::Whole(new), value) => *value = new.clone(),
            (Self::Set(name, new), Value::Object(object)) => set(object, name, new.clone()),
            (Self::Merge(Value::Object(new)), Value::Object(object)) => object.extend(new.clone()),
            (Self::Set(..) | Self::Merge(_), _) => {}
        }
        true
    }
}
