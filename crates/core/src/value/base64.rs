//! Bytes as texts (RFC 7643 §2.3.6).

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Returns base64 in the one form of RFC 4648 §4: with padding, which clients may leave out, and with
/// zeros for the unused bits.
pub(crate) fn canonical(text: &str) -> Option<String> {
    let body = text.trim_end_matches('=');
    let padding = text.len() - body.len();
    let due = match body.len() % 4 {
        0 => 0,
        2 => 2,
        3 => 1,
        _ => return None,
    };
    if (padding != 0 && padding != due) || !body.bytes().all(|byte| ALPHABET.contains(&byte)) {
        return None;
    }
    let mut out = body.to_owned();
    if let Some(last) = out.pop() {
        let value = ALPHABET.iter().position(|byte| char::from(*byte) == last)?;
        let kept = value >> (2 * due) << (2 * due);
        out.push(char::from(*ALPHABET.get(kept)?));
    }
    out.push_str("==".get(..due)?);
    Some(out)
}

/// Returns base64 in its canonical form, also from the URL-safe alphabet (RFC 4648 §5). Values that early
/// releases stored may have any form.
pub(crate) fn canonical_of_any(text: &str) -> Option<String> {
    match text.contains(['-', '_']) {
        true => canonical(&ordinary(text)),
        false => canonical(text),
    }
}

/// Replaces the URL-safe alphabet by the ordinary one.
pub(crate) fn ordinary(text: &str) -> String {
    text.replace('-', "+").replace('_', "/")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn x_02_bytes_have_one_spelling() {
        for (text, same) in [
            ("", ""),
            ("AQID", "AQID"),
            ("AQI", "AQI="),
            ("AQI=", "AQI="),
            ("AQJ=", "AQI="),
            ("AQ", "AQ=="),
            ("AR==", "AQ=="),
            ("+/8=", "+/8="),
        ] {
            assert_eq!(canonical(text).as_deref(), Some(same), "{text}");
        }
        for bad in ["A", "AQ=", "AQI==", "AQID=", "-_8=", "A Q", "=", "AQ==AQ", "ä"] {
            assert_eq!(canonical(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn x_02_the_canonical_spelling_stays(text in "[A-Za-z0-9+/]{0,12}={0,2}") {
            if let Some(one) = canonical(&text) {
                prop_assert_eq!(one.len() % 4, 0);
                prop_assert_eq!(canonical(&one), Some(one.clone()));
                prop_assert_eq!(canonical(one.trim_end_matches('=')), Some(one));
            }
        }
    }
}
