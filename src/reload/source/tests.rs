use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

use proptest::prelude::*;

use super::{BatchEdits, Change, Edits, Key, Kind, Source, Why};

/// What is edited, as `name`, `+name`, `-name`, or `name?` if it counts only for plain data.
fn edits(old: &str, new: &str) -> Vec<String> {
    let (old, new) = (Source::parse(old.as_bytes()), Source::parse(new.as_bytes()));
    assert_eq!((old.not_understood(), new.not_understood()), (None, None));
    told(&old, &new, &Edits::between(&old, &new))
}

fn told(old: &Source, new: &Source, edits: &Edits) -> Vec<String> {
    let mut all = Vec::new();
    for (id, _) in new.definitions() {
        all.extend(edits.change(id).map(|change| match change {
            Change::Added => format!("+{}", new.name(id)),
            Change::Edited(Why::Calls(_)) => format!("{}?", new.name(id)),
            Change::Edited(_) => new.name(id),
        }));
    }
    all.extend(edits.removed().iter().map(|&id| format!("-{}", old.name(id))));
    all.sort();
    all
}

/// What one replacement in a text edits.
fn replaced(text: &str, from: &str, to: &str) -> Vec<String> {
    assert!(text.contains(from), "{from}");
    edits(text, &text.replacen(from, to, 1))
}

const NONE: [&str; 0] = [];

#[test]
fn rule_1_comments_white_space_and_separators_are_no_edit() {
    let old = "local M = { a = 1, list = { 1, 2 } }\nfunction M.f(x) return x end\nreturn M";
    let new = "-- says what\nlocal M = {\n  a = 1; -- one\n  list = { 1, 2, },\n}\n\nfunction M.f( x )\n --[[ no ]] return x\nend\nreturn M\n";
    assert_eq!(edits(old, new), NONE);
}

#[test]
fn rule_1_what_uses_edited_data_is_edited_by_its_full_path() {
    let text = "local BASE, OTHER = 10, 3\nlocal M = { conf = { rate = 1, size = 2 } }\nM.twice = BASE * 2\nM.four = M.twice * 2\nM.r = M.conf.rate + 1\nM.s = M.conf.size + 1\nfunction M.get() return BASE end\nreturn M";
    assert_eq!(replaced(text, "10", "20"), ["BASE", "M.four", "M.twice"]);
    assert_eq!(replaced(text, "rate = 1", "rate = 5"), ["M.conf.rate", "M.r"]);
    assert_eq!(replaced(text, "return BASE", "return BASE + 1"), ["M.get"]);
    assert_eq!(replaced(text, "size = 2", "long = 2"), ["+M.conf.long", "-M.conf.size", "M.s"]);
}

#[test]
fn rule_1_a_call_of_an_edited_function_counts_for_plain_data_only() {
    let text = "local Board = {}\nBoard.__index = Board\nfunction Board.new() return setmetatable({}, Board) end\nlocal function rows() return 3 end\nlocal function build() return { rows() } end\nlocal M = {}\nM.board = Board.new()\nM.routes = build()\nM.build = build\nreturn M";
    assert_eq!(replaced(text, "setmetatable({}", "setmetatable({ n = 1 }"), ["Board.new", "M.board?"]);
    assert_eq!(replaced(text, "return 3", "return 4"), ["M.routes?", "rows"]);
}

#[test]
fn rule_1_a_statement_from_outside_belongs_to_what_it_works_on() {
    let text = "local M = { t = {}, u = {} }\nfor i = 1, 3 do M.t[i] = i * 2 end\ntable.insert(M.u, 'a')\nfor i = 1, 3 do M['k' .. i] = i end\nlocal total = 0\nfor i = 1, 3 do total = total + i end\nreturn M";
    assert_eq!(replaced(text, "i * 2", "i * 3"), ["M.t[…]"]);
    assert_eq!(replaced(text, "'a'", "'b'"), ["M.u[…]"]);
    assert_eq!(replaced(text, "'k' .. i] = i", "'k' .. i] = i + 1"), ["M[…]"]);
    assert_eq!(replaced(text, "total + i", "total + i + 1"), ["total"]);
}

#[test]
fn rule_1_a_condition_belongs_to_what_stands_under_it() {
    let text = "local M = {}\nlocal DEBUG = false\nif DEBUG then M.level = 1 else M.level = 2 end\nM.other = 3\nif not M.kept then M.kept = 4 end\nreturn M";
    assert_eq!(replaced(text, "false", "true"), ["DEBUG", "M.level"]);
    assert_eq!(replaced(text, "M.kept = 4", "M.kept = 5"), ["M.kept"]);
}

#[test]
fn case_06_an_edited_number_is_that_and_nothing_else() {
    let text = "local M = {}\nM.LIMIT = 10\nM.counter = 0\nM.conf = { rate = 1 }\nM.started = os.time()\nM.items = { { id = ids.next() } }\nG = 1\nreturn M";
    assert_eq!(replaced(text, "10", "20"), ["M.LIMIT"]);
    assert_eq!(replaced(text, "rate = 1", "rate = 1.0"), ["M.conf.rate"]);
    assert_eq!(replaced(text, "G = 1", "G = 2"), ["G"]);
    assert_eq!(replaced(text, "os.time()", "os.time() -- now"), NONE);
}

#[test]
fn case_07_locals_at_file_level_are_definitions() {
    let text = "local count = 0\nlocal cache = setmetatable({}, { __mode = 'k' })\nlocal State = { IDLE = {}, BUSY = {} }\nlocal C = { made = 0 }\nreturn function() count = count + 1 C.made = C.made + 1 end";
    assert_eq!(replaced(text, "count = 0", "count = 1"), ["count"]);
    assert_eq!(replaced(text, "'k'", "'v'"), ["cache metatable.__mode"]);
    assert_eq!(replaced(text, "made = 0", "made = 1"), ["C.made"]);
    let source = Source::parse(text.as_bytes());
    assert!(source.local("count").unwrap().1.assigned);
    assert!(!source.local("State").unwrap().1.assigned);
    assert_eq!(source.local("C").unwrap().1.kind, Kind::Table);
}

#[test]
fn case_19_a_copy_is_what_a_load_makes_of_an_export() {
    let text = "local util = require 'util'\nlocal L = util.LIMIT * 2\nlocal other = { RATE = 1 }\nlocal r = other.RATE\nfunction M(LIMIT) return util.RATE + LIMIT end\nlocal m = require('util').MAX";
    let source = Source::parse(text.as_bytes());
    let takes = |name: &str| {
        let mut exports = source.loads.iter().filter_map(|load| source.export_of(&load.place));
        exports.any(|(of, keys)| *of == *"util" && keys.first() == Some(&Key::Field(name.into())))
    };
    assert!(takes("LIMIT") && takes("MAX"));
    assert!(!takes("RATE"), "read each time, or of another table");
    assert_eq!(source.requires(), ["util"]);
}

#[test]
fn case_22_pointers_among_siblings_are_what_they_were() {
    let text = "local M = {}\nM.en = { hello = 'hello' }\nM.de = { hello = 'hallo' }\nM.locale = M.en\nfunction M.idle() end\nM.handler = M.idle\nlocal state = M.idle\nreturn M";
    assert_eq!(replaced(text, "return M", "return M -- all"), NONE);
    assert_eq!(replaced(text, "'hello'", "'hi'"), ["M.en.hello"]);
    assert_eq!(replaced(text, "M.locale = M.en", "M.locale = M.de"), ["M.locale"]);
    assert_eq!(replaced(text, "idle() end", "idle() return 1 end"), ["M.idle"]);
}

#[test]
fn rule_4_records_belong_together_by_their_source() {
    let text = "local M = { list = { { id = 1, hp = 5 }, { id = 2, hp = 7 } } }\nreturn M";
    let front = text.replace("list = {", "list = { { id = 3, hp = 9 },");
    assert_eq!(edits(text, &front), ["+M.list[1]", "+M.list[1].hp", "+M.list[1].id"]);
    let both = front.replace("hp = 7", "hp = 8");
    assert_eq!(edits(text, &both), ["+M.list[1]", "+M.list[1].hp", "+M.list[1].id", "M.list[3].hp"]);
    let (old, new) = (Source::parse(text.as_bytes()), Source::parse(front.as_bytes()));
    let edits = Edits::between(&old, &new);
    let moved = new.definitions().find(|(id, _)| new.name(*id) == "M.list[2]").unwrap().0;
    assert_eq!(edits.old(moved).map(|id| old.name(id)).unwrap(), "M.list[1]");
}

#[test]
fn prototypes_are_declared_by_their_name() {
    let text = "local App = session:prototype('App', { n = 0, tags = {} })\nfunction App:label() return self.n end\nApp.count = App.count or 0";
    assert_eq!(replaced(text, "n = 0", "n = 1"), ["prototype App.n"]);
    assert_eq!(replaced(text, "return self.n", "return 1"), ["prototype App.label"]);
}

#[test]
fn rule_5_what_left_the_source_is_removed() {
    let text = "local M = {}\nM.a = 1\nsetmetatable(M, { __index = table })\nfunction M.f() end\nreturn M";
    assert_eq!(replaced(text, "M.a = 1", ""), ["-M.a"]);
    assert_eq!(replaced(text, "function M.f() end", ""), ["-M.f"]);
    assert_eq!(
        replaced(text, "setmetatable(M, { __index = table })", ""),
        ["-M metatable", "-M metatable.__index"]
    );
}

#[test]
fn case_26_an_environment_of_ones_own_holds_the_globals() {
    let text = "local M = {}\n_ENV = M\nx = 1\nfunction f() return x end";
    assert_eq!(replaced(text, "x = 1", "x = 2"), ["M.x"]);
    let text = "local _ENV = { print = print }\nx = 1\ny = x + 1\nreturn _ENV";
    assert_eq!(replaced(text, "x = 1", "x = 2"), ["_ENV.x", "_ENV.y"]);
    assert_eq!(edits("_G.x = 1", "x = 1"), NONE);
}

#[test]
fn names_that_are_not_the_definition_are_not_taken_for_it() {
    let text = "local count = 1\nlocal M = {}\nM.f = function(count) return count end\nfor count = 1, 2 do M.n = count end\ndo local count = 5 M.inner = count end\nM.outer = count\nreturn M";
    assert_eq!(replaced(text, "count = 1", "count = 9"), ["M.outer", "count"]);
    assert_eq!(replaced(text, "count = 5", "count = 6"), ["M.inner", "count#2"]);
}

#[test]
fn lua_55_and_words_of_ours_are_names() {
    let text = "global x <const> = 1\nglobal function f(...rest) return rest end\nlocal continue, const, global = 1, 2, 3";
    let source = Source::parse(text.as_bytes());
    assert_eq!(source.not_understood(), None);
    assert_eq!(replaced("const = 1\ncontinue = 2", "2", "3"), ["continue"]);
}

#[test]
fn what_is_not_understood_is_edited_as_a_whole() {
    let good = Source::parse(b"x = 1");
    let deep = Source::parse(format!("return 1{}", " + 1".repeat(100_000)).as_bytes());
    assert!(deep.not_understood().unwrap().to_string().contains("line 1"));
    assert!(Edits::between(&good, &deep).is_whole());
    assert!(Source::parse(b"x = = 1").not_understood().is_some());
}

#[test]
fn nothing_overflows_the_stack() {
    let nested = |open: &str, close: &str, n: usize| format!("return {}1{}", open.repeat(n), close.repeat(n));
    for n in [150, 300, 900, 100_000] {
        for text in [
            nested("{", "}", n),
            nested("f(", ")", n),
            nested("function() return ", " end", n),
            format!("return 1{}", " + 1".repeat(n)),
            format!("return 1{}", " .. 1".repeat(n)),
            format!("return f{}", "()".repeat(n)),
            format!("return a{}", ".b".repeat(n)),
            format!("return {} 1", "not ".repeat(n)),
            format!("{} {}", "do ".repeat(n), "end ".repeat(n)),
            format!("if a then {} end", "elseif b then y = 2 ".repeat(n)),
            format!("{} {}", "if a then ".repeat(n), "end ".repeat(n)),
        ] {
            let thread = std::thread::Builder::new().stack_size(2 << 20);
            let source = thread.spawn(move || Source::parse(text.as_bytes())).unwrap().join().unwrap();
            drop(source);
        }
    }
    let calls = "M.add('x')\n".repeat(20_000) + &"f 'x'\n".repeat(10_000);
    assert_eq!(Source::parse(calls.as_bytes()).not_understood(), None);
}

#[test]
fn an_edit_goes_on_to_files_that_took_it_and_no_further() {
    let files = |limit: &str, rate: &str| -> BTreeMap<PathBuf, Arc<Source>> {
        let util =
            format!("local M = {{ LIMIT = {limit}, RATE = {rate} }}\nfunction M.f() return 1 end\nreturn M");
        [
            ("util.lua", util.as_str()),
            ("mid.lua", "local util = require 'util'\nlocal M = { twice = util.LIMIT * 2 }\nreturn M"),
            ("main.lua", "local mid = require 'mid'\nlocal x = mid.twice + 1\nlocal f = require('util').f"),
            ("live.lua", "local util = require 'util'\nreturn { get = function() return util.LIMIT end }"),
        ]
        .into_iter()
        .map(|(name, text)| (PathBuf::from(name), Arc::new(Source::parse(text.as_bytes()))))
        .collect()
    };
    let old = files("1", "1");
    let batch = |limit, rate| {
        let mut new = old.clone();
        new.insert("util.lua".into(), files(limit, rate)[&PathBuf::from("util.lua")].clone());
        BatchEdits::between(&old, &new, &BTreeSet::new(), &super::ReadBy::new())
    };
    let edited = batch("2", "1");
    let mut again: Vec<_> = edited
        .ran_again
        .iter()
        .map(|one| (one.file.to_str().unwrap(), one.took.as_str(), one.of.to_str().unwrap()))
        .collect();
    again.sort();
    assert_eq!(again, [("main.lua", "twice", "mid.lua"), ("mid.lua", "LIMIT", "util.lua")]);
    assert_eq!(batch("1", "2").ran_again, []);
    assert!(batch("1", "1").files.is_empty());
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        (0..1000u32).prop_map(|n| n.to_string()),
        "[a-z]{0,5}".prop_map(|text| format!("'{text}'")),
        (0..9u32, 0..9u32).prop_map(|(a, b)| format!("{{ a = {a}, {b}, {{ x = {b} }} }}")),
        (0..9u32).prop_map(|n| format!("function(a) return a + {n} end")),
    ]
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        Source::parse(&bytes);
    }

    #[test]
    fn arbitrary_tokens_never_panic(words in proptest::collection::vec(prop_oneof![
        Just("local"), Just("function"), Just("end"), Just("x"), Just("M"), Just("."), Just("="), Just("{"), Just("}"),
        Just("("), Just(")"), Just("["), Just("]"), Just("1"), Just("'a'"), Just("return"), Just("for"), Just("in"),
        Just("do"), Just("if"), Just("then"), Just(","), Just("require"), Just("_ENV"), Just("setmetatable"), Just("or"),
    ], 0..60)) {
        let source = Source::parse(words.join(" ").as_bytes());
        prop_assert!(Edits::between(&source, &source).is_empty() || source.not_understood().is_some());
    }

    #[test]
    fn comments_and_white_space_never_make_an_edit(values in proptest::collection::vec(value(), 1..12), gap in "[ \n\t]{1,3}") {
        let text = |gap: &str, comment: &str| {
            let lines: Vec<_> = values.iter().enumerate().map(|(n, value)| format!("M.f{n}{gap}={gap}{value}{comment}")).collect();
            format!("local M = {{}}\n{}\nreturn M", lines.join("\n"))
        };
        prop_assert_eq!(edits(&text(" ", ""), &text(&gap, " -- a word = { }")), NONE);
        prop_assert_eq!(edits(&text(" ", ""), &text(" --[[ x = 1 ]] ", "--\n")), NONE);
    }

    #[test]
    fn an_edit_marks_what_it_is_in_and_what_uses_that(
        uses in proptest::collection::vec(proptest::option::of(any::<prop::sample::Index>()), 1..15),
        edited in any::<prop::sample::Index>(),
    ) {
        let edited = edited.index(uses.len());
        let text = |mark: &str| -> String {
            uses.iter().enumerate().map(|(n, uses)| {
                let value = match uses {
                    Some(of) if n > 0 => format!("v{} + 1", of.index(n)),
                    _ => "1".to_owned(),
                };
                let mark = if n == edited { mark } else { "" };
                format!("local v{n} = {value}{mark}\n")
            }).collect()
        };
        let mut expected = vec![edited];
        for (n, uses) in uses.iter().enumerate() {
            if let Some(of) = uses && n > 0 && expected.contains(&of.index(n)) && n != edited {
                expected.push(n);
            }
        }
        let mut expected: Vec<_> = expected.iter().map(|n| format!("v{n}")).collect();
        expected.sort();
        prop_assert_eq!(edits(&text(""), &text(" * 2")), expected);
    }
}

#[test]
#[ignore = "measures"]
fn what_parsing_costs() {
    use std::fmt::Write;
    for lines in [20, 1000, 60_000] {
        let mut text = String::from("local M = {}\n");
        for n in 0..lines / 9 {
            let _ = write!(
                text,
                "M.conf{n} = {{ rate = {n}, names = {{ 'a', 'b' }}, pos = {{ x = 1 }} }}\n\n-- a word\nfunction M.f{n}(self, a, b)\n  local x = self.n + a * {n}\n  if x > b then return M.conf{n}.rate end\n  for k, v in pairs(M.conf{n}) do self[k] = v .. 'x' end\n  return x\nend\n"
            );
        }
        text.push_str("return M\n");
        let mut times: Vec<_> = (0..if lines > 1000 { 3 } else { 50 })
            .map(|_| {
                let begin = std::time::Instant::now();
                let source = Source::parse(text.as_bytes());
                let parsed = begin.elapsed();
                let edits = Edits::between(&source, &source);
                (parsed, begin.elapsed() - parsed, source.definitions().count(), edits.is_empty())
            })
            .collect();
        times.sort();
        println!("{lines} lines: parse, compare, definitions: {:?}", times[times.len() / 2]);
    }
}
