//! What a site is made of, through the built-in client and the real server: each attribute, lists, typing
//! while files are saved, and several tabs.

use hotloader_test_support::{chromium::Chromium, server::Server, site::Site};
use serde_json::json;

use crate::SETUP;

/// One object with something for each attribute.
const MAIN: &str = r##"
local Person = session:prototype("Person", { name = "" })
local App = session:prototype("App", {
  text = "some text", number = 3, range = 40, day = "2024-02-29", checked = true, radio = "b", choice = "two",
  note = "two\nlines", eager = "", component = "from Lua", done = true, width = "50%", hint = "a hint",
  markup = "<b>bold</b>", instead = "<i>in place</i>", code = "element.textContent = 'run ' + typeof store",
  log = "begin", calls = "", stars = 2,
})
function App:summary()
  local tags = table.concat(self.tags, "+")
  return ("%s|%s|%s|%s|%s|%s|%s|%s|%s|%s|%s"):format(self.text, self.number, self.range, self.day,
    tostring(self.checked), self.radio, self.choice, tags, self.note:gsub("\n", "/"), self.component, self.stars)
end
function App:say(what) self.calls = self.calls .. what .. " " end
function App:clicked() self:say("clicked") end
function App:picked(value) self:say("picked:" .. value) end
function App:entered() self:say("entered:" .. self.eager) end
function App:pressed(key) self:say("pressed:" .. key) end
function App:hovered() self:say("hovered") end
function App:grow() self.log = self.log .. ("\nline"):rep(40) end
if not session:getApp() then
  session:createAppVariable(App:new {
    tags = { "x" }, owner = Person:new { name = "Ada" },
    people = { Person:new { name = "Bob" }, Person:new { name = "Cleo" } },
  })
end
"##;

const APP: &str = r##"<template>
  <style>pre { height: 40px; overflow: auto }</style>
  <script>
    customElements.get("x-field") || customElements.define("x-field", class extends HTMLElement { value = ""; });
    customElements.get("x-rating") || customElements.define("x-rating", class extends HTMLElement { value = 0; });
    window.scripted = document.querySelector("#summary") !== null;
  </script>
  <p id="summary" ui-value="summary()"></p> <p id="calls" ui-value="calls"></p>
  <input id="text" ui-value="text"> <input id="number" type="number" ui-value="number">
  <input id="range" type="range" ui-value="range"> <input id="day" type="date" ui-value="day">
  <input id="checked" type="checkbox" ui-value="checked">
  <input id="a" type="radio" name="r" value="a" ui-value="radio"> <input id="b" type="radio" name="r" value="b" ui-value="radio">
  <select id="choice" ui-value="choice"><option>one</option><option>two</option></select>
  <select id="tags" multiple ui-value="tags"><option>x</option><option>y</option></select>
  <textarea id="note" ui-value="note"></textarea>
  <input id="eager" ui-value="eager?keypress" ui-event-keypress-enter="entered()">
  <x-field id="field" ui-value="component"></x-field> <x-rating id="rating" ui-value="stars"></x-rating>
  <button id="click" ui-action="clicked()">click</button> <button id="pick" ui-action="picked(_)" value="red">pick</button>
  <div id="keys" tabindex="0" ui-event-keypress-ctrl-k="pressed(_)" ui-event-mouseenter="hovered()">keys</div>
  <i id="attributes" ui-attr-title="hint" ui-class-done="done" ui-style-width="width"></i>
  <div id="markup" ui-html="markup"></div> <div id="around"><span ui-html="instead?replace"></span></div>
  <p id="code" ui-code="code"></p> <pre ui-value="log?scrollOnOutput"></pre> <button id="grow" ui-action="grow()">grow</button>
  <section ui-namespace="short"><div id="owner" ui-view="owner"></div></section> <div id="whole" ui-view="owner"></div>
  <ul ui-viewlist="people"></ul>
</template>"##;

#[tokio::test]
async fn every_attribute_shows_and_sends() {
    let Some(browser) = Chromium::start().await else { return };
    let site = Site::with(
        SETUP,
        &[
            ("lua/main.lua", MAIN),
            ("viewdefs/App.DEFAULT.html", APP),
            ("viewdefs/Person.DEFAULT.html", "<template>whole <b ui-value=\"name\"></b></template>"),
            ("viewdefs/Person.short.html", "<template><b ui-value=\"name\"></b></template>"),
            ("viewdefs/Person.list-item.html", "<template>item <b ui-value=\"name\"></b></template>"),
        ],
    );
    let server = Server::start(SETUP, &site.dir()).await;
    browser.open(&server).await;
    browser.shows("#summary", "some text|3|40|2024-02-29|true|b|two|x|two/lines|from Lua|2").await;
    let looks = "const q = (css) => document.querySelector(css);
        return [q('#text').value, q('#number').value, q('#range').value, q('#day').value, q('#checked').checked,
            q('#b').checked, q('#choice').value, q('#tags').value, q('#note').value, q('#field').value, q('#rating').value,
            q('#attributes').title, q('#attributes').className, q('#attributes').style.width, q('#markup').innerHTML,
            q('#around').innerHTML, q('#code').textContent, window.scripted]";
    let expected = json!([
        "some text",
        "3",
        "40",
        "2024-02-29",
        true,
        true,
        "two",
        "x",
        "two\nlines",
        "from Lua",
        2,
        "a hint",
        "done",
        "50%",
        "<b>bold</b>",
        "<i>in place</i>",
        "run object",
        true
    ]);
    browser.gives(looks, expected).await;
    let views = "return ['#owner', '#whole', 'li:first-child', 'li:last-child'].map((css) => document.querySelector(css)?.textContent)";
    browser.gives(views, json!(["Ada", "whole Ada", "item Bob", "item Cleo"])).await;

    browser.find("#text").await.send_keys("!").await.unwrap();
    browser.find("#number").await.send_keys("1").await.unwrap();
    let change = |css: &str, assignment: &str, event: &str| {
        format!(
            "const e = document.querySelector('{css}'); e.{assignment}; for (const name of ['input', '{event}']) e.dispatchEvent(new Event(name))"
        )
    };
    browser.run(&change("#range", "value = 60", "change")).await;
    browser.run(&change("#day", "value = '2025-01-01'", "change")).await;
    browser.click("#checked").await;
    browser.click("#a").await;
    browser.find("#choice").await.select_by_label("one").await.unwrap();
    browser.run(&change("#tags", "options[1].selected = true", "change")).await;
    browser.find("#note").await.send_keys("!").await.unwrap();
    browser.run(&change("#field", "value = 'by hand'", "x-change")).await;
    browser.run(&change("#rating", "value = 5", "x-change")).await;
    browser.run("document.activeElement.blur()").await;
    browser.shows("#summary", "some text!|31|60|2025-01-01|false|a|one|x+y|two/lines!|by hand|5").await;

    browser.click("#click").await;
    browser.click("#pick").await;
    browser.find("#eager").await.send_keys("now\u{E007}").await.unwrap();
    browser.find("#keys").await.send_keys("\u{E009}k\u{E000}").await.unwrap();
    browser.run("document.querySelector('#keys').dispatchEvent(new Event('mouseenter'))").await;
    browser
        .gives(
            "return document.querySelector('#calls').textContent.split(' ').filter((w, i, all) => all.indexOf(w) === i).sort().join(' ').trim()",
            "clicked entered:now hovered picked:red pressed:k",
        )
        .await;
    browser.click("#grow").await;
    browser
        .gives("const e = document.querySelector('pre'); return e.scrollTop > 0 && e.scrollTop + e.clientHeight >= e.scrollHeight - 1", true)
        .await;
    browser.ends_well().await;
}

#[tokio::test]
async fn typing_while_files_are_saved_loses_no_character() {
    let Some(browser) = Chromium::start().await else { return };
    let main = "local App = session:prototype('App', { now = '', later = '' })
function App:label() return 'label 0' end
function App:echo() return self.now .. '/' .. self.later end
if not session:getApp() then session:createAppVariable(App:new {}) end\n";
    let view = "<template><h1>view 0</h1><h2 ui-value=\"label()\"></h2><p ui-value=\"echo()\"></p>
        <input id=now ui-value=\"now?keypress\"><input id=later ui-value=\"later\"></template>";
    let site = Site::with(SETUP, &[("lua/main.lua", main), ("viewdefs/App.DEFAULT.html", view)]);
    let server = Server::start(SETUP, &site.dir()).await;
    browser.open(&server).await;
    browser.shows("h2", "label 0").await;
    let words = "no character of this is lost";
    for css in ["#now", "#later"] {
        for (i, character) in words.chars().enumerate() {
            // Found anew each time: a saved viewdef replaces the field under the fingers.
            browser.click_if_not_focused(css).await;
            if i % 2 == 0 {
                site.save("lua/main.lua", &main.replace("label 0", &format!("label {i}")));
            } else {
                site.save("viewdefs/App.DEFAULT.html", &view.replace("view 0", &format!("view {i}")));
            }
            browser.press(character).await;
        }
    }
    browser.run("document.activeElement.blur()").await;
    browser.shows("p", &format!("{words}/{words}")).await;
    browser.shows("h1", &format!("view {}", words.len() - 1)).await;
    browser.shows("h2", &format!("label {}", words.len() - 2)).await;
    browser.ends_well().await;
}

#[tokio::test]
async fn a_list_is_reordered_by_moving_its_elements() {
    let Some(browser) = Chromium::start().await else { return };
    let main = "local Row = session:prototype('Row', { name = '' })
local App = session:prototype('App', {})
function App:turn()
  local turned = {}
  for i, row in ipairs(self.rows) do turned[#self.rows + 1 - i] = row end
  self.rows = turned
end
function App:rotate() table.insert(self.rows, 1, table.remove(self.rows)) end
function App:drop() table.remove(self.rows, 1) end
if not session:getApp() then
  local rows = {}
  for i = 1, 190 do rows[i] = Row:new { name = 'row ' .. i } end
  session:createAppVariable(App:new { rows = rows })
end\n";
    let site = Site::with(
        SETUP,
        &[
            ("lua/main.lua", main),
            (
                "viewdefs/App.DEFAULT.html",
                "<template><button id=turn ui-action=\"turn()\">t</button>
            <button id=rotate ui-action=\"rotate()\">r</button><button id=drop ui-action=\"drop()\">d</button>
            <ul ui-viewlist=\"rows?whole\"></ul></template>",
            ),
            (
                "viewdefs/Row.list-item.html",
                "<template><span ui-value=\"name\"></span> <input ui-value=\"name\"></template>",
            ),
        ],
    );
    let server = Server::start(SETUP, &site.dir()).await;
    browser.open(&server).await;
    browser.gives("return document.querySelectorAll('li span').length", 190).await;
    browser.shows("li:last-child span", "row 190").await;
    browser.run("document.querySelectorAll('li').forEach((li) => (li.mark = li.textContent.trim()))").await;
    let order = "const all = [...document.querySelectorAll('li')];
        return [all.length, all[0].textContent.trim(), all.at(-1).textContent.trim(), all.every((li) => li.mark === li.textContent.trim())]";
    browser.click("#turn").await;
    browser.gives(order, json!([190, "row 190", "row 1", true])).await;
    browser.click("#rotate").await;
    browser.gives(order, json!([190, "row 1", "row 2", true])).await;
    browser.click("#drop").await;
    browser.gives(order, json!([189, "row 190", "row 2", true])).await;
    // The field goes on standing for the same row, and the server knows it.
    browser.find("li:last-child input").await.send_keys("!\u{E007}").await.unwrap();
    browser.shows("li:last-child span", "row 2!").await;
    browser.click("#turn").await;
    browser.shows("li:first-child span", "row 2!").await;
    browser.ends_well().await;
}

#[tokio::test]
async fn ten_saves_in_a_row_end_with_the_last_one() {
    let Some(browser) = Chromium::start().await else { return };
    let site = Site::new(SETUP);
    let server = Server::start(SETUP, &site.dir()).await;
    browser.open(&server).await;
    browser.shows("p", "first").await;
    let main = site.read("lua/main.lua");
    for round in 0..2 {
        for i in 1..=10 {
            site.save("lua/main.lua", &main.replace("\"first\"", &format!("\"save {round}.{i}\"")));
        }
        browser.shows("p", &format!("save {round}.10")).await;
    }
    browser.ends_well().await;
}

#[tokio::test]
async fn two_tabs_of_one_session_show_the_same() {
    let Some(browser) = Chromium::start().await else { return };
    let site = Site::new(SETUP);
    site.save(
        "viewdefs/App.DEFAULT.html",
        "<template><p ui-value=\"label()\"></p><button ui-action=\"click()\"><b ui-value=\"count\"></b></button></template>",
    );
    let server = Server::start(SETUP, &site.dir()).await;
    browser.open(&server).await;
    browser.shows("b", "0").await;
    let session = browser.client.current_url().await.unwrap();
    let first = browser.client.window().await.unwrap();
    let second = browser.client.new_window(true).await.unwrap().handle;
    browser.client.switch_to_window(second.clone()).await.unwrap();
    browser.client.goto(session.as_str()).await.unwrap();
    browser.run("window.marker = 'never reloaded'").await;
    browser.shows("b", "0").await;
    browser.click("button").await;
    browser.shows("b", "1").await;
    browser.client.switch_to_window(first).await.unwrap();
    browser.shows("b", "1").await;
    browser.click("button").await;
    site.edit("lua/main.lua", "\"first\"", "\"second\"");
    browser.shows("p", "second").await;
    browser.client.switch_to_window(second).await.unwrap();
    browser.shows("b", "2").await;
    browser.shows("p", "second").await;
    browser.ends_well().await;
}

#[tokio::test]
async fn the_overlays_button_restarts_the_session() {
    let Some(browser) = Chromium::start().await else { return };
    let site = Site::new(SETUP);
    site.save(
        "viewdefs/App.DEFAULT.html",
        "<template><button ui-action=\"click()\"><b ui-value=\"count\"></b></button></template>",
    );
    let server = Server::start(SETUP, &site.dir()).await;
    browser.open(&server).await;
    browser.click("button").await;
    browser.shows("b", "1").await;
    browser
        .run(
            "uiApp.getStore().receive([{ type: 'reload', data: { status: 'failed', offerRestart: true,
                errors: [{ file: 'lua/main.lua', line: 1, message: 'no', sessions: 1 }] } }]);
            document.querySelector('ui-overlay').shadowRoot.querySelector('header button').click()",
        )
        .await;
    browser.shows("b", "0").await;
    assert!(browser.run("return window.marker ?? null").await.is_null(), "the page has been rendered anew");
    browser.run("window.marker = 'never reloaded'").await;
    browser.ends_well().await;
}
