//! What of a resource a reply shows: `attributes`, `excludedAttributes` and the schema's `returned`
//! (RFC 7644 §3.9, RFC 7643 §7).

use crate::error::{Error, excerpt};
use crate::ids::Urn;
use crate::lenient;
use crate::path::{AttrRef, Target, listed};
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

/// A name that was ignored although it is nearly one of the kind's.
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
    /// Absent when a whole extension is meant.
    attribute: Option<String>,
    sub: Option<String>,
}

impl Selected {
    fn of(target: Target) -> Self {
        match target {
            Target::Container(extension) => {
                Self { container: Some(extension.schema.id.clone()), attribute: None, sub: None }
            }
            Target::Attribute(reference) => Self {
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
pub(super) enum Shown {
    Nothing,
    Whole,
    /// Only these sub-attributes, and those that are always returned.
    Subs(Vec<String>),
    /// All but these sub-attributes.
    AllBut(Vec<String>),
}

impl Projection {
    /// Resolves the names of `attributes` and `excludedAttributes`.
    ///
    /// Names that the kind does not have are ignored (PRJ-008): clients send those they map. The first one
    /// that is nearly a name of the kind is kept for [`Projection::slip`].
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
            return Err(Error::value(
                "",
                "attributes and excludedAttributes exclude each other; send one of them",
            ));
        }
        let mut slip = None;
        let mut resolve = |names: Vec<&str>| -> Vec<Selected> {
            let mut selected = Vec::with_capacity(names.len());
            for name in names {
                let path = lenient::path(kind, quirks, applied, name);
                match kind.resolve_target(&path) {
                    Ok(target) => selected.push(Selected::of(target)),
                    Err(_) if slip.is_none() => {
                        let name = excerpt(name);
                        slip = kind.suggest(&path).map(|meant| Slip { name, meant });
                    }
                    Err(_) => {}
                }
            }
            selected
        };
        let shape = match (attributes.is_empty(), excluded.is_empty()) {
            (true, true) => Shape::Default,
            (false, _) => Shape::Only(resolve(attributes)),
            (true, false) => Shape::Without(resolve(excluded)),
        };
        Ok(Self { shape, written: Vec::new(), slip })
    }

    /// Shows what the client has just written even where it is `returned: request`.
    #[must_use]
    pub fn with_written(mut self, written: impl IntoIterator<Item = AttrRef>) -> Self {
        self.written = written
            .into_iter()
            .map(|reference| Selected::of(Target::Attribute(reference)))
            .collect();
        self
    }

    /// Says which name was ignored although it is nearly one of the kind's, and which one is meant. The
    /// answer to such a request is right by the RFC and hardly what the client wants.
    pub fn slip(&self) -> Option<String> {
        let Slip { name, meant } = self.slip.as_ref()?;
        Some(format!("unknown attribute \"{name}\" was ignored; did you mean \"{meant}\"?"))
    }

    /// Tells whether the client asked for particular attributes.
    pub fn is_explicit(&self) -> bool {
        !matches!(self.shape, Shape::Default)
    }

    /// Tells whether the reply shows the members of a group.
    pub fn shows_members(&self, kind: &ResourceType) -> bool {
        kind.membership == Membership::Members && self.shows(kind, "members")
    }

    /// Returns whether the reply shows what members are called: only when the client names
    /// `members.display` itself.
    pub fn names_members(&self, kind: &ResourceType) -> bool {
        let named = |selected: &Selected| {
            selected.covers(None, "members")
                && selected.attribute.is_some()
                && selected.sub.as_deref() == Some("display")
        };
        kind.membership == Membership::Members
            && matches!(&self.shape, Shape::Only(list) if list.iter().any(named))
    }

    /// Tells whether the reply shows the computed groups of a user.
    pub fn shows_groups(&self, kind: &ResourceType) -> bool {
        kind.membership == Membership::Groups && self.shows(kind, "groups")
    }

    /// Tells whether the version covers everything that the reply shows.
    ///
    /// It counts what is stored with a resource. The groups of a user and the names of members come from
    /// other resources, whose changes leave the version as it is: a reply that shows them must not be called
    /// unmodified because the version is (ADR 44).
    pub fn is_covered_by_version(&self, kind: &ResourceType) -> bool {
        !self.shows_groups(kind) && !self.names_members(kind)
    }

    fn shows(&self, kind: &ResourceType, name: &str) -> bool {
        kind.schema
            .attribute(name)
            .is_some_and(|attribute| !matches!(self.shown(None, attribute), Shown::Nothing))
    }

    /// Applies `returned` and the request's lists to one attribute.
    pub(super) fn shown(&self, container: Option<&Urn>, attribute: &Attribute) -> Shown {
        let selected = |list: &[Selected]| -> Option<Vec<String>> {
            let mut subs = Vec::new();
            let mut any = false;
            for selected in
                list.iter().filter(|selected| selected.covers(container, &attribute.name))
            {
                any = true;
                match &selected.sub {
                    Some(sub) => subs.push(sub.clone()),
                    None => return Some(Vec::new()),
                }
            }
            any.then_some(subs)
        };
        match attribute.returned {
            Returned::Never => return Shown::Nothing,
            Returned::Always => return Shown::Whole,
            Returned::Default | Returned::Request => {}
        }
        let on_request = attribute.returned == Returned::Request;
        match &self.shape {
            Shape::Only(list) => match selected(list) {
                None if attribute
                    .sub_attributes
                    .iter()
                    .any(|sub| sub.returned == Returned::Always) =>
                {
                    Shown::Subs(Vec::new())
                }
                None => Shown::Nothing,
                Some(subs) if subs.is_empty() => Shown::Whole,
                Some(subs) => Shown::Subs(subs),
            },
            Shape::Default | Shape::Without(_)
                if on_request && selected(&self.written).is_none() =>
            {
                Shown::Nothing
            }
            Shape::Default => Shown::Whole,
            Shape::Without(list) => match selected(list) {
                None => Shown::Whole,
                Some(subs) if subs.is_empty() => Shown::Nothing,
                Some(subs) => Shown::AllBut(subs),
            },
        }
    }

    /// Tells whether the stored text can be sent: at most computed parts are left out.
    pub(super) fn splices(&self, kind: &ResourceType) -> bool {
        let computed = |selected: &Selected| {
            selected.container.is_none()
                && selected
                    .attribute
                    .as_deref()
                    .is_some_and(|name| matches!(name, "members" | "groups"))
        };
        kind.spliceable
            && match &self.shape {
                Shape::Default => true,
                Shape::Only(_) => false,
                Shape::Without(list) => list.iter().all(computed),
            }
    }
}

/// Splits a list of names; a value filter behind a name (Microsoft's collection asks for
/// `attributes=emails[type eq "work"]`) does not change which attribute is meant.
fn names(list: &[String]) -> Vec<&str> {
    let bare = |name: &str| name.find('[').map_or(name.len(), |at| at);
    list.iter()
        .flat_map(|item| listed(item))
        .map(|name| name.get(..bare(name)).unwrap_or(name).trim())
        .filter(|name| !name.is_empty())
        .collect()
}
