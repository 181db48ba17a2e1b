//! Bulk (RFC 7644 §3.7) as one dependency graph.
//!
//! An operation waits for those that create what it names by `bulkId:…`, and for earlier ones on the same
//! resource. Operations that are ready go to the provider in batches, so that a thousand of them are a few
//! commits. A circle of creations is cut: one resource is created without its references, and completed
//! after the others.

mod plan;
mod references;
mod steps;
mod waiting;

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use self::plan::{Action, Plan, Subject, in_data};
use super::{Caller, Edit, Service};
use crate::error::{Error, excerpt};
use crate::ids::{ResourceId, Version};
use crate::message::{BulkOperation, BulkRequest, BulkResult};
use crate::provider::{Step, StepDone};
use crate::quirks::Applied;
use crate::schema::ResourceType;

/// Operations that go to the provider at once.
const OPERATION_BATCH: usize = 64;

/// A function that checks whether the caller may write resources of a kind.
pub type Permit<'a> = dyn Fn(&ResourceType) -> Result<(), Error> + 'a;

/// The outcome of a bulk request.
#[derive(Debug)]
pub struct BulkDone {
    /// One result per operation that was processed, in the order of the request.
    pub results: Vec<BulkResult>,
    /// The repairs that the operations needed.
    pub applied: Applied,
}

/// The progress of an operation.
#[derive(Debug)]
enum State {
    Waiting,
    /// Created without the references that close a circle.
    Begun(ResourceId),
    Done(Result<Effect, Error>),
}

/// The effect of an operation that succeeded.
#[derive(Debug)]
struct Effect {
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
    /// The operation that creates the resource of each bulk id.
    creators: HashMap<&'a str, usize>,
    ids: HashMap<String, ResourceId>,
    applied: Applied,
    /// The number of errors after which the remaining operations are not run.
    errors_left: Option<usize>,
}

impl Service {
    /// Runs a bulk request.
    ///
    /// Each operation is atomic; a later failure does not undo it. Without `failOnErrors` every operation is
    /// processed.
    pub fn bulk(&self, caller: &Caller, request: BulkRequest, permit: &Permit<'_>) -> BulkDone {
        let BulkRequest { mut operations, fail_on_errors } = request;
        // Bodies are moved into the plans and from there into drafts, since there may be thousands.
        let bodies: Vec<Option<Value>> =
            operations.iter_mut().map(|operation| operation.data.take()).collect();
        let mut creators = HashMap::new();
        let mut plans = Vec::with_capacity(operations.len());
        let mut states = Vec::with_capacity(operations.len());
        for (index, (operation, body)) in operations.iter().zip(bodies).enumerate() {
            let planned = self.plan(operation, body, permit).and_then(|plan| {
                let Some(bulk_id) = operation.bulk_id.as_deref() else { return Ok(plan) };
                match (plan.action, creators.contains_key(bulk_id)) {
                    (Action::Create, false) => drop(creators.insert(bulk_id, index)),
                    (Action::Create, true) => {
                        let name = excerpt(bulk_id);
                        return Err(Error::syntax(format!("the bulkId \"{name}\" is used twice")));
                    }
                    _ => {}
                }
                Ok(plan)
            });
            // A refused operation waits for its turn like the others, so that failOnErrors counts it.
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
    /// Runs operations until none is left or too many have failed, and returns which ones were processed.
    fn all(&mut self) -> Vec<bool> {
        let mut processed = vec![false; self.operations.len()];
        loop {
            self.fail_impossible();
            let (ready, refused) = self.ready(&processed);
            if let Some(index) = refused {
                mark(&mut processed, index);
                if self.count_error() {
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
            for index in self.run_batch(&ready) {
                mark(&mut processed, index);
            }
            if self.errors_left == Some(0) {
                return processed;
            }
        }
    }

    /// Counts an error, and returns whether it was the last one allowed.
    fn count_error(&mut self) -> bool {
        if let Some(left) = &mut self.errors_left {
            *left = left.saturating_sub(1);
        }
        self.errors_left == Some(0)
    }

    /// Fails operations that name a resource that no operation creates, or whose creation failed.
    fn fail_impossible(&mut self) {
        // Other operations may wait for one that fails here.
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
            None => Some(Error::message_value(format!(
                "no operation of this request creates the bulkId \"{name}\""
            ))),
            Some(State::Done(Err(_))) => Some(Error::Conflict(format!(
                "the operation that creates the bulkId \"{name}\" failed; correct it and send both again"
            ))),
            Some(_) => None,
        }
    }

    /// Fails an operation, and deletes the resource that it has begun.
    fn abandon(&mut self, index: usize, error: Error) {
        let begun = match self.states.get(index) {
            Some(State::Begun(id)) => Some(id.clone()),
            _ => None,
        };
        if let (Some(id), Some(Some(plan))) = (begun, self.plans.get(index)) {
            let edit = Edit::unconditional(self.caller, &plan.kind);
            // If even this fails, the resource stays without its references. The client learns that the
            // operation failed, finds the resource and repairs it.
            drop(self.service.delete(edit, &id));
        }
        if let Some(state) = self.states.get_mut(index) {
            *state = State::Done(Err(error));
        }
    }

    /// Returns the operations that are ready, in order, up to the first refused one; or only that one, if it
    /// is before all of them.
    fn ready(&self, processed: &[bool]) -> (Vec<usize>, Option<usize>) {
        let mut ready = Vec::new();
        let mut busy: HashSet<ResourceId> = HashSet::new();
        for (index, state) in self.states.iter().enumerate() {
            let is_processed = processed.get(index) == Some(&true);
            match (state, self.plans.get(index)) {
                (State::Done(Err(_)), _) if !is_processed => {
                    if ready.is_empty() {
                        return (ready, Some(index));
                    }
                    if self.errors_left.is_some() {
                        return (ready, None);
                    }
                }
                (State::Waiting | State::Begun(_), Some(Some(plan))) => {
                    let available = plan.needs.iter().all(|id| self.is_available(id, index));
                    let subject = self.subject(plan);
                    let first = subject.as_ref().is_none_or(|id| !busy.contains(id));
                    if available && first {
                        ready.push(index);
                        if ready.len() == OPERATION_BATCH {
                            break;
                        }
                        continue;
                    }
                    busy.extend(subject);
                    // With failOnErrors only the operations that a waiting one depends on overtake it:
                    // nothing after an error may run.
                    if self.errors_left.is_some() {
                        if ready.is_empty() {
                            ready.extend(self.find_blocker(index, &mut HashSet::new()));
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

    /// Creates a resource without the references to resources that do not exist yet.
    fn begin(&mut self, index: usize) {
        let Some(Some(plan)) = self.plans.get(index) else { return };
        let missing: Vec<&str> = plan
            .needs
            .iter()
            .filter(|id| !self.ids.contains_key(*id))
            .map(String::as_str)
            .collect();
        let data = self.fill_in(plan, references::without(&plan.kind, &plan.data, &missing));
        let created = self
            .service
            .prepare_create(self.caller, &plan.kind, data, &mut self.applied)
            .and_then(|(draft, _)| {
                let mut steps = [Step::Insert(&draft)];
                self.service.provider.batch(self.caller.tenant, &mut steps, None).remove(0)
            });
        let state = match created {
            Ok(StepDone::Stored(resource) | StepDone::Kept(resource)) => State::Begun(resource.id),
            Ok(StepDone::Deleted) => {
                State::Done(Err(Error::internal("an insert stores a resource")))
            }
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

    /// Returns the body of an operation that is run now.
    fn body(&mut self, index: usize) -> Value {
        // With failOnErrors an operation may be prepared more than once.
        let once = self.errors_left.is_none();
        if let Some(Some(plan)) = self.plans.get_mut(index)
            && once
            && plan.needs.is_empty()
        {
            return std::mem::take(&mut plan.data);
        }
        let plan = self.plans.get(index).and_then(Option::as_ref);
        plan.map_or(Value::Null, |plan| self.fill_in(plan, plan.data.clone()))
    }

    /// Replaces bulk ids by ids.
    fn fill_in(&self, plan: &Plan, mut data: Value) -> Value {
        if plan.needs.is_empty() {
            return data;
        }
        in_data(&plan.kind, plan.action, &mut data, &mut |text| {
            if let Some(id) = references::bulk_id(text).and_then(|id| self.ids.get(id)) {
                *text = id.to_string();
            }
        });
        data
    }

    /// Runs operations that are ready, and returns those that were processed.
    fn run_batch(&mut self, ready: &[usize]) -> Vec<usize> {
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
                // With failOnErrors, the operations before it are run and counted first.
                Err(_) if self.errors_left.is_some() && !turns.is_empty() => break,
                Err(error) => {
                    early.push((index, error));
                    if self.errors_left.is_some() {
                        break;
                    }
                }
            }
        }
        let results = self.run_prepared(&mut prepared);
        drop(prepared);
        for applied in repairs {
            self.applied.merge(applied);
        }
        let early = early.into_iter().map(|(index, error)| (index, Err(error)));
        let processed: Vec<_> = turns.into_iter().zip(results).chain(early).collect();
        processed.into_iter().map(|(index, result)| self.settle(index, result)).collect()
    }

    /// Stores the outcome of an operation.
    fn settle(&mut self, index: usize, result: Result<StepDone, Error>) -> usize {
        let plan = self.plans.get(index).and_then(Option::as_ref);
        let operation = self.operations.get(index);
        let (Some(plan), Some(operation)) = (plan, operation) else { return index };
        let subject = self.subject(plan);
        let kept = matches!(result, Ok(StepDone::Kept(_)));
        let result = match result {
            Ok(StepDone::Stored(resource) | StepDone::Kept(resource)) => {
                if let (Action::Create, Some(bulk_id)) = (plan.action, &operation.bulk_id) {
                    self.ids.insert(bulk_id.clone(), resource.id.clone());
                }
                let created = plan.action == Action::Create;
                Ok(Effect {
                    status: if created { 201 } else { 200 },
                    id: Some(resource.id),
                    version: Some(resource.version),
                    changed: created || !kept,
                })
            }
            Ok(StepDone::Deleted) => {
                Ok(Effect { status: 204, id: subject, version: None, changed: true })
            }
            Err(error) => Err(match &subject {
                Some(id) => self.service.name_missing(&plan.kind, id, error),
                None => error,
            }),
        };
        match result {
            Ok(effect) => {
                if let Some(state) = self.states.get_mut(index) {
                    *state = State::Done(Ok(effect));
                }
            }
            Err(error) => {
                self.abandon(index, error);
                self.count_error();
            }
        }
        index
    }

    /// Deletes resources that were begun and not completed, and returns the results.
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
                    (_, Ok(Effect { id: Some(id), .. })) => id.clone(),
                    (Subject::Id(id), _) => id.clone(),
                    (Subject::BulkId(id), _) => ids.get(id)?.clone(),
                    (Subject::New, _) => return None,
                };
                Some(format!("{}/{id}", plan.kind.endpoint))
            });
            // A refused operation is located by its path, unless it should have created a resource.
            let has_path = !operation.is_post() && operation.path.starts_with('/');
            let location = target.or_else(|| has_path.then(|| operation.path.clone()));
            results.push(BulkResult {
                method: operation.method.clone(),
                bulk_id: operation.bulk_id.clone(),
                location,
                version: outcome.as_ref().ok().and_then(|effect| effect.version),
                changed: outcome.as_ref().is_ok_and(|effect| effect.changed),
                outcome: outcome.map(|effect| effect.status),
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
