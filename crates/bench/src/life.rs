//! Start, memory and size of the server.

use std::sync::Arc;
use std::time::Duration;

use headcount_core::change::{Actor, Author};
use headcount_core::ids::{RequestId, TenantId};
use headcount_token_admin::memory::MemoryTokens;
use headcount_token_admin::{Expiry, NewToken, Policy, Principal, Scopes, Tokens};
use secrecy::ExposeSecret as _;

use crate::client::Request;
use crate::load::{Http, Side as _, count, median};
use crate::machine::SystemClock;
use crate::report::Report;
use crate::report::Target::AtMost;
use crate::server::Installation;
use crate::workload::{Bench, CONNECTIONS, Options};

const MIB: f64 = 1024.0 * 1024.0;
/// Tokens of the flood that no server has given out.
const UNKNOWN: usize = 40;

/// Starts the server some times and notes how long that takes.
pub(crate) fn start(
    report: &mut Report,
    options: &Options,
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
    if options.users >= 100_000 {
        report.judge("", "start to ready", AtMost(300.0), median(ready), "ms");
    } else {
        report.judge("", "start to ready, as at 100000 users", AtMost(300.0), median(ready), "ms");
    }
    // No target is set for these two; what is expected of them is what a small machine has to spare.
    report.judge("", "memory when idle", AtMost(60.0), median(idle), "MiB");
    report.judge("", "size of the binary", AtMost(32.0), size, "MiB");
    Ok(())
}

/// Memory after everything else, and after a flood of wrong tokens.
pub(crate) fn memory(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let Some(process) = bench.subject.process else { return Ok(()) };
    let peak = bench.peak.max(process.peak());
    let bound = if bench.options.users > 1_000 { 150.0 } else { 60.0 };
    bench.report.judge("", "peak memory under all of it", AtMost(bound), peak, "MiB");
    let mut tokens = wrong_tokens()?;
    tokens.extend(["", "garbage", "hc_too_short"].map(str::to_owned));
    let mut floods = Vec::new();
    for token in &tokens {
        let endpoint = bench.subject.endpoint.with_token(token);
        let ask = || Some(Request::get("/Users?count=1".to_owned()));
        let flood = Http::open(bench.runtime, &endpoint, CONNECTIONS, (None, None), ask)?;
        floods.push(flood.expecting(|status| matches!(status, 401 | 429)));
    }
    let mut flood = |seconds: f64| -> anyhow::Result<()> {
        for flood in &mut floods {
            drop(flood.slice(seconds)?);
        }
        Ok(())
    };
    // Neither the connections themselves are what is asked about, nor what is on its way to the log.
    flood(0.1)?;
    let settle = || std::thread::sleep(std::time::Duration::from_secs(2));
    settle();
    let before = process.resident();
    flood(0.1)?;
    settle();
    let what = "memory that a flood of wrong tokens leaves behind";
    bench.report.judge("", what, AtMost(1.0), process.resident() - before, "MiB");
    Ok(())
}

/// Tokens of the right form that the subject does not know.
fn wrong_tokens() -> anyhow::Result<Vec<String>> {
    let tokens = Tokens::new(Arc::new(MemoryTokens::default()), Arc::new(SystemClock), policy());
    (0..UNKNOWN).map(|number| issue(&tokens, &format!("wrong {number}"))).collect()
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
