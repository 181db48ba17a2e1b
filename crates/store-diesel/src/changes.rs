//! The record of changes: appended in the transaction of the change, read as a feed in the order of
//! the chain.

use std::borrow::Cow;

use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::serialize::ToSql;
use diesel::sql_types::{BigInt, HasSqlType, Integer, Nullable, Text};
use headcount_core::change::{
    Act, Activation, Actor, Change, ChangeFeed, LeftGroup, Recorded, ResourceNames,
};
use headcount_core::clock::Timestamp;
use headcount_core::ids::{ChainPosition, Kind, RequestId, ResourceId, TenantId, TokenId, Version};
use headcount_core::members::MemberDelta;
use headcount_core::provider::{ProviderError, Source};
use headcount_core::work::Work;
use headcount_records::chain;
use serde_json::{Value, json};

use crate::connection::{Backend, DbConnection, direct};
use crate::error::WriteError;
use crate::schema::changes;
use crate::sql::{Sql, TypedQuery};
use crate::store::{Store, UNRECORDED};
use crate::write::sequenced_before;

/// Rows that one statement names at most.
const CHUNK: usize = 1_000;

/// What a row takes up beforehand for its place, of three bytes until there are eight million changes, and
/// its hash. The sequencer then writes over it; rows that grew would split the page they are on, which is full.
const ROOM: &str = "                                                                   ";

/// What only the store knows of a change.
pub(crate) struct Effect<'a> {
    pub(crate) kind: &'a Kind,
    pub(crate) id: &'a ResourceId,
    pub(crate) version: i64,
    pub(crate) members: &'a MemberDelta,
    pub(crate) left: &'a [LeftGroup],
}

/// Appends a change of a resource, and runs the last statement of its write; returns how many rows that one
/// wrote. PostgreSQL gets both as one statement: each is a trip to the server and back, and a write has few.
pub(crate) fn append_with(
    connection: &mut DbConnection,
    tenant: TenantId,
    change: &Change,
    effect: &Effect<'_>,
    last: Sql,
) -> QueryResult<usize> {
    let last = last.query::<()>();
    if UNRECORDED {
        return last.execute(connection);
    }
    let about = (effect.kind.as_str(), effect.id.as_str(), effect.version);
    let row = NewRow::of(connection.backend(), tenant, change, about, delta_text(effect));
    match connection.backend() {
        Backend::Sqlite => {
            let written = last.execute(connection)?;
            direct!(connection, |one| row.execute(one))?;
            Ok(written)
        }
        Backend::Postgres => {
            let both = Both { row, last };
            direct!(connection, |one| both.execute(one))
        }
    }
}

/// Appends a change of something that is no resource, by its kind and id: it has neither versions nor
/// members.
pub(crate) fn append_other(
    connection: &mut DbConnection,
    tenant: TenantId,
    change: &Change,
    kind: &str,
    id: &str,
) -> QueryResult<()> {
    if UNRECORDED {
        return Ok(());
    }
    let row = NewRow::of(connection.backend(), tenant, change, (kind, id, 0), String::new());
    direct!(connection, |one| row.execute(one)).map(drop)
}

/// A row of the record on its way into the database.
///
/// Each write adds one, while other writers wait: an insert of Diesel's is walked through twice to find out
/// whether it may stay prepared, which takes as long as the insert itself.
struct NewRow<'a> {
    numbers: [i64; 3],
    texts: [Cow<'a, str>; 9],
    switched: Option<i32>,
    personal: Option<String>,
    room: Option<&'static str>,
}

impl<'a> NewRow<'a> {
    fn of(
        backend: Backend,
        tenant: TenantId,
        change: &'a Change,
        (kind, id, version): (&'a str, &'a str, i64),
        delta: String,
    ) -> Self {
        let (actor_kind, actor) = change.actor.parts();
        let personal = personal_text(&change.names);
        let digest = personal.as_deref().map(chain::digest).unwrap_or_default();
        Self {
            numbers: [tenant.key(), change.at.micros(), version],
            texts: [
                actor_kind.into(),
                actor.into(),
                change.request.as_str().into(),
                change.act.word().into(),
                kind.into(),
                id.into(),
                change.paths.join(" ").into(),
                delta.into(),
                digest.into(),
            ],
            switched: change.switched.map(|switched| match switched {
                Activation::On => 1,
                Activation::Off => 0,
            }),
            personal,
            room: match backend {
                Backend::Sqlite => Some(ROOM),
                Backend::Postgres => None,
            },
        }
    }
}

impl<DB> QueryFragment<DB> for NewRow<'_>
where
    DB: diesel::backend::Backend + HasSqlType<Text> + HasSqlType<BigInt> + HasSqlType<Integer>,
    i64: ToSql<BigInt, DB>,
    str: ToSql<Text, DB>,
    Option<String>: ToSql<Nullable<Text>, DB>,
    Option<&'static str>: ToSql<Nullable<Text>, DB>,
    Option<i32>: ToSql<Nullable<Integer>, DB>,
{
    fn walk_ast<'b>(&'b self, mut pass: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        pass.push_sql(
            "INSERT INTO changes (tenant, at, version, actor_kind, actor, request, act, kind, resource, \
             paths, delta, personal_digest, switched, personal, room) VALUES (",
        );
        for number in &self.numbers {
            pass.push_bind_param::<BigInt, i64>(number)?;
            pass.push_sql(", ");
        }
        for text in &self.texts {
            pass.push_bind_param::<Text, str>(text)?;
            pass.push_sql(", ");
        }
        pass.push_bind_param::<Nullable<Integer>, Option<i32>>(&self.switched)?;
        pass.push_sql(", ");
        pass.push_bind_param::<Nullable<Text>, Option<String>>(&self.personal)?;
        pass.push_sql(", ");
        pass.push_bind_param::<Nullable<Text>, Option<&'static str>>(&self.room)?;
        pass.push_sql(")");
        Ok(())
    }
}

impl QueryId for NewRow<'_> {
    type QueryId = NewRow<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<C> RunQueryDsl<C> for NewRow<'_> {}

/// A row of the record, and a statement that is run with it. SQLite has no such thing.
struct Both<'a> {
    row: NewRow<'a>,
    last: TypedQuery<()>,
}

impl<DB: diesel::backend::Backend> QueryFragment<DB> for Both<'_>
where
    for<'a> NewRow<'a>: QueryFragment<DB>,
    TypedQuery<()>: QueryFragment<DB>,
{
    fn walk_ast<'b>(&'b self, mut pass: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        pass.push_sql("WITH recorded AS (");
        self.row.walk_ast(pass.reborrow())?;
        pass.push_sql(") ");
        self.last.walk_ast(pass)
    }
}

impl QueryId for Both<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<C> RunQueryDsl<C> for Both<'_> {}

/// Erases the names that the record holds of one resource, or of a whole tenant; returns in how many rows.
pub(crate) fn forget(
    connection: &mut DbConnection,
    tenant: TenantId,
    of: Option<&ResourceId>,
) -> Result<usize, WriteError> {
    let rows = || {
        let rows = Sql::new("UPDATE changes SET personal = NULL WHERE personal IS NOT NULL");
        rows.text(" AND tenant = ").int(tenant.key())
    };
    // What is sequenced is found by an index, and what is not is little.
    let mut parts = Vec::new();
    let rest = Sql::new(" AND place IS NULL AND seq > ").int(sequenced_before(connection)?);
    if let Some(id) = of {
        let sequenced = sequenced_about(connection, tenant, id, (usize::MAX, None))?;
        for chunk in sequenced.chunks(CHUNK) {
            parts.push(rows().text(" AND seq IN (").ints(chunk).text(")"));
        }
        parts.push(rows().then(rest).text(" AND resource = ").string(id.as_str()));
    } else {
        parts.push(rows().text(" AND place IS NOT NULL"));
        parts.push(rows().then(rest));
    }
    let mut count = 0;
    for part in parts {
        count += part.query::<()>().execute(connection)?;
    }
    Ok(count)
}

/// Returns the numbers of the newest sequenced changes of a resource, as many as wanted. The index over them
/// is asked bucket by bucket. It says `place + 0`, which no index gives the order of: that of the feed would
/// be walked from end to end, once for each bucket.
fn sequenced_about(
    connection: &mut DbConnection,
    tenant: TenantId,
    id: &ResourceId,
    (wanted, work): (usize, Option<&Work>),
) -> Result<Vec<i64>, WriteError> {
    let mut found = Vec::new();
    let mut end = i64::MAX;
    while found.len() < wanted {
        work.map_or(Ok(()), Work::check)?;
        // The last row before a bucket leads to the next one that holds anything.
        let last = Sql::new("SELECT max(seq) FROM changes WHERE seq < ").int(end);
        let last: Option<i64> = last.query::<Nullable<BigInt>>().get_result(connection)?;
        let Some(bucket) = last.map(|last| last >> 13) else { break };
        end = bucket << 13;
        let missing = i64::try_from(wanted - found.len()).unwrap_or(i64::MAX);
        let about = Sql::new("SELECT seq FROM changes WHERE seq >> 13 = ")
            .int(bucket)
            .text(" AND tenant = ")
            .int(tenant.key())
            .text(" AND resource = ")
            .string(id.as_str())
            .text(" AND place IS NOT NULL ORDER BY place + 0 DESC LIMIT ")
            .int(missing);
        let rows: Vec<i64> = about.query::<BigInt>().load(connection)?;
        found.extend(rows);
    }
    Ok(found)
}

fn delta_text(effect: &Effect<'_>) -> String {
    if effect.members.is_empty() && effect.left.is_empty() {
        return String::new();
    }
    json!({
        "added": texts(&effect.members.added),
        "removed": texts(&effect.members.removed),
        "left": effect
            .left
            .iter()
            .map(|left| (left.group.as_str(), left.version.counter()))
            .collect::<Vec<_>>(),
    })
    .to_string()
}

fn texts(ids: &[ResourceId]) -> Vec<&str> {
    ids.iter().map(ResourceId::as_str).collect()
}

fn personal_text(names: &ResourceNames) -> Option<String> {
    if *names == ResourceNames::default() {
        return None;
    }
    // Without the salt, a digest that outlives its names would let anyone test a guess.
    let salt = format!("{:032x}", rand::random::<u128>());
    Some(json!({"salt": salt, "name": names.name, "externalId": names.external_id}).to_string())
}

/// Reads what [`personal_text`] wrote.
pub(crate) fn names(personal: Option<&str>) -> ResourceNames {
    let personal: Value =
        personal.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let name = |name: &str| personal.get(name).and_then(Value::as_str).map(str::to_owned);
    ResourceNames { name: name("name"), external_id: name("externalId") }
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = changes)]
pub(crate) struct Row {
    place: Option<i64>,
    at: i64,
    actor_kind: String,
    actor: String,
    request: String,
    act: String,
    kind: String,
    resource: String,
    version: i64,
    paths: String,
    delta: String,
    switched: Option<i32>,
    personal: Option<String>,
}

impl Row {
    fn recorded(self) -> Option<Recorded> {
        let delta: Value = serde_json::from_str(&self.delta).unwrap_or_default();
        let ids = |name: &str| -> Vec<ResourceId> {
            let list = delta.get(name).and_then(Value::as_array);
            list.into_iter().flatten().filter_map(Value::as_str).map(ResourceId::new).collect()
        };
        Some(Recorded {
            position: ChainPosition::new(self.place?),
            members: MemberDelta { added: ids("added"), removed: ids("removed") },
            left: left(&delta),
            kind: Kind::new(self.kind),
            id: ResourceId::new(self.resource),
            version: Version::new(self.version),
            change: Change {
                at: Timestamp::from_micros(self.at),
                actor: match self.actor_kind.as_str() {
                    "token" => Actor::Token(TokenId::new(self.actor)),
                    "admin" => Actor::Admin(self.actor),
                    "cli" => Actor::Cli,
                    _ => Actor::System,
                },
                request: RequestId::new(self.request),
                act: Act::parse(&self.act)?,
                paths: self.paths.split_whitespace().map(str::to_owned).collect(),
                switched: self
                    .switched
                    .map(|on| if on != 0 { Activation::On } else { Activation::Off }),
                names: names(self.personal.as_deref()),
            },
        })
    }
}

fn left(delta: &Value) -> Vec<LeftGroup> {
    let list = delta.get("left").and_then(Value::as_array);
    let one = |pair: &Value| {
        let (group, version) = (pair.get(0)?.as_str()?, pair.get(1)?.as_i64()?);
        Some(LeftGroup { group: ResourceId::new(group), version: Version::new(version) })
    };
    list.into_iter().flatten().filter_map(one).collect()
}

pub(crate) fn recorded(rows: Vec<Row>) -> Result<Vec<Recorded>, ProviderError> {
    let whole = rows.into_iter().map(Row::recorded).collect::<Option<Vec<_>>>();
    whole.ok_or_else(|| {
        ProviderError::Internal(Source::invariant("every change row has a known act"))
    })
}

impl ChangeFeed for Store {
    fn changes(
        &self,
        tenant: TenantId,
        after: ChainPosition,
        limit: usize,
    ) -> Result<Vec<Recorded>, ProviderError> {
        self.sequence_soon()?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows: Vec<Row> = self.read("changes are read", |connection| {
            changes::table
                .filter(changes::tenant.eq(tenant.key()))
                .filter(changes::place.gt(after.number()))
                .order(changes::place)
                .limit(limit)
                .select(Row::as_select())
                .load(connection)
        })?;
        recorded(rows)
    }

    fn newest_changes(
        &self,
        tenant: TenantId,
        limit: usize,
    ) -> Result<Vec<Recorded>, ProviderError> {
        self.sequence_soon()?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut rows: Vec<Row> = self.read("the newest changes are read", |connection| {
            changes::table
                .filter(changes::tenant.eq(tenant.key()))
                .filter(changes::place.is_not_null())
                .order(changes::place.desc())
                .limit(limit)
                .select(Row::as_select())
                .load(connection)
        })?;
        rows.reverse();
        recorded(rows)
    }

    fn history(
        &self,
        tenant: TenantId,
        id: &ResourceId,
        limit: usize,
        work: &Work,
    ) -> Result<Vec<Recorded>, ProviderError> {
        self.sequence_soon()?;
        const WHAT: &str = "the changes of a resource are read";
        let rows: Vec<Row> = self.read_for(work, WHAT, |connection| {
            let mut rows = Vec::new();
            for chunk in sequenced_about(connection, tenant, id, (limit, Some(work)))?.chunks(CHUNK)
            {
                work.check()?;
                let known = changes::table.filter(changes::seq.eq_any(chunk));
                rows.extend(known.select(Row::as_select()).load::<Row>(connection)?);
            }
            rows.sort_by_key(|row: &Row| row.place);
            Ok(rows)
        })?;
        recorded(rows)
    }
}
