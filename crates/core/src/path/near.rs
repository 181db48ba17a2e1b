//! Suggestions for paths that are nearly right: a mistake in a URN or in a name.

use std::sync::Arc;

use crate::ids::Urn;
use crate::path::Lead;
use crate::schema::{Attribute, Container, ResourceType};

/// The beginnings of the RFC's own schemas, in either version of SCIM.
const CORE: [&str; 2] = ["urn:ietf:params:scim:schemas:core:", "urn:scim:schemas:core:"];
/// Letters of one segment that may be wrong, missing, superfluous or exchanged.
const MAX_SLIP: usize = 2;
/// A segment may have one slip per so many letters. In short segments every letter counts.
const LETTERS_PER_SLIP: usize = 4;

/// Returns what follows a URN at the start of a path, in any case.
pub(super) fn after<'p>(urn: &Urn, path: &'p str) -> Option<&'p str> {
    let urn = urn.as_str();
    let head = path.get(..urn.len())?;
    head.eq_ignore_ascii_case(urn).then(|| path.get(urn.len()..)).flatten()
}

/// Returns the URN of the kind that a path means whose own URN is not one of them.
///
/// It is the URN that the path begins with, without the colon; the one that it has in another version or
/// with a slip in one segment; or the core schema's if the path begins like the RFC's own schemas.
pub(super) fn meant<'k>(kind: &'k ResourceType, path: &str) -> Option<&'k Urn> {
    let urns = kind.containers().map(|(urn, _)| urn);
    let begun = urns.filter(|urn| after(urn, path).is_some()).max_by_key(|urn| urn.as_str().len());
    if begun.is_some() {
        return begun;
    }
    let slipped = kind.containers().map(|(urn, _)| urn).find(|urn| is_near(urn, path));
    if slipped.is_some() {
        return slipped;
    }
    let is_core = CORE
        .iter()
        .any(|core| path.get(..core.len()).is_some_and(|head| head.eq_ignore_ascii_case(core)));
    is_core.then_some(&kind.schema.id)
}

impl ResourceType {
    /// Returns the path that a client meant by one that names nothing, if it has a mistaken URN or a slip in
    /// its attribute.
    pub(crate) fn suggest(&self, path: &str) -> Option<String> {
        let error = self.resolve_target(path).err()?;
        match error.lead {
            Lead::Foreign => None,
            Lead::Mistaken => Some(under_meant_urn(self, path)?),
            Lead::Known => self.without_slip(path),
        }
    }

    /// Corrects a slip in the attribute or in the sub-attribute of a path.
    fn without_slip(&self, path: &str) -> Option<String> {
        let (container, names) = self.split_urn(path).ok()?;
        let names = names?;
        let head = path.strip_suffix(names)?;
        let (name, sub) = names.split_once('.').map_or((names, None), |(a, b)| (a, Some(b)));
        let attributes = match &container {
            Container::Core => &self.schema.attributes,
            Container::Extension(extension) => &extension.schema.attributes,
        };
        let attribute = nearest(attributes, name)?;
        let Some(sub) = sub else { return Some(format!("{head}{}", attribute.name)) };
        let sub = nearest(&attribute.sub_attributes, sub)?;
        Some(format!("{head}{}.{}", attribute.name, sub.name))
    }
}

/// Replaces the URN of a path by the one that is meant, and keeps the attribute if the path names one.
fn under_meant_urn(kind: &ResourceType, path: &str) -> Option<String> {
    let urn = meant(kind, path)?;
    let last = path.rsplit(':').next()?;
    let names = [Some(last), last.split_once('.').map(|(_, names)| names)];
    let mut paths = names.into_iter().flatten().map(|names| format!("{urn}:{names}"));
    let known = paths.find(|path| kind.resolve_target(path).is_ok());
    Some(known.unwrap_or_else(|| urn.to_string()))
}

/// Finds the attribute whose name is nearest, with at most a slip.
fn nearest<'k>(attributes: &'k [Arc<Attribute>], name: &str) -> Option<&'k Arc<Attribute>> {
    let name = name.to_ascii_lowercase();
    let near = attributes.iter().filter_map(|attribute| {
        Some((slip(&attribute.name.to_ascii_lowercase(), &name)?, attribute))
    });
    near.min_by_key(|(slip, _)| *slip).map(|(_, attribute)| attribute)
}

/// Returns the distance of two segments, or `None` if it is more than a slip.
///
/// A client's segment may be as long as a body. The distance is at least the difference in length, and a
/// letter has at most four bytes, so that a long segment is dismissed without being read.
fn slip(known: &str, written: &str) -> Option<usize> {
    if written.len() > (known.len() + MAX_SLIP).saturating_mul(4) {
        return None;
    }
    let slip = strsim::osa_distance(known, written);
    let max = (known.len().max(written.len()) / LETTERS_PER_SLIP).min(MAX_SLIP);
    (slip <= max).then_some(slip)
}

/// Returns the segments of a URN but its version, in lower case.
fn segments(text: &str) -> Vec<String> {
    text.split(':').filter(|part| !is_version(part)).map(str::to_ascii_lowercase).collect()
}

/// Returns whether a path begins with a URN but for its version and a slip in one other segment.
fn is_near(urn: &Urn, path: &str) -> bool {
    let (known, written) = (segments(urn.as_str()), segments(path));
    if written.len() < known.len() {
        return false;
    }
    let mut slips = 0;
    for (index, (known_part, part)) in known.iter().zip(&written).enumerate() {
        // A dot after the last segment begins the attribute.
        let last = index + 1 == known.len();
        let part = if last { part.split('.').next().unwrap_or_default() } else { part };
        if known_part == part {
            continue;
        }
        slips += 1;
        if slips > 1 || slip(known_part, part).is_none() {
            return false;
        }
    }
    true
}

/// Returns whether a segment is a version such as `2.0` or `1`.
fn is_version(segment: &str) -> bool {
    let (major, minor) = segment.split_once('.').unwrap_or((segment, "0"));
    [major, minor]
        .iter()
        .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use crate::error::Lead;
    use crate::schema::Registry;

    const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

    fn lead(path: &str) -> Lead {
        let registry = Registry::builtin().unwrap();
        registry.kind("User").unwrap().resolve(path).unwrap_err().lead
    }

    #[test]
    fn s1_a_name_as_long_as_a_body_is_not_compared() {
        let long = "a".repeat(1 << 20);
        assert_eq!(super::slip("nickname", &long), None);
        assert_eq!(super::slip("nickname", "nicknme"), Some(1));
        // As far away as a slip can be, in letters of four bytes.
        assert_eq!(super::slip("abcdefgh", "abcdefgh\u{1f600}\u{1f600}"), Some(2));
    }

    #[test]
    fn a_8_a_near_miss_of_a_urn_is_a_mistake_and_names_the_right_one() {
        let registry = Registry::builtin().unwrap();
        let kind = registry.kind("User").unwrap();
        for path in [
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User.department",
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:Userdepartment",
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:Users:department",
            "urn:ietf:params:scim:schemas:extension:enterprise:1.0:User:department",
            "URN:ietf:params:scim:schemas:extension:enterprise:2:user:department",
            "urn:ietf:params:scim:schemas:extension:enterprise:User:department",
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:Usr:department",
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:Uesr.department",
            "urn:ietf:params:scim:schemas:extension:enterprize:2.0:User:department",
            "urn:ietf:params:scim:schemas:extensions:enterprise:2.0:User:department",
            "urn:ietf:params:scim:schema:extension:enterprise:2.0:User:department",
            "urn:ietf:params:scim:schemas:extension:enterprise:1.0:Usr",
        ] {
            let error = kind.resolve(path).unwrap_err();
            assert_eq!(error.lead, Lead::Mistaken, "{path}");
            assert!(error.reason.contains(ENTERPRISE), "{path}: {}", error.reason);
        }
        for path in [
            "urn:ietf:params:scim:schemas:core:2.0:User.title",
            "urn:ietf:params:scim:schemas:core:2.0:Group:displayName",
            "urn:ietf:params:scim:schemas:core:2.0:Anything:x",
            "urn:scim:schemas:core:1.0:userName",
        ] {
            let error = kind.resolve(path).unwrap_err();
            assert_eq!(error.lead, Lead::Mistaken, "{path}");
            assert!(error.reason.contains("core:2.0:User,"), "{path}: {}", error.reason);
        }
    }

    #[test]
    fn a_8_what_is_nearly_a_path_of_the_kind_means_it() {
        let registry = Registry::builtin().unwrap();
        let kind = registry.kind("User").unwrap();
        for (path, meant) in [
            (
                "urn:ietf:params:scim:schemas:extension:enterprise:1.0:User:department",
                format!("{ENTERPRISE}:department"),
            ),
            (
                "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User.manager.value",
                format!("{ENTERPRISE}:manager.value"),
            ),
            ("urn:ietf:params:scim:schemas:extension:enterprise:2.0:Usr", ENTERPRISE.to_owned()),
            (
                "urn:ietf:params:scim:schemas:core:1.0:User:title",
                "urn:ietf:params:scim:schemas:core:2.0:User:title".to_owned(),
            ),
            (
                "urn:ietf:params:scim:schemas:core:2.0:User:tittle",
                format!("{}:title", crate::schema::USER),
            ),
            (
                "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:departmnt",
                format!("{ENTERPRISE}:department"),
            ),
            ("usrName", "userName".to_owned()),
            ("name.famlyName", "name.familyName".to_owned()),
            ("email.valu", "emails.value".to_owned()),
        ] {
            assert_eq!(kind.suggest(path), Some(meant), "{path}");
        }
        for path in ["userName", "shoeSize", "urn:example:of:others:1.0:User:userName", "a:b", ""] {
            assert_eq!(kind.suggest(path), None, "{path}");
        }
    }

    #[test]
    fn a_8_every_other_urn_is_foreign() {
        for path in [
            "urn:ietf:params:scim:schemas:extension:example:2.0:User:floor",
            "urn:ietf:params:scim:schemas:extension:CustomExtension:2.0:User:tag",
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:Badge:x",
            "urn:ietf:params:scim:schemas:extension:acme:2.0:User",
            "urn:example:foreign:1.0:User:thing",
            "urn:scim:schemas:extension:enterprise:1.0:department",
            "urn:oid:1.3.6.1.4.1",
            "urn:x",
        ] {
            assert_eq!(lead(path), Lead::Foreign, "{path}");
        }
        for path in ["urn:ietf:params:scim:schemas:core:2.0:User:nope", "nope", "a:b"] {
            assert_eq!(lead(path), Lead::Known, "{path}");
        }
    }
}
