//! Which requests of strangers are recorded.
//!
//! A stranger is a client whose token was not proven: it sent none, a wrong one, or a valid one where it must not
//! be used. What strangers send is unlimited, and therefore sampled, per address and in total. The first few
//! requests of each kind are always kept: one of them may be the connection test of an administrator who
//! mistyped the token.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

use headcount_core::ids::{RequestId, TokenId};

use crate::address::AddressBlock;
use crate::request_log::HttpExchange;

/// How long a kept request counts.
const WINDOW: Duration = Duration::from_secs(60);
/// Requests of one address with one token and one outcome that are kept in a window.
const MAX_ALIKE: u32 = 5;
/// Requests of one address that are kept in a window.
const MAX_OF_ADDRESS: u32 = 30;
/// Requests that are kept in a window.
const MAX_IN_ALL: u32 = 100;
/// The longest text of a stranger that is kept, in bytes.
const MAX_TEXT: usize = 256;

/// Decides which requests of strangers are kept, and counts the others. It remembers only kept requests, so that
/// it does not grow with what is sent.
#[derive(Default)]
pub(super) struct Strangers {
    since: Option<Instant>,
    alike: HashMap<Alike, Kept>,
    addresses: HashMap<AddressBlock, Kept>,
    all: Option<Kept>,
    unkept: HashMap<RequestId, u64>,
}

/// What alike requests have in common: a kept one represents the rest.
#[derive(PartialEq, Eq, Hash)]
struct Alike {
    address: AddressBlock,
    /// The public id of the token, proven or not.
    token: Option<TokenId>,
    /// Why it was refused, if one was sent.
    refused: Option<String>,
    status: u16,
}

/// The number of kept requests, and the last of them.
struct Kept {
    count: u32,
    last: RequestId,
}

impl Strangers {
    /// Removes what is not kept of any stranger, and returns whether the request is kept.
    pub(super) fn keep<B>(&mut self, now: Instant, exchange: &mut HttpExchange<B>) -> bool {
        exchange.filter = None;
        exchange.body = None;
        exchange.reply = None;
        for text in [Some(&mut exchange.path), exchange.agent.as_mut()].into_iter().flatten() {
            text.truncate(text.floor_char_boundary(MAX_TEXT));
        }
        if self.since.is_none_or(|since| now.duration_since(since) >= WINDOW) {
            // Counts stay until they are taken.
            let unkept = std::mem::take(&mut self.unkept);
            *self = Self { since: Some(now), unkept, ..Self::default() };
        }
        let address = exchange.address.as_deref().and_then(|address| address.parse().ok());
        let address = AddressBlock::of(address);
        let (token, refused) = (exchange.token.clone(), exchange.refused.clone());
        let alike = Alike { address, token, refused, status: exchange.status };
        // A request that is not kept is counted at the most similar one that was.
        let limits = [
            (self.alike.get(&alike), MAX_ALIKE),
            (self.addresses.get(&address), MAX_OF_ADDRESS),
            (self.all.as_ref(), MAX_IN_ALL),
        ];
        if limits.iter().any(|(kept, max)| kept.is_some_and(|kept| kept.count >= *max)) {
            let nearest = limits.into_iter().find_map(|(kept, _)| kept);
            if let Some(kept) = nearest {
                *self.unkept.entry(kept.last.clone()).or_default() += 1;
            }
            return false;
        }
        let request = &exchange.request;
        count(&mut self.alike, alike, request);
        count(&mut self.addresses, address, request);
        let before = self.all.as_ref().map_or(0, |kept| kept.count);
        self.all = Some(Kept { count: before + 1, last: request.clone() });
        true
    }

    /// Returns how many requests were not kept since the last call, by the kept request that they are counted at.
    pub(super) fn take_unkept(&mut self) -> Vec<(RequestId, u64)> {
        std::mem::take(&mut self.unkept).into_iter().collect()
    }
}

fn count<K: Eq + Hash>(kept: &mut HashMap<K, Kept>, key: K, request: &RequestId) {
    let count = kept.get(&key).map_or(0, |kept| kept.count);
    kept.insert(key, Kept { count: count + 1, last: request.clone() });
}

#[cfg(test)]
mod tests {
    use headcount_core::change::ResourceNames;
    use headcount_core::clock::Timestamp;
    use headcount_core::quirks::Quirks;

    use super::*;

    fn exchange(
        number: u32,
        address: &str,
        token: Option<&str>,
        status: u16,
    ) -> HttpExchange<String> {
        HttpExchange {
            at: Timestamp::from_micros(0),
            micros: 1,
            request: RequestId::new(number.to_string()),
            tenant: None,
            token: token.map(TokenId::new),
            token_name: None,
            refused: None,
            address: Some(address.to_owned()),
            agent: Some("ä".repeat(300)),
            method: "GET",
            path: "/Users".to_owned(),
            routed: true,
            filter: Some("userName pr".to_owned()),
            status,
            scim_type: None,
            field: None,
            reason: None,
            quirks: Quirks::NONE,
            body: Some("{}".to_owned()),
            reply: Some("{}".to_owned()),
            proven: false,
            changed: None,
            names: ResourceNames::default(),
            operations: Vec::new(),
        }
    }

    /// Sends requests, and returns the numbers of those that are kept, and all counts.
    fn sent(
        strangers: &mut Strangers,
        at: Instant,
        mut all: Vec<HttpExchange<String>>,
    ) -> Vec<String> {
        all.retain_mut(|exchange| strangers.keep(at, exchange));
        all.iter().map(|exchange| exchange.request.to_string()).collect()
    }

    #[test]
    fn s3_the_first_of_each_kind_are_kept_and_the_last_of_these_counts_the_rest() {
        let (mut strangers, now) = (Strangers::default(), Instant::now());
        let flood = (0..4_000).map(|n| exchange(n, "192.0.2.1", None, 401)).collect();
        assert_eq!(sent(&mut strangers, now, flood), ["0", "1", "2", "3", "4"]);
        assert_eq!(strangers.take_unkept(), [(RequestId::new("4"), 3_995)]);
        assert!(strangers.take_unkept().is_empty());
        let tests = ["192.0.2.1", "192.0.2.2"].map(|address| exchange(9, address, Some("id"), 401));
        assert_eq!(
            sent(&mut strangers, now, tests.into()),
            ["9", "9"],
            "a connection test is found"
        );
        let later = (0..9).map(|n| exchange(n, "192.0.2.1", None, 401)).collect();
        assert_eq!(sent(&mut strangers, now + WINDOW, later).len(), 5, "and a later one");
    }

    #[test]
    fn s3_one_address_fills_no_log_with_invented_tokens() {
        let (mut strangers, now) = (Strangers::default(), Instant::now());
        let one = |n: u32| exchange(n, "2001:db8::1", Some(&format!("id{n}")), 429);
        let neighbor = |n: u32| exchange(n, &format!("2001:db8::{n:x}"), None, 401);
        let flood = (0..4_000).map(one).chain((4_000..8_000).map(neighbor)).collect();
        assert_eq!(sent(&mut strangers, now, flood).len(), 30);
        let counted: u64 = strangers.take_unkept().iter().map(|(_, count)| count).sum();
        assert_eq!(counted, 7_970);
    }

    #[test]
    fn s3_many_addresses_fill_no_log_and_no_memory() {
        let (mut strangers, now) = (Strangers::default(), Instant::now());
        let address = |n: u32| std::net::Ipv4Addr::from(n).to_string();
        let flood = (0..4_000).map(|n| exchange(n, &address(n), None, 401)).collect();
        assert_eq!(sent(&mut strangers, now, flood).len(), 100);
        assert_eq!((strangers.alike.len(), strangers.addresses.len()), (100, 100));
        assert_eq!(strangers.take_unkept(), [(RequestId::new("99"), 3_900)]);
    }

    #[test]
    fn s3_no_query_and_no_body_is_kept_and_texts_are_cut() {
        let mut one = exchange(0, "192.0.2.1", None, 401);
        assert!(Strangers::default().keep(Instant::now(), &mut one));
        assert_eq!((&one.filter, &one.body, &one.reply), (&None, &None, &None));
        assert_eq!(one.agent, Some("ä".repeat(128)));
    }
}
