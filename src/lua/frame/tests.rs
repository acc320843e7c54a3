use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use mlua::{Lua, MultiValue, StdLib, Value};

use super::*;

/// Calls a function of ours that is the global `ours`. The results, as text.
fn with(function: CFunction, code: &str) -> mlua::Result<String> {
    let lua = Lua::new();
    lua.globals().set("ours", function.into_function(&lua)?)?;
    let results: MultiValue = lua.load(code).set_name("@t.lua").eval()?;
    let texts = results.iter().map(|value| value.to_string()).collect::<mlua::Result<Vec<_>>>()?;
    Ok(texts.join(" "))
}

fn fails(function: CFunction, code: &str) -> String {
    with(function, code).unwrap_err().to_string()
}

thread_local! {
    static DROPPED: Cell<usize> = const { Cell::new(0) };
}

/// Something that has to be dropped, and says that it was.
struct Held(#[allow(dead_code)] String);

impl Drop for Held {
    fn drop(&mut self) {
        DROPPED.set(DROPPED.get() + 1);
    }
}

#[derive(Clone, Copy, Default)]
struct Twice(u8);

impl Work for Twice {
    type Steps<'f> = Self;
}

impl<'f> Steps<'f> for Twice {
    fn step<'s>(&'s mut self, _: Frame<'f>) -> Result<Next<'s>, Raise>
    where
        'f: 's,
    {
        // In each step something is held while it runs.
        let _held = Held("x".repeat(100));
        self.0 += 1;
        match self.0 {
            1 => Ok(Next::then([Op::Field(1, b"good"), Op::Pop(1)])),
            2 => Ok(Next::then([Op::Field(1, b"bad")])),
            _ => Err(Raise::error(format_args!("not reached"))),
        }
    }
}

#[test]
fn an_error_in_the_middle_passes_nothing_that_has_to_be_dropped() {
    let before = DROPPED.get();
    let code = "return ours(setmetatable({}, { __index = function(_, k) if k == 'bad' then error('no', 0) end end }))";
    let error = fails(CFunction::of::<Twice>(), code);
    assert!(error.contains("no"), "{error}");
    // Two steps, and what each held is gone, though the second never came back to the third.
    assert_eq!(DROPPED.get() - before, 2);
}

fn raises(_: Frame<'_>) -> Result<Next<'_>, Raise> {
    let shared = Rc::new(RefCell::new(String::from("held")));
    let _other = shared.clone();
    let held = Held(shared.borrow().clone());
    Err(Raise::error(format_args!("{}", held.0)))
}

#[test]
fn an_error_of_our_own_is_raised_when_all_is_dropped() {
    let error = fails(CFunction::once(raises), "\nreturn ours()");
    assert!(error.contains("t.lua:2: held"), "{error}");
    let caught = with(CFunction::once(raises), "return pcall(ours)").unwrap();
    assert_eq!(caught, "false held");
}

fn panics(frame: Frame<'_>) -> Result<Next<'_>, Raise> {
    let _held = Held("x".into());
    assert!(frame.arguments() < 0, "on purpose");
    Ok(Next::NOTHING)
}

#[test]
fn a_panic_becomes_an_error_of_lua() {
    let caught = with(CFunction::once(panics), "return select('#', pcall(ours)), pcall(ours)").unwrap();
    assert!(caught.starts_with("2 false a function of the server has panicked"), "{}", caught);
}

#[test]
fn a_number_that_no_value_has_is_none_to_look_at_and_an_error_to_take() {
    fn looks(frame: Frame<'_>) -> Result<Next<'_>, Raise> {
        for at in [0, 2, 3, 100, i32::MAX, -2, -3, -100, i32::MIN + 1] {
            assert_eq!(frame.type_of(at), Type::None);
            assert!(frame.is_nothing(at) && !frame.is_true(at) && frame.try_integer(at).is_none());
            assert!(frame.text_length(at) == 0 && !frame.is_same(at, 1) && frame.coroutine(at).is_none());
            assert!(frame.text(at).is_err() && !frame.has_plain_key(at, |_| true));
            frame.note(at, &NOTED);
        }
        assert!(frame.type_of(1) == Type::Number && frame.type_of(-1) == Type::Number);
        Ok(Next::values([Op::Boolean(true)]))
    }
    static NOTED: Original = Original::new();
    assert_eq!(with(CFunction::once(looks), "return ours(1)").unwrap(), "true");

    macro_rules! misused {
        ($($op:expr),* $(,)?) => {
            $({
                fn takes(_: Frame<'_>) -> Result<Next<'_>, Raise> {
                    Ok(Next::Return([$op].into(), 0))
                }
                let error = fails(CFunction::once(takes), "return ours({}, 2)");
                assert!(error.contains("takes a value that is not there"), "{}: {error}", stringify!($op));
            })*
        };
    }
    misused![
        Op::Pop(1),
        Op::Pop(-1),
        Op::Copy(3),
        Op::Copy(0),
        Op::Copy(-3),
        Op::Swap,
        Op::Replace(1),
        Op::Pin(0),
        Op::SetUpvalue(0),
        Op::SetUpvalue(1),
        Op::Closure(CFunction::once(raises), 3),
        Op::NewCoroutine(7),
        Op::Length(9),
        Op::Get(-5, 1),
        Op::RawGet(5, 1),
        Op::Field(5, b"x"),
        Op::Index(1),
        Op::RawIndex(1),
        Op::Set(1, 1),
        Op::SetBoth(1, 1, 2),
        Op::RawSet(1),
        Op::Move { of: 1, from: 1, into: 3, to: 1 },
        Op::SetMetatable(1),
        Op::Call { arguments: 1, results: 0 },
        Op::Call { arguments: -1, results: 0 },
        Op::Less(1, 3),
        Op::LessBy { order: 3, a: 1, b: 2 },
        Op::Equal(0, 1),
        Op::Add(b"x"),
        Op::AddTop,
        Op::Finish,
    ];
}

#[test]
fn arguments_that_texts_are_borrowed_from_stay() {
    fn takes_away(frame: Frame<'_>) -> Result<Next<'_>, Raise> {
        let text = frame.text(1)?;
        Ok(Next::Return([Op::Pop(1), Op::Text(text)].into(), 1))
    }
    assert!(fails(CFunction::once(takes_away), "return ours('x' .. 1)").contains("not there"));
    fn exchanges(frame: Frame<'_>) -> Result<Next<'_>, Raise> {
        let text = frame.text(1)?;
        Ok(Next::Return([Op::Nil, Op::Replace(1), Op::Text(text)].into(), 1))
    }
    assert!(fails(CFunction::once(exchanges), "return ours('x' .. 1)").contains("not there"));
}

#[test]
fn more_results_than_there_are_values_are_those_that_there_are() {
    fn many(_: Frame<'_>) -> Result<Next<'_>, Raise> {
        Ok(Next::Return([Op::Integer(7)].into(), 100))
    }
    assert_eq!(with(CFunction::once(many), "return ours(1, 2)").unwrap(), "1 2 7");
    fn negative(_: Frame<'_>) -> Result<Next<'_>, Raise> {
        Ok(Next::Return([].into(), -3))
    }
    assert_eq!(with(CFunction::once(negative), "return ours(1, 2)").unwrap(), "");
}

/// Pushes as many numbers as its argument says.
#[derive(Clone, Copy, Default)]
struct Counts(i64);

impl Work for Counts {
    type Steps<'f> = Self;
}

impl<'f> Steps<'f> for Counts {
    fn step<'s>(&'s mut self, frame: Frame<'f>) -> Result<Next<'s>, Raise>
    where
        'f: 's,
    {
        let wanted = frame.integer(1)?;
        if self.0 < wanted {
            self.0 += 1;
            return Ok(Next::then([Op::Integer(self.0)]));
        }
        Ok(Next::Return([].into(), i32::try_from(wanted).unwrap_or(0)))
    }
}

#[test]
fn the_stack_grows_as_far_as_lua_lets_it() {
    let code = "return select('#', ours(1000)), (select(1000, ours(1000)))";
    assert_eq!(with(CFunction::of::<Counts>(), code).unwrap(), "1000 1000");
    let error = fails(CFunction::of::<Counts>(), "return ours(2000000)");
    assert!(error.contains("stack overflow"), "{error}");
}

#[test]
fn a_number_that_is_asked_for_as_text_becomes_one() {
    fn join(frame: Frame<'_>) -> Result<Next<'_>, Raise> {
        let (one, other) = (frame.text(1)?, frame.text(2)?);
        assert_eq!(one, b"1");
        Ok(Next::values([Op::Text(other)]))
    }
    assert_eq!(with(CFunction::once(join), "return ours(1, 2.5)").unwrap(), "2.5");
    let error = fails(CFunction::once(join), "return ours(1, {})");
    assert!(error.contains("bad argument #2 to 'ours' (string expected, got table)"), "{error}");
    let error = fails(CFunction::once(join), "return ours(1)");
    assert!(error.contains("bad argument #2 to 'ours' (string expected, got no value)"), "{error}");
}

/// Calls its first argument with nothing.
#[derive(Clone, Copy, Default)]
struct Calls(bool);

impl Work for Calls {
    type Steps<'f> = Self;
}

impl<'f> Steps<'f> for Calls {
    fn step<'s>(&'s mut self, _: Frame<'f>) -> Result<Next<'s>, Raise>
    where
        'f: 's,
    {
        if std::mem::replace(&mut self.0, true) {
            return Ok(Next::Return([].into(), 1));
        }
        Ok(Next::then([Op::Copy(1), Op::Call { arguments: 0, results: 1 }]))
    }
}

#[test]
fn a_coroutine_that_yields_across_a_function_fails_with_luas_words_and_goes_on_elsewhere() {
    let code = "local co = coroutine.create(function()
            local good, why = pcall(ours, coroutine.yield)
            return coroutine.yield(why), ours(function() return 'after' end)
        end)
        local _, why = coroutine.resume(co)
        local _, first, second = coroutine.resume(co, 'again')
        return why, first, second";
    let result = with(CFunction::of::<Calls>(), code).unwrap();
    assert_eq!(result, "attempt to yield across a C-call boundary again after");
}

#[test]
fn a_traceback_has_the_functions_that_failed_inside() {
    let error = fails(
        CFunction::of::<Calls>(),
        "local function inner() error('x') end\nours(function() inner() end)",
    );
    assert!(error.contains("in upvalue 'inner'") && error.contains("t.lua:2: in function"), "{error}");
}

#[test]
fn for_want_of_memory_an_error_is_raised_and_nothing_is_lost() {
    fn large(frame: Frame<'_>) -> Result<Next<'_>, Raise> {
        let held = Held("x".into());
        assert_eq!(held.0, "x");
        Ok(Next::values([Op::Text(frame.text(1)?), Op::Text(LARGE)]))
    }
    static LARGE: &[u8] = &[b'x'; 1 << 20];
    let lua = Lua::new();
    lua.globals().set("ours", CFunction::once(large).into_function(&lua).unwrap()).unwrap();
    let used = lua.used_memory();
    lua.set_memory_limit(used + (1 << 18)).unwrap();
    let before = DROPPED.get();
    let error = lua.load("return ours('a')").exec().unwrap_err().to_string();
    assert!(error.contains("not enough memory"), "{error}");
    assert!(DROPPED.get() > before);
    lua.set_memory_limit(0).unwrap();
    lua.load("return ours('a')").exec().unwrap();
}

#[test]
fn a_function_of_luas_own_is_noted_and_one_with_variables_is_not() {
    static PLAIN: Original = Original::new();
    static WITH_VARIABLES: Original = Original::new();
    fn plain(_: Frame<'_>) -> Result<Next<'_>, Raise> {
        Ok(Next::Original(&PLAIN, None))
    }
    fn other(_: Frame<'_>) -> Result<Next<'_>, Raise> {
        Ok(Next::values([Op::Text(b"ours")]))
    }
    let lua = Lua::new();
    let rust = lua.create_function(|_, ()| Ok("theirs")).unwrap();
    lua.globals().get::<mlua::Table>("string").unwrap().set("len", rust).unwrap();
    let exchanges = [
        Exchange { library: c"math", name: c"abs", ours: CFunction::once(plain), original: Some(&PLAIN) },
        Exchange {
            library: c"string",
            name: c"len",
            ours: CFunction::once(other),
            original: Some(&WITH_VARIABLES),
        },
        Exchange { library: c"none", name: c"x", ours: CFunction::once(other), original: None },
        Exchange { library: c"math", name: c"none", ours: CFunction::once(other), original: None },
    ];
    exchange(&lua, &exchanges).unwrap();
    let code = "return math.abs(-3) .. string.len('x') .. tostring(none) .. tostring(math.none)";
    assert_eq!(lua.load(code).eval::<String>().unwrap(), "3theirsnilnil");
    let error = lua.load("math.abs({})").exec().unwrap_err().to_string();
    assert!(error.contains("bad argument #1 to 'abs' (number expected, got table)"), "{error}");
}

#[test]
fn outside_a_function_only_results_are_left() {
    fn first(_: Frame<'_>) -> Result<Next<'_>, Raise> {
        Ok(Next::values([Op::Get(1, 1), Op::Integer(2)]))
    }
    let lua = Lua::new();
    let list = lua.create_sequence_from(["one"]).unwrap();
    assert_eq!(run::<(String, i64)>(&lua, (&list, 1, 2, 3), first).unwrap(), ("one".into(), 2));
    let error = run::<Value>(&lua, (), first).unwrap_err().to_string();
    assert!(error.contains("not there"), "{error}");
    // A value of another state does not get in.
    let stranger = Lua::new();
    assert!(
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run::<Value>(&stranger, &list, first)))
            .map_or(true, |result| result.is_err())
    );
}

#[test]
fn a_hook_looks_and_ends_a_script_after_all_of_it_is_dropped() {
    struct Ends;
    impl Hook for Ends {
        fn look(frame: Frame<'_>) -> Result<(), Raise> {
            let held = Held("time".into());
            assert_eq!(frame.type_of(1), Type::None);
            let at = frame.line(10, |file, line| format!("{}:{line}", String::from_utf8_lossy(file)));
            Err(Raise::bare(format_args!("{} is up at {}", held.0, at.unwrap_or_default())))
        }
    }
    let lua = Lua::new();
    let main = Main::of(&lua).unwrap();
    main.look(|frame| frame.set_hook::<Ends>(100));
    let before = DROPPED.get();
    let error = lua.load("\nwhile true do end").set_name("@t.lua").exec().unwrap_err().to_string();
    assert!(error.contains("time is up at t.lua:2"), "{error}");
    assert!(DROPPED.get() > before);
    main.look(|frame| assert!(frame.has_hook() && frame.hook_period() == 100));
    main.look(|frame| frame.remove_hook());
    main.look(|frame| assert!(!frame.has_hook()));
}

#[test]
fn the_main_coroutine_keeps_its_state_alive() {
    let main = Main::of(&new_state(StdLib::ALL)).unwrap();
    main.look(|frame| assert!(frame.used() > 0 && !frame.has_hook()));
}

/// Puts its arguments together, in a buffer that becomes larger than what is on the C stack.
#[derive(Clone, Copy, Default)]
struct Joins(u8);

impl Work for Joins {
    type Steps<'f> = Self;
}

impl<'f> Steps<'f> for Joins {
    fn step<'s>(&'s mut self, frame: Frame<'f>) -> Result<Next<'s>, Raise>
    where
        'f: 's,
    {
        let times = u8::try_from(frame.integer(2)?).unwrap_or(0);
        self.0 += 1;
        Ok(match self.0 {
            1 => Next::then([Op::Buffer]),
            n if n <= times => {
                assert_eq!(frame.buffered(), usize::from(n - 2) * (frame.text_length(1) + 1));
                Next::then([
                    Op::Add(frame.text(1)?),
                    Op::Integer(7),
                    Op::AddTop,
                    Op::Field(3, b"x"),
                    Op::Pop(1),
                ])
            }
            _ => Next::Return([Op::Finish, Op::Copy(1)].into(), 2),
        })
    }
}

#[test]
fn a_text_that_is_put_together_may_be_large_and_may_be_given_up() {
    let lua = Lua::new();
    lua.globals().set("ours", CFunction::of::<Joins>().into_function(&lua).unwrap()).unwrap();
    let code = "local piece = ('ab'):rep(500)
        local joined, first = ours(piece, 100, {})
        assert(joined == (piece .. 7):rep(99) and first == piece)
        local n = 0
        local fails = setmetatable({}, { __index = function() n = n + 1 if n == 50 then error('given up', 0) end end })
        for _ = 1, 20 do
            n = 0
            local good, why = pcall(ours, piece, 100, fails)
            assert(not good and why == 'given up')
            collectgarbage()
        end";
    lua.load(code).exec().unwrap();
}

#[test]
fn a_message_that_is_too_long_is_cut() {
    fn long(_: Frame<'_>) -> Result<Next<'_>, Raise> {
        Err(Raise::bare(format_args!("{}{}", "short ", "x".repeat(1000))))
    }
    assert_eq!(with(CFunction::once(long), "return pcall(ours)").unwrap(), "false short ");
}
