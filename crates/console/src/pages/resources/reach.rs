//! Where a plain text is looked for, and which filter that is.

use headcount_core::index;
use headcount_core::schema::ResourceType;
use serde_json::Value;

/// Where a plain text is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pages) enum Reach {
    /// Who has exactly this name, address or id: a few looks into indexes, however many there are.
    Exact,
    /// Parts of what has an index: that is gone through, without a document.
    Indexed,
    /// In every attribute that people know a person by.
    Everywhere,
}

impl Reach {
    /// The word that pages carry on.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Exact => "",
            Self::Indexed => "part",
            Self::Everywhere => "all",
        }
    }

    pub(super) fn of(word: &str) -> Self {
        match word {
            "all" => Self::Everywhere,
            "part" => Self::Indexed,
            _ => Self::Exact,
        }
    }

    /// Where more may be found.
    pub(super) fn wider(self) -> Option<Self> {
        match self {
            Self::Exact => Some(Self::Indexed),
            Self::Indexed => Some(Self::Everywhere),
            Self::Everywhere => None,
        }
    }

    /// What a link to it says.
    pub(super) fn invitation(self) -> &'static str {
        match self {
            Self::Exact => "Search whole names",
            Self::Indexed => "Only whole names were compared: search parts of names, too",
            Self::Everywhere => "Search all names, too",
        }
    }

    /// The filter that a plain text stands for.
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

    /// The filters that an index answers by one look each.
    pub(super) fn exact(self, kind: &ResourceType, text: &str) -> Vec<String> {
        let quoted = Value::from(text);
        let own = kind.name.iter().filter(|_| Self::attributes(kind).is_empty());
        let known = Self::attributes(kind).iter().map(ToString::to_string);
        let known = known.filter(|attribute| is_indexed(kind, attribute));
        let all = known.chain(own.map(ToString::to_string)).chain(["id".to_owned()]);
        all.map(|attribute| format!("{attribute} eq {quoted}")).collect()
    }

    fn parts(self, kind: &ResourceType, text: &str) -> Vec<String> {
        let quoted = Value::from(text);
        let reached = |attribute: &&&str| self == Self::Everywhere || is_indexed(kind, attribute);
        let mut terms: Vec<String> = Self::attributes(kind)
            .iter()
            .filter(reached)
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
