//! The target of a request: the kind and id in its path, the query, the preconditions.

use std::future::{Ready, ready};
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::http::header::{self, HeaderMap, HeaderName};
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest};
use headcount_core::error::Error;
use headcount_core::ids::ResourceId;
use headcount_core::message::{Missing, SearchRequest};
use headcount_core::quirks::Quirks;
use headcount_core::schema::ResourceType;
use headcount_core::service::{Caller, Precondition, Shape, Tags};
use percent_encoding::percent_decode_str;

use crate::api::Api;
use crate::client;
use crate::error::{ApiError, Cause};
use crate::gzip;
use crate::lanes::Lane;
use crate::paths::{self, BASE_PATH};

/// The kind and the id that a path names, with the form of the response.
///
/// An unknown kind is an error only after the token is checked.
pub(crate) struct Target {
    kind: Option<Arc<ResourceType>>,
    endpoint: String,
    id: String,
    is_me: bool,
    /// Whether the endpoint is where an id is expected, because a part of the base URL is in the path twice.
    is_astray: bool,
    pub(crate) form: Form,
}

/// The form of a response, whatever its subject.
#[derive(Debug, Clone)]
pub(crate) struct Form {
    /// The base URL for `location` and `$ref`, without a slash at its end.
    pub(crate) base: String,
    /// Whether a large body is compressed.
    pub(crate) gzip: bool,
}

impl Form {
    /// Reads the form from a request.
    pub(crate) fn of(request: &HttpRequest, api: &Api) -> Self {
        Self {
            base: format!("{}{BASE_PATH}", client::origin(request, &api.settings)),
            gzip: gzip::is_wanted(request.headers()),
        }
    }

    /// Returns the form of the response to a write, which is never compressed.
    pub(crate) fn of_write(self) -> Self {
        Self { gzip: false, ..self }
    }
}

impl Target {
    /// Returns the kind for the check of the permission, which allows `None`.
    pub(crate) fn kind_if_known(&self) -> Option<Arc<ResourceType>> {
        self.kind.clone()
    }

    /// Returns the kind as a list, which is empty for an unknown endpoint.
    pub(crate) fn kinds(&self) -> &[Arc<ResourceType>] {
        self.kind.as_slice()
    }

    /// Returns the kind, or 404 for an unknown endpoint.
    pub(crate) fn kind(&self) -> Result<Arc<ResourceType>, ApiError> {
        self.kind.clone().ok_or_else(|| {
            if self.is_astray {
                return Cause::Astray { base: self.form.base.clone(), malformed: false }.into();
            }
            Error::NotFound { what: format!("endpoint /{}", self.endpoint) }.into()
        })
    }

    /// Returns the id; that of `/Me` is the caller's own (RFC 7644 §3.11).
    pub(crate) fn id(&self, caller: &Caller) -> Result<ResourceId, ApiError> {
        if !self.is_me {
            return Ok(ResourceId::new(self.id.as_str()));
        }
        caller.user.clone().ok_or_else(|| {
            let reason = "/Me is not supported: this token belongs to no user";
            Error::NotImplemented(reason.to_owned()).into()
        })
    }
}

impl FromRequest for Target {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        let Some(api) = request.app_data::<Data<Api>>() else {
            return ready(Err(Cause::Internal.into()));
        };
        let (endpoint, id) = (request.match_info().get("endpoint"), request.match_info().get("id"));
        let registry = &api.service.registry;
        let is_me = endpoint.is_none() && request.path().ends_with("/Me");
        let endpoint = endpoint.unwrap_or_default();
        let kind = if is_me { registry.kind("User") } else { registry.by_endpoint(endpoint) };
        let is_astray = kind.is_none() && paths::ends_like_scim(registry, id.unwrap_or_default());
        ready(Ok(Self {
            kind: kind.cloned(),
            endpoint: endpoint.to_owned(),
            is_me,
            is_astray,
            id: id.unwrap_or_default().to_owned(),
            form: Form::of(request, api),
        }))
    }
}

/// The query of a request. Its error is deferred until the token and the target are checked.
pub(crate) struct Query(Result<SearchRequest, Error>);

impl Query {
    /// Returns the lane of a read of one resource.
    pub(crate) fn lane_of_get(&self, api: &Api, target: &Target) -> Lane {
        let (Some(kind), Ok(request)) = (&target.kind, &self.0) else { return Lane::Point };
        let shape = Shape {
            attributes: request.attributes.clone(),
            excluded: request.excluded_attributes.clone(),
        };
        api.service.cost_of_get(kind, &shape).into()
    }

    /// Returns the lane of a search over kinds. A query that cannot be read will not read anything either.
    pub(crate) fn lane_of_search(&self, api: &Api, kinds: &[Arc<ResourceType>]) -> Lane {
        let Ok(request) = &self.0 else { return Lane::Point };
        api.service.cost_of_search(kinds, request).into()
    }

    /// Returns the whole query.
    pub(crate) fn search(self) -> Result<SearchRequest, ApiError> {
        Ok(self.0?)
    }

    /// Returns the lists of attributes for a reply about one resource. A filter is refused (GET-005), but for an
    /// empty one where a quirk allows it.
    pub(crate) fn shape(self, caller: &Caller) -> Result<Shape, ApiError> {
        let request = self.0?;
        let empty = request.missing.contains(&Missing::Value("filter"));
        if request.filter.is_some() || (empty && !caller.quirks.has(Quirks::EMPTY_SEARCHES)) {
            return Err(Error::filter("one resource cannot be filtered; ask its endpoint").into());
        }
        Ok(Shape { attributes: request.attributes, excluded: request.excluded_attributes })
    }
}

impl FromRequest for Query {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        ready(Ok(Self(parse_query(request.query_string()))))
    }
}

/// The parameters of a search (RFC 7644 §3.4.2, RFC 9865 §2).
const PARAMETERS: [&str; 8] = [
    "filter",
    "sortBy",
    "sortOrder",
    "startIndex",
    "count",
    "cursor",
    "attributes",
    "excludedAttributes",
];

/// Finds a parameter by its name, in any case.
fn find_parameter(name: &str) -> Option<&'static str> {
    PARAMETERS.iter().find(|known| known.eq_ignore_ascii_case(name)).copied()
}

/// Returns whether a query has a parameter of a search, which may be empty. At the base URL, this distinguishes a
/// search over all resources from a request for the ServiceProviderConfig.
pub(crate) fn is_search(query: &str) -> bool {
    query.split('&').any(|pair| {
        let name = pair.split_once('=').map_or(pair, |(name, _)| name);
        decode(name).is_ok_and(|name| find_parameter(&name).is_some())
    })
}

/// Returns the filter of a query, for the provisioning log.
pub(crate) fn filter_of(query: &str) -> Option<String> {
    let mut pairs = query.split('&').rev().filter_map(|pair| pair.split_once('='));
    let (_, raw) = pairs.find(|(name, _)| name.eq_ignore_ascii_case("filter"))?;
    decode(raw).ok()
}

/// Reads the parameters of RFC 7644 §3.4.2; others are ignored (QRY-007).
fn parse_query(text: &str) -> Result<SearchRequest, Error> {
    let mut request = SearchRequest::default();
    let mut seen: Vec<&str> = Vec::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (raw_name, raw_value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = decode(raw_name)?;
        let Some(known) = find_parameter(&name) else { continue };
        if seen.contains(&known) {
            return Err(Error::value(known, "is in the query twice; send it once"));
        }
        seen.push(known);
        let value = decode(raw_value)?;
        match known {
            "startIndex" | "count" if value.is_empty() => {
                request.missing.push(Missing::Value(known));
            }
            "filter" => {
                let literal = headcount_core::lenient::plus_taken_literally(Quirks::ALL, raw_value);
                request.filter_with_plus = literal.as_deref().map(decode).transpose()?;
                request.filter = Some(value);
            }
            "sortBy" => request.sort_by = Some(value),
            "sortOrder" => request.sort_order = Some(value),
            "startIndex" => request.start_index = Some(parse_number(known, &value)?),
            "count" => request.count = Some(parse_number(known, &value)?),
            "cursor" => request.cursor = Some(value),
            "attributes" => request.attributes = vec![value],
            _ => request.excluded_attributes = vec![value],
        }
    }
    request.take_out_empty();
    Ok(request)
}

fn parse_number(name: &str, text: &str) -> Result<i64, Error> {
    text.parse().map_err(|_bad| Error::value(name, "must be a whole number"))
}

/// Decodes a form-encoded value once, where `+` is a space (FLT-054). Unlike the URL standard, it refuses a `%` that
/// begins no escape: the client forgot to encode it.
fn decode(text: &str) -> Result<String, Error> {
    let is_escaped = text.split('%').skip(1).all(|rest| {
        matches!(rest.as_bytes(), [high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
    });
    if !is_escaped {
        return Err(Error::syntax(
            "the query has a \"%\" that begins no escape; a percent sign is written %25",
        ));
    }
    let spaced = text.replace('+', " ");
    let text = percent_decode_str(&spaced).decode_utf8().map_err(|_bad| {
        Error::syntax("the query is not UTF-8; percent-encode its bytes as UTF-8")
    })?;
    if text.contains('\0') {
        return Err(Error::message_value("the query contains the character U+0000; leave it out"));
    }
    Ok(text.into_owned())
}

/// The `If-Match` and `If-None-Match` of a request. Their error is deferred until the token and the target are
/// checked.
pub(crate) struct IfMatch(Result<Precondition, Error>);

impl IfMatch {
    /// Returns the precondition.
    pub(crate) fn check(self) -> Result<Precondition, ApiError> {
        Ok(self.0?)
    }
}

impl FromRequest for IfMatch {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        ready(Ok(Self(parse_precondition(request.headers()))))
    }
}

fn parse_precondition(headers: &HeaderMap) -> Result<Precondition, Error> {
    let if_match = parse_tags(headers, header::IF_MATCH)?;
    let if_none_match = parse_tags(headers, header::IF_NONE_MATCH)?;
    Ok(Precondition { if_match, if_none_match })
}

fn parse_tags(headers: &HeaderMap, name: HeaderName) -> Result<Option<Tags>, Error> {
    // A lone quote is never valid, just like a value that is not ASCII.
    let values: Vec<_> =
        headers.get_all(name).map(|value| value.to_str().unwrap_or("\"")).collect();
    if values.is_empty() { Ok(None) } else { Tags::parse(&values.join(", ")).map(Some) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flt_054_a_query_is_decoded_once() {
        for (query, filter) in [
            ("filter=userName+eq+%22a%2Bb%40x%22", "userName eq \"a+b@x\""),
            ("filter=a%2520b", "a%20b"),
            ("FILTER=x&", "x"),
        ] {
            assert_eq!(parse_query(query).unwrap().filter.as_deref(), Some(filter), "{query}");
        }
        assert_eq!(
            parse_query("filter=a+b%2Bc").unwrap().filter_with_plus.as_deref(),
            Some("a+b+c")
        );
        for bad in ["filter=%", "filter=%4", "filter=%zz", "filter=%ff", "filter=%00"] {
            assert!(parse_query(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn qry_014_pag_009_parameters_stand_once_and_numbers_are_numbers() {
        assert!(parse_query("filter=a&filter=b").is_err());
        for bad in ["count=abc", "count=1e30", "count=99999999999999999999", "startIndex=1.5"] {
            assert_eq!(
                parse_query(bad).unwrap_err().status_and_type(),
                (400, Some("invalidValue")),
                "{bad}"
            );
        }
        assert_eq!(
            parse_query("count=-1&startIndex=0&foo=1&foo=2&=&aadOptscim062020").unwrap().count,
            Some(-1)
        );
    }

    #[test]
    fn c_f3_what_is_named_but_empty_is_noted_and_the_cursor_alone_says_something() {
        let request =
            parse_query("filter=&startIndex=&COUNT=&sortBy=+&sortOrder&cursor=&attributes=");
        let request = request.unwrap();
        let names = ["startIndex", "count", "filter", "sortBy", "sortOrder"];
        assert_eq!(request.missing, names.map(Missing::Value));
        assert_eq!((request.filter, request.filter_with_plus), (None, None));
        assert_eq!(request.cursor.as_deref(), Some(""));
    }

    #[test]
    fn b_f3_c_f1_a_query_at_the_base_is_a_search_when_it_names_a_parameter() {
        for search in ["filter=id+pr", "a=b&Count=1", "cursor=", "sortby", "att%72ibutes=id"] {
            assert!(is_search(search), "{search}");
        }
        for other in ["", "x=filter", "filters=1", "aadOptscim062020", "%"] {
            assert!(!is_search(other), "{other}");
        }
    }
}
