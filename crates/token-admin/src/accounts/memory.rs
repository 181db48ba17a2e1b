//! Accounts in memory, for tests: the contract of the store in executable form.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use headcount_core::change::{Act, Author, Change};
use headcount_core::clock::Timestamp;

use super::flash::{FlashRow, FlashStore};
use super::store::{AccountStore, AdminRow, Attempt, LinkRow, RoleChange, Secret, SessionRow};
use super::{
    ADMIN_KIND, Admin, ClientNetwork, LINK_KIND, LinkPurpose, Password, Role, SESSION_KIND,
    SESSION_MAX_AGE, SealedTotp, throttle,
};
use crate::store::{StoreError, TokenHash};

/// Keeps accounts in memory.
#[derive(Default)]
pub struct MemoryAccounts(Mutex<State>);

#[derive(Default)]
struct State {
    admins: BTreeMap<String, (AdminRow, i64)>,
    links: Vec<LinkRow>,
    sessions: Vec<SessionRow>,
    networks: HashMap<(String, String), Timestamp>,
    failures: HashMap<String, Failures>,
    changes: Vec<MemoryChange>,
}

/// What was recorded: its kind, the id of what it is about, and what was done.
pub type MemoryChange = (String, String, Change);

#[derive(Clone, Copy)]
struct Failures {
    count: i64,
    last: Timestamp,
    until: Timestamp,
}

impl MemoryAccounts {
    /// Returns what was recorded, in order.
    pub fn changes(&self) -> Vec<MemoryChange> {
        self.lock().changes.clone()
    }

    /// Returns how many attempts are counted for a subject.
    pub fn attempts(&self, subject: &str) -> i64 {
        self.lock().failures.get(subject).map_or(0, |failures| failures.count)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn record(&mut self, act: Act, name: &str, paths: &[&str], at: Timestamp, by: &Author) {
        self.append(ADMIN_KIND, name, Change::of(act, name, paths, at, by));
    }

    fn append(&mut self, kind: &str, id: &str, change: Change) {
        self.changes.push((kind.to_owned(), id.to_owned(), change));
    }

    fn works(&self, link: &LinkRow, now: Timestamp) -> bool {
        let first = link.purpose == LinkPurpose::First;
        link.expires > now && (!first || self.admins.is_empty()) && self.stands(link)
    }

    fn stands(&self, link: &LinkRow) -> bool {
        let giver = link.giver.as_ref().and_then(|giver| self.admins.get(giver));
        link.stands(giver.map(|(row, _)| row.admin.role))
    }

    /// Deletes the links that an account made.
    fn end_links(&mut self, name: &str) {
        self.links.retain(|link| link.giver.as_deref() != Some(name));
    }

    /// Checks that an account may lose its rights.
    fn check_role_change(&self, name: &str) -> RoleChange {
        let owners = self.admins.values().filter(|(row, _)| row.admin.role == Role::Owner);
        match self.admins.get(name) {
            None => RoleChange::Missing,
            Some((row, _)) if row.admin.role == Role::Owner && owners.count() == 1 => {
                RoleChange::LastOwner
            }
            Some(_) => RoleChange::Made,
        }
    }

    fn end_sessions(&mut self, name: &str) {
        self.sessions.retain(|session| session.admin != name);
    }
}

impl AccountStore for MemoryAccounts {
    fn any_admin(&self) -> Result<bool, StoreError> {
        Ok(!self.lock().admins.is_empty())
    }

    fn admins(&self) -> Result<Vec<Admin>, StoreError> {
        Ok(self.lock().admins.values().map(|(row, _)| row.admin.clone()).collect())
    }

    fn admin(&self, name: &str) -> Result<Option<AdminRow>, StoreError> {
        Ok(self.lock().admins.get(name).map(|(row, _)| row.clone()))
    }

    fn insert_link(&self, link: &LinkRow, at: Timestamp, by: &Author) -> Result<(), StoreError> {
        let mut state = self.lock();
        if !state.stands(link) {
            return Err(StoreError::Missing);
        }
        state.links.retain(|link| link.expires > at);
        state.links.push(link.clone());
        if let Some((id, change)) = link.creation(at, by) {
            state.append(LINK_KIND, id, change);
        }
        Ok(())
    }

    fn link(&self, secret: &Secret, now: Timestamp) -> Result<Option<LinkRow>, StoreError> {
        let state = self.lock();
        let link = state.links.iter().find(|link| link.secret == *secret);
        Ok(link.filter(|link| state.works(link, now)).cloned())
    }

    fn redeem(
        &self,
        secret: &Secret,
        row: &AdminRow,
        at: Timestamp,
        by: &Author,
    ) -> Result<bool, StoreError> {
        let mut state = self.lock();
        let link = state.links.iter().find(|link| link.secret == *secret);
        let Some(link) = link.filter(|link| state.works(link, at)).cloned() else {
            return Ok(false);
        };
        let name = row.admin.name.as_str();
        match link.purpose {
            LinkPurpose::Recover(_) => {
                let Some((known, _)) = state.admins.get_mut(name) else { return Ok(false) };
                known.password = row.password.clone();
                (known.totp, known.admin.second_factor) = (None, false);
                state.end_sessions(name);
                state.record(Act::Changed, name, &["password", "recovered"], at, by);
            }
            LinkPurpose::First | LinkPurpose::Invite(..) => {
                if state.admins.contains_key(name) {
                    return Err(StoreError::Taken);
                }
                state.admins.insert(name.to_owned(), (row.clone(), 0));
                state.record(Act::Created, name, &[row.admin.role.word()], at, by);
            }
        }
        state.links.retain(|link| link.secret != *secret);
        Ok(true)
    }

    fn set_password(
        &self,
        name: &str,
        password: &Password,
        at: Timestamp,
        by: &Author,
    ) -> Result<bool, StoreError> {
        let mut state = self.lock();
        let alone = password.stands_alone == Some(true);
        let row = state.admins.get_mut(name).map(|(row, _)| row);
        let Some(row) = row.filter(|row| alone || row.totp.is_some()) else { return Ok(false) };
        row.password = password.clone();
        state.end_sessions(name);
        state.record(Act::Changed, name, &["password"], at, by);
        Ok(true)
    }

    fn rehash(&self, name: &str, old: &TokenHash, password: &Password) -> Result<(), StoreError> {
        if let Some((row, _)) = self.lock().admins.get_mut(name)
            && row.password.hash.to_store() == old.to_store()
        {
            row.password = password.clone();
        }
        Ok(())
    }

    fn set_totp(
        &self,
        name: &str,
        secret: &SealedTotp,
        at: Timestamp,
        by: &Author,
    ) -> Result<bool, StoreError> {
        let mut state = self.lock();
        let Some((row, _)) = state.admins.get_mut(name) else { return Ok(false) };
        (row.totp, row.admin.second_factor) = (Some(secret.clone()), true);
        state.record(Act::Changed, name, &["secondFactor"], at, by);
        Ok(true)
    }

    fn reseal(&self, name: &str, old: &SealedTotp, new: &SealedTotp) -> Result<(), StoreError> {
        if let Some((row, _)) = self.lock().admins.get_mut(name)
            && row.totp.as_ref() == Some(old)
        {
            row.totp = Some(new.clone());
        }
        Ok(())
    }

    fn remove_totp(
        &self,
        name: &str,
        password: Option<&Password>,
        at: Timestamp,
        by: &Author,
    ) -> Result<bool, StoreError> {
        let mut state = self.lock();
        let Some((row, _)) = state.admins.get_mut(name) else { return Ok(false) };
        if password.unwrap_or(&row.password).stands_alone != Some(true) {
            return Ok(false);
        }
        (row.totp, row.admin.second_factor) = (None, false);
        if let Some(password) = password {
            row.password = password.clone();
            state.end_sessions(name);
            state.record(Act::Changed, name, &["password", "secondFactor"], at, by);
        } else {
            state.record(Act::Changed, name, &["secondFactor"], at, by);
        }
        Ok(true)
    }

    fn use_step(&self, name: &str, step: i64) -> Result<bool, StoreError> {
        let mut state = self.lock();
        let used = state.admins.get_mut(name).map(|(_, used)| used);
        Ok(used.filter(|used| **used < step).map(|used| *used = step).is_some())
    }

    fn set_role(
        &self,
        name: &str,
        role: Role,
        at: Timestamp,
        by: &Author,
    ) -> Result<RoleChange, StoreError> {
        let mut state = self.lock();
        match state.check_role_change(name) {
            RoleChange::Missing => return Ok(RoleChange::Missing),
            RoleChange::LastOwner if role != Role::Owner => return Ok(RoleChange::LastOwner),
            RoleChange::LastOwner | RoleChange::Made => {}
        }
        if let Some((row, _)) = state.admins.get_mut(name) {
            row.admin.role = role;
        }
        state.end_sessions(name);
        state.end_links(name);
        state.record(Act::Changed, name, &["role", role.word()], at, by);
        Ok(RoleChange::Made)
    }

    fn remove_admin(
        &self,
        name: &str,
        at: Timestamp,
        by: &Author,
    ) -> Result<RoleChange, StoreError> {
        let mut state = self.lock();
        let outcome = state.check_role_change(name);
        if outcome == RoleChange::Made {
            state.admins.remove(name);
            state.networks.retain(|(known, _), _| known != name);
            state.end_sessions(name);
            state.end_links(name);
            state.links.retain(|link| link.account() != Some(name));
            state.record(Act::Deleted, name, &[], at, by);
        }
        Ok(outcome)
    }

    fn insert_session(
        &self,
        session: &SessionRow,
        network: &ClientNetwork,
        by: &Author,
    ) -> Result<(), StoreError> {
        let mut state = self.lock();
        let Some((row, _)) = state.admins.get_mut(&session.admin) else {
            return Err(StoreError::Missing);
        };
        row.admin.last_login = Some(session.created);
        state.sessions.retain(|old| old.created.plus(SESSION_MAX_AGE) > session.created);
        state.sessions.push(session.clone());
        let key = (session.admin.clone(), network.as_str().to_owned());
        state.networks.insert(key, session.created);
        let (id, change) = session.creation(network, by);
        state.append(SESSION_KIND, &id, change);
        Ok(())
    }

    fn record(&self, kind: &str, id: &str, change: &Change) -> Result<(), StoreError> {
        self.lock().append(kind, id, change.clone());
        Ok(())
    }

    fn session(&self, secret: &Secret) -> Result<Option<(SessionRow, Admin)>, StoreError> {
        let state = self.lock();
        let session = state.sessions.iter().find(|session| session.secret == *secret);
        let with_admin = session.and_then(|session| {
            let (row, _) = state.admins.get(&session.admin)?;
            Some((session.clone(), row.admin.clone()))
        });
        Ok(with_admin)
    }

    fn touch_session(
        &self,
        secret: &Secret,
        seen: Timestamp,
        proven: Timestamp,
    ) -> Result<(), StoreError> {
        let mut state = self.lock();
        if let Some(session) = state.sessions.iter_mut().find(|session| session.secret == *secret) {
            (session.seen, session.proven) = (seen, proven);
        }
        Ok(())
    }

    fn end_session(&self, secret: &Secret) -> Result<(), StoreError> {
        self.lock().sessions.retain(|session| session.secret != *secret);
        Ok(())
    }

    fn end_sessions(
        &self,
        name: Option<&str>,
        at: Timestamp,
        by: &Author,
    ) -> Result<(), StoreError> {
        let mut state = self.lock();
        state.sessions.retain(|session| name.is_some_and(|name| session.admin != name));
        state.record(Act::Changed, name.unwrap_or("everybody"), &["sessions"], at, by);
        Ok(())
    }

    fn knows(&self, name: &str, network: &str, since: Timestamp) -> Result<bool, StoreError> {
        let key = (name.to_owned(), network.to_owned());
        Ok(self.lock().networks.get(&key).is_some_and(|last| *last > since))
    }

    fn attempt(&self, subjects: &[String], now: Timestamp) -> Result<Attempt, StoreError> {
        let mut state = self.lock();
        let waits = subjects.iter().filter_map(|subject| state.failures.get(subject));
        if let Some(until) = waits.map(|failures| failures.until).filter(|until| *until > now).max()
        {
            return Ok(Attempt::Wait(until));
        }
        for subject in subjects {
            let old = state.failures.get(subject).copied();
            let fresh = old.filter(|old| old.last.plus(throttle::COUNT_LIFE) > now);
            let count = fresh.map_or(0, |old| old.count) + 1;
            let until = now.plus(throttle::wait(count));
            state.failures.insert(subject.clone(), Failures { count, last: now, until });
        }
        Ok(Attempt::Allowed)
    }

    fn reset_attempts(&self, own: &[String], shared: &[String]) -> Result<(), StoreError> {
        let mut state = self.lock();
        for subject in own {
            state.failures.remove(subject);
        }
        for subject in shared {
            if let Some(failures) = state.failures.get_mut(subject) {
                failures.count = (failures.count - 1).max(0);
            }
        }
        Ok(())
    }
}

/// Keeps in memory what is shown once.
#[derive(Default)]
pub struct MemoryFlashes(Mutex<Vec<FlashRow>>);

impl MemoryFlashes {
    /// Returns whether a text is readable in any row.
    pub fn holds(&self, text: &str) -> bool {
        let contains =
            |row: &FlashRow| row.sealed.windows(text.len()).any(|part| part == text.as_bytes());
        self.lock().iter().any(contains)
    }

    /// Gives the newest row to another session, under another id, as someone who writes to the database could.
    pub fn move_to(&self, session: &Secret, id: &str) -> String {
        if let Some(row) = self.lock().last_mut() {
            row.session = session.clone();
            id.clone_into(&mut row.id);
        }
        id.to_owned()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<FlashRow>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FlashStore for MemoryFlashes {
    fn insert_flash(&self, flash: &FlashRow, now: Timestamp) -> Result<(), StoreError> {
        let mut rows = self.lock();
        rows.retain(|row| row.expires > now);
        rows.push(flash.clone());
        Ok(())
    }

    fn take_flash(
        &self,
        session: &Secret,
        id: &str,
        now: Timestamp,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let mut rows = self.lock();
        let own = rows
            .iter()
            .position(|row| row.session == *session && row.id == id && row.expires > now);
        Ok(own.map(|index| rows.remove(index).sealed))
    }
}
