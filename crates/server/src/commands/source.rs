//! Where the log and the events are read: the database, or a running server. Both return the same shapes, so
//! that a command does not know which one it has.

mod client;
mod database;
mod server;

use std::time::Duration;

use anyhow::bail;
use headcount_records::{EventBody, RecordBody, TimelineBody};
use serde::Deserialize;

use self::client::{Client, Failure};
use self::database::Database;
use self::server::Server;
use crate::cli::{Common, Origin};
use crate::config::Config;
use crate::output;

/// How often a command that follows reads again.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(250);
/// How long it waits for a server that does not answer.
const RETRY_INTERVAL: Duration = Duration::from_secs(2);

/// Which requests.
#[derive(Debug, Clone, Default)]
pub(super) struct Requests {
    /// Only those of a tenant, by its name.
    pub(super) tenant: Option<String>,
    /// Only those that failed.
    pub(super) failed: bool,
}

/// Which events.
#[derive(Debug, Clone, Default)]
pub(super) struct Events {
    /// The tenant, by its name.
    pub(super) tenant: Option<String>,
    /// The types, separated by commas.
    pub(super) types: Option<String>,
}

/// Where events begin.
#[derive(Debug, Clone, Copy)]
pub(super) enum Begin<'a> {
    /// So many before the end.
    Newest,
    /// Behind a cursor.
    After(&'a str),
    /// Behind a cursor; when there are none, a server may wait for some before it answers.
    Following(&'a str),
}

/// Events, and where the next ones begin: a page of the feed.
#[derive(Debug, Deserialize)]
pub(super) struct Page {
    /// The events, oldest first.
    pub(super) events: Vec<EventBody>,
    /// The cursor behind them.
    pub(super) next: String,
    /// Whether there are more already.
    pub(super) more: bool,
}

/// A source of log and events. Every error names what to change.
pub(super) trait Source {
    /// Returns the latest requests, oldest first, without their bodies.
    fn latest(&self, wanted: &Requests, limit: usize) -> anyhow::Result<Vec<RecordBody>>;

    /// Returns requests with larger numbers, oldest first, without their bodies.
    fn since(&self, wanted: &Requests, number: i64) -> anyhow::Result<Vec<RecordBody>>;

    /// Returns a request whole, by its number or by its id; those of a bulk request are several.
    fn request(&self, id: &str) -> anyhow::Result<Vec<RecordBody>>;

    /// Returns everything that is known about a name.
    fn timeline(&self, tenant: Option<&str>, name: &str) -> anyhow::Result<TimelineBody>;

    /// Returns at most `limit` events.
    fn events(&self, wanted: &Events, begin: Begin<'_>, limit: usize) -> anyhow::Result<Page>;
}

/// Opens the source that the command line names.
pub(super) fn open(
    config: &Config,
    common: &Common,
    origin: &Origin,
) -> anyhow::Result<Box<dyn Source>> {
    let Some(address) = &origin.server else {
        if origin.token_file.is_some() || origin.ca_file.is_some() {
            bail!("--token-file and --ca-file are for --server; name it, too");
        }
        return Ok(Box::new(Database::open(config)?));
    };
    if common.database.is_some() {
        bail!("--server and --database cannot be used together; name one of them");
    }
    Ok(Box::new(Server::new(Client::new(address, origin)?)))
}

/// Calls `read` repeatedly, with pauses, until it returns [`Onward::Stop`].
///
/// While a server is away, this waits for it.
///
/// # Errors
///
/// Those of `read`, except that a server is away.
pub(super) fn follow(mut read: impl FnMut() -> anyhow::Result<Onward>) -> anyhow::Result<()> {
    let mut is_away = false;
    loop {
        let pause = match read() {
            Ok(Onward::Stop) => return Ok(()),
            Ok(Onward::At(pause)) => {
                is_away = false;
                pause
            }
            Err(error) => {
                if !error.downcast_ref::<Failure>().is_some_and(Failure::may_pass) {
                    return Err(error);
                }
                if !std::mem::replace(&mut is_away, true) {
                    output::note(&format!("{error}; trying again until the server answers"));
                }
                RETRY_INTERVAL
            }
        };
        std::thread::sleep(pause);
    }
}

/// How a command that follows goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Onward {
    /// After a pause.
    At(Duration),
    /// Not at all.
    Stop,
}

impl Onward {
    /// There is more already.
    pub(super) const NOW: Self = Self::At(Duration::ZERO);
    /// There may be more soon.
    pub(super) const SOON: Self = Self::At(FOLLOW_INTERVAL);
}
