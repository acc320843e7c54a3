//! What surrounds a file while it runs: who it is for, what is noted of it, and what is left when it ends.

use super::*;

#[test]
fn a_file_that_fails_with_nil_when_it_runs_first_is_tried_again_when_it_is_mended() {
    let main = "ok, m = pcall(require, 'm') RUNS = (RUNS or 0) + 1";
    let mut site = Site::new(&[("main.lua", main), ("m.lua", "error(nil)")]);
    assert_eq!(site.eval("return tostring(ok) .. RUNS .. tostring(package.loaded.m)"), "false1nil");
    site.save_one("m.lua", "return 'mended'");
    assert_eq!(site.eval("return tostring(ok) .. m .. RUNS"), "truemended2");
}

#[test]
fn a_module_that_is_replaced_and_unloaded_by_one_save_disposes_of_both_versions() {
    let m = |v: u32| format!("hot.dispose(function() LOG[#LOG + 1] = {v} end) return {{}}");
    let main = "LOG = LOG or {} require 'm'";
    let mut site = Site::new(&[("main.lua", main), ("m.lua", &m(1))]);
    let unloads = format!("{main} session:unloadModule('m')");
    site.save(&[("main.lua", Some(&unloads)), ("m.lua", Some(&m(2)))]);
    assert_eq!(site.eval("return table.concat(LOG, ' ')"), "1 2");
}

#[test]
fn a_file_that_ends_a_coroutine_by_an_error_runs_no_longer() {
    for (ends, why) in [
        ("coroutine.yield()", "lua/y.lua: a file cannot yield while it is required"),
        ("error('broken')", "lua/y.lua:1: broken"),
    ] {
        let mut site = Site::new(&[
            ("main.lua", "ok, problem = coroutine.resume(coroutine.create(function() require 'y' end))"),
            ("y.lua", &format!("Y = 1 {ends} Y = 2")),
        ]);
        let problem = site.eval("return tostring(ok) .. problem");
        assert!(problem.starts_with("false") && problem.contains(why), "{problem}");
        // Whoever starts a timer now would be taken for that file.
        let stack: mlua::Table = site.session.vm.prelude().raw_get("stack").unwrap();
        assert_eq!(stack.raw_len(), 0);
        site.save_one("y.lua", "Y = 3");
        assert_eq!(site.eval("return Y .. tostring(ok)"), "3true");
    }
}

#[test]
fn what_a_file_exports_it_may_also_put_into_package_loaded_and_nothing_is_true() {
    let own = |v: u32| format!("package.loaded.own = {{ v = {v} }}");
    let mut site = Site::new(&[
        ("main.lua", "own, nothing = require 'own', require 'nothing'"),
        ("own.lua", &own(1)),
        ("nothing.lua", "X = 1"),
    ]);
    assert_eq!(
        site.eval("return own.v .. tostring(nothing) .. tostring(package.loaded.nothing)"),
        "1truetrue"
    );
    site.good("own.lua", &own(2));
    site.good("nothing.lua", "X = 2");
    assert_eq!(site.eval("return own.v .. X .. tostring(require 'nothing')"), "22true");
    assert_eq!(site.eval("return tostring(require 'own' == own)"), "true");
}

#[test]
fn files_require_each_other_a_hundred_deep() {
    let name = |i: u32| format!("m{i}.lua");
    let text = |i: u32, v: u32| {
        let inner = if i == 100 { v.to_string() } else { format!("require 'm{}'.v + {v}", i + 1) };
        format!("return {{ v = {inner} }}")
    };
    let files: Vec<_> = (1..=100).map(|i| (name(i), text(i, 1), text(i, 2))).collect();
    let mut first: Vec<_> = files.iter().map(|(name, one, _)| (name.as_str(), one.as_str())).collect();
    first.push(("main.lua", "m = require 'm1'"));
    let mut site = Site::new(&first);
    assert_eq!(site.eval("return m.v"), "100");
    let second: Vec<_> = files.iter().map(|(name, _, two)| (name.as_str(), Some(two.as_str()))).collect();
    site.save(&second);
    assert_eq!(site.eval("return m.v"), "200");
}

#[test]
fn a_file_may_unload_itself_while_it_runs_again() {
    let m = "hot.dispose(function() GONE = (GONE or 0) + 1 end) return { v = 1 }";
    let mut site = Site::new(&[("main.lua", "m = require 'm'"), ("m.lua", m)]);
    site.good("m.lua", "session:unloadModule('m') collectgarbage() collectgarbage() return { v = 2 }");
    assert_eq!(site.eval("return m.v .. GONE"), "21");
    assert_eq!(site.eval("return require('m').v"), "2");
}

#[test]
fn what_a_failed_save_had_to_tell_is_not_told_by_the_next() {
    let files = [
        ("main.lua", "require 'n' require 'other'"),
        ("n.lua", "return 1"),
        ("other.lua", "X = require 'n'"),
    ];
    let mut site = Site::new(&files);
    let fails = format!("{} error('late')", files[0].1);
    site.save(&[("n.lua", Some("return 2")), ("main.lua", Some(&fails))]);
    let mended = format!("{} -- mended", files[0].1);
    site.save(&[("n.lua", Some("return 1")), ("main.lua", Some(&mended))]);
    assert_eq!(site.notes(), Vec::<String>::new());
    site.good("n.lua", "return 'text'");
    assert_eq!(site.eval("return X"), "text");
    let notes = site.notes();
    assert_eq!(
        notes,
        [
            "lua/other.lua ran again: it took what lua/n.lua returns when it loaded",
            "lua/n.lua returns another type than before: ran again what requires it: lua/main.lua"
        ]
    );
}

#[test]
fn who_runs_again_for_a_copy_is_told_unless_it_was_saved() {
    let util = |v: u32| format!("return {{ LIMIT = {v} }}");
    let main = "local util = require 'util' L = util.LIMIT";
    let stranger = "local other = { LIMIT = 1 } L2 = other.LIMIT";
    let mut site = Site::new(&[
        ("main.lua", &format!("{main} require 'stranger'")),
        ("util.lua", &util(1)),
        ("stranger.lua", stranger),
    ]);
    site.good("util.lua", &util(2));
    let notes = site.notes();
    assert!(notes.len() == 1 && notes[0].contains("lua/main.lua"), "{notes:?}");
    site.save(&[("util.lua", Some(&util(3))), ("main.lua", Some(main))]);
    assert_eq!(site.notes(), Vec::<String>::new());
    assert_eq!(site.eval("return L"), "3");
}

#[test]
fn what_is_unloaded_after_a_reload_disposes_at_once() {
    let m = "hot.dispose(function() GONE = (GONE or 0) + 1 end) return {}";
    let mut site = Site::new(&[("main.lua", "require 'm'"), ("m.lua", m)]);
    site.good("m.lua", &format!("{m} -- edited"));
    assert_eq!(site.eval("session:unloadModule('m') return GONE"), "2");
}

#[test]
fn what_undoes_a_reload_holds_nothing_after_it() {
    let mut site =
        Site::new(&[("main.lua", "W = W or setmetatable({}, { __mode = 'k' }) gone = {} W[gone] = 1")]);
    for version in 2..5 {
        site.good("main.lua", &format!("gone = ({{}})[{version}]"));
        assert_eq!(site.eval("collectgarbage() return tostring(next(W))"), "nil");
        site.eval("gone = {} W[gone] = 1");
        site.failure("main.lua", &format!("gone = nil error('{version}')"));
        site.eval("gone = nil");
        assert_eq!(site.eval("collectgarbage() return tostring(next(W))"), "nil");
        site.eval("gone = {} W[gone] = 1");
    }
}

#[test]
fn the_room_that_a_large_session_took_to_be_undone_is_given_back() {
    let main = "local n = 1 for i = 1, MANY or 0 do all = all or {} all[i] = all[i] or { i } end";
    let mut site = Site::new(&[("main.lua", main)]);
    site.good("main.lua", &main.replace("n = 1", "n = 2"));
    assert!(site.session.vm.keeps_room());
    site.eval("MANY = 5000");
    site.good("main.lua", main);
    site.good("main.lua", &main.replace("n = 1", "n = 3"));
    assert!(!site.session.vm.keeps_room());
    site.failure("main.lua", &format!("all[5000][1] = 0 {main} error('late')"));
    assert_eq!(site.eval("return #all .. ' ' .. all[5000][1]"), "5000 5000");
}

#[test]
fn the_environment_of_a_file_is_the_globals_whatever_the_version_before_did_to_it() {
    let looks = "N = 0 for name in pairs(_ENV) do if name == 'print' then N = N + 1 end end ";
    let spoils = "local m = getmetatable(_ENV) m.__index, m.__newindex, m.__pairs = {}, nil, nil";
    let mut site = Site::new(&[("main.lua", &format!("{looks} function f() return 1 end {spoils}"))]);
    assert_eq!(site.eval("return N .. f()"), "11");
    site.good("main.lua", &format!("{looks} x = tostring(print ~= nil) function f() return 2 end"));
    assert_eq!(site.eval("return N .. x .. f()"), "1true2");
}

#[test]
fn what_a_file_sets_unseen_is_its_own_and_not_that_of_the_next_to_run() {
    let a = |v: u32| format!("_G.fa = function() return {v} end");
    let mut site =
        Site::new(&[("main.lua", "require 'a' require 'b'"), ("a.lua", &a(1)), ("b.lua", "B = 1")]);
    site.save(&[("a.lua", Some(&a(2))), ("b.lua", Some("B = 2"))]);
    site.good("b.lua", "B = 3");
    assert_eq!(site.eval("return fa() .. B"), "23");
    site.good("a.lua", "A = 1");
    assert_eq!(site.eval("return tostring(fa)"), "nil");
}

#[test]
fn what_a_file_sets_unseen_before_it_requires_another_is_its_own_as_well() {
    let mut site =
        Site::new(&[("main.lua", "_G.f = function() return 1 end require 'inner'"), ("inner.lua", "f = f")]);
    assert_eq!(site.eval("return f()"), "1");
    site.good("main.lua", "require 'inner'");
    assert_eq!(site.eval("return tostring(f)"), "nil");
}

#[test]
fn a_file_that_is_required_by_another_name_is_known_by_that() {
    let text = |v: u32| format!("function late() return type(hot.data) .. {v} end return {{}}");
    let both = |site: &mut Site, requires: &str, v: u32| {
        let text = text(v);
        let files = [("first.lua", requires), ("m.lua", text.as_str()), ("sub/n.lua", text.as_str())];
        let files = files.map(|(name, text)| (name, Some(text)));
        let mut next = testing::save(&site.published.generation(), &files);
        // A link to it.
        let n = next.files.get_mut(std::path::Path::new("sub/n.lua")).unwrap().good.as_mut().unwrap();
        let n = Arc::get_mut(n).unwrap();
        n.path = "/site/m.lua".into();
        site.published.publish(Arc::new(next));
        let target = site.published.generation();
        assert!(matches!(site.session.reload(&target).outcome, Outcome::Applied { .. }));
    };
    let main = "require 'first' require 'm'";
    let mut site = Site::new(&[("main.lua", main), ("first.lua", ""), ("m.lua", &text(1))]);
    // It runs before its turn, as what it is required by.
    both(&mut site, "require 'sub.n'", 2);
    assert_eq!(site.eval("return late()"), "table2");
    both(&mut site, "require 'sub.n' -- again", 3);
    assert_eq!(site.eval("return late() .. tostring(require 'sub.n' == require 'm')"), "table3true");
    assert_eq!(site.eval("session:unloadDirectory('sub') return tostring(package.loaded.m)"), "nil");
}

#[test]
fn a_local_is_one_though_functions_of_it_are_found_in_two_places() {
    let main = |v: u32| {
        format!(
            "local reg, n = require 'reg', 0\nfunction reg.f() n = n + 1 return {v} end\n\
             function get() return n end"
        )
    };
    let mut site = Site::new(&[("main.lua", &main(1)), ("reg.lua", "return {}")]);
    site.eval("require('reg').f()");
    site.good("main.lua", &main(2));
    assert_eq!(site.eval("return require('reg').f() .. get()"), "22");
    assert_eq!(site.notes(), Vec::<String>::new());
}

#[test]
fn what_a_required_file_sets_is_not_that_of_the_file_that_requires_it() {
    let main = "function own() end require 'inner'";
    let mut site = Site::new(&[("main.lua", main), ("inner.lua", "function g() return 1 end x = 1")]);
    for _ in 0..2 {
        site.good("main.lua", &format!("{main} -- edited"));
        site.good("main.lua", main);
        assert_eq!(site.eval("return g() .. x"), "11");
    }
    site.good("inner.lua", "x = 2");
    assert_eq!(site.eval("return tostring(g) .. x"), "nil2");
}

#[test]
fn a_global_that_a_file_sets_twice_is_what_it_was_before_the_first_time() {
    let mut site = Site::new(&[("main.lua", "T = {} T = { n = 0, f = print } K = K or T")]);
    site.eval("T.n = 5");
    site.good("main.lua", "T = {} T = { n = 0, f = print, more = 1 } K = K or T");
    assert_eq!(site.eval("return tostring(K == T) .. T.n .. T.more"), "true51");
}

#[test]
fn a_file_that_has_run_holds_nothing_of_what_was_there_before_it() {
    let main = "W = setmetatable({}, { __mode = 'k' }) gone = {} W[gone] = 1 require 'm' gone = nil";
    let mut site = Site::new(&[("main.lua", main), ("m.lua", "return 1")]);
    assert_eq!(site.eval("collectgarbage() return tostring(next(W))"), "nil");
    let records: mlua::Table = site.session.vm.prelude().raw_get("records").unwrap();
    for record in records.pairs::<mlua::Value, mlua::Table>() {
        let chunk: mlua::Value = record.unwrap().1.raw_get("chunk").unwrap();
        assert!(!chunk.is_function(), "nobody runs it again");
    }
}

#[test]
fn a_file_depends_on_the_module_that_it_requires_though_another_returns_the_same() {
    for shared in ["session:prototype('A', {})", "{}", "function() end"] {
        let a = format!("hot.accept(function() hot.invalidate('all of it') end) return {shared}");
        let files = [
            ("main.lua", "require 'a' require 'b' require 'other'"),
            ("a.lua", a.as_str()),
            ("b.lua", "return (require 'a')"),
            ("other.lua", "require 'a' RUNS = (RUNS or 0) + 1"),
        ];
        let mut site = Site::new(&files);
        site.good("a.lua", &format!("{a} -- edited"));
        assert_eq!(site.eval("return RUNS"), "2", "{shared}");
    }
}

#[test]
fn a_hook_of_the_old_version_does_not_accept_for_a_new_one_that_has_none() {
    let mut site = Site::new(&[("main.lua", "N = 0 hot.accept(function() N = N + 1 end)")]);
    site.good("main.lua", "x = 1");
    site.good("main.lua", "x = 2");
    assert_eq!(site.eval("return N .. x"), "02");
}

#[test]
fn a_module_that_returns_nothing_any_more_is_true_and_not_what_it_was() {
    let mut site = Site::new(&[("main.lua", "m = require 'm'"), ("m.lua", "return { v = 1 }")]);
    site.good("m.lua", "seen = tostring(package.loaded.m)");
    assert_eq!(site.eval("return tostring(m) .. tostring(package.loaded.m) .. seen"), "truetruenil");
}

#[test]
fn a_value_that_changes_and_changes_back_is_taken_both_times() {
    let mut site = Site::new(&[("main.lua", "X = require 'n'"), ("n.lua", "return 1")]);
    for value in [2, 1, 3] {
        site.good("n.lua", &format!("return {value}"));
        assert_eq!(site.eval("return X"), value.to_string());
    }
}

#[test]
fn what_only_looks_like_a_copy_or_a_kept_local_is_not_told() {
    let util = |v: u32| format!("return {{ LIMIT = {v} }}");
    let main = "local util = require 'util'\nfunction f(LIMIT) return LIMIT end\nlocal other = { LIMIT = 1 }\nL = other.LIMIT\nlocal text = 'util.LIMIT = 1'\nfunction g() return util.LIMIT end";
    let mut site = Site::new(&[("main.lua", main), ("util.lua", &util(1))]);
    site.good("util.lua", &util(2));
    assert_eq!(site.notes(), Vec::<String>::new());
}

#[test]
fn an_edit_within_a_literal_of_several_lines_is_an_edit_and_a_comment_is_none() {
    let module = |red: u32, comment: &str| {
        format!(
            "local COLORS = {{\n  red = {red},\n}}\nlocal count = 0 {comment}\nlocal M = {{}}\nfunction M.up() count = count + 1 COLORS.blue = 1 return count, COLORS end\nreturn M"
        )
    };
    let mut site = Site::new(&[("main.lua", "m = require 'm'"), ("m.lua", &module(1, ""))]);
    site.eval("m.up()");
    site.good("m.lua", &module(2, ""));
    let state = "local n, c = m.up() return n .. c.red .. c.blue";
    assert_eq!(site.eval(state), "221");
    site.eval("select(2, m.up()).red = 7");
    site.good("m.lua", &module(2, "-- of all"));
    assert_eq!(site.eval(state), "471");
}
