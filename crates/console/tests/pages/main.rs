//! The console's routes, in the process of the test: a provider and stores in memory, no server, no database.
//!
//! `cargo test -p headcount-console --test pages NAME` runs those with NAME in their name.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by panicking"
)]

mod access;
mod accounts;
mod connect;
mod forms;
mod memory;
mod rendering;
mod sessions;
mod support;
