//! What a token looks like: `hc_<id:16><secret:43><checksum:6>`, in base 62 behind the prefix.
//!
//! The prefix lets scanners of source code and logs find a token; the public id finds its row with
//! one indexed read; the secret has 256 bits; the checksum distinguishes a mistyped token from a wrong one
//! without a database. The form never changes.

use headcount_core::ids::TokenId;
use rand::RngExt;
use secrecy::{ExposeSecret, SecretString};

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const ID_CHARS: usize = 16;
const SECRET_CHARS: usize = 43;
const CHECKSUM_CHARS: usize = 6;

/// What a token is for, as its prefix shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Provisioning through SCIM: `hc_`.
    Provisioning,
    /// Administration through `/api/v1`: `hca_`.
    Administration,
}

impl Purpose {
    /// Returns the prefix, underscore included.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Provisioning => "hc_",
            Self::Administration => "hca_",
        }
    }
}

/// A regular expression for scanners that look for leaked tokens.
pub const SCANNER_PATTERN: &str = r"\bhca?_[0-9A-Za-z]{16}_[0-9A-Za-z]{49}\b";

/// A token as a client presents it: its shape and checksum are right, nothing else is known.
///
/// It can be neither printed nor compared nor serialized; its memory is wiped when it is dropped.
pub struct PresentedToken {
    purpose: Purpose,
    id: TokenId,
    text: SecretString,
}

impl PresentedToken {
    /// Takes a text that has the shape of a token and the right checksum.
    ///
    /// Touches no store and no hash: a text that fails here costs nothing.
    pub fn parse(text: &str) -> Option<Self> {
        let purpose = [Purpose::Administration, Purpose::Provisioning]
            .into_iter()
            .find(|purpose| text.starts_with(purpose.prefix()))?;
        let (id, rest) = text.strip_prefix(purpose.prefix())?.split_once('_')?;
        let shaped = id.len() == ID_CHARS
            && rest.len() == SECRET_CHARS + CHECKSUM_CHARS
            && id.bytes().chain(rest.bytes()).all(|byte| byte.is_ascii_alphanumeric());
        if !shaped {
            return None;
        }
        let (body, sum) = text.split_at_checked(text.len() - CHECKSUM_CHARS)?;
        (checksum(body) == sum).then(|| Self { purpose, id: TokenId::new(id), text: text.into() })
    }

    /// Returns what the token claims to be for.
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// Returns the public id that the token claims.
    pub fn id(&self) -> &TokenId {
        &self.id
    }

    pub(crate) fn expose(&self) -> &str {
        self.text.expose_secret()
    }
}

/// Makes a new random token: its id and its whole text.
pub(crate) fn generate(purpose: Purpose) -> (TokenId, SecretString) {
    let id = random_text(ID_CHARS);
    let body = format!("{}{id}_{}", purpose.prefix(), random_text(SECRET_CHARS));
    let text = format!("{body}{}", checksum(&body));
    (TokenId::new(id), text.into())
}

fn random_text(length: usize) -> String {
    // The generator is a CSPRNG and draws from the range without bias.
    let mut random = rand::rng();
    let digit =
        |_| ALPHABET.get(random.random_range(0..ALPHABET.len())).copied().map_or('0', char::from);
    (0..length).map(digit).collect()
}

/// CRC-32 of everything before it, in six digits of base 62.
fn checksum(body: &str) -> String {
    let mut rest = crc32fast::hash(body.as_bytes());
    let mut digits = [b'0'; CHECKSUM_CHARS];
    for digit in digits.iter_mut().rev() {
        let index = usize::try_from(rest % 62).unwrap_or(0);
        *digit = ALPHABET.get(index).copied().unwrap_or(b'0');
        rest /= 62;
    }
    String::from_utf8_lossy(&digits).into_owned()
}
