//! Rollouts, one step at a time. What chance does to them is in `simulation`.

use std::time::Duration;

use super::{pointer::tests::pointer, *};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

fn root(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// The release "2" after "1", for these servers first.
fn to_canaries(names: &[&str], plan: Plan) -> Pointer {
    Pointer {
        wave: Wave::of(names.iter().map(|name| (*name).to_owned())),
        plan,
        ..pointer(2, root("2"), Some(root("1")))
    }
}

fn plan(canary: u16) -> Plan {
    Plan { canary, bake: 20_000, ..Plan::default() }
}

/// What a server says that runs that release of generation 2.
fn report(server: &str, beat: u64, running: &str) -> Report {
    let answer = (running == "2").then(|| Answer {
        position: Position { seq: 2, step: 0 },
        root: root("2"),
        outcome: Outcome::Applied { sessions: 1, kept: 0, diagnostics: Vec::new() },
    });
    Report {
        server: server.into(),
        boot: 1,
        beat,
        seen: Position { seq: 2, step: 0 },
        seen_root: Some(root("2")),
        running: Some(root(running)),
        answer,
        sessions: 1,
        stuck: 0,
        failing: Failing::default(),
        leaving: false,
        version: String::new(),
    }
}

fn written(step: Step) -> Pointer {
    match step {
        Step::Write(pointer) => *pointer,
        other => panic!("{other:?}"),
    }
}

#[test]
fn that_there_is_no_server_is_said_only_when_reports_were_read_and_none_came() {
    let plan = Plan::default();
    let mut rollout = Rollout::new(Pointer { plan, ..pointer(2, root("2"), None) }, secs(0));
    // The depot does not answer.
    assert_eq!(rollout.next(secs(10)), Step::Wait);
    rollout.asked(secs(10));
    assert_eq!(rollout.next(secs(12)), Step::Wait);
    rollout.asked(secs(12));
    assert_eq!(rollout.next(secs(13)), Step::Done(Ended::Alone));
}

#[test]
fn what_fails_while_it_bakes_is_undone_and_what_fails_as_often_as_before_is_not() {
    let usual = Failing { errors: 3, ms: 6000, errors_before: 600, ms_before: 600_000, last: "boom".into() };
    let unusual = Failing { errors: 13, ..usual.clone() };
    for (failing, is_undone) in [(usual, false), (unusual, true)] {
        let mut rollout = Rollout::new(to_canaries(&["a"], plan(1)), secs(0));
        rollout.hear(report("a", 1, "2"), secs(1));
        assert_eq!(rollout.next(secs(1)), Step::Wait, "it bakes");
        rollout.hear(Report { failing, ..report("a", 2, "2") }, secs(7));
        if is_undone {
            let back = written(rollout.next(secs(7)));
            assert_eq!((back.seq, back.root), (3, root("1")));
            assert_eq!(back.note, "rollback of 2: more fails on a than before, the last: boom");
        } else {
            assert_eq!(rollout.next(secs(7)), Step::Wait);
        }
    }
}

#[test]
fn what_fails_on_servers_that_do_not_run_it_yet_undoes_nothing() {
    let failing = Failing { errors: 100, ms: 1000, ..Failing::default() };
    let mut rollout = Rollout::new(to_canaries(&["a"], plan(1)), secs(0));
    rollout.hear(report("a", 1, "2"), secs(1));
    rollout.hear(Report { failing: failing.clone(), ..report("b", 2, "1") }, secs(1));
    assert_eq!(rollout.next(secs(1)), Step::Wait);
    // In the wave, and still with the release before.
    let mut rollout = Rollout::new(to_canaries(&["a"], plan(1)), secs(0));
    rollout.hear(Report { failing, ..report("a", 2, "1") }, secs(1));
    assert_eq!(rollout.next(secs(1)), Step::Wait);
}

#[test]
fn others_stand_in_once_for_canaries_that_were_dead_when_it_began() {
    let mut rollout = Rollout::new(to_canaries(&["a", "b"], plan(2)), secs(0));
    NAMES.iter().for_each(|name| rollout.hear(report(name, 7, "1"), secs(0)));
    for now in [5, 11] {
        ["b", "c", "d"].iter().for_each(|name| rollout.hear(report(name, 7 + now, "1"), secs(now)));
        assert_eq!(rollout.next(secs(now)), Step::Wait);
    }
    let next = written(rollout.next(secs(12)));
    let Wave::Some { share: 0, names } = &next.wave else { panic!("{:?}", next.wave) };
    assert_eq!((next.seq, next.step, names.len()), (2, 1, 3), "{names:?}");
    assert!(names.contains("a") && names.contains("b"), "a later wave has the earlier ones in it: {names:?}");
    rollout.written(next, secs(12));
    assert_eq!(rollout.next(secs(30)), Step::Wait, "and no more of them, if these die as well");
}

#[test]
fn nobody_stands_in_for_canaries_that_a_person_has_named() {
    let plan = Plan { named: true, ..plan(1) };
    let mut rollout = Rollout::new(to_canaries(&["a"], plan), secs(0));
    NAMES.iter().for_each(|name| rollout.hear(report(name, 7, "1"), secs(0)));
    NAMES[1..].iter().for_each(|name| rollout.hear(report(name, 8, "1"), secs(11)));
    assert_eq!(rollout.next(secs(13)), Step::Wait);
}

#[test]
fn a_rollout_whose_publisher_died_is_gone_on_with_to_its_end_by_another() {
    let plan = Plan { bake: 0, ..plan(1) };
    let left = to_canaries(&["a"], plan);
    let resumed = Rollout::resume(&left);
    assert_eq!((resumed.seq, resumed.step, resumed.stage), (2, 1, Stage::Rolling));
    let mut rollout = Rollout::new(resumed, secs(0));
    rollout.hear(report("a", 9, "2"), secs(0));
    rollout.hear(report("b", 9, "1"), secs(0));
    let all = written(rollout.next(secs(1)));
    assert_eq!((all.step, &all.wave), (2, &Wave::All));
    rollout.written(all, secs(1));
    assert_eq!(rollout.next(secs(1)), Step::Wait, "b does not run it yet");
    rollout.hear(report("b", 10, "2"), secs(2));
    let settled = written(rollout.next(secs(2)));
    assert_eq!((settled.step, settled.stage), (3, Stage::Settled));
    rollout.written(settled, secs(2));
    assert_eq!(rollout.next(secs(2)), Step::Done(Ended::Settled));
}
