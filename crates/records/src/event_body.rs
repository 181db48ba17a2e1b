//! Events as JSON.

use std::fmt;

use headcount_core::change::Actor;
use headcount_core::error::Error;
use headcount_core::ids::TenantId;
use headcount_core::provider::With;
use headcount_core::resource::{Projection, Reply, Resource};
use headcount_core::schema::{Registry, ResourceType};
use headcount_core::service::Service;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::events::{Event, EventKind};
use crate::security_event_token::{self as set, Payload, State};

/// Something that happened to one resource.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Event)]
pub struct EventBody {
    /// Its id, which never changes, and the cursor after it.
    pub id: String,
    /// What happened, such as `user.created` or `group.member_added`.
    #[serde(rename = "type")]
    pub kind: String,
    /// When, in UTC.
    #[schema(format = DateTime)]
    pub at: String,
    /// Who did it.
    pub actor: ActorBody,
    /// The id of the request; all events of one request have the same.
    pub request: String,
    /// What it happened to.
    pub resource: Subject,
    /// The attributes that changed, by name.
    pub attributes: Vec<String>,
    /// The id of the member that was added or removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
    /// With `payload=full`: the resource as it is now, without members. Absent when it was deleted, and
    /// where the event has no need of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub data: Option<Box<RawValue>>,
}

/// Who did something.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Actor)]
pub struct ActorBody {
    /// `token`, `admin`, `cli` or `system`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The id of the token, or the name of the admin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

impl ActorBody {
    /// Writes who did something.
    pub fn of(actor: &Actor) -> Self {
        let (kind, id) = actor.parts();
        Self::new(kind, id)
    }

    /// Writes the stored form of an actor.
    pub fn new(kind: &str, id: &str) -> Self {
        Self { kind: kind.to_owned(), id: Some(id.to_owned()).filter(|id| !id.is_empty()) }
    }
}

impl fmt::Display for ActorBody {
    /// Writes the actor for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.kind.as_str(), self.id.as_deref()) {
            ("cli", _) => f.write_str("command line"),
            ("system", _) => f.write_str("the server"),
            (kind, Some(id)) => write!(f, "{kind} {id}"),
            (kind, None) => f.write_str(kind),
        }
    }
}

/// What an event is about.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Subject {
    /// The resource type, such as `User`; `Token` or `Tenant` for those.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its id.
    pub id: String,
    /// Its path below the base URL of SCIM; absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// The number in its `meta.version` after the change; it grows with every change of the resource.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,
}

/// Returns the path of the resource below the base URL; none for what SCIM does not serve.
fn uri(registry: &Registry, event: &Event) -> Option<String> {
    let kind = registry.kind(event.kind.as_str())?;
    Some(format!("{}/{}", kind.endpoint, event.resource))
}

impl EventBody {
    /// Writes an event, without a payload.
    pub fn new(registry: &Registry, event: &Event) -> Self {
        Self {
            id: event.id.to_string(),
            kind: event.event_type(),
            at: event.at.to_string(),
            actor: ActorBody::of(&event.actor),
            request: event.request.to_string(),
            resource: Subject {
                kind: event.kind.to_string(),
                id: event.resource.to_string(),
                uri: uri(registry, event),
                version: event.version.map(headcount_core::ids::Version::counter),
            },
            attributes: event.attributes.clone(),
            member: event.member.as_ref().map(ToString::to_string),
            data: None,
        }
    }
}

/// How events are written for one reader.
#[derive(Debug, Clone)]
pub struct EventStyle {
    /// Whether as Security Event Tokens.
    pub sets: bool,
    /// Whether with the resource.
    pub payload: Payload,
    /// The origin under which the client reaches the server.
    pub origin: String,
    /// The path of SCIM below it.
    pub base_path: &'static str,
}

/// Writes events.
pub struct EventWriter<'a> {
    /// The use cases of SCIM.
    pub service: &'a Service,
    /// The tenant whose events they are.
    pub tenant: TenantId,
    /// How they are written.
    pub style: &'a EventStyle,
}

impl EventWriter<'_> {
    /// Writes an event; returns `None` when the style cannot express it.
    ///
    /// # Errors
    ///
    /// Those of reading the resource.
    pub fn write(&self, event: &Event) -> Result<Option<Box<RawValue>>, Error> {
        let registry = &self.service.registry;
        if !self.style.sets {
            let data = match self.state(event)? {
                Some((kind, resource)) => Some(raw(self.render(&kind, &resource)?)?),
                None => None,
            };
            return Ok(Some(raw_of(&EventBody { data, ..EventBody::new(registry, event) })?));
        }
        let Some(uri) = uri(registry, event) else {
            return Ok(None);
        };
        // The payload of a token is the state right after the change, or is absent: never a later state.
        let state = self.state(event)?;
        let state = state.filter(|(_, resource)| Some(resource.version) == event.version);
        let shown: Map<String, Value> = match &state {
            Some((kind, resource)) => serde_json::from_str(&self.render(kind, resource)?)
                .map_err(|_error| Error::internal("a reply is a JSON object"))?,
            None => Map::new(),
        };
        let state = match &state {
            Some((_, resource)) => {
                Some(State { shown: &shown, stored: resource.document.attributes()? })
            }
            None => None,
        };
        let claims = set::claims(event, &uri, &self.style.origin, self.style.payload, state);
        claims.map(|claims| raw_of(&claims)).transpose()
    }

    /// Reads the resource as it is now, if the reader wants it and the event needs it.
    fn state(
        &self,
        event: &Event,
    ) -> Result<Option<(std::sync::Arc<ResourceType>, Resource)>, Error> {
        let whole = matches!(event.what, EventKind::Created | EventKind::Updated)
            || (!self.style.sets
                && matches!(event.what, EventKind::Deactivated | EventKind::Reactivated));
        let kind = self.service.registry.kind(event.kind.as_str());
        let Some(kind) = kind.filter(|_| whole && self.style.payload == Payload::Full) else {
            return Ok(None);
        };
        let provider = &self.service.provider;
        let found = provider.get(self.tenant, &kind.kind, &event.resource, With::Nothing)?;
        Ok(found.map(|found| (std::sync::Arc::clone(kind), found.resource)))
    }

    /// Renders a resource as SCIM does, without members and groups.
    fn render(&self, kind: &ResourceType, resource: &Resource) -> Result<String, Error> {
        let computed: Vec<String> = ["members", "groups"]
            .into_iter()
            .filter(|name| kind.resolve(name).is_ok())
            .map(str::to_owned)
            .collect();
        let projection = Projection::new(kind, &[], &computed)?;
        let base = format!("{}{}", self.style.origin, self.style.base_path);
        let registry = &self.service.registry;
        let reply = Reply { registry, kind, projection: &projection, base: &base };
        let mut out = Vec::new();
        reply.write(&mut out, resource, &Default::default())?;
        String::from_utf8(out).map_err(|_error| Error::internal("a reply is UTF-8"))
    }
}

fn raw(text: String) -> Result<Box<RawValue>, Error> {
    RawValue::from_string(text).map_err(|_error| Error::internal("a reply is JSON"))
}

fn raw_of(value: &impl Serialize) -> Result<Box<RawValue>, Error> {
    serde_json::value::to_raw_value(value).map_err(|_error| Error::internal("an event is JSON"))
}
