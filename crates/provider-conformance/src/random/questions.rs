//! Random queries over a kind with any schema.

use std::sync::Arc;

use headcount_core::message::SearchRequest;
use headcount_core::schema::{Attribute, ResourceType, ValueType};

use super::{Random, values};

/// An attribute that can be in a query, with its paths.
struct Leaf {
    paths: Vec<String>,
    attribute: Arc<Attribute>,
}

/// The source of queries over a kind.
pub struct Questions {
    leaves: Vec<Leaf>,
    /// Complex attributes and lists of plain values, for filters in brackets.
    whole: Vec<Leaf>,
    /// Names for projections.
    names: Vec<String>,
}

impl Questions {
    /// Collects the attributes of a kind.
    pub fn of(kind: &ResourceType) -> Self {
        let mut made = Self { leaves: Vec::new(), whole: Vec::new(), names: Vec::new() };
        for (urn, container) in kind.containers() {
            let core = urn == &kind.schema.id;
            for attribute in container.attributes(kind) {
                let long = format!("{urn}:{}", attribute.name);
                let paths = if core { vec![attribute.name.to_string(), long] } else { vec![long] };
                made.attribute(paths, attribute);
            }
            made.names.push(urn.to_string());
        }
        made.names.extend(["id", "meta", "externalId", "schemas", "nothing"].map(str::to_owned));
        made
    }

    fn attribute(&mut self, paths: Vec<String>, attribute: &Arc<Attribute>) {
        self.names.extend(paths.iter().cloned());
        for sub in &attribute.sub_attributes {
            let paths: Vec<_> = paths.iter().map(|path| format!("{path}.{}", sub.name)).collect();
            self.names.extend(paths.iter().cloned());
            self.leaves.push(Leaf { paths, attribute: Arc::clone(sub) });
        }
        if attribute.value_type == ValueType::Complex || attribute.multi_valued {
            self.whole.push(Leaf { paths: paths.clone(), attribute: Arc::clone(attribute) });
        }
        self.leaves.push(Leaf { paths, attribute: Arc::clone(attribute) });
    }

    /// Makes a query; the ids are some that exist.
    pub fn request(&self, random: &mut Random, ids: &[String]) -> SearchRequest {
        let filter = (!random.once_in(12)).then(|| self.filter(random, ids));
        let sort_by = random.once_in(2).then(|| self.path(random));
        let sort_order = random
            .once_in(2)
            .then(|| (*random.one(&["ascending", "descending", "Descending"])).to_owned());
        let mut request = SearchRequest { filter, sort_by, sort_order, ..SearchRequest::default() };
        match random.below(4) {
            0 => {}
            1 => request.count = Some(random.number(40)),
            2 => {
                request.start_index = Some(random.number(20));
                request.count = Some(random.number(12));
            }
            _ => {
                request.cursor = Some(String::new());
                request.count = Some(1 + random.number(12));
            }
        }
        match random.below(20) {
            0..=3 => request.attributes = self.some_names(random),
            4..=6 => request.excluded_attributes = self.some_names(random),
            7 => {
                request.attributes = self.some_names(random);
                request.excluded_attributes = self.some_names(random);
            }
            _ => {}
        }
        request
    }

    fn some_names(&self, random: &mut Random) -> Vec<String> {
        (0..1 + random.below(3)).map(|_| self.name(random)).collect()
    }

    fn name(&self, random: &mut Random) -> String {
        let name = random.one(&self.names).clone();
        random.respell(&name)
    }

    fn path(&self, random: &mut Random) -> String {
        if random.once_in(5) {
            return (*random.one(&[
                "id",
                "externalId",
                "meta.created",
                "meta.lastModified",
                "meta.version",
                "nothing",
            ]))
            .to_owned();
        }
        let leaf = random.one(&self.leaves);
        let path = random.one(&leaf.paths).clone();
        random.respell(&path)
    }

    /// Makes a filter.
    pub fn filter(&self, random: &mut Random, ids: &[String]) -> String {
        let depth = random.below(4);
        expression(random, depth, &mut |random| self.term(random, ids))
    }

    fn term(&self, random: &mut Random, ids: &[String]) -> String {
        match random.below(12) {
            0 => common(random, ids),
            1..=3 if !self.whole.is_empty() => self.element(random),
            _ => {
                let leaf = random.one(&self.leaves);
                let path = random.one(&leaf.paths).clone();
                let mut path = random.respell(&path);
                // Other texts hardly ever are ids of members or groups.
                if random.once_in(2)
                    && (path.starts_with("members") || path.starts_with("groups"))
                    && !ids.is_empty()
                {
                    path.truncate(path.find('.').unwrap_or(path.len()));
                    return format!("{path}.value eq \"{}\"", random.one(ids));
                }
                comparison(random, &path, &leaf.attribute)
            }
        }
    }

    /// Makes a filter on one value as a whole: `path[…]`.
    fn element(&self, random: &mut Random) -> String {
        let leaf = random.one(&self.whole);
        let path = random.one(&leaf.paths).clone();
        let path = random.respell(&path);
        let depth = random.below(3);
        let inner =
            expression(random, depth, &mut |random| comparison_inside(random, &leaf.attribute));
        match random.once_in(12) {
            true => format!("{path}[{inner}].{}", comparison_inside(random, &leaf.attribute)),
            false => format!("{path}[{inner}]"),
        }
    }
}

/// Makes a comparison inside the brackets after an attribute.
fn comparison_inside(random: &mut Random, attribute: &Attribute) -> String {
    if attribute.sub_attributes.is_empty() {
        let name = random.respell("value");
        return comparison(random, &name, attribute);
    }
    let sub = random.one(&attribute.sub_attributes);
    let name = random.respell(&sub.name);
    comparison(random, &name, sub)
}

/// Joins terms by `and`, `or` and `not`.
fn expression(
    random: &mut Random,
    depth: usize,
    term: &mut dyn FnMut(&mut Random) -> String,
) -> String {
    if depth == 0 || random.once_in(3) {
        return term(random);
    }
    let left = expression(random, depth - 1, term);
    let right = expression(random, depth - 1, term);
    match random.below(6) {
        0 | 1 => format!("{left} and {right}"),
        2 => format!("({left}) or {right}"),
        3 => format!("{left} or {right}"),
        4 => format!("({left} or {right}) and not ({right})"),
        _ => format!("not ({left})"),
    }
}

fn comparison(random: &mut Random, path: &str, attribute: &Attribute) -> String {
    if random.once_in(7) {
        return format!("{path} pr");
    }
    let ordered = ["eq", "ne", "gt", "ge", "lt", "le"];
    let all = ["eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le"];
    let operator = match attribute.value_type {
        _ if random.once_in(30) => *random.one(&all),
        ValueType::Boolean => *random.one(&["eq", "ne"]),
        ValueType::Decimal | ValueType::Integer | ValueType::DateTime => *random.one(&ordered),
        _ => *random.one(&all),
    };
    // A complex attribute is compared by its value.
    let compared = match attribute.value_type {
        ValueType::Complex => attribute.sub("value").map_or(attribute, |value| value),
        _ => attribute,
    };
    format!("{path} {operator} {}", values::literal(random, compared))
}

/// Makes a comparison on a common attribute.
fn common(random: &mut Random, ids: &[String]) -> String {
    let operator = *random.one(&["eq", "ne", "gt", "ge", "lt", "le"]);
    match random.below(7) {
        0 => format!("meta.created {operator} \"{}\"", random.one(&values::TIMES)),
        1 => {
            let time = format!("2026-01-01T00:00:00.{:06}Z", random.below(600));
            format!("meta.lastModified {operator} \"{time}\"")
        }
        2 => format!(
            "meta.version {} {}",
            random.one(&["eq", "ne", "sw", "gt"]),
            random.one(&[
                "\"W/\\\"1\\\"\"",
                "\"W/\\\"2\\\"\"",
                "\"W/\\\"01\\\"\"",
                "\"1\"",
                "\"W/\"",
                "\"w/\\\"1\\\"\""
            ])
        ),
        3 => format!(
            "meta.resourceType {operator} \"{}\"",
            random.one(&["User", "user", "Thing1", "Group"])
        ),
        4 => format!(
            "externalId {} {}",
            random.one(&["eq", "ne", "co", "sw", "ew", "gt"]),
            values::quote(&values::text(random))
        ),
        5 => format!(
            "schemas {} \"{}\"",
            random.one(&["eq", "ne", "co", "sw"]),
            random.one(&["urn:example:params:scim:schemas:extension:0:Thing0", "urn:", "User"])
        ),
        _ if ids.is_empty() => "id pr".to_owned(),
        _ => {
            let id = random.one(ids).clone();
            let part: String =
                id.chars().take(if random.once_in(2) { id.len() } else { 3 }).collect();
            format!("id {} \"{part}\"", random.one(&["eq", "ne", "gt", "sw", "ew", "co", "le"]))
        }
    }
}
