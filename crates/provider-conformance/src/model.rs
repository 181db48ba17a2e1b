//! A reference model of users, groups, names, members and versions.
//!
//! It shares no code with `core`, and is simple instead of fast: everything is a list that is searched from
//! its beginning. [`crate::stream`] runs random operations against it and against a store.

use std::collections::BTreeSet;

/// The two kinds of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Users, who have `userName`, `title`, `active`.
    User,
    /// Groups, which have `displayName` and `members`.
    Group,
}

/// A resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The id from the store.
    pub id: String,
    /// The kind.
    pub kind: Kind,
    /// The number of stored changes.
    pub version: i64,
    /// The attributes that clients write.
    pub data: Data,
}

/// The attributes that clients write.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Data {
    /// `userName` or `displayName`.
    pub name: String,
    /// `externalId`
    pub external_id: Option<String>,
    /// `title`, of users.
    pub title: Option<String>,
    /// `active`, of users.
    pub active: Option<bool>,
    /// The ids of the members, of groups.
    pub members: BTreeSet<String>,
}

/// One change of a PATCH.
#[derive(Debug, Clone)]
pub enum Change {
    /// Another name.
    Name(String),
    /// Another title, or none.
    Title(Option<String>),
    /// Activates or deactivates a user.
    Active(bool),
    /// Adds members.
    Add(BTreeSet<String>),
    /// Removes one member.
    Remove(String),
    /// Replaces the members.
    Members(BTreeSet<String>),
}

/// A query over a kind.
#[derive(Debug, Clone)]
pub enum Question {
    /// Everything.
    All,
    /// The name, in any case.
    NameIs(String),
    /// The beginning of the name, in any case.
    NameBegins(String),
    /// Users with this title, in any case.
    TitleIs(String),
    /// Users without a title.
    NoTitle,
    /// Active users, or others.
    ActiveIs(bool),
    /// This `externalId`, exactly.
    ExternalIdIs(String),
    /// Groups with this member.
    HasMember(String),
    /// Users in this group.
    InGroup(String),
    /// Neither of two.
    Neither(Box<(Question, Question)>),
}

/// A request in one tenant.
#[derive(Debug, Clone)]
pub struct Operation {
    /// The tenant, 0 or 1.
    pub tenant: usize,
    /// The kind.
    pub kind: Kind,
    /// What it does.
    pub action: Action,
}

/// What a request does.
#[derive(Debug, Clone)]
pub enum Action {
    /// POST
    Create(Data),
    /// PUT, with the version that the client expects.
    Replace(String, Option<i64>, Data),
    /// PATCH, with the expected version.
    Patch(String, Option<i64>, Vec<Change>),
    /// DELETE, with the expected version.
    Delete(String, Option<i64>),
    /// A query: its order (by name, descending or not, or by creation), its offset and its limit.
    Find(Question, Option<bool>, usize, usize),
}

/// The outcome of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The resource afterwards.
    Stored(Entry),
    /// The resource was deleted.
    Deleted,
    /// The total and the ids of the page.
    Found(usize, Vec<String>),
    /// HTTP status and `scimType`.
    Refused(u16, Option<&'static str>),
}

const NOT_FOUND: Outcome = Outcome::Refused(404, None);
const WRONG_VERSION: Outcome = Outcome::Refused(412, None);
const NAME_TAKEN: Outcome = Outcome::Refused(409, Some("uniqueness"));
const BAD_MEMBER: Outcome = Outcome::Refused(400, Some("invalidValue"));

/// One tenant.
#[derive(Debug, Clone, Default)]
pub struct Tenant {
    /// The resources, in the order of their creation.
    pub entries: Vec<Entry>,
    /// The number of recorded changes.
    pub changes: usize,
}

/// Two independent tenants.
#[derive(Debug, Clone, Default)]
pub struct Model {
    /// The tenants.
    pub tenants: [Tenant; 2],
}

impl Model {
    /// Runs a request. `new_id` is the id that the store has made for a new resource.
    pub fn run(&mut self, operation: &Operation, new_id: &str) -> Outcome {
        let Some(tenant) = self.tenants.get_mut(operation.tenant) else {
            return NOT_FOUND;
        };
        let kind = operation.kind;
        match &operation.action {
            Action::Create(data) => tenant.create(kind, data.clone(), new_id),
            Action::Replace(id, seen, data) => tenant.write(kind, id, *seen, |old| {
                let mut new = data.clone();
                // PUT clears what it leaves out, except `externalId` and `active`.
                new.external_id = new.external_id.or(old.external_id);
                new.active = new.active.or(old.active);
                new
            }),
            Action::Patch(id, seen, changes) => {
                tenant.write(kind, id, *seen, |old| changes.iter().fold(old, apply))
            }
            Action::Delete(id, seen) => tenant.delete(kind, id, *seen),
            Action::Find(question, order, skip, count) => {
                tenant.find(kind, question, *order, *skip, *count)
            }
        }
    }
}

fn apply(mut data: Data, change: &Change) -> Data {
    match change {
        Change::Name(name) => data.name = name.clone(),
        Change::Title(title) => data.title = title.clone(),
        Change::Active(active) => data.active = Some(*active),
        Change::Add(members) => data.members.extend(members.iter().cloned()),
        Change::Remove(member) => drop(data.members.remove(member)),
        Change::Members(members) => data.members = members.clone(),
    }
    data
}

/// Returns the form in which names and titles are compared.
fn lower(text: &str) -> String {
    text.to_lowercase()
}

impl Tenant {
    fn at(&self, kind: Kind, id: &str) -> Option<usize> {
        self.entries.iter().position(|entry| entry.kind == kind && entry.id == id)
    }

    /// Returns why the data cannot be stored under the id.
    fn refusal(&self, kind: Kind, id: &str, data: &Data) -> Option<Outcome> {
        if data.members.contains(id) {
            return Some(BAD_MEMBER);
        }
        let mut others = self.entries.iter().filter(|entry| entry.kind == kind && entry.id != id);
        if others.any(|other| lower(&other.data.name) == lower(&data.name)) {
            return Some(NAME_TAKEN);
        }
        let mut members = data.members.iter();
        members
            .any(|member| self.entries.iter().all(|entry| entry.id != *member))
            .then_some(BAD_MEMBER)
    }

    fn create(&mut self, kind: Kind, mut data: Data, id: &str) -> Outcome {
        if kind == Kind::User {
            // A new user is active by default.
            data.active = data.active.or(Some(true));
        }
        if let Some(refusal) = self.refusal(kind, id, &data) {
            return refusal;
        }
        let entry = Entry { id: id.to_owned(), kind, version: 1, data };
        self.entries.push(entry.clone());
        self.changes += 1;
        Outcome::Stored(entry)
    }

    fn write(
        &mut self,
        kind: Kind,
        id: &str,
        seen: Option<i64>,
        change: impl Fn(Data) -> Data,
    ) -> Outcome {
        let Some(old) = self.at(kind, id).and_then(|at| self.entries.get(at)).cloned() else {
            return NOT_FOUND;
        };
        if seen.is_some_and(|seen| seen != old.version) {
            return WRONG_VERSION;
        }
        let data = change(old.data.clone());
        if data == old.data {
            return Outcome::Stored(old);
        }
        if let Some(refusal) = self.refusal(kind, id, &data) {
            return refusal;
        }
        let new = Entry { version: old.version + 1, data, ..old };
        for entry in self.entries.iter_mut().filter(|entry| entry.id == id) {
            *entry = new.clone();
        }
        self.changes += 1;
        Outcome::Stored(new)
    }

    fn delete(&mut self, kind: Kind, id: &str, seen: Option<i64>) -> Outcome {
        let Some(old) = self.at(kind, id).and_then(|at| self.entries.get(at)) else {
            return NOT_FOUND;
        };
        if seen.is_some_and(|seen| seen != old.version) {
            return WRONG_VERSION;
        }
        self.entries.retain(|entry| entry.id != id);
        // The groups of a deleted resource lose a member, and get their next version.
        for group in &mut self.entries {
            if group.data.members.remove(id) {
                group.version += 1;
            }
        }
        self.changes += 1;
        Outcome::Deleted
    }

    fn find(
        &self,
        kind: Kind,
        question: &Question,
        order: Option<bool>,
        skip: usize,
        count: usize,
    ) -> Outcome {
        let mut found: Vec<&Entry> = self
            .entries
            .iter()
            .filter(|entry| entry.kind == kind && self.satisfies(entry, question))
            .collect();
        if let Some(descending) = order {
            found.sort_by_key(|entry| lower(&entry.data.name));
            if descending {
                found.reverse();
            }
        }
        let page = found.iter().skip(skip).take(count).map(|entry| entry.id.clone());
        Outcome::Found(found.len(), page.collect())
    }

    fn satisfies(&self, entry: &Entry, question: &Question) -> bool {
        let data = &entry.data;
        match question {
            Question::All => true,
            Question::NameIs(name) => lower(&data.name) == lower(name),
            Question::NameBegins(start) => lower(&data.name).starts_with(&lower(start)),
            Question::TitleIs(title) => {
                data.title.as_ref().is_some_and(|own| lower(own) == lower(title))
            }
            Question::NoTitle => data.title.is_none(),
            Question::ActiveIs(active) => data.active == Some(*active),
            Question::ExternalIdIs(id) => data.external_id.as_ref() == Some(id),
            Question::HasMember(id) => data.members.contains(id),
            Question::InGroup(group) => {
                let mut groups = self.entries.iter().filter(|other| other.id == *group);
                groups.any(|group| group.data.members.contains(&entry.id))
            }
            Question::Neither(two) => {
                !self.satisfies(entry, &two.0) && !self.satisfies(entry, &two.1)
            }
        }
    }
}
