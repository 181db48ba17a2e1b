//! Quirks: the switches of a tenant. Each allows a deviation from the RFC or is a rule of the tenant.

use std::fmt;

/// A set of switches. All are on by default, since they make no difference to a correct client.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Quirks(u64);

/// A switch with its name and description.
#[derive(Debug, Clone, Copy)]
pub struct Quirk {
    /// The set of this switch alone.
    pub flag: Quirks,
    /// The name in settings and logs.
    pub name: &'static str,
    /// What the client did, for the provisioning log.
    pub note: &'static str,
    /// The clients that do it, or the document that allows it.
    pub source: &'static str,
}

macro_rules! quirks {
    ($($(#[$meta:meta])* $flag:ident = $bit:literal, $name:literal, $note:literal, $source:literal;)*) => {
        impl Quirks {
            $($(#[$meta])* pub const $flag: Self = Self(1 << $bit);)*

            /// No switch: the RFC to the letter.
            pub const NONE: Self = Self(0);
            /// Every switch.
            pub const ALL: Self = Self($(1 << $bit |)* 0);
        }

        /// Every switch, in the order of its documentation.
        pub const QUIRKS: &[Quirk] =
            &[$(Quirk { flag: Quirks::$flag, name: $name, note: $note, source: $source }),*];
    };
}

quirks! {
    /// `schemas` may be missing or name foreign URNs in a body.
    SCHEMAS_REPAIRED = 0, "schemas-repaired",
        "the body named no schemas or unknown ones: the endpoint's own were used",
        "OneLogin template URNs (goauthentik/authentik#11249), Entra ADSCIM group URN, authentik 2023 (#7460)";
    /// Unknown attributes in a body are ignored.
    UNKNOWN_ATTRIBUTES = 1, "unknown-attributes",
        "the body had attributes that no schema here defines: they were ignored",
        "rauthy `custom`, Okta app profiles, Microsoft's Postman collection";
    /// `"True"` and `"False"` mean the booleans.
    BOOLEANS_AS_TEXT = 2, "booleans-as-text",
        "a boolean arrived as text: it was read as the boolean",
        "Microsoft Entra ID application-provisioning-config-problem-scim-compatibility; Keycloak extension";
    /// A number is accepted for a text, and a text of digits for a number.
    NUMBERS_AS_TEXT = 3, "numbers-as-text",
        "a number arrived instead of a text, or a text instead of a number: it was converted",
        "Okta SCIM with entitlements guide (externalId, postalCode, employeeNumber)";
    /// One object is accepted for an array of one, and an array of one for its value.
    ARRAYS_OF_ONE = 4, "arrays-of-one",
        "one value arrived instead of an array, or an array instead of one value: it was converted",
        "OneLogin Enterprise template, Captain-P-Goldfish/SCIM-SDK#47, #541";
    /// `op` in any case, `operations` in any case or empty, `schemas` missing in PATCH.
    PATCH_ENVELOPE = 5, "patch-envelope",
        "the PATCH message had another spelling than the RFC's: it was read as the RFC spells it",
        "Microsoft Entra ID (\"Replace\"), authentik (no schemas), Microsoft's Postman collection and validator (AzureAD/SCIMReferenceCode#112)";
    /// Keys of a pathless value may be paths.
    PATHS_AS_KEYS = 6, "paths-as-keys",
        "a PATCH value had paths as its keys: each was read as a path",
        "Microsoft Entra ID with aadOptscim062020 (pond/scimitar#123, pingidentity/scim2#224)";
    /// `id`, `schemas` and other read-only names inside a pathless value are ignored.
    READ_ONLY_IN_VALUE = 7, "read-only-in-value",
        "a PATCH value repeated read-only attributes: they were ignored",
        "Okta group push (`id`), authentik (`id`, `schemas`)";
    /// `remove` of a multi-valued attribute with a value list removes those values.
    REMOVE_BY_VALUE_LIST = 8, "remove-by-value-list",
        "a list of values was sent with a remove: only those were removed",
        "Microsoft Entra ID default dialect (apache/directory-scimple#436), authentik, rauthy";
    /// A value filter without match creates the element.
    CREATE_BY_FILTER = 9, "create-by-filter",
        "a PATCH path selected an element that did not exist: it was created from the path",
        "Microsoft Entra ID (Captain-P-Goldfish/SCIM-SDK#416, zitadel/zitadel#9690)";
    /// Unquoted values in filters.
    BARE_WORDS = 10, "bare-words",
        "a filter compared with a value without quotes: it was read as text",
        "Microsoft's documentation (`externalId eq jyoung`), WSO2, authentik before 2023 and in 2025.8 (goauthentik/authentik#16455)";
    /// A bracket filter followed by a sub-attribute, and booleans as texts, in filters.
    FILTER_FORMS = 11, "filter-forms",
        "a filter was outside the grammar of the RFC: it was read as meant",
        "Microsoft Entra ID (`emails[type eq \"work\"].value eq …`, `roles[primary eq \"True\"]`)";
    /// `manager` in short form: as text, without its URN.
    MANAGER_SHORT_FORMS = 12, "manager-short-forms",
        "the manager arrived as a bare id or without its schema: it was read as the manager's id",
        "Microsoft Entra ID (Captain-P-Goldfish/SCIM-SDK#541, #686; Budibase/budibase#15369)";
    /// References are not checked to be URIs.
    REFERENCES_UNCHECKED = 13, "references-unchecked",
        "a reference was not a URI: it was kept as it is",
        "Microsoft SCIM Validator (random words as profileUrl)";
    /// A time without zone is UTC.
    TIMES_WITHOUT_ZONE = 14, "times-without-zone",
        "a time named no zone: it was read as UTC",
        "RFC 7643 §2.3.5 by way of xsd:dateTime, which makes the zone optional";
    /// A literal `+` in a query may be a plus.
    PLUS_IN_QUERY = 15, "plus-in-query",
        "a filter found nothing with \"+\" as a space: it was tried as a plus",
        "Okta's Java client (okta/okta-sdk-java#839), rauthy";
    /// Canonical values are suggestions.
    ANY_CANONICAL_VALUE = 16, "any-canonical-value",
        "a value outside the suggested ones was kept",
        "RFC 7643 §7: canonicalValues MAY be enforced; Entra `addresses[type eq \"untyped\"]`";
    /// A unique group name per tenant, in any case.
    UNIQUE_GROUP_NAMES = 17, "unique-group-names",
        "group names are unique here",
        "Microsoft Entra ID requires it (use-scim-to-provision-users-and-groups)";
    /// User names outside the PRECIS identifier class.
    ANY_USER_NAME = 18, "any-user-name",
        "a userName was outside the PRECIS profile: it was compared by its folded form",
        "RFC 8265 §3.3 excludes spaces, which directories have in names";
    /// Unknown foreign URNs in PATCH paths are ignored.
    FOREIGN_PATHS = 19, "foreign-paths",
        "a PATCH path had a URN that no schema here has: the operation was ignored",
        "Okta and Entra attribute mappings for other applications";
    /// A sub-attribute path of a multi-valued attribute applies to all of its values.
    PATHS_INTO_ALL = 20, "paths-into-all",
        "a PATCH path named a sub-attribute of all values: it was applied to each",
        "erratum 8097 leaves it open; PingOne";
    /// Members added by PATCH whose ids cannot be ids of this server, or names of anyone elsewhere, are ignored.
    IMPOSSIBLE_MEMBERS = 22, "impossible-members",
        "a member was added by a text that cannot be an id: it was ignored",
        "Microsoft's Postman collection (\"string id 1\"), scim-sanity (\"fake-member-id\")";
    /// An empty text clears an attribute of any type, and an object with an empty value.
    EMPTY_CLEARS = 21, "empty-clears",
        "an attribute was given an empty text or object: it was read as no value",
        "Microsoft gallery validation (test 16), Okta (`middleName: \"\"`), Entra manager `{\"value\":\"\"}`";
    /// A value of a multi-valued attribute is removed when nothing is left in it but `type` and `primary`.
    NO_HUSKS = 23, "no-husks",
        "only the type of a value was left: the value was removed",
        "Microsoft Entra ID (`Remove emails[type eq \"work\"].value`), scimgateway (PUT with `{\"type\":\"work\",\"value\":\"\"}`)";
    /// The value of an attribute may be in an object under the attribute's own name.
    WRAPPED_VALUES = 24, "wrapped-values",
        "a value was in an object under its own name: it was read without that object",
        "NorthlandPositronics/Cogtrix#311 (a bug report; not recorded from a product)";
    /// A search may have no body, and its parameters no value.
    EMPTY_SEARCHES = 35, "empty-searches",
        "a search had no body, or a parameter without a value: it was read as not sent",
        "Captain-P-Goldfish/SCIM-SDK, whose client sends POST /.search without a body where no parameter is set";
    /// A dot is accepted for the colon between a schema URN and an attribute.
    DOTTED_URNS = 25, "dotted-urns",
        "a path joined a schema URN and an attribute by a dot: it was read as a colon",
        "Microsoft's Postman collection SCIM Inbound (`…enterprise:2.0:User.manager`), Slack's API documentation";
    /// Ids of members with outer blanks, in another case or without hyphens.
    RESPELLED_IDS = 26, "respelled-ids",
        "the id of a member was in another spelling: it was read as this server's",
        "not recorded from a product; .NET prints GUIDs in braces and without hyphens (System.Guid.ToString)";
    /// The attributes of the core schema may be in an object under its URN.
    CORE_UNDER_URN = 27, "core-under-urn",
        "core attributes were under the URN of their schema: they were read as the resource's own",
        "limosa-io/laravel-scim-server and scim.dev, scimverify";
    /// `{"value": x}` and a plain `x` are one value.
    VALUE_OR_OBJECT = 28, "value-or-object",
        "a value arrived in an object, or bare instead of in an object: it was converted",
        "Microsoft Entra ID (multi-valued custom attributes, learn.microsoft.com/answers/questions/1693075), WSO2 (wso2/product-is#26577), Microsoft's Postman collection (members)";
    /// JSON inside a text is accepted for an object.
    JSON_IN_TEXT = 29, "json-in-text",
        "an object arrived as JSON inside a text: it was read as the object",
        "Keycloak's SCIM extension (Captain-P-Goldfish/scim-for-keycloak#172), Captain-P-Goldfish/SCIM-SDK#201";
    /// A bulk path without its slash, and 0 for no limit of errors.
    BULK_ENVELOPE = 30, "bulk-envelope",
        "the bulk message had another spelling than the RFC's: it was read as the RFC spells it",
        "pranems/SCIMServer (`failOnErrors: 0`), jelhub/scimgateway";
    /// An offset from UTC without its colon.
    OFFSETS_WITHOUT_COLON = 31, "offsets-without-colon",
        "a time had an offset without a colon: it was read with one",
        "not recorded from a product; Java's SimpleDateFormat (pattern letter Z) and strftime's %z print it";
    /// The URL-safe alphabet of base64.
    URL_SAFE_BASE64 = 32, "url-safe-base64",
        "bytes arrived in the URL-safe alphabet: they were read as base64",
        "RFC 4648 §5, which RFC 7643 §2.3.6 allows only where a schema says so";
}

impl Quirks {
    /// Returns whether every switch of `flag` is on.
    pub const fn has(self, flag: Self) -> bool {
        self.0 & flag.0 == flag.0
    }

    /// Returns the union of both sets.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns the set without `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Returns whether no switch is on.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns the stored form. All switches are -1, so that those of later releases are on as well.
    pub const fn bits(self) -> i64 {
        if self.0 == Self::ALL.0 { -1 } else { self.0.cast_signed() }
    }

    /// Reads the stored form, and drops bits that this release does not know.
    pub const fn from_bits(bits: i64) -> Self {
        Self(bits.cast_unsigned() & Self::ALL.0)
    }

    /// Returns the switches that are on.
    pub fn iter(self) -> impl Iterator<Item = &'static Quirk> {
        QUIRKS.iter().filter(move |quirk| self.has(quirk.flag))
    }

    /// Reads `all`, `none`, or a list such as `all,-bare-words` or `booleans-as-text,patch-envelope`.
    ///
    /// # Errors
    ///
    /// The word that is not a switch.
    pub fn parse(text: &str) -> Result<Self, String> {
        text.split(',').map(str::trim).filter(|word| !word.is_empty()).try_fold(
            Self::NONE,
            |set, word| {
                let (name, add) = word.strip_prefix('-').map_or((word, true), |name| (name, false));
                let flag = match name {
                    "all" => Self::ALL,
                    "none" => Self::NONE,
                    name => {
                        QUIRKS
                            .iter()
                            .find(|quirk| quirk.name == name)
                            .ok_or_else(|| name.to_owned())?
                            .flag
                    }
                };
                Ok(if add { set.with(flag) } else { set.without(flag) })
            },
        )
    }
}

impl Default for Quirks {
    fn default() -> Self {
        Self::ALL
    }
}

impl fmt::Debug for Quirks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(|quirk| quirk.name)).finish()
    }
}

/// The quirks that a request needed, for the provisioning log and the counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied(Quirks);

impl Default for Applied {
    fn default() -> Self {
        Self(Quirks::NONE)
    }
}

impl Applied {
    /// Adds a quirk.
    pub fn note(&mut self, quirk: Quirks) {
        self.0 = self.0.with(quirk);
    }

    /// Adds the quirks of another request.
    pub fn merge(&mut self, other: Self) {
        self.note(other.0);
    }

    /// Returns the quirks.
    pub fn quirks(self) -> Quirks {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_switch_has_its_own_bit_and_name() {
        for (index, quirk) in QUIRKS.iter().enumerate() {
            assert_eq!(quirk.flag.0.count_ones(), 1);
            for other in QUIRKS.iter().skip(index + 1) {
                assert_ne!((quirk.flag.0, quirk.name), (other.flag.0, other.name));
            }
            assert_eq!(Quirks::parse(quirk.name), Ok(quirk.flag));
        }
    }

    #[test]
    fn a_set_is_read_from_words() {
        assert_eq!(
            Quirks::parse("all,-bare-words").unwrap(),
            Quirks::ALL.without(Quirks::BARE_WORDS)
        );
        assert_eq!(Quirks::parse("none").unwrap(), Quirks::NONE);
        assert_eq!(Quirks::parse("all,nonsense"), Err("nonsense".to_owned()));
        assert_eq!(Quirks::from_bits(Quirks::ALL.bits()), Quirks::ALL);
    }
}
