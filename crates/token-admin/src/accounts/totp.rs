//! Codes from an authenticator (RFC 6238: HMAC-SHA-1, 30 seconds, six digits).

use data_encoding::BASE32_NOPAD;
use headcount_core::clock::Timestamp;
use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha1::Sha1;
use subtle::ConstantTimeEq;

/// Seconds for which a code is the current one.
const STEP: i64 = 30;
/// RFC 4226 §4 recommends 160 bits.
const BYTES: usize = 20;
/// What the label of an address escapes.
const LABEL: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The secret that an account shares with an authenticator. Cannot be printed by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct TotpSecret(Vec<u8>);

impl TotpSecret {
    /// Makes a new random secret.
    pub fn generate() -> Self {
        Self(rand::random::<[u8; BYTES]>().to_vec())
    }

    /// Takes the bytes of a secret; `None` when these are not as many.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        (bytes.len() == BYTES).then(|| Self(bytes.to_vec()))
    }

    /// Returns the bytes, to be sealed.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Reads what [`TotpSecret::text`] wrote; none when it is not that.
    pub fn parse(text: &str) -> Option<Self> {
        let compact = text.replace(|c: char| c.is_ascii_whitespace(), "").to_ascii_uppercase();
        let bytes = BASE32_NOPAD.decode(compact.as_bytes()).ok()?;
        (bytes.len() == BYTES).then_some(Self(bytes))
    }

    /// Writes the secret as authenticators take it: base 32 in groups of four.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (index, letter) in BASE32_NOPAD.encode(&self.0).char_indices() {
            if index > 0 && index.is_multiple_of(4) {
                text.push(' ');
            }
            text.push(letter);
        }
        text
    }

    /// Writes the address by which an authenticator on the same device takes the secret.
    pub fn address(&self, name: &str) -> String {
        let label = utf8_percent_encode(name, LABEL);
        let secret = BASE32_NOPAD.encode(&self.0);
        format!("otpauth://totp/Headcount:{label}?secret={secret}&issuer=Headcount")
    }

    /// Returns the number of the step that a code belongs to, when that is the current one or a
    /// neighbour of it (RFC 6238 §5.2).
    ///
    /// A step may be used once: the caller keeps its number.
    pub fn step_of(&self, code: &str, now: Timestamp) -> Option<i64> {
        let typed: String = code.chars().filter(|c| !c.is_whitespace()).collect();
        let current = now.micros().div_euclid(1_000_000 * STEP);
        [current, current - 1, current + 1]
            .into_iter()
            .find(|step| self.code(*step).as_bytes().ct_eq(typed.as_bytes()).into())
    }

    /// RFC 4226 §5.3 over the number of the step.
    pub(super) fn code(&self, step: i64) -> String {
        let mut mac = <Hmac<Sha1> as KeyInit>::new_from_slice(&self.0)
            .unwrap_or_else(|_| Hmac::new(&Default::default()));
        mac.update(&step.to_be_bytes());
        let digest = mac.finalize().into_bytes();
        let offset = digest.last().map_or(0, |last| usize::from(last & 0x0f));
        let four = digest.get(offset..offset + 4).and_then(|four| four.try_into().ok());
        let number = u32::from_be_bytes(four.unwrap_or_default()) & 0x7fff_ffff;
        format!("{:06}", number % 1_000_000)
    }
}

impl std::fmt::Debug for TotpSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TotpSecret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adm_16_the_vectors_of_rfc_6238_hold() {
        let secret = TotpSecret::from_bytes(b"12345678901234567890").unwrap();
        // RFC 6238 Appendix B, the last six of eight digits.
        for (second, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(secret.code(second / 30), code);
            let at = |seconds: i64| Timestamp::from_micros((second + seconds) * 1_000_000);
            assert_eq!(secret.step_of(code, at(0)), Some(second / 30));
            assert_eq!(secret.step_of(code, at(30)), Some(second / 30));
            assert_eq!(secret.step_of(code, at(90)), None);
        }
    }

    #[test]
    fn a_secret_reads_back_from_its_text() {
        let secret = TotpSecret::from_bytes(b"12345678901234567890").unwrap();
        assert_eq!(secret.text().replace(' ', ""), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        assert_eq!(TotpSecret::parse(&secret.text()), Some(secret));
        let made = TotpSecret::generate();
        assert_eq!(TotpSecret::parse(&made.text().to_lowercase()), Some(made));
        assert_eq!(TotpSecret::parse("0189"), None);
    }
}
