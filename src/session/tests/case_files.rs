//! Cases 13 to 16: files that come, go, and are known by several names.

use std::path::Path;

use super::*;

#[test]
fn case_14_a_file_that_was_missed_retries_the_one_that_missed_it() {
    let main = "ok, problem = pcall(require, 'optional') RUNS = (RUNS or 0) + 1";
    let mut site = Site::new(&[("main.lua", main)]);
    assert_eq!(site.eval("return tostring(ok) .. RUNS"), "false1");
    site.save_one("unrelated.lua", "return 1");
    assert_eq!(site.eval("return RUNS"), "1");
    site.save_one("optional.lua", "return 'here'");
    assert_eq!(site.eval("return tostring(ok) .. problem .. RUNS"), "truehere2");
}

#[test]
fn case_14_what_fails_below_a_failed_require_counts_too() {
    let mut site = Site::new(&[
        ("main.lua", "ok = pcall(require, 'a') RUNS = (RUNS or 0) + 1"),
        ("a.lua", "return require 'b'"),
    ]);
    site.save_one("b.lua", "return 'b'");
    assert_eq!(site.eval("return tostring(ok) .. RUNS"), "true2");
}

#[test]
fn case_15_a_deleted_file_stays_until_nothing_requires_it() {
    let m = "T = session:setInterval(function() end, 1000) Q = session:prototype('Q', {}) hot.dispose(function() gone = true end) return { v = 1 }";
    let mut site = Site::new(&[("main.lua", "m = require 'm'"), ("m.lua", m)]);
    site.save(&[("m.lua", None)]);
    assert_eq!(
        site.notes(),
        ["lua/m.lua is gone: sessions that have it keep it, new ones will fail to require it"]
    );
    assert_eq!(site.eval("return m.v .. tostring(gone)"), "1nil");
    site.good("main.lua", "x = 1");
    assert_eq!(site.notes(), ["lua/m.lua is gone and nothing requires it any more: it was let go"]);
    assert_eq!(
        site.eval(
            "return tostring(gone) .. tostring(package.loaded.m) .. tostring(session:prototype('Q', {}) == Q)"
        ),
        "truenilfalse"
    );
    assert_eq!(site.session.vm.state(|state| (state.timers.len(), state.loaded.len())), Some((0, 1)));
}

#[test]
fn case_15_a_rename_keeps_prototypes_by_name() {
    let p = "P = session:prototype('P', { n = 0 }) function P:hi() return 'v1' end return P";
    let mut site = Site::new(&[("main.lua", "local P = require 'a' o = o or P:new{ n = 5 }"), ("a.lua", p)]);
    site.save(&[
        ("a.lua", None),
        ("b.lua", Some(&p.replace("v1", "v2"))),
        ("main.lua", Some("local P = require 'b' o = o or P:new{ n = 5 }")),
    ]);
    assert_eq!(
        site.eval(
            "return o:hi() .. o.n .. tostring(getmetatable(o) == P) .. tostring(session:prototype('P') == P)"
        ),
        "v25truetrue"
    );
    assert_eq!(site.notes(), ["lua/a.lua is gone and nothing requires it any more: it was let go"]);
}

#[test]
fn an_unloaded_module_runs_again_when_it_is_required() {
    let m = "RUNS = (RUNS or 0) + 1 session:setInterval(function() end, 1000) session:prototype('M', {}) return {}";
    let mut site = Site::new(&[("main.lua", ""), ("parts/m.lua", m)]);
    site.eval("a = require 'parts.m' session:unloadModule('parts.m')");
    assert_eq!(site.session.vm.state(|state| (state.timers.len(), state.loaded.len())), Some((0, 1)));
    assert_eq!(site.eval("local b = require 'parts.m' return RUNS .. tostring(a == b)"), "2false");
    assert_eq!(site.eval("session:unloadDirectory('parts') require 'parts.m' return RUNS"), "3");
}

#[test]
fn case_16_a_retargeted_link_is_an_edit() {
    let m = |v: u32| format!("local M = {{}} function M.v() return {v} end return M");
    let mut site = Site::new(&[
        ("main.lua", "local m = require 'm' function v() return m.v() end M = m"),
        ("m.lua", &m(1)),
    ]);
    let last = site.published.generation();
    let mut next = testing::save(&last, &[("m.lua", Some(&m(2)))]);
    let file = next.files.get_mut(std::path::Path::new("m.lua")).unwrap();
    let old = file.good.take().unwrap();
    let (path, display, bytecode) = ("/site/elsewhere.lua".into(), old.display.clone(), old.bytecode.clone());
    let moved = crate::reload::SourceFile {
        path,
        display,
        hash: old.hash,
        bytecode,
        source: old.source.clone(),
        says: old.says.clone(),
        written: Default::default(),
        in_use: Default::default(),
        captures: old.captures,
    };
    file.good = Some(Arc::new(moved));
    site.published.publish(Arc::new(next));
    let target = site.published.generation();
    assert!(matches!(site.session.reload(&target).outcome, Outcome::Applied { .. }));
    assert_eq!(site.eval("return v() .. tostring(require 'm' == M)"), "2true");
}

#[test]
fn what_it_takes_to_run_files_is_let_go_and_comes_back_with_the_next_one() {
    let m = |v: u32| format!("return {{ kept = {{ n = 1 }}, text = 'a', f = function() return {v} end }}");
    let main = "m = require 'm' T = session:prototype('T', { n = 1 }) t = t or session:create(T)";
    let mut site = Site::new(&[("main.lua", main), ("m.lua", &m(1)), ("late.lua", "return 'late'")]);
    let let_go = |site: &Site| {
        site.session.vm.forget_reload();
        let load: mlua::Value = site.session.vm.prelude().raw_get("L").unwrap();
        assert!(load.is_nil());
    };
    let_go(&site);
    assert_eq!(site.eval("m.kept.n = 5 return tostring(require 'm' == m) .. require 'late'"), "truelate");
    let_go(&site);
    assert_eq!(site.eval("return session:prototype('Late', { n = 2 }).n"), "2");
    let_go(&site);
    site.good("m.lua", &m(2));
    assert_eq!(site.eval("return m.f() .. m.kept.n"), "25", "what the source set last is known");
    let_go(&site);
    site.good("main.lua", &main.replace("n = 1", "n = 3"));
    assert_eq!(site.eval("return T.n .. tostring(getmetatable(t) == T)"), "3true");
    let_go(&site);
    assert_eq!(site.eval("session:unloadModule('late') return require 'late'"), "late");
}

#[test]
fn a_file_is_run_by_its_path_whether_it_is_loaded_or_not_and_undone_if_it_fails() {
    let text = |v: u32| {
        format!(
            "runs = (runs or 0) + 1 if broken then error 'not now' end return {{ v = function() return {v} end }}"
        )
    };
    let mut site = Site::new(&[("main.lua", "m = require 'm' f = m.v"), ("m.lua", &text(1))]);
    let path = site.published.generation().file(Path::new("m.lua")).unwrap().path.clone();
    site.session.load_file_absolute(&path).unwrap();
    assert_eq!(site.eval("return runs .. m.v() .. tostring(f == m.v)"), "21true");
    let other = "extra = true return { 5 }";
    site.save(&[("other.lua", Some(other))]);
    let other = site.published.generation().file(Path::new("other.lua")).unwrap().path.clone();
    assert_eq!(site.eval("return tostring(extra)"), "nil");
    site.session.load_file_absolute(&other).unwrap();
    assert_eq!(site.eval("return tostring(extra) .. require('other')[1]"), "true5");
    let missing = site.session.load_file_absolute(Path::new("/nowhere.lua")).unwrap_err();
    assert!(missing.to_string().contains("/nowhere.lua"), "{missing}");
    site.eval("broken = true");
    let failed = site.session.load_file_absolute(&path).unwrap_err();
    assert!(failed.to_string().contains("not now"), "{failed}");
    assert_eq!(site.eval("return runs .. m.v() .. tostring(session.reloading)"), "21false");
}
