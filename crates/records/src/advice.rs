//! What to change so that a refused request succeeds: one sentence for the admin of the identity
//! provider.

use crate::request_log::RequestRecord;

/// Says what to do about a request that failed, or that succeeded in spite of a slip; nothing about others.
pub fn advice(record: &RequestRecord) -> Option<String> {
    if record.status < 400 {
        // What is wrong with a request that succeeded is a name in the lists of what it asks for.
        return record.reason.as_ref().map(|slip| {
            let place = where_is(record, Setting::Mapping);
            format!("The {slip} Correct the name {place}.")
        });
    }
    if let Some(refused) = &record.refused {
        return Some(token(refused, record));
    }
    let field = record.field.as_deref();
    Some(match (record.status, record.scim_type.as_deref()) {
        (401, _) => format!(
            "The request carried no token. Enter the provisioning token {} and repeat the test.",
            where_is(record, Setting::Token)
        ),
        (403, _) => "The token is good but not for this: make one with the scope or network that the reason names (headcount token create), or rotate it and enter the new one.".to_owned(),
        (404, _) if record.kind.is_none() => format!(
            "There is nothing at this address. Check the base URL {}: it ends in /scim/v2.",
            where_is(record, Setting::Url)
        ),
        (404, _) => "The identity provider still holds an id that is not here: the resource was deleted, or belongs to another tenant. Let it match again: in Entra restart provisioning, elsewhere remove the assignment and assign anew.".to_owned(),
        (409, Some("uniqueness")) => unique(record, field.unwrap_or("value")),
        (409, _) => "Two requests met. The identity provider repeats it by itself; if it goes on, look at what else writes this resource.".to_owned(),
        (412, _) => "The resource was changed in between. The identity provider reads it again and repeats the change by itself.".to_owned(),
        (413, _) => "The request is too large. Let the identity provider send less at once, or raise limits.body_bytes.".to_owned(),
        (415, _) => "The body has a type that is not read. Set the content type to application/scim+json.".to_owned(),
        (429, _) => "Too many requests with a wrong token came from this address. Correct the token; good ones are served meanwhile.".to_owned(),
        (400, Some("invalidFilter")) => format!(
            "The search uses a filter that cannot be answered. Correct the matching attribute {}.",
            where_is(record, Setting::Mapping)
        ),
        (400, Some("invalidPath")) => format!(
            "{} is no attribute here. Remove it from the mapping {}, or add a schema that defines it (headcount schema check).",
            field.unwrap_or("The path"),
            where_is(record, Setting::Mapping)
        ),
        (400, Some("invalidValue" | "mutability" | "noTarget")) => match field {
            Some(field) => format!(
                "Correct what is mapped to {field} {}, as the reason says.",
                where_is(record, Setting::Mapping)
            ),
            None => format!(
                "Correct the value that the reason names, {}.",
                where_is(record, Setting::Mapping)
            ),
        },
        (400, Some("invalidCursor" | "expiredCursor" | "invalidCount")) => {
            "The reader has to begin again without a cursor.".to_owned()
        }
        (400, _) => "The request is not SCIM as the reason says. If a product sends it so, it is worth a report: its quirk can be repaired here.".to_owned(),
        (501, _) => "The server does not offer this, and says so in /ServiceProviderConfig. Switch it off in the identity provider.".to_owned(),
        (503, _) => "The server or its database was busy or away for a moment. The identity provider repeats it by itself; if it goes on, look at the server's own log.".to_owned(),
        _ => format!(
            "This is a fault of the server, not of the identity provider. Its own log tells more under the request id {}.",
            record.request
        ),
    })
}

fn token(refused: &str, record: &RequestRecord) -> String {
    let place = where_is(record, Setting::Token);
    match refused {
        "revoked" => format!("This token was revoked. Make a new one (headcount token create) and enter it {place}."),
        "expired" => format!("This token has expired. Make a new one (headcount token create) and enter it {place}."),
        "wrong secret" => format!("The token begins like one of ours, but its secret is wrong: it was cut or mixed up when it was pasted. Make a new one and enter it {place}."),
        "unknown" => format!("This token is not known here: it is of another installation, or was deleted with its tenant. Make a new one and enter it {place}."),
        "tenant disabled" => "The tenant is switched off. Switch it on with headcount tenant set NAME --enabled true.".to_owned(),
        "wrong purpose" => format!("This is a token for administration, not for provisioning. Make a provisioning token and enter it {place}."),
        _ => format!("What was sent as token is none of ours: perhaps a part of it is missing, or the word Bearer stands in it twice. Paste the whole token {place}."),
    }
}

fn unique(record: &RequestRecord, field: &str) -> String {
    if record.kind.as_ref().is_some_and(|kind| kind.as_str() == "Group") {
        return format!(
            "Another group has this {field}. Rename one of the two, or allow equal names: headcount tenant set NAME --quirks all,-unique-group-names."
        );
    }
    format!(
        "Another user has this {field}. Either two people carry it in the identity provider: correct one. Or the user is here already, from another source: let it be matched by making {field} the matching attribute {}.",
        where_is(record, Setting::Mapping)
    )
}

#[derive(Clone, Copy)]
enum Setting {
    Token,
    Url,
    Mapping,
}

/// Where an identity provider keeps a setting, in its own words.
fn where_is(record: &RequestRecord, setting: Setting) -> &'static str {
    match (record.idp.as_deref(), setting) {
        (Some("entra"), Setting::Token) => {
            "in Entra under Enterprise application, Provisioning, Secret Token"
        }
        (Some("entra"), Setting::Url) => {
            "in Entra under Enterprise application, Provisioning, Tenant URL"
        }
        (Some("entra"), Setting::Mapping) => {
            "in Entra under Enterprise application, Provisioning, Mappings"
        }
        (Some("okta"), Setting::Token) => {
            "in Okta under Provisioning, Integration, API Token or Authorization"
        }
        (Some("okta"), Setting::Url) => "in Okta under Provisioning, Integration, Base URL",
        (Some("okta"), Setting::Mapping) => {
            "in Okta under Provisioning, To App, Attribute Mappings"
        }
        (Some("onelogin"), Setting::Token) => "in OneLogin under Configuration, SCIM Bearer Token",
        (Some("onelogin"), Setting::Url) => "in OneLogin under Configuration, SCIM Base URL",
        (Some("onelogin"), Setting::Mapping) => {
            "in OneLogin under Parameters and the SCIM JSON template"
        }
        (Some("jumpcloud"), Setting::Token) => "in JumpCloud under Identity Management, Token Key",
        (Some("jumpcloud"), Setting::Url) => "in JumpCloud under Identity Management, Base URL",
        (_, Setting::Token) => "in the identity provider's settings of this connection",
        (_, Setting::Url) => "in the identity provider's settings of this connection",
        (_, Setting::Mapping) => "in the identity provider's attribute mapping",
    }
}
