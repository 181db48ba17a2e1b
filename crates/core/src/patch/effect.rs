//! Decides, on the normalized value, what an operation does to its target.

use serde_json::Value;

use super::Verb;
use super::apply::Engine;
use super::values::one_as_array;
use crate::error::Error;
use crate::quirks::Quirks;
use crate::resource::At;
use crate::schema::Attribute;
use crate::value::{Given, is_blank};

/// What happens to the target of an `add` or `replace`.
#[derive(Debug)]
pub(super) enum Effect<T = Value> {
    /// It stays as it is.
    Keep,
    /// It loses its value.
    Clear,
    /// It gets this value.
    Set(T),
}

impl<T> Effect<T> {
    /// Adding nothing changes nothing; replacing by nothing clears (PAT-049, PAT-078).
    fn of(verb: Verb, given: Given<T>) -> Self {
        match (verb, given) {
            (_, Given::Value(value)) => Self::Set(value),
            (Verb::Add, Given::Cleared | Given::Nothing) => Self::Keep,
            (Verb::Replace | Verb::Remove, Given::Cleared | Given::Nothing) => Self::Clear,
        }
    }

    /// Returns the value that is set.
    pub(super) fn value(self) -> Option<T> {
        match self {
            Self::Set(value) => Some(value),
            Self::Keep | Self::Clear => None,
        }
    }
}

impl Engine<'_, '_> {
    /// Decides what happens to `attribute` as a whole.
    pub(super) fn effect(
        &mut self,
        verb: Verb,
        attribute: &Attribute,
        value: Value,
        path: &str,
    ) -> Result<Effect, Error> {
        self.effect_by(verb, value, |engine, value| {
            let value = engine.repairs.attribute(attribute, one_as_array(attribute, value));
            engine.rules().attribute(attribute, value, &At::Under(&At::Root, path))
        })
    }

    /// Decides by the result of `normalize`.
    pub(super) fn effect_by<T>(
        &mut self,
        verb: Verb,
        value: Value,
        normalize: impl FnOnce(&mut Self, Value) -> Result<Given<T>, Error>,
    ) -> Result<Effect<T>, Error> {
        // An `add` of a blank value changes nothing, even if the value has the wrong type.
        let empty = verb == Verb::Add && is_blank(&value);
        let given = match normalize(self, value) {
            Err(Error::Value { .. } | Error::Syntax(_))
                if empty && self.repairs.allows(Quirks::EMPTY_CLEARS) =>
            {
                Given::Nothing
            }
            given => given?,
        };
        Ok(Effect::of(verb, given))
    }
}
