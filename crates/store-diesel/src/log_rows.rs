//! The rows that a request leaves in the log. They borrow what is written: to write them is what the thread
//! of the log spends most of its time on.

use std::borrow::Cow;

use diesel::prelude::*;
use headcount_core::ids::{Kind, ResourceId, TenantId, TokenId};
use headcount_records::RequestRecord;

use crate::schema::{request_names, requests};

/// What the log has instead of the key of a tenant when there is none.
pub(crate) const NO_TENANT: i64 = 0;

/// Returns the key of a tenant in the log.
pub(crate) fn key(tenant: Option<TenantId>) -> i64 {
    tenant.map_or(NO_TENANT, TenantId::key)
}

/// A row of `requests`.
#[derive(Insertable)]
#[diesel(table_name = requests, treat_none_as_default_value = false)]
pub(crate) struct Request<'a> {
    pub(crate) seq: i64,
    pub(crate) tenant: i64,
    pub(crate) at: i64,
    pub(crate) micros: i64,
    pub(crate) status: i32,
    pub(crate) quirks: i64,
    pub(crate) changed: Option<i32>,
    pub(crate) stranger: i32,
    pub(crate) unkept: i64,
    pub(crate) method: Cow<'a, str>,
    pub(crate) route: Cow<'a, str>,
    pub(crate) request: Cow<'a, str>,
    pub(crate) token: Option<Cow<'a, str>>,
    pub(crate) token_name: Option<Cow<'a, str>>,
    pub(crate) refused: Option<Cow<'a, str>>,
    pub(crate) address: Option<Cow<'a, str>>,
    pub(crate) agent: Option<Cow<'a, str>>,
    pub(crate) idp: Option<Cow<'a, str>>,
    pub(crate) kind: Option<Cow<'a, str>>,
    pub(crate) resource: Option<Cow<'a, str>>,
    pub(crate) name: Option<Cow<'a, str>>,
    pub(crate) query: Option<Cow<'a, str>>,
    pub(crate) scim_type: Option<Cow<'a, str>>,
    pub(crate) field: Option<Cow<'a, str>>,
    pub(crate) reason: Option<Cow<'a, str>>,
    pub(crate) body: Option<Cow<'a, str>>,
    pub(crate) reply: Option<Cow<'a, str>>,
}

/// A row of `request_names`, in the order of its index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Insertable)]
#[diesel(table_name = request_names, treat_none_as_default_value = false)]
pub(crate) struct Name {
    pub(crate) bucket: i64,
    pub(crate) name: i64,
    pub(crate) tenant: i64,
    pub(crate) seq: i64,
}

impl<'a> Request<'a> {
    pub(crate) fn of(seq: i64, record: &'a RequestRecord) -> Self {
        let text = |text: &'a Option<String>| text.as_deref().map(clean);
        Self {
            seq,
            tenant: key(record.tenant),
            at: record.at.micros(),
            micros: record.micros,
            status: record.status.into(),
            quirks: record.quirks.bits(),
            changed: record.changed.map(i32::from),
            stranger: i32::from(!record.proven),
            unkept: i64::try_from(record.unkept).unwrap_or(i64::MAX),
            method: clean(&record.method),
            route: clean(&record.path),
            request: clean(record.request.as_str()),
            token: record.token.as_ref().map(TokenId::as_str).map(clean),
            token_name: text(&record.token_name),
            refused: text(&record.refused),
            address: text(&record.address),
            agent: text(&record.agent),
            idp: text(&record.idp),
            kind: record.kind.as_ref().map(Kind::as_str).map(clean),
            resource: record.resource.as_ref().map(ResourceId::as_str).map(clean),
            name: text(&record.name),
            query: text(&record.query),
            scim_type: text(&record.scim_type),
            field: text(&record.field),
            reason: text(&record.reason),
            body: text(&record.body),
            reply: text(&record.reply),
        }
    }
}

/// PostgreSQL keeps no NUL in texts.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    match memchr::memchr(0, text.as_bytes()) {
        None => Cow::Borrowed(text),
        Some(_) => Cow::Owned(text.replace('\0', "\u{fffd}")),
    }
}
