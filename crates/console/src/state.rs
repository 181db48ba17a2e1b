//! What the pages work with.

use std::sync::Arc;

use actix_web::web::Data;
use headcount_core::change::ChangeFeed;
use headcount_http_api::Api;
use headcount_records::RequestLog;
use headcount_records::activity::{Activity, Refusals};
use headcount_token_admin::accounts::Accounts;
use headcount_token_admin::{Policy, Tenants};

/// The parts of a console.
pub struct Parts {
    /// The use cases of SCIM, the tokens, and how the server is reached.
    pub api: Data<Api>,
    /// The accounts.
    pub accounts: Arc<Accounts>,
    /// The tenants.
    pub tenants: Arc<Tenants>,
    /// What happened.
    pub changes: Arc<dyn ChangeFeed>,
    /// What happened, counted.
    pub activity: Arc<dyn Activity>,
    /// What was asked.
    pub log: Arc<dyn RequestLog>,
    /// What was refused, counted.
    pub refusals: Arc<dyn Refusals>,
    /// What tokens may be.
    pub policy: Policy,
    /// How the program is called at the command line, with its database.
    pub program: String,
    /// What an operator has set, to be shown: name and value.
    pub shown: Vec<(String, String)>,
}

/// The console of one server.
pub struct Console(Parts);

impl Console {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> Self {
        Self(parts)
    }
}

impl std::ops::Deref for Console {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}
