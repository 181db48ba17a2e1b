//! The real clock and the real ids: no other code asks the machine for them.

use headcount_core::change::{Actor, Author};
use headcount_core::clock::{Clock, IdSource, Timestamp};
use headcount_core::ids::{RequestId, ResourceId};

/// The clock of the machine.
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock that everything else takes")]
    fn now(&self) -> Timestamp {
        let now = time::OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000;
        Timestamp::from_micros(i64::try_from(now).unwrap_or(i64::MAX))
    }
}

/// Random ids that begin with the time, so that they are created in the order of the index.
pub(crate) struct UuidSource;

/// Makes the author of what a command or the server itself does, with a request id of its own.
pub(crate) fn author(actor: Actor) -> Author {
    Author { actor, request: RequestId::new(UuidSource.next_id().as_str()) }
}

impl IdSource for UuidSource {
    #[expect(clippy::disallowed_methods, reason = "this is the source that everything else takes")]
    fn next_id(&self) -> ResourceId {
        ResourceId::new(uuid::Uuid::now_v7().to_string())
    }

    fn could_be(&self, text: &str) -> bool {
        text.len() == 36 && uuid::Uuid::try_parse(text).is_ok()
    }

    fn respell(&self, text: &str) -> Option<ResourceId> {
        let id = uuid::Uuid::try_parse(text.trim()).ok()?;
        Some(ResourceId::new(id.hyphenated().to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_8_an_id_is_known_in_other_spellings() {
        let id = UuidSource.next_id();
        let id = id.as_str();
        let spellings = [
            id.to_owned(),
            format!(" {id}\t"),
            id.to_uppercase(),
            id.replace('-', ""),
            format!("{{{}}}", id.to_uppercase()),
        ];
        for text in spellings {
            assert_eq!(UuidSource.respell(&text).as_ref().map(ResourceId::as_str), Some(id));
        }
        let cut: String = id.chars().skip(1).collect();
        for text in ["", "jane@example.com", "string id 1", &cut] {
            assert_eq!(UuidSource.respell(text), None, "{text}");
        }
    }
}
