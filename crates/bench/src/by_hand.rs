//! The best SQL that we could write by hand for W8, for comparison with what is generated: how many users
//! are active and have a work address at a domain, and the first hundred of them.

use std::time::{Duration, Instant};

use anyhow::Context;
use diesel::sql_types::{BigInt, Text};
use diesel::{Connection as _, PgConnection, QueryableByName, RunQueryDsl as _, SqliteConnection};
use diesel::{QueryResult, sql_query};

use crate::load::{Load, Slice, micros, size};

pub(crate) struct ByHand {
    connection: Connection,
    count: String,
    page: String,
}

enum Connection {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    number: i64,
    #[diesel(sql_type = Text)]
    text: String,
}

impl Connection {
    fn rows(&mut self, sql: &str) -> QueryResult<Vec<Row>> {
        match self {
            Self::Sqlite(connection) => sql_query(sql).load(connection),
            Self::Postgres(connection) => sql_query(sql).load(connection),
        }
    }

    /// The number by which the store knows a name.
    fn id(&mut self, name: &str) -> anyhow::Result<i64> {
        let sql = format!(
            "SELECT CAST(id AS BIGINT) AS number, name AS text FROM names WHERE name = '{name}'"
        );
        let rows = self.rows(&sql)?;
        Ok(rows.first().with_context(|| format!("{name} has no number"))?.number)
    }
}

impl ByHand {
    pub(crate) fn open(url: &str) -> anyhow::Result<Self> {
        let (mut connection, contains) = match url.strip_prefix("sqlite:") {
            Some(file) => {
                let mut connection = SqliteConnection::establish(file)?;
                // As much as a reader of the server has.
                sql_query("PRAGMA cache_size = -8192").execute(&mut connection)?;
                (Connection::Sqlite(connection), "instr(i.value, '@example.com') > 0")
            }
            None => {
                let connection = PgConnection::establish(url)?;
                (Connection::Postgres(connection), "i.value LIKE '%@example.com%'")
            }
        };
        let (users, emails) = (connection.id("/User")?, connection.id("emails.value")?);
        let condition = format!(
            "r.tenant = 1 AND r.kind = {users} AND r.active = 1 AND EXISTS (SELECT 1 FROM \
             resource_index i WHERE i.pk = r.pk AND i.path = {emails} AND i.label = 'work' AND {contains})"
        );
        let count =
            format!("SELECT count(*) AS number, '' AS text FROM resources r WHERE {condition}");
        let page = format!(
            "SELECT d.pk AS number, d.text FROM (SELECT r.pk FROM resources r WHERE {condition} \
             ORDER BY r.pk LIMIT 100) p JOIN documents d ON d.pk = p.pk ORDER BY p.pk"
        );
        Ok(Self { connection, count, page })
    }
}

impl Load for ByHand {
    fn slice(&mut self, seconds: f64) -> anyhow::Result<Slice> {
        let started = Instant::now();
        let mut slice = Slice::default();
        while started.elapsed() < Duration::from_secs_f64(seconds) {
            let one = Instant::now();
            let count = self.connection.rows(&self.count)?;
            let rows = self.connection.rows(&self.page)?;
            anyhow::ensure!(count.iter().any(|row| row.number > 0), "no user was found");
            slice.bytes += rows.iter().map(|row| size(row.text.as_bytes())).sum::<u64>();
            slice.latencies.push(micros(one.elapsed()));
            slice.done += 1;
        }
        slice.seconds = started.elapsed().as_secs_f64();
        Ok(slice)
    }
}
