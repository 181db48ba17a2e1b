//! One's own account: password, second factor, sessions.

use actix_web::http::StatusCode;
use askama::Template;
use headcount_token_admin::accounts::TotpSecret;
use headcount_token_admin::{AdminError, Field};
use secrecy::{ExposeSecret as _, SecretString};

use crate::answer::{Answer, Fault};
use crate::desk::{Desk, Frame};

#[derive(Template)]
#[template(path = "account.html")]
struct Page {
    frame: Frame,
    name: String,
    second_factor: bool,
    done: &'static str,
    old_error: String,
    new_error: String,
    code_error: String,
    secret: String,
    address: String,
}

#[derive(Default)]
struct Errors {
    old: String,
    new: String,
    code: String,
    password: String,
}

fn page(desk: &Desk<'_>, errors: Errors, secret: &TotpSecret) -> Result<Answer, Fault> {
    let admin = &desk.session()?.admin;
    let commands = ["recover", "log-out"]
        .map(|act| desk.command(&format!("admin {act} {}", admin.name)))
        .to_vec();
    let frame = desk.frame("Your account", "account").at_the_command_line(commands);
    Answer::page(&Page {
        frame: Frame { password_error: errors.password, ..frame },
        name: admin.name.clone(),
        second_factor: admin.second_factor,
        done: match desk.visit.query.get("done") {
            "password" => {
                "Your password is changed. Every other session of your account has ended."
            }
            "codes" => "From now on, log-in asks for a code, too.",
            "no-codes" => "Codes are no longer asked for.",
            _ => "",
        },
        old_error: errors.old,
        new_error: errors.new,
        code_error: errors.code,
        secret: secret.text(),
        address: secret.address(&admin.name),
    })
}

/// The page.
pub(crate) fn show(desk: &Desk<'_>) -> Result<Answer, Fault> {
    page(desk, Errors::default(), &TotpSecret::generate())
}

fn wrong(desk: &Desk<'_>, errors: Errors, secret: &TotpSecret) -> Result<Answer, Fault> {
    Ok(page(desk, errors, secret)?.status(StatusCode::UNPROCESSABLE_ENTITY))
}

fn change_password(desk: &Desk<'_>) -> Result<Answer, Fault> {
    let form = &desk.visit.form;
    let secret = TotpSecret::generate();
    if form.raw("new") != form.raw("again") {
        let new = "the two passwords differ".to_owned();
        return wrong(desk, Errors { new, ..Errors::default() }, &secret);
    }
    let (old, new): (SecretString, SecretString) = (form.raw("old").into(), form.raw("new").into());
    let accounts = &desk.console.accounts;
    match accounts.change_password(&desk.principal()?, &old, &new, &desk.visit.place) {
        Ok(signed_in) => {
            let cookie = desk.visit.session_cookie(signed_in.cookie.expose_secret());
            Ok(Answer::see("/console/account?done=password").cookie(cookie))
        }
        Err(AdminError::Refused) => {
            let old = "this is not your password".to_owned();
            wrong(desk, Errors { old, ..Errors::default() }, &secret)
        }
        Err(AdminError::Rule { field: field @ Field::Password, rule }) => {
            wrong(desk, Errors { new: rule.sentence(field), ..Errors::default() }, &secret)
        }
        Err(other) => Err(other.into()),
    }
}

fn enable_codes(desk: &Desk<'_>) -> Result<Answer, Fault> {
    let form = &desk.visit.form;
    let secret = TotpSecret::parse(form.get("secret")).unwrap_or_else(TotpSecret::generate);
    if let Some(password) = desk.prove()? {
        return wrong(desk, Errors { password, ..Errors::default() }, &secret);
    }
    let by = desk.principal()?;
    match desk.console.accounts.enable_codes(&by, &secret, form.get("code")) {
        Ok(()) => Ok(Answer::see("/console/account?done=codes")),
        Err(AdminError::Refused) => {
            let code = "this is not the code of now; enter the one that the authenticator shows";
            wrong(desk, Errors { code: code.to_owned(), ..Errors::default() }, &secret)
        }
        Err(other) => Err(other.into()),
    }
}

/// Changes what the form says.
pub(crate) fn change(desk: &Desk<'_>) -> Result<Answer, Fault> {
    let name = &desk.session()?.admin.name;
    match desk.visit.form.get("act") {
        "password" => change_password(desk),
        "codes" => enable_codes(desk),
        "no-codes" => {
            if let Some(password) = desk.prove()? {
                let errors = Errors { password, ..Errors::default() };
                return wrong(desk, errors, &TotpSecret::generate());
            }
            desk.console.accounts.disable_codes(&desk.principal()?)?;
            Ok(Answer::see("/console/account?done=no-codes"))
        }
        "everywhere" => {
            desk.console.accounts.log_out_everywhere(&desk.principal()?, Some(name))?;
            Ok(Answer::see("/console/login").cookie(desk.visit.session_cookie("")).clear())
        }
        _ => Err(Fault::Wrong("There is no such action.".to_owned())),
    }
}
