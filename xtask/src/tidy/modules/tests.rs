use std::path::Path;

use anyhow::Context;

use super::Modules;

/// Reads a crate from pairs of file and text.
pub(crate) fn read(files: &[(&str, &str)]) -> Modules {
    let load = |path: &Path| {
        let found = files.iter().find(|(name, _)| Path::new(name) == path);
        found.map(|(_, text)| (*text).to_owned()).context("no such file")
    };
    Modules::of("lib", &load).unwrap_or_default()
}

/// What `a` imports in a crate of the modules `a`, `b` and `c`.
fn imports_of_a(text: &str) -> Vec<String> {
    let root = "mod a; mod b; mod c; pub use b::Thing; pub const LIMIT: u8 = 1;";
    let modules = read(&[("lib.rs", root), ("a.rs", text), ("b.rs", ""), ("c.rs", "")]);
    modules.imports("a").map(|(target, _)| target.to_owned()).collect()
}

#[test]
fn a_use_is_an_import() {
    assert_eq!(imports_of_a("use crate::b::Thing;"), ["b"]);
}

#[test]
fn a_use_with_braces_imports_each() {
    assert_eq!(imports_of_a("use crate::{b::{self, Thing}, c::*};"), ["b", "c"]);
}

#[test]
fn a_path_in_a_body_is_an_import() {
    assert_eq!(imports_of_a("fn f() -> u8 { if true { crate::c::g() } else { 0 } }"), ["c"]);
}

#[test]
fn a_path_inside_a_macro_is_an_import() {
    assert_eq!(imports_of_a("fn f() { println!(\"{}\", crate::c::X); }"), ["c"]);
}

#[test]
fn super_leads_to_the_parent() {
    assert_eq!(imports_of_a("use super::b::Thing; mod inner { use super::super::c; }"), ["b", "c"]);
}

#[test]
fn super_within_the_module_is_no_import() {
    assert_eq!(imports_of_a("mod inner { use super::b; }"), [""; 0]);
}

#[test]
fn a_name_that_the_root_exports_leads_to_its_module() {
    assert_eq!(imports_of_a("use crate::Thing;"), ["b"]);
}

#[test]
fn what_the_root_defines_leads_to_the_root() {
    assert_eq!(imports_of_a("use crate::LIMIT;"), ["lib"]);
}

#[test]
fn a_visibility_is_no_import() {
    assert_eq!(imports_of_a("pub(crate) fn f() {} pub(super) struct S;"), [""; 0]);
}

#[test]
fn comments_and_strings_are_no_imports() {
    assert_eq!(
        imports_of_a("/// See [`crate::b`].\n// crate::c\nconst X: &str = \"crate::c\";"),
        [""; 0]
    );
}

#[test]
fn test_code_is_left_out() {
    let text = "#[cfg(test)] mod tests { use crate::b; }
                #[cfg(test)] use crate::{b::Thing};
                #[test] fn f() { crate::b::g(); }
                use crate::c;";
    assert_eq!(imports_of_a(text), ["c"]);
}

#[test]
fn a_module_includes_its_files() {
    let files = [
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "mod deep;"),
        ("a/deep.rs", "use crate::b::Thing;"),
        ("b.rs", ""),
    ];
    let modules = read(&files);
    assert_eq!(modules.imports("a").collect::<Vec<_>>(), [("b", "a/deep.rs")]);
}

#[test]
fn the_root_imports_what_it_uses_itself() {
    let modules = read(&[("lib.rs", "mod a; fn f() { a::g() }"), ("a.rs", "")]);
    assert_eq!(modules.imports("lib").collect::<Vec<_>>(), [("a", "lib.rs")]);
}
