//! Pictures: bars and lines on logarithmic scales, as SVG that is readable on light and on dark.

use std::fmt::Write as _;

use crate::report::{number, thousands};

/// Colours that can be told apart with any eyes, on white and on black.
const COLOURS: [&str; 7] =
    ["#3b7dd8", "#d9822b", "#2e9d6b", "#c2466e", "#7a62c9", "#8a7a12", "#2a97a8"];
const WIDTH: f64 = 760.0;

/// Groups of bars, one group per row.
pub(crate) struct Bars {
    pub(crate) title: String,
    pub(crate) series: Vec<String>,
    pub(crate) rows: Vec<(String, Vec<f64>)>,
}

/// Lines over a size that grows.
pub(crate) struct Lines {
    pub(crate) title: String,
    pub(crate) across: String,
    pub(crate) up: String,
    pub(crate) lines: Vec<(String, Vec<(usize, f64)>)>,
}

/// A logarithmic scale from powers of ten to a length.
struct Scale {
    low: f64,
    high: f64,
    length: f64,
}

impl Scale {
    fn over(values: impl Iterator<Item = f64>, length: f64) -> Self {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.filter(|value| *value > 0.0) {
            (low, high) = (low.min(value.log10().floor()), high.max(value.log10().ceil()));
        }
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        if (high - low).abs() < 0.5 {
            high += 1.0;
        }
        Self { low, high, length }
    }

    fn at(&self, value: f64) -> f64 {
        let part = (value.max(1e-9).log10() - self.low) / (self.high - self.low);
        part.clamp(0.0, 1.0) * self.length
    }

    fn marks(&self) -> impl Iterator<Item = f64> {
        let (low, high) = (self.low, self.high);
        std::iter::successors(Some(low), |power| Some(power + 1.0))
            .take_while(move |power| *power <= high + 0.1)
            .map(|power| 10f64.powf(power))
    }
}

/// A picture that is being drawn.
struct Picture(String);

impl Picture {
    fn new(height: f64, title: &str) -> Self {
        let mut picture = Self(String::new());
        picture.put(format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">\n\
             <title>{}</title>\n<style>\ntext {{ font: 12px sans-serif; fill: #24292f }}\n\
             .title {{ font-weight: bold; font-size: 14px }}\n.grid {{ stroke: #8884; stroke-width: 1 }}\n\
             @media (prefers-color-scheme: dark) {{ text {{ fill: #e6edf3 }} }}\n</style>\n",
            escaped(title)
        ));
        picture.text(10.0, 20.0, "start", "title", title);
        picture
    }

    fn put(&mut self, arguments: std::fmt::Arguments<'_>) {
        let written = self.0.write_fmt(arguments);
        debug_assert!(written.is_ok(), "writing into memory cannot fail");
    }

    fn text(&mut self, x: f64, y: f64, anchor: &str, class: &str, text: &str) {
        let text = escaped(text);
        self.put(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" class=\"{class}\">{text}</text>\n"
        ));
    }

    fn grid(&mut self, from: (f64, f64), to: (f64, f64)) {
        let ((x1, y1), (x2, y2)) = (from, to);
        self.put(format_args!(
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" class=\"grid\"/>\n"
        ));
    }

    fn bar(&mut self, (x, y): (f64, f64), width: f64, height: f64, colour: &str) {
        self.put(format_args!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{colour}\"/>\n"
        ));
    }

    fn line(&mut self, points: &[(f64, f64)], colour: &str) {
        let path: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let path = path.join(" ");
        self.put(format_args!(
            "<polyline points=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\n"
        ));
        for (x, y) in points {
            self.put(format_args!(
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"{colour}\"/>\n"
            ));
        }
    }

    fn done(mut self) -> String {
        self.0.push_str("</svg>\n");
        self.0
    }
}

fn colour(index: usize) -> &'static str {
    COLOURS.get(index % COLOURS.len()).copied().unwrap_or("#888888")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn index(value: usize) -> f64 {
    crate::load::count(u64::try_from(value).unwrap_or(u64::MAX))
}

impl Bars {
    pub(crate) fn svg(&self) -> String {
        const LEFT: f64 = 210.0;
        const TOP: f64 = 56.0;
        let bar = 11.0;
        let row = bar * index(self.series.len()) + 9.0;
        let bottom = TOP + row * index(self.rows.len());
        let values = self.rows.iter().flat_map(|(_, values)| values.iter().copied());
        let scale = Scale::over(values, WIDTH - LEFT - 70.0);
        let mut picture = Picture::new(bottom + 26.0, &self.title);
        for (number, name) in self.series.iter().enumerate() {
            let x = LEFT + 120.0 * index(number);
            picture.bar((x, 32.0), 12.0, 12.0, colour(number));
            picture.text(x + 18.0, 42.0, "start", "", name);
        }
        for mark in scale.marks() {
            let x = LEFT + scale.at(mark);
            picture.grid((x, TOP - 4.0), (x, bottom));
            picture.text(x, bottom + 16.0, "middle", "", &short(mark));
        }
        for (place, (label, values)) in self.rows.iter().enumerate() {
            let y = TOP + row * index(place);
            picture.text(LEFT - 8.0, y + row / 2.0, "end", "", label);
            for (number_of, value) in values.iter().enumerate().filter(|(_, value)| **value > 0.0) {
                let y = y + bar * index(number_of);
                let length = scale.at(*value);
                picture.bar((LEFT, y), length, bar - 1.0, colour(number_of));
                picture.text(LEFT + length + 4.0, y + 10.0, "start", "", &number(*value));
            }
        }
        picture.done()
    }
}

impl Lines {
    pub(crate) fn svg(&self) -> String {
        const LEFT: f64 = 70.0;
        const TOP: f64 = 40.0;
        const RIGHT: f64 = 230.0;
        const HEIGHT: f64 = 300.0;
        let points = || self.lines.iter().flat_map(|(_, points)| points.iter());
        let across = Scale::over(points().map(|(x, _)| index(*x)), WIDTH - LEFT - RIGHT);
        let up = Scale::over(points().map(|(_, y)| *y), HEIGHT);
        let mut picture = Picture::new(TOP + HEIGHT + 44.0, &self.title);
        for mark in up.marks() {
            let y = TOP + HEIGHT - up.at(mark);
            picture.grid((LEFT, y), (WIDTH - RIGHT, y));
            picture.text(LEFT - 6.0, y + 4.0, "end", "", &format!("{} {}", short(mark), self.up));
        }
        for mark in across.marks() {
            let x = LEFT + across.at(mark);
            picture.grid((x, TOP), (x, TOP + HEIGHT));
            picture.text(x, TOP + HEIGHT + 18.0, "middle", "", &short(mark));
        }
        let middle = LEFT + (WIDTH - LEFT - RIGHT) / 2.0;
        picture.text(middle, TOP + HEIGHT + 36.0, "middle", "", &self.across);
        for (place, (name, points)) in self.lines.iter().enumerate() {
            let at =
                |(x, y): &(usize, f64)| (LEFT + across.at(index(*x)), TOP + HEIGHT - up.at(*y));
            picture.line(&points.iter().map(at).collect::<Vec<_>>(), colour(place));
            let y = TOP + 12.0 + 20.0 * index(place);
            picture.bar((WIDTH - RIGHT + 20.0, y - 10.0), 12.0, 12.0, colour(place));
            picture.text(WIDTH - RIGHT + 38.0, y, "start", "", name);
        }
        picture.done()
    }
}

/// A power of ten as a label.
fn short(value: f64) -> String {
    if value >= 1.0 { thousands(crate::load::whole(value)) } else { format!("{value}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_spans_powers_of_ten() {
        let scale = Scale::over([20.0, 3_000.0].into_iter(), 300.0);
        assert!((scale.at(10.0) - 0.0).abs() < 1e-9);
        assert!((scale.at(100.0) - 100.0).abs() < 1e-9);
        assert_eq!(scale.marks().map(short).collect::<Vec<_>>(), ["10", "100", "1,000", "10,000"]);
    }

    #[test]
    fn pictures_are_readable_on_both_grounds() {
        let lines = Lines {
            title: "a < b".to_owned(),
            across: "users".to_owned(),
            up: "µs".to_owned(),
            lines: vec![("one".to_owned(), vec![(1_000, 10.0), (10_000, 20.0)])],
        };
        let svg = lines.svg();
        assert!(svg.contains("prefers-color-scheme: dark") && svg.contains("a &lt; b"), "{svg}");
        let bars = Bars {
            title: String::new(),
            series: vec!["s".to_owned()],
            rows: vec![("row".to_owned(), vec![5.0])],
        };
        assert!(bars.svg().contains("<rect"));
    }
}
