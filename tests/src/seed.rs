//! Many resources at once, by bulk requests.

use serde_json::{Value, json};

use crate::http::{Client, Connection};

/// Operations in one request, below what a server takes by default.
const SLICE: usize = 500;

/// Creates users from bodies and returns their ids in order.
///
/// # Panics
///
/// When one is not created.
pub fn users(client: &Client, bodies: &[Value]) -> Vec<String> {
    let mut connection = Connection::open(client.address).expect("the server listens");
    let mut ids = Vec::with_capacity(bodies.len());
    for slice in bodies.chunks(SLICE) {
        let operations: Vec<Value> = (0..)
            .zip(slice)
            .map(|(n, body): (usize, _)| json!({"method": "POST", "path": "/Users", "bulkId": n.to_string(), "data": with_urn(body)}))
            .collect();
        ids.extend(carried_out(client, &mut connection, &operations, "201"));
    }
    ids
}

/// Deletes users.
///
/// # Panics
///
/// When one is not deleted.
pub fn delete_users(client: &Client, ids: &[String]) {
    let mut connection = Connection::open(client.address).expect("the server listens");
    for slice in ids.chunks(SLICE) {
        let operations: Vec<Value> = slice
            .iter()
            .map(|id| json!({"method": "DELETE", "path": format!("/Users/{id}")}))
            .collect();
        carried_out(client, &mut connection, &operations, "204");
    }
}

/// Makes bodies with names of their own.
pub fn named(prefix: &str, count: usize) -> Vec<Value> {
    (0..count).map(|n| json!({"userName": format!("{prefix}{n}")})).collect()
}

fn with_urn(body: &Value) -> Value {
    let mut body = body.clone();
    body["schemas"] = json!(["urn:ietf:params:scim:schemas:core:2.0:User"]);
    body
}

/// Sends operations and returns the ids that their locations end with.
fn carried_out(
    client: &Client,
    connection: &mut Connection,
    operations: &[Value],
    status: &str,
) -> Vec<String> {
    let body = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": operations});
    let response = client.on(connection, "POST", "/Bulk", Some(&body));
    assert_eq!(response.status, 200, "{}", response.text());
    let answer = response.json();
    let results = answer["Operations"].as_array().expect("bulk answers with results");
    assert_eq!(results.len(), operations.len());
    results
        .iter()
        .map(|result| {
            assert_eq!(result["status"], status, "{result}");
            let location = result["location"].as_str().unwrap_or_default();
            location.rsplit('/').next().unwrap_or_default().to_owned()
        })
        .collect()
}
