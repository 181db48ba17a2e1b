//! Accounts, tenants, and the settings of the server.

use actix_web::http::StatusCode;
use askama::Template;
use headcount_core::clock::Timestamp;
use headcount_core::quirks::{QUIRKS, Quirks};
use headcount_token_admin::accounts::{Admin, Role};
use headcount_token_admin::error::Kind;
use headcount_token_admin::{Action, AdminError, Tenant, TenantChange, tenants};
use secrecy::ExposeSecret as _;

use crate::context::{Flash, Layout, PageContext};
use crate::error::PageError;
use crate::format::{ago, query, quote, time};
use crate::response::PageResponse;

#[derive(Template)]
#[template(path = "settings.html")]
struct SettingsPage {
    layout: Layout,
    owner: bool,
    may_change: bool,
    accounts: Vec<AccountRow>,
    roles: Vec<&'static str>,
    tenants: Vec<TenantRow>,
    switches: Vec<Switch>,
    /// The tenant that the page is about.
    tenant: TenantRow,
    /// The settings of the server by heading: key and value.
    settings: Vec<(&'static str, Vec<(String, String)>)>,
    /// A link that was just made: for which account, and its address.
    link: Option<(String, String)>,
    /// What the last form did.
    notice: &'static str,
    error: String,
    error_at: &'static str,
}

struct AccountRow {
    name: String,
    role: &'static str,
    second_factor: bool,
    last_login: String,
    own: bool,
}

impl AccountRow {
    fn new(admin: &Admin, own: &str, now: Timestamp) -> Self {
        Self {
            name: admin.name.clone(),
            role: admin.role.word(),
            second_factor: admin.second_factor,
            last_login: admin.last_login.map_or_else(|| "never".to_owned(), |at| ago(at, now)),
            own: admin.name == own,
        }
    }
}

struct TenantRow {
    name: String,
    enabled: bool,
    created: String,
    /// Whether it is the tenant that cannot be deleted.
    standard: bool,
    /// How many quirks are switched off.
    switched_off: usize,
}

impl TenantRow {
    fn new(tenant: &Tenant) -> Self {
        Self {
            name: tenant.name.clone(),
            enabled: tenant.enabled,
            created: time(tenant.created),
            standard: tenant.name == Tenant::DEFAULT,
            switched_off: QUIRKS.iter().filter(|quirk| !tenant.quirks.has(quirk.flag)).count(),
        }
    }
}

/// A quirk of the tenant that the page is about.
struct Switch {
    name: &'static str,
    about: &'static str,
    on: bool,
}

/// What a form did, as far as the page shows it.
#[derive(Default)]
struct Outcome {
    link: Option<(String, String)>,
    error: String,
    /// The form that the error belongs to.
    error_at: &'static str,
    password_error: String,
}

/// Returns the settings by heading.
fn group_settings(settings: &[(String, String)]) -> Vec<(&'static str, Vec<(String, String)>)> {
    const HEADINGS: [&str; 4] = ["Retention", "Limits", "Tokens", "Server"];
    let mut groups = HEADINGS.map(|heading| (heading, Vec::new()));
    for (key, value) in settings {
        let section = key.split('.').next().unwrap_or_default();
        let heading = match section {
            "audit" | "provisioning_log" => "Retention",
            "limits" => "Limits",
            "tokens" => "Tokens",
            _ => "Server",
        };
        for (_, group) in groups.iter_mut().filter(|(known, _)| *known == heading) {
            group.push((key.clone(), value.clone()));
        }
    }
    groups.to_vec()
}

fn render(ctx: &PageContext<'_>, outcome: Outcome) -> Result<PageResponse, PageError> {
    let own = &ctx.session()?.admin.name;
    let tenant = ctx.tenant()?;
    let accounts = ctx.console.accounts.admins(&ctx.principal()?)?;
    let name = quote(&tenant.name);
    let layout = ctx.layout("Settings", "settings").with_commands(vec![
        ctx.command("admin list"),
        ctx.command("admin invite NAME --role admin"),
        ctx.command("admin role NAME auditor"),
        ctx.command("admin remove NAME"),
        ctx.command("admin log-out"),
        ctx.command("tenant create NAME"),
        ctx.command(&format!("tenant set {name} --quirks all")),
        ctx.command(&format!("tenant delete {name}")),
        ctx.command("check-config"),
    ]);
    PageResponse::render(&SettingsPage {
        layout: Layout { password_error: outcome.password_error, ..layout },
        owner: ctx.may(Action::InviteAccount),
        may_change: ctx.may_change(),
        accounts: accounts.iter().map(|admin| AccountRow::new(admin, own, ctx.now)).collect(),
        roles: Role::ALL.iter().map(|role| role.word()).collect(),
        tenants: ctx.tenants().iter().map(TenantRow::new).collect(),
        switches: QUIRKS
            .iter()
            .map(|quirk| Switch {
                name: quirk.name,
                about: quirk.note,
                on: tenant.quirks.has(quirk.flag),
            })
            .collect(),
        tenant: TenantRow::new(tenant),
        settings: group_settings(&ctx.console.settings),
        link: outcome.link,
        // The response to a form says what that form did, not what an earlier one did.
        notice: match ctx.request.query.get("done") {
            _ if !ctx.request.form.0.is_empty() => "",
            "role" => "The role has changed. All sessions of the account have ended.",
            "removed" => "The account has been removed.",
            "tenant" => "The tenant has been created. Create a token for it under Connect.",
            "switches" => {
                "The tenant has been changed. The change applies from the next request on."
            }
            "deleted" => "The tenant has been deleted, with everything in it.",
            _ => "",
        },
        error: outcome.error,
        error_at: outcome.error_at,
    })
}

/// Shows the page.
pub(crate) fn show(ctx: &PageContext<'_>) -> Result<PageResponse, PageError> {
    let link = ctx.collect()?.map(|flash| (flash.about, flash.secret.expose_secret().to_owned()));
    render(ctx, Outcome { link, ..Outcome::default() })
}

/// Does what the form says.
pub(crate) fn change(ctx: &PageContext<'_>) -> Result<PageResponse, PageError> {
    let action = match ctx.request.form.get("act") {
        "invite" => Action::InviteAccount,
        "role" => Action::ChangeRole,
        "remove" => Action::RemoveAccount,
        "everybody" => Action::EndSessions,
        "create-tenant" => Action::CreateTenant,
        "switches" => Action::ChangeTenant,
        "delete-tenant" => Action::DeleteTenant,
        _ => return Err(PageError::BadRequest("There is no such action.".to_owned())),
    };
    // Asked before the password: an account that may not do it need not enter one.
    ctx.principal()?.may(action)?;
    // A new tenant harms no one, and quirks can be switched back; everything else asks for the password.
    let harmless = match action {
        Action::CreateTenant => true,
        Action::ChangeTenant => !switches_off(ctx)?,
        _ => false,
    };
    if !harmless && let Some(password_error) = ctx.reauthenticate()? {
        return reject(ctx, Outcome { password_error, ..Outcome::default() });
    }
    let result = match action {
        Action::InviteAccount => invite(ctx),
        Action::CreateTenant => create_tenant(ctx),
        Action::ChangeTenant => change_tenant(ctx),
        Action::DeleteTenant => delete_tenant(ctx),
        _ => change_accounts(ctx, action),
    };
    result.or_else(|error| match error {
        FormError::At(error_at, error) => {
            reject(ctx, Outcome { error_at, error, ..Outcome::default() })
        }
        FormError::Page(error) => Err(error),
    })
}

fn reject(ctx: &PageContext<'_>, outcome: Outcome) -> Result<PageResponse, PageError> {
    Ok(render(ctx, outcome)?.status(StatusCode::UNPROCESSABLE_ENTITY))
}

/// Why a form of this page was refused.
enum FormError {
    /// A sentence for one form.
    At(&'static str, String),
    /// A page of its own.
    Page(PageError),
}

impl FormError {
    /// Puts a rule about what was entered at its form. That the account may not act is a page of its own.
    fn new(form: &'static str, error: AdminError) -> Self {
        match error {
            AdminError::Rule { field, rule } if rule.kind() != Kind::Forbidden => {
                Self::At(form, rule.sentence(field))
            }
            other => Self::Page(other.into()),
        }
    }
}

impl From<PageError> for FormError {
    fn from(error: PageError) -> Self {
        Self::Page(error)
    }
}

fn invite(ctx: &PageContext<'_>) -> Result<PageResponse, FormError> {
    let (form, accounts) = (&ctx.request.form, &ctx.console.accounts);
    let role = Role::parse(form.get("role")).unwrap_or(Role::Auditor);
    let link = accounts
        .invitation(&ctx.principal()?, form.get("name"), role)
        .map_err(|error| FormError::new("invite", error))?;
    let url =
        format!("{}/console/setup/{}", ctx.request.console_origin, link.secret.expose_secret());
    let name = form.get("name");
    let command = format!("admin invite {} --role {}", quote(name), role.word());
    let flash =
        Flash { secret: url.into(), about: name.to_owned(), command: ctx.command(&command) };
    let flash = ctx.leave(&flash)?;
    Ok(PageResponse::redirect(format!("/console/settings{}", query(&[("flash", &flash)]))))
}

fn change_accounts(ctx: &PageContext<'_>, action: Action) -> Result<PageResponse, FormError> {
    let (form, by) = (&ctx.request.form, ctx.principal()?);
    let (accounts, name) = (&ctx.console.accounts, form.get("name"));
    let result = match action {
        Action::ChangeRole => {
            let role = Role::parse(form.get("role")).unwrap_or(Role::Auditor);
            accounts.set_role(&by, name, role)
        }
        Action::RemoveAccount => accounts.remove(&by, name),
        _ => accounts.log_out_everywhere(&by, None),
    };
    result.map_err(|error| FormError::new("accounts", error))?;
    Ok(match action {
        Action::ChangeRole => PageResponse::redirect("/console/settings?done=role"),
        Action::RemoveAccount => PageResponse::redirect("/console/settings?done=removed"),
        _ => PageResponse::redirect("/console/login")
            .cookie(ctx.request.end_session_cookie())
            .clear_site_data(),
    })
}

fn create_tenant(ctx: &PageContext<'_>) -> Result<PageResponse, FormError> {
    let name = ctx.request.form.get("name");
    ctx.console
        .tenants
        .create(&ctx.principal()?, name, Quirks::ALL)
        .map_err(|error| FormError::new("create-tenant", error))?;
    Ok(PageResponse::redirect(format!("/console/settings?done=tenant&tenant={name}")))
}

/// Reads whether the tenant is to work; a form that does not say so leaves it as it is.
fn enabled(ctx: &PageContext<'_>) -> Option<bool> {
    match ctx.request.form.get("enabled") {
        "on" => Some(true),
        "off" => Some(false),
        _ => None,
    }
}

/// Returns whether the form stops every token of a tenant.
fn switches_off(ctx: &PageContext<'_>) -> Result<bool, PageError> {
    Ok(ctx.tenant()?.enabled && enabled(ctx) == Some(false))
}

fn change_tenant(ctx: &PageContext<'_>) -> Result<PageResponse, FormError> {
    let (form, tenant, by) = (&ctx.request.form, ctx.tenant()?, ctx.principal()?);
    tenants::quirks(form.all("quirk"))
        .map(|quirks| TenantChange { enabled: enabled(ctx), quirks: Some(quirks) })
        .and_then(|change| ctx.console.tenants.change(&by, &tenant.name, change))
        .map_err(|error| FormError::new("switches", error))?;
    Ok(PageResponse::redirect("/console/settings?done=switches"))
}

fn delete_tenant(ctx: &PageContext<'_>) -> Result<PageResponse, FormError> {
    let (form, tenant) = (&ctx.request.form, ctx.tenant()?);
    // The default tenant has no such form; `Tenants` says why it cannot be deleted.
    if tenant.name != Tenant::DEFAULT && form.get("name") != tenant.name {
        return Err(FormError::At("delete-tenant", "enter the name of the tenant".to_owned()));
    }
    ctx.console
        .tenants
        .delete(&ctx.principal()?, &tenant.name)
        .map_err(|error| FormError::new("delete-tenant", error))?;
    Ok(PageResponse::redirect("/console/settings?done=deleted"))
}
