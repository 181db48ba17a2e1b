//! The stores of the admin API in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use headcount_core::change::{Act, ChangeFeed, Recorded};
use headcount_core::clock::Timestamp;
use headcount_core::ids::{ChainPosition, ChangeSeq, Kind, RequestId, TenantId, TokenId};
use headcount_core::memory::MemoryProvider;
use headcount_core::provider::ProviderError;
use headcount_core::quirks::Quirks;
use headcount_core::work::Work;
use headcount_records::audit_list::{AuditEntry, AuditTrail, ChangeCount};
use headcount_records::chain::AuditRow;
use headcount_records::memory::MemoryLog;
use headcount_records::{RequestLog as _, RequestRecord};
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
        uid: None,
        mac: None,
    };
    AuditEntry { position, hash: "0".repeat(64), row }
}

/// A request of a tenant's token, with a path and a status.
pub(crate) fn request(tenant: i64, path: &str, status: u16) -> RequestRecord {
    RequestRecord {
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
    }
}

/// A tenant has its log outside the store of tenants.
pub(crate) struct LogOf(pub(crate) Arc<MemoryLog>);

impl TenantContents for LogOf {
    fn derive(&self, _tenant: TenantId, _quirks: Quirks) -> Result<(), StoreError> {
        Ok(())
    }

    fn forget(&self, tenant: TenantId) -> Result<(), StoreError> {
        self.0.forget(tenant).map_err(|_error| StoreError::Missing)
    }
}
