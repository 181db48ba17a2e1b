//! Cursors (RFC 9865): the position from which a paged query resumes.
//!
//! A cursor contains everything that the next page needs, so that any replica can answer it and none keeps
//! state. It is encrypted: no client can read it, forge one, or use it for another query or tenant.

use crate::clock::Timestamp;
use crate::error::Error;
use crate::ids::TenantId;
use crate::message::SearchRequest;
use crate::provider::Key;

/// Authenticated encryption of cursors.
pub trait CursorCipher: Send + Sync + 'static {
    /// Encrypts a text for one purpose. The result has only unreserved characters of URIs.
    fn encrypt(&self, text: &str, purpose: &str) -> String;

    /// Decrypts a result of [`CursorCipher::encrypt`] for the same purpose; `None` for anything else.
    fn decrypt(&self, encrypted: &str, purpose: &str) -> Option<String>;
}

/// Leaves cursors as they are: for tests and benchmarks, which have nothing to hide.
pub struct PlainCursors;

impl CursorCipher for PlainCursors {
    fn encrypt(&self, text: &str, _purpose: &str) -> String {
        text.to_owned()
    }

    fn decrypt(&self, encrypted: &str, _purpose: &str) -> Option<String> {
        Some(encrypted.to_owned())
    }
}

/// A reading of `+` in the query string of a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plus {
    /// A space, as in form encoding.
    Space,
    /// A plus.
    Literal,
}

/// A position in a query over one or several kinds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// When it was issued.
    pub(crate) issued: Timestamp,
    /// The index of the kind that the walk has reached.
    pub(crate) part: usize,
    /// How the `+` of the filter is read.
    pub(crate) plus: Plus,
    /// The resource of that kind after which the page begins; none for the beginning.
    pub(crate) after: Option<Key>,
}

impl Cursor {
    /// Writes the cursor for a query.
    pub(crate) fn write(&self, cipher: &dyn CursorCipher, purpose: &str) -> String {
        let plus = u8::from(self.plus == Plus::Literal);
        let key = self.after.as_ref().map_or("", |key| &key.0);
        let after = if self.after.is_some() { "@" } else { "" };
        cipher.encrypt(
            &format!("{} {} {plus} {after}{key}", self.issued.micros(), self.part),
            purpose,
        )
    }

    /// Reads a cursor for a query.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidCursor`] for one that was not made for this query.
    pub(crate) fn read(
        cipher: &dyn CursorCipher,
        purpose: &str,
        text: &str,
    ) -> Result<Self, Error> {
        let plain = cipher.decrypt(text, purpose).ok_or(Error::InvalidCursor)?;
        Self::parse(&plain).ok_or(Error::InvalidCursor)
    }

    fn parse(plain: &str) -> Option<Self> {
        let mut words = plain.splitn(4, ' ');
        let issued = Timestamp::from_micros(words.next()?.parse().ok()?);
        let part = words.next()?.parse().ok()?;
        let plus = if words.next()? == "1" { Plus::Literal } else { Plus::Space };
        let after = words.next()?.strip_prefix('@').map(|key| Key(key.to_owned()));
        Some(Self { issued, part, plus, after })
    }
}

/// Names what a cursor is valid for: tenant, endpoint and query, without count and cursor.
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
                plus: Plus::Literal,
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

    fn query(filter: &str, sort: &str) -> SearchRequest {
        SearchRequest {
            filter: Some(filter.to_owned()),
            sort_by: Some(sort.to_owned()),
            ..SearchRequest::default()
        }
    }

    #[test]
    fn cur_009_a_cursor_is_good_for_one_query() {
        let tenant = TenantId::new(1);
        let one = purpose(tenant, "/Users", &query("a", "b"));
        assert_ne!(one, purpose(TenantId::new(2), "/Users", &query("a", "b")));
        assert_ne!(one, purpose(tenant, "/Groups", &query("a", "b")));
        assert_ne!(one, purpose(tenant, "/Users", &query("a\", \"b", "")));
        let other_page = SearchRequest { count: Some(3), ..query("a", "b") };
        assert_eq!(one, purpose(tenant, "/Users", &other_page));
    }
}
