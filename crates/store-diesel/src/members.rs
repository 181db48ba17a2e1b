//! Membership as rows: one row per member, touched one by one.

use std::collections::{BTreeSet, HashMap};

use diesel::deserialize::{FromSql, FromSqlRow};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Integer, Nullable, Text};
use headcount_core::change::LeftGroup;
use headcount_core::clock::Timestamp;
use headcount_core::ids::{ResourceId, TenantId, Version};
use headcount_core::members::{Member, MemberChange, MemberDelta, MemberNames, MembershipEntry};
use headcount_core::provider::{Draft, Key, Members, ProviderError};

use crate::connection::DbConnection;
use crate::dictionary::Dictionary;
use crate::error::{DbErrorKind, WriteError, classify};
use crate::schema::group_members;
use crate::sql::Sql;
use crate::tx::Tx;
use crate::write::row_lock;

/// Ids that one statement names; both databases allow many more.
const MAX_IDS: usize = 1_000;

/// What a draft really changed in the members of a group.
#[derive(Default)]
pub(crate) struct Applied {
    pub(crate) delta: MemberDelta,
    /// The added ones: key, id, kind.
    added: Vec<(i64, Id, i32)>,
}

impl Applied {
    fn of(added: Vec<(i64, Id, i32)>, removed: Vec<ResourceId>) -> Self {
        let ids = added.iter().map(|(_, Id(id), _)| id.clone()).collect();
        Self { delta: MemberDelta { added: ids, removed }, added }
    }

    /// Returns the members of a group that had none before, up to `limit`.
    pub(crate) fn members(mut self, dictionary: &Dictionary, limit: usize) -> Members {
        self.added.sort_unstable_by_key(|(pk, ..)| *pk);
        members_of(dictionary, self.added, limit)
    }
}

impl Tx<'_> {
    /// Inserts the members of a group that was just inserted.
    pub(crate) fn first_members(
        &mut self,
        group_pk: i64,
        draft: &Draft,
    ) -> Result<Applied, WriteError> {
        match &draft.members {
            MemberChange::Unchanged => Ok(Applied::default()),
            MemberChange::Delta { add: wanted, .. } | MemberChange::Replace(wanted) => {
                Ok(Applied::of(self.add_members(group_pk, draft, wanted)?, Vec::new()))
            }
        }
    }

    /// Applies a draft to the members of a group, and returns what really changed.
    pub(crate) fn change_members(
        &mut self,
        group_pk: i64,
        draft: &Draft,
    ) -> Result<Applied, WriteError> {
        match &draft.members {
            MemberChange::Unchanged => Ok(Applied::default()),
            MemberChange::Delta { add, remove } => {
                let removed = self.remove_members(group_pk, remove)?;
                Ok(Applied::of(self.add_members(group_pk, draft, add)?, removed))
            }
            MemberChange::Replace(wanted) => {
                // Rows that stay are not touched (PAT-084).
                let present: BTreeSet<ResourceId> = group_members::table
                    .filter(group_members::group_pk.eq(group_pk))
                    .select(group_members::member_id)
                    .load::<String>(self.connection)?
                    .into_iter()
                    .map(ResourceId::new)
                    .collect();
                let gone: BTreeSet<_> = present.difference(wanted).cloned().collect();
                let new: BTreeSet<_> = wanted.difference(&present).cloned().collect();
                let removed = self.remove_members(group_pk, &gone)?;
                Ok(Applied::of(self.add_members(group_pk, draft, &new)?, removed))
            }
        }
    }

    fn add_members(
        &mut self,
        group_pk: i64,
        draft: &Draft,
        ids: &BTreeSet<ResourceId>,
    ) -> Result<Vec<(i64, Id, i32)>, WriteError> {
        let kinds = draft.member_kinds.iter().filter_map(|kind| self.dictionary.kind(kind));
        let kinds: Vec<i64> = kinds.map(i64::from).collect();
        let ids: Vec<&ResourceId> = ids.iter().collect();
        let mut added = Vec::new();
        for chunk in ids.chunks(MAX_IDS) {
            let sql = Sql::new("INSERT INTO group_members (group_pk, member_pk, tenant, member_id, member_kind) SELECT ")
                .int(group_pk)
                .text(", u.pk, u.tenant, u.id, u.kind FROM resources u WHERE ");
            // A member that is present stays as it is: the only insert for which a conflict is no error.
            let sql = self
                .among(sql, &kinds, chunk)
                .text(" ON CONFLICT DO NOTHING RETURNING member_pk, member_id, member_kind")
                .query::<(BigInt, Text, Integer)>();
            let inserted: Vec<(i64, Id, i32)> = match sql.load(self.connection) {
                // The member was deleted between the two reads of the statement.
                Err(error) if classify(&error) == DbErrorKind::Constraint => {
                    return Err(unknown_member(chunk.first()));
                }
                inserted => inserted?,
            };
            if inserted.len() < chunk.len() {
                self.refuse_unknown(&kinds, chunk)?;
            }
            added.extend(inserted);
        }
        Ok(added)
    }

    /// Limits a statement to the resources `u` with these kinds and ids.
    fn among(&self, sql: Sql, kinds: &[i64], ids: &[&ResourceId]) -> Sql {
        let sql = sql
            .unindexed("u.tenant", self.tenant.key())
            .text(" AND u.kind + 0 IN (")
            .ints(kinds)
            .text(") AND u.id IN (");
        id_list(sql, ids).text(")")
    }

    /// Checks that ids that gave no new row are of members already, and not unknown.
    fn refuse_unknown(&mut self, kinds: &[i64], ids: &[&ResourceId]) -> Result<(), WriteError> {
        let sql = self.among(Sql::new("SELECT u.id FROM resources u WHERE "), kinds, ids);
        let known: Vec<String> = sql.query::<Text>().load(self.connection)?;
        match ids.iter().find(|id| !known.iter().any(|known| known == id.as_str())) {
            Some(id) => Err(unknown_member(Some(id))),
            None => Ok(()),
        }
    }

    fn remove_members(
        &mut self,
        group_pk: i64,
        ids: &BTreeSet<ResourceId>,
    ) -> Result<Vec<ResourceId>, WriteError> {
        let ids: Vec<&ResourceId> = ids.iter().collect();
        let mut removed = Vec::new();
        for chunk in ids.chunks(MAX_IDS) {
            let sql = Sql::new("DELETE FROM group_members WHERE group_pk = ")
                .int(group_pk)
                .text(" AND member_pk IN (SELECT m.pk FROM resources m WHERE ")
                .unindexed("m.tenant", self.tenant.key())
                .text(" AND m.id IN (");
            let sql = id_list(sql, chunk).text(")) RETURNING member_id");
            let gone: Vec<String> = sql.query::<Text>().load(self.connection)?;
            removed.extend(gone.into_iter().map(ResourceId::new));
        }
        Ok(removed)
    }

    /// Removes a resource from all groups, each of which gets a new version, and returns those groups.
    pub(crate) fn leave_groups(
        &mut self,
        member_pk: i64,
        at: Timestamp,
    ) -> QueryResult<Vec<LeftGroup>> {
        let mut groups: Vec<i64> = Sql::new("DELETE FROM group_members WHERE member_pk = ")
            .int(member_pk)
            .text(" RETURNING group_pk")
            .query::<BigInt>()
            .load(self.connection)?;
        groups.sort_unstable();
        let mut left = Vec::with_capacity(groups.len());
        for chunk in groups.chunks(MAX_IDS) {
            // `lastModified` of a group never goes back. All writers lock groups in the same order.
            let sql = Sql::new(
                "UPDATE resources SET version = version + 1, modified = CASE WHEN modified < ",
            )
            .int(at.micros())
            .text(" THEN ")
            .int(at.micros())
            .text(
                " ELSE modified + 1 END WHERE pk IN (SELECT g.pk FROM resources g WHERE g.pk IN (",
            )
            .ints(chunk)
            .text(") ORDER BY g.pk")
            .then(row_lock(self.connection))
            .text(") RETURNING pk, id, version");
            let mut rows: Vec<(i64, String, i64)> =
                sql.query::<(BigInt, Text, BigInt)>().load(self.connection)?;
            rows.sort_unstable();
            left.extend(rows.into_iter().map(|(_, id, version)| LeftGroup {
                group: ResourceId::new(id),
                version: Version::new(version),
            }));
        }
        Ok(left)
    }
}

fn unknown_member(id: Option<&&ResourceId>) -> WriteError {
    let id = id.map_or_else(|| ResourceId::new(""), |id| (*id).clone());
    ProviderError::UnknownMember(id).into()
}

/// Appends ids as a list of bound texts. The last one is repeated, so that few lengths, and statements, occur.
fn id_list(mut sql: Sql, ids: &[&ResourceId]) -> Sql {
    let lengths = [1, 10, 100, MAX_IDS];
    let length = lengths.into_iter().find(|length| *length >= ids.len()).unwrap_or(ids.len());
    let Some(last) = ids.last() else {
        return sql.text("NULL");
    };
    for (index, id) in ids.iter().chain(std::iter::repeat(last)).take(length).enumerate() {
        if index > 0 {
            sql = sql.text(", ");
        }
        sql = sql.string(id.as_str());
    }
    sql
}

/// Reads members of a group behind a key, in the order in which they were created.
pub(crate) fn page(
    connection: &mut DbConnection,
    dictionary: &Dictionary,
    group_pk: i64,
    after: i64,
    limit: usize,
) -> QueryResult<Members> {
    let take = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
    let rows: Vec<(i64, Id, i32)> = Sql::new(
        "SELECT m.member_pk, m.member_id, m.member_kind FROM group_members m WHERE m.group_pk = ",
    )
    .int(group_pk)
    .text(" AND m.member_pk > ")
    .int(after)
    .text(" ORDER BY m.member_pk LIMIT ")
    .int(take)
    .query::<(BigInt, Text, Integer)>()
    .load(connection)?;
    Ok(members_of(dictionary, rows, limit))
}

/// Makes members of rows, `limit` of them; a further row shows that there are more.
fn members_of(dictionary: &Dictionary, mut rows: Vec<(i64, Id, i32)>, limit: usize) -> Members {
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|(pk, _, _)| Key(pk.to_string()));
    let members =
        rows.into_iter().filter_map(|(_, id, kind)| member(dictionary, id, kind)).collect();
    Members { members, next }
}

/// How many members there are, counted as far as it matters, and one of them: key, id and kind.
type CountedMember = (i64, Option<i64>, Option<Id>, Option<i32>);

/// Reads the members of each group that has at most `most`; of a larger group none, but where they begin.
pub(crate) fn all_of(
    connection: &mut DbConnection,
    dictionary: &Dictionary,
    group_pks: &[i64],
    most: usize,
) -> QueryResult<HashMap<i64, Members>> {
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let mut groups = HashMap::with_capacity(group_pks.len());
    for &group in group_pks {
        // One statement: it counts as far as it matters, and returns rows only where they are wanted.
        let rows: Vec<CountedMember> = Sql::new(
            "WITH n AS (SELECT count(y.member_pk) AS amount FROM (SELECT x.member_pk FROM group_members x WHERE x.group_pk = ",
        )
        .int(group)
        .text(" LIMIT ")
        .int(most.saturating_add(1))
        .text(
            ") y) SELECT n.amount, m.member_pk, m.member_id, m.member_kind FROM n LEFT JOIN (SELECT \
             g.member_pk, g.member_id, g.member_kind FROM group_members g WHERE g.group_pk = ",
        )
        .int(group)
        .text(" ORDER BY g.member_pk LIMIT (SELECT CASE WHEN n.amount > ")
        .int(most)
        .text(" THEN 0 ELSE n.amount END FROM n)) m ON 1 = 1 ORDER BY m.member_pk")
        .query::<(BigInt, Nullable<BigInt>, Nullable<Text>, Nullable<Integer>)>()
        .load(connection)?;
        let mut all = Members::default();
        for (amount, _, id, kind) in rows {
            if amount > most {
                all.next = Some(Key("0".to_owned()));
            }
            all.members.extend(id.zip(kind).and_then(|(id, kind)| member(dictionary, id, kind)));
        }
        groups.insert(group, all);
    }
    Ok(groups)
}

fn member(dictionary: &Dictionary, Id(id): Id, kind: i32) -> Option<Member> {
    Some(Member { id, kind: dictionary.kind_of(kind)?.clone() })
}

/// An id that is read from its row without a copy in between: there may be a hundred thousand.
#[derive(FromSqlRow)]
struct Id(ResourceId);

#[cfg(feature = "sqlite")]
impl FromSql<Text, diesel::sqlite::Sqlite> for Id {
    fn from_sql(
        mut value: diesel::sqlite::SqliteValue<'_, '_, '_>,
    ) -> diesel::deserialize::Result<Self> {
        Ok(Self(ResourceId::new(value.read_text())))
    }
}

#[cfg(feature = "postgres")]
impl FromSql<Text, diesel::pg::Pg> for Id {
    fn from_sql(value: diesel::pg::PgValue<'_>) -> diesel::deserialize::Result<Self> {
        Ok(Self(ResourceId::new(std::str::from_utf8(value.as_bytes())?)))
    }
}

/// Reads the members of several groups, up to `limit` in all; a group whose members do not all fit has the
/// key where the others begin.
pub(crate) fn of_groups(
    connection: &mut DbConnection,
    dictionary: &Dictionary,
    group_pks: &[i64],
    limit: usize,
) -> QueryResult<HashMap<i64, Members>> {
    if let [one] = group_pks {
        return Ok(HashMap::from([(*one, page(connection, dictionary, *one, 0, limit)?)]));
    }
    if group_pks.is_empty() {
        return Ok(HashMap::new());
    }
    let take = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
    let rows: Vec<(i64, i64, Id, i32)> =
        Sql::new("SELECT m.group_pk, m.member_pk, m.member_id, m.member_kind FROM group_members m WHERE m.group_pk IN (")
            .ints(group_pks)
            .text(") ORDER BY m.group_pk, m.member_pk LIMIT ")
            .int(take)
            .query::<(BigInt, BigInt, Text, Integer)>()
            .load(connection)?;
    let cut = rows.len() > limit;
    let mut groups: HashMap<i64, Members> = HashMap::new();
    let mut last = None;
    for (group, pk, id, kind) in rows.into_iter().take(limit) {
        groups.entry(group).or_default().members.extend(member(dictionary, id, kind));
        last = Some((group, pk));
    }
    if cut && let Some((group, pk)) = last {
        // The last group that was read may have more members, and the groups behind it were not read.
        groups.entry(group).or_default().next = Some(Key(pk.to_string()));
        for behind in group_pks.iter().filter(|behind| **behind > group) {
            groups
                .insert(*behind, Members { members: Vec::new(), next: Some(Key("0".to_owned())) });
        }
    }
    Ok(groups)
}

/// Reads the names of resources.
pub(crate) fn names(
    connection: &mut DbConnection,
    tenant: TenantId,
    ids: &[ResourceId],
) -> QueryResult<MemberNames> {
    let ids: Vec<&ResourceId> = ids.iter().collect();
    let mut names = MemberNames::with_capacity(ids.len());
    for chunk in ids.chunks(MAX_IDS) {
        let sql = Sql::new("SELECT u.id, u.name FROM resources u WHERE ")
            .unindexed("u.tenant", tenant.key())
            .text(" AND u.name IS NOT NULL AND u.id IN (");
        let rows: Vec<(Id, String)> =
            id_list(sql, chunk).text(")").query::<(Text, Text)>().load(connection)?;
        names.extend(rows.into_iter().map(|(Id(id), name)| (id, name)));
    }
    Ok(names)
}

/// Reads the groups of several resources by the resources' keys.
///
/// No join: shortly after the first groups were made, PostgreSQL has too few statistics of their members, and
/// would read every resource.
pub(crate) fn groups_of(
    connection: &mut DbConnection,
    member_pks: &[i64],
) -> QueryResult<HashMap<i64, Vec<MembershipEntry>>> {
    if member_pks.is_empty() {
        return Ok(HashMap::new());
    }
    let rows: Vec<(i64, String, String, Option<String>)> =
        Sql::new("SELECT m.member_pk, m.member_id, (SELECT g.id FROM resources g WHERE g.pk = m.group_pk), (SELECT g.name FROM resources g WHERE g.pk = m.group_pk) FROM group_members m WHERE m.member_pk IN (")
            .ints(member_pks)
            .text(") ORDER BY m.member_pk, m.group_pk")
            .query::<(BigInt, Text, Text, diesel::sql_types::Nullable<Text>)>()
            .load(connection)?;
    let mut groups: HashMap<i64, Vec<MembershipEntry>> = HashMap::new();
    for (pk, member, group, display) in rows {
        groups.entry(pk).or_default().push(MembershipEntry {
            member: ResourceId::new(member),
            group: ResourceId::new(group),
            display: display.unwrap_or_default(),
        });
    }
    Ok(groups)
}
