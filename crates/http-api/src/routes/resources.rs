//! Users, groups and every other kind: one set of handlers.

use std::sync::Arc;

use actix_web::http::{Method, StatusCode};
use actix_web::web::Data;
use headcount_core::change::ResourceNames;
use headcount_core::ids::ResourceId;
use headcount_core::index::Columns;
use headcount_core::message::SearchRequest;
use headcount_core::provider::Found;
use headcount_core::quirks::{Applied, Quirks};
use headcount_core::resource::{self, Projection};
use headcount_core::schema::ResourceType;
use headcount_core::service::{Caller, Edit, Precondition, Shape, WriteOutcome};
use headcount_token_admin::Scopes;
use serde_json::Value;

use crate::api::Api;
use crate::auth::{Authenticated, Provision, Read};
use crate::body::ScimJson;
use crate::error::ApiError;
use crate::identity::TokenIdentity;
use crate::reply::{LogContext, Reply, respond, respond_to};
use crate::stream::{BodyWriter, MemberStream};
use crate::target::{Form, IfMatch, Query, Target};

/// POST on an endpoint (RFC 7644 §3.3).
pub(super) async fn create(
    auth: Authenticated<Provision>,
    target: Target,
    query: Query,
    body: ScimJson,
    api: Data<Api>,
) -> Result<Reply, ApiError> {
    respond_to(&api, auth, target.kind_if_known(), move |api, caller, token| {
        let kind = target.kind()?;
        let body = body.parse()?;
        let shape = shown_to(token, query.shape(caller)?);
        let written = api.service.create(caller, &kind, body, &shape)?;
        let context = ReplyContext { api, caller, kind, form: target.form };
        context.render_write(StatusCode::CREATED, written)
    })
    .await
}

/// GET on a resource (RFC 7644 §3.4.1).
pub(super) async fn get(
    auth: Authenticated<Read>,
    target: Target,
    query: Query,
    condition: IfMatch,
    api: Data<Api>,
) -> Result<Reply, ApiError> {
    let auth = auth.on(query.lane_of_get(&api, &target));
    respond(&api, auth, target.kind_if_known(), move |api, caller| {
        let kind = target.kind()?;
        let shape = query.shape(caller)?;
        let (found, projection) = api.service.get(caller, &kind, &target.id(caller)?, &shape)?;
        let unmodified = condition.check()?.is_unmodified(&found.resource);
        let context = ReplyContext { api, caller, kind, form: target.form };
        if unmodified && projection.is_covered_by_version(&context.kind) {
            let location = context.location(&projection, &found);
            let etag = found.resource.version.to_string();
            return Ok(Reply::empty(StatusCode::NOT_MODIFIED).about(etag, location));
        }
        let log = LogContext { slip: projection.slip(), ..context.log(Applied::default()) };
        Ok(context.render_resource(StatusCode::OK, found, projection)?.with_log(log))
    })
    .await
}

/// GET on an endpoint (RFC 7644 §3.4.2).
pub(super) async fn list(
    auth: Authenticated<Read>,
    target: Target,
    query: Query,
    api: Data<Api>,
) -> Result<Reply, ApiError> {
    let auth = auth.on(query.lane_of_search(&api, target.kinds()));
    respond(&api, auth, target.kind_if_known(), move |api, caller| {
        let kind = target.kind()?;
        render_list(api, caller, &[kind], target.form, &query.search()?)
    })
    .await
}

/// GET on the base URL with a parameter of a search: all kinds at once (RFC 7644 §3.4.2.1).
pub(super) async fn list_all(
    auth: Authenticated<Read>,
    target: Target,
    query: Query,
    api: Data<Api>,
) -> Result<Reply, ApiError> {
    let auth = auth.on(query.lane_of_search(&api, api.service.registry.kinds()));
    respond(&api, auth, None, move |api, caller| {
        render_list(api, caller, api.service.registry.kinds(), target.form, &query.search()?)
    })
    .await
}

/// POST on `.search` (RFC 7644 §3.4.3).
pub(super) async fn search(
    auth: Authenticated<Read>,
    target: Target,
    body: ScimJson,
    api: Data<Api>,
) -> Result<Reply, ApiError> {
    let auth = auth.on(body.lane_of_search(&api, target.kinds()));
    respond(&api, auth, target.kind_if_known(), move |api, caller| {
        let kind = target.kind()?;
        let request = parse_search(body, caller.quirks)?;
        render_list(api, caller, &[kind], target.form, &request)
    })
    .await
}

/// POST on `.search` at the root: all kinds at once (RFC 7644 §3.4.3).
pub(super) async fn search_all(
    auth: Authenticated<Read>,
    target: Target,
    body: ScimJson,
    api: Data<Api>,
) -> Result<Reply, ApiError> {
    let auth = auth.on(body.lane_of_search(&api, api.service.registry.kinds()));
    respond(&api, auth, None, move |api, caller| {
        let request = parse_search(body, caller.quirks)?;
        render_list(api, caller, api.service.registry.kinds(), target.form, &request)
    })
    .await
}

/// Reads the body of a `.search`. Whether it may be missing depends on the tenant's quirks, so that
/// [`headcount_core::service::Service::search`] decides it.
fn parse_search(body: ScimJson, quirks: Quirks) -> Result<SearchRequest, ApiError> {
    if body.is_empty() {
        return Ok(SearchRequest::without_body());
    }
    Ok(SearchRequest::from_body(body.parse()?, quirks)?)
}

/// PUT or PATCH on a resource (RFC 7644 §3.5.1, §3.5.2).
pub(super) async fn update(
    method: Method,
    auth: Authenticated<Provision>,
    target: Target,
    query: Query,
    condition: IfMatch,
    body: ScimJson,
    api: Data<Api>,
) -> Result<Reply, ApiError> {
    respond_to(&api, auth, target.kind_if_known(), move |api, caller, token| {
        let (kind, id) = (target.kind()?, target.id(caller)?);
        let (body, shape, condition) = read_update(body, query, condition, caller)
            .map_err(|error| prefer_not_found(api, caller, &kind, &id, error))?;
        let edit = Edit { caller, kind: &kind, precondition: &condition };
        let shape = shown_to(token, shape);
        let written = if method == Method::PUT {
            api.service.replace(edit, &id, body, &shape)?
        } else {
            api.service.patch(edit, &id, body, &shape)?
        };
        let context = ReplyContext { api, caller, kind, form: target.form };
        context.render_write(StatusCode::OK, written)
    })
    .await
}

/// Returns what the response to a write shows: to a token that may not read, no more than which resource it wrote.
fn shown_to(token: &TokenIdentity, asked: Shape) -> Shape {
    if token.scopes.allow(Scopes::SCIM_READ) {
        return asked;
    }
    Shape { attributes: vec!["meta".to_owned()], excluded: Vec::new() }
}

fn read_update(
    body: ScimJson,
    query: Query,
    condition: IfMatch,
    caller: &Caller,
) -> Result<(Value, Shape, Precondition), ApiError> {
    Ok((body.parse()?, query.shape(caller)?, condition.check()?))
}

/// DELETE on a resource (RFC 7644 §3.6).
pub(super) async fn delete(
    auth: Authenticated<Provision>,
    target: Target,
    condition: IfMatch,
    api: Data<Api>,
) -> Result<Reply, ApiError> {
    respond(&api, auth, target.kind_if_known(), move |api, caller| {
        let (kind, id) = (target.kind()?, target.id(caller)?);
        let condition =
            condition.check().map_err(|error| prefer_not_found(api, caller, &kind, &id, error))?;
        let names =
            api.service.delete(Edit { caller, kind: &kind, precondition: &condition }, &id)?;
        let context = ReplyContext { api, caller, kind, form: target.form };
        let log = LogContext { changed: Some(true), names, ..context.log(Applied::default()) };
        Ok(Reply::empty(StatusCode::NO_CONTENT).with_log(log))
    })
    .await
}

/// Chooses the error of a request on one resource whose parts could not be read: that the resource does not
/// exist comes first (ETG-017).
fn prefer_not_found(
    api: &Api,
    caller: &Caller,
    kind: &ResourceType,
    id: &ResourceId,
    error: ApiError,
) -> ApiError {
    match api.service.find(caller, kind, id) {
        Ok(_) => error,
        Err(missing) => missing.into(),
    }
}

/// What the reply about one resource depends on, besides the resource.
struct ReplyContext<'a> {
    api: &'a Data<Api>,
    caller: &'a Caller,
    kind: Arc<ResourceType>,
    form: Form,
}

impl ReplyContext<'_> {
    /// Renders the reply to a write: 204 when the client asked for no attributes.
    fn render_write(
        mut self,
        status: StatusCode,
        written: WriteOutcome,
    ) -> Result<Reply, ApiError> {
        let WriteOutcome { found, shown, changed, projection, applied } = written;
        let slip = projection.slip();
        let is_streamed = found.computed.more_members.is_some();
        let names =
            if shown && !is_streamed { ResourceNames::default() } else { self.names(&found)? };
        let log = LogContext { changed: Some(changed), slip, names, ..self.log(applied) };
        if shown {
            self.form = self.form.of_write();
            return Ok(self.render_resource(status, found, projection)?.with_log(log));
        }
        let location = self.location(&projection, &found);
        Ok(Reply::empty(StatusCode::NO_CONTENT)
            .about(found.resource.version.to_string(), location)
            .with_log(log))
    }

    /// Renders a reply that shows one resource.
    fn render_resource(
        self,
        status: StatusCode,
        found: Found,
        projection: Projection,
    ) -> Result<Reply, ApiError> {
        let location = self.location(&projection, &found);
        let etag = found.resource.version.to_string();
        let shapes = vec![(self.kind, projection)];
        let writer = BodyWriter::new(self.caller.tenant, shapes, self.form, None, vec![found]);
        Ok(render_body(self.api, status, writer)?.about(etag, location))
    }

    /// Returns the names of a resource that the log finds neither in the request nor in the response.
    fn names(&self, found: &Found) -> Result<ResourceNames, ApiError> {
        let columns = Columns::of(&self.kind, found.resource.document.attributes()?);
        let Columns { name, external_id, .. } = columns;
        Ok(ResourceNames { name, external_id, ..ResourceNames::default() })
    }

    fn location(&self, projection: &Projection, found: &Found) -> String {
        let registry = &self.api.service.registry;
        resource::Reply { registry, kind: &self.kind, projection, base: &self.form.base }
            .location(&found.resource)
    }

    fn log(&self, applied: Applied) -> LogContext {
        LogContext { kind: Some(self.kind.kind.to_string()), applied, ..LogContext::default() }
    }
}

/// Renders a reply that lists resources of some kinds.
fn render_list(
    api: &Data<Api>,
    caller: &Caller,
    kinds: &[Arc<ResourceType>],
    form: Form,
    request: &SearchRequest,
) -> Result<Reply, ApiError> {
    let listing = api.service.search(caller, kinds, request)?;
    let kind = kinds.first().filter(|_| kinds.len() == 1).map(|kind| kind.kind.to_string());
    // Of several kinds, one may have the attribute.
    let slips: Option<Vec<_>> = listing.projections.iter().map(|(_, one)| one.slip()).collect();
    let slip = slips.and_then(|slips| slips.into_iter().next());
    let log = LogContext { kind, applied: listing.applied, slip, ..LogContext::default() };
    let writer = BodyWriter::new(
        caller.tenant,
        listing.projections,
        form,
        Some(listing.head),
        listing.resources,
    );
    Ok(render_body(api, StatusCode::OK, writer)?.with_log(log))
}

/// Bytes that are written around a document: id, `meta` with an address, and the groups of most users.
const ENVELOPE_BYTES: usize = 512;

/// Renders a body whole, or as a stream when groups in it have more members than were read.
fn render_body(
    api: &Data<Api>,
    status: StatusCode,
    mut writer: BodyWriter,
) -> Result<Reply, ApiError> {
    let resources = writer.resources.as_slice();
    if resources.iter().any(|found| found.computed.more_members.is_some()) {
        return Ok(Reply::stream(status, MemberStream::new(Data::clone(api), writer)));
    }
    let documents: usize = resources.iter().map(|found| found.resource.document.text().len()).sum();
    let mut body = Vec::with_capacity(documents + ENVELOPE_BYTES * (resources.len() + 1));
    writer.advance(api, &mut body)?;
    Reply::whole(status, body).compress(writer.form.gzip)
}
