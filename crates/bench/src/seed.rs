//! Fills a server with users, through `/Bulk` where it has one.

use std::cell::{Cell, RefCell};

use anyhow::{Context, bail};
use futures_util::future::try_join_all;
use tokio::runtime::Runtime;

use crate::client::{Connection, Endpoint, Request};
use crate::data;

/// Users that one bulk request creates.
const SLICE: usize = 200;
/// Users that one bulk request changes.
const CHANGES: usize = 1_000;
/// Members that one PATCH adds.
const MEMBERS: usize = 5_000;

/// Creates users and returns their ids by number.
pub(crate) fn users(
    runtime: &Runtime,
    endpoint: &Endpoint,
    tag: &str,
    count: usize,
) -> anyhow::Result<Vec<String>> {
    runtime.block_on(async {
        let mut first = Connection::open(endpoint).await?;
        let probe = Request::with("POST", "/Bulk".to_owned(), data::bulk(tag, 0..0));
        let has_bulk = first.call(&probe).await?.succeeded();
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
                let made = if has_bulk {
                    in_bulk(&mut connection, tag, begin..end).await?
                } else {
                    vec![create(&mut connection, "/Users", data::user(tag, begin)).await?]
                };
                let mut ids = ids.borrow_mut();
                let places = ids.get_mut(begin..end).unwrap_or_default();
                places.iter_mut().zip(made).for_each(|(place, id)| *place = id);
            }
        });
        try_join_all(work).await?;
        Ok(ids.into_inner())
    })
}

async fn in_bulk(
    connection: &mut Connection,
    tag: &str,
    numbers: std::ops::Range<usize>,
) -> anyhow::Result<Vec<String>> {
    let body = data::bulk(tag, numbers.clone());
    let answer = connection.call(&Request::with("POST", "/Bulk".to_owned(), body)).await?;
    if !answer.succeeded() {
        bail!("users could not be created in bulk: {}", answer.shown());
    }
    let json = answer.json();
    let operations = json["Operations"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut ids = vec![String::new(); numbers.len()];
    for operation in operations {
        let number: Option<usize> = operation["bulkId"].as_str().and_then(|id| id.parse().ok());
        let id = operation["location"].as_str().and_then(|location| location.rsplit('/').next());
        let place = number.and_then(|number| ids.get_mut(number.checked_sub(numbers.start)?));
        match (id, place) {
            (Some(id), Some(place)) => *place = id.to_owned(),
            _ => bail!("an operation of a bulk request failed: {operation}"),
        }
    }
    if ids.iter().any(String::is_empty) {
        bail!("a bulk request answered fewer operations than it was given");
    }
    Ok(ids)
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
            let body = data::titles(part, title);
            let answer = connection.call(&Request::with("POST", "/Bulk".to_owned(), body)).await?;
            let json = answer.json();
            let operations = json["Operations"].as_array().map(Vec::as_slice).unwrap_or_default();
            let failed = operations.iter().find(|done| !done["status"].to_string().contains("20"));
            if !answer.succeeded() || failed.is_some() {
                bail!("users could not be changed in bulk: {failed:?} {}", answer.shown());
            }
        }
        Ok(())
    })
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
