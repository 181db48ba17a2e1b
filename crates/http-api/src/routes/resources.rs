//! Users, groups and every other kind: one set of handlers.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::web::Data;
use headcount_core::ids::ResourceId;
use headcount_core::message::SearchRequest;
use headcount_core::provider::Found;
use headcount_core::quirks::Applied;
use headcount_core::quirks::Quirks;
use headcount_core::resource::{self, Projection};
use headcount_core::schema::ResourceType;
use headcount_core::service::{Caller, WriteOutcome};

use crate::api::Api;
use crate::auth::{Authenticated, Provision, Read};
use crate::blocking;
use crate::body::ScimJson;
use crate::error::ApiError;
use crate::reply::{LogContext, Reply};
use crate::stream::{MemberStream, Writer};
use crate::target::{Form, IfMatch, Query, Target};

/// POST on an endpoint (RFC 7644 §3.3).
pub(super) async fn create(
    auth: Authenticated<Provision>,
    target: Target,
    query: Query,
    body: ScimJson,
    api: Data<Api>,
) -> Result<Reply, ApiError> {
    let job_api = Data::clone(&api);
    let done = blocking::run(&api, auth, target.kind_if_known(), move |api, caller| {
        let kind = target.kind()?;
        let written = api.service.create(caller, &kind, body.parse()?, &query.shape(caller)?)?;
        stored(&job_api, caller, kind, target.form, StatusCode::CREATED, written)
    });
    done.await.map(|(reply, who)| reply.by(who))
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
    let job_api = Data::clone(&api);
    let done = blocking::run(&api, auth, target.kind_if_known(), move |api, caller| {
        let kind = target.kind()?;
        let shape = query.shape(caller)?;
        let (found, projection) = api.service.get(caller, &kind, &target.id(caller)?, &shape)?;
        let unmodified = condition.check()?.is_unmodified(&found.resource);
        if unmodified && projection.is_covered_by_version(&kind) {
            let etag = found.resource.version.to_string();
            let location = location(&job_api, &kind, &projection, &target.form.base, &found);
            return Ok(Reply::empty(StatusCode::NOT_MODIFIED).about(etag, location));
        }
        let notes = LogContext { slip: projection.slip(), ..notes(&kind, Applied::default()) };
        let reply = shown(&job_api, caller, kind, target.form, StatusCode::OK, found, projection)?;
        Ok(reply.noted(notes))
    });
    done.await.map(|(reply, who)| reply.by(who))
}

/// GET on an endpoint (RFC 7644 §3.4.2).
pub(super) async fn list(
    auth: Authenticated<Read>,
    target: Target,
    query: Query,
    api: Data<Api>,
) -> Result<Reply, ApiError> {
    let auth = auth.on(query.lane_of_search(&api, target.kinds()));
    let job_api = Data::clone(&api);
    let done = blocking::run(&api, auth, target.kind_if_known(), move |_, caller| {
        let kind = target.kind()?;
        listed(&job_api, caller, &[kind], target.form, &query.search()?)
    });
    done.await.map(|(reply, who)| reply.by(who))
}

/// GET on the base URL with a parameter of a search: all kinds at once (RFC 7644 §3.4.2.1).
pub(super) async fn list_all(
    auth: Authenticated<Read>,
    target: Target,
    query: Query,
    api: Data<Api>,
) -> Result<Reply, ApiError> {
    let auth = auth.on(query.lane_of_search(&api, api.service.registry.kinds()));
    let job_api = Data::clone(&api);
    let done = blocking::run(&api, auth, None, move |api, caller| {
        listed(&job_api, caller, api.service.registry.kinds(), target.form, &query.search()?)
    });
    done.await.map(|(reply, who)| reply.by(who))
}

/// POST on `.search` (RFC 7644 §3.4.3).
pub(super) async fn search(
    auth: Authenticated<Read>,
    target: Target,
    body: ScimJson,
    api: Data<Api>,
) -> Result<Reply, ApiError> {
    let auth = auth.on(body.lane_of_search(&api, target.kinds()));
    let job_api = Data::clone(&api);
    let done = blocking::run(&api, auth, target.kind_if_known(), move |_, caller| {
        let kind = target.kind()?;
        listed(&job_api, caller, &[kind], target.form, &asked(body, caller.quirks)?)
    });
    done.await.map(|(reply, who)| reply.by(who))
}

/// POST on `.search` at the root: all kinds at once (RFC 7644 §3.4.3).
pub(super) async fn search_all(
    auth: Authenticated<Read>,
    target: Target,
    body: ScimJson,
    api: Data<Api>,
) -> Result<Reply, ApiError> {
    let auth = auth.on(body.lane_of_search(&api, api.service.registry.kinds()));
    let job_api = Data::clone(&api);
    let done = blocking::run(&api, auth, None, move |api, caller| {
        listed(
            &job_api,
            caller,
            api.service.registry.kinds(),
            target.form,
            &asked(body, caller.quirks)?,
        )
    });
    done.await.map(|(reply, who)| reply.by(who))
}

/// Reads the body of a `.search`. That there is none is told in its turn.
fn asked(body: ScimJson, quirks: Quirks) -> Result<SearchRequest, ApiError> {
    if body.is_empty() {
        return Ok(SearchRequest::without_body());
    }
    Ok(SearchRequest::from_body(body.parse()?, quirks)?)
}

/// PUT on a resource (RFC 7644 §3.5.1).
pub(super) async fn replace(
    auth: Authenticated<Provision>,
    target: Target,
    query: Query,
    condition: IfMatch,
    body: ScimJson,
    api: Data<Api>,
) -> Result<Reply, ApiError> {
    let job_api = Data::clone(&api);
    let done = blocking::run(&api, auth, target.kind_if_known(), move |api, caller| {
        let (kind, id) = (target.kind()?, target.id(caller)?);
        let refuse = |error| refused(api, caller, &kind, &id, error);
        let (body, shape) = (body.parse().map_err(refuse)?, query.shape(caller).map_err(refuse)?);
        let condition = condition.check().map_err(refuse)?;
        let written = api.service.replace(caller, &kind, &id, body, &condition, &shape)?;
        stored(&job_api, caller, kind, target.form, StatusCode::OK, written)
    });
    done.await.map(|(reply, who)| reply.by(who))
}

/// PATCH on a resource (RFC 7644 §3.5.2).
pub(super) async fn patch(
    auth: Authenticated<Provision>,
    target: Target,
    query: Query,
    condition: IfMatch,
    body: ScimJson,
    api: Data<Api>,
) -> Result<Reply, ApiError> {
    let job_api = Data::clone(&api);
    let done = blocking::run(&api, auth, target.kind_if_known(), move |api, caller| {
        let (kind, id) = (target.kind()?, target.id(caller)?);
        let refuse = |error| refused(api, caller, &kind, &id, error);
        let (body, shape) = (body.parse().map_err(refuse)?, query.shape(caller).map_err(refuse)?);
        let condition = condition.check().map_err(refuse)?;
        let written = api.service.patch(caller, &kind, &id, body, &condition, &shape)?;
        stored(&job_api, caller, kind, target.form, StatusCode::OK, written)
    });
    done.await.map(|(reply, who)| reply.by(who))
}

/// DELETE on a resource (RFC 7644 §3.6).
pub(super) async fn delete(
    auth: Authenticated<Provision>,
    target: Target,
    condition: IfMatch,
    api: Data<Api>,
) -> Result<Reply, ApiError> {
    let done = blocking::run(&api, auth, target.kind_if_known(), move |api, caller| {
        let (kind, id) = (target.kind()?, target.id(caller)?);
        let condition =
            condition.check().map_err(|error| refused(api, caller, &kind, &id, error))?;
        api.service.delete(caller, &kind, &id, &condition)?;
        let notes = LogContext { changed: Some(true), ..notes(&kind, Applied::default()) };
        Ok(Reply::empty(StatusCode::NO_CONTENT).noted(notes))
    });
    done.await.map(|(reply, who)| reply.by(who))
}

/// Chooses the error of a request on one resource whose parts could not be read: a resource that is
/// not there comes first (ETG-017).
fn refused(
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

fn location(
    api: &Api,
    kind: &ResourceType,
    projection: &Projection,
    base: &str,
    found: &Found,
) -> String {
    resource::Reply { registry: &api.service.registry, kind, projection, base }
        .location(&found.resource)
}

/// The reply to a write.
fn stored(
    api: &Data<Api>,
    caller: &Caller,
    kind: Arc<ResourceType>,
    form: Form,
    status: StatusCode,
    written: WriteOutcome,
) -> Result<Reply, ApiError> {
    let WriteOutcome { found, shown: body, changed, projection, applied } = written;
    let slip = projection.slip();
    let notes = LogContext { changed: Some(changed), slip, ..notes(&kind, applied) };
    if body {
        let form = form.of_write();
        return Ok(shown(api, caller, kind, form, status, found, projection)?.noted(notes));
    }
    let location = location(api, &kind, &projection, &form.base, &found);
    Ok(Reply::empty(StatusCode::NO_CONTENT)
        .about(found.resource.version.to_string(), location)
        .noted(notes))
}

fn notes(kind: &ResourceType, applied: Applied) -> LogContext {
    LogContext { kind: Some(kind.kind.to_string()), applied, ..LogContext::default() }
}

/// A reply that shows one resource.
fn shown(
    api: &Data<Api>,
    caller: &Caller,
    kind: Arc<ResourceType>,
    form: Form,
    status: StatusCode,
    found: Found,
    projection: Projection,
) -> Result<Reply, ApiError> {
    let etag = found.resource.version.to_string();
    let location = location(api, &kind, &projection, &form.base, &found);
    let writer = Writer::new(caller.tenant, vec![(kind, projection)], form, None, vec![found]);
    Ok(written(api, status, writer)?.about(etag, location))
}

/// Writes a body whole, or as a stream when groups in it have more members than were read.
fn written(api: &Data<Api>, status: StatusCode, mut writer: Writer) -> Result<Reply, ApiError> {
    if writer.resources.as_slice().iter().any(|found| found.computed.more_members.is_some()) {
        return Ok(Reply::stream(status, MemberStream::new(Data::clone(api), writer)));
    }
    // What is written around a document: id, meta with an address, and the groups of most people.
    const AROUND: usize = 512;
    let resources = writer.resources.as_slice();
    let length = |found: &Found| found.resource.document.text().len() + AROUND;
    let mut body = Vec::with_capacity(resources.iter().map(length).sum::<usize>() + AROUND);
    writer.advance(api, &mut body)?;
    Reply::whole(status, body).compressed(writer.form.gzip)
}

/// A reply that lists resources of some kinds.
fn listed(
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
    let notes = LogContext { kind, applied: listing.applied, slip, ..LogContext::default() };
    let writer = Writer::new(
        caller.tenant,
        listing.projections,
        form,
        Some(listing.head),
        listing.resources,
    );
    Ok(written(api, StatusCode::OK, writer)?.noted(notes))
}
