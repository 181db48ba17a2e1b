//! The stores of the admin API in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use headcount_core::change::{Act, ChangeFeed, Recorded};
use headcount_core::clock::Timestamp;
use headcount_core::ids::{ChainPosition, ChangeSeq, Kind, RequestId, TenantId, TokenId};
use headcount_core::memory::MemoryProvider;
use headcount_core::provider::ProviderError;
use headcount_core::quirks::Quirks;
use headcount_core::work::Work;
use headcount_records::audit_list::{AuditEntry, AuditTrail, ChangeCount};
use headcount_records::chain::AuditRow;
use headcount_records::{LogQuery, Logged, QuirkCount, RequestLog, RequestRecord, Retention};
use headcount_token_admin::{StoreError, TenantContents};

/// The record of changes, read from the provider's feed. Its hashes are not real.
pub(crate) struct MemoryTrail(pub(crate) Arc<MemoryProvider>);

impl MemoryTrail {
    fn all(&self, tenant: TenantId) -> Result<Vec<Recorded>, ProviderError> {
        self.0.changes(tenant, ChainPosition::START, usize::MAX)
    }
}

impl AuditTrail for MemoryTrail {
    fn audit(
        &self,
        tenant: TenantId,
        after: ChainPosition,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, ProviderError> {
        let changes = (1..).map(ChainPosition::new).zip(self.all(tenant)?);
        let later = changes.skip_while(|(position, _)| *position <= after);
        Ok(later
            .take(limit)
            .map(|(position, recorded)| entry(tenant, position, &recorded))
            .collect())
    }

    fn count_changes(
        &self,
        tenant: TenantId,
        since: Timestamp,
        _work: &Work,
    ) -> Result<Vec<ChangeCount>, ProviderError> {
        let mut counts: BTreeMap<Kind, ChangeCount> = BTreeMap::new();
        for recorded in self.all(tenant)?.into_iter().filter(|one| one.change.at >= since) {
            let kind = recorded.kind;
            let count = counts.entry(kind.clone()).or_insert(ChangeCount {
                kind,
                created: 0,
                changed: 0,
                reactivated: 0,
                deactivated: 0,
                deleted: 0,
            });
            match recorded.change.act {
                Act::Created => count.created += 1,
                Act::Deleted => count.deleted += 1,
                _ => count.changed += 1,
            }
        }
        Ok(counts.into_values().collect())
    }
}

fn entry(tenant: TenantId, position: ChainPosition, recorded: &Recorded) -> AuditEntry {
    let (actor_kind, actor) = recorded.change.actor.parts();
    let row = AuditRow {
        seq: ChangeSeq::new(position.number()),
        tenant: tenant.key(),
        at: recorded.change.at.micros(),
        actor_kind: actor_kind.to_owned(),
        actor: actor.to_owned(),
        request: recorded.change.request.to_string(),
        act: recorded.change.act.word().to_owned(),
        kind: recorded.kind.to_string(),
        resource: recorded.id.to_string(),
        version: 1,
        paths: recorded.change.paths.join(" "),
        delta: "{}".to_owned(),
        switched: None,
        personal: None,
        personal_digest: String::new(),
    };
    AuditEntry { position, hash: "0".repeat(64), row }
}

/// The provisioning log, with as much of its query as the tests need.
#[derive(Default)]
pub(crate) struct MemoryLog {
    records: Mutex<Vec<RequestRecord>>,
}

impl MemoryLog {
    /// Adds a record of a request with a path and a status.
    pub(crate) fn add(&self, tenant: i64, path: &str, status: u16) {
        self.records.lock().unwrap().push(RequestRecord {
            at: Timestamp::from_micros(1_767_225_600_000_000),
            micros: 1_000,
            request: RequestId::new("r1"),
            tenant: Some(TenantId::new(tenant)),
            token: Some(TokenId::new("t1")),
            token_name: Some("idp".to_owned()),
            refused: None,
            address: None,
            agent: None,
            idp: None,
            method: "GET".to_owned(),
            path: path.to_owned(),
            kind: None,
            resource: None,
            name: None,
            names: Vec::new(),
            query: None,
            status,
            scim_type: None,
            field: None,
            reason: None,
            quirks: Quirks::NONE,
            changed: None,
            proven: true,
            unkept: 0,
            body: Some("{\"sent\": true}".to_owned()),
            reply: None,
        });
    }
}

impl RequestLog for MemoryLog {
    fn append(&self, records: &[RequestRecord]) -> Result<(), ProviderError> {
        self.records.lock().unwrap().extend_from_slice(records);
        Ok(())
    }

    fn add_unkept(&self, _counts: &[(RequestId, u64)]) -> Result<(), ProviderError> {
        Ok(())
    }

    fn requests(&self, query: &LogQuery, _work: &Work) -> Result<Vec<Logged>, ProviderError> {
        let records = self.records.lock().unwrap();
        let logged =
            (1..).zip(records.iter()).map(|(seq, record)| Logged { seq, record: record.clone() });
        let mut found: Vec<Logged> = logged
            .filter(|logged| query.scope.has(logged.record.tenant))
            .filter(|logged| !query.failed || logged.record.status >= 400)
            .filter(|logged| query.after.is_none_or(|after| logged.seq > after))
            .filter(|logged| query.before.is_none_or(|before| logged.seq < before))
            .collect();
        if query.after.is_none() {
            found.reverse();
        }
        found.truncate(query.limit);
        Ok(found)
    }

    fn quirk_counts(&self, _tenant: TenantId) -> Result<Vec<QuirkCount>, ProviderError> {
        Ok(vec![QuirkCount {
            token: TokenId::new("t1"),
            quirk: "schemas-repaired".to_owned(),
            amount: 7,
            last: Timestamp::from_micros(1_767_225_600_000_000),
        }])
    }

    fn erase(&self, _tenant: TenantId, _names: &[String]) -> Result<usize, ProviderError> {
        Ok(0)
    }

    fn tenants(&self) -> Result<Vec<TenantId>, ProviderError> {
        Ok(Vec::new())
    }

    fn forget(&self, tenant: TenantId) -> Result<(), ProviderError> {
        self.records.lock().unwrap().retain(|record| record.tenant != Some(tenant));
        Ok(())
    }

    fn prune(&self, _retention: Retention) -> Result<usize, ProviderError> {
        Ok(0)
    }
}

impl TenantContents for MemoryLog {
    fn derive(&self, _tenant: TenantId, _quirks: Quirks) -> Result<(), StoreError> {
        Ok(())
    }

    fn forget(&self, tenant: TenantId) -> Result<(), StoreError> {
        RequestLog::forget(self, tenant).map_err(|_error| StoreError::Missing)
    }
}
