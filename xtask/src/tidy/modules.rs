//! What the modules of a crate import from one another, read from its tokens.
//!
//! A node is a top-level module with everything in it; the crate's root (`lib` or `main`) is one too,
//! for what it defines itself. An import is a path in code that is not for tests: in a `use`, in an
//! expression or type, or inside a macro. Comments and strings do not count, nor does what the root
//! re-exports: such a name leads to the module it comes from.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// The imports of one crate: module, what it imports, and the first file that does.
#[derive(Debug, Default)]
pub(super) struct Modules {
    root: String,
    imports: BTreeMap<String, BTreeMap<String, String>>,
}

/// A path as written: its segments, `*` for a glob.
type Segments = Vec<String>;

/// One source file or inline module, as far as it matters here.
struct Source {
    file: String,
    /// The modules it is in, from the root; empty for the root itself.
    module: Segments,
    paths: Vec<Segments>,
}

/// Collects the files of one crate.
#[derive(Default)]
struct Reader {
    sources: Vec<Source>,
    /// What the root re-exports: name, path it comes from.
    exports: BTreeMap<String, Segments>,
    top: BTreeSet<String>,
}

/// Returns what a crate names under a type, as in `Type::Name`: the file below `src`, and the names.
pub(super) fn named_under(
    directory: &Path,
    type_name: &str,
) -> anyhow::Result<BTreeMap<String, BTreeSet<String>>> {
    let src = directory.join("src");
    let load = |path: &Path| Ok(std::fs::read_to_string(src.join(path))?);
    let root = if src.join("lib.rs").is_file() { "lib.rs" } else { "main.rs" };
    let mut reader = Reader::default();
    reader.file(Path::new(root), &[], &load)?;
    let mut named: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in reader.sources {
        let names = source.paths.iter().filter_map(|path| match path.as_slice() {
            [.., of, name] if of == type_name => Some(name.clone()),
            _ => None,
        });
        let names: BTreeSet<String> = names.collect();
        if !names.is_empty() {
            named.entry(source.file).or_default().extend(names);
        }
    }
    Ok(named)
}

impl Modules {
    /// Reads the crate whose root is `src/lib.rs` or `src/main.rs` below `directory`.
    pub(super) fn read(directory: &Path) -> anyhow::Result<Option<Self>> {
        let src = directory.join("src");
        for root in ["lib", "main"] {
            let file = src.join(format!("{root}.rs"));
            if file.is_file() {
                let load = |path: &Path| Ok(std::fs::read_to_string(src.join(path))?);
                return Self::of(root, &load).map(Some);
            }
        }
        Ok(None)
    }

    /// Reads a crate through `load`, which returns the text of a file by its path below `src`.
    pub(super) fn of(
        root: &str,
        load: &dyn Fn(&Path) -> anyhow::Result<String>,
    ) -> anyhow::Result<Self> {
        let mut reader = Reader::default();
        reader.file(Path::new(&format!("{root}.rs")), &[], load)?;
        Ok(reader.modules(root))
    }

    /// All modules, the root included.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.imports.keys().map(String::as_str)
    }

    /// What a module imports, with the first file that does.
    pub(super) fn imports(&self, module: &str) -> impl Iterator<Item = (&str, &str)> {
        let of = self.imports.get(module).into_iter().flatten();
        of.map(|(target, file)| (target.as_str(), file.as_str()))
    }

    /// The name of the root: `lib` or `main`.
    pub(super) fn root(&self) -> &str {
        &self.root
    }
}

impl Reader {
    fn file(
        &mut self,
        path: &Path,
        module: &[String],
        load: &dyn Fn(&Path) -> anyhow::Result<String>,
    ) -> anyhow::Result<()> {
        let text = load(path).with_context(|| path.display().to_string())?;
        let tokens: TokenStream =
            text.parse().map_err(|error| anyhow!("{}: {error}", path.display()))?;
        // `a.rs` has its modules in `a/`, the root and `mod.rs` have them next to themselves.
        let is_head = module.is_empty() || path.ends_with("mod.rs");
        let below =
            if is_head { path.parent().map(PathBuf::from) } else { Some(path.with_extension("")) };
        let below = below.unwrap_or_default();
        self.items(tokens, path, &below, module, load)
    }

    /// Reads the items of a file or of an inline module.
    fn items(
        &mut self,
        tokens: TokenStream,
        path: &Path,
        below: &Path,
        module: &[String],
        load: &dyn Fn(&Path) -> anyhow::Result<String>,
    ) -> anyhow::Result<()> {
        let mut paths = Vec::new();
        let kept = without_tests(tokens);
        let mut rest = &kept[..];
        while let Some((first, after)) = rest.split_first() {
            rest = after;
            if is_word(first, "mod")
                && let Some((TokenTree::Ident(name), body)) = rest.split_first()
                && let Some((body, after)) = body.split_first()
            {
                let name = name.to_string();
                let inner = [module, std::slice::from_ref(&name)].concat();
                if module.is_empty() {
                    self.top.insert(name.clone());
                }
                rest = after;
                match body {
                    TokenTree::Group(group) => {
                        self.items(group.stream(), path, &below.join(&name), &inner, load)?;
                    }
                    _ => {
                        let file = below.join(format!("{name}.rs"));
                        let nested = below.join(&name).join("mod.rs");
                        let found = load(&file).is_ok();
                        self.file(if found { &file } else { &nested }, &inner, load)?;
                    }
                }
            } else if module.is_empty()
                && is_word(first, "pub")
                && let Some(at) = rest.iter().position(|token| is_word(token, "use"))
                && at <= 1
            {
                let end = rest.iter().position(|token| is_mark(token, ';')).unwrap_or(rest.len());
                let (statement, after) = rest.split_at(end);
                rest = after;
                for path in paths_in(statement.get(at + 1..).unwrap_or_default()) {
                    if let Some(name) = path.last() {
                        self.exports.insert(name.clone(), path.clone());
                    }
                }
            } else {
                let width = kept.len() - rest.len();
                let run = kept.get(width - 1..).unwrap_or_default();
                let (found, used) = path_at(run);
                paths.extend(found);
                rest = run.get(used.max(1)..).unwrap_or_default();
                if let TokenTree::Group(group) = first {
                    paths.extend(paths_in(&without_tests(group.stream())));
                }
            }
        }
        let file = path.display().to_string();
        self.sources.push(Source { file, module: module.to_vec(), paths });
        Ok(())
    }

    fn modules(self, root: &str) -> Modules {
        let mut modules = Modules { root: root.to_owned(), ..Modules::default() };
        modules.imports.insert(root.to_owned(), BTreeMap::new());
        for name in &self.top {
            modules.imports.insert(name.clone(), BTreeMap::new());
        }
        for source in &self.sources {
            let own = source.module.first().map_or(root, String::as_str);
            for path in &source.paths {
                let Some(target) = self.target(&source.module, path) else { continue };
                let target = target.unwrap_or(root);
                if target != own {
                    let of = modules.imports.entry(own.to_owned()).or_default();
                    of.entry(target.to_owned()).or_insert_with(|| source.file.clone());
                }
            }
        }
        modules
    }

    /// The top-level module that a path leads to, `Some(None)` for the root; `None` if the path leads
    /// out of the crate or cannot leave the module.
    fn target<'a>(&'a self, module: &[String], path: &'a [String]) -> Option<Option<&'a str>> {
        let (first, mut rest) = path.split_first()?;
        let mut base = module;
        match first.as_str() {
            "crate" => base = &[],
            "self" => {}
            "super" => {
                base = base.split_last()?.1;
                while let Some((next, after)) = rest.split_first()
                    && next == "super"
                {
                    base = base.split_last()?.1;
                    rest = after;
                }
            }
            // A bare name is a child of this module, an import that was counted, or another crate.
            name => {
                let is_own = module.is_empty() && !rest.is_empty() && self.top.contains(name);
                return is_own.then_some(Some(name));
            }
        }
        if let Some(top) = base.first() {
            return self.top.get(top).map(|top| Some(top.as_str()));
        }
        // The `crate` or `super` of a visibility imports nothing.
        let name = rest.first()?;
        if let Some(top) = self.top.get(name) {
            return Some(Some(top));
        }
        let origin = self
            .exports
            .get(name)
            .and_then(|path| path.iter().find(|part| !matches!(part.as_str(), "crate" | "self")));
        Some(origin.and_then(|origin| self.top.get(origin)).map(String::as_str))
    }
}

/// Drops items and statements under `#[cfg(test)]` or `#[test]`.
fn without_tests(tokens: TokenStream) -> Vec<TokenTree> {
    let mut kept: Vec<TokenTree> = Vec::new();
    let mut tokens = tokens.into_iter().peekable();
    let mut skipping = false;
    while let Some(token) = tokens.next() {
        if is_mark(&token, '#')
            && let Some(TokenTree::Group(group)) = tokens.peek()
        {
            skipping |= is_for_tests(group);
        }
        if skipping {
            let is_body = matches!(&token, TokenTree::Group(group)
                if group.delimiter() == Delimiter::Brace);
            // `use a::{b};` has its end behind the braces.
            let goes_on = tokens.peek().is_some_and(|next| is_mark(next, ';'));
            skipping = !(is_mark(&token, ';') || (is_body && !goes_on));
            continue;
        }
        kept.push(token);
    }
    kept
}

fn is_for_tests(attribute: &Group) -> bool {
    let text: String =
        attribute.stream().to_string().chars().filter(|c| !c.is_whitespace()).collect();
    text == "test" || text.starts_with("cfg(test") || text.starts_with("cfg(all(test")
}

/// All paths in a run of tokens, at every depth.
fn paths_in(tokens: &[TokenTree]) -> Vec<Segments> {
    let mut paths = Vec::new();
    let mut rest = tokens;
    while let Some(first) = rest.first() {
        let (found, used) = path_at(rest);
        if used == 0
            && let TokenTree::Group(group) = first
        {
            paths.extend(paths_in(&without_tests(group.stream())));
        }
        paths.extend(found);
        rest = rest.get(used.max(1)..).unwrap_or_default();
    }
    paths
}

/// The paths that begin with the first token, several where a `use` has braces, and how many tokens
/// they take.
fn path_at(tokens: &[TokenTree]) -> (Vec<Segments>, usize) {
    let mut segments = Vec::new();
    let mut used = 0;
    loop {
        match tokens.get(used) {
            Some(TokenTree::Ident(name)) => segments.push(name.to_string()),
            Some(TokenTree::Group(group))
                if group.delimiter() == Delimiter::Brace && !segments.is_empty() =>
            {
                let inner = paths_in(&without_tests(group.stream()));
                let whole = |rest: Segments| [segments.as_slice(), &rest].concat();
                return (inner.into_iter().map(whole).collect(), used + 1);
            }
            Some(token) if is_mark(token, '*') && !segments.is_empty() => {
                segments.push("*".to_owned());
                return (vec![segments], used + 1);
            }
            _ => break,
        }
        used += 1;
        let goes_on = matches!((tokens.get(used), tokens.get(used + 1)),
            (Some(one), Some(two)) if is_mark(one, ':') && is_mark(two, ':'));
        if !goes_on {
            break;
        }
        used += 2;
    }
    if segments.is_empty() { (Vec::new(), used) } else { (vec![segments], used) }
}

fn is_word(token: &TokenTree, word: &str) -> bool {
    matches!(token, TokenTree::Ident(name) if name == word)
}

fn is_mark(token: &TokenTree, mark: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == mark)
}

#[cfg(test)]
pub(super) mod tests;
