//! Every route in process, over stores in memory: one claim per test. Nothing here starts a server.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod admin_records;
mod admin_tenants;
mod admin_tokens;
mod auth;
mod bulk;
mod discovery;
mod events;
mod harness;
#[path = "../support/parts.rs"]
mod parts;
mod paths;
mod resources;
mod search;
mod stores;
