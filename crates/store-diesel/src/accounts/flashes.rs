//! What is shown once, as sealed rows.

use diesel::prelude::*;
use headcount_core::clock::Timestamp;
use headcount_token_admin::StoreError;
use headcount_token_admin::accounts::{FlashRow, FlashStore, Secret};

use crate::schema::flashes;
use crate::store::Store;

impl FlashStore for Store {
    fn insert_flash(&self, flash: &FlashRow, now: Timestamp) -> Result<(), StoreError> {
        self.write_admin(|connection| {
            let old = flashes::table.filter(flashes::expires.le(now.micros()));
            diesel::delete(old).execute(connection)?;
            let values = (
                flashes::session.eq(flash.session.as_str()),
                flashes::id.eq(&flash.id),
                flashes::sealed.eq(&flash.sealed),
                flashes::expires.eq(flash.expires.micros()),
            );
            diesel::insert_into(flashes::table).values(values).execute(connection)?;
            Ok(())
        })
    }

    fn take_flash(
        &self,
        session: &Secret,
        id: &str,
        now: Timestamp,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        self.write_admin(|connection| {
            // Of several that ask at once, one deletes the row.
            let own = flashes::table
                .filter(flashes::session.eq(session.as_str()))
                .filter(flashes::id.eq(id))
                .filter(flashes::expires.gt(now.micros()));
            let taken = diesel::delete(own).returning(flashes::sealed);
            Ok(taken.get_result::<Vec<u8>>(connection).optional()?)
        })
    }
}
