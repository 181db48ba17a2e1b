//! What a link opens: the first account, an invited one, a new password.

use actix_web::http::StatusCode;
use askama::Template;
use headcount_token_admin::accounts::{AccountError, LinkPurpose};
use secrecy::{ExposeSecret as _, SecretString};

use crate::answer::{Answer, Fault};
use crate::desk::{Desk, Frame};

#[derive(Template)]
#[template(path = "setup.html")]
struct Page {
    frame: Frame,
    heading: String,
    text: String,
    /// The name, when it is not to be chosen.
    fixed: Option<String>,
    name: String,
    name_error: String,
    new_error: String,
}

fn page(
    desk: &Desk<'_>,
    purpose: &LinkPurpose,
    name_error: String,
    new_error: String,
) -> Result<Answer, Fault> {
    let (heading, text, fixed) = match purpose {
        LinkPurpose::First => (
            "Make the first account",
            "It is the owner of this installation and can invite others. The link that brought you here stops working as soon as the account is there.",
            None,
        ),
        LinkPurpose::Invite(name, _) => (
            "Welcome to Headcount",
            "Choose the password of your account. The link that brought you here works once.",
            Some(name.clone()),
        ),
        LinkPurpose::Recover(name) => (
            "Choose a new password",
            "Everybody who is logged in to this account is logged out, and codes from an authenticator are no longer asked for.",
            Some(name.clone()),
        ),
    };
    Answer::page(&Page {
        frame: desk.frame(heading, ""),
        heading: heading.to_owned(),
        text: text.to_owned(),
        fixed,
        name: desk.visit.form.get("name").to_owned(),
        name_error,
        new_error,
    })
}

fn used_up() -> Fault {
    Fault::Gone
}

/// The form.
pub(crate) fn show(desk: &Desk<'_>) -> Result<Answer, Fault> {
    match desk.console.accounts.purpose(desk.visit.part("link")) {
        Ok(purpose) => page(desk, &purpose, String::new(), String::new()),
        Err(AccountError::BadLink) => Err(used_up()),
        Err(other) => Err(other.into()),
    }
}

/// Uses the link up.
pub(crate) fn redeem(desk: &Desk<'_>) -> Result<Answer, Fault> {
    let (accounts, link) = (&desk.console.accounts, desk.visit.part("link"));
    let purpose = match accounts.purpose(link) {
        Ok(purpose) => purpose,
        Err(AccountError::BadLink) => return Err(used_up()),
        Err(other) => return Err(other.into()),
    };
    let form = &desk.visit.form;
    let password: SecretString = form.raw("new").into();
    let wrong = |name: String, new: String| {
        Ok(page(desk, &purpose, name, new)?.status(StatusCode::UNPROCESSABLE_ENTITY))
    };
    if form.raw("new") != form.raw("again") {
        return wrong(String::new(), "the two passwords differ".to_owned());
    }
    let visit = desk.visit;
    match accounts.redeem(link, form.get("name"), &password, &visit.place, &visit.request) {
        Ok(signed_in) => {
            let first = purpose == LinkPurpose::First;
            let next = if first { "/console/connect" } else { "/console" };
            let cookie = visit.session_cookie(signed_in.cookie.expose_secret());
            Ok(Answer::see(next).cookie(cookie))
        }
        Err(AccountError::BadLink) => Err(used_up()),
        Err(error @ (AccountError::BadName | AccountError::Taken)) => {
            wrong(error.to_string(), String::new())
        }
        Err(error @ AccountError::Password(_)) => wrong(String::new(), error.to_string()),
        Err(other) => Err(other.into()),
    }
}
