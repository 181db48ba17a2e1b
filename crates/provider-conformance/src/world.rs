//! One random deployment in several stores at once: the same schemas, resources, changes and queries.
//!
//! The first store is the memory provider, whose replies are those of the evaluator.

mod report;

use std::sync::Arc;

use headcount_core::error::Error;
use headcount_core::ids::{ResourceId, TenantId};
use headcount_core::memory::MemoryProvider;
use headcount_core::message::SearchRequest;
use headcount_core::resource::Reply;
use headcount_core::schema::{Registry, ResourceType};
use headcount_core::service::{Edit, Listing, Shape};
use serde_json::{Value, json};

use crate::Subject;
use crate::bench::{Bench, GROUP, USER};
use crate::random::questions::Questions;
use crate::random::schemas::Deployment;
use crate::random::{Random, patches, values};

/// Sets a store up, empty, for the kinds of a registry.
pub type Setup<'a> = &'a (dyn Fn(&Registry) -> Subject + Sync);

/// Resources of each kind that a world begins with.
const RESOURCES: usize = 24;
/// The number of steps per change.
const CHANGES: usize = 40;

/// The counts of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Queries that were compared.
    pub pairs: usize,
    /// Queries that found some resources but not all.
    pub telling: usize,
    /// Changes that were compared, whether they were made or refused.
    pub changes: usize,
    /// Changes that were made.
    pub made: usize,
    /// PATCH requests that were compared in three forms and carried out.
    pub forms: usize,
    /// Answers that differed.
    pub differences: usize,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.pairs += other.pairs;
        self.telling += other.telling;
        self.changes += other.changes;
        self.made += other.made;
        self.forms += other.forms;
        self.differences += other.differences;
    }
}

/// A provider in memory with two tenants.
pub fn memory() -> Subject {
    let provider = Arc::new(MemoryProvider::default());
    Subject {
        provider: provider.clone(),
        feed: provider,
        tenants: [TenantId::new(1), TenantId::new(2)],
        guard: Box::new(()),
    }
}

/// A random deployment in several stores.
pub struct World {
    pub(crate) seed: u64,
    pub(crate) deployment: Deployment,
    pub(crate) benches: Vec<Bench>,
    registry: Arc<Registry>,
    kinds: Vec<Populated>,
    random: Random,
    tally: Tally,
}

/// A kind, the ids of its resources, and its queries.
struct Populated {
    kind: Arc<ResourceType>,
    ids: Vec<String>,
    questions: Questions,
}

/// The reply to a query in a form that can be compared: total, whether a cursor follows, resources as sent.
pub(crate) type Answer = Result<(u64, bool, Vec<String>), String>;

impl World {
    /// Makes a random deployment and fills it.
    ///
    /// # Panics
    ///
    /// When the deployment cannot be loaded, which is a fault of the generator.
    pub fn new(seed: u64, stores: &[Setup<'_>]) -> Self {
        let mut random = Random::new(seed);
        let deployment = Deployment::new(&mut random);
        let loaded = deployment.registry();
        let registry = Arc::new(loaded.unwrap_or_else(|error| panic!("seed {seed}: {error}")));
        let mut benches = vec![Bench::over(memory(), Arc::clone(&registry))];
        benches.extend(
            stores.iter().map(|setup| Bench::over(setup(&registry), Arc::clone(&registry))),
        );
        let kinds = registry.kinds().iter().map(|kind| Populated {
            kind: Arc::clone(kind),
            ids: Vec::new(),
            questions: Questions::of(kind),
        });
        let kinds = kinds.collect();
        let mut world =
            Self { seed, deployment, benches, registry, kinds, random, tally: Tally::default() };
        for number in 0..RESOURCES * world.kinds.len() {
            if world.tally.differences == 0 {
                world.create(number % world.kinds.len());
            }
        }
        world
    }

    /// Runs queries and changes until this many pairs are compared. Prints the first difference and ends,
    /// since later ones usually follow from it.
    pub fn run(mut self, pairs: usize) -> Tally {
        while self.tally.pairs < pairs && self.tally.differences == 0 {
            if self.random.once_in(CHANGES) {
                self.change();
            }
            if self.random.once_in(20) {
                self.forms();
            }
            self.question();
        }
        self.tally
    }

    fn body(&mut self, index: usize) -> Option<Value> {
        let kind = Arc::clone(&self.kinds.get(index)?.kind);
        let mut body = values::body(&mut self.random, &kind);
        let number = self.tally.changes;
        if let Some(map) = body.as_object_mut() {
            match kind.kind.as_str() {
                // Most names are unique, so that most users are created.
                USER => {
                    let name = format!("{}{number}", values::text(&mut self.random));
                    map.insert("userName".to_owned(), name.into());
                }
                GROUP => {
                    let name = format!("{}{number}", values::text(&mut self.random));
                    map.insert("displayName".to_owned(), name.into());
                    let people = self.people();
                    let members = (0..self.random.below(4)).filter(|_| !people.is_empty());
                    let members: Vec<Value> =
                        members.map(|_| json!({"value": self.random.one(&people)})).collect();
                    map.insert("members".to_owned(), members.into());
                }
                _ => {}
            }
            map.insert("schemas".to_owned(), json!([kind.schema.id.as_str()]));
        }
        Some(body)
    }

    /// Returns the ids of users and groups.
    fn people(&self) -> Vec<String> {
        let people = self.kinds.iter().filter(|one| matches!(one.kind.kind.as_str(), USER | GROUP));
        people.flat_map(|one| one.ids.iter().cloned()).collect()
    }

    fn create(&mut self, index: usize) {
        let (Some(body), Some(populated)) = (self.body(index), self.kinds.get(index)) else {
            return;
        };
        let kind = Arc::clone(&populated.kind);
        let created = self.run_everywhere(&format!("POST {} {body}", kind.kind), |bench| {
            let written =
                bench.service.create(&bench.caller(0), &kind, body.clone(), &Shape::default())?;
            Ok(written.found.resource.id.to_string()
                + " "
                + &render(bench, &kind, &written.found, &written.projection)?)
        });
        if let (Some(id), Some(populated)) = (created, self.kinds.get_mut(index)) {
            populated.ids.extend(id.split(' ').next().map(str::to_owned));
        }
    }

    /// Makes one random change in all stores.
    fn change(&mut self) {
        let index = self.random.below(self.kinds.len());
        let people = self.people();
        let Some(populated) = self.kinds.get(index).filter(|populated| !populated.ids.is_empty())
        else {
            return self.create(index);
        };
        let kind = Arc::clone(&populated.kind);
        let id = self.random.one(&populated.ids).clone();
        let caller_id = ResourceId::new(id.as_str());
        match self.random.below(8) {
            0 => self.create(index),
            1 => {
                let deleted = self.run_everywhere(&format!("DELETE {id}"), |bench| {
                    let caller = bench.caller(0);
                    let edit = Edit::unconditional(&caller, &kind);
                    bench.service.delete(edit, &caller_id).map(|_names| String::new())
                });
                if let (Some(_), Some(populated)) = (deleted, self.kinds.get_mut(index)) {
                    populated.ids.retain(|known| *known != id);
                }
            }
            2 => {
                let Some(body) = self.body(index) else { return };
                self.run_everywhere(&format!("PUT {id} {body}"), |bench| {
                    let caller = bench.caller(0);
                    let (edit, shape) = (Edit::unconditional(&caller, &kind), Shape::default());
                    let written = bench.service.replace(edit, &caller_id, body.clone(), &shape)?;
                    render(bench, &kind, &written.found, &written.projection)
                });
            }
            _ => {
                let body = patches::request(&mut self.random, &kind, &people);
                self.run_everywhere(&format!("PATCH {id} {body}"), |bench| {
                    let caller = bench.caller(0);
                    let (edit, shape) = (Edit::unconditional(&caller, &kind), Shape::default());
                    let written = bench.service.patch(edit, &caller_id, body.clone(), &shape)?;
                    Ok(format!(
                        "{} {}",
                        written.changed,
                        render(bench, &kind, &written.found, &written.projection)?
                    ))
                });
            }
        }
    }

    /// Runs a change in every store and compares the outcomes. Returns that of the first if it succeeded.
    fn run_everywhere(
        &mut self,
        what: &str,
        job: impl Fn(&Bench) -> Result<String, Error>,
    ) -> Option<String> {
        self.tally.changes += 1;
        let outcomes: Vec<_> = self
            .benches
            .iter()
            .map(|bench| job(bench).map_err(|error| error.to_string()))
            .collect();
        let first = outcomes.first().cloned()?;
        if outcomes.iter().any(|outcome| *outcome != first) {
            self.tally.differences += 1;
            report::change(self, what, &outcomes);
        }
        self.tally.made += usize::from(first.is_ok());
        first.ok()
    }

    /// Applies one change in three forms to copies of one random resource.
    fn forms(&mut self) {
        let index = self.random.below(self.kinds.len());
        let (Some(body), Some(populated)) = (self.body(index), self.kinds.get(index)) else {
            return;
        };
        let kind = Arc::clone(&populated.kind);
        let body = match body {
            Value::Object(mut map) => {
                map.shift_remove("members");
                Value::Object(map)
            }
            other => other,
        };
        let forms = patches::three_forms(&mut self.random, &kind);
        let outcomes = forms.each_ref().map(|form| self.patch_copy(&kind, &body, form));
        self.tally.forms += usize::from(outcomes.first().is_some_and(Result::is_ok));
        if outcomes.iter().any(|one| Some(one) != outcomes.first()) {
            self.tally.differences += 1;
            report::forms(self.seed, &body, &forms, &outcomes);
        }
    }

    /// Creates a resource in an empty store, and applies a PATCH to it.
    fn patch_copy(
        &self,
        kind: &ResourceType,
        body: &Value,
        form: &Value,
    ) -> Result<String, (u16, Option<&'static str>)> {
        let bench = Bench::over(memory(), Arc::clone(&self.registry));
        let caller = bench.caller(0);
        let created = bench.service.create(&caller, kind, body.clone(), &Shape::default());
        let id = created.map_err(|error| error.status_and_type())?.found.resource.id;
        let edit = Edit::unconditional(&caller, kind);
        let patched = bench.service.patch(edit, &id, form.clone(), &Shape::default());
        let resource = patched.map_err(|error| error.status_and_type())?.found.resource;
        Ok(format!("{} {}", resource.version, resource.document.text()))
    }

    fn question(&mut self) {
        self.tally.pairs += 1;
        let index = self.random.below(self.kinds.len());
        let Some(populated) = self.kinds.get(index) else { return };
        let ids = match self.random.once_in(3) {
            true => self.people(),
            false => populated.ids.clone(),
        };
        let request = populated.questions.request(&mut self.random, &ids);
        let mut kinds = vec![Arc::clone(&populated.kind)];
        if self.random.once_in(25) {
            let more = self.random.below(self.kinds.len());
            kinds.extend(
                self.kinds.get(more).filter(|_| more != index).map(|one| Arc::clone(&one.kind)),
            );
        }
        let existing = populated.ids.len();
        let answers = self.ask(&kinds, &request);
        if let Some(Ok((total, ..))) = answers.first() {
            let some = *total > 0 && usize::try_from(*total).is_ok_and(|total| total < existing);
            self.tally.telling += usize::from(some);
        }
        if answers.iter().any(|answer| Some(answer) != answers.first()) {
            self.tally.differences += 1;
            report::question(self, &kinds, &request);
        }
    }

    /// Runs a query in every store.
    pub(crate) fn ask(&self, kinds: &[Arc<ResourceType>], request: &SearchRequest) -> Vec<Answer> {
        let answers = self.benches.iter().map(|bench| answer(bench, kinds, request));
        answers.map(|answer| answer.map_err(|error| error.to_string())).collect()
    }
}

/// Runs a query, and follows its cursors to the end.
fn answer(
    bench: &Bench,
    kinds: &[Arc<ResourceType>],
    request: &SearchRequest,
) -> Result<(u64, bool, Vec<String>), Error> {
    let mut request = request.clone();
    let mut walked = Vec::new();
    loop {
        let listing = bench.service.search(&bench.caller(0), kinds, &request)?;
        walked.push(format!("{:?} of {}", listing.head.start_index, listing.head.items));
        list(bench, &listing, &mut walked)?;
        match listing.head.next_cursor {
            Some(next) => request.cursor = Some(next),
            None => return Ok((listing.head.total, request.cursor.is_some(), walked)),
        }
    }
}

fn list(bench: &Bench, listing: &Listing, out: &mut Vec<String>) -> Result<(), Error> {
    for found in &listing.resources {
        let mut projections = listing.projections.iter();
        let (kind, projection) = projections
            .find(|(kind, _)| kind.kind == found.resource.kind)
            .ok_or_else(|| Error::internal("only resources of searched kinds are found"))?;
        out.push(render(bench, kind, found, projection)?);
    }
    Ok(())
}

/// Returns a resource as a client receives it.
fn render(
    bench: &Bench,
    kind: &ResourceType,
    found: &headcount_core::provider::Found,
    projection: &headcount_core::resource::Projection,
) -> Result<String, Error> {
    let reply = Reply {
        registry: &bench.service.registry,
        kind,
        projection,
        base: "https://scim.example.com",
    };
    // The order of members and groups is stable in each store, but may differ between stores.
    let mut computed = found.computed.clone();
    computed.members.sort();
    computed.groups.sort_by(|one, other| one.group.cmp(&other.group));
    let mut out = Vec::with_capacity(512);
    reply.write(&mut out, &found.resource, &computed)?;
    Ok(String::from_utf8_lossy(&out).into_owned())
}
