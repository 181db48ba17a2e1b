//! Queries: one page and its total, by index where there is one, by a bounded scan where not.

mod best;
mod order;
mod scan;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use headcount_core::clock::Timestamp;
use headcount_core::filter::{Comparison, Filter};
use headcount_core::ids::{Kind, ResourceId, TenantId, Version};
use headcount_core::path::AttrSource;
use headcount_core::provider::{Found, Page, ProviderError, Query, Start, With};
use headcount_core::resource::{Computed, Document, Resource};
use headcount_core::work;

use crate::connection::DbConnection;
use crate::dictionary::Dictionary;
use crate::error::WriteError;
use crate::filter_sql::{Compiled, Scope};
use crate::members;
use crate::offset_cache::{Extent, Way};
use crate::pool::View;
use crate::sql::{Sql, TypedQuery};
use crate::store::Store;
use order::{Order, Position};

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

impl Store {
    pub(crate) fn page(&self, tenant: TenantId, query: &Query<'_>) -> Result<Page, ProviderError> {
        let Some(kind) = self.dictionary.kind(&query.kind.kind) else {
            return Ok(Page { total: 0, resources: Vec::new(), next: None });
        };
        let scope = Scope { tenant: tenant.key(), kind, dictionary: &self.dictionary };
        let compiled = match &query.filter {
            Some(filter) => scope.compile(filter),
            None => Compiled { sql: None, residual: None, common: true },
        };
        let order = Order::of(query);
        let scans = compiled.residual.is_some() || matches!(order, Order::Evaluated);
        let search = Search { store: self, scope, query, compiled, order, kind };
        // One statement sees one state of the data; several need a transaction for that.
        let single = !scans && search.never_counts();
        let view = if single { View::Statement } else { View::Snapshot };
        self.readers.read_in(view, Some(&query.work), "resources are found", |connection| {
            match scans {
                true => search.scan(connection),
                false => search.by_index(connection),
            }
        })
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
    /// Returns whether the search is a lookup by a unique name or id, which needs no count: its page is short
    /// and begins at the first resource.
    fn never_counts(&self) -> bool {
        let Query { filter: Some(Filter::Compare(at, Comparison::Equal, _)), .. } = self.query
        else {
            return false;
        };
        matches!(at.source, AttrSource::Id | AttrSource::Name | AttrSource::ExternalId)
            && self.query.start == Start::Offset(0)
            && self.query.limit > 1
            && matches!(self.query.with, With::Nothing | With::Groups)
    }

    fn condition(&self) -> Sql {
        let sql = Sql::default().watched().text("r.tenant = ").int(self.scope.tenant);
        let sql = sql.text(" AND r.kind = ").int(self.kind);
        match &self.compiled.sql {
            Some(filter) => sql.text(" AND (").then(filter.clone()).text(")"),
            None => sql,
        }
    }

    fn query_as<T>(&self, sql: Sql) -> TypedQuery<T> {
        if self.compiled.common { sql.query() } else { sql.uncached() }
    }

    fn by_index(&self, connection: &mut DbConnection) -> Result<Page, WriteError> {
        let take = i64::try_from(self.query.limit).unwrap_or(i64::MAX).saturating_add(1);
        let offset = match &self.query.start {
            Start::Offset(offset) => i64::try_from(*offset).unwrap_or(i64::MAX),
            Start::After(_) => 0,
        };
        // Offsets are cached for whole lists only: what a filter leaves of one changes with every write.
        let list = (self.compiled.sql.is_none() && matches!(self.order, Order::Created))
            .then_some((self.scope.tenant, self.kind));
        let deep = match list {
            Some(list) if offset > 0 => Some((list, self.extent(connection)?)),
            _ => None,
        };
        let way = match deep {
            Some((list, extent)) => self.store.offsets.way(list, extent, offset, take),
            None => Way::Forwards { from: None, skip: offset },
        };
        let mut rows: Vec<Row> =
            if self.query.limit == 0 { Vec::new() } else { self.rows(connection, way, take)? };
        let behind = rows.get(self.query.limit).map(|row| row.0);
        rows.truncate(self.query.limit);
        let next = match rows.last().filter(|_| behind.is_some()) {
            Some(last) => Some(self.position(connection, last.0)?.write()),
            None => None,
        };
        let whole = behind.is_none() && self.query.start == Start::Offset(0) && take > 1;
        let total = match (deep, list) {
            (Some((list, extent)), _) => {
                let first = rows.first().map(|row| (offset, row.0));
                let after = behind.map(|pk| (offset + take - 1, pk));
                for (place, pk) in first.into_iter().chain(after) {
                    self.store.offsets.learn(list, extent, place, pk);
                }
                extent.total
            }
            (None, _) if whole => i64::try_from(rows.len()).unwrap_or(i64::MAX),
            (None, Some(list)) => {
                let extent = self.extent(connection)?;
                if let (Some(pk), Start::Offset(_)) = (behind, &self.query.start) {
                    self.store.offsets.learn(list, extent, take - 1, pk);
                }
                extent.total
            }
            (None, None) => self.count(connection)?,
        };
        let total = u64::try_from(total).unwrap_or(0);
        Ok(Page { total, resources: self.complete(connection, rows)?, next })
    }

    /// Reads the rows of a page.
    fn rows(
        &self,
        connection: &mut DbConnection,
        way: Way,
        take: i64,
    ) -> Result<Vec<Row>, WriteError> {
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
        // joined: for a limit that it does not know, PostgreSQL expects a tenth of all rows, and joins
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
        Ok(self.query_as::<RowTypes>(sql).load(connection)?)
    }

    /// Returns how many resources there are, and how many were removed, without counting them.
    fn extent(&self, connection: &mut DbConnection) -> Result<Extent, WriteError> {
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

    /// Reads the position of a resource in the order.
    fn position(&self, connection: &mut DbConnection, pk: i64) -> Result<Position, WriteError> {
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

    fn count(&self, connection: &mut DbConnection) -> Result<i64, WriteError> {
        if self.compiled.sql.is_none() {
            return Ok(self.extent(connection)?.total);
        }
        let sql = Sql::new("SELECT count(*) FROM resources r WHERE ").then(self.condition());
        Ok(self.query_as::<BigInt>(sql).get_result(connection)?)
    }

    /// Reads what replies contain in addition to the documents.
    fn complete(
        &self,
        connection: &mut DbConnection,
        rows: Vec<Row>,
    ) -> Result<Vec<Found>, WriteError> {
        self.query.work.spend(rows.iter().map(|row| work::bytes(&row.5)).sum())?;
        let kind = &self.query.kind.kind;
        let resources = rows.into_iter().map(|row| (row.0, resource(kind, row))).collect();
        Ok(complete(connection, self.scope.dictionary, resources, self.query.with)?)
    }
}

/// Reads what `with` asks for in addition to resources, which come with their keys.
pub(crate) fn complete(
    connection: &mut DbConnection,
    dictionary: &Dictionary,
    resources: Vec<(i64, Resource)>,
    with: With,
) -> QueryResult<Vec<Found>> {
    let pks: Vec<i64> = resources.iter().map(|(pk, _)| *pk).collect();
    let mut groups = match with {
        With::Groups => members::groups_of(connection, &pks)?,
        With::Nothing | With::Members(_) | With::AllMembers(_) => Default::default(),
    };
    let mut members = match with {
        With::Members(limit) => {
            let mut pks = pks.clone();
            pks.sort_unstable();
            members::of_groups(connection, dictionary, &pks, limit)?
        }
        With::AllMembers(most) => members::all_of(connection, dictionary, &pks, most)?,
        With::Nothing | With::Groups => Default::default(),
    };
    Ok(resources
        .into_iter()
        .map(|(pk, resource)| {
            let members = members.remove(&pk).unwrap_or_default();
            let computed = Computed {
                members: members.members,
                more_members: members.next,
                names: None,
                groups: groups.remove(&pk).unwrap_or_default(),
            };
            Found { resource, computed }
        })
        .collect())
}
