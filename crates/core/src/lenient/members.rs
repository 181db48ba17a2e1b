//! Members in the forms that identity providers send.

use serde_json::Value;

use super::Repairs;
use super::forms::wrap_value;
use crate::clock::IdSource;
use crate::json;
use crate::members::{id_of, id_of_mut};
use crate::quirks::Quirks;
use crate::schema::{Membership, ResourceType};

impl Repairs<'_> {
    /// Accepts members as bare ids (Microsoft's Postman collection). An empty text is refused later, so
    /// that it never empties a group.
    pub(crate) fn members(&mut self, value: Value) -> Value {
        let value = self.json_in_text(value);
        let values = match self.strip_members_wrapper(value) {
            Value::Array(values) => values,
            one @ (Value::Object(_) | Value::String(_)) if self.allows(Quirks::ARRAYS_OF_ONE) => {
                vec![one]
            }
            other => return other,
        };
        let objects = values.into_iter().map(|value| match self.json_in_text(value) {
            Value::String(id) if !id.is_empty() && self.allows(Quirks::VALUE_OR_OBJECT) => {
                Value::Object(wrap_value(Value::String(id)))
            }
            other => other,
        });
        Value::Array(objects.collect())
    }

    /// Corrects ids of members in the body of a POST or PUT that differ from this server's form by outer
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

    /// Corrects the ids of members in a value, as [`Repairs::member_ids`] does.
    pub(crate) fn ids_in(&mut self, ids: &dyn IdSource, members: &mut Value) {
        for member in members.as_array_mut().into_iter().flatten() {
            if let Some(Value::String(id)) = id_of_mut(member) {
                self.id(ids, id);
            }
        }
    }

    /// Corrects one id of a member.
    pub(crate) fn id(&mut self, ids: &dyn IdSource, id: &mut String) {
        if let Some(spelled) = ids.respell(id)
            && spelled.as_str() != id
            && self.allows(Quirks::RESPELLED_IDS)
        {
            spelled.as_str().clone_into(id);
        }
    }

    /// Removes members whose ids this server cannot have made. Only test suites send such ids: no
    /// directory has stored one. An id of the right form that does not exist stays an error, and so does
    /// the name of someone by another system.
    pub(crate) fn without_impossible(&mut self, ids: &dyn IdSource, members: &mut Value) {
        let Value::Array(members) = members else { return };
        if !self.quirks.has(Quirks::IMPOSSIBLE_MEMBERS) {
            return;
        }
        let before = members.len();
        members.retain(|member| {
            let id = id_of(member).and_then(Value::as_str);
            id.is_none_or(|id| id.is_empty() || ids.could_be(id) || names_someone(id))
        });
        if members.len() < before {
            self.applied.note(Quirks::IMPOSSIBLE_MEMBERS);
        }
    }
}

/// Returns whether a text looks like an e-mail address, an id of another system, a number or JSON. The
/// client means someone by it, and has to learn that there is no such member.
fn names_someone(text: &str) -> bool {
    let text = text.trim();
    let bare: String = text.chars().filter(|c| !matches!(c, '-' | '{' | '}')).collect();
    let is_uuid = bare.len() == 32 && bare.chars().all(|c| c.is_ascii_hexdigit());
    let is_number = json::is_number(text) || text.bytes().all(|byte| byte.is_ascii_digit());
    text.contains('@') || text.starts_with(['{', '[', '"', '\0']) || is_uuid || is_number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_8_only_a_text_that_can_name_no_one_is_ignored() {
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
            assert!(names_someone(text), "{text}");
        }
        for text in ["string id 1", "fake-member-id", "bulkId:x", "0193a5d0", "1-2"] {
            assert!(!names_someone(text), "{text}");
        }
    }
}
