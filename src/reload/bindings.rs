//! What a template binds: its `ui-*` attributes, each with the path it shows, writes or calls.
//!
//! The elements are nested here as a browser nests them, as far as it matters to which object a path is
//! about: what stands within a `ui-viewlist` is about the elements of that list.

use std::collections::HashMap;

use super::doubts;
use html5gum::{StartTag, Token, Tokenizer, emitters::default::DefaultEmitter};

/// Lists may be nested this deep. What is deeper is a mistake, and binds nothing.
const MAX_LISTS: usize = 16;

/// In what ways a path is bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ways {
    /// The browser gets the value.
    pub shown: bool,
    /// The browser writes it.
    pub written: bool,
    /// The browser calls it.
    pub called: bool,
}

impl Ways {
    /// All of them.
    pub const ALL: Self = Self { shown: true, written: true, called: true };
    /// Only to be looked at.
    pub const SHOWN: Self = Self { shown: true, written: false, called: false };

    /// Those of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            shown: self.shown || other.shown,
            written: self.written || other.written,
            called: self.called || other.called,
        }
    }

    /// What the property `access` stands for; `None` if it is no access.
    fn of_access(access: &str) -> Option<Self> {
        let (shown, written, called) = match access {
            "r" => (true, false, false),
            "w" => (false, true, false),
            "rw" => (true, true, false),
            "action" => (false, false, true),
            _ => return None,
        };
        Some(Self { shown, written, called })
    }

    /// Writing `name(_)` calls the method. There is nothing to show.
    fn of_path(self, path: &str) -> Self {
        if !path.ends_with("(_)") {
            return self;
        }
        let called = self.written || self.called;
        Self { shown: false, written: called, called }
    }
}

/// One attribute of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The paths of the lists around it, the outermost first: it is about elements of the innermost.
    pub lists: Vec<String>,
    /// As [`normal`] writes it.
    pub path: String,
    /// How it is bound.
    pub ways: Ways,
    /// What follows the `?`.
    pub options: Vec<(String, String)>,
    /// `ui-item-wrapper`, beside a `ui-viewlist`.
    pub item_wrapper: Option<String>,
    /// The `ui-namespace` that is in force.
    pub namespace: Option<String>,
    /// Such as `ui-value`.
    pub attribute: String,
    /// Where it stands in the file, counted from 1.
    pub line: u32,
}

impl Binding {
    /// What `path?access=r&wrapper=Type` binds, in these ways unless it says others.
    pub fn new(text: &str, ways: Ways) -> Self {
        let options = options(text);
        let path = normal(text);
        let access = options.iter().find(|(name, _)| unprioritised(name) == "access");
        let ways = access.and_then(|(_, access)| Ways::of_access(access)).unwrap_or(ways).of_path(&path);
        Self {
            lists: Vec::new(),
            path,
            ways,
            options,
            item_wrapper: None,
            namespace: None,
            attribute: String::new(),
            line: 1,
        }
    }

    /// The value of an option, if it has one.
    pub fn option(&self, name: &str) -> Option<&str> {
        let mut found = self.options.iter().filter(|(option, _)| unprioritised(option) == name);
        found.next_back().map(|(_, value)| &**value).filter(|value| !value.is_empty())
    }
}

/// The canonical form of a path: without what follows the `?`, and `007` as `7`.
pub fn normal(text: &str) -> String {
    let mut rest = text.split_once('?').map_or(text, |(path, _)| path).trim();
    let mut elements = Vec::new();
    while let Some(after) = rest.strip_prefix("..") {
        elements.push("..".to_owned());
        rest = after.strip_prefix('.').unwrap_or(after);
    }
    if !rest.is_empty() {
        let element = |text: &str| text.parse::<u32>().map_or_else(|_| text.to_owned(), |i| i.to_string());
        elements.extend(rest.split('.').map(element));
    }
    elements.join(".")
}

fn options(text: &str) -> Vec<(String, String)> {
    let query = text.split_once('?').map_or("", |(_, query)| query);
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let split = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, "true"));
        (name.trim().to_owned(), value.to_owned())
    };
    pairs.map(split).collect()
}

/// The name without `:high` and the like.
fn unprioritised(name: &str) -> &str {
    [":high", ":med", ":low"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name)
}

/// All that a template binds, in the order of its text; and what was probably meant otherwise, each with its line.
pub(super) fn of_template(html: &str) -> (Vec<Binding>, Vec<(u32, String)>) {
    let mut emitter = DefaultEmitter::<usize>::new_with_span();
    // Otherwise the text of a script could be taken for elements.
    emitter.naively_switch_states(true);
    let mut reader = Reader { html, line: 1, ..Reader::default() };
    for token in Tokenizer::new_with_emitter(html, emitter) {
        let Ok(token) = token;
        match token {
            Token::StartTag(tag) => reader.start(&tag),
            Token::EndTag(tag) => reader.end(&tag.name),
            Token::String(text) if text.windows(2).any(|two| two == b"{{") => {
                reader.doubt_braces(text.span.start)
            }
            _ => {}
        }
    }
    (reader.found, reader.doubts)
}

/// An element that is not closed yet.
struct Open {
    name: Box<[u8]>,
    /// The path of its `ui-viewlist`.
    list: Option<String>,
    /// It changed the namespace from this one.
    outer_namespace: Option<Option<String>>,
}

#[derive(Default)]
struct Reader<'a> {
    html: &'a str,
    /// Up to which byte lines have been counted, and how many.
    counted: usize,
    line: u32,
    open: Vec<Open>,
    /// How many of each name are open.
    count: HashMap<Box<[u8]>, usize>,
    lists: Vec<String>,
    namespace: Option<String>,
    found: Vec<Binding>,
    doubts: Vec<(u32, String)>,
}

impl Reader<'_> {
    fn start(&mut self, tag: &StartTag<usize>) {
        let name: &[u8] = &tag.name;
        self.close_implied(name);
        let attribute = |wanted: &str| {
            let value = tag.attributes.iter().find(|(name, _)| name.as_slice() == wanted.as_bytes());
            value.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
        };
        let namespace = attribute("ui-namespace");
        let list = attribute("ui-viewlist").map(|text| normal(&text));
        let outer_namespace = namespace.map(|namespace| self.namespace.replace(namespace));
        // A template within the template is inert, and nothing that is bound may become a script.
        if self.is_open(b"template") <= 1 && self.lists.len() <= MAX_LISTS && name != b"script" {
            self.bind(tag, attribute("ui-item-wrapper"), is_editable(name, attribute("contenteditable")));
        }
        let is_foreign = self.is_open(b"svg") > 0 || self.is_open(b"math") > 0;
        if is_void(name) || tag.self_closing && (is_foreign || matches!(name, b"svg" | b"math")) {
            if let Some(outer) = outer_namespace {
                self.namespace = outer;
            }
            return;
        }
        self.lists.extend(list.clone());
        *self.count.entry(name.into()).or_default() += 1;
        self.open.push(Open { name: name.into(), list, outer_namespace });
    }

    fn bind(&mut self, tag: &StartTag<usize>, item_wrapper: Option<String>, editable: bool) {
        self.line += self.lines(self.counted, tag.span.start);
        self.counted = tag.span.start;
        for (attribute, value) in &tag.attributes {
            let attribute = String::from_utf8_lossy(attribute);
            let line = self.line + self.lines(tag.span.start, value.span.start);
            if let Some(meant) = doubts::misspelt_attribute(&attribute) {
                self.doubts.push((line, format!("there is no attribute {attribute}; did you mean {meant}?")));
            }
            let Some(ways) = ways_of(&attribute, editable) else { continue };
            let binding = Binding::new(&String::from_utf8_lossy(value), ways);
            self.doubts.extend(doubts::of_path(&binding.path).map(|doubt| (line, doubt)));
            self.found.push(Binding {
                lists: self.lists.clone(),
                item_wrapper: item_wrapper.clone().filter(|_| attribute == "ui-viewlist"),
                namespace: self.namespace.clone(),
                attribute: attribute.into_owned(),
                line,
                ..binding
            });
        }
    }

    fn doubt_braces(&mut self, at: usize) {
        let line = self.line + self.lines(self.counted, at);
        let what = "{{ … }} is shown as it stands; a value is shown by an attribute: <span ui-value=\"name\"></span>";
        self.doubts.push((line, what.into()));
    }

    /// How many lines end between two places of the file.
    fn lines(&self, from: usize, to: usize) -> u32 {
        let between = self.html.as_bytes().get(from..to).unwrap_or_default();
        between.iter().filter(|byte| **byte == b'\n').count().try_into().unwrap_or(u32::MAX)
    }

    fn end(&mut self, name: &[u8]) {
        if self.is_open(name) > 0 {
            while self.close().is_some_and(|closed| &*closed != name) {}
        }
    }

    fn is_open(&self, name: &[u8]) -> usize {
        self.count.get(name).copied().unwrap_or_default()
    }

    fn close(&mut self) -> Option<Box<[u8]>> {
        let closed = self.open.pop()?;
        if let Some(count) = self.count.get_mut(&closed.name) {
            *count -= 1;
        }
        if closed.list.is_some() {
            self.lists.pop();
        }
        if let Some(outer) = closed.outer_namespace {
            self.namespace = outer;
        }
        Some(closed.name)
    }

    /// Elements whose end tag may be left out end where the next one begins.
    fn close_implied(&mut self, next: &[u8]) {
        while self.open.last().is_some_and(|open| ends_before(&open.name, next)) {
            self.close();
        }
    }
}

/// How an attribute binds its path; `None`: it binds nothing.
fn ways_of(attribute: &str, editable: bool) -> Option<Ways> {
    let family = attribute.strip_prefix("ui-")?;
    match family {
        "app" | "namespace" | "viewdef" | "error" | "missing" | "item-wrapper" => None,
        "value" if editable => Some(Ways { shown: true, written: true, called: false }),
        "action" | "upload" => Some(Ways { shown: false, written: false, called: true }),
        _ if family.starts_with("event-") => Some(Ways { shown: false, written: false, called: true }),
        _ => Some(Ways::SHOWN),
    }
}

/// Form controls, custom elements, and what a page lets people edit.
fn is_editable(name: &[u8], contenteditable: Option<String>) -> bool {
    matches!(name, b"input" | b"textarea" | b"select")
        || name.contains(&b'-')
        || contenteditable.is_some_and(|value| !value.eq_ignore_ascii_case("false"))
}

fn is_void(name: &[u8]) -> bool {
    matches!(
        name,
        b"area"
            | b"base"
            | b"br"
            | b"col"
            | b"embed"
            | b"hr"
            | b"img"
            | b"input"
            | b"link"
            | b"meta"
            | b"source"
            | b"track"
            | b"wbr"
    )
}

/// Whether the start of `next` ends an open element of that name.
fn ends_before(open: &[u8], next: &[u8]) -> bool {
    match open {
        b"li" => next == b"li",
        b"dt" | b"dd" => matches!(next, b"dt" | b"dd"),
        b"option" => matches!(next, b"option" | b"optgroup" | b"hr"),
        b"optgroup" => matches!(next, b"optgroup" | b"hr"),
        b"td" | b"th" => matches!(next, b"td" | b"th" | b"tr" | b"tbody" | b"tfoot" | b"thead"),
        b"tr" => matches!(next, b"tr" | b"tbody" | b"tfoot" | b"thead"),
        b"tbody" | b"thead" | b"tfoot" => matches!(next, b"tbody" | b"tfoot" | b"thead"),
        b"p" => is_block(next),
        _ => false,
    }
}

/// What cannot stand in a paragraph.
fn is_block(name: &[u8]) -> bool {
    const BLOCKS: [&[u8]; 34] = [
        b"address",
        b"article",
        b"aside",
        b"blockquote",
        b"center",
        b"details",
        b"dialog",
        b"dir",
        b"div",
        b"dl",
        b"fieldset",
        b"figcaption",
        b"figure",
        b"footer",
        b"form",
        b"h1",
        b"h2",
        b"h3",
        b"h4",
        b"h5",
        b"h6",
        b"header",
        b"hgroup",
        b"hr",
        b"main",
        b"menu",
        b"nav",
        b"ol",
        b"p",
        b"pre",
        b"search",
        b"section",
        b"table",
        b"ul",
    ];
    BLOCKS.contains(&name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bound(html: &str) -> Vec<String> {
        let say = |binding: &Binding| {
            let Ways { shown, written, called } = binding.ways;
            let ways: String = [(shown, 'r'), (written, 'w'), (called, 'c')]
                .iter()
                .filter_map(|(is, name)| is.then_some(*name))
                .collect();
            let lists: String = binding.lists.iter().map(|list| format!("{list} > ")).collect();
            format!("{lists}{} {ways}", binding.path)
        };
        let mut bound: Vec<_> = of_template(html).0.iter().map(say).collect();
        bound.sort();
        bound
    }

    #[test]
    fn each_binding_knows_its_line() {
        let html = "<template>\n<b ui-value=a></b>\r\n\n<i\n  class=x\n  ui-class-x=b\n  ui-value=\"c\"></i><u ui-value=d></u>\n\
            <ul ui-viewlist=é><li\nui-value=e></ul></template>";
        let lines: Vec<_> =
            of_template(html).0.iter().map(|found| (found.path.clone(), found.line)).collect();
        let expected = [("a", 2), ("b", 6), ("c", 7), ("d", 7), ("é", 8), ("e", 9)];
        assert_eq!(lines, expected.map(|(path, line)| (path.to_owned(), line)));
    }

    #[test]
    fn each_attribute_says_how_it_binds_its_path() {
        let html = "<template>\n<b ui-value=a></b><input ui-value='b?keypress'>\n<my-dots ui-value=c></my-dots>\
             <p contenteditable ui-value=d></p>\n<i ui-action='e()' ui-event-keypress-enter='f(_)' ui-class-x=g \
             ui-html=h ui-code=i ui-view=j ui-viewlist=k ui-if=l ui-upload='m(_)'></i></template>";
        let expected = [
            "a r", "b rw", "c rw", "d rw", "e() c", "f(_) wc", "g r", "h r", "i r", "j r", "k r", "l r",
            "m(_) wc",
        ];
        assert_eq!(bound(html), expected);
    }

    #[test]
    fn access_says_otherwise() {
        let html = "<template><input ui-value='a?access=r'><b ui-view='b?create=B&access=rw'></b>\
             <input ui-value='set(_)'><input ui-value='c?access:high=w'></template>";
        assert_eq!(bound(html), ["a r", "b rw", "c w", "set(_) wc"]);
    }

    #[test]
    fn what_stands_within_a_list_is_about_its_elements() {
        let html = "<template><select ui-value=size ui-viewlist=sizes><option ui-attr-value=id></select>\
             <ul ui-viewlist='rows()'><li ui-viewlist=cells><b ui-value=x></b></ul><p ui-value=after></p></template>";
        let expected = [
            "after r",
            "rows() > cells > x r",
            "rows() > cells r",
            "rows() r",
            "size rw",
            "sizes > id r",
            "sizes r",
        ];
        assert_eq!(bound(html), expected);
    }

    #[test]
    fn end_tags_may_be_left_out() {
        let html = "<template><table><tr><td ui-viewlist=a><b ui-value=in></b><td ui-value=b><tr ui-class-x=c></table>\
             <p ui-viewlist=d><div ui-value=e></div><svg><path ui-viewlist=f /><g ui-class-y=g></g></svg><br ui-viewlist=h>\
             <i ui-value=i></i></template>";
        let expected = ["a > in r", "a r", "b r", "c r", "d r", "e r", "f r", "g r", "h r", "i r"];
        assert_eq!(bound(html), expected);
    }

    #[test]
    fn scripts_styles_comments_and_inner_templates_bind_nothing() {
        let html = "<template><script ui-value=z>x = \"<b ui-value='a'>\"</script><style>/*<b ui-value=b>*/</style>\
             <!-- <b ui-value=c> --><textarea><b ui-value=d></textarea><template><b ui-value=e></b></template>\
             <b ui-value=f></b></template>";
        assert_eq!(bound(html), ["f r"]);
    }

    #[test]
    fn wrappers_and_namespaces_are_kept() {
        let html = "<template><section ui-namespace=big><ul ui-viewlist='a?wrapper:low=W&flag' ui-item-wrapper=Row>\
             </ul></section><b ui-view=b></b></template>";
        let found = of_template(html).0;
        assert_eq!(found[0].item_wrapper.as_deref(), Some("Row"));
        assert_eq!((found[0].option("wrapper"), found[0].option("flag")), (Some("W"), Some("true")));
        assert_eq!((found[0].namespace.as_deref(), found[1].namespace.as_deref()), (Some("big"), None));
    }

    #[test]
    fn a_path_is_the_same_however_it_is_written() {
        for (text, path) in [(" a.b ?x", "a.b"), ("007", "7"), ("..x", "...x"), ("...x", "...x"), ("", "")] {
            assert_eq!(normal(text), path, "{text:?}");
            assert_eq!(normal(path), path, "{path:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_the_text_it_is_read_to_its_end(html in "\\PC{0,400}") {
            of_template(&html);
        }

        #[test]
        fn whatever_the_elements_no_more_is_found_than_attributes_were_there(
            parts in prop::collection::vec(
                prop_oneof![
                    Just("<template>"), Just("</template>"), Just("<ul ui-viewlist='a.0?x=y'>"), Just("</ul>"),
                    Just("<li ui-value=b"), Just(" ui-namespace='"), Just("'>"), Just("<svg/>"), Just("<p"), Just(">"),
                    Just("<script>"), Just("</script>"), Just("<!--"), Just("-->"), Just("<td ui-viewlist=..c>"),
                    Just("&#x0;"), Just("ä\n"), Just("<input ui-event-x='(_)?access=&&=' />"),
                ],
                0..200,
            ),
        ) {
            let html = parts.concat();
            let found = of_template(&html).0;
            prop_assert!(found.len() <= html.matches("ui-").count());
            prop_assert!(found.iter().all(|binding| binding.lists.len() <= MAX_LISTS));
        }
    }
}
