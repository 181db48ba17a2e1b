//! Tokens: made, shown once, rotated, revoked.

use actix_web::http::StatusCode;
use askama::Template;
use headcount_core::clock::Timestamp;
use headcount_core::ids::TokenId;
use headcount_token_admin::{Expiry, IssuedToken, NewToken, Scopes, Token, TokenError};
use secrecy::ExposeSecret as _;

use crate::answer::{Answer, Fault};
use crate::desk::{Desk, Frame};
use crate::format::{ago, quote, time};

const DAY: i64 = 24 * 60 * 60;

/// Tells whether a token is accepted now.
pub(crate) fn works(token: &Token, now: Timestamp) -> bool {
    token.revoked.is_none() && token.expires.is_none_or(|expires| expires > now)
}

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
    pub(crate) longest: i64,
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
        let chosen = |name: &str| Scopes::parse(name).is_ok_and(|s| Scopes::PROVISIONING.allow(s));
        Self {
            days: (policy.default_life / DAY).to_string(),
            scopes: MEANINGS.map(|(name, told)| (name, told, chosen(name))).to_vec(),
            longest: policy.longest_life / DAY,
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

    /// Reads what was entered, or notes what is wrong with it.
    fn read(&mut self, desk: &Desk<'_>) -> Result<Option<NewToken>, Fault> {
        let mut scopes = Scopes::default();
        for (name, ..) in self.scopes.iter().filter(|(.., chosen)| *chosen) {
            scopes = scopes.with(Scopes::parse(name).unwrap_or_default());
        }
        if scopes.is_empty() {
            self.scopes_error = "choose at least one".to_owned();
        }
        let expiry = match self.days.as_str() {
            "" => Expiry::Default,
            "never" => Expiry::Never,
            days => match days.parse::<i64>().ok().and_then(|days| days.checked_mul(DAY)) {
                Some(seconds) if seconds > 0 => Expiry::After(seconds),
                _ => {
                    self.days_error = "enter a number of days".to_owned();
                    Expiry::Default
                }
            },
        };
        let mut cidrs = Vec::new();
        for net in self.cidrs.split([',', ' ', '\n', '\r']).filter(|net| !net.is_empty()) {
            let address = || net.parse::<std::net::IpAddr>().map(Into::into);
            match net.parse().or_else(|_| address()) {
                Ok(net) => cidrs.push(net),
                Err(_) => {
                    self.cidrs_error = format!("\"{net}\" is no network such as 203.0.113.0/24");
                }
            }
        }
        let wrong = [&self.scopes_error, &self.days_error, &self.cidrs_error];
        if wrong.iter().any(|error| !error.is_empty()) {
            return Ok(None);
        }
        Ok(Some(NewToken {
            purpose: scopes.purpose(),
            name: self.name.clone(),
            scopes,
            expiry,
            cidrs,
            user: None,
            by: desk.author()?,
        }))
    }

    /// Puts what the policy says beside the field that it is about.
    fn refused(&mut self, reason: &str) {
        let field = match reason {
            reason if reason.contains("name") => &mut self.name_error,
            reason if reason.contains("scope") => &mut self.scopes_error,
            _ => &mut self.days_error,
        };
        *field = reason.to_owned();
    }
}

/// A token's public part, as it stands at its beginning.
fn prefix(token: &Token) -> String {
    format!("{}{}_…", token.purpose.prefix(), token.id)
}

fn state(token: &Token, now: Timestamp) -> &'static str {
    match (token.revoked, works(token, now)) {
        (Some(_), _) => "revoked",
        (None, true) => "works",
        (None, false) => "expired",
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
    let tokens = desk.console.api.tokens.list(Some(tenant.id))?;
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
    /// The form with what is wrong in it, and what is wrong with the password.
    Wrong(Box<Form>, String),
}

/// Makes a token out of the form.
pub(crate) fn issue(desk: &Desk<'_>) -> Result<Issued, Fault> {
    let mut form = Form::sent(desk);
    let tenant = desk.tenant()?;
    let wanted = form.read(desk)?;
    if let Some(error) = desk.prove()? {
        return Ok(Issued::Wrong(Box::new(form), error));
    }
    let Some(new) = wanted else { return Ok(Issued::Wrong(Box::new(form), String::new())) };
    let command = create_command(desk, &new, &form.days);
    match desk.console.api.tokens.issue(tenant.id, new) {
        Ok(issued) => Ok(Issued::Made(Box::new(issued), command)),
        Err(TokenError::Invalid(reason)) => {
            form.refused(&reason);
            Ok(Issued::Wrong(Box::new(form), String::new()))
        }
        Err(other) => Err(other.into()),
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
        Issued::Wrong(form, password_error) => {
            Ok(page(desk, *form, password_error)?.status(StatusCode::UNPROCESSABLE_ENTITY))
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
    let tokens = desk.console.api.tokens.list(None)?;
    let id = TokenId::new(desk.visit.part("id"));
    let token = tokens.iter().find(|token| token.id == id).cloned();
    let token = token.ok_or_else(|| Fault::NotFound("There is no such token.".to_owned()))?;
    Ok((token, tokens))
}

fn one(desk: &Desk<'_>, password_error: String, overlap_error: String) -> Result<Answer, Fault> {
    let (token, tokens) = find(desk)?;
    let link = |token: &Token| (token.name.clone(), format!("/console/tokens/{}", token.id));
    let named = |id: &TokenId| tokens.iter().find(|token| token.id == *id).map(link);
    let replaced_by = tokens.iter().find(|other| other.replaces.as_ref() == Some(&token.id));
    let shown = row(desk, &token, &tokens);
    let works = works(&token, desk.now);
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
    let (form, by) = (&desk.visit.form, desk.author()?);
    if form.get("act") == "revoke" {
        desk.console.api.tokens.revoke(&token.id, &by)?;
        return Ok(Answer::see(format!("/console/tokens/{}", token.id)));
    }
    let Some(hours) = form.get("hours").parse::<i64>().ok().filter(|h| (0..=720).contains(h))
    else {
        return again(String::new(), "enter a number of hours between 0 and 720".to_owned());
    };
    match desk.console.api.tokens.rotate(&token.id, hours * 3_600, &by) {
        Ok(rotated) => {
            let command = desk.command(&format!("token rotate {} --overlap {hours}h", token.id));
            let old = (format!("/console/tokens/{}", token.id), time(rotated.old_until));
            made(desk, &rotated.issued, command, Some(old))
        }
        Err(TokenError::Invalid(reason)) => again(String::new(), reason),
        Err(other) => Err(other.into()),
    }
}
