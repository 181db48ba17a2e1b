//! Counts of what happened, and the changes that were made last.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Nullable};
use headcount_core::change::Recorded;
use headcount_core::ids::TenantId;
use headcount_core::provider::ProviderError;
use headcount_core::work::Work;
use headcount_records::activity::{Activity, ChangeQuery, Happened, Refusals, Slots};

use crate::changes::{Row, recorded};
use crate::connection::DbConnection;
use crate::counted;
use crate::log::LogStore;
use crate::schema::changes;
use crate::sql::{Sql, watched};
use crate::store::Store;

/// The rows of a tenant in the slots.
fn within(tenant: TenantId, slots: Slots) -> Sql {
    let rows = Sql::new(" WHERE ").watched().text("tenant = ").int(tenant.key());
    let rows = rows.text(" AND at >= ");
    let end = slots.begin(slots.count);
    rows.int(slots.from.micros()).text(" AND at < ").int(end.micros())
}

/// Counts what happened to resources in one slot. No `GROUP BY`: it would sort all changes of the slot first.
fn count_one(
    connection: &mut DbConnection,
    tenant: TenantId,
    slot: Slots,
) -> QueryResult<Happened> {
    // A change of a resource has a version; of a token or a tenant, none.
    let sql = Sql::new(
        "SELECT sum(CASE WHEN act = 'created' THEN 1 ELSE 0 END), \
         sum(CASE WHEN act = 'replaced' OR act = 'patched' THEN 1 ELSE 0 END), \
         sum(CASE WHEN act = 'deleted' THEN 1 ELSE 0 END) FROM changes",
    );
    let sql = sql.then(within(tenant, slot)).text(" AND version > 0 AND place IS NOT NULL");
    let (created, changed, deleted) = sql
        .query::<(Nullable<BigInt>, Nullable<BigInt>, Nullable<BigInt>)>()
        .get_result::<(Option<i64>, Option<i64>, Option<i64>)>(connection)?;
    let amount = |sum: Option<i64>| sum.and_then(|sum| u64::try_from(sum).ok()).unwrap_or(0);
    Ok(Happened { created: amount(created), changed: amount(changed), deleted: amount(deleted) })
}

impl Activity for Store {
    fn happened(
        &self,
        tenant: TenantId,
        slots: Slots,
        work: &Work,
    ) -> Result<Vec<Happened>, ProviderError> {
        self.sequence_soon()?;
        self.read_for(work, "changes are counted", |connection| {
            let mut happened = Vec::with_capacity(slots.count);
            for index in 0..slots.count {
                work.check()?;
                let slot = Slots { from: slots.begin(index), count: 1, ..slots };
                let is_over = index + counted::OPEN < slots.count;
                let known = self.counted.find(tenant, slot).filter(|_| is_over);
                let counted = match known {
                    Some(known) => known,
                    None => count_one(connection, tenant, slot)?,
                };
                if is_over && known.is_none() {
                    self.counted.keep(tenant, slot, counted);
                }
                happened.push(counted);
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
        let rows: Vec<(i64, Row)> =
            self.read_for(work, "the latest changes are read", |connection| {
                let mut rows = changes::table
                    .filter(watched(connection))
                    .filter(changes::place.is_not_null())
                    .order(changes::place.desc())
                    .limit(limit)
                    .select((changes::tenant, Row::as_select()))
                    .into_boxed();
                if query.by_people {
                    // Written out, so that the planner knows the index of these rows.
                    rows = rows.filter(diesel::dsl::sql::<Bool>("actor_kind <> 'token'"));
                }
                match query.tenant {
                    // What people did is in the order of places, and little; the index of the tenant, in which
                    // is what everybody did, must not lead.
                    Some(tenant) if query.by_people => {
                        rows = rows.filter((changes::tenant + 0).eq(tenant.key()));
                    }
                    Some(tenant) => rows = rows.filter(changes::tenant.eq(tenant.key())),
                    None => {}
                }
                if let Some(before) = query.before {
                    rows = rows.filter(changes::place.lt(before));
                }
                Ok(rows.load(connection)?)
            })?;
        let (tenants, rows): (Vec<i64>, Vec<Row>) = rows.into_iter().unzip();
        Ok(tenants.into_iter().map(TenantId::new).zip(recorded(rows)?).collect())
    }
}

impl Refusals for LogStore {
    fn refused(
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
            self.read_for(work, "refused requests are counted", |connection| {
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
