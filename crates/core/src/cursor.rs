//! Cursors (RFC 9865): where a walk over a query goes on.
//!
//! A cursor holds everything that the next page needs, so that any replica can answer it and none
//! has to remember anything. It is encrypted: no client can read what it says of a resource, make one up,
//! or use it for another query or in another tenant.

use crate::clock::Timestamp;
use crate::error::Error;
use crate::ids::TenantId;
use crate::message::SearchRequest;
use crate::provider::Key;

/// Encrypts what clients hand back, and authenticates it; the result has unreserved characters only.
pub trait CursorCipher: Send + Sync + 'static {
    /// Encrypts a text for one purpose.
    fn encrypt(&self, text: &str, purpose: &str) -> String;

    /// Decrypts what [`CursorCipher::encrypt`] made for the same purpose; none for everything else.
    fn decrypt(&self, encrypted: &str, purpose: &str) -> Option<String>;
}

/// A place in a query over one or several kinds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// When it was given out.
    pub(crate) issued: Timestamp,
    /// Which of the kinds the walk has reached.
    pub(crate) part: usize,
    /// Whether the filter was read with its `+` taken literally.
    pub(crate) plus: bool,
    /// Behind which resource of that kind; none for its beginning.
    pub(crate) after: Option<Key>,
}

impl Cursor {
    /// Writes the cursor for a query.
    pub(crate) fn write(&self, cipher: &dyn CursorCipher, purpose: &str) -> String {
        let (plus, key) = (u8::from(self.plus), self.after.as_ref().map_or("", |key| &key.0));
        let after = if self.after.is_some() { "@" } else { "" };
        cipher.encrypt(
            &format!("{} {} {plus} {after}{key}", self.issued.micros(), self.part),
            purpose,
        )
    }

    /// Opens a cursor.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidCursor`] for one that was not made for this query, whatever the reason.
    pub(crate) fn read(
        cipher: &dyn CursorCipher,
        purpose: &str,
        text: &str,
    ) -> Result<Self, Error> {
        let parse = || {
            let plain = cipher.decrypt(text, purpose)?;
            let mut words = plain.splitn(4, ' ');
            let issued = Timestamp::from_micros(words.next()?.parse().ok()?);
            let (part, plus) = (words.next()?.parse().ok()?, words.next()? == "1");
            let after = words.next()?.strip_prefix('@').map(|key| Key(key.to_owned()));
            Some(Self { issued, part, plus, after })
        };
        parse().ok_or(Error::InvalidCursor)
    }
}

/// Names everything that a cursor is good for: tenant, endpoint and query, without count and cursor.
pub(crate) fn purpose(tenant: TenantId, endpoint: &str, request: &SearchRequest) -> String {
    let lists = [&request.attributes, &request.excluded_attributes];
    let texts = [&request.filter, &request.sort_by, &request.sort_order];
    // Debug output quotes and escapes, so that no two queries can look alike.
    format!("cursor {} {endpoint} {texts:?} {lists:?}", tenant.key())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Plain;

    impl CursorCipher for Plain {
        fn encrypt(&self, text: &str, purpose: &str) -> String {
            format!("{purpose}|{text}")
        }

        fn decrypt(&self, encrypted: &str, purpose: &str) -> Option<String> {
            encrypted.strip_prefix(purpose)?.strip_prefix('|').map(str::to_owned)
        }
    }

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        for after in [None, Some(""), Some("7"), Some("7:a b @ ü")] {
            let cursor = Cursor {
                issued: Timestamp::from_micros(-5),
                part: 3,
                plus: true,
                after: after.map(|key| Key(key.to_owned())),
            };
            let text = cursor.write(&Plain, "x");
            assert_eq!(Cursor::read(&Plain, "x", &text).ok(), Some(cursor));
            assert!(Cursor::read(&Plain, "y", &text).is_err());
        }
        for bad in ["", "x|", "x|1", "x|1 2", "x|a 0 0 @"] {
            assert!(Cursor::read(&Plain, "x", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn cur_009_a_cursor_is_good_for_one_query() {
        let tenant = TenantId::new(1);
        let with = |filter: &str, sort: &str| SearchRequest {
            filter: Some(filter.to_owned()),
            sort_by: Some(sort.to_owned()),
            ..SearchRequest::default()
        };
        let one = purpose(tenant, "/Users", &with("a", "b"));
        assert_ne!(one, purpose(TenantId::new(2), "/Users", &with("a", "b")));
        assert_ne!(one, purpose(tenant, "/Groups", &with("a", "b")));
        assert_ne!(one, purpose(tenant, "/Users", &with("a\", \"b", "")));
        let other_page = SearchRequest { count: Some(3), ..with("a", "b") };
        assert_eq!(one, purpose(tenant, "/Users", &other_page));
    }
}
