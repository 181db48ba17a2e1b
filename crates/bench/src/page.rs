//! The page with the results, made from the reports that are kept next to it.

use std::path::Path;

use anyhow::Context;

use crate::report::{Report, thousands};

/// Writes `performance.md` from all reports in `performance/`.
pub(crate) fn write(directory: &Path) -> anyhow::Result<()> {
    let kept = directory.join("performance");
    let mut reports = Vec::new();
    for entry in std::fs::read_dir(&kept).with_context(|| kept.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let text = std::fs::read_to_string(&path)?;
            let report: Report =
                serde_json::from_str(&text).with_context(|| path.display().to_string())?;
            reports.push(report);
        }
    }
    // SQLite first, then the larger numbers of users.
    reports.sort_by(|a, b| b.database.cmp(&a.database).then(b.users.cmp(&a.users)));
    let mut page = include_str!("page.md").to_owned();
    let mut database = "";
    for report in &reports {
        if database != report.database {
            database = &report.database;
            page.push_str(&format!("\n## {database}\n"));
        }
        let users = thousands(report.users);
        page.push_str(&format!("\n### {users} users\n\n{}\n", report.tables()));
    }
    if let Ok(findings) = std::fs::read_to_string(kept.join("findings.md")) {
        // The page is one directory above its findings.
        let findings = findings.replace("](../../", "](../");
        page.push_str(&format!("\n## Findings\n\n{findings}"));
    }
    std::fs::write(directory.join("performance.md"), page)?;
    Ok(())
}
