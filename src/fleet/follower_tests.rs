//! What a server does about pointers.

use super::{pointer::tests::pointer, *};

fn root(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

fn server() -> Follower {
    Follower::new("a".into(), Memory::default(), None)
}

fn run(server: &mut Follower, expected: Digest) {
    assert_eq!(server.take_up(), Some(expected));
    server.accept(expected);
    server.applied(expected, true, Outcome::Applied { sessions: 1, kept: 0, diagnostics: Vec::new() });
}

#[test]
fn a_lower_generation_is_refused_also_after_a_restart() {
    let mut server = server();
    server.hear(&pointer(7, root("7"), None)).unwrap();
    run(&mut server, root("7"));
    let error = server.hear(&pointer(6, root("6"), None)).unwrap_err();
    assert!(error.to_string().contains("generation 6"), "{error}");
    assert_eq!((server.take_up(), server.running()), (None, Some(root("7"))));
    let mut again = Follower::new("a".into(), server.memory().clone(), Some(root("7")));
    assert!(again.hear(&pointer(6, root("6"), None)).is_err());
    again.hear(&pointer(8, root("8"), Some(root("7")))).unwrap();
    run(&mut again, root("8"));
}

#[test]
fn two_pointers_of_one_number_are_both_doubted() {
    let mut server = server();
    server.hear(&pointer(7, root("7"), None)).unwrap();
    assert_eq!(server.hear(&pointer(7, root("x"), None)), Err(Stale::Twice(7)));
    let later = Pointer { step: 1, ..pointer(7, root("x"), None) };
    assert_eq!(server.hear(&later), Err(Stale::Twice(7)));
    let narrowed = Pointer { wave: Wave::of([]), ..pointer(7, root("7"), None) };
    assert_eq!(server.hear(&narrowed), Err(Stale::Twice(7)));
}

#[test]
fn a_release_that_was_refused_is_not_tried_again_until_somebody_publishes_it_anew() {
    let mut server = server();
    server.hear(&pointer(1, root("1"), None)).unwrap();
    run(&mut server, root("1"));
    server.hear(&pointer(2, root("2"), Some(root("1")))).unwrap();
    assert_eq!(server.take_up(), Some(root("2")));
    server.refuse(root("2"), "lua/main.lua:3".into());
    server.hear(&Pointer { step: 1, ..pointer(2, root("2"), Some(root("1"))) }).unwrap();
    assert_eq!(server.take_up(), None);
    let mut again = Follower::new("a".into(), server.memory().clone(), Some(root("1")));
    again.hear(&Pointer { step: 2, ..pointer(2, root("2"), Some(root("1"))) }).unwrap();
    assert_eq!(again.take_up(), None, "nor after a restart");
    again.hear(&pointer(3, root("2"), Some(root("1")))).unwrap();
    assert_eq!(again.take_up(), Some(root("2")));
}

#[test]
fn what_could_not_be_fetched_is_tried_again() {
    let mut server = server();
    server.hear(&pointer(1, root("1"), None)).unwrap();
    assert_eq!(server.take_up(), Some(root("1")));
    assert_eq!(server.take_up(), None, "it is on its way");
    server.wait(root("1"), "the disk is full".into());
    assert_eq!(server.take_up(), Some(root("1")));
}

#[test]
fn equal_content_costs_nothing_and_is_answered() {
    let mut server = server();
    server.hear(&pointer(1, root("1"), None)).unwrap();
    run(&mut server, root("1"));
    server.hear(&pointer(2, root("1"), Some(root("1")))).unwrap();
    assert_eq!(server.take_up(), None);
    let answer = server.answer().unwrap();
    assert_eq!((answer.position.seq, answer.root), (2, root("1")));
    assert!(matches!(answer.outcome, Outcome::Applied { .. }));
}

#[test]
fn who_joins_begins_with_what_is_accepted_and_then_comes_to_what_is_desired() {
    let mut server = server();
    server.hear(&pointer(2, root("2"), Some(root("1")))).unwrap();
    run(&mut server, root("1"));
    run(&mut server, root("2"));
    assert_eq!(server.take_up(), None);
}

#[test]
fn who_is_not_in_the_wave_keeps_what_it_runs() {
    let mut server = server();
    server.hear(&pointer(1, root("1"), None)).unwrap();
    run(&mut server, root("1"));
    let canary = Pointer { wave: Wave::of(["b".to_owned()]), ..pointer(2, root("2"), Some(root("1"))) };
    server.hear(&canary).unwrap();
    assert_eq!(server.take_up(), None);
    server.hear(&Pointer { step: 1, wave: Wave::All, ..canary }).unwrap();
    run(&mut server, root("2"));
}

#[test]
fn what_no_session_took_is_not_what_a_restart_begins_with() {
    let mut server = server();
    server.hear(&pointer(1, root("1"), None)).unwrap();
    run(&mut server, root("1"));
    server.hear(&pointer(2, root("2"), Some(root("1")))).unwrap();
    assert_eq!(server.take_up(), Some(root("2")));
    server.accept(root("2"));
    server.applied(root("2"), false, Outcome::Applied { sessions: 3, kept: 3, diagnostics: Vec::new() });
    assert_eq!((server.running(), server.memory().accepted), (Some(root("2")), Some(root("1"))));
}
