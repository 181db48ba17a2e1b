//! What the server's own key protects: the secrets of second factors, and the cookies that know a device.

use std::time::Duration;

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{Key, KeyInit as _, XChaCha20Poly1305, XNonce};
use data_encoding::HEXLOWER;
use headcount_core::clock::Timestamp;
use hmac::{Hmac, Mac as _};
use secrecy::{ExposeSecret as _, SecretBox, SecretString};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use super::TotpSecret;

/// Bytes of a key.
const KEY_BYTES: usize = 32;
/// Bytes of the nonce before the sealed secret. With 192 random bits it never repeats.
const NONCE_BYTES: usize = 24;
/// The first byte of what this release seals.
const FORMAT: u8 = 1;
/// How long the cookie of a device counts.
pub const DEVICE_LIFE: Duration = Duration::from_secs(90 * 24 * 60 * 60);

type KeyBytes = [u8; KEY_BYTES];

/// The secret of a second factor as it is stored.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedTotp(Vec<u8>);

impl SealedTotp {
    /// Takes the bytes out of a store.
    pub fn from_store(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Gives the bytes to a store.
    pub fn to_store(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for SealedTotp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealedTotp")
    }
}

/// A secret that was opened.
pub(super) struct Opened {
    pub(super) secret: TotpSecret,
    /// Whether it was sealed with the present key.
    pub(super) current: bool,
}

/// The keys with which the server protects what it stores of accounts: the present one, and older ones that still
/// open what they sealed.
pub struct AccountKeys {
    current: SecretBox<KeyBytes>,
    older: Vec<SecretBox<KeyBytes>>,
}

impl AccountKeys {
    /// Takes keys of 32 bytes, the present one first. `None` when there is none or one has another length.
    pub fn new<'k>(keys: impl IntoIterator<Item = &'k [u8]>) -> Option<Self> {
        let boxed = |key: &[u8]| Some(SecretBox::new(Box::new(KeyBytes::try_from(key).ok()?)));
        let mut keys = keys.into_iter().map(boxed);
        let current = keys.next()??;
        Some(Self { current, older: keys.collect::<Option<_>>()? })
    }

    /// Makes a key that no other process has, for commands that neither seal nor open.
    pub(super) fn random() -> Self {
        Self { current: SecretBox::new(Box::new(rand::random())), older: Vec::new() }
    }

    /// Seals the secret of an account. It opens under the name of this account alone.
    pub(super) fn seal(&self, name: &str, secret: &TotpSecret) -> SealedTotp {
        let nonce: [u8; NONCE_BYTES] = rand::random();
        let payload = Payload { msg: secret.bytes(), aad: name.as_bytes() };
        // Encrypting fails only for texts over the limit of the cipher; these have twenty bytes.
        let sealed =
            cipher(&self.current).encrypt(&XNonce::from(nonce), payload).unwrap_or_default();
        SealedTotp([&[FORMAT], &nonce[..], &sealed].concat())
    }

    /// Opens what [`Self::seal`] or an older key sealed. Earlier releases stored secrets as they are.
    pub(super) fn open(&self, name: &str, stored: &SealedTotp) -> Option<Opened> {
        if let Some(secret) = TotpSecret::from_bytes(stored.to_store()) {
            return Some(Opened { secret, current: false });
        }
        let (format, rest) = stored.to_store().split_first()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_BYTES>()?;
        if *format != FORMAT {
            return None;
        }
        let keys = std::iter::once((&self.current, true))
            .chain(self.older.iter().map(|older| (older, false)));
        keys.into_iter().find_map(|(key, current)| {
            let payload = Payload { msg: sealed, aad: name.as_bytes() };
            let opened = cipher(key).decrypt(&XNonce::from(*nonce), payload).ok()?;
            Some(Opened { secret: TotpSecret::from_bytes(&opened)?, current })
        })
    }

    /// Makes the cookie of a device from which someone logged in to an account.
    pub(super) fn new_device(&self, name: &str, now: Timestamp) -> SecretString {
        let number = HEXLOWER.encode(&rand::random::<[u8; 16]>());
        let since = now.micros();
        let mac = device_mac(&self.current, name, &number, since);
        format!("{number}.{since}.{}", HEXLOWER.encode(&mac)).into()
    }

    /// Returns the number of a device whose cookie was made for this account, and not too long ago.
    pub(super) fn device(&self, name: &str, cookie: &str, now: Timestamp) -> Option<String> {
        let mut parts = cookie.split('.');
        let (number, since, mac) = (parts.next()?, parts.next()?, parts.next()?);
        let (since, mac) = (since.parse().ok()?, HEXLOWER.decode(mac.as_bytes()).ok()?);
        let made = Timestamp::from_micros(since);
        let fresh = parts.next().is_none() && made <= now && now < made.plus(DEVICE_LIFE);
        let mut keys = std::iter::once(&self.current).chain(&self.older);
        let known = keys.any(|key| device_mac(key, name, number, since).ct_eq(&mac).into());
        (fresh && known).then(|| number.to_owned())
    }
}

/// Derives the key for one purpose.
fn derive(key: &SecretBox<KeyBytes>, purpose: &str) -> KeyBytes {
    mac(key.expose_secret(), &[purpose])
}

fn cipher(key: &SecretBox<KeyBytes>) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(&Key::from(derive(key, "headcount second factor v1")))
}

fn device_mac(key: &SecretBox<KeyBytes>, name: &str, number: &str, since: i64) -> KeyBytes {
    mac(&derive(key, "headcount device v1"), &[name, number, &since.to_string()])
}

/// HMAC-SHA-256 over texts, each with its length, so that no two lists of texts are one.
fn mac(key: &KeyBytes, texts: &[&str]) -> KeyBytes {
    // HMAC takes keys of any length.
    let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(key)
        .unwrap_or_else(|_| Hmac::new(&Default::default()));
    for text in texts {
        mac.update(format!("{}:{text}", text.len()).as_bytes());
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(bytes: &[u8]) -> AccountKeys {
        let keys: Vec<[u8; 32]> = bytes.iter().map(|byte| [*byte; 32]).collect();
        AccountKeys::new(keys.iter().map(<[u8; 32]>::as_slice)).unwrap()
    }

    #[test]
    fn adm_16_a_sealed_secret_opens_for_its_account_and_key_alone() {
        let (one, secret) = (keys(&[1]), TotpSecret::generate());
        let sealed = one.seal("jane", &secret);
        assert!(!sealed.to_store().windows(8).any(|part| part == &secret.bytes()[..8]));
        assert_ne!(one.seal("jane", &secret), sealed);
        let opened = one.open("jane", &sealed).unwrap();
        assert!(opened.current && opened.secret == secret);
        assert!(one.open("kim", &sealed).is_none());
        assert!(keys(&[2]).open("jane", &sealed).is_none());
        let opened = keys(&[2, 1]).open("jane", &sealed).unwrap();
        assert!(!opened.current && opened.secret == secret);
        for at in 0..sealed.to_store().len() {
            let mut bytes = sealed.to_store().to_vec();
            bytes[at] ^= 1;
            assert!(one.open("jane", &SealedTotp::from_store(bytes)).is_none(), "{at}");
        }
    }

    #[test]
    fn adm_16_a_secret_of_an_earlier_release_opens_and_is_not_current() {
        let secret = TotpSecret::generate();
        let clear = SealedTotp::from_store(secret.bytes().to_vec());
        let opened = keys(&[1]).open("jane", &clear).unwrap();
        assert!(!opened.current && opened.secret == secret);
    }

    #[test]
    fn s12_the_cookie_of_a_device_counts_for_its_account_and_for_90_days() {
        let (one, now) = (keys(&[1]), Timestamp::from_micros(1_700_000_000_000_000));
        let cookie = one.new_device("jane", now);
        let cookie = cookie.expose_secret();
        let number = one.device("jane", cookie, now).unwrap();
        assert!(cookie.starts_with(&number));
        assert_eq!(keys(&[2, 1]).device("jane", cookie, now), Some(number.clone()));
        assert_eq!(one.device("kim", cookie, now), None);
        assert_eq!(keys(&[2]).device("jane", cookie, now), None);
        let last = now.plus(DEVICE_LIFE);
        assert_eq!(one.device("jane", cookie, last.minus(Duration::from_secs(1))), Some(number));
        assert_eq!(one.device("jane", cookie, last), None);
        let shorter = cookie.get(1..).unwrap();
        for wrong in ["", "..", shorter, &format!("{cookie}.1"), &cookie.replace('.', "")] {
            assert_eq!(one.device("jane", wrong, now), None, "{wrong}");
        }
    }
}
