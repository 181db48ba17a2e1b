//! Reading the provisioning log.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Integer, Nullable, Text};
use headcount_core::clock::Timestamp;
use headcount_core::ids::{Kind, RequestId, ResourceId, TenantId, TokenId};
use headcount_core::provider::ProviderError;
use headcount_core::quirks::Quirks;
use headcount_core::work::Work;
use headcount_records::{
    LogQuery, LogScope, Logged, QuirkCount, RequestLog, RequestRecord, Retention, Traces,
};

use super::{LogStore, names};
use crate::connection::DbConnection;
use crate::error::WriteError;
use crate::log_rows::{NO_TENANT, clean};
use crate::schema::quirk_counts;
use crate::sql::Sql;

type Columns = (
    (BigInt, BigInt, BigInt, BigInt, Text),
    (
        Nullable<Text>,
        Nullable<Text>,
        Nullable<Text>,
        Nullable<Text>,
        Nullable<Text>,
        Nullable<Text>,
    ),
    (Text, Text, Nullable<Text>, Nullable<Text>, Nullable<Text>, Nullable<Text>),
    (
        Integer,
        Nullable<Text>,
        Nullable<Text>,
        Nullable<Text>,
        BigInt,
        Nullable<Text>,
        Nullable<Text>,
    ),
    (Nullable<Integer>, Integer, BigInt),
);

type Optional = Option<String>;

#[derive(Queryable)]
struct Row {
    number: (i64, i64, i64, i64, String),
    who: (Optional, Optional, Optional, Optional, Optional, Optional),
    what: (String, String, Optional, Optional, Optional, Optional),
    outcome: (i32, Optional, Optional, Optional, i64, Optional, Optional),
    rest: (Option<i32>, i32, i64),
}

impl Row {
    fn into_logged(self) -> Logged {
        let (seq, tenant, at, micros, request) = self.number;
        let (token, token_name, refused, address, agent, idp) = self.who;
        let (method, path, kind, resource, name, query) = self.what;
        let (status, scim_type, field, reason, quirks, body, reply) = self.outcome;
        let (changed, stranger, unkept) = self.rest;
        let record = RequestRecord {
            at: Timestamp::from_micros(at),
            micros,
            request: RequestId::new(request),
            tenant: (tenant != NO_TENANT).then(|| TenantId::new(tenant)),
            token: token.map(TokenId::new),
            token_name,
            refused,
            address,
            agent,
            idp,
            method,
            path,
            kind: kind.map(Kind::new),
            resource: resource.map(ResourceId::new),
            name,
            names: Vec::new(),
            query,
            status: u16::try_from(status).unwrap_or(0),
            scim_type,
            field,
            reason,
            quirks: Quirks::from_bits(quirks),
            changed: changed.map(|changed| changed != 0),
            proven: stranger == 0,
            unkept: u64::try_from(unkept).unwrap_or(0),
            body,
            reply,
        };
        Logged { seq, record }
    }
}

const SELECT: &str = "SELECT r.seq, r.tenant, r.at, r.micros, r.request, r.token, r.token_name, r.refused, \
    r.address, r.agent, r.idp, r.method, r.route, r.kind, r.resource, r.name, r.query, r.status, \
    r.scim_type, r.field, r.reason, r.quirks, r.body, r.reply, r.changed, \
    r.stranger, r.unkept FROM ";

/// Returns the statement for a query, for at most `limit` rows. By name, the rows of one bucket lead.
fn statement(query: &LogQuery, named: Option<(i64, &str)>, limit: usize) -> Sql {
    let mut sql = match named {
        Some((bucket, name)) => Sql::new(SELECT)
            .text("request_names n JOIN requests r ON r.seq = n.seq WHERE ")
            .watched()
            .text("n.bucket = ")
            .int(bucket)
            .text(" AND n.name = ")
            .int(names::number(name)),
        None => Sql::new(SELECT).text("requests r WHERE ").watched().text("r.seq > 0"),
    };
    let (tenant, number) = match query {
        LogQuery { name: Some(_), .. } => (" AND n.tenant = ", "n.seq"),
        // The index of tokens or of requests leads (`+ 0` excludes the other one): that of tenants would visit
        // all requests of the tenant.
        LogQuery { token: Some(_), .. } | LogQuery { request: Some(_), .. } => {
            (" AND r.tenant + 0 = ", "r.seq")
        }
        _ => (" AND r.tenant = ", "r.seq"),
    };
    match query.scope {
        LogScope::All => {}
        LogScope::Tenant(wanted) => sql = sql.text(tenant).int(wanted.key()),
        LogScope::Unknown => sql = sql.text(tenant).int(NO_TENANT),
    }
    if let Some(token) = &query.token {
        sql = sql.text(" AND r.token = ").string(clean(token.as_str()));
    }
    if let Some(request) = &query.request {
        sql = sql.text(" AND r.request = ").string(clean(request.as_str()));
    }
    if let Some(kind) = &query.kind {
        sql = sql.text(" AND r.kind = ").string(clean(kind.as_str()));
        if kind.as_str() != "User" {
            // For the planner: the partial index of these rows has all that are wanted.
            sql = sql.text(" AND r.kind <> 'User'");
        }
    }
    if query.failed {
        sql = sql.text(" AND r.status >= 400");
    }
    if let Some(before) = query.before {
        sql = sql.text(" AND ").text(number).text(" < ").int(before);
    }
    if let Some(after) = query.after {
        sql = sql.text(" AND ").text(number).text(" > ").int(after);
    }
    let order = if is_onward(query) { " LIMIT " } else { " DESC LIMIT " };
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    sql.text(" ORDER BY ").text(number).text(order).int(limit)
}

/// Returns whether the oldest rows come first.
fn is_onward(query: &LogQuery) -> bool {
    query.after.is_some() && query.before.is_none()
}

/// Reads the requests that are found by a name, bucket by bucket, until there are enough.
fn find_by_name(
    connection: &mut DbConnection,
    query: &LogQuery,
    name: &str,
    work: &Work,
) -> Result<Vec<Row>, WriteError> {
    let Some(buckets) = names::buckets(connection)? else { return Ok(Vec::new()) };
    let first = query.after.map_or(i64::MIN, names::bucket).max(*buckets.start());
    let last = query.before.map_or(i64::MAX, names::bucket).min(*buckets.end());
    let mut rows = Vec::new();
    for step in 0..=last - first {
        work.check()?;
        let bucket = if is_onward(query) { first + step } else { last - step };
        let sql = statement(query, Some((bucket, name)), query.limit - rows.len());
        rows.extend(sql.query::<Columns>().load::<Row>(connection)?);
        if rows.len() >= query.limit {
            break;
        }
    }
    Ok(rows)
}

/// Returns the tenant with the next larger key in the log.
fn tenant_after(connection: &mut DbConnection, last: i64) -> QueryResult<Option<i64>> {
    Sql::new("SELECT min(tenant) FROM (SELECT min(tenant) AS tenant FROM requests WHERE tenant > ")
        .int(last)
        .text(" UNION ALL SELECT min(tenant) FROM quirk_counts WHERE tenant > ")
        .int(last)
        .text(") known")
        .query::<Nullable<BigInt>>()
        .get_result(connection)
}

impl RequestLog for LogStore {
    fn append(&self, records: &[RequestRecord]) -> Result<(), ProviderError> {
        self.append_all(records)
    }

    fn add_unkept(&self, counts: &[(RequestId, u64)]) -> Result<(), ProviderError> {
        self.add_all_unkept(counts)
    }

    fn requests(&self, query: &LogQuery, work: &Work) -> Result<Vec<Logged>, ProviderError> {
        if self.is_absent() {
            return Ok(Vec::new());
        }
        let rows =
            self.readers()?.read_for(work, "the provisioning log is read", |connection| {
                if let Some(name) = &query.name {
                    return find_by_name(connection, query, name, work);
                }
                let sql = statement(query, None, query.limit);
                Ok(sql.query::<Columns>().load::<Row>(connection)?)
            })?;
        Ok(rows.into_iter().map(Row::into_logged).collect())
    }

    fn quirk_counts(&self, tenant: TenantId) -> Result<Vec<QuirkCount>, ProviderError> {
        let rows = self.readers()?.read("the counters of quirks are read", |connection| {
            quirk_counts::table
                .filter(quirk_counts::tenant.eq(tenant.key()))
                .order((quirk_counts::token, quirk_counts::quirk))
                .select((
                    quirk_counts::token,
                    quirk_counts::quirk,
                    quirk_counts::amount,
                    quirk_counts::last,
                ))
                .load::<(String, String, i64, i64)>(connection)
        })?;
        let counts = rows.into_iter().map(|(token, quirk, amount, last)| QuirkCount {
            token: TokenId::new(token),
            quirk,
            amount,
            last: Timestamp::from_micros(last),
        });
        Ok(counts.collect())
    }

    fn erase(
        &self,
        tenant: TenantId,
        names: &[String],
        traces: &Traces,
    ) -> Result<usize, ProviderError> {
        self.erase_all(tenant, names, traces)
    }

    fn tenants(&self) -> Result<Vec<TenantId>, ProviderError> {
        self.readers()?.read("the tenants in the log are read", |connection| {
            let (mut tenants, mut last) = (Vec::new(), 0);
            // One step of an index for each tenant, however many records it has.
            while let Some(next) = tenant_after(connection, last)? {
                tenants.push(TenantId::new(next));
                last = next;
            }
            Ok(tenants)
        })
    }

    fn forget(&self, tenant: TenantId) -> Result<(), ProviderError> {
        self.forget_all(tenant)
    }

    fn prune(&self, retention: Retention) -> Result<usize, ProviderError> {
        self.prune_all(retention)
    }
}
