//! Case 4 where it has to be told whose a table is: what only hooks and timers capture, what another file puts
//! somewhere, and what is not to be merged at all.

use super::*;

/// What stays in place of the class of that file.
const IS_SAME: &str = "return tostring(kept == require 'item' and kept ~= nil)";

#[test]
fn case_04_a_class_that_only_a_hook_or_a_timer_captures_is_the_one_that_stays() {
    let holders = [
        ("hot.accept(function() kept = Item end)", ""),
        ("hot.dispose(function() kept = Item end)", "save"),
        ("hot.data.get = function() return Item end", "kept = require('item').data().get()"),
        ("hot.data.class = Item", "kept = require('item').data().class"),
        ("session:setInterval(function() kept = Item end, 1000)", "fire"),
    ];
    for (holder, then) in holders {
        let text = |holder: &str| {
            format!("local Item = {{}} function Item.data() return hot.data end {holder} return Item")
        };
        // The functions of the class capture nothing of it.
        let mut site =
            Site::new(&[("main.lua", "item = require 'item'"), ("item.lua", &text("local first = 1"))]);
        site.good("item.lua", &text(holder));
        match then {
            "save" => site.good("item.lua", &text("local third = 3")),
            "fire" => site.session.vm.fire(1).unwrap(),
            code => drop(site.eval(code)),
        }
        assert_eq!(site.eval(IS_SAME), "true", "{holder}");
    }
}

#[test]
fn case_11_what_a_file_puts_into_a_new_part_of_another_is_what_stays() {
    let b = |v: u32| {
        format!(
            "local B = {{}} function B.v() return {v} end
local a = require 'a' if a.part then a.part.hook = B end return B"
        )
    };
    let mut site = Site::new(&[
        ("main.lua", "a, b = require 'a', require 'b'"),
        ("a.lua", "return {}"),
        ("b.lua", &b(1)),
    ]);
    let a = "return { part = { inner = { f = function() end } } }";
    site.save(&[("a.lua", Some(a)), ("b.lua", Some(&b(2)))]);
    assert_eq!(site.eval("return tostring(a.part.hook == b) .. a.part.hook.v()"), "true2");
}

#[test]
fn case_04_a_class_that_a_load_puts_into_a_registry_is_the_one_that_was_there() {
    let text = |v: u32| format!("local C = {{}} function C.v() return {v} end registry.C = C return true");
    let mut site = Site::new(&[("main.lua", "registry = registry or {} require 'c'"), ("c.lua", &text(1))]);
    site.eval("kept = registry.C");
    for v in 2..4 {
        site.good("c.lua", &text(v));
        assert_eq!(site.eval("return tostring(kept == registry.C) .. kept.v()"), format!("true{v}"));
    }
}

#[test]
fn case_04_one_table_under_two_names_becomes_two() {
    let mut site = Site::new(&[
        ("main.lua", "m = require 'm'"),
        ("m.lua", "local T = { f = function() return 1 end } return { a = T, b = T }"),
    ]);
    site.good("m.lua", "return { a = { f = function() return 2 end }, b = { f = function() return 3 end } }");
    assert_eq!(site.eval("return m.a.f() .. m.b.f() .. tostring(m.a == m.b)"), "23false");
}

#[test]
fn case_04_what_belongs_to_others_is_never_filled_with_something_else() {
    let mut site = Site::new(&[
        ("main.lua", "m, u = require 'm', require 'u'"),
        (
            "m.lua",
            "local f = require('u').f local M = { text = string, u = require 'u', f = f }
M.own = { f = function() return 1 end } function M.call() return f() end return M",
        ),
        ("u.lua", "return { f = function() return 'u' end }"),
        ("fresh.lua", "return { f = function() return 'fresh' end }"),
    ]);
    let fresh = "{ f = function() return 'm' end }";
    let edited = format!(
        "local function f() return 'mine' end
local M = {{ text = {fresh}, u = {fresh}, f = f, own = require 'fresh' }} function M.call() return f() end return M"
    );
    site.good("m.lua", &edited);
    assert_eq!(site.eval("return u.f() .. m.f() .. m.call()"), "uminemine");
    assert_eq!(
        site.eval("return m.text.f() .. m.u.f() .. u.f() .. type(string.f) .. ('x'):rep(2)"),
        "mmunilxx"
    );
    assert_eq!(site.eval("return tostring(m.own == require 'fresh') .. m.own.f()"), "truefresh");
    site.good("fresh.lua", "return { g = function() return 'fresher' end }");
    assert_eq!(site.eval("return m.own.g()"), "fresher");
}

#[test]
fn case_06_a_local_class_is_found_wherever_it_is_among_what_a_function_captures() {
    let text = |v: u32, order: &str| {
        format!(
            "local C, x, y = {{}}, 1, 2 function C.v() return {v} end
return {{ get = function() return {order} end }}"
        )
    };
    let mut site = Site::new(&[("main.lua", "m = require 'm'"), ("m.lua", &text(1, "C, x, y"))]);
    site.eval("kept = m.get()");
    site.good("m.lua", &text(2, "y and C, x"));
    assert_eq!(site.eval("return tostring(m.get() == kept) .. kept.v()"), "true2");
}

#[test]
fn case_04_a_part_that_has_no_metatable_any_more_loses_it() {
    let text = |part: &str| format!("return {{ part = {part} }}");
    let with = text("setmetatable({ f = function() end }, { __index = function() return 'meta' end })");
    let mut site = Site::new(&[("main.lua", "m = require 'm' part = m.part"), ("m.lua", &with)]);
    assert_eq!(site.eval("return part.x"), "meta");
    site.good("m.lua", &text("{ f = function() end }"));
    assert_eq!(site.eval("return tostring(part.x) .. tostring(part == m.part)"), "niltrue");
}

#[test]
fn case_04_what_another_file_added_to_a_local_class_stays() {
    let text = |v: u32| {
        format!(
            "local C = {{}} function C.v() return {v} end function C.gone_{v}() end
return {{ get = function() return C end }}"
        )
    };
    let mut site = Site::new(&[
        ("main.lua", "m = require 'm' m.get().extra = function() return 'extra' end"),
        ("m.lua", &text(1)),
    ]);
    site.good("m.lua", &text(2));
    let all = "local c = m.get() return c.v() .. c.extra() .. type(c.gone_1) .. type(c.gone_2)";
    assert_eq!(site.eval(all), "2extranilfunction");
}

#[test]
fn case_18_who_copied_a_class_that_stays_is_not_told_of_a_copy() {
    let text = |v: u32| {
        format!("local M = {{ C = {{ v = function() end }} }} M.C.new_{v} = function() end return M")
    };
    let mut site = Site::new(&[
        ("main.lua", "m = require 'm'\nlocal C = m.C\nfunction c() return C end"),
        ("m.lua", &text(1)),
    ]);
    site.good("m.lua", &text(2));
    assert_eq!(site.notes(), [""; 0]);
    assert_eq!(
        site.eval("return tostring(c() == m.C) .. type(c().new_2) .. type(c().new_1)"),
        "truefunctionnil"
    );
}

#[test]
fn case_04_what_is_only_behind_a_metatable_or_in_a_key_sees_the_class_that_stays() {
    let text = |v: u32| {
        format!(
            "local A = {{ v = function() return {v} end }}
A.object = setmetatable({{}}, {{ __index = function() return A end }}) return A"
        )
    };
    let key = |v: u32| {
        format!(
            "local B = {{ v = function() return {v} end }}
B.set = {{ [{{ get = function() return B end }}] = true }} return B"
        )
    };
    let plain = "return { v = function() return 1 end }";
    let mut site =
        Site::new(&[("main.lua", "a, b = require 'a', require 'b'"), ("a.lua", plain), ("b.lua", plain)]);
    site.good("a.lua", &text(2));
    site.good("b.lua", &key(2));
    assert_eq!(site.eval("return tostring(a.object.x == a) .. tostring(next(b.set).get() == b)"), "truetrue");
    assert_eq!(site.eval("return a.v() .. b.v()"), "22");
}

#[test]
fn case_05_what_a_load_puts_into_a_variable_of_another_file_stays_there() {
    let main =
        "local held = require 'm'.f function set(value) held = value end function get() return held end";
    let mut site =
        Site::new(&[("main.lua", main), ("m.lua", "local M = {} function M.f() return 1 end return M")]);
    let setting = "local M = {} function M.f() return 2 end set(function() return 'set' end) return M";
    site.good("m.lua", setting);
    assert_eq!(site.eval("return get()()"), "set");
    let holding = "local M = {} function M.f() return 3 end set { of = function() return M end } return M";
    site.good("m.lua", holding);
    assert_eq!(site.eval("return tostring(get().of() == require 'm') .. get().of().f()"), "true3");
}

#[test]
fn old_code_that_is_gone_with_the_reload_is_not_told() {
    let text = |v: u32, handler: &str| {
        format!("handlers.go = {handler} session:setInterval(function() count = {v} end, 1000)")
    };
    let mut site = Site::new(&[
        ("main.lua", "handlers = handlers or {} require 'm'"),
        ("m.lua", &text(1, "function() return 1 end")),
    ]);
    site.good("m.lua", &text(2, "nil"));
    assert_eq!(site.notes(), [""; 0]);
}

#[test]
fn case_03_a_module_that_a_failed_load_required_first_is_run_again() {
    // Not even through `package` is it to be seen what is loaded.
    let mut site = Site::new(&[("main.lua", "package = nil m = require 'm'"), ("m.lua", "return {}")]);
    site.save(&[("x.lua", Some("return { n = 1 }"))]);
    site.failure("m.lua", "local x = require 'x' error 'no'");
    site.good("m.lua", "return { x = require 'x' }");
    site.good("x.lua", "return { n = 2 }");
    assert_eq!(site.eval("return m.x.n"), "2");
}

#[test]
fn case_06_data_that_becomes_another_module_with_the_same_content_is_that_module() {
    let mut site = Site::new(&[
        ("main.lua", "m = require 'm'"),
        ("m.lua", "return { conf = { a = 1 } }"),
        ("conf.lua", "return { a = 1 }"),
    ]);
    site.good("m.lua", "return { conf = require 'conf' }");
    assert_eq!(site.eval("return tostring(m.conf == require 'conf')"), "true");
}

#[test]
fn case_05_a_function_that_is_gone_is_not_followed_by_one_of_another_file() {
    let uses = |f: &str| format!("local f = {f} local M = {{}} function M.call() return f() end return M");
    let mut site = Site::new(&[
        ("main.lua", "function call() return held() end m = require 'm' "),
        ("u.lua", "return { f = function() return 'u' end }"),
        ("m.lua", &uses("require('u').f")),
    ]);
    let own = uses("require 'u' and function() return 'mine' end");
    site.eval("held = require('u').f");
    site.save(&[("u.lua", Some("return {}")), ("m.lua", Some(&own))]);
    assert_eq!(site.eval("return call() .. m.call()"), "umine");
}

#[test]
fn who_holds_a_closure_with_a_state_of_its_own_keeps_it_when_the_load_puts_another_one_there() {
    let m = |more: &str| {
        format!(
            "local registry = require 'registry'
local function counter() local n = 0 return function() n = n + 1 return n end end
for _, name in ipairs {{ 'count' }} do registry[name] = counter() end {more}"
        )
    };
    let mut site = Site::new(&[
        ("main.lua", "registry = require 'registry' require 'm'"),
        ("registry.lua", "return {}"),
        ("m.lua", &m("")),
    ]);
    assert_eq!(site.eval("KEPT = registry.count return KEPT() .. KEPT()"), "12");
    site.good("m.lua", &m("function more() end"));
    assert_eq!(site.eval("return KEPT()"), "3");
}
