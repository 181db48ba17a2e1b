//! The one case folding of text.

use unicode_normalization::UnicodeNormalization;

use super::invisible;

/// Returns the key that is equal for two texts that differ only in case, in width, in invisible
/// characters, or in blanks at either end.
///
/// Canonical caseless matching (Unicode §3.13, D145) after mapping fullwidth and halfwidth forms, in
/// NFC. Texts that RFC 8265 `UsernameCaseMapped` makes equal have equal keys; so have `ß` and `ss`, and
/// the two small sigmas.
pub fn fold(text: &str) -> String {
    let folded = fold_part(text);
    match folded.trim() {
        whole if whole.len() == folded.len() => folded,
        inner => inner.to_owned(),
    }
}

/// Returns the key of a part of a text: like [`fold`], but with the outer blanks. Those of `co "van "` are
/// inside the text that is searched.
pub fn fold_part(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    // Folding may compose or decompose so that a second pass still changes something; rarely a third.
    let mut folded = fold_once(text);
    for _ in 0..3 {
        let again = fold_once(&folded);
        if again == folded {
            break;
        }
        folded = again;
    }
    folded
}

fn fold_once(text: &str) -> String {
    let narrow = text.chars().flat_map(|c| match c {
        '\u{3000}' | '\u{ff00}'..='\u{ffef}' => Width::Mapped(c.nfkc()),
        other => Width::Kept(Some(other)),
    });
    let decomposed: String = narrow.filter(|c| !invisible::is_invisible(*c)).nfd().collect();
    caseless::default_case_fold_str(&decomposed).nfc().collect()
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
