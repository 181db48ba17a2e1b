//! Offsets in long lists at which a resource was seen, so that a page deep in a list is not counted up to
//! from its beginning.
//!
//! An entry, the anchor, is an offset in the order of creation and the key of the resource there. It holds as
//! long as nothing before it was deleted and nothing was inserted before it. [`Extent`], which every
//! transaction that inserts or deletes changes, shows when that is no longer certain.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use crate::connection::Backend;

/// Lists whose anchors are kept.
const MAX_LISTS: usize = 256;
/// Anchors of one list. When there are more, every second is dropped.
const MAX_ANCHORS: usize = 1_024;

/// How many resources of a kind a tenant has, and how many it has lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) total: i64,
    pub(crate) removed: i64,
}

/// A tenant and a kind.
pub(crate) type List = (i64, i32);

/// How the database comes to a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Forwards from a resource, or from the first one, leaving some out.
    Forwards {
        /// The key of the resource.
        from: Option<i64>,
        /// Those between it and the page.
        skip: i64,
    },
    /// Backwards from the last resource, leaving some out.
    Backwards {
        /// Those behind the page.
        skip: i64,
        /// Those on the page.
        take: i64,
    },
}

/// The anchors of all lists.
pub(crate) struct OffsetCache {
    backend: Backend,
    lists: Mutex<HashMap<List, Known>>,
}

struct Known {
    extent: Extent,
    /// The key of the resource at each offset.
    anchors: BTreeMap<i64, i64>,
}

impl OffsetCache {
    pub(crate) fn new(backend: Backend) -> Self {
        Self { backend, lists: Mutex::default() }
    }

    /// Returns the shortest way to `take` resources behind the first `offset`.
    pub(crate) fn way(&self, list: List, extent: Extent, offset: i64, take: i64) -> Way {
        let take = take.min(extent.total - offset).max(0);
        let behind = (extent.total - offset - take).max(0);
        let lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        let known = lists.get(&list).filter(|known| self.holds(known.extent, extent));
        let near = known.and_then(|known| known.anchors.range(..=offset).next_back());
        let (from, skip) = near.map_or((None, offset), |(at, pk)| (Some(*pk), offset - at));
        if behind < skip {
            return Way::Backwards { skip: behind, take };
        }
        Way::Forwards { from, skip }
    }

    /// Remembers which resource is at an offset.
    pub(crate) fn learn(&self, list: List, extent: Extent, offset: i64, pk: i64) {
        if offset == 0 {
            return;
        }
        let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        if lists.len() >= MAX_LISTS && !lists.contains_key(&list) {
            lists.clear();
        }
        let known = lists.entry(list).or_insert_with(|| Known { extent, anchors: BTreeMap::new() });
        if !self.holds(known.extent, extent) {
            // Of two threads that learn at once, the one with the later state wins.
            if extent.removed < known.extent.removed {
                return;
            }
            *known = Known { extent, anchors: BTreeMap::new() };
        }
        known.anchors.insert(offset, pk);
        if known.anchors.len() > MAX_ANCHORS {
            let mut odd = false;
            known.anchors.retain(|_, _| {
                odd = !odd;
                odd
            });
        }
    }

    /// Returns whether anchors of one extent hold in another.
    ///
    /// SQLite gives out keys in the order of commits, so that a new resource is behind all others. On
    /// PostgreSQL a transaction that took its key early may commit late.
    fn holds(&self, then: Extent, now: Extent) -> bool {
        match self.backend {
            Backend::Sqlite => then.removed == now.removed,
            Backend::Postgres => then == now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: List = (1, 1);

    fn extent(total: i64, removed: i64) -> Extent {
        Extent { total, removed }
    }

    #[test]
    fn the_shorter_way_is_taken() {
        let cache = OffsetCache::new(Backend::Sqlite);
        let of = extent(1_000, 0);
        assert_eq!(cache.way(LIST, of, 400, 101), Way::Forwards { from: None, skip: 400 });
        assert_eq!(cache.way(LIST, of, 900, 101), Way::Backwards { skip: 0, take: 100 });
        assert_eq!(cache.way(LIST, of, 800, 101), Way::Backwards { skip: 99, take: 101 });
        assert_eq!(cache.way(LIST, of, 2_000, 101), Way::Backwards { skip: 0, take: 0 });
        cache.learn(LIST, of, 850, 7);
        assert_eq!(cache.way(LIST, of, 860, 101), Way::Forwards { from: Some(7), skip: 10 });
        assert_eq!(cache.way(LIST, of, 840, 101), Way::Backwards { skip: 59, take: 101 });
    }

    #[test]
    fn anchors_are_forgotten_when_they_may_be_wrong() {
        for (backend, append) in [(Backend::Sqlite, true), (Backend::Postgres, false)] {
            let cache = OffsetCache::new(backend);
            cache.learn(LIST, extent(10_000, 0), 500, 7);
            let near = |of| cache.way(LIST, of, 500, 1) == Way::Forwards { from: Some(7), skip: 0 };
            assert!(near(extent(10_000, 0)));
            assert_eq!(near(extent(10_001, 0)), append);
            assert!(!near(extent(9_999, 1)) && !near(extent(10_000, 1)));
        }
    }

    #[test]
    fn there_are_never_too_many() {
        let cache = OffsetCache::new(Backend::Sqlite);
        for offset in 1..10_000 {
            cache.learn(LIST, extent(100_000, 0), offset, offset);
        }
        let lists = cache.lists.lock().unwrap();
        assert!(lists.values().all(|known| known.anchors.len() <= MAX_ANCHORS));
    }
}
