//! Tells once, ahead of time, that a token ends.

use diesel::prelude::*;
use headcount_core::change::{Act, Author, Change};
use headcount_core::clock::Timestamp;
use headcount_core::ids::{TenantId, TokenId};
use headcount_token_admin::StoreError;

use crate::error::token_error;
use crate::schema::tokens;
use crate::store::Store;
use crate::tenants::unavailable;
use crate::tokens::record;

impl Store {
    /// Records each working token that ends between `now` and `until` as expiring, and returns how many
    /// there were. A token is recorded once for each end that its life was given; one that another
    /// takes over from is not, since its end is known.
    ///
    /// Several servers may do it at the same time.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    pub fn tell_expiring(
        &self,
        now: Timestamp,
        until: Timestamp,
        by: &Author,
    ) -> Result<usize, StoreError> {
        let ending = || {
            let told = tokens::expiry_told.nullable().eq(tokens::expires);
            tokens::table
                .filter(tokens::revoked.is_null())
                .filter(tokens::expires.gt(now.micros()))
                .filter(tokens::expires.le(until.micros()))
                .filter(tokens::expiry_told.is_null().or(diesel::dsl::not(told)))
        };
        // Most of the time there is none: no write for that.
        let some = self.read("tokens that end soon are looked for", |connection| {
            ending().select(tokens::id).first::<String>(connection).optional()
        });
        if some.map_err(unavailable)?.is_none() {
            return Ok(0);
        }
        let told = self.writer.write(&mut |connection| {
            let told: Vec<(String, i64, String)> = diesel::update(ending())
                .set(tokens::expiry_told.eq(tokens::expires))
                .returning((tokens::id, tokens::tenant, tokens::name))
                .get_results(connection)?;
            for (id, tenant, name) in &told {
                let change = Change::of(Act::Expiring, name, &["expires"], now, by);
                record(connection, TenantId::new(*tenant), &TokenId::new(id.as_str()), &change)?;
            }
            Ok(told.len())
        });
        told.map_err(token_error)
    }
}
