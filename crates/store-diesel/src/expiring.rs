//! Announces once, ahead of time, that a token ends.

use diesel::prelude::*;
use headcount_core::change::{Act, Author, Change};
use headcount_core::clock::Timestamp;
use headcount_core::ids::{TenantId, TokenId};
use headcount_token_admin::StoreError;

use crate::schema::tokens;
use crate::store::Store;
use crate::tokens::record;

impl Store {
    /// Records each working token that ends between `now` and `until` as expiring, and returns how many
    /// there were. A token is recorded once for each end that it was given, and not when it was rotated, since
    /// its end is known.
    ///
    /// Several servers may do so at the same time.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    pub fn announce_expiring(
        &self,
        now: Timestamp,
        until: Timestamp,
        by: &Author,
    ) -> Result<usize, StoreError> {
        let announced = tokens::expiry_told.nullable().eq(tokens::expires);
        let ending = tokens::table
            .filter(tokens::revoked.is_null())
            .filter(tokens::expires.gt(now.micros()))
            .filter(tokens::expires.le(until.micros()))
            .filter(tokens::expiry_told.is_null().or(diesel::dsl::not(announced)));
        // Most of the time there is none, and then nothing is written.
        let first = self.read_admin("tokens that end soon are looked for", |connection| {
            ending.select(tokens::id).first::<String>(connection).optional()
        })?;
        if first.is_none() {
            return Ok(0);
        }
        self.write_admin(|connection| {
            let announced: Vec<(String, i64, String)> = diesel::update(ending)
                .set(tokens::expiry_told.eq(tokens::expires))
                .returning((tokens::id, tokens::tenant, tokens::name))
                .get_results(connection)?;
            for (id, tenant, name) in &announced {
                let change = Change::of(Act::Expiring, name, &["expires"], now, by);
                let (tenant, id) = (TenantId::new(*tenant), TokenId::new(id.as_str()));
                record(connection, self.keys(), tenant, &id, &change)?;
            }
            Ok(announced.len())
        })
    }
}
