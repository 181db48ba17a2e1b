//! What the README and other pages say to type, typed.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use headcount_e2e::server::{Scratch, binary};

/// Returns the text of a file of the repository.
fn text(file: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    std::fs::read_to_string(root.join(file)).unwrap()
}

/// What a page says to type, and what it says to see then.
struct Block {
    script: String,
    /// It is shown in order to fail.
    fails: bool,
    seen: Option<String>,
}

/// Returns the blocks of a page: those marked `sh` or `sh fails`, each with a block marked `text` behind
/// it, if there is one, for what it prints.
fn blocks(page: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    for part in page.split("\n```").skip(1).step_by(2) {
        let (language, text) = part.split_once('\n').unwrap();
        match language {
            "sh" | "sh fails" => blocks.push(Block {
                script: text.to_owned(),
                fails: language == "sh fails",
                seen: None,
            }),
            "text" => blocks.last_mut().unwrap().seen = Some(text.to_owned()),
            _ => {}
        }
    }
    blocks
}

/// A server as a new user starts it, but on a free port.
struct Started {
    child: std::process::Child,
    address: String,
}

impl Started {
    fn serve(directory: &Scratch) -> Self {
        let mut command = Command::new(binary());
        command.args(["serve", "--listen", "127.0.0.1:0"]).current_dir(directory.path());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let mut lines = lines.skip_while(|line| !line.starts_with("headcount listens on "));
        let address = lines.next().unwrap().trim_start_matches("headcount listens on ").to_owned();
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Types blocks into one shell and returns what each of them prints.
fn type_in(directory: &Scratch, blocks: &[Block], address: &str) -> Vec<String> {
    const MARK: &str = "\u{1e}";
    let prelude =
        format!("set -eu\nexec 2>&1\nheadcount() {{ '{}' \"$@\"; }}\n", binary().display());
    let scripts = blocks.iter().map(|block| {
        let script = block.script.replace("cargo run --release --", "headcount");
        let script = script.replace(ADDRESS, address);
        let script = if block.fails { format!("if {script}\nthen exit 1; fi") } else { script };
        format!("{script}\nprintf '{MARK}'\n")
    });
    let script = prelude + &scripts.collect::<String>();
    let output =
        Command::new("sh").args(["-c", &script]).current_dir(directory.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).replace(address, ADDRESS);
    assert!(output.status.success(), "{said}");
    said.split_terminator(MARK).map(str::to_owned).collect()
}

/// The address that pages are written with.
const ADDRESS: &str = "http://127.0.0.1:8080";

/// Does what a page says, the server in its place between the other steps, and holds the page to what it
/// shows. Returns all that was printed.
fn follow(directory: &Scratch, blocks: &[Block]) -> String {
    let serves = |block: &Block| {
        matches!(block.script.trim(), "cargo run --release -- serve" | "headcount serve")
    };
    let at = blocks.iter().position(serves).unwrap();
    let (before, after) = (&blocks[..at], &blocks[at + 1..]);
    let mut said = type_in(directory, before, ADDRESS);
    let server = Started::serve(directory);
    assert!(directory.path().join("headcount.db").exists(), "data is where the pages say");
    said.extend(type_in(directory, after, &server.address));
    for (block, said) in before.iter().chain(after).zip(&said) {
        if let Some(seen) = &block.seen {
            assert!(is_like(said.trim(), seen.trim()), "{}\n{said}\nis not\n{seen}", block.script);
        }
    }
    said.concat()
}

/// Compares with what a page shows, where `…` stands for anything.
fn is_like(said: &str, seen: &str) -> bool {
    let (first, rest) = seen.split_once('…').unwrap_or((seen, ""));
    let Some(mut left) = said.strip_prefix(first) else { return false };
    if !seen.contains('…') {
        return left.is_empty();
    }
    let mut parts = rest.split('…').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return left.ends_with(part);
        }
        match left.split_once(part) {
            Some((_, rest)) => left = rest,
            None => return false,
        }
    }
    true
}

#[test]
fn what_a_page_shows_is_compared_but_for_its_gaps() {
    assert!(is_like("abcd", "a…cd") && is_like("abcd", "…") && is_like("abcd", "…b…"));
    assert!(is_like("abcd", "abcd") && is_like("abcd", "abcd…"));
    assert!(!is_like("abcd", "abc") && !is_like("abcd", "a…c") && !is_like("abcd", "…c…b…"));
    assert!(!is_like("abcd", "b…") && !is_like("ab", "ab…b"));
}

#[test]
fn the_first_steps_work_as_written() {
    let mut blocks = blocks(&text("README.md"));
    let test = blocks.pop().unwrap().script;
    assert_eq!(test, "cargo xtask test");
    assert!(text(".ci/run").lines().any(|line| line == test), "CI runs the README's words");

    let said = follow(&Scratch::new(), &blocks);
    assert_eq!(said.matches("\"userName\":\"jane@example.com\"").count(), 2, "{said}");
    assert!(said.contains("\"active\":true") && said.contains("\"active\":false"), "{said}");
    assert!(said.trim_end().ends_with("204"), "{said}");
}

#[test]
fn the_page_about_resource_types_works_as_written() {
    let blocks = blocks(&text("docs/how-to/add-a-resource-type.md"));
    assert!(blocks.iter().filter(|block| block.seen.is_some()).count() >= 9);
    let said = follow(&Scratch::new(), &blocks);
    assert!(said.contains("attributes[1].type"), "{said}");
}

#[test]
fn the_page_about_the_provisioning_log_works_as_written() {
    let blocks = blocks(&text("docs/PROVISIONING-LOG.md"));
    assert_eq!(blocks.iter().filter(|block| block.seen.is_some()).count(), 7);
    follow(&Scratch::new(), &blocks);
}

#[test]
fn the_page_about_events_works_as_written() {
    let blocks = blocks(&text("docs/EVENTS.md"));
    assert_eq!(blocks.iter().filter(|block| block.seen.is_some()).count(), 6);
    follow(&Scratch::new(), &blocks);
}

#[test]
fn every_document_that_the_documents_point_to_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut documents = vec![root.join("README.md"), root.join("CHANGELOG.md")];
    let mut folders = vec![root.join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                documents.push(path);
            }
        }
    }
    for document in documents {
        let content = std::fs::read_to_string(&document).unwrap();
        for target in content.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap();
            if file.is_empty() || file.contains("://") {
                continue;
            }
            let path = document.parent().unwrap().join(file);
            assert!(path.exists(), "{}: {target} does not exist", document.display());
        }
    }
}
