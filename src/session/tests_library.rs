//! Every function that the library of a session has, called again and again with what takes it longest: the
//! script ends with its time, or a thousand calls between two looks would be minutes.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use super::tests_sandbox::{attack, session_of};

/// Beside the time that the script has. The server gives a thread up after two seconds, and a test may run on a
/// machine that is busy.
const LATE: Duration = Duration::from_secs(6);

const NONE: &str = "";
const TEXT: &str = "S = ('x'):rep(8 << 20)";
const ODD: &str = "S = ('\\0'):rep(8 << 20)";
const OPEN: &str = "S = '[' .. ('x'):rep(8 << 20)";
const PLAIN: &str = "S = ('x'):rep(8 << 20) P = S:sub(2) .. 'y'";
const NUMBERS: &str = "T = {} for i = 1, 900000 do T[i] = i end";
const EMPTIED: &str = "T = {} for i = 1, 300000 do T['k' .. i] = i end for k in next, T do T[k] = nil end";
const MANY: &str =
    "function ALL() return table.unpack(T, 1, 200000) end T = {} for i = 1, 200000 do T[i] = 65 end";
const WITHIN: &str = "S = ('\\x80'):rep(8 << 20) STEP = utf8.codes('')";

/// Name, what is there before, and what it is called with.
const FUNCTIONS: [(&str, &str, &str); 130] = [
    ("assert", NONE, "true"),
    ("collectgarbage", NUMBERS, "'collect'"),
    ("coroutine.close", NONE, "coroutine.create(print)"),
    ("coroutine.create", NONE, "print"),
    ("coroutine.isyieldable", NONE, ""),
    ("coroutine.resume", MANY, "coroutine.create(select), '#', ALL()"),
    ("coroutine.running", NONE, ""),
    ("coroutine.status", NONE, "coroutine.create(print)"),
    ("coroutine.wrap", NONE, "print"),
    ("coroutine.yield", NONE, ""),
    ("debug.getinfo", NONE, "1, ('S'):rep(20)"),
    ("debug.getmetatable", NONE, "''"),
    ("debug.traceback", TEXT, "S"),
    ("dofile", NONE, "'x'"),
    ("error", TEXT, "S"),
    ("getmetatable", NONE, "''"),
    ("ipairs", NUMBERS, "T"),
    ("load", NONE, "'x = ' .. ('a and '):rep(100000) .. 'a'"),
    ("loadfile", NONE, "'lua/mod.lua'"),
    ("io.close", NONE, "io.open('lua/mod.lua')"),
    ("io.input", NONE, ""),
    ("io.lines", NONE, "'lua/mod.lua'"),
    ("io.open", NONE, "'lua/mod.lua'"),
    ("io.output", NONE, ""),
    ("io.popen", TEXT, "S"),
    ("io.read", NONE, "'a'"),
    ("io.tmpfile", NONE, ""),
    ("io.type", NONE, "io.stdout"),
    ("io.write", TEXT, "S"),
    ("os.execute", TEXT, "S"),
    ("os.exit", NONE, ""),
    ("os.getenv", TEXT, "S"),
    ("os.remove", TEXT, "S"),
    ("os.rename", TEXT, "S, S"),
    ("os.setlocale", TEXT, "S"),
    ("os.tmpname", NONE, ""),
    ("package.searchpath", TEXT, "S, '?;?;?'"),
    ("math.abs", NONE, "1"),
    ("math.acos", NONE, "1"),
    ("math.asin", NONE, "1"),
    ("math.atan", NONE, "1"),
    ("math.ceil", NONE, "1.5"),
    ("math.cos", NONE, "1e300"),
    ("math.deg", NONE, "1"),
    ("math.exp", NONE, "1"),
    ("math.floor", NONE, "1.5"),
    ("math.fmod", NONE, "1e308, 1e-308"),
    ("math.log", NONE, "2, 3"),
    ("math.max", MANY, "ALL()"),
    ("math.min", MANY, "ALL()"),
    ("math.modf", NONE, "1.5"),
    ("math.rad", NONE, "1"),
    ("math.random", NONE, "1, math.maxinteger"),
    ("math.randomseed", NONE, "1"),
    ("math.sin", NONE, "1e300"),
    ("math.sqrt", NONE, "2"),
    ("math.atan2", NONE, "1, 2"),
    ("math.cosh", NONE, "1"),
    ("math.frexp", NONE, "1"),
    ("math.ldexp", NONE, "1, 2"),
    ("math.log10", NONE, "1"),
    ("math.pow", NONE, "1e300, 1e300"),
    ("math.sinh", NONE, "1"),
    ("math.tanh", NONE, "1"),
    ("math.tan", NONE, "1e300"),
    ("math.tointeger", TEXT, "S"),
    ("math.type", NONE, "1"),
    ("math.ult", NONE, "1, 2"),
    ("next", EMPTIED, "T"),
    ("os.clock", NONE, ""),
    ("os.date", NONE, "('%c'):rep(30000)"),
    ("os.difftime", NONE, "1, 2"),
    ("os.time", NONE, "{ year = 2000, month = -1000000, day = 1000000 }"),
    ("pairs", EMPTIED, "T"),
    ("pcall", MANY, "select, '#', ALL()"),
    ("print", TEXT, "S"),
    ("rawequal", TEXT, "S, S:sub(1, -2) .. 'y'"),
    ("rawget", TEXT, "{}, S .. 'y'"),
    ("rawlen", NUMBERS, "T"),
    ("rawset", TEXT, "{}, S .. 'y', 1"),
    ("require", NONE, "('a.'):rep(100000) .. 'a'"),
    ("select", MANY, "'#', ALL()"),
    ("setmetatable", NONE, "{}, {}"),
    ("string.byte", TEXT, "S, 1, 900000"),
    ("string.char", MANY, "ALL()"),
    ("string.find", TEXT, "S, 'x*x*y'"),
    ("string.format", MANY, "('%99.99f'):rep(10000), table.unpack(T, 1, 10000)"),
    ("string.gmatch", TEXT, "S, 'x'"),
    ("string.gsub", TEXT, "S, 'x+y', ''"),
    ("string.len", TEXT, "S"),
    ("string.lower", TEXT, "S"),
    ("string.match", TEXT, "S, '.-.-y'"),
    ("string.pack", NONE, "(' '):rep(8 << 20)"),
    ("string.packsize", NONE, "('b'):rep(8 << 20)"),
    ("string.rep", NONE, "'x', 8 << 20"),
    ("string.reverse", TEXT, "S"),
    ("string.sub", TEXT, "S, 2"),
    ("string.unpack", ODD, "('z'):rep(500000), S"),
    ("string.upper", TEXT, "S"),
    ("table.concat", NUMBERS, "T, ','"),
    ("table.insert", NUMBERS, "T, 1, 0"),
    ("table.move", NUMBERS, "T, 1, #T, 2"),
    ("table.pack", MANY, "ALL()"),
    ("table.remove", NUMBERS, "T, 1"),
    ("table.sort", NUMBERS, "T, math.ult"),
    ("table.unpack", NUMBERS, "T"),
    ("tonumber", TEXT, "S, 36"),
    ("tostring", TEXT, "S"),
    ("type", NONE, "1"),
    ("ui.json_decode", NONE, "'[' .. ('[],'):rep(300000) .. '[]]'"),
    ("ui.json_encode", EMPTIED, "{ T, T, T, T, T, T, T, T, T }"),
    ("utf8.char", MANY, "ALL()"),
    ("utf8.codepoint", TEXT, "S, 1, 900000"),
    ("utf8.codes", WITHIN, "S"),
    ("utf8.len", TEXT, "S"),
    ("utf8.offset", TEXT, "S, #S"),
    ("warn", TEXT, "S"),
    ("xpcall", NONE, "error, error"),
    // Patterns that take long before anything is matched.
    ("string.find", PLAIN, "S, P"),
    ("string.find", OPEN, "'', S"),
    ("string.match", OPEN, "'', S"),
    ("string.gsub", OPEN, "'', S, ''"),
    ("string.gmatch('', '[' .. S)", TEXT, ""),
    // What the functions give.
    ("STEP", WITHIN, "S, 0"),
    ("string.gmatch('', 'x')", NONE, ""),
    ("pairs {}", EMPTIED, "T"),
    ("ipairs {}", NUMBERS, "T, 0"),
    ("coroutine.wrap(function() while true do coroutine.yield() end end)", NONE, ""),
    // What no function stands for.
    ("load 'local a, b = ... return a == b'", TEXT, "S, S:sub(1, -2) .. 'y'"),
    ("load 'local a, b = ... return a .. b'", TEXT, "S, S"),
];

/// Of these, what Lua 5.4 has from the times before it; and what Lua 5.5 has beside the others.
const OLD: [&str; 6] = ["math.atan2", "math.cosh", "math.log10", "math.pow", "math.sinh", "math.tanh"];
const NEW: [(&str, &str, &str); 1] = [("table.create", NONE, "1 << 16, 1 << 12")];

/// Those that this Lua has.
fn functions() -> Vec<(&'static str, &'static str, &'static str)> {
    if cfg!(feature = "lua55") {
        FUNCTIONS.into_iter().filter(|(name, ..)| !OLD.contains(name)).chain(NEW).collect()
    } else {
        FUNCTIONS.into()
    }
}

/// Those of the program's own API that take any value, beside the library.
const OURS: [&str; 2] = ["ui.json_decode", "ui.json_encode"];

#[test]
fn each_function_of_the_library_is_listed_here() {
    let mut session = session_of(
        "function attack()
           local names = {}
           for name, value in pairs(_G) do
             if type(value) == 'function' then names[#names + 1] = name end
           end
           for _, library in ipairs { 'coroutine', 'debug', 'math', 'os', 'string', 'table', 'utf8' } do
             for name, value in pairs(_G[library]) do
               if type(value) == 'function' then names[#names + 1] = library .. '.' .. name end
             end
           end
           for _, library in ipairs { 'io', 'os', 'package' } do
             for name, value in pairs(MORE[library]) do
               if type(value) == 'function' then names[#names + 1] = library .. '.' .. name end
             end
           end
           return table.concat(names, ' ')
         end",
        |_| {},
    );
    // What comes when it is looked for.
    let more = |lua: &mlua::Lua| {
        let all = lua.create_table()?;
        lua.load("return io.open, os.exit, package.config").exec()?;
        for name in ["io", "os", "package"] {
            let library: mlua::Table = lua.globals().get(name)?;
            let more = library.metatable().unwrap().raw_get::<mlua::Table>("__index")?;
            all.set(name, more)?;
        }
        lua.globals().set("MORE", all)
    };
    session.with_lua(more).unwrap();
    let names = attack(&mut session).unwrap().to_string().unwrap();
    let there: BTreeSet<&str> = names.split(' ').filter(|name| *name != "attack").collect();
    let is_name = |name: &&str| {
        name.bytes().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'.' | b'0'..=b'9'))
    };
    let functions = functions();
    let listed = functions.iter().map(|(name, ..)| *name).filter(|name| !OURS.contains(name));
    let listed: BTreeSet<&str> = listed.filter(is_name).collect();
    assert_eq!(there, listed, "measure the new one, and see to it that it ends (src/lua/limits/library.rs)");
}

#[test]
fn each_function_ends_with_the_time_of_its_script() {
    let mut slowest = (Duration::ZERO, "");
    for (name, before, arguments) in functions() {
        let main = format!(
            "{before}\nlocal f = {name}\nlocal function call(...) f(...) end\n\
             function attack() while true do pcall(call{} {arguments}) end end",
            if arguments.is_empty() { "" } else { "," }
        );
        let mut session = session_of(&main, |settings| {
            let budget = &mut settings.session.budget;
            *budget = crate::config::BudgetConfig::default();
            (budget.load, budget.handler) = (Duration::from_secs(60), Duration::from_millis(40));
        });
        let began = Instant::now();
        let error = attack(&mut session).expect_err(name);
        let took = began.elapsed();
        let is_time = error.message.contains("ran longer than 40ms (session.budget.handler)");
        assert!(is_time, "{name}: {error}");
        assert!(took < LATE, "{name} took {took:?}");
        println!("{name:>20} {took:?}");
        slowest = slowest.max((took, name));
    }
    println!("slowest: {slowest:?}");
}
