//! What the configuration has to know of watch backends: their names, and whether one takes its options.

use std::collections::BTreeMap;

use super::{
    BackendOptions, Config, Problem, Reason,
    setting::{Setting, shown},
};

/// The watch backends that `watch.backend` can name, each with its table `[watch.NAME]`.
///
/// A list of names stands for backends whose options are not checked, which is enough for tests.
pub trait Backends {
    /// Their names.
    fn names(&self) -> Vec<&str>;

    /// Why a backend does not take these options, with the whole key of the first wrong one in the text;
    /// `None` if it does.
    fn refusal(&self, name: &str, options: &BackendOptions) -> Option<String>;
}

impl<const N: usize> Backends for [&str; N] {
    fn names(&self) -> Vec<&str> {
        self.to_vec()
    }

    fn refusal(&self, _: &str, _: &BackendOptions) -> Option<String> {
        None
    }
}

/// What the backends have to say of their options, whether or not they are chosen.
///
/// A backend names one wrong option at a time, so it is asked again without that one. Options are not tried
/// one by one, since one may be right only beside another.
pub(super) fn refused_options(
    config: &Config,
    backends: &dyn Backends,
    in_force: &BTreeMap<String, Setting>,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    for name in backends.names() {
        let mut options = config.watch.options(name).clone();
        let full = |option: &str| format!("watch.{name}.{option}");
        while !options.is_empty()
            && let Some(why) = backends.refusal(name, &options)
        {
            // The one that stands first in the text, and the longest of those that begin there.
            let at = |option: &&String| {
                let key = full(option);
                why.find(&key).map_or((usize::MAX, 0), |at| (at, usize::MAX - key.len()))
            };
            let Some(option) = options.keys().min_by_key(at).cloned() else { break };
            options.remove(&option);
            let key = full(&option);
            let within = format!("{key}.");
            let setting = in_force.iter().find(|(set, _)| **set == key || set.starts_with(&within));
            if let Some((_, Setting { written, origin, .. })) = setting {
                problems.push(Problem {
                    key,
                    value: shown(written),
                    origin: origin.clone(),
                    reason: Reason::Refused { why },
                });
            }
        }
    }
    problems
}
