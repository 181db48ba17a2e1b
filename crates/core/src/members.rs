//! Group membership, the one relation. It is stored as rows, so that adding a member to a group of
//! 100,000 costs what it costs in a group of ten.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Map, Value};

use crate::error::Error;
use crate::ids::{Kind, ResourceId};
use crate::json;
use crate::value::{Given, is_null_or_empty};

/// Members that one request may name.
pub const MAX_MEMBERS: usize = 10_000;

/// A member as a client names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MemberRef(pub ResourceId);

/// A member as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// The id of the member.
    pub id: ResourceId,
    /// The kind of the member.
    pub kind: Kind,
}

/// Names of members by id: the naming attribute as the client wrote it.
pub type MemberNames = HashMap<ResourceId, String>;

/// One entry of the computed `groups` of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MembershipEntry {
    /// The member.
    pub member: ResourceId,
    /// The group.
    pub group: ResourceId,
    /// The name of the group as the client wrote it.
    pub display: String,
}

/// What a write does to the members of a group.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum MemberChange {
    /// Nothing.
    #[default]
    Unchanged,
    /// Adds and removes members. Adding a present one or removing an absent one is not an error. The sets
    /// are disjoint.
    Delta {
        /// Ids that are members afterwards.
        add: BTreeSet<ResourceId>,
        /// Ids that are not members afterwards.
        remove: BTreeSet<ResourceId>,
    },
    /// Makes exactly these members.
    Replace(BTreeSet<ResourceId>),
}

/// The effect of a write on the members of a group.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MemberDelta {
    /// Members that are new.
    pub added: Vec<ResourceId>,
    /// Members that are gone.
    pub removed: Vec<ResourceId>,
}

impl MemberDelta {
    /// Returns whether membership stayed the same.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty()
    }
}

impl MemberChange {
    /// Makes exactly these ids members.
    pub(crate) fn replace(&mut self, members: &[MemberRef]) {
        *self = Self::Replace(members.iter().map(|member| member.0.clone()).collect());
    }

    /// Adds these ids.
    pub(crate) fn add(&mut self, members: &[MemberRef]) {
        for MemberRef(id) in members {
            match self {
                Self::Unchanged => {
                    *self =
                        Self::Delta { add: BTreeSet::from([id.clone()]), remove: BTreeSet::new() }
                }
                Self::Delta { add, remove } => {
                    remove.remove(id);
                    add.insert(id.clone());
                }
                Self::Replace(all) => drop(all.insert(id.clone())),
            }
        }
    }

    /// Removes these ids.
    pub(crate) fn remove(&mut self, members: &[MemberRef]) {
        for MemberRef(id) in members {
            match self {
                Self::Unchanged => {
                    *self =
                        Self::Delta { add: BTreeSet::new(), remove: BTreeSet::from([id.clone()]) }
                }
                Self::Delta { add, remove } => {
                    add.remove(id);
                    remove.insert(id.clone());
                }
                Self::Replace(all) => drop(all.remove(id)),
            }
        }
    }

    /// Returns the members afterwards, given those before. The kinds of new ones are unknown.
    pub(crate) fn preview(&self, before: &[Member]) -> BTreeMap<ResourceId, Option<Kind>> {
        let known = before.iter().map(|member| (member.id.clone(), Some(member.kind.clone())));
        match self {
            Self::Unchanged => known.collect(),
            Self::Delta { add, remove } => {
                let mut after: BTreeMap<_, _> =
                    known.filter(|(id, _)| !remove.contains(id)).collect();
                for id in add {
                    after.entry(id.clone()).or_insert(None);
                }
                after
            }
            Self::Replace(all) => {
                let before: BTreeMap<_, _> = known.collect();
                all.iter().map(|id| (id.clone(), before.get(id).cloned().flatten())).collect()
            }
        }
    }

    /// Returns the ids that are members because the request names them.
    pub fn additions(&self) -> impl Iterator<Item = &ResourceId> {
        match self {
            Self::Unchanged => None,
            Self::Delta { add, .. } => Some(add.iter()),
            Self::Replace(all) => Some(all.iter()),
        }
        .into_iter()
        .flatten()
    }

    /// Refuses a group as its own member, and too many members.
    ///
    /// # Errors
    ///
    /// `invalidValue`, or `413` above [`MAX_MEMBERS`].
    pub(crate) fn check(&self, group: &ResourceId) -> Result<(), Error> {
        if self.additions().any(|id| id == group) {
            return Err(Error::value("members", "a group cannot be a member of itself"));
        }
        let named = match self {
            Self::Unchanged => 0,
            Self::Delta { add, remove } => add.len() + remove.len(),
            Self::Replace(all) => all.len(),
        };
        if named > MAX_MEMBERS { Err(too_many()) } else { Ok(()) }
    }
}

fn too_many() -> Error {
    Error::TooLarge(format!(
        "more than {MAX_MEMBERS} members in one request; send several requests that add some each"
    ))
}

/// Reads the members of a POST, PUT or PATCH. Empty elements are dropped.
///
/// Only `value` counts: the server computes `type` and `$ref`, and does not store `display`.
///
/// # Errors
///
/// `invalidValue` for anything that does not name a member, `413` above [`MAX_MEMBERS`].
pub(crate) fn parse(value: Value) -> Result<Given<Vec<MemberRef>>, Error> {
    let values = match value {
        Value::Null => return Ok(Given::Cleared),
        Value::Array(values) => values,
        one @ Value::Object(_) => vec![one],
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            return Err(Error::value("members", "must be an array of objects with a value"));
        }
    };
    if values.len() > MAX_MEMBERS {
        return Err(too_many());
    }
    if values.is_empty() {
        return Ok(Given::Cleared);
    }
    let named = values.iter().enumerate().filter(|(_, value)| !is_empty(value));
    let named = named.map(|(index, value)| member(index, value)).collect::<Result<Vec<_>, _>>()?;
    Ok(if named.is_empty() { Given::Nothing } else { Given::Value(named) })
}

/// Returns the members that replace all others: none for `null` and the empty array.
///
/// # Errors
///
/// `invalidValue` for a list of empty elements, which would empty the group by mistake.
pub(crate) fn replacement(given: Given<Vec<MemberRef>>) -> Result<Vec<MemberRef>, Error> {
    match given {
        Given::Value(members) => Ok(members),
        Given::Cleared => Ok(Vec::new()),
        Given::Nothing => Err(Error::value(
            "members",
            "the list names no member; send an empty array to remove all members",
        )),
    }
}

/// Returns whether an element is empty, as opposed to one that names a member in a wrong way.
fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_object().is_some_and(|map| map.values().all(is_null_or_empty))
}

fn member(index: usize, value: &Value) -> Result<MemberRef, Error> {
    let object = value.as_object().ok_or_else(|| {
        Error::value(
            format!("members[{index}]"),
            "must be an object with the id of a user or group as its value",
        )
    })?;
    match object_id(object) {
        Some(value @ Value::String(id)) if !id.is_empty() && json::verbatim(value).is_none() => {
            Ok(MemberRef(ResourceId::new(id.as_str())))
        }
        _ => Err(Error::value(
            format!("members[{index}].value"),
            "must be the id of a user or group",
        )),
    }
}

/// Returns the id in a member as a client sent it.
pub(crate) fn id_of(member: &Value) -> Option<&Value> {
    member.as_object().and_then(object_id)
}

/// Returns the id in a member as a client sent it, for correction.
pub(crate) fn id_of_mut(member: &mut Value) -> Option<&mut Value> {
    let object = member.as_object_mut()?;
    object.iter_mut().find(|(name, _)| name.eq_ignore_ascii_case("value")).map(|(_, id)| id)
}

fn object_id(object: &Map<String, Value>) -> Option<&Value> {
    object.iter().find(|(name, _)| name.eq_ignore_ascii_case("value")).map(|(_, id)| id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(text: &str) -> Vec<MemberRef> {
        text.chars().map(|c| MemberRef(ResourceId::new(c.to_string()))).collect()
    }

    fn after(change: &MemberChange, before: &str) -> String {
        let kind = Kind::new("User");
        let before: Vec<_> =
            ids(before).into_iter().map(|r| Member { id: r.0, kind: kind.clone() }).collect();
        change.preview(&before).keys().map(ResourceId::as_str).collect()
    }

    #[test]
    fn pat_008_changes_add_up_in_order() {
        let mut change = MemberChange::default();
        change.add(&ids("ab"));
        change.remove(&ids("bc"));
        assert_eq!(after(&change, "cd"), "ad");
        change.replace(&ids("xy"));
        change.add(&ids("z"));
        change.remove(&ids("x"));
        assert_eq!(after(&change, "cd"), "yz");
        change.replace(&[]);
        assert_eq!(after(&change, "cd"), "");
    }

    #[test]
    fn usr_022_a_group_is_not_its_own_member() {
        let mut change = MemberChange::default();
        change.add(&ids("g"));
        assert!(change.check(&ResourceId::new("g")).is_err());
        assert!(change.check(&ResourceId::new("h")).is_ok());
    }
}
