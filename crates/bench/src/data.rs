//! What the workloads send: users as large as those of a real directory, and the messages of SCIM.

use serde_json::{Value, json};

use crate::client::Request;

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";

/// Numbers that look random and are the same in each run (splitmix64).
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit.max(1)).unwrap_or(1);
        usize::try_from(self.next() % limit).unwrap_or(0)
    }

    /// Takes one of a list, which is not empty.
    pub(crate) fn of<'a, T>(&mut self, list: &'a [T]) -> Option<&'a T> {
        list.get(self.below(list.len()))
    }
}

pub(crate) fn user_name(tag: &str, number: usize) -> String {
    format!("{tag}{number:07}@example.com")
}

/// A user of about 1.2 KiB. Every second one works at example.com, every fourth is switched off.
pub(crate) fn user(tag: &str, number: usize) -> Value {
    let domain = if number.is_multiple_of(2) { "example.com" } else { "example.org" };
    json!({
        "schemas": [USER, ENTERPRISE],
        "userName": user_name(tag, number),
        "externalId": format!("{tag}-{number:07}"),
        "name": {
            "formatted": format!("Dr. Given{number} Middle Family{number}, PhD"),
            "familyName": format!("Family{number}"),
            "givenName": format!("Given{number}"),
            "middleName": "Middle",
            "honorificPrefix": "Dr.",
            "honorificSuffix": "PhD"
        },
        "displayName": format!("Given{number} Family{number}"),
        "nickName": format!("G{number}"),
        "profileUrl": format!("https://people.example.com/{tag}/{number}"),
        "title": "Engineer",
        "userType": "Employee",
        "preferredLanguage": "en-GB",
        "locale": "en-GB",
        "timezone": "Europe/London",
        "active": !number.is_multiple_of(4),
        "emails": [
            {"value": format!("{tag}{number}@{domain}"), "type": "work", "primary": true},
            {"value": format!("{tag}{number}@home.example.net"), "type": "home"}
        ],
        "phoneNumbers": [
            {"value": format!("tel:+44-20-{number:07}"), "type": "work"},
            {"value": format!("tel:+44-77-{number:07}"), "type": "mobile"}
        ],
        "addresses": [{
            "type": "work",
            "streetAddress": "1 Example Street",
            "locality": "Exampleton",
            "region": "Exampleshire",
            "postalCode": "EX1 1EX",
            "country": "GB",
            "formatted": "1 Example Street\nExampleton\nEX1 1EX",
            "primary": true
        }],
        ENTERPRISE: {
            "employeeNumber": format!("{}", 700_000 + number),
            "costCenter": "4130",
            "organization": "Example",
            "division": "Research",
            "department": "Engineering"
        }
    })
}

pub(crate) fn group(name: &str) -> String {
    json!({"schemas": [GROUP], "displayName": name}).to_string()
}

/// A PATCH of a user as Entra sends it.
pub(crate) fn entra_patch(numbers: &mut Numbers) -> Value {
    let active = if numbers.next().is_multiple_of(2) { "True" } else { "False" };
    let name = format!("Name {}", numbers.below(1_000_000));
    patch_of(&json!([
        {"op": "Replace", "path": "active", "value": active},
        {"op": "Replace", "path": "displayName", "value": name}
    ]))
}

/// Such a PATCH for one user after another.
pub(crate) fn patches(
    ids: &[String],
    mut numbers: Numbers,
) -> impl FnMut() -> Option<Request> + '_ {
    move || {
        let path = format!("/Users/{}", numbers.of(ids)?);
        Some(Request::with("PATCH", path, entra_patch(&mut numbers).to_string()))
    }
}

pub(crate) fn add_members(ids: &[String]) -> String {
    let members: Vec<Value> = ids.iter().map(|id| json!({"value": id})).collect();
    patch_of(&json!([{"op": "Add", "path": "members", "value": members}])).to_string()
}

pub(crate) fn remove_member(id: &str) -> String {
    let path = format!("members[value eq \"{id}\"]");
    patch_of(&json!([{"op": "Remove", "path": path}])).to_string()
}

fn patch_of(operations: &Value) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": operations
    })
}

/// A bulk request that creates users.
pub(crate) fn bulk(tag: &str, numbers: impl Iterator<Item = usize>) -> String {
    bulk_of(numbers.map(|number| {
        let data = user(tag, number);
        json!({"method": "POST", "path": "/Users", "bulkId": number.to_string(), "data": data})
    }))
}

/// A bulk request that gives users a title.
pub(crate) fn titles(ids: &[String], title: &str) -> String {
    let change = json!({"Operations": [{"op": "replace", "path": "title", "value": title}]});
    bulk_of(
        ids.iter()
            .map(|id| json!({"method": "PATCH", "path": format!("/Users/{id}"), "data": change})),
    )
}

fn bulk_of(operations: impl Iterator<Item = Value>) -> String {
    json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
        "Operations": operations.collect::<Vec<_>>()
    })
    .to_string()
}

/// The path of a query by a filter.
pub(crate) fn by_filter(filter: &str) -> String {
    let mut path = String::from("/Users?filter=");
    for byte in filter.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            path.push(char::from(byte));
        } else {
            path.push_str(&format!("%{byte:02X}"));
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_as_large_as_a_real_one() {
        let length = user("u", 7).to_string().len();
        assert!((1_100..1_700).contains(&length), "{length}");
    }

    #[test]
    fn a_filter_is_escaped() {
        let path = by_filter("userName eq \"a@b\"");
        assert_eq!(path, "/Users?filter=userName%20eq%20%22a%40b%22");
    }
}
