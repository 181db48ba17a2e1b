//! What may be kept of a body: everything but secrets.

use std::borrow::Cow;

use memchr::memmem::Finder;
use serde_json::Value;

/// The longest text of a body that is kept, in bytes.
pub(super) const MAX_BYTES: usize = 4 * 1024;

/// The text in place of a secret.
const MASK: &str = "(not kept)";

/// Parts of attribute names whose values are not kept, at any depth.
const SECRET: [&str; 6] = ["password", "passwd", "secret", "token", "credential", "privatekey"];

/// The prefixes of tokens.
const PREFIXES: [&str; 2] = ["hc_", "hca_"];

/// Masks the secrets in a body: values of attributes that are never returned, or whose names suggest a secret,
/// and texts that look like tokens. `never` are the names, in lower case, of the attributes that a schema
/// marks `returned: never`.
pub(super) fn mask(value: &mut Value, never: &[String]) {
    match value {
        Value::Object(map) => {
            // `{"op": "replace", "path": "password", "value": "…"}`
            let about_secret = map.iter().any(|(name, value)| {
                name.eq_ignore_ascii_case("path")
                    && value.as_str().is_some_and(|path| is_secret(path, never))
            });
            for (name, value) in map.iter_mut() {
                let value_of_secret = about_secret && name.eq_ignore_ascii_case("value");
                // `password eq "…"`, alone or inside a path
                let compares_secret = value.as_str().is_some_and(|text| {
                    let is_filter = name.eq_ignore_ascii_case("filter")
                        || name.eq_ignore_ascii_case("path") && text.contains('"');
                    is_filter && is_secret(text, never)
                });
                if is_secret(name, never) || value_of_secret || compares_secret {
                    *value = MASK.into();
                } else {
                    mask(value, never);
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| mask(value, never)),
        Value::String(text) => {
            if looks_like_token(text) {
                MASK.clone_into(text);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// What a text that is kept unchanged must not contain: a word that suggests a secret, or an escape that could
/// hide a letter of one.
#[derive(Debug, Clone)]
pub(super) struct Words(Vec<Finder<'static>>);

impl Words {
    /// Builds the words from those known here and the attributes that are never returned, in lower case.
    pub(super) fn new(never: &[String]) -> Self {
        let words = SECRET.into_iter().chain(PREFIXES).chain([r"\u"]);
        let words: Vec<&str> = words.chain(never.iter().map(String::as_str)).collect();
        // A text with a word also has each part of it: the shortest words suffice.
        let (mut kept, mut rest) = (Vec::new(), words);
        rest.sort_by_key(|word| word.len());
        for word in rest {
            if !kept.iter().any(|part| word.contains(part)) {
                kept.push(word);
            }
        }
        Self(kept.into_iter().map(|word| Finder::new(word).into_owned()).collect())
    }

    /// Checks that [`mask`] would change nothing in a JSON text, without parsing it.
    pub(super) fn are_absent(&self, text: &str) -> bool {
        // Searching one copy in lower case, word by word, is faster than searching the text in any case.
        let lower = text.to_ascii_lowercase();
        !self.0.iter().any(|word| word.find(lower.as_bytes()).is_some())
    }
}

/// Checks whether an attribute or a path is about a secret.
fn is_secret(name: &str, never: &[String]) -> bool {
    let lower = name.to_ascii_lowercase();
    SECRET.iter().any(|word| lower.contains(word))
        || lower.split(['.', ':', '[', ']', ' ']).any(|part| never.iter().any(|name| name == part))
}

/// Checks whether a text contains a token, as when it is pasted into the wrong field:
/// `hc_` or `hca_`, sixteen letters or digits, and an underscore.
pub(super) fn looks_like_token(text: &str) -> bool {
    PREFIXES.iter().any(|prefix| {
        text.contains(prefix)
            && text.match_indices(prefix).any(|(at, _)| {
                let rest = text.as_bytes().get(at + prefix.len()..).unwrap_or_default();
                let id = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
                id >= 16 && rest.get(id) == Some(&b'_')
            })
    })
}

/// How often a text is decoded in search of a token: proxies encode what was encoded before.
const MAX_ENCODED: usize = 3;

/// Returns whether a text contains a token, also one that is percent-encoded. Such a text is recorded nowhere.
pub fn holds_token(text: &str) -> bool {
    let mut text = Cow::Borrowed(text);
    for _ in 0..MAX_ENCODED {
        if looks_like_token(&text) {
            return true;
        }
        let Some(decoded) = decode(&text) else { return false };
        text = Cow::Owned(decoded);
    }
    looks_like_token(&text)
}

/// Decodes a percent-encoded text; `None` if nothing in it is encoded.
fn decode(text: &str) -> Option<String> {
    let (mut decoded, mut rest, mut any) = (Vec::new(), text.as_bytes(), false);
    while let Some((byte, after)) = rest.split_first() {
        let digits = after.get(..2).filter(|_| *byte == b'%');
        let digits = digits.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let code = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(code) => {
                decoded.push(code);
                rest = after.get(2..).unwrap_or_default();
                any = true;
            }
            None => {
                decoded.push(*byte);
                rest = after;
            }
        }
    }
    any.then(|| String::from_utf8_lossy(&decoded).into_owned())
}

/// Masks a text that contains a token.
pub(super) fn token(text: String) -> String {
    if holds_token(&text) { MASK.to_owned() } else { text }
}

/// Masks a line of text, such as a path, a filter or a reason. One that names a secret may contain it.
pub(super) fn line(text: String, never: &[String]) -> String {
    if holds_token(&text) || is_secret(&text, never) { MASK.to_owned() } else { text }
}

/// Cuts a text at the limit and appends how much is missing.
pub(super) fn cut(text: &str) -> String {
    if text.len() <= MAX_BYTES {
        return text.to_owned();
    }
    let (kept, missing) = text.split_at(text.floor_char_boundary(MAX_BYTES));
    format!("{kept}… ({} bytes more)", missing.len())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pwd_01_secrets_are_not_kept_wherever_they_stand() {
        let never = vec!["pin".to_owned()];
        let mut body = json!({
            "userName": "jane", "password": "p1", "PassWord": "p2", "PIN": 4711,
            "urn:example:badge": {"pin": 4712, "clientSecret": "s"},
            "emails": [{"value": "jane@example.com", "accessToken": "t"}],
            "filter": "password sw \"p6\"",
            "Operations": [
                {"op": "remove", "path": "badges[pin eq \"p7\"]"},
                {"op": "replace", "path": "password", "value": "p3"},
                {"op": "replace", "path": "urn:example:badge:pin", "value": {"deep": "p4"}},
                {"op": "replace", "value": {"password": "p5", "title": "Engineer"}},
                {"op": "replace", "path": "title", "value": "hc_0123456789abcdef_0123"},
                {"op": "replace", "path": "nickName", "value": "hc_short_word"}
            ]
        });
        let words = Words::new(&never);
        for part in body.as_object().into_iter().flatten() {
            let text = json!({part.0.as_str(): part.1}).to_string();
            assert_eq!(words.are_absent(&text), part.0 == "userName", "{text}");
        }
        assert!(!words.are_absent(r#"{"p\u0061ssword": "p"}"#));
        mask(&mut body, &never);
        let text = body.to_string();
        for secret in
            ["p1", "p2", "p3", "p4", "p5", "p6", "p7", "4711", "4712", "\"s\"", "\"t\"", "hc_01"]
        {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
        for kept in ["jane@example.com", "Engineer", "hc_short", "\"path\":\"password\""] {
            assert!(text.contains(kept), "{kept} in {text}");
        }
    }

    #[test]
    fn pwd_01_a_line_that_names_a_secret_is_not_kept() {
        let never = vec!["pin".to_owned()];
        for text in ["password eq \"p\"", "urn:x:badge:pin eq 4", "/Users/hca_0123456789abcdef_x"] {
            assert_eq!(line(text.to_owned(), &never), MASK);
        }
        assert_eq!(line("userName eq \"pink\"".to_owned(), &never), "userName eq \"pink\"");
    }

    #[test]
    fn tok_11_s_c_a_token_is_found_however_often_it_is_encoded() {
        let token = "hc_0123456789abcdef_0123456789";
        assert!(holds_token(token) && holds_token(&format!("Mozilla/5.0 ({token})")));
        let mut encoded = token.to_owned();
        for _ in 0..MAX_ENCODED {
            encoded = encoded.replace('%', "%25").replace('_', "%5f").replace('h', "%68");
            assert!(holds_token(&encoded), "{encoded}");
        }
        for harmless in ["", "/Users/%", "%zz%4", "a%20b", "hc_short_word", "%68%63%5f"] {
            assert!(!holds_token(harmless), "{harmless}");
        }
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let text = cut(&"ä".repeat(MAX_BYTES));
        assert!(text.len() < MAX_BYTES + 40 && text.ends_with("bytes more)"));
        assert_eq!(cut("short"), "short");
    }
}
