//! Logging in and out.

use actix_web::http::StatusCode;
use askama::Template;
use headcount_token_admin::AdminError;

use crate::answer::{Answer, Fault};
use crate::desk::{Desk, Frame};

#[derive(Template)]
#[template(path = "login.html")]
struct Page {
    frame: Frame,
    next: String,
    name: String,
    error: String,
    /// Whether there is an account at all.
    ready: bool,
}

fn page(desk: &Desk<'_>, name: &str, error: String) -> Result<Answer, Fault> {
    let next = match desk.visit.form.get("next") {
        "" => desk.visit.query.get("next"),
        next => next,
    };
    Answer::page(&Page {
        frame: desk.frame("Log in", ""),
        next: local(next).to_owned(),
        name: name.to_owned(),
        error,
        ready: desk.console.accounts.any_admin()?,
    })
}

/// Only pages of the console are gone on to.
fn local(next: &str) -> &str {
    let inside = next == "/console" || next.starts_with("/console/");
    let plain = next.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte));
    if inside && plain && !next.contains("//") { next } else { "/console" }
}

/// The form.
pub(crate) fn show(desk: &Desk<'_>) -> Result<Answer, Fault> {
    if desk.session().is_ok() {
        return Ok(Answer::see(local(desk.visit.query.get("next"))));
    }
    page(desk, "", String::new())
}

/// Checks what was entered.
pub(crate) fn log_in(desk: &Desk<'_>) -> Result<Answer, Fault> {
    let form = &desk.visit.form;
    let (name, password) = (form.get("name"), form.raw("password").into());
    let accounts = &desk.console.accounts;
    match accounts.log_in(name, &password, form.get("code"), &desk.visit.place) {
        Ok(signed_in) => {
            tracing::info!(admin = %signed_in.name, "somebody logged in to the console");
            let cookie = secrecy::ExposeSecret::expose_secret(&signed_in.cookie);
            let answer = Answer::see(local(form.get("next")));
            Ok(answer.cookie(desk.visit.session_cookie(cookie)))
        }
        Err(error @ AdminError::Refused) => {
            tracing::warn!(address = ?desk.visit.address, "a log-in to the console was refused");
            Ok(page(desk, name, error.to_string())?.status(StatusCode::UNAUTHORIZED))
        }
        Err(AdminError::Busy) => {
            let answer = page(desk, name, AdminError::Busy.to_string())?;
            Ok(answer.status(StatusCode::SERVICE_UNAVAILABLE))
        }
        Err(other) => Err(other.into()),
    }
}

/// Ends the session.
pub(crate) fn log_out(desk: &Desk<'_>) -> Result<Answer, Fault> {
    let cookie = desk.visit.cookie.as_deref().unwrap_or_default();
    desk.console.accounts.log_out(cookie)?;
    Ok(Answer::see("/console/login").cookie(desk.visit.session_cookie("")).clear())
}

#[cfg(test)]
mod tests {
    use super::local;

    #[test]
    fn a_log_in_leads_to_pages_of_the_console_only() {
        assert_eq!(local("/console/tokens"), "/console/tokens");
        for foreign in [
            "",
            "https://evil.example",
            "//evil.example",
            "/console//evil",
            "/console/\\x",
            "/consolex",
            "/console/x\r\ny",
        ] {
            assert_eq!(local(foreign), "/console", "{foreign:?}");
        }
    }
}
