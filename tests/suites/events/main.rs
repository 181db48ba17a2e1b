//! The event feed over HTTP and on the command line: types, cursors, payloads, waiting, streams, and
//! nothing lost when transactions commit late.

mod feed;
mod late_commits;
mod security_event_tokens;
mod stream;
mod support;
mod tail;
