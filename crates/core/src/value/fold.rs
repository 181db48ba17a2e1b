//! The one folding of text.

use unicode_normalization::UnicodeNormalization;

use super::invisible;

/// Returns the key under which two texts are the same whatever their case and width, and whatever in them
/// nobody sees: invisible characters anywhere, blanks at either end.
///
/// Canonical caseless matching (Unicode §3.13, D145) after mapping fullwidth and halfwidth forms, in
/// NFC. Whatever RFC 8265 `UsernameCaseMapped` takes for equal, this does; it also joins `ß` with
/// `ss` and the two small sigmas, so that no two accounts differ by a spelling of case.
pub fn fold(text: &str) -> String {
    let folded = fold_part(text);
    match folded.trim() {
        whole if whole.len() == folded.len() => folded,
        inner => inner.to_owned(),
    }
}

/// Returns the key of a part of a text, as [`fold`] does, but with its outer blanks: in `co "van "` they are
/// inside the text that is looked for.
pub fn fold_part(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let pass = |text: &str| -> String {
        let narrow = text.chars().flat_map(|c| match c {
            '\u{3000}' | '\u{ff00}'..='\u{ffef}' => Width::Mapped(c.nfkc()),
            other => Width::Kept(Some(other)),
        });
        let decomposed: String = narrow.filter(|c| !invisible::is_invisible(*c)).nfd().collect();
        caseless::default_case_fold_str(&decomposed).nfc().collect()
    };
    // Folding may compose or decompose so that a second pass still changes something; rarely a third.
    let mut folded = pass(text);
    for _ in 0..3 {
        let again = pass(&folded);
        if again == folded {
            break;
        }
        folded = again;
    }
    folded
}

enum Width<I> {
    Mapped(I),
    Kept(Option<char>),
}

impl<I: Iterator<Item = char>> Iterator for Width<I> {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        match self {
            Self::Mapped(inner) => inner.next(),
            Self::Kept(one) => one.take(),
        }
    }
}
