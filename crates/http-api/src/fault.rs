//! What only the admin API refuses.

#![warn(clippy::wildcard_enum_match_arm)]

/// What only the admin API refuses.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The token is one for provisioning.
    Purpose,
    /// A parameter of the query cannot be read.
    Parameter {
        /// The parameter.
        name: String,
        /// What it must be.
        reason: String,
    },
    /// The body cannot be read, or says what is not allowed.
    Body(String),
    /// There is nothing of this name here.
    Missing(String),
    /// The state of what was named does not allow it.
    Conflict(String),
    /// A rule of administration forbids it to this token.
    Grant(String),
    /// Too many readers wait for events.
    Listeners,
}

impl Fault {
    /// Returns the HTTP status.
    pub(crate) fn status(&self) -> u16 {
        match self {
            Self::Parameter { .. } | Self::Body(_) => 400,
            Self::Purpose | Self::Grant(_) => 403,
            Self::Missing(_) => 404,
            Self::Conflict(_) => 409,
            Self::Listeners => 503,
        }
    }

    /// Returns what to change.
    pub(crate) fn detail(&self) -> String {
        match self {
            Self::Purpose => "this token is for provisioning; make one for the admin API, such as \
                              headcount token create --name NAME --scope administration"
                .to_owned(),
            Self::Parameter { name, reason } => format!("{name}: {reason}"),
            Self::Body(reason)
            | Self::Missing(reason)
            | Self::Conflict(reason)
            | Self::Grant(reason) => reason.clone(),
            Self::Listeners => {
                "too many readers wait for events; ask again later, or without wait".to_owned()
            }
        }
    }

    /// Returns the kind of problem, as a URN ends and for people.
    pub(crate) fn kind(&self) -> (&'static str, &'static str) {
        match self {
            Self::Purpose => ("token-purpose", "The token is for something else"),
            Self::Parameter { .. } => ("invalid-parameter", "A parameter is not valid"),
            Self::Body(_) => ("invalid-body", "The body is not valid"),
            Self::Missing(_) => ("not-found", "There is no such thing"),
            Self::Conflict(_) => ("conflict", "The state does not allow this"),
            Self::Grant(_) => ("grant", "The token cannot give this"),
            Self::Listeners => ("busy", "The server is busy"),
        }
    }
}
