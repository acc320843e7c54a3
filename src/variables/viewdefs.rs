//! Which view templates a browser has, and which it needs.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::{Map, Value};

use crate::{
    reload::{Generation, Viewdef, built_in},
    watch::ContentHash,
};

type Viewdefs = BTreeMap<String, Arc<Viewdef>>;

/// The templates that one browser was sent.
#[derive(Debug, Default)]
pub(super) struct KnownViewdefs {
    types: BTreeSet<String>,
    hashes: BTreeMap<String, ContentHash>,
    generation: u64,
}

impl KnownViewdefs {
    /// Those that it has.
    pub(super) fn keys(&self) -> impl Iterator<Item = &String> {
        self.hashes.keys()
    }

    /// The JSON text of what has to be sent before variables of `types` are: templates of types
    /// that are new, and templates that changed since. `null` stands for one that is gone.
    pub(super) fn take_changed<'a>(
        &mut self,
        types: impl Iterator<Item = &'a str>,
        generation: &Generation,
    ) -> Option<String> {
        let new: Vec<&str> = types.filter(|name| !name.is_empty() && !self.types.contains(*name)).collect();
        if new.is_empty() && self.generation == generation.number {
            return None;
        }
        self.types.extend(new.into_iter().map(str::to_owned));
        self.generation = generation.number;
        let mut changed = Map::new();
        for name in &self.types {
            let built_in =
                of_type(built_in(), name).filter(|(key, _)| !generation.viewdefs.contains_key(*key));
            for (key, viewdef) in of_type(&generation.viewdefs, name).chain(built_in) {
                if self.hashes.get(key) != Some(&viewdef.hash) {
                    viewdef.in_use.set();
                    self.hashes.insert(key.clone(), viewdef.hash);
                    changed.insert(key.clone(), Value::String(viewdef.html.clone()));
                }
            }
        }
        self.hashes.retain(|key, _| {
            let stays = generation.viewdefs.contains_key(key) || built_in().contains_key(key);
            if !stays {
                changed.insert(key.clone(), Value::Null);
            }
            stays
        });
        (!changed.is_empty()).then(|| Value::Object(changed).to_string())
    }
}

/// Keys are `TYPE.NAMESPACE`, where TYPE may have dots and NAMESPACE has none.
fn of_type<'a>(
    viewdefs: &'a Viewdefs,
    name: &'a str,
) -> impl Iterator<Item = (&'a String, &'a Arc<Viewdef>)> {
    let prefix = format!("{name}.");
    let from = prefix.clone();
    viewdefs
        .range(from..)
        .take_while({
            let prefix = prefix.clone();
            move |(key, _)| key.starts_with(&prefix)
        })
        .filter(move |(key, _)| !key[prefix.len()..].contains('.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::Content;

    fn generation(number: u64, viewdefs: &[(&str, &str)]) -> Generation {
        let viewdefs = viewdefs.iter().map(|(key, html)| {
            let (html, hash) = ((*html).to_owned(), Content::new(html.as_bytes()).hash);
            let viewdef = Viewdef {
                display: String::new(),
                path: Default::default(),
                html,
                bindings: Vec::new(),
                doubts: Vec::new(),
                hash,
                in_use: Default::default(),
            };
            ((*key).to_owned(), Arc::new(viewdef))
        });
        Generation { number, viewdefs: viewdefs.collect(), ..Generation::default() }
    }

    #[test]
    fn a_types_templates_are_sent_once_and_then_only_what_changed() {
        let mut known = KnownViewdefs::default();
        let first = generation(1, &[("A.DEFAULT", "1"), ("A.list-item", "2"), ("A.B.DEFAULT", "3")]);
        let sent = known.take_changed(["A"].into_iter(), &first);
        assert_eq!(sent.as_deref(), Some(r#"{"A.DEFAULT":"1","A.list-item":"2"}"#));
        assert_eq!(known.take_changed(["A"].into_iter(), &first), None);
        let second = generation(2, &[("A.DEFAULT", "1"), ("A.list-item", "new"), ("A.B.DEFAULT", "x")]);
        let sent = known.take_changed([].into_iter(), &second);
        assert_eq!(sent.as_deref(), Some(r#"{"A.list-item":"new"}"#));
    }

    #[test]
    fn a_template_that_is_gone_is_taken_back() {
        let mut known = KnownViewdefs::default();
        known.take_changed(["A"].into_iter(), &generation(1, &[("A.DEFAULT", "1")]));
        let sent = known.take_changed([].into_iter(), &generation(2, &[]));
        assert_eq!(sent.as_deref(), Some(r#"{"A.DEFAULT":null}"#));
    }

    #[test]
    fn a_sites_template_comes_before_the_built_in_one_which_comes_back_when_it_is_gone() {
        let mut known = KnownViewdefs::default();
        let sent = known.take_changed(["lua.ViewListItem"].into_iter(), &generation(1, &[]));
        assert!(sent.is_some_and(|sent| sent.contains(r#"ui-view=\"item\""#)));
        let sent =
            known.take_changed([].into_iter(), &generation(2, &[("lua.ViewListItem.list-item", "own")]));
        assert_eq!(sent.as_deref(), Some(r#"{"lua.ViewListItem.list-item":"own"}"#));
        let sent = known.take_changed([].into_iter(), &generation(3, &[]));
        assert!(sent.is_some_and(|sent| sent.contains(r#"ui-view=\"item\""#)));
    }
}
