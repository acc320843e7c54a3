//! Random programs and random edits: what each definition must be afterwards, the rules say.

use std::{collections::BTreeMap, fmt::Write as _};

use proptest::prelude::*;

use super::*;

/// What a definition is in the source.
#[derive(Debug, Clone, PartialEq)]
enum Says {
    /// A number, in one of the places that hold data.
    Number(Place, i64),
    /// A table with numbers.
    Table(i64, i64),
    /// A function, which returns its version.
    Function(u32),
    /// Another name of a table, by its number.
    Pointer(usize),
    /// A function that the file hands to a list of another file.
    Registered(u32),
    /// A timer.
    Timer,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    Local,
    Field,
    Global,
    Prototype,
    Computed,
}

/// Definitions by their numbers, in the order of the source.
type Program = Vec<(usize, Says)>;

/// Two tables are always there, so that pointers have something to point at.
const FIXED: usize = 2;

fn text(program: &Program, comment: u32) -> String {
    let mut text = format!("-- {comment}\nlocal M = {{}} local reg = require 'reg'\nlocal fields = {{");
    for (n, says) in program {
        if let Says::Number(Place::Prototype, value) = says {
            write!(text, " p{n} = {value},").unwrap();
        }
    }
    text.push_str(" }\n");
    text = text.replace("local fields = {", "local P = session:prototype('P', {").replace(" }\n", " })\n");
    for (n, says) in program {
        let line = match says {
            Says::Number(Place::Local, value) => {
                format!(
                    "local l{n} = {value} function M.get{n}() return l{n} end function M.set{n}(v) l{n} = v end"
                )
            }
            Says::Number(Place::Field, value) => format!("M.f{n} = {value}"),
            Says::Number(Place::Global, value) => format!("g{n} = {value}"),
            Says::Number(Place::Computed, value) => format!("for i = 1, 1 do M['c{n}_' .. i] = {value} end"),
            Says::Number(Place::Prototype, _) => String::new(),
            Says::Table(x, y) => format!("M.t{n} = {{ x = {x}, y = {y} }}"),
            Says::Function(version) => format!("function M.fn{n}() return {version} end"),
            Says::Pointer(of) => format!("M.ptr{n} = M.t{of}"),
            Says::Registered(version) => format!("function M.on{n}() return {version} end reg.on(M.on{n})"),
            Says::Timer => "session:setInterval(function() end, 60000)".to_owned(),
        };
        writeln!(text, "{line} -- {comment}").unwrap();
    }
    text.push_str("M.P = P return M");
    text
}

/// What a session runs, and what its definitions are at run time.
#[derive(Debug, Clone)]
struct Model {
    runs: Program,
    now: BTreeMap<(usize, &'static str), i64>,
    /// By pointer, the table.
    points: BTreeMap<usize, usize>,
}

impl Model {
    fn new(program: &Program) -> Self {
        let mut model = Self { runs: Vec::new(), now: BTreeMap::new(), points: BTreeMap::new() };
        model.save(program);
        model
    }

    /// The rules: what is edited or new is what the source says, what left is gone, all else stays.
    fn save(&mut self, program: &Program) {
        let before: BTreeMap<usize, Says> = self.runs.iter().cloned().collect();
        for (n, says) in program {
            let was = before.get(n);
            let mut number = |name, new: i64, old: Option<i64>| {
                if old != Some(new) {
                    self.now.insert((*n, name), new);
                }
            };
            match (says, was) {
                (Says::Number(place, new), Some(Says::Number(same, old))) if place == same => {
                    number("", *new, Some(*old));
                }
                (Says::Number(_, new), _) => number("", *new, None),
                (Says::Table(x, y), Some(Says::Table(a, b))) => {
                    number("x", *x, Some(*a));
                    number("y", *y, Some(*b));
                }
                (Says::Table(x, y), _) => {
                    number("x", *x, None);
                    number("y", *y, None);
                }
                (Says::Pointer(of), Some(Says::Pointer(old))) if of == old => {}
                (Says::Pointer(of), _) => {
                    self.points.insert(*n, *of);
                }
                _ => {}
            }
        }
        self.runs.clone_from(program);
    }

    /// Code that says what is there, the expressions in it, and what each has to give.
    fn looks(&self) -> (String, Vec<String>, Vec<String>) {
        let mut look = String::from("local m, out = require 'm', {} ");
        let (mut codes, mut values) = (Vec::new(), Vec::new());
        let mut add = |code: String, value: String| {
            write!(look, "out[#out + 1] = tostring({code}) ").unwrap();
            codes.push(code);
            values.push(value);
        };
        for (n, says) in &self.runs {
            let number = |name| self.now[&(*n, name)].to_string();
            match says {
                Says::Number(Place::Local, _) => add(format!("m.get{n}()"), number("")),
                Says::Number(Place::Field, _) => add(format!("m.f{n}"), number("")),
                Says::Number(Place::Global, _) => add(format!("g{n}"), number("")),
                Says::Number(Place::Computed, _) => add(format!("m.c{n}_1"), number("")),
                Says::Number(Place::Prototype, _) => add(format!("m.P.p{n}"), number("")),
                Says::Table(..) => {
                    add(format!("m.t{n}.x"), number("x"));
                    add(format!("m.t{n}.y"), number("y"));
                    add(format!("m.t{n} == HELD.t{n}"), "true".into());
                }
                Says::Function(version) => {
                    add(format!("m.fn{n}()"), version.to_string());
                    add(format!("HELD.fn{n}()"), version.to_string());
                }
                Says::Pointer(_) => add(format!("m.ptr{n} == m.t{}", self.points[n]), "true".into()),
                Says::Registered(version) => {
                    add(format!("COUNT(m.on{n})"), "1".into());
                    add(format!("m.on{n}()"), version.to_string());
                }
                Says::Timer => {}
            }
        }
        let registered = self.runs.iter().filter(|(_, says)| matches!(says, Says::Registered(_))).count();
        add("#require('reg').list".into(), registered.to_string());
        look.push_str("return table.concat(out, ' ')");
        (look, codes, values)
    }
}

/// A step between or at saves.
#[derive(Debug, Clone)]
enum Step {
    /// The program writes to one of its numbers, or points a pointer elsewhere.
    Runs(usize, i64),
    /// An edit: which definition, and what becomes of it.
    Edits(usize, i64),
    Adds(Says),
    Removes(usize),
    Comments,
    /// Two statements change places.
    Swaps(usize),
}

fn says() -> impl Strategy<Value = Says> {
    let place = prop_oneof![
        Just(Place::Local),
        Just(Place::Field),
        Just(Place::Global),
        Just(Place::Prototype),
        Just(Place::Computed)
    ];
    prop_oneof![
        4 => (place, 0i64..9).prop_map(|(place, value)| Says::Number(place, value)),
        2 => (0i64..9, 0i64..9).prop_map(|(x, y)| Says::Table(x, y)),
        2 => (0u32..9).prop_map(Says::Function),
        1 => (0..FIXED).prop_map(Says::Pointer),
        1 => (0u32..9).prop_map(Says::Registered),
        1 => Just(Says::Timer),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (any::<usize>(), 10i64..99).prop_map(|(at, value)| Step::Runs(at, value)),
        3 => (any::<usize>(), 0i64..9).prop_map(|(at, value)| Step::Edits(at, value)),
        1 => says().prop_map(Step::Adds),
        1 => any::<usize>().prop_map(Step::Removes),
        1 => Just(Step::Comments),
        1 => any::<usize>().prop_map(Step::Swaps),
    ]
}

/// What the program does to itself at run time, in the session and in its model.
fn runs(site: &mut Site, model: &mut Model, at: usize, value: i64) {
    let (n, says) = model.runs[at % model.runs.len()].clone();
    let code = match says {
        Says::Number(Place::Local, _) => format!("require('m').set{n}({value})"),
        Says::Number(Place::Field, _) => format!("require('m').f{n} = {value}"),
        Says::Number(Place::Global, _) => format!("g{n} = {value}"),
        Says::Number(Place::Computed, _) => format!("require('m').c{n}_1 = {value}"),
        Says::Number(Place::Prototype, _) => format!("require('m').P.p{n} = {value}"),
        Says::Table(..) => format!("require('m').t{n}.x = {value}"),
        Says::Pointer(_) => {
            let of = usize::try_from(value).unwrap() % FIXED;
            model.points.insert(n, of);
            site.eval(&format!("require('m').ptr{n} = require('m').t{of}"));
            return;
        }
        _ => return,
    };
    site.eval(&code);
    model.now.insert((n, if matches!(says, Says::Table(..)) { "x" } else { "" }), value);
}

fn edits(program: &mut Program, step: &Step, next: &mut usize) {
    match step {
        Step::Edits(at, value) => {
            let at = at % program.len();
            match &mut program[at].1 {
                Says::Number(_, number) | Says::Table(_, number) => *number = *value,
                Says::Function(version) | Says::Registered(version) => {
                    *version = u32::try_from(*value).unwrap()
                }
                Says::Pointer(of) => *of = usize::try_from(*value).unwrap() % FIXED,
                Says::Timer => {}
            }
        }
        Step::Adds(says) => {
            program.push((*next, says.clone()));
            *next += 1;
        }
        Step::Removes(at) if program.len() > FIXED + 1 => {
            program.remove(FIXED + at % (program.len() - FIXED));
        }
        Step::Swaps(at) if program.len() > FIXED + 1 => {
            let at = FIXED + at % (program.len() - FIXED - 1);
            program.swap(at, at + 1);
        }
        _ => {}
    }
}

/// Keys that statements compute are one definition of their table, so there is one statement.
fn with_one_computed(program: &mut Program) {
    let computed = program.iter_mut().filter(|(_, says)| matches!(says, Says::Number(Place::Computed, _)));
    for (_, says) in computed.skip(1) {
        if let Says::Number(place, _) = says {
            *place = Place::Field;
        }
    }
}

const HOLD: &str = "HELD = HELD or {} for k, v in pairs(require 'm') do HELD[k] = HELD[k] or v end
function COUNT(f) local n = 0 for _, g in ipairs(require('reg').list) do if f == g then n = n + 1 end end return n end";

#[track_caller]
fn check(site: &mut Site, model: &Model, text: &str) {
    site.eval(HOLD);
    let (look, codes, values) = model.looks();
    let found = site.eval(&look);
    let is = |values: &[&str]| -> Vec<String> {
        codes.iter().zip(values).map(|(code, value)| format!("{code} = {value}")).collect()
    };
    let expected: Vec<&str> = values.iter().map(String::as_str).collect();
    assert_eq!(is(&found.split(' ').collect::<Vec<_>>()), is(&expected), "{text}");
    let timers = model.runs.iter().filter(|(_, says)| *says == Says::Timer).count();
    assert_eq!(site.session.vm.state(|state| state.timers.len()), Some(timers), "{text}");
}

fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(2000)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn each_definition_is_what_the_rules_say_whatever_the_program_and_its_edits(
        definitions in prop::collection::vec(says(), 1..14),
        saves in prop::collection::vec((prop::collection::vec(step(), 1..5), any::<bool>()), 1..5),
    ) {
        let mut program: Program = vec![(0, Says::Table(1, 2)), (1, Says::Table(3, 4))];
        program.extend((FIXED..).zip(definitions));
        with_one_computed(&mut program);
        let mut next = program.len();
        let reg = "local R = { list = {} } function R.on(f) R.list[#R.list + 1] = f end return R";
        let first = text(&program, 0);
        let files = [("main.lua", "require 'm'"), ("reg.lua", reg), ("m.lua", first.as_str())];
        // The other session misses some of the saves.
        let mut sites = [Site::new(&files), Site::new(&files)];
        let mut models = [Model::new(&program), Model::new(&program)];
        for (n, (steps, is_missed)) in (1..).zip(&saves) {
            for step in steps {
                if let Step::Runs(at, value) = step {
                    for (site, model) in sites.iter_mut().zip(&mut models) {
                        runs(site, model, *at, *value);
                    }
                }
                edits(&mut program, step, &mut next);
            }
            with_one_computed(&mut program);
            let text = text(&program, n);
            for (i, (site, model)) in sites.iter_mut().zip(&mut models).enumerate() {
                if i == 1 && *is_missed && usize::try_from(n).unwrap() < saves.len() {
                    continue;
                }
                site.eval(HOLD);
                site.good("m.lua", &text);
                model.save(&program);
                check(site, model, &text);
            }
        }
    }
}
