//! The record of changes as administrators read it.

use diesel::dsl::count_star;
use diesel::prelude::*;
use headcount_core::change::Act;
use headcount_core::clock::Timestamp;
use headcount_core::ids::{ChainPosition, Kind, TenantId};
use headcount_core::provider::ProviderError;
use headcount_core::work::Work;
use headcount_records::audit_list::{AuditEntry, AuditTrail, ChangeCount};

use crate::change_rows::HashedRow;
use crate::schema::changes;
use crate::sql::still_wanted;
use crate::store::Store;

impl AuditTrail for Store {
    fn audit(
        &self,
        tenant: TenantId,
        after: ChainPosition,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, ProviderError> {
        self.sequence_soon()?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows: Vec<(Option<i64>, Option<String>, HashedRow)> =
            self.readers.read("the record of changes is read", |connection| {
                changes::table
                    .filter(changes::tenant.eq(tenant.key()))
                    .filter(changes::place.gt(after.number()))
                    .order(changes::place)
                    .limit(limit)
                    .select((changes::place, changes::hash, HashedRow::as_select()))
                    .load(connection)
            })?;
        let entries = rows.into_iter().filter_map(|(place, hash, row)| {
            let position = ChainPosition::new(place?);
            Some(AuditEntry { position, hash: hash.unwrap_or_default(), row: row.into() })
        });
        Ok(entries.collect())
    }

    fn count_changes(
        &self,
        tenant: TenantId,
        since: Timestamp,
        work: &Work,
    ) -> Result<Vec<ChangeCount>, ProviderError> {
        self.sequence_soon()?;
        let rows: Vec<(String, String, Option<i32>, i64)> =
            self.readers.read_for(work, "changes are counted", |connection| {
                let counted = changes::table
                    .filter(still_wanted(connection))
                    .filter(changes::tenant.eq(tenant.key()))
                    .filter(changes::at.ge(since.micros()))
                    .filter(changes::place.is_not_null())
                    .group_by((changes::kind, changes::act, changes::switched))
                    .select((changes::kind, changes::act, changes::switched, count_star()))
                    .order(changes::kind);
                Ok(counted.load(connection)?)
            })?;
        let mut counts: Vec<ChangeCount> = Vec::new();
        for (kind, act, switched, amount) in rows {
            let amount = u64::try_from(amount).unwrap_or_default();
            let kind = Kind::new(kind);
            if counts.last().is_none_or(|last| last.kind != kind) {
                counts.push(ChangeCount {
                    kind,
                    created: 0,
                    changed: 0,
                    reactivated: 0,
                    deactivated: 0,
                    deleted: 0,
                });
            }
            let Some(count) = counts.last_mut() else { continue };
            match Act::parse(&act) {
                Some(Act::Created) => count.created += amount,
                Some(Act::Deleted) => count.deleted += amount,
                Some(Act::Replaced | Act::Patched | Act::Changed) => count.changed += amount,
                Some(Act::Revoked | Act::Rotated | Act::Expiring | Act::Erased | Act::Refused)
                | None => {}
            }
            match switched {
                Some(0) => count.deactivated += amount,
                Some(_) => count.reactivated += amount,
                None => {}
            }
        }
        Ok(counts)
    }
}
