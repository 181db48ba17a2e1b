//! The record of changes: appended in the transaction of the change, read as a feed in the order of
//! the chain.

use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Nullable};
use headcount_core::change::{Change, ChangeFeed, Recorded};
use headcount_core::ids::{ChainPosition, ResourceId, TenantId};
use headcount_core::members::MemberDelta;
use headcount_core::provider::ProviderError;
use headcount_core::work::Work;
use headcount_records::mac::MacKeys;

use crate::change_rows::{Effect, FeedRow, NewRow, read_changes};
use crate::connection::{Backend, DbConnection, with_backend};
use crate::error::WriteError;
use crate::schema::changes;
use crate::sql::{Sql, TypedQuery};
use crate::store::{Store, UNRECORDED};
use crate::write::sequenced_before;

/// Rows that one statement names.
const MAX_ROWS: usize = 1_000;

/// Appends a change of a resource, and runs the last statement of its write; returns how many rows that
/// statement wrote. PostgreSQL gets both as one statement, which saves a round trip of the few that a write has.
pub(crate) fn append_with(
    connection: &mut DbConnection,
    keys: &MacKeys,
    tenant: TenantId,
    change: &Change,
    effect: &Effect<'_>,
    last: Sql,
) -> QueryResult<usize> {
    let last = last.query::<()>();
    if UNRECORDED {
        return last.execute(connection);
    }
    let row = NewRow::new(connection.backend(), keys, tenant, change, effect);
    match connection.backend() {
        Backend::Sqlite => {
            let count = last.execute(connection)?;
            with_backend!(connection, |one| row.execute(one))?;
            Ok(count)
        }
        Backend::Postgres => {
            let both = RowAndStatement { row, last };
            with_backend!(connection, |one| both.execute(one))
        }
    }
}

/// Appends a change of something that is not a resource, by its kind and id: it has no versions and no members.
pub(crate) fn append_other(
    connection: &mut DbConnection,
    keys: &MacKeys,
    tenant: TenantId,
    change: &Change,
    kind: &str,
    id: &str,
) -> QueryResult<()> {
    if UNRECORDED {
        return Ok(());
    }
    let effect = Effect { kind, id, version: None, members: &MemberDelta::default(), left: &[] };
    let row = NewRow::new(connection.backend(), keys, tenant, change, &effect);
    with_backend!(connection, |one| row.execute(one)).map(drop)
}

/// A row of the record, and a statement that runs with it: only PostgreSQL can.
struct RowAndStatement<'a> {
    row: NewRow<'a>,
    last: TypedQuery<()>,
}

impl<DB: diesel::backend::Backend> QueryFragment<DB> for RowAndStatement<'_>
where
    for<'a> NewRow<'a>: QueryFragment<DB>,
    TypedQuery<()>: QueryFragment<DB>,
{
    fn walk_ast<'b>(&'b self, mut pass: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        pass.push_sql("WITH recorded AS (");
        self.row.walk_ast(pass.reborrow())?;
        pass.push_sql(") ");
        self.last.walk_ast(pass)
    }
}

impl QueryId for RowAndStatement<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<C> RunQueryDsl<C> for RowAndStatement<'_> {}

/// Erases the names in the record of one resource, or of a whole tenant; returns in how many rows they were.
pub(crate) fn forget(
    connection: &mut DbConnection,
    tenant: TenantId,
    of: Option<&ResourceId>,
) -> Result<usize, WriteError> {
    let rows = Sql::new("UPDATE changes SET personal = NULL WHERE personal IS NOT NULL");
    let rows = rows.text(" AND tenant = ").int(tenant.key());
    // An index leads to what is sequenced; of what is not, there is little.
    let mut statements = Vec::new();
    let rest =
        Sql::new(" AND place IS NULL AND seq > ").int(sequenced_before(connection)?.number());
    if let Some(id) = of {
        let sequenced = sequenced_about(connection, tenant, id, usize::MAX, &Work::unlimited())?;
        for chunk in sequenced.chunks(MAX_ROWS) {
            statements.push(rows.clone().text(" AND seq IN (").ints(chunk).text(")"));
        }
        statements.push(rows.then(rest).text(" AND resource = ").string(id.as_str()));
    } else {
        statements.push(rows.clone().text(" AND place IS NOT NULL"));
        statements.push(rows.then(rest));
    }
    let mut count = 0;
    for statement in statements {
        count += statement.query::<()>().execute(connection)?;
    }
    Ok(count)
}

/// Returns the numbers of the newest sequenced changes of a resource, as many as wanted. The index over them
/// begins with a bucket of numbers, and is read bucket by bucket. `place + 0` keeps the planner from the index
/// that gives this order: that of the feed, which it would walk from end to end, once for each bucket.
fn sequenced_about(
    connection: &mut DbConnection,
    tenant: TenantId,
    id: &ResourceId,
    wanted: usize,
    work: &Work,
) -> Result<Vec<i64>, WriteError> {
    let mut found = Vec::new();
    let mut end = i64::MAX;
    while found.len() < wanted {
        work.check()?;
        // The last row before a bucket leads to the next bucket that is not empty.
        let last = Sql::new("SELECT max(seq) FROM changes WHERE seq < ").int(end);
        let last: Option<i64> = last.query::<Nullable<BigInt>>().get_result(connection)?;
        let Some(bucket) = last.map(|last| last >> 13) else { break };
        end = bucket << 13;
        let missing = i64::try_from(wanted - found.len()).unwrap_or(i64::MAX);
        let rows: Vec<i64> = Sql::new("SELECT seq FROM changes WHERE seq >> 13 = ")
            .int(bucket)
            .text(" AND tenant = ")
            .int(tenant.key())
            .text(" AND resource = ")
            .string(id.as_str())
            .text(" AND place IS NOT NULL ORDER BY place + 0 DESC LIMIT ")
            .int(missing)
            .query::<BigInt>()
            .load(connection)?;
        found.extend(rows);
    }
    Ok(found)
}

impl ChangeFeed for Store {
    fn changes(
        &self,
        tenant: TenantId,
        after: ChainPosition,
        limit: usize,
    ) -> Result<Vec<Recorded>, ProviderError> {
        self.sequence_soon()?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows: Vec<FeedRow> = self.readers.read("changes are read", |connection| {
            changes::table
                .filter(changes::tenant.eq(tenant.key()))
                .filter(changes::place.gt(after.number()))
                .order(changes::place)
                .limit(limit)
                .select(FeedRow::as_select())
                .load(connection)
        })?;
        read_changes(rows)
    }

    fn newest_changes(
        &self,
        tenant: TenantId,
        limit: usize,
    ) -> Result<Vec<Recorded>, ProviderError> {
        self.sequence_soon()?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut rows: Vec<FeedRow> =
            self.readers.read("the newest changes are read", |connection| {
                changes::table
                    .filter(changes::tenant.eq(tenant.key()))
                    .filter(changes::place.is_not_null())
                    .order(changes::place.desc())
                    .limit(limit)
                    .select(FeedRow::as_select())
                    .load(connection)
            })?;
        rows.reverse();
        read_changes(rows)
    }

    fn history(
        &self,
        tenant: TenantId,
        id: &ResourceId,
        limit: usize,
        work: &Work,
    ) -> Result<Vec<Recorded>, ProviderError> {
        self.sequence_soon()?;
        let rows = self.readers.read_for(work, "a resource's changes are read", |connection| {
            let mut rows: Vec<FeedRow> = Vec::new();
            for chunk in sequenced_about(connection, tenant, id, limit, work)?.chunks(MAX_ROWS) {
                work.check()?;
                let known = changes::table.filter(changes::seq.eq_any(chunk));
                rows.extend(known.select(FeedRow::as_select()).load::<FeedRow>(connection)?);
            }
            rows.sort_by_key(FeedRow::place);
            Ok(rows)
        })?;
        read_changes(rows)
    }
}
