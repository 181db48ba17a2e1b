//! `cargo xtask docs`: a page per quirk, made from the table in `core` and the recorded request, and the
//! pages of empty values, of who may do what, and of routes and scopes.

mod administration;
mod empty_values;
mod scopes;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context, bail};

use crate::repository::root;

const TABLE: &str = "crates/core/src/quirks.rs";
const MARK: &str = "<!-- Made by `cargo xtask docs`: edit crates/core/src/quirks.rs or the recorded request instead. -->";
/// The line above the request that the identity provider sends.
const SENT: &str = "# sent";
const INDEX: &str = "\
# Quirks

A quirk is a deviation from the RFC that Headcount accepts, because identity providers need it. Each is a
switch of the tenant; all are on by default, since they change nothing for a correct client. Switch one off with

```sh
headcount tenant set default --quirks all,-bare-words
```

`none` follows the RFC to the letter. The list replaces the present one of the tenant. The log names the quirks
that a request needed, as [`scim.quirks`](LOGGING.md). A [table of its own](reference/empty-values.md) shows what
empty and unknown values do with all of them and with none. Each has a page with the request that needs it and
with the responses of Headcount; the tests send it to both databases, with the switch on and off.

| Switch | What it allows | Who needs it |
|---|---|---|
";

/// Writes every page.
pub(crate) fn run() -> anyhow::Result<()> {
    let pages = pages()?;
    for (file, text) in &pages {
        let path = root().join(file);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(path, text)?;
    }
    for path in stray(&pages)? {
        std::fs::remove_file(path)?;
    }
    println!("docs: {} pages", pages.len());
    Ok(())
}

/// Returns a finding for each page that differs from what `run` would write.
pub(crate) fn check() -> anyhow::Result<Vec<String>> {
    let pages = pages()?;
    let stale = |(file, text): &(&String, &String)| {
        std::fs::read_to_string(root().join(file)).ok().as_ref() != Some(*text)
    };
    let mut findings: Vec<String> = pages
        .iter()
        .filter(stale)
        .map(|(file, _)| format!("{file} is out of date; run cargo xtask docs"))
        .collect();
    let strays = stray(&pages)?;
    findings.extend(strays.iter().map(|path| format!("{} describes no quirk", path.display())));
    Ok(findings)
}

/// The files in the folder of the pages that are no page.
fn stray(pages: &BTreeMap<String, String>) -> anyhow::Result<Vec<PathBuf>> {
    let mut strays = Vec::new();
    let Ok(entries) = std::fs::read_dir(root().join("docs/quirks")) else { return Ok(strays) };
    for entry in entries {
        let entry = entry?;
        if !pages.contains_key(&format!("docs/quirks/{}", entry.file_name().to_string_lossy())) {
            strays.push(entry.path());
        }
    }
    Ok(strays)
}

/// The text of every page by its path.
fn pages() -> anyhow::Result<BTreeMap<String, String>> {
    let source = std::fs::read_to_string(root().join(TABLE))?;
    let quirks = quirks(&source)?;
    let mut index = INDEX.replacen("\n\n", &format!("\n\n{MARK}\n\n"), 1);
    let mut pages = BTreeMap::new();
    for quirk in quirks {
        let Quirk { name, allows, source, .. } = &quirk;
        let (allows, cell) = (allows.replace('|', "\\|"), source.replace('|', "\\|"));
        writeln!(index, "| [`{name}`](quirks/{name}.md) | {allows} | {cell} |")?;
        let file = format!("tests/fixtures/quirks/{name}.scim");
        let recorded = std::fs::read_to_string(root().join(&file))
            .with_context(|| format!("{file}: every quirk has its recorded request"))?;
        let page = page(&quirk, &recorded).with_context(|| file.clone())?;
        pages.insert(format!("docs/quirks/{name}.md"), page);
    }
    pages.insert("docs/QUIRKS.md".to_owned(), index);
    pages.insert(administration::PAGE.to_owned(), administration::page()?);
    pages.insert(scopes::PAGE.to_owned(), scopes::page()?);
    pages.insert(empty_values::PAGE.to_owned(), empty_values::page()?);
    Ok(pages)
}

/// A row of the table in `core`.
#[derive(Debug, PartialEq, Eq)]
struct Quirk {
    name: String,
    allows: String,
    source: String,
}

fn quirks(source: &str) -> anyhow::Result<Vec<Quirk>> {
    let table = source.split("\nquirks! {\n").nth(1).and_then(|rest| rest.split("\n}").next());
    let table = table.with_context(|| format!("{TABLE} has no table"))?;
    let (mut quirks, mut allows, mut row) = (Vec::new(), Vec::new(), String::new());
    for line in table.lines().map(str::trim) {
        if let Some(words) = line.strip_prefix("///") {
            allows.push(words.trim());
            continue;
        }
        row.push_str(line);
        if line.ends_with(';') {
            let [name, _told, source] = <[String; 3]>::try_from(texts(&row))
                .map_err(|found| anyhow::anyhow!("{TABLE}: not three texts: {found:?}"))?;
            quirks.push(Quirk { name, allows: allows.join(" "), source });
            allows.clear();
            row.clear();
        }
    }
    if quirks.is_empty() {
        bail!("{TABLE}: the table is empty");
    }
    Ok(quirks)
}

/// The string literals of a row.
fn texts(row: &str) -> Vec<String> {
    let (mut texts, mut open, mut escaped) = (Vec::new(), None::<String>, false);
    for c in row.chars() {
        match (&mut open, c) {
            (Some(text), c) if escaped => {
                text.push(c);
                escaped = false;
            }
            (Some(_), '\\') => escaped = true,
            (Some(_), '"') => texts.extend(open.take()),
            (Some(text), c) => text.push(c),
            (None, '"') => open = Some(String::new()),
            (None, _) => {}
        }
    }
    texts
}

fn page(quirk: &Quirk, recorded: &str) -> anyhow::Result<String> {
    let Quirk { name, allows, .. } = quirk;
    let (senders, evidence) = header(recorded)?;
    let (on, off) = (case(recorded, "on")?, case(recorded, "off")?);
    let request = request(&on)?;
    let answer = answer(&off)?;
    let (yes, no) = (sentence(on.title), sentence(off.title));
    Ok(format!(
        "# `{name}`\n\n{MARK}\n\n{allows}\n\n\
         - **Who sends it**: {senders}\n\
         - **Source**: {evidence}\n\n\
         ## What arrives\n\n```text\n{request}\n```\n\n\
         ## With the switch on, as it is by default\n\n{yes}\n\n\
         ```text\n{}\n```\n\n\
         ## With the switch off\n\n{no} The same request gets\n\n```text\n{answer}\n```\n\n\
         ## How to switch it off\n\n```sh\nheadcount tenant set default --quirks all,-{name}\n```\n\n\
         The list replaces the one that the tenant had: name every switch that is to be off. The next\n\
         request finds it changed.\n\n\
         The lines above are from [the recorded request](../../tests/fixtures/quirks/{name}.scim), in the\n\
         form that [the tests](../../tests/conformance/README.md) read: `>` is a request, `<` its answer\n\
         with what is checked of it, and a name in braces a value from an answer before.\n",
        on.lines.iter().copied().filter(|line| *line != SENT).collect::<Vec<_>>().join("\n"),
    ))
}

/// Reads `# Sent by:` and `# Source:`, each of which may go on over several lines.
fn header(recorded: &str) -> anyhow::Result<(String, String)> {
    let comments = recorded.lines().map_while(|line| line.strip_prefix('#')).map(str::trim);
    let text = comments.collect::<Vec<_>>().join(" ");
    let parts = text.strip_prefix("Sent by: ").and_then(|rest| rest.split_once(" Source: "));
    let (senders, evidence) =
        parts.context("the file begins with \"# Sent by: …\" and \"# Source: …\"")?;
    Ok((senders.to_owned(), evidence.to_owned()))
}

struct Case<'t> {
    title: &'t str,
    lines: Vec<&'t str>,
}

/// Finds the case that shows the marked request with the switch on or off.
fn case<'t>(recorded: &'t str, side: &str) -> anyhow::Result<Case<'t>> {
    let cases = recorded.split("\n== ").skip(1);
    let mut of_side = cases.filter_map(|case| case.strip_prefix(side)?.strip_prefix(": "));
    let found = of_side.find(|case| case.contains("\n# sent\n"));
    let found = found.with_context(|| format!("no case \"== {side}: …\" has a line \"# sent\""))?;
    let (title, rest) = found.split_once('\n').unwrap_or((found, ""));
    let options = |line: &&str| !line.starts_with(['>', '#']);
    let lines = rest.trim_end().lines().skip_while(options).collect();
    Ok(Case { title, lines })
}

/// The marked request, as it is sent.
fn request(case: &Case<'_>) -> anyhow::Result<String> {
    let marked = case.lines.iter().skip_while(|line| **line != SENT).skip(1);
    let lines: Vec<&str> = marked.take_while(|line| !line.starts_with("< ")).copied().collect();
    let text = lines.join("\n");
    let text = text.strip_prefix("> ").context("behind \"# sent\" comes a request")?;
    Ok(text.replace("\nraw ", "\n"))
}

/// What comes back for it, and what is asked afterwards.
fn answer(case: &Case<'_>) -> anyhow::Result<String> {
    let marked = case.lines.iter().skip_while(|line| **line != SENT);
    let lines: Vec<&str> = marked.skip_while(|line| !line.starts_with("< ")).copied().collect();
    if lines.is_empty() { bail!("the marked request has no answer") } else { Ok(lines.join("\n")) }
}

fn sentence(title: &str) -> String {
    let mut chars = title.chars();
    let first: String = chars.next().into_iter().flat_map(char::to_uppercase).collect();
    format!("{first}{}.", chars.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_read() {
        let source = "\nquirks! {\n    /// One\n    /// thing.\n    A = 0, \"a-b\",\n        \"told\",\n        \"source \\\"x\\\"\";\n}\n";
        let [name, allows, source_text] = ["a-b", "One thing.", "source \"x\""].map(str::to_owned);
        assert_eq!(quirks(source).unwrap(), [Quirk { name, allows, source: source_text }]);
        assert!(quirks("nothing").is_err());
    }

    #[test]
    fn a_page_shows_the_marked_request_and_both_answers() {
        let quirk = Quirk {
            name: "a".to_owned(),
            allows: "One thing.".to_owned(),
            source: "somebody".to_owned(),
        };
        let on = "== on: it is done\nquirks a\n# sent\n> PATCH /Users/1\nraw {}\n< 200\n/a 1\n\n";
        let off = "== off: it is refused\nquirks all,-a\n# sent\n> PATCH /Users/1\nraw {}\n< 400 invalidSyntax\n";
        let page_of = |text: &str| page(&quirk, text);
        let both = page_of(&format!("# Sent by: them\n# and us.\n# Source: here.\n\n{on}{off}"));
        let both = both.unwrap();
        assert!(both.contains("**Who sends it**: them and us.\n"), "{both}");
        assert!(both.contains("```text\nPATCH /Users/1\n{}\n```"), "{both}");
        assert!(both.contains("It is refused. The same request gets\n\n```text\n< 400 invalid"));
        assert!(page_of(&format!("# Sent by: them\n# Source: here.\n\n{on}")).is_err());
        assert!(page_of(&format!("{on}{off}")).is_err());
    }
}
