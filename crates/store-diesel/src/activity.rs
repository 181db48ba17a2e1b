//! Counts of what happened, and the changes that were made last.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Nullable};
use headcount_core::change::Recorded;
use headcount_core::ids::TenantId;
use headcount_core::provider::ProviderError;
use headcount_core::work::Work;
use headcount_records::activity::{Activity, ChangeQuery, Happened, Refusals, Slots};

use crate::change_rows::{FeedRow, read_changes};
use crate::connection::DbConnection;
use crate::count_cache;
use crate::log::LogStore;
use crate::schema::changes;
use crate::sql::{Sql, still_wanted, unindexed};
use crate::store::Store;

/// Returns the condition on rows of a tenant in the slots.
fn within(tenant: TenantId, slots: Slots) -> Sql {
    Sql::new(" WHERE ")
        .watched()
        .text("tenant = ")
        .int(tenant.key())
        .text(" AND at >= ")
        .int(slots.from.micros())
        .text(" AND at < ")
        .int(slots.begin(slots.count).micros())
}

/// Counts what happened to resources in one slot. A `GROUP BY` would sort all changes of the slot first.
fn count_one(
    connection: &mut DbConnection,
    tenant: TenantId,
    slot: Slots,
) -> QueryResult<Happened> {
    // Changes of resources have a version, those of tokens and tenants have none.
    let sql = Sql::new(
        "SELECT sum(CASE WHEN act = 'created' THEN 1 ELSE 0 END), \
         sum(CASE WHEN act = 'replaced' OR act = 'patched' THEN 1 ELSE 0 END), \
         sum(CASE WHEN act = 'deleted' THEN 1 ELSE 0 END) FROM changes",
    );
    let sql = sql.then(within(tenant, slot)).text(" AND version > 0 AND place IS NOT NULL");
    let (created, changed, deleted) = sql
        .query::<(Nullable<BigInt>, Nullable<BigInt>, Nullable<BigInt>)>()
        .get_result::<(Option<i64>, Option<i64>, Option<i64>)>(connection)?;
    Ok(Happened { created: to_u64(created), changed: to_u64(changed), deleted: to_u64(deleted) })
}

fn to_u64(sum: Option<i64>) -> u64 {
    sum.and_then(|sum| u64::try_from(sum).ok()).unwrap_or(0)
}

impl Activity for Store {
    fn changes_by_slot(
        &self,
        tenant: TenantId,
        slots: Slots,
        work: &Work,
    ) -> Result<Vec<Happened>, ProviderError> {
        self.sequence_soon()?;
        self.readers.read_for(work, "changes are counted", |connection| {
            let mut happened = Vec::with_capacity(slots.count);
            for index in 0..slots.count {
                work.check()?;
                let slot = Slots { from: slots.begin(index), count: 1, ..slots };
                let is_over = index + count_cache::OPEN_SLOTS < slots.count;
                let known = self.count_cache.find(tenant, slot).filter(|_| is_over);
                let counts = match known {
                    Some(known) => known,
                    None => count_one(connection, tenant, slot)?,
                };
                if is_over && known.is_none() {
                    self.count_cache.keep(tenant, slot, counts);
                }
                happened.push(counts);
            }
            Ok(happened)
        })
    }

    fn latest(
        &self,
        query: &ChangeQuery,
        work: &Work,
    ) -> Result<Vec<(TenantId, Recorded)>, ProviderError> {
        self.sequence()?;
        let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
        let rows: Vec<(i64, FeedRow)> =
            self.readers.read_for(work, "the latest changes are read", |connection| {
                let mut rows = changes::table
                    .filter(still_wanted(connection))
                    .filter(changes::place.is_not_null())
                    .order(changes::place.desc())
                    .limit(limit)
                    .select((changes::tenant, FeedRow::as_select()))
                    .into_boxed();
                if query.by_people {
                    // A literal, so that the planner recognizes the partial index of these rows.
                    rows = rows.filter(diesel::dsl::sql::<Bool>("actor_kind <> 'token'"));
                }
                match query.tenant {
                    // What people did is in the order of positions, and little; the index of the tenant,
                    // which has all changes, must not lead.
                    Some(tenant) if query.by_people => {
                        rows = rows.filter(unindexed!(changes::tenant).eq(tenant.key()));
                    }
                    Some(tenant) => rows = rows.filter(changes::tenant.eq(tenant.key())),
                    None => {}
                }
                if let Some(before) = query.before {
                    rows = rows.filter(changes::place.lt(before.number()));
                }
                Ok(rows.load(connection)?)
            })?;
        let (tenants, rows): (Vec<i64>, Vec<FeedRow>) = rows.into_iter().unzip();
        Ok(tenants.into_iter().map(TenantId::new).zip(read_changes(rows)?).collect())
    }
}

impl Refusals for LogStore {
    fn refusals_by_slot(
        &self,
        tenant: TenantId,
        slots: Slots,
        work: &Work,
    ) -> Result<Vec<u64>, ProviderError> {
        let sql = Sql::new("SELECT (at - ")
            .int(slots.from.micros())
            .text(") / ")
            .int(slots.width())
            .text(" AS slot, count(*) FROM requests")
            .then(within(tenant, slots))
            .text(" AND status >= 400 AND status <> 404 GROUP BY 1");
        let rows: Vec<(i64, i64)> =
            self.readers()?.read_for(work, "refused requests are counted", |connection| {
                Ok(sql.clone().query::<(BigInt, BigInt)>().load(connection)?)
            })?;
        let mut refused = vec![0; slots.count];
        for (slot, amount) in rows {
            if let Some(entry) = refused.get_mut(usize::try_from(slot).unwrap_or(usize::MAX)) {
                *entry += u64::try_from(amount).unwrap_or(0);
            }
        }
        Ok(refused)
    }
}
