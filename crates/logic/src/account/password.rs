//! Passwords: argon2id, off the async threads.
//!
//! **Invariant:** at most as many hashes as configured are computed at a time, and a bounded number of callers wait;
//! beyond that the answer is `busy`. Checking costs one hash whether there is a stored one or not, so that time does not
//! tell who has an account.
//!
//! **Invariant:** the memory of a hash is kept and used again. Tens of MiB taken and given back for each hash tear the heap
//! of the C library apart, and a crowd of strangers who only fail to log in would cost gigabytes.

use super::Config;
use super::secret;
use argon2::{Algorithm, Argon2, Block, Params, PasswordHash, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use skein_domain::{Code, Error, Result};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use subtle::ConstantTimeEq;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

const SALT_BYTES: usize = 16;
const OUTPUT_BYTES: usize = 32;
const BYTES_MIN: usize = 8;
/// Longer ones are refused before anything is computed.
pub(super) const BYTES_MAX: usize = 128;

pub struct Passwords {
    argon2: Argon2<'static>,
    /// Of no password. Checked where there is nothing to check.
    dummy: Arc<str>,
    /// Computing or waiting.
    admitted: Arc<Semaphore>,
    computing: Arc<Semaphore>,
    computed: Arc<AtomicU64>,
    memories: Memories,
}

/// The blocks of hashes that are not being computed; as many as were ever computed at a time, which is bounded.
type Memories = Arc<Mutex<Vec<Vec<Block>>>>;

/// The right to compute one hash now. Taken before something is used up that a `busy` afterwards would waste.
pub(super) struct Slot {
    _computing: OwnedSemaphorePermit,
    _admitted: OwnedSemaphorePermit,
}

impl Passwords {
    pub(super) fn new(config: &Config) -> Result<Self> {
        let params = Params::new(config.password_memory_kib, config.password_passes, config.password_lanes, None)
            .map_err(|error| Error::new(Code::BadRequest, format!("password cost: {error}")))?;
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        let concurrency = if config.password_concurrency == 0 { cores } else { config.password_concurrency as usize };
        Ok(Self {
            dummy: dummy_hash(&params)?.into(),
            argon2: Argon2::new(Algorithm::Argon2id, Version::V0x13, params),
            admitted: Arc::new(Semaphore::new(concurrency + config.password_queue as usize)),
            computing: Arc::new(Semaphore::new(concurrency)),
            computed: Arc::new(AtomicU64::new(0)),
            memories: Memories::default(),
        })
    }

    /// `busy` when too many wait already.
    pub(super) async fn slot(&self) -> Result<Slot> {
        let admitted = self.admitted.clone().try_acquire_owned().map_err(|_| busy())?;
        metrics::gauge!("skein_password_hashes_free").set(self.admitted.available_permits() as f64);
        let computing = self.computing.clone().acquire_owned().await.map_err(|_| Error::internal())?;
        Ok(Slot { _computing: computing, _admitted: admitted })
    }

    pub(super) async fn hash(&self, slot: Slot, password: String) -> Result<String> {
        let salt: [u8; SALT_BYTES] = secret::random()?;
        let argon2 = self.argon2.clone();
        let output = self.compute(slot, move |memory| output(&argon2, &password, &salt, memory)).await?;
        let output = output.map_err(|error| {
            tracing::error!(%error, "password not hashed");
            Error::internal()
        })?;
        Ok(in_usual_form(self.argon2.params(), &salt, &output))
    }

    /// Whether `password` is the one of `hash`; never, but at the same cost, if there is no hash.
    pub(super) async fn verify(&self, password: String, hash: Option<&str>) -> Result<bool> {
        let slot = self.slot().await?;
        let hash: Arc<str> = hash.map_or_else(|| self.dummy.clone(), Arc::from);
        let verified = self.compute(slot, move |memory| is_of(&hash, &password, memory)).await?;
        Ok(verified.unwrap_or_else(|error| {
            tracing::error!(%error, "stored password hash is unreadable");
            false
        }))
    }

    /// Whether the hash was made at another cost than is configured now.
    pub(super) fn is_outdated(&self, hash: &str) -> bool {
        let made_with = PasswordHash::new(hash).ok().and_then(|hash| Params::try_from(&hash).ok());
        let now = self.argon2.params();
        made_with.is_some_and(|p| (p.m_cost(), p.t_cost(), p.p_cost()) != (now.m_cost(), now.t_cost(), now.p_cost()))
    }

    /// Hashes computed so far.
    pub fn computed(&self) -> u64 {
        self.computed.load(Ordering::Relaxed)
    }

    async fn compute<T: Send + 'static>(&self, slot: Slot, work: impl FnOnce(&mut Vec<Block>) -> T + Send + 'static) -> Result<T> {
        let (computed, memories) = (self.computed.clone(), self.memories.clone());
        let work = move || {
            let mut memory = lock(&memories).pop().unwrap_or_default();
            let done = work(&mut memory);
            lock(&memories).push(memory);
            computed.fetch_add(1, Ordering::Relaxed);
            metrics::counter!("skein_password_hashes_total").increment(1);
            drop(slot);
            done
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| Error::internal())
    }
}

fn busy() -> Error {
    metrics::counter!("skein_password_busy_total").increment(1);
    Error::new(Code::Busy, "too many log-ins at once; try again").retry_after(1_000)
}

/// `weak_password` unless it is 8 to 128 bytes and not the address itself.
pub(super) fn check(password: &str, email: &str) -> Result<()> {
    let weak = |message: &'static str| Err(Error::new(Code::WeakPassword, message));
    if !(BYTES_MIN..=BYTES_MAX).contains(&password.len()) {
        return weak("a password has 8 to 128 bytes");
    }
    if password.trim().eq_ignore_ascii_case(email) {
        return weak("a password is not the e-mail address");
    }
    Ok(())
}

/// A hash whose password nobody knows, not even we: both halves are random.
fn dummy_hash(params: &Params) -> Result<String> {
    Ok(in_usual_form(params, &secret::random::<SALT_BYTES>()?, &secret::random::<OUTPUT_BYTES>()?))
}

/// A PHC string: <https://github.com/P-H-C/phc-string-format>.
fn in_usual_form(params: &Params, salt: &[u8], output: &[u8]) -> String {
    let (salt, output) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(output));
    format!("$argon2id$v=19$m={},t={},p={}${salt}${output}", params.m_cost(), params.t_cost(), params.p_cost())
}

/// Grows `memory` when these costs need more than any before.
fn output(argon2: &Argon2<'_>, password: &str, salt: &[u8], memory: &mut Vec<Block>) -> argon2::Result<[u8; OUTPUT_BYTES]> {
    let blocks = argon2.params().block_count();
    if memory.len() < blocks {
        memory.resize(blocks, Block::default());
    }
    let mut output = [0; OUTPUT_BYTES];
    argon2.hash_password_into_with_memory(password.as_bytes(), salt, &mut output, &mut memory[..blocks])?;
    Ok(output)
}

/// Computes with the costs the hash was made with.
fn is_of(hash: &str, password: &str, memory: &mut Vec<Block>) -> Result<bool, Unreadable> {
    let hash = PasswordHash::new(hash).map_err(|_| Unreadable)?;
    let params = Params::try_from(&hash).map_err(|_| Unreadable)?;
    let (salt, expected) = (hash.salt.ok_or(Unreadable)?, hash.hash.ok_or(Unreadable)?);
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let computed = output(&argon2, password, salt.as_ref(), memory).map_err(|_| Unreadable)?;
    Ok(computed.as_slice().ct_eq(expected.as_bytes()).into())
}

#[derive(Debug, thiserror::Error)]
#[error("no argon2id hash in the usual form")]
struct Unreadable;

fn lock(memories: &Memories) -> std::sync::MutexGuard<'_, Vec<Vec<Block>>> {
    memories.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cheap() -> Config {
        Config { password_memory_kib: 8, password_passes: 1, password_concurrency: 1, password_queue: 1, ..Config::default() }
    }

    #[tokio::test]
    async fn a_password_is_hashed_with_salt_and_known_again() {
        let passwords = Passwords::new(&cheap()).unwrap();
        let hash = passwords.hash(passwords.slot().await.unwrap(), "correct horse".into()).await.unwrap();
        let again = passwords.hash(passwords.slot().await.unwrap(), "correct horse".into()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=8,t=1,p=1$"));
        assert_ne!(hash, again);
        assert!(passwords.verify("correct horse".into(), Some(&hash)).await.unwrap());
        assert!(!passwords.verify("correct house".into(), Some(&hash)).await.unwrap());
    }

    #[tokio::test]
    async fn no_hash_costs_as_much_as_a_wrong_password() {
        let passwords = Passwords::new(&cheap()).unwrap();
        assert!(!passwords.verify("correct horse".into(), None).await.unwrap());
        assert_eq!(passwords.computed(), 1);
        assert!(!passwords.is_outdated(&passwords.dummy), "the dummy has the cost of a real one");
        assert!(PasswordHash::new(&passwords.dummy).is_ok());
    }

    #[tokio::test]
    async fn the_memory_of_a_hash_is_used_again() {
        let config = Config { password_concurrency: 2, password_queue: 64, ..cheap() };
        let passwords = Arc::new(Passwords::new(&config).unwrap());
        let mut crowd = tokio::task::JoinSet::new();
        for _ in 0..64 {
            let passwords = passwords.clone();
            crowd.spawn(async move { passwords.verify("correct horse".into(), None).await });
        }
        assert!(crowd.join_all().await.into_iter().all(|verified| verified == Ok(false)));
        assert_eq!(passwords.computed(), 64);
        assert!((1..=2).contains(&lock(&passwords.memories).len()), "never more than are computed at a time");
    }

    #[tokio::test]
    async fn a_hash_made_elsewhere_is_understood() {
        use argon2::PasswordHasher;
        let passwords = Passwords::new(&cheap()).unwrap();
        let elsewhere = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(16, 2, 1, None).unwrap());
        let hash = elsewhere.hash_password_with_salt(b"correct horse", b"sixteen bytes ok").unwrap().to_string();
        assert!(passwords.verify("correct horse".into(), Some(&hash)).await.unwrap());
        assert!(!passwords.verify("correct house".into(), Some(&hash)).await.unwrap());
        assert!(!passwords.verify("correct horse".into(), Some("rubbish")).await.unwrap());
    }

    #[tokio::test]
    async fn beyond_the_queue_is_busy() {
        let passwords = Arc::new(Passwords::new(&cheap()).unwrap());
        let computing = passwords.slot().await.unwrap();
        let waiting = {
            let passwords = passwords.clone();
            tokio::spawn(async move { passwords.slot().await.map(drop) })
        };
        while passwords.admitted.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(passwords.slot().await.err().map(|e| e.code), Some(Code::Busy));
        drop(computing);
        waiting.await.unwrap().unwrap();
        passwords.slot().await.unwrap();
    }

    #[test]
    fn another_cost_is_outdated() {
        let passwords = Passwords::new(&cheap()).unwrap();
        let dearer = Passwords::new(&Config { password_passes: 2, ..cheap() }).unwrap();
        assert!(dearer.is_outdated(&passwords.dummy));
        assert!(!passwords.is_outdated("rubbish"));
        assert!(Passwords::new(&Config { password_passes: 0, ..cheap() }).is_err());
    }

    #[test]
    fn weak_passwords_are_refused() {
        let code = |password: &str| check(password, "ann@example.org").unwrap_err().code;
        assert_eq!(code("1234567"), Code::WeakPassword);
        assert_eq!(code(&"x".repeat(129)), Code::WeakPassword);
        assert_eq!(code("Ann@Example.org"), Code::WeakPassword);
        assert!(check("12345678", "ann@example.org").is_ok());
    }
}
