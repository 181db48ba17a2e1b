//! The console in a real browser: every flow with and without JavaScript, every page looked at by
//! axe-core, in light and dark.

mod accounts;
mod entrance;
mod flows;
mod gallery;
mod hostile;
mod many;
mod pages;
mod replicas;
mod support;

use headcount_e2e::visitor;
