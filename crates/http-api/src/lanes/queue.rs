//! [`Shares`] for requests: with deadlines, and with turns that are returned when they are dropped.

use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::shares::{Shares, Ticket};

/// Requests of one party that may wait in one queue; more are refused at once.
const MAX_WAITING: usize = 2_048;

/// A queue whose turns are divided fairly.
#[derive(Debug)]
pub(crate) struct Queue<const N: usize, K: Clone + Eq + Hash>(Arc<Inner<N, K>>);

#[derive(Debug)]
struct Inner<const N: usize, K: Clone + Eq + Hash>(Mutex<Shares<N, K, oneshot::Sender<()>>>);

/// A turn; when it is dropped, the next one who waits gets it.
#[derive(Debug)]
pub(crate) struct Turn<const N: usize, K: Clone + Eq + Hash> {
    inner: Arc<Inner<N, K>>,
    path: [K; N],
    weight: usize,
}

/// How full a queue is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Load {
    /// The weight of the turns that are held.
    pub(crate) held: usize,
    /// How many wait.
    pub(crate) waiting: usize,
}

impl<const N: usize, K: Clone + Eq + Hash> Queue<N, K> {
    /// Makes a queue from shares that are all free.
    pub(crate) fn new(shares: Shares<N, K, oneshot::Sender<()>>) -> Self {
        Self(Arc::new(Inner(Mutex::new(shares))))
    }

    /// Waits for a turn. Returns `None` when `deadline` passes or too many of the same party wait.
    pub(crate) async fn turn(
        &self,
        path: [K; N],
        weight: usize,
        deadline: Instant,
    ) -> Option<Turn<N, K>> {
        let (waiting, ready) = match self.take_or_wait(path, weight)? {
            Entered::Served(turn) => return Some(turn),
            Entered::Waits(waiting, ready) => (waiting, ready),
        };
        match timeout_at(deadline, ready).await {
            Ok(Ok(())) => waiting.into_turn(),
            Ok(Err(_)) | Err(_) => None,
        }
    }

    /// Returns how full the queue is, or the part of it that a party of the first level has.
    pub(crate) fn load(&self, party: Option<&K>) -> Load {
        let (held, waiting) = self.0.lock().load(party);
        Load { held, waiting }
    }

    fn take_or_wait(&self, path: [K; N], weight: usize) -> Option<Entered<N, K>> {
        let mut shares = self.0.lock();
        if shares.take(&path, weight) {
            drop(shares);
            return Some(Entered::Served(Turn { inner: Arc::clone(&self.0), path, weight }));
        }
        if shares.waiting_at(&path) >= MAX_WAITING {
            return None;
        }
        let (wake, ready) = oneshot::channel();
        let ticket = shares.wait(&path, weight, wake);
        // A turn may be free all the same: those who wait may all be at the limit of their own lane.
        hand_out(&mut shares);
        drop(shares);
        let inner = Some(Arc::clone(&self.0));
        Some(Entered::Waits(Waiting { inner, path, weight, ticket }, ready))
    }
}

enum Entered<const N: usize, K: Clone + Eq + Hash> {
    Served(Turn<N, K>),
    Waits(Waiting<N, K>, oneshot::Receiver<()>),
}

/// One who waits. When it is dropped, it leaves the queue, or returns the turn that it got in the same moment.
struct Waiting<const N: usize, K: Clone + Eq + Hash> {
    inner: Option<Arc<Inner<N, K>>>,
    path: [K; N],
    weight: usize,
    ticket: Ticket,
}

impl<const N: usize, K: Clone + Eq + Hash> Waiting<N, K> {
    fn into_turn(mut self) -> Option<Turn<N, K>> {
        let inner = self.inner.take()?;
        Some(Turn { inner, path: self.path.clone(), weight: self.weight })
    }
}

impl<const N: usize, K: Clone + Eq + Hash> Drop for Waiting<N, K> {
    fn drop(&mut self) {
        let Some(inner) = self.inner.take() else { return };
        let mut shares = inner.lock();
        if !shares.leave(&self.path, self.ticket) {
            shares.release(&self.path, self.weight);
        }
        hand_out(&mut shares);
    }
}

impl<const N: usize, K: Clone + Eq + Hash> Drop for Turn<N, K> {
    fn drop(&mut self) {
        let mut shares = self.inner.lock();
        shares.release(&self.path, self.weight);
        hand_out(&mut shares);
    }
}

impl<const N: usize, K: Clone + Eq + Hash> Inner<N, K> {
    fn lock(&self) -> MutexGuard<'_, Shares<N, K, oneshot::Sender<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn hand_out<const N: usize, K: Clone + Eq + Hash>(shares: &mut Shares<N, K, oneshot::Sender<()>>) {
    while let Some(grant) = shares.grant() {
        // A receiver that was dropped returns the turn, since its ticket is no longer in the queue.
        let _gone = grant.waiter.send(());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;

    use super::*;

    type Two = Queue<2, char>;

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(20)
    }

    fn late() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    fn load(queue: &Two) -> (usize, usize) {
        let Load { held, waiting } = queue.load(None);
        (held, waiting)
    }

    #[actix_web::test]
    async fn a_turn_goes_to_the_next_when_it_is_dropped() {
        let queue = Two::new(Shares::new(1));
        let first = queue.turn(['a', 't'], 1, late()).await.unwrap();
        let mut second = Box::pin(queue.turn(['b', 't'], 1, late()));
        assert!((&mut second).now_or_never().is_none());
        drop(first);
        let second = second.await.unwrap();
        assert_eq!(load(&queue), (1, 0));
        drop(second);
        assert_eq!(load(&queue), (0, 0));
    }

    #[actix_web::test]
    async fn waiting_too_long_leaves_nothing_behind() {
        let queue = Two::new(Shares::new(1));
        let first = queue.turn(['a', 't'], 1, late()).await.unwrap();
        assert!(queue.turn(['b', 't'], 1, soon()).await.is_none());
        assert_eq!(load(&queue), (1, 0));
        drop(first);
        assert_eq!(load(&queue), (0, 0));
    }

    #[actix_web::test]
    async fn a_turn_that_is_no_longer_awaited_is_returned() {
        let queue = Two::new(Shares::new(1));
        let first = queue.turn(['a', 't'], 1, late()).await.unwrap();
        let mut gone = Box::pin(queue.turn(['b', 't'], 1, late()));
        assert!((&mut gone).now_or_never().is_none());
        // It has the turn before it is looked at again, and is never looked at again.
        drop(first);
        assert_eq!(load(&queue), (1, 0));
        drop(gone);
        assert_eq!(load(&queue), (0, 0));
    }

    #[actix_web::test]
    async fn one_party_cannot_wait_without_end() {
        let queue = Two::new(Shares::new(1));
        let _first = queue.turn(['a', 't'], 1, late()).await.unwrap();
        let mut crowd = Vec::new();
        for _ in 0..MAX_WAITING {
            let mut one = Box::pin(queue.turn(['a', 't'], 1, late()));
            assert!((&mut one).now_or_never().is_none());
            crowd.push(one);
        }
        assert!(matches!(queue.turn(['a', 't'], 1, late()).now_or_never(), Some(None)));
        // Another one still may.
        assert!(queue.turn(['b', 't'], 1, late()).now_or_never().is_none());
        drop(crowd);
        assert_eq!(load(&queue), (1, 0));
    }
}
