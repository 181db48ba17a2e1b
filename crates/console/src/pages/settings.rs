//! Accounts, tenants, and what an operator has set.

use actix_web::http::StatusCode;
use askama::Template;
use headcount_core::quirks::{QUIRKS, Quirks};
use headcount_token_admin::accounts::Role;
use headcount_token_admin::error::Kind;
use headcount_token_admin::{Action, AdminError, Tenant, TenantChange, tenants};
use secrecy::ExposeSecret as _;

use crate::answer::{Answer, Fault};
use crate::desk::{Desk, Frame};
use crate::format::{ago, quote, time};

#[derive(Template)]
#[template(path = "settings.html")]
struct Page {
    frame: Frame,
    owner: bool,
    may_change: bool,
    admins: Vec<Account>,
    roles: Vec<&'static str>,
    tenants: Vec<TenantRow>,
    switches: Vec<Switch>,
    chosen: TenantRow,
    shown: Vec<(&'static str, Vec<(String, String)>)>,
    /// A link that was just made, and for whom.
    link: Option<(String, String)>,
    done: &'static str,
    error: String,
    error_at: &'static str,
}

struct Account {
    name: String,
    role: &'static str,
    second_factor: bool,
    last_login: String,
    own: bool,
}

struct TenantRow {
    name: String,
    enabled: bool,
    created: String,
    standard: bool,
    switched_off: usize,
}

struct Switch {
    name: &'static str,
    told: &'static str,
    on: bool,
}

#[derive(Default)]
struct Outcome {
    link: Option<(String, String)>,
    error: String,
    /// The form that the error stands in.
    error_at: &'static str,
    password_error: String,
}

fn tenant_row(tenant: &Tenant) -> TenantRow {
    let off = QUIRKS.iter().filter(|quirk| !tenant.quirks.has(quirk.flag));
    TenantRow {
        name: tenant.name.clone(),
        enabled: tenant.enabled,
        created: time(tenant.created),
        standard: tenant.name == Tenant::DEFAULT,
        switched_off: off.count(),
    }
}

/// Sorts settings by what they are about.
fn groups(shown: &[(String, String)]) -> Vec<(&'static str, Vec<(String, String)>)> {
    const HEADINGS: [(&str, &[&str]); 4] = [
        ("Retention", &["audit.", "requests."]),
        ("Limits", &["limits."]),
        ("Tokens", &["tokens."]),
        ("Server", &[]),
    ];
    let about = |key: &str| {
        let known = HEADINGS.iter().position(|(_, all)| all.iter().any(|one| key.starts_with(one)));
        known.unwrap_or(HEADINGS.len() - 1)
    };
    let group = |(index, (heading, _)): (usize, &(&'static str, _))| {
        (*heading, shown.iter().filter(|(key, _)| about(key) == index).cloned().collect())
    };
    HEADINGS.iter().enumerate().map(group).collect()
}

fn page(desk: &Desk<'_>, outcome: Outcome) -> Result<Answer, Fault> {
    let own = &desk.session()?.admin.name;
    let tenant = desk.tenant()?;
    let admins = desk.console.accounts.admins(&desk.principal()?)?;
    let never = || "never".to_owned();
    let account = |admin: &headcount_token_admin::accounts::Admin| Account {
        name: admin.name.clone(),
        role: admin.role.word(),
        second_factor: admin.second_factor,
        last_login: admin.last_login.map_or_else(never, |at| ago(at, desk.now)),
        own: admin.name == *own,
    };
    let name = quote(&tenant.name);
    let frame = desk.frame("Settings", "settings").at_the_command_line(vec![
        desk.command("admin list"),
        desk.command("admin invite NAME --role admin"),
        desk.command("admin role NAME auditor"),
        desk.command("admin remove NAME"),
        desk.command("admin log-out"),
        desk.command("tenant create NAME"),
        desk.command(&format!("tenant set {name} --quirks all")),
        desk.command(&format!("tenant delete {name}")),
        desk.command("check-config"),
    ]);
    Answer::page(&Page {
        frame: Frame { password_error: outcome.password_error, ..frame },
        owner: desk.may(Action::InviteAccount),
        may_change: desk.may_change(),
        admins: admins.iter().map(account).collect(),
        roles: Role::ALL.iter().map(|role| role.word()).collect(),
        tenants: desk.tenants().iter().map(tenant_row).collect(),
        switches: QUIRKS
            .iter()
            .map(|quirk| Switch {
                name: quirk.name,
                told: quirk.note,
                on: tenant.quirks.has(quirk.flag),
            })
            .collect(),
        chosen: tenant_row(tenant),
        shown: groups(&desk.console.shown),
        link: outcome.link,
        // What an earlier form did is said once, not again beside what this one did.
        done: match if desk.visit.form.0.is_empty() { desk.visit.query.get("done") } else { "" } {
            "role" => "The role is changed. All sessions of the account have ended.",
            "removed" => "The account is removed.",
            "tenant" => "The tenant is there. Make a token for it under Connect.",
            "switches" => "The tenant is changed, from the next request on.",
            "deleted" => "The tenant and everything in it is deleted.",
            _ => "",
        },
        error: outcome.error,
        error_at: outcome.error_at,
    })
}

/// The page.
pub(crate) fn show(desk: &Desk<'_>) -> Result<Answer, Fault> {
    page(desk, Outcome::default())
}

/// Changes what the form says.
pub(crate) fn change(desk: &Desk<'_>) -> Result<Answer, Fault> {
    let act = desk.visit.form.get("act");
    let action = match act {
        "invite" => Action::InviteAccount,
        "role" => Action::ChangeRole,
        "remove" => Action::RemoveAccount,
        "everybody" => Action::EndSessions,
        "create-tenant" => Action::CreateTenant,
        "switches" => Action::ChangeTenant,
        "delete-tenant" => Action::DeleteTenant,
        _ => return Err(Fault::Wrong("There is no such action.".to_owned())),
    };
    // Before the password is asked for: an account that may not do it need not prove anything.
    desk.principal()?.may(action)?;
    let wrong = |outcome| Ok(page(desk, outcome)?.status(StatusCode::UNPROCESSABLE_ENTITY));
    // Switches of a tenant can be switched back; everything else asks for the password.
    if !matches!(action, Action::CreateTenant | Action::ChangeTenant)
        && let Some(password_error) = desk.prove()?
    {
        return wrong(Outcome { password_error, ..Outcome::default() });
    }
    let done = match action {
        Action::InviteAccount => invite(desk),
        Action::CreateTenant => create_tenant(desk),
        Action::ChangeTenant => switches(desk),
        Action::DeleteTenant => delete_tenant(desk),
        _ => accounts(desk, action),
    };
    match done {
        Ok(answer) => Ok(answer),
        Err(Refused::At(error_at, error)) => {
            wrong(Outcome { error_at, error, ..Outcome::default() })
        }
        Err(Refused::Fault(fault)) => Err(fault),
    }
}

/// Why a form of this page was refused: beside which field, or altogether.
enum Refused {
    At(&'static str, String),
    Fault(Fault),
}

impl Refused {
    /// A rule about what was entered is shown in its form; who may not act gets a page of its own.
    fn by_rule(at: &'static str, error: AdminError) -> Self {
        match error {
            AdminError::Rule { field, rule } if rule.kind() != Kind::Forbidden => {
                Self::At(at, rule.sentence(field))
            }
            other => Self::Fault(other.into()),
        }
    }
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

fn invite(desk: &Desk<'_>) -> Result<Answer, Refused> {
    let form = &desk.visit.form;
    let role = Role::parse(form.get("role")).unwrap_or(Role::Auditor);
    let link = desk.console.accounts.invitation(&desk.principal()?, form.get("name"), role);
    let link = link.map_err(|error| Refused::by_rule("invite", error))?;
    let url = format!("{}/console/setup/{}", desk.visit.origin, link.secret.expose_secret());
    let link = Some((form.get("name").to_owned(), url));
    Ok(page(desk, Outcome { link, ..Outcome::default() })?)
}

fn accounts(desk: &Desk<'_>, action: Action) -> Result<Answer, Refused> {
    let (form, by) = (&desk.visit.form, desk.principal()?);
    let refused = |error| Refused::by_rule("accounts", error);
    let (accounts, name) = (&desk.console.accounts, form.get("name"));
    let done = match action {
        Action::ChangeRole => {
            let role = Role::parse(form.get("role")).unwrap_or(Role::Auditor);
            accounts.set_role(&by, name, role).map_err(refused)?;
            "role"
        }
        Action::RemoveAccount => {
            accounts.remove(&by, name).map_err(refused)?;
            "removed"
        }
        _ => {
            accounts.log_out_everywhere(&by, None).map_err(refused)?;
            let cookie = desk.visit.session_cookie("");
            return Ok(Answer::see("/console/login").cookie(cookie).clear());
        }
    };
    Ok(Answer::see(format!("/console/settings?done={done}")))
}

fn create_tenant(desk: &Desk<'_>) -> Result<Answer, Refused> {
    let name = desk.visit.form.get("name");
    let made = desk.console.tenants.create(&desk.principal()?, name, Quirks::ALL);
    made.map_err(|error| Refused::by_rule("create-tenant", error))?;
    Ok(Answer::see(format!("/console/settings?done=tenant&tenant={name}")))
}

fn switches(desk: &Desk<'_>) -> Result<Answer, Refused> {
    let (form, tenant) = (&desk.visit.form, desk.tenant()?);
    let refused = |error| Refused::by_rule("switches", error);
    let quirks = Some(tenants::quirks(form.all("quirk")).map_err(refused)?);
    let change = TenantChange { enabled: Some(form.get("enabled") == "on"), quirks };
    desk.console.tenants.change(&desk.principal()?, &tenant.name, change).map_err(refused)?;
    Ok(Answer::see("/console/settings?done=switches"))
}

fn delete_tenant(desk: &Desk<'_>) -> Result<Answer, Refused> {
    let (form, tenant) = (&desk.visit.form, desk.tenant()?);
    // The default tenant has no such form: the ring says why.
    if tenant.name != Tenant::DEFAULT && form.get("name") != tenant.name {
        return Err(Refused::At("delete-tenant", "enter the name of the tenant".to_owned()));
    }
    let deleted = desk.console.tenants.delete(&desk.principal()?, &tenant.name);
    deleted.map_err(|error| Refused::by_rule("delete-tenant", error))?;
    Ok(Answer::see("/console/settings?done=deleted"))
}
