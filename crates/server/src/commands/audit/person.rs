//! `headcount audit person`: everything that is held about one person.

use std::collections::BTreeSet;

use anyhow::bail;
use headcount_core::clock::Clock as _;
use headcount_core::ids::{ChainPosition, TenantId};
use headcount_core::provider::{Found, Provider as _, With};
use headcount_core::work::Work;
use headcount_records::{LogQuery, LogScope, RecordBody, RequestLog as _};
use headcount_store_diesel::Recalled;
use headcount_token_admin::{Tenant, TenantStore as _, TokenStore as _};
use serde_json::{Value, json};

use super::{READ_BATCH, line, tenant_key};
use crate::erasing::{self, Known, Search};
use crate::output;
use crate::system::SystemClock;
use crate::wiring::Parts;

/// Prints one JSON object.
pub(super) fn export(parts: &Parts, who: &str, tenant: &str) -> anyhow::Result<()> {
    erasing::await_log();
    parts.store.sequence_all()?;
    let tenants = parts.store.tenants()?;
    let key = tenant_key(&tenants, tenant)?;
    let found = parts.store.recall(key, who, &Work::unlimited())?;
    if found.is_empty() {
        bail!(
            "nothing is held about \"{who}\" in this tenant; ask by id, userName, displayName or externalId"
        );
    }
    let people: Vec<Value> = found
        .iter()
        .map(|one| everything(parts, &tenants, key, one))
        .collect::<anyhow::Result<_>>()?;
    output::json(&json!({
        "asked": who,
        "tenant": tenant,
        "at": SystemClock.now().to_string(),
        "people": people,
    }));
    Ok(())
}

fn everything(
    parts: &Parts,
    tenants: &[Tenant],
    tenant: TenantId,
    of: &Recalled,
) -> anyhow::Result<Value> {
    let found = parts.store.get(tenant, &of.kind, &of.id, With::Groups)?;
    let tokens = parts.store.list(Some(tenant))?.into_iter();
    let tokens = tokens.filter(|token| token.user.as_ref() == Some(&of.id));
    let groups = found.iter().flat_map(|found| &found.computed.groups);
    Ok(json!({
        "kind": of.kind.as_str(),
        "id": of.id.as_str(),
        "exists": of.exists,
        "resource": found.as_ref().map(resource).transpose()?,
        "groups": groups
            .map(|group| json!({"id": group.group.as_str(), "display": group.display}))
            .collect::<Vec<_>>(),
        "tokens": tokens.map(|token| json!({"id": token.id.as_str(), "name": token.name})).collect::<Vec<_>>(),
        "changes": changes(parts, tenants, tenant, of)?,
        "requests": requests(parts, tenant, of)?,
    }))
}

/// Returns a resource with everything that is stored of it, whatever a response would show.
fn resource(found: &Found) -> anyhow::Result<Value> {
    let resource = &found.resource;
    let mut whole: Value = serde_json::from_str(resource.document.text())?;
    if let Some(map) = whole.as_object_mut() {
        map.insert("id".to_owned(), resource.id.as_str().into());
        let meta = json!({
            "resourceType": resource.kind.as_str(),
            "created": resource.created.to_string(),
            "lastModified": resource.modified.to_string(),
            "version": resource.version.to_string(),
        });
        map.insert("meta".to_owned(), meta);
    }
    Ok(whole)
}

/// Returns the recorded changes of a resource, and those of groups that it joined or left.
fn changes(
    parts: &Parts,
    tenants: &[Tenant],
    tenant: TenantId,
    of: &Recalled,
) -> anyhow::Result<Vec<Value>> {
    let (mut found, mut after) = (Vec::new(), ChainPosition::START);
    loop {
        let slice = parts.store.audit(Some(tenant), after, READ_BATCH)?;
        for sequenced in &slice.rows {
            after = sequenced.position;
            let row = &sequenced.row;
            if row.resource == of.id.as_str() || row.delta.contains(of.id.as_str()) {
                found.push(line(sequenced, tenants));
            }
        }
        if slice.unsequenced.is_some() {
            return Ok(found);
        }
    }
}

/// Returns the logged requests that an erasure would remove.
fn requests(parts: &Parts, tenant: TenantId, of: &Recalled) -> anyhow::Result<Vec<Value>> {
    let Known { names, traces } =
        erasing::known(&parts.store, &parts.log, tenant, of, Search::Values)?;
    let numbers: BTreeSet<i64> = parts.log.traced(tenant, &names, &traces)?.into_iter().collect();
    let mut found = Vec::new();
    for number in numbers {
        let query = LogQuery {
            scope: LogScope::Tenant(tenant),
            after: Some(number.saturating_sub(1)),
            before: Some(number.saturating_add(1)),
            limit: 1,
            ..LogQuery::default()
        };
        for logged in parts.log.requests(&query, &Work::unlimited())? {
            found.push(serde_json::to_value(RecordBody::with_bodies(&logged))?);
        }
    }
    Ok(found)
}
