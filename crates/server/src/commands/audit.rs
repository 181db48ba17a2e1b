//! `headcount audit …`: verifies and exports the record of changes, and erases names from it.

mod person;

use std::path::Path;

use anyhow::{Context, bail};
use headcount_core::change::Actor;
use headcount_core::clock::Timestamp;
use headcount_core::ids::{ChainPosition, TenantId};
use headcount_core::work::Work;
use headcount_records::chain::Checkpoint;
use headcount_records::verify::{Finding, Location, Protection, Report, SequencedRow, Verifier};
use headcount_store_diesel::{Recalled, Store};
use headcount_token_admin::{Tenant, TenantStore as _};
use serde_json::{Value, json};

use crate::checkpoint::{self, Signed, Signer};
use crate::cli::{self, Format};
use crate::config::Config;
use crate::erasing::{self, Search};
use crate::output;
use crate::system;
use crate::wiring::{self, Parts};

/// Rows that are read at once.
const READ_BATCH: usize = 1_000;

pub(super) fn run(config: &Config, command: cli::Audit, format: Format) -> anyhow::Result<()> {
    let parts = wiring::command(config)?;
    let store = &parts.store;
    match command {
        cli::Audit::Verify { checkpoint, key } => {
            verify(config, store, checkpoint.as_deref(), key, format)
        }
        cli::Audit::Accept { place } => accept(store, place, format),
        cli::Audit::Checkpoint { out } => write_checkpoint(config, store, out.as_deref(), format),
        cli::Audit::Export { after, tenant } => export(store, after, tenant.as_deref()),
        cli::Audit::Person { who, tenant } => person::export(&parts, &who, &tenant),
        cli::Audit::Erase { who, tenant } => erase(&parts, &who, &tenant, format),
    }
}

/// A checkpoint that cannot be used.
struct BadCheckpoint {
    /// Its number in the file, from 1.
    number: usize,
    word: &'static str,
    meaning: String,
}

fn verify(
    config: &Config,
    store: &Store,
    file: Option<&Path>,
    mut keys: Vec<String>,
    format: Format,
) -> anyhow::Result<()> {
    let (mut checkpoints, mut bad) = (Vec::new(), Vec::new());
    if let Some(file) = file {
        keys.push(Signer::open(config, store)?.key());
        (checkpoints, bad) = open_all(file, &keys)?;
    }
    let protection = store.protection()?;
    let mut verifier = Verifier::new(&checkpoints).with_macs(protection.clone());
    let mut after = ChainPosition::MIN;
    let verdict = loop {
        let slice = store.audit(None, after, READ_BATCH)?;
        after = slice.rows.last().map_or(after, |row| row.position);
        slice.rows.iter().for_each(|row| verifier.take(row));
        if let Some(unsequenced) = slice.unsequenced {
            break verifier.finish(&unsequenced);
        }
    };
    match format {
        Format::Json => output::json(&report(&verdict, &bad, &protection)),
        Format::Text => {
            print(&verdict, &bad, file.is_some());
            print_macs(&verdict, &protection);
        }
    }
    let count = verdict.findings.len() + verdict.more + bad.len();
    if count > 0 {
        bail!("the audit does not hold; findings: {count}");
    }
    Ok(())
}

/// Reads checkpoints and checks that each is signed by one of the keys.
fn open_all(file: &Path, keys: &[String]) -> anyhow::Result<(Vec<Checkpoint>, Vec<BadCheckpoint>)> {
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for (index, found) in checkpoint::read(file)?.into_iter().enumerate() {
        match found {
            Err(line) => bad.push(BadCheckpoint {
                number: index + 1,
                word: "unreadable",
                meaning: format!("line {line} of the file is not a checkpoint"),
            }),
            Ok(signed) => match open_one(&signed, keys) {
                Ok(checkpoint) => good.push(checkpoint),
                Err((word, meaning)) => {
                    bad.push(BadCheckpoint { number: index + 1, word, meaning });
                }
            },
        }
    }
    Ok((good, bad))
}

fn open_one(signed: &Signed, keys: &[String]) -> Result<Checkpoint, (&'static str, String)> {
    let Signed { place, key, .. } = signed;
    match signed.open() {
        None => Err((
            "badSignature",
            format!("it was changed: its signature does not fit (position {place})"),
        )),
        Some(_) if !keys.contains(key) => Err((
            "foreignKey",
            format!(
                "it is signed by the key {key}, which is not this server's; add --key with it if you \
                 know it (position {place})"
            ),
        )),
        Some(checkpoint) => Ok(checkpoint),
    }
}

/// Returns where something was found: a unit and a number.
fn location(finding: &Finding) -> (&'static str, i64) {
    let unit = match finding.at {
        Location::Position(_) => "place",
        Location::Row(_) => "row",
    };
    (unit, finding.at.number())
}

fn print(verdict: &Report, bad: &[BadCheckpoint], with_checkpoint: bool) {
    for BadCheckpoint { number, meaning, .. } in bad {
        output::result(&format!("checkpoint {number}: {meaning}"));
    }
    for finding in &verdict.findings {
        let (unit, number) = location(finding);
        output::result(&format!("{unit} {number}: {}", finding.kind));
    }
    if verdict.more > 0 {
        output::result(&format!("and {} more", verdict.more));
    }
    let end = match verdict.last {
        Some((place, link)) => format!(", the last at place {place} with hash {link}"),
        None => String::new(),
    };
    let holds = verdict.findings.is_empty() && bad.is_empty();
    if holds && is_empty(verdict) {
        output::result("nothing is recorded yet: there is nothing to verify");
        return;
    }
    let begin = if holds { "the audit holds: " } else { "" };
    output::result(&format!("{begin}sealed changes: {}{end}", verdict.sequenced));
    if verdict.unsequenced > 0 {
        output::result(&format!(
            "changes not sealed yet, about which nothing is proven: {}",
            verdict.unsequenced
        ));
    }
    if with_checkpoint {
        output::result(&format!("checkpoints that agree: {}", verdict.checkpoints));
    } else if holds {
        output::note(
            "only a checkpoint kept elsewhere shows whether the end was cut off; add --checkpoint FILE",
        );
    }
}

/// Checks whether there was nothing to verify: neither a change nor a checkpoint.
fn is_empty(verdict: &Report) -> bool {
    verdict.sequenced == 0 && verdict.unsequenced == 0 && verdict.checkpoints == 0
}

/// Prints what MACs prove of the changes.
fn print_macs(verdict: &Report, protection: &Protection<'_>) {
    let Protection { keys, accepted } = protection;
    if verdict.unprotected > 0 {
        output::note(&format!(
            "changes up to place {accepted} that were accepted without a MAC of their own: {}",
            verdict.unprotected
        ));
    }
    if keys.is_in_database() {
        output::note(
            "the key of the MACs is in the database: anyone who can read it there can forge changes; \
             set audit.mac_key_file to keep it elsewhere",
        );
    }
}

fn report(verdict: &Report, bad: &[BadCheckpoint], protection: &Protection<'_>) -> Value {
    let found = verdict.findings.iter().map(|finding| {
        let (unit, number) = location(finding);
        json!({unit: number, "kind": finding.kind.word(), "meaning": finding.kind.to_string()})
    });
    let bad = bad.iter().map(|BadCheckpoint { number, word, meaning }| {
        json!({"checkpoint": number, "kind": word, "meaning": meaning})
    });
    let findings: Vec<Value> = bad.chain(found).collect();
    json!({
        // Of nothing, nothing can be said.
        "holds": (!findings.is_empty() || !is_empty(verdict)).then_some(findings.is_empty()),
        "sealed": verdict.sequenced,
        "unsealed": verdict.unsequenced,
        "last": verdict.last.map(|(place, hash)| json!({"place": place.number(), "hash": hash.to_string()})),
        "checkpoints": verdict.checkpoints,
        "macs": {
            "key": if protection.keys.is_in_database() { "database" } else { "file" },
            "acceptedUpTo": protection.accepted.number(),
            "accepted": verdict.unprotected,
        },
        "findings": findings,
        "furtherFindings": verdict.more,
    })
}

fn accept(store: &Store, place: i64, format: Format) -> anyhow::Result<()> {
    store.sequence_all()?;
    let last = store.last_sequenced()?.map_or(ChainPosition::START, |(last, _)| last);
    if !(0..=last.number()).contains(&place) {
        bail!("{place} is not a place of the audit; take one from 0 to {last}");
    }
    store.accept_changes(ChainPosition::new(place))?;
    match format {
        Format::Json => output::json(&json!({"acceptedUpTo": place})),
        Format::Text => {
            output::note(&format!("changes up to place {place} are accepted without a known MAC"));
        }
    }
    Ok(())
}

fn write_checkpoint(
    config: &Config,
    store: &Store,
    out: Option<&Path>,
    format: Format,
) -> anyhow::Result<()> {
    store.sequence_all()?;
    let signed = Signer::open(config, store)?.sign(store)?;
    let signed = signed.context("nothing has been recorded yet; there is nothing to sign")?;
    match out {
        None => output::result(&serde_json::to_string(&signed)?),
        Some(path) => {
            checkpoint::write(path, &signed)?;
            let text = format!("a checkpoint of place {} is in {}", signed.place, path.display());
            match format {
                Format::Json => output::json(&serde_json::to_value(&signed)?),
                Format::Text => output::note(&text),
            }
        }
    }
    Ok(())
}

fn export(store: &Store, after: i64, tenant: Option<&str>) -> anyhow::Result<()> {
    store.sequence_all()?;
    let tenants = store.tenants()?;
    let only = tenant.map(|name| tenant_key(&tenants, name)).transpose()?;
    let mut after = ChainPosition::new(after);
    loop {
        let slice = store.audit(only, after, READ_BATCH)?;
        for sequenced in &slice.rows {
            after = sequenced.position;
            output::result(&line(sequenced, &tenants).to_string());
        }
        if slice.unsequenced.is_some() {
            return Ok(());
        }
    }
}

/// Finds a tenant by its name; one that was deleted, by its key.
fn tenant_key(tenants: &[Tenant], name: &str) -> anyhow::Result<TenantId> {
    let named = tenants.iter().find(|tenant| tenant.name == name).map(|tenant| tenant.id);
    named.or_else(|| name.parse().ok().map(TenantId::new)).with_context(|| {
        format!(
            "there is no tenant \"{name}\"; one that was deleted is found by its key, \
             which `headcount audit export` shows as tenantKey"
        )
    })
}

/// Returns one change as it is exported.
fn line(sequenced: &SequencedRow, tenants: &[Tenant]) -> Value {
    let row = &sequenced.row;
    let tenant = tenants.iter().find(|tenant| tenant.id.key() == row.tenant);
    let delta: Value = serde_json::from_str(&row.delta).unwrap_or_default();
    let personal = row.personal.as_deref().and_then(|text| serde_json::from_str(text).ok());
    let personal: Value = personal.unwrap_or_default();
    json!({
        "place": sequenced.position.number(),
        "time": Timestamp::from_micros(row.at).to_string(),
        "tenant": tenant.map(|tenant| tenant.name.as_str()),
        "tenantKey": row.tenant,
        "actor": {"kind": row.actor_kind, "id": row.actor},
        "request": row.request,
        "act": row.act,
        "kind": row.kind,
        "resource": row.resource,
        "version": row.version,
        "paths": row.paths.split_whitespace().collect::<Vec<_>>(),
        "membersAdded": ids(&delta, "added"),
        "membersRemoved": ids(&delta, "removed"),
        "groupsLeft": ids(&delta, "left"),
        "switchedOn": row.switched.map(|on| on != 0),
        "name": personal.get("name"),
        "externalId": personal.get("externalId"),
        "address": personal.get("address"),
        "erased": row.personal.is_none() && !row.personal_digest.is_empty(),
        "hash": sequenced.hash,
    })
}

fn ids(delta: &Value, name: &str) -> Vec<Value> {
    let list = delta.get(name).and_then(Value::as_array).into_iter().flatten();
    // An id may be in a list with its version.
    list.map(|one| one.get(0).unwrap_or(one).clone()).collect()
}

fn erase(parts: &Parts, who: &str, tenant: &str, format: Format) -> anyhow::Result<()> {
    let store = &parts.store;
    let tenant = tenant_key(&store.tenants()?, tenant)?;
    let (there, gone): (Vec<Recalled>, Vec<Recalled>) = store
        .recall(tenant, who, &Work::unlimited())?
        .into_iter()
        .partition(|recalled| recalled.exists);
    if let (Some(one), true) = (there.first(), gone.is_empty()) {
        bail!(
            "{} {} still exists; delete it first: only the names of what was deleted can be erased",
            one.kind,
            one.id
        );
    }
    if gone.is_empty() {
        bail!("the audit contains no name of \"{who}\" in this tenant; nothing was erased");
    }
    erasing::await_log();
    let by = system::author(Actor::Cli);
    for one in &gone {
        let erased = erasing::erase(store, &parts.log, tenant, one, &by, Search::Values)?;
        let text = format!(
            "{} {}: names are erased; changes that contained them: {}, requests removed from the log: {}",
            one.kind, one.id, erased.changes, erased.requests
        );
        let shown = json!({
            "kind": one.kind.as_str(),
            "id": one.id.as_str(),
            "changes": erased.changes,
            "requests": erased.requests
        });
        match format {
            Format::Json => output::json(&shown),
            Format::Text => output::note(&text),
        }
    }
    for one in &there {
        output::note(&format!("{} {} still exists and keeps its names", one.kind, one.id));
    }
    Ok(())
}
