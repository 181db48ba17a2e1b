//! The index from names to requests.
//!
//! A row is a name that a request contained. Consecutive requests share a bucket, and rows are sorted by bucket
//! first: those of a batch fall on pages that are in memory, and the pages of older requests are never written
//! again. A search for a name reads each bucket, which takes a few microseconds.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable};
use headcount_core::ids::TenantId;
use headcount_records::RequestRecord;
use sha2::{Digest, Sha256};

use crate::batch;
use crate::connection::DbConnection;
use crate::log_rows::{Name, key};
use crate::sql::Sql;

/// Requests of one bucket, as a power of two.
const BUCKET: u32 = 13;

/// Returns the bucket of a request.
pub(super) fn bucket(seq: i64) -> i64 {
    seq >> BUCKET
}

/// Returns the number of a name: the first eight bytes of its SHA-256. Rows by number are a third as long as rows
/// by name, and reveal no name. Two names of one log can share a number, but among a million names the chance is
/// one in thirty million.
pub(super) fn number(name: &str) -> i64 {
    let digest = Sha256::digest(name.as_bytes());
    digest.iter().take(8).fold(0, |number, byte| number << 8 | i64::from(*byte))
}

/// Returns the existing buckets, from the oldest to the newest.
pub(super) fn buckets(connection: &mut DbConnection) -> QueryResult<Option<RangeInclusive<i64>>> {
    let sql = Sql::new(
        "SELECT (SELECT min(bucket) FROM request_names), (SELECT max(bucket) FROM request_names)",
    );
    let ends: (Option<i64>, Option<i64>) =
        sql.query::<(Nullable<BigInt>, Nullable<BigInt>)>().get_result(connection)?;
    Ok(ends.0.zip(ends.1).map(|(first, last)| first..=last))
}

/// Writes by which names some records are found, each with its number.
pub(super) fn insert(
    connection: &mut DbConnection,
    records: &[RequestRecord],
    numbers: &[i64],
) -> QueryResult<()> {
    let names = records.iter().zip(numbers).flat_map(|(record, &seq)| {
        let (bucket, tenant) = (bucket(seq), key(record.tenant));
        record.names.iter().map(move |name| Name { bucket, name: number(name), tenant, seq })
    });
    let mut all: Vec<Name> = names.collect();
    // In the order of the index, each row is next to the one before it.
    all.sort_unstable();
    all.dedup();
    batch::insert_names(connection, all)
}

/// Returns the requests that are found by any of the names, by bucket.
pub(super) fn find(
    connection: &mut DbConnection,
    tenant: TenantId,
    names: &[String],
) -> QueryResult<BTreeMap<i64, Vec<i64>>> {
    let mut found: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for at in buckets(connection)?.into_iter().flatten() {
        for name in names {
            let sql = Sql::new("SELECT seq FROM request_names WHERE bucket = ")
                .int(at)
                .text(" AND name = ")
                .int(number(name))
                .text(" AND tenant = ")
                .int(tenant.key());
            let rows: Vec<i64> = sql.query::<BigInt>().load(connection)?;
            if !rows.is_empty() {
                found.entry(at).or_default().extend(rows);
            }
        }
    }
    Ok(found)
}
