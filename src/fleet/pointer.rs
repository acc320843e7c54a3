//! [`Pointer`]: which release a site's servers run, signed by who publishes it.

use std::{collections::BTreeSet, time::Duration};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Digest, PublicKey, SecretKey};

/// A pointer and its signature have no more bytes.
pub const MAX_POINTER: usize = 64 << 10;
/// Signed before the pointer itself, so that no signature of anything else is one of a pointer.
const DOMAIN: &[u8] = b"lua-hotloader pointer 1\n";

/// Which release a site's servers run. Written by publishers only; servers compare, and believe the newest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pointer {
    /// The site it is for.
    pub site: String,
    /// The number of the rollout. A rollback is a new one that names an old root.
    pub seq: u64,
    /// The step within the rollout: each wave is one.
    pub step: u32,
    /// The release.
    pub root: Digest,
    /// What servers run that it is not for, and what new ones begin with: the release before it.
    pub previous: Option<Digest>,
    /// Who runs it now.
    pub wave: Wave,
    /// How far the rollout is.
    pub stage: Stage,
    /// How it goes on.
    pub plan: Plan,
    /// Until when every server of the wave should have answered, in seconds since 1970 by the publisher's clock.
    /// Only for people: servers do not go by it.
    pub deadline: u64,
    /// Why it is there, for people: "rollback of 7: …".
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// Which servers a step is for. A later wave has all of the earlier ones in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wave {
    /// All.
    All,
    /// Some.
    Some {
        /// So many of a thousand, by the hash of server and root.
        share: u16,
        /// And these.
        names: BTreeSet<String>,
    },
}

/// How far a rollout is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Waves go on.
    Rolling,
    /// A person has stopped it; who runs it, still does.
    Paused,
    /// Every server runs it: what new servers begin with.
    Settled,
}

/// How a rollout goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Servers of the first wave; 0: no waves, all at once.
    pub canary: u16,
    /// How long a wave has to go well before the next, in milliseconds.
    pub bake: u64,
    /// How long a wave may take to apply it, in milliseconds.
    pub patience: u64,
    /// How many of a thousand sessions may keep the version before.
    pub tolerate: u16,
    /// A person has named the servers of the first wave, so no others stand in for them.
    #[serde(default)]
    pub named: bool,
}

/// How long a wave may take if nothing else is said.
pub const PATIENCE: Duration = Duration::from_secs(30);

impl Default for Plan {
    fn default() -> Self {
        let patience = PATIENCE.as_millis().try_into().unwrap_or(u64::MAX);
        Self { canary: 0, bake: 0, patience, tolerate: 0, named: false }
    }
}

/// Which of two pointers is the newer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Position {
    /// [`Pointer::seq`]
    pub seq: u64,
    /// [`Pointer::step`]
    pub step: u32,
}

/// Why a pointer is not believed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PointerError {
    /// Not what a publisher writes.
    #[error("what points to the release is not as `lua-hotloader publish` writes it: {0}")]
    Malformed(String),
    /// Nobody who is trusted has signed it.
    #[error(
        "what points to the release is not signed by a key of fleet.trust, so it is not run; if it is yours, add the \
         line that `lua-hotloader keys new` printed to fleet.trust of this server"
    )]
    Untrusted,
    /// Of another site.
    #[error(
        "what points to the release is of the site {found:?}, and this server runs {wanted:?} (fleet.site)"
    )]
    OtherSite {
        /// What it says.
        found: String,
        /// What is wanted.
        wanted: String,
    },
}

impl Pointer {
    /// Its place in the order of pointers.
    pub fn position(&self) -> Position {
        Position { seq: self.seq, step: self.step }
    }

    /// The release that a server runs: this one if it is for it, else the one before.
    pub fn target(&self, server: &str) -> Option<Digest> {
        if self.wave.includes(server, self.root) { Some(self.root) } else { self.previous }
    }

    /// What a server begins with that has run nothing yet: what is accepted, and never what is only desired.
    pub fn accepted(&self) -> Option<Digest> {
        if self.stage == Stage::Settled { Some(self.root) } else { self.previous }
    }

    /// As it is kept: a line of JSON, and the signature.
    pub fn sign(&self, key: &SecretKey) -> Vec<u8> {
        // Nothing in it can fail to be written: names and numbers.
        let text = serde_json::to_string(self).unwrap_or_default();
        format!("{text}\n{}\n", key.sign(&message(&text))).into_bytes()
    }

    /// Reads what was kept, if one of these keys has signed it.
    ///
    /// # Errors
    /// If it is not signed so, or is of another site.
    pub fn read(record: &[u8], site: &str, trust: &[PublicKey]) -> Result<Self, PointerError> {
        let malformed = |what: &str| PointerError::Malformed(what.to_owned());
        if record.len() > MAX_POINTER {
            return Err(malformed("it has more than 64 KiB"));
        }
        let text = std::str::from_utf8(record).map_err(|_| malformed("it is no text"))?;
        let lines = text.strip_suffix('\n').and_then(|text| text.split_once('\n'));
        let (text, signature) = lines.ok_or_else(|| malformed("it has not two lines"))?;
        // Before anything else is made of it: a stranger's text is not even parsed.
        if !trust.iter().any(|key| key.has_signed(&message(text), signature)) {
            return Err(PointerError::Untrusted);
        }
        let pointer: Self =
            serde_json::from_str(text).map_err(|error| PointerError::Malformed(error.to_string()))?;
        if pointer.site != site {
            return Err(PointerError::OtherSite { found: pointer.site, wanted: site.to_owned() });
        }
        Ok(pointer)
    }
}

fn message(text: &str) -> Vec<u8> {
    [DOMAIN, text.as_bytes()].concat()
}

impl Wave {
    /// Whether a server belongs to it.
    pub fn includes(&self, server: &str, root: Digest) -> bool {
        match self {
            Self::All => true,
            Self::Some { share, names } => {
                names.contains(server) || rank(server, root) % 1000 < u64::from(*share)
            }
        }
    }

    /// These servers.
    pub fn of(names: impl IntoIterator<Item = String>) -> Self {
        Self::Some { share: 0, names: names.into_iter().collect() }
    }
}

/// The first of these servers for a release: another release begins with others.
pub(super) fn first(
    count: usize,
    servers: impl IntoIterator<Item = String>,
    root: Digest,
) -> BTreeSet<String> {
    let mut servers: Vec<String> = servers.into_iter().collect();
    servers.sort_by_cached_key(|server| (rank(server, root), server.clone()));
    servers.truncate(count);
    servers.into_iter().collect()
}

/// Where a server stands in the order of waves of a release.
fn rank(server: &str, root: Digest) -> u64 {
    let digest = Digest::of(&[root.as_bytes(), server.as_bytes()].concat());
    digest.as_bytes()[..8].iter().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::fleet) fn pointer(seq: u64, root: Digest, previous: Option<Digest>) -> Pointer {
        Pointer {
            site: "shop".into(),
            seq,
            step: 0,
            root,
            previous,
            wave: Wave::All,
            stage: Stage::Rolling,
            plan: Plan::default(),
            deadline: 0,
            note: String::new(),
        }
    }

    #[test]
    fn a_pointer_is_read_as_it_was_signed() {
        let key = SecretKey::generate().unwrap();
        for wave in [Wave::All, Wave::Some { share: 100, names: ["a".to_owned()].into() }] {
            let written = Pointer { wave, ..pointer(7, Digest::of(b"1"), Some(Digest::of(b"0"))) };
            let read = Pointer::read(&written.sign(&key), "shop", &[key.public()]).unwrap();
            assert_eq!(read, written);
        }
    }

    #[test]
    fn what_no_trusted_key_has_signed_is_not_believed_whichever_byte_is_another() {
        let (key, other) = (SecretKey::generate().unwrap(), SecretKey::generate().unwrap());
        let record = pointer(7, Digest::of(b"1"), None).sign(&key);
        for trust in [&[][..], &[other.public()]] {
            assert_eq!(Pointer::read(&record, "shop", trust), Err(PointerError::Untrusted));
        }
        assert!(Pointer::read(&record, "shop", &[other.public(), key.public()]).is_ok());
        for at in 0..record.len() {
            let mut forged = record.clone();
            forged[at] ^= 1;
            assert!(Pointer::read(&forged, "shop", &[key.public()]).is_err(), "byte {at}");
        }
        let unsigned = record.split_inclusive(|&byte| byte == b'\n').next().unwrap();
        assert!(Pointer::read(unsigned, "shop", &[key.public()]).is_err());
    }

    #[test]
    fn a_pointer_of_another_site_points_to_nothing_here() {
        let key = SecretKey::generate().unwrap();
        let record = pointer(7, Digest::of(b"1"), None).sign(&key);
        let error = Pointer::read(&record, "blog", &[key.public()]).unwrap_err();
        assert!(matches!(error, PointerError::OtherSite { .. }), "{error}");
    }

    #[test]
    fn who_is_not_in_the_wave_runs_what_was_before_and_newcomers_what_is_accepted() {
        let (new, old) = (Digest::of(b"1"), Digest::of(b"0"));
        let mut pointer = pointer(7, new, Some(old));
        pointer.wave = Wave::of(["a".to_owned()]);
        assert_eq!((pointer.target("a"), pointer.target("b")), (Some(new), Some(old)));
        pointer.wave = Wave::All;
        assert_eq!((pointer.target("b"), pointer.accepted()), (Some(new), Some(old)));
        pointer.stage = Stage::Settled;
        assert_eq!(pointer.accepted(), Some(new));
    }

    #[test]
    fn a_share_grows_by_servers_and_another_release_begins_with_others() {
        let servers: Vec<String> = (0..1000).map(|n| format!("server-{n}")).collect();
        let of = |share, root: &[u8]| {
            let root = Digest::of(root);
            let wave = Wave::Some { share, names: BTreeSet::new() };
            servers.iter().filter(|name| wave.includes(name, root)).collect::<BTreeSet<_>>()
        };
        let (tenth, half) = (of(100, b"1"), of(500, b"1"));
        assert!((60..140).contains(&tenth.len()), "{}", tenth.len());
        assert!(tenth.is_subset(&half));
        assert_ne!(tenth, of(100, b"2"));
        assert_eq!((of(0, b"1").len(), of(1000, b"1").len()), (0, 1000));
    }
}
