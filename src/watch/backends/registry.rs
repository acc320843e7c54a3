//! Which watch backends there are: a name and how to make one.

use std::{collections::BTreeMap, fmt, sync::Arc};

use hotloader_backend::{BackendFailure, FailureClass, FileWatchBackend};
use hotloader_notify::NotifyBackend;
use hotloader_polling::PollingBackend;
use hotloader_watchman::WatchmanBackend;
use thiserror::Error;

use crate::config::{BackendOptions, Backends, WatchConfig};

/// Where `watch.backend = "auto"` takes a backend.
#[derive(Debug, Clone, Copy)]
pub(super) enum Auto {
    /// Where the kernel tells of changes and a file of that name stands in the tree or above it: somebody
    /// asks for this backend.
    Asked(&'static str),
    /// Where the kernel tells of changes.
    Reported,
    /// Everywhere.
    Anywhere,
    /// Nowhere: it has to be named.
    Nowhere,
}

/// A backend that comes with the server.
pub(super) struct Builtin {
    pub(super) name: &'static str,
    pub(super) auto: Auto,
    make: fn(&WatchConfig) -> Result<Box<dyn FileWatchBackend>, BackendFailure>,
}

/// All of them, in the order of preference of `watch.backend = "auto"`.
pub(super) const BUILTIN: &[Builtin] = &[
    Builtin {
        name: WATCHMAN,
        auto: Auto::Asked(".watchmanconfig"),
        make: |settings| Ok(Box::new(WatchmanBackend::from_options(&watchman_options(settings))?)),
    },
    #[cfg(all(target_os = "linux", not(portable)))]
    Builtin {
        name: hotloader_inotify::NAME,
        auto: Auto::Reported,
        make: |settings| {
            let options = settings.options(hotloader_inotify::NAME);
            Ok(Box::new(hotloader_inotify::InotifyBackend::from_options(options)?))
        },
    },
    Builtin {
        name: hotloader_notify::NAME,
        // Where inotify cannot watch, this cannot either.
        auto: if cfg!(all(target_os = "linux", not(portable))) { Auto::Nowhere } else { Auto::Reported },
        make: |settings| Ok(Box::new(NotifyBackend::from_options(settings.options(hotloader_notify::NAME))?)),
    },
    Builtin {
        name: POLLING,
        auto: Auto::Anywhere,
        make: |settings| Ok(Box::new(PollingBackend::from_options(settings.options(POLLING))?)),
    },
];

/// The backend that `watch.backend = "auto"` takes where the kernel tells of changes.
pub const KERNEL: &str =
    if cfg!(all(target_os = "linux", not(portable))) { "inotify" } else { hotloader_notify::NAME };

/// The backend that works on every file system, since it needs nothing of the kernel.
pub const POLLING: &str = hotloader_polling::NAME;

/// The backend that stands on a program of its own.
pub const WATCHMAN: &str = hotloader_watchman::NAME;

/// The options of the Watchman backend as they are in force: who names it has its daemon started if none answers, as
/// every client of Watchman does. Where `"auto"` comes upon it, another backend takes its place: a server whose
/// configuration does not name it starts no daemon of its own accord.
pub fn watchman_options(settings: &WatchConfig) -> BackendOptions {
    let mut options = settings.options(WATCHMAN).clone();
    let is_named = settings.backend.names().iter().any(|name| name == WATCHMAN);
    // What is no boolean is left for the backend to refuse.
    let is_said = options.get("spawn").is_some_and(|value| is_named || !value.is_boolean());
    if !is_said {
        options.insert("spawn".into(), is_named.into());
    }
    options
}

type Construct = dyn Fn(&WatchConfig) -> Result<Box<dyn FileWatchBackend>, BackendFailure> + Send + Sync;

/// Makes a backend from the settings.
#[derive(Clone)]
pub(crate) struct Constructor(Arc<Construct>);

impl Constructor {
    pub(crate) fn make(&self, settings: &WatchConfig) -> Result<Box<dyn FileWatchBackend>, BackendFailure> {
        (self.0)(settings)
    }
}

impl fmt::Debug for Constructor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Constructor")
    }
}

/// The backends that `watch.backend` can name.
#[derive(Clone, Default)]
pub struct Registry {
    constructors: BTreeMap<&'static str, Constructor>,
}

/// `watch.backend` names no backend.
#[derive(Debug, Error)]
#[error("watch.backend = \"{name}\": there is no such backend{}; there are: {}",
    nearest.map(|name| format!("; do you mean \"{name}\"?")).unwrap_or_default(), names.join(", "))]
pub struct UnknownBackend {
    name: String,
    nearest: Option<&'static str>,
    names: Vec<&'static str>,
}

impl Registry {
    /// Those that come with the server.
    pub fn with_builtin() -> Self {
        let mut registry = Self::default();
        for Builtin { name, make, .. } in BUILTIN {
            registry.register(name, make);
        }
        registry
    }

    /// Adds a backend, or replaces the one of that name. The constructor is called at each start of
    /// the backend and checks its options; it is called for that alone, too, when a configuration is read.
    pub fn register(
        &mut self,
        name: &'static str,
        constructor: impl Fn(&WatchConfig) -> Result<Box<dyn FileWatchBackend>, BackendFailure>
        + Send
        + Sync
        + 'static,
    ) {
        self.constructors.insert(name, Constructor(Arc::new(constructor)));
    }

    /// The names that can be chosen.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.constructors.keys().copied()
    }

    pub(crate) fn find(&self, name: &str) -> Result<Constructor, UnknownBackend> {
        self.constructors.get(name).cloned().ok_or_else(|| UnknownBackend {
            name: name.to_owned(),
            nearest: self
                .names()
                .map(|known| (strsim::damerau_levenshtein(known, name), known))
                .filter(|&(distance, _)| distance <= 3)
                .min()
                .map(|(_, known)| known),
            names: self.names().collect(),
        })
    }
}

impl Backends for Registry {
    fn names(&self) -> Vec<&str> {
        self.constructors.keys().copied().collect()
    }

    fn refusal(&self, name: &str, options: &BackendOptions) -> Option<String> {
        let mut settings = WatchConfig::default();
        settings.options_mut(name).clone_from(options);
        let failure = self.constructors.get(name)?.make(&settings).err()?;
        // Others may pass by themselves.
        (failure.class() == FailureClass::Fatal).then(|| failure.explain())
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::load_str;

    #[test]
    fn an_unknown_name_lists_the_known_ones_and_the_nearest() {
        let mut registry = Registry::with_builtin();
        registry.register("mine", |_| Err(BackendFailure::fatal("never made")));
        let error = registry.find("notfy").err().unwrap().to_string();
        assert!(error.contains("do you mean \"notify\"?"), "{error}");
        assert!(error.contains("mine, notify, polling, watchman"), "{error}");
        let error = registry.find("fsevents").err().unwrap().to_string();
        assert!(!error.contains("do you mean"), "{error}");
        assert!(registry.find("mine").is_ok());
    }

    #[test]
    fn a_daemon_is_started_where_watchman_is_named_and_never_otherwise() {
        for (text, spawns) in [
            ("backend = \"watchman\"", true),
            ("backend = [\"watchman\", \"polling\"]", true),
            ("backend = \"auto\"", false),
            ("backend = \"polling\"", false),
            ("backend = \"watchman\"\n[watch.watchman]\nspawn = false", false),
            ("backend = \"auto\"\n[watch.watchman]\nspawn = true", false),
        ] {
            let text = format!("[watch]\n{text}\n");
            let settings = load_str(Path::new("c.toml"), &text, &Registry::with_builtin()).unwrap().watch;
            assert_eq!(watchman_options(&settings)["spawn"], spawns, "{text}");
        }
    }

    #[test]
    fn wrong_options_of_any_backend_are_told_with_file_and_line_all_at_once() {
        let text = "[watch]\nbackend = \"notify\"\n[watch.polling]\nintervall = \"1s\"\nmax_cpu = 3\n\
                    interval = \"50ms\"\nidle_interval = \"60ms\"\n[watch.notify]\nx = 1\n\
                    [watch.watchman]\nspawn = true\n";
        let error = load_str(Path::new("c.toml"), text, &Registry::with_builtin()).unwrap_err().to_string();
        let lines: Vec<&str> = error.lines().collect();
        assert_eq!(lines.len(), 3, "{error}");
        assert!(
            lines[0].starts_with("c.toml:4: unknown key watch.polling.intervall; there are: "),
            "{error}"
        );
        assert!(
            lines[1].starts_with("c.toml:5: watch.polling.max_cpu = 3: must be a number from"),
            "{error}"
        );
        assert!(lines[2].starts_with("c.toml:9: watch.notify.x: "), "{error}");
        // An option that is wrong beside another one is the one that is named.
        let text = "[watch.polling]\ninterval = \"2s\"\nidle_interval = \"1s\"\n";
        let error = load_str(Path::new("c.toml"), text, &Registry::with_builtin()).unwrap_err().to_string();
        assert!(
            error.starts_with("c.toml:3: watch.polling.idle_interval = \"1s\": must be at least"),
            "{error}"
        );
    }
}
