//! Tokens and tenants in memory, for tests: the contract of the stores in executable form.

use std::sync::{Mutex, MutexGuard, PoisonError};

use headcount_core::change::{Act, Author, Change, Recorded, TENANT_KIND, TOKEN_KIND};
use headcount_core::clock::Timestamp;
use headcount_core::ids::{ChainPosition, Kind, ResourceId, TenantId, TokenId};
use headcount_core::members::MemberDelta;
use headcount_core::quirks::Quirks;

use crate::store::{LastUsed, StoreError, TenantState, Token, TokenRow, TokenStore};
use crate::tenant::{Tenant, TenantChange, TenantStore};

/// Keeps tokens and tenants in memory. The tenant `default` is there from the start.
pub struct MemoryTokens {
    state: Mutex<State>,
}

struct State {
    rows: Vec<TokenRow>,
    tenants: Vec<Tenant>,
    next_tenant: i64,
    changes: Vec<(TenantId, Recorded)>,
}

impl Default for MemoryTokens {
    fn default() -> Self {
        let default = Tenant {
            id: TenantId::new(1),
            name: Tenant::DEFAULT.to_owned(),
            enabled: true,
            quirks: Quirks::default(),
            created: Timestamp::from_micros(0),
        };
        Self {
            state: Mutex::new(State {
                rows: Vec::new(),
                tenants: vec![default],
                next_tenant: 2,
                changes: Vec::new(),
            }),
        }
    }
}

impl MemoryTokens {
    /// Returns what was recorded for a tenant, in order.
    pub fn changes(&self, tenant: TenantId) -> Vec<Recorded> {
        let state = self.lock();
        let own = state.changes.iter().filter(|(of, _)| *of == tenant);
        own.map(|(_, recorded)| recorded.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn record(&mut self, tenant: TenantId, kind: &str, id: &str, change: Change) {
        let recorded = Recorded {
            position: ChainPosition::new(
                i64::try_from(self.changes.len()).unwrap_or(i64::MAX).saturating_add(1),
            ),
            kind: Kind::new(kind),
            id: ResourceId::new(id),
            version: None,
            change,
            members: MemberDelta::default(),
            left: Vec::new(),
        };
        self.changes.push((tenant, recorded));
    }

    fn record_tenant(&mut self, tenant: TenantId, change: Change) {
        self.record(tenant, TENANT_KIND, &tenant.key().to_string(), change);
    }

    fn insert(&mut self, row: &TokenRow, by: &Author) -> Result<(), StoreError> {
        if self.rows.iter().any(|known| known.token.id == row.token.id) {
            return Err(StoreError::Taken);
        }
        if self.tenants.iter().all(|tenant| tenant.id != row.token.tenant) {
            return Err(StoreError::Missing);
        }
        self.rows.push(row.clone());
        let token = &row.token;
        self.record(token.tenant, TOKEN_KIND, token.id.as_str(), token.creation(by));
        Ok(())
    }

    fn token(&mut self, id: &TokenId) -> Option<&mut Token> {
        self.rows.iter_mut().map(|row| &mut row.token).find(|token| token.id == *id)
    }
}

impl TokenStore for MemoryTokens {
    fn insert(&self, row: &TokenRow, by: &Author) -> Result<(), StoreError> {
        self.lock().insert(row, by)
    }

    fn find(&self, id: &TokenId) -> Result<Option<(TokenRow, TenantState)>, StoreError> {
        let state = self.lock();
        Ok(state.rows.iter().find(|row| row.token.id == *id).map(|row| {
            let tenant = state.tenants.iter().find(|tenant| tenant.id == row.token.tenant);
            let (enabled, quirks) =
                tenant.map_or((false, Quirks::NONE), |tenant| (tenant.enabled, tenant.quirks));
            (row.clone(), TenantState { enabled, quirks })
        }))
    }

    fn list(&self, tenant: Option<TenantId>) -> Result<Vec<Token>, StoreError> {
        let state = self.lock();
        let tokens = state.rows.iter().rev().map(|row| &row.token);
        Ok(tokens
            .filter(|token| tenant.is_none_or(|tenant| token.tenant == tenant))
            .cloned()
            .collect())
    }

    fn revoke(&self, id: &TokenId, at: Timestamp, by: &Author) -> Result<bool, StoreError> {
        let mut state = self.lock();
        let Some(token) = state.token(id).filter(|token| token.revoked.is_none()) else {
            return Ok(false);
        };
        token.revoked = Some(at);
        let change = Change::of(Act::Revoked, &token.name, &["revoked"], at, by);
        let tenant = token.tenant;
        state.record(tenant, TOKEN_KIND, id.as_str(), change);
        Ok(true)
    }

    fn replace(&self, row: &TokenRow, until: Timestamp, by: &Author) -> Result<(), StoreError> {
        let mut state = self.lock();
        state.insert(row, by)?;
        let old = row.token.replaces.as_ref().and_then(|id| state.token(id));
        if let Some(old) = old.filter(|old| old.expires.is_none_or(|expires| expires > until)) {
            old.expires = Some(until);
            let change = Change::of(Act::Rotated, &old.name, &["expires"], row.token.created, by);
            let (tenant, id) = (old.tenant, old.id.clone());
            state.record(tenant, TOKEN_KIND, id.as_str(), change);
        }
        Ok(())
    }

    fn mark_used(&self, id: &TokenId, used: &LastUsed) -> Result<(), StoreError> {
        if let Some(token) = self.lock().token(id) {
            token.last_used = Some(used.clone());
        }
        Ok(())
    }
}

impl TenantStore for MemoryTokens {
    fn create_tenant(
        &self,
        name: &str,
        quirks: Quirks,
        at: Timestamp,
        by: &Author,
    ) -> Result<Tenant, StoreError> {
        let mut state = self.lock();
        if state.tenants.iter().any(|tenant| tenant.name == name) {
            return Err(StoreError::Taken);
        }
        let id = TenantId::new(state.next_tenant);
        state.next_tenant += 1;
        let tenant = Tenant { id, name: name.to_owned(), enabled: true, quirks, created: at };
        state.tenants.push(tenant.clone());
        state.record_tenant(id, Change::of(Act::Created, name, &[], at, by));
        Ok(tenant)
    }

    fn tenants(&self) -> Result<Vec<Tenant>, StoreError> {
        Ok(self.lock().tenants.clone())
    }

    fn tenant(&self, name: &str) -> Result<Option<Tenant>, StoreError> {
        Ok(self.lock().tenants.iter().find(|tenant| tenant.name == name).cloned())
    }

    fn set_tenant(
        &self,
        name: &str,
        change: TenantChange,
        at: Timestamp,
        by: &Author,
    ) -> Result<Option<Tenant>, StoreError> {
        let mut state = self.lock();
        let Some(tenant) = state.tenants.iter_mut().find(|tenant| tenant.name == name) else {
            return Ok(None);
        };
        let changed = tenant.with(change);
        let recorded = tenant.change(&changed, at, by);
        tenant.clone_from(&changed);
        if let Some(recorded) = recorded {
            state.record_tenant(changed.id, recorded);
        }
        Ok(Some(changed))
    }

    fn delete_tenant(&self, name: &str, at: Timestamp, by: &Author) -> Result<bool, StoreError> {
        let mut state = self.lock();
        let Some(id) =
            state.tenants.iter().find(|tenant| tenant.name == name).map(|tenant| tenant.id)
        else {
            return Ok(false);
        };
        state.tenants.retain(|tenant| tenant.id != id);
        state.rows.retain(|row| row.token.tenant != id);
        state.record_tenant(id, Change::of(Act::Deleted, name, &[], at, by));
        Ok(true)
    }
}
