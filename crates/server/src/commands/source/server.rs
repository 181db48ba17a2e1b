//! Asking a running server, over its admin API.

use std::cell::Cell;

use anyhow::bail;
use headcount_records::{RecordBody, TimelineBody};
use serde::Deserialize;

use super::client::{Client, Failure};
use super::{Begin, Events, Page, Requests, Source};
use crate::output;

/// Records or events on one page of the admin API.
const MAX_PAGE: usize = 1_000;
/// Seconds that the server may wait for an event before it answers.
const WAIT_SECONDS: &str = "25";

/// A running server.
pub(super) struct Server {
    client: Client,
    /// Whether to ask for the requests of all tenants: until the server answers that the token may not.
    everywhere: Cell<bool>,
}

/// A page of the log.
#[derive(Deserialize)]
struct LogPage {
    requests: Vec<RecordBody>,
}

impl Server {
    pub(super) fn new(client: Client) -> Self {
        Self { client, everywhere: Cell::new(true) }
    }

    /// Asks about the named tenant, or else about all of them, or else about that of the token.
    fn log<T: for<'de> Deserialize<'de>>(
        &self,
        path: &str,
        tenant: Option<&str>,
        query: &[(&str, &str)],
    ) -> Result<T, Failure> {
        let everywhere = tenant.is_none() && self.everywhere.get();
        if everywhere {
            match self.client.get(path, &[query, &[("everywhere", "yes")]].concat()) {
                Err(Failure::Refused(problem)) if problem.kind.ends_with(":scope") => {}
                answer => return answer,
            }
        }
        let tenant = tenant.map(|name| ("tenant", name));
        let answer = self.client.get(path, &[query, tenant.as_slice()].concat())?;
        if everywhere {
            self.everywhere.set(false);
            output::note(
                "the token sees only requests of its own tenant, and none with unknown tokens; one \
                 with the scope tenants:all sees all",
            );
        }
        Ok(answer)
    }

    fn page(
        &self,
        wanted: &Requests,
        limit: usize,
        place: Option<(&str, i64)>,
    ) -> Result<Vec<RecordBody>, Failure> {
        let (limit, number) = (limit.to_string(), place.map(|(_, number)| number.to_string()));
        let mut query = vec![("limit", limit.as_str())];
        if wanted.failed {
            query.push(("outcome", "failed"));
        }
        query.extend(place.zip(number.as_deref()).map(|((name, _), number)| (name, number)));
        let page: LogPage = self.log("/log", wanted.tenant.as_deref(), &query)?;
        Ok(page.requests)
    }
}

impl Source for Server {
    fn latest(&self, wanted: &Requests, limit: usize) -> anyhow::Result<Vec<RecordBody>> {
        let mut found: Vec<RecordBody> = Vec::new();
        while found.len() < limit {
            let oldest = found.last().map(|record| ("before", record.number));
            let asked = (limit - found.len()).min(MAX_PAGE);
            let page = self.page(wanted, asked, oldest)?;
            let is_last = page.len() < asked;
            found.extend(page);
            if is_last {
                break;
            }
        }
        found.reverse();
        Ok(found)
    }

    fn since(&self, wanted: &Requests, number: i64) -> anyhow::Result<Vec<RecordBody>> {
        Ok(self.page(wanted, MAX_PAGE, Some(("after", number)))?)
    }

    fn request(&self, id: &str) -> anyhow::Result<Vec<RecordBody>> {
        let mut numbers = Vec::new();
        match id.parse::<i64>() {
            Ok(number) => numbers.push(number),
            Err(_) => {
                let limit = MAX_PAGE.to_string();
                let query = [("requestId", id), ("after", "0"), ("limit", limit.as_str())];
                let page: LogPage = self.log("/log", None, &query)?;
                numbers.extend(page.requests.iter().map(|record| record.number));
            }
        }
        let mut found = Vec::new();
        for number in numbers {
            match self.log(&format!("/log/{number}"), None, &[]) {
                Ok(record) => found.push(record),
                Err(Failure::Refused(problem)) if problem.status == 404 => {}
                Err(failure) => return Err(failure.into()),
            }
        }
        Ok(found)
    }

    fn timeline(&self, tenant: Option<&str>, name: &str) -> anyhow::Result<TimelineBody> {
        let tenant = tenant.map(|name| ("tenant", name));
        Ok(self.client.get("/timeline", &[&[("name", name)], tenant.as_slice()].concat())?)
    }

    fn events(&self, wanted: &Events, begin: Begin<'_>, limit: usize) -> anyhow::Result<Page> {
        let text = limit.min(MAX_PAGE).to_string();
        let mut query = match begin {
            Begin::Newest if limit > MAX_PAGE => bail!(
                "a server returns the newest {MAX_PAGE} events at most; begin with --after 0 for more"
            ),
            Begin::Newest => vec![("newest", text.as_str())],
            Begin::After(cursor) => vec![("after", cursor), ("limit", text.as_str())],
            Begin::Following(cursor) => {
                vec![("after", cursor), ("limit", text.as_str()), ("wait", WAIT_SECONDS)]
            }
        };
        query.extend(wanted.tenant.as_deref().map(|name| ("tenant", name)));
        query.extend(wanted.types.as_deref().map(|types| ("types", types)));
        Ok(self.client.get("/events", &query)?)
    }
}
