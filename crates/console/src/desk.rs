//! One request of somebody who may make it, with everything a page needs.

use headcount_core::change::{Actor, Author};
use headcount_core::clock::Timestamp;
use headcount_core::ids::TenantId;
use headcount_core::service::Caller;
use headcount_core::work::Work;
use headcount_token_admin::accounts::{Role, Session};
use headcount_token_admin::{Action, AdminError, Principal, Tenant};

use crate::answer::Fault;
use crate::assets;
use crate::state::Console;
use crate::visit::Visit;

/// One request.
pub(crate) struct Desk<'v> {
    pub(crate) console: &'v Console,
    pub(crate) visit: &'v Visit,
    pub(crate) now: Timestamp,
    /// What the request may cost, and the sign by which it is ended.
    pub(crate) work: Work,
    session: Option<Session>,
    tenants: Vec<Tenant>,
    tenant: Option<Tenant>,
}

impl<'v> Desk<'v> {
    pub(crate) fn new(
        console: &'v Console,
        visit: &'v Visit,
        session: Option<Session>,
        work: Work,
    ) -> Result<Self, Fault> {
        let now = console.api.service.clock.now();
        let tenants = match &session {
            Some(session) => console.tenants.list(&principal(session, visit))?,
            None => Vec::new(),
        };
        let asked = [visit.query.get("tenant"), visit.tenant_cookie.as_deref().unwrap_or_default()];
        let named = |name: &str| tenants.iter().find(|tenant| tenant.name == name).cloned();
        let tenant = asked
            .into_iter()
            .find_map(named)
            .or_else(|| named(Tenant::DEFAULT))
            .or_else(|| tenants.first().cloned());
        Ok(Self { console, visit, now, work, session, tenants, tenant })
    }

    /// Returns the session.
    pub(crate) fn session(&self) -> Result<&Session, Fault> {
        self.session.as_ref().ok_or(Fault::LoggedOut)
    }

    /// Returns the role of the account; the weakest without one.
    fn role(&self) -> Role {
        self.session.as_ref().map_or(Role::Auditor, |session| session.admin.role)
    }

    /// Tells whether tokens, tenants and resources may be changed.
    pub(crate) fn may_change(&self) -> bool {
        self.may(Action::IssueToken)
    }

    /// Checks whether the account may do something.
    pub(crate) fn may(&self, action: Action) -> bool {
        self.principal().is_ok_and(|principal| principal.may(action).is_ok())
    }

    /// Returns the tenant that the page is about.
    pub(crate) fn tenant(&self) -> Result<&Tenant, Fault> {
        self.tenant.as_ref().ok_or_else(|| {
            Fault::NotFound(
                "There is no tenant. Make one with: headcount tenant create NAME".to_owned(),
            )
        })
    }

    /// Returns every tenant.
    pub(crate) fn tenants(&self) -> &[Tenant] {
        &self.tenants
    }

    /// Returns the name of a tenant.
    pub(crate) fn tenant_name(&self, id: TenantId) -> String {
        let known = self.tenants.iter().find(|tenant| tenant.id == id);
        known.map_or_else(String::new, |tenant| tenant.name.clone())
    }

    /// Returns who acts, as the ring of administration sees it.
    pub(crate) fn principal(&self) -> Result<Principal, Fault> {
        Ok(principal(self.session()?, self.visit))
    }

    /// Returns who is recorded as the author of what this request does.
    pub(crate) fn author(&self) -> Result<Author, Fault> {
        Ok(self.principal()?.author)
    }

    /// Returns the caller of a use case of SCIM.
    pub(crate) fn caller(&self) -> Result<Caller, Fault> {
        let (tenant, author) = (self.tenant()?, self.author()?);
        Ok(Caller {
            tenant: tenant.id,
            actor: author.actor,
            user: None,
            quirks: tenant.quirks,
            request: author.request,
            work: self.work.clone(),
        })
    }

    /// Tells whether a dangerous act asks for the password. A form that is filled in slowly would find
    /// out too late, so that it is shown a little before.
    pub(crate) fn asks_password(&self) -> bool {
        self.session.as_ref().is_none_or(|session| {
            self.now.plus_seconds(120)
                >= session.proven.plus_seconds(headcount_token_admin::accounts::PROVEN)
        })
    }

    /// Makes sure that whoever does something dangerous knows the password; else says what to write
    /// beside its field.
    pub(crate) fn prove(&self) -> Result<Option<String>, Fault> {
        let session = self.session()?;
        let password = self.visit.form.raw("password");
        if password.is_empty() {
            return Ok(match self.console.accounts.is_proven(session) {
                true => None,
                false => Some("enter your password to go on".to_owned()),
            });
        }
        let cookie = self.visit.cookie.as_deref().unwrap_or_default();
        match self.console.accounts.prove(session, cookie, &password.into(), &self.visit.place) {
            Ok(()) => Ok(None),
            Err(AdminError::Refused) => Ok(Some(
                "this is not your password; after several wrong ones you have to wait".to_owned(),
            )),
            Err(other) => Err(other.into()),
        }
    }

    /// Writes a command as it is typed.
    pub(crate) fn command(&self, rest: &str) -> String {
        format!("{} {rest}", self.console.program)
    }

    /// Returns the base URL for identity providers.
    pub(crate) fn base_url(&self) -> String {
        format!("{}{}", self.visit.origin, headcount_http_api::BASE_PATH)
    }

    /// Returns what surrounds a page.
    pub(crate) fn frame(&self, title: &str, place: &str) -> Frame {
        let kinds = self.console.api.service.registry.kinds().iter().map(|kind| {
            let endpoint = kind.endpoint.trim_start_matches('/');
            (format!("/console/resources/{endpoint}"), endpoint.to_owned())
        });
        let admin = self.session.as_ref().map(|session| &session.admin);
        Frame {
            title: title.to_owned(),
            place: place.to_owned(),
            admin: admin.map(|admin| admin.name.clone()),
            role: self.role().word(),
            form_token: self.session.as_ref().map_or_else(String::new, |s| s.form_token.clone()),
            tenant: self.tenant.as_ref().map_or_else(String::new, |tenant| tenant.name.clone()),
            tenants: self.tenants.iter().map(|tenant| tenant.name.clone()).collect(),
            kinds: if admin.is_some() { kinds.collect() } else { Vec::new() },
            path: self.visit.path.clone(),
            commands: Vec::new(),
            version: assets::version(),
            refresh: false,
            asks_password: self.asks_password(),
            password_error: String::new(),
        }
    }
}

fn principal(session: &Session, visit: &Visit) -> Principal {
    let actor = Actor::Admin(session.admin.name.clone());
    Principal::account(Author { actor, request: visit.request.clone() }, session.admin.role)
}

/// What surrounds a page.
pub(crate) struct Frame {
    pub(crate) title: String,
    /// The entry of the menu that the page belongs to.
    pub(crate) place: String,
    pub(crate) admin: Option<String>,
    pub(crate) role: &'static str,
    pub(crate) form_token: String,
    pub(crate) tenant: String,
    pub(crate) tenants: Vec<String>,
    pub(crate) kinds: Vec<(String, String)>,
    pub(crate) path: String,
    /// What does the same at the command line.
    pub(crate) commands: Vec<String>,
    pub(crate) version: String,
    /// Whether the page asks again by itself, also without a script.
    pub(crate) refresh: bool,
    /// Whether dangerous forms ask for the password.
    pub(crate) asks_password: bool,
    /// What to write beside that field.
    pub(crate) password_error: String,
}

impl Frame {
    /// Adds commands that do the same.
    pub(crate) fn at_the_command_line(mut self, commands: Vec<String>) -> Self {
        self.commands = commands;
        self
    }
}
