//! What the README says to type, typed.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use headcount_e2e::server::{Scratch, binary};

/// Returns the text of a file of the repository.
fn text(file: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    std::fs::read_to_string(root.join(file)).unwrap()
}

/// Returns the blocks that a document tells people to type.
fn blocks(document: &str) -> Vec<String> {
    let parts = document.split("```sh\n").skip(1);
    parts.map(|part| part.split("```").next().unwrap().to_owned()).collect()
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

#[test]
fn the_first_steps_work_as_written() {
    let readme = text("README.md");
    let blocks = blocks(&readme);
    let (serve, steps) = blocks.split_first().unwrap();
    let (test, steps) = steps.split_last().unwrap();
    assert_eq!(serve, "cargo run --release -- serve\n");
    assert_eq!(test, "cargo xtask test\n");
    assert!(text(".ci/run").lines().any(|line| line == test.trim()), "CI runs the README's words");

    let directory = Scratch::new();
    let server = Started::serve(&directory);
    assert!(directory.path().join("headcount.db").exists(), "data is where the README says");
    let script = format!("set -eu\n{}", steps.concat())
        .replace("cargo run --release --", &binary().display().to_string())
        .replace("http://127.0.0.1:8080", &server.address);
    let output = Command::new("sh").args(["-c", &script]).current_dir(directory.path()).output();
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(said.matches("\"userName\":\"jane@example.com\"").count(), 2, "{said}");
    assert!(said.contains("\"active\":true") && said.contains("\"active\":false"), "{said}");
    assert!(said.trim_end().ends_with("204"), "{said}");
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
