//! Events: what a recorded change means to those who follow it.
//!
//! An event says what happened to which resource, and which attributes changed, but contains no values: a
//! reader with the permission reads the resource. One change can be several events; a reader may stop between
//! two of them and resume there.

use std::fmt;

use headcount_core::change::{Act, Activation, Actor, Recorded};
use headcount_core::clock::Timestamp;
use headcount_core::ids::{ChainPosition, Kind, RequestId, ResourceId, Version};

/// The kind that has members.
const GROUP: &str = "Group";
/// The attribute with the members.
const MEMBERS: &str = "members";
/// The attribute that activates a user.
const ACTIVE: &str = "active";

/// The id of an event, and the cursor of a reader that has read it.
///
/// Events are ordered by it. It never changes: an event that is read again has the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    /// The position of the change.
    pub position: ChainPosition,
    /// The number of the event among those of its change, from 1.
    pub number: u32,
}

impl EventId {
    /// The cursor of a reader that has read nothing.
    pub const START: Self = Self { position: ChainPosition::START, number: 0 };

    /// Reads `12.3`, or `0` for the start.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "0" {
            return Some(Self::START);
        }
        let (position, number) = text.split_once('.')?;
        if !is_number(position) || !is_number(number) {
            return None;
        }
        let position = ChainPosition::new(position.parse().ok()?);
        Some(Self { position, number: number.parse().ok()? })
    }
}

/// Checks for digits without a sign, few enough for an `i64`.
fn is_number(text: &str) -> bool {
    !text.is_empty() && text.len() <= 18 && text.bytes().all(|byte| byte.is_ascii_digit())
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::START {
            f.write_str("0")
        } else {
            write!(f, "{}.{}", self.position, self.number)
        }
    }
}

/// What happened to a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// It was created.
    Created,
    /// Attributes of it changed, other than `active` and members.
    Updated,
    /// Its `active` became false.
    Deactivated,
    /// Its `active` became true.
    Reactivated,
    /// It was deleted.
    Deleted,
    /// A member came to it.
    MemberAdded,
    /// A member left it, or was deleted.
    MemberRemoved,
    /// What happens to tokens and tenants alone, by the word of the act.
    Other(Act),
}

/// The words that types of events on resources end with.
pub const RESOURCE_WORDS: [&str; 6] =
    ["created", "updated", "deactivated", "reactivated", "deleted", "erased"];
/// The types of events on members of a group.
pub const MEMBER_TYPES: [&str; 2] = ["group.member_added", "group.member_removed"];
/// The types of events on tokens and tenants.
pub const OTHER_TYPES: [&str; 7] = [
    "token.created",
    "token.rotated",
    "token.expiring",
    "token.revoked",
    "tenant.created",
    "tenant.updated",
    "tenant.deleted",
];

impl EventKind {
    /// Returns the second half of the event's type.
    pub fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Deactivated => "deactivated",
            Self::Reactivated => "reactivated",
            Self::Deleted => "deleted",
            Self::MemberAdded => "member_added",
            Self::MemberRemoved => "member_removed",
            Self::Other(act) => act.word(),
        }
    }
}

/// Something that happened to one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its id.
    pub id: EventId,
    /// What happened.
    pub what: EventKind,
    /// In which way: an update may have been a PUT or a PATCH.
    pub act: Act,
    /// When.
    pub at: Timestamp,
    /// Who did it.
    pub actor: Actor,
    /// In which request.
    pub request: RequestId,
    /// The kind of the resource.
    pub kind: Kind,
    /// The resource.
    pub resource: ResourceId,
    /// The version that the change made; of a deletion, the last one. Absent where there are none.
    pub version: Option<Version>,
    /// The `externalId` of the resource, unless it has none or it was erased.
    pub external_id: Option<String>,
    /// The attributes that changed, by name.
    pub attributes: Vec<String>,
    /// The member that was added or removed.
    pub member: Option<ResourceId>,
}

impl Event {
    /// Returns the type, such as `user.created`.
    pub fn event_type(&self) -> String {
        format!("{}.{}", self.kind.as_str().to_lowercase(), self.what.word())
    }
}

/// Returns the events of a change, at least one, in order.
///
/// - Each added or removed member is one event, after what else happened to the group.
/// - A deleted member first leaves its groups.
/// - A change of `active` is its own event; when other attributes changed as well, an update comes
///   before it.
pub fn unfold(recorded: &Recorded) -> Vec<Event> {
    let mut events = Vec::new();
    for left in &recorded.left {
        events.push(Event {
            kind: Kind::new(GROUP),
            resource: left.group.clone(),
            version: Some(left.version),
            external_id: None,
            member: Some(recorded.id.clone()),
            ..event(recorded, EventKind::MemberRemoved, &[MEMBERS])
        });
    }
    own(recorded, &mut events);
    let members = &recorded.members;
    let removed = members.removed.iter().map(|member| (member, EventKind::MemberRemoved));
    let added = members.added.iter().map(|member| (member, EventKind::MemberAdded));
    for (member, what) in removed.chain(added) {
        events.push(Event { member: Some(member.clone()), ..event(recorded, what, &[MEMBERS]) });
    }
    if events.is_empty() {
        events.push(event(recorded, EventKind::Updated, &[]));
    }
    for (number, event) in (1..).zip(&mut events) {
        event.id.number = number;
    }
    events
}

/// Adds the events of the resource itself.
fn own(recorded: &Recorded, events: &mut Vec<Event>) {
    let change = &recorded.change;
    // Members and activation have events of their own.
    let attributes: Vec<&str> = change
        .paths
        .iter()
        .map(String::as_str)
        .filter(|path| *path != MEMBERS && !(*path == ACTIVE && change.switched.is_some()))
        .collect();
    let whole = match change.act {
        Act::Created => Some(EventKind::Created),
        Act::Deleted => Some(EventKind::Deleted),
        Act::Changed => Some(EventKind::Updated),
        Act::Revoked | Act::Rotated | Act::Expiring | Act::Erased | Act::Refused => {
            Some(EventKind::Other(change.act))
        }
        Act::Replaced | Act::Patched => None,
    };
    if let Some(what) = whole {
        events.push(event(recorded, what, &attributes));
        return;
    }
    if !attributes.is_empty() {
        events.push(event(recorded, EventKind::Updated, &attributes));
    }
    match change.switched {
        Some(Activation::On) => events.push(event(recorded, EventKind::Reactivated, &[ACTIVE])),
        Some(Activation::Off) => events.push(event(recorded, EventKind::Deactivated, &[ACTIVE])),
        None => {}
    }
}

fn event(recorded: &Recorded, what: EventKind, attributes: &[&str]) -> Event {
    let change = &recorded.change;
    Event {
        id: EventId { position: recorded.position, number: 0 },
        what,
        act: change.act,
        at: change.at,
        actor: change.actor.clone(),
        request: change.request.clone(),
        kind: recorded.kind.clone(),
        resource: recorded.id.clone(),
        version: recorded.version,
        external_id: change.names.external_id.clone(),
        attributes: attributes.iter().map(|name| (*name).to_owned()).collect(),
        member: None,
    }
}

#[cfg(test)]
#[path = "events/tests.rs"]
mod tests;
