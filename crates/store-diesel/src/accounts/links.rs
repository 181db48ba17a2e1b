//! Links to accounts, as rows.

use diesel::prelude::*;
use headcount_core::change::{Act, Author, Change};
use headcount_core::clock::Timestamp;
use headcount_records::mac::MacKeys;
use headcount_token_admin::StoreError;
use headcount_token_admin::accounts::{
    AccountStore as _, AdminRow, LINK_KIND, LinkPurpose, LinkRow, Role, SERVER, Secret,
};

use super::{end_sessions, password_values, record};
use crate::changes::append_other;
use crate::connection::DbConnection;
use crate::error::{DbErrorKind, WriteError, admin_error, classify};
use crate::schema::{admins, setup_links};
use crate::store::Store;

const FIRST: &str = "first";
const RECOVER: &str = "recover";
const INVITE: &str = "invite";

/// Returns the columns of a link's purpose: its word, the account and the role.
fn purpose_columns(purpose: &LinkPurpose) -> (&'static str, Option<&str>, Option<&'static str>) {
    match purpose {
        LinkPurpose::First => (FIRST, None, None),
        LinkPurpose::Recover(name) => (RECOVER, Some(name), None),
        LinkPurpose::Invite(name, role) => (INVITE, Some(name), Some(role.word())),
    }
}

/// Purpose, account, role, end and giver.
type LinkColumns = (String, Option<String>, Option<String>, i64, Option<String>);

fn link_row(
    secret: &Secret,
    (purpose, name, role, expires, giver): LinkColumns,
) -> Option<LinkRow> {
    let purpose = match purpose.as_str() {
        FIRST => LinkPurpose::First,
        RECOVER => LinkPurpose::Recover(name?),
        INVITE => LinkPurpose::Invite(name?, Role::parse(&role?)?),
        _ => return None,
    };
    let expires = Timestamp::from_micros(expires);
    Some(LinkRow { secret: secret.clone(), purpose, expires, giver })
}

fn insert_admin(
    connection: &mut DbConnection,
    row: &AdminRow,
    first: Option<i32>,
) -> QueryResult<usize> {
    let values = (
        admins::name.eq(&row.admin.name),
        admins::role.eq(row.admin.role.word()),
        password_values(&row.password),
        admins::created.eq(row.admin.created.micros()),
        admins::first.eq(first),
    );
    diesel::insert_into(admins::table).values(values).execute(connection)
}

/// Makes the account that a used link is for, or changes it; false when the account, or its absence, that the
/// link was made for is gone.
fn apply_link(
    connection: &mut DbConnection,
    keys: &MacKeys,
    purpose: &LinkPurpose,
    row: &AdminRow,
    at: Timestamp,
    by: &Author,
) -> QueryResult<bool> {
    let name = row.admin.name.as_str();
    if matches!(purpose, LinkPurpose::Recover(_)) {
        let values = (password_values(&row.password), admins::totp.eq(None::<Vec<u8>>));
        let account = admins::table.filter(admins::name.eq(name));
        if diesel::update(account).set(values).execute(connection)? == 0 {
            return Ok(false);
        }
        end_sessions(connection, name)?;
        record(
            connection,
            keys,
            name,
            &Change::of(Act::Changed, name, &["password", "recovered"], at, by),
        )?;
        return Ok(true);
    }
    let first = *purpose == LinkPurpose::First;
    if first && admins::table.count().get_result::<i64>(connection)? > 0 {
        return Ok(false);
    }
    insert_admin(connection, row, first.then_some(1))?;
    record(
        connection,
        keys,
        name,
        &Change::of(Act::Created, name, &[row.admin.role.word()], at, by),
    )?;
    Ok(true)
}

/// Returns the role that the account which made a link has now.
fn giver_role(connection: &mut DbConnection, link: &LinkRow) -> QueryResult<Option<Role>> {
    let Some(giver) = &link.giver else { return Ok(None) };
    let account = admins::table.filter(admins::name.eq(giver)).select(admins::role);
    let role = account.first::<String>(connection).optional()?;
    Ok(role.and_then(|word| Role::parse(&word)))
}

/// Deletes the links that an account made.
pub(super) fn end(connection: &mut DbConnection, giver: &str) -> QueryResult<usize> {
    let own = setup_links::table.filter(setup_links::giver.eq(giver));
    diesel::delete(own).execute(connection)
}

/// Deletes the links for an account.
pub(super) fn end_for(connection: &mut DbConnection, name: &str) -> QueryResult<usize> {
    let own = setup_links::table.filter(setup_links::admin.eq(name));
    diesel::delete(own).execute(connection)
}

pub(super) fn insert(
    store: &Store,
    link: &LinkRow,
    at: Timestamp,
    by: &Author,
) -> Result<(), StoreError> {
    let (purpose, admin, role) = purpose_columns(&link.purpose);
    let creation = link.creation(at, by);
    let mut stands = true;
    store.write_admin(|connection| {
        if let Some(giver) = &link.giver {
            // Locks the giver: what takes its rights away waits, and then finds the link.
            let own = admins::table.filter(admins::name.eq(giver));
            diesel::update(own).set(admins::role.eq(admins::role)).execute(connection)?;
        }
        stands = link.stands(giver_role(connection, link)?);
        if !stands {
            return Ok(());
        }
        let old = setup_links::table.filter(setup_links::expires.le(at.micros()));
        diesel::delete(old).execute(connection)?;
        let values = (
            setup_links::digest.eq(link.secret.as_str()),
            setup_links::purpose.eq(purpose),
            setup_links::admin.eq(admin),
            setup_links::role.eq(role),
            setup_links::expires.eq(link.expires.micros()),
            setup_links::giver.eq(&link.giver),
        );
        diesel::insert_into(setup_links::table).values(values).execute(connection)?;
        if let Some((id, change)) = &creation {
            append_other(connection, store.keys(), SERVER, change, LINK_KIND, id)?;
        }
        Ok(())
    })?;
    if stands { Ok(()) } else { Err(StoreError::Missing) }
}

pub(super) fn find(
    store: &Store,
    secret: &Secret,
    now: Timestamp,
) -> Result<Option<LinkRow>, StoreError> {
    let link = store.read_admin("a link is read", |connection| {
        let row = setup_links::table
            .filter(setup_links::digest.eq(secret.as_str()))
            .filter(setup_links::expires.gt(now.micros()))
            .select((
                setup_links::purpose,
                setup_links::admin,
                setup_links::role,
                setup_links::expires,
                setup_links::giver,
            ))
            .first::<LinkColumns>(connection)
            .optional()?;
        let Some(link) = row.and_then(|row| link_row(secret, row)) else { return Ok(None) };
        Ok(link.stands(giver_role(connection, &link)?).then_some(link))
    })?;
    match link {
        Some(link) if link.purpose == LinkPurpose::First && store.any_admin()? => Ok(None),
        link => Ok(link),
    }
}

pub(super) fn redeem(
    store: &Store,
    secret: &Secret,
    row: &AdminRow,
    at: Timestamp,
    by: &Author,
) -> Result<bool, StoreError> {
    let mut first = false;
    let outcome = store.writer.write(&mut |connection| {
        // Of several that use a link at once, one deletes its row.
        let own = setup_links::table
            .filter(setup_links::digest.eq(secret.as_str()))
            .filter(setup_links::expires.gt(at.micros()));
        let used = diesel::delete(own).returning((
            setup_links::purpose,
            setup_links::admin,
            setup_links::role,
            setup_links::expires,
            setup_links::giver,
        ));
        let used = used.get_result::<LinkColumns>(connection).optional()?;
        let Some(link) = used.and_then(|columns| link_row(secret, columns)) else {
            return Ok(false);
        };
        // Only reads the giver: what takes its rights away either found the link, or comes after its use.
        if !link.stands(giver_role(connection, &link)?) {
            return Ok(false);
        }
        first = link.purpose == LinkPurpose::First;
        match apply_link(connection, store.keys(), &link.purpose, row, at, by) {
            Ok(applied) => Ok(applied),
            // Of several links for the first account, the constraint lets one through.
            Err(error) if first && classify(&error) == DbErrorKind::Constraint => {
                Err(WriteError::RolledBack)
            }
            Err(error) => Err(error.into()),
        }
    });
    match outcome {
        Err(WriteError::RolledBack) => Ok(false),
        outcome => outcome.map_err(admin_error),
    }
}
