//! Which attributes a reply shows: `attributes`, `excludedAttributes` and the schema's `returned`
//! (RFC 7644 §3.9, RFC 7643 §7).

use crate::error::{Error, excerpt};
use crate::ids::Urn;
use crate::lenient;
use crate::path::{AttrRef, PathTarget, split_list};
use crate::quirks::{Applied, Quirks};
use crate::schema::{Attribute, Membership, ResourceType, Returned};

/// Which attributes a reply shows.
#[derive(Debug, Clone, Default)]
pub struct Projection {
    shape: Shape,
    /// `returned: request` attributes that the client has just written (CHR-011).
    written: Vec<Selected>,
    slip: Option<Slip>,
}

/// A name that was ignored although it is nearly a name of the kind.
#[derive(Debug, Clone)]
struct Slip {
    name: String,
    meant: String,
}

#[derive(Debug, Clone, Default)]
enum Shape {
    #[default]
    Default,
    Only(Vec<Selected>),
    Without(Vec<Selected>),
}

/// One name in `attributes` or `excludedAttributes`, resolved.
#[derive(Debug, Clone)]
struct Selected {
    container: Option<Urn>,
    /// Absent for a whole extension.
    attribute: Option<String>,
    sub: Option<String>,
}

impl Selected {
    fn of(target: PathTarget) -> Self {
        match target {
            PathTarget::Container(extension) => {
                Self { container: Some(extension.schema.id.clone()), attribute: None, sub: None }
            }
            PathTarget::Attribute(reference) => Self {
                container: reference.container,
                attribute: Some(reference.attribute.name.to_string()),
                sub: reference.sub_attribute.map(|sub| sub.name.to_string()),
            },
        }
    }

    fn covers(&self, container: Option<&Urn>, attribute: &str) -> bool {
        self.container.as_ref() == container
            && self.attribute.as_deref().is_none_or(|name| name == attribute)
    }
}

/// How much of an attribute is shown.
pub(super) enum Extent {
    Nothing,
    Whole,
    /// Only these sub-attributes, and those that are always returned.
    Subs(Vec<String>),
    /// All but these sub-attributes.
    AllBut(Vec<String>),
}

impl Extent {
    /// Returns whether a sub-attribute is in it.
    pub(super) fn covers(&self, sub: &str) -> bool {
        match self {
            Self::Nothing => false,
            Self::Whole => true,
            Self::Subs(subs) => subs.iter().any(|name| name == sub),
            Self::AllBut(subs) => subs.iter().all(|name| name != sub),
        }
    }

    /// Returns whether a sub-attribute is shown, by its own `returned`, too.
    pub(super) fn shows(&self, sub: &Attribute) -> bool {
        match sub.returned {
            Returned::Always => true,
            Returned::Never => false,
            Returned::Default => self.covers(&sub.name),
            Returned::Request => matches!(self, Self::Subs(_)) && self.covers(&sub.name),
        }
    }
}

/// Resolves the names of a projection.
struct Resolver<'a> {
    kind: &'a ResourceType,
    quirks: Quirks,
    applied: &'a mut Applied,
    slip: Option<Slip>,
}

impl Resolver<'_> {
    fn resolve(&mut self, names: Vec<&str>) -> Vec<Selected> {
        let mut selected = Vec::with_capacity(names.len());
        for name in names {
            let path = lenient::repair_path(self.kind, self.quirks, self.applied, name);
            match self.kind.resolve_target(&path) {
                Ok(target) => selected.push(Selected::of(target)),
                Err(_) if self.slip.is_none() => {
                    let name = excerpt(name);
                    self.slip = self.kind.suggest(&path).map(|meant| Slip { name, meant });
                }
                Err(_) => {}
            }
        }
        selected
    }
}

impl Projection {
    /// Resolves the names of `attributes` and `excludedAttributes`.
    ///
    /// Names that the kind does not have are ignored (PRJ-008), since clients send all names that they map.
    /// [`Projection::slip`] returns the first one that is nearly a name of the kind.
    ///
    /// # Errors
    ///
    /// `invalidValue` when both lists are given (RFC 7644 §3.9 makes them exclusive).
    pub fn new(
        kind: &ResourceType,
        attributes: &[String],
        excluded: &[String],
    ) -> Result<Self, Error> {
        let mut applied = Applied::default();
        Self::read(kind, Quirks::NONE, &mut applied, attributes, excluded)
    }

    /// Resolves the names as [`Projection::new`] does, in the spellings that a tenant allows.
    ///
    /// # Errors
    ///
    /// As [`Projection::new`].
    pub(crate) fn read(
        kind: &ResourceType,
        quirks: Quirks,
        applied: &mut Applied,
        attributes: &[String],
        excluded: &[String],
    ) -> Result<Self, Error> {
        let attributes = names(attributes);
        let excluded = names(excluded);
        if !attributes.is_empty() && !excluded.is_empty() {
            return Err(Error::message_value(
                "attributes and excludedAttributes exclude each other; send one of them",
            ));
        }
        let mut resolver = Resolver { kind, quirks, applied, slip: None };
        let shape = match (attributes.is_empty(), excluded.is_empty()) {
            (true, true) => Shape::Default,
            (false, _) => Shape::Only(resolver.resolve(attributes)),
            (true, false) => Shape::Without(resolver.resolve(excluded)),
        };
        Ok(Self { shape, written: Vec::new(), slip: resolver.slip })
    }

    /// Shows what the client has just written even if it is `returned: request`.
    #[must_use]
    pub fn with_written(mut self, written: impl IntoIterator<Item = AttrRef>) -> Self {
        self.written = written
            .into_iter()
            .map(|reference| Selected::of(PathTarget::Attribute(reference)))
            .collect();
        self
    }

    /// Returns a warning about a name that was ignored although it is nearly a name of the kind. The reply
    /// conforms to the RFC but is probably not what the client wants.
    pub fn slip(&self) -> Option<String> {
        let Slip { name, meant } = self.slip.as_ref()?;
        Some(format!("unknown attribute \"{name}\" was ignored; did you mean \"{meant}\"?"))
    }

    /// Returns whether the client asked for particular attributes.
    pub fn is_explicit(&self) -> bool {
        !matches!(self.shape, Shape::Default)
    }

    /// Returns whether the reply shows the members of a group.
    pub fn shows_members(&self, kind: &ResourceType) -> bool {
        kind.membership == Membership::Members && self.shows(kind, "members")
    }

    /// Returns whether the reply shows the names of members: only when the client names `members.display`
    /// itself.
    pub fn names_members(&self, kind: &ResourceType) -> bool {
        let Shape::Only(list) = &self.shape else { return false };
        kind.membership == Membership::Members
            && list.iter().any(|selected| {
                selected.covers(None, "members")
                    && selected.attribute.is_some()
                    && selected.sub.as_deref() == Some("display")
            })
    }

    /// Returns whether the reply shows the computed groups of a user.
    pub fn shows_groups(&self, kind: &ResourceType) -> bool {
        kind.membership == Membership::Groups && self.shows(kind, "groups")
    }

    /// Returns whether the version covers everything that the reply shows.
    ///
    /// The groups of a user and the names of members come from other resources, whose changes do not change
    /// the version of this one. A reply that shows them can be modified although the version is the same
    /// (ADR 44).
    pub fn is_covered_by_version(&self, kind: &ResourceType) -> bool {
        !self.shows_groups(kind) && !self.names_members(kind)
    }

    fn shows(&self, kind: &ResourceType, name: &str) -> bool {
        kind.schema
            .attribute(name)
            .is_some_and(|attribute| !matches!(self.extent(None, attribute), Extent::Nothing))
    }

    /// Applies `returned` and the request's lists to one attribute.
    pub(super) fn extent(&self, container: Option<&Urn>, attribute: &Attribute) -> Extent {
        match attribute.returned {
            Returned::Never => return Extent::Nothing,
            Returned::Always => return Extent::Whole,
            Returned::Default | Returned::Request => {}
        }
        let on_request = attribute.returned == Returned::Request;
        match &self.shape {
            Shape::Only(list) => match subs_in(list, container, attribute) {
                None if attribute
                    .sub_attributes
                    .iter()
                    .any(|sub| sub.returned == Returned::Always) =>
                {
                    Extent::Subs(Vec::new())
                }
                None => Extent::Nothing,
                Some(subs) if subs.is_empty() => Extent::Whole,
                Some(subs) => Extent::Subs(subs),
            },
            Shape::Default | Shape::Without(_)
                if on_request && subs_in(&self.written, container, attribute).is_none() =>
            {
                Extent::Nothing
            }
            Shape::Default => Extent::Whole,
            Shape::Without(list) => match subs_in(list, container, attribute) {
                None => Extent::Whole,
                Some(subs) if subs.is_empty() => Extent::Nothing,
                Some(subs) => Extent::AllBut(subs),
            },
        }
    }

    /// Returns whether the stored text is sent as it is: the client leaves out at most computed parts.
    pub(super) fn splices(&self, kind: &ResourceType) -> bool {
        let whole = match &self.shape {
            Shape::Default => true,
            Shape::Only(_) => false,
            Shape::Without(list) => list.iter().all(|selected| {
                selected.container.is_none()
                    && matches!(selected.attribute.as_deref(), Some("members" | "groups"))
            }),
        };
        kind.spliceable && whole
    }
}

/// Returns the sub-attributes that a list names of an attribute: `None` if it does not name the
/// attribute, and no sub-attribute if it names the whole of it.
fn subs_in(
    list: &[Selected],
    container: Option<&Urn>,
    attribute: &Attribute,
) -> Option<Vec<String>> {
    let mut subs = None;
    for selected in list.iter().filter(|selected| selected.covers(container, &attribute.name)) {
        match &selected.sub {
            Some(sub) => subs.get_or_insert_with(Vec::new).push(sub.clone()),
            None => return Some(Vec::new()),
        }
    }
    subs
}

/// Splits a list of names. A filter after a name does not change which attribute is meant: Microsoft's
/// collection asks for `attributes=emails[type eq "work"]`.
fn names(list: &[String]) -> Vec<&str> {
    list.iter()
        .flat_map(|item| split_list(item))
        .map(|name| name.split_once('[').map_or(name, |(bare, _)| bare).trim())
        .filter(|name| !name.is_empty())
        .collect()
}
