//! What is wrong with templates, as far as a session knows that has run the code: paths that lead nowhere, and
//! types that there are not.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    ffi::c_void,
    path::Path as FilePath,
};

use mlua::{Table, Value};

use super::{
    known_names::{hint, nearest, unknown},
    missing::{NO_APP, NO_TYPE, without_viewdef},
    path::{Path, Step},
};
use crate::{
    lua::Vm,
    reload::{Binding, Diagnostic, Generation, Role, Viewdef, built_in},
    wire::Properties,
};

/// So many tables are looked through for objects.
const MAX_TABLES: usize = 50_000;
/// So many objects of a type, or elements of a list, stand for all of them.
const MAX_OBJECTS: usize = 200;

/// What is wrong with the templates of what the session runs. `viewdefs` is their directory, as people know it.
pub(crate) fn check(vm: &Vm, viewdefs: &FilePath) -> mlua::Result<Vec<Diagnostic>> {
    let generation = vm.generation();
    let objects = Objects::of(vm)?;
    let check = Check { vm, generation: &generation, objects, viewdefs };
    let mut found = check.app();
    for (key, viewdef) in &generation.viewdefs {
        check.viewdef(key, viewdef, &mut found);
    }
    Ok(found)
}

/// The objects that there are, by type.
struct Objects {
    prototypes: BTreeMap<String, Table>,
    by_type: BTreeMap<String, Vec<Table>>,
}

impl Objects {
    fn of(vm: &Vm) -> mlua::Result<Self> {
        let prototypes: BTreeMap<_, _> = vm.prototypes()?.into_iter().collect();
        let mut this = Self { prototypes, by_type: BTreeMap::new() };
        let mut waiting: VecDeque<Table> = vm.app().into_iter().chain(vm.instances()?).collect();
        let mut seen: HashSet<*const c_void> = HashSet::new();
        while let Some(table) = waiting.pop_front() {
            if seen.len() >= MAX_TABLES || !seen.insert(table.to_pointer()) {
                continue;
            }
            waiting.extend(
                table.pairs::<Value, Value>().flatten().filter_map(|(_, value)| value.as_table().cloned()),
            );
            if let Some(Value::String(name)) = field(&table, "type") {
                let of_type = this.by_type.entry(name.to_string_lossy()).or_default();
                if of_type.len() < MAX_OBJECTS {
                    of_type.push(table);
                }
            }
        }
        Ok(this)
    }

    /// The prototype, and objects of it.
    fn of_type(&self, name: &str) -> Vec<Table> {
        let objects = self.by_type.get(name).into_iter().flatten();
        self.prototypes.get(name).into_iter().chain(objects).cloned().collect()
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.prototypes.keys().chain(self.by_type.keys()).map(String::as_str)
    }
}

struct Check<'a> {
    vm: &'a Vm,
    generation: &'a Generation,
    objects: Objects,
    viewdefs: &'a FilePath,
}

impl Check<'_> {
    /// The page shows the application, so there has to be one, and a template for it.
    fn app(&self) -> Vec<Diagnostic> {
        let Some(app) = self.vm.app() else {
            return vec![Diagnostic::about("", None, NO_APP)];
        };
        let told = match field(&app, "type") {
            Some(Value::String(name)) => {
                let name = name.to_string_lossy();
                let what =
                    || without_viewdef(self.generation, self.viewdefs, (&name, "DEFAULT"), "the application");
                (!self.generation.has_viewdef_of(&name)).then(what)
            }
            _ => Some(NO_TYPE.into()),
        };
        told.into_iter().map(|message| Diagnostic::about("", None, message)).collect()
    }

    fn viewdef(&self, key: &str, viewdef: &Viewdef, found: &mut Vec<Diagnostic>) {
        let type_name = key.rsplit_once('.').map_or(key, |(type_name, _)| type_name);
        let file = self.viewdefs.join(format!("{key}.html")).display().to_string();
        let tell = |line: Option<u32>, message: String| {
            Diagnostic::about(&file, line, message).with_excerpt(viewdef.html.as_bytes())
        };
        if !self.knows_type(type_name) {
            let meant = hint(nearest(type_name, self.objects.names()));
            found.push(tell(None, format!("there is no prototype {type_name:?}{meant}")));
            return;
        }
        found.extend(viewdef.doubts.iter().map(|(line, what)| tell(Some(*line), what.clone())));
        for binding in &viewdef.bindings {
            let wrong = self.names(binding).or_else(|| self.path(type_name, viewdef, binding));
            found.extend(wrong.map(|message| tell(Some(binding.line), message)));
        }
    }

    /// Whether that names a prototype, or may come to do so.
    fn knows_type(&self, name: &str) -> bool {
        let mut place = Some(self.vm.lua().globals());
        let mut global = name.split('.').map(|part| {
            place = place.as_ref().and_then(|place| place.raw_get::<Option<Table>>(part).ok().flatten());
            place.is_some()
        });
        self.objects.names().any(|known| known == name)
            || built_in().keys().any(|key| key.rsplit_once('.').is_some_and(|(built_in, _)| built_in == name))
            || global.all(|is_there| is_there)
            || self.generation.has_text(name)
    }

    /// Prototypes that a binding names, of which one is not there.
    fn names(&self, binding: &Binding) -> Option<String> {
        let options =
            Role::ALL.into_iter().filter_map(|role| Some((role.name(), binding.option(role.name())?)));
        let wrapper = binding.item_wrapper.as_deref().filter(|name| !name.is_empty());
        let mut named = options.chain(wrapper.map(|name| ("ui-item-wrapper", name)));
        let (role, name) = named.find(|(_, name)| !self.knows_type(name))?;
        Some(format!(
            "{role}={name}: there is no prototype {name:?}{}",
            hint(nearest(name, self.objects.names()))
        ))
    }

    /// What is wrong with the path of a binding.
    fn path(&self, type_name: &str, viewdef: &Viewdef, binding: &Binding) -> Option<String> {
        let mut objects = self.objects.of_type(type_name);
        for depth in 0..binding.lists.len() {
            objects = self.elements(objects, viewdef, &binding.lists[..=depth])?;
        }
        let path = match Path::parse(&binding.path, &mut Properties::new()) {
            Ok(path) => path,
            Err(error) => return Some(error.description),
        };
        let shown = match self.follow(objects, &path) {
            Ok(shown) => shown?,
            Err(unknown) => return Some(unknown),
        };
        if binding.option(Role::Wrapper.name()).is_some() {
            return None;
        }
        let shown = match binding.attribute.as_str() {
            "ui-view" => shown,
            "ui-viewlist" if !has_contents(viewdef, binding) => match item_wrapper(binding) {
                Some(_) => return None,
                None => elements_of(&shown),
            },
            _ => return None,
        };
        let types =
            shown.iter().filter_map(|object| Some(field(object, "type")?.as_string()?.to_string_lossy()));
        let bare = types.into_iter().find(|name| !self.generation.has_viewdef_of(name))?;
        Some(without_viewdef(
            self.generation,
            self.viewdefs,
            (&bare, "DEFAULT"),
            &format!("{:?}", binding.path),
        ))
    }

    /// Where a path leads from these objects, as far as that is known without running code.
    fn follow(&self, mut objects: Vec<Table>, path: &Path) -> Result<Option<Vec<Table>>, String> {
        for step in &path.steps {
            if objects.is_empty() {
                return Ok(None);
            }
            if let Some(unknown) = unknown(&objects, step, self.generation) {
                return Err(unknown.to_string());
            }
            objects = match step {
                Step::Field(name) => tables(objects.iter().filter_map(|object| field(object, name))),
                Step::Index(index) => tables(objects.iter().filter_map(|list| list.raw_get(index + 1).ok())),
                Step::Call(_) | Step::CallWith(_) | Step::Parent => return Ok(None),
            };
        }
        Ok(Some(objects))
    }

    /// What the contents of a list are about; `None` if that is not known.
    fn elements(&self, objects: Vec<Table>, viewdef: &Viewdef, lists: &[String]) -> Option<Vec<Table>> {
        let (list, outer) = lists.split_last()?;
        let is_it = |binding: &&Binding| {
            binding.attribute == "ui-viewlist" && binding.path == *list && binding.lists == outer
        };
        let bound: Vec<_> = viewdef.bindings.iter().filter(is_it).collect();
        let wrapper = bound.first().and_then(|binding| item_wrapper(binding));
        let is_other = |binding: &&Binding| {
            binding.option(Role::Wrapper.name()).is_some() || item_wrapper(binding) != wrapper
        };
        // Two lists of one path may differ, and whose contents these are is not known.
        if bound.iter().any(is_other) {
            return None;
        }
        if let Some(wrapper) = wrapper {
            return Some(self.objects.of_type(wrapper));
        }
        let path = Path::parse(list, &mut Properties::new()).ok()?;
        Some(elements_of(&self.follow(objects, &path).ok()??))
    }
}

fn item_wrapper(binding: &Binding) -> Option<&str> {
    let named = binding.item_wrapper.as_deref().filter(|name| !name.is_empty());
    named.or_else(|| binding.option(Role::ItemWrapper.name()))
}

/// Whether the template says itself how elements look.
fn has_contents(viewdef: &Viewdef, list: &Binding) -> bool {
    let is_within = |binding: &Binding| {
        binding.lists.split_last().is_some_and(|(inner, outer)| *inner == list.path && outer == list.lists)
    };
    viewdef.bindings.iter().any(is_within)
}

fn elements_of(lists: &[Table]) -> Vec<Table> {
    let elements = lists.iter().flat_map(|list| list.sequence_values::<Value>().flatten());
    tables(elements)
}

fn tables(values: impl Iterator<Item = Value>) -> Vec<Table> {
    values.filter_map(|value| value.as_table().cloned()).take(MAX_OBJECTS).collect()
}

/// A field of an object or its prototypes, without running code.
fn field(object: &Table, name: &str) -> Option<Value> {
    let mut table = object.clone();
    for _ in 0..100 {
        match table.raw_get::<Value>(name).ok()? {
            Value::Nil => {}
            found => return Some(found),
        }
        table = table.metatable()?.raw_get::<Option<Table>>("__index").ok()??;
    }
    None
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::reload::testing;

    fn wrong(files: &[(&str, &str)]) -> Vec<String> {
        let files: Vec<_> = files.iter().map(|(name, text)| (*name, Some(*text))).collect();
        let generation = Arc::new(testing::save(&Default::default(), &files));
        let mut vm = Vm::new("test".into(), generation, Arc::default(), true, None).unwrap();
        vm.load_first(FilePath::new("main.lua")).unwrap();
        check(&vm, FilePath::new("viewdefs")).unwrap().iter().map(ToString::to_string).collect()
    }

    const APP: &str = "local Card = session:prototype('Card', { title = '', note = EMPTY })\n\
        local App = session:prototype('App', { name = 'x', cards = EMPTY })\nfunction App:click() self.late = 1 end\n\
        session:createAppVariable(App:new { cards = { Card:new { title = 'one' } }, top = Card:new() })";

    fn in_app(html: &str) -> Vec<String> {
        let html = format!("<template>\n{html}\n</template>");
        wrong(&[
            ("main.lua", APP),
            ("App.DEFAULT.html", &html),
            ("Card.DEFAULT.html", "<template><b ui-value=title></b></template>"),
        ])
    }

    #[test]
    fn a_path_that_leads_nowhere_is_told_with_its_line_and_the_name_that_was_meant() {
        assert_eq!(
            in_app("<b ui-value=name></b>\n<b\n ui-value=nmae></b><i ui-action='clck()'></i>"),
            [
                "viewdefs/App.DEFAULT.html:4: App has no field or method \"nmae\"; did you mean \"name\"?",
                "viewdefs/App.DEFAULT.html:4: App has no field or method \"clck\"; did you mean \"click\"?",
            ]
        );
        assert_eq!(
            in_app("<b ui-value=_x></b>"),
            ["viewdefs/App.DEFAULT.html:2: path \"_x\": \"_x\" is private"]
        );
    }

    #[test]
    fn what_is_there_declared_or_set_later_is_right() {
        let html = "<b ui-value=name ui-class-x=late></b><i ui-action='click()'></i><ul ui-viewlist=cards></ul>\
            <ul ui-viewlist=cards><li ui-value=title></li><li ui-value=note></li></ul><p ui-view=top></p>\
            <b ui-value='top.title'></b><b ui-value='..name'></b><ul ui-viewlist='cards?wrapper=lua.ViewList'></ul>";
        assert_eq!(in_app(html), [""; 0]);
    }

    #[test]
    fn paths_are_followed_through_objects_and_into_lists() {
        let html = "<b ui-value='top.titel'></b><ul ui-viewlist=cards><li ui-value=name></li></ul>";
        let two =
            "<ul ui-viewlist=cards></ul><ul ui-viewlist=cards ui-item-wrapper=Card><li ui-value=any></ul>";
        assert_eq!(in_app(two), [""; 0], "whose contents they are can't be told");
        assert_eq!(
            in_app(html),
            [
                "viewdefs/App.DEFAULT.html:2: Card has no field or method \"titel\"; did you mean \"title\"?",
                "viewdefs/App.DEFAULT.html:2: Card has no field or method \"name\"; did you mean \"note\"?",
            ]
        );
    }

    #[test]
    fn types_that_are_not_there_and_templates_that_are_missing_are_told() {
        let template = "<template></template>";
        assert_eq!(
            wrong(&[("main.lua", APP), ("App.DEFAULT.html", template), ("Crad.DEFAULT.html", template)]),
            ["viewdefs/Crad.DEFAULT.html: there is no prototype \"Crad\"; did you mean \"Card\"?"]
        );
        assert_eq!(
            wrong(&[("main.lua", APP), ("Ap.DEFAULT.html", template)]),
            [
                "no template shows the application, of type \"App\": write viewdefs/App.DEFAULT.html; there is one for \"Ap\"",
                "viewdefs/Ap.DEFAULT.html: there is no prototype \"Ap\"; did you mean \"App\"?",
            ]
        );
        let html = "<template><b ui-view='top'></b><b ui-view='top?wrapper=Crad'></b></template>";
        assert_eq!(
            wrong(&[("main.lua", APP), ("App.DEFAULT.html", html)]),
            [
                "viewdefs/App.DEFAULT.html:1: no template shows \"top\", of type \"Card\": write viewdefs/Card.DEFAULT.html",
                "viewdefs/App.DEFAULT.html:1: wrapper=Crad: there is no prototype \"Crad\"; did you mean \"Card\"?",
            ]
        );
    }

    #[test]
    fn a_page_without_an_application_is_told_so() {
        assert!(wrong(&[("main.lua", "")])[0].contains("session:createAppVariable"));
        assert!(wrong(&[("main.lua", "session:createAppVariable {}")])[0].contains("has no type"));
    }
}
