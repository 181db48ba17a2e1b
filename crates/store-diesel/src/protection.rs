//! The keys that authenticate changes, and up to where changes without a code are accepted.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use headcount_core::clock::Timestamp;
use headcount_core::ids::ChainPosition;
use headcount_records::chain::AuditRow;
use headcount_records::mac::{MacKeys, Proof};

use crate::connection::DbConnection;
use crate::error::{WriteError, retry_on_constraint};
use crate::schema::{changes, server_keys};
use crate::sql::Sql;
use crate::write::sequenced_before;

/// The name of the key that is in the database, where no file was given.
const KEY: &str = "audit-mac";
/// The name of the value that says up to where changes are accepted: a position and its code.
const ACCEPTED: &str = "audit-accepted";

/// What a store knows about the codes of changes.
#[derive(Debug)]
pub(crate) struct Protection {
    pub(crate) keys: MacKeys,
    /// Up to which position changes without a code were accepted when the store was opened.
    pub(crate) accepted: ChainPosition,
}

impl Protection {
    /// Takes the keys of a file, or those of the database.
    ///
    /// The key of the database is made once. With it, in the same transaction, the changes of earlier releases are
    /// accepted: who removes that record later cannot have it made again. Nothing is accepted unasked under the key
    /// of a file, since no one but its owner can say which rows are older than it.
    pub(crate) fn prepare(
        connection: &mut DbConnection,
        given: Option<&MacKeys>,
    ) -> Result<Self, WriteError> {
        let keys = match given {
            Some(keys) => keys.clone(),
            None => {
                let fresh: [u8; 32] = rand::random();
                let (secret, is_new) = own_key(connection, KEY, &fresh, Timestamp::from_micros(0))?;
                let keys = MacKeys::in_database(&secret);
                if is_new {
                    let last = last_without_code(connection)?;
                    accept(connection, &keys, last)?;
                }
                keys
            }
        };
        let accepted = accepted(connection, &keys)?;
        Ok(Self { keys, accepted })
    }

    /// Checks whether a row that gets a position is a change that a server wrote, or one that was accepted.
    pub(crate) fn vouches_for(&self, position: ChainPosition, row: &AuditRow) -> bool {
        match self.keys.check_change(row) {
            Proof::Authentic => true,
            Proof::Missing | Proof::UnknownKey => position <= self.accepted,
            Proof::Wrong => false,
        }
    }
}

/// Returns the key of a name, and whether it is the fresh one: that of the first caller becomes the key.
pub(crate) fn own_key(
    connection: &mut DbConnection,
    name: &'static str,
    fresh: &[u8],
    at: Timestamp,
) -> Result<(Vec<u8>, bool), WriteError> {
    // The second of two callers waits here and then reads what the first one wrote.
    let known = Sql::new("UPDATE server_keys SET created = created WHERE name = ")
        .string(name)
        .text(" RETURNING name")
        .query::<Text>()
        .get_result::<String>(connection)
        .optional()?;
    let is_new = known.is_none();
    if is_new {
        let values = (
            server_keys::name.eq(name),
            server_keys::secret.eq(fresh),
            server_keys::created.eq(at.micros()),
        );
        // When another server was faster, the next try reads its key.
        diesel::insert_into(server_keys::table)
            .values(values)
            .execute(connection)
            .map_err(retry_on_constraint)?;
    }
    let secret = server_keys::table.find(name).select(server_keys::secret).first(connection)?;
    Ok((secret, is_new))
}

/// Returns the position that the last of the present changes has, or will have.
fn last_without_code(connection: &mut DbConnection) -> QueryResult<ChainPosition> {
    let last = changes::table.filter(changes::place.is_not_null()).order(changes::place.desc());
    let last: Option<Option<i64>> = last.select(changes::place).first(connection).optional()?;
    let waiting = changes::table
        .filter(changes::place.is_null())
        .filter(changes::seq.gt(sequenced_before(connection)?.number()));
    let waiting: i64 = waiting.count().get_result(connection)?;
    Ok(ChainPosition::new(last.flatten().unwrap_or(0) + waiting))
}

/// Notes that changes up to a position are accepted without a code.
pub(crate) fn accept(
    connection: &mut DbConnection,
    keys: &MacKeys,
    position: ChainPosition,
) -> QueryResult<()> {
    set_value(connection, ACCEPTED, &format!("{position} {}", keys.accepted(position)))
}

/// Returns up to which position changes are accepted without a code: none when there is no record of it, or one that
/// the owner of the keys did not make.
pub(crate) fn accepted(
    connection: &mut DbConnection,
    keys: &MacKeys,
) -> QueryResult<ChainPosition> {
    let value = value(connection, ACCEPTED)?.unwrap_or_default();
    let known = value.split_once(' ').and_then(|(position, code)| {
        let position = ChainPosition::new(position.parse().ok()?);
        (keys.check_accepted(position, code) == Proof::Authentic).then_some(position)
    });
    Ok(known.unwrap_or(ChainPosition::START))
}

/// Returns the positions of changes whose id another change has.
pub(crate) fn copied(connection: &mut DbConnection) -> QueryResult<Vec<ChainPosition>> {
    Sql::new(
        "SELECT place FROM changes WHERE place IS NOT NULL AND uid IN \
         (SELECT uid FROM changes WHERE uid IS NOT NULL GROUP BY uid HAVING count(*) > 1) \
         ORDER BY place LIMIT 1000",
    )
    .query::<BigInt>()
    .load::<i64>(connection)
    .map(|positions| positions.into_iter().map(ChainPosition::new).collect())
}

/// Stores a value under a name, in place of an older one.
pub(crate) fn set_value(connection: &mut DbConnection, name: &str, value: &str) -> QueryResult<()> {
    Sql::new("INSERT INTO store_meta (name, value) VALUES (")
        .string(name)
        .text(", ")
        .string(value)
        .text(") ON CONFLICT (name) DO UPDATE SET value = excluded.value")
        .query::<()>()
        .execute(connection)
        .map(drop)
}

/// Returns the value of a name.
pub(crate) fn value(connection: &mut DbConnection, name: &str) -> QueryResult<Option<String>> {
    Sql::new("SELECT value FROM store_meta WHERE name = ")
        .string(name)
        .query::<Text>()
        .get_result::<String>(connection)
        .optional()
}
