//! Places for those who wait for long, such as readers of events: nobody is served faster there, so that
//! a queue would not help. Instead, nobody may have more places than are left for others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use headcount_core::ids::{TenantId, TokenId};

/// Places that tenants share, and within a tenant its tokens.
///
/// A tenant has at most as many places as are free for others, and a token at most as many as are free
/// beyond those of its tenant. Alone, a tenant gets a half; one that comes later always finds some.
#[derive(Debug)]
pub(crate) struct Places {
    total: usize,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_tenant: HashMap<TenantId, usize>,
    by_token: HashMap<(TenantId, TokenId), usize>,
}

/// A place; it is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    taken: Arc<Mutex<Taken>>,
    owner: (TenantId, TokenId),
}

impl Places {
    /// Makes so many places.
    pub(crate) fn new(total: usize) -> Self {
        Self { total, taken: Arc::default() }
    }

    /// Takes a place; none when the tenant or the token has its part already.
    pub(crate) fn take(&self, tenant: TenantId, token: &TokenId) -> Option<Place> {
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
        Some(Place { taken: Arc::clone(&self.taken), owner })
    }

    /// Returns how many places are taken.
    pub(crate) fn taken(&self) -> usize {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).all
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all -= 1;
        give_back(&mut taken.by_tenant, &self.owner.0);
        give_back(&mut taken.by_token, &self.owner);
    }
}

fn give_back<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
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

    fn fill(places: &Places, tenant: i64, token: &str) -> Vec<Place> {
        let (tenant, token) = (TenantId::new(tenant), TokenId::new(token));
        std::iter::from_fn(|| places.take(tenant, &token)).collect()
    }

    #[test]
    fn s13_who_takes_all_it_can_leaves_places_to_the_next() {
        let places = Places::new(512);
        let first = fill(&places, 1, "a");
        assert_eq!(first.len(), 171);
        let second = fill(&places, 2, "b");
        assert_eq!(second.len(), 114);
        assert!(!fill(&places, 3, "c").is_empty());
        drop((first, second));
        assert_eq!(places.taken(), 0);
    }

    #[test]
    fn a_tenant_gets_a_half_and_each_of_its_tokens_some() {
        let places = Places::new(512);
        let tokens: Vec<Vec<Place>> = (0..8).map(|n| fill(&places, 1, &format!("t{n}"))).collect();
        assert!(tokens.iter().take(4).all(|places| !places.is_empty()));
        let total: usize = tokens.iter().map(Vec::len).sum();
        assert!(total <= 256, "{total}");
    }

    #[test]
    fn a_place_is_free_again_when_it_is_left() {
        let places = Places::new(4);
        let mut taken = fill(&places, 1, "a");
        let most = taken.len();
        assert!(places.take(TenantId::new(1), &TokenId::new("a")).is_none());
        taken.pop();
        assert!(places.take(TenantId::new(1), &TokenId::new("a")).is_some());
        drop(taken);
        assert_eq!(fill(&places, 1, "a").len(), most);
    }
}
