//! The core of Headcount: SCIM 2.0 (RFC 7643, RFC 7644) as functions.
//!
//! It must never know HTTP, SQL, an async runtime, the environment, the wall clock or randomness. Time and
//! ids come in through [`clock::Clock`] and [`clock::IdSource`].
//!
//! Start with [`provider`], the plug that a store implements, and [`memory`], its simplest implementation.
//! Then read [`service`]: the use cases, each a few lines over [`patch`], [`filter`], [`resource`] and
//! [`schema`].

pub mod change;
pub mod clock;
pub mod cursor;
pub mod error;
pub mod filter;
pub mod ids;
pub mod index;
pub mod json;
pub mod lenient;
pub mod members;
pub mod memory;
pub mod message;
pub mod patch;
pub mod path;
pub mod provider;
pub mod quirks;
pub mod resource;
pub mod schema;
pub mod service;
pub mod text;
mod value;
pub mod work;

pub use error::Error;
