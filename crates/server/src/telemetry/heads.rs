//! Requests whose head cannot be read.
//!
//! They end in the HTTP library, before there is a request: it answers 400, closes the connection and logs an
//! error for each. A mistake of a client is not an error of the server, and a stranger could fill a disk with such
//! lines. They are counted instead, and one line a minute reports how many there were.

use std::fmt::{self, Debug};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata};
use tracing_subscriber::layer::{Context, Filter};

/// How often their number is logged.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);
/// How the library's lines about them begin: the head is not HTTP, or the client went away within it.
const LINES: [&str; 2] = ["stream error: request parse error", "stream error: I/O error"];
/// The longest reason that is logged, in bytes.
const MAX_REASON: usize = 200;

/// Keeps the lines of the library out of the log, and counts them.
#[derive(Clone, Default)]
pub(crate) struct BrokenHeads(Arc<Mutex<Counted>>);

#[derive(Default)]
struct Counted {
    amount: u64,
    /// What the last one was.
    last: String,
    /// When they were reported last.
    reported: Option<Instant>,
}

impl BrokenHeads {
    /// Logs how many there were, if there were any and the last report is a minute old.
    pub(crate) fn report(&self) {
        self.report_after(REPORT_INTERVAL);
    }

    /// Logs how many there were since the last report, before the server ends.
    pub(crate) fn report_rest(&self) {
        self.report_after(Duration::ZERO);
    }

    fn report_after(&self, interval: Duration) {
        if let Some((amount, last)) = self.take(interval) {
            tracing::info!(amount, last, "clients sent requests whose head could not be read");
        }
    }

    fn take(&self, interval: Duration) -> Option<(u64, String)> {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let early = counted.reported.is_some_and(|reported| reported.elapsed() < interval);
        if counted.amount == 0 || early {
            return None;
        }
        counted.reported = Some(Instant::now());
        Some((std::mem::take(&mut counted.amount), std::mem::take(&mut counted.last)))
    }

    fn count(&self, line: &str) {
        metrics::counter!("headcount_broken_heads_total").increment(1);
        // The library quotes nothing of what was sent, but does not promise that.
        let plain = line.chars().filter(|c| c.is_ascii_graphic() || *c == ' ');
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counted.amount += 1;
        counted.last = plain.skip("stream error: ".len()).take(MAX_REASON).collect();
    }
}

impl<S> Filter<S> for BrokenHeads {
    fn enabled(&self, _metadata: &Metadata<'_>, _context: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _context: &Context<'_, S>) -> bool {
        let metadata = event.metadata();
        if *metadata.level() != Level::ERROR || !metadata.target().starts_with("actix_http::") {
            return true;
        }
        let mut line = Message(String::new());
        event.record(&mut line);
        let broken = LINES.iter().any(|begin| line.0.starts_with(begin));
        if broken {
            self.count(&line.0);
        }
        !broken
    }
}

/// The message of an event.
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            // Writing to a text cannot fail.
            fmt::write(&mut self.0, format_args!("{value:?}")).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};

    use super::*;

    /// Keeps what gets through.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<String>>>);

    impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Lines {
        fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
            let mut line = Message(String::new());
            event.record(&mut line);
            self.0.lock().unwrap().push(line.0);
        }
    }

    #[test]
    fn h16_broken_heads_are_counted_and_errors_of_the_server_are_logged() {
        let (heads, lines) = (BrokenHeads::default(), Lines::default());
        let subscriber =
            tracing_subscriber::registry().with(lines.clone().with_filter(heads.clone()));
        tracing::subscriber::with_default(subscriber, || {
            for _ in 0..4_000 {
                let why = "request parse error: invalid \u{1b}[31mHeader provided";
                tracing::error!(target: "actix_http::h1::dispatcher", "stream error: {why}");
            }
            tracing::error!(target: "actix_http::h1::dispatcher", "stream error: internal error");
            tracing::error!(target: "actix_http::h2", "Response payload stream error: x");
            tracing::error!(target: "headcount", "stream error: request parse error");
        });
        assert_eq!(lines.0.lock().unwrap().len(), 3, "{lines:?}", lines = lines.0);
        let reported = heads.take(REPORT_INTERVAL);
        let reason = "request parse error: invalid [31mHeader provided".to_owned();
        assert_eq!(reported, Some((4_000, reason)));
        assert_eq!(heads.take(REPORT_INTERVAL), None, "nothing happened since");
        heads.count("stream error: I/O error");
        assert_eq!(heads.take(REPORT_INTERVAL), None, "a minute has not passed");
        assert_eq!(heads.take(Duration::ZERO), Some((1, "I/O error".to_owned())));
    }
}
