//! Runs the operations of a batch as steps of the provider, and those that leave its lane on a copy.

use serde_json::Value;

use super::Run;
use super::plan::{Action, Subject};
use crate::error::Error;
use crate::ids::{Kind, ResourceId};
use crate::provider::{CheckFn, Draft, Step, StepDone, With};
use crate::quirks::Applied;
use crate::service::lane::{Compute, Lane};
use crate::service::{Caller, Edit, Service};
use crate::work::{VISIT, Work};

use super::State;

/// An operation that the provider can run.
pub(super) enum Prepared<'a> {
    Insert(Box<Draft>),
    Update(&'a Kind, ResourceId, Box<Compute<'a>>, Lane<'a>),
    Delete(&'a Kind, ResourceId, Box<CheckFn<'a>>),
}

impl<'a> Prepared<'a> {
    fn update(kind: &'a Kind, id: ResourceId, change: Box<Compute<'a>>, work: &'a Work) -> Self {
        Self::Update(kind, id, change, Lane::new(work))
    }

    fn step(&mut self) -> Step<'_> {
        match self {
            Self::Insert(draft) => Step::Insert(draft),
            Self::Update(kind, id, change, lane) => Step::Update(
                kind,
                id.clone(),
                Box::new(move |current| lane.run(&mut **change, current)),
            ),
            Self::Delete(kind, id, check) => {
                Step::Delete(kind, id.clone(), Box::new(move |resource| check(resource)))
            }
        }
    }

    /// Returns the outcome of the operation, after running it on a copy if it has left the lane.
    fn outcome(
        &mut self,
        service: &Service,
        caller: &Caller,
        result: Result<StepDone, Error>,
    ) -> Result<StepDone, Error> {
        match self {
            Self::Update(kind, id, change, lane) if lane.was_left() => service
                .update_on_copy(caller, kind, id, With::Nothing, &mut **change)
                .map(|updated| StepDone::Stored(updated.found.resource)),
            Self::Insert(_) | Self::Update(..) | Self::Delete(..) => result,
        }
    }
}

impl Run<'_> {
    /// Prepares an operation whose turn it is.
    pub(super) fn prepare<'s>(
        &'s self,
        index: usize,
        data: Value,
        applied: &'s mut Applied,
    ) -> Result<Prepared<'s>, Error> {
        let plan = self.plans.get(index).and_then(Option::as_ref);
        let plan = plan.ok_or_else(|| Error::internal("an operation that is ready has a plan"))?;
        let (service, caller, kind) = (self.service, self.caller, &*plan.kind);
        let edit = Edit { caller, kind, precondition: &plan.precondition };
        caller.work.spend(VISIT)?;
        if let Some(State::Begun(id)) = self.states.get(index) {
            let (change, _) = service.prepare_replace(edit, data, applied)?;
            return Ok(Prepared::update(&kind.kind, id.clone(), change, &caller.work));
        }
        let id = match (&plan.subject, self.subject(plan)) {
            (Subject::New, _) => {
                let (draft, _) = service.prepare_create(caller, kind, data, applied)?;
                return Ok(Prepared::Insert(Box::new(draft)));
            }
            (_, Some(id)) => id,
            (_, None) => return Err(Error::internal("an operation that is ready has its subject")),
        };
        service.check_id(kind, &id)?;
        let change = match plan.action {
            Action::Create | Action::Replace => service.prepare_replace(edit, data, applied),
            Action::Patch => service.prepare_patch(edit, &id, data, applied),
            Action::Delete => {
                let check = service.prepare_delete(edit);
                return Ok(Prepared::Delete(&kind.kind, id, check));
            }
        };
        match change {
            Ok((change, _)) => Ok(Prepared::update(&kind.kind, id, change, &caller.work)),
            Err(error) => Err(service.refuse(edit, &id, error)),
        }
    }

    /// Runs prepared operations in order, until the allowed number has failed, and returns the results of
    /// those that were run.
    ///
    /// The provider stops at an operation that leaves the lane. That one is run on a copy before the
    /// operations after it.
    pub(super) fn run_prepared(
        &self,
        mut rest: &mut [Prepared<'_>],
    ) -> Vec<Result<StepDone, Error>> {
        let (service, caller) = (self.service, self.caller);
        let mut results = Vec::with_capacity(rest.len());
        while !rest.is_empty() {
            let failed = results.iter().filter(|result: &&Result<_, _>| result.is_err()).count();
            let failures = self.errors_left.map(|left| left.saturating_sub(failed));
            if failures == Some(0) {
                break;
            }
            let step_results = match caller.work.spend(0) {
                Ok(()) => {
                    let mut steps: Vec<_> = rest.iter_mut().map(Prepared::step).collect();
                    service.provider.batch(caller.tenant, &mut steps, failures)
                }
                Err(halt) => vec![Err(halt.into())],
            };
            if step_results.is_empty() {
                break;
            }
            let count = step_results.len();
            let (ran, tail) =
                std::mem::take(&mut rest).split_at_mut_checked(count).unwrap_or_default();
            let outcomes = ran.iter_mut().zip(step_results);
            results.extend(outcomes.map(|(one, result)| one.outcome(service, caller, result)));
            rest = tail;
        }
        results
    }
}
