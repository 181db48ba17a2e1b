//! The evaluator: the meaning of a filter, to which the SQL of a store is held equal.

use serde_json::{Map, Value};

use super::{Comparison, Filter, Operand, ResolvedFilter};
use crate::clock::Timestamp;
use crate::error::Error;
use crate::index;
use crate::path::{AttrRef, Place};
use crate::resource::{Resource, schemas_of};
use crate::schema::{Attribute, ResourceType};

/// Answers the parts of a filter that are about rows and not about the resource itself.
pub trait Relations {
    /// Tells whether the resource satisfies a predicate over `members` or `groups`: a
    /// [`Filter::Present`], [`Filter::Compare`] or [`Filter::Element`] of that attribute.
    fn holds(&self, predicate: &ResolvedFilter) -> bool;
}

impl ResolvedFilter {
    /// Tells whether a resource of the kind satisfies the filter.
    ///
    /// # Errors
    ///
    /// An internal error when the stored text is not what this server wrote.
    pub fn matches(
        &self,
        kind: &ResourceType,
        resource: &Resource,
        relations: &dyn Relations,
    ) -> Result<bool, Error> {
        #[cfg(test)]
        super::worst_cases::step();
        Ok(match self {
            Filter::And(terms) => {
                for term in terms {
                    if !term.matches(kind, resource, relations)? {
                        return Ok(false);
                    }
                }
                true
            }
            Filter::Or(terms) => {
                for term in terms {
                    if term.matches(kind, resource, relations)? {
                        return Ok(true);
                    }
                }
                false
            }
            Filter::Not(inner) => !inner.matches(kind, resource, relations)?,
            Filter::Present(at) | Filter::Compare(at, ..) | Filter::Element(at, _)
                if matches!(at.place, Place::Members | Place::Groups) =>
            {
                relations.holds(self)
            }
            Filter::Present(at) => match own_value(at, resource) {
                Some(_) => true,
                None => has_value(at, resource)?,
            },
            Filter::Compare(at, comparison, Operand(operand)) => match own_value(at, resource) {
                Some(value) => comparison.holds(&value, operand),
                None if at.place == Place::Schemas => {
                    let attributes = resource.document.attributes()?;
                    schemas_of(kind, attributes).any(|urn| comparison.holds(urn.as_str(), operand))
                }
                None => {
                    let values = resource.document.attributes()?.elements(at);
                    compare_any(at, *comparison, operand, values)
                }
            },
            Filter::Element(at, inner) => {
                let values = resource.document.attributes()?.elements(at);
                values.iter().any(|value| element_matches(inner, value))
            }
        })
    }
}

/// Returns the comparable value of an attribute that is not in the document.
fn own_value(at: &AttrRef, resource: &Resource) -> Option<String> {
    let moment = |at: Timestamp| index::date_time_form(&at.to_string());
    match at.place {
        Place::Id => Some(resource.id.as_str().to_owned()),
        Place::Created => moment(resource.created),
        Place::Modified => moment(resource.modified),
        Place::Version => Some(resource.version.to_string()),
        _ => None,
    }
}

fn has_value(at: &AttrRef, resource: &Resource) -> Result<bool, Error> {
    let attributes = resource.document.attributes()?;
    let elements = attributes.elements(at);
    Ok(match &at.sub_attribute {
        None => !elements.is_empty(),
        Some(sub) => elements.iter().any(|element| element.get(&*sub.name).is_some()),
    })
}

/// "Any value compares so"; an attribute without any value differs from everything (FLT-009, FLT-010).
fn compare_any(at: &AttrRef, comparison: Comparison, operand: &str, elements: &[Value]) -> bool {
    let leaf = at.leaf();
    let mut any = false;
    for element in elements {
        let value = match &at.sub_attribute {
            Some(sub) => sub_value(at.is_plural(), sub, element),
            None => index::comparable(leaf, element),
        };
        if let Some(value) = value {
            any = true;
            if comparison.holds(&value, operand) {
                return true;
            }
        }
    }
    !any && comparison == Comparison::NotEqual
}

/// Returns the comparable value of a sub-attribute; `primary` that is absent is false (CHR-037).
fn sub_value(plural: bool, sub: &Attribute, element: &Value) -> Option<String> {
    match element.get(&*sub.name) {
        Some(value) => index::comparable(sub, value),
        None if plural && &*sub.name == "primary" => Some(index::boolean_form(false)),
        None => None,
    }
}

/// Tells whether one value of a complex attribute satisfies a filter over its sub-attributes.
pub fn element_matches(filter: &ResolvedFilter, element: &Value) -> bool {
    #[cfg(test)]
    super::worst_cases::step();
    match filter {
        Filter::And(terms) => terms.iter().all(|term| element_matches(term, element)),
        Filter::Or(terms) => terms.iter().any(|term| element_matches(term, element)),
        Filter::Not(inner) => !element_matches(inner, element),
        Filter::Present(at) => {
            at.sub_attribute.as_ref().is_some_and(|sub| element.get(&*sub.name).is_some())
        }
        Filter::Compare(at, comparison, Operand(operand)) => {
            let value =
                at.sub_attribute.as_ref().and_then(|sub| sub_value(at.is_plural(), sub, element));
            match value {
                Some(value) => comparison.holds(&value, operand),
                None => *comparison == Comparison::NotEqual,
            }
        }
        // Brackets do not nest; resolution refuses them.
        Filter::Element(..) => false,
    }
}

/// Answers a predicate over rows that are at hand as objects, such as `{"value": …, "type": …}`.
pub(crate) fn rows_match(predicate: &ResolvedFilter, rows: &[Value]) -> bool {
    match predicate {
        Filter::Present(at) if at.sub_attribute.is_none() => !rows.is_empty(),
        Filter::Present(_) => rows.iter().any(|row| element_matches(predicate, row)),
        Filter::Compare(at, comparison, Operand(operand)) => {
            compare_any(at, *comparison, operand, rows)
        }
        Filter::Element(_, inner) => rows.iter().any(|row| element_matches(inner, row)),
        Filter::And(_) | Filter::Or(_) | Filter::Not(_) => false,
    }
}

/// Makes the object over which a predicate on rows is evaluated.
pub(crate) fn row(value: &str, label: (&str, &str), extra: Option<(&str, &str)>) -> Value {
    let mut map = Map::new();
    map.insert("value".to_owned(), value.into());
    for (name, text) in std::iter::once(label).chain(extra) {
        map.insert(name.to_owned(), text.into());
    }
    Value::Object(map)
}

/// Returns the key by which a resource is sorted; none when it has no value there.
///
/// Of several values, the primary one counts, else the first (RFC 7644 §3.4.2.3). Long values are
/// told apart by their beginning, so that a cursor can hold a key.
///
/// # Errors
///
/// An internal error when the stored text is not what this server wrote.
pub fn sort_key(at: &AttrRef, resource: &Resource) -> Result<Option<String>, Error> {
    if let Some(value) = own_value(at, resource) {
        return Ok(Some(value));
    }
    let elements = resource.document.attributes()?.elements(at);
    let primary = elements.iter().find(|element| crate::resource::is_primary(element));
    let Some(element) = primary.or_else(|| elements.first()) else {
        return Ok(None);
    };
    let value = match &at.sub_attribute {
        Some(sub) => element.get(&*sub.name),
        None => Some(element),
    };
    Ok(value.and_then(|value| index::comparable(at.leaf(), value)).map(|mut key| {
        key.truncate(key.floor_char_boundary(index::MAX_KEY_BYTES));
        key
    }))
}
