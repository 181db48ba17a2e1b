//! The form of a new token.

use std::time::Duration;

use actix_web::http::StatusCode;
use headcount_core::clock::Timestamp;
use headcount_token_admin::error::Kind;
use headcount_token_admin::{
    AdminError, Expiry, Field, IssuedToken, NewToken, Scopes, Token, TokenDraft, TokenState,
    networks, scopes,
};

use super::DAY;
use crate::context::PageContext;
use crate::error::PageError;
use crate::format::quote;

/// The form of a new token: what was entered, with what is wrong at each field.
#[derive(Default)]
pub(crate) struct Form {
    pub(crate) open: bool,
    pub(crate) name: String,
    pub(crate) days: String,
    pub(crate) cidrs: String,
    /// Name, meaning, and whether it is chosen.
    pub(crate) scopes: Vec<(&'static str, &'static str, bool)>,
    /// The longest life, in days.
    pub(crate) longest: u64,
    /// Whether a token may have no end.
    pub(crate) never: bool,
    /// The name that may be used again although a working token has it.
    pub(crate) again: String,
    pub(crate) name_error: String,
    pub(crate) days_error: String,
    pub(crate) cidrs_error: String,
    pub(crate) scopes_error: String,
}

/// The scopes and their meanings, in the order of the form.
const SCOPES: [(&str, &str); 8] = [
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
    /// Returns the form as it is before anything is entered.
    pub(crate) fn new(ctx: &PageContext<'_>) -> Self {
        let policy = ctx.console.policy;
        Self {
            days: (policy.default_life.as_secs() / DAY).to_string(),
            scopes: SCOPES
                .map(|(name, meaning)| {
                    let scope = Scopes::parse(name);
                    (name, meaning, scope.is_some_and(|scope| Scopes::PROVISIONING.allow(scope)))
                })
                .to_vec(),
            longest: policy.longest_life.as_secs() / DAY,
            never: policy.allow_never_expires,
            ..Self::default()
        }
    }

    /// Returns the form as it was sent.
    fn read(ctx: &PageContext<'_>) -> Self {
        let form = &ctx.request.form;
        Self {
            open: true,
            name: form.get("name").to_owned(),
            days: form.get("days").to_owned(),
            cidrs: form.get("cidrs").to_owned(),
            scopes: SCOPES
                .map(|(name, meaning)| {
                    (name, meaning, form.all("scope").any(|chosen| chosen == name))
                })
                .to_vec(),
            ..Self::new(ctx)
        }
    }

    /// Parses what was entered. Records at its field what cannot be parsed.
    fn parse(&mut self) -> TokenDraft {
        let expiry = self.parse_expiry();
        let chosen = self.scopes.iter().filter(|(.., chosen)| *chosen);
        let scopes = scopes(chosen.map(|(name, ..)| *name));
        let cidrs = self.cidrs.split([',', ' ', '\n', '\r']).filter(|cidr| !cidr.is_empty());
        let cidrs = networks(cidrs);
        for error in [scopes.as_ref().err(), cidrs.as_ref().err()].into_iter().flatten() {
            if let AdminError::Rule { field, rule } = error {
                self.put(*field, rule.sentence(*field));
            }
        }
        TokenDraft { name: self.name.clone(), scopes: scopes.ok(), expiry, cidrs: cidrs.ok() }
    }

    /// Puts an error at its field; false when the form has no such field.
    fn put(&mut self, field: Field, error: String) -> bool {
        let place = match field {
            Field::TokenName => &mut self.name_error,
            Field::Scopes => &mut self.scopes_error,
            Field::Expiry => &mut self.days_error,
            Field::Networks => &mut self.cidrs_error,
            _ => return false,
        };
        *place = error;
        true
    }

    /// Asks once whether a name that a working token has is meant: two tokens of one name are hard to tell apart.
    fn check_name(&mut self, ctx: &PageContext<'_>) -> Result<(), PageError> {
        let tokens = ctx.console.api.tokens.list(&ctx.principal()?, Some(ctx.tenant()?.id))?;
        if !self.name_error.is_empty() || !is_taken(&self.name, &tokens, ctx.now) {
            return Ok(());
        }
        if ctx.request.form.get("again") != self.name {
            self.name_error = "a working token of this tenant has this name; enter another one, \
                               or send the form again to make a second token of this name"
                .to_owned();
        }
        self.again = self.name.clone();
        Ok(())
    }

    /// Checks whether nothing is wrong.
    fn is_valid(&self) -> bool {
        let errors = [&self.name_error, &self.scopes_error, &self.days_error, &self.cidrs_error];
        errors.into_iter().all(String::is_empty)
    }

    fn parse_expiry(&mut self) -> Option<Expiry> {
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

    /// Records a broken rule at its field, and returns the status of the page.
    fn record(&mut self, error: AdminError) -> Result<StatusCode, PageError> {
        let AdminError::Rule { field, rule } = error else { return Err(error.into()) };
        if !self.put(field, rule.sentence(field)) {
            return Err(AdminError::Rule { field, rule }.into());
        }
        Ok(match rule.kind() {
            Kind::Forbidden => StatusCode::FORBIDDEN,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        })
    }
}

/// What a form of a new token did.
pub(crate) enum Issue {
    /// It made a token. The text is the command that does the same.
    Issued(Box<IssuedToken>, String),
    /// It was refused; `form` has an error at each wrong field.
    Rejected { form: Box<Form>, password_error: String, status: StatusCode },
}

/// Issues a token as the form asks for it.
pub(crate) fn issue(ctx: &PageContext<'_>) -> Result<Issue, PageError> {
    let mut form = Form::read(ctx);
    let (tenant, by, tokens) = (ctx.tenant()?, ctx.principal()?, &ctx.console.api.tokens);
    let draft = form.parse();
    let mut status = StatusCode::UNPROCESSABLE_ENTITY;
    for fault in tokens.faults(&by, &draft) {
        // What the account may not do counts for more than what is wrong.
        status = form.record(fault)?.min(status);
    }
    form.check_name(ctx)?;
    let password_error = ctx.reauthenticate()?.unwrap_or_default();
    if password_error.is_empty()
        && form.is_valid()
        && let TokenDraft { name, scopes: Some(scopes), expiry: Some(expiry), cidrs: Some(cidrs) } =
            draft
    {
        let new = NewToken { name, scopes, expiry, cidrs, user: None };
        let command = create_command(ctx, &new, &form.days);
        match tokens.issue(&by, tenant.id, new) {
            Ok(issued) => return Ok(Issue::Issued(Box::new(issued), command)),
            Err(error) => status = form.record(error)?,
        }
    }
    Ok(Issue::Rejected { form: Box::new(form), password_error, status })
}

/// Checks whether a working token has a name.
fn is_taken(name: &str, tokens: &[Token], now: Timestamp) -> bool {
    tokens.iter().any(|token| token.name == name && token.state(now) == TokenState::Works)
}

/// Returns a name that no working token has: the wanted one, or that with a number.
pub(crate) fn free_name(wanted: &str, tokens: &[Token], now: Timestamp) -> String {
    let numbered = (2..).map(|number| format!("{wanted}-{number}"));
    let mut names = std::iter::once(wanted.to_owned()).chain(numbered);
    names.find(|name| !is_taken(name, tokens, now)).unwrap_or_default()
}

fn create_command(ctx: &PageContext<'_>, new: &NewToken, days: &str) -> String {
    let mut words = format!("token create --name {}", quote(&new.name));
    if let Ok(tenant) = ctx.tenant() {
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
    for cidr in &new.cidrs {
        words.push_str(&format!(" --cidr {cidr}"));
    }
    ctx.command(&words)
}
