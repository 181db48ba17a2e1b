//! The evaluator: the meaning of a filter, to which the SQL of a store is held equal.
//!
//! Each step is paid for before it is done, and a value is folded once however many terms ask for it.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::{Comparison, Filter, Operand, ResolvedFilter};
use crate::clock::Timestamp;
use crate::error::Error;
use crate::index;
use crate::path::{AttrRef, Place};
use crate::resource::{Resource, schemas_of};
use crate::schema::{Attribute, ResourceType};
use crate::work::{Halt, VISIT, Work, bytes, count};

/// Answers the parts of a filter that are about rows and not about the resource itself.
pub trait Relations {
    /// Tells whether the resource satisfies a predicate over `members` or `groups`: a
    /// [`Filter::Present`], [`Filter::Compare`] or [`Filter::Element`] of that attribute.
    ///
    /// # Errors
    ///
    /// [`Halt`] when finding out takes more work than there is.
    fn holds(&self, predicate: &ResolvedFilter) -> Result<bool, Halt>;
}

impl ResolvedFilter {
    /// Tells whether a resource of the kind satisfies the filter, and pays for finding out.
    ///
    /// # Errors
    ///
    /// [`Halt`] when the work runs out; an internal error when the stored text is not what this
    /// server wrote.
    pub fn matches(
        &self,
        kind: &ResourceType,
        resource: &Resource,
        relations: &dyn Relations,
        work: &Work,
    ) -> Result<bool, Error> {
        Evaluation { kind, resource, relations, values: Values::of(self, work) }.holds(self)
    }
}

/// One filter over one resource.
struct Evaluation<'a> {
    kind: &'a ResourceType,
    resource: &'a Resource,
    relations: &'a dyn Relations,
    values: Values<'a>,
}

impl Evaluation<'_> {
    fn holds(&mut self, filter: &ResolvedFilter) -> Result<bool, Error> {
        let (resource, work) = (self.resource, self.values.work);
        work.spend(VISIT)?;
        Ok(match filter {
            Filter::And(terms) => {
                for term in terms {
                    if !self.holds(term)? {
                        return Ok(false);
                    }
                }
                true
            }
            Filter::Or(terms) => {
                for term in terms {
                    if self.holds(term)? {
                        return Ok(true);
                    }
                }
                false
            }
            Filter::Not(inner) => !self.holds(inner)?,
            Filter::Present(at) | Filter::Compare(at, ..) | Filter::Element(at, _)
                if matches!(at.place, Place::Members | Place::Groups) =>
            {
                self.relations.holds(filter)?
            }
            Filter::Present(at) => match own_value(at, resource) {
                Some(_) => true,
                None => has_value(at, resource, work)?,
            },
            Filter::Compare(at, comparison, Operand(operand)) => match own_value(at, resource) {
                Some(value) => self.values.compare(*comparison, &value, operand)?,
                None if at.place == Place::Schemas => {
                    let attributes = resource.document.read(work)?;
                    schemas_of(self.kind, attributes)
                        .any(|urn| comparison.holds(urn.as_str(), operand))
                }
                None => {
                    let elements = resource.document.read(work)?.elements(at);
                    self.values.any(at, *comparison, operand, elements)?
                }
            },
            Filter::Element(at, inner) if at.place == Place::Schemas => {
                for urn in schemas_of(self.kind, resource.document.read(work)?) {
                    if element_matches(inner, &urn.as_str().into(), work)? {
                        return Ok(true);
                    }
                }
                false
            }
            Filter::Element(at, inner) => {
                for element in resource.document.read(work)?.elements(at) {
                    if self.values.element(inner, element)? {
                        return Ok(true);
                    }
                }
                false
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

fn has_value(at: &AttrRef, resource: &Resource, work: &Work) -> Result<bool, Error> {
    let elements = resource.document.read(work)?.elements(at);
    let Some(sub) = &at.sub_attribute else { return Ok(!elements.is_empty()) };
    for element in elements {
        work.spend(VISIT)?;
        if element.get(&*sub.name).is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The values of one resource, or of some rows, as the terms of one filter see them.
///
/// What they borrow from must not move while this is in use: a value is known by its address.
struct Values<'a> {
    work: &'a Work,
    /// The comparable forms that were made so far; none when one term alone can ask.
    forms: Option<HashMap<usize, Option<String>>>,
}

impl<'a> Values<'a> {
    fn of(filter: &ResolvedFilter, work: &'a Work) -> Self {
        Self { work, forms: (comparisons(filter, 2) > 1).then(HashMap::new) }
    }

    /// Compares a value with an operand, both in comparable form.
    fn compare(&self, comparison: Comparison, value: &str, operand: &str) -> Result<bool, Halt> {
        self.work.spend(VISIT + length(comparison, value, operand))?;
        Ok(comparison.holds(value, operand))
    }

    /// Compares a value with an operand in comparable form; `None` when the value has no such form.
    fn compares(
        &mut self,
        leaf: &Attribute,
        value: &Value,
        comparison: Comparison,
        operand: &str,
    ) -> Result<Option<bool>, Halt> {
        let work = self.work;
        let make = || -> Result<Option<String>, Halt> {
            work.spend(index::units(leaf, value))?;
            Ok(index::comparable(leaf, value))
        };
        let made;
        let form = match &mut self.forms {
            None => {
                made = make()?;
                made.as_deref()
            }
            Some(forms) => {
                use std::collections::hash_map::Entry;
                match forms.entry(std::ptr::from_ref(value).addr()) {
                    Entry::Occupied(known) => known.into_mut().as_deref(),
                    Entry::Vacant(free) => free.insert(make()?).as_deref(),
                }
            }
        };
        let Some(form) = form else { return Ok(None) };
        work.spend(VISIT + length(comparison, form, operand))?;
        Ok(Some(comparison.holds(form, operand)))
    }

    /// "Any value compares so"; an attribute without any value differs from everything (FLT-009, FLT-010).
    fn any(
        &mut self,
        at: &AttrRef,
        comparison: Comparison,
        operand: &str,
        elements: &[Value],
    ) -> Result<bool, Halt> {
        let mut any = false;
        for element in elements {
            let holds = match &at.sub_attribute {
                Some(sub) => self.sub_value(at.is_plural(), sub, element, comparison, operand)?,
                None => self.compares(at.leaf(), element, comparison, operand)?,
            };
            if holds == Some(true) {
                return Ok(true);
            }
            any |= holds.is_some();
        }
        Ok(!any && comparison == Comparison::NotEqual)
    }

    /// Compares a sub-attribute of a value; `primary` that is absent is false (CHR-037).
    fn sub_value(
        &mut self,
        plural: bool,
        sub: &Attribute,
        element: &Value,
        comparison: Comparison,
        operand: &str,
    ) -> Result<Option<bool>, Halt> {
        match element.get(&*sub.name) {
            Some(value) => self.compares(sub, value, comparison, operand),
            None if plural && &*sub.name == "primary" => {
                self.compare(comparison, &index::boolean_form(false), operand).map(Some)
            }
            None => {
                self.work.spend(VISIT)?;
                Ok(None)
            }
        }
    }

    /// Tells whether one value of a complex attribute satisfies a filter over its sub-attributes.
    fn element(&mut self, filter: &ResolvedFilter, element: &Value) -> Result<bool, Halt> {
        self.work.spend(VISIT)?;
        Ok(match filter {
            Filter::And(terms) => {
                for term in terms {
                    if !self.element(term, element)? {
                        return Ok(false);
                    }
                }
                true
            }
            Filter::Or(terms) => {
                for term in terms {
                    if self.element(term, element)? {
                        return Ok(true);
                    }
                }
                false
            }
            Filter::Not(inner) => !self.element(inner, element)?,
            // A list of plain values has no sub-attributes: the element is the value itself.
            Filter::Present(at) => {
                at.sub_attribute.as_ref().is_none_or(|sub| element.get(&*sub.name).is_some())
            }
            Filter::Compare(at, comparison, Operand(operand)) => {
                let holds = match &at.sub_attribute {
                    Some(sub) => {
                        self.sub_value(at.is_plural(), sub, element, *comparison, operand)?
                    }
                    None => self.compares(&at.attribute, element, *comparison, operand)?,
                };
                holds.unwrap_or(*comparison == Comparison::NotEqual)
            }
            // Brackets do not nest; resolution refuses them.
            Filter::Element(..) => false,
        })
    }
}

/// Counts the comparisons of a filter, up to `most`.
fn comparisons(filter: &ResolvedFilter, most: usize) -> usize {
    match filter {
        Filter::And(terms) | Filter::Or(terms) => terms.iter().fold(0, |count, term| {
            if count < most { count + comparisons(term, most - count) } else { count }
        }),
        Filter::Not(inner) | Filter::Element(_, inner) => comparisons(inner, most),
        Filter::Compare(..) => 1,
        Filter::Present(_) => 0,
    }
}

/// Returns how many bytes a comparison looks at.
fn length(comparison: Comparison, value: &str, operand: &str) -> u64 {
    match comparison {
        Comparison::Contains => bytes(value),
        _ => bytes(value).min(bytes(operand)),
    }
}

/// Tells whether one value of a complex attribute satisfies a filter over its sub-attributes, and
/// pays for finding out.
///
/// # Errors
///
/// [`Halt`] when the work runs out.
pub fn element_matches(
    filter: &ResolvedFilter,
    element: &Value,
    work: &Work,
) -> Result<bool, Halt> {
    Values::of(filter, work).element(filter, element)
}

/// Answers a predicate over rows that are at hand as objects, such as `{"value": …, "type": …}`.
pub(crate) fn rows_match(
    predicate: &ResolvedFilter,
    rows: &[Value],
    work: &Work,
) -> Result<bool, Halt> {
    let mut values = Values::of(predicate, work);
    let filter = match predicate {
        Filter::Present(at) if at.sub_attribute.is_none() => return Ok(!rows.is_empty()),
        Filter::Compare(at, comparison, Operand(operand)) => {
            return values.any(at, *comparison, operand, rows);
        }
        Filter::Present(_) => predicate,
        Filter::Element(_, inner) => inner,
        Filter::And(_) | Filter::Or(_) | Filter::Not(_) => return Ok(false),
    };
    for row in rows {
        if values.element(filter, row)? {
            return Ok(true);
        }
    }
    Ok(false)
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
/// [`Halt`] when the work runs out; an internal error when the stored text is not what this server
/// wrote.
pub fn sort_key(at: &AttrRef, resource: &Resource, work: &Work) -> Result<Option<String>, Error> {
    work.spend(VISIT)?;
    if let Some(value) = own_value(at, resource) {
        return Ok(Some(value));
    }
    let elements = resource.document.read(work)?.elements(at);
    work.spend(VISIT.saturating_mul(count(elements.len())))?;
    let primary = elements.iter().find(|element| crate::resource::is_primary(element));
    let Some(element) = primary.or_else(|| elements.first()) else {
        return Ok(None);
    };
    let value = match &at.sub_attribute {
        Some(sub) => element.get(&*sub.name),
        None => Some(element),
    };
    let Some(value) = value else { return Ok(None) };
    work.spend(index::units(at.leaf(), value))?;
    Ok(index::comparable(at.leaf(), value).map(|mut key| {
        key.truncate(key.floor_char_boundary(index::MAX_KEY_BYTES));
        key
    }))
}
