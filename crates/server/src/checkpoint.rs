//! Signed checkpoints of the chain of changes: what is kept elsewhere to prove that nothing was cut.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use headcount_core::clock::{Clock as _, Timestamp};
use headcount_core::ids::ChainPosition;
use headcount_records::chain::{Checkpoint, Link};
use headcount_store_diesel::Store;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::system::SystemClock;

/// A checkpoint as it is written: a line of JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Signed {
    /// The position in the chain.
    pub(crate) place: i64,
    /// The hash of the row at it, in hexadecimal digits.
    pub(crate) hash: String,
    /// When the checkpoint was made.
    pub(crate) at: String,
    /// The public key of Ed25519, in Base64.
    pub(crate) key: String,
    /// The signature of the other values by that key, in Base64.
    pub(crate) signature: String,
}

impl Signed {
    /// Returns what is claimed, when it is signed by the key that is named.
    pub(crate) fn open(&self) -> Option<Checkpoint> {
        let claimed = Checkpoint {
            position: ChainPosition::new(self.place),
            hash: Link::parse(&self.hash)?,
            at: Timestamp::parse(&self.at)?,
        };
        let (key, signature) =
            (STANDARD.decode(&self.key).ok()?, STANDARD.decode(&self.signature).ok()?);
        let key = UnparsedPublicKey::new(&ED25519, key);
        key.verify(claimed.signed_text().as_bytes(), &signature).ok().map(|()| claimed)
    }

    /// Writes it as one line.
    fn line(&self) -> anyhow::Result<String> {
        Ok(format!("{}\n", serde_json::to_string(self)?))
    }
}

/// Reads a file of one checkpoint, or of one a line. Returns each, or the number of a line that is none.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<Result<Signed, usize>>> {
    let text = std::fs::read_to_string(path).with_context(|| {
        format!("{} cannot be read; check path and permissions", path.display())
    })?;
    let found = parse(&text);
    if found.is_empty() {
        bail!(
            "{} contains no checkpoint; make one with `headcount audit checkpoint`",
            path.display()
        );
    }
    Ok(found)
}

fn parse(text: &str) -> Vec<Result<Signed, usize>> {
    if let Ok(one) = serde_json::from_str(text) {
        return vec![Ok(one)];
    }
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines.map(|(index, line)| serde_json::from_str(line).map_err(|_bad| index + 1)).collect()
}

/// Makes signed checkpoints.
pub(crate) struct Signer {
    pair: Ed25519KeyPair,
}

impl Signer {
    /// Reads the key from the configured file, or the one in the database, which all replicas share.
    pub(crate) fn open(config: &Config, store: &Store) -> anyhow::Result<Self> {
        let pair = match &config.audit.key_file {
            Some(path) => from_file(path)?,
            None => {
                let fresh: [u8; 32] = rand::random();
                let seed = store.server_key("checkpoint", &fresh, SystemClock.now())?;
                Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_bad| {
                    anyhow::anyhow!("the key for checkpoints in the database is damaged")
                })?
            }
        };
        Ok(Self { pair })
    }

    /// Returns the public key, in Base64.
    pub(crate) fn key(&self) -> String {
        STANDARD.encode(self.pair.public_key())
    }

    /// Makes a checkpoint of the end of the chain; none of an empty chain.
    pub(crate) fn sign(&self, store: &Store) -> anyhow::Result<Option<Signed>> {
        let Some((place, hash)) = store.last_sequenced()? else { return Ok(None) };
        let hash = Link::parse(&hash).with_context(|| {
            format!("the hash at position {place} was changed; run `headcount audit verify`")
        })?;
        let checkpoint = Checkpoint { position: place, hash, at: SystemClock.now() };
        let signature = self.pair.sign(checkpoint.signed_text().as_bytes());
        Ok(Some(Signed {
            place: place.number(),
            hash: hash.to_string(),
            at: checkpoint.at.to_string(),
            key: self.key(),
            signature: STANDARD.encode(signature),
        }))
    }
}

fn from_file(path: &Path) -> anyhow::Result<Ed25519KeyPair> {
    let name = path.display();
    let key = PrivatePkcs8KeyDer::from_pem_file(path).with_context(|| {
        format!("audit.key_file: {name} cannot be read as PEM; check path, permissions and content")
    })?;
    // Other programs write the key without its public half.
    Ed25519KeyPair::from_pkcs8_maybe_unchecked(key.secret_pkcs8_der()).map_err(|_bad| {
        anyhow::anyhow!(
            "audit.key_file: {name} is not an Ed25519 key; make one with `openssl genpkey -algorithm ed25519`"
        )
    })
}

/// A file to which checkpoints are appended while the chain grows.
pub(crate) struct CheckpointFile {
    path: PathBuf,
    signer: Signer,
    /// The position of the last one, or of the start of the chain.
    last: ChainPosition,
}

impl CheckpointFile {
    /// Opens the configured file, if there is one.
    pub(crate) fn open(config: &Config, store: &Store) -> anyhow::Result<Option<Self>> {
        let Some(path) = config.audit.checkpoint_file.clone() else { return Ok(None) };
        append(&path, "")?;
        let known = parse(&std::fs::read_to_string(&path)?);
        let places = known.into_iter().flatten().map(|signed| ChainPosition::new(signed.place));
        let last = places.max().unwrap_or(ChainPosition::START);
        Ok(Some(Self { path, signer: Signer::open(config, store)?, last }))
    }

    /// Appends a checkpoint if the chain has grown since the last one.
    pub(crate) fn append_new(&mut self, store: &Store) -> anyhow::Result<()> {
        let Some(signed) = self.signer.sign(store)? else { return Ok(()) };
        let position = ChainPosition::new(signed.place);
        if position != self.last {
            append(&self.path, &signed.line()?)?;
            self.last = position;
        }
        Ok(())
    }
}

/// Appends to a file and syncs it. The rest of a line that a crash tore stays a line of its own.
fn append(path: &Path, text: &str) -> anyhow::Result<()> {
    append_to(path, text).with_context(|| {
        format!("{}: checkpoints cannot be written; check path and permissions", path.display())
    })
}

fn append_to(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
    let torn = !text.is_empty() && !ends_with_newline(&mut file)?;
    file.write_all(format!("{}{text}", if torn { "\n" } else { "" }).as_bytes())?;
    file.sync_all()
}

fn ends_with_newline(file: &mut File) -> std::io::Result<bool> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(true);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

/// Writes one checkpoint to a new file, or over an old one.
pub(crate) fn write(path: &Path, signed: &Signed) -> anyhow::Result<()> {
    std::fs::write(path, signed.line()?).with_context(|| {
        format!("{} cannot be written; check path and permissions", path.display())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed() -> Signed {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        let at = Timestamp::from_micros(0);
        let checkpoint = Checkpoint { position: ChainPosition::new(5), hash: Link::GENESIS, at };
        Signed {
            place: 5,
            hash: checkpoint.hash.to_string(),
            at: at.to_string(),
            key: STANDARD.encode(pair.public_key()),
            signature: STANDARD.encode(pair.sign(checkpoint.signed_text().as_bytes())),
        }
    }

    #[test]
    fn a_checkpoint_whose_signature_does_not_fit_proves_nothing() {
        assert_eq!(signed().open().unwrap().position.number(), 5);
        let wrong = [
            Signed { place: 6, ..signed() },
            Signed { hash: "1".repeat(64), ..signed() },
            Signed { at: "1970-01-01T00:00:01.000000Z".to_owned(), ..signed() },
            Signed { key: STANDARD.encode([1; 32]), ..signed() },
            Signed { key: "?".to_owned(), ..signed() },
            Signed { signature: STANDARD.encode([0; 64]), ..signed() },
            Signed { signature: String::new(), ..signed() },
        ];
        for wrong in wrong {
            assert_eq!(wrong.open(), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_file_holds_one_checkpoint_or_one_a_line() {
        let line = signed().line().unwrap();
        let pretty = serde_json::to_string_pretty(&signed()).unwrap();
        assert_eq!(parse(&pretty), [Ok(signed())]);
        assert_eq!(parse(&line), [Ok(signed())]);
        let torn = format!("{line}{{\"place\":\n{line}\n");
        assert_eq!(parse(&torn), [Ok(signed()), Err(2), Ok(signed())]);
        assert_eq!(parse("\n"), []);
    }
}
