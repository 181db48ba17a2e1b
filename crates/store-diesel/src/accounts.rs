//! Accounts of the console, with their sessions and links, as rows.

mod attempts;
mod flashes;
mod links;

use diesel::dsl::Eq;
use diesel::prelude::*;
use headcount_core::change::{Act, Author, Change};
use headcount_core::clock::Timestamp;
use headcount_records::mac::MacKeys;
use headcount_token_admin::accounts::{
    ADMIN_KIND, AccountStore, Admin, AdminRow, Attempt, ClientNetwork, LinkRow, Password, Role,
    RoleChange, SERVER, SESSION_KIND, SESSION_MAX_AGE, SealedTotp, Secret, SessionRow, throttle,
};
use headcount_token_admin::{StoreError, TokenHash};

use crate::changes::append_other;
use crate::connection::DbConnection;
use crate::schema::{admin_sessions, admins, login_failures, login_places};
use crate::sql::Sql;
use crate::store::Store;

#[derive(Queryable, Selectable)]
#[diesel(table_name = admins)]
struct Row {
    name: String,
    role: String,
    totp: Option<Vec<u8>>,
    created: i64,
    last_login: Option<i64>,
}

impl Row {
    fn admin(self) -> Admin {
        Admin {
            name: self.name,
            // A role that this release does not know gets the fewest rights.
            role: Role::parse(&self.role).unwrap_or(Role::Auditor),
            second_factor: self.totp.is_some(),
            created: Timestamp::from_micros(self.created),
            last_login: self.last_login.map(Timestamp::from_micros),
        }
    }
}

fn record(
    connection: &mut DbConnection,
    keys: &MacKeys,
    name: &str,
    change: &Change,
) -> QueryResult<()> {
    append_other(connection, keys, SERVER, change, ADMIN_KIND, name)
}

fn end_sessions(connection: &mut DbConnection, name: &str) -> QueryResult<usize> {
    let own = admin_sessions::table.filter(admin_sessions::admin.eq(name));
    diesel::delete(own).execute(connection)
}

type PasswordValues<'p> = (Eq<admins::phc, &'p str>, Eq<admins::stands_alone, Option<i32>>);

fn password_values(password: &Password) -> PasswordValues<'_> {
    (
        admins::phc.eq(password.hash.to_store()),
        admins::stands_alone.eq(password.stands_alone.map(i32::from)),
    )
}

/// Locks the rows of all owners, so that of two owners who demote each other the second sees the first change.
fn lock_owners(connection: &mut DbConnection) -> QueryResult<usize> {
    let owners = admins::table.filter(admins::role.eq(Role::Owner.word()));
    diesel::update(owners).set(admins::role.eq(Role::Owner.word())).execute(connection)
}

/// Checks that an account may lose its rights. The owners must be locked.
fn check_role_change(connection: &mut DbConnection, name: &str) -> QueryResult<RoleChange> {
    let row = admins::table.filter(admins::name.eq(name)).select(admins::role);
    let Some(role) = row.first::<String>(connection).optional()? else {
        return Ok(RoleChange::Missing);
    };
    let owners = admins::table.filter(admins::role.eq(Role::Owner.word()));
    let owners: i64 = owners.count().get_result(connection)?;
    let last = role == Role::Owner.word() && owners <= 1;
    Ok(if last { RoleChange::LastOwner } else { RoleChange::Made })
}

impl AccountStore for Store {
    fn any_admin(&self) -> Result<bool, StoreError> {
        let first = self.read_admin("accounts are looked for", |connection| {
            admins::table.select(admins::name).first::<String>(connection).optional()
        })?;
        Ok(first.is_some())
    }

    fn admins(&self) -> Result<Vec<Admin>, StoreError> {
        let rows = self.read_admin("accounts are listed", |connection| {
            admins::table.select(Row::as_select()).order(admins::name).load::<Row>(connection)
        })?;
        Ok(rows.into_iter().map(Row::admin).collect())
    }

    fn admin(&self, name: &str) -> Result<Option<AdminRow>, StoreError> {
        let row = self.read_admin("an account is read", |connection| {
            admins::table
                .filter(admins::name.eq(name))
                .select((Row::as_select(), admins::phc, admins::stands_alone))
                .first::<(Row, String, Option<i32>)>(connection)
                .optional()
        })?;
        Ok(row.map(|(row, phc, alone)| AdminRow {
            totp: row.totp.clone().map(SealedTotp::from_store),
            admin: row.admin(),
            password: Password {
                hash: TokenHash::from_store(phc),
                stands_alone: alone.map(|alone| alone != 0),
            },
        }))
    }

    fn insert_link(&self, link: &LinkRow, at: Timestamp, by: &Author) -> Result<(), StoreError> {
        links::insert(self, link, at, by)
    }

    fn link(&self, secret: &Secret, now: Timestamp) -> Result<Option<LinkRow>, StoreError> {
        links::find(self, secret, now)
    }

    fn redeem(
        &self,
        secret: &Secret,
        row: &AdminRow,
        at: Timestamp,
        by: &Author,
    ) -> Result<bool, StoreError> {
        links::redeem(self, secret, row, at, by)
    }

    fn set_password(
        &self,
        name: &str,
        password: &Password,
        at: Timestamp,
        by: &Author,
    ) -> Result<bool, StoreError> {
        self.write_admin(|connection| {
            let account = admins::table.filter(admins::name.eq(name));
            let values = password_values(password);
            let updated = match password.stands_alone {
                Some(true) => diesel::update(account).set(values).execute(connection)?,
                // The second factor may have been switched off since it was looked for.
                _ => diesel::update(account.filter(admins::totp.is_not_null()))
                    .set(values)
                    .execute(connection)?,
            };
            if updated == 0 {
                return Ok(false);
            }
            end_sessions(connection, name)?;
            record(
                connection,
                self.keys(),
                name,
                &Change::of(Act::Changed, name, &["password"], at, by),
            )?;
            Ok(true)
        })
    }

    fn rehash(&self, name: &str, old: &TokenHash, password: &Password) -> Result<(), StoreError> {
        self.write_admin(|connection| {
            let same =
                admins::table.filter(admins::name.eq(name)).filter(admins::phc.eq(old.to_store()));
            diesel::update(same).set(password_values(password)).execute(connection)?;
            Ok(())
        })
    }

    fn set_totp(
        &self,
        name: &str,
        secret: &SealedTotp,
        at: Timestamp,
        by: &Author,
    ) -> Result<bool, StoreError> {
        self.write_admin(|connection| {
            let account = admins::table.filter(admins::name.eq(name));
            let values = admins::totp.eq(secret.to_store());
            if diesel::update(account).set(values).execute(connection)? == 0 {
                return Ok(false);
            }
            record(
                connection,
                self.keys(),
                name,
                &Change::of(Act::Changed, name, &["secondFactor"], at, by),
            )?;
            Ok(true)
        })
    }

    fn reseal(&self, name: &str, old: &SealedTotp, new: &SealedTotp) -> Result<(), StoreError> {
        self.write_admin(|connection| {
            let same =
                admins::table.filter(admins::name.eq(name)).filter(admins::totp.eq(old.to_store()));
            diesel::update(same).set(admins::totp.eq(new.to_store())).execute(connection)?;
            Ok(())
        })
    }

    fn remove_totp(
        &self,
        name: &str,
        password: Option<&Password>,
        at: Timestamp,
        by: &Author,
    ) -> Result<bool, StoreError> {
        self.write_admin(|connection| {
            if let Some(password) = password {
                let account = admins::table.filter(admins::name.eq(name));
                diesel::update(account).set(password_values(password)).execute(connection)?;
                end_sessions(connection, name)?;
            }
            let alone =
                admins::table.filter(admins::name.eq(name)).filter(admins::stands_alone.eq(1));
            let without = admins::totp.eq(None::<Vec<u8>>);
            if diesel::update(alone).set(without).execute(connection)? == 0 {
                return Ok(false);
            }
            let paths: &[&str] = match password {
                Some(_) => &["password", "secondFactor"],
                None => &["secondFactor"],
            };
            record(connection, self.keys(), name, &Change::of(Act::Changed, name, paths, at, by))?;
            Ok(true)
        })
    }

    fn use_step(&self, name: &str, step: i64) -> Result<bool, StoreError> {
        self.write_admin(|connection| {
            let unused =
                admins::table.filter(admins::name.eq(name)).filter(admins::totp_step.lt(step));
            let used =
                diesel::update(unused).set(admins::totp_step.eq(step)).execute(connection)?;
            Ok(used > 0)
        })
    }

    fn set_role(
        &self,
        name: &str,
        role: Role,
        at: Timestamp,
        by: &Author,
    ) -> Result<RoleChange, StoreError> {
        self.write_admin(|connection| {
            lock_owners(connection)?;
            match check_role_change(connection, name)? {
                RoleChange::Missing => return Ok(RoleChange::Missing),
                RoleChange::LastOwner if role != Role::Owner => return Ok(RoleChange::LastOwner),
                RoleChange::LastOwner | RoleChange::Made => {}
            }
            let account = admins::table.filter(admins::name.eq(name));
            diesel::update(account).set(admins::role.eq(role.word())).execute(connection)?;
            end_sessions(connection, name)?;
            links::end(connection, name)?;
            record(
                connection,
                self.keys(),
                name,
                &Change::of(Act::Changed, name, &["role", role.word()], at, by),
            )?;
            Ok(RoleChange::Made)
        })
    }

    fn remove_admin(
        &self,
        name: &str,
        at: Timestamp,
        by: &Author,
    ) -> Result<RoleChange, StoreError> {
        self.write_admin(|connection| {
            lock_owners(connection)?;
            let outcome = check_role_change(connection, name)?;
            if outcome == RoleChange::Made {
                let account = admins::table.filter(admins::name.eq(name));
                diesel::delete(account).execute(connection)?;
                links::end(connection, name)?;
                links::end_for(connection, name)?;
                record(
                    connection,
                    self.keys(),
                    name,
                    &Change::of(Act::Deleted, name, &[], at, by),
                )?;
            }
            Ok(outcome)
        })
    }

    fn insert_session(
        &self,
        session: &SessionRow,
        network: &ClientNetwork,
        by: &Author,
    ) -> Result<(), StoreError> {
        let (id, change) = session.creation(network, by);
        self.write_admin(|connection| {
            let at = session.created;
            let account = admins::table.filter(admins::name.eq(&session.admin));
            diesel::update(account).set(admins::last_login.eq(at.micros())).execute(connection)?;
            let oldest = at.minus(SESSION_MAX_AGE).micros();
            let old = admin_sessions::table.filter(admin_sessions::created.le(oldest));
            diesel::delete(old).execute(connection)?;
            let forgotten = at.minus(throttle::COUNT_LIFE).micros();
            let old = login_failures::table.filter(login_failures::last.le(forgotten));
            diesel::delete(old).execute(connection)?;
            let values = (
                admin_sessions::digest.eq(session.secret.as_str()),
                admin_sessions::admin.eq(&session.admin),
                admin_sessions::created.eq(at.micros()),
                admin_sessions::seen.eq(session.seen.micros()),
                admin_sessions::proven.eq(session.proven.micros()),
            );
            diesel::insert_into(admin_sessions::table).values(values).execute(connection)?;
            Sql::new("INSERT INTO login_places (admin, place, last) VALUES (")
                .string(&session.admin)
                .text(", ")
                .string(network.as_str())
                .text(", ")
                .int(at.micros())
                .text(") ON CONFLICT (admin, place) DO UPDATE SET last = excluded.last")
                .query::<()>()
                .execute(connection)?;
            Ok(append_other(connection, self.keys(), SERVER, &change, SESSION_KIND, &id)?)
        })
    }

    fn record(&self, kind: &str, id: &str, change: &Change) -> Result<(), StoreError> {
        self.write_admin(|connection| {
            Ok(append_other(connection, self.keys(), SERVER, change, kind, id)?)
        })
    }

    fn session(&self, secret: &Secret) -> Result<Option<(SessionRow, Admin)>, StoreError> {
        let row = self.read_admin("a session is read", |connection| {
            admin_sessions::table
                .inner_join(admins::table.on(admins::name.eq(admin_sessions::admin)))
                .filter(admin_sessions::digest.eq(secret.as_str()))
                .select((
                    (admin_sessions::created, admin_sessions::seen, admin_sessions::proven),
                    Row::as_select(),
                ))
                .first::<((i64, i64, i64), Row)>(connection)
                .optional()
        })?;
        Ok(row.map(|((created, seen, proven), row)| {
            let session = SessionRow {
                secret: secret.clone(),
                admin: row.name.clone(),
                created: Timestamp::from_micros(created),
                seen: Timestamp::from_micros(seen),
                proven: Timestamp::from_micros(proven),
            };
            (session, row.admin())
        }))
    }

    fn touch_session(
        &self,
        secret: &Secret,
        seen: Timestamp,
        proven: Timestamp,
    ) -> Result<(), StoreError> {
        self.write_admin(|connection| {
            let own = admin_sessions::table.filter(admin_sessions::digest.eq(secret.as_str()));
            let values = (
                admin_sessions::seen.eq(seen.micros()),
                admin_sessions::proven.eq(proven.micros()),
            );
            diesel::update(own).set(values).execute(connection)?;
            Ok(())
        })
    }

    fn end_session(&self, secret: &Secret) -> Result<(), StoreError> {
        self.write_admin(|connection| {
            let own = admin_sessions::table.filter(admin_sessions::digest.eq(secret.as_str()));
            diesel::delete(own).execute(connection)?;
            Ok(())
        })
    }

    fn end_sessions(
        &self,
        name: Option<&str>,
        at: Timestamp,
        by: &Author,
    ) -> Result<(), StoreError> {
        self.write_admin(|connection| {
            match name {
                Some(name) => end_sessions(connection, name)?,
                None => diesel::delete(admin_sessions::table).execute(connection)?,
            };
            let whose = name.unwrap_or("everybody");
            record(
                connection,
                self.keys(),
                whose,
                &Change::of(Act::Changed, whose, &["sessions"], at, by),
            )?;
            Ok(())
        })
    }

    fn knows(&self, name: &str, network: &str, since: Timestamp) -> Result<bool, StoreError> {
        let last = self.read_admin("a known network is looked for", |connection| {
            login_places::table
                .filter(login_places::admin.eq(name))
                .filter(login_places::place.eq(network))
                .filter(login_places::last.gt(since.micros()))
                .select(login_places::last)
                .first::<i64>(connection)
                .optional()
        })?;
        Ok(last.is_some())
    }

    fn attempt(&self, subjects: &[String], now: Timestamp) -> Result<Attempt, StoreError> {
        attempts::attempt(self, subjects, now)
    }

    fn reset_attempts(&self, own: &[String], shared: &[String]) -> Result<(), StoreError> {
        attempts::reset_attempts(self, own, shared)
    }
}
