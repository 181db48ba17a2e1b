//! The operations of a slice as steps of the provider, and those that leave its lane.

use serde_json::Value;

use super::Run;
use super::plan::{Subject, Verb};
use crate::error::Error;
use crate::ids::{Kind, ResourceId};
use crate::provider::{CheckFn, Draft, Step, StepDone, With};
use crate::quirks::Applied;
use crate::service::lane::{Compute, Lane};
use crate::service::{Caller, Service};
use crate::work::VISIT;

use super::State;

/// An operation that the provider can carry out.
pub(super) enum Prepared<'a> {
    Insert(Box<Draft>),
    Update(&'a Kind, ResourceId, Box<Compute<'a>>, Lane<'a>),
    Delete(&'a Kind, ResourceId, Box<CheckFn<'a>>),
}

impl Prepared<'_> {
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

    /// Returns what the operation came to, once one that has left the lane is carried out on a copy.
    fn outcome(
        &mut self,
        service: &Service,
        caller: &Caller,
        done: Result<StepDone, Error>,
    ) -> Result<StepDone, Error> {
        match self {
            Self::Update(kind, id, change, lane) if lane.was_left() => service
                .update_on_copy(caller, kind, id, With::Nothing, &mut **change)
                .map(|updated| StepDone::Stored(updated.found.resource)),
            Self::Insert(_) | Self::Update(..) | Self::Delete(..) => done,
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
        caller.work.spend(VISIT)?;
        let update = |id, change| Prepared::Update(&kind.kind, id, change, Lane::new(&caller.work));
        if let Some(State::Begun(id)) = self.states.get(index) {
            let (change, _) =
                service.prepare_replace(caller, kind, data, &plan.precondition, applied)?;
            return Ok(update(id.clone(), change));
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
        let refuse = |error| service.refuse(caller, kind, &id, &plan.precondition, error);
        Ok(match plan.verb {
            Verb::Create | Verb::Replace => {
                let change =
                    service.prepare_replace(caller, kind, data, &plan.precondition, applied);
                update(id.clone(), change.map_err(refuse)?.0)
            }
            Verb::Patch => {
                let change =
                    service.prepare_patch(caller, kind, &id, data, &plan.precondition, applied);
                update(id.clone(), change.map_err(refuse)?.0)
            }
            Verb::Delete => {
                let check = service.prepare_delete(caller, kind, &plan.precondition);
                Prepared::Delete(&kind.kind, id, check)
            }
        })
    }

    /// Carries out prepared operations in order, until as many have failed as may; returns the results
    /// of those that were carried out.
    ///
    /// The provider stops at an operation that leaves the lane: what follows it comes after it.
    pub(super) fn carry_out(&self, mut rest: &mut [Prepared<'_>]) -> Vec<Result<StepDone, Error>> {
        let (service, caller) = (self.service, self.caller);
        let mut results = Vec::with_capacity(rest.len());
        while !rest.is_empty() {
            let failed = results.iter().filter(|result: &&Result<_, _>| result.is_err()).count();
            let failures = self.errors_left.map(|left| left.saturating_sub(failed));
            if failures == Some(0) {
                break;
            }
            let done = match caller.work.spend(0) {
                Ok(()) => {
                    let mut steps: Vec<_> = rest.iter_mut().map(Prepared::step).collect();
                    service.provider.batch(caller.tenant, &mut steps, failures)
                }
                Err(halt) => vec![Err(halt.into())],
            };
            if done.is_empty() {
                break;
            }
            let (ran, behind) =
                std::mem::take(&mut rest).split_at_mut_checked(done.len()).unwrap_or_default();
            let outcomes = ran.iter_mut().zip(done);
            results.extend(outcomes.map(|(one, done)| one.outcome(service, caller, done)));
            rest = behind;
        }
        results
    }
}
