//! The crate's entrance: issue, verify, list, revoke, rotate.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use headcount_core::clock::{Clock, Timestamp};
use headcount_core::ids::{ResourceId, TenantId, TokenId};
use headcount_core::quirks::Quirks;
use ipnet::IpNet;
use secrecy::SecretString;

use crate::error::{AdminError, Field, Rule};
use crate::format::{self, Presented};
use crate::principal::{Action, Principal};
use crate::scope::Scopes;
use crate::store::{LastUsed, TenantState, Token, TokenRow, TokenState, TokenStore};
use crate::verify::{self, Refusal, TokenError, Verifier};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// The longest time for which a rotated token goes on working.
const MAX_OVERLAP: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// The shortest life of a token.
const MIN_LIFE: Duration = Duration::from_secs(1);
/// How often the last use of a token is written down.
const USE_INTERVAL: i64 = 60;
/// Uses that may wait to be written down; more are forgotten, since the next ones tell the same.
const USE_QUEUE: usize = 1_024;

/// What an operator allows.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// The life of a token when nothing else is said.
    pub default_life: Duration,
    /// The longest life of a token.
    pub longest_life: Duration,
    /// Whether tokens may live for ever (RFC 7644 §7.4 wants a bounded life).
    pub allow_never_expires: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self { default_life: DAY * 180, longest_life: DAY * 2 * 365, allow_never_expires: false }
    }
}

/// When a new token stops working.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// After the policy's default, or with the token that makes it.
    Default,
    /// After a span of time.
    After(Duration),
    /// Never, where the policy allows it.
    Never,
}

/// A token to be made.
#[derive(Debug, Clone)]
pub struct NewToken {
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
}

/// Reads names and bundles of scopes.
///
/// # Errors
///
/// [`Rule::UnknownScope`].
pub fn scopes<'n>(names: impl IntoIterator<Item = &'n str>) -> Result<Scopes, AdminError> {
    names.into_iter().try_fold(Scopes::NONE, |set, word| {
        let unknown = || Field::Scopes.breaks(Rule::UnknownScope(word.to_owned()));
        Ok(set.with(Scopes::named(word).ok_or_else(unknown)?))
    })
}

/// Reads networks in CIDR notation; one address is a network of one.
///
/// # Errors
///
/// [`Rule::NotANetwork`].
pub fn networks<'n>(texts: impl IntoIterator<Item = &'n str>) -> Result<Vec<IpNet>, AdminError> {
    let network = |text: &str| {
        let one = || text.parse::<IpAddr>().map(IpNet::from);
        let read = text.parse().or_else(|_| one());
        read.map_err(|_bad| Field::Networks.breaks(Rule::NotANetwork(text.to_owned())))
    };
    texts.into_iter().map(network).collect()
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

    /// Makes a token and returns its secret, once. It allows no more than its maker has: scopes of the
    /// admin API, networks and life.
    ///
    /// # Errors
    ///
    /// [`Rule::Role`], [`Rule::Scopes`]; [`Rule::TokenName`], [`Rule::NoScope`], [`Rule::TooShort`],
    /// [`Rule::TooLong`], [`Rule::NeverExpires`]; [`Rule::GrantsScopes`], [`Rule::GrantsNetworks`],
    /// [`Rule::GrantsLife`]. Here and below [`AdminError::Store`].
    pub fn issue(
        &self,
        by: &Principal,
        tenant: TenantId,
        new: NewToken,
    ) -> Result<IssuedToken, AdminError> {
        by.may(Action::IssueToken)?;
        if !by.reaches(tenant) {
            by.reaches_all()?;
        }
        by.may_grant(new.scopes, &new.cidrs)?;
        let expires = self.expires(by, new.expiry)?;
        let (row, secret) = self.make(by, tenant, new, expires, None)?;
        self.store.insert(&row, &by.author)?;
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
        match row.token.state(self.clock.now()) {
            TokenState::Works => {}
            TokenState::Expired => return refused(Refusal::Expired),
            TokenState::Revoked => return refused(Refusal::Revoked),
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

    /// Returns the tokens of a tenant, or of all within reach, newest first.
    ///
    /// # Errors
    ///
    /// [`Rule::Role`], [`Rule::Scopes`].
    pub fn list(&self, by: &Principal, of: Option<TenantId>) -> Result<Vec<Token>, AdminError> {
        by.may(Action::ReadTokens)?;
        let mut tokens = self.store.list(of)?;
        tokens.retain(|token| by.reaches(token.tenant));
        Ok(tokens)
    }

    /// Returns a token of a tenant, or of any within reach, whatever its state.
    ///
    /// # Errors
    ///
    /// [`Rule::Role`], [`Rule::Scopes`], [`Rule::Missing`].
    pub fn get(
        &self,
        by: &Principal,
        of: Option<TenantId>,
        id: &TokenId,
    ) -> Result<Token, AdminError> {
        by.may(Action::ReadTokens)?;
        self.within(by, of, id)
    }

    /// Reads a token for the server's own records, whatever its state.
    ///
    /// # Errors
    ///
    /// [`TokenError::Store`].
    pub fn find(&self, id: &TokenId) -> Result<Option<Token>, TokenError> {
        Ok(self.store.find(id)?.map(|row| row.token))
    }

    /// Revokes a token, from the next request on. One that was revoked before stays so.
    ///
    /// Taking away needs no grant: a leaked token can be revoked by everybody who manages tokens.
    ///
    /// # Errors
    ///
    /// [`Rule::Role`], [`Rule::Scopes`], [`Rule::Missing`].
    pub fn revoke(
        &self,
        by: &Principal,
        of: Option<TenantId>,
        id: &TokenId,
    ) -> Result<(), AdminError> {
        by.may(Action::RevokeToken)?;
        self.within(by, of, id)?;
        // Of two who revoke it at the same time, one is recorded.
        self.store.revoke(id, self.clock.now(), &by.author)?;
        Ok(())
    }

    /// Makes a token that takes over from another. It has the same life, but not beyond the longest one
    /// of the policy or the end of its maker; the other goes on working for `overlap`.
    ///
    /// # Errors
    ///
    /// [`Rule::Role`], [`Rule::Scopes`], [`Rule::Missing`], [`Rule::TooLong`] for the overlap,
    /// [`Rule::Over`], [`Rule::GrantsScopes`], [`Rule::GrantsNetworks`].
    pub fn rotate(
        &self,
        by: &Principal,
        of: Option<TenantId>,
        id: &TokenId,
        overlap: Duration,
    ) -> Result<Rotated, AdminError> {
        by.may(Action::RotateToken)?;
        if overlap > MAX_OVERLAP {
            return Err(Field::Overlap.breaks(Rule::TooLong(MAX_OVERLAP)));
        }
        let (old, now) = (self.within(by, of, id)?, self.clock.now());
        by.may_grant(old.scopes, &old.cidrs)?;
        match old.state(now) {
            TokenState::Works => {}
            over => return Err(Field::Token.breaks(Rule::Over(over))),
        }
        let own = self.life(&old)?.map(|life| now.plus(life));
        let expires = own.into_iter().chain(by.ends()).min();
        let new = NewToken {
            name: old.name,
            scopes: old.scopes,
            expiry: Expiry::Default,
            cidrs: old.cidrs,
            user: old.user,
        };
        let (row, secret) = self.make(by, old.tenant, new, expires, Some(id.clone()))?;
        let until = now.plus(overlap);
        let old_until = old.expires.map_or(until, |expires| expires.min(until));
        self.store.replace(&row, old_until, &by.author)?;
        Ok(Rotated { issued: IssuedToken { token: row.token, secret }, old_until })
    }

    /// Returns the life of a token that takes over from `old`; `None` when it never ends.
    ///
    /// Rotating ends `old` early, so that after the first time its successor is what shows the life.
    fn life(&self, old: &Token) -> Result<Option<Duration>, AdminError> {
        let all = self.store.list(Some(old.tenant))?;
        let successors = all.iter().filter(|token| token.replaces.as_ref() == Some(&old.id));
        let like = successors.max_by_key(|token| token.created).unwrap_or(old);
        let longest = self.policy.longest_life.max(MIN_LIFE);
        Ok(like.expires.map(|ends| ends.since(like.created).clamp(MIN_LIFE, longest)))
    }

    fn within(
        &self,
        by: &Principal,
        of: Option<TenantId>,
        id: &TokenId,
    ) -> Result<Token, AdminError> {
        let token = self.store.find(id)?.map(|row| row.token);
        let token = token.filter(|token| by.reaches(token.tenant));
        let token = token.filter(|token| of.is_none_or(|of| token.tenant == of));
        token.ok_or_else(|| Field::Token.breaks(Rule::Missing(id.to_string())))
    }

    /// Returns when a new token ends.
    fn expires(&self, by: &Principal, expiry: Expiry) -> Result<Option<Timestamp>, AdminError> {
        let refuse = |rule| Err(Field::Expiry.breaks(rule));
        let (now, ends) = (self.clock.now(), by.ends());
        let expires = match expiry {
            Expiry::Default => {
                let default = now.plus(self.policy.default_life);
                return Ok(Some(ends.map_or(default, |ends| ends.min(default))));
            }
            Expiry::After(life) if life < MIN_LIFE => return refuse(Rule::TooShort(MIN_LIFE)),
            Expiry::After(life) if life > self.policy.longest_life => {
                return refuse(Rule::TooLong(self.policy.longest_life));
            }
            Expiry::After(life) => Some(now.plus(life)),
            Expiry::Never if self.policy.allow_never_expires => None,
            Expiry::Never => return refuse(Rule::NeverExpires),
        };
        match ends {
            Some(ends) if expires.is_none_or(|expires| expires > ends) => {
                refuse(Rule::GrantsLife(ends))
            }
            _ => Ok(expires),
        }
    }

    fn make(
        &self,
        by: &Principal,
        tenant: TenantId,
        new: NewToken,
        expires: Option<Timestamp>,
        replaces: Option<TokenId>,
    ) -> Result<(TokenRow, SecretString), AdminError> {
        let name = new.name;
        if name.is_empty()
            || name.chars().count() > Token::MAX_NAME
            || name.chars().any(char::is_control)
            || name.trim() != name
        {
            return Err(Field::TokenName.breaks(Rule::TokenName));
        }
        if new.scopes.is_empty() {
            return Err(Field::Scopes.breaks(Rule::NoScope));
        }
        let (id, secret) = format::generate(new.scopes.purpose());
        let text = secrecy::ExposeSecret::expose_secret(&secret);
        let token = Token {
            id,
            purpose: new.scopes.purpose(),
            tenant,
            name,
            scopes: new.scopes,
            cidrs: new.cidrs,
            created: self.clock.now(),
            created_by: by.author.actor.to_string(),
            expires,
            revoked: None,
            replaces,
            last_used: None,
            user: new.user,
        };
        let row = TokenRow {
            token,
            hash: verify::hash(&secret).map_err(|_error| AdminError::Hash)?,
            tag: verify::tag(text),
            secret_version: 1,
            tenant: TenantState { enabled: true, quirks: Quirks::default() },
        };
        Ok((row, secret))
    }
}
