//! The rows of the record of changes: as they are written, and as they are read.

use std::borrow::Cow;

use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::serialize::ToSql;
use diesel::sql_types::{BigInt, HasSqlType, Integer, Nullable, Text};
use headcount_core::change::{Act, Activation, Actor, Change, LeftGroup, Recorded, ResourceNames};
use headcount_core::clock::Timestamp;
use headcount_core::ids::{
    ChainPosition, ChangeSeq, Kind, RequestId, ResourceId, TenantId, TokenId, Version,
};
use headcount_core::members::MemberDelta;
use headcount_core::provider::{ProviderError, Source};
use headcount_records::chain::{self, AuditRow, Content};
use headcount_records::mac::{self, MacKeys};
use serde_json::{Value, json};

use crate::connection::Backend;
use crate::schema::changes;

/// What a row takes up in advance for its position (three bytes until there are eight million changes), its hash and
/// their code. The sequencer overwrites it; rows that grew would split their page, which is full.
const ROOM: usize = 3 + 64;

/// What a change is about, and what only the store knows of it.
pub(crate) struct Effect<'a> {
    pub(crate) kind: &'a str,
    pub(crate) id: &'a str,
    pub(crate) version: Option<Version>,
    pub(crate) members: &'a MemberDelta,
    pub(crate) left: &'a [LeftGroup],
}

impl Effect<'_> {
    fn delta_text(&self) -> String {
        if self.members.is_empty() && self.left.is_empty() {
            return String::new();
        }
        let left = self.left.iter().map(|left| (left.group.as_str(), left.version.counter()));
        json!({
            "added": texts(&self.members.added),
            "removed": texts(&self.members.removed),
            "left": left.collect::<Vec<_>>(),
        })
        .to_string()
    }
}

fn texts(ids: &[ResourceId]) -> Vec<&str> {
    ids.iter().map(ResourceId::as_str).collect()
}

/// A row on its way into the database.
///
/// Each write adds one, while other writers wait: Diesel walks twice through an insert of its own to find out
/// whether it may stay prepared, which takes as long as the insert itself.
pub(crate) struct NewRow<'a> {
    tenant: i64,
    at: i64,
    version: i64,
    /// From `actor_kind` to `personal_digest`, in the order of the statement.
    texts: [Cow<'a, str>; 9],
    switched: Option<i32>,
    personal: Option<String>,
    room: Option<String>,
    uid: String,
    mac: String,
}

impl<'a> NewRow<'a> {
    pub(crate) fn new(
        backend: Backend,
        keys: &MacKeys,
        tenant: TenantId,
        change: &'a Change,
        effect: &Effect<'a>,
    ) -> Self {
        let (actor_kind, actor) = change.actor.parts();
        let personal = personal_text(&change.names);
        let digest = personal.as_deref().map(chain::digest).unwrap_or_default();
        let texts: [Cow<'a, str>; 9] = [
            actor_kind.into(),
            actor.into(),
            change.request.as_str().into(),
            change.act.word().into(),
            effect.kind.into(),
            effect.id.into(),
            change.paths.join(" ").into(),
            effect.delta_text().into(),
            digest.into(),
        ];
        let switched = change.switched.map(|switched| match switched {
            Activation::On => 1,
            Activation::Off => 0,
        });
        // What has no versions has 0 in this column.
        let version = effect.version.map_or(0, Version::counter);
        let uid = mac::uid(change.at, rand::random());
        let mac = keys.change(&Content {
            numbers: [tenant.key(), change.at.micros(), version],
            switched,
            texts: texts.each_ref().map(AsRef::as_ref),
            uid: &uid,
        });
        Self {
            tenant: tenant.key(),
            at: change.at.micros(),
            version,
            texts,
            switched,
            personal,
            room: match backend {
                Backend::Sqlite => Some(" ".repeat(ROOM + keys.code_length())),
                Backend::Postgres => None,
            },
            uid,
            mac,
        }
    }
}

impl<DB> QueryFragment<DB> for NewRow<'_>
where
    DB: diesel::backend::Backend + HasSqlType<Text> + HasSqlType<BigInt> + HasSqlType<Integer>,
    i64: ToSql<BigInt, DB>,
    str: ToSql<Text, DB>,
    Option<String>: ToSql<Nullable<Text>, DB>,
    Option<i32>: ToSql<Nullable<Integer>, DB>,
{
    fn walk_ast<'b>(&'b self, mut pass: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        pass.push_sql(
            "INSERT INTO changes (tenant, at, version, actor_kind, actor, request, act, kind, resource, \
             paths, delta, personal_digest, uid, mac, switched, personal, room) VALUES (",
        );
        for number in [&self.tenant, &self.at, &self.version] {
            pass.push_bind_param::<BigInt, i64>(number)?;
            pass.push_sql(", ");
        }
        let texts = self.texts.iter().map(AsRef::as_ref);
        for text in texts.chain([self.uid.as_str(), self.mac.as_str()]) {
            pass.push_bind_param::<Text, str>(text)?;
            pass.push_sql(", ");
        }
        pass.push_bind_param::<Nullable<Integer>, Option<i32>>(&self.switched)?;
        pass.push_sql(", ");
        pass.push_bind_param::<Nullable<Text>, Option<String>>(&self.personal)?;
        pass.push_sql(", ");
        pass.push_bind_param::<Nullable<Text>, Option<String>>(&self.room)?;
        pass.push_sql(")");
        Ok(())
    }
}

impl QueryId for NewRow<'_> {
    type QueryId = NewRow<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<C> RunQueryDsl<C> for NewRow<'_> {}

fn personal_text(names: &ResourceNames) -> Option<String> {
    if *names == ResourceNames::default() {
        return None;
    }
    // Without the salt, a digest that outlives its names would let anyone test a guess.
    let salt = format!("{:032x}", rand::random::<u128>());
    let mut text = json!({"salt": salt, "name": names.name, "externalId": names.external_id});
    if let (Some(object), Some(address)) = (text.as_object_mut(), &names.address) {
        object.insert("address".to_owned(), address.as_str().into());
    }
    Some(text.to_string())
}

/// Reads what [`personal_text`] wrote.
pub(crate) fn parse_names(personal: Option<&str>) -> ResourceNames {
    let personal: Value =
        personal.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let text = |key: &str| personal.get(key).and_then(Value::as_str).map(str::to_owned);
    ResourceNames { name: text("name"), external_id: text("externalId"), address: text("address") }
}

/// The columns of a row that describe its change.
#[derive(Queryable, Selectable)]
#[diesel(table_name = changes)]
pub(crate) struct ChangeColumns {
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

/// A row as the feed reads it.
#[derive(Queryable, Selectable)]
#[diesel(table_name = changes)]
pub(crate) struct FeedRow {
    place: Option<i64>,
    #[diesel(embed)]
    change: ChangeColumns,
}

/// A row as it is hashed.
#[derive(Queryable, Selectable)]
#[diesel(table_name = changes)]
pub(crate) struct HashedRow {
    seq: i64,
    tenant: i64,
    #[diesel(embed)]
    change: ChangeColumns,
    personal_digest: String,
    uid: Option<String>,
    mac: Option<String>,
}

impl HashedRow {
    pub(crate) fn seq(&self) -> ChangeSeq {
        ChangeSeq::new(self.seq)
    }
}

impl From<HashedRow> for AuditRow {
    fn from(row: HashedRow) -> Self {
        let HashedRow { seq, tenant, change, personal_digest, uid, mac } = row;
        Self {
            seq: ChangeSeq::new(seq),
            tenant,
            at: change.at,
            actor_kind: change.actor_kind,
            actor: change.actor,
            request: change.request,
            act: change.act,
            kind: change.kind,
            resource: change.resource,
            version: change.version,
            paths: change.paths,
            delta: change.delta,
            switched: change.switched,
            personal: change.personal,
            personal_digest,
            uid,
            mac,
        }
    }
}

impl FeedRow {
    pub(crate) fn place(&self) -> Option<i64> {
        self.place
    }

    /// Returns the change; none of a row without position, or with a word that this release does not know.
    fn into_recorded(self) -> Option<Recorded> {
        let Self { place, change: row } = self;
        let delta: Value = serde_json::from_str(&row.delta).unwrap_or_default();
        Some(Recorded {
            position: ChainPosition::new(place?),
            members: MemberDelta { added: ids(&delta, "added"), removed: ids(&delta, "removed") },
            left: left_groups(&delta),
            kind: Kind::new(row.kind),
            id: ResourceId::new(row.resource),
            version: (row.version > 0).then(|| Version::new(row.version)),
            change: Change {
                at: Timestamp::from_micros(row.at),
                actor: parse_actor(&row.actor_kind, row.actor)?,
                request: RequestId::new(row.request),
                act: Act::parse(&row.act)?,
                paths: row.paths.split_whitespace().map(str::to_owned).collect(),
                switched: row
                    .switched
                    .map(|on| if on != 0 { Activation::On } else { Activation::Off }),
                names: parse_names(row.personal.as_deref()),
            },
        })
    }
}

/// Reads what [`Actor::parts`] returns. A kind that this release does not know is no actor: to take it for the
/// server would hold the wrong one responsible.
fn parse_actor(kind: &str, name: String) -> Option<Actor> {
    match kind {
        "token" => Some(Actor::Token(TokenId::new(name))),
        "admin" => Some(Actor::Admin(name)),
        "cli" => Some(Actor::Cli),
        "system" => Some(Actor::System),
        _ => None,
    }
}

fn ids(delta: &Value, key: &str) -> Vec<ResourceId> {
    let list = delta.get(key).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).map(ResourceId::new).collect()
}

fn left_groups(delta: &Value) -> Vec<LeftGroup> {
    let list = delta.get("left").and_then(Value::as_array);
    list.into_iter()
        .flatten()
        .filter_map(|pair| {
            let (group, version) = (pair.get(0)?.as_str()?, pair.get(1)?.as_i64()?);
            Some(LeftGroup { group: ResourceId::new(group), version: Version::new(version) })
        })
        .collect()
}

/// Returns the changes of rows, or an error when one has an act or an actor that this release does not know:
/// a feed that left it out would lose a change, and one that guessed would report another.
pub(crate) fn read_changes(rows: Vec<FeedRow>) -> Result<Vec<Recorded>, ProviderError> {
    rows.into_iter().map(FeedRow::into_recorded).collect::<Option<Vec<_>>>().ok_or_else(|| {
        ProviderError::Internal(Source::invariant("a change has an unknown act or actor"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(actor_kind: &str, act: &str) -> FeedRow {
        let change = ChangeColumns {
            at: 0,
            actor_kind: actor_kind.to_owned(),
            actor: String::new(),
            request: String::new(),
            act: act.to_owned(),
            kind: "User".to_owned(),
            resource: "1".to_owned(),
            version: 1,
            paths: String::new(),
            delta: String::new(),
            switched: None,
            personal: None,
        };
        FeedRow { place: Some(1), change }
    }

    #[test]
    fn a_row_with_an_unknown_act_or_actor_is_an_error() {
        for actor in [Actor::Cli, Actor::System, Actor::Admin(String::new())] {
            let read = read_changes(vec![row(actor.parts().0, "created")]).unwrap();
            assert_eq!(read.first().map(|recorded| &recorded.change.actor), Some(&actor));
        }
        for (actor_kind, act) in [("robot", "created"), ("cli", "guessed")] {
            let read = read_changes(vec![row("cli", "created"), row(actor_kind, act)]);
            assert!(matches!(read, Err(ProviderError::Internal(_))), "{actor_kind} {act}");
        }
    }
}
