//! What a link opens: the first account, an invited one, a new password.

use actix_web::http::StatusCode;
use askama::Template;
use headcount_token_admin::accounts::LinkPurpose;
use headcount_token_admin::{AdminError, Field, Rule};
use secrecy::{ExposeSecret as _, SecretString};

use crate::context::{Layout, PageContext};
use crate::error::PageError;
use crate::response::PageResponse;

#[derive(Template)]
#[template(path = "setup.html")]
struct SetupPage {
    layout: Layout,
    heading: String,
    text: String,
    /// The name, if the link is for a certain one.
    fixed: Option<String>,
    name: String,
    name_error: String,
    new_error: String,
}

fn render(
    ctx: &PageContext<'_>,
    purpose: &LinkPurpose,
    name_error: String,
    new_error: String,
) -> Result<PageResponse, PageError> {
    let (heading, text, fixed) = match purpose {
        LinkPurpose::First => (
            "Create the first account",
            "It becomes the owner of this installation and can invite others. The setup link stops working as soon as the account exists.",
            None,
        ),
        LinkPurpose::Invite(name, _) => (
            "Welcome to Headcount",
            "Choose a password for your account. The link works only once.",
            Some(name.clone()),
        ),
        LinkPurpose::Recover(name) => (
            "Choose a new password",
            "This ends all sessions of the account and removes its authenticator.",
            Some(name.clone()),
        ),
    };
    PageResponse::render(&SetupPage {
        layout: ctx.layout(heading, ""),
        heading: heading.to_owned(),
        text: text.to_owned(),
        fixed,
        name: ctx.request.form.get("name").to_owned(),
        name_error,
        new_error,
    })
}

/// Gives a link that no longer works a page of its own.
fn link_error(error: AdminError) -> PageError {
    match error {
        AdminError::Rule { rule: Rule::LinkOver, .. } => PageError::LinkExpired,
        other => other.into(),
    }
}

/// Shows the form.
pub(crate) fn show(ctx: &PageContext<'_>) -> Result<PageResponse, PageError> {
    let purpose =
        ctx.console.accounts.purpose(ctx.request.parameter("link")).map_err(link_error)?;
    render(ctx, &purpose, String::new(), String::new())
}

/// Sets the password and logs in. The link works once.
pub(crate) fn redeem(ctx: &PageContext<'_>) -> Result<PageResponse, PageError> {
    let (accounts, request) = (&ctx.console.accounts, ctx.request);
    let (link, form) = (request.parameter("link"), &request.form);
    let purpose = accounts.purpose(link).map_err(link_error)?;
    let (mut name_error, mut new_error) = (String::new(), String::new());
    if form.raw("new") == form.raw("again") {
        let password: SecretString = form.raw("new").into();
        match accounts.redeem(link, form.get("name"), &password, &request.network, &request.id) {
            Ok(signed_in) => {
                let first = purpose == LinkPurpose::First;
                let next = if first { "/console/connect" } else { "/console" };
                let cookie = request.new_session_cookie(signed_in.cookie.expose_secret());
                return Ok(PageResponse::redirect(next).cookie(cookie));
            }
            Err(AdminError::Rule { field: field @ Field::AccountName, rule }) => {
                name_error = rule.sentence(field);
            }
            Err(AdminError::Rule { field: field @ Field::Password, rule }) => {
                new_error = rule.sentence(field);
            }
            Err(other) => return Err(link_error(other)),
        }
    } else {
        new_error = "the two passwords differ".to_owned();
    }
    let response = render(ctx, &purpose, name_error, new_error)?;
    Ok(response.status(StatusCode::UNPROCESSABLE_ENTITY))
}
