//! Writes to the terminal: results to standard output, everything else to standard error.

use std::borrow::Cow;
use std::io::Write as _;

use headcount_core::text::is_disruptive;
use serde_json::Value;

/// Prints a result.
pub(crate) fn result(text: &str) {
    // A reader that closed the pipe does not want the rest.
    drop(writeln!(std::io::stdout(), "{}", escape(text)));
}

/// Prints one of many results; false when the reader has closed the pipe.
pub(crate) fn line(text: &str) -> bool {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", escape(text)).and_then(|()| out.flush()).is_ok()
}

/// Returns a text in which nothing but ends of lines and tabs changes how the text around it is shown. Names and
/// bodies come from clients, and a terminal obeys escape sequences. The escapes are those of JSON, where they change
/// nothing.
fn escape(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_escaped) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_escaped(c) {
            escaped.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            escaped.push(c);
        }
    }
    Cow::Owned(escaped)
}

fn is_escaped(c: char) -> bool {
    is_disruptive(c) && !matches!(c, '\n' | '\t')
}

/// Returns a text as one line.
pub(crate) fn plain(text: &str) -> String {
    text.replace(['\n', '\r', '\t', '\u{2028}', '\u{2029}'], " ")
}

/// Prints a result for programs.
pub(crate) fn json(value: &Value) {
    result(&format!("{value:#}"));
}

/// Prints a note for people.
pub(crate) fn note(text: &str) {
    drop(writeln!(std::io::stderr(), "{}", escape(text)));
}

/// Prints why a command failed: one sentence.
pub(crate) fn error(error: &anyhow::Error) {
    let chain: Vec<String> = error.chain().map(ToString::to_string).collect();
    note(&format!("headcount: {}", chain.join(": ")));
}

/// Prints rows under headings, in columns.
pub(crate) fn table(headings: &[&str], rows: &[Vec<String>]) {
    let headings: Vec<String> = headings.iter().map(|heading| (*heading).to_owned()).collect();
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| row.iter().map(|cell| escape(&plain(cell)).into_owned()).collect())
        .collect();
    let mut widths = vec![0; headings.len()];
    for row in rows.iter().chain([&headings]) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    for row in [&headings].into_iter().chain(&rows) {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}")).collect();
        result(cells.join("  ").trim_end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inj_05_s_d_nothing_printed_is_obeyed_by_a_terminal() {
        let hostile = "a\u{1b}[31m\u{9b}b\u{202e}c\u{2028}d\u{7f}\r\ne";
        let shown = r"a\u001b[31m\u009bb\u202ec\u2028d\u007f\u000d";
        assert_eq!(escape(hostile), format!("{shown}\ne"));
        assert_eq!(escape("größer\t日本"), "größer\t日本");
        assert_eq!(plain("a\r\nb\u{2028}c"), "a  b c");
        // JSON stays what it was.
        let value = Value::from(hostile);
        let printed = escape(&value.to_string()).into_owned();
        assert!(!printed.chars().any(is_disruptive), "{printed}");
        assert_eq!(serde_json::from_str::<Value>(&printed).unwrap(), value);
    }
}
