//! Why an act of administration is refused: the field that is wrong, and the rule that it breaks.

use std::fmt;
use std::time::Duration;

use headcount_core::clock::Timestamp;
use headcount_core::quirks::QUIRKS;
use ipnet::IpNet;
use thiserror::Error as ThisError;

use crate::role::Role;
use crate::scope::Scopes;
use crate::store::{StoreError, Token, TokenState};

/// An act of administration that was not carried out. Nothing has changed.
#[derive(Debug, ThisError)]
pub enum AdminError {
    /// A rule does not allow it.
    #[error("{}", rule.sentence(*field))]
    Rule {
        /// What the rule is about.
        field: Field,
        /// The rule.
        rule: Rule,
    },
    /// Name, password or code is wrong, or there were too many attempts: one answer for all of them.
    #[error(
        "name, password or code is wrong; after several wrong attempts each further one has to wait a while"
    )]
    Refused,
    /// Too many passwords are being checked.
    #[error("too many log-ins at once; try again in a moment")]
    Busy,
    /// The hash function failed.
    #[error("a secret could not be hashed")]
    Hash,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a rule is about. Each adapter has its own name for it: a flag, a form field, a JSON name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// Who acts.
    Principal,
    /// A tenant.
    Tenant,
    /// The name of a new tenant.
    TenantName,
    /// The quirks of a tenant.
    Quirks,
    /// A token.
    Token,
    /// The name of a new token.
    TokenName,
    /// What a token allows.
    Scopes,
    /// When a token stops working.
    Expiry,
    /// The networks from which a token may be used.
    Networks,
    /// How long a rotated token keeps working.
    Overlap,
    /// An account of the console.
    Account,
    /// The name of a new account.
    AccountName,
    /// What an account may do.
    Role,
    /// A link that opens an account.
    Link,
    /// A new password.
    Password,
}

impl Field {
    /// Returns the error for a rule that this field breaks.
    pub const fn breaks(self, rule: Rule) -> AdminError {
        AdminError::Rule { field: self, rule }
    }

    /// Returns the error for what a store refused about this field.
    pub(crate) fn admin_error(self, error: StoreError) -> AdminError {
        match error {
            StoreError::Taken => self.breaks(Rule::Taken),
            StoreError::Refused(reason) => self.breaks(Rule::Stored(reason)),
            error @ (StoreError::Missing | StoreError::Unavailable(_)) => error.into(),
        }
    }
}

impl fmt::Display for Field {
    /// Writes the noun, as in "there is no tenant".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Principal => "account or token",
            Self::Tenant | Self::TenantName => "tenant",
            Self::Quirks => "quirk",
            Self::Token | Self::TokenName => "token",
            Self::Scopes => "scope",
            Self::Expiry => "life of a token",
            Self::Networks => "network",
            Self::Overlap => "overlap",
            Self::Account | Self::AccountName => "account",
            Self::Role => "role",
            Self::Link => "link",
            Self::Password => "password",
        })
    }
}

/// A rule of administration, with the data that a message needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// The account needs at least this role.
    Role(Role),
    /// The token lacks these scopes.
    Scopes(Scopes),
    /// Only the operator does this, at the command line.
    Operator,
    /// No token does this.
    NoToken,
    /// There is none of this name or id within reach.
    Missing(String),
    /// The name is taken.
    Taken,
    /// It is no name for a tenant.
    TenantName,
    /// There is no quirk of this name.
    UnknownQuirk(String),
    /// It is no name for a token.
    TokenName,
    /// A token needs at least one scope.
    NoScope,
    /// There is no scope of this name.
    UnknownScope(String),
    /// It is no network.
    NotANetwork(String),
    /// It is an address within a network, and not the network.
    WithinNetwork {
        /// The network that it is in.
        within: IpNet,
        /// The network of this address alone.
        meant: IpNet,
    },
    /// The span of time is shorter than this.
    TooShort(Duration),
    /// The span of time is longer than this.
    TooLong(Duration),
    /// The policy allows no token that lives for ever.
    NeverExpires,
    /// The new token would allow more than its maker may: these scopes.
    GrantsScopes(Scopes),
    /// The new token could be used outside these networks of its maker.
    GrantsNetworks(Vec<IpNet>),
    /// The token allows more than the principal that would end it has: these scopes.
    BeyondScopes(Scopes),
    /// The token works outside these networks of the principal that would end it.
    BeyondNetworks(Vec<IpNet>),
    /// The new token would outlive its maker, which ends then.
    GrantsLife(Timestamp),
    /// The token no longer works.
    Over(TokenState),
    /// It is no name for an account.
    AccountName,
    /// The link was used, is too old, or was never given out.
    LinkOver,
    /// The password has fewer characters than this.
    PasswordTooShort(usize),
    /// The password has more characters than this.
    PasswordTooLong(usize),
    /// The password is guessed early, and why.
    PasswordGuessable(Weakness),
    /// Without codes the password is the only proof, and the present one is not strong enough for that.
    PasswordAlone(usize),
    /// The password has characters that keyboards do not agree about, such as control characters.
    PasswordCharacters,
    /// At least one owner has to remain.
    LastOwner,
    /// There is an account already, whose owner can invite others.
    NotFirst,
    /// The tenant `default` cannot be deleted.
    DefaultStays,
    /// What is stored does not allow it, and why.
    Stored(String),
}

/// Why a password is guessed early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weakness {
    /// Lists of common passwords have it, or one like it.
    Common,
    /// Its keys are next to each other.
    Keyboard,
    /// It repeats itself.
    Repeats,
    /// Its characters follow each other in the alphabet.
    Sequence,
    /// It is a date or a year.
    Date,
    /// It is one word or name.
    Word,
    /// Little is left of it without common words, runs and one's own name.
    FewWords,
}

impl fmt::Display for Weakness {
    /// Writes the reason, as the first half of a sentence.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Common => "this is on lists of common passwords, or close to one that is",
            Self::Keyboard => "neighboring keys are guessed early",
            Self::Repeats => "repeating a part hardly makes a password harder to guess",
            Self::Sequence => "sequences such as abc or 6543 are guessed early",
            Self::Date => "dates and years are guessed early",
            Self::Word => "one word or name with a few signs is guessed early",
            Self::FewWords => {
                "too little is left of this without common words, digits and your own name"
            }
        })
    }
}

/// How adapters answer a broken rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The input is not valid.
    Invalid,
    /// There is nothing of this name.
    Missing,
    /// The input is valid, but the present state does not allow it.
    Conflict,
    /// Who acts may not do it.
    Forbidden,
}

impl Rule {
    /// Returns how to answer it.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Role(_)
            | Self::Operator
            | Self::NoToken
            | Self::Scopes(_)
            | Self::GrantsScopes(_)
            | Self::GrantsNetworks(_)
            | Self::BeyondScopes(_)
            | Self::BeyondNetworks(_)
            | Self::GrantsLife(_) => Kind::Forbidden,
            Self::Missing(_) | Self::LinkOver => Kind::Missing,
            Self::Taken
            | Self::DefaultStays
            | Self::Stored(_)
            | Self::Over(_)
            | Self::LastOwner
            | Self::NotFirst => Kind::Conflict,
            Self::TenantName
            | Self::UnknownQuirk(_)
            | Self::TokenName
            | Self::NoScope
            | Self::UnknownScope(_)
            | Self::NotANetwork(_)
            | Self::WithinNetwork { .. }
            | Self::TooShort(_)
            | Self::TooLong(_)
            | Self::NeverExpires
            | Self::AccountName
            | Self::PasswordTooShort(_)
            | Self::PasswordTooLong(_)
            | Self::PasswordGuessable(_)
            | Self::PasswordAlone(_)
            | Self::PasswordCharacters => Kind::Invalid,
        }
    }

    /// Returns what to change, in one sentence about a field.
    pub fn sentence(&self, field: Field) -> String {
        match self {
            Self::Role(role) => format!("this needs the role {role}; an owner can give it to you"),
            Self::Scopes(scopes) => {
                format!("the token does not allow this; it needs the scope {scopes}")
            }
            Self::Operator => {
                "only the operator of the server does this, at the command line".to_owned()
            }
            Self::NoToken => {
                "accounts are managed in the console and at the command line, not with a token"
                    .to_owned()
            }
            Self::Missing(name) => format!("there is no {field} \"{name}\""),
            Self::Taken => format!("another {field} has this name; choose a different one"),
            Self::TenantName => {
                "use lower-case letters, digits and hyphens, at most 63, with a letter or digit at \
                 both ends"
                    .to_owned()
            }
            Self::UnknownQuirk(word) => {
                unknown("quirk", word, QUIRKS.iter().map(|quirk| quirk.name))
            }
            Self::TokenName => format!(
                "use a name of 1 to {} characters, without spaces at its ends and without characters that end \
                 a line, turn the direction of writing or control a terminal",
                Token::MAX_NAME
            ),
            Self::NoScope => "choose at least one scope".to_owned(),
            Self::UnknownScope(word) => {
                let known = Scopes::BUNDLES.iter().chain(&Scopes::NAMES);
                unknown("scope", word, known.map(|(name, _)| *name))
            }
            Self::NotANetwork(text) => {
                format!("\"{text}\" is not a network such as 203.0.113.0/24")
            }
            Self::WithinNetwork { within, meant } => format!(
                "this is an address within a network; write {within} for the network, or {meant} for the address alone"
            ),
            Self::TooShort(least) => format!("the {field} is at least {}", span(*least)),
            Self::TooLong(most) => format!("the {field} is at most {}", span(*most)),
            Self::NeverExpires => {
                "tokens that never expire are not allowed here; choose an expiry \
                 such as 365d, or set tokens.allow_never_expires = true"
                    .to_owned()
            }
            Self::GrantsScopes(scopes) => {
                format!("you cannot give what you do not have: {scopes}")
            }
            Self::GrantsNetworks(own) => outside(own),
            Self::BeyondScopes(scopes) => format!(
                "this {field} allows more than you do: {scopes}; ask an owner, or use a token that has it"
            ),
            Self::BeyondNetworks(own) => format!(
                "this {field} works outside {}, where yours ends; use one that works everywhere",
                list(own)
            ),
            Self::GrantsLife(ends) => {
                format!("your token ends at {ends}, and a token that it creates cannot end later")
            }
            Self::Over(TokenState::Revoked) => "the token was revoked; make a new one".to_owned(),
            Self::Over(_) => "the token has expired; make a new one".to_owned(),
            Self::AccountName => {
                "use 1 to 64 letters, digits, dots, hyphens, underscores and @ signs".to_owned()
            }
            Self::LinkOver => "this link was used already or is more than an hour old".to_owned(),
            Self::PasswordTooShort(least) => format!(
                "use at least {least} characters; a few words in a row are easy to remember"
            ),
            Self::PasswordTooLong(most) => format!("use at most {most} characters"),
            Self::PasswordGuessable(weakness) => format!(
                "{weakness}; take words that have nothing to do with each other or with you"
            ),
            Self::PasswordAlone(least) => format!(
                "without codes the password is all there is: choose a new one of at least {least} characters"
            ),
            Self::PasswordCharacters => "use letters, digits, spaces and signs".to_owned(),
            Self::LastOwner => {
                "this is the last owner; make someone else an owner first".to_owned()
            }
            Self::NotFirst => "there is an administrator already; an owner invites others under \
                 Settings, and `headcount admin recover NAME` helps an administrator who cannot log in"
                .to_owned(),
            Self::DefaultStays => {
                "the tenant \"default\" cannot be deleted; switch it off instead".to_owned()
            }
            Self::Stored(reason) => reason.clone(),
        }
    }
}

fn outside(own: &[IpNet]) -> String {
    format!(
        "your token works only from {}, and so must the tokens that it creates; name networks within these",
        list(own)
    )
}

fn list(networks: &[IpNet]) -> String {
    networks.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn unknown<'a>(what: &str, word: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.collect();
    format!("there is no {what} \"{word}\"; there are {}", known.join(", "))
}

/// Writes a span of time in the largest unit that it is a multiple of.
fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    let units = [(86_400, "days"), (3_600, "hours"), (60, "minutes"), (1, "seconds")];
    let unit =
        units.into_iter().find(|(length, _)| seconds.is_multiple_of(*length) && seconds >= *length);
    let (length, name) = unit.unwrap_or((1, "seconds"));
    match seconds / length {
        1 => format!("1 {}", name.trim_end_matches('s')),
        number => format!("{number} {name}"),
    }
}
