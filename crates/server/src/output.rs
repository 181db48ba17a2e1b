//! What goes to the terminal: results to standard output, everything else to standard error.

use std::io::Write as _;

use serde_json::Value;

/// Prints a result.
pub(crate) fn result(text: &str) {
    // Whoever closes the pipe does not want the rest.
    drop(writeln!(std::io::stdout(), "{text}"));
}

/// Prints one of many results; false when nobody reads them any more.
pub(crate) fn line(text: &str) -> bool {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).is_ok()
}

/// A line of text without what a terminal would obey: names and bodies come from clients.
pub(crate) fn plain(text: &str) -> String {
    let plain = |c: char| match c {
        '\n' | '\r' | '\t' => ' ',
        c if c.is_control() => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    text.chars().map(plain).collect()
}

/// Prints a result for programs.
pub(crate) fn json(value: &Value) {
    result(&format!("{value:#}"));
}

/// Prints a remark for people.
pub(crate) fn note(text: &str) {
    drop(writeln!(std::io::stderr(), "{text}"));
}

/// Prints why nothing was done: one sentence.
pub(crate) fn error(error: &anyhow::Error) {
    let chain: Vec<String> = error.chain().map(ToString::to_string).collect();
    note(&format!("headcount: {}", chain.join(": ")));
}

/// Prints rows under headings, in columns.
pub(crate) fn table(headings: &[&str], rows: &[Vec<String>]) {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain(headings.get(column).map(|heading| heading.len())).max().unwrap_or(0)
    };
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<_> =
            cells.enumerate().map(|(column, cell)| format!("{cell:<0$}", width(column))).collect();
        padded.join("  ").trim_end().to_owned()
    };
    result(&line(&mut headings.iter().copied()));
    for row in rows {
        result(&line(&mut row.iter().map(String::as_str)));
    }
}
