//! The certificate of the server: read from its files, and read again when they change.

use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use anyhow::{Context as _, bail};
use headcount_core::clock::{Clock as _, Timestamp};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use time::PrimitiveDateTime;
use time::format_description::FormatItem;
use time::macros::format_description;

use crate::config::Config;
use crate::system::SystemClock;

/// How often the files are looked at.
pub(crate) const LOOK_INTERVAL: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// The days before the end of the certificate on which the log warns of it.
const WARN_DAYS: [i64; 3] = [30, 7, 1];
const DAYS_LEFT: &str = "headcount_tls_certificate_days_left";

/// A certificate with its key. Handshakes use the one that was read last; connections keep theirs.
pub(crate) struct Certificate {
    chain: PathBuf,
    key: PathBuf,
    current: RwLock<Arc<CertifiedKey>>,
    seen: Mutex<Seen>,
}

/// What the files were, and what was logged about them.
#[derive(Default)]
struct Seen {
    read: Stamp,
    /// A change that is read as soon as it lasts: the two files are not replaced at once.
    changing: Option<Stamp>,
    /// When the certificate ends.
    ends: Option<Timestamp>,
    /// The least of [`WARN_DAYS`] that was warned of.
    warned: Option<i64>,
}

/// What distinguishes two states of a pair of files: inode, size and time of change.
type Stamp = [Option<(u64, u64, i64, i64)>; 2];

impl Certificate {
    /// Reads the certificate of the configuration, if there is one.
    ///
    /// # Errors
    ///
    /// Names the file that cannot be read, or says that the two do not belong together.
    pub(crate) fn open(config: &Config) -> anyhow::Result<Option<Arc<Self>>> {
        let (Some(chain), Some(key)) = (&config.http.tls_cert, &config.http.tls_key) else {
            return Ok(None);
        };
        metrics::describe_gauge!(DAYS_LEFT, "Days until the certificate of the server ends.");
        let read = stamp(chain, key);
        let (pair, ends) = read_pair(chain, key)?;
        let certificate = Self {
            chain: chain.clone(),
            key: key.clone(),
            current: RwLock::new(Arc::new(pair)),
            seen: Mutex::new(Seen { read, ends, ..Seen::default() }),
        };
        certificate.report();
        Ok(Some(Arc::new(certificate)))
    }

    /// Returns the settings of TLS with this certificate.
    ///
    /// # Errors
    ///
    /// Only where the library cannot do what this program is built for.
    pub(crate) fn server_config(self: &Arc<Self>) -> anyhow::Result<rustls::ServerConfig> {
        let builder = rustls::ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?;
        let resolver = Arc::clone(self);
        Ok(builder.with_no_client_auth().with_cert_resolver(resolver))
    }

    /// Reads the files again if they have changed, and not within the last moment.
    pub(crate) fn look(&self) {
        let now = stamp(&self.chain, &self.key);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = now != seen.read;
        let lasts = seen.changing.replace(now) == Some(now);
        drop(seen);
        if changed && lasts {
            self.reload();
        }
        self.report();
    }

    /// Reads the files again. When they cannot be used, the certificate stays, and one error is logged until they
    /// change again.
    pub(crate) fn reload(&self) {
        let read = stamp(&self.chain, &self.key);
        let pair = read_pair(&self.chain, &self.key);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.read = read;
        match pair {
            Ok((pair, ends)) => {
                (seen.ends, seen.warned) = (ends, None);
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(pair);
                let ends = ends.map(|ends| ends.to_string());
                tracing::info!(ends, "the certificate was read again");
            }
            Err(error) => {
                tracing::error!("the certificate stays the old one: {error:#}");
            }
        }
    }

    /// Sets the metric, and warns when the end of the certificate is near.
    fn report(&self) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(ends) = seen.ends else { return };
        let left = days_until(ends, SystemClock.now());
        // Exact for any number of days that a certificate can have.
        metrics::gauge!(DAYS_LEFT).set(i32::try_from(left).map_or(f64::MAX, f64::from));
        let near = WARN_DAYS.into_iter().filter(|days| left < *days).min();
        if near.is_some_and(|near| seen.warned.is_none_or(|warned| near < warned)) {
            seen.warned = near;
            tracing::warn!(
                days = left, ends = %ends,
                "the certificate ends soon; replace the files of http.tls_cert and http.tls_key"
            );
        }
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Certificate").field(&self.chain).finish()
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn stamp(chain: &Path, key: &Path) -> Stamp {
    [chain, key].map(|path| {
        let file = std::fs::metadata(path).ok()?;
        Some((file.ino(), file.size(), file.mtime(), file.mtime_nsec()))
    })
}

/// Reads a certificate with its key, and when it ends.
fn read_pair(chain: &Path, key: &Path) -> anyhow::Result<(CertifiedKey, Option<Timestamp>)> {
    let certificates =
        CertificateDer::pem_file_iter(chain).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = certificates.with_context(|| not_pem(chain))?;
    if certificates.is_empty() {
        bail!("http.tls_cert: {} contains no certificate", chain.display());
    }
    let secret = PrivateKeyDer::from_pem_file(key).with_context(|| not_pem(key))?;
    // The chain is of no use longer than any of it.
    let ends = certificates.iter().filter_map(|certificate| not_after(certificate)).min();
    let pair = CertifiedKey::from_der(certificates, secret, &provider());
    Ok((pair.context("the certificate and the key do not belong together")?, ends))
}

fn not_pem(path: &Path) -> String {
    format!("{} cannot be read as PEM; check path, permissions and content", path.display())
}

fn days_until(ends: Timestamp, now: Timestamp) -> i64 {
    let day = i64::try_from(DAY.as_micros()).unwrap_or(i64::MAX);
    ends.micros().saturating_sub(now.micros()).div_euclid(day)
}

/// The tags of DER (X.690) on the way to the end of a certificate's validity (RFC 5280 §4.1).
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// Returns when a certificate ends.
fn not_after(der: &[u8]) -> Option<Timestamp> {
    let (certificate, _) = inside(der, SEQUENCE)?;
    let (mut fields, _) = inside(certificate, SEQUENCE)?;
    if let Some((_, rest)) = inside(fields, VERSION) {
        fields = rest;
    }
    // Serial number, algorithm of the signature, issuer.
    for _ in 0..3 {
        (_, _, fields) = element(fields)?;
    }
    let (validity, _) = inside(fields, SEQUENCE)?;
    let (_, _, rest) = element(validity)?;
    let (tag, text, _) = element(rest)?;
    let text = std::str::from_utf8(text).ok()?;
    let text = match tag {
        // RFC 5280 §4.1.2.5.1: two digits of a year, of this century below 50.
        UTC_TIME if text < "50" => format!("20{text}"),
        UTC_TIME => format!("19{text}"),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    const FORMAT: &[FormatItem<'_>] =
        format_description!("[year][month][day][hour][minute][second]Z");
    let seconds = PrimitiveDateTime::parse(&text, FORMAT).ok()?.assume_utc().unix_timestamp();
    Some(Timestamp::from_micros(seconds.checked_mul(1_000_000)?))
}

/// Returns the contents of an element with this tag, and what follows it.
fn inside(der: &[u8], wanted: u8) -> Option<(&[u8], &[u8])> {
    let (tag, contents, rest) = element(der)?;
    (tag == wanted).then_some((contents, rest))
}

/// Returns the tag and the contents of the first element, and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (length, rest) = rest.split_first()?;
    let (length, rest) = match length.checked_sub(0x80) {
        None => (usize::from(*length), rest),
        Some(bytes) => {
            let (digits, rest) = rest.split_at_checked(usize::from(bytes))?;
            let length = digits.iter().try_fold(0_usize, |length, digit| {
                length.checked_mul(256)?.checked_add(usize::from(*digit))
            })?;
            (length, rest)
        }
    };
    let (contents, rest) = rest.split_at_checked(length)?;
    Some((*tag, contents, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A certificate that ends at a time, as far as its end is concerned.
    fn certificate(tag: u8, end: &str) -> Vec<u8> {
        fn wrap(tag: u8, contents: &[u8]) -> Vec<u8> {
            let length = contents.len();
            let mut der = vec![tag];
            match u8::try_from(length).ok().filter(|length| *length < 0x80) {
                Some(short) => der.push(short),
                None => {
                    der.push(0x82);
                    der.extend(u16::try_from(length).unwrap().to_be_bytes());
                }
            }
            [der, contents.to_vec()].concat()
        }
        let times = [wrap(UTC_TIME, b"200101000000Z"), wrap(tag, end.as_bytes())].concat();
        let fields = [
            wrap(VERSION, &[2, 1, 2]),
            wrap(2, &[7; 20]),
            wrap(SEQUENCE, &[]),
            wrap(SEQUENCE, &[0; 300]),
            wrap(SEQUENCE, &times),
        ];
        wrap(SEQUENCE, &wrap(SEQUENCE, &fields.concat()))
    }

    #[test]
    fn tls_03_the_end_of_a_certificate_is_read() {
        for (tag, end, expected) in [
            (UTC_TIME, "260101000000Z", Some("2026-01-01T00:00:00")),
            (UTC_TIME, "490101000000Z", Some("2049-01-01T00:00:00")),
            (UTC_TIME, "991231235959Z", Some("1999-12-31T23:59:59")),
            (GENERALIZED_TIME, "20510630120000Z", Some("2051-06-30T12:00:00")),
            (UTC_TIME, "soon", None),
            (4, "260101000000Z", None),
        ] {
            let found = not_after(&certificate(tag, end)).map(|end| end.to_string());
            let expected = expected.map(|start| format!("{start}.000000Z"));
            assert_eq!(found, expected, "{end}");
        }
        let whole = certificate(UTC_TIME, "260101000000Z");
        for length in 0..whole.len() {
            assert_eq!(not_after(&whole[..length]), None, "cut at {length}");
        }
    }

    #[test]
    fn tls_03_days_are_whole_ones() {
        let at =
            |days: i64, seconds: i64| Timestamp::from_micros((days * 86_400 + seconds) * 1_000_000);
        assert_eq!(days_until(at(30, 0), at(0, 0)), 30);
        assert_eq!(days_until(at(30, 0), at(0, 1)), 29);
        assert_eq!(days_until(at(0, 0), at(0, 1)), -1);
    }
}
