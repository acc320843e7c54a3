//! Each kind of note is said where it is so, and not where it would be false.

use super::*;

/// A site of `main.lua` and `m.lua`, what is done in it, the new `m.lua`, and the note that follows, if any.
struct Case {
    main: &'static str,
    before: &'static str,
    first: &'static str,
    after: &'static str,
    note: Option<&'static str>,
}

const NOTHING: &str = "";

#[track_caller]
fn assert_noted(cases: &[Case]) {
    for Case { main, before, first, after, note } in cases {
        let mut site = Site::new(&[("main.lua", main), ("m.lua", before)]);
        site.eval(first);
        site.good("m.lua", after);
        let notes = site.notes();
        match note {
            Some(note) => {
                assert!(
                    notes.iter().any(|said| said.contains(note)),
                    "{main}: {before} -> {after}: {notes:?}"
                );
            }
            None => assert_eq!(notes, Vec::<String>::new(), "{main}: {before} -> {after}"),
        }
    }
}

#[test]
fn what_took_a_value_when_it_loaded_is_said_to_have_run_again() {
    let took = Some("lua/main.lua ran again: it took LIMIT from lua/m.lua when it loaded");
    let m = "return { LIMIT = 1, other = { LIMIT = 5 } }";
    let edited = "return { LIMIT = 2, other = { LIMIT = 5 } }";
    let of = |main, note| Case { main, before: m, first: NOTHING, after: edited, note };
    assert_noted(&[
        of("local LIMIT = require('m').LIMIT function limit() return LIMIT end", took),
        of("local m = require 'm' local copy = { m.LIMIT } function limit() return copy end", took),
        // A parameter, a local and a field of another table with the same name; read when it is called.
        of("local m = require 'm' function f(LIMIT) return LIMIT end", None),
        of("local m = require 'm' function f() local LIMIT = m.LIMIT return LIMIT end", None),
        of("local m = require 'm' X = m.other.LIMIT", None),
    ]);
    let same = |after| Case {
        main: "L = require('m').LIMIT",
        before: "return { LIMIT = { 1, 2 } }",
        first: NOTHING,
        after,
        note: None,
    };
    // The source says the same.
    assert_noted(&[
        same("return { LIMIT = {\n  1,\n  2\n} }"),
        same("return { LIMIT = { 1, 2 } } -- the limit"),
        same("--[[ LIMIT ]] return {\n\n LIMIT = { 1, --[[ LIMIT = 2 ]] 2 } }"),
    ]);
}

#[test]
fn what_was_made_by_an_edited_function_is_said_to_be_made_again() {
    let of = |before, after, note| Case { main: "m = require 'm'", before, first: NOTHING, after, note };
    let made = "local function build() return { 1 } end\nlocal M = {}\nM.routes = build()\nreturn M";
    assert_noted(&[
        of(
            made,
            "local function build() return { 2 } end\nlocal M = {}\nM.routes = build()\nreturn M",
            Some("lua/m.lua:3: M.routes was made again, since build was edited"),
        ),
        of(
            "local function size() return 1 end\nreturn { n = size() }",
            "local function size() return 2 end\nreturn { n = size() }",
            Some("was made again, since size was edited"),
        ),
        // Another function of the file; the comment of that one; what a clock makes.
        of(
            made,
            "local function build() return { 1 } end\nlocal M = {}\nM.routes = build()\nfunction M.f() end return M",
            None,
        ),
        of(
            made,
            "local function build() return { 1 } -- all\n end\nlocal M = {}\nM.routes = build()\nreturn M",
            None,
        ),
        of(
            "return { at = os.time(), made = { os.clock() } }",
            "return { at = os.time(), made = { os.clock() }, more = 1 }",
            None,
        ),
    ]);
}

#[test]
fn old_functions_that_somebody_keeps_are_counted_and_no_others() {
    let of = |first, before, after, note| Case { main: "m = require 'm'", before, first, after, note };
    let two = "return { a = function() return 1 end, b = function() return 2 end }";
    let one = "return { a = function() return 1 end }";
    assert_noted(&[
        of(
            "KEPT = { other = m.b }",
            two,
            one,
            Some("1 function still runs the previous version of lua/m.lua:1"),
        ),
        of("KEPT, ALSO = { x = m.b }, { y = m.b }", two, one, Some("1 function still runs")),
        // Nobody keeps it; who keeps it is garbage that nobody has collected yet; it has a new version.
        of(NOTHING, two, one, None),
        of("local kept = { other = m.b }", two, one, None),
        of("KEPT = { other = m.a }", two, one, None),
        // A handler that `hot.dispose` has removed.
        of(
            NOTHING,
            "handlers = handlers or {} handlers.go = function() end hot.dispose(function() handlers.go = nil end) return {}",
            "handlers = handlers or {} return {}",
            None,
        ),
    ]);
}

#[test]
fn suspended_coroutines_are_counted_and_neither_ended_ones_nor_garbage() {
    let of = |first, after, note| Case {
        main: "m = require 'm'",
        before: "return { run = function() coroutine.yield() return 1 end }",
        first,
        after,
        note,
    };
    let edited = "return { run = function() coroutine.yield() return 2 end }";
    assert_noted(&[
        of(
            "CO = coroutine.create(m.run) coroutine.resume(CO)",
            edited,
            Some("1 suspended coroutine still runs the previous version of lua/m.lua:1"),
        ),
        of("NEXT = coroutine.wrap(m.run) NEXT()", edited, Some("1 suspended coroutine still runs")),
        of("local co = coroutine.create(m.run) coroutine.resume(co)", edited, None),
        of("CO = coroutine.create(m.run) coroutine.resume(CO) coroutine.resume(CO)", edited, None),
        of("CO = coroutine.create(function() coroutine.yield() end) coroutine.resume(CO)", edited, None),
    ]);
}

#[test]
fn timers_that_keep_old_code_are_counted_and_those_with_a_successor_are_not() {
    let of = |first, before, after, note| Case { main: "m = require 'm'", before, first, after, note };
    let two = "return { a = function() end, b = function() end }";
    assert_noted(&[
        of(
            "session:setInterval(m.b, 1e6)",
            two,
            "return { a = function() end }",
            Some("1 timer still runs the previous version of lua/m.lua:1"),
        ),
        of("session:setInterval(m.a, 1e6)", two, "return { a = function() end }", None),
        of(
            NOTHING,
            "session:setInterval(function() end, 1e6) return {}",
            "session:setInterval(function() x = 1 end, 1e6) return {}",
            None,
        ),
    ]);
}

#[test]
fn who_requires_a_value_that_cannot_follow_is_said_to_have_run_again() {
    let of = |before, after, note| Case { main: "X = require 'm'", before, first: NOTHING, after, note };
    assert_noted(&[
        of("return 1", "return 2", Some("ran again")),
        of("return { 1 }", "return function() end", Some("lua/m.lua returns another type than before")),
        of("return 1", "return 1 -- one", None),
        of("return { 1 }", "return { 2 }", None),
        of("return function() return 1 end", "return function() return 2 end", None),
    ]);
}

#[test]
fn a_file_whose_source_cannot_be_told_is_said_to_start_over_and_no_other() {
    let sum = |terms: usize| format!("return {{ n = 1{} }} -- 0", " + 1".repeat(terms));
    let nested = |deep: usize| format!("return {{ n = {}1{} }} -- 0", "{".repeat(deep), "}".repeat(deep));
    let noted = |before: &str, after: &str| {
        let mut site = Site::new(&[("main.lua", "m = require 'm'"), ("m.lua", before)]);
        site.good("m.lua", after);
        let notes = site.notes();
        let whole: Vec<_> =
            notes.into_iter().filter(|note| note.contains("counts as edited as a whole")).collect();
        assert!(whole.len() < 2 && whole.iter().all(|note| note.starts_with("lua/m.lua ")), "{whole:?}");
        !whole.is_empty()
    };
    let comment = |text: &str| text.replace("-- 0", "-- 1");
    // One of the two cannot be told, the old version or the new one, and be it a comment that is edited.
    assert!(noted(&sum(3000), &comment(&sum(3000))));
    assert!(noted(&sum(3), &sum(3000)));
    assert!(noted(&sum(3000), &sum(3)));
    // What can be: it is long or nested, it was edited, it is not what it was, or its values are made by a function.
    assert!(!noted(&sum(30), &comment(&sum(30))));
    assert!(!noted(&nested(20), &nested(21)));
    assert!(!noted("return { n = 1 }", "local function f() return 2 end return { n = f(), f = f }"));
    assert!(!noted("local a = 1 return { n = a }", "local b = 2 return { k = b }"));
    assert!(!noted("return { n = 1 }", "return 'another type'"));
    // The one that is told is the file itself, and not who requires it.
    let mut site = Site::new(&[("main.lua", "m = require 'm' own = m.n"), ("m.lua", &sum(3000))]);
    site.good("m.lua", &sum(3001));
    assert!(!site.notes().iter().any(|note| note.contains("main.lua counts")), "{:?}", site.notes());
}
