//! What the text of a Lua file says, as far as notes need it: a look at lines, not a parser. At worst a
//! note is missing, or one too many.

/// Line (counted from 1) and text of the declaration of a file-level local. One at the left margin is
/// preferred to one that is indented.
pub(crate) fn declaration<'a>(source: &'a [u8], name: &str) -> Option<(u32, &'a str)> {
    let lines = || (1u32..).zip(lines(source));
    let declares = |&(_, line): &(u32, &str)| {
        let Some(rest) = line.trim_start().strip_prefix("local ") else { return false };
        let names = rest.split('=').next().unwrap_or(rest);
        names.split(',').any(|one| one.split('<').next().is_some_and(|one| one.trim() == name))
    };
    let at_margin = |(_, line): &(u32, &str)| line.starts_with("local");
    let found = lines().filter(at_margin).find(declares).or_else(|| lines().find(declares));
    found.map(|(line, text)| (line, text.trim()))
}

/// Whether something assigns to the name, other than its declaration.
pub(crate) fn is_assigned(source: &[u8], name: &str) -> bool {
    lines(source).any(|line| {
        let declared = line.trim_start().starts_with("local ");
        words(line, name).any(|(before, after)| {
            let after = after.trim_start();
            let field = before.trim_end().ends_with(['.', ':']);
            let assigned = after.starts_with('=') && !after.starts_with("==")
                || after.starts_with(',') && after.contains('=');
            assigned && !field && !(declared && !before.contains([';', ')']) && !before.contains("function"))
        })
    })
}

/// Whether a statement at the left margin, so one that runs when the file is loaded, reads a field of that
/// name.
pub(crate) fn copies(source: &[u8], name: &str) -> bool {
    // Most files name little of what another has, and each session asks.
    memchr::memmem::find_iter(source, name).any(|at| {
        let (before, after) = source.split_at(at);
        let begin = memchr::memrchr(b'\n', before).map_or(0, |end| end + 1);
        let end = memchr::memchr(b'\n', after).map_or(source.len(), |length| at + length);
        let line = source.get(begin..end).and_then(|line| std::str::from_utf8(line).ok()).unwrap_or_default();
        let at_margin = line.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
        at_margin
            && words(line, name).any(|(before, _)| {
                before.ends_with('.') && before.contains('=') && !before.contains("function")
            })
    })
}

/// Its lines, without comments that fill them.
fn lines(source: &[u8]) -> impl Iterator<Item = &str> {
    source.split(|&byte| byte == b'\n').map(|line| std::str::from_utf8(line).unwrap_or_default().trim_end())
}

/// What is before and after each place where the name stands as a word of its own, outside comments.
fn words<'a>(line: &'a str, name: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    let line = line.split("--").next().unwrap_or(line);
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    line.match_indices(name).filter_map(move |(at, found)| {
        let (before, after) = (&line[..at], &line[at + found.len()..]);
        (!before.ends_with(part) && !after.starts_with(part)).then_some((before, after))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"-- count\nlocal M, other = {}, 1\n  local count = 9\nlocal count <const> = 0\nlocal L = util.LIMIT * 2\nfunction M.up() count = count + 1 return util.RATE end\nif other == 2 then M.count = 3 end";

    #[test]
    fn a_local_is_found_where_it_is_declared_at_the_left_margin() {
        assert_eq!(declaration(TEXT, "count"), Some((4, "local count <const> = 0")));
        assert_eq!(declaration(TEXT, "other"), Some((2, "local M, other = {}, 1")));
        assert_eq!(declaration(TEXT, "cou"), None);
    }

    #[test]
    fn an_assignment_is_not_a_declaration_a_field_or_a_comparison() {
        assert!(is_assigned(TEXT, "count"));
        assert!(!is_assigned(TEXT, "other"));
        assert!(!is_assigned(b"local count = 0\nM.count = 1", "count"));
    }

    #[test]
    fn a_field_is_copied_by_what_runs_at_load_time() {
        assert!(copies(TEXT, "LIMIT"));
        assert!(!copies(TEXT, "RATE"), "functions read it each time");
        assert!(!copies(TEXT, "LIM"));
    }
}
