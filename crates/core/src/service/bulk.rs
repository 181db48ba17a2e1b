//! Bulk (RFC 7644 §3.7) as one dependency graph.
//!
//! An operation waits for those that create what it names by `bulkId:…`, and for earlier ones on the
//! same resource. Whatever is ready goes to the provider in slices, so that a thousand operations are
//! a few commits. A circle of creations is cut: one of them is created without its references and
//! completed when the others are there.

mod plan;
mod references;
mod steps;
mod waiting;

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use self::plan::{Plan, Subject, Verb, in_data};
use super::{Caller, Precondition, Service};
use crate::error::{Error, excerpt};
use crate::ids::{ResourceId, Version};
use crate::message::{BulkOperation, BulkRequest, BulkResult};
use crate::provider::{Step, StepDone};
use crate::quirks::Applied;
use crate::schema::ResourceType;

/// Operations that go to the provider at once.
const SLICE: usize = 64;

/// Asks whether the caller may write resources of a kind.
pub type Permit<'a> = dyn Fn(&ResourceType) -> Result<(), Error> + 'a;

/// What a bulk request did.
#[derive(Debug)]
pub struct BulkDone {
    /// One result per operation that was processed, in the order of the request.
    pub results: Vec<BulkResult>,
    /// The repairs that the operations needed.
    pub applied: Applied,
}

/// How far an operation has come.
#[derive(Debug)]
enum State {
    Waiting,
    /// Created without the references that close a circle.
    Begun(ResourceId),
    Done(Result<Settled, Error>),
}

/// What an operation that succeeded did.
#[derive(Debug)]
struct Settled {
    status: u16,
    id: Option<ResourceId>,
    version: Option<Version>,
    changed: bool,
}

struct Run<'a> {
    service: &'a Service,
    caller: &'a Caller,
    operations: &'a [BulkOperation],
    plans: Vec<Option<Plan>>,
    states: Vec<State>,
    /// Which operation creates what a bulk id names.
    creators: HashMap<&'a str, usize>,
    ids: HashMap<String, ResourceId>,
    applied: Applied,
    /// Errors that may still happen before the rest is left undone.
    errors_left: Option<usize>,
}

impl Service {
    /// Carries out a bulk request.
    ///
    /// Each operation is atomic by itself; those that were done stay done when a later one fails.
    /// Without `failOnErrors` every operation is processed.
    pub fn bulk(&self, caller: &Caller, request: BulkRequest, permit: &Permit<'_>) -> BulkDone {
        let BulkRequest { mut operations, fail_on_errors } = request;
        // Thousands of bodies are not copied: each goes into its plan, and on into what it asks for.
        let bodies: Vec<Option<Value>> =
            operations.iter_mut().map(|operation| operation.data.take()).collect();
        let mut creators = HashMap::new();
        let mut plans = Vec::with_capacity(operations.len());
        let mut states = Vec::with_capacity(operations.len());
        for (index, (operation, body)) in operations.iter().zip(bodies).enumerate() {
            let planned = self.plan(operation, body, permit).and_then(|plan| {
                let Some(bulk_id) = operation.bulk_id.as_deref() else { return Ok(plan) };
                match (plan.verb, creators.contains_key(bulk_id)) {
                    (Verb::Create, false) => drop(creators.insert(bulk_id, index)),
                    (Verb::Create, true) => {
                        let name = excerpt(bulk_id);
                        return Err(Error::syntax(format!("the bulkId \"{name}\" stands twice")));
                    }
                    _ => {}
                }
                Ok(plan)
            });
            // A refused operation takes its turn like the others, so that failOnErrors counts it.
            let (plan, state) = match planned {
                Ok(plan) => (Some(plan), State::Waiting),
                Err(error) => {
                    if let (true, Some(bulk_id)) = (operation.is_post(), &operation.bulk_id) {
                        creators.entry(bulk_id).or_insert(index);
                    }
                    (None, State::Done(Err(error)))
                }
            };
            plans.push(plan);
            states.push(state);
        }
        let mut run = Run {
            service: self,
            caller,
            operations: &operations,
            plans,
            states,
            creators,
            ids: HashMap::new(),
            applied: Applied::default(),
            errors_left: fail_on_errors,
        };
        let processed = run.all();
        run.finish(processed)
    }
}

impl Run<'_> {
    /// Carries out operations until none is left or too many have failed; returns which ones were
    /// processed.
    fn all(&mut self) -> Vec<bool> {
        let mut processed = vec![false; self.operations.len()];
        loop {
            self.give_up_on_the_impossible();
            let (ready, refused) = self.ready(&processed);
            if let Some(index) = refused {
                mark(&mut processed, index);
                if self.one_more_error() {
                    return processed;
                }
                continue;
            }
            if ready.is_empty() {
                match self.circle() {
                    Some(index) => self.begin(index),
                    None => return processed,
                }
                continue;
            }
            for index in self.slice(&ready) {
                mark(&mut processed, index);
            }
            if self.errors_left == Some(0) {
                return processed;
            }
        }
    }

    /// Counts an error; true when it was the last one allowed.
    fn one_more_error(&mut self) -> bool {
        if let Some(left) = &mut self.errors_left {
            *left = left.saturating_sub(1);
        }
        self.errors_left == Some(0)
    }

    /// Fails operations that name what nobody creates, or what could not be created.
    fn give_up_on_the_impossible(&mut self) {
        // One that fails here can be what another one waits for.
        loop {
            let mut failed = Vec::new();
            for (index, plan) in self.plans.iter().enumerate() {
                let (Some(plan), Some(State::Waiting | State::Begun(_))) =
                    (plan, self.states.get(index))
                else {
                    continue;
                };
                if let Some(error) = plan.needs.iter().find_map(|id| self.impossible(id)) {
                    failed.push((index, error));
                }
            }
            if failed.is_empty() {
                return;
            }
            for (index, error) in failed {
                self.abandon(index, error);
            }
        }
    }

    fn impossible(&self, bulk_id: &str) -> Option<Error> {
        let name = excerpt(bulk_id);
        match self.creators.get(bulk_id).and_then(|index| self.states.get(*index)) {
            None => Some(Error::value(
                "",
                format!("no operation of this request creates the bulkId \"{name}\""),
            )),
            Some(State::Done(Err(_))) => Some(Error::Conflict(format!(
                "the operation that creates the bulkId \"{name}\" failed; correct it and send both again"
            ))),
            Some(_) => None,
        }
    }

    /// Fails an operation; what it has begun is taken back.
    fn abandon(&mut self, index: usize, error: Error) {
        let begun = match self.states.get(index) {
            Some(State::Begun(id)) => Some(id.clone()),
            _ => None,
        };
        if let (Some(id), Some(Some(plan))) = (begun, self.plans.get(index)) {
            let none = Precondition::default();
            // If even this fails, the resource stays without its references; the client is told
            // that the operation failed, finds the resource and repairs it.
            drop(self.service.delete(self.caller, &plan.kind, &id, &none));
        }
        if let Some(state) = self.states.get_mut(index) {
            *state = State::Done(Err(error));
        }
    }

    /// Returns the operations that wait for nothing, in order, up to the first refused one; that one
    /// when it stands before all of them.
    fn ready(&self, processed: &[bool]) -> (Vec<usize>, Option<usize>) {
        let mut ready = Vec::new();
        let mut busy: HashSet<ResourceId> = HashSet::new();
        for (index, state) in self.states.iter().enumerate() {
            let done = processed.get(index) == Some(&true);
            match (state, self.plans.get(index)) {
                (State::Done(Err(_)), _) if !done => {
                    if ready.is_empty() {
                        return (ready, Some(index));
                    }
                    if self.errors_left.is_some() {
                        return (ready, None);
                    }
                }
                (State::Waiting | State::Begun(_), Some(Some(plan))) => {
                    let known = plan.needs.iter().all(|id| self.has(id, index));
                    let subject = self.subject(plan);
                    let first = subject.as_ref().is_none_or(|id| !busy.contains(id));
                    if known && first {
                        ready.push(index);
                        if ready.len() == SLICE {
                            break;
                        }
                        continue;
                    }
                    busy.extend(subject);
                    // With failOnErrors nothing overtakes an operation that waits but what it
                    // waits for: whatever stands behind an error must be left undone.
                    if self.errors_left.is_some() {
                        if ready.is_empty() {
                            ready.extend(self.awaited(index, &mut HashSet::new()));
                        }
                        break;
                    }
                }
                _ => {}
            }
        }
        (ready, None)
    }

    fn subject(&self, plan: &Plan) -> Option<ResourceId> {
        match &plan.subject {
            Subject::New => None,
            Subject::Id(id) => Some(id.clone()),
            Subject::BulkId(id) => self.ids.get(id).cloned(),
        }
    }

    /// Creates a resource without the references that nobody can give yet.
    fn begin(&mut self, index: usize) {
        let Some(Some(plan)) = self.plans.get(index) else { return };
        let missing: Vec<&str> = plan
            .needs
            .iter()
            .filter(|id| !self.ids.contains_key(*id))
            .map(String::as_str)
            .collect();
        let data = self.filled(plan, references::without(&plan.kind, &plan.data, &missing));
        let created = self
            .service
            .prepare_create(self.caller, &plan.kind, data, &mut self.applied)
            .and_then(|(draft, _)| {
                let mut steps = [Step::Insert(&draft)];
                self.service.provider.batch(self.caller.tenant, &mut steps, None).remove(0)
            });
        let state = match created {
            Ok(StepDone::Stored(resource) | StepDone::Kept(resource)) => State::Begun(resource.id),
            Ok(StepDone::Deleted) => State::Done(Err(Error::internal("an insert inserts"))),
            Err(error) => State::Done(Err(error)),
        };
        if let (State::Begun(id), Some(operation)) = (&state, self.operations.get(index))
            && let Some(bulk_id) = &operation.bulk_id
        {
            self.ids.insert(bulk_id.clone(), id.clone());
        }
        if let Some(slot) = self.states.get_mut(index) {
            *slot = state;
        }
    }

    /// Returns the body of an operation that is carried out now.
    fn body(&mut self, index: usize) -> Value {
        // With failOnErrors an operation may have to take its turn again.
        let once = self.errors_left.is_none();
        if let Some(Some(plan)) = self.plans.get_mut(index)
            && once
            && plan.needs.is_empty()
        {
            return std::mem::take(&mut plan.data);
        }
        let plan = self.plans.get(index).and_then(Option::as_ref);
        plan.map_or(Value::Null, |plan| self.filled(plan, plan.data.clone()))
    }

    /// Puts real ids in the place of bulk ids.
    fn filled(&self, plan: &Plan, mut data: Value) -> Value {
        if plan.needs.is_empty() {
            return data;
        }
        in_data(&plan.kind, plan.verb, &mut data, &mut |text| {
            if let Some(id) = references::bulk_id(text).and_then(|id| self.ids.get(id)) {
                *text = id.to_string();
            }
        });
        data
    }

    /// Carries out operations that are ready; returns those that were processed.
    fn slice(&mut self, ready: &[usize]) -> Vec<usize> {
        let mut repairs = vec![Applied::default(); ready.len()];
        let mut early = Vec::new();
        let bodies: Vec<Value> = ready.iter().map(|index| self.body(*index)).collect();
        let (mut prepared, mut turns) = (Vec::new(), Vec::new());
        for ((index, data), applied) in ready.iter().copied().zip(bodies).zip(&mut repairs) {
            match self.prepare(index, data, applied) {
                Ok(one) => {
                    prepared.push(one);
                    turns.push(index);
                }
                // With failOnErrors, its turn comes when those before it have been counted.
                Err(_) if self.errors_left.is_some() && !turns.is_empty() => break,
                Err(error) => {
                    early.push((index, error));
                    if self.errors_left.is_some() {
                        break;
                    }
                }
            }
        }
        let results = self.carry_out(&mut prepared);
        drop(prepared);
        for applied in repairs {
            self.applied.merge(applied);
        }
        let done = turns.into_iter().zip(results);
        let done: Vec<_> =
            done.chain(early.into_iter().map(|(index, error)| (index, Err(error)))).collect();
        done.into_iter().map(|(index, result)| self.settle(index, result)).collect()
    }

    /// Notes what became of an operation.
    fn settle(&mut self, index: usize, result: Result<StepDone, Error>) -> usize {
        let plan = self.plans.get(index).and_then(Option::as_ref);
        let operation = self.operations.get(index);
        let (Some(plan), Some(operation)) = (plan, operation) else { return index };
        let subject = self.subject(plan);
        let kept = matches!(result, Ok(StepDone::Kept(_)));
        let result = match result {
            Ok(StepDone::Stored(resource) | StepDone::Kept(resource)) => {
                if let (Verb::Create, Some(bulk_id)) = (plan.verb, &operation.bulk_id) {
                    self.ids.insert(bulk_id.clone(), resource.id.clone());
                }
                let created = plan.verb == Verb::Create;
                Ok(Settled {
                    status: if created { 201 } else { 200 },
                    id: Some(resource.id),
                    version: Some(resource.version),
                    changed: created || !kept,
                })
            }
            Ok(StepDone::Deleted) => {
                Ok(Settled { status: 204, id: subject, version: None, changed: true })
            }
            Err(error) => Err(match &subject {
                Some(id) => self.service.name_missing(&plan.kind, id, error),
                None => error,
            }),
        };
        match result {
            Ok(done) => {
                if let Some(state) = self.states.get_mut(index) {
                    *state = State::Done(Ok(done));
                }
            }
            Err(error) => {
                self.abandon(index, error);
                self.one_more_error();
            }
        }
        index
    }

    /// Takes back what was begun and not completed, and lists the results.
    fn finish(mut self, processed: Vec<bool>) -> BulkDone {
        let begun: Vec<usize> = self
            .states
            .iter()
            .enumerate()
            .filter(|(_, state)| matches!(state, State::Begun(_)))
            .map(|(index, _)| index)
            .collect();
        for index in begun {
            self.abandon(index, Error::internal("an unfinished operation is not reported"));
        }
        let Self { operations, plans, states, ids, applied, .. } = self;
        let mut results = Vec::with_capacity(operations.len());
        for (((operation, plan), state), processed) in
            operations.iter().zip(plans).zip(states).zip(processed)
        {
            let State::Done(outcome) = state else { continue };
            if !processed {
                continue;
            }
            let target = plan.as_ref().and_then(|plan| {
                let id = match (&plan.subject, &outcome) {
                    (_, Ok(Settled { id: Some(id), .. })) => id.clone(),
                    (Subject::Id(id), _) => id.clone(),
                    (Subject::BulkId(id), _) => ids.get(id)?.clone(),
                    (Subject::New, _) => return None,
                };
                Some(format!("{}/{id}", plan.kind.endpoint))
            });
            let is_post = operation.is_post();
            let as_sent = || operation.path.starts_with('/').then(|| operation.path.clone());
            let location = target.or_else(|| if is_post { None } else { as_sent() });
            results.push(BulkResult {
                method: operation.method.clone(),
                bulk_id: operation.bulk_id.clone(),
                location,
                version: outcome.as_ref().ok().and_then(|settled| settled.version),
                changed: outcome.as_ref().is_ok_and(|settled| settled.changed),
                outcome: outcome.map(|settled| settled.status),
            });
        }
        BulkDone { results, applied }
    }
}

fn mark(processed: &mut [bool], index: usize) {
    if let Some(slot) = processed.get_mut(index) {
        *slot = true;
    }
}
