//! What helps, for errors that beginners meet: Lua's own words say what is wrong, and not what was meant.

/// A part of Lua's message, another part that has to follow it, and the hint.
const HINTS: [(&str, &str, &str); 12] = [
    ("(global 'self')", "", "a method is defined with a colon, function Type:name(), and called with one"),
    ("(global 'this')", "", "in Lua the object of a method is self"),
    (
        "attempt to index a boolean value",
        "",
        "a module that returns nothing gives true: end its file with return",
    ),
    (
        "attempt to call a boolean value",
        "",
        "a module that returns nothing gives true: end its file with return",
    ),
    (
        "'end' expected",
        "near <eof>",
        "each function, if, for, while and do needs an end; else if opens another if, elseif does not",
    ),
    ("near '!'", "", "Lua writes ~= for \"is not equal\", and not for \"not\""),
    ("syntax error near '+'", "", "Lua has no += and no ++: write x = x + 1"),
    ("unexpected symbol near '+'", "", "Lua has no += and no ++: write x = x + 1"),
    ("syntax error near '-'", "", "Lua has no -= and no --x: write x = x - 1; -- begins a comment"),
    ("'}' expected", "near", "the elements of a table are separated by commas"),
    (
        "attempt to perform arithmetic on a string value",
        "",
        "what a browser sends of a text input is text: tonumber(text)",
    ),
    (
        "attempt to compare number with string",
        "",
        "what a browser sends of a text input is text: tonumber(text)",
    ),
];

/// The hint for a message, if there is one.
pub(super) fn hint(message: &str) -> Option<&'static str> {
    let fits = |part: &str, then: &str| message.split_once(part).is_some_and(|(_, rest)| rest.contains(then));
    HINTS.iter().find(|(part, then, _)| fits(part, then)).map(|(_, _, hint)| *hint)
}
