//! What a hostile or broken client gets: a SCIM error that says what to change, and nothing changed.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

mod answers;
mod groups;
mod requests;
mod support;
mod tokens;
