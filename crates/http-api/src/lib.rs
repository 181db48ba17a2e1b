//! The SCIM protocol of Headcount over HTTP: routes, authentication, errors.
//!
//! It must never know SQL or how a token is hashed. A handler is a few lines: its extractors have
//! read the request, `blocking` checks the token and runs the use case of `headcount-core` on a
//! thread that may wait, and `reply` or `error` makes the response.
//!
//! Start with [`routes`], then read `routes/resources.rs`.

mod admin;
mod administration;
mod api;
mod auth;
mod blocking;
mod body;
mod client;
mod connections;
mod deadline;
mod error;
mod gzip;
mod headers;
mod identity;
mod lanes;
mod observe;
mod pace;
mod paths;
mod reply;
mod routes;
mod settings;
mod stream;
mod target;

pub use admin::{ProblemBody, openapi};
pub use administration::Administration;
pub use api::Api;
pub use blocking::{run_page, run_unqueued};
pub use body::{MAX_UNPROVEN_BYTES, read_form};
pub use client::{address, console_origin, origin, request_origin};
pub use connections::{Connection, Connections, limit_requests};
pub use deadline::Stopwatch;
pub use lanes::{Lane, LaneSizes, Owner, Snapshot, WriteConnections};
pub use observe::observe;
pub use pace::pace;
pub use paths::{ADMIN_PATH, BASE_PATH};
pub use routes::{admin_routes, routes, scim_routes};
pub use settings::HttpSettings;
