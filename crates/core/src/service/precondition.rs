//! Conditional requests (RFC 7644 §3.14, RFC 9110 §13).

use crate::error::Error;
use crate::ids::Version;
use crate::resource::Resource;

/// The entity tags of one header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tags {
    /// `*`
    Any,
    /// The opaque parts of the tags, without quotes and without their weakness.
    List(Vec<String>),
}

impl Tags {
    /// Reads `If-Match` or `If-None-Match`. `W/"x"`, `"x"` and a bare `x` mean the same.
    ///
    /// # Errors
    ///
    /// `invalidSyntax`: a header that is not understood must not be ignored, since it was meant to
    /// protect something (ETG-013).
    pub fn parse(header: &str) -> Result<Self, Error> {
        let malformed = || {
            Error::syntax(
                "If-Match and If-None-Match hold entity tags such as W/\"3\", joined by commas, or *",
            )
        };
        if header.trim() == "*" {
            return Ok(Self::Any);
        }
        let tags = header.split(',').map(|tag| {
            let tag = tag.trim();
            let bare = tag.strip_prefix("W/").unwrap_or(tag);
            let bare = match bare.strip_prefix('"') {
                Some(inner) => inner.strip_suffix('"')?,
                None => bare,
            };
            let sound = !bare.is_empty() && bare.chars().all(|c| c.is_ascii_graphic() && c != '"');
            sound.then(|| bare.to_owned())
        });
        tags.collect::<Option<Vec<_>>>().map(Self::List).ok_or_else(malformed)
    }

    /// Tells whether the version is among the tags.
    pub fn include(&self, version: Version) -> bool {
        self.name(&version.counter().to_string())
    }

    /// Tells whether the opaque part of a tag is among them.
    pub fn name(&self, opaque: &str) -> bool {
        match self {
            Self::Any => true,
            Self::List(tags) => tags.iter().any(|tag| tag == opaque),
        }
    }
}

/// What must hold of the stored version for a request to be carried out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Precondition {
    /// The version must be among these.
    pub if_match: Option<Tags>,
    /// The version must not be among these.
    pub if_none_match: Option<Tags>,
}

impl Precondition {
    /// Checks the version that a write would replace.
    ///
    /// # Errors
    ///
    /// [`Error::PreconditionFailed`].
    pub fn check(&self, resource: &Resource) -> Result<(), Error> {
        let matches = self.if_match.as_ref().is_none_or(|tags| tags.include(resource.version));
        let excluded =
            self.if_none_match.as_ref().is_some_and(|tags| tags.include(resource.version));
        if matches && !excluded {
            return Ok(());
        }
        Err(Error::PreconditionFailed { current: resource.version.to_string() })
    }

    /// Tells whether a read may be answered with 304.
    pub fn unmodified(&self, resource: &Resource) -> bool {
        self.if_none_match.as_ref().is_some_and(|tags| tags.include(resource.version))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn etg_010_spellings_of_a_tag_are_one() {
        for header in ["W/\"3\"", "\"3\"", "3", "\"1\", W/\"3\""] {
            assert!(Tags::parse(header).unwrap().include(Version::new(3)), "{header}");
            assert!(!Tags::parse(header).unwrap().include(Version::new(33)), "{header}");
        }
        assert!(Tags::parse(" * ").unwrap().include(Version::new(3)));
    }

    #[test]
    fn etg_013_a_malformed_header_is_refused() {
        for header in ["abc\"", "\"abc", "", ",", "\"\"", "a b"] {
            assert!(Tags::parse(header).is_err(), "{header}");
        }
    }
}
