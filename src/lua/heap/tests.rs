use mlua::{Function, Table};

use super::*;

/// Works with what that code returns.
fn with<R>(code: &str, work: impl FnOnce(Heap<'_>, &[Value]) -> R) -> R {
    let lua = Lua::new();
    let arguments: mlua::MultiValue = lua.load(code).eval().unwrap();
    let anchors = Anchors::new(&lua).unwrap();
    let mut result = None;
    anchors
        .open::<()>(&lua, arguments, |heap, arguments| {
            result = Some(work(heap, arguments));
            Value::NIL
        })
        .unwrap();
    result.unwrap()
}

#[test]
fn each_type_is_told_and_comes_back_as_it_was() {
    let code = "local co = coroutine.create(print)
        return {nil, true, false, 1, 1.5, 'short', ('long'):rep(20), {}, print, function() end, co}, 11";
    with(code, |heap, arguments| {
        let list = arguments[0];
        let kinds: Vec<Kind> = (1..=11).map(|i| heap.get(list, Value::of(i)).kind).collect();
        let expected = [
            Kind::Nil,
            Kind::True,
            Kind::False,
            Kind::Integer,
            Kind::Float,
            Kind::String,
            Kind::String,
            Kind::Table,
            Kind::CFunction,
            Kind::Function,
            Kind::Coroutine,
        ];
        assert_eq!(kinds, expected);
        for i in 2..=11 {
            let value = heap.get(list, Value::of(i));
            heap.set(list, Value::of(100 + i), value);
            assert!(heap.has(list, Value::of(100 + i), value), "{i}");
            assert!(heap.get(list, Value::of(100 + i)).is(value), "{i}");
        }
    });
}

#[test]
fn entries_come_in_the_order_of_lua_and_are_known_again() {
    with(
        "local t = {1, 'a', {}, x = 1, y = 'b', [print] = {}, [true] = false} return t, next",
        |heap, arguments| {
            let entries = heap.entries(arguments[0]);
            assert_eq!(entries.len(), 7);
            assert!(heap.has_entries(arguments[0], &entries));
            for &(key, value) in &entries {
                assert!(heap.get(arguments[0], key).is(value));
            }
            let (key, _) = entries[3];
            heap.set(arguments[0], key, Value::of(77));
            assert!(!heap.has_entries(arguments[0], &entries));
            assert!(!heap.has_entries(arguments[0], &entries[1..]));
        },
    );
}

#[test]
fn a_table_with_more_values_than_a_stack_has_slots_is_gone_through_whole() {
    let code = "local t = {} for i = 1, 250000 do t[i] = 'value ' .. i end t.last = {} return t";
    with(code, |heap, arguments| {
        let before = heap.text("held before");
        let entries = heap.entries(arguments[0]);
        assert_eq!(entries.len(), 250_001);
        assert!(heap.has_entries(arguments[0], &entries));
        for i in [0, 1, 199_990, 199_999, 200_000, 200_001, 249_999] {
            let (key, value) = entries[i];
            assert_eq!(heap.text_of(value).unwrap(), format!("value {}", key.integer()));
        }
        assert_eq!(heap.text_of(before).unwrap(), "held before");
        assert!(heap.get(arguments[0], heap.text("last")).table().is_some());
    });
}

#[test]
fn what_is_let_go_is_collected_and_the_rest_stays() {
    let lua = Lua::new();
    let anchors = Anchors::new(&lua).unwrap();
    let code = "weak = setmetatable({}, { __mode = 'v' }) weak[1], weak[2] = {}, {} return weak[1], weak[2]";
    let pair: (Table, Table) = lua.load(code).eval().unwrap();
    let mut held = 0;
    anchors
        .open::<()>(&lua, pair, |heap, _| {
            held = heap.anchors.len() - 1;
            Value::NIL
        })
        .unwrap();
    let count = || {
        lua.gc_collect().unwrap();
        lua.load("return (weak[1] and 1 or 0) + (weak[2] and 1 or 0)").eval::<i64>().unwrap()
    };
    assert_eq!(count(), 2);
    anchors.truncate(&lua, held);
    assert_eq!(count(), 1);
    anchors.truncate(&lua, 0);
    assert_eq!(count(), 0);
}

#[test]
fn a_value_of_another_heap_is_nil_or_another_value_and_nothing_worse() {
    let strangers =
        with("return {}, print, 'text', coroutine.create(print), 1", |_, arguments| arguments.to_vec());
    for shift in 0..3 {
        with("return 'a', {}, function() end", |heap, _| {
            for stranger in &strangers {
                let stranger = Value { slot: stranger.slot + shift, ..*stranger };
                heap.set(stranger, stranger, stranger);
                heap.set_metatable(stranger, stranger);
                heap.set_upvalue(stranger, 1, stranger);
                heap.join_upvalue(stranger, 1, stranger, 1);
                assert!(heap.wrapped(stranger).is_none());
                let _ = (heap.get(stranger, stranger), heap.metatable(stranger), heap.entries(stranger));
                let _ = (heap.origin(stranger), heap.frames(stranger), heap.bytes_of(stranger));
            }
        });
    }
}

#[test]
fn a_key_that_no_table_takes_is_passed_over() {
    with("return {}", |heap, arguments| {
        heap.set(arguments[0], Value::NIL, Value::of(1));
        heap.set(arguments[0], Value::of_number(f64::NAN), Value::of(1));
        heap.set(Value::of(1), Value::of(1), Value::of(1));
        assert!(heap.entries(arguments[0]).is_empty());
    });
}

#[test]
fn variables_are_read_set_and_joined() {
    let code = "local a, b = 1, 2
        local function f() return a end
        local function g() a = a + 1 return b end
        return f, g";
    let lua = Lua::new();
    let functions: (Function, Function) = lua.load(code).eval().unwrap();
    let anchors = Anchors::new(&lua).unwrap();
    let look = |heap: Heap<'_>, arguments: &[Value]| {
        let (f, g) = (arguments[0], arguments[1]);
        assert_eq!(heap.upvalue_cell(f, 1), heap.upvalue_cell(g, 1));
        assert_eq!(heap.upvalue_cell(f, 2), None);
        assert!(heap.upvalue(g, 2).is(Value::of(2)) && heap.upvalue(g, 3).is_nil());
        heap.set_upvalue(g, 3, Value::of(9));
        heap.set_upvalue(g, 2, Value::of(20));
        heap.join_upvalue(f, 1, g, 2);
        heap.join_upvalue(f, 2, g, 2);
        Value::NIL
    };
    anchors.open::<()>(&lua, functions.clone(), look).unwrap();
    assert_eq!(functions.0.call::<i64>(()).unwrap(), 20);
}

#[test]
fn what_a_metamethod_raises_ends_at_the_assignment() {
    let code = "seen = {} return setmetatable({}, { __newindex = function(_, k, v)
        if k == 'bad' then error('no') end seen[k] = v end })";
    with(code, |heap, arguments| {
        assert!(heap.assign(arguments[0], heap.text("good"), Value::of(1)));
        assert!(!heap.assign(arguments[0], heap.text("bad"), Value::of(1)));
        assert!(heap.entries(arguments[0]).is_empty());
    });
}

#[test]
fn the_memory_limit_and_the_collector_are_as_before() {
    let lua = Lua::new();
    lua.set_memory_limit(1 << 20).unwrap();
    let anchors = Anchors::new(&lua).unwrap();
    anchors.open::<()>(&lua, (), |heap, _| heap.new_table(1 << 18)).unwrap();
    lua.gc_collect().unwrap();
    assert!(lua.gc_is_running());
    assert_eq!(lua.set_memory_limit(0).unwrap(), 1 << 20);
}
