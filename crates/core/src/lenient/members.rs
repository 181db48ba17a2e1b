//! Members as identity providers name them.

use serde_json::Value;

use super::Repairs;
use super::forms::valued;
use crate::clock::IdSource;
use crate::json;
use crate::members::{id_of, id_of_mut};
use crate::quirks::Quirks;
use crate::schema::{Membership, ResourceType};

impl Repairs<'_> {
    /// Members as bare ids (Microsoft's Postman collection). An empty text names nobody, so that it
    /// never empties a group.
    pub(crate) fn members(&mut self, value: Value) -> Value {
        let value = self.json_in_text(value);
        let values = match self.unwrapped_members(value) {
            Value::Array(values) => values,
            one @ (Value::Object(_) | Value::String(_)) if self.uses(Quirks::ARRAYS_OF_ONE) => {
                vec![one]
            }
            other => return other,
        };
        let object = |value: Value| match self.json_in_text(value) {
            Value::String(id) if !id.is_empty() && self.uses(Quirks::VALUE_OR_OBJECT) => {
                Value::Object(valued(Value::String(id)))
            }
            other => other,
        };
        Value::Array(values.into_iter().map(object).collect())
    }

    /// Reads ids of members in the body of a POST or PUT that differ from ids of this server by outer
    /// blanks, case or hyphens.
    pub(crate) fn member_ids(&mut self, ids: &dyn IdSource, kind: &ResourceType, body: &mut Value) {
        if kind.membership != Membership::Members {
            return;
        }
        for (name, value) in body.as_object_mut().into_iter().flatten() {
            if name.eq_ignore_ascii_case("members") {
                self.ids_in(ids, value);
            }
        }
    }

    /// Reads the ids of members in a value, as [`Repairs::member_ids`] does.
    pub(crate) fn ids_in(&mut self, ids: &dyn IdSource, members: &mut Value) {
        for member in members.as_array_mut().into_iter().flatten() {
            if let Some(Value::String(id)) = id_of_mut(member) {
                self.id(ids, id);
            }
        }
    }

    /// Reads one id of a member.
    pub(crate) fn id(&mut self, ids: &dyn IdSource, id: &mut String) {
        if let Some(spelled) = ids.spelled(id)
            && spelled.as_str() != id
            && self.uses(Quirks::RESPELLED_IDS)
        {
            spelled.as_str().clone_into(id);
        }
    }

    /// Takes away members whose ids have a form that this server never gives out: no directory holds
    /// such an id of ours, only test suites send it. An id of the right form that does not exist is an
    /// error all the same, and so is what somebody means by another name.
    pub(crate) fn without_impossible(&mut self, ids: &dyn IdSource, members: &mut Value) {
        let Value::Array(members) = members else { return };
        if !self.quirks.has(Quirks::IMPOSSIBLE_MEMBERS) {
            return;
        }
        let before = members.len();
        members.retain(|member| {
            let id = id_of(member).and_then(Value::as_str);
            id.is_none_or(|id| id.is_empty() || ids.could_be(id) || names_somebody(id))
        });
        if members.len() < before {
            self.applied.note(Quirks::IMPOSSIBLE_MEMBERS);
        }
    }
}

/// Tells whether a text that is no id of ours looks like an e-mail address, an id of another system, a
/// number or JSON: whoever sends it means somebody, and has to learn that nobody was found.
fn names_somebody(text: &str) -> bool {
    let text = text.trim();
    let digits = |c: char| c.is_ascii_hexdigit();
    let bare: String = text.chars().filter(|c| !matches!(c, '-' | '{' | '}')).collect();
    let is_uuid = bare.len() == 32 && bare.chars().all(digits);
    let is_number = json::is_number(text) || text.bytes().all(|byte| byte.is_ascii_digit());
    text.contains('@') || text.starts_with(['{', '[', '"', '\0']) || is_uuid || is_number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_8_only_a_text_that_can_name_nobody_is_ignored() {
        for text in [
            "jane@example.com",
            "0193a5d0-7b1a-4c3e-9f00-0123456789ab",
            "{0193A5D07B1A4C3E9F000123456789AB}",
            "42",
            "007",
            "-1.5",
            " 42 ",
            "{\"value\":\"x\"}",
            "[1]",
        ] {
            assert!(names_somebody(text), "{text}");
        }
        for text in ["string id 1", "fake-member-id", "bulkId:x", "0193a5d0", "1-2"] {
            assert!(!names_somebody(text), "{text}");
        }
    }
}
