//! Data that is derived from documents: index rows for filters, unique keys and columns.
//!
//! The databases compare bytes and nothing else. Every rule about case, width, numbers and time is
//! applied here, before a value is stored or compared.

use std::sync::Arc;

use serde_json::Value;

use crate::error::Error;
use crate::path::AttrSource;
use crate::quirks::Quirks;
use crate::resource::{self, Attributes, Document};
use crate::schema::ResourceType;
use crate::value::base64;
use crate::work::{Halt, Work};

pub use crate::value::{FOLD_VERSION, comparable, fold, fold_part, part_form, text_form};
pub(crate) use crate::value::{
    boolean_form, date_time_form, decimal_form, instant_form, integer_form, units,
};

/// Bytes of an indexed or unique value in its comparable form.
pub const MAX_KEY_BYTES: usize = 1_024;

/// One searchable value of a resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct IndexEntry {
    /// The canonical path, as `emails.value`.
    pub path: Arc<str>,
    /// The position of the value among the values of its attribute.
    pub element: i32,
    /// The comparable form; byte order is the order of values.
    pub value: String,
    /// The comparable `type` next to the value, for `emails[type eq "work" and value eq "…"]`.
    pub label: Option<String>,
}

/// A value that no other resource of the kind may have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UniqueKey {
    /// The canonical path, as `userName`.
    pub path: Arc<str>,
    /// The comparable form.
    pub folded: String,
}

/// The derived rows that a change of a document removes and inserts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference<T> {
    /// Rows to remove.
    pub remove: Vec<T>,
    /// Rows to insert.
    pub insert: Vec<T>,
}

impl<T> Default for Difference<T> {
    fn default() -> Self {
        Self { remove: Vec::new(), insert: Vec::new() }
    }
}

impl<T: Ord> Difference<T> {
    /// Compares two sets of rows.
    pub fn between(mut before: Vec<T>, mut after: Vec<T>) -> Self {
        before.sort();
        after.sort();
        let (mut remove, mut insert) = (Vec::new(), Vec::new());
        let (mut old, mut new) = (before.into_iter().peekable(), after.into_iter().peekable());
        loop {
            match (old.peek(), new.peek()) {
                (None, None) => break,
                (Some(a), Some(b)) if a == b => {
                    old.next();
                    new.next();
                }
                (Some(a), Some(b)) if a < b => remove.extend(old.next()),
                (Some(_), None) => remove.extend(old.next()),
                (_, Some(_)) => insert.extend(new.next()),
            }
        }
        Self { remove, insert }
    }
}

/// Returns the rows by which filters find the resource, and pays for them.
///
/// # Errors
///
/// [`Halt`] when the work runs out.
pub fn index_entries(
    kind: &ResourceType,
    attributes: &Attributes,
    work: &Work,
) -> Result<Vec<IndexEntry>, Halt> {
    let mut entries = Vec::new();
    for indexed in &kind.indexed {
        let leaf = indexed.reference.leaf();
        let label_of =
            indexed.reference.attribute.sub("type").filter(|_| indexed.reference.is_plural());
        for (element, whole) in (0..).zip(attributes.elements(&indexed.reference)) {
            let value = match &indexed.reference.sub_attribute {
                Some(sub) => whole.get(&*sub.name),
                None => Some(whole),
            };
            let Some(value) = value else { continue };
            work.spend(units(leaf, value))?;
            if let Some(value) = comparable(leaf, value) {
                let label = label_of.and_then(|kind| comparable(kind, whole.get(&*kind.name)?));
                entries.push(IndexEntry { path: Arc::clone(&indexed.path), element, value, label });
            }
        }
    }
    Ok(entries)
}

/// Returns the unique keys of a resource, and pays for them.
///
/// # Errors
///
/// [`Halt`] when the work runs out.
pub fn unique_keys(
    kind: &ResourceType,
    quirks: Quirks,
    attributes: &Attributes,
    work: &Work,
) -> Result<Vec<UniqueKey>, Halt> {
    let unique_name = quirks.has(Quirks::UNIQUE_GROUP_NAMES)
        && kind.membership == crate::schema::Membership::Members;
    let name = kind.name.iter().filter(|_| unique_name);
    let mut keys = Vec::new();
    for reference in kind.unique.iter().chain(name) {
        let Some(value) = attributes.value(reference) else { continue };
        work.spend(units(reference.leaf(), value))?;
        if let Some(folded) = comparable(reference.leaf(), value) {
            keys.push(UniqueKey { path: reference.to_string().into(), folded });
        }
    }
    Ok(keys)
}

/// Refuses values that are too long for the indexes of either database.
///
/// # Errors
///
/// `invalidValue` naming the attribute and the limit.
pub(crate) fn check_lengths(
    kind: &ResourceType,
    attributes: &Attributes,
    entries: &[IndexEntry],
    keys: &[UniqueKey],
) -> Result<(), Error> {
    let rows = entries.iter().map(|entry| (&entry.path, &entry.value));
    let keys = keys.iter().map(|key| (&key.path, &key.folded));
    for (path, value) in rows.chain(keys) {
        check_length(path, value)?;
    }
    if let Some(external_id) = attributes.external_id() {
        check_length(&"externalId", external_id)?;
    }
    if let Some(name) = &kind.name
        && let Some(value) = attributes.value(name)
        && let Some(folded) = comparable(name.leaf(), value)
    {
        check_length(name, &folded)?;
    }
    Ok(())
}

fn check_length(path: &dyn std::fmt::Display, value: &str) -> Result<(), Error> {
    if value.len() <= MAX_KEY_BYTES {
        return Ok(());
    }
    Err(Error::value(
        path.to_string(),
        format!(
            "the value is longer than {MAX_KEY_BYTES} bytes, the limit for attributes that are searched by index"
        ),
    ))
}

/// Everything that is derived from a document and stored next to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Derived {
    /// The columns.
    pub columns: Columns,
    /// The index rows.
    pub index: Vec<IndexEntry>,
    /// The unique keys.
    pub unique: Vec<UniqueKey>,
}

/// Derives everything from a stored document again, if it still is a document of its kind.
///
/// # Errors
///
/// `invalidValue` or `invalidSyntax` for a document that today's schemas do not allow.
pub fn derive(kind: &ResourceType, quirks: Quirks, document: &Document) -> Result<Derived, Error> {
    let attributes = document.attributes()?;
    // The tenant's own rules apply to requests; the stored document has passed them.
    let again = resource::canonical_stored(kind, Quirks::ALL, attributes.clone().into_map())?;
    let again = again.attributes;
    let kept = again.map().len() == attributes.map().len()
        && again
            .map()
            .iter()
            .all(|(name, new)| attributes.top(name).is_some_and(|old| is_same(old, new)));
    if !kept {
        return Err(Error::message_value(
            "a value would be lost: an attribute is readOnly or never returned now",
        ));
    }
    let work = Work::unlimited();
    let index = index_entries(kind, attributes, &work)?;
    let unique = unique_keys(kind, quirks, attributes, &work)?;
    check_lengths(kind, attributes, &index, &unique)?;
    Ok(Derived { columns: Columns::of(kind, attributes), index, unique })
}

/// Returns whether a stored value means the same as its canonical form. Early releases stored bytes as
/// clients sent them.
fn is_same(old: &Value, new: &Value) -> bool {
    match (old, new) {
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() => {
            old.iter().zip(new).all(|(old, new)| is_same(old, new))
        }
        // Two spellings of the same bytes are one value now.
        (Value::Array(old), Value::Array(new)) => {
            old.iter().all(|old| new.iter().any(|new| is_same(old, new)))
        }
        (Value::Object(old), Value::Object(new)) => {
            old.len() == new.len()
                && new.iter().all(|(name, new)| old.get(name).is_some_and(|old| is_same(old, new)))
        }
        (Value::String(old), Value::String(new)) => {
            old == new || base64::canonical_of_any(old).is_some_and(|old| old == *new)
        }
        _ => old == new,
    }
}

/// Returns a text that changes with everything that decides which documents of a kind are valid and what
/// is derived from them.
pub fn fingerprint(kind: &ResourceType) -> String {
    let indexed: Vec<&str> = kind.indexed.iter().map(|indexed| &*indexed.path).collect();
    let schemas: Vec<_> = std::iter::once((&kind.schema, true))
        .chain(kind.extensions.iter().map(|extension| (&extension.schema, extension.required)))
        .map(|(schema, required)| (schema.id.as_str(), required, &schema.attributes))
        .collect();
    let name = kind.name.as_ref().map(ToString::to_string);
    format!("fold {FOLD_VERSION} name {name:?} indexed {indexed:?} schemas {schemas:?}")
}

/// Returns whether two fingerprints have the same version of text folding, so that only schemas differ.
pub fn is_same_folding(one: &str, other: &str) -> bool {
    one.split(' ').nth(1) == other.split(' ').nth(1)
}

/// The values that paging, counting and the common filters need without a document.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Columns {
    /// The naming attribute as the client wrote it.
    pub name: Option<String>,
    /// The naming attribute in its comparable form.
    pub name_key: Option<String>,
    /// The `externalId`, byte for byte.
    pub external_id: Option<String>,
    /// The `active` flag of a user.
    pub active: Option<bool>,
}

impl Columns {
    /// Derives the columns from the attributes.
    pub fn of(kind: &ResourceType, attributes: &Attributes) -> Self {
        let name =
            kind.name.as_ref().and_then(|name| attributes.value(name)).and_then(Value::as_str);
        let active = kind
            .schema
            .attribute("active")
            .filter(|_| kind.schema.id.as_str() == crate::schema::USER);
        Self {
            name: name.map(str::to_owned),
            name_key: name
                .zip(kind.name.as_ref())
                .map(|(text, reference)| text_form(reference.leaf(), text)),
            external_id: attributes.external_id().map(str::to_owned),
            active: active.and_then(|active| attributes.top(&active.name)?.as_bool()),
        }
    }
}

/// Returns whether a source is read without documents.
pub fn is_indexed(source: &AttrSource) -> bool {
    !matches!(source, AttrSource::Document | AttrSource::Schemas)
}

/// Returns the first text that sorts after every text with the prefix, for prefix searches as ranges.
///
/// Returns `None` when there is no such text.
pub fn prefix_end(prefix: &str) -> Option<String> {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        // The next scalar value; surrogates are no characters.
        let next = match last {
            '\u{d7ff}' => Some('\u{e000}'),
            other => char::from_u32(u32::from(other) + 1),
        };
        if let Some(next) = next {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use precis_core::profile::Profile as _;
    use precis_profiles::UsernameCaseMapped;
    use proptest::prelude::*;
    use unicode_normalization::UnicodeNormalization;

    use super::*;

    #[test]
    fn flt_007_i18_009_case_is_folded_beyond_ascii() {
        for (a, b) in [
            ("Ä", "ä"),
            ("ß", "ẞ"),
            ("ß", "SS"),
            ("σ", "ς"),
            ("Σ", "ς"),
            ("İ", "i̇"),
            ("ÅSA", "åsa"),
            ("ǅ", "ǆ"),
        ] {
            assert_eq!(fold(a), fold(b), "{a} {b}");
        }
        assert_ne!(fold("ı"), fold("i"));
    }

    #[test]
    fn i18_001_width_and_composition_do_not_matter() {
        assert_eq!(fold("ｆｕｌｌ"), fold("full"));
        assert_eq!(fold("e\u{301}"), fold("é"));
        assert_eq!(fold("ｶﾞ"), fold("ガ"));
    }

    #[test]
    fn a9_names_that_look_the_same_have_one_key() {
        for name in [
            "sales ",
            "\u{a0}Sales",
            "Sa\u{ad}les",
            "\u{feff}SALES\u{200b}",
            "\u{202e}sales\u{3000}",
        ] {
            assert_eq!(fold(name), "sales", "{name:?}");
        }
        // A blank inside is one that is seen, and so are marks that are drawn.
        assert_ne!(fold("sa les"), fold("sales"));
        assert_ne!(fold("\u{6dd}1"), fold("1"));
        assert_eq!(fold_part("Van\u{200b} "), "van ");
    }

    #[test]
    fn flt_018_comparable_numbers_order_like_numbers() {
        let integers = [i64::MIN, -10, -9, -1, 0, 1, 9, 10, i64::MAX];
        assert!(integers.map(integer_form).is_sorted());
        let decimals = [f64::MIN, -2.5, -1.0, -f64::MIN_POSITIVE, 0.0, 0.1, 1.0, 10.0, f64::MAX];
        assert!(decimals.map(decimal_form).is_sorted());
        assert_eq!(decimal_form(-0.0), decimal_form(0.0));
    }

    #[test]
    fn flt_017_comparable_times_order_like_instants() {
        let ascending = [
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00Z",
            "2026-01-01T00:00:00.123456788Z",
            "2026-01-01T00:00:00.123456789Z",
        ];
        assert!(ascending.map(|text| date_time_form(text).unwrap()).is_sorted_by(|a, b| a < b));
        assert_eq!(
            date_time_form("2026-01-01T02:00:00+02:00"),
            date_time_form("2026-01-01T00:00:00Z")
        );
    }

    #[test]
    fn differences_are_the_rows_that_change() {
        let difference = Difference::between(vec![3, 1, 2], vec![4, 2, 1]);
        assert_eq!(difference, Difference { remove: vec![3], insert: vec![4] });
    }

    #[test]
    fn fingerprints_tell_a_new_folding_from_new_schemas() {
        assert!(is_same_folding("fold 1 name a", "fold 1 name b"));
        assert!(!is_same_folding("fold 1 name a", "fold 2 name a"));
    }

    proptest! {
        #[test]
        fn what_no_one_sees_does_not_count(text in "\\PC{0,12}", at in 0..12_usize, c in "[\u{ad}\u{200b}-\u{200f}\u{202a}-\u{202e}\u{feff}]") {
            let at = text.char_indices().map(|(index, _)| index).nth(at).unwrap_or(text.len());
            let (head, tail) = text.split_at(at);
            prop_assert_eq!(fold(&format!(" {head}{c}{tail}\t")), fold(&text));
        }

        #[test]
        fn folding_twice_changes_nothing(text in "\\PC{0,12}") {
            prop_assert_eq!(fold(&fold(&text)), fold(&text));
        }

        #[test]
        fn folding_ignores_case_and_composition(text in "\\PC{0,12}") {
            prop_assert_eq!(fold(&text.to_lowercase()), fold(&text));
            prop_assert_eq!(fold(&text.nfd().collect::<String>()), fold(&text));
        }

        #[test]
        fn i18_001_names_that_are_equal_to_precis_are_equal_here(
            name in "[a-zA-Z0-9äÄßẞéσςΣİıﾊ０-９Ａ-Ｚ가-힣א-ת\u{0300}-\u{0304}]{1,8}"
        ) {
            // RFC 8265 §3.3: whatever the profile maps to one name has one key.
            if let Ok(mapped) = UsernameCaseMapped::new().enforce(name.as_str()) {
                prop_assert_eq!(fold(&mapped), fold(&name));
            }
        }

        #[test]
        fn a_prefix_range_holds_exactly_the_texts_with_the_prefix(prefix in "\\PC{1,4}", other in "\\PC{0,6}") {
            let inside = other.starts_with(&prefix);
            let in_range = other >= prefix && prefix_end(&prefix).is_none_or(|end| other < end);
            prop_assert_eq!(inside, in_range);
        }
    }
}
