//! Keys: who may publish to a fleet, and whom its servers trust.

use std::{
    fmt, fs,
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    str::FromStr,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use thiserror::Error;

const PUBLIC: &str = "ed25519:";
const SECRET: &str = "ed25519-secret:";

/// The half of a key that servers are given: `ed25519:…` in `fleet.trust`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

/// The half that signs. Whoever has it can run code on every server that trusts it.
pub struct SecretKey(SigningKey);

/// Why there is no key.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KeyError {
    /// No public key.
    #[error(
        "{given:?} is not a public key: one begins with \"ed25519:\" and has 43 more characters, as `lua-hotloader keys new` prints it"
    )]
    NotPublic {
        /// What was given.
        given: String,
    },
    /// A file that is there stays as it is.
    #[error("{}: there is a file already, and a key that is overwritten is lost; name another file, or move it away", .0.display())]
    Exists(PathBuf),
    /// It cannot be written.
    #[error("{}: the key cannot be written", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no key to sign with.
    #[error("{}: there is no such key; `lua-hotloader keys new` makes one, and --key names its file", .0.display())]
    Missing(PathBuf),
    /// It cannot be read.
    #[error("{}: the key cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others may read it.
    #[error("{path}: others may read this key (mode {mode:03o}), so it may not be yours alone; `chmod 600 {path}`, or make a new one", path = path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It is something else.
    #[error("{}: not a key that `lua-hotloader keys new` has written", .0.display())]
    NotSecret(PathBuf),
    /// The system has no random numbers.
    #[error("the system gives no random numbers for a key: {0}")]
    Random(getrandom::Error),
}

impl SecretKey {
    /// A new one.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub fn generate() -> Result<Self, KeyError> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(KeyError::Random)?;
        Ok(Self(SigningKey::from_bytes(&seed)))
    }

    /// Writes it into a new file that only its owner may read.
    ///
    /// # Errors
    /// If the file exists or cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), KeyError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::AlreadyExists => KeyError::Exists(path.to_owned()),
            _ => KeyError::Write { path: path.to_owned(), source },
        };
        let text = format!(
            "# Signs releases of lua-hotloader: whoever has it can run code on every server that trusts\n# {}\n{SECRET}{}\n",
            self.public(),
            BASE64.encode(self.0.to_bytes())
        );
        let mut file =
            fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)
    }

    /// Reads one that [`write`](Self::write) has written.
    ///
    /// # Errors
    /// If it is not there, or others than its owner may read it.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => KeyError::Missing(path.to_owned()),
            _ => KeyError::Read { path: path.to_owned(), source },
        };
        let mode = fs::metadata(path).map_err(failed)?.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeyError::Open { path: path.to_owned(), mode });
        }
        let text = fs::read_to_string(path).map_err(failed)?;
        let line = text.lines().find_map(|line| line.strip_prefix(SECRET));
        let seed =
            line.and_then(|text| BASE64.decode(text.trim()).ok()).and_then(|seed| seed.try_into().ok());
        let seed: [u8; 32] = seed.ok_or_else(|| KeyError::NotSecret(path.to_owned()))?;
        Ok(Self(SigningKey::from_bytes(&seed)))
    }

    /// Its other half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    pub(super) fn sign(&self, message: &[u8]) -> String {
        BASE64.encode(self.0.sign(message).to_bytes())
    }
}

impl PublicKey {
    /// Whether the other half has signed that.
    pub(super) fn has_signed(&self, message: &[u8], signature: &str) -> bool {
        let bytes = BASE64.decode(signature).ok().and_then(|bytes| bytes.try_into().ok());
        // Strictly: of one message and key there is one signature.
        bytes.is_some_and(|bytes| self.0.verify_strict(message, &Signature::from_bytes(&bytes)).is_ok())
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PUBLIC}{}", BASE64.encode(self.0.as_bytes()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the secret half of {}", self.public())
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let bytes = text.strip_prefix(PUBLIC).and_then(|text| BASE64.decode(text).ok());
        let key = bytes.and_then(|bytes| VerifyingKey::from_bytes(&bytes.try_into().ok()?).ok());
        // With a weak key anything is signed.
        let key = key.filter(|key| !key.is_weak());
        key.map(Self).ok_or_else(|| KeyError::NotPublic { given: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_written_for_its_owner_alone_and_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let key = SecretKey::generate().unwrap();
        key.write(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let again = SecretKey::read(&path).unwrap();
        assert_eq!(again.public(), key.public());
        assert_eq!(key.public().to_string().parse::<PublicKey>().unwrap(), key.public());
        assert!(!format!("{key:?}").contains(&BASE64.encode(key.0.to_bytes())), "a log tells no secret");
    }

    #[test]
    fn a_key_that_is_there_is_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        fs::write(&path, "precious").unwrap();
        let error = SecretKey::generate().unwrap().write(&path).unwrap_err();
        assert!(matches!(error, KeyError::Exists(_)), "{error}");
        assert_eq!(fs::read_to_string(path).unwrap(), "precious");
    }

    #[test]
    fn a_key_that_others_may_read_signs_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        SecretKey::generate().unwrap().write(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = SecretKey::read(&path).unwrap_err();
        assert!(matches!(error, KeyError::Open { mode: 0o640, .. }), "{error}");
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }

    #[test]
    fn what_is_no_key_is_refused_and_so_is_one_by_which_anything_is_signed() {
        let weak = format!("{PUBLIC}{}", BASE64.encode([0; 32]));
        for text in ["", "ed25519:", "ed25519:abc", "rsa:abc", &weak] {
            assert!(text.parse::<PublicKey>().is_err(), "{text}");
        }
    }
}
