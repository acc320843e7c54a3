//! The applications of docs/tutorial.md: each step's code is saved as it stands there, and the page shows
//! what the step says. The page is opened once, on an empty directory.

use std::fs;

use hotloader_test_support::{chromium::Chromium, server::Server, site::Site, until};
use serde_json::json;

use crate::SETUP;

const ENTER: char = '\u{E007}';
/// Ctrl and A.
const ALL: &str = "\u{E009}a\u{E000}";

/// What stands below a third heading: what to save, in this order.
struct Step {
    heading: String,
    blocks: Vec<Block>,
}

/// A block of code with the line above it.
struct Block {
    file: String,
    /// The code is one method, and not the whole file.
    is_method: bool,
    code: String,
}

fn page() -> String {
    fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/tutorial.md")).unwrap()
}

/// The steps of an application, which is a second heading. The test checks so many of them.
fn steps(application: &str, count: usize) -> Vec<Step> {
    let page = page();
    let section = page.split("\n## ").find_map(|section| section.strip_prefix(&format!("{application}\n")));
    let section = section.unwrap_or_else(|| panic!("the tutorial has no section {application:?}"));
    let (introduction, steps) = section.split_once("\n### ").unwrap();
    assert!(!introduction.contains("```"), "{application}: code before the first step");
    let steps: Vec<Step> = steps.split("\n### ").map(step).collect();
    assert_eq!(steps.len(), count, "{application}: steps that the page has, and that are checked");
    steps
}

fn step(text: &str) -> Step {
    let (heading, text) = text.split_once('\n').unwrap();
    let mut blocks = Vec::new();
    // Text and code take turns.
    let parts: Vec<&str> = text.split("```").collect();
    assert!(parts.len() >= 3 && parts.len() % 2 == 1, "{heading}: no code, or a block without an end");
    for pair in parts.chunks_exact(2) {
        let label = pair[0].trim_end().lines().last().unwrap_or_default();
        let named = label.strip_prefix("**").and_then(|label| label.split_once("**"));
        let Some((file, kind @ ("" | ", this method"))) = named else {
            panic!("{heading}: no file is named above the code, but {label:?}");
        };
        let (_language, code) = pair[1].split_once('\n').unwrap();
        blocks.push(Block { file: file.into(), is_method: !kind.is_empty(), code: code.into() });
    }
    assert!(!parts[parts.len() - 1].trim().is_empty(), "{heading}: it does not say what one sees");
    Step { heading: heading.into(), blocks }
}

/// The file with the method in the place of the one with its name, else in front of the last line.
fn with_method(file: &str, method: &str) -> String {
    let name = method.lines().next().unwrap();
    if let Some((before, rest)) = file.split_once(&format!("{name}\n")) {
        let (_old, after) = rest.split_once("\nend\n").unwrap();
        return format!("{before}{method}{after}");
    }
    let (before, last) = file.trim_end().rsplit_once('\n').unwrap();
    format!("{before}\n{method}\n{last}\n")
}

/// An application on the way: who reads the tutorial, with editor and browser.
struct Reader {
    browser: Chromium,
    site: Site,
    server: Server,
}

impl Reader {
    /// With an empty directory, a server on it, and the page open.
    async fn start() -> Option<Self> {
        let browser = Chromium::start().await?;
        let site = Site::with(SETUP, &[]);
        let server = Server::start(SETUP, &site.dir()).await;
        browser.open(&server).await;
        browser.shows("strong", "main.lua").await;
        Some(Self { browser, site, server })
    }

    /// Saves the files of a step one after the other; the next when the server has seen the last.
    async fn save(&self, step: &Step) {
        let begins = !self.site.path("lua/main.lua").exists();
        for Block { file, is_method, code } in &step.blocks {
            let text = if *is_method { with_method(&self.site.read(file), code) } else { code.clone() };
            // Before there is a main.lua, what is said is that there is none.
            let mentions = || {
                let log = self.server.log();
                log.matches(file.as_str()).count() + log.matches("session can't start").count()
            };
            let before = mentions();
            self.site.save(file, &text);
            let what = format!("{file} in the log, at {:?}", step.heading);
            until(&what, async || (mentions() > before).then_some(())).await;
        }
        if begins {
            // The page becomes an application, in the same window. From here on it stays.
            self.browser.gives("return document.querySelector('[ui-app]') !== null", true).await;
            self.browser.run("window.marker = 'never reloaded'").await;
        }
    }

    async fn types(&self, css: &str, text: &str) {
        self.browser.find(css).await.send_keys(text).await.unwrap();
    }

    /// In the place of what is in the field.
    async fn fills(&self, css: &str, text: &str) {
        self.types(css, &format!("{ALL}{text}")).await;
    }

    async fn field(&self, css: &str, value: &str) {
        self.browser.gives(&format!("return document.querySelector('{css}')?.value"), value).await;
    }

    /// The text of each element, without the blanks around it.
    async fn texts(&self, css: &str, texts: &[&str]) {
        let script =
            format!("return [...document.querySelectorAll('{css}')].map((e) => e.textContent.trim())");
        self.browser.gives(&script, json!(texts)).await;
    }

    /// Clicks what is found in the item of the list that has this text in it.
    async fn clicks(&self, item: &str, css: &str) {
        let script = format!(
            "return [...document.querySelectorAll('li')].findIndex((e) => e.textContent.includes('{item}')) + 1"
        );
        let place = until(&format!("an item {item:?}"), async || {
            self.browser.run(&script).await.as_u64().filter(|place| *place > 0)
        })
        .await;
        self.browser.click(&format!("li:nth-child({place}) {css}")).await;
    }

    /// The items with a ticked box.
    async fn ticked(&self, texts: &[&str]) {
        self.texts("li:has(:checked) span", texts).await;
    }

    /// Nothing on the page failed, it is still the same one, and its console has no line but those of the page
    /// before it, which has the status of a failure and no icon. The log warns of nothing but the mistake that
    /// a step makes on purpose, and of the files that the empty directory lacks.
    async fn ends_well(self) {
        let Self { browser, server, .. } = &self;
        let log = server.log();
        let is_expected = |line: &str| {
            ["no such file", "directory does not exist", "expected near 'end'", "to close '('"]
                .iter()
                .any(|words| line.contains(words))
        };
        let is_bad = |line: &&str| line.contains(" WARN ") || line.contains(" ERROR ");
        let warnings: Vec<_> = log.lines().filter(is_bad).filter(|line| !is_expected(line)).collect();
        assert!(warnings.is_empty(), "the log: {warnings:#?}");
        browser.overlay(&[]).await;
        browser.gives("return document.querySelectorAll('[ui-error], [ui-missing]').length", 0).await;
        assert_eq!(browser.run("return window.marker").await, "never reloaded");
        let mut console = browser.console().await;
        // What was reloaded is there for who wants it.
        console.retain(|(level, line)| {
            level != "DEBUG" && !line.contains("/favicon.ico") && !line.contains("Internal Server Error")
        });
        assert!(console.is_empty(), "the console: {console:#?}");
        self.browser.end().await;
    }
}

#[test]
fn every_application_of_the_tutorial_has_a_test() {
    let page = page();
    let headings: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    assert_eq!(headings, ["An adder", "A to-do list", "An address book", "Where to read on"]);
}

const A: &str = "input:first-of-type";
const B: &str = "input:last-of-type";

#[tokio::test]
async fn the_adder_of_the_tutorial_is_built_step_by_step() {
    let Some(reader) = Reader::start().await else { return };
    let browser = &reader.browser;
    for step in steps("An adder", 5) {
        reader.save(&step).await;
        match step.heading.as_str() {
            "Two inputs and a sum" => {
                browser.shows("output", "0").await;
                reader.field(A, "").await;
                reader.types(A, "2").await;
                reader.types(B, &format!("3{ENTER}")).await;
                browser.shows("output", "5").await;
            }
            "At every key" => {
                browser.gives("return document.querySelectorAll('[ui-value$=keypress]').length", 2).await;
                reader.field(A, "2").await;
                reader.field(B, "3").await;
                reader.types(B, "0").await;
                browser.shows("output", "32").await;
            }
            "A mistake" => {
                browser.overlay(&["lua/main.lua:5"]).await;
                reader.types(A, "0").await;
                browser.shows("output", "50").await;
            }
            "Mend it, and say more" => {
                browser.overlay(&[]).await;
                browser.shows("output", "50, and their product is 600").await;
                reader.field(A, "20").await;
                reader.field(B, "30").await;
            }
            "A button" => {
                browser.shows("button", "Clear").await;
                reader.field(A, "20").await;
                reader.field(B, "30").await;
                browser.click("button").await;
                browser.shows("output", "0, and their product is 0").await;
                reader.field(A, "").await;
                reader.field(B, "").await;
            }
            other => panic!("no check for the step {other:?}"),
        }
    }
    reader.ends_well().await;
}

#[tokio::test]
async fn the_to_do_list_of_the_tutorial_is_built_step_by_step() {
    let Some(reader) = Reader::start().await else { return };
    let browser = &reader.browser;
    let new = "form input";
    for step in steps("A to-do list", 5) {
        reader.save(&step).await;
        match step.heading.as_str() {
            "A list, and a form that adds to it" => {
                reader.texts("li span", &["Read the tutorial"]).await;
                reader.types(new, &format!("Buy milk{ENTER}")).await;
                reader.texts("li span", &["Read the tutorial", "Buy milk"]).await;
                reader.field(new, "").await;
                reader.types(new, &format!("Call Ada{ENTER}")).await;
                reader.texts("li span", &["Read the tutorial", "Buy milk", "Call Ada"]).await;
            }
            "Tick them off" => {
                reader.texts("li .task", &["Read the tutorial", "Buy milk", "Call Ada"]).await;
                reader.clicks("Buy milk", "input").await;
                reader.texts(".task.done", &["Buy milk"]).await;
                let line = "return getComputedStyle(document.querySelector('.task.done')).textDecorationLine";
                browser.gives(line, "line-through").await;
            }
            "Remove them" => {
                reader.texts("li button", &["Remove"; 3]).await;
                reader.ticked(&["Buy milk"]).await;
                reader.clicks("Read the tutorial", "button").await;
                reader.texts("li span", &["Buy milk", "Call Ada"]).await;
                reader.ticked(&["Buy milk"]).await;
                reader.types(new, "Water").await;
            }
            "Count the open ones" => {
                browser.shows("h1", "To do (1 open)").await;
                reader.field(new, "Water").await;
                reader.types(new, &format!(" the plants{ENTER}")).await;
                browser.shows("h1", "To do (2 open)").await;
                reader.clicks("Water the plants", "input").await;
                browser.shows("h1", "To do (1 open)").await;
            }
            "A filter" => {
                reader.field("select", "all").await;
                reader.texts("li span", &["Buy milk", "Call Ada", "Water the plants"]).await;
                reader.ticked(&["Buy milk", "Water the plants"]).await;
                browser.find("select").await.select_by_value("open").await.unwrap();
                reader.texts("li span", &["Call Ada"]).await;
                reader.clicks("Call Ada", "input").await;
                reader.texts("li span", &[]).await;
                browser.find("select").await.select_by_value("done").await.unwrap();
                reader.texts("li span", &["Buy milk", "Call Ada", "Water the plants"]).await;
                reader.ticked(&["Buy milk", "Call Ada", "Water the plants"]).await;
            }
            other => panic!("no check for the step {other:?}"),
        }
    }
    reader.ends_well().await;
}

#[tokio::test]
async fn the_address_book_of_the_tutorial_is_built_step_by_step() {
    let Some(reader) = Reader::start().await else { return };
    let browser = &reader.browser;
    let (search, name, phone) = ("[type=search]", "[name=name]", "[name=phone]");
    for step in steps("An address book", 4) {
        reader.save(&step).await;
        match step.heading.as_str() {
            "A list with a search" => {
                reader.texts("li", &["Ada Lovelace", "Alan Turing", "Grace Hopper"]).await;
                reader.types(search, "a").await;
                reader.types(search, "l").await;
                reader.texts("li", &["Alan Turing"]).await;
            }
            "Choose one, and see a form" => {
                reader.texts("li button", &["Alan Turing"]).await;
                reader.field(search, "al").await;
                reader.texts(".form", &[""]).await;
                reader.clicks("Alan Turing", "button").await;
                reader.texts(".chosen", &["Alan Turing"]).await;
                reader.field(name, "Alan Turing").await;
                reader.field("[name=email]", "alan@bletchley.example").await;
                reader.fills(name, &format!("Alan M. Turing{ENTER}")).await;
                reader.texts("li", &["Alan M. Turing"]).await;
            }
            "New and delete" => {
                browser.shows(".new", "New").await;
                reader.texts(".chosen", &["Alan M. Turing"]).await;
                reader.field(name, "Alan M. Turing").await;
                browser.click(".new").await;
                reader.field(search, "").await;
                reader.texts("li", &["Ada Lovelace", "Alan M. Turing", "Grace Hopper", "New person"]).await;
                reader.field(name, "New person").await;
                reader.fills(name, &format!("Barbara Liskov{ENTER}")).await;
                reader
                    .texts("li", &["Ada Lovelace", "Alan M. Turing", "Barbara Liskov", "Grace Hopper"])
                    .await;
                reader.texts(".chosen", &["Barbara Liskov"]).await;
                reader.clicks("Grace Hopper", "button").await;
                reader.field(name, "Grace Hopper").await;
                browser.click(".delete").await;
                reader.texts("li", &["Ada Lovelace", "Alan M. Turing", "Barbara Liskov"]).await;
                reader.texts(".form", &[""]).await;
                browser.gives("return document.querySelector('.delete').checkVisibility()", false).await;
            }
            "One more field" => {
                reader.texts("li", &["Ada Lovelace", "Alan M. Turing", "Barbara Liskov"]).await;
                reader.clicks("Barbara Liskov", "button").await;
                reader.field(phone, "none").await;
                reader.fills(phone, &format!("555-0100{ENTER}")).await;
                reader.fills(search, "0100").await;
                reader.texts("li", &["Barbara Liskov"]).await;
                reader.field(phone, "555-0100").await;
            }
            other => panic!("no check for the step {other:?}"),
        }
    }
    reader.ends_well().await;
}
