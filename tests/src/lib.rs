//! What black-box tests need: a server in a private directory, a client that sends exactly the given
//! bytes, and the replay of recorded conversations.
//!
//! It must never know what is inside the server: everything goes over HTTP or the command line.

#![expect(clippy::disallowed_methods, reason = "settings come from the test command")]

pub mod browser;
pub mod conversation;
pub mod http;
pub mod pooler;
pub mod replay;
pub mod seed;
pub mod server;
pub mod upgrade;
pub mod visitor;
pub mod wire;

pub use browser::{Browser, LAN, Page};
pub use http::{Client, Response};
pub use server::{Database, Server};
pub use visitor::Visitor;

/// Runs a test once per database: `on_both!(name, |server| …)` makes `name::sqlite` and
/// `name::postgres`.
#[macro_export]
macro_rules! on_both {
    ($name:ident, $test:expr) => {
        mod $name {
            use super::*;

            #[test]
            fn sqlite() {
                let test: fn(&$crate::Server) = $test;
                test(&$crate::Server::start($crate::Database::sqlite()));
            }

            #[test]
            fn postgres() {
                let test: fn(&$crate::Server) = $test;
                test(&$crate::Server::start($crate::Database::postgres()));
            }
        }
    };
}
