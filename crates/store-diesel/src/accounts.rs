//! Accounts of the console as rows.

mod attempts;

use diesel::prelude::*;
use headcount_core::Error;
use headcount_core::change::{Act, Author, Change};
use headcount_core::clock::Timestamp;
use headcount_core::provider::ProviderError;
use headcount_token_admin::accounts::{
    ADMIN_KIND, AccountStore, Admin, AdminRow, Attempt, Guarded, LONGEST, LinkPurpose, LinkRow,
    Role, SERVER, Secret, SessionRow, TotpSecret, throttle,
};
use headcount_token_admin::{StoreError, TokenHash};

use crate::changes::append_other;
use crate::connection::DbConnection;
use crate::error::{Meaning, WriteError, meaning, token_error};
use crate::schema::{admin_sessions, admins, login_failures, login_places, setup_links};
use crate::sql::Sql;
use crate::store::Store;
use crate::tenants::unavailable;

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
            // A role that this release does not know may do the least.
            role: Role::parse(&self.role).unwrap_or(Role::Auditor),
            second_factor: self.totp.is_some(),
            created: Timestamp::from_micros(self.created),
            last_login: self.last_login.map(Timestamp::from_micros),
        }
    }
}

fn record(
    connection: &mut DbConnection,
    name: &str,
    (act, paths): (Act, &[&str]),
    at: Timestamp,
    by: &Author,
) -> QueryResult<()> {
    let change = Change::of(act, name, paths, at, by);
    append_other(connection, SERVER, &change, ADMIN_KIND, name)
}

fn end_sessions(connection: &mut DbConnection, name: &str) -> QueryResult<usize> {
    let own = admin_sessions::table.filter(admin_sessions::admin.eq(name));
    diesel::delete(own).execute(connection)
}

/// Locks the owners, so that of two who demote each other the second sees what the first did.
fn lock_owners(connection: &mut DbConnection) -> QueryResult<usize> {
    let owners = admins::table.filter(admins::role.eq(Role::Owner.word()));
    diesel::update(owners).set(admins::role.eq(Role::Owner.word())).execute(connection)
}

/// Tells whether an account may lose its rights. The owners are locked.
fn guard(connection: &mut DbConnection, name: &str) -> QueryResult<Guarded> {
    let row = admins::table.filter(admins::name.eq(name)).select(admins::role);
    let Some(role) = row.first::<String>(connection).optional()? else {
        return Ok(Guarded::Missing);
    };
    let owners = admins::table.filter(admins::role.eq(Role::Owner.word()));
    let owners: i64 = owners.count().get_result(connection)?;
    let last = role == Role::Owner.word() && owners <= 1;
    Ok(if last { Guarded::LastOwner } else { Guarded::Done })
}

/// Takes back what the job did so far, on purpose.
fn undone() -> WriteError {
    WriteError::Refused(ProviderError::NotFound.into())
}

fn is_undone(error: &WriteError) -> bool {
    matches!(error, WriteError::Refused(Error::Provider(ProviderError::NotFound)))
}

impl LinkWords for LinkPurpose {
    fn words(&self) -> (&'static str, Option<&str>, Option<&'static str>) {
        match self {
            Self::First => ("first", None, None),
            Self::Recover(name) => ("recover", Some(name), None),
            Self::Invite(name, role) => ("invite", Some(name), Some(role.word())),
        }
    }
}

/// How the purpose of a link is stored.
trait LinkWords {
    fn words(&self) -> (&'static str, Option<&str>, Option<&'static str>);
}

type LinkColumns = (String, Option<String>, Option<String>, i64);

fn link_row(secret: &Secret, (purpose, name, role, expires): LinkColumns) -> Option<LinkRow> {
    let purpose = match purpose.as_str() {
        "first" => LinkPurpose::First,
        "recover" => LinkPurpose::Recover(name?),
        "invite" => LinkPurpose::Invite(name?, Role::parse(&role?)?),
        _ => return None,
    };
    Some(LinkRow { secret: secret.clone(), purpose, expires: Timestamp::from_micros(expires) })
}

fn insert_admin(
    connection: &mut DbConnection,
    row: &AdminRow,
    first: Option<i32>,
) -> QueryResult<usize> {
    let values = (
        admins::name.eq(&row.admin.name),
        admins::role.eq(row.admin.role.word()),
        admins::phc.eq(row.hash.to_store()),
        admins::created.eq(row.admin.created.micros()),
        admins::first.eq(first),
    );
    diesel::insert_into(admins::table).values(values).execute(connection)
}

/// Makes the account that a used link was for; false when it is too late for that.
fn make(
    connection: &mut DbConnection,
    purpose: &str,
    row: &AdminRow,
    at: Timestamp,
    by: &Author,
) -> QueryResult<bool> {
    let name = row.admin.name.as_str();
    if purpose == "recover" {
        let values = (admins::phc.eq(row.hash.to_store()), admins::totp.eq(None::<Vec<u8>>));
        let account = admins::table.filter(admins::name.eq(name));
        if diesel::update(account).set(values).execute(connection)? == 0 {
            return Ok(false);
        }
        end_sessions(connection, name)?;
        record(connection, name, (Act::Changed, &["password", "recovered"]), at, by)?;
        return Ok(true);
    }
    let first = purpose == "first";
    if first && admins::table.count().get_result::<i64>(connection)? > 0 {
        return Ok(false);
    }
    insert_admin(connection, row, first.then_some(1))?;
    record(connection, name, (Act::Created, &[row.admin.role.word()]), at, by)?;
    Ok(true)
}

impl AccountStore for Store {
    fn any_admin(&self) -> Result<bool, StoreError> {
        let first = self.read("accounts are looked for", |connection| {
            admins::table.select(admins::name).first::<String>(connection).optional()
        });
        first.map(|first| first.is_some()).map_err(unavailable)
    }

    fn admins(&self) -> Result<Vec<Admin>, StoreError> {
        let rows = self.read("accounts are listed", |connection| {
            admins::table.select(Row::as_select()).order(admins::name).load::<Row>(connection)
        });
        rows.map(|rows| rows.into_iter().map(Row::admin).collect()).map_err(unavailable)
    }

    fn admin(&self, name: &str) -> Result<Option<AdminRow>, StoreError> {
        let row = self.read("an account is read", |connection| {
            admins::table
                .filter(admins::name.eq(name))
                .select((Row::as_select(), admins::phc))
                .first::<(Row, String)>(connection)
                .optional()
        });
        Ok(row.map_err(unavailable)?.map(|(row, phc)| AdminRow {
            totp: row.totp.clone().map(TotpSecret::from_store),
            admin: row.admin(),
            hash: TokenHash::from_store(phc),
        }))
    }

    fn insert_link(&self, link: &LinkRow, now: Timestamp) -> Result<(), StoreError> {
        let (purpose, admin, role) = link.purpose.words();
        let done = self.writer.write(&mut |connection| {
            let old = setup_links::table.filter(setup_links::expires.le(now.micros()));
            diesel::delete(old).execute(connection)?;
            let values = (
                setup_links::digest.eq(link.secret.as_str()),
                setup_links::purpose.eq(purpose),
                setup_links::admin.eq(admin),
                setup_links::role.eq(role),
                setup_links::expires.eq(link.expires.micros()),
            );
            Ok(diesel::insert_into(setup_links::table)
                .values(values)
                .execute(connection)
                .map(drop)?)
        });
        done.map_err(token_error)
    }

    fn link(&self, secret: &Secret, now: Timestamp) -> Result<Option<LinkRow>, StoreError> {
        let row = self.read("a link is read", |connection| {
            setup_links::table
                .filter(setup_links::digest.eq(secret.as_str()))
                .filter(setup_links::expires.gt(now.micros()))
                .select((
                    setup_links::purpose,
                    setup_links::admin,
                    setup_links::role,
                    setup_links::expires,
                ))
                .first::<LinkColumns>(connection)
                .optional()
        });
        let link = row.map_err(unavailable)?.and_then(|row| link_row(secret, row));
        match link {
            Some(link) if link.purpose == LinkPurpose::First && self.any_admin()? => Ok(None),
            link => Ok(link),
        }
    }

    fn redeem(
        &self,
        secret: &Secret,
        row: &AdminRow,
        at: Timestamp,
        by: &Author,
    ) -> Result<bool, StoreError> {
        let done = self.writer.write(&mut |connection| {
            // Of many who use a link at once, one deletes its row.
            let own = setup_links::table
                .filter(setup_links::digest.eq(secret.as_str()))
                .filter(setup_links::expires.gt(at.micros()));
            let used = diesel::delete(own).returning(setup_links::purpose);
            let Some(purpose) = used.get_result::<String>(connection).optional()? else {
                return Ok(false);
            };
            let first = purpose == LinkPurpose::First.words().0;
            match make(connection, &purpose, row, at, by) {
                Ok(made) => Ok(made),
                // Of several links for the first account, the constraint lets one through.
                Err(error) if first && meaning(&error) == Meaning::Constraint => Err(undone()),
                Err(error) => Err(error.into()),
            }
        });
        match done {
            Ok(made) => Ok(made),
            Err(error) if is_undone(&error) => Ok(false),
            Err(error) => Err(token_error(error)),
        }
    }

    fn set_password(
        &self,
        name: &str,
        hash: &TokenHash,
        at: Timestamp,
        by: &Author,
    ) -> Result<bool, StoreError> {
        let done = self.writer.write(&mut |connection| {
            let account = admins::table.filter(admins::name.eq(name));
            let values = admins::phc.eq(hash.to_store());
            if diesel::update(account).set(values).execute(connection)? == 0 {
                return Ok(false);
            }
            end_sessions(connection, name)?;
            record(connection, name, (Act::Changed, &["password"]), at, by)?;
            Ok(true)
        });
        done.map_err(token_error)
    }

    fn set_totp(
        &self,
        name: &str,
        secret: Option<&TotpSecret>,
        at: Timestamp,
        by: &Author,
    ) -> Result<bool, StoreError> {
        let done = self.writer.write(&mut |connection| {
            let account = admins::table.filter(admins::name.eq(name));
            let values = admins::totp.eq(secret.map(TotpSecret::to_store));
            if diesel::update(account).set(values).execute(connection)? == 0 {
                return Ok(false);
            }
            record(connection, name, (Act::Changed, &["secondFactor"]), at, by)?;
            Ok(true)
        });
        done.map_err(token_error)
    }

    fn use_step(&self, name: &str, step: i64) -> Result<bool, StoreError> {
        let used = self.writer.write(&mut |connection| {
            let unused =
                admins::table.filter(admins::name.eq(name)).filter(admins::totp_step.lt(step));
            Ok(diesel::update(unused).set(admins::totp_step.eq(step)).execute(connection)?)
        });
        used.map(|rows| rows > 0).map_err(token_error)
    }

    fn set_role(
        &self,
        name: &str,
        role: Role,
        at: Timestamp,
        by: &Author,
    ) -> Result<Guarded, StoreError> {
        let done = self.writer.write(&mut |connection| {
            lock_owners(connection)?;
            let guarded = guard(connection, name)?;
            if guarded == Guarded::Missing || (guarded == Guarded::LastOwner && role != Role::Owner)
            {
                return Ok(guarded);
            }
            let account = admins::table.filter(admins::name.eq(name));
            diesel::update(account).set(admins::role.eq(role.word())).execute(connection)?;
            end_sessions(connection, name)?;
            record(connection, name, (Act::Changed, &["role", role.word()]), at, by)?;
            Ok(Guarded::Done)
        });
        done.map_err(token_error)
    }

    fn remove_admin(&self, name: &str, at: Timestamp, by: &Author) -> Result<Guarded, StoreError> {
        let done = self.writer.write(&mut |connection| {
            lock_owners(connection)?;
            let guarded = guard(connection, name)?;
            if guarded == Guarded::Done {
                let account = admins::table.filter(admins::name.eq(name));
                diesel::delete(account).execute(connection)?;
                record(connection, name, (Act::Deleted, &[]), at, by)?;
            }
            Ok(guarded)
        });
        done.map_err(token_error)
    }

    fn insert_session(&self, session: &SessionRow, place: &str) -> Result<(), StoreError> {
        let done = self.writer.write(&mut |connection| {
            let at = session.created;
            let account = admins::table.filter(admins::name.eq(&session.admin));
            diesel::update(account).set(admins::last_login.eq(at.micros())).execute(connection)?;
            let oldest = at.plus_seconds(-LONGEST).micros();
            let old = admin_sessions::table.filter(admin_sessions::created.le(oldest));
            diesel::delete(old).execute(connection)?;
            let forgotten = at.plus_seconds(-throttle::FORGET).micros();
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
                .string(place)
                .text(", ")
                .int(at.micros())
                .text(") ON CONFLICT (admin, place) DO UPDATE SET last = excluded.last")
                .query::<()>()
                .execute(connection)?;
            Ok(())
        });
        done.map_err(token_error)
    }

    fn session(&self, secret: &Secret) -> Result<Option<(SessionRow, Admin)>, StoreError> {
        let row = self.read("a session is read", |connection| {
            admin_sessions::table
                .inner_join(admins::table.on(admins::name.eq(admin_sessions::admin)))
                .filter(admin_sessions::digest.eq(secret.as_str()))
                .select((
                    (admin_sessions::created, admin_sessions::seen, admin_sessions::proven),
                    Row::as_select(),
                ))
                .first::<((i64, i64, i64), Row)>(connection)
                .optional()
        });
        Ok(row.map_err(unavailable)?.map(|((created, seen, proven), row)| {
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
        let done = self.writer.write(&mut |connection| {
            let own = admin_sessions::table.filter(admin_sessions::digest.eq(secret.as_str()));
            let values = (
                admin_sessions::seen.eq(seen.micros()),
                admin_sessions::proven.eq(proven.micros()),
            );
            Ok(diesel::update(own).set(values).execute(connection).map(drop)?)
        });
        done.map_err(token_error)
    }

    fn end_session(&self, secret: &Secret) -> Result<(), StoreError> {
        let done = self.writer.write(&mut |connection| {
            let own = admin_sessions::table.filter(admin_sessions::digest.eq(secret.as_str()));
            Ok(diesel::delete(own).execute(connection).map(drop)?)
        });
        done.map_err(token_error)
    }

    fn end_sessions(
        &self,
        name: Option<&str>,
        at: Timestamp,
        by: &Author,
    ) -> Result<(), StoreError> {
        let done = self.writer.write(&mut |connection| {
            match name {
                Some(name) => end_sessions(connection, name)?,
                None => diesel::delete(admin_sessions::table).execute(connection)?,
            };
            let whose = name.unwrap_or("everybody");
            Ok(record(connection, whose, (Act::Changed, &["sessions"]), at, by)?)
        });
        done.map_err(token_error)
    }

    fn knows(&self, name: &str, place: &str, since: Timestamp) -> Result<bool, StoreError> {
        let row = self.read("a place is looked for", |connection| {
            login_places::table
                .filter(login_places::admin.eq(name))
                .filter(login_places::place.eq(place))
                .filter(login_places::last.gt(since.micros()))
                .select(login_places::last)
                .first::<i64>(connection)
                .optional()
        });
        row.map(|row| row.is_some()).map_err(unavailable)
    }

    fn attempt(&self, subjects: &[String], now: Timestamp) -> Result<Attempt, StoreError> {
        attempts::attempt(self, subjects, now)
    }

    fn forgive(&self, own: &[String], shared: &[String]) -> Result<(), StoreError> {
        attempts::forgive(self, own, shared)
    }
}
