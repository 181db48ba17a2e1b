//! No circles between the modules of a crate.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::modules::Modules;
use crate::repository::root;

/// Circles that are still there, by crate. Modules may only leave this list.
const KNOWN: [(&str, &[&str]); 5] = [
    (
        "http-api",
        &[
            "admin",
            "api",
            "auth",
            "blocking",
            "body",
            "client",
            "connections",
            "error",
            "reply",
            "stream",
            "target",
        ],
    ),
    ("store-diesel", &["batch", "log", "seal"]),
    ("store-diesel", &["changes", "find", "store"]),
    ("store-diesel", &["connection", "sql"]),
    ("token-admin", &["accounts", "error", "principal", "scope", "store", "tokens", "verify"]),
];

pub(super) fn check() -> anyhow::Result<Vec<String>> {
    let mut findings = Vec::new();
    for directory in crates()? {
        let name = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if let Some(modules) = Modules::read(&directory)? {
            let known = KNOWN.iter().filter(|(of, _)| *of == name).map(|(_, circle)| *circle);
            findings.extend(compare(&name, &modules, &known.collect::<Vec<_>>()));
        }
    }
    Ok(findings)
}

/// The directories of all crates of the product.
pub(super) fn crates() -> std::io::Result<Vec<PathBuf>> {
    let mut directories = vec![root().join("xtask")];
    for entry in std::fs::read_dir(root().join("crates"))? {
        directories.push(entry?.path());
    }
    directories.sort();
    Ok(directories)
}

fn compare(name: &str, modules: &Modules, known: &[&[&str]]) -> Vec<String> {
    let circles = modules.circles();
    let mut findings = Vec::new();
    for circle in &circles {
        if !known.iter().any(|known| circle.iter().all(|module| known.contains(module))) {
            let imports = circle.iter().flat_map(|from| {
                let inner = modules.imports(from).filter(|(to, _)| circle.contains(to));
                inner.map(move |(to, file)| format!("{from} → {to} ({file})"))
            });
            let imports: Vec<String> = imports.collect();
            findings.push(format!("modules of {name} form a circle: {}", imports.join(", ")));
        }
    }
    let in_circles: BTreeSet<&str> = circles.into_iter().flatten().collect();
    for module in known.iter().copied().flatten().filter(|module| !in_circles.contains(*module)) {
        findings.push(format!(
            "the module {module} of {name} is in no circle now; take it off the list in {}",
            file!()
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::compare;
    use crate::tidy::modules::tests::read;

    const CIRCLE: [(&str, &str); 4] = [
        ("lib.rs", "mod a; mod b; mod c;"),
        ("a.rs", "use crate::b;"),
        ("b.rs", "use crate::a;"),
        ("c.rs", ""),
    ];

    #[test]
    fn a_new_circle_is_a_finding() {
        let expected = "modules of x form a circle: a → b (a.rs), b → a (b.rs)";
        assert_eq!(compare("x", &read(&CIRCLE), &[]), [expected]);
    }

    #[test]
    fn a_known_circle_is_none() {
        assert_eq!(compare("x", &read(&CIRCLE), &[&["a", "b"]]), [""; 0]);
    }

    #[test]
    fn a_known_circle_must_not_grow() {
        assert_eq!(compare("x", &read(&CIRCLE), &[&["a", "c"]]).len(), 2);
    }

    #[test]
    fn a_module_that_left_its_circle_leaves_the_list() {
        let findings = compare("x", &read(&CIRCLE), &[&["a", "b", "c"]]);
        assert!(
            findings.iter().any(|finding| finding.contains("the module c of x")),
            "{findings:?}"
        );
    }
}
