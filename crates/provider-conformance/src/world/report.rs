//! What is printed when stores differ: the seed that repeats it, and the smallest question that shows it.

use std::sync::Arc;

use headcount_core::filter::{Filter, ParsedFilter, Syntax};
use headcount_core::message::SearchRequest;
use headcount_core::schema::ResourceType;
use serde_json::Value;

use super::{Answer, World};
use crate::print::printed;

/// Reports a change that came out differently.
pub(crate) fn change(world: &World, what: &str, outcomes: &[Result<String, String>]) {
    let mut text = format!("seed {}: stores differ after {what}\n", world.seed);
    for outcome in outcomes {
        text += &format!("  {outcome:?}\n");
    }
    tell(&text);
}

/// Reports forms of one PATCH that came out differently.
pub(crate) fn forms<T: std::fmt::Debug>(seed: u64, body: &Value, forms: &[Value], outcomes: &[T]) {
    let mut text = format!("seed {seed}: forms of one PATCH differ on {body}\n");
    for (form, outcome) in forms.iter().zip(outcomes) {
        text += &format!("  {form}\n    {outcome:?}\n");
    }
    tell(&text);
}

/// Reports a question that was answered differently, made as small as it goes.
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
        let own = |content: &&Value| content.to_string().contains(urn);
        for content in world.deployment.documents.iter().map(|file| &file.content).filter(own) {
            text += &format!("  {content}\n");
        }
    }
    tell(&text);
}

fn everywhere(resource: &str, answers: &[Answer]) -> bool {
    answers.iter().all(|answer| {
        answer.as_ref().is_ok_and(|(_, _, resources)| resources.iter().any(|one| one == resource))
    })
}

/// Leaves out whatever the difference does not need: parts of the filter, order, page, projection.
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
    let with = |change: &dyn Fn(&mut SearchRequest)| {
        let mut copy = request.clone();
        change(&mut copy);
        copy
    };
    let mut all = vec![
        with(&|copy| copy.filter = None),
        with(&|copy| (copy.sort_by, copy.sort_order) = (None, None)),
        with(&|copy| copy.sort_order = None),
        with(&|copy| (copy.cursor, copy.count, copy.start_index) = (None, None, None)),
        with(&|copy| (copy.attributes, copy.excluded_attributes) = (Vec::new(), Vec::new())),
    ];
    let syntax = Syntax { bare_words: true, loose_forms: true };
    if let Some(Ok((filter, _))) =
        request.filter.as_deref().map(|text| ParsedFilter::parse_with(text, syntax))
    {
        for part in parts(&filter) {
            all.push(with(&|copy| copy.filter = Some(printed(&part))));
        }
    }
    all
}

/// The filter without one of its parts, in every way.
fn parts(filter: &ParsedFilter) -> Vec<ParsedFilter> {
    let several = |terms: &[ParsedFilter], make: fn(Vec<ParsedFilter>) -> ParsedFilter| {
        let mut found = terms.to_vec();
        for (index, term) in terms.iter().enumerate() {
            for part in parts(term) {
                let mut copy = terms.to_vec();
                if let Some(slot) = copy.get_mut(index) {
                    *slot = part;
                }
                found.push(make(copy));
            }
        }
        found
    };
    match filter {
        Filter::And(terms) => several(terms, Filter::And),
        Filter::Or(terms) => several(terms, Filter::Or),
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

#[expect(clippy::print_stdout, reason = "whoever runs the tests reads it")]
fn tell(text: &str) {
    println!("{text}");
}
