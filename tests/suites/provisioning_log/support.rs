//! Reading the log on the command line.

use std::time::Duration;

use headcount_e2e::Server;
use headcount_e2e::server::wait_for;
use serde_json::Value;

pub(crate) const SOON: Duration = Duration::from_secs(10);

pub(crate) fn lines(server: &Server, arguments: &[&str]) -> Vec<Value> {
    let all = [&["log", "tail", "--output", "json", "-n", "5000"], arguments].concat();
    let output = server.run(&all);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The newest record for which `wanted` holds, once it is there.
pub(crate) fn record(server: &Server, wanted: impl Fn(&Value) -> bool) -> Value {
    let found = wait_for(SOON, || lines(server, &[]).into_iter().rev().find(&wanted));
    found.unwrap_or_else(|| panic!("no such record in {:#?}", lines(server, &[])))
}

pub(crate) fn explain(server: &Server, name: &str) -> Value {
    let output = server.run(&["log", "explain", name, "--output", "json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}
