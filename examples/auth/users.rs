//! Who there is, and their passwords: as hashes, which are slow to compute on purpose.

use argon2::{
    Argon2,
    password_hash::{Error, PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use std::{collections::HashMap, sync::Arc};
use tokio::{sync::Semaphore, task::spawn_blocking};

/// How many passwords are checked at a time. One check keeps a core busy for some milliseconds, and anybody may ask.
const CHECK_COUNT: usize = 2;

/// Cloning it gives the same users.
#[derive(Clone)]
pub(crate) struct Users {
    hashes: Arc<HashMap<String, PasswordHash>>,
    /// The hash of nobody's password: a user who does not exist takes as long as one who does.
    nobody: PasswordHash,
    checks: Arc<Semaphore>,
}

impl Users {
    /// Users with the passwords that they chose.
    pub(crate) fn new<'a>(users: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, Error> {
        let hashed = users.into_iter().map(|(name, password)| Ok((name.to_owned(), hash(password)?)));
        Ok(Self {
            hashes: Arc::new(hashed.collect::<Result<_, Error>>()?),
            nobody: hash("")?,
            checks: Arc::new(Semaphore::new(CHECK_COUNT)),
        })
    }

    /// Whether this is the password of that user.
    pub(crate) async fn check(&self, user: &str, password: String) -> bool {
        let known = self.hashes.get(user).cloned();
        let exists = known.is_some();
        let hash = known.unwrap_or_else(|| self.nobody.clone());
        // Closed by nobody.
        let Ok(_permit) = self.checks.acquire().await else { return false };
        // Not on the threads that serve connections.
        let matches =
            spawn_blocking(move || Argon2::default().verify_password(password.as_bytes(), &hash).is_ok());
        matches.await.unwrap_or(false) && exists
    }
}

fn hash(password: &str) -> Result<PasswordHash, Error> {
    Argon2::default().hash_password(password.as_bytes())
}
