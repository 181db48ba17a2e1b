//! Who gets to a page: session, role, origin of the form. Every route passes through here.

use actix_web::http::header::{self, ContentType};
use actix_web::web::{self, Data};
use actix_web::{HttpRequest, HttpResponse, Route};
use headcount_core::work::Work;
use headcount_http_api::{Lane, Owner, Stopwatch, UNPROVEN_BYTES};
use headcount_token_admin::accounts::{Role, Session};

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

/// What a page costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    /// It reads what an index serves.
    Page,
    /// It reads until it finds enough: searches, histories, exports.
    Scan,
    /// It scans when the query names a text to look for.
    Search,
    /// It writes.
    Write,
}

impl Effort {
    fn lane(self, visit: &Visit) -> Lane {
        match self {
            Self::Page => Lane::Page,
            Self::Search if visit.query.get("q").is_empty() => Lane::Page,
            Self::Scan | Self::Search => Lane::Scan,
            Self::Write => Lane::Write,
        }
    }
}

/// A route that shows a page.
pub(crate) fn get(console: &Data<Console>, door: Door, effort: Effort, page: Page) -> Route {
    let console = Data::clone(console);
    web::get().to(move |request: HttpRequest| {
        let pass = Pass { door, kind: Kind::Shows, effort, page };
        pass.show(Data::clone(&console), request)
    })
}

/// A route that takes a form.
pub(crate) fn post(console: &Data<Console>, door: Door, effort: Effort, page: Page) -> Route {
    let console = Data::clone(console);
    web::post().to(move |request: HttpRequest, body: web::Payload| {
        let pass = Pass { door, kind: Kind::Acts, effort, page };
        pass.act(Data::clone(&console), request, body)
    })
}

/// Every path that has no page.
pub(crate) fn lost(console: &Data<Console>) -> Route {
    let console = Data::clone(console);
    let page: Page = |_| Err(Fault::NotFound("There is no such page in the console.".to_owned()));
    web::route().to(move |request: HttpRequest| {
        let pass = Pass { door: Door::Open, kind: Kind::Shows, effort: Effort::Page, page };
        pass.show(Data::clone(&console), request)
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Shows,
    Acts,
}

/// The way of one request to its page.
#[derive(Clone, Copy)]
struct Pass {
    door: Door,
    kind: Kind,
    effort: Effort,
    page: Page,
}

impl Pass {
    async fn show(self, console: Data<Console>, request: HttpRequest) -> HttpResponse {
        let stopwatch = Stopwatch::start();
        let visit = Visit::of(&request, &console.api, Fields::default());
        match prove(&console, &stopwatch, &visit).await {
            Ok(session) => self.run(console, &stopwatch, visit, session).await,
            Err(fault) => fault::answer(&fault, None).response(),
        }
    }

    async fn act(
        self,
        console: Data<Console>,
        request: HttpRequest,
        body: web::Payload,
    ) -> HttpResponse {
        let stopwatch = Stopwatch::start();
        let visit = Visit::of(&request, &console.api, Fields::default());
        // A large form is read only for somebody who is logged in: strangers send short ones.
        let (session, longest) = match prove(&console, &stopwatch, &visit).await {
            Ok(session @ Some(_)) => (session, LONGEST_FORM),
            Ok(None) => (None, UNPROVEN_BYTES),
            Err(fault) => return fault::answer(&fault, None).response(),
        };
        let owner = owner(session.as_ref(), &visit);
        match read(&console, &stopwatch, &request, body, (owner, longest)).await {
            Ok(form) => self.run(console, &stopwatch, Visit { form, ..visit }, session).await,
            Err(fault) => fault::answer(&fault, None).response(),
        }
    }

    async fn run(
        self,
        console: Data<Console>,
        stopwatch: &Stopwatch,
        visit: Visit,
        session: Option<Session>,
    ) -> HttpResponse {
        let api = Data::clone(&console.api);
        let (lane, owner) = (self.effort.lane(&visit), owner(session.as_ref(), &visit));
        let job = move |work| match self.enter(&console, &visit, session, work) {
            Ok(desk) => {
                let refused = |fault: &Fault| refuse(fault, &visit, Some(&desk));
                let answer = (self.page)(&desk).unwrap_or_else(|fault| refused(&fault));
                remember_tenant(answer, &desk)
            }
            Err(fault) => refuse(&fault, &visit, None),
        };
        let answer = headcount_http_api::run_page(&api, stopwatch, lane, owner, job).await;
        answer.unwrap_or_else(|| fault::answer(&Fault::Busy, None)).response()
    }

    fn enter<'v>(
        self,
        console: &'v Console,
        visit: &'v Visit,
        session: Option<Session>,
        work: Work,
    ) -> Result<Desk<'v>, Fault> {
        let acts = self.kind == Kind::Acts;
        if acts && visit.sender == Sender::Foreign {
            return Err(Fault::Foreign);
        }
        if let Door::Session(role) = self.door {
            let session = session.as_ref().ok_or(Fault::LoggedOut)?;
            if acts && !same(visit.form.get("token"), &session.form_token) {
                return Err(Fault::Foreign);
            }
            if session.admin.role < role {
                return Err(Fault::Forbidden);
            }
        } else if acts && visit.sender == Sender::Unknown {
            // No session, no form token: only the browser's word tells whose form it is.
            return Err(Fault::Foreign);
        }
        Desk::new(console, visit, session, work)
    }
}

/// Finds out who is logged in, on the lane of proofs: what follows waits in that account's name.
async fn prove(
    console: &Data<Console>,
    stopwatch: &Stopwatch,
    visit: &Visit,
) -> Result<Option<Session>, Fault> {
    let Some(cookie) = visit.cookie.clone().filter(|cookie| !cookie.is_empty()) else {
        return Ok(None);
    };
    // Pages that ask by themselves keep nobody logged in.
    let active = visit.query.get("live").is_empty();
    let inner = Data::clone(console);
    let job = move |_| inner.accounts.session(&cookie, active);
    let visitor = Owner::visitor(visit.address);
    let found =
        headcount_http_api::run_page(&console.api, stopwatch, Lane::Proof, visitor, job).await;
    Ok(found.ok_or(Fault::Busy)??)
}

/// Returns in whose name a request waits.
fn owner(session: Option<&Session>, visit: &Visit) -> Owner {
    match session {
        Some(session) => Owner::account(&session.admin.name),
        None => Owner::visitor(visit.address),
    }
}

async fn read(
    console: &Console,
    stopwatch: &Stopwatch,
    request: &HttpRequest,
    body: web::Payload,
    (owner, longest): (Owner, usize),
) -> Result<Fields, Fault> {
    let wrong = || Fault::Wrong("The form is too large or cannot be read.".to_owned());
    let form = request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.starts_with(ContentType::form_url_encoded().0.as_ref()));
    if !form {
        return Err(wrong());
    }
    let read = headcount_http_api::read_form(&console.api, stopwatch, owner, body, longest);
    // A form is written like a query.
    let bytes = read.await.ok_or_else(wrong)?;
    let text = std::str::from_utf8(&bytes).map_err(|_bad| wrong())?;
    let fields = web::Query::<Vec<(String, String)>>::from_query(text).map_err(|_bad| wrong())?;
    Ok(Fields(fields.into_inner()))
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

/// Compares without telling by its time how much was right.
fn same(a: &str, b: &str) -> bool {
    let differences = a.bytes().zip(b.bytes()).fold(0, |all, (a, b)| all | (a ^ b));
    a.len() == b.len() && differences == 0
}
