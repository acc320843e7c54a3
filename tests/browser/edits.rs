//! The edits that docs/hot-reload.md proposes for the sample site, one after the other on one page.

use std::fs;

use hotloader_test_support::{chromium::Chromium, server::Server};
use serde_json::json;

use crate::{CLICK, COUNT, SETUP, sample};

/// The docs name a file and a line: what is proposed is about that line.
fn proposed(file: &str, what: &str) -> String {
    let docs = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/hot-reload.md")).unwrap();
    let row = docs.lines().find(|row| row.starts_with(&format!("| `{file}`, line ")) && row.contains(what));
    let row = row.unwrap_or_else(|| panic!("docs/hot-reload.md proposes no {what:?} in {file}"));
    let line = row.split("line ").nth(1).and_then(|rest| rest.split(':').next()).unwrap();
    let line: usize = line.parse().unwrap();
    let source = fs::read_to_string(format!("{}/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    source.lines().nth(line - 1).unwrap_or_else(|| panic!("{file} has no line {line}")).to_owned()
}

#[tokio::test]
async fn each_edit_that_the_docs_propose_does_what_they_say() {
    let Some(browser) = Chromium::start().await else { return };
    let site = sample();
    let server = Server::start(SETUP, &site.dir()).await;
    browser.open(&server).await;
    browser.click(CLICK).await;
    browser.click(CLICK).await;
    browser.shows(COUNT, "Clicked 2 times").await;
    let stars = "return [...document.querySelectorAll('.stars')].map((e) => e.textContent).filter((t) => t)";

    // 1: a method.
    let line = proposed("lua/main.lua", "other words");
    site.edit("lua/main.lua", &line, "  return 'New words'");
    browser.shows("h1", "New words").await;
    browser.shows(COUNT, "Clicked 2 times").await;

    // 2: what is no Lua. 3: what fails half-way.
    let good = site.read("lua/main.lua");
    let last = good.lines().count() + 1;
    site.save("lua/main.lua", &format!("{good}function x(\n"));
    browser.overlay(&[&format!("lua/main.lua:{last}")]).await;
    browser.click(CLICK).await;
    browser.shows(COUNT, "Clicked 3 times").await;
    let broken = "App.counted = nil; session:getApp().clicks = 0; error(\"no\")";
    let docs = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/hot-reload.md")).unwrap();
    assert!(docs.contains(broken));
    site.save("lua/main.lua", &format!("{good}{broken}\n"));
    browser.overlay(&[&format!("lua/main.lua:{last}"), "no"]).await;
    browser.click(CLICK).await;
    browser.shows(COUNT, "Clicked 4 times").await;
    site.save("lua/main.lua", &good);
    browser.overlay(&[]).await;

    // 4: a module that was required long ago.
    let line = proposed("lua/text.lua", "another character");
    site.edit("lua/text.lua", &line, &line.replace('★', "+"));
    browser.gives(stars, json!(["++", "+++"])).await;
    // 5: a function that was captured.
    let line = proposed("lua/text.lua", "-fold");
    site.edit("lua/text.lua", &line, "  return n .. '-fold'");
    browser.shows(COUNT, "Clicked 4-fold").await;
    // 6: a value that was edited. 7: a local that starts over.
    let line = proposed("lua/text.lua", "text.LIMIT = 2");
    site.edit("lua/text.lua", &line, "text.LIMIT = 2");
    browser.gives(stars, json!(["++", "++"])).await;
    // The wrapper, and a colour: what the table says between those and the timer's.
    let line = proposed("lua/race.lua", "in place of `>`");
    let titles = "return [...document.querySelectorAll('.lane span:first-child')].map((e) => e.textContent)";
    let race = json!(["Change the greeting in main.lua", "Add a colour in card.lua"]);
    browser.gives(titles, race.clone()).await;
    site.edit("lua/race.lua", &line, &line.replace("a.votes > b", "a.votes < b"));
    browser.gives(titles, json!([race[1], race[0]])).await;
    let line = proposed("lua/card.lua", "before it a new one");
    site.edit("lua/card.lua", &line, &format!("  pink = \"#d6409f\",\n{line}"));
    let dots = "return document.querySelector('color-dots').shadowRoot.querySelectorAll('input').length";
    browser.gives(dots, 5).await;
    // 8: a timer.
    let line = proposed("lua/main.lua", "`100`");
    assert!(line.contains("1000"), "{line}");
    site.edit("lua/main.lua", &line, &line.replace("1000", "100"));
    browser.gives("return Number(document.querySelector('.clock small span').textContent) > 4", true).await;
    // Among others that the page was never loaded again.
    browser.ends_well().await;
}
