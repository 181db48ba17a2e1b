//! The statements of the checklist, each as a conversation, on both databases.
//!
//! The cases stand in `tests/conformance/*.scim`. Each has a tenant of its own on a shared server.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on says so by panicking"
)]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use headcount_e2e::conversation::{self, Case, NewToken, Stage};
use headcount_e2e::{Client, Database, Server};
use libtest_mimic::{Arguments, Trial};

type Servers = Mutex<HashMap<String, Arc<OnceLock<Server>>>>;

fn main() {
    let arguments = Arguments::from_args();
    let servers: Arc<Servers> = Arc::default();
    let mut trials = Vec::new();
    for (file, text) in files() {
        for case in conversation::parse(&file, &text) {
            let case = Arc::new(case);
            for postgres in [false, true] {
                let store = if postgres { "postgres" } else { "sqlite" };
                let name = format!("{store}::{}", case.name());
                if conversation::can_be_bulk(&case) {
                    let name = format!("{store}::blk_028_{}", case.name());
                    trials.push(trial(name, &case, &servers, postgres, true));
                }
                trials.push(trial(name, &case, &servers, postgres, false));
            }
        }
    }
    let done = libtest_mimic::run(&arguments, trials);
    // Servers end with the last reference to them.
    drop(servers);
    done.exit_if_failed();
}

/// A case on one of the databases; `in_bulk`, its writes are operations of bulk requests (BLK-028).
fn trial(
    name: String,
    case: &Arc<Case>,
    servers: &Arc<Servers>,
    postgres: bool,
    in_bulk: bool,
) -> Trial {
    let (case, servers) = (Arc::clone(case), Arc::clone(servers));
    Trial::test(name, move || {
        let server = server(&servers, &case, postgres);
        let stage = stage(&case, server.get().expect("it was started"), in_bulk);
        conversation::run(&case, &stage).map_err(Into::into)
    })
}

fn files() -> Vec<(String, String)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance");
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "scim"));
    paths.sort();
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    paths.iter().map(|path| (name(path), std::fs::read_to_string(path).unwrap())).collect()
}

/// Returns the server that a case needs; cases with the same needs share one.
fn server(servers: &Servers, case: &Case, postgres: bool) -> Arc<OnceLock<Server>> {
    let key = format!("{postgres} {} {:?}", case.schemas, case.config);
    let slot = Arc::clone(servers.lock().unwrap().entry(key).or_default());
    slot.get_or_init(|| {
        let database = if postgres { Database::postgres() } else { Database::sqlite() };
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let schemas = root.join("deploy/examples/schemas").display().to_string();
        let mut environment: Vec<(String, String)> = case
            .config
            .iter()
            .map(|(key, value)| {
                let key = key.to_uppercase().replace('.', "__");
                (format!("HEADCOUNT__{key}"), value.clone())
            })
            .collect();
        if case.schemas {
            environment.push(("HEADCOUNT__SCHEMAS__DIRECTORY".to_owned(), schemas));
        }
        let environment: Vec<(&str, &str)> =
            environment.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        Server::start_with(Arc::new(database), &[], &environment)
    });
    slot
}

static TENANTS: AtomicUsize = AtomicUsize::new(0);

/// Makes the tenants and tokens of a case.
fn stage(case: &Case, server: &Server, in_bulk: bool) -> Stage {
    let name = format!("case-{}", TENANTS.fetch_add(1, Ordering::SeqCst));
    let client = server.tenant(&name, case.quirks.as_deref().unwrap_or("all"));
    let token = |wanted: &NewToken| match wanted {
        NewToken::Same(flags) => {
            let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
            server.token(&[&["--tenant", &name], flags.as_slice()].concat())
        }
        NewToken::Other => {
            let other = format!("case-{}", TENANTS.fetch_add(1, Ordering::SeqCst));
            let client: Client = server.tenant(&other, "all");
            client.token.unwrap_or_default()
        }
    };
    let tokens = case.tokens.iter().map(|(name, wanted)| (name.clone(), token(wanted))).collect();
    Stage { client, tokens, in_bulk }
}
