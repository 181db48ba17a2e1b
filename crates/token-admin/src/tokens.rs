//! The crate's entrance: issue, verify, list, revoke, rotate.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use headcount_core::clock::{Clock, Timestamp};
use headcount_core::ids::{ResourceId, TenantId, TokenId};
use headcount_core::journal::Author;
use headcount_core::quirks::Quirks;
use ipnet::IpNet;
use secrecy::SecretString;

use crate::format::{self, Presented, Purpose};
use crate::scope::Scopes;
use crate::store::{LastUsed, TenantState, Token, TokenRow, TokenStore};
use crate::verify::{self, Refusal, TokenError, Verifier};

const DAY: i64 = 24 * 60 * 60;
/// The longest name of a token, in characters.
const LONGEST_NAME: usize = 100;
/// How often the last use of a token is written down.
const USE_INTERVAL: i64 = 60;
/// Uses that may wait to be written down; more are forgotten, since the next ones tell the same.
const USE_QUEUE: usize = 1_024;

/// What an operator allows.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// The life of a token when nothing else is said, in seconds.
    pub default_life: i64,
    /// The longest life of a token, in seconds.
    pub longest_life: i64,
    /// Whether tokens may live for ever (RFC 7644 §7.4 wants a bounded life).
    pub allow_never_expires: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self { default_life: 180 * DAY, longest_life: 2 * 365 * DAY, allow_never_expires: false }
    }
}

/// When a new token stops working.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// After the policy's default.
    Default,
    /// After so many seconds.
    After(i64),
    /// Never, where the policy allows it.
    Never,
}

/// A token to be made.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// What it is for.
    pub purpose: Purpose,
    /// A name by which an admin knows it.
    pub name: String,
    /// What it allows.
    pub scopes: Scopes,
    /// When it stops working.
    pub expiry: Expiry,
    /// Networks from which it may be used; all, when empty.
    pub cidrs: Vec<IpNet>,
    /// The user for whom `/Me` stands.
    pub user: Option<ResourceId>,
    /// Who makes it.
    pub by: Author,
}

/// A token that was just made: the only place where its secret appears.
#[derive(Debug)]
pub struct IssuedToken {
    /// The token.
    pub token: Token,
    /// Its whole text; prints as redacted.
    pub secret: SecretString,
}

/// A token that takes over from another.
#[derive(Debug)]
pub struct Rotated {
    /// The new token.
    pub issued: IssuedToken,
    /// When the old one stops working.
    pub old_until: Timestamp,
}

/// A token that is accepted.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// The token.
    pub token: Token,
    /// Its tenant's switches.
    pub quirks: Quirks,
}

/// Issues and verifies tokens over a store.
pub struct Tokens {
    store: Arc<dyn TokenStore>,
    clock: Arc<dyn Clock>,
    policy: Policy,
    verifier: Verifier,
    uses: Option<SyncSender<(TokenId, LastUsed)>>,
    writer: Option<JoinHandle<()>>,
    noted: Mutex<HashMap<TokenId, Timestamp>>,
}

impl Drop for Tokens {
    /// What waits to be written down is written before the store goes.
    fn drop(&mut self) {
        drop(self.uses.take());
        drop(self.writer.take().map(JoinHandle::join));
    }
}

impl Tokens {
    /// Starts the verify thread and the thread that writes down uses.
    pub fn new(store: Arc<dyn TokenStore>, clock: Arc<dyn Clock>, policy: Policy) -> Self {
        let (uses, pending) = sync_channel::<(TokenId, LastUsed)>(USE_QUEUE);
        let writer = Arc::clone(&store);
        let write = move || {
            while let Ok((id, used)) = pending.recv() {
                if let Err(error) = writer.mark_used(&id, &used) {
                    tracing::warn!(token.id = %id, %error, "the last use of a token was not written down");
                }
            }
        };
        let thread = std::thread::Builder::new().name("token-uses".to_owned()).spawn(write);
        Self {
            store,
            clock,
            policy,
            verifier: Verifier::new(),
            uses: Some(uses),
            writer: thread.ok(),
            noted: Mutex::new(HashMap::new()),
        }
    }

    /// Returns what the operator allows.
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// Makes a token and returns its secret, once.
    ///
    /// # Errors
    ///
    /// [`TokenError::Invalid`] for a name or life that the policy does not allow.
    pub fn issue(&self, tenant: TenantId, new: NewToken) -> Result<IssuedToken, TokenError> {
        let by = new.by.clone();
        let (row, secret) = self.make(tenant, new, None)?;
        self.store.insert(&row, &by)?;
        Ok(IssuedToken { token: row.token, secret })
    }

    /// Checks a presented token. What it may be used for, and from where, is the caller's to check,
    /// now that the secret is proven.
    ///
    /// # Errors
    ///
    /// [`TokenError::Refused`], [`TokenError::Busy`], [`TokenError::Store`].
    pub fn verify(&self, presented: &Presented) -> Result<Accepted, TokenError> {
        let refused = |refusal| Err(TokenError::Refused(refusal));
        let Some(row) = self.store.find(presented.id())? else {
            return refused(Refusal::Unknown);
        };
        if row.token.purpose != presented.purpose() {
            return refused(Refusal::WrongPurpose);
        }
        self.verifier.check(presented, &row)?;
        if row.token.revoked.is_some() {
            return refused(Refusal::Revoked);
        }
        if row.token.expires.is_some_and(|expires| expires <= self.clock.now()) {
            return refused(Refusal::Expired);
        }
        if !row.tenant.enabled {
            return refused(Refusal::TenantDisabled);
        }
        Ok(Accepted { token: row.token, quirks: row.tenant.quirks })
    }

    /// Returns the tenant of a token that this process has accepted before, without asking the store.
    ///
    /// It says in whose name a request waits, and nothing more: the token may have been revoked since.
    pub fn recognize(&self, presented: &Presented) -> Option<TenantId> {
        self.verifier.recognize(presented)
    }

    /// Notes that a token was used: at most once a minute per token, and never in the way of the
    /// request.
    pub fn used(&self, token: &Token, address: Option<IpAddr>, agent: Option<&str>) {
        let now = self.clock.now();
        let recent = |at: Timestamp| at.plus_seconds(USE_INTERVAL) > now;
        if token.last_used.as_ref().is_some_and(|used| recent(used.at)) {
            return;
        }
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.get(&token.id).is_some_and(|at| recent(*at)) {
            return;
        }
        if noted.len() >= USE_QUEUE {
            noted.retain(|_, at| recent(*at));
        }
        noted.insert(token.id.clone(), now);
        drop(noted);
        let agent =
            agent.map(|agent| agent.chars().filter(|c| !c.is_control()).take(200).collect());
        // When the queue is full, the next use will be written instead.
        let used = (token.id.clone(), LastUsed { at: now, address, agent });
        drop(self.uses.as_ref().map(|uses| uses.try_send(used)));
    }

    /// Returns the tokens of a tenant, or of all, newest first.
    ///
    /// # Errors
    ///
    /// [`TokenError::Store`].
    pub fn list(&self, tenant: Option<TenantId>) -> Result<Vec<Token>, TokenError> {
        Ok(self.store.list(tenant)?)
    }

    /// Reads a token by its id, whatever its state.
    ///
    /// # Errors
    ///
    /// [`TokenError::Store`].
    pub fn find(&self, id: &TokenId) -> Result<Option<Token>, TokenError> {
        Ok(self.store.find(id)?.map(|row| row.token))
    }

    /// Revokes a token, from the next request on; false when there is none or it was revoked before.
    ///
    /// # Errors
    ///
    /// [`TokenError::Store`].
    pub fn revoke(&self, id: &TokenId, by: &Author) -> Result<bool, TokenError> {
        Ok(self.store.revoke(id, self.clock.now(), by)?)
    }

    /// Makes a token that takes over from another, which goes on working for `overlap` seconds.
    ///
    /// # Errors
    ///
    /// [`TokenError::Invalid`] when there is no such token or it no longer works.
    pub fn rotate(&self, id: &TokenId, overlap: i64, by: &Author) -> Result<Rotated, TokenError> {
        if !(0..=30 * DAY).contains(&overlap) {
            return Err(TokenError::Invalid(
                "the overlap must be between 0 and 30 days".to_owned(),
            ));
        }
        let now = self.clock.now();
        let old = self.store.find(id)?.map(|row| row.token).filter(|token| token.revoked.is_none());
        let Some(old) = old.filter(|token| token.expires.is_none_or(|expires| expires > now))
        else {
            return Err(TokenError::Invalid(format!("there is no working token with the id {id}")));
        };
        let life = old.expires.map(|expires| (expires.micros() - old.created.micros()) / 1_000_000);
        let new = NewToken {
            purpose: old.purpose,
            name: old.name.clone(),
            scopes: old.scopes,
            expiry: life.map_or(Expiry::Never, |life| Expiry::After(life.max(1))),
            cidrs: old.cidrs.clone(),
            user: old.user.clone(),
            by: by.clone(),
        };
        let (row, secret) = self.make(old.tenant, new, Some(id.clone()))?;
        let until = now.plus_seconds(overlap);
        let old_until = old.expires.map_or(until, |expires| expires.min(until));
        self.store.replace(&row, old_until, by)?;
        Ok(Rotated { issued: IssuedToken { token: row.token, secret }, old_until })
    }

    fn make(
        &self,
        tenant: TenantId,
        new: NewToken,
        replaces: Option<TokenId>,
    ) -> Result<(TokenRow, SecretString), TokenError> {
        let invalid = |reason: &str| Err(TokenError::Invalid(reason.to_owned()));
        let name = new.name.trim();
        if name.is_empty()
            || name.chars().count() > LONGEST_NAME
            || name.chars().any(char::is_control)
        {
            return Err(TokenError::Invalid(format!(
                "a token needs a name of 1 to {LONGEST_NAME} characters"
            )));
        }
        if new.scopes.is_empty() {
            return invalid("a token needs at least one scope");
        }
        let now = self.clock.now();
        let expires = match new.expiry {
            Expiry::Default => Some(now.plus_seconds(self.policy.default_life)),
            Expiry::After(seconds) if seconds <= 0 => {
                return invalid("a token cannot expire before it is used");
            }
            Expiry::After(seconds) if seconds > self.policy.longest_life => {
                let days = self.policy.longest_life / DAY;
                return Err(TokenError::Invalid(format!(
                    "a token lives at most {days} days; choose an earlier expiry"
                )));
            }
            Expiry::After(seconds) => Some(now.plus_seconds(seconds)),
            // A token that never expires may be rotated into another such.
            Expiry::Never if self.policy.allow_never_expires || replaces.is_some() => None,
            Expiry::Never => {
                return invalid(
                    "tokens that never expire are not allowed here; \
                     choose an expiry such as 365d, or set tokens.allow_never_expires = true",
                );
            }
        };
        let (id, secret) = format::generate(new.purpose);
        let text = secrecy::ExposeSecret::expose_secret(&secret);
        let token = Token {
            id,
            purpose: new.purpose,
            tenant,
            name: name.to_owned(),
            scopes: new.scopes,
            cidrs: new.cidrs,
            created: now,
            created_by: new.by.actor.to_string(),
            expires,
            revoked: None,
            replaces,
            last_used: None,
            user: new.user,
        };
        let row = TokenRow {
            token,
            hash: verify::hash(&secret)?,
            tag: verify::tag(text),
            secret_version: 1,
            tenant: TenantState { enabled: true, quirks: Quirks::default() },
        };
        Ok((row, secret))
    }
}
