//! What the proofs of a statement send, read from their sources: conversations are data, and Rust tests
//! are searched with the functions of their file that they call.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::ids;

/// A proof: its name, and the requests in it.
#[derive(Debug, Clone)]
pub(super) struct Proof {
    pub(super) name: String,
    pub(super) sent: Sent,
}

/// What a proof sends.
#[derive(Debug, Clone)]
pub(super) enum Sent {
    /// Methods with their targets: requests, and the operations of bulk requests.
    Requests(Vec<(String, String)>),
    /// Methods, and texts among which the targets are.
    Source(BTreeSet<String>, Vec<String>),
}

/// Proofs by the ids that they carry, and names whose ids cannot be read.
#[derive(Debug, Default)]
pub(super) struct Proofs {
    pub(super) by_id: BTreeMap<String, Vec<Proof>>,
    pub(super) misnamed: Vec<String>,
}

/// Reads every conversation of the checklist and every Rust test below `root`.
pub(super) fn proofs(root: &Path) -> std::io::Result<Proofs> {
    let mut proofs = Proofs::default();
    for path in files(&root.join("tests/conformance"), "scim")? {
        conversations(&mut proofs, &name_of(&path), &std::fs::read_to_string(&path)?);
    }
    for folder in ["crates", "tests"] {
        for path in files(&root.join(folder), "rs")? {
            tests(&mut proofs, &name_of(&path), &std::fs::read_to_string(&path)?);
        }
    }
    Ok(proofs)
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn files(directory: &Path, extension: &str) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path, extension)?);
        } else if path.extension().is_some_and(|known| known == extension) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Adds the cases of a file of conversations.
pub(super) fn conversations(proofs: &mut Proofs, file: &str, text: &str) {
    let lines = format!("\n{text}");
    for case in lines.split("\n== ").skip(1) {
        let (head, body) = case.split_once('\n').unwrap_or((case, ""));
        let words: Vec<&str> = head.split_whitespace().collect();
        let is_id = |word: &&&str| {
            let name = word.to_ascii_lowercase().replace('-', "_");
            matches!(ids(&name), (found, "") if found.len() == 1) && word.contains('-')
        };
        let named: Vec<&&str> = words.iter().take_while(is_id).collect();
        let title = words.get(named.len()..).unwrap_or_default().join(" ");
        let mut requests: Vec<(String, String)> = body
            .lines()
            .filter_map(|line| line.strip_prefix("> "))
            .map(|request| request.split_once(' ').unwrap_or((request, "/")))
            .map(|(method, target)| (method.to_owned(), target.trim().to_owned()))
            .collect();
        requests.extend(operations(body));
        for id in named {
            let proof =
                Proof { name: format!("{file}: {title}"), sent: Sent::Requests(requests.clone()) };
            proofs.by_id.entry((*id).to_owned()).or_default().push(proof);
        }
    }
}

/// Returns the operations of the bulk requests in a case.
fn operations(body: &str) -> Vec<(String, String)> {
    let text_behind = |text: &str, name: &str| -> Option<String> {
        let (_, rest) = text.split_once(name)?;
        let (_, rest) = rest.split_once('"')?;
        rest.split('"').next().map(str::to_owned)
    };
    body.split("{\"method\"")
        .skip(1)
        .filter_map(|operation| {
            let method = operation.split('"').nth(1)?.to_owned();
            Some((method, text_behind(operation, "\"path\":")?))
        })
        .collect()
}

/// Adds the tests of a Rust file that carry ids.
pub(super) fn tests(proofs: &mut Proofs, file: &str, text: &str) {
    let items = items(text);
    for name in items.keys() {
        let (named, rest) = ids(name);
        let mut words = rest.split('_');
        let number = words
            .next()
            .is_some_and(|word| word.len() == 3 && word.bytes().all(|b| b.is_ascii_digit()));
        if number && !named.is_empty() {
            proofs.misnamed.push(format!(
                "{file}: {name} has a number without its letters; write each id as in flt_014_flt_015"
            ));
        }
        if named.is_empty() {
            continue;
        }
        let source = with_what_it_calls(&items, name);
        let sent = Sent::Source(methods(&source), literals(&source));
        for id in named {
            let proof = Proof { name: format!("{file}: {name}"), sent: sent.clone() };
            proofs.by_id.entry(id).or_default().push(proof);
        }
    }
}

/// Returns the functions and `on_both!` tests of a file by name.
fn items(text: &str) -> BTreeMap<&str, &str> {
    let mut items = BTreeMap::new();
    for opening in ["fn ", "on_both!("] {
        for (at, _) in text.match_indices(opening) {
            let rest = text.get(at + opening.len()..).unwrap_or_default();
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
            let name = rest.get(..end).unwrap_or_default();
            if !name.is_empty() {
                items.entry(name).or_insert_with(|| block(rest));
            }
        }
    }
    items
}

/// Returns a text up to the end of its first block.
fn block(text: &str) -> &str {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return text.get(..=at).unwrap_or(text),
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    text
}

/// Returns the source of a test and of all functions of its file that it leads to.
fn with_what_it_calls(items: &BTreeMap<&str, &str>, name: &str) -> String {
    let (mut seen, mut open) = (BTreeSet::from([name]), vec![name]);
    let mut source = String::new();
    while let Some(name) = open.pop() {
        let body = items.get(name).copied().unwrap_or_default();
        source.push_str(body);
        source.push('\n');
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        for word in body.split(|c| !is_name(c)) {
            if let Some((known, _)) = items.get_key_value(word)
                && seen.insert(known)
            {
                open.push(known);
            }
        }
    }
    source
}

/// How a test says that it sends a method: by a function of the client, or by its name.
const CALLS: [(&str, &str); 12] = [
    (".get(", "GET"),
    (".head(", "HEAD"),
    (".post(", "POST"),
    (".create(", "POST"),
    ("seed::users(", "POST"),
    (".put(", "PUT"),
    (".patch(", "PATCH"),
    (".delete(", "DELETE"),
    ("\"GET\"", "GET"),
    ("\"HEAD\"", "HEAD"),
    ("\"OPTIONS\"", "OPTIONS"),
    ("\"DELETE\"", "DELETE"),
];

fn methods(source: &str) -> BTreeSet<String> {
    let named = ["POST", "PUT", "PATCH"].map(|name| (format!("\"{name}\""), name));
    let called = CALLS.iter().filter(|(call, _)| source.contains(call)).map(|(_, name)| *name);
    let quoted = named.iter().filter(|(text, _)| source.contains(text)).map(|(_, name)| *name);
    called.chain(quoted).map(str::to_owned).collect()
}

/// Returns the texts in quotes.
fn literals(source: &str) -> Vec<String> {
    source.replace("\\\"", "'").split('"').skip(1).step_by(2).map(str::to_owned).collect()
}
