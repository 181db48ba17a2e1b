//! The page that says why there is no other.

use askama::Template;

use crate::answer::{Answer, Fault};
use crate::assets;
use crate::desk::{Desk, Frame};

#[derive(Template)]
#[template(path = "fault.html")]
struct Page {
    frame: Frame,
    text: String,
    request: String,
}

/// Makes the page; with the menu around it when somebody is logged in.
pub(crate) fn answer(fault: &Fault, desk: Option<&Desk<'_>>) -> Answer {
    let (status, heading, text) = fault.told();
    let nobody = || Frame {
        title: heading.to_owned(),
        place: String::new(),
        admin: None,
        role: "",
        form_token: String::new(),
        tenant: String::new(),
        tenants: Vec::new(),
        kinds: Vec::new(),
        path: String::new(),
        commands: Vec::new(),
        version: assets::version(),
        refresh: false,
        asks_password: false,
        password_error: String::new(),
    };
    let frame = desk.map_or_else(nobody, |desk| desk.frame(heading, ""));
    let request = match fault {
        Fault::Internal(_) => desk.map_or("", |desk| desk.visit.request.as_str()),
        _ => "",
    };
    let page = Page { frame, text, request: request.to_owned() };
    match Answer::page(&page) {
        Ok(answer) => answer.status(status),
        Err(_) => Answer::see("/console"),
    }
}
