//! How a token is checked: cheap for the right one, cheaper for a wrong one.
//!
//! One argon2 run costs tens of milliseconds, so that a server that ran it on each request would
//! serve a few dozen a second, and a few dozen wrong guesses a second would stop it. Therefore:
//!
//! 1. shape and checksum: no store, no hash ([`crate::PresentedToken::parse`]);
//! 2. one indexed read, always: revocation, expiry and a disabled tenant count at once, everywhere;
//! 3. a keyed digest of the token, compared in constant time: a wrong secret never reaches argon2;
//! 4. a bounded memory of tokens that argon2 has accepted in this process;
//! 5. otherwise one argon2 run, shared by all who wait for the same token, on one thread that reuses
//!    its memory, behind a short queue.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use argon2::password_hash::phc::{Output, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use headcount_core::ids::{TenantId, TokenId};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use thiserror::Error as ThisError;

use crate::format::PresentedToken;
use crate::store::{StoreError, TokenHash, TokenRow};

/// Tokens that argon2 has accepted and that are remembered.
const MAX_REMEMBERED: u64 = 10_000;
/// Tokens that may wait for the verify thread.
const MAX_WAITING: usize = 16;
/// How long a request waits for the verify thread.
const VERIFY_TIMEOUT: Duration = Duration::from_secs(2);
/// A stored hash that asks for more memory or passes was not made by this code.
const MAX_MEMORY_KIB: u32 = 128 * 1024;
const MAX_PASSES: u32 = 10;
/// Bytes of a hash.
const OUTPUT_BYTES: usize = 32;
/// The counter of argon2 verifications.
pub const RUNS: &str = "headcount_argon2_runs_total";

/// Why a token is not accepted. Clients get one answer for all reasons; the log distinguishes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// There is no token with this id.
    Unknown,
    /// The id exists, the secret is another.
    WrongSecret,
    /// It was revoked.
    Revoked,
    /// Its time is over.
    Expired,
    /// Its tenant is switched off.
    TenantDisabled,
    /// It is for something else.
    WrongPurpose,
}

/// A token that could not be issued or verified.
#[derive(Debug, ThisError)]
pub enum TokenError {
    /// The token is not accepted.
    #[error("the token is not accepted")]
    Refused(Refusal),
    /// Too many tokens are being verified for the first time.
    #[error("too many tokens are being verified at once; repeat the request")]
    Busy,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The hash function failed.
    #[error("a token could not be hashed")]
    Hash,
}

impl From<Refusal> for TokenError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

type Key = [u8; 32];

/// What a remembered token proves: this secret belongs to this id in this version, in this tenant.
type Proof = (TokenId, i64, TenantId);

/// Remembers, shares and queues verifications.
pub(crate) struct Verifier {
    key: Key,
    known: Arc<Known>,
    queue: SyncSender<Job>,
}

/// What requests and the verify thread share.
struct Known {
    remembered: moka::sync::Cache<Key, Proof>,
    flights: Mutex<HashMap<Key, Arc<Flight>>>,
}

/// One argon2 run that several requests may wait for.
struct Flight {
    landed: Mutex<Option<Landing>>,
    signal: Condvar,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Landing {
    Accepted,
    Refused,
    /// The run panicked, which says nothing about the token.
    Lost,
}

struct Job {
    key: Key,
    proof: Proof,
    token: SecretString,
    hash: TokenHash,
    flight: Arc<Flight>,
}

impl Verifier {
    pub(crate) fn new() -> Self {
        Self::running(matches)
    }

    fn running(run: Run) -> Self {
        metrics::describe_counter!(RUNS, "Tokens verified by argon2 in this process.");
        metrics::counter!(RUNS).increment(0);
        let (queue, jobs) = sync_channel(MAX_WAITING);
        let known = Arc::new(Known {
            remembered: moka::sync::Cache::new(MAX_REMEMBERED),
            flights: Mutex::new(HashMap::new()),
        });
        let shared = Arc::clone(&known);
        // The thread ends when the verifier is dropped and with it the queue's only sender.
        drop(
            std::thread::Builder::new()
                .name("token-verify".to_owned())
                .spawn(move || work(&jobs, &shared, run)),
        );
        Self { key: rand::random(), known, queue }
    }

    /// Returns the tenant of a token that was accepted before, without asking the store: it may have been
    /// revoked since.
    pub(crate) fn recognize(&self, presented: &PresentedToken) -> Option<TenantId> {
        let key = digest(&self.key, presented.expose());
        self.known.remembered.get(&key).map(|(_, _, tenant)| tenant)
    }

    /// Checks that the presented token is the one that the row was made for.
    pub(crate) fn check(
        &self,
        presented: &PresentedToken,
        row: &TokenRow,
    ) -> Result<(), TokenError> {
        if !bool::from(tag(presented.expose()).ct_eq(&row.tag)) {
            return Err(Refusal::WrongSecret.into());
        }
        let key = digest(&self.key, presented.expose());
        let proof = (row.token.id.clone(), row.secret_version, row.token.tenant);
        if self.known.remembers(&key, &proof) {
            return Ok(());
        }
        let Some(flight) = self.board(key, proof, presented, row)? else {
            return Ok(());
        };
        match flight.wait() {
            Some(Landing::Accepted) => Ok(()),
            Some(Landing::Refused) => Err(Refusal::WrongSecret.into()),
            Some(Landing::Lost) => Err(TokenError::Hash),
            None => Err(TokenError::Busy),
        }
    }

    /// Joins the run for this token, or starts it; none when the token has been accepted meanwhile.
    fn board(
        &self,
        key: Key,
        proof: Proof,
        presented: &PresentedToken,
        row: &TokenRow,
    ) -> Result<Option<Arc<Flight>>, TokenError> {
        let mut flights = self.known.flights.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = flights.get(&key) {
            return Ok(Some(Arc::clone(flight)));
        }
        if self.known.remembers(&key, &proof) {
            return Ok(None);
        }
        let flight = Arc::new(Flight { landed: Mutex::new(None), signal: Condvar::new() });
        let job = Job {
            key,
            proof,
            token: presented.expose().into(),
            hash: row.hash.clone(),
            flight: Arc::clone(&flight),
        };
        match self.queue.try_send(job) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                return Err(TokenError::Busy);
            }
        }
        flights.insert(key, Arc::clone(&flight));
        Ok(Some(flight))
    }
}

impl Known {
    fn remembers(&self, key: &Key, proof: &Proof) -> bool {
        self.remembered.get(key).as_ref() == Some(proof)
    }

    /// Ends a run. The token is remembered before its flight is removed, so that no request starts a second run.
    fn land(&self, job: &Job, landing: Landing) {
        if landing == Landing::Accepted {
            self.remembered.insert(job.key, job.proof.clone());
        }
        self.flights.lock().unwrap_or_else(PoisonError::into_inner).remove(&job.key);
        job.flight.land(landing);
    }
}

impl Flight {
    fn wait(&self) -> Option<Landing> {
        let deadline = Instant::now() + VERIFY_TIMEOUT;
        let mut landed = self.landed.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if landed.is_some() {
                return *landed;
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            landed =
                self.signal.wait_timeout(landed, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn land(&self, landing: Landing) {
        *self.landed.lock().unwrap_or_else(PoisonError::into_inner) = Some(landing);
        self.signal.notify_all();
    }
}

/// The verify thread: one run at a time, in memory that is allocated once.
///
/// A run that panics is lost, and the thread goes on: without it no token could be used for the first time until
/// the server starts again.
fn work(jobs: &Receiver<Job>, known: &Known, run: Run) {
    let mut memory: Vec<Block> = Vec::new();
    while let Ok(job) = jobs.recv() {
        metrics::counter!(RUNS).increment(1);
        let attempt = catch_unwind(AssertUnwindSafe(|| {
            run(job.token.expose_secret(), &job.hash, &mut memory)
        }));
        let landing = match attempt {
            Ok(Some(true)) => Landing::Accepted,
            Ok(Some(false)) => Landing::Refused,
            Ok(None) => {
                tracing::error!("a stored token hash is not one of ours; the token is refused");
                Landing::Refused
            }
            Err(_panic) => {
                tracing::error!("verifying a token panicked; the request is answered 503");
                memory = Vec::new();
                Landing::Lost
            }
        };
        known.land(&job, landing);
    }
}

/// How a token is compared with a stored hash; see [`matches`].
type Run = fn(&str, &TokenHash, &mut Vec<Block>) -> Option<bool>;

/// Compares a token with a stored hash; none when the hash is not one that this server makes.
pub(crate) fn matches(token: &str, hash: &TokenHash, memory: &mut Vec<Block>) -> Option<bool> {
    let stored = PasswordHash::new(hash.to_store()).ok()?;
    let params = Params::try_from(&stored).ok()?;
    let bounded =
        params.m_cost() <= MAX_MEMORY_KIB && params.t_cost() <= MAX_PASSES && params.p_cost() == 1;
    if stored.algorithm.as_str() != "argon2id" || !bounded {
        return None;
    }
    let (salt, expected) = (stored.salt?, stored.hash?);
    let blocks = params.block_count();
    if memory.len() < blocks {
        memory.resize(blocks, Block::default());
    }
    let mut actual = vec![0u8; expected.as_bytes().len()];
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let used = memory.get_mut(..blocks)?;
    argon2
        .hash_password_into_with_memory(token.as_bytes(), salt.as_ref(), &mut actual, used)
        .ok()?;
    Some(actual.ct_eq(expected.as_bytes()).into())
}

/// Hashes a new token: argon2id, 19 MiB, two passes, one lane, a random salt of 16 bytes.
pub(crate) fn hash(token: &SecretString) -> Result<TokenHash, TokenError> {
    hash_with(token, &Params::DEFAULT)
}

/// Hashes a secret with argon2id of these parameters, and a random salt of 16 bytes.
pub(crate) fn hash_with(secret: &SecretString, params: &Params) -> Result<TokenHash, TokenError> {
    let salt = Salt::generate();
    let mut output = [0u8; OUTPUT_BYTES];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone())
        .hash_password_into(secret.expose_secret().as_bytes(), salt.as_ref(), &mut output)
        .map_err(|_error| TokenError::Hash)?;
    phc(params, salt, &output)
}

/// Makes a hash that no secret has, and that takes as long to compare as one of these parameters.
pub(crate) fn decoy(params: &Params) -> Result<TokenHash, TokenError> {
    phc(params, Salt::generate(), &rand::random::<[u8; OUTPUT_BYTES]>())
}

fn phc(params: &Params, salt: Salt, output: &[u8]) -> Result<TokenHash, TokenError> {
    let phc = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: params.try_into().map_err(|_error| TokenError::Hash)?,
        salt: Some(salt),
        hash: Some(Output::new(output).map_err(|_error| TokenError::Hash)?),
    };
    Ok(TokenHash::from_store(phc.to_string()))
}

/// Returns whether a hash cost less to make than one of these parameters.
pub(crate) fn is_cheaper(hash: &TokenHash, params: &Params) -> bool {
    let stored = PasswordHash::new(hash.to_store()).ok();
    stored.and_then(|stored| Params::try_from(&stored).ok()).is_some_and(|stored| {
        stored.m_cost() < params.m_cost() || stored.t_cost() < params.t_cost()
    })
}

/// The first 8 bytes of a keyed digest of the token.
///
/// They give nothing away of 256 random bits, and a guess passes them once in 2^64.
pub(crate) fn tag(token: &str) -> [u8; 8] {
    let full = digest(b"headcount token tag v1", token);
    let mut tag = [0u8; 8];
    tag.iter_mut().zip(full).for_each(|(to, from)| *to = from);
    tag
}

fn digest(key: &[u8], token: &str) -> Key {
    // HMAC takes keys of any length.
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key)
        .unwrap_or_else(|_| Hmac::new(&Default::default()));
    mac.update(token.as_bytes());
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use headcount_core::clock::Timestamp;

    use super::*;
    use crate::format::{self, Purpose};
    use crate::scope::Scopes;
    use crate::store::Token;

    static PANICKED: AtomicBool = AtomicBool::new(false);

    /// Panics the first time, and accepts everything later.
    fn unsteady(_: &str, _: &TokenHash, _: &mut Vec<Block>) -> Option<bool> {
        assert!(PANICKED.swap(true, Ordering::SeqCst), "the first run");
        Some(true)
    }

    #[test]
    fn s_p_a_panic_while_a_token_is_verified_costs_one_request() {
        let (id, secret) = format::generate(Purpose::Provisioning);
        let text = secret.expose_secret();
        let token = Token {
            id,
            purpose: Purpose::Provisioning,
            tenant: TenantId::new(1),
            name: "test".to_owned(),
            scopes: Scopes::SCIM_READ,
            cidrs: Vec::new(),
            created: Timestamp::from_micros(0),
            created_by: "test".to_owned(),
            expires: None,
            revoked: None,
            replaces: None,
            last_used: None,
            user: None,
        };
        let hash = TokenHash::from_store(String::new());
        let row = TokenRow { token, hash, tag: tag(text), secret_version: 1 };
        let (verifier, presented) =
            (Verifier::running(unsteady), PresentedToken::parse(text).unwrap());
        assert!(matches!(verifier.check(&presented, &row), Err(TokenError::Hash)));
        // Neither is it refused for ever, nor does everyone wait for a thread that is gone.
        assert!(verifier.check(&presented, &row).is_ok());
        assert!(verifier.recognize(&presented).is_some());
    }
}
