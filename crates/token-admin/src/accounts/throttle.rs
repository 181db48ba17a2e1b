//! How often somebody may try to log in.
//!
//! Every attempt is counted before its password is looked at, in the database, so that the count holds
//! for parallel attempts, on all replicas and after a restart. An attempt that has to wait counts as
//! none, so that no account is ever locked for good. Whoever logged in from an address before is not
//! held up by what others do to the account: only by what came from that same address.

/// Counts are forgotten after this many seconds without an attempt.
pub const FORGET: i64 = 24 * 60 * 60;
/// An address from which a log-in succeeded is known for this many seconds.
pub(super) const KNOWN: i64 = 90 * 24 * 60 * 60;

/// Returns how long to wait after so many attempts, in seconds.
pub const fn wait(count: i64) -> i64 {
    match count {
        ..7 => 0,
        7..10 => 60,
        10..15 => 10 * 60,
        15..20 => 15 * 60,
        20.. => 60 * 60,
    }
}
