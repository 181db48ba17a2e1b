//! Who gets to a page: session, role and origin of a form. Every route passes through here.

use actix_web::http::header;
use actix_web::web::{self, Data};
use actix_web::{HttpRequest, HttpResponse, Route};
use headcount_core::work::Work;
use headcount_http_api::{Lane, MAX_UNPROVEN_BYTES, Owner, Stopwatch};
use headcount_token_admin::accounts::{Role, SentBy, Session};
use subtle::ConstantTimeEq as _;

use crate::context::PageContext;
use crate::error::PageError;
use crate::pages::error;
use crate::request::{FetchOrigin, Fields, PageRequest};
use crate::response::PageResponse;
use crate::state::Console;

/// A page: from an authorized request to a response. It runs where waiting is allowed.
pub(crate) type Handler = fn(&PageContext<'_>) -> Result<PageResponse, PageError>;

/// The largest form of a session, in bytes.
const MAX_FORM_BYTES: usize = 64 * 1024;

/// Who may see a page.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Access {
    /// Everyone, without a session.
    Public,
    /// An account with this role or a stronger one.
    Role(Role),
}

/// What a page costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    /// It reads what an index serves.
    Lookup,
    /// It reads until it finds enough: searches, histories, exports.
    Scan,
    /// It scans if the query has a text to search for, and is a lookup otherwise.
    Search,
    /// It writes.
    Write,
}

impl Effort {
    fn lane(self, request: &PageRequest) -> Lane {
        match self {
            Self::Lookup => Lane::Page,
            Self::Search if request.query.get("q").is_empty() => Lane::Page,
            Self::Scan | Self::Search => Lane::Scan,
            Self::Write => Lane::Write,
        }
    }
}

/// Returns the route of a page that is shown.
pub(crate) fn get(
    console: &Data<Console>,
    access: Access,
    effort: Effort,
    handler: Handler,
) -> Route {
    let console = Data::clone(console);
    let page = Page { access, method: Method::Get, effort, handler };
    web::get().to(move |request: HttpRequest| page.serve_get(Data::clone(&console), request))
}

/// Returns the route of a form that is sent.
pub(crate) fn post(
    console: &Data<Console>,
    access: Access,
    effort: Effort,
    handler: Handler,
) -> Route {
    let console = Data::clone(console);
    let page = Page { access, method: Method::Post, effort, handler };
    web::post().to(move |request: HttpRequest, body: web::Payload| {
        page.serve_post(Data::clone(&console), request, body)
    })
}

/// Returns the route of every path that has no page.
pub(crate) fn not_found(console: &Data<Console>) -> Route {
    let console = Data::clone(console);
    let page = Page {
        access: Access::Public,
        method: Method::Get,
        effort: Effort::Lookup,
        handler: |_| Err(PageError::NotFound("There is no such page in the console.".to_owned())),
    };
    web::route().to(move |request: HttpRequest| page.serve_get(Data::clone(&console), request))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Get,
    Post,
}

/// One route: its handler, and what a request needs to get there.
#[derive(Clone, Copy)]
struct Page {
    access: Access,
    method: Method,
    effort: Effort,
    handler: Handler,
}

impl Page {
    async fn serve_get(self, console: Data<Console>, request: HttpRequest) -> HttpResponse {
        let stopwatch = Stopwatch::start();
        let request = PageRequest::read(&request, &console.api);
        match find_session(&console, &stopwatch, &request).await {
            Ok(session) => self.dispatch(console, &stopwatch, request, session).await,
            Err(error) => error::render(&error, None).into_http(),
        }
    }

    async fn serve_post(
        self,
        console: Data<Console>,
        http: HttpRequest,
        body: web::Payload,
    ) -> HttpResponse {
        let stopwatch = Stopwatch::start();
        let mut request = PageRequest::read(&http, &console.api);
        let session = match find_session(&console, &stopwatch, &request).await {
            Ok(session) => session,
            Err(error) => return error::render(&error, None).into_http(),
        };
        // Only a session may send a large form: those of strangers are short.
        let max = if session.is_some() { MAX_FORM_BYTES } else { MAX_UNPROVEN_BYTES };
        let owner = owner(session.as_ref(), &request);
        let form = match has_form(&http) {
            true => read_form(&console, &stopwatch, body, owner, max).await,
            false => Err(unreadable_form()),
        };
        match form {
            Ok(form) => {
                request.form = form;
                self.dispatch(console, &stopwatch, request, session).await
            }
            Err(error) => error::render(&error, None).into_http(),
        }
    }

    /// Authorizes the request and runs the handler, on the lane of its effort.
    async fn dispatch(
        self,
        console: Data<Console>,
        stopwatch: &Stopwatch,
        request: PageRequest,
        session: Option<Session>,
    ) -> HttpResponse {
        let api = Data::clone(&console.api);
        let (lane, owner) = (self.effort.lane(&request), owner(session.as_ref(), &request));
        headcount_http_api::run_page(&api, stopwatch, lane, owner, move |work| {
            // A form takes as long to arrive as its sender likes, and the account may have lost its rights since.
            let session = match (self.method, session) {
                (Method::Post, Some(_)) => read_session(&console, &request),
                (_, session) => Ok(session),
            };
            match session.and_then(|session| self.authorize(&console, &request, session, work)) {
                Ok(ctx) => match (self.handler)(&ctx) {
                    Ok(response) => remember_tenant(response, &ctx),
                    Err(error) => remember_tenant(respond(&error, &request, Some(&ctx)), &ctx),
                },
                Err(error) => respond(&error, &request, None),
            }
        })
        .await
        .unwrap_or_else(|| error::render(&PageError::Busy, None))
        .into_http()
    }

    fn authorize<'r>(
        self,
        console: &'r Console,
        request: &'r PageRequest,
        session: Option<Session>,
        work: Work,
    ) -> Result<PageContext<'r>, PageError> {
        let is_form = self.method == Method::Post;
        if is_form && request.fetch_origin == FetchOrigin::CrossOrigin {
            return Err(PageError::UntrustedForm);
        }
        match self.access {
            // Without a session there is no form token: the browser has to say whose form it is.
            Access::Public if is_form && request.fetch_origin == FetchOrigin::Unknown => {
                return Err(PageError::UntrustedForm);
            }
            Access::Public => {}
            Access::Role(role) => {
                let session = session.as_ref().ok_or(PageError::LoggedOut)?;
                if is_form && !is_equal(request.form.get("token"), &session.form_token) {
                    return Err(PageError::UntrustedForm);
                }
                if session.admin.role < role {
                    return Err(PageError::Forbidden);
                }
            }
        }
        PageContext::new(console, request, session, work)
    }
}

/// Reads the session of a request as it is now.
fn read_session(console: &Console, request: &PageRequest) -> Result<Option<Session>, PageError> {
    let Some(cookie) = request.session_cookie.as_deref().filter(|cookie| !cookie.is_empty()) else {
        return Ok(None);
    };
    // A page that reloads itself does not keep a session alive.
    let by = if request.query.get("live").is_empty() { SentBy::Person } else { SentBy::Page };
    Ok(console.accounts.session(cookie, by)?)
}

/// Finds the session of a request, on the lane of proofs: what follows waits in the name of its account.
async fn find_session(
    console: &Data<Console>,
    stopwatch: &Stopwatch,
    request: &PageRequest,
) -> Result<Option<Session>, PageError> {
    if request.session_cookie.as_ref().is_none_or(String::is_empty) {
        return Ok(None);
    }
    let (inner, request) = (Data::clone(console), request.clone());
    let visitor = Owner::visitor(request.address);
    headcount_http_api::run_page(&console.api, stopwatch, Lane::Proof, visitor, move |_| {
        read_session(&inner, &request)
    })
    .await
    .ok_or(PageError::Busy)?
}

/// Returns in whose name a request waits.
fn owner(session: Option<&Session>, request: &PageRequest) -> Owner {
    match session {
        Some(session) => Owner::account(&session.admin.name),
        None => Owner::visitor(request.address),
    }
}

/// Returns whether the body of a request is a form.
fn has_form(request: &HttpRequest) -> bool {
    let content_type = request.headers().get(header::CONTENT_TYPE);
    content_type.and_then(|value| value.to_str().ok()).is_some_and(is_form)
}

/// Returns whether a content type is that of a form, with or without parameters.
fn is_form(content_type: &str) -> bool {
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

async fn read_form(
    console: &Console,
    stopwatch: &Stopwatch,
    body: web::Payload,
    owner: Owner,
    max: usize,
) -> Result<Fields, PageError> {
    let bytes = headcount_http_api::read_form(&console.api, stopwatch, owner, body, max)
        .await
        .ok_or_else(unreadable_form)?;
    // A form is written like a query.
    let text = std::str::from_utf8(&bytes).map_err(|_error| unreadable_form())?;
    let fields = web::Query::<Vec<(String, String)>>::from_query(text)
        .map_err(|_error| unreadable_form())?;
    Ok(Fields(fields.into_inner()))
}

fn unreadable_form() -> PageError {
    PageError::BadRequest("The form is too large or cannot be read.".to_owned())
}

/// Sets the cookie of the tenant that the request chose, so that the next pages show it, too.
fn remember_tenant(response: PageResponse, ctx: &PageContext<'_>) -> PageResponse {
    let chosen = ctx.request.query.get("tenant");
    match ctx.tenant() {
        Ok(tenant) if tenant.name == chosen => {
            response.cookie(ctx.request.new_tenant_cookie(chosen))
        }
        _ => response,
    }
}

fn respond(
    error: &PageError,
    request: &PageRequest,
    ctx: Option<&PageContext<'_>>,
) -> PageResponse {
    if let PageError::Internal(error) = error {
        tracing::error!(request.id = %request.id, error, "a page of the console failed");
    }
    if matches!(error, PageError::LoggedOut) && request.form.0.is_empty() {
        let next = crate::format::escape(&request.path);
        return PageResponse::redirect(format!("/console/login?next={next}"));
    }
    error::render(error, ctx)
}

/// Compares in a time that does not depend on where the texts differ.
fn is_equal(a: &str, b: &str) -> bool {
    a.as_bytes().ct_eq(b.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::is_form;

    #[test]
    fn h_the_type_of_a_form_is_exact() {
        for form in [
            "application/x-www-form-urlencoded",
            "application/x-www-form-urlencoded; charset=UTF-8",
            "Application/X-WWW-Form-URLEncoded ;charset=utf-8",
        ] {
            assert!(is_form(form), "{form}");
        }
        for other in [
            "application/x-www-form-urlencodedFOO",
            "application/x-www-form-urlencoded, text/plain",
            "text/plain; application/x-www-form-urlencoded",
            "text/plain",
            "",
        ] {
            assert!(!is_form(other), "{other}");
        }
    }
}
