//! The pages.

pub(crate) mod account;
pub(crate) mod audit;
pub(crate) mod chart;
pub(crate) mod connect;
pub(crate) mod error;
pub(crate) mod explain;
pub(crate) mod log;
pub(crate) mod login;
pub(crate) mod overview;
pub(crate) mod resources;
pub(crate) mod settings;
pub(crate) mod setup;
pub(crate) mod tokens;
