//! The commands about tokens: issue, verify, list, revoke, rotate.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use headcount_core::clock::{Clock, Timestamp};
use headcount_core::ids::{ResourceId, TenantId, TokenId};
use headcount_core::quirks::Quirks;
use ipnet::IpNet;
use secrecy::SecretString;

use crate::error::{AdminError, Field, Rule};
use crate::format::{self, PresentedToken};
use crate::principal::{Action, Principal};
use crate::scope::Scopes;
use crate::store::{LastUsed, Token, TokenRow, TokenState, TokenStore};
use crate::verify::{self, Refusal, TokenError, Verifier};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// The longest time for which a rotated token keeps working.
const MAX_OVERLAP: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// The shortest life of a token.
const MIN_LIFE: Duration = Duration::from_secs(1);
/// How often the last use of a token is recorded.
const USE_INTERVAL: Duration = Duration::from_secs(60);
/// Uses that may wait to be written. Further ones are dropped: the next use of the token replaces them.
const MAX_PENDING_USES: usize = 1_024;

/// What an operator allows.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// The life of a token for which none is given.
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
    /// The user that `/Me` is.
    pub user: Option<ResourceId>,
}

/// Reads names and bundles of scopes.
///
/// # Errors
///
/// [`Rule::UnknownScope`].
pub fn scopes<'n>(names: impl IntoIterator<Item = &'n str>) -> Result<Scopes, AdminError> {
    names.into_iter().try_fold(Scopes::NONE, |set, word| match Scopes::parse(word) {
        Some(scopes) => Ok(set.with(scopes)),
        None => Err(Field::Scopes.breaks(Rule::UnknownScope(word.to_owned()))),
    })
}

/// A token that was just made, with its secret, which appears nowhere else.
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

/// A token whose secret was proven and that works.
#[derive(Debug, Clone)]
pub struct VerifiedToken {
    /// The token.
    pub token: Token,
    /// Its tenant's switches.
    pub quirks: Quirks,
}

/// A new token as a form was filled in. A part that could not be read is `None`.
#[derive(Debug, Clone, Default)]
pub struct TokenDraft {
    /// The name.
    pub name: String,
    /// What it may do.
    pub scopes: Option<Scopes>,
    /// When it ends.
    pub expiry: Option<Expiry>,
    /// The networks from which it may be used.
    pub cidrs: Option<Vec<IpNet>>,
}

/// Checks the name of a token.
fn check_name(name: &str) -> Result<(), AdminError> {
    match Token::is_name(name) {
        true => Ok(()),
        false => Err(Field::TokenName.breaks(Rule::TokenName)),
    }
}

/// Issues and verifies tokens over a store.
pub struct Tokens {
    store: Arc<dyn TokenStore>,
    clock: Arc<dyn Clock>,
    policy: Policy,
    verifier: Verifier,
    uses: Option<SyncSender<(TokenId, LastUsed)>>,
    writer: Option<JoinHandle<()>>,
    /// When the last use of a token was recorded, as far as [`Token::last_used`] may be behind.
    recorded: Mutex<HashMap<TokenId, Timestamp>>,
}

impl Drop for Tokens {
    /// Waits until all recorded uses are written.
    fn drop(&mut self) {
        drop(self.uses.take());
        drop(self.writer.take().map(JoinHandle::join));
    }
}

/// Writes uses until the other end of the queue is dropped.
fn write_uses(store: &dyn TokenStore, pending: &Receiver<(TokenId, LastUsed)>) {
    while let Ok((id, used)) = pending.recv() {
        if let Err(error) = store.mark_used(&id, &used) {
            tracing::warn!(token.id = %id, %error, "the last use of a token could not be written");
        }
    }
}

impl Tokens {
    /// Starts the thread that verifies tokens and the one that writes uses.
    pub fn new(store: Arc<dyn TokenStore>, clock: Arc<dyn Clock>, policy: Policy) -> Self {
        let (uses, pending) = sync_channel::<(TokenId, LastUsed)>(MAX_PENDING_USES);
        let writer = Arc::clone(&store);
        let thread = std::thread::Builder::new()
            .name("token-uses".to_owned())
            .spawn(move || write_uses(&*writer, &pending));
        Self {
            store,
            clock,
            policy,
            verifier: Verifier::new(),
            uses: Some(uses),
            writer: thread.ok(),
            recorded: Mutex::new(HashMap::new()),
        }
    }

    /// Returns what the operator allows.
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// Makes a token and returns its secret, once. It allows no more than its maker has: scopes of the
    /// admin API, networks and life. Without networks of its own it has those of its maker.
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
        let new = NewToken { cidrs: by.networks(new.cidrs), ..new };
        by.may_grant(new.scopes, &new.cidrs)?;
        let expires = self.expires(by, new.expiry)?;
        // A token that takes over from another keeps its name, which an earlier release may have accepted.
        check_name(&new.name)?;
        let (row, secret) = self.make(by, tenant, new, expires, None)?;
        self.store.insert(&row, &by.author)?;
        Ok(IssuedToken { token: row.token, secret })
    }

    /// Returns every rule that a new token would break, not only the first: for forms, which show each at its field.
    pub fn faults(&self, by: &Principal, draft: &TokenDraft) -> Vec<AdminError> {
        let cidrs = draft.cidrs.clone().map(|cidrs| by.networks(cidrs));
        let granted = match (draft.scopes, cidrs) {
            (Some(scopes), _) if scopes.is_empty() => Err(Field::Scopes.breaks(Rule::NoScope)),
            (Some(scopes), Some(cidrs)) => by.may_grant(scopes, &cidrs),
            _ => Ok(()),
        };
        let expires = draft.expiry.map_or(Ok(()), |expiry| self.expires(by, expiry).map(drop));
        [check_name(&draft.name), granted, expires].into_iter().filter_map(Result::err).collect()
    }

    /// Checks a presented token. What it may be used for, and from where, is the caller's to check,
    /// now that the secret is proven.
    ///
    /// # Errors
    ///
    /// [`TokenError::Refused`], [`TokenError::Busy`], [`TokenError::Store`].
    pub fn verify(&self, presented: &PresentedToken) -> Result<VerifiedToken, TokenError> {
        let Some((row, tenant)) = self.store.find(presented.id())? else {
            return Err(Refusal::Unknown.into());
        };
        if row.token.purpose != presented.purpose() {
            return Err(Refusal::WrongPurpose.into());
        }
        self.verifier.check(presented, &row)?;
        match row.token.state(self.clock.now()) {
            TokenState::Works if tenant.enabled => {
                Ok(VerifiedToken { token: row.token, quirks: tenant.quirks })
            }
            TokenState::Works => Err(Refusal::TenantDisabled.into()),
            TokenState::Expired => Err(Refusal::Expired.into()),
            TokenState::Revoked => Err(Refusal::Revoked.into()),
        }
    }

    /// Returns the tenant of a token that this process has accepted before, without asking the store.
    ///
    /// It decides in whose queue a request waits, and nothing more: the token may have been revoked since.
    pub fn recognize(&self, presented: &PresentedToken) -> Option<TenantId> {
        self.verifier.recognize(presented)
    }

    /// Records that a token was used, at most once a minute per token. Another thread writes it: no
    /// request waits for it.
    pub fn record_use(&self, token: &Token, address: Option<IpAddr>, agent: Option<&str>) {
        let now = self.clock.now();
        let oldest = now.minus(USE_INTERVAL);
        if token.last_used.as_ref().is_some_and(|used| used.at > oldest) {
            return;
        }
        let mut recorded = self.recorded.lock().unwrap_or_else(PoisonError::into_inner);
        if recorded.get(&token.id).is_some_and(|at| *at > oldest) {
            return;
        }
        if recorded.len() >= MAX_PENDING_USES {
            recorded.retain(|_, at| *at > oldest);
        }
        recorded.insert(token.id.clone(), now);
        drop(recorded);
        let agent =
            agent.map(|agent| agent.chars().filter(|c| !c.is_control()).take(200).collect());
        // When the queue is full, the next use is written instead.
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
        Ok(self.store.find(id)?.map(|(row, _)| row.token))
    }

    /// Revokes a token, from the next request on. One that was revoked before stays so.
    ///
    /// Every principal that manages tokens can revoke a leaked provisioning token. One of the admin API has to be
    /// within what the principal has.
    ///
    /// # Errors
    ///
    /// [`Rule::Role`], [`Rule::Scopes`], [`Rule::Missing`], [`Rule::BeyondScopes`], [`Rule::BeyondNetworks`].
    pub fn revoke(
        &self,
        by: &Principal,
        of: Option<TenantId>,
        id: &TokenId,
    ) -> Result<(), AdminError> {
        by.may(Action::RevokeToken)?;
        by.may_revoke(&self.within(by, of, id)?)?;
        // When two principals revoke it at the same time, one is recorded.
        self.store.revoke(id, self.clock.now(), &by.author)?;
        Ok(())
    }

    /// Makes a token that takes over from another. It has the same life, but not beyond the longest one
    /// of the policy or the end of its maker; the old one keeps working for `overlap`.
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
    /// Rotating ends a token early, so that the last of its successors is what shows the life.
    fn life(&self, old: &Token) -> Result<Option<Duration>, AdminError> {
        let all = self.store.list(Some(old.tenant))?;
        let mut like = old;
        for _ in &all {
            let successors = all.iter().filter(|token| token.replaces.as_ref() == Some(&like.id));
            match successors.max_by_key(|token| token.created) {
                Some(successor) => like = successor,
                None => break,
            }
        }
        let longest = self.policy.longest_life.max(MIN_LIFE);
        Ok(like.expires.map(|ends| ends.since(like.created).clamp(MIN_LIFE, longest)))
    }

    fn within(
        &self,
        by: &Principal,
        of: Option<TenantId>,
        id: &TokenId,
    ) -> Result<Token, AdminError> {
        match self.store.find(id)? {
            Some((row, _))
                if by.reaches(row.token.tenant) && of.is_none_or(|of| row.token.tenant == of) =>
            {
                Ok(row.token)
            }
            _ => Err(Field::Token.breaks(Rule::Missing(id.to_string()))),
        }
    }

    /// Returns when a new token ends.
    fn expires(&self, by: &Principal, expiry: Expiry) -> Result<Option<Timestamp>, AdminError> {
        let (now, longest) = (self.clock.now(), self.policy.longest_life);
        let rule = match (expiry, by.ends()) {
            (Expiry::Default, ends) => {
                let default = now.plus(self.policy.default_life);
                return Ok(Some(ends.map_or(default, |ends| ends.min(default))));
            }
            (Expiry::After(life), _) if life < MIN_LIFE => Rule::TooShort(MIN_LIFE),
            (Expiry::After(life), _) if life > longest => Rule::TooLong(longest),
            (Expiry::After(life), Some(ends)) if now.plus(life) > ends => Rule::GrantsLife(ends),
            (Expiry::After(life), _) => return Ok(Some(now.plus(life))),
            (Expiry::Never, _) if !self.policy.allow_never_expires => Rule::NeverExpires,
            (Expiry::Never, Some(ends)) => Rule::GrantsLife(ends),
            (Expiry::Never, None) => return Ok(None),
        };
        Err(Field::Expiry.breaks(rule))
    }

    fn make(
        &self,
        by: &Principal,
        tenant: TenantId,
        new: NewToken,
        expires: Option<Timestamp>,
        replaces: Option<TokenId>,
    ) -> Result<(TokenRow, SecretString), AdminError> {
        if new.scopes.is_empty() {
            return Err(Field::Scopes.breaks(Rule::NoScope));
        }
        let (id, secret) = format::generate(new.scopes.purpose());
        let text = secrecy::ExposeSecret::expose_secret(&secret);
        let token = Token {
            id,
            purpose: new.scopes.purpose(),
            tenant,
            name: new.name,
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
        };
        Ok((row, secret))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sco_names_are_read_and_written() {
        let bundle = scopes(["provisioning"]).unwrap();
        assert_eq!(bundle.to_string(), "scim:read users:write groups:write");
        let two = scopes(["scim:read", "events:read"]).unwrap();
        assert_eq!(two, Scopes::SCIM_READ.with(Scopes::EVENTS_READ));
        let unknown = scopes(["scim:read", "root"]).unwrap_err();
        assert_eq!(
            unknown.to_string(),
            Field::Scopes.breaks(Rule::UnknownScope("root".to_owned())).to_string()
        );
        assert!(!Scopes::SCIM_READ.allow(Scopes::PROVISIONING));
    }
}
