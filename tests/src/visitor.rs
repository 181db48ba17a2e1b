//! A client that sends HTTP as a browser does, and anything else that a test needs.

use std::time::Duration;

use crate::server::wait_for;
use crate::{Client, Response, Server};

/// The password of every account in tests.
pub const PASSWORD: &str = "velvet otter quarry";

/// A client that behaves like a browser, but for what a test changes.
pub struct Visitor {
    /// The connection.
    pub client: Client,
    /// The session; empty without one.
    pub cookie: String,
}

/// What a browser says of a form of ours.
pub const OURS: (&str, &str) = ("Sec-Fetch-Site", "same-origin");
const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

impl Visitor {
    /// A visitor without a session.
    pub fn of(server: &Server) -> Self {
        let client = Client { address: server.address, token: None, base: String::new() };
        Self { client, cookie: String::new() }
    }

    /// Opens a page.
    pub fn get(&self, path: &str) -> Response {
        self.client.raw("GET", path, &[("Cookie", self.cookie.as_str())], None)
    }

    /// Sends a form.
    pub fn post(&self, path: &str, headers: &[(&str, &str)], body: &str) -> Response {
        let headers = [&[FORM, ("Cookie", self.cookie.as_str())], headers].concat();
        self.client.raw("POST", path, &headers, Some(body.as_bytes()))
    }

    /// Sends a form of ours and opens the page that it leads to, as a browser does.
    pub fn post_and_follow(&self, path: &str, body: &str) -> Response {
        let answer = self.post(path, &[OURS], body);
        match answer.header("location") {
            Some(location) if answer.status == 303 => self.get(location),
            _ => answer,
        }
    }

    /// Takes the session out of an answer.
    pub fn take(&mut self, response: &Response) {
        let cookie = response.header("set-cookie").unwrap_or_default();
        self.cookie = cookie.split(';').next().unwrap_or_default().to_owned();
    }

    /// Makes the first account.
    pub fn make_owner(server: &Server) -> Self {
        let mut visitor = Self::of(server);
        let password = PASSWORD.replace(' ', "+");
        let form = format!("name=owner&new={password}&again={password}");
        let made = visitor.post(&setup_path(server), &[OURS], &form);
        assert_eq!(made.status, 303, "{}", made.text());
        visitor.take(&made);
        visitor
    }

    /// Logs the owner in; there is no session when that is refused.
    pub fn log_in(server: &Server, headers: &[(&str, &str)], password: &str) -> Self {
        Self::log_in_as(server, "owner", headers, password)
    }

    /// Logs an account in; there is no session when that is refused.
    pub fn log_in_as(
        server: &Server,
        name: &str,
        headers: &[(&str, &str)],
        password: &str,
    ) -> Self {
        let mut visitor = Self::of(server);
        let form = format!("name={name}&password={}", password.replace(' ', "+"));
        let answer = visitor.post("/console/login", &[&[OURS], headers].concat(), &form);
        if answer.status == 303 {
            visitor.take(&answer);
        }
        visitor
    }

    /// Returns whether the session is alive.
    pub fn is_in(&self) -> bool {
        self.get("/console").status == 200
    }

    /// Returns what makes a form one of this session.
    pub fn form_token(&self) -> String {
        let page = self.get("/console").text();
        let value = page.split("name=\"token\" value=\"").nth(1).unwrap_or_default();
        value.split('"').next().unwrap_or_default().to_owned()
    }

    /// The same session at another replica.
    pub fn at(&self, server: &Server) -> Self {
        Self { client: Self::of(server).client, cookie: self.cookie.clone() }
    }

    /// Invites a person, who accepts the account at once.
    pub fn invite(&self, server: &Server, name: &str, role: &str) -> Self {
        let form = format!("token={}&act=invite&name={name}&role={role}", self.form_token());
        let page = self.post_and_follow("/console/settings", &form).text();
        let link = page.split("/console/setup/").nth(1).expect("there is a link");
        let link = link.split('"').next().unwrap_or_default();
        let password = PASSWORD.replace(' ', "+");
        let mut other = Self::of(server);
        let path = format!("/console/setup/{link}");
        let made = other.post(&path, &[OURS], &format!("new={password}&again={password}"));
        assert_eq!(made.status, 303, "{}", made.text());
        other.take(&made);
        other
    }
}

/// The path of the setup link of a server.
pub fn setup_path(server: &Server) -> String {
    let said = "the link to make one is in";
    let named = wait_for(Duration::from_secs(20), || {
        server.log().lines().find(|line| line.contains(said)).map(str::to_owned)
    });
    let named = named.unwrap_or_else(|| panic!("{}", server.log()));
    let file = named.rsplit(" is in ").next().unwrap_or_default().trim();
    let url = std::fs::read_to_string(server.database.path().join(file)).expect("there is a link");
    let (_, path) = url.trim().rsplit_once("/console/").expect("it leads to the console");
    format!("/console/{path}")
}
