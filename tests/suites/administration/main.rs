//! What administrators do behind every door: the command line, the console and `/api/v1`.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

mod doors;
mod forgetting;
mod grants;
