//! The OpenAPI description of the admin API, generated from its code.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::web::Data;
use headcount_core::quirks::QUIRKS;
use headcount_core::schema::Registry;
use headcount_records::feed::event_types;
use serde_json::{Value, json};
use utoipa::OpenApi;

use super::{audit, counters, events, log, problem, tenants, tokens};
use crate::api::Api;

/// The operations and schemas of the description.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Headcount admin API",
        description = "Events for applications; tokens, tenants, the provisioning log, the record of changes and counters for administrators.",
    ),
    paths(
        events::events,
        tokens::list,
        tokens::create,
        tokens::get,
        tokens::revoke,
        tokens::rotate,
        tenants::list,
        tenants::create,
        tenants::get,
        tenants::change,
        tenants::delete,
        audit::audit,
        log::list,
        log::get,
        log::timeline,
        log::quirks,
        counters::counters,
        document,
    ),
    components(schemas(problem::ProblemBody))
)]
struct Described;

/// Returns the description for a deployment, with its resource types and the longest life of its tokens.
pub fn openapi(registry: &Registry, longest_life: Duration) -> Value {
    let mut document = serde_json::to_value(Described::openapi()).unwrap_or_default();
    let scheme = json!({
        "type": "http", "scheme": "bearer",
        "description": "A token of the admin API: headcount token create --name NAME --scope administration",
    });
    if let Some(components) = document.get_mut("components").and_then(Value::as_object_mut) {
        components.insert("securitySchemes".to_owned(), json!({"token": scheme}));
    }
    let quirks: Vec<&str> = QUIRKS.iter().map(|quirk| quirk.name).collect();
    let names = json!({"type": "string", "enum": quirks, "description": "The name of a quirk."});
    set(&mut document, "/components/schemas/QuirkName", names);
    let life = "/components/schemas/NewToken/properties/expiresIn/maximum";
    set(&mut document, life, longest_life.as_secs().into());
    let paths = document.get_mut("paths").and_then(Value::as_object_mut).into_iter().flatten();
    for (_, path) in paths {
        for (_, operation) in path.as_object_mut().into_iter().flatten() {
            finish(operation, registry);
        }
    }
    document
}

fn set(document: &mut Value, pointer: &str, value: Value) {
    if let Some(slot) = document.pointer_mut(pointer) {
        *slot = value;
    }
}

/// Adds to an operation what all have in common, and what depends on the deployment.
fn finish(operation: &mut Value, registry: &Registry) {
    let problem = json!({
        "description": "The request failed: `type` and `detail` give the reason.",
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    });
    if let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) {
        responses.insert("default".to_owned(), problem);
    }
    let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
    for parameter in parameters.into_iter().flatten() {
        if parameter.get("name") == Some(&json!("types"))
            && let Some(schema) = parameter.get_mut("schema").and_then(Value::as_object_mut)
        {
            let items = json!({"type": "string", "enum": event_types(registry)});
            schema.insert("items".to_owned(), items);
        }
    }
}

/// Read this description
#[utoipa::path(
    get, path = "/api/v1/openapi.json", tag = "description",
    responses((status = 200, description = "This description.", body = Object)),
    security(()),
)]
pub(super) async fn document(api: Data<Api>) -> HttpResponse {
    HttpResponse::Ok().json(openapi(&api.service.registry, api.tokens.policy().longest_life))
}
