//! What to change so that a refused request succeeds: one sentence for the admin of the identity
//! provider.

use headcount_core::path::PathParts;

use crate::request_log::RequestRecord;

/// Returns what to do about a request that failed, or that succeeded in spite of a mistake; `None` for others.
/// Commands in it name no tenant: see [`advice_for`].
pub fn advice(record: &RequestRecord) -> Option<String> {
    advice_for(record, "NAME")
}

/// Checks whether a switch of the tenant allows what was refused: that of unique group names.
pub fn has_switch(record: &RequestRecord) -> bool {
    record.status == 409
        && record.scim_type.as_deref() == Some("uniqueness")
        && record.kind.as_ref().is_some_and(|kind| kind.as_str() == "Group")
}

/// As [`advice`], with the name of the tenant in commands.
pub fn advice_for(record: &RequestRecord, tenant: &str) -> Option<String> {
    if record.status < 400 {
        // The reason of a request that succeeded is an unknown name among the attributes that it asks for.
        return record.reason.as_ref().map(|mistake| {
            let place = location(record, Setting::Mapping);
            format!("The {mistake} Correct the name {place}.")
        });
    }
    // At a wrong address, no token was looked at.
    if record.status == 404 && record.kind.is_none() {
        return Some(format!(
            "There is nothing at this address. Correct the base URL {}: it ends in /scim/v2.",
            location(record, Setting::Url)
        ));
    }
    if let Some(refused) = &record.refused {
        return Some(token(refused, record, tenant));
    }
    let field = record.field.as_deref();
    Some(match (record.status, record.scim_type.as_deref()) {
        (401, _) => format!(
            "The request had no token. Enter the provisioning token {} and repeat the test.",
            location(record, Setting::Token)
        ),
        (403, _) => "The token is valid, but not for this: create one with the scope or network that the reason names (headcount token create), or rotate it and enter the new one.".to_owned(),
        (404, _) if record.is_notice() => "The resource was deleted before, or belongs to another tenant. After a deletion this is normal, and nothing has to be done. If the resource should be here, have it match again: in Entra restart provisioning, elsewhere remove the assignment and assign again.".to_owned(),
        (404, _) => "The identity provider still uses an id that does not exist here: the resource was deleted, or belongs to another tenant. Have it match again: in Entra restart provisioning, elsewhere remove the assignment and assign again.".to_owned(),
        (409, Some("uniqueness")) => unique(record, field.unwrap_or("value"), tenant),
        (409, _) => "Two requests changed the resource at once. The identity provider repeats the request; if this continues, find out what else writes the resource.".to_owned(),
        (412, _) => "The resource was changed in between. The identity provider reads it again and repeats the change.".to_owned(),
        (413, _) => "The request is too large. Have the identity provider send less at once, or raise limits.body_bytes.".to_owned(),
        (415, _) => "The body has an unsupported content type. Set the content type to application/scim+json.".to_owned(),
        (429, _) => "Too many requests with a wrong token came from this address. Correct the token. Requests with valid tokens are still served.".to_owned(),
        (400, Some("invalidFilter")) => format!(
            "The search uses a filter that cannot be answered. Correct the matching attribute {}.",
            location(record, Setting::Mapping)
        ),
        (400, Some("invalidPath")) if field.is_some_and(is_malformed) => format!(
            "The path {} is not written as SCIM writes paths: a bracket or a quote is missing, or a character is out of place. Correct the target attribute {}, for example emails[type eq \"work\"].value.",
            field.unwrap_or_default(),
            location(record, Setting::Mapping)
        ),
        (400, Some("invalidPath")) => format!(
            "{} is not an attribute here. Remove it from the mapping {}, or add a schema that defines it (headcount schema check).",
            field.unwrap_or("The path"),
            location(record, Setting::Mapping)
        ),
        (400, Some("invalidValue" | "mutability" | "noTarget")) => match field {
            Some(field) => format!(
                "Correct what is mapped to {field} {}, as the reason says.",
                location(record, Setting::Mapping)
            ),
            None => format!(
                "Correct the value that the reason names, {}.",
                location(record, Setting::Mapping)
            ),
        },
        (400, Some("invalidCursor" | "expiredCursor" | "invalidCount")) => {
            "The client has to start again without a cursor.".to_owned()
        }
        (400, _) => "The request is not valid SCIM, as the reason says. If an identity provider sends it like this, please report it: Headcount can repair it.".to_owned(),
        (501, _) => "The server does not offer this, and says so in /ServiceProviderConfig. Switch it off in the identity provider.".to_owned(),
        (503, _) => "The server or its database was busy or unavailable for a moment. The identity provider repeats the request; if this continues, check the server's own log.".to_owned(),
        _ => format!(
            "The server failed, not the identity provider. Its own log has the cause, under the request id {}.",
            record.request
        ),
    })
}

/// Checks whether a path breaks the grammar of paths (RFC 7644 §3.5.2), rather than naming an attribute that
/// does not exist. A shortened path is not judged.
fn is_malformed(path: &str) -> bool {
    if path.ends_with('…') {
        return false;
    }
    let Ok(parts) = PathParts::of(path) else { return true };
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-_$.:/".contains(c);
    parts.attribute.is_empty() || !parts.attribute.chars().all(is_name)
}

fn token(refused: &str, record: &RequestRecord, tenant: &str) -> String {
    let place = location(record, Setting::Token);
    match refused {
        "revoked" => format!(
            "This token was revoked. Create a new one (headcount token create) and enter it {place}."
        ),
        "expired" => format!(
            "This token has expired. Create a new one (headcount token create) and enter it {place}."
        ),
        "wrong secret" => format!(
            "The token begins like a valid one, but its secret is wrong: it was cut off or mixed up when it was pasted. Create a new one and enter it {place}."
        ),
        "unknown" => format!(
            "This token is unknown: it belongs to another installation, or was deleted with its tenant. Create a new one and enter it {place}."
        ),
        "tenant disabled" => format!(
            "The tenant is disabled. Enable it with headcount tenant set {tenant} --enabled true."
        ),
        "wrong purpose" => format!(
            "This is a token for administration, not for provisioning. Create a provisioning token and enter it {place}."
        ),
        _ => format!(
            "This is not a Headcount token: perhaps a part of it is missing, or it contains the word Bearer twice. Paste the whole token {place}."
        ),
    }
}

fn unique(record: &RequestRecord, field: &str, tenant: &str) -> String {
    if has_switch(record) {
        return format!(
            "Another group has this {field}. Rename one of the two, or allow equal names: headcount tenant set {tenant} --quirks all,-unique-group-names."
        );
    }
    format!(
        "Another user has this {field}. Either two people have it in the identity provider: correct one. Or the user exists already, from another source: have it matched by making {field} the matching attribute {}.",
        location(record, Setting::Mapping)
    )
}

#[derive(Clone, Copy)]
enum Setting {
    Token,
    Url,
    Mapping,
}

/// Returns where an identity provider has a setting, in its own terms.
fn location(record: &RequestRecord, setting: Setting) -> &'static str {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ux_19_a_path_with_a_mistake_in_its_form_is_not_an_unknown_attribute() {
        for malformed in
            ["emails[type eq \"work\"", "emails[type eq", "emails[0]", "emails].value", "e mail"]
        {
            assert!(is_malformed(malformed), "{malformed}");
        }
        let urn = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager";
        for unknown in ["shoeSize", "emails[type eq \"work\"].size", urn, "emails[typ…"] {
            assert!(!is_malformed(unknown), "{unknown}");
        }
    }
}
