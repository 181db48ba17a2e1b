//! Who gets to a page: session, role, origin of the form. Every route passes through here.

use actix_web::http::header::ContentType;
use actix_web::web::{self, Data};
use actix_web::{HttpRequest, HttpResponse, Route};
use headcount_token_admin::accounts::Role;

use crate::answer::{Answer, Fault};
use crate::desk::Desk;
use crate::pages::fault;
use crate::state::Console;
use crate::visit::{Fields, Sender, Visit};

/// A page: from a request of somebody who may make it to an answer. It may wait.
pub(crate) type Page = fn(&Desk<'_>) -> Result<Answer, Fault>;

/// The longest form, in bytes.
const LONGEST_FORM: usize = 64 * 1024;

/// Who may come to a page.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Door {
    /// Everybody.
    Open,
    /// Whoever is logged in with this role or a stronger one.
    Session(Role),
}

/// A route that shows a page.
pub(crate) fn get(console: &Data<Console>, door: Door, page: Page) -> Route {
    let console = Data::clone(console);
    web::get().to(move |request: HttpRequest| {
        pass(Data::clone(&console), request, Fields::default(), (door, Kind::Shows), page)
    })
}

/// A route that takes a form.
pub(crate) fn post(console: &Data<Console>, door: Door, page: Page) -> Route {
    let console = Data::clone(console);
    web::post().to(move |request: HttpRequest, body: web::Payload| {
        let console = Data::clone(&console);
        async move {
            let form = read(&request, body).await;
            match form {
                Some(form) => pass(console, request, form, (door, Kind::Acts), page).await,
                None => {
                    let fault = Fault::Wrong("The form is too large or cannot be read.".to_owned());
                    fault::answer(&fault, None).response()
                }
            }
        }
    })
}

/// Every path that has no page.
pub(crate) fn lost(console: &Data<Console>) -> Route {
    let console = Data::clone(console);
    let page: Page = |_| Err(Fault::NotFound("There is no such page in the console.".to_owned()));
    web::route().to(move |request: HttpRequest| {
        pass(Data::clone(&console), request, Fields::default(), (Door::Open, Kind::Shows), page)
    })
}

async fn read(request: &HttpRequest, body: web::Payload) -> Option<Fields> {
    let form = request
        .headers()
        .get(actix_web::http::header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.starts_with(ContentType::form_url_encoded().0.as_ref()));
    if !form {
        return None;
    }
    let bytes = body.to_bytes_limited(LONGEST_FORM).await.ok()?.ok()?;
    // A form is written like a query.
    let text = std::str::from_utf8(&bytes).ok()?;
    let fields = web::Query::<Vec<(String, String)>>::from_query(text).ok()?;
    Some(Fields(fields.into_inner()))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Shows,
    Acts,
}

async fn pass(
    console: Data<Console>,
    request: HttpRequest,
    form: Fields,
    (door, kind): (Door, Kind),
    page: Page,
) -> HttpResponse {
    let visit = Visit::of(&request, &console.api, form);
    let api = Data::clone(&console.api);
    let job = move || match enter(&console, &visit, door, kind) {
        Ok(desk) => {
            let answer = page(&desk).unwrap_or_else(|fault| refuse(&fault, &visit, Some(&desk)));
            remember_tenant(answer, &desk)
        }
        Err(fault) => refuse(&fault, &visit, None),
    };
    let answer = headcount_http_api::work(&api, job).await;
    answer.unwrap_or_else(|| fault::answer(&Fault::Busy, None)).response()
}

/// The tenant that was chosen is the one of the next pages, too.
fn remember_tenant(answer: Answer, desk: &Desk<'_>) -> Answer {
    let chosen = desk.visit.query.get("tenant");
    match desk.tenant() {
        Ok(tenant) if tenant.name == chosen => answer.cookie(desk.visit.tenant_cookie(chosen)),
        _ => answer,
    }
}

fn refuse(fault: &Fault, visit: &Visit, desk: Option<&Desk<'_>>) -> Answer {
    if let Fault::Internal(error) = fault {
        tracing::error!(request.id = %visit.request, error, "a page of the console failed");
    }
    if matches!(fault, Fault::LoggedOut) && visit.form.0.is_empty() {
        return Answer::see(format!("/console/login?next={}", crate::format::escape(&visit.path)));
    }
    fault::answer(fault, desk)
}

fn enter<'v>(
    console: &'v Console,
    visit: &'v Visit,
    door: Door,
    kind: Kind,
) -> Result<Desk<'v>, Fault> {
    if kind == Kind::Acts && visit.sender == Sender::Foreign {
        return Err(Fault::Foreign);
    }
    // Pages that ask by themselves keep nobody logged in.
    let active = visit.query.get("live").is_empty();
    let session = match &visit.cookie {
        Some(cookie) if !cookie.is_empty() => console.accounts.session(cookie, active)?,
        _ => None,
    };
    if let Door::Session(role) = door {
        let session = session.as_ref().ok_or(Fault::LoggedOut)?;
        if kind == Kind::Acts && !same(visit.form.get("token"), &session.form_token) {
            return Err(Fault::Foreign);
        }
        if session.admin.role < role {
            return Err(Fault::Forbidden);
        }
    } else if kind == Kind::Acts && visit.sender == Sender::Unknown {
        // No session, no form token: only the browser's word tells whose form it is.
        return Err(Fault::Foreign);
    }
    Desk::new(console, visit, session)
}

/// Compares without telling by its time how much was right.
fn same(a: &str, b: &str) -> bool {
    let differences = a.bytes().zip(b.bytes()).fold(0, |all, (a, b)| all | (a ^ b));
    a.len() == b.len() && differences == 0
}
