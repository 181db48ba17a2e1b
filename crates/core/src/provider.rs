//! **The plug.** Whoever implements [`Provider`] gets a SCIM server.
//!
//! Read [`crate::memory`] next: it is the contract in executable form.

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
/// Every method is one atomic unit: it happens entirely or not at all, and concurrent calls behave
/// as if they ran one after another per resource. When a method that writes returns `Ok`, what it
/// wrote survives a crash. Every method sees only `tenant`; a resource of another tenant is one that
/// does not exist.
///
/// What is written arrives as a [`Draft`], with everything derived from the document: a provider
/// needs no schema and never looks inside a document.
pub trait Provider: Send + Sync + 'static {
    /// Reads one resource, and what `with` asks for beside it.
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
    /// [`ProviderError::TooMany`] when the answer would cost more than the provider is set to spend,
    /// [`ProviderError::Halted`] when it would cost more than the query may or the query was stopped,
    /// [`ProviderError::InvalidKey`] for a key that this provider did not make.
    fn find(&self, tenant: TenantId, query: &Query<'_>) -> Result<Page, ProviderError>;

    /// Stores a new resource in its first version.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Uniqueness`], [`ProviderError::UnknownMember`].
    fn insert(&self, tenant: TenantId, draft: &Draft, with: With) -> Result<Found, ProviderError>;

    /// Replaces a resource by a function of its current state.
    ///
    /// `change` sees the state that the write will replace: no other write comes between. It may be
    /// called more than once and must have no effects. The version grows by one when, and only when,
    /// the text or the effective membership changes; else nothing is written at all.
    ///
    /// Others may wait while `change` runs. Callers do little work in it: what takes more they compute
    /// before it, on what [`Provider::get`] returns, and bring a `change` that stores the result if the
    /// version is still the same.
    ///
    /// # Errors
    ///
    /// Whatever `change` returns, with nothing changed; [`ProviderError::NotFound`],
    /// [`ProviderError::Uniqueness`], [`ProviderError::UnknownMember`].
    fn update(
        &self,
        tenant: TenantId,
        kind: &Kind,
        id: &ResourceId,
        with: With,
        change: &mut ChangeFn<'_>,
    ) -> Result<Updated, Error>;

    /// Removes a resource, its unique keys and its memberships. Groups that lose a member by it get
    /// their next version.
    ///
    /// # Errors
    ///
    /// What `check` returns for the state that would be removed, with nothing changed;
    /// [`ProviderError::NotFound`].
    fn delete(
        &self,
        tenant: TenantId,
        kind: &Kind,
        id: &ResourceId,
        check: &mut CheckFn<'_>,
    ) -> Result<(), Error>;

    /// Reads members of a group in a stable order, behind `after`.
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

    /// Reads what resources are called: [`Columns::name`] of each of `ids` that exists and has one.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Unavailable`] or [`ProviderError::Internal`].
    fn names(&self, tenant: TenantId, ids: &[ResourceId]) -> Result<MemberNames, ProviderError>;

    /// Runs steps in order, each as atomic as the method it stands for. A step that fails leaves no
    /// trace and does not stop the others, unless it is the last of `failures` that may happen, or
    /// fails with [`Error::Halted`]: then the rest is not run and has no result. A crash keeps a
    /// prefix of whole steps.
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
    /// The members, as many as [`Update::NeedMembers`] asked for.
    pub members: Option<&'a [Member]>,
}

/// What [`Provider::update`] shall do.
#[derive(Debug, Clone)]
pub enum Update {
    /// Nothing: the resource is as it should be.
    Keep,
    /// Call again with the group's members, up to so many of them.
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

/// What a step of [`Provider::batch`] did.
#[derive(Debug)]
pub enum StepDone {
    /// It stored a resource.
    Stored(Resource),
    /// It found a resource as it should be.
    Kept(Resource),
    /// It removed a resource.
    Deleted,
}

impl StepDone {
    /// Says what an update did.
    pub fn of(updated: Updated) -> Self {
        let Updated { found, changed } = updated;
        if changed { Self::Stored(found.resource) } else { Self::Kept(found.resource) }
    }
}

/// What a read brings beside the resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum With {
    /// Nothing.
    #[default]
    Nothing,
    /// Up to this many members of the groups that are read, altogether.
    Members(usize),
    /// All members of a group, if there are at most this many; else none, and where they begin.
    AllMembers(usize),
    /// The groups of which the resources are members.
    Groups,
}

/// A resource as a reply needs it.
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
    /// The values kept beside the document.
    pub columns: Columns,
    /// Index rows to remove and to insert.
    pub index: Difference<IndexEntry>,
    /// Unique keys to free and to claim.
    pub unique: Difference<UniqueKey>,
    /// What happens to the members.
    pub members: MemberChange,
    /// Kinds that may be members.
    pub member_kinds: Arc<[Kind]>,
    /// When the write happens.
    pub at: Timestamp,
    /// What to record with it. The provider adds version and effective members.
    pub change: Change,
}

/// A question for a page of resources.
#[derive(Debug, Clone)]
pub struct Query<'a> {
    /// The kind. Filters need its definitions where no index answers them.
    pub kind: &'a crate::schema::ResourceType,
    /// Which resources.
    pub filter: Option<ResolvedFilter>,
    /// In which order; by creation when absent.
    pub sort: Option<Sort>,
    /// From where.
    pub start: Start,
    /// At most how many; zero asks for the total only.
    pub limit: usize,
    /// What to bring beside each resource.
    pub with: With,
    /// What the search may cost: paid for each document that is read and each value that is compared.
    pub work: Work,
}

/// An order of resources. Equal ones stand in the order of their creation.
#[derive(Debug, Clone, PartialEq)]
pub struct Sort {
    /// By the value of this attribute; resources without one come last, or first when descending.
    pub by: AttrRef,
    /// Largest first.
    pub descending: bool,
}

/// Some members of a group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Members {
    /// The members.
    pub members: Vec<Member>,
    /// Where the next ones begin; none when nothing follows.
    pub next: Option<Key>,
}

/// Where a page begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// Behind this many resources.
    Offset(u64),
    /// Behind the resource at which a page ended; see [`Page::next`].
    After(Key),
}

/// One page of resources.
#[derive(Debug, Clone)]
pub struct Page {
    /// How many resources satisfy the query.
    pub total: u64,
    /// Those of this page.
    pub resources: Vec<Found>,
    /// Where the next page begins; none when nothing follows.
    pub next: Option<Key>,
}
