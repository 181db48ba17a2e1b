//! The page of what empty and unknown values do, from the table that the tests hold the code to.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anyhow::{Context, bail};

use crate::repository::root;

const TABLE: &str = "crates/core/fixtures/empty-values.tsv";
pub(super) const PAGE: &str = "docs/reference/empty-values.md";
const HEAD: &str = "\
# Empty and unknown values

<!-- Made by `cargo xtask docs`: edit crates/core/fixtures/empty-values.tsv instead. -->

What a request does that sends nothing, or nothing that is known, where a value is due:
[why](../adr/0034-nothing-is-decided-before-normalizing.md). A test holds the server to each cell.

- **unchanged**: the resource stays as it is, version included. The answer is 200.
- **cleared**: the attribute or sub-attribute is gone, or the resource is created without it.
- **removed**: one of several values goes as a whole, or all of them where the path means all.
- **set**: the value is read and stored.
- **400** with its `scimType`: the request is refused and changes nothing.

Columns are what is sent. *wrapped* is a value in an object under its own name, as
`{\"emails\": [{\"value\": \"jane@example.com\"}]}` for `emails`; in a `remove` it lists a value that is
there. *unknown* is an object, or a list of one, in which no name is known. The column *quirks* says whether
the tenant has all [quirks](../QUIRKS.md), as by default, or none.
";

/// A line of the table with its lists taken apart.
struct Line {
    kind: String,
    quirks: String,
    outcomes: Vec<String>,
}

/// The lines of one verb and one way to name an attribute, and why kinds are missing there.
struct Group {
    verb: String,
    way: String,
    lines: Vec<Line>,
    reasons: Vec<(String, String)>,
}

/// Makes the page.
pub(super) fn page() -> anyhow::Result<String> {
    let text = std::fs::read_to_string(root().join(TABLE)).context(TABLE)?;
    render(&text).context(TABLE)
}

fn render(text: &str) -> anyhow::Result<String> {
    let mut lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let header: Vec<&str> = lines.next().context("the table is empty")?.split('\t').collect();
    let values = header.get(4..).context("the header names no values")?;
    let mut groups: Vec<Group> = Vec::new();
    for line in lines {
        take(line, values.len(), &mut groups).with_context(|| line.to_owned())?;
    }
    let mut page = HEAD.to_owned();
    let mut verb = "";
    for group in &groups {
        if verb != group.verb {
            verb = &group.verb;
            let name = if verb.starts_with('P') { verb.to_owned() } else { format!("`{verb}`") };
            writeln!(page, "\n## {name}")?;
        }
        writeln!(page, "\n### {}\n", heading(&group.way))?;
        let columns = values.iter().map(|value| match value.starts_with(char::is_alphabetic) {
            true if *value != "null" => format!("*{value}*"),
            _ => format!("`{value}`"),
        });
        let columns: Vec<String> = columns.collect();
        if !group.lines.is_empty() {
            writeln!(page, "| Attribute | Quirks | {} |", columns.join(" | "))?;
            writeln!(page, "|---|---|{}", "---|".repeat(columns.len()))?;
            for line in merged(&group.lines) {
                let Line { kind, quirks, outcomes } = line;
                writeln!(page, "| {kind} | {quirks} | {} |", outcomes.join(" | "))?;
            }
        }
        for (index, (kinds, reason)) in group.reasons.iter().enumerate() {
            let space = if index == 0 && !group.lines.is_empty() { "\n" } else { "" };
            writeln!(page, "{space}- Not for {kinds}: {reason}")?;
        }
    }
    Ok(page)
}

fn take(line: &str, values: usize, groups: &mut Vec<Group>) -> anyhow::Result<()> {
    let fields: Vec<&str> = line.split('\t').collect();
    let [verbs, ways, kinds, quirks, outcomes @ ..] = fields.as_slice() else {
        bail!("a line has a verb, a way, a kind and quirks");
    };
    for verb in verbs.split(", ") {
        for way in ways.split(", ") {
            let known = groups.iter().position(|group| group.verb == verb && group.way == way);
            let index = known.unwrap_or(groups.len());
            if known.is_none() {
                let (verb, way) = (verb.to_owned(), way.to_owned());
                groups.push(Group { verb, way, lines: Vec::new(), reasons: Vec::new() });
            }
            let Some(group) = groups.get_mut(index) else { continue };
            if let ["-", reason] = outcomes {
                group.reasons.push(((*kinds).to_owned(), (*reason).to_owned()));
                continue;
            }
            let outcomes: Vec<String> = match outcomes {
                [all] => vec![(*all).to_owned(); values],
                each => each.iter().map(|outcome| (*outcome).to_owned()).collect(),
            };
            if outcomes.len() != values {
                bail!("{} outcomes for {values} values", outcomes.len());
            }
            for kind in kinds.split(", ") {
                for quirks in quirks.split(", ") {
                    let (kind, quirks) = (kind.to_owned(), quirks.to_owned());
                    group.lines.push(Line { kind, quirks, outcomes: outcomes.clone() });
                }
            }
        }
    }
    Ok(())
}

/// One line where both settings do the same, in the order of the table.
fn merged(lines: &[Line]) -> Vec<Line> {
    let mut seen = BTreeSet::new();
    let kinds = lines.iter().filter(|line| seen.insert(line.kind.as_str()));
    let mut merged = Vec::new();
    for Line { kind, .. } in kinds {
        let of_kind: Vec<&Line> = lines.iter().filter(|line| line.kind == *kind).collect();
        let same = of_kind.windows(2).all(|pair| match pair {
            [one, other] => one.outcomes == other.outcomes,
            _ => true,
        });
        let count = if same { 1 } else { of_kind.len() };
        for line in of_kind.into_iter().take(count) {
            let quirks = if same { "all, none" } else { &line.quirks };
            merged.push(Line {
                kind: kind.clone(),
                quirks: quirks.to_owned(),
                outcomes: line.outcomes.clone(),
            });
        }
    }
    merged
}

fn heading(way: &str) -> String {
    let mut chars = way.chars();
    let first: String = chars.next().into_iter().flat_map(char::to_uppercase).collect();
    format!("{first}{}", chars.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_grouped_and_merged_and_reasons_are_kept() {
        let page = render(
            "# comment\nverb\twhere\tkind\tquirks\tnull\twrapped\n\
             add, replace\tpath\ttext, number\tall\tunchanged\tset\n\
             add\tpath\ttext, number\tnone\tunchanged\t400 invalidValue\n\
             replace\tpath\ttext, number\tnone\tunchanged\tset\n\
             add\tfilter\ttext\tall, none\t-\tA text is one.\n",
        );
        let page = page.unwrap();
        let rows = |text: &str| page.matches(text).count();
        assert_eq!(rows("| Attribute | Quirks | `null` | *wrapped* |"), 2, "{page}");
        assert_eq!(rows("| text | all | unchanged | set |"), 1, "{page}");
        assert_eq!(rows("| text | none | unchanged | 400 invalidValue |"), 1, "{page}");
        assert_eq!(rows("| number | all, none | unchanged | set |"), 1, "{page}");
        assert_eq!(rows("### Filter\n\n- Not for text: A text is one.\n"), 1, "{page}");
        assert!(render("verb\twhere\tkind\tquirks\tnull\nadd\tpath\ttext\tall\ta\tb\n").is_err());
    }
}
