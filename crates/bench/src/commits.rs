//! Ways to commit on SQLite, side by side: the lane, the lane without company, a pool of writers.
//!
//! Runs in a process of its own, under a library that makes each sync as slow as an ordinary disk.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use headcount_store_diesel::{DatabaseUrl, Settings, Store};
use serde::{Deserialize, Serialize};

use crate::data;
use crate::database::Database;
use crate::load::{Side, in_turn};
use crate::statements::{Preparation, Ready, Statements, open};

/// The environment variable of the shim, and what a sync takes with it.
pub(crate) const DELAY: &str = "HEADCOUNT_SYNC_DELAY_MICROSECONDS";
pub(crate) const MICROSECONDS: &str = "4000";

const CLIENTS: usize = 32;

/// Creates per second.
#[derive(Serialize, Deserialize)]
pub(crate) struct Rates {
    /// One commit for all who wait.
    pub(crate) lane: f64,
    /// One commit for each, through one connection.
    pub(crate) one_each: f64,
    /// One commit for each, through 32 connections.
    pub(crate) pool: f64,
}

pub(crate) fn compare(directory: &Path) -> anyhow::Result<Rates> {
    let names = ["commits-lane", "commits-each", "commits-pool"];
    let databases = names.map(|name| Database::sqlite(directory, name));
    let [lane, each, pool] = databases;
    let (lane, each, pool) = (lane?, each?, pool?);
    let store = |database: &Database, jobs: usize| -> anyhow::Result<Arc<Store>> {
        let mut settings = Settings::serve(DatabaseUrl::parse(database.url())?);
        settings.jobs_per_commit = jobs;
        settings.exclusive = false;
        // As long as the writers of a pool may have to wait for each other.
        settings.busy = Duration::from_secs(30);
        open(&settings)
    };
    let shared = store(&lane, Settings::JOBS_PER_COMMIT)?;
    let alone = store(&each, 1)?;
    let many = (0..CLIENTS).map(|_| store(&pool, 1)).collect::<anyhow::Result<Vec<_>>>()?;
    let preparation = Preparation::over(shared.clone())?;
    let prepare = |tag: &'static str| {
        let (preparation, mut number) = (&preparation, 0);
        move |count: usize| -> anyhow::Result<Vec<Ready>> {
            let mut one = || {
                number += 1;
                preparation.create(data::user(tag, number))
            };
            (0..count).map(|_| one()).collect()
        }
    };
    let mut shared = Statements::new(vec![shared.clone()], CLIENTS, prepare("lane-"));
    let mut alone = Statements::new(vec![alone], CLIENTS, prepare("each-"));
    let mut many = Statements::new(many, CLIENTS, prepare("pool-"));
    let sides: &mut [&mut dyn Side] = &mut [&mut shared, &mut alone, &mut many];
    let rates: Vec<f64> = in_turn(3, 1.0, sides)?.iter().map(crate::load::Series::rate).collect();
    let at = |index: usize| rates.get(index).copied().unwrap_or(0.0);
    Ok(Rates { lane: at(0), one_each: at(1), pool: at(2) })
}
