//! Discovery: the endpoints that describe this server (RFC 7644 §4).

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};
use headcount_core::error::Error;
use headcount_core::message::ListHead;
use headcount_core::service::Precondition;
use serde_json::{Value, json};

use crate::api::Api;
use crate::auth::{Authenticated, Read};
use crate::error::ApiError;
use crate::reply::{Reply, respond};
use crate::target::{Form, IfMatch};

/// GET `ServiceProviderConfig`, readable without a token (RFC 7643 §5).
pub(super) async fn config(
    request: HttpRequest,
    condition: IfMatch,
    api: Data<Api>,
) -> Result<Reply, ApiError> {
    refuse_filter(&request)?;
    let form = Form::of(&request, &api);
    Ok(one(&service_provider_config(&api, &form.base), &condition.check()?))
}

/// Returns what the server supports. A test probes each claim.
fn service_provider_config(api: &Api, base: &str) -> Value {
    let settings = &api.settings;
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"],
        "patch": {"supported": true},
        "bulk": {
            "supported": settings.bulk_operations > 0,
            "maxOperations": settings.bulk_operations,
            "maxPayloadSize": settings.bulk_bytes,
        },
        "filter": {"supported": true, "maxResults": api.service.limits.max_page},
        "changePassword": {"supported": false},
        "sort": {"supported": true},
        "etag": {"supported": true},
        "pagination": {
            "cursor": true,
            "index": true,
            "defaultPaginationMethod": "index",
            "defaultPageSize": api.service.limits.default_page,
            "maxPageSize": api.service.limits.max_page,
            "cursorTimeout": api.service.limits.cursor_seconds,
        },
        "authenticationSchemes": [{
            "type": "oauthbearertoken",
            "name": "Provisioning token",
            "description": "A token made with `headcount token create`, sent as Authorization: Bearer.",
            "specUri": "https://www.rfc-editor.org/rfc/rfc6750",
            "primary": true,
        }],
        "meta": {
            "resourceType": "ServiceProviderConfig",
            "location": format!("{base}/ServiceProviderConfig"),
        },
    })
}

/// GET `ResourceTypes`.
pub(super) async fn resource_types(
    auth: Authenticated<Read>,
    request: HttpRequest,
    condition: IfMatch,
    api: Data<Api>,
) -> Result<Reply, ApiError> {
    let (unfiltered, form) = (refuse_filter(&request), Form::of(&request, &api));
    respond(&api, auth, None, move |api, _| {
        unfiltered?;
        let reply = list(
            api.service
                .registry
                .kinds()
                .iter()
                .map(|kind| resource_type_document(&kind.document, &form.base)),
            &condition.check()?,
        );
        reply.compress(form.gzip)
    })
    .await
}

/// GET one of the `ResourceTypes`.
pub(super) async fn resource_type(
    auth: Authenticated<Read>,
    request: HttpRequest,
    name: Path<String>,
    condition: IfMatch,
    api: Data<Api>,
) -> Result<Reply, ApiError> {
    let (unfiltered, form) = (refuse_filter(&request), Form::of(&request, &api));
    respond(&api, auth, None, move |api, _| {
        unfiltered?;
        let kind =
            api.service.registry.kind(&name).ok_or_else(|| missing("resource type", &name))?;
        one(&resource_type_document(&kind.document, &form.base), &condition.check()?)
            .compress(form.gzip)
    })
    .await
}

/// GET `Schemas`.
pub(super) async fn schemas(
    auth: Authenticated<Read>,
    request: HttpRequest,
    condition: IfMatch,
    api: Data<Api>,
) -> Result<Reply, ApiError> {
    let (unfiltered, form) = (refuse_filter(&request), Form::of(&request, &api));
    respond(&api, auth, None, move |api, _| {
        unfiltered?;
        let reply = list(
            api.service
                .registry
                .schemas()
                .iter()
                .map(|schema| schema_document(&schema.document, &form.base)),
            &condition.check()?,
        );
        reply.compress(form.gzip)
    })
    .await
}

/// GET one of the `Schemas`, by its URN in any case.
pub(super) async fn schema(
    auth: Authenticated<Read>,
    request: HttpRequest,
    urn: Path<String>,
    condition: IfMatch,
    api: Data<Api>,
) -> Result<Reply, ApiError> {
    let (unfiltered, form) = (refuse_filter(&request), Form::of(&request, &api));
    respond(&api, auth, None, move |api, _| {
        unfiltered?;
        let schema = api.service.registry.schema(&urn).ok_or_else(|| missing("schema", &urn))?;
        one(&schema_document(&schema.document, &form.base), &condition.check()?).compress(form.gzip)
    })
    .await
}

fn missing(what: &str, name: &str) -> Error {
    let name: String = name.chars().take(100).collect();
    Error::NotFound { what: format!("{what} \"{name}\"") }
}

/// Refuses a filter with 403 (RFC 7644 §4).
fn refuse_filter(request: &HttpRequest) -> Result<(), Error> {
    let names =
        request.query_string().split('&').map(|pair| pair.split('=').next().unwrap_or_default());
    if names.into_iter().any(|name| name.eq_ignore_ascii_case("filter")) {
        return Err(Error::Forbidden(
            "discovery cannot be filtered (RFC 7644 §4); leave the filter out".to_owned(),
        ));
    }
    Ok(())
}

fn resource_type_document(document: &Value, base: &str) -> Value {
    with_meta(
        document,
        "ResourceType",
        &format!("{base}/ResourceTypes/{}", document["id"].as_str().unwrap_or_default()),
    )
}

fn schema_document(document: &Value, base: &str) -> Value {
    with_meta(
        document,
        "Schema",
        &format!("{base}/Schemas/{}", document["id"].as_str().unwrap_or_default()),
    )
}

fn with_meta(document: &Value, kind: &str, location: &str) -> Value {
    let mut document = document.clone();
    if let Some(object) = document.as_object_mut() {
        object.insert("meta".to_owned(), json!({"resourceType": kind, "location": location}));
    }
    document
}

fn one(document: &Value, condition: &Precondition) -> Reply {
    render(document.to_string().into_bytes(), condition)
}

/// Renders a document, or 304 when the client has it (DSC-017).
fn render(body: Vec<u8>, condition: &Precondition) -> Reply {
    let opaque = format!("{:016x}", digest(&body));
    let known = condition.if_none_match.as_ref().is_some_and(|tags| tags.contain(&opaque));
    let reply = match known {
        true => Reply::empty(StatusCode::NOT_MODIFIED),
        false => Reply::whole(StatusCode::OK, body),
    };
    reply.cache_as(format!("W/\"{opaque}\""))
}

/// FNV-1a: the same in every replica, and sufficient to distinguish the server's own documents.
fn digest(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Renders a list, which is short and always whole: paging parameters do not apply (RFC 7644 §4).
fn list(documents: impl ExactSizeIterator<Item = Value>, condition: &Precondition) -> Reply {
    let items = documents.len();
    let total = u64::try_from(items).unwrap_or(u64::MAX);
    let head = ListHead { total, items, start_index: Some(1), next_cursor: None };
    let mut body = Vec::with_capacity(16 * 1024);
    head.open(&mut body);
    for (index, document) in documents.enumerate() {
        if index > 0 {
            body.push(b',');
        }
        body.extend_from_slice(document.to_string().as_bytes());
    }
    ListHead::close(&mut body);
    render(body, condition)
}
