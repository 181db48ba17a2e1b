//! The modules of a crate lie in layers: the table in `docs/ARCHITECTURE.md` against the sources. A
//! module imports only from layers below its own, so that no circle can be.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::Context;

use super::modules::Modules;
use crate::repository::root;

const DOCUMENT: &str = "docs/ARCHITECTURE.md";

/// The layers of one crate, from the lowest.
type Layers = Vec<Vec<String>>;

pub(super) fn check() -> anyhow::Result<Vec<String>> {
    let text = std::fs::read_to_string(root().join(DOCUMENT)).context(DOCUMENT)?;
    let mut table = table(&text)?;
    let mut findings = Vec::new();
    for directory in crates()? {
        let name = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some(modules) = Modules::read(&directory)? else { continue };
        match table.remove(&name) {
            Some(layers) => findings.extend(compare(&name, &modules, &layers)),
            None => findings
                .push(format!("{DOCUMENT} does not say in which layers the modules of {name} lie")),
        }
    }
    let gone = table
        .keys()
        .map(|name| format!("{DOCUMENT} has layers of a crate {name} that does not exist"));
    findings.extend(gone);
    Ok(findings)
}

/// The directories of all crates of the product.
fn crates() -> std::io::Result<Vec<PathBuf>> {
    let mut directories = vec![root().join("xtask")];
    for entry in std::fs::read_dir(root().join("crates"))? {
        directories.push(entry?.path());
    }
    directories.sort();
    Ok(directories)
}

/// Reads the rows of the table between its two marks: crate, then its layers with a `›` between them.
fn table(text: &str) -> anyhow::Result<BTreeMap<String, Layers>> {
    let (_, rest) = text
        .split_once("<!-- layers -->")
        .with_context(|| format!("{DOCUMENT} has no <!-- layers -->"))?;
    let (rows, _) = rest
        .split_once("<!-- /layers -->")
        .with_context(|| format!("{DOCUMENT} has no <!-- /layers -->"))?;
    let mut table = BTreeMap::new();
    for row in rows.lines().filter(|line| line.starts_with("| `")) {
        let mut cells = row.trim_matches('|').split('|').map(str::trim);
        let name = cells.next().unwrap_or_default().trim_matches('`').to_owned();
        let layer = |cell: &str| {
            cell.split([' ', ',']).filter(|word| !word.is_empty()).map(str::to_owned).collect()
        };
        table.insert(name, cells.next().unwrap_or_default().split('›').map(layer).collect());
    }
    Ok(table)
}

/// Compares the imports of a crate with its layers. The root lies above all, unless it is listed.
fn compare(name: &str, modules: &Modules, layers: &Layers) -> Vec<String> {
    let mut findings = Vec::new();
    let mut heights: BTreeMap<&str, usize> = BTreeMap::new();
    for (height, module) in layers
        .iter()
        .enumerate()
        .flat_map(|(height, layer)| layer.iter().map(move |module| (height, module)))
    {
        if heights.insert(module, height).is_some() {
            findings.push(format!("{DOCUMENT} lists the module {module} of {name} twice"));
        }
    }
    let existing: BTreeSet<&str> = modules.names().collect();
    for module in heights.keys().filter(|module| !existing.contains(*module)) {
        findings.push(format!("{DOCUMENT} lists a module {module} of {name} that does not exist"));
    }
    for module in existing {
        let height = heights.get(module);
        if height.is_none() && module != modules.root() {
            findings
                .push(format!("{DOCUMENT} does not list the module {module} of {name} in a layer"));
            continue;
        }
        for (target, file) in modules.imports(module) {
            let is_below = match (height, heights.get(target)) {
                (None, _) => true,
                (Some(own), Some(other)) => other < own,
                (Some(_), None) => false,
            };
            if !is_below {
                findings.push(format!(
                    "{module} of {name} imports {target} ({file}), which is not in a layer below it in {DOCUMENT}"
                ));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::modules::tests::read;

    const CIRCLE: [(&str, &str); 4] = [
        ("lib.rs", "mod a; mod b; mod c;"),
        ("a.rs", "use crate::b;"),
        ("b.rs", "use crate::a;"),
        ("c.rs", "use crate::a;"),
    ];
    const STACK: [(&str, &str); 4] = [
        ("lib.rs", "mod a; mod b; mod c; use a::X;"),
        ("a.rs", ""),
        ("b.rs", "use crate::a;"),
        ("c.rs", ""),
    ];

    /// Compares a crate with layers as the document writes them.
    fn findings(files: &[(&str, &str)], layers: &str) -> Vec<String> {
        let text = format!("<!-- layers -->\n| `x` | {layers} |\n<!-- /layers -->");
        compare("x", &read(files), &table(&text).unwrap().remove("x").unwrap())
    }

    #[test]
    fn imports_from_below_are_fine() {
        assert_eq!(findings(&STACK, "a c › b"), [""; 0]);
    }

    #[test]
    fn an_import_from_above_is_a_finding() {
        let expected =
            "b of x imports a (b.rs), which is not in a layer below it in docs/ARCHITECTURE.md";
        assert_eq!(findings(&STACK, "b › a c"), [expected]);
    }

    #[test]
    fn an_import_from_the_same_layer_is_a_finding() {
        assert_eq!(findings(&STACK, "a, b, c").len(), 1);
    }

    #[test]
    fn a_circle_fits_no_layers() {
        for layers in ["a › b › c", "b › a › c", "a b › c"] {
            assert!(!findings(&CIRCLE, layers).is_empty(), "{layers}");
        }
    }

    #[test]
    fn a_module_without_a_layer_is_a_finding() {
        let expected = "docs/ARCHITECTURE.md does not list the module c of x in a layer";
        assert_eq!(findings(&STACK, "a › b"), [expected]);
    }

    #[test]
    fn a_module_that_is_gone_is_a_finding() {
        let expected = "docs/ARCHITECTURE.md lists a module d of x that does not exist";
        assert_eq!(findings(&STACK, "a c › b › d"), [expected]);
    }

    #[test]
    fn a_module_in_two_layers_is_a_finding() {
        let expected = "docs/ARCHITECTURE.md lists the module a of x twice";
        assert_eq!(findings(&STACK, "a c › b › a").first().map(String::as_str), Some(expected));
    }

    #[test]
    fn what_imports_the_root_is_a_finding() {
        let files = [("lib.rs", "mod a; pub const X: u8 = 1;"), ("a.rs", "use crate::X;")];
        assert_eq!(findings(&files, "a").len(), 1);
    }

    #[test]
    fn a_root_that_is_listed_can_be_imported() {
        let files = [("lib.rs", "mod a; pub const X: u8 = 1;"), ("a.rs", "use crate::X;")];
        assert_eq!(findings(&files, "lib › a"), [""; 0]);
    }
}
