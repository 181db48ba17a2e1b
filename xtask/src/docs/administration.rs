//! The page of who may do what, from the table that the tests compare with the server.

use std::fmt::Write as _;

use anyhow::Context;

use crate::repository::root;

const TABLE: &str = "tests/suites/administration/doors.tsv";
pub(super) const PAGE: &str = "docs/reference/administration.md";
const HEAD: &str = "\
# Who may do what

<!-- Made by `cargo xtask docs`: edit tests/suites/administration/doors.tsv instead. -->

Tenants, tokens and accounts are managed at the command line, in the [console](../CONSOLE.md) and through the
[admin API](admin-api.md). The rules are the same in each of them, and
[written once](../adr/0049-ring-of-administration.md). A test tries every cell.

- **yes**: it is done.
- **no**: this actor may not do it, whatever the input.
- **refused**: this actor may do it in general, but a rule forbids this case; the error below says what to change.
- empty: not offered here.

The *operator* runs the command line next to the database. *Owner*, *admin* and *auditor* are roles of accounts
of the console. The other columns are tokens of the admin API: *all* has `administration tenants:all` for
730 days, *write* has `administration`, *narrow* has the same but only from `127.0.0.0/8`, *read* has `admin:read`,
*events* has `events:read`, each for 180 days. \"Another tenant\" is not the one that the token was made for.
";

/// Makes the page.
pub(super) fn page() -> anyhow::Result<String> {
    let text = std::fs::read_to_string(root().join(TABLE)).context(TABLE)?;
    render(&text).context(TABLE)
}

fn render(text: &str) -> anyhow::Result<String> {
    let mut lines = text.lines().filter(|line| !line.starts_with('#'));
    let header = lines.next().context("the table is empty")?;
    let actors: Vec<&str> = header.split('\t').skip(3).collect();
    let rows: Vec<Vec<&str>> = lines.map(|line| line.split('\t').collect()).collect();
    let mut page = HEAD.to_owned();
    let mut area = "";
    for row in &rows {
        let [key, act, _, cells @ ..] = row.as_slice() else { anyhow::bail!("too short: {row:?}") };
        anyhow::ensure!(cells.len() == actors.len(), "{key} has {} cells", cells.len());
        let (of, _) = key.split_once('.').with_context(|| format!("{key} has no area"))?;
        if of != area {
            area = of;
            let mut letters = of.chars();
            let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
            let title = format!("{first}{}", letters.as_str());
            let rule = "---|".repeat(actors.len() + 1);
            writeln!(page, "\n## {title}\n\n| | {} |\n|{rule}", actors.join(" | "))?;
        }
        let words = cells.iter().map(|cell| word(cell)).collect::<anyhow::Result<Vec<_>>>()?;
        writeln!(page, "| {act} | {} |", words.join(" | "))?;
    }
    page.push_str("\n## Errors\n\n| | The error contains |\n|---|---|\n");
    for row in rows.iter().filter(|row| row.get(2).is_some_and(|sentence| !sentence.is_empty())) {
        if let [_, act, sentence, ..] = row.as_slice() {
            writeln!(page, "| {act} | {sentence} |")?;
        }
    }
    Ok(page)
}

fn word(cell: &str) -> anyhow::Result<&'static str> {
    Ok(match cell {
        "done" => "yes",
        "forbidden" => "no",
        "refused" => "refused",
        "-" => "",
        other => anyhow::bail!("\"{other}\" is not an outcome"),
    })
}

#[cfg(test)]
mod tests {
    use super::render;

    #[test]
    fn a_table_for_each_area_and_one_for_the_sentences() {
        let page = render("# x\nkey\tact\tsentence\ta\tb\ntokens.x\tdo it\tno way\trefused\t-\n");
        let page = page.unwrap();
        assert!(page.contains("## Tokens\n\n| | a | b |\n|---|---|---|\n| do it | refused |  |\n"));
        assert!(page.ends_with("| do it | no way |\n"));
    }

    #[test]
    fn a_cell_is_one_of_four_words() {
        assert!(render("key\tact\tsentence\ta\ntokens.x\tdo it\t\tmaybe\n").is_err());
    }
}
