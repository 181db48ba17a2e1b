//! Counts of what happened, and the changes that were made last.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Text};
use headcount_core::change::{Act, Recorded};
use headcount_core::ids::TenantId;
use headcount_core::provider::ProviderError;
use headcount_records::activity::{Activity, ChangeQuery, Happened, Refusals, Slots};

use crate::changes::{Row, recorded};
use crate::log::LogStore;
use crate::schema::changes;
use crate::sql::Sql;
use crate::store::Store;

/// The rows of a tenant in the slots.
fn within(tenant: TenantId, slots: Slots) -> Sql {
    let rows = Sql::new(" WHERE tenant = ").int(tenant.key()).text(" AND at >= ");
    let end = slots.begin(slots.count);
    rows.int(slots.from.micros()).text(" AND at < ").int(end.micros())
}

/// Puts the counts of one slot together.
fn counted(rows: &[(String, i64)]) -> Happened {
    let mut happened = Happened::default();
    for (act, amount) in rows {
        let amount = u64::try_from(*amount).unwrap_or(0);
        match Act::parse(act) {
            Some(Act::Created) => happened.created += amount,
            Some(Act::Replaced | Act::Patched) => happened.changed += amount,
            Some(Act::Deleted) => happened.deleted += amount,
            _ => {}
        }
    }
    happened
}

impl Activity for Store {
    fn happened(&self, tenant: TenantId, slots: Slots) -> Result<Vec<Happened>, ProviderError> {
        self.sequence_soon()?;
        let one = |index| Slots { from: slots.begin(index), count: 1, ..slots };
        self.read("changes are counted", |connection| {
            let mut happened = Vec::with_capacity(slots.count);
            // Slot by slot, each counts along its part of the index; all at once would be sorted first.
            for index in 0..slots.count {
                // A change of a resource has a version; of a token or a tenant, none.
                let sql = Sql::new("SELECT act, count(*) FROM changes")
                    .then(within(tenant, one(index)))
                    .text(" AND version > 0 AND place IS NOT NULL GROUP BY act");
                let rows: Vec<(String, i64)> = sql.query::<(Text, BigInt)>().load(connection)?;
                happened.push(counted(&rows));
            }
            Ok(happened)
        })
    }

    fn latest(&self, query: &ChangeQuery) -> Result<Vec<(TenantId, Recorded)>, ProviderError> {
        self.sequence()?;
        let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
        let rows: Vec<(i64, Row)> = self.read("the latest changes are read", |connection| {
            let mut rows = changes::table
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
            rows.load(connection)
        })?;
        let (tenants, rows): (Vec<i64>, Vec<Row>) = rows.into_iter().unzip();
        Ok(tenants.into_iter().map(TenantId::new).zip(recorded(rows)?).collect())
    }
}

impl Refusals for LogStore {
    fn refused(&self, tenant: TenantId, slots: Slots) -> Result<Vec<u64>, ProviderError> {
        let sql = Sql::new("SELECT (at - ")
            .int(slots.from.micros())
            .text(") / ")
            .int(slots.width())
            .text(" AS slot, count(*) FROM requests")
            .then(within(tenant, slots))
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
