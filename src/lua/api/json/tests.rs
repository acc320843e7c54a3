use super::*;

/// What the code gives, with the functions as `encode` and `decode`; nil as "nil".
fn eval(code: &str) -> String {
    let lua = Lua::new();
    let functions = functions(&lua, 10_000).unwrap();
    for name in ["encode", "decode"] {
        lua.globals().set(name, functions.get::<Value>(name).unwrap()).unwrap();
    }
    let text = lua.load(code).eval::<Value>().unwrap();
    text.to_string().unwrap()
}

fn encoded(value: &str) -> String {
    eval(&format!("return (encode({value}))"))
}

/// Why it is not written; the value has to be nil then.
fn refusal(value: &str) -> String {
    eval(&format!("local text, why = encode({value}) assert(text == nil) return why"))
}

#[test]
fn values_are_written_as_json() {
    for (value, json) in [
        ("nil", "null"),
        ("true", "true"),
        ("3", "3"),
        ("3.0", "3.0"),
        ("0.1", "0.1"),
        ("math.mininteger", "-9223372036854775808"),
        ("'a\"\\n\\u{e4}'", "\"a\\\"\\n\u{e4}\""),
        ("{}", "{}"),
        ("{1, 2, {3}}", "[1,2,[3]]"),
        ("{1, nil, 3}", "[1,null,3]"),
        ("{1, _private = 2}", "[1]"),
        ("{b = 1, a = {}, _c = 2}", r#"{"_c":2,"a":{},"b":1}"#),
        ("{['1'] = 2}", r#"{"1":2}"#),
        ("setmetatable({x = 1}, {__index = {type = 'T', y = 2}})", r#"{"x":1}"#),
    ] {
        assert_eq!(encoded(value), json, "{value}");
    }
}

#[test]
fn what_has_no_form_in_json_is_refused_with_its_place() {
    for (value, why) in [
        ("{a = {b = {1, 2, print}}}", "a.b[3]: a function has no form in JSON"),
        ("print", "the value: a function has no form in JSON"),
        ("{['x y'] = {0/0}}", "[\"x y\"][1]: JSON has no number"),
        ("{1/0}", "[1]: JSON has no number inf"),
        ("{a = {1, n = 2}}", "a: the table has both elements and names (\"n\")"),
        ("{a = {[0] = 1}}", "a: the table has the index 0"),
        ("{a = {[1.5] = 1}}", "a: a number is a key"),
        ("{a = {[true] = 1}}", "a: a boolean is a key"),
        ("{a = '\\xff'}", "a: the string is not valid UTF-8"),
        ("{[100001] = 1}", "the value: the table has the index 100001"),
        ("setmetatable({1}, {__index = {type = 'T'}})", "the value: the table is an object"),
    ] {
        let refusal = refusal(value);
        assert!(refusal.starts_with(why), "{value}: {refusal}");
    }
}

#[test]
fn a_cycle_is_refused_and_a_table_that_is_there_twice_is_not() {
    let cycle = eval("local t = {a = {b = {}}} t.a.b.c = t.a local _, why = encode(t) return why");
    assert_eq!(cycle, "a.b.c: the table is inside itself: it is a, too");
    assert_eq!(encoded("(function() local t = {1} return {t, t} end)()"), "[[1],[1]]");
}

#[test]
fn depth_and_length_have_limits_both_ways() {
    let nested = "local t = {} for i = 1, N do t = {t} end local _, why = encode(t) return why";
    assert_eq!(eval(&nested.replace('N', "99")), "nil");
    assert!(eval(&nested.replace('N', "100")).ends_with("more than 100 tables inside each other"));
    assert!(refusal("('x'):rep(10001)").contains("longer than 10000 bytes"));
    let doubled = "(function() local t = {} for i = 1, 60 do t = {t, t} end return t end)()";
    assert!(refusal(doubled).contains("longer than 10000 bytes"), "it would have 2^60 elements");
    assert!(eval("local _, why = decode(('['):rep(101) .. (']'):rep(101)) return why").contains("100"));
    assert!(eval("local _, why = decode(('x'):rep(10001)) return why").contains("longer than 10000"));
}

#[test]
fn what_was_written_is_read_back_the_same() {
    for json in [
        "null",
        "true",
        "3",
        "3.0",
        "-9223372036854775808",
        "1e+300",
        "\"\u{e4}\\u0000\"",
        "[]",
        "{}",
        "[1,null,[],{},[[]]]",
        r#"{"a":{"b":[1,2.5,"x"]},"x y":false}"#,
    ] {
        let json_again = eval(&format!("return (encode(decode([==[{json}]==])))"));
        assert_eq!(json_again, json, "{json}");
    }
    assert_eq!(eval("return math.type(decode('3')) .. math.type(decode('3.0'))"), "integerfloat");
    assert_eq!(eval("return math.type(decode('9223372036854775808'))"), "float");
    assert_eq!(eval("local t = decode('[1,null,3]') return t[1] .. tostring(t[2]) .. t[3]"), "1nil3");
    assert_eq!(eval("local t = decode('[]') t[1] = 1 t[1] = nil return encode(t)"), "[]");
    assert_eq!(eval("local t = decode('[]') t.x = 1 return encode(t)"), r#"{"x":1}"#);
}

#[test]
fn a_text_that_is_no_json_is_refused_with_line_and_column() {
    for (text, why) in [
        ("{\\n  \"a\": }", "expected value at line 2 column 8"),
        ("", "EOF while parsing a value at line 1 column 0"),
        ("[1] x", "trailing characters at line 1 column 5"),
        ("[1,]", "trailing comma at line 1 column 4"),
        ("[NaN]", "expected value at line 1 column 2"),
        ("1e999", "number out of range at line 1 column 5"),
    ] {
        let refusal = eval(&format!("local value, why = decode('{text}') assert(value == nil) return why"));
        assert_eq!(refusal, why, "{text}");
    }
    assert_eq!(eval("return select(2, decode(7))"), "needs a string, got integer");
}

#[test]
fn memory_that_runs_short_is_raised_and_no_mistake_in_the_text() {
    let lua = Lua::new();
    let functions = functions(&lua, 10 << 20).unwrap();
    let text = lua.create_string(format!("[{}1]", "[],".repeat(100_000))).unwrap();
    lua.set_memory_limit(lua.used_memory() + 100_000).unwrap();
    let decode: mlua::Function = functions.get("decode").unwrap();
    let error = decode.call::<(Value, Value)>(text).unwrap_err();
    assert!(error.to_string().contains("not enough memory"), "{error}");
}
