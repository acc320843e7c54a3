//! Modules in C that `lua.native` names, with those of Debian's packages.

use std::{fs, path::Path};

use super::Site;

/// Whether the test can run; it says so where it can't.
fn is_there(package: &str, file: &str) -> bool {
    let system = format!("/usr/lib/{}-linux-gnu/lua/5.4", std::env::consts::ARCH);
    let is_there = Path::new(&system).join(file).is_file();
    if !is_there {
        eprintln!("SKIPPED: Debian's {package} is missing");
    }
    is_there
}

fn site(files: &[(&str, &str)], native: &[&str]) -> Site {
    Site::with(files, |settings| settings.lua.native = native.iter().map(|&name| name.to_owned()).collect())
}

const MATCHER: &str = "local lpeg = require 'lpeg'
local M = { count = 0, letters = lpeg.C(lpeg.R('az') ^ 1) }
function M.match(text) M.count = M.count + 1 return M.letters:match(text) end
return M";

#[test]
fn a_module_in_c_that_is_named_is_there_and_stays_as_it_is_in_a_reload() {
    if !is_there("lua-lpeg", "lpeg.so") {
        return;
    }
    let mut site = site(&[("main.lua", "m = require 'matcher'"), ("matcher.lua", MATCHER)], &["lpeg"]);
    assert_eq!(site.eval("return m.match('abc1')"), "abc");
    assert_eq!(site.eval("return package.loaded.lpeg == require 'lpeg' and type(lpeg)"), "nil");
    site.good(
        "matcher.lua",
        &MATCHER.replace("M.letters:match(text)", "'<' .. M.letters:match(text) .. '>'"),
    );
    assert_eq!(site.eval("return m.match('abc1') .. m.count"), "<abc>2");
}

#[test]
fn a_plain_library_finds_the_module_in_c_that_it_stands_on() {
    let Ok(re) = fs::read_to_string("/usr/share/lua/5.4/re.lua") else {
        eprintln!("SKIPPED: Debian's lua-lpeg is missing");
        return;
    };
    let files = [("main.lua", "re = require 're'"), ("re.lua", re.as_str())];
    assert_eq!(site(&files, &["lpeg"]).eval("return re.find('the number 423', '[0-9]+')"), "12");
}

#[test]
fn a_name_with_dots_is_a_directory_and_a_function_of_the_module() {
    if !is_there("lua-socket", "socket/core.so") {
        return;
    }
    let mut site = site(&[("main.lua", "")], &["socket.core"]);
    assert_eq!(site.eval("return type(require('socket.core').gettime())"), "number");
}

#[test]
fn a_module_in_c_that_is_not_named_is_not_opened_and_the_key_is_told() {
    if !is_there("lua-lpeg", "lpeg.so") {
        return;
    }
    let mut site = site(&[("main.lua", "")], &["lfs"]);
    let why = site.eval("return select(2, pcall(require, 'lpeg'))");
    assert!(why.contains("module 'lpeg' not found") && why.contains("lua.native names it"), "{why}");
    assert!(why.contains("/lpeg.so"), "{why}");
    assert_eq!(site.eval("return tostring(package.loadlib)"), "nil");
}

#[test]
fn what_is_no_name_of_a_module_finds_no_file() {
    // The last of them would find one, where lua-socket is installed.
    let names = ["../../../tmp/x", "/tmp/x", "nothing.of.that.name", "a\\0b", "", "socket/core"];
    let mut site = site(&[("main.lua", "")], &names);
    for name in names {
        let why = site.eval(&format!("return select(2, pcall(require, '{name}'))"));
        assert!(!why.contains(".so"), "{name:?}: {why}");
    }
}
