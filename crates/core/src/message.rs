//! The messages of RFC 7644: lists, errors, search requests, bulk.

mod bulk;

use serde_json::Value;

use crate::error::Error;
use crate::lenient::Repairs;
use crate::quirks::{Applied, Quirks};
use crate::resource::write_json;

pub use bulk::{
    BULK_REQUEST, BULK_RESPONSE, BulkOperation, BulkRequest, BulkResult, bulk_response,
};

/// The URN of list responses (RFC 7644 §3.4.2).
pub const LIST_RESPONSE: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";
/// The URN of errors (RFC 7644 §3.12).
pub const ERROR: &str = "urn:ietf:params:scim:api:messages:2.0:Error";
/// The URN of search requests (RFC 7644 §3.4.3).
pub const SEARCH_REQUEST: &str = "urn:ietf:params:scim:api:messages:2.0:SearchRequest";

/// Returns the body of an error. `status` is a text; `scimType` is there only where Table 9 has one.
pub fn error_body(status: u16, scim_type: Option<&str>, detail: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(160 + detail.len());
    out.extend_from_slice(b"{\"schemas\":[\"");
    out.extend_from_slice(ERROR.as_bytes());
    out.extend_from_slice(b"\"],\"status\":\"");
    out.extend_from_slice(status.to_string().as_bytes());
    out.extend_from_slice(b"\"");
    if let Some(scim_type) = scim_type {
        out.extend_from_slice(b",\"scimType\":");
        write_json(&mut out, scim_type);
    }
    out.extend_from_slice(b",\"detail\":");
    write_json(&mut out, detail);
    out.push(b'}');
    out
}

/// The part of a list response before its resources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListHead {
    /// The number of resources that satisfy the query.
    pub total: u64,
    /// The number of resources that follow.
    pub items: usize,
    /// The position of the first one, counted from 1; absent when the client pages by cursor.
    pub start_index: Option<u64>,
    /// The cursor of the next page (RFC 9865 §2).
    pub next_cursor: Option<String>,
}

impl ListHead {
    /// Appends the response up to and including the bracket that opens `Resources`.
    pub fn open(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"schemas\":[\"");
        out.extend_from_slice(LIST_RESPONSE.as_bytes());
        out.extend_from_slice(b"\"],\"totalResults\":");
        out.extend_from_slice(self.total.to_string().as_bytes());
        if let Some(start_index) = self.start_index {
            out.extend_from_slice(b",\"startIndex\":");
            out.extend_from_slice(start_index.to_string().as_bytes());
        }
        out.extend_from_slice(b",\"itemsPerPage\":");
        out.extend_from_slice(self.items.to_string().as_bytes());
        if let Some(cursor) = &self.next_cursor {
            out.extend_from_slice(b",\"nextCursor\":");
            write_json(out, cursor);
        }
        out.extend_from_slice(b",\"Resources\":[");
    }

    /// Appends the end of the response.
    pub fn close(out: &mut Vec<u8>) {
        out.extend_from_slice(b"]}");
    }
}

/// A search, from a query string or from the body of a `.search`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SearchRequest {
    /// The filter.
    pub filter: Option<String>,
    /// The same filter with `+` read as a plus; see [`crate::lenient::plus_taken_literally`].
    pub filter_with_plus: Option<String>,
    /// The attribute to sort by.
    pub sort_by: Option<String>,
    /// `ascending` or `descending`.
    pub sort_order: Option<String>,
    /// The position of the first resource, counted from 1.
    pub start_index: Option<i64>,
    /// The maximum number of resources to return.
    pub count: Option<i64>,
    /// The cursor of a page; empty for the first (RFC 9865 §2).
    pub cursor: Option<String>,
    /// The attributes to show.
    pub attributes: Vec<String>,
    /// The attributes not to show.
    pub excluded_attributes: Vec<String>,
    /// Parameters without a value, or the body that a `.search` lacks.
    pub missing: Vec<Missing>,
    /// The repairs that its body needed.
    pub applied: Applied,
}

/// A part of a search that is there but empty. Whether it is an error depends on the tenant's quirks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// The body of a `.search`.
    Body,
    /// The value of the parameter of this name.
    Value(&'static str),
}

impl SearchRequest {
    /// Makes the request that a `.search` without a body means.
    pub fn without_body() -> Self {
        Self { missing: vec![Missing::Body], ..Self::default() }
    }

    /// Moves empty parameters to `missing`. An empty cursor stays: it asks for the first page (RFC 9865
    /// §2).
    pub fn take_out_empty(&mut self) {
        for (name, value) in [
            ("filter", &mut self.filter),
            ("sortBy", &mut self.sort_by),
            ("sortOrder", &mut self.sort_order),
        ] {
            if value.as_ref().is_some_and(|text| text.trim().is_empty()) {
                *value = None;
                self.missing.push(Missing::Value(name));
            }
        }
        if self.filter.is_none() {
            self.filter_with_plus = None;
        }
    }

    /// Accepts missing parts as not sent.
    ///
    /// # Errors
    ///
    /// `invalidSyntax`, `invalidFilter` or `invalidValue` where the tenant does not allow them.
    pub(crate) fn accept_missing(&self, repairs: &mut Repairs<'_>) -> Result<(), Error> {
        let Some(missing) = self.missing.first() else { return Ok(()) };
        if repairs.allows(Quirks::EMPTY_SEARCHES) {
            return Ok(());
        }
        Err(match missing {
            Missing::Body => {
                Error::syntax("the request has no body; send a SearchRequest, at least its schemas")
            }
            Missing::Value("filter") => {
                Error::filter("the filter is empty; leave it out to find everything")
            }
            Missing::Value(name) => Error::value(*name, "has no value; give one, or leave it out"),
        })
    }

    /// Reads the body of a `.search` (RFC 7644 §3.4.3).
    ///
    /// # Errors
    ///
    /// `invalidSyntax` for a body that is not a search request, `invalidValue` for fields of the wrong type.
    pub fn from_body(body: Value, quirks: Quirks) -> Result<Self, Error> {
        let Value::Object(map) = body else {
            return Err(Error::syntax("the request body must be a JSON object"));
        };
        let mut request = Self::default();
        let mut applied = Applied::default();
        let mut repairs = Repairs { quirks, applied: &mut applied };
        let mut named = false;
        for (name, mut value) in map {
            if value.is_null() {
                continue;
            }
            let empty = value.as_str() == Some("");
            match &*name.to_ascii_lowercase() {
                "schemas" => {
                    repairs.schemas_as_array(&mut value);
                    let urns = value.as_array();
                    named = urns.is_some_and(|urns| urns.iter().any(|urn| urn == SEARCH_REQUEST));
                }
                "filter" => request.filter = Some(text("filter", value)?),
                "sortby" => request.sort_by = Some(text("sortBy", value)?),
                "sortorder" => request.sort_order = Some(text("sortOrder", value)?),
                "cursor" => request.cursor = Some(text("cursor", value)?),
                // As in a query: an empty number is missing, an empty list of attributes names none.
                "startindex" if empty => request.missing.push(Missing::Value("startIndex")),
                "count" if empty => request.missing.push(Missing::Value("count")),
                "attributes" | "excludedattributes" if empty => {}
                "startindex" => {
                    request.start_index = Some(number("startIndex", &repairs.whole(value))?);
                }
                "count" => request.count = Some(number("count", &repairs.whole(value))?),
                "attributes" => request.attributes = texts("attributes", value)?,
                "excludedattributes" => {
                    request.excluded_attributes = texts("excludedAttributes", value)?;
                }
                _ => {}
            }
        }
        request.take_out_empty();
        if named {
            Ok(Self { applied, ..request })
        } else {
            Err(Error::syntax(format!("schemas must name {SEARCH_REQUEST}")))
        }
    }

    /// Returns whether there is a filter. An empty one is none, like every empty parameter.
    pub(crate) fn is_filtered(&self) -> bool {
        self.filter.as_deref().is_some_and(|filter| !filter.trim().is_empty())
    }
}

fn text(name: &str, value: Value) -> Result<String, Error> {
    match value {
        Value::String(text) => Ok(text),
        _ => Err(Error::value(name, "must be a text")),
    }
}

fn number(name: &str, value: &Value) -> Result<i64, Error> {
    value.as_i64().ok_or_else(|| Error::value(name, "must be a whole number"))
}

fn texts(name: &str, value: Value) -> Result<Vec<String>, Error> {
    match value {
        Value::String(list) => Ok(vec![list]),
        Value::Array(values) => values.into_iter().map(|value| text(name, value)).collect(),
        _ => Err(Error::value(name, "must be an array of attribute names")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(quirks: Quirks, more: &Value) -> Result<SearchRequest, Error> {
        let mut body = json!({"schemas": [SEARCH_REQUEST]});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        SearchRequest::from_body(body, quirks)
    }

    #[test]
    fn b_01_numbers_may_be_texts_and_a_text_an_array() {
        let body = json!({"count": "5", "startIndex": "2", "schemas": SEARCH_REQUEST});
        let request = read(Quirks::ALL, &body).unwrap();
        assert_eq!((request.count, request.start_index), (Some(5), Some(2)));
        assert_eq!(request.applied.quirks(), Quirks::NUMBERS_AS_TEXT.with(Quirks::ARRAYS_OF_ONE));
        for part in [json!({"count": "5"}), json!({"schemas": SEARCH_REQUEST})] {
            assert!(read(Quirks::NONE, &part).is_err(), "{part}");
        }
        for bad in ["five", "1.5", "99999999999999999999"] {
            assert!(read(Quirks::ALL, &json!({"count": bad})).is_err(), "{bad}");
        }
    }

    #[test]
    fn f_18_an_empty_parameter_is_noted_as_missing() {
        let body = json!({"filter": "", "sortBy": "", "sortOrder": "", "count": "", "startIndex": "",
            "attributes": "", "excludedAttributes": ""});
        let names = ["count", "startIndex", "filter", "sortBy", "sortOrder"];
        let missing = names.map(Missing::Value).to_vec();
        let expected = SearchRequest { missing, ..SearchRequest::default() };
        assert_eq!(read(Quirks::NONE, &body).unwrap(), expected);
        assert_eq!(read(Quirks::NONE, &json!({"cursor": ""})).unwrap().cursor.as_deref(), Some(""));
    }
}
