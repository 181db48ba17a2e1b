//! What a session is shown once, after a form was sent: a new secret, a link.
//!
//! A form answers with a redirect, so that reloading the page sends nothing twice; the page that it leads to has to
//! get the secret from somewhere, on any replica. It is kept for a few minutes, sealed with a key that is made of
//! the session's cookie. The database has only the digest of that cookie: who reads it cannot open the seal.

use std::sync::Arc;
use std::time::Duration;

use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{Key, KeyInit as _, XChaCha20Poly1305, XNonce};
use data_encoding::HEXLOWER;
use headcount_core::clock::{Clock, Timestamp};
use hmac::{Hmac, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;

use super::store::Secret;
use crate::error::AdminError;
use crate::store::StoreError;

/// How long it waits to be shown.
const FLASH_LIFE: Duration = Duration::from_secs(5 * 60);
/// Bytes of the nonce, which is before the sealed text. With 192 random bits it never repeats.
const NONCE_BYTES: usize = 24;
/// What the key of a seal is made of, in addition to the cookie.
const PURPOSE: &[u8] = b"headcount flash v1";

/// A sealed text of a session.
#[derive(Clone)]
pub struct FlashRow {
    /// The digest of the session's cookie.
    pub session: Secret,
    /// Its id, which is in the address of the page that shows it, and no secret.
    pub id: String,
    /// The sealed text.
    pub sealed: Vec<u8>,
    /// When it is no longer shown.
    pub expires: Timestamp,
}

/// Durable storage for what is shown once.
pub trait FlashStore: Send + Sync + 'static {
    /// Keeps a row, and forgets those whose time is over. A row ends with its session.
    ///
    /// # Errors
    ///
    /// [`StoreError::Missing`] when the session has ended; [`StoreError::Unavailable`].
    fn insert_flash(&self, flash: &FlashRow, now: Timestamp) -> Result<(), StoreError>;

    /// Removes a row of a session and returns its sealed text: of many at once, one gets it. `None` when there is
    /// no such row, or its time is over.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    fn take_flash(
        &self,
        session: &Secret,
        id: &str,
        now: Timestamp,
    ) -> Result<Option<Vec<u8>>, StoreError>;
}

/// Keeps texts for the sessions that are shown them once.
pub struct Flashes {
    store: Arc<dyn FlashStore>,
    clock: Arc<dyn Clock>,
}

impl Flashes {
    /// Puts the parts together.
    pub fn new(store: Arc<dyn FlashStore>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock }
    }

    /// Keeps a text for the session with this cookie, and returns its id.
    ///
    /// # Errors
    ///
    /// [`AdminError::Store`], also when the session has ended.
    pub fn leave(&self, cookie: &str, text: &SecretString) -> Result<String, AdminError> {
        let now = self.clock.now();
        let id = HEXLOWER.encode(&rand::random::<[u8; 16]>());
        let nonce: [u8; NONCE_BYTES] = rand::random();
        let payload = Payload { msg: text.expose_secret().as_bytes(), aad: id.as_bytes() };
        let sealed = cipher(cookie)?.encrypt(&XNonce::from(nonce), payload);
        let sealed = sealed.map_err(|_too_long| AdminError::Hash)?;
        self.store.insert_flash(
            &FlashRow {
                session: Secret::of(cookie),
                id: id.clone(),
                sealed: [&nonce[..], &sealed].concat(),
                expires: now.plus(FLASH_LIFE),
            },
            now,
        )?;
        Ok(id)
    }

    /// Returns a text that was kept for the session with this cookie, and forgets it. `None` when it was shown
    /// before, is of another session, or waited too long.
    ///
    /// # Errors
    ///
    /// [`AdminError::Store`].
    pub fn collect(&self, cookie: &str, id: &str) -> Result<Option<SecretString>, AdminError> {
        // It comes from an address, and PostgreSQL refuses to search for some characters.
        if !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Ok(None);
        }
        let taken = self.store.take_flash(&Secret::of(cookie), id, self.clock.now())?;
        let Some(sealed) = taken else { return Ok(None) };
        let Some((nonce, sealed)) = sealed.split_first_chunk::<NONCE_BYTES>() else {
            return Ok(None);
        };
        let payload = Payload { msg: sealed, aad: id.as_bytes() };
        let text = cipher(cookie)?.decrypt(&XNonce::from(*nonce), payload).ok();
        Ok(text.and_then(|text| String::from_utf8(text).ok()).map(SecretString::from))
    }
}

/// Returns the cipher of a session. Its cookie has 256 random bits, so that its key needs no stretching.
fn cipher(cookie: &str) -> Result<XChaCha20Poly1305, AdminError> {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(PURPOSE).map_err(|_any_length_is_valid| AdminError::Hash)?;
    mac.update(cookie.as_bytes());
    let key: [u8; 32] = mac.finalize().into_bytes().into();
    Ok(XChaCha20Poly1305::new(&Key::from(key)))
}

#[cfg(test)]
mod tests {
    use super::super::memory::MemoryFlashes;
    use super::*;

    struct Hands(std::sync::atomic::AtomicI64);

    impl Clock for Hands {
        fn now(&self) -> Timestamp {
            Timestamp::from_micros(self.0.load(std::sync::atomic::Ordering::SeqCst))
        }
    }

    fn shown(flashes: &Flashes, cookie: &str, id: &str) -> Option<String> {
        let text = flashes.collect(cookie, id).unwrap();
        text.map(|text| text.expose_secret().to_owned())
    }

    #[test]
    fn ux_5_a_text_is_shown_once_to_its_own_session_for_some_minutes() {
        let (store, clock) = (Arc::new(MemoryFlashes::default()), Arc::new(Hands(0.into())));
        let flashes = Flashes::new(store.clone(), clock.clone());
        let id = flashes.leave("cookie", &"hc_secret".into()).unwrap();
        assert!(!store.holds("hc_secret"));
        assert_eq!(shown(&flashes, "another", &id), None);
        assert_eq!(shown(&flashes, "cookie", "another"), None);
        assert_eq!(shown(&flashes, "cookie", &id).as_deref(), Some("hc_secret"));
        assert_eq!(shown(&flashes, "cookie", &id), None);
        let id = flashes.leave("cookie", &"hc_secret".into()).unwrap();
        clock.0.store(5 * 60 * 1_000_000, std::sync::atomic::Ordering::SeqCst);
        assert_eq!(shown(&flashes, "cookie", &id), None);
    }

    #[test]
    fn ux_5_a_seal_opens_with_its_own_cookie_and_id_alone() {
        let store = Arc::new(MemoryFlashes::default());
        let flashes = Flashes::new(store.clone(), Arc::new(Hands(0.into())));
        flashes.leave("cookie", &"hc_secret".into()).unwrap();
        // Who writes to the database gives the row to a session of their own.
        let id = store.move_to(&Secret::of("thief"), "same");
        assert_eq!(shown(&flashes, "thief", &id), None);
        flashes.leave("cookie", &"hc_secret".into()).unwrap();
        let id = store.move_to(&Secret::of("cookie"), "other");
        assert_eq!(shown(&flashes, "cookie", &id), None);
    }
}
