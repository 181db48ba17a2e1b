//! How often a client may try to log in.
//!
//! Every attempt is counted in the database before its password is checked, so that the count holds for
//! parallel attempts, on all replicas and after a restart. An attempt that has to wait is not counted, so that
//! no account is ever locked for good. An administrator who has logged in from a network before is held up only
//! by attempts from that network, not by those of others on the account; one whose browser has the cookie of an
//! earlier log-in, only by attempts with that cookie; one with a second factor, only by attempts with valid codes.

use std::time::Duration;

/// How long counts are kept after the last attempt.
pub const COUNT_LIFE: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a network is known after a log-in from it.
pub(super) const NETWORK_LIFE: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// Returns how long to wait after so many attempts.
pub const fn wait(count: i64) -> Duration {
    Duration::from_secs(match count {
        ..7 => 0,
        7..10 => 60,
        10..15 => 10 * 60,
        15..20 => 15 * 60,
        20.. => 60 * 60,
    })
}
