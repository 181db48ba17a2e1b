//! Operations on the members of a group. They collect additions and removals, never the whole list.

use serde_json::Value;

use super::Verb;
use super::apply::{Engine, Progress};
use super::effect::Effect;
use super::request::members_are_whole;
use crate::error::Error;
use crate::filter::{
    Comparison, Filter, Operand, ResolvedFilter, element_matches, row, rows_match,
};
use crate::ids::ResourceId;
use crate::members::{self, Member, MemberRef};
use crate::quirks::Quirks;
use crate::value::Given;
use crate::work::{Halt, Work};

impl Engine<'_, '_> {
    pub(super) fn all_members(&mut self, verb: Verb, value: Option<Value>) -> Result<(), Error> {
        let value = value.unwrap_or(Value::Null);
        if verb == Verb::Remove {
            return self.remove_members(value);
        }
        let effect = self.effect_by(verb, value, |engine, value| {
            match members::parse(engine.repairs.members(value))? {
                // Only `null` and the empty array empty a group: anything else here is an error.
                given @ Given::Nothing if verb == Verb::Replace => {
                    members::replacement(given).map(Given::Value)
                }
                given => Ok(given),
            }
        })?;
        match effect {
            Effect::Keep => {}
            Effect::Clear => self.members.replace(&[]),
            Effect::Set(named) if verb == Verb::Add => self.members.add(&named),
            Effect::Set(named) => self.members.replace(&named),
        }
        Ok(())
    }

    fn remove_members(&mut self, value: Value) -> Result<(), Error> {
        if value.is_null() {
            self.members.replace(&[]);
            return Ok(());
        }
        if !self.repairs.allows(Quirks::REMOVE_BY_VALUE_LIST) {
            return Err(Error::syntax(
                "remove takes no value; name the member in the path, as in members[value eq \"id\"]",
            ));
        }
        let named = members::replacement(members::parse(self.repairs.members(value))?)?;
        self.members.remove(&named);
        Ok(())
    }

    pub(super) fn selected_members(
        &mut self,
        verb: Verb,
        filter: &ResolvedFilter,
    ) -> Result<Progress, Error> {
        if verb != Verb::Remove {
            return Err(members_are_whole());
        }
        if let Some(ids) = named_members(filter) {
            self.members.remove(&ids);
            return Ok(Progress::Applied);
        }
        let Some(loaded) = self.loaded else {
            return Ok(Progress::NeedMembers);
        };
        let mut gone = Vec::new();
        for (id, kind) in self.members.preview(loaded) {
            // The kind of a member that this request adds is unknown here; most are users.
            let kind = kind.as_ref().map_or("User", |kind| kind.as_str());
            if element_matches(filter, &row(id.as_str(), ("type", kind), None), self.work)? {
                gone.push(MemberRef(id));
            }
        }
        self.members.remove(&gone);
        Ok(Progress::Applied)
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

/// Evaluates a predicate over members that the caller has read, for [`crate::memory`].
pub(crate) fn members_match(
    predicate: &ResolvedFilter,
    members: &[Member],
    work: &Work,
) -> Result<bool, Halt> {
    let rows: Vec<Value> = members
        .iter()
        .map(|member| row(member.id.as_str(), ("type", member.kind.as_str()), None))
        .collect();
    rows_match(predicate, &rows, work)
}
