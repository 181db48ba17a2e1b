//! Requests and stories as JSON: the same in the admin API and at the command line.

use headcount_core::clock::Timestamp;
use headcount_core::ids::{Kind, ResourceId, TokenId};
use headcount_core::journal::advice::advice;
use headcount_core::journal::{Entry, Logged, Present, Recorded, Story};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// One request, as the provisioning log keeps it.
#[derive(Serialize, ToSchema)]
#[schema(as = LoggedRequest)]
pub(super) struct RecordBody {
    /// Its number in the log; later ones are larger.
    number: i64,
    /// When it arrived.
    #[schema(format = DateTime)]
    at: String,
    /// How long it took, in microseconds.
    micros: i64,
    /// The id that the answer carried as `X-Request-Id`.
    #[serde(rename = "requestId")]
    request: String,
    /// The public id of the token that was presented.
    #[serde(rename = "tokenId")]
    token_id: Option<String>,
    /// The token's name.
    token: Option<String>,
    /// Why the token was refused.
    refused: Option<String>,
    /// The client's address.
    address: Option<String>,
    /// The client's `User-Agent`.
    agent: Option<String>,
    /// The identity provider, as its dialect shows it: `entra`, `okta`, …
    idp: Option<String>,
    /// The HTTP method.
    method: String,
    /// The path below the base URL.
    path: String,
    /// The filter of a search.
    filter: Option<String>,
    /// The resource type.
    kind: Option<String>,
    /// The id of the resource.
    resource: Option<String>,
    /// The name it went by.
    name: Option<String>,
    /// The HTTP status.
    status: u16,
    /// The `scimType` of an error.
    #[serde(rename = "scimType")]
    scim_type: Option<String>,
    /// The attribute that was rejected.
    field: Option<String>,
    /// Why it was refused.
    reason: Option<String>,
    /// What to change so that it succeeds.
    advice: Option<String>,
    /// What was repaired in it, by the names of quirks.
    quirks: Vec<&'static str>,
    /// The body of the request, without secrets; only where one request is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    sent: Option<String>,
    /// The body of the answer to a write, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    answered: Option<String>,
}

impl RecordBody {
    pub(super) fn new(logged: &Logged, bodies: bool) -> Self {
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
            method: record.method.clone(),
            path: record.path.clone(),
            filter: record.query.clone(),
            kind: record.kind.as_ref().map(Kind::to_string),
            resource: record.resource.as_ref().map(ResourceId::to_string),
            name: record.name.clone(),
            status: record.status,
            scim_type: record.scim_type.clone(),
            field: record.field.clone(),
            reason: record.reason.clone(),
            advice: advice(record),
            quirks: record.quirks.iter().map(|quirk| quirk.name).collect(),
            sent: record.body.clone().filter(|_| bodies),
            answered: record.reply.clone().filter(|_| bodies),
        }
    }
}

/// Everything that is known of an identity.
#[derive(Serialize, ToSchema)]
#[schema(as = Timeline)]
pub(super) struct StoryBody {
    /// The name or id that was asked for.
    name: String,
    /// What became of it, in words.
    summary: String,
    /// What to do next; nothing when all is well.
    #[serde(rename = "whatToDo")]
    what_to_do: Option<String>,
    /// What goes by the name now.
    present: Vec<PresentBody>,
    /// What happened, oldest first.
    entries: Vec<EntryBody>,
    /// When the newest request of the tenant arrived, whomever it was about.
    #[serde(rename = "lastRequest")]
    #[schema(format = DateTime)]
    last_request: Option<String>,
}

/// A resource that goes by a name.
#[derive(Serialize, ToSchema)]
#[schema(as = PresentResource)]
struct PresentBody {
    kind: String,
    id: String,
    name: Option<String>,
    /// Whether it is active, for kinds that can be switched off.
    active: Option<bool>,
    #[schema(format = DateTime)]
    created: String,
    #[serde(rename = "lastModified")]
    #[schema(format = DateTime)]
    modified: String,
}

/// Something that happened.
#[derive(Serialize, ToSchema)]
#[schema(as = TimelineEntry)]
struct EntryBody {
    #[schema(format = DateTime)]
    at: String,
    /// Whether it was about the identity itself, rather than about a group that it is in.
    own: bool,
    /// The request; null when the log no longer has it.
    request: Option<RecordBody>,
    /// The changes that it made.
    changes: Vec<ChangeBody>,
}

/// A change of the identity.
#[derive(Serialize, ToSchema)]
#[schema(as = TimelineChange)]
struct ChangeBody {
    kind: String,
    id: String,
    /// `created`, `replaced`, `patched`, `deleted`.
    act: &'static str,
    /// The version that it made.
    version: String,
    /// The attributes that changed, by name.
    paths: Vec<String>,
    /// The change in words.
    told: String,
}

impl StoryBody {
    pub(super) fn new(story: &Story) -> Self {
        Self {
            name: story.name.clone(),
            summary: story.summary(),
            what_to_do: story.what_to_do(),
            present: story.present.iter().map(present).collect(),
            entries: story.entries.iter().map(entry).collect(),
            last_request: story.last_request.map(|at: Timestamp| at.to_string()),
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

fn entry(entry: &Entry) -> EntryBody {
    let change = |recorded: &Recorded| ChangeBody {
        kind: recorded.kind.to_string(),
        id: recorded.id.to_string(),
        act: recorded.change.act.word(),
        version: recorded.version.to_string(),
        paths: recorded.change.paths.clone(),
        told: recorded.outcome(),
    };
    EntryBody {
        at: entry.at.to_string(),
        own: entry.own,
        request: entry.request.as_ref().map(|logged| RecordBody::new(logged, true)),
        changes: entry.changes.iter().map(change).collect(),
    }
}

/// A request as the admin API shows it, with its bodies or without.
pub fn record_json(logged: &Logged, bodies: bool) -> Value {
    serde_json::to_value(RecordBody::new(logged, bodies)).unwrap_or_default()
}

/// A story as the admin API shows it.
pub fn story_json(story: &Story) -> Value {
    serde_json::to_value(StoryBody::new(story)).unwrap_or_default()
}
