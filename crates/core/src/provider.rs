//! **The plug.** A type that implements [`Provider`] is the store of a SCIM server.
//!
//! Read [`crate::memory`] next, which is the contract in executable form.

use std::sync::Arc;

use crate::change::Change;
use crate::clock::Timestamp;
use crate::error::Error;
use crate::filter::ResolvedFilter;
use crate::ids::{Kind, ResourceId, TenantId};
use crate::index::{Columns, Difference, IndexEntry, UniqueKey};
use crate::members::{Member, MemberChange, MemberNames, MembershipEntry};
use crate::path::AttrRef;
use crate::resource::{Computed, Document, Resource};
use crate::work::Work;

pub use crate::error::{ProviderError, Source};
pub use crate::ids::Key;

/// Durable storage for resources.
///
/// Every method is one atomic unit: it happens entirely or not at all, and concurrent calls on a resource
/// behave as if they ran one after another. When a method that writes returns `Ok`, the write survives a
/// crash. Every method sees only `tenant`: resources of other tenants do not exist for it.
///
/// Writes take a [`Draft`], with everything that is derived from the document: a provider needs no schema
/// and never looks inside a document.
pub trait Provider: Send + Sync + 'static {
    /// Reads one resource, and in addition what `with` asks for.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Unavailable`] or [`ProviderError::Internal`].
    fn get(
        &self,
        tenant: TenantId,
        kind: &Kind,
        id: &ResourceId,
        with: With,
    ) -> Result<Option<Found>, ProviderError>;

    /// Reads one page of the resources that satisfy a query, in a stable order.
    ///
    /// # Errors
    ///
    /// [`ProviderError::TooMany`] when the query would read more resources than the provider allows,
    /// [`ProviderError::Halted`] when its budget is used up or it was stopped, [`ProviderError::InvalidKey`]
    /// for a key that this provider did not make.
    fn find(&self, tenant: TenantId, query: &Query<'_>) -> Result<Page, ProviderError>;

    /// Stores a new resource in its first version.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Uniqueness`], [`ProviderError::UnknownMember`].
    fn insert(&self, tenant: TenantId, draft: &Draft, with: With) -> Result<Found, ProviderError>;

    /// Replaces a resource by a function of its current state.
    ///
    /// `change` sees the state that the write replaces: no other write happens in between. It may be called
    /// more than once and must have no side effects. The version grows by one when, and only when, the text
    /// or the effective membership changes; otherwise nothing is written.
    ///
    /// Other writers may wait while `change` runs, so callers do little work in it. An expensive result they
    /// compute before, from what [`Provider::get`] returns, and pass a `change` that stores it if the version
    /// is still the same.
    ///
    /// # Errors
    ///
    /// The error of `change`, with nothing changed; [`ProviderError::NotFound`],
    /// [`ProviderError::Uniqueness`], [`ProviderError::UnknownMember`].
    fn update(
        &self,
        tenant: TenantId,
        kind: &Kind,
        id: &ResourceId,
        with: With,
        change: &mut ChangeFn<'_>,
    ) -> Result<Updated, Error>;

    /// Removes a resource, its unique keys and its memberships. Groups that lose a member get their next
    /// version.
    ///
    /// # Errors
    ///
    /// The error of `check` for the state that would be removed, with nothing changed;
    /// [`ProviderError::NotFound`].
    fn delete(
        &self,
        tenant: TenantId,
        kind: &Kind,
        id: &ResourceId,
        check: &mut CheckFn<'_>,
    ) -> Result<(), Error>;

    /// Reads members of a group in a stable order, after a key.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Unavailable`] or [`ProviderError::Internal`]. A group that does not exist has
    /// no members.
    fn members(
        &self,
        tenant: TenantId,
        group: &ResourceId,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Members, ProviderError>;

    /// Reads the groups in which resources are members, in a stable order.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Unavailable`] or [`ProviderError::Internal`].
    fn memberships(
        &self,
        tenant: TenantId,
        members: &[ResourceId],
    ) -> Result<Vec<MembershipEntry>, ProviderError>;

    /// Reads the names of resources: [`Columns::name`] of each of `ids` that exists and has one.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Unavailable`] or [`ProviderError::Internal`].
    fn names(&self, tenant: TenantId, ids: &[ResourceId]) -> Result<MemberNames, ProviderError>;

    /// Runs steps in order, each as atomic as its own method.
    ///
    /// A step that fails changes nothing and does not stop the others, unless `failures` steps have failed
    /// or it fails with [`Error::Halted`]: then the remaining steps are not run and have no result. After a
    /// crash, a prefix of whole steps is stored.
    fn batch(
        &self,
        tenant: TenantId,
        steps: &mut [Step<'_>],
        failures: Option<usize>,
    ) -> Vec<Result<StepDone, Error>>;
}

/// The function that [`Provider::update`] runs on the current state.
pub type ChangeFn<'a> = dyn FnMut(&Current<'_>) -> Result<Update, Error> + 'a;

/// The function that [`Provider::delete`] runs on the state that would be removed.
pub type CheckFn<'a> = dyn FnMut(&Resource) -> Result<Change, Error> + 'a;

/// The state that a write replaces.
#[derive(Debug, Clone, Copy)]
pub struct Current<'a> {
    /// The resource.
    pub resource: &'a Resource,
    /// The members, at most as many as [`Update::NeedMembers`] asked for.
    pub members: Option<&'a [Member]>,
}

/// The outcome that a change function requests from [`Provider::update`].
#[derive(Debug, Clone)]
pub enum Update {
    /// Write nothing.
    Keep,
    /// Call the function again with at most this many members of the group.
    NeedMembers(usize),
    /// Store this in the next version.
    Store(Box<Draft>),
}

/// One step of [`Provider::batch`].
pub enum Step<'a> {
    /// As [`Provider::insert`].
    Insert(&'a Draft),
    /// As [`Provider::update`].
    Update(&'a Kind, ResourceId, Box<ChangeFn<'a>>),
    /// As [`Provider::delete`].
    Delete(&'a Kind, ResourceId, Box<CheckFn<'a>>),
}

/// The effect of a step of [`Provider::batch`].
#[derive(Debug)]
pub enum StepDone {
    /// It stored a resource.
    Stored(Resource),
    /// It left a resource unchanged.
    Kept(Resource),
    /// It removed a resource.
    Deleted,
}

impl StepDone {
    /// Returns the effect of an update.
    pub fn of(updated: Updated) -> Self {
        let Updated { found, changed } = updated;
        if changed { Self::Stored(found.resource) } else { Self::Kept(found.resource) }
    }
}

/// What a read returns in addition to the resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum With {
    /// Nothing.
    #[default]
    Nothing,
    /// Up to this many members of the groups that are read, altogether.
    Members(usize),
    /// All members of a group, if there are at most this many; otherwise none, and the position of the
    /// first.
    AllMembers(usize),
    /// The groups of which the resources are members.
    Groups,
}

/// A resource with what a reply needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The resource.
    pub resource: Resource,
    /// What `with` asked for.
    pub computed: Computed,
}

/// The outcome of [`Provider::update`].
#[derive(Debug, Clone)]
pub struct Updated {
    /// The resource afterwards.
    pub found: Found,
    /// Whether a new version was stored.
    pub changed: bool,
}

/// A resource about to be written, with everything derived from it.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The kind.
    pub kind: Kind,
    /// The id.
    pub id: ResourceId,
    /// The document.
    pub document: Document,
    /// The values stored next to the document.
    pub columns: Columns,
    /// Index rows to remove and to insert.
    pub index: Difference<IndexEntry>,
    /// Unique keys to free and to claim.
    pub unique: Difference<UniqueKey>,
    /// The change of the members.
    pub members: MemberChange,
    /// Kinds that may be members.
    pub member_kinds: Arc<[Kind]>,
    /// The time of the write.
    pub at: Timestamp,
    /// The record of the change. The provider adds version and effective members.
    pub change: Change,
}

/// A query for a page of resources.
#[derive(Debug, Clone)]
pub struct Query<'a> {
    /// The kind. Filters need its definitions where no index answers them.
    pub kind: &'a crate::schema::ResourceType,
    /// The filter that the resources satisfy.
    pub filter: Option<ResolvedFilter>,
    /// The order; by creation when absent.
    pub sort: Option<Sort>,
    /// The position of the first resource.
    pub start: Start,
    /// The maximum number of resources; zero asks for the total only.
    pub limit: usize,
    /// What to return in addition to each resource.
    pub with: With,
    /// The budget, which pays for each document that is read and each value that is compared.
    pub work: Work,
}

/// An order of resources. Equal ones are in the order of their creation.
#[derive(Debug, Clone, PartialEq)]
pub struct Sort {
    /// The attribute by whose value to sort; resources without one are last, or first when descending.
    pub by: AttrRef,
    /// Which value is first.
    pub direction: Direction,
}

/// The direction of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    /// The smallest value is first.
    #[default]
    Ascending,
    /// The largest value is first.
    Descending,
}

impl Direction {
    /// Turns the comparison of two values around if the largest is first.
    pub fn apply(self, by_value: std::cmp::Ordering) -> std::cmp::Ordering {
        match self {
            Self::Ascending => by_value,
            Self::Descending => by_value.reverse(),
        }
    }
}

/// Some members of a group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Members {
    /// The members.
    pub members: Vec<Member>,
    /// The position of the next ones; none at the end.
    pub next: Option<Key>,
}

/// The position of the first resource of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// After this many resources.
    Offset(u64),
    /// After the resource at which a page ended; see [`Page::next`].
    After(Key),
}

/// One page of resources.
#[derive(Debug, Clone)]
pub struct Page {
    /// The number of resources that satisfy the query.
    pub total: u64,
    /// The resources of this page.
    pub resources: Vec<Found>,
    /// The position of the next page; none at the end.
    pub next: Option<Key>,
}
