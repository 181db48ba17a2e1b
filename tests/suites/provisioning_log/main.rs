//! The provisioning log: every request is recorded, no secret is, and no request waits for it.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

mod floods;
mod readers;
mod records;
mod retention;
mod support;
