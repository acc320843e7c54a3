//! Sets of directories, of which there can be a hundred thousand.

use std::{
    cmp::Ordering,
    fmt,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::Arc,
};

/// An ordered set of directories that never changes. A clone shares everything with the original, and two
/// sets may share their paths: the same directories stand in the plan of the watcher, of the supervisor and
/// of a backend, and each has them once.
///
/// The order is that of [`Path`], so all that is below a directory stands right behind it. Paths are compared
/// by their bytes: they have to be written in one way, without a slash at the end or two in a row.
#[derive(Clone, Default)]
pub struct DirSet(Arc<[Arc<Path>]>);

impl DirSet {
    /// No directory.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, in order.
    pub fn as_slice(&self) -> &[Arc<Path>] {
        &self.0
    }

    /// All of them, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Arc<Path>> {
        self.0.iter()
    }

    /// Whether a directory is in the set.
    pub fn contains(&self, dir: &Path) -> bool {
        self.position(dir).is_some()
    }

    /// The same, and faster if it is likely to be at that place in the order: of two sets that are alike, one
    /// is gone through and the other asked.
    pub fn contains_at(&self, place: usize, dir: &Arc<Path>) -> bool {
        self.0.get(place).is_some_and(|known| Arc::ptr_eq(known, dir)) || self.contains(dir)
    }

    /// Which one of the set, in its order, a directory is.
    pub fn position(&self, dir: &Path) -> Option<usize> {
        self.0.binary_search_by(|known| order(known, dir)).ok()
    }

    /// A directory, if it is in the set, and those below it.
    pub fn at_and_below(&self, dir: &Path) -> &[Arc<Path>] {
        let from = self.0.partition_point(|known| order(known, dir).is_lt());
        let behind = self.0.get(from..).unwrap_or_default();
        let count = behind.partition_point(|known| known.starts_with(dir));
        behind.get(..count).unwrap_or_default()
    }

    /// Those of the set that are not in another one.
    pub fn without(&self, other: &Self) -> Vec<Arc<Path>> {
        if self.is(other) {
            return Vec::new();
        }
        let mut others = other.iter().peekable();
        let is_new = |dir: &&Arc<Path>| {
            while others.next_if(|other| order(other, dir).is_lt()).is_some() {}
            others.peek().is_none_or(|other| order(other, dir).is_ne())
        };
        self.iter().filter(is_new).cloned().collect()
    }

    /// Whether another set has all of these.
    pub fn is_subset(&self, other: &Self) -> bool {
        self.is(other) || self.without(other).is_empty()
    }

    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// As paths are ordered, for those that are written in one way: several times faster than to take them
/// apart.
fn order(a: &Path, b: &Path) -> Ordering {
    const STEP: usize = 16;
    let (a, b) = (a.as_os_str().as_bytes(), b.as_os_str().as_bytes());
    // Most of two paths is the same.
    let same = a.chunks_exact(STEP).zip(b.chunks_exact(STEP)).take_while(|(a, b)| a == b).count() * STEP;
    let slash_first = |byte: &u8| if *byte == b'/' { 0 } else { *byte };
    a[same..].iter().map(slash_first).cmp(b[same..].iter().map(slash_first))
}

impl PartialEq for DirSet {
    fn eq(&self, other: &Self) -> bool {
        let is_same = |(a, b): (&Arc<Path>, &Arc<Path>)| Arc::ptr_eq(a, b) || a.as_os_str() == b.as_os_str();
        self.is(other) || (self.len() == other.len() && self.iter().zip(other).all(is_same))
    }
}

impl Eq for DirSet {}

impl fmt::Debug for DirSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl FromIterator<Arc<Path>> for DirSet {
    fn from_iter<T: IntoIterator<Item = Arc<Path>>>(dirs: T) -> Self {
        let mut dirs: Vec<_> = dirs.into_iter().collect();
        dirs.sort_by(|a, b| order(a, b));
        dirs.dedup_by(|a, b| a.as_os_str() == b.as_os_str());
        Self(dirs.into())
    }
}

impl FromIterator<PathBuf> for DirSet {
    fn from_iter<T: IntoIterator<Item = PathBuf>>(dirs: T) -> Self {
        dirs.into_iter().map(Arc::<Path>::from).collect()
    }
}

impl<'a> IntoIterator for &'a DirSet {
    type Item = &'a Arc<Path>;
    type IntoIter = std::slice::Iter<'a, Arc<Path>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn paths() -> impl Strategy<Value = Vec<PathBuf>> {
        // Of few characters, some before the slash and some behind it, and long enough for a step.
        proptest::collection::vec("/(long_component_name/)?[ab-]{1,2}(/[ab-]{1,2}){0,2}", 0..24)
            .prop_map(|paths| paths.into_iter().map(PathBuf::from).collect())
    }

    proptest! {
        #[test]
        fn it_is_the_set_that_paths_make_whatever_they_are(one in paths(), two in paths(), at in paths()) {
            let (a, b): (DirSet, DirSet) = (one.iter().cloned().collect(), two.iter().cloned().collect());
            let one: BTreeSet<PathBuf> = one.into_iter().collect();
            let two: BTreeSet<PathBuf> = two.into_iter().collect();
            let list = |dirs: &[Arc<Path>]| dirs.iter().map(|dir| dir.to_path_buf()).collect::<Vec<_>>();
            prop_assert_eq!(list(&a.0), one.iter().cloned().collect::<Vec<_>>());
            prop_assert_eq!(list(&a.without(&b)), one.difference(&two).cloned().collect::<Vec<_>>());
            prop_assert_eq!(a.is_subset(&b), one.is_subset(&two));
            prop_assert_eq!(a == b, one == two);
            for path in at.iter().chain([&PathBuf::from("/")]) {
                prop_assert_eq!(a.contains(path), one.contains(path));
                let below: Vec<_> = one.iter().filter(|dir| dir.starts_with(path)).cloned().collect();
                prop_assert_eq!(list(a.at_and_below(path)), below);
            }
        }
    }

    #[test]
    fn a_set_made_from_another_shares_its_paths() {
        let all: DirSet = ["/b", "/a", "/a/c", "/a"].map(PathBuf::from).into_iter().collect();
        let some: DirSet = all.iter().skip(1).cloned().collect();
        assert_eq!((all.len(), some.len()), (3, 2));
        assert!(some.iter().all(|dir| all.iter().any(|other| Arc::ptr_eq(dir, other))));
    }
}
