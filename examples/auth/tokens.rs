//! JSON Web Tokens (RFC 7519): who the bearer is, until when.

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const ISSUER: &str = "sockeye-example";

/// What a token says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Claims {
    /// The user.
    pub(crate) sub: String,
    iss: String,
    /// Seconds since 1970 from which on it is not valid any more.
    exp: u64,
}

impl Claims {
    /// How long it is still valid; nothing once it is not.
    pub(crate) fn remaining(&self) -> Duration {
        Duration::from_secs(self.exp).saturating_sub(now())
    }
}

/// Signs tokens and checks them, with one secret of this process.
#[derive(Clone)]
pub(crate) struct Tokens {
    signing: EncodingKey,
    checking: DecodingKey,
    validation: Validation,
    lifetime: Duration,
}

impl Tokens {
    pub(crate) fn new(secret: &[u8], lifetime: Duration) -> Self {
        // The algorithm is ours to choose, whatever a token's header says (RFC 8725 §3.1).
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "iss", "sub"]);
        validation.leeway = 0;
        Self {
            signing: EncodingKey::from_secret(secret),
            checking: DecodingKey::from_secret(secret),
            validation,
            lifetime,
        }
    }

    /// A token for a user who has shown who they are.
    pub(crate) fn issue(&self, user: &str) -> Result<String, jsonwebtoken::errors::Error> {
        let exp = (now() + self.lifetime).as_secs();
        let claims = Claims { sub: user.to_owned(), iss: ISSUER.to_owned(), exp };
        encode(&Header::new(Algorithm::HS256), &claims, &self.signing)
    }

    /// What a token says, if it is ours and still valid.
    pub(crate) fn check(&self, token: &str) -> Result<Claims, jsonwebtoken::errors::Error> {
        Ok(decode::<Claims>(token, &self.checking, &self.validation)?.claims)
    }
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonwebtoken::errors::ErrorKind;

    fn kind(result: Result<Claims, jsonwebtoken::errors::Error>) -> ErrorKind {
        result.unwrap_err().into_kind()
    }

    #[test]
    fn token_tells_its_user_and_how_long_it_is_valid() {
        let tokens = Tokens::new(b"secret", Duration::from_secs(60));
        let claims = tokens.check(&tokens.issue("alice").unwrap()).unwrap();
        assert_eq!(claims.sub, "alice");
        assert!((Duration::from_secs(58)..=Duration::from_secs(60)).contains(&claims.remaining()));
    }

    #[test]
    fn tokens_of_others_changed_ones_and_old_ones_are_refused() {
        let tokens = Tokens::new(b"secret", Duration::from_secs(60));
        let others = Tokens::new(b"another secret", Duration::from_secs(60));
        let (alice, root) = (tokens.issue("alice").unwrap(), others.issue("root").unwrap());
        assert_eq!(kind(others.check(&alice)), ErrorKind::InvalidSignature);

        let [alice, root] = [&alice, &root].map(|token| token.split('.').collect::<Vec<_>>());
        let forged = [alice[0], root[1], alice[2]].join(".");
        assert_eq!(kind(tokens.check(&forged)), ErrorKind::InvalidSignature);
        assert!(tokens.check("").is_err());

        let expired = Claims { sub: "alice".into(), iss: ISSUER.into(), exp: now().as_secs() - 1 };
        let expired = encode(&Header::new(Algorithm::HS256), &expired, &tokens.signing).unwrap();
        assert_eq!(kind(tokens.check(&expired)), ErrorKind::ExpiredSignature);
    }

    #[test]
    fn token_without_a_signature_is_refused() {
        let tokens = Tokens::new(b"secret", Duration::from_secs(60));
        let token = tokens.issue("alice").unwrap();
        let payload = token.split('.').nth(1).unwrap();
        // {"alg":"none","typ":"JWT"}
        assert!(tokens.check(&format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{payload}.")).is_err());
    }
}
