//! Writes to the terminal: results to standard output, everything else to standard error.

use std::io::Write as _;

use serde_json::Value;

/// Prints a result.
pub(crate) fn result(text: &str) {
    // A reader that closed the pipe does not want the rest.
    drop(writeln!(std::io::stdout(), "{text}"));
}

/// Prints one of many results; false when the reader has closed the pipe.
pub(crate) fn line(text: &str) -> bool {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).is_ok()
}

/// Returns a line of text without control characters: names and bodies come from clients, and a terminal obeys
/// escape sequences.
pub(crate) fn plain(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\r' | '\t' => ' ',
            c if c.is_control() => char::REPLACEMENT_CHARACTER,
            c => c,
        })
        .collect()
}

/// Prints a result for programs.
pub(crate) fn json(value: &Value) {
    result(&format!("{value:#}"));
}

/// Prints a note for people.
pub(crate) fn note(text: &str) {
    drop(writeln!(std::io::stderr(), "{text}"));
}

/// Prints why a command failed: one sentence.
pub(crate) fn error(error: &anyhow::Error) {
    let chain: Vec<String> = error.chain().map(ToString::to_string).collect();
    note(&format!("headcount: {}", chain.join(": ")));
}

/// Prints rows under headings, in columns.
pub(crate) fn table(headings: &[&str], rows: &[Vec<String>]) {
    let headings: Vec<String> = headings.iter().map(|heading| (*heading).to_owned()).collect();
    let mut widths = vec![0; headings.len()];
    for row in rows.iter().chain([&headings]) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    for row in [&headings].into_iter().chain(rows) {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}")).collect();
        result(cells.join("  ").trim_end());
    }
}
