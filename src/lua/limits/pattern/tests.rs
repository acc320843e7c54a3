use std::time::{Duration, Instant};

use mlua::{Function, Lua};

use super::{
    matcher::{Capture, Matcher},
    stop::Stop,
};
use crate::lua::frame::CFunction;

/// A state in which `original` has Lua's own functions, and `string` has ours.
fn both() -> Lua {
    let lua = Lua::new();
    lua.load(
        "original = { find = string.find, match = string.match, gmatch = string.gmatch, gsub = string.gsub }",
    )
    .exec()
    .unwrap();
    let string: mlua::Table = lua.globals().get("string").unwrap();
    for (name, function) in [
        ("find", CFunction::of::<super::Find>()),
        ("match", CFunction::of::<super::Match>()),
        ("gmatch", CFunction::once(super::gmatch)),
        ("gsub", CFunction::of::<super::Gsub>()),
    ] {
        string.set(name, function.into_function(&lua).unwrap()).unwrap();
    }
    lua
}

fn assert_true(expressions: &[&str]) {
    let lua = both();
    for expression in expressions {
        let result = lua.load(format!("return {expression}")).eval::<bool>();
        assert!(matches!(result, Ok(true)), "{expression}: {result:?}");
    }
}

/// Each fails with a message that has this text, from ours as from Lua's own.
fn assert_fails(calls: &[(&str, &str)]) {
    let lua = both();
    for (call, expected) in calls {
        let error = |library: &str| {
            let code = format!("local string = {library} local r = string.{call} return r");
            lua.load(code).set_name("=t").exec().unwrap_err().to_string()
        };
        let ours = error("string");
        assert!(ours.contains(expected), "{call}: {ours}");
        assert_eq!(ours.lines().next(), error("original").lines().next(), "{call}");
    }
}

#[test]
fn what_is_found_and_where() {
    assert_true(&[
        "('alo'):find('') == 1 and select(2, ('alo'):find('')) == 0",
        "('alo'):find('', 4) == 4 and ('alo'):find('', 5) == nil and (''):find('', 1) == 1",
        "(''):find('', 2) == nil and ('alo'):find('lo', -2) == 2 and ('alo'):find('a', -100) == 1",
        "('alo'):find('lo', math.mininteger) == 2 and ('alo'):find('lo', math.maxinteger) == nil",
        "('a+b'):find('+', 1, true) == 2 and ('a+b'):find('%+') == 2 and ('a.b'):find('.', 2) == 2",
        "('a\\0b\\0c'):find('b\\0c') == 3 and ('a\\0b\\0c'):find('\\0', 3) == 4 and ('a\\0'):find('%z') == 2",
        "('a\\0\\0b'):match('%z+') == '\\0\\0' and ('ab\\0efg'):find('\\0e') == 3",
        "('alo xyzK'):match('(%w+)K') == 'xyz' and ('254 K'):match('(%d*)K') == '' and ('alo '):match('(%w*)$') == ''",
        "('aaab'):match('.*b') == 'aaab' and ('aaa'):match('.*b') == nil and ('aaab'):match('a-b') == 'aaab'",
        "('aba'):match('ab*a') == 'aba' and ('aaab'):match('.+b') == 'aaab' and ('aaa'):match('^.-$') == 'aaa'",
        "('aaab'):match('^.*b$') == 'aaab' and ('b'):match('a?b') == 'b' and ('ab'):match('a?b') == 'ab'",
        "('aab'):match('^a?b') == nil and ('alo$'):match('o$', 1) == nil and ('a$o'):match('a$o') == 'a$o'",
        "('^x'):match('x^') == nil and ('x^'):match('x^') == 'x^' and ('a^'):find('^', 1, true) == 2",
        "('  \\n\\r*&\\n\\r   xuxu  \\n\\n'):match('%g%g%g+') == 'xuxu'",
        "('_alo_'):match('[%a_]+') == '_alo_' and ('a-b'):match('[a-]+') == 'a-' and (']x'):match('[]x]+') == ']x'",
        "('0alo alo'):match('%x*') == '0a' and ('^a]'):match('[%^%]a]+') == '^a]' and ('a^'):match('[a^]+') == 'a^'",
        "('x]y'):match('[^]]') == 'x' and ('é'):match('[\\xc3][\\xa9]') == 'é' and ('\\xff'):match('[\\x80-\\xff]') == '\\xff'",
        "('\\v'):match('%s') == '\\v' and ('a\\tb'):match('%c') == '\\t' and ('a.b'):match('%p') == '.'",
        "('Ab1'):match('%u%l%d') == 'Ab1' and ('Ab'):match('%U%L') == nil and ('Ab1'):match('%U%D') == nil",
    ]);
}

#[test]
fn what_captures_have() {
    assert_true(&[
        "select('#', ('abc'):match('()a(.)(.)()')) == 4",
        "table.concat({ ('abc'):match('()a(.)(.)()') }, ',') == '1,b,c,4'",
        "table.concat({ ('=[[x]]='):match('^(.[^(]*)%[%[()(.-)()%]%](.*)$') }, ',') == '=,4,x,5,='",
        "table.concat({ ('alo alx 123 b\\0o b\\0o'):match('(..*) %1') }, ',') == 'b\\0o'",
        "('0123456789'):match('(.+(.?)())') == '0123456789'",
        "table.concat({ (' k = v '):match('^%s*(%S+)%s*=%s*(.-)%s*$') }, ',') == 'k,v'",
        "('abab'):match('^(ab)%1$') == 'ab' and ('aba'):match('^(a)b%1$') == 'a' and ('xyxz'):match('(x)y%1z') == 'x'",
        "('aa'):match('()%1') == nil and ('abc'):match('((a)(b))') == 'ab'",
        "('THE (quick) fox'):find('%((%a+)%)') == 5 and ('f(a(b)c)d'):match('%b()') == '(a(b)c)'",
        "('f(a(b)c'):match('%b()') == '(b)' and ('xx'):match('%bxx') == 'xx' and (''):match('%bxy') == nil",
        "('a\\0'):match('%b\\0a') == nil and ('THE (quick) fox'):match('%f[%a]%a+%f[%A]') == 'THE'",
        "('[[]] [][] [[[['):find('%f[^%[]') == 3 and ('aba'):find('%f[a%z]') == 3 and ('aba'):find('%f[%z]') == 4",
        "('aba'):find('%f[%l]') == 1 and ('aba'):find('%f[^%l%z]') == nil and (''):find('%f[%z]') == nil",
        "('a aa aaa'):gsub('%f[%w]%a', 'x') == 'x xa xaa'",
    ]);
}

#[test]
fn what_gsub_puts_in_place() {
    assert_true(&[
        "('ülo ülo'):gsub('ü', 'x') == 'xlo xlo' and select(2, ('ülo ülo'):gsub('ü', 'x')) == 2",
        "('alo úlo  '):gsub(' +$', '') == 'alo úlo' and ('  alo alo  '):gsub('^%s*(.-)%s*$', '%1') == 'alo alo'",
        "('  alo \\n 123\\n '):gsub('%s+', ' ') == ' alo 123 ' and ('abç d'):gsub('(.)', '%1@') == 'a@b@\\xc3@\\xa7@ @d@'",
        "('abçd'):gsub('(.)', '%0@', 2) == 'a@b@çd' and ('alo alo'):gsub('()[al]', '%1') == '12o 56o'",
        "('abc=xyz'):gsub('(%w*)(%p)(%w+)', '%3%2%1') == 'xyz=abc' and ('abc'):gsub('%w', '%1%0') == 'aabbcc'",
        "('aei'):gsub('$', '\\0ou') == 'aei\\0ou' and (''):gsub('^', 'r') == 'r' and (''):gsub('$', 'r') == 'r'",
        "('um (dois) tres (quatro)'):gsub('(%(%w+%))', string.upper) == 'um (DOIS) tres (QUATRO)'",
        "('abc'):gsub('', '-') == '-a-b-c-' and ('abc'):gsub('b*', '-') == '-a-c-' and select(2, ('abc'):gsub('b*', '-')) == 3",
        "('hello world'):gsub('o', { o = 0 }) == 'hell0 w0rld' and ('abc'):gsub('%w', { a = false, b = 'B' }) == 'aBc'",
        "('abc'):gsub('()', { 'x', [3] = 'y' }) == 'xabyc' and ('abc'):gsub('(b)(c)', { b = 'X' }) == 'aX'",
        "('abc'):gsub('%w', function(c) if c ~= 'b' then return c .. '%1' end end) == 'a%1bc%1'",
        "('abc'):gsub('x', 'y') == 'abc' and select(2, ('abc'):gsub('.', 'y', 0)) == 0 and ('abc'):gsub('.', 'y', -1) == 'abc'",
        "('abc'):gsub('^a', 'x') == 'xbc' and ('aaa'):gsub('^a', 'x') == 'xaa' and ('a%b'):gsub('%%', '%%%%') == 'a%%b'",
        "('x'):gsub('x', 1.5) == '1.5' and string.gsub(12, 1, 3) == '32' and ('abc'):gsub('(a', 'x') == 'xbc'",
        "('\\0\\0a'):gsub('%z', 'x') == 'xxa' and #('x'):rep(3000):gsub('x', 'yy') == 6000",
    ]);
}

#[test]
fn what_gmatch_comes_upon() {
    assert_true(&[
        "(function() local t = {} for p, w in ('one two  three'):gmatch('()(%a+)') do t[#t + 1] = p .. w end return table.concat(t, ',') end)() == '1one,5two,10three'",
        "(function() local n = 0 for _ in ('abcde'):gmatch('()') do n = n + 1 end return n end)() == 6",
        "(function() local t = {} for k, v in ('13 14 10 = 11, 15= 16'):gmatch('(%d+)%s*=%s*(%d+)') do t[k] = v end return t['10'] == '11' and t['15'] == '16' and t['13'] == nil end)()",
        "(function() local t = {} for w in ('abc'):gmatch('.', -2) do t[#t + 1] = w end return table.concat(t) end)() == 'bc'",
        "('abc'):gmatch('.', 5)() == nil and ('abc'):gmatch('', 4)() == '' and ('^a'):gmatch('^a')() == '^a'",
        "(function() local t = {} for w in ('xuxx uu ppar r'):gmatch('()(.)%2') do t[#t + 1] = w end return table.concat(t, ',') end)() == '3,6,9'",
        "(function() local f = ('aab'):gmatch('a*') return f() == 'aa' and f() == '' and f() == nil and f() == nil end)()",
    ]);
}

#[test]
fn what_is_wrong_is_told_in_the_words_of_lua() {
    assert_fails(&[
        ("find('a', 'a%')", "malformed pattern (ends with '%')"),
        ("find('a', '[a')", "malformed pattern (missing ']')"),
        ("find('a', '[]')", "malformed pattern (missing ']')"),
        ("find('a', '[^]')", "malformed pattern (missing ']')"),
        ("find('a', '[a%]')", "malformed pattern (missing ']')"),
        ("find('a', '[a%')", "malformed pattern (missing ']')"),
        ("find('a', '%b')", "malformed pattern (missing arguments to '%b')"),
        ("find('a', '%ba')", "malformed pattern (missing arguments to '%b')"),
        ("find('a', '%f')", "missing '[' after '%f' in pattern"),
        ("match('a', '(a')", "unfinished capture"),
        ("match('a', 'a)')", "invalid pattern capture"),
        ("gsub('alo', '(.', print)", "unfinished capture"),
        ("gsub('alo', '.)', print)", "invalid pattern capture"),
        ("gsub('alo', '(.', {})", "unfinished capture"),
        ("match('a', '%0')", "invalid capture index %0"),
        ("match('a', '%1')", "invalid capture index %1"),
        ("match('a', '(%1)')", "invalid capture index %1"),
        ("gsub('alo', '(%0)', 'a')", "invalid capture index %0"),
        ("gsub('alo', '.', '%2')", "invalid capture index %2"),
        ("gsub('alo', '.', '%a')", "invalid use of '%' in replacement string"),
        ("gsub('alo', '.', '%')", "invalid use of '%' in replacement string"),
        ("gsub('alo', '.', { a = {} })", "invalid replacement value (a table)"),
        ("gsub('alo', '.', function() return print end)", "invalid replacement value (a function)"),
        ("gsub('x', 'x')", "bad argument #3 to 'gsub' (string/function/table expected, got no value)"),
        ("gsub('x', 'x', nil)", "bad argument #3 to 'gsub' (string/function/table expected, got nil)"),
        ("gsub('x', 'x', 'y', {})", "bad argument #4 to 'gsub' (number expected, got table)"),
        ("find('x')", "bad argument #2 to 'find' (string expected, got no value)"),
        ("find({}, 'x')", "bad argument #1 to 'find' (string expected, got table)"),
        ("find('x', 'x', 1.5)", "bad argument #3 to 'find' (number has no integer representation)"),
        ("match('x', 'x', 'y')", "bad argument #3 to 'match' (number expected, got string)"),
        ("gmatch('x')", "bad argument #2 to 'gmatch' (string expected, got no value)"),
        ("gmatch('x', '%')()", "malformed pattern (ends with '%')"),
        ("match(('('):rep(33), ('('):rep(33))", "too many captures"),
        ("find(('a'):rep(300), ('a?'):rep(201) .. 'b')", "pattern too complex"),
        ("gsub(('a'):rep(300), ('(a)'):rep(33), '')", "too many captures"),
    ]);
    assert_true(&[
        "('a'):rep(300):match(('a'):rep(300)) ~= nil and ('a'):rep(9):find('b%') == nil",
        "select('#', ('a'):rep(32):match(('(a)'):rep(32))) == 32 and ('a'):rep(300):match(('a?'):rep(199)) ~= nil",
    ]);
}

/// Small, seeded, and good enough to choose by.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        usize::try_from((mixed ^ (mixed >> 29)) % bound as u64).unwrap()
    }

    fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }

    fn some(&mut self, most: usize, choices: &[&str]) -> String {
        (0..self.below(most + 1)).map(|_| self.of(choices)).collect()
    }

    fn pattern(&mut self) -> String {
        const ITEMS: [&str; 32] = [
            "a", "b", "a", "b", " ", "(", "1", ".", ".", "%a", "%d", "%s", "%w", "%p", "%S", "%A", "%%",
            "[ab]", "[^ab]", "[a-c]", "[%w_]", "[]]", "[^]]", "[a-]", "[%]%-]", "[^%s]", "%x", "%z", "%u",
            "]", "-", "\0",
        ];
        const ODD: [&str; 18] = [
            "(", ")", "%1", "%2", "%0", "%b()", "%bab", "%f[%w]", "%f[^a]", "%f[%z]", "^", "$", "%", "[",
            "[^", "%b", "%f", "[%",
        ];
        let mut pattern = self.of(&["", "", "", "^"]).to_owned();
        for _ in 0..self.below(6) {
            let item = if self.below(7) == 0 { self.of(&ODD) } else { self.of(&ITEMS) };
            let item = format!("{item}{}", self.of(&["", "", "", "*", "+", "-", "?"]));
            match self.below(6) {
                0 => pattern += &format!("({item})"),
                1 => pattern += &format!("(){item}"),
                _ => pattern += &item,
            }
        }
        pattern + self.of(&["", "", "", "$"])
    }
}

#[test]
fn a_hundred_thousand_random_patterns_match_as_lua_matches_them() {
    const COMPARE: &str = "
local pack = table.pack
local function equal(one, other)
  if one.n ~= other.n then return false end
  for i = 1, one.n do if one[i] ~= other[i] then return false end end
  return true
end
local function all(gmatch, text, pattern, init)
  local found, n = { n = 0 }, 0
  for a, b, c in gmatch(text, pattern, init) do
    found[n + 1], found[n + 2], found[n + 3] = a, b, c
    n = n + 3
  end
  return table.unpack(found, 1, n)
end
local function noting(answers)
  local calls, seen = 0, { n = 0 }
  return function(...)
    calls = calls + 1
    for i = 1, select('#', ...) do seen.n = seen.n + 1 seen[seen.n] = select(i, ...) end
    return answers[calls % (#answers + 1)]
  end, seen
end
local by = { a = 'A', b = 2, [1] = 'one', [3] = false, [''] = 'E', ['1'] = '%1', [' '] = {} }
local ours = string
return function(text, pattern, init, replacement, most)
  local function check(name, one, other)
    if equal(one, other) then return one[1] end
    for i = 1, math.max(one.n, other.n) do one[i], other[i] = tostring(one[i]), tostring(other[i]) end
    error(('%s(%q, %q, %s, %q, %s): ours %s, original %s'):format(name, text, pattern, init, replacement, most,
      table.concat(one, '|'), table.concat(other, '|')))
  end
  local found = check('find', pack(pcall(ours.find, text, pattern, init)), pack(pcall(original.find, text, pattern, init)))
  check('plain', pack(pcall(ours.find, text, pattern, init, true)), pack(pcall(original.find, text, pattern, init, true)))
  check('match', pack(pcall(ours.match, text, pattern, init)), pack(pcall(original.match, text, pattern, init)))
  check('gmatch', pack(pcall(all, ours.gmatch, text, pattern, init)), pack(pcall(all, original.gmatch, text, pattern, init)))
  check('text', pack(pcall(ours.gsub, text, pattern, replacement, most)), pack(pcall(original.gsub, text, pattern, replacement, most)))
  check('table', pack(pcall(ours.gsub, text, pattern, by, most)), pack(pcall(original.gsub, text, pattern, by, most)))
  local answers = { 'x', false, 7, text:len() % 5 == 0 and {} or '%1' }
  local f, seen = noting(answers)
  local g, also_seen = noting(answers)
  check('function', pack(pcall(ours.gsub, text, pattern, f, most)), pack(pcall(original.gsub, text, pattern, g, most)))
  check('arguments', seen, also_seen)
  return found and ours.find(text, pattern, init) ~= nil
end";
    const TEXT: [&str; 16] =
        ["a", "a", "b", "b", "c", " ", "(", ")", "1", "_", ".", "-", "]", "%", "\0", "A"];
    let lua = both();
    let compare: Function = lua.load(COMPARE).eval().unwrap();
    let mut chance = Chance(7);
    let mut found = 0;
    for n in 0..100_000 {
        let (text, pattern) = (chance.some(16, &TEXT), chance.pattern());
        let init = match chance.below(20) {
            0..10 => None,
            10 => Some(i64::MAX),
            11 => Some(i64::MIN),
            _ => Some(i64::try_from(chance.below(40)).unwrap() - 20),
        };
        let replacement = chance.some(3, &["x", "%0", "%1", "%1", "%2", "%%", "%", "%a", "\0", "yz"]);
        let most = [None, None, Some(0), Some(1), Some(2), Some(-1)][chance.below(6)];
        let is_found = compare.call::<bool>((text, pattern, init, replacement, most));
        found += usize::from(is_found.unwrap_or_else(|error| panic!("round {n}: {error}")));
    }
    assert!((20_000..80_000).contains(&found), "{found} of them are found: a choice that says nothing");
}

#[test]
fn the_matcher_asks_whether_it_may_go_on_whatever_takes_it_long() {
    let blanks = vec![b' '; 200_000];
    let mut open = vec![b'('; 200_000];
    let set = [b"[".as_slice(), &[b'a'; 100_000], b"]-b"].concat();
    open.push(b' ');
    let long: [(&[u8], &[u8]); 8] = [
        (&blanks, b"%s+$"),
        (&blanks, b".-.-.-b"),
        (&blanks, b"^.*b"),
        (&blanks, b"^%s-b"),
        (&open, b"%b()"),
        (&blanks, b"^(.-)%1b"),
        (&blanks, &set),
        (&blanks, b"%f[a]"),
    ];
    for (text, pattern) in long {
        let mut asked = 0;
        let goes_on = || {
            asked += 1;
            asked < 3
        };
        let found = Matcher::new(text, pattern, true, goes_on).search(0, None);
        let shown = String::from_utf8_lossy(&pattern[..pattern.len().min(20)]);
        assert_eq!((found, asked), (Err(Stop::Interrupted), 3), "{shown}");
    }
}

#[test]
fn a_short_match_asks_nothing() {
    let mut matcher = Matcher::new(b"key = value", b"(%w+)%s*=%s*()(%w+)", true, || panic!("it is short"));
    let found = matcher.search(0, None).unwrap().unwrap();
    assert_eq!((found, matcher.captures()), ((0, 11), 3));
    assert_eq!(matcher.capture(0, found), Ok(Capture::Text(b"key")));
    assert_eq!(matcher.capture(1, found), Ok(Capture::Position(6)));
    assert_eq!(matcher.capture(3, found), Err(Stop::NoSuchCapture(4)));
}

/// Run with `--run-ignored all` and optimized: the times of ours and Lua's own, in turns.
#[test]
#[ignore = "a measurement"]
fn ordinary_patterns_take_as_long_as_with_lua() {
    const ORDINARY: [(&str, &str); 17] = [
        ("a word", "s.match('key = value', '^%s*(%S+)%s*=%s*(.-)%s*$')"),
        ("trim", "s.gsub('  some words here  ', '^%s*(.-)%s*$', '%1')"),
        ("find a text", "s.find('the quick brown fox jumps', 'fox', 1, true)"),
        ("find a class", "s.find('the quick brown fox 7 jumps', '%d')"),
        ("date", "s.match('2026-01-31', '^(%d+)-(%d+)-(%d+)$')"),
        ("no match", "s.match('the quick brown fox jumps', '(%d+)x')"),
        ("fields", "(function() for w in s.gmatch('a, bc;def, ghij', '[^%s,;]+') do end end)()"),
        ("split", "(function() for w in s.gmatch('a,bc,def,ghij', '[^,]+') do end end)()"),
        ("words", "s.gsub(long, '%w+', '<%0>')"),
        ("each character", "s.gsub(long, '.', '%0')"),
        ("escape", "s.gsub(long, '[&<>\"]', { ['&'] = '&amp;' })"),
        ("function", "s.gsub(long, '%a+', upper)"),
        ("lines", "(function() for l in s.gmatch(long, '[^\\n]*\\n') do end end)()"),
        ("text in long", "s.find(long, 'nowhere', 1, true)"),
        ("pattern in long", "s.find(long, 'no%w*here')"),
        ("frontier", "s.gsub(long, '%f[%w]%w', '.')"),
        ("balanced", "s.match('f(a(b)c)', '%b()')"),
    ];
    let lua = both();
    let setup =
        "long = ('the quick brown fox; jumps over the lazy dog & more\\n'):rep(100) upper = string.upper";
    lua.load(setup).exec().unwrap();
    for (name, call) in ORDINARY {
        let code = |library: &str| {
            format!("local s = {library} return function(n) for i = 1, n do local r = {call} end end")
        };
        let functions =
            ["string", "original"].map(|library| lua.load(code(library)).eval::<Function>().unwrap());
        let rounds = if call.contains("long") { 300 } else { 30_000 };
        let mut best = [Duration::MAX; 2];
        for _ in 0..15 {
            for (function, best) in functions.iter().zip(&mut best) {
                let began = Instant::now();
                function.call::<()>(rounds).unwrap();
                *best = began.elapsed().min(*best);
            }
        }
        let [ours, original] = best.map(|time| time.as_secs_f64() / f64::from(rounds) * 1e9);
        println!("{name:>16}: {ours:9.0} ns, Lua {original:9.0} ns, ratio {:.2}", ours / original);
    }
}
