//! What an operation of a bulk request asks for, as far as it can be told before others have run.

use std::sync::Arc;

use serde_json::Value;

use super::{Permit, references};
use crate::error::{Error, excerpt};
use crate::ids::ResourceId;
use crate::message::BulkOperation;
use crate::schema::ResourceType;
use crate::service::{Precondition, Service, Tags};

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Create,
    Replace,
    Patch,
    Delete,
}

/// What an operation is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Subject {
    /// Something new.
    New,
    /// A resource that is there.
    Id(ResourceId),
    /// A resource that another operation creates.
    BulkId(String),
}

/// What an operation asks for, as far as it can be told before others have run.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) kind: Arc<ResourceType>,
    pub(super) verb: Verb,
    pub(super) subject: Subject,
    pub(super) data: Value,
    pub(super) precondition: Precondition,
    /// The bulk ids that it names.
    pub(super) needs: Vec<String>,
}

impl Service {
    /// Reads an operation and its body: everything about it that depends on no other.
    pub(super) fn plan(
        &self,
        operation: &BulkOperation,
        data: Option<Value>,
        permit: &Permit<'_>,
    ) -> Result<Plan, Error> {
        let verb = match operation.method.to_ascii_uppercase().as_str() {
            "POST" => Verb::Create,
            "PUT" => Verb::Replace,
            "PATCH" => Verb::Patch,
            "DELETE" => Verb::Delete,
            _ => {
                return Err(Error::syntax(
                    "method is missing or unknown; it must be POST, PUT, PATCH or DELETE",
                ));
            }
        };
        let (kind, subject) = self.target(verb, &operation.path)?;
        permit(&kind)?;
        if verb == Verb::Create && operation.bulk_id.is_none() {
            return Err(Error::syntax("a POST needs a bulkId (RFC 7644 §3.7)"));
        }
        let mut data = match (data, verb) {
            (_, Verb::Delete) => Value::Null,
            (Some(data), _) => data,
            (None, _) => {
                return Err(Error::syntax("data is missing; it is the body of the operation"));
            }
        };
        let if_match = match operation.version.as_deref().filter(|_| verb != Verb::Create) {
            Some(version) => Some(Tags::parse(version)?),
            None => None,
        };
        let mut needs = Vec::new();
        if let Subject::BulkId(id) = &subject {
            needs.push(id.clone());
        }
        in_data(&kind, verb, &mut data, &mut |text| {
            if let Some(id) = references::bulk_id(text)
                && !needs.iter().any(|known| known == id)
            {
                needs.push(id.to_owned());
            }
        });
        let precondition = Precondition { if_match, if_none_match: None };
        Ok(Plan { kind, verb, subject, data, precondition, needs })
    }

    /// Reads a path: `/Users` to create, `/Users/id` for everything else.
    fn target(&self, verb: Verb, path: &str) -> Result<(Arc<ResourceType>, Subject), Error> {
        let refuse = || {
            Error::syntax(format!(
                "the path \"{}\" must be an endpoint such as /Users for POST, and a resource such as /Users/id otherwise",
                excerpt(path)
            ))
        };
        let rest = path.strip_prefix('/').ok_or_else(refuse)?;
        let (endpoint, id) = match rest.trim_end_matches('/').split_once('/') {
            None => (rest.trim_end_matches('/'), None),
            Some((endpoint, id)) => (endpoint, Some(id)),
        };
        let plain = |text: &str| !text.is_empty() && !text.contains(['/', '?', '#', '%', '\\']);
        if !plain(endpoint) || id.is_some_and(|id| !plain(id) || id == "." || id == "..") {
            return Err(refuse());
        }
        if ["Bulk", "Me", ".search"].iter().any(|own| endpoint.eq_ignore_ascii_case(own)) {
            return Err(Error::syntax(format!("/{endpoint} cannot stand in a bulk request")));
        }
        let kind = self.registry.by_endpoint(endpoint).ok_or_else(|| Error::NotFound {
            what: format!("endpoint \"/{}\"", excerpt(endpoint)),
        })?;
        let subject = match (verb, id) {
            (Verb::Create, None) => Subject::New,
            (Verb::Create, Some(_)) | (_, None) => return Err(refuse()),
            (_, Some(id)) => match references::bulk_id(id) {
                Some(id) => Subject::BulkId(id.to_owned()),
                None => Subject::Id(ResourceId::new(id)),
            },
        };
        Ok((Arc::clone(kind), subject))
    }
}

/// Shows each reference in the data of an operation.
pub(super) fn in_data(
    kind: &ResourceType,
    verb: Verb,
    data: &mut Value,
    visit: &mut references::Visitor<'_>,
) {
    match verb {
        Verb::Patch => references::in_patch(kind, data, visit),
        Verb::Create | Verb::Replace => references::in_resource(kind, data, visit),
        Verb::Delete => {}
    }
}
