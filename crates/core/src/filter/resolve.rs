//! Resolves filters: names to references, and literals to the comparable form of their attribute.

use std::borrow::Cow;

use super::{Comparison, Filter, Literal, Operand, ParsedFilter, ResolvedFilter};
use crate::clock::Instant;
use crate::error::{Error, PathError};
use crate::index;
use crate::lenient::Repairs;
use crate::path::{AttrRef, AttrSource};
use crate::quirks::{Applied, Quirks};
use crate::schema::{Attribute, ResourceType, Returned, ValueType};
use crate::value::base64;
use crate::{json, lenient};

/// What resolution needs of the kind and the tenant, and the repairs that it notes.
pub(crate) struct Context<'a> {
    pub(crate) kind: &'a ResourceType,
    pub(crate) quirks: Quirks,
    pub(crate) applied: &'a mut Applied,
    /// Whether names that the kind does not have count as attributes without value, as in queries over
    /// several kinds (RFC 7644 §3.4.2.1).
    pub(crate) unknown_is_absent: bool,
}

impl ParsedFilter {
    /// Resolves names and literals strictly.
    ///
    /// # Errors
    ///
    /// `invalidFilter` for names that the kind does not have and literals that do not fit.
    pub fn resolve(&self, kind: &ResourceType) -> Result<ResolvedFilter, Error> {
        let mut applied = Applied::default();
        let mut context =
            Context { kind, quirks: Quirks::NONE, applied: &mut applied, unknown_is_absent: false };
        context.resolve(self)
    }
}

impl Context<'_> {
    /// Reads a filter with the spellings that the tenant allows, and resolves it.
    pub(crate) fn parse_and_resolve(&mut self, text: &str) -> Result<ResolvedFilter, Error> {
        let parsed = ParsedFilter::parse_leniently(text, &mut self.repairs())?;
        self.resolve(&parsed)
    }

    pub(crate) fn resolve(&mut self, filter: &ParsedFilter) -> Result<ResolvedFilter, Error> {
        Ok(match filter {
            Filter::And(terms) => {
                Filter::And(terms.iter().map(|term| self.resolve(term)).collect::<Result<_, _>>()?)
            }
            Filter::Or(terms) => {
                Filter::Or(terms.iter().map(|term| self.resolve(term)).collect::<Result<_, _>>()?)
            }
            Filter::Not(inner) => Filter::Not(Box::new(self.resolve(inner)?)),
            Filter::Present(path) => match self.find(path.as_str())? {
                Some(reference) => present(reference)?,
                None => Filter::nothing(),
            },
            Filter::Compare(path, comparison, literal) => match self.find(path.as_str())? {
                Some(reference) => self.compare(self.value_of(reference)?, *comparison, literal)?,
                None => compare_absent(*comparison, literal),
            },
            Filter::Element(path, inner) => self.element(path.as_str(), inner)?,
        })
    }

    /// Resolves an attribute with a filter in brackets.
    fn element(&mut self, path: &str, inner: &ParsedFilter) -> Result<ResolvedFilter, Error> {
        let Some(reference) = self.find(path)? else { return Ok(Filter::nothing()) };
        if self.is_list_of_values(&reference) {
            return self.among_values(&reference, inner);
        }
        if reference.sub_attribute.is_some() || reference.attribute.value_type != ValueType::Complex
        {
            return Err(Error::filter(format!(
                "{reference} has no sub-attributes to filter by in [ ]"
            )));
        }
        let inner = self.inside(&reference, inner)?;
        Ok(Filter::Element(reference, Box::new(inner)))
    }

    /// Resolves a filter inside brackets, whose names are sub-attributes of `parent`.
    pub(crate) fn inside(
        &mut self,
        parent: &AttrRef,
        filter: &ParsedFilter,
    ) -> Result<ResolvedFilter, Error> {
        Ok(match filter {
            Filter::And(terms) => Filter::And(
                terms.iter().map(|term| self.inside(parent, term)).collect::<Result<_, _>>()?,
            ),
            Filter::Or(terms) => Filter::Or(
                terms.iter().map(|term| self.inside(parent, term)).collect::<Result<_, _>>()?,
            ),
            Filter::Not(inner) => Filter::Not(Box::new(self.inside(parent, inner)?)),
            Filter::Present(path) => present(self.sub(parent, path.as_str())?)?,
            Filter::Compare(path, comparison, literal) => {
                let reference = self.sub(parent, path.as_str())?;
                self.compare(reference, *comparison, literal)?
            }
            // Errata 4690 and 7322: brackets do not nest.
            Filter::Element(..) => {
                return Err(Error::filter("a filter in [ ] cannot contain another [ ]"));
            }
        })
    }

    /// Resolves a name inside brackets.
    fn sub(&mut self, parent: &AttrRef, name: &str) -> Result<AttrRef, Error> {
        if name.eq_ignore_ascii_case("value") && self.is_list_of_values(parent) {
            return Ok(parent.clone());
        }
        let found = parent.attribute.sub(name);
        found.map(|sub| parent.with_sub(self.kind, sub)).ok_or_else(|| {
            Error::filter(format!(
                "{parent} has no sub-attribute \"{}\"",
                crate::error::excerpt(name)
            ))
        })
    }

    /// Returns whether an attribute is a list of plain values, which may be called `value` in brackets.
    pub(crate) fn is_list_of_values(&mut self, reference: &AttrRef) -> bool {
        reference.is_simple_list() && self.repairs().allows(Quirks::VALUE_OR_OBJECT)
    }

    /// Resolves a filter that one of the values of a list has to satisfy as a whole.
    ///
    /// A single comparison, and each alternative of an `or`, means the same without brackets. That form is
    /// the one that indexes serve.
    fn among_values(
        &mut self,
        list: &AttrRef,
        filter: &ParsedFilter,
    ) -> Result<ResolvedFilter, Error> {
        if let Filter::Or(terms) = filter {
            let terms = terms.iter().map(|term| self.among_values(list, term));
            return Ok(Filter::Or(terms.collect::<Result<_, _>>()?));
        }
        Ok(match self.inside(list, filter)? {
            Filter::Compare(at, Comparison::NotEqual, operand) => Filter::And(vec![
                Filter::Present(at.clone()),
                Filter::Compare(at, Comparison::NotEqual, operand),
            ]),
            one @ (Filter::Compare(..) | Filter::Present(_)) => one,
            joined => Filter::Element(list.clone(), Box::new(joined)),
        })
    }

    fn find(&mut self, path: &str) -> Result<Option<AttrRef>, Error> {
        let resolved = lenient::repair_path(self.kind, self.quirks, self.applied, path);
        match self.kind.resolve(&resolved) {
            Ok(reference) => Ok(Some(reference)),
            Err(_) if self.unknown_is_absent => Ok(None),
            Err(PathError { path, reason, .. }) => {
                Err(Error::filter(format!("\"{path}\": {reason}")))
            }
        }
    }

    /// Returns the `value` of a complex attribute, by which it is compared (RFC 7644 Figure 2; Entra asks
    /// `manager eq`).
    fn value_of(&self, reference: AttrRef) -> Result<AttrRef, Error> {
        if reference.leaf().value_type != ValueType::Complex {
            return Ok(reference);
        }
        match reference.attribute.sub("value") {
            Some(value) => Ok(reference.with_sub(self.kind, value)),
            None => Err(Error::filter(format!(
                "{reference} is complex; compare one of its sub-attributes"
            ))),
        }
    }

    fn compare(
        &mut self,
        reference: AttrRef,
        comparison: Comparison,
        literal: &Literal,
    ) -> Result<ResolvedFilter, Error> {
        check_searchable(&reference)?;
        let leaf = std::sync::Arc::clone(reference.leaf());
        if matches!(literal, Literal::Null) {
            // FLT-024: null is the absence of a value.
            return match comparison {
                Comparison::Equal => Ok(Filter::Not(Box::new(Filter::Present(reference)))),
                Comparison::NotEqual => Ok(Filter::Present(reference)),
                _ => Err(Error::filter(format!(
                    "{reference} can only be compared with null by eq and ne"
                ))),
            };
        }
        check_operator(&reference, &leaf, comparison)?;
        let operand = self.operand(&reference, &leaf, comparison, literal)?;
        if reference.source == AttrSource::ResourceType {
            let kind = index::text_form(&leaf, self.kind.kind.as_str());
            let holds = comparison.holds(&kind, &operand);
            return Ok(if holds { Filter::everything() } else { Filter::nothing() });
        }
        Ok(Filter::Compare(reference, comparison, Operand(operand)))
    }

    /// Converts a literal to the comparable form of its attribute.
    fn operand(
        &mut self,
        reference: &AttrRef,
        leaf: &Attribute,
        comparison: Comparison,
        literal: &Literal,
    ) -> Result<String, Error> {
        let expected = match leaf.value_type {
            ValueType::String | ValueType::Reference | ValueType::Binary => {
                "a text in double quotes"
            }
            ValueType::Boolean => "true or false",
            ValueType::Integer => "a whole number of 64 bits",
            ValueType::Decimal => "a decimal that keeps all its digits; 15 always do",
            ValueType::DateTime => {
                "a date and time with zone in double quotes, such as \"2011-05-13T04:42:34Z\""
            }
            ValueType::Complex => "nothing; ask whether it is present with pr",
        };
        let operand = match leaf.value_type {
            ValueType::String | ValueType::Reference => {
                self.text(literal).map(|text| match comparison.is_of_a_part() {
                    true => index::part_form(leaf, &text),
                    false => index::text_form(leaf, &text),
                })
            }
            ValueType::Boolean => self.boolean(literal).map(index::boolean_form),
            ValueType::Integer => {
                self.number(literal).and_then(json::whole).map(index::integer_form)
            }
            ValueType::Decimal => {
                self.number(literal).and_then(json::exact).map(index::decimal_form)
            }
            ValueType::DateTime => self.text(literal).and_then(|text| self.moment(&text)),
            ValueType::Binary => self.text(literal).and_then(|text| self.bytes(&text)),
            ValueType::Complex => None,
        };
        operand.ok_or_else(|| Error::filter(format!("{reference} is compared with {expected}")))
    }

    /// Reads a literal as a text: any word, where the tenant allows texts without quotes.
    fn text<'l>(&mut self, literal: &'l Literal) -> Option<Cow<'l, str>> {
        let bare: Cow<'l, str> = match literal {
            Literal::Text(text) => return Some(text.into()),
            Literal::Word(word) | Literal::Number(word) => word.into(),
            Literal::Boolean(flag) => flag.to_string().into(),
            Literal::Null => return None,
        };
        self.repairs().allows(Quirks::BARE_WORDS).then_some(bare)
    }

    fn boolean(&mut self, literal: &Literal) -> Option<bool> {
        match literal {
            Literal::Boolean(flag) => Some(*flag),
            Literal::Word(word) if self.quirks.has(Quirks::FILTER_FORMS) => {
                let flag = lenient::flag(word)?;
                self.applied.note(Quirks::FILTER_FORMS);
                Some(flag)
            }
            Literal::Word(text) | Literal::Text(text) => {
                lenient::boolean_from_text(self.quirks, self.applied, text)
            }
            Literal::Null | Literal::Number(_) => None,
        }
    }

    fn number<'l>(&mut self, literal: &'l Literal) -> Option<&'l str> {
        match literal {
            Literal::Number(digits) => Some(digits),
            Literal::Text(text)
                if json::is_number(text) && self.repairs().allows(Quirks::NUMBERS_AS_TEXT) =>
            {
                Some(text)
            }
            Literal::Null | Literal::Boolean(_) | Literal::Word(_) | Literal::Text(_) => None,
        }
    }

    fn moment(&mut self, text: &str) -> Option<String> {
        let instant = Instant::parse(&self.repairs().moment(text.to_owned()))?;
        let definite = instant.zoned || self.quirks.has(Quirks::TIMES_WITHOUT_ZONE);
        definite.then(|| index::instant_form(instant))
    }

    fn bytes(&mut self, text: &str) -> Option<String> {
        base64::canonical(&self.repairs().base64(text.to_owned()))
    }

    fn repairs(&mut self) -> Repairs<'_> {
        Repairs { quirks: self.quirks, applied: self.applied }
    }
}

fn check_searchable(reference: &AttrRef) -> Result<(), Error> {
    if reference.attribute.returned == Returned::Never
        || reference.leaf().returned == Returned::Never
    {
        return Err(Error::filter(format!(
            "{reference} cannot be searched: no one may learn its value"
        )));
    }
    let computed = match &reference.source {
        AttrSource::Members => reference
            .sub_attribute
            .as_ref()
            .is_some_and(|sub| matches!(&*sub.name, "$ref" | "display")),
        AttrSource::Groups => {
            reference.sub_attribute.as_ref().is_some_and(|sub| &*sub.name == "$ref")
        }
        AttrSource::Document => {
            &*reference.attribute.name == "meta" && reference.container.is_none()
        }
        _ => false,
    };
    if computed {
        return Err(Error::filter(format!(
            "{reference} is computed for each reply and cannot be searched; search by id"
        )));
    }
    Ok(())
}

fn present(reference: AttrRef) -> Result<ResolvedFilter, Error> {
    if reference.container.is_none()
        && matches!(&*reference.attribute.name, "id" | "schemas" | "meta")
    {
        return Ok(Filter::everything());
    }
    check_searchable(&reference)?;
    Ok(Filter::Present(reference))
}

fn check_operator(
    reference: &AttrRef,
    leaf: &Attribute,
    comparison: Comparison,
) -> Result<(), Error> {
    let equality = matches!(comparison, Comparison::Equal | Comparison::NotEqual);
    let substring = comparison.is_of_a_part();
    let refused = match leaf.value_type {
        ValueType::Boolean | ValueType::Binary => !equality,
        ValueType::Integer | ValueType::Decimal | ValueType::DateTime => substring,
        ValueType::String | ValueType::Reference | ValueType::Complex => false,
    };
    if refused {
        let name = Comparison::ALL
            .iter()
            .find(|(_, known)| *known == comparison)
            .map_or("", |(name, _)| name);
        return Err(Error::filter(format!(
            "{reference} cannot be compared by {name}, because of its type"
        )));
    }
    Ok(())
}

/// Resolves a comparison with an attribute without value, which differs from every value (FLT-009).
fn compare_absent(comparison: Comparison, literal: &Literal) -> ResolvedFilter {
    let null = matches!(literal, Literal::Null);
    match comparison {
        Comparison::NotEqual if !null => Filter::everything(),
        Comparison::Equal if null => Filter::everything(),
        _ => Filter::nothing(),
    }
}
