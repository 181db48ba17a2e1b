//! Erases the names of what was deleted, in the record of changes and in the provisioning log.

use headcount_core::change::{Author, ChangeFeed as _};
use headcount_core::clock::Clock as _;
use headcount_core::ids::TenantId;
use headcount_core::index::fold;
use headcount_core::work::Work;
use headcount_records::RequestLog as _;
use headcount_store_diesel::{LogStore, Recalled, Store};

use crate::system::SystemClock;

/// Changes of one resource in which names are looked for.
const MAX_CHANGES: usize = 10_000;

/// What was erased.
pub(crate) struct Erased {
    /// Changes that contained a name.
    pub(crate) changes: usize,
    /// Requests that were removed from the log.
    pub(crate) requests: usize,
}

/// Erases every name of one deleted resource, token or tenant.
pub(crate) fn erase(
    store: &Store,
    log: &LogStore,
    tenant: TenantId,
    of: &Recalled,
    by: &Author,
) -> anyhow::Result<Erased> {
    let mut known = vec![fold(of.id.as_str())];
    for recorded in store.history(tenant, &of.id, MAX_CHANGES, &Work::unlimited())? {
        let names = recorded.change.names;
        known.extend([names.name, names.external_id].into_iter().flatten().map(|name| fold(&name)));
    }
    known.sort_unstable();
    known.dedup();
    let requests = log.erase(tenant, &known)?;
    let changes = store.erase_names(tenant, of, SystemClock.now(), by)?;
    Ok(Erased { changes, requests })
}
