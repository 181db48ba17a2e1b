//! URNs that are nearly those of a kind: whoever writes one means a schema that is here.

use crate::ids::Urn;
use crate::schema::ResourceType;

/// Under these stand the schemas of the RFC and of nobody else, in either version of SCIM.
const CORE: [&str; 2] = ["urn:ietf:params:scim:schemas:core:", "urn:scim:schemas:core:"];
/// The most letters of one segment that can be wrong, missing, too many or exchanged.
const MAX_SLIP: usize = 2;
/// So many letters of a segment make room for one slip: short ones are told apart by each letter.
const LETTERS_PER_SLIP: usize = 4;

/// Returns what follows a URN at the start of a path, in any case.
pub(super) fn behind<'p>(urn: &Urn, path: &'p str) -> Option<&'p str> {
    let urn = urn.as_str();
    let head = path.get(..urn.len())?;
    head.eq_ignore_ascii_case(urn).then(|| path.get(urn.len()..)).flatten()
}

/// Returns the URN of the kind that a path means which begins with none of them and a colon: the one
/// that it begins with, the one of which it has another version or one segment with a slip, or the core
/// schema's when the path stands where core schemas do.
pub(super) fn meant<'k>(kind: &'k ResourceType, path: &str) -> Option<&'k Urn> {
    let begun = kind.containers().filter(|(urn, _)| behind(urn, path).is_some());
    let begun = begun.map(|(urn, _)| urn).max_by_key(|urn| urn.as_str().len());
    let slipped = || kind.containers().map(|(urn, _)| urn).find(|urn| is_near(urn, path));
    let core = || {
        let starts = |core: &&str| {
            path.get(..core.len()).is_some_and(|head| head.eq_ignore_ascii_case(core))
        };
        CORE.iter().any(starts).then_some(&kind.schema.id)
    };
    begun.or_else(slipped).or_else(core)
}

/// Tells whether a path begins with a URN but for its version and a slip in one other segment.
fn is_near(urn: &Urn, path: &str) -> bool {
    let segments = |text: &str| -> Vec<String> {
        text.split(':').filter(|part| !is_version(part)).map(str::to_ascii_lowercase).collect()
    };
    let (known, written) = (segments(urn.as_str()), segments(path));
    if written.len() < known.len() {
        return false;
    }
    let mut slips = 0;
    for (index, (known_part, part)) in known.iter().zip(&written).enumerate() {
        // A dot behind the last segment begins the attribute.
        let last = index + 1 == known.len();
        let part = if last { part.split('.').next().unwrap_or_default() } else { part };
        if known_part == part {
            continue;
        }
        let room = (known_part.len().max(part.len()) / LETTERS_PER_SLIP).min(MAX_SLIP);
        slips += 1;
        if slips > 1 || strsim::osa_distance(known_part, part) > room {
            return false;
        }
    }
    true
}

/// `2.0` and `1`.
fn is_version(segment: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    match segment.split_once('.') {
        Some((major, minor)) => digits(major) && digits(minor),
        None => digits(segment),
    }
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
