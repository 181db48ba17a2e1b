//! Characters that are not drawn, and therefore do not distinguish names.

/// Invisible code points: the default-ignorable ones of Unicode, and the other format characters (Cf).
/// Sorted; both ends belong to a range.
///
/// The format characters that are drawn, such as U+06DD around digits, are not among them.
const INVISIBLE: [(char, char); 18] = [
    ('\u{ad}', '\u{ad}'),
    ('\u{34f}', '\u{34f}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{115f}', '\u{1160}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180b}', '\u{180f}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{202a}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{ffa0}', '\u{ffa0}'),
    ('\u{fff0}', '\u{fffb}'),
    ('\u{13430}', '\u{1343f}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0000}', '\u{e0fff}'),
];

/// Returns whether a character is invisible.
pub(super) fn is_invisible(c: char) -> bool {
    // The soft hyphen is the first one.
    if c < '\u{ad}' {
        return false;
    }
    INVISIBLE.iter().any(|(first, last)| (*first..=*last).contains(&c))
}

#[cfg(test)]
mod tests {
    use regex::Regex;

    use super::*;

    #[test]
    fn a9_what_is_invisible_is_what_unicode_says() {
        // Property tables of another crate. Format characters that are drawn are left out by name.
        let unicode = Regex::new(r"^[\p{Default_Ignorable_Code_Point}\p{Cf}]$").unwrap();
        let drawn = Regex::new(r"^\p{Prepended_Concatenation_Mark}$").unwrap();
        let mut wrong = Vec::new();
        for c in '\u{0}'..=char::MAX {
            let text = c.to_string();
            let expected = unicode.is_match(&text) && !drawn.is_match(&text);
            if is_invisible(c) != expected {
                wrong.push(format!("{:04x}", u32::from(c)));
            }
        }
        assert!(wrong.is_empty(), "{wrong:?}");
    }
}
