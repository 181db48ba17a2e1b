//! The event feed over HTTP and on the command line: types, cursors, payloads, waiting, streams, and
//! nothing lost when transactions commit late.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

mod feed;
mod late_commits;
mod security_event_tokens;
mod stream;
mod support;
mod tail;
