//! The best SQL that we could write by hand for one question, for comparison with what is generated.

use std::time::{Duration, Instant};

use anyhow::Context;
use diesel::sql_types::{BigInt, Integer, Text};
use diesel::{Connection as _, QueryableByName, RunQueryDsl as _, sql_query};

use crate::load::{Side, Slice, micros, size};

/// W8: how many users are active and have a work address at a domain, and the first hundred of them.
pub(crate) struct Complex {
    connection: Connection,
    count: String,
    page: String,
}

enum Connection {
    Sqlite(diesel::SqliteConnection),
    Postgres(diesel::PgConnection),
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

#[derive(QueryableByName)]
struct Name {
    #[diesel(sql_type = Integer)]
    id: i32,
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    text: String,
}

impl Connection {
    fn all<T>(&mut self, sql: &str) -> anyhow::Result<Vec<T>>
    where
        T: QueryableByName<diesel::sqlite::Sqlite> + QueryableByName<diesel::pg::Pg> + 'static,
    {
        Ok(match self {
            Self::Sqlite(connection) => sql_query(sql).load(connection)?,
            Self::Postgres(connection) => sql_query(sql).load(connection)?,
        })
    }
}

impl Complex {
    pub(crate) fn open(url: &str) -> anyhow::Result<Self> {
        let (mut connection, contains) = match url.strip_prefix("sqlite:") {
            Some(file) => {
                let mut connection = diesel::SqliteConnection::establish(file)?;
                // As much as a reader of the server has.
                sql_query("PRAGMA cache_size = -8192").execute(&mut connection)?;
                (Connection::Sqlite(connection), "instr(i.value, '@example.com') > 0")
            }
            None => (
                Connection::Postgres(diesel::PgConnection::establish(url)?),
                "i.value LIKE '%@example.com%'",
            ),
        };
        let mut id = |name: &str| -> anyhow::Result<i32> {
            let sql = format!("SELECT id FROM names WHERE name = '{name}'");
            let found = connection.all::<Name>(&sql)?;
            Ok(found.first().with_context(|| format!("{name} has no number"))?.id)
        };
        let (users, emails) = (id("/User")?, id("emails.value")?);
        let condition = format!(
            "r.tenant = 1 AND r.kind = {users} AND r.active = 1 AND EXISTS (SELECT 1 FROM \
             resource_index i WHERE i.pk = r.pk AND i.path = {emails} AND i.label = 'work' AND {contains})"
        );
        let count = format!("SELECT count(*) AS number FROM resources r WHERE {condition}");
        let page = format!(
            "SELECT d.text FROM (SELECT r.pk FROM resources r WHERE {condition} ORDER BY r.pk \
             LIMIT 100) p JOIN documents d ON d.pk = p.pk ORDER BY p.pk"
        );
        Ok(Self { connection, count, page })
    }
}

impl Side for Complex {
    fn slice(&mut self, seconds: f64) -> anyhow::Result<Slice> {
        let started = Instant::now();
        let mut slice = Slice::default();
        while started.elapsed() < Duration::from_secs_f64(seconds) {
            let one = Instant::now();
            let count = self.connection.all::<Number>(&self.count)?;
            let rows = self.connection.all::<Row>(&self.page)?;
            anyhow::ensure!(count.iter().any(|count| count.number > 0), "nobody was found");
            slice.bytes += rows.iter().map(|row| size(row.text.as_bytes())).sum::<u64>();
            slice.latencies.push(micros(one.elapsed()));
            slice.done += 1;
        }
        slice.seconds = started.elapsed().as_secs_f64();
        Ok(slice)
    }
}
