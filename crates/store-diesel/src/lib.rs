//! The [`Provider`](headcount_core::provider::Provider) of Headcount on SQLite and PostgreSQL.
//!
//! It must never know HTTP, schemas, or what is inside a document: everything searchable arrives
//! derived. One code base for both databases; the backend is matched only in the files that
//! `docs/ARCHITECTURE.md` lists.
//!
//! Start with [`Store`], then `resources`, which implements the provider, then `write`: on SQLite
//! one lane that commits for many, on PostgreSQL a transaction each.

mod accounts;
mod activity;
mod anchors;
mod audit;
mod batch;
mod census;
mod changes;
mod connection;
mod counted;
mod duplicates;
mod error;
mod expiring;
mod filter_sql;
mod find;
mod keys;
mod log;
mod log_rows;
mod members;
mod meta;
mod migrations;
mod names;
mod pool;
mod rebuild;
mod resources;
mod rows;
mod schema;
mod sequencer;
mod sql;
mod statistics;
mod store;
mod tenants;
mod tokens;
mod trail;
mod watch;
mod write;

pub use audit::{AuditSlice, Recalled};
pub use census::{Counted, PoolState};
pub use connection::{DatabaseUrl, UrlError};
pub use duplicates::Duplicate;
pub use log::LogStore;
pub use migrations::SchemaState;
pub use rebuild::{DeriveFn, RebuildError};
pub use store::{KindPlan, OpenError, Settings, Store};
