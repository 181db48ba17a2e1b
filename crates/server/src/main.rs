//! The Headcount binary: reads the command line and the configuration, puts the parts together, runs.
//!
//! Nothing depends on this crate. Start with [`cli`], what can be asked, then [`wiring`], how the
//! parts are put together.

mod background;
mod checkpoint;
mod cli;
mod commands;
mod config;
mod cursor_cipher;
mod erasing;
mod listener;
mod metrics;
mod output;
mod private_file;
mod process;
mod schemas;
mod secret_files;
mod system;
mod telemetry;
mod tls;
mod wiring;

use std::process::ExitCode;

/// The allocator of the C library keeps what a burst of requests or of password checks needed, once per
/// thread (ADR 28). SQLite and libpq use this one, too.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    process::report_panics();
    let cli = cli::parse();
    match commands::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::error(&error);
            ExitCode::FAILURE
        }
    }
}
