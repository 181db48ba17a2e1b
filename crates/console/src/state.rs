//! What every page works with.

use std::sync::Arc;

use actix_web::web::Data;
use headcount_core::change::ChangeFeed;
use headcount_http_api::Api;
use headcount_records::RequestLog;
use headcount_records::activity::{Activity, Refusals};
use headcount_token_admin::accounts::{Accounts, Flashes};
use headcount_token_admin::{Policy, Tenants};

/// The console of one server.
pub struct Console {
    /// The use cases of SCIM, the tokens, and how the server is reached.
    pub api: Data<Api>,
    /// The accounts of administrators.
    pub accounts: Arc<Accounts>,
    /// What sessions are shown once.
    pub flashes: Arc<Flashes>,
    /// The tenants.
    pub tenants: Arc<Tenants>,
    /// The record of changes.
    pub changes: Arc<dyn ChangeFeed>,
    /// The changes of a span, counted.
    pub activity: Arc<dyn Activity>,
    /// The provisioning log.
    pub log: Arc<dyn RequestLog>,
    /// The refused requests of a span, counted.
    pub refusals: Arc<dyn Refusals>,
    /// The limits for new tokens.
    pub policy: Policy,
    /// How the program is called at the command line, with its database.
    pub program: String,
    /// The settings that the page of settings shows: key and value.
    pub settings: Vec<(String, String)>,
}
