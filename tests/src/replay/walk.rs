//! Paging through a collection the way a named client does.

use std::collections::HashSet;

use serde_json::Value;

use super::{Blocked, Scenario, judge, send};

impl Scenario<'_> {
    /// Walks, and checks that totals stay the same and that no user is missing or seen twice.
    pub(super) fn walk(&mut self, step: &Value) -> Result<Vec<String>, Blocked> {
        let walk = &step["walk"];
        let template = walk["path"].as_str().unwrap_or_default().to_owned();
        let count = walk["count"].as_u64();
        let mode = walk["mode"].as_str().unwrap_or_default();
        let (mut start, mut pages, mut total) = (1u64, 0u64, None);
        let mut seen: Vec<String> = Vec::new();
        loop {
            let shown = count.map_or_else(String::new, |count| count.to_string());
            let mut path = template.replace("$START", &start.to_string()).replace("$COUNT", &shown);
            if mode == "authentik" && start == 1 {
                path = template.split('?').next().unwrap_or_default().to_owned();
            }
            let path = self.variables.substitute(&path)?;
            let response = send(self.client, step, &path, &mut self.variables)?;
            let reasons = judge(step, &path, &response, &mut self.variables)?;
            if !reasons.is_empty() {
                return Ok(reasons);
            }
            let body = response.json();
            let all = body["totalResults"].as_u64().unwrap_or(0);
            if *total.get_or_insert(all) != all {
                return Ok(vec![format!(
                    "totalResults moved from {total:?} to {all} while paging"
                )]);
            }
            let items = body["Resources"].as_array().cloned().unwrap_or_default();
            let here = u64::try_from(items.len()).unwrap_or(u64::MAX);
            if count.is_some_and(|count| here > count) {
                return Ok(vec![format!("asked for {count:?}, got {here}")]);
            }
            if mode != "authentik" && body["startIndex"].as_u64() != Some(start) {
                let answered = &body["startIndex"];
                return Ok(vec![format!("asked for startIndex {start}, got {answered}")]);
            }
            seen.extend(items.iter().filter_map(|item| item["id"].as_str().map(str::to_owned)));
            pages += 1;
            let so_far = u64::try_from(seen.len()).unwrap_or(u64::MAX);
            let last = match mode {
                // Blindly on by the page size until the total is passed.
                "okta" => {
                    start += count.unwrap_or(100);
                    start > all
                }
                // Until the first short page.
                "short-page" => {
                    start += count.unwrap_or(100);
                    Some(here) < count
                }
                // No page size at all, on from what was seen.
                "authentik" if items.is_empty() && so_far < all => {
                    return Ok(vec!["an empty page before the end repeats for ever".to_owned()]);
                }
                "authentik" => {
                    start = so_far + 1;
                    so_far >= all
                }
                other => return Ok(vec![format!("there is no way to walk called {other}")]),
            };
            if last || pages > 300 {
                break;
            }
        }
        let mut reasons = differences(&seen, total);
        for name in walk["include"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            let id = self.variables.substitute(&format!("{{{name}}}"))?;
            if !seen.contains(&id) {
                reasons.push(format!("{{{name}}} never appeared"));
            }
        }
        if pages < walk["min_pages"].as_u64().unwrap_or(1) {
            reasons.push(format!("only {pages} page(s)"));
        }
        Ok(reasons)
    }
}

/// Returns in which ways the ids that a walk has seen are not each resource once.
fn differences(seen: &[String], total: Option<u64>) -> Vec<String> {
    let different: HashSet<_> = seen.iter().collect();
    let mut reasons = Vec::new();
    if different.len() != seen.len() {
        reasons.push("a resource was returned twice: the order is not stable".to_owned());
    }
    if u64::try_from(seen.len()).ok() != total {
        reasons.push(format!("saw {} resources, totalResults says {total:?}", seen.len()));
    }
    reasons
}
