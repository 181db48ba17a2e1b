//! Logging in and out.

use actix_web::http::StatusCode;
use askama::Template;
use headcount_token_admin::AdminError;
use headcount_token_admin::accounts::LogIn;
use secrecy::ExposeSecret as _;

use crate::context::{Layout, PageContext};
use crate::error::PageError;
use crate::response::PageResponse;

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    layout: Layout,
    next: String,
    name: String,
    error: String,
    /// Whether any account exists.
    ready: bool,
}

fn render(ctx: &PageContext<'_>, name: &str, error: String) -> Result<PageResponse, PageError> {
    let next = match ctx.request.form.get("next") {
        "" => ctx.request.query.get("next"),
        next => next,
    };
    PageResponse::render(&LoginPage {
        layout: ctx.layout("Log in", ""),
        next: console_path(next).to_owned(),
        name: name.to_owned(),
        error,
        ready: ctx.console.accounts.any_admin()?,
    })
}

/// Returns the path of the page to show after the log-in: `next` if it is in the console, else the overview.
fn console_path(next: &str) -> &str {
    let inside = next == "/console" || next.starts_with("/console/");
    let plain = next.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte));
    if inside && plain && !next.contains("//") { next } else { "/console" }
}

/// Shows the form.
pub(crate) fn show(ctx: &PageContext<'_>) -> Result<PageResponse, PageError> {
    if ctx.session().is_ok() {
        return Ok(PageResponse::redirect(console_path(ctx.request.query.get("next"))));
    }
    render(ctx, "", String::new())
}

/// Logs in with the name, password and code of the form.
pub(crate) fn log_in(ctx: &PageContext<'_>) -> Result<PageResponse, PageError> {
    let form = &ctx.request.form;
    let (name, password) = (form.get("name"), form.raw("password").into());
    let attempt = LogIn {
        name,
        password: &password,
        code: form.get("code"),
        device: ctx.request.device_cookie.as_deref(),
        network: &ctx.request.network,
        request: &ctx.request.id,
    };
    match ctx.console.accounts.log_in(&attempt) {
        Ok(signed_in) => {
            tracing::info!(admin = %signed_in.name, "an administrator logged in to the console");
            let cookie = ctx.request.new_session_cookie(signed_in.cookie.expose_secret());
            let device = ctx.request.new_device_cookie(signed_in.device.expose_secret());
            let next = console_path(form.get("next"));
            Ok(PageResponse::redirect(next).cookie(cookie).cookie(device))
        }
        Err(error @ AdminError::Refused) => {
            tracing::warn!(address = ?ctx.request.address, "a log-in to the console was refused");
            Ok(render(ctx, name, error.to_string())?.status(StatusCode::UNAUTHORIZED))
        }
        Err(AdminError::Busy) => {
            let response = render(ctx, name, AdminError::Busy.to_string())?;
            Ok(response.status(StatusCode::SERVICE_UNAVAILABLE))
        }
        Err(other) => Err(other.into()),
    }
}

/// Ends the session.
pub(crate) fn log_out(ctx: &PageContext<'_>) -> Result<PageResponse, PageError> {
    let cookie = ctx.request.session_cookie.as_deref().unwrap_or_default();
    ctx.console.accounts.log_out(cookie)?;
    Ok(PageResponse::redirect("/console/login")
        .cookie(ctx.request.end_session_cookie())
        .clear_site_data())
}

#[cfg(test)]
mod tests {
    use super::console_path;

    #[test]
    fn a_log_in_leads_to_pages_of_the_console_only() {
        assert_eq!(console_path("/console/tokens"), "/console/tokens");
        for foreign in [
            "",
            "https://evil.example",
            "//evil.example",
            "/console//evil",
            "/console/\\x",
            "/consolex",
            "/console/x\r\ny",
        ] {
            assert_eq!(console_path(foreign), "/console", "{foreign:?}");
        }
    }
}
