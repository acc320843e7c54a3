//! Files that scripts read, and modules that run again when these are saved.

use super::*;

const WORDS: &str = "local M = { count = 0 }
local function all(name)
  local list = {}
  for line in io.lines(name) do list[#list + 1] = line end
  return list
end
M.words = all('data/words.txt')
M.first = M.words[1]
function M.hit() M.count = M.count + 1 end
return M";

#[track_caller]
fn assert_true(site: &mut Site, expressions: &[&str]) {
    for expression in expressions {
        assert_eq!(site.eval(&format!("return not not ({expression})")), "true", "{expression}");
    }
}

#[test]
fn files_of_the_site_are_read_as_lua_reads_them() {
    let text = "one\ntwo\n\n0x10 -2.5e1 x\nlast";
    let mut site = Site::new(&[
        ("main.lua", "#!/usr/bin/lua\nreturn 7"),
        ("data/t.txt", text),
        ("data/sub/empty", ""),
        ("list.csv", "a,b\nc,d\n"),
        ("data/code.lua", "local x = ... return (x or 0) + y"),
    ]);
    assert_true(
        &mut site,
        &[
            "io.open('data/t.txt'):read('a'):sub(1, 3) == 'one' and io.open('data/sub/empty', 'rb'):read('a') == ''",
            "io.open('data/sub/empty'):read() == nil and io.open('data/sub/empty'):read(0) == nil",
            "io.open('lua/list.csv'):read('*l') == 'a,b' and io.open('./lua/list.csv', 'r'):read('L') == 'a,b\\n'",
            "(function() local f <close> = io.open('data/t.txt') local a, b, c = f:read('l', 'L', 'l')
               local n, m, x = f:read('n', 'n', 'n') return a == 'one' and b == 'two\\n' and c == '' and n == 16
               and m == -25.0 and x == nil and f:read(3) == 'x\\nl' and f:read('a') == 'ast' and f:read('a') == '' and f:read('l') == nil end)()",
            "(function() local f = io.open('data/t.txt') return f:seek('end') == 27 and f:seek('set', 4) == 4
               and f:read() == 'two' and f:seek() == 8 and f:seek('cur', -4) == 4 and f:seek('set', -1) == nil end)()",
            "(function() local n = 0 for a in io.lines('data/t.txt') do n = n + #a end return n == 23 end)()",
            "(function() local t = {} for a, b in io.open('data/t.txt'):lines(1, 2) do t[#t + 1] = a .. '|' .. (b or '') end
               return t[1] == 'o|ne' and #t == 9 end)()",
            "(function() local f = io.open('data/t.txt') f:close() return io.type(f) == 'closed file'
               and not pcall(f.read, f) and not pcall(f.lines, f) and tostring(f) == 'file (closed)' end)()",
            "(function() io.input('data/t.txt') local a = io.read() io.input(io.stdin) return a == 'one' end)()",
            "loadfile('lua/main.lua')() == 7 and loadfile('data/code.lua', 't', { y = 2 })(3) == 5",
            "loadfile('data/t.txt') == nil and select(2, loadfile('data/t.txt')):find('data/t.txt:2:')",
            "not pcall(io.lines, 'data/no') and select(3, io.open('data/no')) == 2",
            "select(2, io.open('words.txt')):find('lua.files', 1, true)",
            "not pcall(io.open('data/t.txt').read, io.open('data/t.txt'), 'z') and not pcall(io.open, 'data/t.txt', 'q')",
        ],
    );
}

#[test]
fn a_saved_file_runs_the_module_that_read_it_and_what_it_made_of_it_is_new() {
    let mut site = Site::new(&[
        ("main.lua", "W = require 'words' same = W"),
        ("words.lua", WORDS),
        ("data/words.txt", "a\nb"),
    ]);
    site.eval("W.hit() W.hit()");
    let outcome = site.save_one("data/words.txt", "x\ny\nz");
    let Outcome::Applied { files } = outcome else { panic!("{outcome:?}") };
    assert_eq!(files, ["lua/words.lua", "data/words.txt"]);
    assert_eq!(site.eval("return table.concat(W.words, ',') .. W.first .. W.count"), "x,y,zx2");
    // Again, since the new version has read it again.
    site.good("data/words.txt", "only");
    assert_eq!(site.eval("return table.concat(same.words, ',') .. W.first .. W.count"), "onlyonly2");
    assert!(matches!(site.save_one("data/other.txt", "x"), Outcome::NothingToRun));
}

#[test]
fn it_is_the_module_that_runs_which_reads_whoever_opens_the_file() {
    let mut site = Site::new(&[
        ("main.lua", "C, D = require 'colours', require 'days'"),
        (
            "files.lua",
            "return { all = function(n) local f <close> = assert(io.open(n)) return f:read('a') end }",
        ),
        (
            "colours.lua",
            "local files = require 'files'\nseen = (seen or 0) + 1\nlocal text = files.all 'data/c.json'\nreturn { text = text, kept = {} }",
        ),
        ("days.lua", "local files = require 'files'\nreturn { text = files.all 'data/d.csv' }"),
        ("data/c.json", "{}"),
        ("data/d.csv", "mo,tu"),
    ]);
    site.eval("C.kept.mine = 1");
    let Outcome::Applied { files } = site.save_one("data/c.json", "[]") else { panic!() };
    assert_eq!(files, ["lua/colours.lua", "data/c.json"]);
    assert_eq!(site.eval("return C.text .. C.kept.mine .. D.text .. seen"), "[]1mo,tu2");
}

#[test]
fn who_takes_what_was_read_when_it_is_loaded_runs_again_too() {
    let mut site = Site::new(&[
        (
            "main.lua",
            "local words = require 'words'\nlocal first = words.first\nfunction said() return first end",
        ),
        ("words.lua", WORDS),
        ("data/words.txt", "a"),
    ]);
    site.good("data/words.txt", "b");
    assert_eq!(site.eval("return said()"), "b");
}

#[test]
fn a_file_that_comes_later_or_breaks_the_module_is_taken_as_code_is() {
    let mut site = Site::new(&[
        ("main.lua", "N = require 'numbers'"),
        (
            "numbers.lua",
            "local f = io.open 'data/n'\nlocal n = f and assert(f:read 'n', 'no number') or 0\nreturn { n = n }",
        ),
    ]);
    assert_eq!(site.eval("return N.n"), "0");
    site.good("data/n", "5");
    assert_eq!(site.eval("return N.n"), "5");
    let (error, _) = site.failure("data/n", "five");
    assert!(error.contains("lua/numbers.lua:2: no number"), "{error}");
    assert_eq!(site.eval("return N.n"), "5", "all is as it was");
    assert_eq!(site.eval("return io.open('data/n'):read('a')"), "5", "and so is the file, for this session");
    site.good("data/n", "6");
    assert_eq!(site.eval("return N.n"), "6");
    site.save(&[("data/n", None)]);
    assert_eq!(site.eval("return N.n .. tostring(io.open('data/n'))"), "0nil");
}

#[test]
fn what_a_module_read_that_failed_is_waited_for_by_who_required_it() {
    let mut site = Site::new(&[
        ("main.lua", "local ok, n = pcall(require, 'numbers')\nN = ok and n or 'none'"),
        ("numbers.lua", "return assert(io.open('data/n'), 'no file'):read 'n'"),
    ]);
    assert_eq!(site.eval("return N"), "none");
    site.good("data/n", "5");
    assert_eq!(site.eval("return N"), "5");
}

#[test]
fn what_is_read_later_is_no_dependency() {
    let mut site = Site::new(&[
        ("main.lua", "runs = (runs or 0) + 1 function now() return io.open('data/n'):read('a') end"),
        ("data/n", "1"),
    ]);
    assert_eq!(site.eval("return now()"), "1");
    assert!(matches!(site.save_one("data/n", "2"), Outcome::NothingToRun));
    assert_eq!(site.eval("return now() .. runs"), "21");
}

#[test]
fn a_code_file_that_is_read_is_a_dependency_as_well() {
    let mut site = Site::new(&[
        ("main.lua", "R = require 'rules'"),
        ("rules.lua", "local rule = assert(loadfile 'lua/rule.lua')\nreturn { is = rule() }"),
        ("rule.lua", "return 'old'"),
    ]);
    site.good("rule.lua", "return 'new'");
    assert_eq!(site.eval("return R.is"), "new");
}

#[test]
fn a_large_file_counts_as_the_memory_and_the_time_of_who_reads_it() {
    let text = "x".repeat(3 << 20);
    let mut site = Site::with(&[("main.lua", ""), ("data/large", &text)], |settings| {
        settings.session.budget.handler = Duration::from_millis(300);
    });
    let began = Instant::now();
    site.eval("pcall(function() kept = {} for i = 1, 1e9 do kept[i] = io.open('data/large'):read('a') .. i end end)");
    assert!(began.elapsed() < Duration::from_secs(20));
    assert!(site.session.used_memory() < 16 << 20, "{}", site.session.used_memory());
}
