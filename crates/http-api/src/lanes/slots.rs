//! Slots for readers that wait for long, such as readers of events. A slot is held for as long as its reader
//! wants, so that a queue would not help. Instead, none may hold more slots than are left for others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use headcount_core::ids::{TenantId, TokenId};

/// Slots that are divided among tenants, and within a tenant among its tokens.
///
/// A tenant holds at most as many slots as are free for others, and a token at most as many as are free
/// beyond those of its tenant. Alone, a tenant gets half of them; a later one always finds some.
#[derive(Debug)]
pub(crate) struct Slots {
    total: usize,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_tenant: HashMap<TenantId, usize>,
    by_token: HashMap<(TenantId, TokenId), usize>,
}

/// A slot; it is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    taken: Arc<Mutex<Taken>>,
    owner: (TenantId, TokenId),
}

impl Slots {
    /// Makes a number of slots.
    pub(crate) fn new(total: usize) -> Self {
        Self { total, taken: Arc::default() }
    }

    /// Takes a slot, or returns `None` when the tenant or the token holds its part already.
    pub(crate) fn take(&self, tenant: TenantId, token: &TokenId) -> Option<Slot> {
        let owner = (tenant, token.clone());
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let free = self.total.saturating_sub(taken.all);
        let of_tenant = taken.by_tenant.get(&tenant).copied().unwrap_or(0);
        let of_token = taken.by_token.get(&owner).copied().unwrap_or(0);
        if of_tenant >= free || of_token >= free - of_tenant {
            return None;
        }
        taken.all += 1;
        *taken.by_tenant.entry(tenant).or_default() += 1;
        *taken.by_token.entry(owner.clone()).or_default() += 1;
        drop(taken);
        Some(Slot { taken: Arc::clone(&self.taken), owner })
    }

    /// Returns how many slots are taken.
    pub(crate) fn count(&self) -> usize {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).all
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all -= 1;
        decrement(&mut taken.by_tenant, &self.owner.0);
        decrement(&mut taken.by_token, &self.owner);
    }
}

fn decrement<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(slots: &Slots, tenant: i64, token: &str) -> Vec<Slot> {
        let (tenant, token) = (TenantId::new(tenant), TokenId::new(token));
        std::iter::from_fn(|| slots.take(tenant, &token)).collect()
    }

    #[test]
    fn s13_a_tenant_that_takes_all_it_can_leaves_slots_to_the_next() {
        let slots = Slots::new(512);
        let first = fill(&slots, 1, "a");
        assert_eq!(first.len(), 171);
        let second = fill(&slots, 2, "b");
        assert_eq!(second.len(), 114);
        assert!(!fill(&slots, 3, "c").is_empty());
        drop((first, second));
        assert_eq!(slots.count(), 0);
    }

    #[test]
    fn a_tenant_gets_a_half_and_each_of_its_tokens_some() {
        let slots = Slots::new(512);
        let tokens: Vec<Vec<Slot>> = (0..8).map(|n| fill(&slots, 1, &format!("t{n}"))).collect();
        assert!(tokens.iter().take(4).all(|slots| !slots.is_empty()));
        let total: usize = tokens.iter().map(Vec::len).sum();
        assert!(total <= 256, "{total}");
    }

    #[test]
    fn a_slot_is_free_again_when_it_is_dropped() {
        let slots = Slots::new(4);
        let mut taken = fill(&slots, 1, "a");
        let most = taken.len();
        assert!(slots.take(TenantId::new(1), &TokenId::new("a")).is_none());
        taken.pop();
        assert!(slots.take(TenantId::new(1), &TokenId::new("a")).is_some());
        drop(taken);
        assert_eq!(fill(&slots, 1, "a").len(), most);
    }
}
