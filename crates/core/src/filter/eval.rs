//! Evaluates filters over resources. This is the meaning of a filter; the SQL of a store must agree with it.
//!
//! Each step is paid for before it is done, and a value is folded once for all terms.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::{Comparison, Filter, Operand, ResolvedFilter};
use crate::error::Error;
use crate::index;
use crate::path::{AttrRef, AttrSource};
use crate::resource::{Resource, schemas_of};
use crate::schema::{Attribute, ResourceType};
use crate::work::{Halt, VISIT, Work, bytes, count};

/// Evaluates the parts of a filter that are about rows and not about the resource itself.
pub trait Relations {
    /// Returns whether the resource satisfies a predicate over `members` or `groups`: a
    /// [`Filter::Present`], [`Filter::Compare`] or [`Filter::Element`] of that attribute.
    ///
    /// # Errors
    ///
    /// [`Halt`] when the work runs out.
    fn holds(&self, predicate: &ResolvedFilter) -> Result<bool, Halt>;
}

impl ResolvedFilter {
    /// Returns whether a resource of the kind satisfies the filter, and pays for the evaluation.
    ///
    /// # Errors
    ///
    /// [`Halt`] when the work runs out; an internal error when this server did not write the stored text.
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
                if matches!(at.source, AttrSource::Members | AttrSource::Groups) =>
            {
                self.relations.holds(filter)?
            }
            Filter::Present(at) => match own_value(at, resource) {
                Some(_) => true,
                None => has_value(at, resource, work)?,
            },
            Filter::Compare(at, comparison, Operand(operand)) => match own_value(at, resource) {
                Some(value) => self.values.compare(*comparison, &value, operand)?,
                None if at.source == AttrSource::Schemas => {
                    let attributes = resource.document.read(work)?;
                    schemas_of(self.kind, attributes)
                        .any(|urn| comparison.holds(urn.as_str(), operand))
                }
                None => {
                    let elements = resource.document.read(work)?.elements(at);
                    self.values.any(at, *comparison, operand, elements)?
                }
            },
            Filter::Element(at, inner) if at.source == AttrSource::Schemas => {
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
    match at.source {
        AttrSource::Id => Some(resource.id.as_str().to_owned()),
        AttrSource::Created => index::date_time_form(&resource.created.to_string()),
        AttrSource::Modified => index::date_time_form(&resource.modified.to_string()),
        AttrSource::Version => Some(resource.version.to_string()),
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

/// The comparable forms of the values of one resource, or of some rows, for the terms of one filter.
///
/// Invariant: the values do not move while this is in use, since a value is identified by its address.
struct Values<'a> {
    work: &'a Work,
    /// The forms made so far, or `None` when the filter has only one comparison.
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

    /// Compares a value with an operand in comparable form. Returns `None` when the value has no such form.
    fn compares(
        &mut self,
        leaf: &Attribute,
        value: &Value,
        comparison: Comparison,
        operand: &str,
    ) -> Result<Option<bool>, Halt> {
        let work = self.work;
        let fresh;
        let form = match &mut self.forms {
            None => {
                fresh = comparable(leaf, value, work)?;
                fresh.as_deref()
            }
            Some(forms) => {
                use std::collections::hash_map::Entry;
                match forms.entry(std::ptr::from_ref(value).addr()) {
                    Entry::Occupied(known) => known.into_mut().as_deref(),
                    Entry::Vacant(free) => free.insert(comparable(leaf, value, work)?).as_deref(),
                }
            }
        };
        let Some(form) = form else { return Ok(None) };
        work.spend(VISIT + length(comparison, form, operand))?;
        Ok(Some(comparison.holds(form, operand)))
    }

    /// Returns whether any value satisfies a comparison. An attribute without a value differs from every
    /// operand (FLT-009, FLT-010).
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
                Some(sub) => self.sub_value(at, sub, element, comparison, operand)?,
                None => self.compares(at.leaf(), element, comparison, operand)?,
            };
            if holds == Some(true) {
                return Ok(true);
            }
            any |= holds.is_some();
        }
        Ok(!any && comparison == Comparison::NotEqual)
    }

    /// Compares a sub-attribute of a value. An absent `primary` is false (CHR-037).
    fn sub_value(
        &mut self,
        at: &AttrRef,
        sub: &Attribute,
        element: &Value,
        comparison: Comparison,
        operand: &str,
    ) -> Result<Option<bool>, Halt> {
        match element.get(&*sub.name) {
            Some(value) => self.compares(sub, value, comparison, operand),
            None if at.is_plural() && &*sub.name == "primary" => {
                self.compare(comparison, &index::boolean_form(false), operand).map(Some)
            }
            None => {
                self.work.spend(VISIT)?;
                Ok(None)
            }
        }
    }

    /// Returns whether one value of a complex attribute satisfies a filter over its sub-attributes.
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
                    Some(sub) => self.sub_value(at, sub, element, *comparison, operand)?,
                    None => self.compares(&at.attribute, element, *comparison, operand)?,
                };
                holds.unwrap_or(*comparison == Comparison::NotEqual)
            }
            // Brackets do not nest; resolution refuses them.
            Filter::Element(..) => false,
        })
    }
}

/// Makes the comparable form of a value, and pays for it.
fn comparable(leaf: &Attribute, value: &Value, work: &Work) -> Result<Option<String>, Halt> {
    work.spend(index::units(leaf, value))?;
    Ok(index::comparable(leaf, value))
}

/// Counts the comparisons of a filter, up to `max`.
fn comparisons(filter: &ResolvedFilter, max: usize) -> usize {
    match filter {
        Filter::And(terms) | Filter::Or(terms) => terms.iter().fold(0, |count, term| {
            if count < max { count + comparisons(term, max - count) } else { count }
        }),
        Filter::Not(inner) | Filter::Element(_, inner) => comparisons(inner, max),
        Filter::Compare(..) => 1,
        Filter::Present(_) => 0,
    }
}

/// Returns the number of bytes that a comparison reads.
fn length(comparison: Comparison, value: &str, operand: &str) -> u64 {
    match comparison {
        Comparison::Contains => bytes(value),
        _ => bytes(value).min(bytes(operand)),
    }
}

/// Returns whether one value of a complex attribute satisfies a filter over its sub-attributes, and pays
/// for the evaluation.
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

/// Evaluates a predicate over rows that are given as objects, such as `{"value": …, "type": …}`.
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

/// Returns a row as the object over which [`rows_match`] evaluates a predicate.
pub(crate) fn row(value: &str, label: (&str, &str), extra: Option<(&str, &str)>) -> Value {
    let mut map = Map::new();
    map.insert("value".to_owned(), value.into());
    for (name, text) in std::iter::once(label).chain(extra) {
        map.insert(name.to_owned(), text.into());
    }
    Value::Object(map)
}

/// Returns the key by which a resource is sorted, or `None` when it has no value there.
///
/// Of several values, the primary one counts, else the first (RFC 7644 §3.4.2.3). A long value is cut to
/// [`index::MAX_KEY_BYTES`], so that a cursor can contain the key.
///
/// # Errors
///
/// [`Halt`] when the work runs out; an internal error when this server did not write the stored text.
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
