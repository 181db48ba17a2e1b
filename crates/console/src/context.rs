//! One authorized request, with everything that a page needs.

use headcount_core::change::{Actor, Author};
use headcount_core::clock::Timestamp;
use headcount_core::ids::TenantId;
use headcount_core::service::Caller;
use headcount_core::work::Work;
use headcount_token_admin::accounts::{REAUTH_WINDOW, Session};
use headcount_token_admin::{Action, AdminError, Principal, Tenant};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use crate::assets;
use crate::error::PageError;
use crate::request::PageRequest;
use crate::state::Console;

/// Seconds by which forms ask for the password early, so that one that is filled in slowly still counts.
const PASSWORD_MARGIN: i64 = 120;

/// Fields of the query that mean the same for another tenant.
const KEPT: [&str; 9] = ["idp", "span", "q", "in", "read", "name", "kind", "status", "by"];

/// One authorized request.
pub(crate) struct PageContext<'r> {
    pub(crate) console: &'r Console,
    pub(crate) request: &'r PageRequest,
    pub(crate) now: Timestamp,
    /// What the request may cost, and the flag that ends it.
    pub(crate) work: Work,
    session: Option<Session>,
    tenants: Vec<Tenant>,
    tenant: Option<Tenant>,
}

impl<'r> PageContext<'r> {
    /// Reads the tenants and chooses the one that the page is about: the one that the query names, else the
    /// one that was chosen last, else the default one.
    pub(crate) fn new(
        console: &'r Console,
        request: &'r PageRequest,
        session: Option<Session>,
        work: Work,
    ) -> Result<Self, PageError> {
        let now = console.api.service.clock.now();
        let tenants = match &session {
            Some(session) => console.tenants.list(&principal(session, request))?,
            None => Vec::new(),
        };
        let tenant = [
            Some(request.query.get("tenant")),
            request.tenant_cookie.as_deref(),
            Some(Tenant::DEFAULT),
        ]
        .into_iter()
        .flatten()
        .find_map(|name| tenants.iter().find(|tenant| tenant.name == name))
        .or(tenants.first())
        .cloned();
        Ok(Self { console, request, now, work, session, tenants, tenant })
    }

    /// Returns the session.
    pub(crate) fn session(&self) -> Result<&Session, PageError> {
        self.session.as_ref().ok_or(PageError::LoggedOut)
    }

    /// Checks whether the account may change tokens, tenants and resources.
    pub(crate) fn may_change(&self) -> bool {
        self.may(Action::IssueToken)
    }

    /// Checks whether the account may do something.
    pub(crate) fn may(&self, action: Action) -> bool {
        self.principal().is_ok_and(|principal| principal.may(action).is_ok())
    }

    /// Returns the tenant that the page is about.
    pub(crate) fn tenant(&self) -> Result<&Tenant, PageError> {
        self.tenant.as_ref().ok_or_else(|| {
            PageError::NotFound(
                "There is no tenant. Create one with: headcount tenant create NAME".to_owned(),
            )
        })
    }

    /// Returns every tenant.
    pub(crate) fn tenants(&self) -> &[Tenant] {
        &self.tenants
    }

    /// Returns the name of a tenant; empty when there is no such tenant.
    pub(crate) fn tenant_name(&self, id: TenantId) -> String {
        let tenant = self.tenants.iter().find(|tenant| tenant.id == id);
        tenant.map_or_else(String::new, |tenant| tenant.name.clone())
    }

    /// Returns who acts, as the ring of administration sees it.
    pub(crate) fn principal(&self) -> Result<Principal, PageError> {
        Ok(principal(self.session()?, self.request))
    }

    /// Returns who is recorded as the author of what this request does.
    pub(crate) fn author(&self) -> Result<Author, PageError> {
        Ok(self.principal()?.author)
    }

    /// Returns the caller of a use case of SCIM.
    pub(crate) fn caller(&self) -> Result<Caller, PageError> {
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

    /// Checks whether a form of a dangerous act asks for the password.
    fn asks_password(&self) -> bool {
        self.session.as_ref().is_none_or(|session| {
            self.now.plus_seconds(PASSWORD_MARGIN) >= session.proven.plus(REAUTH_WINDOW)
        })
    }

    /// Makes sure, before a dangerous act, that the password was entered lately. Otherwise returns the
    /// error for the field of the password.
    pub(crate) fn reauthenticate(&self) -> Result<Option<String>, PageError> {
        let session = self.session()?;
        let password = self.request.form.raw("password");
        if password.is_empty() {
            return Ok(match self.console.accounts.recently_authenticated(session) {
                true => None,
                false => Some("enter your password to continue".to_owned()),
            });
        }
        let cookie = self.request.session_cookie.as_deref().unwrap_or_default();
        match self.console.accounts.reauthenticate(
            session,
            cookie,
            &password.into(),
            &self.request.network,
        ) {
            Ok(()) => Ok(None),
            Err(AdminError::Refused) => Ok(Some(
                "this is not your password; after several wrong passwords you have to wait"
                    .to_owned(),
            )),
            Err(other) => Err(other.into()),
        }
    }

    /// Keeps what the page that a form leads to shows once, and returns its id for the address of that page.
    pub(crate) fn leave(&self, flash: &Flash) -> Result<String, PageError> {
        let cookie = self.request.session_cookie.as_deref().unwrap_or_default();
        let text = serde_json::json!({
            "secret": flash.secret.expose_secret(), "about": flash.about, "command": flash.command,
        });
        Ok(self.console.flashes.leave(cookie, &text.to_string().into())?)
    }

    /// Returns what this page shows once, if the address names something that was not shown yet.
    pub(crate) fn collect(&self) -> Result<Option<Flash>, PageError> {
        let cookie = self.request.session_cookie.as_deref().unwrap_or_default();
        let id = self.request.query.get("flash");
        if id.is_empty() {
            return Ok(None);
        }
        let Some(text) = self.console.flashes.collect(cookie, id)? else { return Ok(None) };
        let value: Value = serde_json::from_str(text.expose_secret()).unwrap_or_default();
        Ok(Some(Flash {
            secret: text_of(&value, "secret").into(),
            about: text_of(&value, "about"),
            command: text_of(&value, "command"),
        }))
    }

    /// Writes a command as it is typed.
    pub(crate) fn command(&self, rest: &str) -> String {
        format!("{} {rest}", self.console.program)
    }

    /// Returns the base URL for identity providers.
    pub(crate) fn base_url(&self) -> String {
        format!("{}{}", self.request.public_origin, headcount_http_api::BASE_PATH)
    }

    /// Returns the page that another tenant is shown on: this one, or the list, when it is about one thing that the
    /// other tenant does not have.
    fn switch_path(&self) -> String {
        let path = &self.request.path;
        let lists = ["/console/resources/", "/console/tokens", "/console/log"];
        let list = lists.iter().find_map(|list| {
            let rest = path.strip_prefix(list)?;
            let first = rest.split('/').next().filter(|_| list.ends_with('/')).unwrap_or_default();
            Some(format!("{list}{first}"))
        });
        list.unwrap_or_else(|| path.clone())
    }

    /// Returns the name of the tenant if this request chose another one than the last.
    fn changed_tenant(&self) -> Option<String> {
        let chosen = self.request.query.get("tenant");
        let last = self.request.tenant_cookie.as_deref().unwrap_or(Tenant::DEFAULT);
        let tenant = self.tenant.as_ref().filter(|tenant| tenant.name == chosen)?;
        (tenant.name != last).then(|| tenant.name.clone())
    }

    /// Returns what surrounds a page that has this title and belongs to this section of the menu.
    pub(crate) fn layout(&self, title: &str, section: &str) -> Layout {
        let mut layout = Layout {
            path: self.switch_path(),
            kept: KEPT
                .iter()
                .map(|name| (*name, self.request.query.get(name).to_owned()))
                .filter(|(_, value)| !value.is_empty())
                .collect(),
            changed_to: self.changed_tenant(),
            asks_password: self.asks_password(),
            ..Layout::without_menu(title)
        };
        if let Some(session) = &self.session {
            let kinds = self.console.api.service.registry.kinds();
            layout.section = section.to_owned();
            layout.admin = Some(session.admin.name.clone());
            layout.role = session.admin.role.word();
            layout.form_token = session.form_token.clone();
            layout.tenant =
                self.tenant.as_ref().map(|tenant| tenant.name.clone()).unwrap_or_default();
            layout.tenants = self.tenants.iter().map(|tenant| tenant.name.clone()).collect();
            layout.endpoints =
                kinds.iter().map(|kind| kind.endpoint.trim_start_matches('/').to_owned()).collect();
        }
        layout
    }
}

/// What a page shows once, after a form.
pub(crate) struct Flash {
    /// The new secret, or the address that contains it.
    pub(crate) secret: SecretString,
    /// Whose it is.
    pub(crate) about: String,
    /// The command that does the same as the form.
    pub(crate) command: String,
}

fn text_of(value: &Value, name: &str) -> String {
    value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn principal(session: &Session, request: &PageRequest) -> Principal {
    let actor = Actor::Admin(session.admin.name.clone());
    Principal::account(Author { actor, request: request.id.clone() }, session.admin.role)
}

/// What surrounds a page.
#[derive(Default)]
pub(crate) struct Layout {
    pub(crate) title: String,
    /// The entry of the menu that the page belongs to.
    pub(crate) section: String,
    /// The name of the account; without one, the page has no menu.
    pub(crate) admin: Option<String>,
    pub(crate) role: &'static str,
    pub(crate) form_token: String,
    pub(crate) tenant: String,
    pub(crate) tenants: Vec<String>,
    /// The resource types in the menu: `Users`, `Groups`.
    pub(crate) endpoints: Vec<String>,
    /// Where the tenant is changed.
    pub(crate) path: String,
    /// The fields of the query that stay when the tenant is changed.
    pub(crate) kept: Vec<(&'static str, String)>,
    /// The tenant, if this request changed to it.
    pub(crate) changed_to: Option<String>,
    /// The commands that do the same.
    pub(crate) commands: Vec<String>,
    /// The version of the assets.
    pub(crate) version: String,
    /// Whether the page reloads itself without a script, too.
    pub(crate) refresh: bool,
    /// Whether dangerous forms ask for the password.
    pub(crate) asks_password: bool,
    /// The error at that field.
    pub(crate) password_error: String,
}

impl Layout {
    /// Returns the layout of a page for visitors without a session.
    pub(crate) fn without_menu(title: &str) -> Self {
        Self { title: title.to_owned(), version: assets::version(), ..Self::default() }
    }

    /// Adds commands that do the same as the page.
    pub(crate) fn with_commands(mut self, commands: Vec<String>) -> Self {
        self.commands = commands;
        self
    }
}
