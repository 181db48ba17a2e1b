//! Conversations written down for people: requests and what must come back, in plain text.
//!
//! ```text
//! == CRE-001 CRE-002  a user is created, with its location
//! quirks none
//! > POST /Users
//! {"userName": "jane"}
//! < 201  $id=/id
//! Location: {base}/Users/{id}
//! /userName "jane"
//! ```
//!
//! The whole form is described in `tests/conformance/README.md`.

mod bulk;
mod parse;
mod run;

use crate::Client;

pub use bulk::can_be_bulk;
pub use parse::parse;
pub use run::run;

/// One case: a conversation that proves something.
#[derive(Debug, Clone, Default)]
pub struct Case {
    /// What it proves: the ids of the checklist, or the name of a quirk.
    pub ids: Vec<String>,
    /// What it shows, in words.
    pub title: String,
    /// The file and line, for failures.
    pub place: String,
    /// The switches of the tenant that it needs; all when absent.
    pub quirks: Option<String>,
    /// Settings that its server needs.
    pub config: Vec<(String, String)>,
    /// The directory of the example schemas that its server has, below the root.
    pub schemas: Option<String>,
    /// Whether its writes mean the same only as requests of their own, not in a bulk request.
    pub directly: bool,
    /// Further tokens by name: of the same tenant with these scopes, or of another tenant.
    pub tokens: Vec<(String, NewToken)>,
    /// The exchanges in order.
    pub exchanges: Vec<Exchange>,
}

/// A token that a case needs in addition to the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewToken {
    /// Of the case's tenant, with these flags of `token create`.
    Same(Vec<String>),
    /// Of another tenant.
    Other,
}

/// A request and what must come back.
#[derive(Debug, Clone, Default)]
pub struct Exchange {
    /// The line of the request.
    pub line: usize,
    /// The method.
    pub method: String,
    /// The target as it is written; spaces and quotes are encoded when it is sent.
    pub target: String,
    /// Headers; the value `-` leaves one out.
    pub headers: Vec<(String, String)>,
    /// The body as it is written.
    pub body: String,
    /// The statuses of which one must come.
    pub status: Vec<u16>,
    /// The `scimType` of an error.
    pub scim_type: Option<String>,
    /// What is kept for later: name and JSON pointer or `header:Name`.
    pub saves: Vec<(String, String)>,
    /// Pointers or headers, and what they must be.
    pub checks: Vec<(String, String)>,
}

/// What a case runs against.
pub struct Stage {
    /// A client with the first token.
    pub client: Client,
    /// The further tokens by name.
    pub tokens: Vec<(String, String)>,
    /// Whether writes are sent as operations of bulk requests.
    pub in_bulk: bool,
}

impl Case {
    /// Returns the name of the test: ids and title as one word.
    pub fn name(&self) -> String {
        let word = |text: &str| -> String {
            let plain =
                |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
            text.chars().map(plain).collect()
        };
        let parts = self.ids.iter().map(|id| word(id)).chain([word(&self.title)]);
        let joined = parts.collect::<Vec<_>>().join("_");
        let mut name = String::new();
        for c in joined.chars().filter(|c| c.is_ascii()) {
            if c != '_' || !name.ends_with('_') {
                name.push(c);
            }
        }
        name.trim_matches('_').to_owned()
    }
}
