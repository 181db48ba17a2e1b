//! A small chart, drawn by the server.

use headcount_core::clock::Timestamp;
use headcount_records::activity::Happened;
use headcount_records::describe::moment;

use crate::format::{html, number};

/// Sizes in units of the drawing.
const HEIGHT: u64 = 96;
const BAR_WIDTH: u64 = 10;
const BAR_STEP: u64 = 14;
/// Room above the highest bar.
const MARGIN: u64 = 8;
/// The smallest amount is still seen.
const MIN_HEIGHT: u64 = 2;

/// One slot: what happened, what was refused, and when it began.
pub(crate) struct Bar {
    pub(crate) happened: Happened,
    pub(crate) refused: u64,
    pub(crate) begins: Timestamp,
}

/// The parts of a bar from the bottom up: word and class.
const PARTS: [(&str, &str); 4] = [
    ("created", "bar-created"),
    ("changed", "bar-changed"),
    ("deleted", "bar-deleted"),
    ("refused", "bar-refused"),
];

impl Bar {
    /// Returns the amount of each part.
    fn amounts(&self) -> [u64; 4] {
        let Happened { created, changed, deleted } = self.happened;
        [created, changed, deleted, self.refused]
    }

    /// Returns the height of the bar.
    pub(crate) fn total(&self) -> u64 {
        self.amounts().iter().sum()
    }

    /// Returns the parts of all bars together: word, class and amount.
    pub(crate) fn sums(bars: &[Self]) -> [(&'static str, &'static str, u64); 4] {
        let mut sums = PARTS.map(|(word, class)| (word, class, 0));
        for bar in bars {
            for ((.., sum), amount) in sums.iter_mut().zip(bar.amounts()) {
                *sum += amount;
            }
        }
        sums
    }

    /// Describes the bar: `3 created, 1 refused`.
    fn summary(&self) -> String {
        let parts: Vec<String> = PARTS
            .iter()
            .zip(self.amounts())
            .filter(|(_, amount)| *amount > 0)
            .map(|((word, _), amount)| format!("{} {word}", number(amount)))
            .collect();
        if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") }
    }
}

/// Draws the bars; returns an empty text when nothing happened.
pub(crate) fn draw(bars: &[Bar], label: &str) -> String {
    let highest = bars.iter().map(Bar::total).max().unwrap_or(0);
    if highest == 0 {
        return String::new();
    }
    let width = BAR_STEP * u64::try_from(bars.len()).unwrap_or(0);
    let mut svg = format!(
        "<svg class=\"chart\" viewBox=\"0 0 {width} {}\" role=\"img\" aria-label=\"{}\" preserveAspectRatio=\"none\">",
        HEIGHT + 1,
        html(label)
    );
    for (x, bar) in (0..).step_by(usize::try_from(BAR_STEP).unwrap_or(1)).zip(bars) {
        let (iso, utc) = (html(&bar.begins.to_string()), html(&moment(bar.begins)));
        let summary = bar.summary();
        svg += &format!(
            "<g><title data-at=\"{iso}\" data-summary=\"{summary}\">{utc}: {summary}</title>"
        );
        svg += &rectangle("bar-empty", x, 0, HEIGHT);
        let mut y = HEIGHT;
        for ((_, class), amount) in PARTS.iter().zip(bar.amounts()) {
            if amount > 0 {
                let height = (amount * (HEIGHT - MARGIN) / highest).max(MIN_HEIGHT);
                y = y.saturating_sub(height);
                svg += &rectangle(class, x, y, height);
            }
        }
        svg += "</g>";
    }
    svg + "</svg>"
}

fn rectangle(class: &str, x: u64, y: u64, height: u64) -> String {
    format!(
        "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{BAR_WIDTH}\" height=\"{height}\"/>"
    )
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
        assert!(svg.contains("aria-label=\"&#34;x&#34;\""), "{svg}");
    }
}
