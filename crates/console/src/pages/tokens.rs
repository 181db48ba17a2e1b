//! Tokens: made, shown once, rotated, revoked.

use std::time::Duration;

use actix_web::http::StatusCode;
use askama::Template;
use headcount_core::clock::Timestamp;
use headcount_core::ids::TokenId;
use headcount_token_admin::error::Kind;
use headcount_token_admin::{
    AdminError, Expiry, Field, IssuedToken, NewToken, Scopes, Token, TokenState, networks, scopes,
};
use secrecy::ExposeSecret as _;

use crate::answer::{Answer, Fault};
use crate::desk::{Desk, Frame};
use crate::format::{ago, quote, time};

const DAY: u64 = 24 * 60 * 60;

#[derive(Template)]
#[template(path = "tokens.html")]
struct List {
    frame: Frame,
    rows: Vec<Row>,
    form: Form,
    may_change: bool,
}

/// One token in a list.
struct Row {
    href: String,
    prefix: String,
    name: String,
    scopes: String,
    created: String,
    ends: String,
    state: &'static str,
    used: String,
    place: String,
    agent: String,
    replaced: bool,
}

/// What was entered, with what is wrong beside each field.
#[derive(Default)]
pub(crate) struct Form {
    pub(crate) open: bool,
    pub(crate) name: String,
    pub(crate) days: String,
    pub(crate) cidrs: String,
    pub(crate) scopes: Vec<(&'static str, &'static str, bool)>,
    pub(crate) longest: u64,
    pub(crate) never: bool,
    pub(crate) name_error: String,
    pub(crate) days_error: String,
    pub(crate) cidrs_error: String,
    pub(crate) scopes_error: String,
}

/// What the scopes mean, in the order of their names.
const MEANINGS: [(&str, &str); 8] = [
    ("scim:read", "read users and groups"),
    ("users:write", "create, change and delete users"),
    ("groups:write", "create, change and delete groups"),
    ("schema:write", "change schemas"),
    ("events:read", "read the event feed"),
    ("admin:read", "read logs, tokens and tenants through the admin API"),
    ("admin:write", "change tokens and tenants through the admin API"),
    ("tenants:all", "see and manage every tenant through the admin API"),
];

impl Form {
    pub(crate) fn empty(desk: &Desk<'_>) -> Self {
        let policy = desk.console.policy;
        let chosen = |name| Scopes::named(name).is_some_and(|s| Scopes::PROVISIONING.allow(s));
        Self {
            days: (policy.default_life.as_secs() / DAY).to_string(),
            scopes: MEANINGS.map(|(name, told)| (name, told, chosen(name))).to_vec(),
            longest: policy.longest_life.as_secs() / DAY,
            never: policy.allow_never_expires,
            ..Self::default()
        }
    }

    fn sent(desk: &Desk<'_>) -> Self {
        let form = &desk.visit.form;
        let chosen = |name: &str| form.all("scope").any(|sent| sent == name);
        Self {
            open: true,
            name: form.get("name").to_owned(),
            days: form.get("days").to_owned(),
            cidrs: form.get("cidrs").to_owned(),
            scopes: MEANINGS.map(|(name, told)| (name, told, chosen(name))).to_vec(),
            ..Self::empty(desk)
        }
    }

    /// Reads what was entered. What cannot be read is noted at its field.
    fn read(&mut self) -> Option<NewToken> {
        let expiry = self.life();
        let scopes = scopes(self.scopes.iter().filter(|one| one.2).map(|one| one.0));
        let words = self.cidrs.split([',', ' ', '\n', '\r']).filter(|net| !net.is_empty());
        match (scopes, networks(words), expiry) {
            (Ok(scopes), Ok(cidrs), Some(expiry)) => {
                Some(NewToken { name: self.name.clone(), scopes, expiry, cidrs, user: None })
            }
            (scopes, cidrs, _) => {
                for error in scopes.err().into_iter().chain(cidrs.err()) {
                    self.note(error).ok();
                }
                None
            }
        }
    }

    fn life(&mut self) -> Option<Expiry> {
        match self.days.as_str() {
            "" => Some(Expiry::Default),
            "never" => Some(Expiry::Never),
            days => {
                let seconds = days.parse::<u64>().ok().and_then(|days| days.checked_mul(DAY));
                if seconds.is_none() {
                    self.days_error = "enter a number of days".to_owned();
                }
                seconds.map(|seconds| Expiry::After(Duration::from_secs(seconds)))
            }
        }
    }

    /// Notes a broken rule at the field that it is about, and returns the status of the page.
    fn note(&mut self, error: AdminError) -> Result<StatusCode, Fault> {
        let AdminError::Rule { field, rule } = error else { return Err(error.into()) };
        let at = match field {
            Field::TokenName => &mut self.name_error,
            Field::Scopes => &mut self.scopes_error,
            Field::Expiry => &mut self.days_error,
            Field::Networks => &mut self.cidrs_error,
            _ => return Err(AdminError::Rule { field, rule }.into()),
        };
        *at = rule.sentence(field);
        Ok(match rule.kind() {
            Kind::Forbidden => StatusCode::FORBIDDEN,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        })
    }
}

/// A token's public part, as it stands at its beginning.
fn prefix(token: &Token) -> String {
    format!("{}{}_…", token.purpose.prefix(), token.id)
}

fn state(token: &Token, now: Timestamp) -> &'static str {
    match token.state(now) {
        TokenState::Works => "works",
        TokenState::Expired => "expired",
        TokenState::Revoked => "revoked",
    }
}

fn row(desk: &Desk<'_>, token: &Token, all: &[Token]) -> Row {
    let used = token.last_used.as_ref();
    Row {
        href: format!("/console/tokens/{}", token.id),
        prefix: prefix(token),
        name: token.name.clone(),
        scopes: match token.scopes {
            Scopes::PROVISIONING => "provisioning".to_owned(),
            Scopes::ADMINISTRATION => "administration".to_owned(),
            other => other.to_string(),
        },
        created: time(token.created),
        ends: token.expires.map_or_else(|| "never".to_owned(), |at| ago(at, desk.now)),
        state: state(token, desk.now),
        used: used.map_or_else(|| "never".to_owned(), |used| ago(used.at, desk.now)),
        place: used
            .and_then(|used| used.address)
            .map_or_else(String::new, |address| address.to_string()),
        agent: used.and_then(|used| used.agent.clone()).unwrap_or_default(),
        replaced: all.iter().any(|other| other.replaces.as_ref() == Some(&token.id)),
    }
}

fn page(desk: &Desk<'_>, form: Form, password_error: String) -> Result<Answer, Fault> {
    let tenant = desk.tenant()?;
    let tokens = desk.console.api.tokens.list(&desk.principal()?, Some(tenant.id))?;
    let mut rows: Vec<Row> = tokens.iter().map(|token| row(desk, token, &tokens)).collect();
    rows.sort_by_key(|row| row.state != "works");
    let name = quote(&tenant.name);
    let frame = desk.frame("Tokens", "tokens").at_the_command_line(vec![
        desk.command(&format!("token create --name NAME --tenant {name}")),
        desk.command(&format!("token list --tenant {name}")),
    ]);
    let frame = Frame { password_error, ..frame };
    let form = Form { open: form.open || rows.is_empty(), ..form };
    Answer::page(&List { frame, rows, form, may_change: desk.may_change() })
}

/// The list, and the form for a new one.
pub(crate) fn list(desk: &Desk<'_>) -> Result<Answer, Fault> {
    page(desk, Form::empty(desk), String::new())
}

#[derive(Template)]
#[template(path = "token_made.html")]
struct Made {
    frame: Frame,
    name: String,
    secret: String,
    expires: String,
    base: String,
    old: Option<(String, String)>,
}

fn made(
    desk: &Desk<'_>,
    issued: &IssuedToken,
    command: String,
    old: Option<(String, String)>,
) -> Result<Answer, Fault> {
    let expires = issued.token.expires;
    Answer::page(&Made {
        frame: desk.frame("Copy the token now", "tokens").at_the_command_line(vec![command]),
        name: issued.token.name.clone(),
        secret: issued.secret.expose_secret().to_owned(),
        expires: expires.map_or_else(|| "never".to_owned(), time),
        base: desk.base_url(),
        old,
    })
}

/// What came of the form of a new token.
pub(crate) enum Issued {
    /// The token, and the command that would have made it.
    Made(Box<IssuedToken>, String),
    /// The form with what is wrong in it, what is wrong with the password, and the status.
    Wrong(Box<Form>, String, StatusCode),
}

/// Makes a token out of the form.
pub(crate) fn issue(desk: &Desk<'_>) -> Result<Issued, Fault> {
    let mut form = Form::sent(desk);
    let tenant = desk.tenant()?;
    let wanted = form.read();
    let wrong = StatusCode::UNPROCESSABLE_ENTITY;
    if let Some(error) = desk.prove()? {
        return Ok(Issued::Wrong(Box::new(form), error, wrong));
    }
    let Some(new) = wanted else { return Ok(Issued::Wrong(Box::new(form), String::new(), wrong)) };
    let command = create_command(desk, &new, &form.days);
    match desk.console.api.tokens.issue(&desk.principal()?, tenant.id, new) {
        Ok(issued) => Ok(Issued::Made(Box::new(issued), command)),
        Err(error) => {
            let status = form.note(error)?;
            Ok(Issued::Wrong(Box::new(form), String::new(), status))
        }
    }
}

fn create_command(desk: &Desk<'_>, new: &NewToken, days: &str) -> String {
    let mut words = format!("token create --name {}", quote(&new.name));
    if let Ok(tenant) = desk.tenant() {
        words.push_str(&format!(" --tenant {}", quote(&tenant.name)));
    }
    if new.scopes != Scopes::PROVISIONING {
        words.push_str(&format!(" --scope {}", quote(&new.scopes.to_string())));
    }
    match days {
        "" => {}
        "never" => words.push_str(" --expires never"),
        days => words.push_str(&format!(" --expires {}d", quote(days))),
    }
    for net in &new.cidrs {
        words.push_str(&format!(" --cidr {net}"));
    }
    desk.command(&words)
}

/// Makes a token.
pub(crate) fn create(desk: &Desk<'_>) -> Result<Answer, Fault> {
    match issue(desk)? {
        Issued::Made(issued, command) => made(desk, &issued, command, None),
        Issued::Wrong(form, password_error, status) => {
            Ok(page(desk, *form, password_error)?.status(status))
        }
    }
}

/// Hands a token that was just shown out as a file.
pub(crate) fn file(desk: &Desk<'_>) -> Result<Answer, Fault> {
    let form = &desk.visit.form;
    let (name, base, secret) = (form.get("name"), desk.base_url(), form.get("secret"));
    let text = format!("Headcount, token \"{name}\"\nBase URL: {base}\nToken: {secret}\n");
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    let file: String = name.chars().take(40).map(plain).collect();
    Ok(Answer::file(
        format!("headcount-{file}.txt"),
        "text/plain; charset=utf-8",
        text.into_bytes(),
    ))
}

#[derive(Template)]
#[template(path = "token.html")]
struct One {
    frame: Frame,
    token: Row,
    id: String,
    created_by: String,
    cidrs: String,
    revoked: String,
    works: bool,
    may_change: bool,
    replaces: Option<(String, String)>,
    replaced_by: Option<(String, String)>,
    /// Said when the token ends soon and is still used.
    still_used: String,
    overlap_error: String,
}

fn find(desk: &Desk<'_>) -> Result<(Token, Vec<Token>), Fault> {
    let (tokens, by) = (&desk.console.api.tokens, desk.principal()?);
    let token = tokens.get(&by, None, &TokenId::new(desk.visit.part("id")))?;
    let related = tokens.list(&by, Some(token.tenant))?;
    Ok((token, related))
}

fn one(desk: &Desk<'_>, password_error: String, overlap_error: String) -> Result<Answer, Fault> {
    let (token, tokens) = find(desk)?;
    let link = |token: &Token| (token.name.clone(), format!("/console/tokens/{}", token.id));
    let named = |id: &TokenId| tokens.iter().find(|token| token.id == *id).map(link);
    let replaced_by = tokens.iter().find(|other| other.replaces.as_ref() == Some(&token.id));
    let shown = row(desk, &token, &tokens);
    let works = token.state(desk.now) == TokenState::Works;
    let used = token.last_used.as_ref();
    let still_used = match (used, replaced_by, works) {
        (Some(used), Some(new), true) if used.at > new.created => format!(
            "The old token is still used by {} from {}, although there is a new one.",
            used.agent.as_deref().unwrap_or("an unnamed client"),
            used.address.map_or_else(|| "an unknown address".to_owned(), |a| a.to_string()),
        ),
        _ => String::new(),
    };
    let commands = match works {
        true => vec![
            desk.command(&format!("token rotate {} --overlap 24h", token.id)),
            desk.command(&format!("token revoke {}", token.id)),
        ],
        false => Vec::new(),
    };
    let frame = desk.frame(&format!("Token {}", token.name), "tokens");
    let frame = Frame { password_error, ..frame.at_the_command_line(commands) };
    Answer::page(&One {
        frame,
        id: token.id.to_string(),
        created_by: token.created_by.clone(),
        cidrs: match token.cidrs.as_slice() {
            [] => "everywhere".to_owned(),
            nets => nets.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        },
        revoked: token.revoked.map_or_else(String::new, time),
        works,
        may_change: desk.may_change(),
        replaces: token.replaces.as_ref().and_then(named),
        replaced_by: replaced_by.map(link),
        token: shown,
        still_used,
        overlap_error,
    })
}

/// One token.
pub(crate) fn show(desk: &Desk<'_>) -> Result<Answer, Fault> {
    one(desk, String::new(), String::new())
}

/// Rotates or revokes a token.
pub(crate) fn change(desk: &Desk<'_>) -> Result<Answer, Fault> {
    let (token, _) = find(desk)?;
    let again = |password: String, overlap: String| {
        Ok(one(desk, password, overlap)?.status(StatusCode::UNPROCESSABLE_ENTITY))
    };
    if let Some(error) = desk.prove()? {
        return again(error, String::new());
    }
    let (form, by) = (&desk.visit.form, desk.principal()?);
    if form.get("act") == "revoke" {
        desk.console.api.tokens.revoke(&by, None, &token.id)?;
        return Ok(Answer::see(format!("/console/tokens/{}", token.id)));
    }
    let hours = form.get("hours").parse::<u64>().ok();
    let Some(overlap) = hours.and_then(|hours| hours.checked_mul(60 * 60)) else {
        return again(String::new(), "enter a number of hours".to_owned());
    };
    match desk.console.api.tokens.rotate(&by, None, &token.id, Duration::from_secs(overlap)) {
        Ok(rotated) => {
            let hours = overlap / (60 * 60);
            let command = desk.command(&format!("token rotate {} --overlap {hours}h", token.id));
            let old = (format!("/console/tokens/{}", token.id), time(rotated.old_until));
            made(desk, &rotated.issued, command, Some(old))
        }
        Err(AdminError::Rule { field: field @ Field::Overlap, rule }) => {
            again(String::new(), rule.sentence(field))
        }
        Err(other) => Err(other.into()),
    }
}
