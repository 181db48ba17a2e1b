//! Conditional requests (RFC 7644 §3.14, RFC 9110 §13).

use crate::error::Error;
use crate::ids::Version;
use crate::resource::Resource;

/// The entity tags of one header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tags {
    /// `*`
    Any,
    /// The opaque parts of the tags, without quotes and `W/`.
    List(Vec<String>),
}

impl Tags {
    /// Reads `If-Match` or `If-None-Match`. `W/"x"`, `"x"` and a bare `x` mean the same.
    ///
    /// # Errors
    ///
    /// `invalidSyntax` for a malformed header. It must not be ignored, since the client relies on the
    /// condition (ETG-013).
    pub fn parse(header: &str) -> Result<Self, Error> {
        if header.trim() == "*" {
            return Ok(Self::Any);
        }
        let (mut tags, mut rest) = (Vec::new(), header);
        loop {
            let (tag, tail) = first_tag(rest.trim_start()).ok_or_else(malformed_tags)?;
            tags.push(tag.to_owned());
            match tail.trim_start().split_at_checked(1) {
                None => return Ok(Self::List(tags)),
                Some((",", more)) => rest = more,
                Some(_) => return Err(malformed_tags()),
            }
        }
    }

    /// Returns whether the version is among the tags.
    pub fn contain_version(&self, version: Version) -> bool {
        self.contain(&version.counter().to_string())
    }

    /// Returns whether the opaque part of a tag is among them.
    pub fn contain(&self, opaque: &str) -> bool {
        match self {
            Self::Any => true,
            Self::List(tags) => tags.iter().any(|tag| tag == opaque),
        }
    }
}

fn malformed_tags() -> Error {
    Error::syntax(
        "If-Match and If-None-Match are lists of entity tags such as W/\"3\", joined by commas, or *",
    )
}

/// Reads the tag at the start of a list, and returns the rest. A comma between quotes is part of a tag.
fn first_tag(list: &str) -> Option<(&str, &str)> {
    let list = list.strip_prefix("W/").unwrap_or(list);
    let (tag, tail) = match list.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"')?,
        None => list.split_at_checked(list.find([',', ' ', '\t', '"']).unwrap_or(list.len()))?,
    };
    let valid = !tag.is_empty() && tag.bytes().all(|byte| byte.is_ascii_graphic());
    valid.then_some((tag, tail))
}

/// The condition of a request on the stored version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Precondition {
    /// The version must be among these.
    pub if_match: Option<Tags>,
    /// The version must not be among these.
    pub if_none_match: Option<Tags>,
}

impl Precondition {
    /// No condition.
    pub const NONE: &'static Self = &Self { if_match: None, if_none_match: None };

    /// Checks the version that a write would replace.
    ///
    /// # Errors
    ///
    /// [`Error::PreconditionFailed`].
    pub fn check(&self, resource: &Resource) -> Result<(), Error> {
        let matches =
            self.if_match.as_ref().is_none_or(|tags| tags.contain_version(resource.version));
        let excluded =
            self.if_none_match.as_ref().is_some_and(|tags| tags.contain_version(resource.version));
        if matches && !excluded {
            return Ok(());
        }
        Err(Error::PreconditionFailed { current: resource.version.to_string() })
    }

    /// Returns whether the reply to a read may be 304.
    pub fn is_unmodified(&self, resource: &Resource) -> bool {
        self.if_none_match.as_ref().is_some_and(|tags| tags.contain_version(resource.version))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn etg_010_spellings_of_a_tag_are_one() {
        for header in ["W/\"3\"", "\"3\"", "3", "\"1\", W/\"3\""] {
            assert!(Tags::parse(header).unwrap().contain_version(Version::new(3)), "{header}");
            assert!(!Tags::parse(header).unwrap().contain_version(Version::new(33)), "{header}");
        }
        assert!(Tags::parse(" * ").unwrap().contain_version(Version::new(3)));
    }

    #[test]
    fn a_2_a_comma_between_quotes_is_part_of_the_tag() {
        let tags = Tags::parse("W/\"a,b\" ,\"3\"").unwrap();
        assert_eq!(tags, Tags::List(vec!["a,b".to_owned(), "3".to_owned()]));
    }

    #[test]
    fn etg_013_a_malformed_header_is_refused() {
        for header in ["abc\"", "\"abc", "", ",", "\"\"", "a b", "\"1\"2", "\"1\",", "1,,2"] {
            assert!(Tags::parse(header).is_err(), "{header}");
        }
    }
}
