//! Normalizes what clients send to canonical attributes, strictly by the RFC. What identity providers do
//! differently has been repaired before (see [`crate::lenient`]).

use std::fmt;

use precis_core::profile::Profile as _;
use precis_profiles::UsernameCaseMapped;
use serde_json::{Map, Value};

use super::{Attributes, Rules};
use crate::error::{Error, excerpt};
use crate::members::{self, MemberRef};
use crate::quirks::Quirks;
use crate::schema::{Attribute, Membership, ResourceType, Returned, Schema};

/// Bytes of one text, in UTF-8.
pub const MAX_STRING_BYTES: usize = 64 * 1024;
/// Values of one multi-valued attribute; `members` has its own limit.
pub const MAX_VALUES: usize = 1_000;

/// A body after normalization.
#[derive(Debug)]
pub(crate) struct Normalized {
    pub(crate) attributes: Attributes,
    /// The `members`, if the body had the attribute. They are rows, not part of the document.
    pub(crate) members: Option<Vec<MemberRef>>,
}

/// The position of a value in a body, for error messages.
#[derive(Clone, Copy)]
pub(crate) enum At<'a> {
    Root,
    Under(&'a At<'a>, &'a str),
    Element(&'a At<'a>, usize),
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            At::Root => Ok(()),
            At::Under(At::Root, name) => f.write_str(name),
            // An extension's URN is joined by a colon, an attribute by a dot.
            At::Under(parent @ At::Under(At::Root, urn), name) if urn.contains(':') => {
                write!(f, "{parent}:{name}")
            }
            At::Under(parent, name) => write!(f, "{parent}.{name}"),
            At::Element(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

impl At<'_> {
    pub(super) fn refuse(&self, reason: impl Into<String>) -> Error {
        Error::value(self.to_string(), reason)
    }
}

/// Normalizes the body of a POST or PUT.
///
/// # Errors
///
/// `invalidSyntax` for a body that is not an object, repeats a name in another case, or names schemas that
/// the kind does not have; `invalidValue` for values that do not fit.
pub(crate) fn body(kind: &ResourceType, quirks: Quirks, raw: Value) -> Result<Normalized, Error> {
    let Value::Object(map) = raw else {
        return Err(Error::syntax("the request body must be a JSON object"));
    };
    check_schemas(kind, quirks, &map)?;
    canonical(kind, quirks, map)
}

fn check_schemas(
    kind: &ResourceType,
    quirks: Quirks,
    map: &Map<String, Value>,
) -> Result<(), Error> {
    let schemas =
        map.iter().find(|(name, _)| name.eq_ignore_ascii_case("schemas")).map(|(_, value)| value);
    let Some(Value::Array(urns)) = schemas else {
        return Err(Error::syntax(format!(
            "schemas must be an array that names {}",
            kind.schema.id
        )));
    };
    let mut base = false;
    for urn in urns {
        let Some(urn) = urn.as_str() else {
            return Err(Error::syntax("schemas must be an array of texts"));
        };
        if urn.eq_ignore_ascii_case(kind.schema.id.as_str()) {
            base = true;
        } else if kind.extension(urn).is_none() {
            return Err(Error::syntax(format!(
                "schemas names \"{}\", which {} does not have",
                excerpt(urn),
                kind.kind
            )));
        }
    }
    if !base {
        return Err(Error::syntax(format!("schemas must name {}", kind.schema.id)));
    }
    // RFC 7643 §3: schemas name each extension of which the resource has values.
    match kind.unnamed_extensions(map, urns).first() {
        Some(urn) if !quirks.has(Quirks::SCHEMAS_REPAIRED) => {
            Err(Error::syntax(format!("schemas must name {urn}, since the body has values of it")))
        }
        _ => Ok(()),
    }
}

/// Converts a whole resource to canonical form: names, types, order, required attributes.
///
/// Canonical attributes stay the same.
pub(crate) fn canonical(
    kind: &ResourceType,
    quirks: Quirks,
    map: Map<String, Value>,
) -> Result<Normalized, Error> {
    by_rules(kind, Rules::new(quirks), map)
}

/// Converts a resource to canonical form as [`canonical`] does. Its values are stored or have passed the
/// rules before.
///
/// The rules for the form of values apply to what a client sends. A value that an earlier release stored, or
/// that was stored under other quirks of the tenant, must not prevent the change of another one.
pub(crate) fn canonical_stored(
    kind: &ResourceType,
    quirks: Quirks,
    map: Map<String, Value>,
) -> Result<Normalized, Error> {
    by_rules(kind, Rules { stored: true, ..Rules::new(quirks) }, map)
}

fn by_rules(
    kind: &ResourceType,
    rules: Rules,
    map: Map<String, Value>,
) -> Result<Normalized, Error> {
    let mut slots = Slots::of(kind, rules);
    for (name, value) in map {
        slots.put(&name, value)?;
    }
    slots.finish()
}

/// The normalized values of a resource, in the order of its schemas.
struct Slots<'k> {
    kind: &'k ResourceType,
    rules: Rules,
    /// By position in the core schema. `null` marks a name as seen.
    core: Vec<Option<Value>>,
    extensions: Vec<Option<Map<String, Value>>>,
    external_id: Option<Value>,
    members: Option<Vec<MemberRef>>,
    seen_common: [bool; COMMON_NAMES.len()],
}

impl<'k> Slots<'k> {
    fn of(kind: &'k ResourceType, rules: Rules) -> Self {
        Self {
            kind,
            rules,
            core: vec![None; kind.schema.attributes.len()],
            extensions: vec![None; kind.extensions.len()],
            external_id: None,
            members: None,
            seen_common: [false; COMMON_NAMES.len()],
        }
    }

    /// Normalizes a value into its slot. A name may be in a body once, in any case.
    fn put(&mut self, name: &str, value: Value) -> Result<(), Error> {
        let kind = self.kind;
        let mut core = self.core.iter_mut().zip(&kind.schema.attributes);
        if let Some((slot, attribute)) =
            core.find(|(_, attribute)| attribute.name.eq_ignore_ascii_case(name))
        {
            if kind.membership == Membership::Members && &*attribute.name == "members" {
                refuse_second(name, &self.members)?;
                self.members = Some(members::replacement(members::parse(value)?)?);
                return Ok(());
            }
            refuse_second(name, slot)?;
            let at = At::Under(&At::Root, &attribute.name);
            let given = self.rules.attribute(attribute, value, &at)?;
            *slot = Some(given.value().unwrap_or(Value::Null));
            return Ok(());
        }
        let mut common = COMMON_NAMES.iter().zip(&mut self.seen_common);
        if let Some((_, seen)) = common.find(|(common, _)| common.eq_ignore_ascii_case(name)) {
            if std::mem::replace(seen, true) {
                return Err(twice(name));
            }
            // RFC 7643 §3.1: only the server sets `id` and `meta`; a client's values are ignored.
            if name.eq_ignore_ascii_case("externalId") {
                self.external_id = self.rules.text(value, &At::Under(&At::Root, "externalId"))?;
            }
            return Ok(());
        }
        let mut extensions = self.extensions.iter_mut().zip(&kind.extensions);
        if let Some((slot, extension)) =
            extensions.find(|(_, one)| one.schema.id.as_str().eq_ignore_ascii_case(name))
        {
            refuse_second(name, slot)?;
            let at = At::Under(&At::Root, extension.schema.id.as_str());
            *slot = Some(match value {
                Value::Null => Map::new(),
                Value::Object(map) => self.rules.object(&extension.schema.attributes, map, &at)?,
                _ => {
                    let at = At::Under(&At::Root, name);
                    return Err(at.refuse("an extension must be an object"));
                }
            });
            return Ok(());
        }
        Err(Error::syntax(format!(
            "{} has no attribute \"{}\"; remove it or correct its name",
            kind.kind,
            excerpt(name)
        )))
    }

    /// Checks what the schemas require, and returns the values.
    fn finish(self) -> Result<Normalized, Error> {
        let kind = self.kind;
        let mut out = Map::new();
        if let Some(external_id) = self.external_id {
            out.insert("externalId".to_owned(), external_id);
        }
        fill(&kind.schema, self.core, &mut out);
        require(&kind.schema.attributes, &out, &At::Root)?;
        for (extension, map) in kind.extensions.iter().zip(self.extensions) {
            let map = map.unwrap_or_default();
            let at = At::Under(&At::Root, extension.schema.id.as_str());
            if extension.required && map.is_empty() {
                return Err(at.refuse(format!("every {} must have this extension", kind.kind)));
            }
            // An extension's required attributes are required only where the extension is used (EXT-006).
            if !map.is_empty() {
                require(&extension.schema.attributes, &map, &at)?;
                out.insert(extension.schema.id.as_str().to_owned(), Value::Object(map));
            }
        }
        check_user_name(kind, self.rules.quirks, &out)?;
        Ok(Normalized { attributes: Attributes::from_canonical(out), members: self.members })
    }
}

fn refuse_second<T>(name: &str, slot: &Option<T>) -> Result<(), Error> {
    if slot.is_some() { Err(twice(name)) } else { Ok(()) }
}

const COMMON_NAMES: [&str; 4] = ["schemas", "id", "meta", "externalId"];

pub(super) fn position(attributes: &[std::sync::Arc<Attribute>], name: &str) -> Option<usize> {
    attributes.iter().position(|attribute| attribute.name.eq_ignore_ascii_case(name))
}

pub(super) fn twice(name: &str) -> Error {
    Error::syntax(format!("the attribute \"{}\" is sent twice, in different case", excerpt(name)))
}

fn fill(schema: &Schema, values: Vec<Option<Value>>, out: &mut Map<String, Value>) {
    for (attribute, value) in schema.attributes.iter().zip(values) {
        if let Some(value) = value.filter(|value| !value.is_null()) {
            out.insert((*attribute.name).to_owned(), value);
        }
    }
}

/// Makes a new user without `active` an active one, since clients expect the attribute in every reply
/// (USR-008).
///
/// This applies to creation only: a PATCH that removes `active` leaves it unassigned (RFC 7644 §3.5.2.2). A
/// default there would activate a user whom no client has activated.
pub(crate) fn defaults(
    kind: &ResourceType,
    quirks: Quirks,
    attributes: Attributes,
) -> Result<Attributes, Error> {
    let has_active =
        kind.schema.id.as_str() == crate::schema::USER && kind.schema.attribute("active").is_some();
    if !has_active || attributes.top("active").is_some() {
        return Ok(attributes);
    }
    let mut map = attributes.into_map();
    map.insert("active".to_owned(), Value::Bool(true));
    Ok(canonical(kind, quirks, map)?.attributes)
}

pub(super) fn require(
    attributes: &[std::sync::Arc<Attribute>],
    map: &Map<String, Value>,
    at: &At<'_>,
) -> Result<(), Error> {
    for attribute in attributes.iter().filter(|attribute| attribute.required) {
        // A value that is never stored is missing in every stored document.
        if attribute.returned == Returned::Never || &*attribute.name == "members" {
            continue;
        }
        let blank = match map.get(&*attribute.name) {
            None => true,
            Some(Value::String(text)) => text.trim().is_empty(),
            Some(_) => false,
        };
        if blank {
            return Err(At::Under(at, &attribute.name).refuse("a value is required"));
        }
    }
    Ok(())
}

/// Refuses control characters in names, and characters that the tenant does not allow (I18-003).
fn check_user_name(
    kind: &ResourceType,
    quirks: Quirks,
    out: &Map<String, Value>,
) -> Result<(), Error> {
    if kind.schema.id.as_str() != crate::schema::USER {
        return Ok(());
    }
    let Some(name) = out.get("userName").and_then(Value::as_str) else {
        return Ok(());
    };
    let at = At::Under(&At::Root, "userName");
    if name.chars().any(char::is_control) {
        return Err(at.refuse("control characters cannot be part of a name"));
    }
    if !quirks.has(Quirks::ANY_USER_NAME) && UsernameCaseMapped::new().enforce(name).is_err() {
        return Err(at.refuse(
            "spaces, symbols outside ASCII and mixed writing directions cannot be part of a name in this tenant (RFC 8265 §3.3)",
        ));
    }
    Ok(())
}
