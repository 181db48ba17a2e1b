//! Encrypts the cursors that clients hand back, with a key that all replicas share.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{Key, KeyInit, XChaCha20Poly1305, XNonce};
use headcount_core::cursor::CursorCipher;

/// Bytes of the nonce, which is before the encrypted text. With 192 random bits it never repeats.
const NONCE_BYTES: usize = 24;

/// XChaCha20-Poly1305 under one key; the purpose is authenticated with the text.
pub(crate) struct SharedKeyCipher(XChaCha20Poly1305);

impl SharedKeyCipher {
    /// Takes 32 bytes of key.
    pub(crate) fn new(key: &[u8]) -> anyhow::Result<Self> {
        let key = Key::try_from(key)
            .map_err(|_bad| anyhow::anyhow!("the key for cursors in the database is damaged"))?;
        Ok(Self(XChaCha20Poly1305::new(&key)))
    }
}

impl CursorCipher for SharedKeyCipher {
    fn encrypt(&self, text: &str, purpose: &str) -> String {
        let nonce: [u8; NONCE_BYTES] = rand::random();
        let payload = Payload { msg: text.as_bytes(), aad: purpose.as_bytes() };
        // Encrypting fails only for texts over the limit of the cipher; these are far below.
        let encrypted = self.0.encrypt(&XNonce::from(nonce), payload).unwrap_or_default();
        URL_SAFE_NO_PAD.encode([&nonce[..], &encrypted].concat())
    }

    fn decrypt(&self, encrypted: &str, purpose: &str) -> Option<String> {
        let bytes = URL_SAFE_NO_PAD.decode(encrypted).ok()?;
        let (nonce, encrypted) = bytes.split_first_chunk::<NONCE_BYTES>()?;
        let payload = Payload { msg: encrypted, aad: purpose.as_bytes() };
        String::from_utf8(self.0.decrypt(&XNonce::from(*nonce), payload).ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use headcount_provider_conformance::fuzz::{self, Effort, FEW};

    use super::*;

    #[test]
    fn cur_004_cur_007_cur_012_what_is_encrypted_is_opaque_and_cannot_be_changed() {
        let cipher = SharedKeyCipher::new(&[7; 32]).unwrap();
        let text = "1 0 0 @somebody";
        let encrypted = cipher.encrypt(text, "cursor 1");
        let unreserved = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
        assert!(encrypted.chars().all(unreserved), "{encrypted}");
        assert!(!URL_SAFE_NO_PAD.decode(&encrypted).unwrap().windows(8).any(|w| w == b"somebody"));
        assert_eq!(cipher.decrypt(&encrypted, "cursor 1").as_deref(), Some(text));
        assert_ne!(cipher.encrypt(text, "cursor 1"), encrypted);
        assert_eq!(cipher.decrypt(&encrypted, "cursor 2"), None);
        assert_eq!(SharedKeyCipher::new(&[8; 32]).unwrap().decrypt(&encrypted, "cursor 1"), None);
        let mut bytes = URL_SAFE_NO_PAD.decode(&encrypted).unwrap();
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(cipher.decrypt(&URL_SAFE_NO_PAD.encode(&bytes), "cursor 1"), None);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        for bad in ["", "a", "AAAA", "!!!!", "=", "ü"] {
            assert_eq!(cipher.decrypt(bad, "cursor 1"), None, "{bad}");
        }
    }

    /// Only what this key has encrypted for this purpose is opened, and only in the letters it was given
    /// out in.
    fn fuzzed(effort: Effort) {
        let cipher = SharedKeyCipher::new(&[7; 32]).unwrap();
        let words = ["A", "_", "-", "=", "+", "/", "@", " ", "\u{e4}"];
        fuzz::run("cursor", &words, effort, |input| {
            let text = String::from_utf8_lossy(input).into_owned();
            assert_eq!(cipher.decrypt(&text, "cursor 1"), None, "{text}");
            let encrypted = cipher.encrypt(&text, "cursor 1");
            assert_eq!(cipher.decrypt(&encrypted, "cursor 1").as_deref(), Some(&*text));
            assert_eq!(cipher.decrypt(&encrypted, &format!("cursor 1{text}x")), None);
            // The input says where the encrypted text is damaged, and by what.
            let mut damaged = encrypted.clone().into_bytes();
            for (index, byte) in input.iter().enumerate().take(4) {
                let at = (index * 31 + usize::from(*byte)) % damaged.len();
                match byte % 3 {
                    0 => damaged.insert(at, *byte),
                    1 => drop(damaged.remove(at)),
                    _ => damaged[at] = *byte,
                }
            }
            let damaged = String::from_utf8_lossy(&damaged).into_owned();
            assert!(
                damaged == encrypted || cipher.decrypt(&damaged, "cursor 1").is_none(),
                "{damaged}"
            );
            damaged != encrypted
        });
    }

    #[test]
    fn cur_007_no_mutation_of_a_cursor_is_opened() {
        fuzzed(Effort { seed: 1, inputs: FEW, time: Duration::ZERO });
    }

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "the soak command says how long and from which seed"
    )]
    fn soak() {
        let setting = |name| std::env::var(name).ok().and_then(|text: String| text.parse().ok());
        let time = Duration::from_secs(setting("HEADCOUNT_SOAK_SECONDS").unwrap_or(0));
        let seed = setting("HEADCOUNT_SOAK_SEED").unwrap_or(1_000);
        fuzzed(Effort { seed, inputs: FEW, time });
    }
}
