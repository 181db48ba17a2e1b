//! What a statement of the checklist wants to be sent: the methods and paths that its words name.

const METHODS: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];

/// A request that a statement names, as far as it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Demand {
    /// A method, wherever it is sent.
    Method(String),
    /// A path, by whichever method.
    Path(String),
    /// A method on a path: `POST to /Users/{id}`.
    Both(String, String),
}

/// Reads the demands of a statement, each once.
pub(super) fn demands(statement: &str) -> Vec<Demand> {
    let mut demands = Vec::new();
    let mut keep = |demand: Demand| {
        if !demands.contains(&demand) {
            demands.push(demand);
        }
    };
    // Methods whose path may still follow, and how many other words came since.
    let (mut methods, mut gap, mut has_path): (Vec<&str>, usize, bool) = (Vec::new(), 0, false);
    for word in statement.split_whitespace() {
        if let Some(named) = methods_of(word) {
            if gap > 0 || has_path {
                lone(&methods, has_path, &mut keep);
                methods.clear();
            }
            methods.extend(named);
            (gap, has_path) = (0, false);
        } else if let Some(path) = path_of(word) {
            if methods.is_empty() {
                keep(Demand::Path(path.to_owned()));
            }
            for method in &methods {
                keep(Demand::Both((*method).to_owned(), path.to_owned()));
            }
            (gap, has_path) = (0, true);
        } else if word != "and" {
            gap += 1;
            // One word may be between: `POST to /Users/{id}`.
            if gap > 1 || has_path || word.ends_with([';', '.']) {
                lone(&methods, has_path, &mut keep);
                methods.clear();
                has_path = false;
            }
        }
    }
    lone(&methods, has_path, &mut keep);
    demands
}

/// Keeps methods that no path followed.
fn lone(methods: &[&str], has_path: bool, keep: &mut impl FnMut(Demand)) {
    if !has_path {
        methods.iter().for_each(|method| keep(Demand::Method((*method).to_owned())));
    }
}

/// Reads `PUT`, `PUT,` and `POST/PUT/PATCH(200` as methods.
fn methods_of(word: &str) -> Option<Vec<&str>> {
    let word = word.trim_start_matches(['(', '`', '"']);
    let end = word.find(['(', ')', '`', ',', ';', ':', '"']).unwrap_or(word.len());
    let named: Vec<&str> = word.get(..end)?.split('/').collect();
    named.iter().all(|name| METHODS.contains(name)).then_some(named)
}

/// Reads `/Users/{id}`, `base/?filter=`, `{endpoint}/.search` and `.search` as paths.
fn path_of(word: &str) -> Option<&str> {
    let word = word.trim_matches(['(', ')', '`', '"', ',', ';']);
    let below = word.strip_prefix("base").or_else(|| word.strip_prefix("{endpoint}"));
    let rooted = below.or_else(|| {
        let first = word.strip_prefix('/')?.chars().next()?;
        (first.is_ascii_uppercase() || first == '.').then_some(word)
    });
    (word == ".search" || rooted.is_some_and(|path| path.starts_with('/'))).then_some(word)
}

/// Returns whether a request goes to the path that a statement names.
///
/// Names in braces are any one segment on both sides, since targets are written as templates too.
pub(super) fn leads_to(target: &str, path: &str) -> bool {
    let target = below_the_base(target);
    if path == ".search" {
        return target.split('?').next().is_some_and(|target| target.ends_with("/.search"));
    }
    let (target, query) = target.split_once('?').unwrap_or((target, ""));
    let path = path.strip_prefix("base").unwrap_or(path);
    let (path, wanted) = path.split_once('?').unwrap_or((path, ""));
    let asked = wanted.is_empty() || query.split('&').any(|pair| pair.starts_with(wanted));
    let segments = |text: &str| -> Vec<String> {
        text.strip_prefix('/').unwrap_or(text).split('/').map(str::to_owned).collect()
    };
    let (target, path) = (segments(target), segments(path));
    let fits = |(here, there): (&String, &String)| {
        let any = |text: &str| text.starts_with('{') && text.ends_with('}');
        let bulk_id = here.starts_with("bulkId:") && there.starts_with("bulkId:");
        bulk_id || here == there || (any(there) && !here.is_empty())
    };
    asked && target.len() == path.len() && target.iter().zip(&path).all(fits)
}

/// Leaves out what is before the base: `^` of a conversation, and the path of the API.
fn below_the_base(target: &str) -> &str {
    let Some(absolute) = target.strip_prefix('^') else { return target };
    let bases = ["{base_path}", "/scim/v2", "/scim"];
    bases.iter().find_map(|base| absolute.strip_prefix(base)).unwrap_or(absolute)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(statement: &str) -> Vec<String> {
        let shown = |demand| match demand {
            Demand::Method(method) => method,
            Demand::Path(path) => path,
            Demand::Both(method, path) => format!("{method} {path}"),
        };
        demands(statement).into_iter().map(shown).collect()
    }

    #[test]
    fn a_sentence_names_methods_and_paths() {
        for (statement, expected) in [
            ("Success is 201", &[][..]),
            ("PUT never creates", &["PUT"]),
            ("`meta` from the client is ignored on POST/PUT", &["POST", "PUT"]),
            ("ETag header on GET/POST/PUT/PATCH(200 and 204)", &["GET", "POST", "PUT", "PATCH"]),
            ("enforced on POST, PUT, PATCH, Bulk", &["POST", "PUT", "PATCH"]),
            ("POST to /Users/{id} is not create", &["POST /Users/{id}"]),
            ("Root query (`GET base/?filter=`) covers all types", &["GET base/?filter="]),
            ("POST {endpoint}/.search is a query, 200", &["POST {endpoint}/.search"]),
            ("GET .search -> 405 + Allow: POST", &["GET .search", "POST"]),
            ("GET /ResourceTypes and /Schemas -> list", &["GET /ResourceTypes", "GET /Schemas"]),
            (
                "GET /ResourceTypes/{id}, /Schemas/{urn} -> one",
                &["GET /ResourceTypes/{id}", "GET /Schemas/{urn}"],
            ),
            ("Nested /Bulk, /.search, /Me in path", &["/Bulk", "/.search", "/Me"]),
            ("`bulkId:x` inside path (`/Groups/bulkId:x`)", &["/Groups/bulkId:x"]),
            ("OPTIONS: no CORS by default", &["OPTIONS"]),
            ("a Target without method; GET works", &["GET"]),
            ("attrPath/valuePath and/or true/false, 404/501, {uri:\"/Users/id\"}", &[]),
            ("`/v2/` is a version, PATH is a rule", &[]),
        ] {
            assert_eq!(said(statement), expected, "{statement}");
        }
    }

    #[test]
    fn a_target_leads_to_a_path() {
        for (target, path) in [
            ("/Users/{id}", "/Users/{id}"),
            ("/Users/00000000?attributes=id", "/Users/{id}"),
            ("/Users/{id}/", "/Users/{id}/"),
            ("/?filter=id pr", "base/?filter="),
            ("?count=1&filter=id pr", "base/?filter="),
            ("^/scim/v2/.search", "/.search"),
            ("/.search", "base/.search"),
            ("/Groups/.search", "{endpoint}/.search"),
            ("/.search", ".search"),
            ("/Users/.search", ".search"),
            ("/Groups/bulkId:g", "/Groups/bulkId:x"),
            ("/Schemas/urn:a:b", "/Schemas/{urn}"),
        ] {
            assert!(leads_to(target, path), "{target} {path}");
        }
        for (target, path) in [
            ("/Users", "/Users/{id}"),
            ("/Users/{id}", "/Users/{id}/"),
            ("/Users?filter=id pr", "base/?filter="),
            ("/", "base/?filter="),
            ("/?count=1", "base/?filter="),
            ("/.search", "{endpoint}/.search"),
            ("/Users/search", ".search"),
            ("/Groups/{g}", "/Groups/bulkId:x"),
        ] {
            assert!(!leads_to(target, path), "{target} {path}");
        }
    }
}
