//! One's own account: password, second factor, sessions.

use actix_web::http::StatusCode;
use askama::Template;
use headcount_token_admin::accounts::TotpSecret;
use headcount_token_admin::{AdminError, Field};
use secrecy::{ExposeSecret as _, SecretString};

use crate::context::{Layout, PageContext};
use crate::error::PageError;
use crate::response::PageResponse;

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage {
    layout: Layout,
    name: String,
    second_factor: bool,
    /// What the last form did.
    notice: &'static str,
    old_error: String,
    new_error: String,
    code_error: String,
    /// Whether the password would do without codes.
    stands_alone: bool,
    /// What is wrong in the form that ends codes.
    end_code_error: String,
    alone_error: String,
    /// A new key for an authenticator, and the address that opens it there.
    secret: String,
    address: String,
}

const WRONG_CODE: &str = "this code is not valid now; enter the one that the authenticator shows";

/// What is wrong, by field.
#[derive(Default)]
struct Errors {
    old: String,
    new: String,
    code: String,
    end_code: String,
    alone: String,
    password: String,
}

fn render(
    ctx: &PageContext<'_>,
    errors: Errors,
    secret: &TotpSecret,
) -> Result<PageResponse, PageError> {
    let admin = &ctx.session()?.admin;
    let commands = ["recover", "log-out"]
        .map(|act| ctx.command(&format!("admin {act} {}", admin.name)))
        .to_vec();
    let layout = ctx.layout("Your account", "account").with_commands(commands);
    PageResponse::render(&AccountPage {
        layout: Layout { password_error: errors.password, ..layout },
        name: admin.name.clone(),
        second_factor: admin.second_factor,
        notice: match ctx.request.query.get("done") {
            "password" => {
                "Your password has changed. All other sessions of your account have ended."
            }
            "codes" => "Log-in now also asks for a code.",
            "no-codes" => "Log-in no longer asks for codes.",
            _ => "",
        },
        old_error: errors.old,
        new_error: errors.new,
        code_error: errors.code,
        stands_alone: ctx.console.accounts.password_stands_alone(&ctx.principal()?)?,
        end_code_error: errors.end_code,
        alone_error: errors.alone,
        secret: secret.text(),
        address: secret.address(&admin.name),
    })
}

/// Shows the page.
pub(crate) fn show(ctx: &PageContext<'_>) -> Result<PageResponse, PageError> {
    render(ctx, Errors::default(), &TotpSecret::generate())
}

fn reject(
    ctx: &PageContext<'_>,
    errors: Errors,
    secret: &TotpSecret,
) -> Result<PageResponse, PageError> {
    Ok(render(ctx, errors, secret)?.status(StatusCode::UNPROCESSABLE_ENTITY))
}

fn change_password(ctx: &PageContext<'_>) -> Result<PageResponse, PageError> {
    let form = &ctx.request.form;
    let secret = TotpSecret::generate();
    if form.raw("new") != form.raw("again") {
        let new = "the two passwords differ".to_owned();
        return reject(ctx, Errors { new, ..Errors::default() }, &secret);
    }
    let (old, new): (SecretString, SecretString) = (form.raw("old").into(), form.raw("new").into());
    let accounts = &ctx.console.accounts;
    match accounts.change_password(&ctx.principal()?, &old, &new, &ctx.request.network) {
        Ok(signed_in) => {
            let cookie = ctx.request.new_session_cookie(signed_in.cookie.expose_secret());
            Ok(PageResponse::redirect("/console/account?done=password").cookie(cookie))
        }
        Err(AdminError::Refused) => {
            let old = "this is not your password".to_owned();
            reject(ctx, Errors { old, ..Errors::default() }, &secret)
        }
        Err(AdminError::Rule { field: field @ Field::Password, rule }) => {
            reject(ctx, Errors { new: rule.sentence(field), ..Errors::default() }, &secret)
        }
        Err(other) => Err(other.into()),
    }
}

fn enable_codes(ctx: &PageContext<'_>) -> Result<PageResponse, PageError> {
    let form = &ctx.request.form;
    let secret = TotpSecret::parse(form.get("secret")).unwrap_or_else(TotpSecret::generate);
    if let Some(password) = ctx.reauthenticate()? {
        return reject(ctx, Errors { password, ..Errors::default() }, &secret);
    }
    let by = ctx.principal()?;
    match ctx.console.accounts.enable_codes(&by, &secret, form.get("code")) {
        Ok(()) => Ok(PageResponse::redirect("/console/account?done=codes")),
        Err(AdminError::Refused) => {
            reject(ctx, Errors { code: WRONG_CODE.to_owned(), ..Errors::default() }, &secret)
        }
        Err(other) => Err(other.into()),
    }
}

fn disable_codes(ctx: &PageContext<'_>) -> Result<PageResponse, PageError> {
    let (form, secret) = (&ctx.request.form, TotpSecret::generate());
    if let Some(password) = ctx.reauthenticate()? {
        return reject(ctx, Errors { password, ..Errors::default() }, &secret);
    }
    if form.raw("new") != form.raw("again") {
        let alone = "the two passwords differ".to_owned();
        return reject(ctx, Errors { alone, ..Errors::default() }, &secret);
    }
    let new: Option<SecretString> =
        Some(form.raw("new")).filter(|new| !new.is_empty()).map(Into::into);
    let (accounts, by) = (&ctx.console.accounts, ctx.principal()?);
    match accounts.disable_codes(&by, form.get("code"), new.as_ref(), &ctx.request.network) {
        Ok(signed_in) => {
            let response = PageResponse::redirect("/console/account?done=no-codes");
            Ok(match signed_in {
                Some(signed_in) => {
                    let cookie = signed_in.cookie.expose_secret();
                    response.cookie(ctx.request.new_session_cookie(cookie))
                }
                None => response,
            })
        }
        Err(AdminError::Refused) => {
            let end_code = WRONG_CODE.to_owned();
            reject(ctx, Errors { end_code, ..Errors::default() }, &secret)
        }
        Err(AdminError::Rule { field: field @ Field::Password, rule }) => {
            reject(ctx, Errors { alone: rule.sentence(field), ..Errors::default() }, &secret)
        }
        Err(other) => Err(other.into()),
    }
}

/// Does what the form says.
pub(crate) fn change(ctx: &PageContext<'_>) -> Result<PageResponse, PageError> {
    let name = &ctx.session()?.admin.name;
    match ctx.request.form.get("act") {
        "password" => change_password(ctx),
        "codes" => enable_codes(ctx),
        "no-codes" => disable_codes(ctx),
        "everywhere" => {
            ctx.console.accounts.log_out_everywhere(&ctx.principal()?, Some(name))?;
            Ok(PageResponse::redirect("/console/login")
                .cookie(ctx.request.end_session_cookie())
                .clear_site_data())
        }
        _ => Err(PageError::BadRequest("There is no such action.".to_owned())),
    }
}
