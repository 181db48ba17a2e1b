//! Bulk messages (RFC 7644 §3.7).

use serde_json::Value;

use super::error_body;
use crate::error::Error;
use crate::ids::Version;
use crate::lenient::Repairs;
use crate::quirks::{Applied, Quirks};
use crate::resource::ObjectWriter;

/// The URN of bulk requests.
pub const BULK_REQUEST: &str = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";
/// The URN of bulk responses.
pub const BULK_RESPONSE: &str = "urn:ietf:params:scim:api:messages:2.0:BulkResponse";

/// A bulk request whose envelope is valid. Its operations are checked one by one.
#[derive(Debug, Clone)]
pub struct BulkRequest {
    /// The number of errors after which the remaining operations are not run.
    pub fail_on_errors: Option<usize>,
    /// The operations, in the order of the request.
    pub operations: Vec<BulkOperation>,
}

/// One operation as the client wrote it.
#[derive(Debug, Clone)]
pub struct BulkOperation {
    /// The HTTP method.
    pub method: String,
    /// The client's name for the resource that it creates.
    pub bulk_id: Option<String>,
    /// The version that the client expects.
    pub version: Option<String>,
    /// The endpoint or resource, relative to the base.
    pub path: String,
    /// The body.
    pub data: Option<Value>,
}

impl BulkOperation {
    /// Returns whether the operation creates a resource.
    pub fn is_post(&self) -> bool {
        self.method.eq_ignore_ascii_case("post")
    }
}

impl BulkRequest {
    /// Reads the body of a request on `/Bulk`.
    ///
    /// # Errors
    ///
    /// `invalidSyntax` for a body that is not a bulk request, `invalidValue` for `failOnErrors`, `413` for more
    /// than `limit` operations.
    pub fn from_body(
        body: Value,
        limit: usize,
        quirks: Quirks,
        applied: &mut Applied,
    ) -> Result<Self, Error> {
        let mut repairs = Repairs { quirks, applied };
        let Value::Object(map) = body else {
            return Err(Error::syntax("the request body must be a JSON object"));
        };
        let (mut named, mut fail_on_errors, mut raw) = (false, None, None);
        for (name, mut value) in map {
            if name.eq_ignore_ascii_case("schemas") {
                repairs.schemas_as_array(&mut value);
                let urns = value.as_array();
                named = urns.is_some_and(|urns| urns.iter().any(|urn| urn == BULK_REQUEST));
            } else if name.eq_ignore_ascii_case("failOnErrors") && !value.is_null() {
                fail_on_errors = match repairs.whole(value).as_u64() {
                    Some(0) if repairs.allows(Quirks::BULK_ENVELOPE) => None,
                    Some(count) if count > 0 => usize::try_from(count).ok(),
                    _ => {
                        return Err(Error::value(
                            "failOnErrors",
                            "must be a whole number of at least 1",
                        ));
                    }
                };
            } else if name.eq_ignore_ascii_case("Operations") {
                raw = Some(value);
            }
        }
        if !named {
            return Err(Error::syntax(format!("schemas must name {BULK_REQUEST}")));
        }
        let Some(Value::Array(raw)) = raw else {
            return Err(Error::syntax("Operations is missing; it is an array of operations"));
        };
        if raw.len() > limit {
            return Err(Error::TooLarge(format!(
                "more than {limit} operations in one bulk request; send several"
            )));
        }
        let mut operations: Vec<BulkOperation> =
            raw.into_iter().map(operation).collect::<Result<_, _>>()?;
        for operation in &mut operations {
            let is_bare = operation.path.starts_with(|c: char| c.is_ascii_alphanumeric())
                && !operation.path.contains(':');
            if is_bare && repairs.allows(Quirks::BULK_ENVELOPE) {
                operation.path.insert(0, '/');
            }
        }
        Ok(Self { fail_on_errors, operations })
    }
}

fn text(name: &str, value: Value) -> Result<Option<String>, Error> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        _ => Err(Error::syntax(format!("{name} of an operation must be a text"))),
    }
}

fn operation(raw: Value) -> Result<BulkOperation, Error> {
    let Value::Object(map) = raw else {
        return Err(Error::syntax("an operation must be an object with method and path"));
    };
    let mut operation = BulkOperation {
        method: String::new(),
        bulk_id: None,
        version: None,
        path: String::new(),
        data: None,
    };
    for (name, value) in map {
        match &*name.to_ascii_lowercase() {
            "method" => operation.method = text("method", value)?.unwrap_or_default(),
            "bulkid" => operation.bulk_id = text("bulkId", value)?.filter(|id| !id.is_empty()),
            "version" => operation.version = text("version", value)?,
            "path" => operation.path = text("path", value)?.unwrap_or_default(),
            "data" if !value.is_null() => operation.data = Some(value),
            _ => {}
        }
    }
    Ok(operation)
}

/// The outcome of one operation.
#[derive(Debug)]
pub struct BulkResult {
    /// The method, as the client wrote it.
    pub method: String,
    /// The client's name for the resource.
    pub bulk_id: Option<String>,
    /// The resource, relative to the base; none for a POST that failed.
    pub location: Option<String>,
    /// The version afterwards, if the resource exists.
    pub version: Option<Version>,
    /// Whether anything changed.
    pub changed: bool,
    /// The HTTP status, or why the operation failed.
    pub outcome: Result<u16, Error>,
}

/// Returns the body of a bulk response. `base` is the base URL without a trailing slash.
pub fn bulk_response(results: &[BulkResult], base: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(128 + results.len() * 160);
    out.extend_from_slice(b"{\"schemas\":[\"");
    out.extend_from_slice(BULK_RESPONSE.as_bytes());
    out.extend_from_slice(b"\"],\"Operations\":[");
    for (index, result) in results.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        result.write(&mut out, base);
    }
    out.extend_from_slice(b"]}");
    out
}

impl BulkResult {
    fn write(&self, out: &mut Vec<u8>, base: &str) {
        let mut object = ObjectWriter::open(out);
        object.text("method", &self.method);
        if let Some(bulk_id) = &self.bulk_id {
            object.text("bulkId", bulk_id);
        }
        if let Some(version) = self.version {
            object.text("version", &version.to_string());
        }
        if let Some(location) = &self.location {
            object.text("location", &format!("{base}{location}"));
        }
        match &self.outcome {
            Ok(status) => object.text("status", &status.to_string()),
            Err(error) => {
                let (status, scim_type) = error.status_and_type();
                object.text("status", &status.to_string());
                object.raw("response", &error_body(status, scim_type, &error.to_string()));
            }
        }
        object.close();
    }
}
