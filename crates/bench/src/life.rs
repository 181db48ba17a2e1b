//! Start, memory and size of the server.

use std::sync::Arc;
use std::time::Duration;

use headcount_core::change::{Actor, Author};
use headcount_core::ids::{RequestId, TenantId};
use headcount_token_admin::memory::MemoryTokens;
use headcount_token_admin::{Expiry, NewToken, Policy, Principal, Scopes, Tokens};
use secrecy::ExposeSecret as _;

use crate::client::Request;
use crate::load::{Http, Load as _, count, median};
use crate::machine::SystemClock;
use crate::report::Report;
use crate::report::Target::AtMost;
use crate::server::Installation;
use crate::workload::{Bench, CONNECTIONS};

const MIB: f64 = 1024.0 * 1024.0;
/// Tokens of the flood that no server has given out.
const UNKNOWN: usize = 40;

/// Starts the server some times and notes how long that takes.
pub(crate) fn start(
    report: &mut Report,
    installation: &Installation,
    token: &str,
) -> anyhow::Result<()> {
    let (mut ready, mut idle) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        let server = installation.start(token)?;
        ready.push(server.ready.as_secs_f64() * 1e3);
        idle.push(server.process.resident());
    }
    let size = count(std::fs::metadata(&installation.binary)?.len()) / MIB;
    report.judge("", "start to ready", AtMost(300.0), (median(ready), "ms"));
    report.judge("", "memory when idle", AtMost(60.0), (median(idle), "MiB"));
    report.judge("", "size of the binary", AtMost(32.0), (size, "MiB"));
    Ok(())
}

/// Memory after everything else, and after a flood of wrong tokens.
pub(crate) fn memory(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let Some(process) = bench.subject.process else { return Ok(()) };
    let peak = bench.peak.max(process.peak());
    let bound = if bench.options.users > 1_000 { 150.0 } else { 60.0 };
    bench.report.judge("", "peak memory under all of it", AtMost(bound), (peak, "MiB"));
    // Tokens of the right form that the subject does not know, and others.
    let unknown = Tokens::new(Arc::new(MemoryTokens::default()), Arc::new(SystemClock), policy());
    let tokens = (0..UNKNOWN).map(|number| issue(&unknown, &format!("wrong {number}")));
    let others = ["", "garbage", "hc_too_short"].map(|token| Ok(token.to_owned()));
    let mut floods = Vec::new();
    for token in tokens.chain(others) {
        let endpoint = bench.subject.endpoint.with_token(&token?);
        let ask = || Some(Request::get("/Users?count=1".to_owned()));
        let flood = Http::open(bench.runtime, &endpoint, CONNECTIONS, (None, None), ask)?;
        floods.push(flood.expecting(|status| matches!(status, 401 | 429)));
    }
    // After the first round the connections themselves are not measured.
    let mut resident = [0.0; 2];
    for after in &mut resident {
        for flood in &mut floods {
            drop(flood.slice(0.1)?);
        }
        // The last records are on their way to the log.
        std::thread::sleep(Duration::from_secs(2));
        *after = process.resident();
    }
    let what = "memory that a flood of wrong tokens leaves behind";
    bench.report.judge("", what, AtMost(1.0), (resident[1] - resident[0], "MiB"));
    Ok(())
}

/// How long tokens live that exist in this process only.
pub(crate) fn policy() -> Policy {
    let hour = Duration::from_secs(3_600);
    Policy { default_life: hour, longest_life: hour * 2, allow_never_expires: false }
}

/// Makes a token and returns its text.
pub(crate) fn issue(tokens: &Tokens, name: &str) -> anyhow::Result<String> {
    let new = NewToken {
        name: name.to_owned(),
        scopes: Scopes::SCIM_READ,
        expiry: Expiry::Default,
        cidrs: Vec::new(),
        user: None,
    };
    let author = Author { actor: Actor::System, request: RequestId::new("benchmark") };
    let issued = tokens.issue(&Principal::operator(author), TenantId::new(1), new)?;
    Ok(issued.secret.expose_secret().to_owned())
}
