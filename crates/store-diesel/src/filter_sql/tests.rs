//! The SQL of filters, as `shapes.txt` shows it. Both databases get the same text.

use headcount_core::filter::ParsedFilter;
use headcount_core::ids::Kind;
use headcount_core::schema::Registry;

use super::*;

const SHAPES: &str = include_str!("shapes.txt");

/// Writes the statement of a filter over users or groups, and what is left of it.
fn shape(kind: &str, filter: &str) -> String {
    let registry = Registry::builtin().expect("the built-in schemas are sound");
    let kind = registry.kind(kind).expect("a kind of RFC 7643");
    let kinds: Vec<Kind> = registry.kinds().iter().map(|kind| kind.kind.clone()).collect();
    let indexed = registry.kinds().iter().flat_map(|kind| &kind.indexed);
    let dictionary = Dictionary::fixed(&kinds, indexed.map(|indexed| indexed.path.to_string()));
    let scope = Scope { tenant: 1, kind: 1, dictionary: &dictionary };
    let parsed = ParsedFilter::parse(filter).unwrap_or_else(|error| panic!("{filter}: {error}"));
    let resolved = parsed.resolve(kind).unwrap_or_else(|error| panic!("{filter}: {error}"));
    let compiled = scope.compile(&resolved);
    let sql = compiled.sql.map_or_else(|| "(every resource)".to_owned(), |sql| sql.shape());
    let rest = if compiled.residual.is_some() { "\n    … and the evaluator" } else { "" };
    format!("{sql}{rest}")
}

#[test]
fn filters_become_the_statements_that_are_written_down() {
    let mut blocks = SHAPES.split("\n\n").map(str::trim).filter(|block| !block.is_empty());
    let mut count = 0;
    let mut found = String::new();
    let mut expected = String::new();
    for block in &mut blocks {
        let (head, _) = block.split_once('\n').unwrap_or((block, ""));
        let (kind, filter) = head.split_once(": ").expect("a block begins with kind and filter");
        found.push_str(&format!("{head}\n    {}\n\n", shape(kind, filter)));
        expected.push_str(&format!("{block}\n\n"));
        count += 1;
    }
    assert!(count >= 20, "the file has its filters");
    assert_eq!(found, expected, "\n{found}");
}
