//! Prints differences between stores: the seed that repeats one, and the smallest query that shows it.

use std::sync::Arc;

use headcount_core::filter::{Filter, ParsedFilter, Syntax};
use headcount_core::message::SearchRequest;
use headcount_core::schema::ResourceType;
use serde_json::Value;

use super::{Answer, World};
use crate::print::to_text;

/// Reports a change with different outcomes.
pub(crate) fn change(world: &World, what: &str, outcomes: &[Result<String, String>]) {
    let mut text = format!("seed {}: stores differ after {what}\n", world.seed);
    for outcome in outcomes {
        text += &format!("  {outcome:?}\n");
    }
    print(&text);
}

/// Reports forms of one PATCH with different outcomes.
pub(crate) fn forms<T: std::fmt::Debug>(seed: u64, body: &Value, forms: &[Value], outcomes: &[T]) {
    let mut text = format!("seed {seed}: forms of one PATCH differ on {body}\n");
    for (form, outcome) in forms.iter().zip(outcomes) {
        text += &format!("  {form}\n    {outcome:?}\n");
    }
    print(&text);
}

/// Reports a query with different replies, after reducing it.
pub(crate) fn question(world: &World, kinds: &[Arc<ResourceType>], request: &SearchRequest) {
    let request = smaller(world, kinds, request.clone());
    let answers = world.ask(kinds, &request);
    let names: Vec<_> = kinds.iter().map(|kind| kind.kind.as_str()).collect();
    let mut text = format!("seed {}: answers differ for {names:?} {request:?}\n", world.seed);
    for answer in &answers {
        match answer {
            Ok((total, _, resources)) => {
                text += &format!("  total {total}\n");
                for resource in resources.iter().filter(|one| !everywhere(one, &answers)) {
                    text += &format!("    {resource}\n");
                }
            }
            Err(error) => text += &format!("  {error}\n"),
        }
    }
    for kind in kinds {
        let indexed: Vec<_> = kind.indexed.iter().map(|indexed| &*indexed.path).collect();
        text += &format!("  {} is indexed by {indexed:?}\n", kind.kind);
        let urn = kind.schema.id.as_str();
        for file in &world.deployment.documents {
            if file.content.to_string().contains(urn) {
                text += &format!("  {}\n", file.content);
            }
        }
    }
    print(&text);
}

fn everywhere(resource: &str, answers: &[Answer]) -> bool {
    answers.iter().all(|answer| {
        answer.as_ref().is_ok_and(|(_, _, resources)| resources.iter().any(|one| one == resource))
    })
}

/// Removes what the difference does not need: parts of the filter, order, page, projection.
fn smaller(world: &World, kinds: &[Arc<ResourceType>], request: SearchRequest) -> SearchRequest {
    let mut best = request;
    loop {
        let next = candidates(&best).into_iter().find(|candidate| {
            let answers = world.ask(kinds, candidate);
            candidate != &best && answers.iter().any(|answer| Some(answer) != answers.first())
        });
        match next {
            Some(next) => best = next,
            None => return best,
        }
    }
}

fn candidates(request: &SearchRequest) -> Vec<SearchRequest> {
    let copy = request.clone();
    let mut all = vec![
        SearchRequest { filter: None, ..copy.clone() },
        SearchRequest { sort_by: None, sort_order: None, ..copy.clone() },
        SearchRequest { sort_order: None, ..copy.clone() },
        SearchRequest { cursor: None, count: None, start_index: None, ..copy.clone() },
        SearchRequest { attributes: Vec::new(), excluded_attributes: Vec::new(), ..copy.clone() },
    ];
    let syntax = Syntax { bare_words: true, loose_forms: true };
    if let Some(Ok((filter, _))) =
        request.filter.as_deref().map(|text| ParsedFilter::parse_with(text, syntax))
    {
        for part in parts(&filter) {
            all.push(SearchRequest { filter: Some(to_text(&part)), ..copy.clone() });
        }
    }
    all
}

/// Returns the filters that lack one part of this one.
fn parts(filter: &ParsedFilter) -> Vec<ParsedFilter> {
    match filter {
        Filter::And(terms) => parts_of_terms(terms, Filter::And),
        Filter::Or(terms) => parts_of_terms(terms, Filter::Or),
        Filter::Not(inner) => {
            let within = parts(inner).into_iter().map(|part| Filter::Not(Box::new(part)));
            std::iter::once((**inner).clone()).chain(within).collect()
        }
        Filter::Element(at, inner) => parts(inner)
            .into_iter()
            .map(|part| Filter::Element(at.clone(), Box::new(part)))
            .collect(),
        Filter::Present(_) | Filter::Compare(..) => Vec::new(),
    }
}

fn parts_of_terms(
    terms: &[ParsedFilter],
    join: fn(Vec<ParsedFilter>) -> ParsedFilter,
) -> Vec<ParsedFilter> {
    let mut found = terms.to_vec();
    for (index, term) in terms.iter().enumerate() {
        for part in parts(term) {
            let mut copy = terms.to_vec();
            if let Some(slot) = copy.get_mut(index) {
                *slot = part;
            }
            found.push(join(copy));
        }
    }
    found
}

#[expect(clippy::print_stdout, reason = "it is the output of a failing test")]
fn print(text: &str) {
    println!("{text}");
}
