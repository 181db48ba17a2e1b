//! Erases what was deleted from the record of changes and from the provisioning log.

use std::time::Duration;

use headcount_core::change::{Author, ChangeFeed as _};
use headcount_core::clock::Clock as _;
use headcount_core::ids::TenantId;
use headcount_core::index::fold;
use headcount_core::work::Work;
use headcount_records::{LogQuery, LogScope, Logged, RequestLog as _, Traces};
use headcount_store_diesel::{LogStore, Recalled, Store};

use crate::system::SystemClock;

/// The kind of those whose values are looked for.
const USER_KIND: &str = "User";
/// Changes of one resource in which names are looked for.
const MAX_CHANGES: usize = 10_000;
/// Records of the log that are read at once.
const PAGE: usize = 500;
/// After what time a request that was answered is in the log: a server gathers for less than half as long.
const LOG_DELAY: Duration = Duration::from_secs(1);

/// What was erased.
pub(crate) struct Erased {
    /// Changes that contained a name.
    pub(crate) changes: usize,
    /// Requests that were removed from the log.
    pub(crate) requests: usize,
}

/// What is known of someone: names by which the log is indexed, and values that may be anywhere in it.
pub(crate) struct Known {
    /// Folded and sorted.
    pub(crate) names: Vec<String>,
    pub(crate) traces: Traces,
}

/// How the log is searched for what is to be erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Search {
    /// By the names under which it is indexed.
    Names,
    /// Also by the values of a person, which may be anywhere in it: every request of the tenant is read.
    Values,
}

/// Waits until a running server has logged what was asked before.
pub(crate) fn await_log() {
    std::thread::sleep(LOG_DELAY);
}

/// Erases everything that is kept of one deleted resource, token or tenant.
///
/// Its names go last: what a crash interrupts is found by them again, and starts from the beginning.
pub(crate) fn erase(
    store: &Store,
    log: &LogStore,
    tenant: TenantId,
    of: &Recalled,
    by: &Author,
    search: Search,
) -> anyhow::Result<Erased> {
    let Known { names, traces } = known(store, log, tenant, of, search)?;
    let requests = log.erase(tenant, &names, &traces)?;
    let changes = store.erase_names(tenant, of, SystemClock.now(), by)?;
    Ok(Erased { changes, requests })
}

/// Looks up what the record of changes and the log know of someone.
pub(crate) fn known(
    store: &Store,
    log: &LogStore,
    tenant: TenantId,
    of: &Recalled,
    search: Search,
) -> anyhow::Result<Known> {
    let mut traces = Traces::default();
    // The values of a group, or the name of a token, are in requests about others.
    let by_values = search == Search::Values && of.kind.as_str() == USER_KIND;
    let mut names = vec![fold(of.id.as_str())];
    for recorded in store.history(tenant, &of.id, MAX_CHANGES, &Work::unlimited())? {
        let known = recorded.change.names;
        for name in [known.name, known.external_id].into_iter().flatten() {
            if by_values {
                traces.add(&name);
            }
            names.push(fold(&name));
        }
    }
    names.sort_unstable();
    names.dedup();
    for name in names.iter().filter(|_| by_values) {
        for Logged { record, .. } in logged(log, tenant, name)? {
            // What was refused has no id yet.
            let is_about = match &record.resource {
                Some(id) => *id == of.id,
                None => record.name.as_deref().is_some_and(|name| names.contains(&fold(name))),
            };
            let bodies = [&record.body, &record.reply].into_iter().flatten();
            bodies.filter(|_| is_about).for_each(|body| traces.add_body(body));
        }
    }
    if by_values {
        traces.add(of.id.as_str());
    }
    names.extend(traces.values());
    names.sort_unstable();
    names.dedup();
    Ok(Known { names, traces })
}

/// Returns the records of the log that are found by a name.
pub(crate) fn logged(log: &LogStore, tenant: TenantId, name: &str) -> anyhow::Result<Vec<Logged>> {
    let (mut all, mut before) = (Vec::new(), None);
    loop {
        let query = LogQuery {
            scope: LogScope::Tenant(tenant),
            name: Some(name.to_owned()),
            before,
            limit: PAGE,
            ..LogQuery::default()
        };
        let page = log.requests(&query, &Work::unlimited())?;
        before = page.last().map(|last| last.seq);
        let is_last = page.len() < PAGE;
        all.extend(page);
        if is_last {
            return Ok(all);
        }
    }
}
