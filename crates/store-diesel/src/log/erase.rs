//! Removes what the log has of people and tenants that are gone.

use std::collections::BTreeMap;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use headcount_core::ids::TenantId;
use headcount_core::provider::ProviderError;
use headcount_records::{LogTexts, Traces};

use super::{LogStore, commit, names};
use crate::connection::{DbConnection, begin_durable, end_durable, lift_limits};
use crate::error::provider_error;
use crate::sql::Sql;

/// Records that are read at once while traces are looked for.
const SLICE: i64 = 500;
const WHAT: &str = "people are erased from the provisioning log";

/// Number, path, name, rejected attribute, reason, filter, body and reply of a record.
type TextColumns = (
    BigInt,
    Text,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Text>,
);
type Optional = Option<String>;
type TextRow = (i64, String, Optional, Optional, Optional, Optional, Optional, Optional);

impl LogStore {
    pub(super) fn erase_all(
        &self,
        tenant: TenantId,
        names: &[String],
        traces: &Traces,
    ) -> Result<usize, ProviderError> {
        // Read before the write: the log goes on meanwhile.
        let traced = self.find_traces(tenant, traces)?;
        self.write_durably(|connection| {
            lift_limits(connection)?;
            let mut found = names::find(connection, tenant, names)?;
            for (bucket, rows) in &traced {
                found.entry(*bucket).or_default().extend(rows);
            }
            let mut count = 0;
            for (bucket, rows) in found {
                let requests = Sql::new("DELETE FROM requests WHERE seq IN (").ints(&rows);
                count += requests.text(")").query::<()>().execute(connection)?;
                let found = Sql::new("DELETE FROM request_names WHERE bucket = ").int(bucket);
                let found = found.text(" AND seq IN (").ints(&rows).text(")");
                found.query::<()>().execute(connection)?;
            }
            Ok(count)
        })
    }

    /// Returns the numbers of the records that [`headcount_records::RequestLog::erase`] would remove.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Unavailable`].
    pub fn traced(
        &self,
        tenant: TenantId,
        names: &[String],
        traces: &Traces,
    ) -> Result<Vec<i64>, ProviderError> {
        let named = self
            .readers()?
            .read("names are looked for", |connection| names::find(connection, tenant, names))?;
        let traced = self.find_traces(tenant, traces)?;
        Ok(named.into_values().chain(traced.into_values()).flatten().collect())
    }

    /// Returns the records that contain a trace, by bucket.
    fn find_traces(
        &self,
        tenant: TenantId,
        traces: &Traces,
    ) -> Result<BTreeMap<i64, Vec<i64>>, ProviderError> {
        let mut found: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
        let mut after = 0;
        while !traces.is_empty() {
            let rows = self.readers()?.read("traces are looked for", |connection| {
                read_texts(connection, tenant, after)
            })?;
            let Some((last, ..)) = rows.last() else { break };
            after = *last;
            for (seq, path, name, field, reason, query, body, reply) in &rows {
                let texts = LogTexts {
                    query: query.as_deref(),
                    lines: [
                        Some(path.as_str()),
                        name.as_deref(),
                        field.as_deref(),
                        reason.as_deref(),
                    ],
                    bodies: [body.as_deref(), reply.as_deref()],
                };
                if traces.are_in(&texts) {
                    found.entry(names::bucket(*seq)).or_default().push(*seq);
                }
            }
        }
        Ok(found)
    }

    pub(super) fn forget_all(&self, tenant: TenantId) -> Result<(), ProviderError> {
        self.write_durably(|connection| {
            lift_limits(connection)?;
            for sql in [
                "DELETE FROM request_names WHERE tenant = ",
                "DELETE FROM requests WHERE tenant = ",
                "DELETE FROM quirk_counts WHERE tenant = ",
            ] {
                Sql::new(sql).int(tenant.key()).query::<()>().execute(connection)?;
            }
            Ok(())
        })
    }

    /// Runs a write that no crash takes back. What it removed is then in no file of SQLite either.
    fn write_durably<T>(
        &self,
        job: impl FnOnce(&mut DbConnection) -> QueryResult<T>,
    ) -> Result<T, ProviderError> {
        let mut slot = self.writer();
        let mut connection = match slot.take() {
            Some(connection) => connection,
            None => self.open()?,
        };
        let value = commit(&mut connection, &begin_durable(&self.manager), job)
            .map_err(|error| provider_error(WHAT, error))?;
        connection
            .batch_execute(end_durable(&self.manager))
            .map_err(|error| provider_error(WHAT, error))?;
        *slot = Some(connection);
        Ok(value)
    }
}

fn read_texts(
    connection: &mut DbConnection,
    tenant: TenantId,
    after: i64,
) -> QueryResult<Vec<TextRow>> {
    Sql::new(
        "SELECT seq, route, name, field, reason, query, body, reply FROM requests WHERE tenant = ",
    )
    .int(tenant.key())
    .text(" AND seq > ")
    .int(after)
    .text(" ORDER BY seq LIMIT ")
    .int(SLICE)
    .query::<TextColumns>()
    .load(connection)
}
