//! What to enter where, by identity provider. `docs/idp` has the same facts.

/// The value of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value {
    /// The base URL of this server.
    BaseUrl,
    /// The new token.
    Token,
    /// The token after the word `Bearer`.
    BearerToken,
    /// A fixed text to type.
    Text(&'static str),
    /// An option to choose or tick.
    Choose(&'static str),
}

/// How one identity provider is connected.
pub(crate) struct Guide {
    /// The id in addresses, and the name of its token.
    pub(crate) id: &'static str,
    /// Its name.
    pub(crate) name: &'static str,
    /// The path to the fields.
    pub(crate) path: &'static [&'static str],
    /// Field and value.
    pub(crate) fields: &'static [(&'static str, Value)],
    /// How to test the connection, and what then happens.
    pub(crate) test: &'static str,
    /// The default mappings, what to do with each, and why.
    pub(crate) mappings: &'static [(&'static str, &'static str, &'static str)],
    /// What to expect.
    pub(crate) notes: &'static [&'static str],
}

use Value::{BaseUrl, BearerToken, Choose, Text, Token};

/// Every guide, in the order of its tabs.
pub(crate) const GUIDES: [Guide; 7] = [
    Guide {
        id: "entra",
        name: "Entra ID",
        path: &[
            "Enterprise applications",
            "your application",
            "Provisioning",
            "Connect your application",
        ],
        fields: &[("Tenant URL", BaseUrl), ("Secret token", Token)],
        test: "Press Test connection. Entra searches for a user that does not exist and expects an empty list.",
        mappings: &[
            (
                "mailNickname → externalId (users)",
                "Change to objectId → externalId",
                "a nickname can be given to another user, an object id cannot",
            ),
            (
                "objectId → externalId (groups)",
                "Keep",
                "a group keeps its displayName; the object id only identifies it",
            ),
            (
                "userPrincipalName → userName",
                "Keep, matching precedence 1",
                "users are matched by it",
            ),
            (
                "displayName → displayName (groups)",
                "Keep, matching precedence 1",
                "group names are unique here, as Entra expects",
            ),
            ("Switch([IsSoftDeleted], …) → active", "Keep", "it deactivates leavers"),
        ],
        notes: &[
            "A cycle runs about every 40 minutes. Provision on demand sends one user at once.",
            "Leavers are deactivated first and deleted about 30 days later.",
        ],
    },
    Guide {
        id: "okta",
        name: "Okta",
        path: &["Applications", "your application", "Provisioning", "Integration"],
        fields: &[
            ("SCIM connector base URL", BaseUrl),
            ("Unique identifier field for users", Text("userName")),
            (
                "Supported provisioning actions",
                Choose("Import, Push New Users, Push Profile Updates, Push Groups"),
            ),
            ("Authentication mode", Choose("HTTP Header")),
            ("Authorization", Token),
        ],
        test: "Press Test Connector Configuration, then switch on Create, Update and Deactivate under To App.",
        mappings: &[("Application username → userName", "Keep", "users are matched by it")],
        notes: &[
            "In catalog apps, enter the token alone in API token.",
            "Okta never deletes a user: it deactivates leavers.",
        ],
    },
    Guide {
        id: "onelogin",
        name: "OneLogin",
        path: &["Applications", "SCIM Provisioner with SAML (SCIM v2)", "Configuration"],
        fields: &[("SCIM Base URL", BaseUrl), ("SCIM Bearer Token", Token)],
        test: "Press Enable under API Connection, then tick Enable provisioning.",
        mappings: &[("SCIM JSON Template", "Keep", "the default works")],
        notes: &["Choose under Provisioning whether to suspend or delete leavers: both work."],
    },
    Guide {
        id: "jumpcloud",
        name: "JumpCloud",
        path: &["SSO Applications", "your application", "Identity Management"],
        fields: &[
            ("API type", Choose("SCIM API")),
            ("SCIM version", Choose("SCIM 2.0")),
            ("Base URL", BaseUrl),
            ("Token key", Token),
            ("Test user email", Choose("an address that no user has")),
        ],
        test: "Press Test Connection, then Activate. It creates a test user and a test group and deletes them again.",
        mappings: &[],
        notes: &["Enable management of user groups to provision groups as well."],
    },
    Guide {
        id: "keycloak",
        name: "Keycloak",
        path: &["User federation", "Add SCIM provider (of the SCIM extension)"],
        fields: &[
            ("SCIM 2.0 endpoint", BaseUrl),
            ("Endpoint content type", Choose("application/scim+json")),
            ("Auth mode", Choose("BEARER")),
            ("Auth password / token", Token),
            ("Enable user propagation", Choose("On")),
            ("Enable group propagation", Choose("On")),
        ],
        test: "Save, then press Sync all users.",
        mappings: &[],
        notes: &[
            "Keycloak needs one of its SCIM extensions; they name the fields slightly differently.",
        ],
    },
    Guide {
        id: "authentik",
        name: "authentik",
        path: &["Applications", "Providers", "Create", "SCIM Provider"],
        fields: &[("URL", BaseUrl), ("Token", Token)],
        test: "Add the provider to an application as backchannel provider, then press Run sync again.",
        mappings: &[
            ("authentik default SCIM Mapping: User", "Keep", "the default works"),
            ("authentik default SCIM Mapping: Group", "Keep", "the default works"),
        ],
        notes: &["Enter the URL without a slash at its end."],
    },
    Guide {
        id: "generic",
        name: "Other",
        path: &["the SCIM 2.0 settings of your identity provider"],
        fields: &[
            ("Base URL", BaseUrl),
            ("Bearer token", Token),
            ("Authorization header, if it asks for the whole value", BearerToken),
        ],
        test: "Run its connection test, or list the users once on the command line.",
        mappings: &[(
            "the identity's immutable id → externalId",
            "Recommended",
            "names change, it does not",
        )],
        notes: &["Users are matched by userName, groups by displayName."],
    },
];

/// Returns the guide with an id; the first when there is none.
pub(crate) fn find(id: &str) -> &'static Guide {
    let [first, ..] = &GUIDES;
    GUIDES.iter().find(|guide| guide.id == id).unwrap_or(first)
}
