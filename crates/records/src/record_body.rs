//! Requests and timelines as JSON: what the admin API answers, and what the command line prints, whether
//! it reads a database or a server.

use headcount_core::change::Recorded;
use headcount_core::clock::Timestamp;
use headcount_core::ids::{Kind, ResourceId, TokenId, Version};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::advice::advice;
use crate::describe;
use crate::event_body::ActorBody;
use crate::request_log::Logged;
use crate::timeline::{Entry, IdentityTimeline, Membership, Present};

/// One request, as the provisioning log keeps it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = LoggedRequest)]
pub struct RecordBody {
    /// Its number in the log; later ones are larger.
    pub number: i64,
    /// When it arrived.
    #[schema(format = DateTime)]
    pub at: String,
    /// How long it took, in microseconds.
    pub micros: i64,
    /// The id that the answer carried as `X-Request-Id`.
    #[serde(rename = "requestId")]
    pub request: String,
    /// The public id of the token that was presented.
    #[serde(rename = "tokenId")]
    pub token_id: Option<String>,
    /// The token's name.
    pub token: Option<String>,
    /// Why the token was refused.
    pub refused: Option<String>,
    /// The client's address.
    pub address: Option<String>,
    /// The client's `User-Agent`.
    pub agent: Option<String>,
    /// The identity provider, as its dialect shows it: `entra`, `okta`, …
    pub idp: Option<String>,
    /// Who that is for people: the identity provider by its name, or else the token's name.
    pub sender: String,
    /// The HTTP method.
    pub method: String,
    /// The path below the base URL.
    pub path: String,
    /// The filter of a search.
    pub filter: Option<String>,
    /// The resource type.
    pub kind: Option<String>,
    /// The id of the resource.
    pub resource: Option<String>,
    /// The name it went by.
    pub name: Option<String>,
    /// The HTTP status.
    pub status: u16,
    /// What came of it, in a word or two: `created`, `unchanged`, `refused`, `token refused`, …
    pub outcome: String,
    /// The `scimType` of an error.
    #[serde(rename = "scimType")]
    pub scim_type: Option<String>,
    /// The attribute that was rejected.
    pub field: Option<String>,
    /// Why it was refused.
    pub reason: Option<String>,
    /// What to change so that it succeeds.
    pub advice: Option<String>,
    /// What was repaired in it, by the names of quirks.
    pub quirks: Vec<String>,
    /// The same in words, a sentence each.
    pub repairs: Vec<String>,
    /// How many more requests without a valid token came with it that were counted, not kept.
    #[serde(default)]
    pub unkept: u64,
    /// The body of the request, without secrets; only where one request is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent: Option<String>,
    /// The body of the answer to a write, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answered: Option<String>,
}

impl RecordBody {
    /// Writes a record with its bodies.
    pub fn with_bodies(logged: &Logged) -> Self {
        let (sent, answered) = (logged.record.body.clone(), logged.record.reply.clone());
        Self { sent, answered, ..Self::new(logged) }
    }

    /// Writes a record without its bodies.
    pub fn new(logged: &Logged) -> Self {
        let record = &logged.record;
        Self {
            number: logged.seq,
            at: record.at.to_string(),
            micros: record.micros,
            request: record.request.as_str().to_owned(),
            token_id: record.token.as_ref().map(TokenId::to_string),
            token: record.token_name.clone(),
            refused: record.refused.clone(),
            address: record.address.clone(),
            agent: record.agent.clone(),
            idp: record.idp.clone(),
            sender: record.sender().to_owned(),
            method: record.method.clone(),
            path: record.path.clone(),
            filter: record.query.clone(),
            kind: record.kind.as_ref().map(Kind::to_string),
            resource: record.resource.as_ref().map(ResourceId::to_string),
            name: record.name.clone(),
            status: record.status,
            outcome: record.outcome(),
            scim_type: record.scim_type.clone(),
            field: record.field.clone(),
            reason: record.reason.clone(),
            advice: advice(record),
            quirks: record.quirks.iter().map(|quirk| quirk.name.to_owned()).collect(),
            repairs: record.repairs(),
            unkept: record.unkept,
            sent: None,
            answered: None,
        }
    }
}

/// Everything that is known of an identity.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Timeline)]
pub struct TimelineBody {
    /// The name or id that was asked for.
    pub name: String,
    /// The result, in words.
    pub summary: String,
    /// What to do next; null when nothing has to be done.
    #[serde(rename = "whatToDo")]
    pub what_to_do: Option<String>,
    /// What goes by the name now.
    pub present: Vec<PresentBody>,
    /// What happened, oldest first.
    pub entries: Vec<EntryBody>,
    /// When the newest request of the tenant arrived, on any identity.
    #[serde(rename = "lastRequest")]
    #[schema(format = DateTime)]
    pub last_request: Option<String>,
}

/// A resource that goes by a name.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = PresentResource)]
pub struct PresentBody {
    /// The resource type.
    pub kind: String,
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: Option<String>,
    /// Whether it is active, for kinds that can be switched off.
    pub active: Option<bool>,
    /// Since when it is here.
    #[schema(format = DateTime)]
    pub created: String,
    /// When it was changed last.
    #[serde(rename = "lastModified")]
    #[schema(format = DateTime)]
    pub modified: String,
}

/// Something that happened.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = TimelineEntry)]
pub struct EntryBody {
    /// When.
    #[schema(format = DateTime)]
    pub at: String,
    /// Whether it was about the identity itself, rather than about a group that it is in.
    pub own: bool,
    /// Whether the request added the identity to a group or removed it, in words; null when it did neither.
    pub membership: Option<String>,
    /// The request; null when the log no longer has it.
    pub request: Option<RecordBody>,
    /// The changes that it made.
    pub changes: Vec<ChangeBody>,
}

/// A change of the identity.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = TimelineChange)]
pub struct ChangeBody {
    /// The resource type.
    pub kind: String,
    /// The id of the resource.
    pub id: String,
    /// Who made it.
    pub actor: ActorBody,
    /// `created`, `replaced`, `patched`, `deleted`.
    pub act: String,
    /// The version that it made.
    pub version: String,
    /// The attributes that changed, by name.
    pub paths: Vec<String>,
    /// The change in words.
    pub told: String,
}

impl TimelineBody {
    /// Writes a timeline.
    pub fn new(timeline: &IdentityTimeline) -> Self {
        Self {
            name: timeline.name.clone(),
            summary: timeline.summary(),
            what_to_do: timeline.what_to_do(),
            present: timeline.present.iter().map(present).collect(),
            entries: timeline.entries.iter().map(entry).collect(),
            last_request: timeline.last_request.map(|at: Timestamp| at.to_string()),
        }
    }
}

fn present(present: &Present) -> PresentBody {
    PresentBody {
        kind: present.kind.to_string(),
        id: present.id.to_string(),
        name: present.name.clone(),
        active: present.active,
        created: present.created.to_string(),
        modified: present.modified.to_string(),
    }
}

fn change(recorded: &Recorded) -> ChangeBody {
    ChangeBody {
        kind: recorded.kind.to_string(),
        id: recorded.id.to_string(),
        actor: ActorBody::of(&recorded.change.actor),
        act: recorded.change.act.word().to_owned(),
        // The API has always reported the erasure of names as version 0.
        version: recorded.version.unwrap_or(Version::new(0)).to_string(),
        paths: recorded.change.paths.clone(),
        told: describe::change(recorded),
    }
}

fn entry(entry: &Entry) -> EntryBody {
    EntryBody {
        at: entry.at.to_string(),
        own: entry.own,
        membership: entry.membership.as_ref().map(Membership::describe),
        request: entry.request.as_ref().map(RecordBody::with_bodies),
        changes: entry.changes.iter().map(change).collect(),
    }
}
