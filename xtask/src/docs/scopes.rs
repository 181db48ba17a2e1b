//! The page of routes and scopes, from the table that the tests compare with the server.

use std::fmt::Write as _;

use anyhow::Context;

use crate::repository::root;

const TABLE: &str = "tests/suites/scopes.tsv";
pub(super) const PAGE: &str = "docs/reference/scopes.md";
const HEAD: &str = "\
# Routes and scopes

<!-- Made by `cargo xtask docs`: edit tests/suites/scopes.tsv instead. -->

What each route answers to each kind of token. A test sends every request of these tables to both databases.

- *none*: without a token. *bad*: a garbled, expired or revoked token, or one of a tenant that is switched off.
- *read*, *users*, *groups*, *schema*, *events*, *admin-read*, *admin-write*: a token with that one scope
  (`scim:read`, `users:write`, `groups:write`, `schema:write`, `events:read`, `admin:read`, `admin:write`).
- *idp*: the default of a provisioning token, `scim:read users:write groups:write`. *user*: the same, made with
  `--user`, so that it is this user at `/Me`. *all*: `administration tenants:all`.
- `{foreign-…}` belongs to another tenant. It is answered like an id that does not exist.
- A bulk request has its own status, which is 200, and one for each operation.

Scopes add up: a token with two of them may do what either column allows.
";

/// Makes the page.
pub(super) fn page() -> anyhow::Result<String> {
    let text = std::fs::read_to_string(root().join(TABLE)).context(TABLE)?;
    render(&text).context(TABLE)
}

fn render(text: &str) -> anyhow::Result<String> {
    let mut lines = text.lines().filter(|line| !line.starts_with('#'));
    let columns: Vec<&str> =
        lines.next().context("the table is empty")?.split('\t').skip(1).collect();
    let mut page = HEAD.to_owned();
    let lines: Vec<&str> = lines.collect();
    let rule = "---|".repeat(columns.len() + 1);
    for (area, prefix) in [("SCIM", " /scim/"), ("Admin API", " /api/")] {
        writeln!(page, "\n## {area}\n\n| | {} |\n|{rule}", columns.join(" | "))?;
        for line in lines.iter().filter(|line| line.contains(prefix)) {
            let (request, cells) = line.split_once('\t').context("a line without cells")?;
            let cells: Vec<&str> = cells.split('\t').collect();
            anyhow::ensure!(cells.len() == columns.len(), "{request} has {} cells", cells.len());
            writeln!(page, "| `{request}` | {} |", cells.join(" | "))?;
        }
    }
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::render;

    #[test]
    fn a_table_for_scim_and_one_for_the_admin_api() {
        let page = render("# x\nrequest\ta\tb\nGET /scim/v2\t200\t401\nGET /api/v1\t403\t401\n");
        let page = page.unwrap();
        assert!(
            page.contains(
                "## SCIM\n\n| | a | b |\n|---|---|---|\n| `GET /scim/v2` | 200 | 401 |\n"
            )
        );
        assert!(page.ends_with(
            "## Admin API\n\n| | a | b |\n|---|---|---|\n| `GET /api/v1` | 403 | 401 |\n"
        ));
    }

    #[test]
    fn a_line_has_a_cell_for_each_column() {
        assert!(render("request\ta\tb\nGET /scim/v2\t200\n").is_err());
    }
}
