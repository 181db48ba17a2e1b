//! The [`Provider`](headcount_core::provider::Provider) of Headcount on SQLite and PostgreSQL.
//!
//! It must never know HTTP, schemas, or what is inside a document: everything searchable arrives
//! derived. One code base for both databases; the backend is matched only in the files that
//! `docs/ARCHITECTURE.md` lists.
//!
//! Start with [`Store`], then `resources`, which implements the provider, then `write`: on SQLite
//! one connection that commits for many, on PostgreSQL a transaction each.

mod accounts;
mod activity;
mod audit;
mod batch;
mod change_rows;
mod changes;
mod connection;
mod count_cache;
mod dictionary;
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
mod offset_cache;
mod pool;
mod protection;
mod rebuild;
mod resource_counts;
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
mod tx;
mod watch;
mod write;

pub use audit::{AuditSlice, Recalled};
pub use connection::{DatabaseUrl, UrlError, adopt_owner};
pub use duplicates::Duplicate;
pub use log::{LogStore, log_file};
pub use migrations::SchemaState;
pub use pool::PoolState;
pub use rebuild::{DeriveFn, RebuildError};
pub use resource_counts::ResourceCount;
pub use store::{KindPlan, OlderSchema, OpenError, Settings, Store, UNRECORDED};
