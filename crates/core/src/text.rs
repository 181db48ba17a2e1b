//! Characters that change how the text around them is shown.

/// Returns whether a character changes how a text around it is shown: a control character, which terminals obey, an
/// end of a line, or one that turns the direction of writing.
///
/// Joiners and other invisible characters do not: names in some scripts need them.
pub fn is_disruptive(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inj_05_s_d_what_terminals_obey_is_disruptive_and_letters_are_not() {
        for c in ['\0', '\t', '\n', '\u{1b}', '\u{7f}', '\u{85}', '\u{9b}', '\u{2028}', '\u{2029}']
        {
            assert!(is_disruptive(c), "{c:?}");
        }
        for c in ['\u{61c}', '\u{200e}', '\u{200f}', '\u{202a}', '\u{202e}', '\u{2066}', '\u{2069}']
        {
            assert!(is_disruptive(c), "{c:?}");
        }
        for c in [' ', 'a', 'ä', '\u{a0}', '\u{200c}', '\u{200d}', '\u{5d0}', '\u{627}', '日', '😀']
        {
            assert!(!is_disruptive(c), "{c:?}");
        }
    }
}
