//! "Why was Jane not provisioned?": everything that is known of one identity, in order.
//!
//! A timeline combines the provisioning log, which has attempts and their names, the record of changes, which
//! has what really happened, and the present resources.

use std::collections::{BTreeMap, BTreeSet};

use crate::request_log::{LogQuery, LogScope, Logged, RequestLog};
use headcount_core::change::{Act, ChangeFeed, Recorded};
use headcount_core::clock::Timestamp;
use headcount_core::error::Error;
use headcount_core::filter::parse_filter;
use headcount_core::ids::{Kind, ResourceId, TenantId};
use headcount_core::index::{Columns, fold, is_indexed};
use headcount_core::provider::{Provider, Query, Start, With};
use headcount_core::quirks::{Applied, Quirks};
use headcount_core::schema::{self, Registry, ResourceType};
use headcount_core::work::Work;

/// Records and changes that are read for one name or id.
const MAX_ENTRIES: usize = 500;
/// Ids that are followed from one name.
const MAX_IDS: usize = 10;
/// Resources of a kind up to which documents are read for a name: more would take seconds.
const MAX_DOCUMENTS: u64 = 5_000;

/// The attributes by which people name an identity.
const NAMED_BY: [&str; 5] = ["id", "userName", "displayName", "externalId", "emails.value"];

/// Reads what is known of an identity.
pub struct TimelineReader<'a> {
    /// The kinds.
    pub registry: &'a Registry,
    /// The present resources.
    pub provider: &'a dyn Provider,
    /// The record of changes.
    pub changes: &'a dyn ChangeFeed,
    /// The provisioning log.
    pub log: &'a dyn RequestLog,
    /// What reading may cost, and the flag that ends it.
    pub work: &'a Work,
}

/// Everything that is known of an identity.
#[derive(Debug, Clone)]
pub struct IdentityTimeline {
    /// The name or id that was asked for.
    pub name: String,
    /// The conclusion.
    pub verdict: Verdict,
    /// The resources that have the name now.
    pub present: Vec<Present>,
    /// What happened, oldest first.
    pub entries: Vec<Entry>,
    /// When the newest request of the tenant arrived, on any identity; `None` when there is none at all.
    pub last_request: Option<Timestamp>,
    /// Whether names without an index, such as the displayName of users, were not searched because there are
    /// too many documents.
    pub unread: bool,
}

/// The conclusion of a timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It exists.
    Present,
    /// It exists, but is deactivated.
    Deactivated,
    /// It existed and was deleted.
    Deleted,
    /// It was sent, and refused.
    Refused,
    /// It was searched for, but never sent.
    OnlyAskedFor,
    /// No request named it.
    NeverNamed,
}

/// A resource that has the name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Present {
    /// Its kind.
    pub kind: Kind,
    /// Its id.
    pub id: ResourceId,
    /// Its naming attribute.
    pub name: Option<String>,
    /// Its `externalId`.
    pub external_id: Option<String>,
    /// Whether it is active, for kinds with that attribute.
    pub active: Option<bool>,
    /// When it was created.
    pub created: Timestamp,
    /// When it was last changed.
    pub modified: Timestamp,
}

/// Something that happened.
#[derive(Debug, Clone)]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// The request, if the log still has it.
    pub request: Option<Logged>,
    /// The changes that it made to the identity.
    pub changes: Vec<Recorded>,
    /// Whether it was about the identity itself, rather than about one of its groups.
    pub own: bool,
    /// Whether the request added the identity to a group, or removed it.
    pub membership: Option<Membership>,
}

/// A change of the membership of an identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The group.
    pub group: ResourceId,
    /// Its name then, unless that was erased.
    pub name: Option<String>,
    /// Whether the identity was added, rather than removed.
    pub added: bool,
}

impl TimelineReader<'_> {
    /// Reads the timeline of the identity that has or had `name`: a userName, displayName, externalId, e-mail
    /// address or id, in any case.
    ///
    /// # Errors
    ///
    /// [`Error::Provider`].
    pub fn read(&self, tenant: TenantId, name: &str) -> Result<IdentityTimeline, Error> {
        let name = name.trim();
        let mut present = Vec::new();
        self.present(tenant, name, Lookup::Indexed, &mut present)?;
        let mut requests = self.requests(tenant, name, MAX_ENTRIES)?;
        let mut ids: Vec<ResourceId> = present.iter().map(|present| present.id.clone()).collect();
        for logged in requests.iter().filter(|logged| self.is_own(logged, name, &[])) {
            let written = logged.record.method != "GET";
            let id = logged.record.resource.clone();
            let new = id.filter(|id| written && !ids.contains(id));
            ids.extend(new);
        }
        ids.truncate(MAX_IDS);
        // An identity that was sent under a name without an index is found by the log.
        for id in ids.clone() {
            self.present(tenant, id.as_str(), Lookup::Indexed, &mut present)?;
        }
        let mut unread = false;
        if ids.is_empty() {
            // Only a document can have the name: all of them are read.
            unread = self.present(tenant, name, Lookup::Scanned, &mut present)?;
            ids.extend(present.iter().map(|present| present.id.clone()));
        }
        let mut changes = Vec::new();
        // The other names that it had: a search for one finds what was sent under another.
        let mut others = BTreeSet::new();
        for id in &ids {
            others.insert(fold(id.as_str()));
            let history = self.changes.history(tenant, id, MAX_ENTRIES, self.work)?;
            for names in history.iter().map(|recorded| &recorded.change.names) {
                others.extend(
                    [&names.name, &names.external_id].into_iter().flatten().map(|n| fold(n)),
                );
            }
            changes.extend(history);
        }
        others.remove(&fold(name));
        for other in others.iter().take(MAX_IDS) {
            requests.extend(self.requests(tenant, other, MAX_ENTRIES)?);
        }
        let scope = LogScope::Tenant(tenant);
        let newest = LogQuery { scope, limit: 1, ..LogQuery::default() };
        let last_request =
            self.log.requests(&newest, self.work)?.first().map(|logged| logged.record.at);
        let mut entries = entries(requests, changes);
        self.find_memberships(tenant, &ids, &mut entries)?;
        for entry in &mut entries {
            entry.own = entry.request.as_ref().is_none_or(|logged| self.is_own(logged, name, &ids));
        }
        let verdict = verdict(&present, &entries);
        Ok(IdentityTimeline {
            name: name.to_owned(),
            verdict,
            present,
            entries,
            last_request,
            unread,
        })
    }

    /// Returns what happened to one resource and which requests named its id: the last `max` of both, oldest
    /// first.
    ///
    /// # Errors
    ///
    /// [`Error::Provider`].
    pub fn read_resource(
        &self,
        tenant: TenantId,
        id: &ResourceId,
        max: usize,
    ) -> Result<Vec<Entry>, Error> {
        let requests = self.requests(tenant, id.as_str(), max)?;
        let mut entries = entries(requests, self.changes.history(tenant, id, max, self.work)?);
        let mut entries = entries.split_off(entries.len().saturating_sub(max));
        self.find_memberships(tenant, std::slice::from_ref(id), &mut entries)?;
        Ok(entries)
    }

    /// Finds what the requests about groups did to the membership of an identity, in the histories of at most
    /// [`MAX_IDS`] groups.
    fn find_memberships(
        &self,
        tenant: TenantId,
        ids: &[ResourceId],
        entries: &mut [Entry],
    ) -> Result<(), Error> {
        let mut histories: BTreeMap<ResourceId, Vec<Recorded>> = BTreeMap::new();
        for entry in entries.iter_mut().rev() {
            let Some(Logged { record, .. }) = &entry.request else { continue };
            let kind = record.kind.as_ref().and_then(|kind| self.registry.kind(kind.as_str()));
            let is_group = kind.is_some_and(|kind| kind.membership == schema::Membership::Members);
            let Some(group) = record.resource.clone().filter(|id| !ids.contains(id)) else {
                continue;
            };
            if !is_group || record.method == "GET" || record.status >= 400 {
                continue;
            }
            if !histories.contains_key(&group) {
                if histories.len() >= MAX_IDS {
                    continue;
                }
                let history = self.changes.history(tenant, &group, MAX_ENTRIES, self.work)?;
                histories.insert(group.clone(), history);
            }
            let history = histories.get(&group).map(Vec::as_slice).unwrap_or_default();
            let change = history.iter().find(|change| change.change.request == record.request);
            entry.membership = change.and_then(|change| membership(change, ids));
        }
        Ok(())
    }

    fn requests(&self, tenant: TenantId, name: &str, max: usize) -> Result<Vec<Logged>, Error> {
        let name = Some(fold(name));
        let scope = LogScope::Tenant(tenant);
        let query = LogQuery { scope, name, limit: max, ..LogQuery::default() };
        Ok(self.log.requests(&query, self.work)?)
    }

    /// Checks whether a record is about the identity with the name or one of the ids, rather than about a group
    /// that has it as a member.
    fn is_own(&self, logged: &Logged, name: &str, ids: &[ResourceId]) -> bool {
        let record = &logged.record;
        let named = record.name.as_deref().is_some_and(|own| fold(own) == fold(name));
        let kind = record.kind.as_ref().and_then(|kind| self.registry.kind(kind.as_str()));
        let has_members = kind.is_some_and(|kind| kind.membership == schema::Membership::Members);
        named || !has_members || record.resource.as_ref().is_some_and(|id| ids.contains(id))
    }

    /// Adds the resources that have a name, in attributes with an index or in the others. Returns whether a kind
    /// was skipped because it has too many resources.
    fn present(
        &self,
        tenant: TenantId,
        name: &str,
        lookup: Lookup,
        present: &mut Vec<Present>,
    ) -> Result<bool, Error> {
        let mut left_out = false;
        for kind in self.registry.kinds() {
            let (start, with, sort) = (Start::Offset(0), With::Nothing, None);
            let work = self.work.clone();
            let all = Query { kind, filter: None, sort, start, limit: 0, with, work };
            let filters = name_filters(kind, name, lookup);
            if lookup == Lookup::Scanned
                && !filters.is_empty()
                && self.provider.find(tenant, &all)?.total > MAX_DOCUMENTS
            {
                left_out = true;
                continue;
            }
            // One query each: a store answers it by an index, which it may not do for all in one.
            for filter in filters {
                let query = Query { filter: Some(filter), limit: MAX_IDS, ..all.clone() };
                for found in self.provider.find(tenant, &query)?.resources {
                    if present.iter().any(|known| known.id == found.resource.id) {
                        continue;
                    }
                    let columns = Columns::of(kind, found.resource.document.attributes()?);
                    present.push(Present {
                        kind: kind.kind.clone(),
                        id: found.resource.id,
                        name: columns.name,
                        external_id: columns.external_id,
                        active: columns.active,
                        created: found.resource.created,
                        modified: found.resource.modified,
                    });
                }
            }
        }
        Ok(left_out)
    }
}

/// By which attributes resources are looked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lookup {
    /// Those with an index.
    Indexed,
    /// The others, for which each document is read.
    Scanned,
}

/// Returns the filters for resources of a kind that have a name.
fn name_filters(
    kind: &ResourceType,
    name: &str,
    lookup: Lookup,
) -> Vec<headcount_core::filter::ResolvedFilter> {
    let (quoted, indexed) = (serde_json::Value::from(name), lookup == Lookup::Indexed);
    NAMED_BY
        .into_iter()
        .filter(|attribute| {
            // One that resolves only after a repair is left to the parser.
            !kind.resolve(attribute).is_ok_and(|found| is_indexed(&found.source) != indexed)
        })
        .filter_map(|attribute| {
            let term = format!("{attribute} eq {quoted}");
            parse_filter(kind, Quirks::ALL, &mut Applied::default(), &term).ok()
        })
        .collect()
}

/// Puts requests and changes in order, with each change at the request that made it.
fn entries(requests: Vec<Logged>, changes: Vec<Recorded>) -> Vec<Entry> {
    let mut seen = BTreeSet::new();
    let mut entries: Vec<Entry> = requests
        .into_iter()
        .filter(|logged| seen.insert(logged.seq))
        .map(|logged| Entry {
            at: logged.record.at,
            request: Some(logged),
            changes: Vec::new(),
            own: true,
            membership: None,
        })
        .collect();
    for change in changes {
        match entries.iter_mut().find(|entry| entry.has_made(&change)) {
            Some(entry) => entry.changes.push(change),
            None => {
                let at = change.change.at;
                let changes = vec![change];
                entries.push(Entry { at, request: None, changes, own: true, membership: None });
            }
        }
    }
    entries.sort_by_key(|entry| (entry.at, entry.request.as_ref().map_or(0, |logged| logged.seq)));
    entries
}

impl Entry {
    /// Checks whether the request of this entry made a change. A bulk request has one record per operation.
    fn has_made(&self, change: &Recorded) -> bool {
        self.request.as_ref().is_some_and(|logged| {
            logged.record.request == change.change.request
                && logged.record.resource.as_ref() == Some(&change.id)
        })
    }

    fn has_deleted(&self) -> bool {
        self.changes.iter().any(|recorded| recorded.change.act == Act::Deleted)
    }
}

/// Returns what a change of a group did to the membership of an identity.
fn membership(change: &Recorded, ids: &[ResourceId]) -> Option<Membership> {
    let added = change.members.added.iter().any(|id| ids.contains(id));
    let removed = change.members.removed.iter().any(|id| ids.contains(id));
    (added || removed).then(|| Membership {
        group: change.id.clone(),
        name: change.change.names.name.clone(),
        added,
    })
}

fn verdict(present: &[Present], entries: &[Entry]) -> Verdict {
    if present.iter().any(|present| present.active != Some(false)) {
        return Verdict::Present;
    }
    if !present.is_empty() {
        return Verdict::Deactivated;
    }
    // What came last counts: a user may be deleted and then refused.
    for entry in entries.iter().rev() {
        if entry.has_deleted() {
            return Verdict::Deleted;
        }
        if entry.own && entry.request.as_ref().is_some_and(is_refusal) {
            return Verdict::Refused;
        }
    }
    if entries.is_empty() { Verdict::NeverNamed } else { Verdict::OnlyAskedFor }
}

fn is_refusal(logged: &Logged) -> bool {
    let record = &logged.record;
    record.status >= 400 && matches!(record.method.as_str(), "POST" | "PUT" | "PATCH")
}
