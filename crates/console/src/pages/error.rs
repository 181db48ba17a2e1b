//! The page that says why another cannot be shown.

use askama::Template;

use crate::context::{Layout, PageContext};
use crate::error::PageError;
use crate::response::PageResponse;

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    layout: Layout,
    text: String,
    /// The id of the request, if the server's log says more about it.
    request: String,
}

/// Renders an error, with the menu if there is a session.
pub(crate) fn render(error: &PageError, ctx: Option<&PageContext<'_>>) -> PageResponse {
    let (status, heading, text) = error.message();
    let layout = match ctx {
        Some(ctx) => ctx.layout(heading, ""),
        None => Layout::without_menu(heading),
    };
    let request = match (error, ctx) {
        (PageError::Internal(_), Some(ctx)) => ctx.request.id.to_string(),
        _ => String::new(),
    };
    match PageResponse::render(&ErrorPage { layout, text, request }) {
        Ok(response) => response.status(status),
        Err(_) => PageResponse::redirect("/console"),
    }
}
