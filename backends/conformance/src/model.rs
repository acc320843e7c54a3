//! A tree in memory that does what a file system would: what is on the disk is not asked.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use crate::{
    entries::{Entries, Entry},
    operation::{OUTSIDE, Operation, ROOT, Steps},
};

#[derive(Debug, Clone)]
enum Node {
    Dir(BTreeMap<&'static str, Node>),
    /// By number: two names may share one.
    File(usize),
    Link,
}

#[derive(Debug, Default)]
struct File {
    content: Vec<u8>,
    is_closed: bool,
}

/// What an operation comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    Done,
    /// It must fail, and changes nothing.
    Fails,
    /// Not to be tried: a link is on the way, or a write would not be told under all names of the file.
    Unclear,
}

use Effect::{Done, Fails, Unclear};

#[derive(Debug)]
pub(crate) struct Model {
    top: BTreeMap<&'static str, Node>,
    files: Vec<File>,
}

/// What is on the way to a place.
enum Way<'a> {
    /// The directory that the place is in.
    Parent(&'a mut BTreeMap<&'static str, Node>),
    Blocked,
    Link,
}

fn walk<'a>(top: &'a mut BTreeMap<&'static str, Node>, place: &[&'static str]) -> Way<'a> {
    let mut dir = top;
    for step in &place[..place.len() - 1] {
        match dir.get_mut(step) {
            Some(Node::Dir(entries)) => dir = entries,
            Some(Node::Link) => return Way::Link,
            _ => return Way::Blocked,
        }
    }
    Way::Parent(dir)
}

/// The directory a place is in, or what becomes of an operation that cannot get there.
macro_rules! parent {
    ($model:expr, $place:expr) => {
        match walk(&mut $model.top, $place) {
            Way::Parent(dir) => dir,
            Way::Blocked => return Fails,
            Way::Link => return Unclear,
        }
    };
}

fn last(place: &[&'static str]) -> &'static str {
    place[place.len() - 1]
}

impl Model {
    /// An empty tree and nothing beside it.
    pub(crate) fn new() -> Self {
        let top = [ROOT, OUTSIDE].map(|name| (name, Node::Dir(BTreeMap::new())));
        Self { top: top.into(), files: Vec::new() }
    }

    /// What a view has to know.
    pub(crate) fn entries(&self, root: &Path) -> Entries {
        let mut entries = Entries::new();
        if let Some(node) = self.top.get(ROOT) {
            self.collect(root.to_owned(), node, &mut entries);
        }
        entries
    }

    fn collect(&self, path: PathBuf, node: &Node, entries: &mut Entries) {
        match node {
            Node::Dir(children) => {
                children.iter().for_each(|(name, child)| self.collect(path.join(name), child, entries));
                entries.insert(path, Entry::Dir);
            }
            Node::File(number) => {
                let file = &self.files[*number];
                if !file.is_closed {
                    entries.insert(path, Entry::file(&file.content));
                }
            }
            Node::Link => {}
        }
    }

    /// Does it, and says what became of it.
    pub(crate) fn apply(&mut self, operation: &Operation) -> Effect {
        match operation {
            Operation::Write(place, text) => {
                self.change(place, true, |content| *content = text.clone().into())
            }
            Operation::Append(place, text) => {
                self.change(place, false, |content| content.extend_from_slice(text.as_bytes()))
            }
            Operation::Truncate(place, length) => {
                self.change(place, false, |content| content.resize(*length as usize, 0))
            }
            Operation::Save(place, text) => {
                let file = self.new_file(text.clone().into());
                self.replace(place, Node::File(file))
            }
            Operation::Retarget(place, _) => self.replace(place, Node::Link),
            Operation::Symlink(place, _) => self.add(place, Node::Link),
            Operation::Mkdir(place) => self.add(place, Node::Dir(BTreeMap::new())),
            Operation::HardLink(from, to) => self.hard_link(from, to),
            Operation::Rename(from, to) => self.rename(from, to),
            Operation::Remove(place) => {
                let dir = parent!(self, place);
                match dir.get(last(place)) {
                    None | Some(Node::Dir(_)) => Fails,
                    Some(_) => dir.remove(last(place)).map_or(Fails, |_| Done),
                }
            }
            Operation::RemoveTree(place) => {
                let dir = parent!(self, place);
                match dir.get(last(place)) {
                    None | Some(Node::File(_)) => Fails,
                    Some(_) => dir.remove(last(place)).map_or(Fails, |_| Done),
                }
            }
            Operation::Chmod(place, is_closed) => self.chmod(place, *is_closed),
            Operation::SetTime(place, _) => {
                if parent!(self, place).contains_key(last(place)) {
                    Done
                } else {
                    Fails
                }
            }
        }
    }

    fn new_file(&mut self, content: Vec<u8>) -> usize {
        self.files.push(File { content, is_closed: false });
        self.files.len() - 1
    }

    fn names_of(&self, file: usize) -> usize {
        fn count(entries: &BTreeMap<&'static str, Node>, file: usize) -> usize {
            let of = |node: &Node| match node {
                Node::Dir(entries) => count(entries, file),
                Node::File(number) => usize::from(*number == file),
                Node::Link => 0,
            };
            entries.values().map(of).sum()
        }
        count(&self.top, file)
    }

    fn change(&mut self, place: &Steps, may_create: bool, edit: impl FnOnce(&mut Vec<u8>)) -> Effect {
        let number = match parent!(self, place).get(last(place)) {
            Some(Node::File(number)) => *number,
            Some(Node::Dir(_)) => return Fails,
            Some(Node::Link) => return Unclear,
            None if may_create => {
                let number = self.new_file(Vec::new());
                parent!(self, place).insert(last(place), Node::File(number));
                number
            }
            None => return Fails,
        };
        if self.names_of(number) > 1 {
            return Unclear;
        }
        let file = &mut self.files[number];
        if file.is_closed {
            return Fails;
        }
        edit(&mut file.content);
        Done
    }

    fn add(&mut self, place: &Steps, node: Node) -> Effect {
        let dir = parent!(self, place);
        if dir.contains_key(last(place)) {
            return Fails;
        }
        dir.insert(last(place), node);
        Done
    }

    fn replace(&mut self, place: &Steps, node: Node) -> Effect {
        let dir = parent!(self, place);
        if let Some(Node::Dir(_)) = dir.get(last(place)) {
            return Fails;
        }
        dir.insert(last(place), node);
        Done
    }

    fn hard_link(&mut self, from: &Steps, to: &Steps) -> Effect {
        let node = match parent!(self, from).get(last(from)) {
            Some(Node::File(number)) => Node::File(*number),
            Some(Node::Link) => return Unclear,
            Some(Node::Dir(_)) | None => {
                // What it is about fails, unless the way to the other one is unclear.
                parent!(self, to);
                return Fails;
            }
        };
        self.add(to, node)
    }

    fn rename(&mut self, from: &Steps, to: &Steps) -> Effect {
        let Some(moved) = parent!(self, from).get(last(from)).cloned() else {
            parent!(self, to);
            return Fails;
        };
        if from == to {
            return Done;
        }
        if to.starts_with(from) || from.starts_with(to) {
            // Into itself, or over a directory that is not empty; or there is no way.
            parent!(self, to);
            return Fails;
        }
        match (&moved, parent!(self, to).get(last(to))) {
            (_, None) => {}
            (Node::Dir(_), Some(Node::Dir(entries))) if entries.is_empty() => {}
            (Node::Dir(_), Some(_)) | (_, Some(Node::Dir(_))) => return Fails,
            // Two names of one file: both stay.
            (Node::File(one), Some(Node::File(other))) if one == other => return Done,
            (_, Some(_)) => {}
        }
        parent!(self, from).remove(last(from));
        parent!(self, to).insert(last(to), moved);
        Done
    }

    fn chmod(&mut self, place: &Steps, is_closed: bool) -> Effect {
        match parent!(self, place).get(last(place)) {
            Some(Node::File(number)) => {
                let number = *number;
                if self.names_of(number) > 1 {
                    return Unclear;
                }
                self.files[number].is_closed = is_closed;
                Done
            }
            // A closed directory makes it unclear how far others get in it.
            Some(Node::Dir(_) | Node::Link) => Unclear,
            None => Fails,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rename_keeps_the_rules_of_a_file_system() {
        let mut model = Model::new();
        let place = |steps: &[&'static str]| -> Steps { [&[ROOT], steps].concat() };
        let rename = |model: &mut Model, from: &[&'static str], to: &[&'static str]| {
            model.apply(&Operation::Rename(place(from), place(to)))
        };
        assert_eq!(model.apply(&Operation::Mkdir(place(&["a"]))), Done);
        assert_eq!(model.apply(&Operation::Write(place(&["a", "x"]), "1".into())), Done);
        assert_eq!(model.apply(&Operation::Mkdir(place(&["b"]))), Done);
        assert_eq!(rename(&mut model, &["a"], &["a", "y"]), Fails, "into itself");
        assert_eq!(rename(&mut model, &["b"], &["a"]), Fails, "over what is not empty");
        assert_eq!(rename(&mut model, &["a", "x"], &["b"]), Fails, "a file over a directory");
        assert_eq!(rename(&mut model, &["a"], &["b"]), Done);
        assert_eq!(model.apply(&Operation::HardLink(place(&["b", "x"]), place(&["y"]))), Done);
        assert_eq!(rename(&mut model, &["y"], &["b", "x"]), Done);
        assert_eq!(model.entries(Path::new("/r")).len(), 4, "both names stay");
        assert_eq!(model.apply(&Operation::Append(place(&["y"]), "2".into())), Unclear);
    }
}
