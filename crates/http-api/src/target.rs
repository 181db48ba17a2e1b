//! What a request is about: the kind and id in its path, the query, the preconditions.

use std::future::{Ready, ready};
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest};
use headcount_core::error::Error;
use headcount_core::ids::ResourceId;
use headcount_core::message::{Missing, SearchRequest};
use headcount_core::quirks::Quirks;
use headcount_core::schema::ResourceType;
use headcount_core::service::{Caller, Precondition, Shape, Tags};

use crate::api::Api;
use crate::client;
use crate::error::{ApiError, Cause};
use crate::gzip;
use crate::lanes::Lane;
use crate::paths::BASE_PATH;

/// The kind and the id that a path names, and what the answer depends on beside them.
///
/// A path that names no kind is told in its turn, after what is wrong with the token.
pub(crate) struct Target {
    kind: Option<Arc<ResourceType>>,
    endpoint: String,
    id: String,
    is_me: bool,
    pub(crate) form: Form,
}

/// What a client gets an answer in, whatever it is about.
#[derive(Debug, Clone)]
pub(crate) struct Form {
    /// The base URL for `location` and `$ref`, without a slash at its end.
    pub(crate) base: String,
    /// Whether a large answer is to be compressed.
    pub(crate) gzip: bool,
}

impl Form {
    /// Reads it off a request.
    pub(crate) fn of(request: &HttpRequest, api: &Api) -> Self {
        Self {
            base: format!("{}{BASE_PATH}", client::origin(request, &api.settings)),
            gzip: gzip::is_wanted(request.headers()),
        }
    }

    /// The same for the answer to a write, which is never compressed.
    pub(crate) fn of_write(self) -> Self {
        Self { gzip: false, ..self }
    }
}

impl Target {
    /// Returns the kind, as far as the permission depends on it.
    pub(crate) fn kind_if_known(&self) -> Option<Arc<ResourceType>> {
        self.kind.clone()
    }

    /// Returns the kind as a list, which is empty when there is no such endpoint.
    pub(crate) fn kinds(&self) -> &[Arc<ResourceType>] {
        self.kind.as_slice()
    }

    /// Returns the kind, or says that there is no such endpoint.
    pub(crate) fn kind(&self) -> Result<Arc<ResourceType>, ApiError> {
        let missing = || Error::NotFound { what: format!("endpoint /{}", self.endpoint) };
        self.kind.clone().ok_or_else(|| missing().into())
    }

    /// Returns the id; that of `/Me` is the caller's own (RFC 7644 §3.11).
    pub(crate) fn id(&self, caller: &Caller) -> Result<ResourceId, ApiError> {
        if !self.is_me {
            return Ok(ResourceId::new(self.id.as_str()));
        }
        caller.user.clone().ok_or_else(|| {
            let reason = "/Me is not supported: this token stands for no user";
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
        let part = |name: &str| request.match_info().get(name).unwrap_or_default().to_owned();
        let endpoint = part("endpoint");
        let registry = &api.service.registry;
        let is_me =
            request.match_info().get("endpoint").is_none() && request.path().ends_with("/Me");
        let kind = if is_me { registry.kind("User") } else { registry.by_endpoint(&endpoint) };
        ready(Ok(Self {
            kind: kind.cloned(),
            endpoint,
            is_me,
            id: part("id"),
            form: Form::of(request, api),
        }))
    }
}

/// The query of a request; what is wrong with it is told in its turn.
pub(crate) struct Query(Result<SearchRequest, Error>);

impl Query {
    /// Returns the lane of a read of one resource.
    pub(crate) fn lane_of_get(&self, api: &Api, target: &Target) -> Lane {
        let (Some(kind), Ok(request)) = (&target.kind, &self.0) else { return Lane::Point };
        let (attributes, excluded) =
            (request.attributes.clone(), request.excluded_attributes.clone());
        api.service.cost_of_get(kind, &Shape { attributes, excluded }).into()
    }

    /// Returns the lane of a search over kinds; what is refused reads nothing.
    pub(crate) fn lane_of_search(&self, api: &Api, kinds: &[Arc<ResourceType>]) -> Lane {
        let cost = |request| api.service.cost_of_search(kinds, request).into();
        self.0.as_ref().map_or(Lane::Point, cost)
    }

    /// Returns the whole question.
    pub(crate) fn search(self) -> Result<SearchRequest, ApiError> {
        Ok(self.0?)
    }

    /// Returns what shapes a reply about one resource; it cannot be filtered (GET-005). An empty filter
    /// filters nothing, where the caller may leave values out.
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

/// The parameter that a name stands for, in any case.
fn parameter(name: &str) -> Option<&'static str> {
    PARAMETERS.iter().find(|known| known.eq_ignore_ascii_case(name)).copied()
}

/// Tells whether a query names a parameter of a search, be it empty: at the base URL, that is what tells a
/// search over everything from a question for the ServiceProviderConfig.
pub(crate) fn is_search(query: &str) -> bool {
    query.split('&').any(|pair| {
        let name = pair.split_once('=').map_or(pair, |(name, _)| name);
        decoded(name).is_ok_and(|name| parameter(&name).is_some())
    })
}

/// The filter of a query as it was sent, for the provisioning log.
pub(crate) fn filter_of(query: &str) -> Option<String> {
    let mut pairs = query.split('&').rev().filter_map(|pair| pair.split_once('='));
    let (_, raw) = pairs.find(|(name, _)| name.eq_ignore_ascii_case("filter"))?;
    decoded(raw).ok()
}

/// Reads the parameters of RFC 7644 §3.4.2; others are ignored (QRY-007).
fn parse_query(text: &str) -> Result<SearchRequest, Error> {
    let mut request = SearchRequest::default();
    let mut seen: Vec<&str> = Vec::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (raw_name, raw_value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = decoded(raw_name)?;
        let Some(known) = parameter(&name) else { continue };
        if seen.contains(&known) {
            return Err(Error::value(known, "stands twice in the query; send it once"));
        }
        seen.push(known);
        let value = decoded(raw_value)?;
        match known {
            "startIndex" | "count" if value.is_empty() => {
                request.missing.push(Missing::Value(known));
            }
            "filter" => {
                let literal = headcount_core::lenient::plus_taken_literally(Quirks::ALL, raw_value);
                request.filter_with_plus = literal.as_deref().map(decoded).transpose()?;
                request.filter = Some(value);
            }
            "sortBy" => request.sort_by = Some(value),
            "sortOrder" => request.sort_order = Some(value),
            "startIndex" => request.start_index = Some(number(known, &value)?),
            "count" => request.count = Some(number(known, &value)?),
            "cursor" => request.cursor = Some(value),
            "attributes" => request.attributes = vec![value],
            _ => request.excluded_attributes = vec![value],
        }
    }
    request.take_out_empty();
    Ok(request)
}

fn number(name: &str, text: &str) -> Result<i64, Error> {
    text.parse().map_err(|_bad| Error::value(name, "must be a whole number"))
}

/// Decodes a form-encoded value: once, and `+` is a space (FLT-054).
fn decoded(text: &str) -> Result<String, Error> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
                let (Some(high), Some(low)) = (digit(rest.next()), digit(rest.next())) else {
                    return Err(Error::syntax(
                        "the query has a \"%\" that begins no escape; a percent sign is written %25",
                    ));
                };
                bytes.extend(u8::try_from(high * 16 + low));
            }
            other => bytes.push(other),
        }
    }
    let text = String::from_utf8(bytes).map_err(|_bad| Error::syntax("the query is not UTF-8"))?;
    if text.contains('\0') {
        return Err(Error::value("", "the query contains the character U+0000"));
    }
    Ok(text)
}

/// The `If-Match` and `If-None-Match` of a request; a malformed one is told in its turn.
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
        let tags = |name: header::HeaderName| -> Result<Option<Tags>, Error> {
            let values: Vec<_> = request
                .headers()
                .get_all(name)
                .map(|value| value.to_str().unwrap_or("\""))
                .collect();
            if values.is_empty() { Ok(None) } else { Tags::parse(&values.join(", ")).map(Some) }
        };
        let precondition = tags(header::IF_MATCH).and_then(|if_match| {
            Ok(Precondition { if_match, if_none_match: tags(header::IF_NONE_MATCH)? })
        });
        ready(Ok(Self(precondition)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flt_054_a_query_is_decoded_once() {
        let filter = |query: &str| parse_query(query).unwrap().filter;
        assert_eq!(
            filter("filter=userName+eq+%22a%2Bb%40x%22").as_deref(),
            Some("userName eq \"a+b@x\"")
        );
        assert_eq!(filter("filter=a%2520b").as_deref(), Some("a%20b"));
        assert_eq!(filter("FILTER=x&").as_deref(), Some("x"));
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
