//! Counts of what happened, and the changes that were made last.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use headcount_core::ids::TenantId;
use headcount_core::journal::activity::{Activity, ChangeQuery, Happened, Refusals, Slots};
use headcount_core::journal::{Act, Recorded};
use headcount_core::provider::ProviderError;

use crate::changes::{Row, recorded};
use crate::log::LogStore;
use crate::schema::changes;
use crate::sql::Sql;
use crate::store::Store;

/// The number of the slot that a row lies in, and the length of a slot in microseconds.
fn slot_of(slots: Slots) -> (Sql, i64) {
    let width = slots.seconds.max(1).saturating_mul(1_000_000);
    let slot = Sql::new("SELECT (at - ").int(slots.from.micros()).text(") / ").int(width);
    (slot, width)
}

/// The rows of a tenant in the slots.
fn within(tenant: TenantId, slots: Slots, width: i64) -> Sql {
    let count = i64::try_from(slots.count).unwrap_or(i64::MAX);
    let end = slots.from.micros().saturating_add(width.saturating_mul(count));
    let rows = Sql::new(" WHERE tenant = ").int(tenant.key());
    rows.text(" AND at >= ").int(slots.from.micros()).text(" AND at < ").int(end)
}

impl Activity for Store {
    fn happened(&self, tenant: TenantId, slots: Slots) -> Result<Vec<Happened>, ProviderError> {
        let (slot, width) = slot_of(slots);
        // A change of a resource has a version; of a token or a tenant, none.
        let sql = slot
            .text(" AS slot, act, count(*) FROM changes")
            .then(within(tenant, slots, width))
            .text(" AND version > 0 GROUP BY 1, 2");
        let rows: Vec<(i64, String, i64)> = self.read("changes are counted", |connection| {
            sql.clone().query::<(BigInt, Text, BigInt)>().load(connection)
        })?;
        let mut happened = vec![Happened::default(); slots.count];
        for (slot, act, amount) in rows {
            let index = usize::try_from(slot).unwrap_or(usize::MAX);
            let Some(entry) = happened.get_mut(index) else { continue };
            let amount = u64::try_from(amount).unwrap_or(0);
            match Act::parse(&act) {
                Some(Act::Created) => entry.created += amount,
                Some(Act::Replaced | Act::Patched) => entry.changed += amount,
                Some(Act::Deleted) => entry.deleted += amount,
                _ => {}
            }
        }
        Ok(happened)
    }

    fn latest(&self, query: &ChangeQuery) -> Result<Vec<(TenantId, Recorded)>, ProviderError> {
        self.seal()?;
        let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
        let rows: Vec<(i64, Row)> = self.read("the latest changes are read", |connection| {
            let mut rows = changes::table
                .filter(changes::place.is_not_null())
                .order(changes::place.desc())
                .limit(limit)
                .select((changes::tenant, Row::as_select()))
                .into_boxed();
            if let Some(tenant) = query.tenant {
                // The order of places is an index; that of the tenant would have to be sorted first.
                rows = rows.filter((changes::tenant + 0).eq(tenant.key()));
            }
            if query.by_people {
                rows = rows.filter(changes::actor_kind.ne("token"));
            }
            if let Some(before) = query.before {
                rows = rows.filter(changes::place.lt(before));
            }
            rows.load(connection)
        })?;
        let (tenants, rows): (Vec<i64>, Vec<Row>) = rows.into_iter().unzip();
        Ok(tenants.into_iter().map(TenantId::new).zip(recorded(rows)?).collect())
    }
}

impl Refusals for LogStore {
    fn refused(&self, tenant: TenantId, slots: Slots) -> Result<Vec<u64>, ProviderError> {
        let (slot, width) = slot_of(slots);
        let sql = slot
            .text(" AS slot, count(*) FROM requests")
            .then(within(tenant, slots, width))
            .text(" AND status >= 400 AND status <> 404 GROUP BY 1");
        let rows: Vec<(i64, i64)> = self.read("refused requests are counted", |connection| {
            sql.clone().query::<(BigInt, BigInt)>().load(connection)
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
