//! The page with the results, made from the reports that are kept beside it.

use std::path::Path;

use anyhow::Context;

use crate::plot::{Bars, Lines};
use crate::report::{Measured, Report, Verdict, number, thousands};

/// Writes `performance.md` and its pictures from all reports in `performance/`.
pub(crate) fn write(directory: &Path) -> anyhow::Result<()> {
    let pictures = directory.join("performance");
    let mut reports = Vec::new();
    for entry in std::fs::read_dir(&pictures).with_context(|| pictures.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let text = std::fs::read_to_string(&path)?;
            let report: Report =
                serde_json::from_str(&text).with_context(|| path.display().to_string())?;
            reports.push(report);
        }
    }
    reports.sort_by(|a, b| b.database.cmp(&a.database).then(a.users.cmp(&b.users)));
    let mut page = include_str!("page.md").to_owned();
    for database in ["SQLite", "PostgreSQL"] {
        let of: Vec<&Report> = reports.iter().filter(|one| one.database == database).collect();
        if !of.is_empty() {
            section(&mut page, &pictures, database, &of)?;
        }
    }
    let findings = directory.join("performance/findings.md");
    if let Ok(text) = std::fs::read_to_string(findings) {
        page.push_str("\n## Findings\n\n");
        // The page stands one directory above its findings.
        page.push_str(&text.replace("](../../", "](../"));
    }
    std::fs::write(directory.join("performance.md"), page)?;
    Ok(())
}

fn section(
    page: &mut String,
    pictures: &Path,
    database: &str,
    reports: &[&Report],
) -> anyhow::Result<()> {
    let Some(largest) = reports.last() else { return Ok(()) };
    let name = database.to_lowercase();
    page.push_str(&format!("\n## {database}\n"));
    for (kind, picture) in pictures_of(database, reports, largest) {
        let file = format!("{name}-{kind}.svg");
        std::fs::write(pictures.join(&file), picture)?;
        page.push_str(&format!("\n![{database}: {kind}](performance/{file})\n"));
    }
    for report in reports.iter().rev() {
        page.push_str(&format!(
            "\n### {} users\n\n{}, commit {}, {}.\n\n",
            thousands(report.users),
            report.date,
            report.commit,
            report.machine
        ));
        page.push_str("| | | target | reached | of target | |\n|---|---|--:|--:|--:|---|\n");
        report.verdicts.iter().for_each(|verdict| page.push_str(&verdict_row(verdict)));
        page.push_str(
            "\n| | | size | requests/s | p50 ms | p99 ms | CPU µs | floor/s | of floor |\n\
             |---|---|--:|--:|--:|--:|--:|--:|--:|\n",
        );
        report.measured.iter().for_each(|measured| page.push_str(&measured_row(measured)));
    }
    Ok(())
}

fn verdict_row(v: &Verdict) -> String {
    let met = if v.met() { "met" } else { "**missed**" };
    let (target, reached) = (v.target.shown(), number(v.reached));
    let (name, what, unit, part) = (&v.workload, &v.what, &v.unit, number(v.of_target()));
    format!("| {name} | {what} | {target} {unit} | {reached} {unit} | {part} | {met} |\n")
}

fn measured_row(m: &Measured) -> String {
    let cpu = match (m.cpu_us, m.database_cpu_us) {
        (Some(server), Some(database)) => format!("{} + {}", number(server), number(database)),
        (Some(server), None) => number(server),
        (None, _) => String::new(),
    };
    let (floor, part) = m.floor.as_ref().map_or_else(Default::default, |(name, rate)| {
        let sign = name.split_once(' ').map_or("", |(_, sign)| sign);
        (format!("{} {sign}", number(*rate)), number(m.per_second / rate.max(1e-9)))
    });
    format!(
        "| {} | {} | {} | {} | {} | {} | {cpu} | {floor} | {part} |\n",
        m.workload,
        m.name,
        thousands(m.size),
        number(m.per_second),
        number(m.p50_ms),
        number(m.p99_ms)
    )
}

/// The pictures of one database: rates, latencies, and how costs grow.
fn pictures_of(
    database: &str,
    reports: &[&Report],
    largest: &Report,
) -> Vec<(&'static str, String)> {
    let rows: Vec<&Measured> =
        largest.measured.iter().filter(|m| m.size == largest.users).collect();
    let label = |m: &Measured| format!("{} {}", m.workload, m.name);
    let users = thousands(largest.users);
    let rates = Bars {
        title: format!("{database}, {users} users: requests a second"),
        series: vec!["server".to_owned(), "its floor".to_owned()],
        rows: rows
            .iter()
            .map(|m| {
                (label(m), vec![m.per_second, m.floor.as_ref().map_or(0.0, |(_, rate)| *rate)])
            })
            .collect(),
    };
    let latencies = Bars {
        title: format!("{database}, {users} users: milliseconds"),
        series: vec!["p50".to_owned(), "p99".to_owned()],
        rows: rows.iter().map(|m| (label(m), vec![m.p50_ms, m.p99_ms])).collect(),
    };
    let by_users = |workload: &str, name: &str| {
        let points = reports.iter().filter_map(|report| {
            let found = report
                .measured
                .iter()
                .find(|m| m.workload == workload && m.name == name && m.size == report.users)?;
            Some((report.users, found.cpu_us?))
        });
        (format!("{workload} {name}"), points.collect::<Vec<_>>())
    };
    let with_users = Lines {
        title: format!("{database}: server CPU a request, as users grow"),
        across: "users".to_owned(),
        up: "µs".to_owned(),
        lines: [
            ("W1", "get a user by id"),
            ("W2", "userName eq, hit"),
            ("W3", "create a user"),
            ("W4", "patch a user"),
            ("W5", "page at the start"),
            ("W5", "page at the end"),
            ("W8", "complex filter"),
        ]
        .map(|(workload, name)| by_users(workload, name))
        .into_iter()
        .filter(|(_, points)| !points.is_empty())
        .collect(),
    };
    let by_members = |name: &str| {
        let points = largest.measured.iter().filter(|m| m.workload == "W6" && m.name == name);
        (name.to_owned(), points.map(|m| (m.size, m.p50_ms * 1e3)).collect::<Vec<_>>())
    };
    let with_members = Lines {
        title: format!("{database}: time of a request, as a group grows"),
        across: "members".to_owned(),
        up: "µs".to_owned(),
        lines: ["add one member", "remove one member", "get without members", "get with members"]
            .map(by_members)
            .into_iter()
            .filter(|(_, points)| !points.is_empty())
            .collect(),
    };
    let mut pictures = vec![("throughput", rates.svg()), ("latency", latencies.svg())];
    if reports.len() > 1 {
        pictures.push(("users", with_users.svg()));
    }
    if with_members.lines.iter().any(|(_, points)| points.len() > 1) {
        pictures.push(("members", with_members.svg()));
    }
    pictures
}
