//! What a run measured, as it is kept, printed and published: the rows are those of Markdown tables.

use serde::{Deserialize, Serialize};

use crate::load::Series;
use crate::output;

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

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct What<'a> {
    /// The workload, as `W1`.
    pub(crate) workload: &'a str,
    pub(crate) name: &'a str,
    /// What grows, where this is measured at several sizes: users, members or records.
    pub(crate) size: usize,
    pub(crate) connections: usize,
}

/// What one kind of request costs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Measured {
    workload: String,
    name: String,
    size: usize,
    connections: usize,
    per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    /// Processor time of the server in microseconds per request, where the server runs here.
    cpu_us: Option<f64>,
    /// The same of the database server.
    database_cpu_us: Option<f64>,
    /// The floor that ran next to it, and its rate.
    floor: Option<(String, f64)>,
    bytes: f64,
}

/// A target and what was reached.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Verdict {
    workload: String,
    what: String,
    target: Target,
    reached: f64,
    unit: String,
}

/// A bound from one side.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) enum Target {
    AtLeast(f64),
    AtMost(f64),
}

impl Report {
    /// Adds what a series cost next to its floor.
    pub(crate) fn measure(
        &mut self,
        what: What<'_>,
        series: &Series,
        floor: Option<(&str, &Series)>,
    ) {
        let (cpu, database) = (series.cpu(), series.database_cpu());
        let measured = Measured {
            workload: what.workload.to_owned(),
            name: what.name.to_owned(),
            size: what.size,
            connections: what.connections,
            per_second: series.rate(),
            p50_ms: series.quantile(0.5),
            p99_ms: series.quantile(0.99),
            cpu_us: (cpu > 0.0).then_some(cpu),
            database_cpu_us: (database > 0.0).then_some(database),
            floor: floor.map(|(name, series)| (name.to_owned(), series.rate())),
            bytes: series.bytes_each(),
        };
        output::note(&measured.row());
        self.measured.push(measured);
    }

    /// Compares a value with its target.
    pub(crate) fn judge(
        &mut self,
        workload: &str,
        what: &str,
        target: Target,
        (reached, unit): (f64, &str),
    ) {
        let verdict = Verdict {
            workload: workload.to_owned(),
            what: what.to_owned(),
            target,
            reached,
            unit: unit.to_owned(),
        };
        output::note(&verdict.row());
        self.verdicts.push(verdict);
    }

    /// Returns both tables as Markdown.
    pub(crate) fn tables(&self) -> String {
        let mut lines = vec![
            format!("{}, commit {}, {}.\n", self.date, self.commit, self.machine),
            "| | | target | reached | of target | |".to_owned(),
            "|---|---|--:|--:|--:|---|".to_owned(),
        ];
        lines.extend(self.verdicts.iter().map(Verdict::row));
        lines.push(
            "\n| | | size | requests/s | p50 ms | p99 ms | CPU µs | floor/s | of floor |\n\
             |---|---|--:|--:|--:|--:|--:|--:|--:|"
                .to_owned(),
        );
        lines.extend(self.measured.iter().map(Measured::row));
        lines.join("\n")
    }
}

impl Measured {
    fn row(&self) -> String {
        let cpu = match (self.cpu_us, self.database_cpu_us) {
            (Some(server), Some(database)) => format!("{} + {}", number(server), number(database)),
            (Some(server), None) => number(server),
            (None, _) => String::new(),
        };
        let (floor, part) = self.floor.as_ref().map_or_else(Default::default, |(name, rate)| {
            let sign = name.split_once(' ').map_or("", |(_, sign)| sign);
            (format!("{} {sign}", number(*rate)), number(self.per_second / rate.max(1e-9)))
        });
        format!(
            "| {} | {} | {} | {} | {} | {} | {cpu} | {floor} | {part} |",
            self.workload,
            self.name,
            thousands(self.size),
            number(self.per_second),
            number(self.p50_ms),
            number(self.p99_ms)
        )
    }
}

impl Verdict {
    fn row(&self) -> String {
        let (sign, bound, met) = match self.target {
            Target::AtLeast(bound) => ('≥', bound, self.reached >= bound),
            Target::AtMost(bound) => ('≤', bound, self.reached <= bound),
        };
        format!(
            "| {} | {} | {sign} {} {unit} | {} {unit} | {} | {} |",
            self.workload,
            self.what,
            number(bound),
            number(self.reached),
            number(self.reached / bound.max(1e-9)),
            if met { "met" } else { "**missed**" },
            unit = self.unit
        )
    }
}

/// A number with as many digits as are worth reading.
fn number(value: f64) -> String {
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
        let row = |target, reached| {
            let (workload, what, unit) = ("W1".to_owned(), "rate".to_owned(), "×".to_owned());
            Verdict { workload, what, target, reached, unit }.row()
        };
        let met = "| W1 | rate | ≥ 0.30 × | 0.31 × | 1.03 | met |";
        assert_eq!(row(Target::AtLeast(0.3), 0.31), met);
        assert!(row(Target::AtLeast(0.3), 0.29).ends_with("| **missed** |"));
        assert!(row(Target::AtMost(60.0), 60.0).ends_with("| met |"));
        assert!(row(Target::AtMost(60.0), 60.1).ends_with("| **missed** |"));
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!([1234.5, 12.34, 0.456].map(number), ["1234", "12.3", "0.46"]);
        assert_eq!(thousands(100_000), "100,000");
        assert_eq!(thousands(999), "999");
    }
}
