//! The page that shows every statement with its result.

use std::fmt::Write;

use super::{Report, Row, Standing};

/// What each group of ids is about.
const GROUPS: [(&str, &str); 30] = [
    ("RES", "Resources"),
    ("CHR", "Characteristics of attributes"),
    ("EXT", "Extensions"),
    ("USR", "Users and groups"),
    ("CRE", "Creating"),
    ("GET", "Reading one"),
    ("QRY", "Querying"),
    ("FLT", "Filters"),
    ("SRT", "Sorting"),
    ("PAG", "Pages by number"),
    ("CUR", "Pages by cursor"),
    ("PRJ", "Projections"),
    ("SCH", "Search by POST"),
    ("PUT", "Replacing"),
    ("PAT", "PATCH"),
    ("DEL", "Deleting"),
    ("BLK", "Bulk"),
    ("ETG", "Versions"),
    ("ME", "/Me"),
    ("DSC", "Discovery"),
    ("ERR", "Errors"),
    ("HTP", "HTTP"),
    ("AUT", "Authentication"),
    ("TEN", "Tenants"),
    ("SEC", "Security"),
    ("I18", "Internationalized names"),
    ("EVT", "Events"),
    ("RNE", "Roles and entitlements"),
    ("DEV", "Devices"),
    ("INT", "Interoperability"),
];

const HEAD: &str = "# Conformance\n\n\
This page is written by `cargo xtask conformance` from a run of the tests; `cargo xtask test` fails\n\
when it is out of date. Each statement has its result on SQLite and on PostgreSQL and the\n\
tests that prove it: data files are in `tests/conformance`, the rest are Rust tests.\n\n\
Levels: M must, S should, O optional, D a decision of ours where the RFC leaves one open, I what\n\
identity providers need. Where the RFCs contradict each other, the reading is in\n\
[an ADR](../adr/README.md).\n\n";

/// Renders the page.
pub(super) fn render(report: &Report) -> String {
    let mut page = HEAD.to_owned();
    page.push_str(
        "| Priority | Statements | Proved | Not applicable | Open |\n|---|---|---|---|---|\n",
    );
    for priority in ["P0", "P1", "P2", "P3"] {
        let of = |row: &Row| row.priority == priority;
        let count = |standing| report.count(standing, of);
        let all = report.rows.iter().filter(|row| of(row)).count();
        let _ = writeln!(
            page,
            "| {priority} | {all} | {} | {} | {} |",
            count(Standing::Proved),
            count(Standing::Excused),
            count(Standing::Open) + count(Standing::Failed),
        );
    }
    for group in report.groups() {
        let title =
            GROUPS.iter().find(|(name, _)| *name == group).map_or(group, |(_, title)| title);
        let _ = write!(page, "\n## {title}\n\n");
        page.push_str("| Id | Level | Statement | SQLite | PostgreSQL | Proof or reason |\n");
        page.push_str("|---|---|---|---|---|---|\n");
        for row in report.rows.iter().filter(|row| row.group() == group) {
            line(&mut page, report, row);
        }
    }
    page
}

fn line(page: &mut String, report: &Report, row: &Row) {
    let proof = report.proofs.get(&row.id);
    let (sqlite, postgres) = match (report.standing(row), proof) {
        (Standing::Failed, _) => ("failed", "failed"),
        (Standing::Excused, _) => ("n. a.", "n. a."),
        (_, Some(proof)) => (yes(proof.sqlite), yes(proof.postgres)),
        (_, None) => ("open", "open"),
    };
    let mut why: Vec<String> =
        proof.iter().flat_map(|proof| &proof.passed).map(|title| cell(title)).collect();
    why.extend(report.excused.get(&row.id).map(|excused| cell(&excused.reason)));
    let source = if row.source.is_empty() { String::new() } else { format!(" ({})", row.source) };
    let _ = writeln!(
        page,
        "| {} | {} {} | {}{} | {sqlite} | {postgres} | {} |",
        row.id,
        row.level,
        row.priority,
        cell(&row.statement),
        cell(&source),
        why.join("; "),
    );
}

fn yes(proved: bool) -> &'static str {
    if proved { "yes" } else { "open" }
}

/// A text that cannot break out of its cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;")
}
