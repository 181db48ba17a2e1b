//! The bounded scan: documents read in slices, for what no index answers.

use std::collections::HashSet;

use diesel::sql_types::BigInt;
use headcount_core::filter::{Filter, Relations, ResolvedFilter, sort_key};
use headcount_core::path::AttrSource;
use headcount_core::provider::{Page, ProviderError, Start};
use headcount_core::work::{self, Halt, VISIT};

use super::best::Best;
use super::order::Position;
use super::{Row, RowTypes, Search, resource};
use crate::connection::DbConnection;
use crate::error::WriteError;
use crate::sql::Sql;

/// Documents that one statement of a scan reads.
const MAX_DOCUMENTS: i64 = 500;

/// What evaluating a term about membership costs for one resource, in visits of a value.
const MEMBERSHIP_VISITS: usize = 30;

impl Search<'_> {
    /// Reads documents in slices and evaluates what no index answers.
    pub(super) fn scan(&self, connection: &mut DbConnection) -> Result<Page, WriteError> {
        let budget = &self.query.work;
        let sorted = self.query.sort.as_ref();
        let from = match &self.query.start {
            Start::After(key) => Some(Position::read(key).ok_or(ProviderError::InvalidKey)?),
            Start::Offset(_) => None,
        };
        let begin = from.as_ref().map_or(0, |position| position.pk);
        let skip = match &self.query.start {
            Start::Offset(offset) => *offset,
            Start::After(_) => 0,
        };
        self.refuse_early(connection)?;
        let leaves = self.compiled.residual.as_ref().map(relation_leaves).unwrap_or_default();
        let (mut visited, mut total, mut last) = (0u64, 0u64, 0i64);
        let mut page: Vec<Row> = Vec::new();
        let mut best = sorted
            .map(|sort| Best::new(budget, sort.direction, from.as_ref(), skip, self.query.limit));
        let mut more = false;
        loop {
            let sql = self.slice(last);
            let rows: Vec<Row> = self.query_as::<RowTypes>(sql).load(connection)?;
            let (Some(first), Some(end)) =
                (rows.first().map(|row| row.0), rows.last().map(|row| row.0))
            else {
                break;
            };
            let full = i64::try_from(rows.len()).unwrap_or(0) == MAX_DOCUMENTS;
            visited += u64::try_from(rows.len()).unwrap_or(0);
            if visited > self.store.documents_visited {
                return Err(ProviderError::TooMany(self.store.documents_visited).into());
            }
            // For each of the leaves, the database visits each resource of the slice once.
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
                        .map_err(ProviderError::evaluating)?
                    {
                        continue;
                    }
                }
                total += 1;
                match (sorted, &mut best) {
                    (Some(sort), Some(best)) => {
                        let value = sort_key(&sort.by, &resource, budget)
                            .map_err(ProviderError::evaluating)?;
                        best.offer(Position { value, pk })?;
                    }
                    _ if pk <= begin || total <= skip => {}
                    _ if page.len() < self.query.limit => page.push(row),
                    _ => more = true,
                }
            }
            last = end;
            if !full {
                break;
            }
        }
        if let Some(best) = best {
            return self.sorted_page(connection, best);
        }
        let next =
            page.last().filter(|_| more).map(|row| Position { value: None, pk: row.0 }.write());
        Ok(Page { total, resources: self.complete(connection, page)?, next })
    }

    /// Refuses a scan that would read too many documents, before it reads the first one: counts the resources of
    /// the kind, and those that the indexed part of the filter leaves, without documents and as far as it matters.
    fn refuse_early(&self, connection: &mut DbConnection) -> Result<(), WriteError> {
        let most = self.store.documents_visited;
        let limit = i64::try_from(most).unwrap_or(i64::MAX);
        if self.extent(connection)?.total <= limit {
            return Ok(());
        }
        if self.compiled.sql.is_some() {
            let sql = Sql::new("SELECT count(*) FROM (SELECT r.pk FROM resources r WHERE ")
                .then(self.condition())
                .text(" LIMIT ")
                .int(limit.saturating_add(1))
                .text(") p");
            let count: i64 = self.query_as::<BigInt>(sql).get_result(connection)?;
            if count <= limit {
                return Ok(());
            }
        }
        Err(ProviderError::TooMany(most).into())
    }

    /// Returns the statement for the next resources of a scan, with their documents.
    fn slice(&self, after: i64) -> Sql {
        Sql::new(
            "SELECT r.pk, r.id, r.version, r.created, r.modified, (SELECT d.text FROM documents d WHERE \
             d.pk = r.pk) FROM resources r WHERE ",
        )
        .then(self.condition())
        .text(" AND r.pk > ")
        .int(after)
        .text(" ORDER BY r.pk LIMIT ")
        .int(MAX_DOCUMENTS)
    }

    fn sorted_page(
        &self,
        connection: &mut DbConnection,
        best: Best<'_>,
    ) -> Result<Page, WriteError> {
        let (total, page, more) = best.page();
        let pks: Vec<i64> = page.iter().map(|position| position.pk).collect();
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
    ) -> Result<Vec<(&'f ResolvedFilter, HashSet<i64>)>, WriteError> {
        let mut answers = Vec::with_capacity(leaves.len());
        for leaf in leaves {
            let Some(predicate) = self.scope.exact(leaf) else {
                continue;
            };
            let sql = Sql::new("SELECT r.pk FROM resources r WHERE ")
                .watched()
                .text("r.tenant = ")
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
}

/// Returns the predicates over membership inside a filter.
fn relation_leaves(filter: &ResolvedFilter) -> Vec<&ResolvedFilter> {
    match filter {
        Filter::And(terms) | Filter::Or(terms) => terms.iter().flat_map(relation_leaves).collect(),
        Filter::Not(inner) => relation_leaves(inner),
        Filter::Present(at) | Filter::Compare(at, ..) | Filter::Element(at, _)
            if matches!(at.source, AttrSource::Members | AttrSource::Groups) =>
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
