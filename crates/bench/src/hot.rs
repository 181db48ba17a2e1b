//! The functions that most requests pass through, one at a time, for counting their instructions.
//!
//! `cargo xtask bench --check` runs each of them twice under callgrind, some times and twice as many,
//! and compares the difference with what is recorded: it depends on no clock and on no other process.

use std::sync::Arc;

use anyhow::{Context, bail};
use headcount_core::filter::parse_filter;
use headcount_core::memory::MemoryProvider;
use headcount_core::quirks::Applied;
use headcount_core::resource::{Computed, Projection, Reply};
use headcount_core::service::{Caller, Service, Shape};
use headcount_token_admin::memory::MemoryTokens;
use headcount_token_admin::{PresentedToken, Tokens};

use crate::data::{self, Numbers};
use crate::machine::SystemClock;
use crate::statements::{Preparation, caller, service, users};

/// The names of the functions.
pub(crate) const NAMES: [&str; 6] = ["filter", "normalize", "patch", "splice", "project", "token"];

struct Ground {
    service: Service,
    caller: Caller,
}

impl Ground {
    fn new() -> anyhow::Result<Self> {
        Ok(Self { service: service(Arc::new(MemoryProvider::default()))?, caller: caller() })
    }
}

/// Runs one function so many times.
pub(crate) fn run(name: &str, times: usize) -> anyhow::Result<()> {
    let ground = Ground::new()?;
    match name {
        "filter" => filters(&ground, times),
        "normalize" => normalize(&ground, times),
        "patch" => patch(&ground, times),
        "splice" => write(&ground, times, &[]),
        "project" => write(&ground, times, &["userName", "name.familyName", "emails.value"]),
        "token" => token(times),
        _ => bail!("there is no function {name}; there are {}", NAMES.join(", ")),
    }
}

/// A filter from its text to what a store understands.
fn filters(ground: &Ground, times: usize) -> anyhow::Result<()> {
    const TEXT: &str = "emails[type eq \"work\" and value co \"@example.com\"] and active eq true or userName sw \"a\"";
    let kind = users(&ground.service)?;
    for _ in 0..times {
        let mut applied = Applied::default();
        let resolved = parse_filter(kind, ground.caller.quirks, &mut applied, TEXT)?;
        std::hint::black_box(resolved);
    }
    Ok(())
}

/// The body of a PUT from what arrived to everything that is stored with it.
fn normalize(ground: &Ground, times: usize) -> anyhow::Result<()> {
    let kind = users(&ground.service)?;
    let (service, caller, shape) = (&ground.service, &ground.caller, Shape::default());
    let made = service.create(caller, kind, data::user("u", 1), &shape)?.found.resource;
    let body = data::user("u", 1);
    for _ in 0..times {
        let update = service.replacement(caller, kind, &made, body.clone())?;
        std::hint::black_box(update);
    }
    Ok(())
}

/// A PATCH in the form of Entra, from what arrived to what is stored.
fn patch(ground: &Ground, times: usize) -> anyhow::Result<()> {
    let kind = users(&ground.service)?;
    let (service, caller, shape) = (&ground.service, &ground.caller, Shape::default());
    let id = service.create(caller, kind, data::user("u", 1), &shape)?.found.resource.id;
    let preparation = Preparation::over(Arc::clone(&service.provider))?;
    let mut numbers = Numbers(3);
    for _ in 0..times {
        let ready = preparation.patch(id.as_str(), data::entra_patch(&mut numbers))?;
        std::hint::black_box(&ready);
    }
    Ok(())
}

/// A user as a reply shows it: whole, or what the client named.
fn write(ground: &Ground, times: usize, attributes: &[&str]) -> anyhow::Result<()> {
    let kind = users(&ground.service)?;
    let shape = Shape::default();
    let made = ground.service.create(&ground.caller, kind, data::user("u", 1), &shape)?;
    let stored = made.found.resource.document.text().to_owned();
    let names: Vec<String> = attributes.iter().map(|name| (*name).to_owned()).collect();
    let projection = Projection::new(kind, &names, &[])?;
    let registry = &ground.service.registry;
    let base = "https://scim.example.com/scim/v2";
    let reply = Reply { registry, kind, projection: &projection, base };
    let (mut out, mut resource) = (Vec::new(), made.found.resource);
    for _ in 0..times {
        out.clear();
        // As it comes from a store: nothing is parsed yet.
        resource.document = headcount_core::resource::Document::from_store(stored.clone());
        reply.write(&mut out, &resource, &Computed::default())?;
        std::hint::black_box(&out);
    }
    Ok(())
}

/// A token whose secret was proven before.
fn token(times: usize) -> anyhow::Result<()> {
    let store = Arc::new(MemoryTokens::default());
    let tokens = Tokens::new(store, Arc::new(SystemClock), crate::life::policy());
    let secret = crate::life::issue(&tokens, "hot")?;
    for _ in 0..times {
        let presented =
            PresentedToken::parse(&secret).context("a token that was just made is one")?;
        let accepted = tokens.verify(&presented)?;
        std::hint::black_box(accepted);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_function_runs() {
        for name in NAMES {
            run(name, 2).unwrap();
        }
        assert!(run("nothing", 1).is_err());
    }
}
