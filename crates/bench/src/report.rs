//! What a run found out, as it is kept and printed.

use serde::{Deserialize, Serialize};

use crate::load::Series;

/// One run on one database with one number of users.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) date: String,
    pub(crate) commit: String,
    pub(crate) machine: String,
    /// `SQLite`, `PostgreSQL`, or the address of another server.
    pub(crate) database: String,
    pub(crate) users: usize,
    pub(crate) measured: Vec<Measured>,
    pub(crate) verdicts: Vec<Verdict>,
}

/// What one kind of request costs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Measured {
    /// The workload, as `W1`.
    pub(crate) workload: String,
    pub(crate) name: String,
    /// What grows, where this was measured at several sizes: users or members.
    pub(crate) size: usize,
    pub(crate) connections: usize,
    pub(crate) per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// Microseconds of the server's processor per request, where the server runs here.
    pub(crate) cpu_us: Option<f64>,
    /// The same of the database server.
    pub(crate) database_cpu_us: Option<f64>,
    /// The floor that it ran beside, and its rate.
    pub(crate) floor: Option<(String, f64)>,
    pub(crate) bytes: f64,
}

impl Measured {
    /// What is known before it was measured.
    pub(crate) fn of(
        (workload, name, size): (&str, &str, usize),
        connections: usize,
        floor: Option<(&str, &Series)>,
    ) -> Self {
        Self {
            workload: workload.to_owned(),
            name: name.to_owned(),
            size,
            connections,
            per_second: 0.0,
            p50_ms: 0.0,
            p99_ms: 0.0,
            cpu_us: None,
            database_cpu_us: None,
            floor: floor.map(|(name, series)| (name.to_owned(), series.rate())),
            bytes: 0.0,
        }
    }
}

/// A target and what was reached.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Verdict {
    pub(crate) workload: String,
    pub(crate) what: String,
    pub(crate) target: Target,
    pub(crate) reached: f64,
    pub(crate) unit: String,
}

/// What is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) enum Target {
    AtLeast(f64),
    AtMost(f64),
}

impl Target {
    fn bound(self) -> f64 {
        match self {
            Self::AtLeast(bound) | Self::AtMost(bound) => bound,
        }
    }

    pub(crate) fn shown(self) -> String {
        let sign = match self {
            Self::AtLeast(_) => '≥',
            Self::AtMost(_) => '≤',
        };
        format!("{sign} {}", number(self.bound()))
    }
}

impl Verdict {
    pub(crate) fn met(&self) -> bool {
        match self.target {
            Target::AtLeast(bound) => self.reached >= bound,
            Target::AtMost(bound) => self.reached <= bound,
        }
    }

    /// What was reached in terms of the target: below one is good for a bound from above.
    pub(crate) fn of_target(&self) -> f64 {
        self.reached / self.target.bound().max(1e-9)
    }
}

impl Report {
    /// Adds what a series of slices cost.
    pub(crate) fn add(&mut self, mut measured: Measured, series: &Series, here: bool) {
        measured.per_second = series.rate();
        measured.p50_ms = series.quantile(0.5);
        measured.p99_ms = series.quantile(0.99);
        measured.cpu_us = here.then(|| series.cpu());
        let database = series.database_cpu();
        measured.database_cpu_us = (database > 0.0).then_some(database);
        measured.bytes = series.bytes_each();
        crate::output::note(&line(&measured));
        self.measured.push(measured);
    }

    /// Notes what a series on a server of its own cost.
    pub(crate) fn note(
        &mut self,
        workload: &str,
        name: &str,
        size: usize,
        connections: usize,
        series: &Series,
    ) {
        let measured = Measured::of((workload, name, size), connections, None);
        self.add(measured, series, true);
    }

    /// Compares a value with its target.
    pub(crate) fn judge(
        &mut self,
        workload: &str,
        what: &str,
        target: Target,
        reached: f64,
        unit: &str,
    ) {
        let verdict = Verdict {
            workload: workload.to_owned(),
            what: what.to_owned(),
            target,
            reached,
            unit: unit.to_owned(),
        };
        crate::output::note(&format!("    {}", sentence(&verdict)));
        self.verdicts.push(verdict);
    }

    /// The tables for a terminal.
    pub(crate) fn table(&self) -> String {
        let mut lines = vec![format!(
            "{} users on {}, {}, commit {}\n{}\n",
            thousands(self.users),
            self.database,
            self.date,
            self.commit,
            self.machine
        )];
        lines.extend(self.measured.iter().map(line));
        lines.push(String::new());
        lines.extend(self.verdicts.iter().map(sentence));
        let missed = self.verdicts.iter().filter(|verdict| !verdict.met()).count();
        lines.push(format!("{} of {} targets missed", missed, self.verdicts.len()));
        lines.join("\n")
    }
}

fn line(m: &Measured) -> String {
    let floor = m.floor.as_ref().map_or_else(String::new, |(name, rate)| {
        format!("{:>5.2} of {name} at {rate:.0}/s", m.per_second / rate.max(1e-9))
    });
    let cpu = m.cpu_us.map_or_else(String::new, |cpu| format!("{cpu:>9.1} µs"));
    let database = m.database_cpu_us.map_or_else(String::new, |cpu| format!(" +{cpu:.1} µs"));
    format!(
        "{:<4}{:<34}{:>7}{:>11.1}/s  p50 {:>8.3}  p99 {:>8.3} ms {cpu}{database}  {floor}",
        m.workload, m.name, m.size, m.per_second, m.p50_ms, m.p99_ms
    )
}

fn sentence(v: &Verdict) -> String {
    format!(
        "{:<4}{:<62}{:>8} {:<4} reached {:>8}  {}",
        v.workload,
        v.what,
        v.target.shown(),
        v.unit,
        number(v.reached),
        if v.met() { "met" } else { "MISSED" }
    )
}

/// A number with as many digits as say something.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

pub(crate) fn thousands(value: usize) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_bounds_from_one_side() {
        let verdict = |target, reached| Verdict {
            workload: String::new(),
            what: String::new(),
            target,
            reached,
            unit: String::new(),
        };
        assert!(verdict(Target::AtLeast(0.3), 0.31).met());
        assert!(!verdict(Target::AtLeast(0.3), 0.29).met());
        assert!(verdict(Target::AtMost(60.0), 60.0).met());
        assert!(!verdict(Target::AtMost(60.0), 60.1).met());
        assert_eq!(Target::AtMost(0.4).shown(), "≤ 0.40");
    }

    #[test]
    fn numbers_are_short() {
        let shown = [1234.5, 12.34, 0.456].map(number);
        assert_eq!(shown, ["1234", "12.3", "0.46"]);
        assert_eq!(thousands(100_000), "100,000");
        assert_eq!(thousands(999), "999");
    }
}
