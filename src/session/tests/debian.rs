//! Libraries in plain Lua from Debian's packages, those of the table in docs/lua-api.md: each is loaded, used, and
//! saved while it is in use. What is not installed is skipped; `tests/run` installs all.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use super::*;

/// Package, module, the names below Debian's Lua directories that it needs, and an expression that uses it.
const LIBRARIES: [(&str, &str, &[&str], &str); 26] = [
    ("lua-ansicolors", "ansicolors", &["ansicolors"], "M('%{red}x') == '\\27[0m\\27[31mx\\27[0m'"),
    (
        "lua-argparse",
        "argparse",
        &["argparse"],
        "(function() local p = M('x') p:option '-n' return p:parse({ '-n', '3' }).n == '3' end)()",
    ),
    (
        "lua-basexx",
        "basexx",
        &["basexx"],
        "M.from_base64(M.to_base64('hello')) == 'hello' and M.to_hex('a') == '61'",
    ),
    (
        "lua-binaryheap",
        "binaryheap",
        &["binaryheap"],
        "(function() local h = M.minUnique() h:insert(3, 'c') h:insert(1, 'a') return h:pop() == 'a' end)()",
    ),
    (
        "lua-cgi",
        "cgilua.urlcode",
        &["cgilua/urlcode"],
        "M.escape('a b') == 'a+b' and M.unescape('a%20b') == 'a b'",
    ),
    ("lua-check", "luacheck", &["luacheck", "argparse"], "M.check_strings({'x = 1'})[1][1].code == '111'"),
    (
        "lua-cliargs",
        "cliargs",
        &["cliargs"],
        "(function() pcall(M.option, M, '-n, --num=N', 'n') return M:parse({ '-n', '3' }, true).n == '3' end)()",
    ),
    ("lua-compat53", "compat53.module", &["compat53"], "M.table.pack(1, 2).n == 2"),
    (
        "lua-coxpcall",
        "coxpcall",
        &["coxpcall"],
        "copcall(error, 'x') == false and select(2, copcall(function(a) return a end, 3)) == 3",
    ),
    ("lua-dkjson", "dkjson", &["dkjson"], "M.encode((M.decode '{\"a\":[1,2]}')) == '{\"a\":[1,2]}'"),
    (
        "lua-fifo",
        "fifo",
        &["fifo"],
        "(function() local f = M() f:push(1) f:push(2) return f:pop() == 1 and f:length() == 1 end)()",
    ),
    ("lua-inifile", "inifile", &["inifile"], "M.parse('data/x.ini').a.b == 7"),
    ("lua-inspect", "inspect", &["inspect"], "M({ 1, a = { 2 } }):find('a = { 2 }', 1, true)"),
    (
        "lua-logging",
        "logging",
        &["logging"],
        "(function() local said M.new(function(_, level, m) said = level .. m return true end):info('x') return said == 'INFOx' end)()",
    ),
    (
        "lua-luassert",
        "luassert",
        &["luassert", "say"],
        "M.are.same({ 1 }, { 1 }) and not pcall(M.are.equal, 1, 2)",
    ),
    (
        "lua-mediator",
        "mediator",
        &["mediator"],
        "(function() local m, got = M() m:subscribe({ 'a' }, function(x) got = x end) m:publish({ 'a' }, 5) return got == 5 end)()",
    ),
    ("lua-messagepack", "MessagePack", &["MessagePack"], "M.unpack(M.pack { 1, { a = 2 } })[2].a == 2"),
    ("lua-mmdb", "mmdb", &["mmdb"], "not pcall(M.open, 'data/none')"),
    ("lua-moses", "moses", &["moses"], "#M.map({ 1, 2 }, function(x) return x end) == 2"),
    (
        "lua-penlight",
        "pl.pretty",
        &["pl"],
        "M.write({ 1 }, '') == '{1}' and require('pl.List')({ 3, 1 }):sort():concat(',') == '1,3' and require('pl.stringx').strip(' x ') == 'x' and require('pl.template').substitute('$(i)', { i = 4 }):find('4') and require('pl.data').read(require('pl.stringio').open('a,b\\n1,2\\n')).fieldnames[1] == 'a'",
    ),
    ("lua-redis", "redis", &["redis"], "type(M.connect) == 'function'"),
    (
        "lua-say",
        "say",
        &["say"],
        "(function() M:set('hi', 'hello %s') return M('hi', { 'x' }) == 'hello x' end)()",
    ),
    (
        "lua-socket",
        "ltn12",
        &["ltn12"],
        "(function() local t = {} local sink = M.sink.table(t) M.pump.all(M.source.string('abc'), sink) return t[1] == 'abc' end)()",
    ),
    (
        "lua-unit",
        "luaunit",
        &["luaunit"],
        "M.assertEquals({ 1 }, { 1 }) == nil and not pcall(M.assertEquals, 1, 2)",
    ),
    ("lua-uri", "uri", &["uri"], "M:new('http://a.b/c/../d?x=1'):path() == '/d'"),
    ("lua-wsapi", "wsapi.util", &["wsapi"], "M.url_encode('a b') == 'a+b'"),
];

/// All files of that name, and below it, from the newest version of Lua that has it: name and text.
fn files_of(name: &str) -> Vec<(String, String)> {
    for version in ["5.4", "5.3", "5.2", "5.1"] {
        let dir = Path::new("/usr/share/lua").join(version);
        let mut found = Vec::new();
        let mut open: Vec<PathBuf> = vec![dir.join(name), dir.join(format!("{name}.lua"))];
        while let Some(path) = open.pop() {
            if let Ok(entries) = fs::read_dir(&path) {
                open.extend(entries.map(|entry| entry.unwrap().path()));
            } else if path.extension().is_some_and(|extension| extension == "lua")
                && let Ok(text) = fs::read(&path)
            {
                let below = path.strip_prefix(&dir).unwrap().to_str().unwrap().to_owned();
                found.push((below, String::from_utf8_lossy(&text).into_owned()));
            }
        }
        if !found.is_empty() {
            return found;
        }
    }
    Vec::new()
}

#[test]
fn each_library_of_the_table_is_loaded_used_and_saved_while_it_is_in_use() {
    let mut failures = Vec::new();
    for (package, module, names, works) in LIBRARIES {
        let files: Vec<_> = names.iter().flat_map(|name| files_of(name)).collect();
        let main = format!("M = require '{module}' function works() return not not ({works}) end");
        let mut all = vec![("main.lua", main.as_str()), ("data/x.ini", "[a]\nb=7\n")];
        all.extend(files.iter().map(|(name, text)| (name.as_str(), text.as_str())));
        let path = module.replace('.', "/");
        let its = |name: &str| name == format!("{path}.lua") || name == format!("{path}/init.lua");
        let Some((name, text)) = files.iter().find(|(name, _)| its(name)) else {
            eprintln!("SKIPPED: Debian's {package} is missing");
            continue;
        };
        let mut site = Site::with(&all, |settings| {
            settings.session.budget.load = Duration::from_secs(20);
            settings.session.budget.handler = Duration::from_secs(20);
            settings.session.budget.memory = ByteSize::mib(64);
        });
        let mut expect = |site: &mut Site, when: &str| {
            let got = site.eval("local ok, what = pcall(works) return tostring(what)");
            if got != "true" {
                failures.push(format!("{package}, {when}: {got}"));
            }
        };
        expect(&mut site, "loaded");
        match site.save_one(name, &format!("{text}\n-- saved\n")) {
            Outcome::Applied { .. } => expect(&mut site, "saved"),
            other => failures.push(format!("{package}: {other:?}")),
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn the_table_of_libraries_has_those_that_are_tried() {
    let page = include_str!("../../../docs/lua-api.md");
    let (_, table) = page.split_once("\n## Libraries\n").unwrap();
    let table = table.split("\n## ").next().unwrap();
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `lua-"));
    let written: BTreeSet<_> = rows.map(|row| format!("lua-{}", row.split('`').next().unwrap())).collect();
    assert_eq!(written, LIBRARIES.iter().map(|(package, ..)| (*package).to_owned()).collect());
}
