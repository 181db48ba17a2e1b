//! A pure queue that divides turns fairly at every level of a path.
//!
//! A path names the party that asks, from the coarsest level to the finest, such as lane, tenant and token. A free
//! turn goes, at each level, to the party that holds the fewest turns and, among equals, to the one that was served
//! longest ago. While others wait, a party therefore gets no more than its equal part; alone, it may have
//! everything. A party with many requests and one with a single request wait for the same number of turns.
//!
//! There is no clock, thread or lock here: [`super::queue`] adds them.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// Identifies one who waits.
pub(crate) type Ticket = u64;

/// Turns, those who hold them and those who wait for them.
///
/// `K` is a party of a path, `N` the number of its levels, and `W` wakes one who waits.
#[derive(Debug)]
pub(crate) struct Shares<const N: usize, K, W> {
    capacity: usize,
    root: Node<K, W>,
    /// Counts arrivals and grants, so that each has a number of its own.
    counter: u64,
}

/// A turn that was given to one who waited.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Grant<const N: usize, K, W> {
    pub(crate) path: [K; N],
    pub(crate) weight: usize,
    pub(crate) waiter: W,
}

/// A party with all that is below it.
#[derive(Debug)]
struct Node<K, W> {
    /// Turns that are held, by weight.
    held: usize,
    /// The most turns that may be held, by weight.
    limit: usize,
    waiting: usize,
    /// When one below last got a turn; 0 for never.
    served: u64,
    /// Since when at least one below has waited.
    since: u64,
    below: HashMap<K, Node<K, W>>,
    /// Those who wait; empty above the last level.
    queue: VecDeque<Waiting<W>>,
}

#[derive(Debug)]
struct Waiting<W> {
    ticket: Ticket,
    weight: usize,
    waiter: W,
}

impl<K, W> Default for Node<K, W> {
    fn default() -> Self {
        Self {
            held: 0,
            limit: usize::MAX,
            waiting: 0,
            served: 0,
            since: 0,
            below: HashMap::new(),
            queue: VecDeque::new(),
        }
    }
}

impl<const N: usize, K: Clone + Eq + Hash, W> Shares<N, K, W> {
    /// Makes a queue for turns of this total weight.
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity: capacity.max(1), root: Node::default(), counter: 0 }
    }

    /// Limits what a party of the first level holds at once.
    pub(crate) fn limit(mut self, party: K, limit: usize) -> Self {
        self.root.below.entry(party).or_default().limit = limit.max(1);
        self
    }

    /// Returns the weight of the turns that are held, and how many wait: of a party of the first level, or of
    /// all.
    pub(crate) fn load(&self, party: Option<&K>) -> (usize, usize) {
        let node = party.map_or(Some(&self.root), |party| self.root.below.get(party));
        node.map_or((0, 0), |node| (node.held, node.waiting))
    }

    /// Returns how many wait at the end of a path.
    pub(crate) fn waiting_at(&self, path: &[K; N]) -> usize {
        self.root.leaf(path).map_or(0, |node| node.waiting)
    }

    /// Takes a turn if one is free and no one waits.
    ///
    /// A weight above the capacity counts as the capacity: it is served alone.
    pub(crate) fn take(&mut self, path: &[K; N], weight: usize) -> bool {
        let weight = weight.min(self.capacity);
        let fits = self.root.waiting == 0
            && self.root.held + weight <= self.capacity
            && self.root.has_room(path, weight);
        if fits {
            self.counter += 1;
            self.root.hold(path, weight, self.counter);
        }
        fits
    }

    /// Adds one to the queue. A turn that is free goes to the next one by [`Shares::grant`].
    pub(crate) fn wait(&mut self, path: &[K; N], weight: usize, waiter: W) -> Ticket {
        self.counter += 1;
        let waiting = Waiting { ticket: self.counter, weight: weight.min(self.capacity), waiter };
        self.root.push(path, waiting);
        self.counter
    }

    /// Gives a free turn to the next one. Returns `None` when no turn is free or no one waits.
    pub(crate) fn grant(&mut self) -> Option<Grant<N, K, W>> {
        let path = self.next()?;
        let weight = self.root.leaf(&path)?.queue.front()?.weight;
        if self.root.held + weight > self.capacity {
            // Smaller ones behind it do not overtake it: it would never get its turn.
            return None;
        }
        let waiting = self.root.pop(&path, None)?;
        self.counter += 1;
        self.root.hold(&path, weight, self.counter);
        Some(Grant { path, weight, waiter: waiting.waiter })
    }

    /// Removes one from the queue. Returns false when it has its turn already.
    pub(crate) fn leave(&mut self, path: &[K; N], ticket: Ticket) -> bool {
        self.root.pop(path, Some(ticket)).is_some()
    }

    /// Returns a turn.
    pub(crate) fn release(&mut self, path: &[K; N], weight: usize) {
        self.root.release(path, weight.min(self.capacity));
    }

    fn next(&self) -> Option<[K; N]> {
        let mut path = Vec::with_capacity(N);
        let mut node = &self.root;
        while path.len() < N {
            let waits = node.below.iter().filter(|(_, node)| node.waiting > 0);
            let open = waits.filter(|(_, node)| node.held < node.limit);
            let (party, below) =
                open.min_by_key(|(_, node)| (node.held, node.served, node.since))?;
            path.push(party.clone());
            node = below;
        }
        path.try_into().ok()
    }
}

impl<K: Clone + Eq + Hash, W> Node<K, W> {
    fn leaf(&self, path: &[K]) -> Option<&Self> {
        path.iter().try_fold(self, |node, party| node.below.get(party))
    }

    /// Returns whether no party of a path is at its limit.
    fn has_room(&self, path: &[K], weight: usize) -> bool {
        match path.split_first().and_then(|(party, rest)| Some((self.below.get(party)?, rest))) {
            Some((below, rest)) => {
                below.held.saturating_add(weight) <= below.limit && below.has_room(rest, weight)
            }
            None => true,
        }
    }

    fn hold(&mut self, path: &[K], weight: usize, now: u64) {
        self.held += weight;
        self.served = now;
        if let Some((party, rest)) = path.split_first() {
            self.below.entry(party.clone()).or_default().hold(rest, weight, now);
        }
    }

    fn release(&mut self, path: &[K], weight: usize) {
        self.held = self.held.saturating_sub(weight);
        if let Some((party, rest)) = path.split_first()
            && let Some(below) = self.below.get_mut(party)
        {
            below.release(rest, weight);
            self.forget(party);
        }
    }

    fn push(&mut self, path: &[K], waiting: Waiting<W>) {
        if self.waiting == 0 {
            self.since = waiting.ticket;
        }
        self.waiting += 1;
        match path.split_first() {
            Some((party, rest)) => {
                self.below.entry(party.clone()).or_default().push(rest, waiting);
            }
            None => self.queue.push_back(waiting),
        }
    }

    /// Removes the first one who waits at the end of a path, or the one with a ticket.
    fn pop(&mut self, path: &[K], ticket: Option<Ticket>) -> Option<Waiting<W>> {
        let popped = match path.split_first() {
            Some((party, rest)) => {
                let popped = self.below.get_mut(party)?.pop(rest, ticket);
                self.forget(party);
                popped?
            }
            None => {
                let at = match ticket {
                    None => 0,
                    Some(ticket) => {
                        self.queue.binary_search_by_key(&ticket, |one| one.ticket).ok()?
                    }
                };
                self.queue.remove(at)?
            }
        };
        self.waiting -= 1;
        Some(popped)
    }

    /// Forgets a party that neither holds a turn nor waits for one, unless it has a limit.
    fn forget(&mut self, party: &K) {
        if let Some(node) = self.below.get(party)
            && (node.held, node.waiting, node.limit) == (0, 0, usize::MAX)
        {
            self.below.remove(party);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    type Two = Shares<2, char, u32>;

    /// Those who are granted a turn, one after the other, each giving its turn back before the next.
    fn served(shares: &mut Two, mut held: Vec<[char; 2]>) -> Vec<([char; 2], u32)> {
        let mut order = Vec::new();
        while let Some(path) = held.pop() {
            shares.release(&path, 1);
            while let Some(grant) = shares.grant() {
                order.push((grant.path, grant.waiter));
                held.insert(0, grant.path);
            }
        }
        order
    }

    #[test]
    fn alone_a_tenant_may_have_everything() {
        let mut shares = Two::new(3);
        assert!((0..3).all(|_| shares.take(&['a', 't'], 1)));
        assert!(!shares.take(&['a', 't'], 1));
        assert_eq!(shares.load(None), (3, 0));
    }

    #[test]
    fn s13_with_one_turn_tenants_alternate_however_many_wait() {
        let mut shares = Two::new(1);
        assert!(shares.take(&['a', 't'], 1));
        for number in 0..4 {
            shares.wait(&['a', 't'], 1, number);
        }
        shares.wait(&['b', 't'], 1, 10);
        shares.wait(&['b', 't'], 1, 11);
        let order: Vec<u32> =
            served(&mut shares, vec![['a', 't']]).into_iter().map(|(_, waiter)| waiter).collect();
        assert_eq!(order, [10, 0, 11, 1, 2, 3]);
    }

    #[test]
    fn f7_who_comes_late_is_next_until_the_halves_are_equal() {
        let mut shares = Two::new(4);
        assert!((0..4).all(|_| shares.take(&['a', 't'], 1)));
        for number in 0..4 {
            shares.wait(&['a', 't'], 1, number);
            shares.wait(&['b', 't'], 1, 10 + number);
        }
        for next in [10, 11] {
            shares.release(&['a', 't'], 1);
            assert_eq!(shares.grant().map(|grant| grant.waiter), Some(next));
        }
        // Two each: the one that returns a turn gets it again.
        shares.release(&['a', 't'], 1);
        assert_eq!(shares.grant().map(|grant| grant.waiter), Some(0));
        shares.release(&['b', 't'], 1);
        assert_eq!(shares.grant().map(|grant| grant.waiter), Some(12));
    }

    #[test]
    fn tokens_of_a_tenant_share_what_the_tenant_has() {
        let mut shares = Two::new(1);
        assert!(shares.take(&['x', 'x'], 1));
        for number in 0..3 {
            shares.wait(&['a', '1'], 1, number);
        }
        shares.wait(&['a', '2'], 1, 20);
        shares.wait(&['b', '1'], 1, 30);
        let order: Vec<u32> =
            served(&mut shares, vec![['x', 'x']]).into_iter().map(|(_, waiter)| waiter).collect();
        assert_eq!(order, [0, 30, 20, 1, 2]);
    }

    #[test]
    fn a_lane_at_its_limit_keeps_no_other_waiting() {
        let mut shares = Two::new(3).limit('s', 1);
        assert!(shares.take(&['s', 'a'], 1));
        assert!(!shares.take(&['s', 'b'], 1));
        shares.wait(&['s', 'b'], 1, 0);
        assert_eq!(shares.grant(), None);
        shares.wait(&['p', 'b'], 1, 1);
        assert_eq!(shares.grant().map(|grant| grant.waiter), Some(1));
        shares.release(&['s', 'a'], 1);
        assert_eq!(shares.grant().map(|grant| grant.waiter), Some(0));
    }

    #[test]
    fn one_who_leaves_is_not_served() {
        let mut shares = Two::new(1);
        assert!(shares.take(&['a', 't'], 1));
        let first = shares.wait(&['a', 't'], 1, 0);
        shares.wait(&['a', 't'], 1, 1);
        assert!(shares.leave(&['a', 't'], first) && !shares.leave(&['a', 't'], first));
        shares.release(&['a', 't'], 1);
        assert_eq!(shares.grant().map(|grant| grant.waiter), Some(1));
        assert_eq!(shares.load(None), (1, 0));
    }

    #[test]
    fn a_large_one_is_not_overtaken_for_ever() {
        let mut shares = Two::new(4);
        assert!(shares.take(&['a', 't'], 3));
        shares.wait(&['b', 't'], 4, 0);
        shares.wait(&['c', 't'], 1, 1);
        assert_eq!(shares.grant(), None);
        shares.release(&['a', 't'], 3);
        assert_eq!(shares.grant().map(|grant| grant.waiter), Some(0));
        assert_eq!(shares.grant(), None);
    }

    #[test]
    fn parties_that_are_gone_are_forgotten() {
        let mut shares = Two::new(1);
        assert!(shares.take(&['a', 't'], 1));
        let ticket = shares.wait(&['b', 't'], 1, 0);
        assert!(shares.leave(&['b', 't'], ticket));
        shares.release(&['a', 't'], 1);
        assert!(shares.root.below.is_empty());
    }

    /// One step of a world in which requests come and go.
    #[derive(Debug, Clone)]
    enum Step {
        Come(u8, u8, usize),
        /// The holder at this index returns its turn.
        Done(usize),
        /// The one who waits at this index leaves.
        GiveUp(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let come = (0..4u8, 0..3u8, 1..3usize).prop_map(|(a, b, w)| Step::Come(a, b, w));
        let done = any::<usize>().prop_map(Step::Done);
        let give_up = any::<usize>().prop_map(Step::GiveUp);
        proptest::collection::vec(prop_oneof![5 => come, 4 => done, 1 => give_up], 1..200)
    }

    proptest! {
        /// In any order of events: nothing above the capacity is held; nothing stays free that the next
        /// could have; what was given to a tenant with more was not due to one with less; and in the end
        /// everybody was served.
        #[test]
        fn turns_are_kept_divided_and_never_lost(steps in steps()) {
            let mut shares: Shares<2, u8, u32> = Shares::new(4);
            let (mut held, mut waiting) = (Vec::new(), Vec::new());
            let mut number = 0;
            for step in steps {
                match step {
                    Step::Come(tenant, token, weight) => {
                        number += 1;
                        let path = [tenant, token];
                        if shares.take(&path, weight) {
                            held.push((path, weight));
                        } else {
                            waiting.push((path, shares.wait(&path, weight, number), number));
                        }
                    }
                    Step::Done(at) if !held.is_empty() => {
                        let (path, weight) = held.swap_remove(at % held.len());
                        shares.release(&path, weight);
                    }
                    Step::GiveUp(at) if !waiting.is_empty() => {
                        let (path, ticket, _) = waiting.swap_remove(at % waiting.len());
                        prop_assert!(shares.leave(&path, ticket));
                    }
                    Step::Done(_) | Step::GiveUp(_) => {}
                }
                loop {
                    let before = by_tenant(&held);
                    let Some(grant) = shares.grant() else { break };
                    let waits = waiting.iter().map(|(path, _, _)| path[0]);
                    let fewest = waits.map(|tenant| before.get(&tenant).copied().unwrap_or(0)).min();
                    let had = before.get(&grant.path[0]).copied().unwrap_or(0);
                    prop_assert_eq!(Some(had), fewest, "a tenant with less was waiting");
                    waiting.retain(|(_, _, one)| *one != grant.waiter);
                    held.push((grant.path, grant.weight));
                }
                let total: usize = held.iter().map(|(_, weight)| weight).sum();
                prop_assert!(total <= 4);
                prop_assert_eq!(shares.load(None), (total, waiting.len()));
                prop_assert!(waiting.is_empty() || total > 2, "a turn of weight 2 is free");
            }
            let mut rounds = held.len() + waiting.len();
            while let Some((path, weight)) = held.pop() {
                shares.release(&path, weight);
                while let Some(grant) = shares.grant() {
                    held.push((grant.path, grant.weight));
                }
                rounds -= 1;
            }
            prop_assert_eq!((rounds, shares.load(None)), (0, (0, 0)));
            prop_assert!(shares.root.below.is_empty());
        }
    }

    fn by_tenant(held: &[([u8; 2], usize)]) -> BTreeMap<u8, usize> {
        held.iter().fold(BTreeMap::new(), |mut all, (path, weight)| {
            *all.entry(path[0]).or_default() += weight;
            all
        })
    }
}
