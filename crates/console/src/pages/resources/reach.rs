//! Where a plain text is searched for, and by which filter.

use headcount_core::index;
use headcount_core::schema::ResourceType;
use serde_json::Value;

/// Where a plain text is searched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pages) enum Reach {
    /// In whole names, addresses and ids: a few looks into indexes, however many resources there are.
    Exact,
    /// In parts of indexed attributes: an index is scanned, but no document read.
    Indexed,
    /// In parts of every attribute that is a name: documents are read.
    Everywhere,
}

impl Reach {
    /// Returns the word in addresses and forms.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Exact => "",
            Self::Indexed => "part",
            Self::Everywhere => "all",
        }
    }

    /// Parses the word; any other is [`Reach::Exact`].
    pub(super) fn of(word: &str) -> Self {
        match word {
            "all" => Self::Everywhere,
            "part" => Self::Indexed,
            _ => Self::Exact,
        }
    }

    /// Returns where more may be found.
    pub(super) fn wider(self) -> Option<Self> {
        match self {
            Self::Exact => Some(Self::Indexed),
            Self::Indexed => Some(Self::Everywhere),
            Self::Everywhere => None,
        }
    }

    /// Returns the text of a link to it.
    pub(super) fn invitation(self) -> &'static str {
        match self {
            Self::Exact => "Search whole names",
            Self::Indexed => "Only whole names were searched: also search parts of names",
            Self::Everywhere => "Also search all names",
        }
    }

    /// Returns the filter for a plain text.
    pub(super) fn filter(self, kind: &ResourceType, text: &str) -> String {
        let terms = match self {
            Self::Exact => self.exact(kind, text),
            Self::Indexed | Self::Everywhere => self.parts(kind, text),
        };
        terms.join(" or ")
    }

    fn attributes(kind: &ResourceType) -> &'static [&'static str] {
        match kind.kind.as_str() {
            "User" => &["userName", "displayName", "name.formatted", "emails.value", "externalId"],
            "Group" => &["displayName", "externalId"],
            _ => &[],
        }
    }

    /// Returns the terms that an index answers by one look each.
    pub(super) fn exact(self, kind: &ResourceType, text: &str) -> Vec<String> {
        let quoted = Value::from(text);
        let mut attributes: Vec<String> = Self::attributes(kind)
            .iter()
            .filter(|attribute| is_indexed(kind, attribute))
            .map(ToString::to_string)
            .collect();
        if Self::attributes(kind).is_empty() {
            attributes.extend(kind.name.iter().map(ToString::to_string));
        }
        attributes.push("id".to_owned());
        attributes.iter().map(|attribute| format!("{attribute} eq {quoted}")).collect()
    }

    /// Returns the terms that an index or a document answers.
    fn parts(self, kind: &ResourceType, text: &str) -> Vec<String> {
        let quoted = Value::from(text);
        let mut terms: Vec<String> = Self::attributes(kind)
            .iter()
            .filter(|attribute| self == Self::Everywhere || is_indexed(kind, attribute))
            .map(|attribute| format!("{attribute} co {quoted}"))
            .collect();
        if terms.is_empty() {
            terms.extend(kind.name.iter().map(|name| format!("{name} co {quoted}")));
        }
        terms.push(format!("id eq {quoted}"));
        terms
    }
}

fn is_indexed(kind: &ResourceType, attribute: &str) -> bool {
    kind.resolve(attribute).is_ok_and(|found| index::is_indexed(&found.source))
}

#[cfg(test)]
mod tests {
    use headcount_core::schema::Registry;

    use super::*;

    #[test]
    fn whole_names_are_looked_up_one_by_one() {
        let registry = Registry::builtin().unwrap();
        let exact = |kind| Reach::Exact.exact(registry.kind(kind).unwrap(), "j\"");
        let user = ["userName", "emails.value", "externalId", "id"];
        assert_eq!(exact("User"), user.map(|attribute| format!("{attribute} eq \"j\\\"\"")));
        assert_eq!(exact("Group").len(), 3);
    }

    #[test]
    fn a_word_leads_to_the_reach_that_wrote_it() {
        for reach in [Reach::Exact, Reach::Indexed, Reach::Everywhere] {
            assert_eq!(Reach::of(reach.word()), reach);
        }
    }
}
