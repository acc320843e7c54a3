//! What stands in for the machine: `io`, `os` and `package`, as libraries ask for them while they load.

use std::{
    io,
    sync::{Arc, Mutex},
};

use super::Site;

/// The log of what `work` does.
fn captured(work: impl FnOnce()) -> String {
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);
    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    tracing::subscriber::with_default(subscriber, work);
    String::from_utf8(log.0.lock().unwrap().clone()).unwrap()
}

fn site() -> Site {
    Site::new(&[("main.lua", ""), ("vendor/words.lua", "return { 'a' }"), ("sub/init.lua", "return 'sub'")])
}

#[track_caller]
fn assert_true(expressions: &[&str]) {
    let mut site = site();
    for expression in expressions {
        assert_eq!(site.eval(&format!("return not not ({expression})")), "true", "{expression}");
    }
}

#[test]
fn what_libraries_look_at_while_they_load_is_there() {
    assert_true(&[
        "package.config:sub(1, 1) == '/' and package.config:match('\\n(.)\\n') == ';'",
        "package.path == 'lua/?.lua;lua/?/init.lua' and package.cpath == ''",
        "type(package.preload) == 'table' and #package.searchers == 2 and package.loaded.io == io",
        "require 'package' == package and require 'os' == os and require 'io' == io",
        "package.searchpath('vendor.words', package.path) == 'lua/vendor/words.lua'",
        "package.searchpath('sub', package.path) == 'lua/sub/init.lua'",
        "package.searchpath('a-b', './lua/?.x;y/?', '-') == nil",
        "select(2, package.searchpath('no.such', package.path)):find(\"no file 'lua/no/such.lua'\", 1, true)",
        "package.searchers[2]('vendor.words')('vendor.words')[1] == 'a'",
        "io.stdout:write('') == io.stdout and io.type(io.stderr) == 'file' and io.type({}) == nil",
        "io.output() == io.stdout and io.input() == io.stdin and io.stdout:close() and io.type(io.stdout) == 'file'",
        "io.stdout:setvbuf('no') and io.stdout:flush() and io.write() == io.stdout",
        "tostring(io.stdout) == 'file (stdout)' and os.setlocale(nil) == 'C' and os.execute() == false",
    ]);
}

#[test]
fn modules_come_from_preload_from_searchers_and_from_where_the_path_says() {
    assert_true(&[
        "(function() package.preload['my.own'] = function(name, more) return name .. more end
           return require 'my.own' == 'my.own:preload:' and package.loaded['my.own'] == 'my.own:preload:' end)()",
        "(function() table.insert(package.searchers, function(name)
             if name == 'made' then return function(name, data) return { name, data } end, 'data' end
             return 'not made' end)
           local made, data = require 'made'
           return made[1] == 'made' and made[2] == 'data' and data == 'data' and require 'made' == made end)()",
        "(function() local ok, why = pcall(require, 'nobody') return why:find('not made') and why:find('nobody.lua') end)()",
        "not pcall(require, 'words') and (function() package.path = package.path .. ';./lua/vendor/?.lua'
           return require('words')[1] == 'a' and require 'words' == require 'vendor.words' end)()",
    ]);
}

#[test]
fn a_failed_save_takes_back_what_it_has_put_into_package() {
    let mut site = Site::new(&[("main.lua", "package.preload.a = function() return 'a' end")]);
    site.failure(
        "main.lua",
        "package.preload.a = nil package.preload.b = function() end package.path = 'x' error 'no'",
    );
    assert_eq!(
        site.eval("return require 'a' .. tostring(package.preload.b) .. package.path:sub(1, 5)"),
        "anillua/?"
    );
}

#[test]
fn what_is_written_is_in_the_log_line_by_line() {
    let mut site = site();
    let log = captured(|| {
        site.eval("io.write('a ', 1, ' ', 2.5, '\\nb') io.stdout:write(' b\\n') io.stderr:write('oh\\nno') print('p')");
        site.eval("io.write('the end')");
    });
    let lines: Vec<_> = log.lines().filter(|line| line.contains("lua: ")).collect();
    let wanted = [
        ("INFO", "a 1 2.5"),
        ("INFO", "b b"),
        ("WARN", "oh"),
        ("WARN", "no"),
        ("INFO", "p"),
        ("INFO", "the end"),
    ];
    assert_eq!(lines.len(), wanted.len(), "{log}");
    for (line, (level, text)) in lines.iter().zip(wanted) {
        assert!(line.contains(level) && line.contains(&format!("lua: {text} ")), "{text}: {line}");
    }
}

#[test]
fn what_a_session_has_not_says_so_once_with_its_line_and_what_to_use() {
    let mut site = Site::new(&[(
        "main.lua",
        "\nfunction a() return select(2, os.remove('x')) end\nfunction b() return select(2, io.popen('ls')) end",
    )]);
    let log = captured(|| {
        assert!(site.eval("a() return a()").contains("os.remove(x) is not available in a session"));
        assert!(site.eval("return b()").contains("starts no programs"));
        let exit = site.eval("local ok, why = pcall(os.exit) return why");
        assert!(exit.contains("session:restart()"), "{exit}");
    });
    assert_eq!(log.matches("lua/main.lua:2: os.remove(x)").count(), 1, "{log}");
    assert_eq!(log.matches("lua/main.lua:3: io.popen(ls)").count(), 1, "{log}");
}

#[test]
fn only_variables_of_the_environment_that_are_listed_are_told() {
    let mut site =
        Site::with(&[("main.lua", "")], |settings| settings.lua.env = vec!["CARGO_PKG_NAME".into()]);
    let expected = std::env::var("CARGO_PKG_NAME").unwrap();
    assert_eq!(site.eval("return os.getenv('CARGO_PKG_NAME')"), expected);
    assert_eq!(
        site.eval("return tostring(os.getenv('CARGO_MANIFEST_DIR')) .. tostring(os.getenv('PATH'))"),
        "nilnil"
    );
}
