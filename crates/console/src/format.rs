//! Times, numbers and commands as people read them.

use askama::filters::{Html, escape as escape_html};
use headcount_core::clock::Timestamp;
use headcount_records::describe::moment;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};

/// Escapes a text for HTML, attribute values included.
pub(crate) fn html(text: &str) -> String {
    let Ok(escaped) = escape_html(text, Html);
    escaped.to_string()
}

/// What a query escapes. A space becomes `%20`: not every server reads `+` as one.
const QUERY: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// Escapes a text for a query.
pub(crate) fn escape(text: &str) -> PercentEncode<'_> {
    utf8_percent_encode(text, QUERY)
}

/// Makes a query of fields, without those that are empty.
pub(crate) fn query(fields: &[(&str, &str)]) -> String {
    let pairs: Vec<String> = fields
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{}={}", escape(name), escape(value)))
        .collect();
    if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
}

/// Writes a moment as an element: in UTC without a script, in the reader's zone with one, and UTC on hover.
pub(crate) fn time(at: Timestamp) -> String {
    let (iso, utc) = (html(&at.to_string()), html(&moment(at)));
    let short = utc.get(..16).unwrap_or(&utc);
    format!("<time datetime=\"{iso}\" title=\"{utc}\">{short} UTC</time>")
}

/// As [`time`], with the distance from now in words.
pub(crate) fn ago(at: Timestamp, now: Timestamp) -> String {
    let (iso, utc) = (html(&at.to_string()), html(&moment(at)));
    format!("<time data-ago datetime=\"{iso}\" title=\"{utc}\">{}</time>", distance(at, now))
}

/// Describes how far a moment is from now.
pub(crate) fn distance(at: Timestamp, now: Timestamp) -> String {
    let seconds = (now.micros() - at.micros()) / 1_000_000;
    let (amount, future) = (seconds.abs(), seconds < 0);
    let (number, unit) = match amount {
        0..60 => return if future { "in a moment" } else { "just now" }.to_owned(),
        60..3_600 => (amount / 60, "minute"),
        3_600..86_400 => (amount / 3_600, "hour"),
        // Rounded: a token that was just created for 180 days must not end in 179.
        _ => ((amount + 43_200) / 86_400, "day"),
    };
    let plural = if number == 1 { "" } else { "s" };
    match future {
        true => format!("in {number} {unit}{plural}"),
        false => format!("{number} {unit}{plural} ago"),
    }
}

/// Writes a number with a thin space between thousands.
pub(crate) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    grouped
}

/// Quotes an argument for a shell if necessary.
pub(crate) fn quote(text: &str) -> String {
    let is_plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:,@=+".contains(c));
    match is_plain && !text.is_empty() {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

/// Writes a JSON value: a text as it is, everything else as JSON.
pub(crate) fn plain(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_times_and_commands_are_readable() {
        assert_eq!(number(0), "0");
        assert_eq!(number(1_234_567), "1\u{202f}234\u{202f}567");
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        assert_eq!(distance(at(0), at(59)), "just now");
        assert_eq!(distance(at(0), at(60)), "1 minute ago");
        assert_eq!(distance(at(0), at(7_200)), "2 hours ago");
        assert_eq!(distance(at(5 * 86_400), at(0)), "in 5 days");
        assert_eq!(quote("entra"), "entra");
        assert_eq!(quote("it's"), "'it'\\''s'");
        assert_eq!(quote(""), "''");
        assert_eq!(query(&[("q", "a b&c"), ("x", "")]), "?q=a%20b%26c");
        assert_eq!(html("<a href='x'>&\""), "&#60;a href=&#39;x&#39;&#62;&#38;&#34;");
    }
}
