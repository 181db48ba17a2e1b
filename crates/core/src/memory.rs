//! The contract of [`Provider`] in executable form, to be read right after the trait.
//!
//! A complete implementation for tests and for data that need not outlive the process.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::change::{Change, ChangeFeed, LeftGroup, Recorded};
use crate::error::Error;
use crate::filter::{Filter, Relations, ResolvedFilter, row, rows_match, sort_key};
use crate::ids::{ChainPosition, Kind, ResourceId, TenantId, Version};
use crate::index::UniqueKey;
use crate::members::{Member, MemberDelta, MemberNames, MembershipEntry};
use crate::patch::members_match;
use crate::path::AttrSource;
use crate::provider::{
    ChangeFn, CheckFn, Current, Direction, Draft, Found, Key, Members, Page, Provider,
    ProviderError, Query, Start, Step, StepDone, Update, Updated, With,
};
use crate::resource::{Computed, Resource};
use crate::work::{Halt, Work};

/// Stores resources in memory behind one lock.
#[derive(Debug, Default)]
pub struct MemoryProvider {
    tenants: Mutex<HashMap<TenantId, Tenant>>,
}

/// The data of one tenant. A write works on a clone, which replaces the original when it succeeds: that
/// makes it atomic.
#[derive(Debug, Clone, Default)]
struct Tenant {
    /// Resources in the order of their creation.
    resources: BTreeMap<u64, Stored>,
    keys: HashMap<(Kind, UniqueKey), u64>,
    changes: Vec<Recorded>,
    /// The number of resources ever created.
    created: u64,
}

#[derive(Debug, Clone)]
struct Stored {
    resource: Resource,
    name: String,
    members: BTreeMap<ResourceId, Kind>,
}

impl MemoryProvider {
    fn lock(&self) -> MutexGuard<'_, HashMap<TenantId, Tenant>> {
        // Writes work on a copy, so that a panic in one leaves no half-written tenant.
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a write on a copy of the tenant, which replaces the tenant when the write succeeds.
    fn write<T>(
        &self,
        tenant: TenantId,
        job: impl FnOnce(&mut Tenant) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut tenants = self.lock();
        let slot = tenants.entry(tenant).or_default();
        let mut copy = slot.clone();
        let result = job(&mut copy)?;
        *slot = copy;
        Ok(result)
    }

    fn read<T>(&self, tenant: TenantId, job: impl FnOnce(&Tenant) -> T) -> T {
        job(self.lock().entry(tenant).or_default())
    }

    fn run_step(&self, tenant: TenantId, step: &mut Step<'_>) -> Result<StepDone, Error> {
        match step {
            Step::Insert(draft) => {
                Ok(StepDone::Stored(self.insert(tenant, draft, With::Nothing)?.resource))
            }
            Step::Update(kind, id, change) => {
                self.update(tenant, kind, id, With::Nothing, &mut **change).map(StepDone::of)
            }
            Step::Delete(kind, id, check) => {
                self.delete(tenant, kind, id, &mut **check).map(|()| StepDone::Deleted)
            }
        }
    }
}

impl Provider for MemoryProvider {
    fn get(
        &self,
        tenant: TenantId,
        kind: &Kind,
        id: &ResourceId,
        with: With,
    ) -> Result<Option<Found>, ProviderError> {
        Ok(self
            .read(tenant, |tenant| tenant.position(kind, id).and_then(|at| tenant.load(at, with))))
    }

    fn find(&self, tenant: TenantId, query: &Query<'_>) -> Result<Page, ProviderError> {
        self.read(tenant, |tenant| tenant.page(query))
    }

    fn insert(&self, tenant: TenantId, draft: &Draft, with: With) -> Result<Found, ProviderError> {
        self.write(tenant, |tenant| tenant.insert(draft, with)).map_err(provider_error)
    }

    fn update(
        &self,
        tenant: TenantId,
        kind: &Kind,
        id: &ResourceId,
        with: With,
        change: &mut ChangeFn<'_>,
    ) -> Result<Updated, Error> {
        self.write(tenant, |tenant| tenant.update(kind, id, with, change))
    }

    fn delete(
        &self,
        tenant: TenantId,
        kind: &Kind,
        id: &ResourceId,
        check: &mut CheckFn<'_>,
    ) -> Result<(), Error> {
        self.write(tenant, |tenant| tenant.delete(kind, id, check))
    }

    fn members(
        &self,
        tenant: TenantId,
        group: &ResourceId,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Members, ProviderError> {
        self.read(tenant, |tenant| {
            let group = tenant.resources.values().find(|stored| stored.resource.id == *group);
            Ok(group.map(|stored| stored.some_members(after, limit)).unwrap_or_default())
        })
    }

    fn memberships(
        &self,
        tenant: TenantId,
        members: &[ResourceId],
    ) -> Result<Vec<MembershipEntry>, ProviderError> {
        Ok(self.read(tenant, |tenant| {
            members.iter().flat_map(|member| tenant.groups_of(member)).collect()
        }))
    }

    fn names(&self, tenant: TenantId, ids: &[ResourceId]) -> Result<MemberNames, ProviderError> {
        Ok(self.read(tenant, |tenant| {
            let named = tenant.resources.values().filter(|one| ids.contains(&one.resource.id));
            named.map(|one| (one.resource.id.clone(), one.name.clone())).collect()
        }))
    }

    fn batch(
        &self,
        tenant: TenantId,
        steps: &mut [Step<'_>],
        failures: Option<usize>,
    ) -> Vec<Result<StepDone, Error>> {
        let (mut results, mut failed) = (Vec::with_capacity(steps.len()), 0);
        for step in steps {
            let result = self.run_step(tenant, step);
            failed += usize::from(result.is_err());
            let halted = matches!(result, Err(Error::Halted(_)));
            results.push(result);
            if halted || failures.is_some_and(|max| failed >= max) {
                break;
            }
        }
        results
    }
}

impl ChangeFeed for MemoryProvider {
    fn changes(
        &self,
        tenant: TenantId,
        after: ChainPosition,
        limit: usize,
    ) -> Result<Vec<Recorded>, ProviderError> {
        Ok(self.read(tenant, |tenant| {
            tenant
                .changes
                .iter()
                .filter(|recorded| recorded.position > after)
                .take(limit)
                .cloned()
                .collect()
        }))
    }

    fn newest_changes(
        &self,
        tenant: TenantId,
        limit: usize,
    ) -> Result<Vec<Recorded>, ProviderError> {
        Ok(self.read(tenant, |tenant| {
            let older = tenant.changes.len().saturating_sub(limit);
            tenant.changes.iter().skip(older).cloned().collect()
        }))
    }

    fn history(
        &self,
        tenant: TenantId,
        id: &ResourceId,
        limit: usize,
        _work: &Work,
    ) -> Result<Vec<Recorded>, ProviderError> {
        Ok(self.read(tenant, |tenant| {
            let of_it = tenant.changes.iter().filter(|recorded| recorded.id == *id);
            let mut latest: Vec<Recorded> = of_it.rev().take(limit).cloned().collect();
            latest.reverse();
            latest
        }))
    }
}

fn provider_error(error: Error) -> ProviderError {
    match error {
        Error::Provider(error) => error,
        other => ProviderError::Internal(crate::provider::Source::new(
            "an insert calls no change function",
            other,
        )),
    }
}

/// The sort key of a resource, and the number of its creation.
type Position = (Option<String>, u64);

fn compare(
    (key, at): &Position,
    (other_key, other_at): &Position,
    direction: Direction,
) -> Ordering {
    // No value sorts last ascending and first descending (RFC 7644 §3.4.2.3).
    let by_key = (key.is_none(), key).cmp(&(other_key.is_none(), other_key));
    direction.apply(by_key).then(at.cmp(other_at))
}

/// Returns the error for a resource that is gone while the lock is held.
fn missing() -> Error {
    Error::internal("a resource stays while the lock is held")
}

impl Tenant {
    fn position(&self, kind: &Kind, id: &ResourceId) -> Option<u64> {
        let mut resources = self.resources.iter();
        resources
            .find(|(_, stored)| stored.resource.kind == *kind && stored.resource.id == *id)
            .map(|(at, _)| *at)
    }

    fn load(&self, at: u64, with: With) -> Option<Found> {
        let stored = self.resources.get(&at)?;
        let mut computed = Computed::default();
        match with {
            With::Nothing => {}
            With::Groups => computed.groups = self.groups_of(&stored.resource.id),
            With::Members(limit) => {
                let some = stored.some_members(None, limit);
                (computed.members, computed.more_members) = (some.members, some.next);
            }
            With::AllMembers(max) => {
                let some = stored.some_members(None, max);
                match some.next {
                    // Every id is greater than the empty one.
                    Some(_) => computed.more_members = Some(Key(String::new())),
                    None => computed.members = some.members,
                }
            }
        }
        Some(Found { resource: stored.resource.clone(), computed })
    }

    fn groups_of(&self, member: &ResourceId) -> Vec<MembershipEntry> {
        let groups = self.resources.values().filter(|stored| stored.members.contains_key(member));
        groups
            .map(|stored| MembershipEntry {
                member: member.clone(),
                group: stored.resource.id.clone(),
                display: stored.name.clone(),
            })
            .collect()
    }

    fn page(&self, query: &Query<'_>) -> Result<Page, ProviderError> {
        let mut matching: Vec<Position> = Vec::new();
        for (at, stored) in &self.resources {
            if stored.resource.kind != query.kind.kind {
                continue;
            }
            let rows = Rows { tenant: self, stored, work: &query.work };
            let matches = match &query.filter {
                Some(filter) => filter
                    .matches(query.kind, &stored.resource, &rows, &query.work)
                    .map_err(ProviderError::evaluating)?,
                None => true,
            };
            if matches {
                let key = match &query.sort {
                    Some(sort) => sort_key(&sort.by, &stored.resource, &query.work)
                        .map_err(ProviderError::evaluating)?,
                    None => None,
                };
                matching.push((key, *at));
            }
        }
        let direction = query.sort.as_ref().map(|sort| sort.direction).unwrap_or_default();
        matching.sort_by(|one, other| compare(one, other, direction));
        let total = u64::try_from(matching.len()).unwrap_or(u64::MAX);
        let skip = match &query.start {
            Start::Offset(offset) => usize::try_from(*offset).unwrap_or(usize::MAX),
            Start::After(Key(key)) => {
                let last: Position =
                    serde_json::from_str(key).map_err(|_bad| ProviderError::InvalidKey)?;
                matching.iter().take_while(|one| compare(one, &last, direction).is_le()).count()
            }
        };
        let page: Vec<_> = matching.iter().skip(skip).take(query.limit).collect();
        let more = skip.saturating_add(page.len()) < matching.len();
        let last = page.last().filter(|_| more);
        Ok(Page {
            total,
            next: last.and_then(|last| serde_json::to_string(last).ok()).map(Key),
            resources: page.iter().filter_map(|(_, at)| self.load(*at, query.with)).collect(),
        })
    }

    fn insert(&mut self, draft: &Draft, with: With) -> Result<Found, Error> {
        self.created += 1;
        let at = self.created;
        let resource = Resource {
            kind: draft.kind.clone(),
            id: draft.id.clone(),
            version: Version::FIRST,
            created: draft.at,
            modified: draft.at,
            document: draft.document.clone(),
        };
        let stored = Stored { resource, name: String::new(), members: BTreeMap::new() };
        self.resources.insert(at, stored);
        let delta = self.store(at, draft)?;
        self.record(at, draft.change.clone(), delta, Vec::new());
        self.load(at, with).ok_or_else(missing)
    }

    fn update(
        &mut self,
        kind: &Kind,
        id: &ResourceId,
        with: With,
        change: &mut ChangeFn<'_>,
    ) -> Result<Updated, Error> {
        let at = self.position(kind, id).ok_or(ProviderError::NotFound)?;
        let before = self.resources.get(&at).cloned().ok_or_else(missing)?;
        let mut update = change(&Current { resource: &before.resource, members: None })?;
        if let Update::NeedMembers(max) = update {
            let members: Vec<_> = before.member_list().take(max).collect();
            update = change(&Current { resource: &before.resource, members: Some(&members) })?;
        }
        let mut changed = false;
        if let Update::Store(draft) = update {
            let delta = self.store(at, &draft)?;
            changed = !delta.is_empty() || draft.document != before.resource.document;
            if changed {
                if let Some(stored) = self.resources.get_mut(&at) {
                    stored.resource.document = draft.document.clone();
                    stored.resource.version = before.resource.version.next();
                    stored.resource.modified = draft.at;
                }
                self.record(at, draft.change, delta, Vec::new());
            }
        }
        Ok(Updated { found: self.load(at, with).ok_or_else(missing)?, changed })
    }

    fn delete(
        &mut self,
        kind: &Kind,
        id: &ResourceId,
        check: &mut CheckFn<'_>,
    ) -> Result<(), Error> {
        let at = self.position(kind, id).ok_or(ProviderError::NotFound)?;
        let stored = self.resources.get(&at).ok_or(ProviderError::NotFound)?;
        let change = check(&stored.resource)?;
        let mut left = Vec::new();
        for group in self.resources.values_mut() {
            if group.members.remove(id).is_some() {
                group.resource.version = group.resource.version.next();
                group.resource.modified = change.at.max(group.resource.modified.next());
                left.push(LeftGroup {
                    group: group.resource.id.clone(),
                    version: group.resource.version,
                });
            }
        }
        self.record(at, change, MemberDelta::default(), left);
        self.resources.remove(&at);
        self.keys.retain(|_, owner| *owner != at);
        Ok(())
    }

    /// Stores keys, name and members of a draft.
    fn store(&mut self, at: u64, draft: &Draft) -> Result<MemberDelta, Error> {
        for key in &draft.unique.remove {
            self.keys.remove(&(draft.kind.clone(), key.clone()));
        }
        for key in &draft.unique.insert {
            if self
                .keys
                .insert((draft.kind.clone(), key.clone()), at)
                .is_some_and(|owner| owner != at)
            {
                return Err(ProviderError::Uniqueness(key.path.clone()).into());
            }
        }
        let before: Vec<_> =
            self.resources.get(&at).into_iter().flat_map(Stored::member_list).collect();
        let mut after = BTreeMap::new();
        for (id, kind) in draft.members.preview(&before) {
            let kind = kind.or_else(|| {
                let allowed = draft.member_kinds.iter();
                allowed.into_iter().find(|kind| self.position(kind, &id).is_some()).cloned()
            });
            after.insert(id.clone(), kind.ok_or(ProviderError::UnknownMember(id))?);
        }
        let present: BTreeSet<_> = before.iter().map(|member| &member.id).collect();
        let added = after.keys().filter(|id| !present.contains(id)).cloned().collect();
        let removed = present.into_iter().filter(|id| !after.contains_key(*id)).cloned().collect();
        let delta = MemberDelta { added, removed };
        if let Some(stored) = self.resources.get_mut(&at) {
            stored.members = after;
            stored.name = draft.columns.name.clone().unwrap_or_default();
        }
        Ok(delta)
    }

    fn record(&mut self, at: u64, change: Change, members: MemberDelta, left: Vec<LeftGroup>) {
        let position = i64::try_from(self.changes.len()).unwrap_or(i64::MAX).saturating_add(1);
        let position = ChainPosition::new(position);
        if let Some(Stored { resource, .. }) = self.resources.get(&at) {
            let (kind, id) = (resource.kind.clone(), resource.id.clone());
            let version = Some(resource.version);
            self.changes.push(Recorded { position, kind, id, version, change, members, left });
        }
    }
}

impl Stored {
    fn some_members(&self, after: Option<&Key>, limit: usize) -> Members {
        let mut members: Vec<_> = self
            .member_list()
            .filter(|member| after.is_none_or(|after| member.id.as_str() > after.0.as_str()))
            .collect();
        let more = members.len() > limit;
        members.truncate(limit);
        let next = members.last().filter(|_| more).map(|last| Key(last.id.as_str().to_owned()));
        Members { members, next }
    }

    fn member_list(&self) -> impl Iterator<Item = Member> {
        self.members.iter().map(|(id, kind)| Member { id: id.clone(), kind: kind.clone() })
    }
}

/// Evaluates the parts of a filter that are about membership.
struct Rows<'a> {
    tenant: &'a Tenant,
    stored: &'a Stored,
    work: &'a Work,
}

impl Relations for Rows<'_> {
    fn holds(&self, predicate: &ResolvedFilter) -> Result<bool, Halt> {
        let (Filter::Present(at) | Filter::Compare(at, ..) | Filter::Element(at, _)) = predicate
        else {
            return Ok(false);
        };
        if at.source == AttrSource::Members {
            let members: Vec<_> = self.stored.member_list().collect();
            return members_match(predicate, &members, self.work);
        }
        let groups = self.tenant.groups_of(&self.stored.resource.id);
        let rows: Vec<_> = groups
            .iter()
            .map(|entry| {
                row(entry.group.as_str(), ("type", "direct"), Some(("display", &entry.display)))
            })
            .collect();
        rows_match(predicate, &rows, self.work)
    }
}
