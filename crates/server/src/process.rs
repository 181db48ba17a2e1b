//! What the process keeps to itself: its memory, and what it was working on when it panicked.

use std::panic::PanicHookInfo;

use rustix::process::{Resource, Rlimit, setrlimit};

use crate::output;

/// Keeps the memory of the process, in which there are secrets, out of files and away from debuggers.
pub(crate) fn hide_memory() {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    if let Err(error) = setrlimit(Resource::Core, none) {
        tracing::warn!(%error, "core dumps cannot be switched off");
    }
    #[cfg(target_os = "linux")]
    if let Err(error) =
        rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
    {
        tracing::warn!(%error, "debuggers cannot be kept away");
    }
}

/// Reports panics by their position alone. Their messages may contain what the program was working on.
pub(crate) fn report_panics() {
    std::panic::set_hook(Box::new(report));
}

fn report(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    let position = panic.location().map_or_else(String::new, ToString::to_string);
    if tracing::dispatcher::has_been_set() {
        tracing::error!(thread, position, "a defect: a thread panicked");
    } else {
        output::note(&format!("headcount: a defect: a thread panicked at {position}"));
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;
    use std::sync::{Arc, Mutex};

    use tracing::field::{Field, Visit};
    use tracing::{Event, Subscriber};
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

    use super::*;

    /// Keeps everything that is logged.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<String>>);

    impl Visit for Lines {
        fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
            self.0.lock().unwrap().push_str(&format!("{field}={value:?} "));
        }
    }

    impl<S: Subscriber> Layer<S> for Lines {
        fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
            event.record(&mut self.clone());
        }
    }

    #[test]
    fn pii_06_s_m_a_panic_is_reported_by_its_position_alone() {
        let lines = Lines::default();
        let subscriber = tracing_subscriber::registry().with(lines.clone());
        let before = std::panic::take_hook();
        report_panics();
        let panicked = tracing::subscriber::with_default(subscriber, || {
            std::panic::catch_unwind(|| panic!("the password is {}", "SECRET")).is_err()
        });
        std::panic::set_hook(before);
        let told = lines.0.lock().unwrap().clone();
        assert!(panicked && told.contains("process.rs:"), "{told}");
        assert!(!told.contains("SECRET"), "{told}");
    }
}
