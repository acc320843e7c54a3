//! Case 9: objects follow the fields of their prototype.

use super::*;

fn person(fields: &str, more: &str) -> String {
    format!("P = session:prototype('P', {fields}) LOG = LOG or {{}} {more}")
}

const MUTATE: &str = "function P:mutate(c) LOG[#LOG + 1] = self.name .. ':' .. table.concat(c.added, ',') .. '/' .. tostring(c.removed.old) .. '/' .. tostring(self.old) end";

#[test]
fn case_09_a_changed_declaration_migrates_every_object_once_in_order() {
    let mut site =
        Site::new(&[("main.lua", &person("{ name = '', tags = {}, old = 'x', opt = EMPTY }", MUTATE))]);
    site.eval("a = P:new{ name = 'a', old = 'y' } b = P:new{ name = 'b' } session:create(P, a)");
    site.good(
        "main.lua",
        &person("{ name = '', tags = {}, old = 'x', opt = EMPTY }", &format!("{MUTATE} -- edit")),
    );
    assert_eq!(site.eval("return #LOG"), "0", "equal in structure");
    site.good("main.lua", &person("{ name = '', tags = {}, email = 'none' }", MUTATE));
    assert_eq!(site.eval("return table.concat(LOG, ' ')"), "a:email/x/y b:email/x/x");
    assert_eq!(
        site.eval("return tostring(a.old) .. tostring(b.old) .. tostring(P.old) .. a.email"),
        "nilnilnilnone"
    );
    assert_eq!(site.effects.migrated.get("P"), Some(&2));
    site.good("main.lua", &person("{ name = '', tags = {}, email = 'none' }", &format!("{MUTATE} -- again")));
    assert_eq!(site.eval("return #LOG"), "2");
}

#[test]
fn case_09_one_bad_object_stops_no_other() {
    let mutate = "function P:mutate()\n if self.name == 'bad' then error('no') end self.ok = true end";
    let mut site = Site::new(&[("main.lua", &person("{ name = '' }", mutate))]);
    site.eval("all = {} for _, n in ipairs{'bad', 'good', 'fine'} do all[#all + 1] = P:new{ name = n } end");
    site.good("main.lua", &person("{ name = '', n = 1 }", mutate));
    assert_eq!(
        site.eval("return tostring(all[1].ok) .. tostring(all[2].ok) .. tostring(all[3].ok) .. all[1].n"),
        "niltruetrue1"
    );
    assert_eq!(site.notes(), ["P: 1 object could not be migrated: lua/main.lua:2: no"]);
}

#[test]
fn case_09_derived_objects_are_included_and_prototypes_go_in_the_order_of_declaration() {
    let main = |extra: &str| {
        format!("LOG = LOG or {{}} Base = session:prototype('Base', {{ x = 1{extra} }}) Derived = session:prototype('Derived', {{ y = 1{extra} }}, Base)
function Base:mutate(c) LOG[#LOG + 1] = 'base ' .. self.n .. table.concat(c.added, ',') end
function Base:new(o) return session:create(self, o) end")
    };
    let mut site = Site::new(&[("main.lua", &main(""))]);
    site.eval("d = Derived:new{ n = 'd' } b = Base:new{ n = 'b' }");
    site.good("main.lua", &main(", z = 2"));
    assert_eq!(site.eval("return table.concat(LOG, ' ')"), "base bz base dz,z");
}

#[test]
fn case_09_an_object_is_tracked_weakly() {
    let mut site = Site::new(&[("main.lua", &person("{ name = '' }", MUTATE))]);
    site.eval("for i = 1, 100 do P:new{ name = 'gone' } end kept = P:new{ name = 'kept' }");
    site.session.vm.collect_garbage();
    site.good("main.lua", &person("{ name = '', email = '' }", MUTATE));
    assert_eq!(site.eval("return table.concat(LOG, ' ')"), "kept:email/nil/nil");
}

#[test]
fn case_09_a_new_base_and_a_new_constructor_take_effect() {
    let mut site = Site::new(&[(
        "main.lua",
        "A = session:prototype('A', { v = 'a' }) B = session:prototype('B', { v = 'b' }) C = session:prototype('C', {}, A)",
    )]);
    site.eval("c = session:create(C)");
    assert_eq!(site.eval("return c.v"), "a");
    site.good("main.lua", "A = session:prototype('A', { v = 'a' }) B = session:prototype('B', { v = 'b' }) C = session:prototype('C', { new = function(self) return session:create(self, { fresh = true }) end }, B)");
    assert_eq!(site.eval("return c.v .. tostring(C:new().fresh)"), "btrue");
}

#[test]
fn case_09_a_method_that_left_the_file_is_gone() {
    let mut site = Site::new(&[("main.lua", &person("{}", "function P:old() end function P:kept() end"))]);
    site.good("main.lua", &person("{}", "function P:kept() end"));
    assert_eq!(site.eval("return tostring(P.old) .. type(P.kept) .. type(P.new)"), "nilfunctionfunction");
}

#[test]
fn case_09_an_endless_mutate_costs_its_budget_and_the_whole_is_bounded() {
    let mutate = "function P:mutate() while true do end end";
    let mut site = Site::with(&[("main.lua", &person("{}", mutate))], |settings| {
        settings.session.budget.mutate = Duration::from_millis(20);
        settings.session.budget.migration = Duration::from_millis(50);
    });
    site.eval("all = {} for i = 1, 100 do all[i] = P:new() end");
    site.good("main.lua", &person("{ n = 1 }", mutate));
    let notes = site.notes();
    assert!(
        notes[0].contains("objects were not migrated: it took too long (session.budget.migration)"),
        "{notes:?}"
    );
    assert!(notes[1].contains("ran longer than 20ms (session.budget.mutate)"), "{notes:?}");
    assert_eq!(site.eval("return all[100].n"), "1");
}

#[test]
fn a_prototype_is_forgotten_with_its_children() {
    let mut site = Site::new(&[(
        "main.lua",
        "A = session:prototype('a', {}) AB = session:prototype('a.b', {}) C = session:prototype('ab', {})",
    )]);
    site.eval("o = A:new() session:removePrototype('a', true)");
    assert_eq!(
        site.eval("return tostring(session:prototype('a', {}) == A) .. tostring(getmetatable(o) == A)"),
        "falsetrue"
    );
    assert_eq!(
        site.eval(
            "return tostring(session:prototype('a.b', {}) == AB) .. tostring(session:prototype('ab') == C)"
        ),
        "falsetrue"
    );
}

#[test]
fn case_09_functions_among_the_fields_are_code() {
    let mut site = Site::new(&[("main.lua", &person("{ name = '', hi = function() return 1 end }", MUTATE))]);
    site.eval("a = P:new{ name = 'a' }");
    site.good(
        "main.lua",
        &person("{ name = '', hi = function() return 2 end, more = function() return 3 end }", MUTATE),
    );
    assert_eq!(site.eval("return #LOG .. a.hi() .. a.more()"), "023");
}

#[test]
fn what_migrates_objects_is_loaded_when_a_declaration_has_changed() {
    let mut site = Site::new(&[("main.lua", &person("{ name = '', tags = {} }", MUTATE))]);
    let has_migration = |site: &Site| {
        let reload: mlua::Table = site.session.vm.prelude().raw_get("R").unwrap();
        reload.raw_get::<Option<mlua::Function>>("plan_migration").unwrap().is_some()
    };
    site.good("main.lua", &person("{ name = '', tags = {} }", &format!("{MUTATE} -- edit")));
    assert!(!has_migration(&site), "nothing follows that commit");
    site.good("main.lua", &person("{ name = '' }", MUTATE));
    assert!(has_migration(&site));
}
