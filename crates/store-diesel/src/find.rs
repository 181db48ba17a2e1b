//! Queries: one page and its total, by index where there is one, by a bounded scan where not.

pub(crate) mod anchors;
mod order;

use std::cmp::Ordering;
use std::collections::HashSet;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use headcount_core::clock::Timestamp;
use headcount_core::filter::{Filter, Relations, ResolvedFilter, sort_key};
use headcount_core::ids::{Kind, ResourceId, TenantId, Version};
use headcount_core::path::Place;
use headcount_core::provider::{Found, Page, ProviderError, Query, Source, Start, With};
use headcount_core::resource::{Computed, Document, Resource};
use headcount_core::work::{self, Halt, VISIT};

use crate::connection::{DbConnection, snapshot};
use crate::filter_sql::{Compiled, Scope};
use crate::members;
use crate::sql::Sql;
use crate::store::Store;
use anchors::{Extent, Way};
use order::{Order, Position};

/// Documents that a scan reads at a time.
const SLICE: i64 = 500;

/// What a question about membership costs for one resource, as visits of a value.
const MEMBERSHIP_VISITS: usize = 30;

/// The columns of a resource with its document, and how they come in.
type RowTypes = (BigInt, Text, BigInt, BigInt, BigInt, Text);
pub(crate) type Row = (i64, String, i64, i64, i64, String);

pub(crate) fn resource(kind: &Kind, (_, id, version, created, modified, text): Row) -> Resource {
    Resource {
        kind: kind.clone(),
        id: ResourceId::new(id),
        version: Version::new(version),
        created: Timestamp::from_micros(created),
        modified: Timestamp::from_micros(modified),
        document: Document::from_store(text),
    }
}

/// Why a query ended early.
enum Stop {
    Db(diesel::result::Error),
    Provider(ProviderError),
}

impl From<ProviderError> for Stop {
    fn from(error: ProviderError) -> Self {
        Self::Provider(error)
    }
}

impl From<Halt> for Stop {
    fn from(halt: Halt) -> Self {
        Self::Provider(halt.into())
    }
}

impl From<diesel::result::Error> for Stop {
    fn from(error: diesel::result::Error) -> Self {
        Self::Db(error)
    }
}

impl Store {
    pub(crate) fn page(&self, tenant: TenantId, query: &Query<'_>) -> Result<Page, ProviderError> {
        let Some(kind) = self.names.kind(&query.kind.kind) else {
            return Ok(Page { total: 0, resources: Vec::new(), next: None });
        };
        let scope = Scope { tenant: tenant.key(), kind, names: &self.names };
        let compiled = match &query.filter {
            Some(filter) => scope.compile(filter),
            None => Compiled { sql: None, residual: None, common: true },
        };
        let order = Order::of(query);
        let scans = compiled.residual.is_some() || matches!(order, Order::Evaluated);
        let search = Search { store: self, scope, query, compiled, order, kind };
        // One statement is one state of the data; several need a transaction.
        let single = !scans && search.never_counts();
        let mut stopped = None;
        let done = self.read("resources are found", |connection| {
            let mut run = |connection: &mut DbConnection| match if scans {
                search.scan(connection)
            } else {
                search.by_index(connection)
            } {
                Ok(page) => Ok(Some(page)),
                Err(Stop::Db(error)) => Err(error),
                Err(Stop::Provider(error)) => {
                    stopped = Some(error);
                    Ok(None)
                }
            };
            if single { run(connection) } else { snapshot(connection, run) }
        });
        match (done?, stopped) {
            (Some(page), _) => Ok(page),
            (None, Some(error)) => Err(error),
            (None, None) => Err(ProviderError::Internal(Source::invariant(
                "a query ends with a page or an error",
            ))),
        }
    }
}

struct Search<'a> {
    store: &'a Store,
    scope: Scope<'a>,
    query: &'a Query<'a>,
    compiled: Compiled,
    order: Order,
    kind: i32,
}

impl Search<'_> {
    /// A lookup by a unique name or id needs no count: its page is short and begins at the first.
    fn never_counts(&self) -> bool {
        let first = self.query.start == Start::Offset(0);
        let by_key = match &self.query.filter {
            Some(Filter::Compare(at, headcount_core::filter::Comparison::Equal, _)) => {
                matches!(at.place, Place::Id | Place::Name | Place::ExternalId)
            }
            _ => false,
        };
        first
            && by_key
            && self.query.limit > 1
            && matches!(self.query.with, With::Nothing | With::Groups)
    }

    fn condition(&self) -> Sql {
        let sql =
            Sql::new("r.tenant = ").int(self.scope.tenant).text(" AND r.kind = ").int(self.kind);
        match &self.compiled.sql {
            Some(filter) => sql.text(" AND (").then(filter.clone()).text(")"),
            None => sql,
        }
    }

    fn typed<T>(&self, sql: Sql) -> crate::sql::TypedQuery<T> {
        if self.compiled.common { sql.query() } else { sql.uncached() }
    }

    fn by_index(&self, connection: &mut DbConnection) -> Result<Page, Stop> {
        let take = i64::try_from(self.query.limit).unwrap_or(i64::MAX).saturating_add(1);
        let offset = match &self.query.start {
            Start::Offset(offset) => i64::try_from(*offset).unwrap_or(i64::MAX),
            Start::After(_) => 0,
        };
        // Anchors are of whole lists: what a filter leaves of one changes with every write.
        let list = (self.compiled.sql.is_none() && matches!(self.order, Order::Created))
            .then_some((self.scope.tenant, self.kind));
        let deep = match list {
            Some(list) if offset > 0 => Some((list, self.extent(connection)?)),
            _ => None,
        };
        let way = match deep {
            Some((list, extent)) => self.store.anchors.way(list, extent, offset, take),
            None => Way::Forwards { from: None, skip: offset },
        };
        let mut rows: Vec<Row> =
            if self.query.limit == 0 { Vec::new() } else { self.rows(connection, way, take)? };
        let behind = rows.get(self.query.limit).map(|row| row.0);
        rows.truncate(self.query.limit);
        let next = match rows.last().filter(|_| behind.is_some()) {
            Some(last) => Some(self.place(connection, last.0)?.write()),
            None => None,
        };
        let whole = behind.is_none() && self.query.start == Start::Offset(0) && take > 1;
        let total = match (deep, list) {
            (Some((list, extent)), _) => {
                let first = rows.first().map(|row| (offset, row.0));
                let after = behind.map(|pk| (offset + take - 1, pk));
                for (place, pk) in first.into_iter().chain(after) {
                    self.store.anchors.learn(list, extent, place, pk);
                }
                extent.total
            }
            (None, _) if whole => i64::try_from(rows.len()).unwrap_or(i64::MAX),
            (None, Some(list)) => {
                let extent = self.extent(connection)?;
                if let (Some(pk), Start::Offset(_)) = (behind, &self.query.start) {
                    self.store.anchors.learn(list, extent, take - 1, pk);
                }
                extent.total
            }
            (None, None) => self.count(connection)?,
        };
        let total = u64::try_from(total).unwrap_or(0);
        Ok(Page { total, resources: self.complete(connection, rows)?, next })
    }

    /// Reads the rows of a page.
    fn rows(&self, connection: &mut DbConnection, way: Way, take: i64) -> Result<Vec<Row>, Stop> {
        let (join, order) = (self.order.join(&self.scope), self.order.by());
        let mut from =
            Sql::new(" FROM resources r").then(join.clone()).text(" WHERE ").then(self.condition());
        if let Start::After(key) = &self.query.start {
            let place = Position::read(key).ok_or(ProviderError::InvalidKey)?;
            let behind = self.order.behind(&place).ok_or(ProviderError::InvalidKey)?;
            from = from.text(" AND (").then(behind).text(")");
        }
        let inner = match way {
            Way::Forwards { from: Some(pk), .. } => {
                from.text(" AND r.pk >= ").int(pk).text(" ORDER BY ").then(order.clone())
            }
            Way::Forwards { from: None, .. } => from.text(" ORDER BY ").then(order.clone()),
            Way::Backwards { .. } => from.text(" ORDER BY r.pk DESC"),
        };
        let (skip, take) = match way {
            Way::Forwards { skip, .. } => (skip, take),
            Way::Backwards { skip, take } => (skip, take),
        };
        // The keys of the page are found in narrow rows; only their documents are read. They are not
        // joined: of a limit that it does not know, PostgreSQL expects a tenth of all rows, and joins
        // that many to the whole table, or merges them with its index from the first document on.
        let sql = Sql::new(
            "SELECT r.pk, r.id, r.version, r.created, r.modified, (SELECT d.text FROM documents d WHERE \
             d.pk = r.pk) FROM (SELECT r.pk AS pk",
        )
        .then(inner)
        .text(" LIMIT ")
        .int(take)
        .text(" OFFSET ")
        .int(skip)
        .text(") p JOIN resources r ON r.pk = p.pk")
        .then(join)
        .text(" ORDER BY ")
        .then(order);
        Ok(self.typed::<RowTypes>(sql).load(connection)?)
    }

    /// Returns how many there are, and how many there were, without counting them.
    fn extent(&self, connection: &mut DbConnection) -> Result<Extent, Stop> {
        let (total, removed) = Sql::new(
            "SELECT CAST(coalesce(sum(c.amount), 0) AS bigint), CAST(coalesce(sum(c.removed), 0) AS bigint) \
             FROM resource_counts c WHERE c.tenant = ",
        )
        .int(self.scope.tenant)
        .text(" AND c.kind = ")
        .int(self.kind)
        .query::<(BigInt, BigInt)>()
        .get_result(connection)?;
        Ok(Extent { total, removed })
    }

    /// Finds the place of a resource in the order.
    fn place(&self, connection: &mut DbConnection, pk: i64) -> Result<Position, Stop> {
        let value = match self.order.value() {
            None => None,
            Some(value) => {
                let sql = Sql::new("SELECT ").then(value).text(" FROM resources r");
                let sql = sql.then(self.order.join(&self.scope)).text(" WHERE r.pk = ").int(pk);
                sql.query::<Nullable<Text>>().get_result(connection)?
            }
        };
        Ok(Position { value, pk })
    }

    fn count(&self, connection: &mut DbConnection) -> Result<i64, Stop> {
        if self.compiled.sql.is_none() {
            return Ok(self.extent(connection)?.total);
        }
        let sql = Sql::new("SELECT count(*) FROM resources r WHERE ").then(self.condition());
        Ok(self.typed::<BigInt>(sql).get_result(connection)?)
    }

    /// Reads documents in slices and evaluates what no index answers.
    fn scan(&self, connection: &mut DbConnection) -> Result<Page, Stop> {
        let internal = |error| Stop::Provider(ProviderError::evaluating(error));
        let budget = &self.query.work;
        let sorted = self.query.sort.as_ref();
        let from = match &self.query.start {
            Start::After(key) => Some(Position::read(key).ok_or(ProviderError::InvalidKey)?),
            Start::Offset(_) => None,
        };
        let begin = from.as_ref().map_or(0, |place| place.pk);
        let skip = match &self.query.start {
            Start::Offset(offset) => *offset,
            Start::After(_) => 0,
        };
        self.refuse_early(connection)?;
        let leaves = self.compiled.residual.as_ref().map(relation_leaves).unwrap_or_default();
        let (mut visited, mut total, mut last) = (0u64, 0u64, 0i64);
        let mut page: Vec<Row> = Vec::new();
        let mut keys: Vec<Position> = Vec::new();
        let mut more = false;
        loop {
            let sql = self.slice(last);
            let rows: Vec<Row> = self.typed::<RowTypes>(sql).load(connection)?;
            let (Some(first), Some(end)) =
                (rows.first().map(|row| row.0), rows.last().map(|row| row.0))
            else {
                break;
            };
            let full = i64::try_from(rows.len()).unwrap_or(0) == SLICE;
            visited += u64::try_from(rows.len()).unwrap_or(0);
            if visited > self.store.documents_visited {
                return Err(Stop::Provider(ProviderError::TooMany(self.store.documents_visited)));
            }
            // The database looks at each resource of the slice once for each of them.
            budget.spend(
                VISIT * work::count(rows.len()) * work::count(1 + leaves.len() * MEMBERSHIP_VISITS),
            )?;
            let answers = self.relations(connection, &leaves, first, end)?;
            for row in rows {
                let pk = row.0;
                let resource = resource(&self.query.kind.kind, row.clone());
                if let Some(filter) = &self.compiled.residual {
                    let answers = RowAnswers { answers: &answers, pk };
                    if !filter
                        .matches(self.query.kind, &resource, &answers, budget)
                        .map_err(internal)?
                    {
                        continue;
                    }
                }
                total += 1;
                match sorted {
                    Some(sort) => {
                        let value = sort_key(&sort.by, &resource, budget).map_err(internal)?;
                        keys.push(Position { value, pk });
                    }
                    None if pk <= begin || total <= skip => {}
                    None if page.len() < self.query.limit => page.push(row),
                    None => more = true,
                }
            }
            last = end;
            if !full {
                break;
            }
        }
        if let Some(sort) = sorted {
            return self.sorted_page(connection, keys, sort.descending, skip, from.as_ref());
        }
        let next =
            page.last().filter(|_| more).map(|row| Position { value: None, pk: row.0 }.write());
        Ok(Page { total, resources: self.complete(connection, page)?, next })
    }

    /// Refuses a scan that would read too many documents before it reads the first: the kind is counted, and
    /// what the indexed part of the filter leaves of it is counted without documents, as far as it matters.
    fn refuse_early(&self, connection: &mut DbConnection) -> Result<(), Stop> {
        let most = self.store.documents_visited;
        let is_beyond = |amount: i64| u64::try_from(amount).is_ok_and(|amount| amount > most);
        if !is_beyond(self.extent(connection)?.total) {
            return Ok(());
        }
        if self.compiled.sql.is_some() {
            let enough = i64::try_from(most).unwrap_or(i64::MAX).saturating_add(1);
            let sql = Sql::new("SELECT count(*) FROM (SELECT r.pk FROM resources r WHERE ")
                .then(self.condition())
                .text(" LIMIT ")
                .int(enough)
                .text(") p");
            if !is_beyond(self.typed::<BigInt>(sql).get_result(connection)?) {
                return Ok(());
            }
        }
        Err(Stop::Provider(ProviderError::TooMany(most)))
    }

    /// The next resources of a scan, with their documents.
    fn slice(&self, after: i64) -> Sql {
        Sql::new(
            "SELECT r.pk, r.id, r.version, r.created, r.modified, (SELECT d.text FROM documents d WHERE \
             d.pk = r.pk) FROM resources r WHERE ",
        )
        .then(self.condition())
        .text(" AND r.pk > ")
        .int(after)
        .text(" ORDER BY r.pk LIMIT ")
        .int(SLICE)
    }

    fn sorted_page(
        &self,
        connection: &mut DbConnection,
        mut keys: Vec<Position>,
        descending: bool,
        skip: u64,
        behind: Option<&Position>,
    ) -> Result<Page, Stop> {
        self.query.work.spend(VISIT * work::count(keys.len()))?;
        keys.sort_by(|a, b| a.compare(b, descending));
        let total = u64::try_from(keys.len()).unwrap_or(u64::MAX);
        let skip = match behind {
            Some(place) => {
                keys.partition_point(|key| key.compare(place, descending) != Ordering::Greater)
            }
            None => usize::try_from(skip).unwrap_or(usize::MAX),
        };
        let end = skip.saturating_add(self.query.limit);
        let more = end < keys.len();
        let page: Vec<Position> = keys.into_iter().take(end).skip(skip).collect();
        let pks: Vec<i64> = page.iter().map(|place| place.pk).collect();
        let mut rows: Vec<Row> = Vec::with_capacity(pks.len());
        if !pks.is_empty() {
            let sql = Sql::new("SELECT r.pk, r.id, r.version, r.created, r.modified, d.text FROM resources r JOIN documents d ON d.pk = r.pk WHERE r.pk IN (")
                .ints(&pks)
                .text(")");
            rows = sql.query::<RowTypes>().load(connection)?;
            rows.sort_by_cached_key(|row| pks.iter().position(|pk| *pk == row.0));
        }
        let next = page.last().filter(|_| more).map(Position::write);
        Ok(Page { total, resources: self.complete(connection, rows)?, next })
    }

    /// Asks the database for the parts of a residual filter that are about membership, for one slice.
    fn relations<'f>(
        &self,
        connection: &mut DbConnection,
        leaves: &[&'f ResolvedFilter],
        first: i64,
        last: i64,
    ) -> Result<Vec<(&'f ResolvedFilter, HashSet<i64>)>, Stop> {
        let mut answers = Vec::with_capacity(leaves.len());
        for leaf in leaves {
            let Some(predicate) = self.scope.exact(leaf) else {
                continue;
            };
            let sql = Sql::new("SELECT r.pk FROM resources r WHERE r.tenant = ")
                .int(self.scope.tenant)
                .text(" AND r.kind = ")
                .int(self.kind)
                .text(" AND r.pk BETWEEN ")
                .int(first)
                .text(" AND ")
                .int(last)
                .text(" AND (")
                .then(predicate)
                .text(")");
            let pks: Vec<i64> = sql.uncached::<BigInt>().load(connection)?;
            answers.push((*leaf, pks.into_iter().collect()));
        }
        Ok(answers)
    }

    /// Reads what replies show beside the documents.
    fn complete(&self, connection: &mut DbConnection, rows: Vec<Row>) -> Result<Vec<Found>, Stop> {
        self.query.work.spend(rows.iter().map(|row| work::bytes(&row.5)).sum())?;
        Ok(complete(connection, self.store, &self.query.kind.kind, rows, self.query.with)?)
    }
}

/// Reads what `with` asks for beside rows.
pub(crate) fn complete(
    connection: &mut DbConnection,
    store: &Store,
    kind: &Kind,
    rows: Vec<Row>,
    with: With,
) -> QueryResult<Vec<Found>> {
    let pks: Vec<i64> = rows.iter().map(|row| row.0).collect();
    let mut groups = match with {
        With::Groups => members::groups_of(connection, &pks)?,
        With::Nothing | With::Members(_) => Default::default(),
    };
    let mut members = match with {
        With::Members(limit) => members::of_groups(connection, &store.names, &sorted(&pks), limit)?,
        With::Nothing | With::Groups => Default::default(),
    };
    Ok(rows
        .into_iter()
        .map(|row| {
            let pk = row.0;
            let members = members.remove(&pk).unwrap_or_default();
            let computed = Computed {
                members: members.members,
                more_members: members.next,
                names: None,
                groups: groups.remove(&pk).unwrap_or_default(),
            };
            Found { resource: resource(kind, row), computed }
        })
        .collect())
}

fn sorted(pks: &[i64]) -> Vec<i64> {
    let mut pks = pks.to_vec();
    pks.sort_unstable();
    pks
}

/// Returns the predicates over membership inside a filter.
fn relation_leaves(filter: &ResolvedFilter) -> Vec<&ResolvedFilter> {
    match filter {
        Filter::And(terms) | Filter::Or(terms) => terms.iter().flat_map(relation_leaves).collect(),
        Filter::Not(inner) => relation_leaves(inner),
        Filter::Present(at) | Filter::Compare(at, ..) | Filter::Element(at, _)
            if matches!(at.place, Place::Members | Place::Groups) =>
        {
            vec![filter]
        }
        Filter::Present(_) | Filter::Compare(..) | Filter::Element(..) => Vec::new(),
    }
}

/// The answers of the database for one resource.
struct RowAnswers<'a> {
    answers: &'a [(&'a ResolvedFilter, HashSet<i64>)],
    pk: i64,
}

impl Relations for RowAnswers<'_> {
    fn holds(&self, predicate: &ResolvedFilter) -> Result<bool, Halt> {
        let answer = self.answers.iter().find(|(leaf, _)| std::ptr::eq(*leaf, predicate));
        Ok(answer.is_some_and(|(_, pks)| pks.contains(&self.pk)))
    }
}
