//! What is typed into a session, and what a session makes of it later.

use super::*;
use crate::session::Typed;

fn typed(site: &mut Site, code: &str) -> String {
    match site.session.type_in(code) {
        Typed::Done { values, .. } => values,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_was_typed_stays_through_reloads_and_sees_the_new_code() {
    let main = |step: u32| format!("function step() return {step} end n = n or 0");
    let mut site = Site::new(&[("main.lua", &main(1))]);
    assert_eq!(typed(&mut site, "function twice() return 2 * step() end n = 5"), "");
    assert_eq!(typed(&mut site, "twice()"), "2");
    let outcome = site.save(&[("main.lua", Some(&main(10)))]);
    assert!(matches!(outcome, Outcome::Applied { .. }), "{outcome:?}");
    assert_eq!(typed(&mut site, "twice() + n"), "25");
    let outcome = site.save(&[("main.lua", Some("n = 7 error('no')"))]);
    assert!(matches!(outcome, Outcome::Kept { .. }), "{outcome:?}");
    assert_eq!(typed(&mut site, "twice() + n"), "25");
}

#[test]
fn what_is_typed_gets_no_further_than_scripts_do() {
    let mut site = Site::new(&[("main.lua", "")]);
    for code in ["package.loadlib", "debug.sethook", "string.dump"] {
        assert_eq!(typed(&mut site, code), "nil", "{code}");
    }
    let opened = typed(&mut site, "io.open('/etc/passwd')");
    assert!(opened.starts_with("nil\n"), "{opened}");
    let failed = |site: &mut Site, code| match site.session.type_in(code) {
        Typed::Failed { error, .. } => error,
        other => panic!("{other:?}"),
    };
    assert!(failed(&mut site, "\x1bLua").contains("binary chunk"));
    assert!(failed(&mut site, "t = {} for i = 1, 1e9 do t[i] = {} end").contains("session.budget.memory"));
}
