//! A small chart, drawn by the server.

use std::fmt::Write as _;

use headcount_core::clock::Timestamp;
use headcount_records::activity::Happened;
use headcount_records::describe::moment;

use crate::format::{html, number};

const HEIGHT: u64 = 96;
const BAR: u64 = 10;
const STEP: u64 = 14;

/// One slot: what happened, what was refused, and when it began.
pub(crate) struct Bar {
    pub(crate) happened: Happened,
    pub(crate) refused: u64,
    pub(crate) begins: Timestamp,
}

impl Bar {
    fn parts(&self) -> [(&'static str, &'static str, u64); 4] {
        [
            ("created", "bar-created", self.happened.created),
            ("changed", "bar-changed", self.happened.changed),
            ("deleted", "bar-deleted", self.happened.deleted),
            ("refused", "bar-refused", self.refused),
        ]
    }

    pub(crate) fn total(&self) -> u64 {
        self.parts().iter().map(|(_, _, amount)| amount).sum()
    }
}

/// Draws the bars; nothing when nothing happened.
pub(crate) fn draw(bars: &[Bar], described: &str) -> String {
    let most = bars.iter().map(Bar::total).max().unwrap_or(0);
    if most == 0 {
        return String::new();
    }
    let width = STEP * u64::try_from(bars.len()).unwrap_or(0);
    let mut svg = format!(
        "<svg class=\"chart\" viewBox=\"0 0 {width} {}\" role=\"img\" aria-label=\"{}\" preserveAspectRatio=\"none\">",
        HEIGHT + 1,
        html(described)
    );
    for (x, bar) in (0..).step_by(usize::try_from(STEP).unwrap_or(1)).zip(bars) {
        let mut y = HEIGHT;
        let told: Vec<String> = bar
            .parts()
            .iter()
            .filter(|(.., amount)| *amount > 0)
            .map(|(word, _, amount)| format!("{} {word}", number(*amount)))
            .collect();
        let told = if told.is_empty() { "nothing".to_owned() } else { told.join(", ") };
        // Writing to a text cannot fail.
        let (iso, utc) = (html(&bar.begins.to_string()), html(&moment(bar.begins)));
        let _done =
            write!(svg, "<g><title data-at=\"{iso}\" data-told=\"{told}\">{utc}: {told}</title>");
        let _done = write!(
            svg,
            "<rect class=\"bar-empty\" x=\"{x}\" y=\"0\" width=\"{BAR}\" height=\"{HEIGHT}\"/>"
        );
        for (_, class, amount) in bar.parts() {
            // The smallest amount is still seen.
            let height = (amount * (HEIGHT - 8) / most).max(if amount > 0 { 2 } else { 0 });
            y = y.saturating_sub(height);
            if height > 0 {
                let _done = write!(
                    svg,
                    "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{BAR}\" height=\"{height}\"/>"
                );
            }
        }
        svg.push_str("</g>");
    }
    svg.push_str("</svg>");
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_shows_what_there_is_and_nothing_when_there_is_nothing() {
        let bar = |created, refused| Bar {
            happened: Happened { created, ..Happened::default() },
            refused,
            begins: Timestamp::from_micros(0),
        };
        assert_eq!(draw(&[bar(0, 0), bar(0, 0)], ""), "");
        let svg = draw(&[bar(1_000_000, 1), bar(0, 0)], "\"x\"");
        assert!(
            svg.contains("1970-01-01 00:00:00 UTC: 1\u{202f}000\u{202f}000 created, 1 refused<"),
            "{svg}"
        );
        assert!(svg.contains("height=\"87\"") && svg.contains("height=\"2\""), "{svg}");
        assert!(svg.contains("aria-label=\"&quot;x&quot;\""), "{svg}");
    }
}
