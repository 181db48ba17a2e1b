//! Somebody who speaks HTTP as a browser does, and whatever else a test wants.

use headcount_e2e::{Client, Response, Server};

use crate::support::{PASSWORD, setup_path};

/// A client that behaves like a browser, but for what a test changes.
pub(crate) struct Visitor {
    pub(crate) client: Client,
    pub(crate) cookie: String,
}

/// What a browser says of a form of ours.
pub(crate) const OURS: (&str, &str) = ("Sec-Fetch-Site", "same-origin");
const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

impl Visitor {
    pub(crate) fn of(server: &Server) -> Self {
        let client = Client { address: server.address, token: None, base: String::new() };
        Self { client, cookie: String::new() }
    }

    pub(crate) fn get(&self, path: &str) -> Response {
        self.client.raw("GET", path, &[("Cookie", self.cookie.as_str())], None)
    }

    pub(crate) fn post(&self, path: &str, headers: &[(&str, &str)], body: &str) -> Response {
        let headers = [&[FORM, ("Cookie", self.cookie.as_str())], headers].concat();
        self.client.raw("POST", path, &headers, Some(body.as_bytes()))
    }

    /// Takes the session out of an answer.
    pub(crate) fn take(&mut self, response: &Response) {
        let cookie = response.header("set-cookie").unwrap_or_default();
        self.cookie = cookie.split(';').next().unwrap_or_default().to_owned();
    }

    /// Makes the first account.
    pub(crate) fn make_owner(server: &Server) -> Self {
        let mut visitor = Self::of(server);
        let password = PASSWORD.replace(' ', "+");
        let form = format!("name=owner&new={password}&again={password}");
        let made = visitor.post(&setup_path(server), &[OURS], &form);
        assert_eq!(made.status, 303, "{}", made.text());
        visitor.take(&made);
        visitor
    }

    /// Logs the owner in; there is no session when that is refused.
    pub(crate) fn log_in(server: &Server, headers: &[(&str, &str)], password: &str) -> Self {
        Self::log_in_as(server, "owner", headers, password)
    }

    pub(crate) fn log_in_as(
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

    /// Tells whether the session is alive.
    pub(crate) fn is_in(&self) -> bool {
        self.get("/console").status == 200
    }

    /// Returns what makes a form one of this session.
    pub(crate) fn form_token(&self) -> String {
        let page = self.get("/console").text();
        let value = page.split("name=\"token\" value=\"").nth(1).unwrap_or_default();
        value.split('"').next().unwrap_or_default().to_owned()
    }

    /// The same session at another replica.
    pub(crate) fn at(&self, server: &Server) -> Self {
        Self { client: Self::of(server).client, cookie: self.cookie.clone() }
    }

    /// Invites somebody, who takes the account at once.
    pub(crate) fn invite(&self, server: &Server, name: &str, role: &str) -> Self {
        let form = format!("token={}&act=invite&name={name}&role={role}", self.form_token());
        let page = self.post("/console/settings", &[OURS], &form).text();
        let link = page.split("/console/setup/").nth(1).unwrap().split('"').next().unwrap();
        let password = PASSWORD.replace(' ', "+");
        let mut other = Self::of(server);
        let path = format!("/console/setup/{link}");
        let made = other.post(&path, &[OURS], &format!("new={password}&again={password}"));
        assert_eq!(made.status, 303, "{}", made.text());
        other.take(&made);
        other
    }
}
