//! What a link opens: the first account, an invited one, a new password.

use actix_web::http::StatusCode;
use askama::Template;
use headcount_token_admin::accounts::LinkPurpose;
use headcount_token_admin::{AdminError, Field, Rule};
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

/// A link that no longer works has a page of its own.
fn fault(error: AdminError) -> Fault {
    match error {
        AdminError::Rule { rule: Rule::LinkOver, .. } => Fault::Gone,
        other => other.into(),
    }
}

/// The form.
pub(crate) fn show(desk: &Desk<'_>) -> Result<Answer, Fault> {
    let purpose = desk.console.accounts.purpose(desk.visit.part("link")).map_err(fault)?;
    page(desk, &purpose, String::new(), String::new())
}

/// Uses the link up.
pub(crate) fn redeem(desk: &Desk<'_>) -> Result<Answer, Fault> {
    let (accounts, link) = (&desk.console.accounts, desk.visit.part("link"));
    let purpose = accounts.purpose(link).map_err(fault)?;
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
        Err(AdminError::Rule { field: field @ Field::AccountName, rule }) => {
            wrong(rule.sentence(field), String::new())
        }
        Err(AdminError::Rule { field: field @ Field::Password, rule }) => {
            wrong(String::new(), rule.sentence(field))
        }
        Err(other) => Err(fault(other)),
    }
}
