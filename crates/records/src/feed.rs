//! Reading the feed: from a cursor on, as many events as wanted, of the types wanted.

use crate::events::{Event, EventId, MEMBER_TYPES, OTHER_TYPES, RESOURCE_WORDS, unfold};
use headcount_core::change::ChangeFeed;
use headcount_core::ids::TenantId;
use headcount_core::provider::ProviderError;
use headcount_core::schema::Registry;

/// Changes that are read at once.
const READ_BATCH: usize = 500;
/// Changes that one request reads in search of events that are wanted.
const MAX_READ: usize = 10_000;
/// Changes that are read for the newest events of some types.
const MAX_NEWEST_READ: usize = 20_000;

/// Returns every type of event that this server has.
pub fn event_types(registry: &Registry) -> Vec<String> {
    let of_kinds = registry.kinds().iter().flat_map(|kind| {
        let kind = kind.kind.as_str().to_lowercase();
        let has_active = kind == "user";
        let words =
            RESOURCE_WORDS.iter().filter(move |word| has_active || !word.ends_with("activated"));
        words.map(move |word| format!("{kind}.{word}")).collect::<Vec<_>>()
    });
    let others = MEMBER_TYPES.iter().chain(&OTHER_TYPES).map(|name| (*name).to_owned());
    of_kinds.chain(others).collect()
}

/// The types of events that a reader wants.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted(Vec<String>);

impl Wanted {
    /// Reads a list separated by commas; `user.*` stands for all of users.
    ///
    /// # Errors
    ///
    /// The word that is no type, with those that are.
    pub fn parse(registry: &Registry, text: &str) -> Result<Self, String> {
        let known = event_types(registry);
        let words: Vec<String> = text.split(',').map(|word| word.trim().to_owned()).collect();
        for word in &words {
            let whole = word.strip_suffix('*').is_none_or(|kind| kind.ends_with('.'));
            if !whole || !known.iter().any(|event_type| matches(word, event_type)) {
                return Err(format!(
                    "there is no type \"{word}\"; there are {}, and user.* for all of a kind",
                    known.join(", ")
                ));
            }
        }
        Ok(Self(words))
    }

    /// Checks whether a type is wanted.
    pub fn wants(&self, event_type: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|word| matches(word, event_type))
    }
}

/// Checks whether a word, such as `user.created` or `user.*`, includes a type.
fn matches(word: &str, event_type: &str) -> bool {
    match word.strip_suffix('*') {
        Some(kind) => event_type.starts_with(kind),
        None => event_type == word,
    }
}

/// Events, and where the next ones begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The events.
    pub events: Vec<Event>,
    /// The cursor behind everything that was read.
    pub next: EventId,
    /// Whether there is more to read now.
    pub more: bool,
}

/// Reads events behind a cursor.
///
/// The cursor passes only what was read, so that nothing is left out between two calls.
///
/// # Errors
///
/// Those of the feed.
pub fn read_events(
    feed: &dyn ChangeFeed,
    tenant: TenantId,
    after: EventId,
    limit: usize,
    wanted: &Wanted,
) -> Result<Batch, ProviderError> {
    let mut batch = Batch { events: Vec::new(), next: after, more: true };
    let count = READ_BATCH.min(limit.max(2));
    // The change of the event at the cursor may have more events.
    let mut position = after.position.before();
    let mut read = 0;
    loop {
        let changes = feed.changes(tenant, position, count)?;
        for recorded in &changes {
            for event in unfold(recorded) {
                if event.id <= after {
                    continue;
                }
                if batch.events.len() >= limit {
                    return Ok(batch);
                }
                batch.next = event.id;
                if wanted.wants(&event.event_type()) {
                    batch.events.push(event);
                }
            }
            position = recorded.position;
        }
        read += changes.len();
        if changes.len() < count {
            return Ok(Batch { more: false, ..batch });
        }
        if read >= MAX_READ {
            return Ok(batch);
        }
    }
}

/// Reads the newest events, oldest first; the cursor is behind all of them.
///
/// Events of rare types are searched for in the newest 20,000 changes.
///
/// # Errors
///
/// Those of the feed.
pub fn newest_events(
    feed: &dyn ChangeFeed,
    tenant: TenantId,
    limit: usize,
    wanted: &Wanted,
) -> Result<Batch, ProviderError> {
    let mut count = limit.clamp(1, MAX_NEWEST_READ);
    loop {
        let changes = feed.newest_changes(tenant, count)?;
        let mut events: Vec<Event> = changes.iter().flat_map(unfold).collect();
        let next = events.last().map_or(EventId::START, |event| event.id);
        events.retain(|event| wanted.wants(&event.event_type()));
        if events.len() >= limit || changes.len() < count || count >= MAX_NEWEST_READ {
            events.drain(..events.len().saturating_sub(limit));
            return Ok(Batch { events, next, more: false });
        }
        count = count.saturating_mul(8).min(MAX_NEWEST_READ);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use headcount_core::change::{Act, Actor, Change, Recorded, ResourceNames};
    use headcount_core::clock::Timestamp;
    use headcount_core::ids::{ChainPosition, Kind, RequestId, ResourceId, Version};
    use headcount_core::members::MemberDelta;

    /// A feed of groups, each created with three members.
    struct Groups(i64);

    impl ChangeFeed for Groups {
        fn changes(
            &self,
            _tenant: TenantId,
            after: ChainPosition,
            limit: usize,
        ) -> Result<Vec<Recorded>, ProviderError> {
            let places = after.number().max(0) + 1..=self.0;
            Ok(places.take(limit).map(group).collect())
        }

        fn newest_changes(
            &self,
            tenant: TenantId,
            limit: usize,
        ) -> Result<Vec<Recorded>, ProviderError> {
            let limit_places = i64::try_from(limit).unwrap_or(i64::MAX);
            self.changes(tenant, ChainPosition::new(self.0 - limit_places), limit)
        }

        fn history(
            &self,
            tenant: TenantId,
            id: &ResourceId,
            limit: usize,
            _work: &headcount_core::work::Work,
        ) -> Result<Vec<Recorded>, ProviderError> {
            let mut of_it = self.changes(tenant, ChainPosition::START, usize::MAX)?;
            of_it.retain(|recorded| recorded.id == *id);
            of_it.truncate(limit);
            Ok(of_it)
        }
    }

    fn group(place: i64) -> Recorded {
        Recorded {
            position: ChainPosition::new(place),
            kind: Kind::new("Group"),
            id: ResourceId::new(place.to_string()),
            version: Some(Version::FIRST),
            change: Change {
                at: Timestamp::from_micros(0),
                actor: Actor::System,
                request: RequestId::new("q"),
                act: Act::Created,
                paths: Vec::new(),
                switched: None,
                names: ResourceNames::default(),
            },
            members: MemberDelta {
                added: ["a", "b", "c"].map(ResourceId::new).to_vec(),
                removed: Vec::new(),
            },
            left: Vec::new(),
        }
    }

    fn walk(feed: &Groups, limit: usize, wanted: &Wanted) -> Vec<String> {
        let (mut after, mut reported) = (EventId::START, Vec::new());
        loop {
            let batch = read_events(feed, TenantId::new(1), after, limit, wanted).unwrap();
            assert!(batch.events.len() <= limit);
            reported.extend(batch.events.iter().map(|event| event.id.to_string()));
            assert!(batch.next > after || !batch.more);
            after = batch.next;
            if !batch.more {
                return reported;
            }
        }
    }

    #[test]
    fn no_event_is_left_out_or_returned_twice_whatever_the_page() {
        let all: Vec<String> = (1..=1_100)
            .flat_map(|place| (1..=4).map(move |number| format!("{place}.{number}")))
            .collect();
        for limit in [1, 3, 4, 5, 499, 1_000] {
            assert_eq!(walk(&Groups(1_100), limit, &Wanted::default()), all, "{limit}");
        }
        assert!(walk(&Groups(0), 10, &Wanted::default()).is_empty());
    }

    #[test]
    fn a_search_for_rare_types_goes_on_where_it_stopped() {
        let registry = Registry::builtin().unwrap();
        let none = Wanted::parse(&registry, "user.created,token.*").unwrap();
        let feed = Groups(25_000);
        let batch = read_events(&feed, TenantId::new(1), EventId::START, 100, &none).unwrap();
        assert!(batch.events.is_empty() && batch.more && batch.next.position.number() >= 9_999);
        assert!(walk(&feed, 100, &none).is_empty());
        let groups = Wanted::parse(&registry, "group.created").unwrap();
        assert_eq!(walk(&Groups(2), 10, &groups), ["1.1", "2.1"]);
        let all = Wanted::parse(&registry, "group.*").unwrap();
        assert_eq!(walk(&Groups(1), 10, &all).len(), 4);
    }

    #[test]
    fn the_newest_are_the_last_of_all_and_the_cursor_is_behind_them() {
        let registry = Registry::builtin().unwrap();
        let newest = |feed: &Groups, limit, types: &str| {
            let wanted = Wanted::parse(&registry, types).unwrap();
            let batch = newest_events(feed, TenantId::new(1), limit, &wanted).unwrap();
            let ids: Vec<String> = batch.events.iter().map(|event| event.id.to_string()).collect();
            (ids.join(" "), batch.next.to_string())
        };
        let feed = Groups(1_000);
        let end = "1000.4".to_owned();
        assert_eq!(newest(&feed, 2, "group.*"), ("1000.3 1000.4".to_owned(), end.clone()));
        assert_eq!(newest(&feed, 2, "group.created"), ("999.1 1000.1".to_owned(), end.clone()));
        assert_eq!(newest(&feed, 0, "group.*"), (String::new(), end.clone()));
        assert_eq!(newest(&feed, 2, "user.*"), (String::new(), end));
        assert_eq!(newest(&Groups(1), 9, "group.created").0, "1.1");
        assert_eq!(newest(&Groups(0), 9, "group.*"), (String::new(), "0".to_owned()));
    }

    #[test]
    fn types_that_do_not_exist_are_refused() {
        let registry = Registry::builtin().unwrap();
        let types = event_types(&registry);
        for wanted in ["user.deactivated", "group.member_added", "token.expiring"] {
            assert!(types.iter().any(|name| name == wanted), "{wanted}");
        }
        assert!(!types.iter().any(|name| name == "group.deactivated"));
        for wrong in ["", "user", "user.create", "*", "user*", ".*", "user.created,", "users.*"] {
            assert!(Wanted::parse(&registry, wrong).is_err(), "{wrong}");
        }
    }
}
