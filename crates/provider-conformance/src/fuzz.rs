//! Fuzzing without instrumentation: mutations of a committed corpus, repeatable from their seed.
//!
//! A target is a function that panics when an input breaks an invariant, and returns whether it accepted
//! the input. Accepted inputs are mutated further.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::random::Random;
use crate::random::values::TEXTS;

/// Inputs of a target in the ordinary tests.
pub const FEW: usize = 3_000;
/// Bytes of an input. Limits are tested on their own.
const MAX_INPUT_BYTES: usize = 16 * 1024;
/// Accepted inputs that are kept for further mutation.
const MAX_KEPT: usize = 400;

/// The effort of a run, and its seed.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// The seed.
    pub seed: u64,
    /// The minimum number of inputs.
    pub inputs: usize,
    /// The minimum time.
    pub time: Duration,
}

/// The counts of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Inputs.
    pub inputs: usize,
    /// Inputs that were accepted.
    pub accepted: usize,
}

/// Reads the corpus of a target: one input per line of each file.
///
/// # Panics
///
/// When there is none.
pub fn corpus(target: &str) -> Vec<Vec<u8>> {
    let directory =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz-corpus").join(target);
    let files = std::fs::read_dir(&directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut paths: Vec<_> = files.flatten().map(|file| file.path()).collect();
    // A seed must give the same inputs on every machine, but the order of a directory differs.
    paths.sort();
    let mut inputs = Vec::new();
    for path in paths {
        let text =
            std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        inputs.extend(lines.map(<[u8]>::to_vec));
    }
    assert!(inputs.len() >= 10, "{target} has a corpus");
    inputs
}

/// Runs a target on the corpus and its mutations.
///
/// `words` are the words of the target's grammar.
///
/// # Panics
///
/// When the target does, after printing the input and the seed.
pub fn run(
    target: &str,
    words: &[&str],
    effort: Effort,
    mut check: impl FnMut(&[u8]) -> bool,
) -> Seen {
    let mut pool = corpus(target);
    let committed = pool.len();
    let mut random = Random::new(effort.seed);
    let mut seen = Seen { inputs: 0, accepted: 0 };
    let started = Instant::now();
    while seen.inputs < effort.inputs.max(committed) || started.elapsed() < effort.time {
        let input = match pool.get(seen.inputs).filter(|_| seen.inputs < committed) {
            Some(input) => input.clone(),
            None => mutant(&mut random, &pool, words),
        };
        let accepted = catch_unwind(AssertUnwindSafe(|| check(&input))).unwrap_or_else(|panic| {
            print(&format!(
                "{target}, seed {}, input {}: {:?}",
                effort.seed,
                seen.inputs,
                String::from_utf8_lossy(&input)
            ));
            resume_unwind(panic)
        });
        seen.inputs += 1;
        if accepted {
            seen.accepted += 1;
            if pool.len() < committed + MAX_KEPT {
                pool.push(input);
            } else {
                let at = committed + random.below(MAX_KEPT);
                if let Some(slot) = pool.get_mut(at) {
                    *slot = input;
                }
            }
        }
    }
    print(&format!(
        "fuzz {target}, seed {}: {} inputs, {} accepted, {} s",
        effort.seed,
        seen.inputs,
        seen.accepted,
        started.elapsed().as_secs()
    ));
    seen
}

/// Makes an input from others.
pub fn mutant(random: &mut Random, pool: &[Vec<u8>], words: &[&str]) -> Vec<u8> {
    let mut input = random.one(pool).clone();
    if random.once_in(200) {
        return (0..random.below(64)).map(|_| byte(random)).collect();
    }
    for _ in 0..1 + random.below(4) {
        mutate(random, &mut input, pool, words);
    }
    input.truncate(MAX_INPUT_BYTES);
    input
}

fn byte(random: &mut Random) -> u8 {
    u8::try_from(random.below(256)).unwrap_or(0)
}

fn mutate(random: &mut Random, input: &mut Vec<u8>, pool: &[Vec<u8>], words: &[&str]) {
    let at = random.below(input.len() + 1);
    let end = (at + 1 + random.below(24)).min(input.len());
    match random.below(12) {
        0 => {
            if let Some(slot) = input.get_mut(at) {
                *slot ^= 1 << random.below(8);
            }
        }
        1 => {
            if let Some(slot) = input.get_mut(at) {
                *slot = byte(random);
            }
        }
        2 => drop(input.drain(at.min(end)..end)),
        3 => {
            let part = input.get(at..end).unwrap_or_default().to_vec();
            drop(input.splice(at..at, part));
        }
        4 => {
            // Nesting and long lists come from repetition.
            let part = input.get(at..end).unwrap_or_default().repeat(random.below(80));
            drop(input.splice(at..at, part));
        }
        5 => {
            let other = random.one(pool);
            let tail = other.get(random.below(other.len() + 1)..).unwrap_or_default().to_vec();
            drop(input.splice(at.., tail));
        }
        6 => {
            let text = *random.one(&TEXTS);
            drop(input.splice(at..at, text.bytes()));
        }
        7 => {
            for slot in input.iter_mut().take(end).skip(at) {
                *slot = if slot.is_ascii_lowercase() {
                    slot.to_ascii_uppercase()
                } else {
                    slot.to_ascii_lowercase()
                };
            }
        }
        8 => input.truncate(at),
        9 => {
            // Replaces a word by another one.
            let tail = input.get(at..).unwrap_or_default();
            let start = at + tail.iter().take_while(|byte| !byte.is_ascii_alphanumeric()).count();
            let length = input
                .get(start..)
                .unwrap_or_default()
                .iter()
                .take_while(|byte| byte.is_ascii_alphanumeric())
                .count();
            let word = *random.one(words);
            drop(input.splice(start..start + length, word.bytes()));
        }
        _ => {
            let word = *random.one(words);
            drop(input.splice(at..at, word.bytes()));
        }
    }
}

#[expect(clippy::print_stdout, reason = "it is the output of a test")]
fn print(text: &str) {
    println!("{text}");
}
