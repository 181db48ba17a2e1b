//! The console in a real browser: every flow with and without JavaScript, every page looked at by
//! axe-core, in light and dark.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

mod accounts;
mod entrance;
mod flows;
mod gallery;
mod hostile;
mod many;
mod pages;
mod replicas;
mod support;

use headcount_e2e::visitor;
