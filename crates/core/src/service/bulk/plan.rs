//! Plans: the part of a bulk operation that does not depend on other operations.

use std::sync::Arc;

use serde_json::Value;

use super::{Permit, references};
use crate::error::{Error, excerpt};
use crate::ids::ResourceId;
use crate::message::BulkOperation;
use crate::schema::ResourceType;
use crate::service::{Precondition, Service, Tags};

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Create,
    Replace,
    Patch,
    Delete,
}

/// The resource that an operation works on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Subject {
    /// A new resource.
    New,
    /// An existing resource.
    Id(ResourceId),
    /// A resource that another operation creates.
    BulkId(String),
}

/// An operation as far as it is known before others have run.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) kind: Arc<ResourceType>,
    pub(super) action: Action,
    pub(super) subject: Subject,
    pub(super) data: Value,
    pub(super) precondition: Precondition,
    /// The bulk ids that it names.
    pub(super) needs: Vec<String>,
}

impl Service {
    /// Reads an operation and its body.
    pub(super) fn plan(
        &self,
        operation: &BulkOperation,
        data: Option<Value>,
        permit: &Permit<'_>,
    ) -> Result<Plan, Error> {
        let action = match operation.method.to_ascii_uppercase().as_str() {
            "POST" => Action::Create,
            "PUT" => Action::Replace,
            "PATCH" => Action::Patch,
            "DELETE" => Action::Delete,
            _ => {
                return Err(Error::syntax(
                    "method is missing or unknown; it must be POST, PUT, PATCH or DELETE",
                ));
            }
        };
        let (kind, subject) = self.target(action, &operation.path)?;
        permit(&kind)?;
        if action == Action::Create && operation.bulk_id.is_none() {
            return Err(Error::syntax("a POST needs a bulkId (RFC 7644 §3.7)"));
        }
        let mut data = match (data, action) {
            (_, Action::Delete) => Value::Null,
            (Some(data), _) => data,
            (None, _) => {
                return Err(Error::syntax("data is missing; it is the body of the operation"));
            }
        };
        let if_match = match operation.version.as_deref().filter(|_| action != Action::Create) {
            Some(version) => Some(Tags::parse(version)?),
            None => None,
        };
        let mut needs = Vec::new();
        if let Subject::BulkId(id) = &subject {
            needs.push(id.clone());
        }
        in_data(&kind, action, &mut data, &mut |text| {
            if let Some(id) = references::bulk_id(text)
                && !needs.iter().any(|known| known == id)
            {
                needs.push(id.to_owned());
            }
        });
        let precondition = Precondition { if_match, if_none_match: None };
        Ok(Plan { kind, action, subject, data, precondition, needs })
    }

    /// Reads a path: `/Users` to create, `/Users/id` for everything else.
    fn target(&self, action: Action, path: &str) -> Result<(Arc<ResourceType>, Subject), Error> {
        let rest = path.strip_prefix('/').ok_or_else(|| bad_path(path))?;
        let (endpoint, id) = match rest.trim_end_matches('/').split_once('/') {
            None => (rest.trim_end_matches('/'), None),
            Some((endpoint, id)) => (endpoint, Some(id)),
        };
        if !is_segment(endpoint) || id.is_some_and(|id| !is_segment(id) || id == "." || id == "..")
        {
            return Err(bad_path(path));
        }
        if ["Bulk", "Me", ".search"].iter().any(|own| endpoint.eq_ignore_ascii_case(own)) {
            return Err(Error::syntax(format!("/{endpoint} cannot be part of a bulk request")));
        }
        let kind = self.registry.by_endpoint(endpoint).ok_or_else(|| Error::NotFound {
            what: format!("endpoint \"/{}\"", excerpt(endpoint)),
        })?;
        let subject = match (action, id) {
            (Action::Create, None) => Subject::New,
            (Action::Create, Some(_)) | (_, None) => return Err(bad_path(path)),
            (_, Some(id)) => match references::bulk_id(id) {
                Some(id) => Subject::BulkId(id.to_owned()),
                None => Subject::Id(ResourceId::new(id)),
            },
        };
        Ok((Arc::clone(kind), subject))
    }
}

fn bad_path(path: &str) -> Error {
    Error::syntax(format!(
        "the path \"{}\" must be an endpoint such as /Users for POST, and a resource such as /Users/id otherwise",
        excerpt(path)
    ))
}

/// Returns whether a text can be a segment of a path without encoding.
fn is_segment(text: &str) -> bool {
    !text.is_empty() && !text.contains(['/', '?', '#', '%', '\\'])
}

/// Visits each reference in the data of an operation.
pub(super) fn in_data(
    kind: &ResourceType,
    action: Action,
    data: &mut Value,
    visit: &mut references::Visitor<'_>,
) {
    match action {
        Action::Patch => references::in_patch(kind, data, visit),
        Action::Create | Action::Replace => references::in_resource(kind, data, visit),
        Action::Delete => {}
    }
}
