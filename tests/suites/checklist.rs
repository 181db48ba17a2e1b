//! The statements of the checklist, each as a conversation, on both databases.
//!
//! The cases stand in `tests/conformance/*.scim`, those of the quirks in `tests/fixtures/quirks`, those of
//! the example schemas in `tests/fixtures/examples`, one file each. Each case has a tenant of its own on a
//! shared server.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use headcount_e2e::conversation::{self, Case, NewToken, Stage};
use headcount_e2e::server::binary;
use headcount_e2e::{Client, Database, Server};
use libtest_mimic::{Arguments, Failed, Trial};

type Servers = Mutex<HashMap<String, Arc<OnceLock<Server>>>>;

fn main() {
    let arguments = Arguments::from_args();
    let servers: Arc<Servers> = Arc::default();
    let mut trials = vec![
        Trial::test("int_012_every_quirk_has_its_request_on_and_off", every_quirk_has_its_request),
        Trial::test("every_example_is_sound_and_used", every_example_is_sound_and_used),
    ];
    let quirks = files("fixtures/quirks")
        .into_iter()
        .map(|(file, text)| (format!("quirk_{}_", stem(&file).replace('-', "_")), file, text));
    let checklist =
        files("conformance").into_iter().map(|(file, text)| (String::new(), file, text));
    let examples = files("fixtures/examples")
        .into_iter()
        .map(|(file, text)| (format!("example_{}_", stem(&file).replace('-', "_")), file, text));
    for (prefix, file, text) in checklist.chain(quirks).chain(examples) {
        let mut cases = conversation::parse(&file, &text);
        if prefix.starts_with("quirk_") {
            let strict = strict(&cases);
            cases.extend(strict);
        }
        for mut case in cases {
            if prefix.starts_with("example_") {
                case.schemas = Some(format!("{EXAMPLES}/{}", stem(&file)));
            }
            let case = Arc::new(case);
            for postgres in [false, true] {
                let store = if postgres { "postgres" } else { "sqlite" };
                let name = format!("{store}::{prefix}{}", case.name());
                if prefix.is_empty() && conversation::can_be_bulk(&case) {
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

/// Returns the cases of a quirk that show what a strict tenant answers.
///
/// A strict tenant has no quirk at all, so it has to answer as one without this quirk. Where another
/// quirk takes part in the request, the file states the strict outcome in a case `strict: …` of its
/// own, and nothing is derived.
fn strict(cases: &[Case]) -> Vec<Case> {
    if cases.iter().any(|case| case.title.starts_with(STRICT)) {
        return Vec::new();
    }
    let off = cases.iter().filter(|case| case.title.starts_with("off:"));
    off.map(|case| Case {
        title: case.title.replacen("off:", STRICT, 1),
        quirks: Some("none".to_owned()),
        ..case.clone()
    })
    .collect()
}

/// How the title of a case begins that shows a tenant with no quirk at all.
const STRICT: &str = "strict:";

/// Asks the binary which quirks there are, and compares with the files.
fn every_quirk_has_its_request() -> Result<(), Failed> {
    let database = Database::sqlite();
    Command::new(binary()).args(["migrate", "--database", &database.url]).output()?;
    let output = Command::new(binary())
        .args(["tenant", "create", "other", "--quirks", "nonsense", "--database", &database.url])
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let names = said.trim().rsplit("there are all, none, ").next().unwrap_or_default();
    let known: BTreeSet<String> = names.split(", ").map(str::to_owned).collect();
    let files: BTreeMap<String, Vec<Case>> = files("fixtures/quirks")
        .into_iter()
        .map(|(file, text)| (stem(&file).to_owned(), conversation::parse(&file, &text)))
        .collect();
    let recorded: BTreeSet<String> = files.keys().cloned().collect();
    if known.len() < 2 || known != recorded {
        return Err(format!("the binary has {known:?}, there are files for {recorded:?}").into());
    }
    for (name, cases) in files {
        let on = cases.iter().any(|case| case.title.starts_with("on:") && named(case, &name));
        let without = format!("-{name}");
        let off = cases.iter().any(|case| case.title.starts_with("off:") && named(case, &without));
        if !(on && off) {
            return Err(format!("{name} needs a case \"on: …\" and a case \"off: …\"").into());
        }
        let mut strict = cases.iter().filter(|case| case.title.starts_with(STRICT));
        if let Some(case) = strict.find(|case| case.quirks.as_deref() != Some("none")) {
            return Err(format!("{}: a strict case has \"quirks none\"", case.place).into());
        }
    }
    Ok(())
}

/// Holds that each directory of example schemas passes `schema check`, and has conversations.
fn every_example_is_sound_and_used() -> Result<(), Failed> {
    let directories: BTreeSet<String> = std::fs::read_dir(root().join(EXAMPLES))?
        .filter_map(Result::ok)
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    for name in &directories {
        let directory = root().join(EXAMPLES).join(name);
        let output = Command::new(binary()).args(["schema", "check"]).arg(directory).output()?;
        if !output.status.success() {
            return Err(format!("{name}: {}", String::from_utf8_lossy(&output.stderr)).into());
        }
    }
    let used: BTreeSet<String> =
        files("fixtures/examples").iter().map(|(file, _)| stem(file).to_owned()).collect();
    if directories.is_empty() || directories != used {
        return Err(format!("there are examples {directories:?}, files for {used:?}").into());
    }
    Ok(())
}

/// Returns whether the switches of a case name one.
fn named(case: &Case, switch: &str) -> bool {
    case.quirks.iter().any(|list| list.split(',').any(|word| word == switch))
}

/// Where examples of schemas are, each with a directory of its own, below the root.
const EXAMPLES: &str = "deploy/examples/schemas";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn stem(file: &str) -> &str {
    file.trim_end_matches(".scim")
}

fn files(folder: &str) -> Vec<(String, String)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "scim"));
    paths.sort();
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    paths.iter().map(|path| (name(path), std::fs::read_to_string(path).unwrap())).collect()
}

/// Returns the server that a case needs; cases with the same needs share one.
fn server(servers: &Servers, case: &Case, postgres: bool) -> Arc<OnceLock<Server>> {
    let key = format!("{postgres} {:?} {:?}", case.schemas, case.config);
    let slot = Arc::clone(servers.lock().unwrap().entry(key).or_default());
    slot.get_or_init(|| {
        let database = if postgres { Database::postgres() } else { Database::sqlite() };
        let mut environment: Vec<(String, String)> = case
            .config
            .iter()
            .map(|(key, value)| {
                let key = key.to_uppercase().replace('.', "__");
                (format!("HEADCOUNT__{key}"), value.clone())
            })
            .collect();
        if let Some(schemas) = &case.schemas {
            let directory = root().join(schemas).display().to_string();
            environment.push(("HEADCOUNT__SCHEMAS__DIRECTORY".to_owned(), directory));
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
