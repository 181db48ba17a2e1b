//! Fills a server with users, through `/Bulk` where it has one.

use std::cell::{Cell, RefCell};

use anyhow::{Context, bail};
use futures_util::future::try_join_all;
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::client::{Connection, Endpoint, Request};
use crate::data;

/// Users that one bulk request creates.
const SLICE: usize = 200;
/// Users that one bulk request changes.
const CHANGES: usize = 1_000;
/// Members that one PATCH adds.
const MEMBERS: usize = 5_000;

/// Asks a server whether it takes bulk requests.
pub(crate) async fn has_bulk(connection: &mut Connection) -> anyhow::Result<bool> {
    let probe = Request::with("POST", "/Bulk".to_owned(), data::bulk("", 0..0));
    Ok(connection.call(&probe).await?.succeeded())
}

/// Creates users and returns their ids by number.
pub(crate) fn users(
    runtime: &Runtime,
    endpoint: &Endpoint,
    tag: &str,
    count: usize,
) -> anyhow::Result<Vec<String>> {
    runtime.block_on(async {
        let has_bulk = has_bulk(&mut Connection::open(endpoint).await?).await?;
        let slice = if has_bulk { SLICE } else { 1 };
        let (next, ids) = (Cell::new(0), RefCell::new(vec![String::new(); count]));
        let work = (0..4).map(async |_| {
            let mut connection = Connection::open(endpoint).await?;
            loop {
                let begin = next.get();
                if begin >= count {
                    return anyhow::Ok(());
                }
                let end = (begin + slice).min(count);
                next.set(end);
                if has_bulk {
                    let operations =
                        in_bulk(&mut connection, data::bulk(tag, begin..end), end - begin).await?;
                    for operation in &operations {
                        store_id(operation, &mut ids.borrow_mut())?;
                    }
                } else {
                    let id = create(&mut connection, "/Users", data::user(tag, begin)).await?;
                    ids.borrow_mut()[begin] = id;
                }
            }
        });
        try_join_all(work).await?;
        Ok(ids.into_inner())
    })
}

/// Keeps the id of a user that an operation of a bulk request created, under its number.
fn store_id(operation: &Value, ids: &mut [String]) -> anyhow::Result<()> {
    let number: Option<usize> = operation["bulkId"].as_str().and_then(|id| id.parse().ok());
    let id = operation["location"].as_str().and_then(|location| location.rsplit('/').next());
    let place = number.and_then(|number| ids.get_mut(number));
    let (Some(id), Some(place)) = (id, place) else { bail!("{operation} has no location") };
    id.clone_into(place);
    Ok(())
}

/// Changes each of some users once.
pub(crate) fn change(
    runtime: &Runtime,
    endpoint: &Endpoint,
    ids: &[String],
    title: &str,
) -> anyhow::Result<()> {
    runtime.block_on(async {
        let mut connection = Connection::open(endpoint).await?;
        for part in ids.chunks(CHANGES) {
            in_bulk(&mut connection, data::titles(part, title), part.len()).await?;
        }
        Ok(())
    })
}

/// Sends a bulk request and returns its operations, each of which succeeded.
async fn in_bulk(
    connection: &mut Connection,
    body: String,
    count: usize,
) -> anyhow::Result<Vec<Value>> {
    let answer = connection.call(&Request::with("POST", "/Bulk".to_owned(), body)).await?;
    let mut json = answer.json();
    let Value::Array(operations) = json["Operations"].take() else {
        bail!("a bulk request failed: {}", answer.shown());
    };
    let failed = operations.iter().find(|one| !one["status"].to_string().contains("20"));
    if let Some(failed) = failed {
        bail!("an operation of a bulk request failed: {failed}");
    }
    anyhow::ensure!(operations.len() == count, "a bulk request did not carry out every operation");
    Ok(operations)
}

pub(crate) async fn create(
    connection: &mut Connection,
    path: &str,
    body: impl ToString,
) -> anyhow::Result<String> {
    let request = Request::with("POST", path.to_owned(), body.to_string());
    let answer = connection.call(&request).await?;
    let id = answer.json()["id"].as_str().map(str::to_owned);
    id.with_context(|| format!("POST {path}: {}", answer.shown()))
}

/// Creates a group with members and returns its id.
pub(crate) fn group(
    runtime: &Runtime,
    endpoint: &Endpoint,
    name: &str,
    members: &[String],
) -> anyhow::Result<String> {
    runtime.block_on(async {
        let mut connection = Connection::open(endpoint).await?;
        let id = create(&mut connection, "/Groups", data::group(name)).await?;
        for part in members.chunks(MEMBERS) {
            let path = format!("/Groups/{id}");
            let request = Request::with("PATCH", path, data::add_members(part));
            let answer = connection.call(&request).await?;
            if !answer.succeeded() {
                bail!("members could not be added: {}", answer.shown());
            }
        }
        Ok(id)
    })
}
