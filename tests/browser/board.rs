//! What the sample site shows off: a wrapper, several ways to show a card, a web component.

use hotloader_test_support::{chromium::Chromium, server::Server};
use serde_json::json;

use crate::{SETUP, sample};

#[tokio::test]
async fn cards_overtake_each_other_in_the_race_and_keep_their_elements() {
    let Some(browser) = Chromium::start().await else { return };
    let site = sample();
    let server = Server::start(SETUP, &site.dir()).await;
    browser.open(&server).await;
    let lanes =
        "return [...document.querySelectorAll('.lane')].map((e) => e.innerText.replace(/\\s+/g, ' ').trim())";
    browser.gives(lanes, json!(["Change the greeting in main.lua 3", "Add a colour in card.lua 2"])).await;
    browser.run("window.lane = document.querySelectorAll('.lane')[1]").await;
    let vote = "document.querySelectorAll('.vote')[2].click()";
    browser.run(vote).await;
    browser.run(vote).await;
    browser.gives(lanes, json!(["Add a colour in card.lua 4", "Change the greeting in main.lua 3"])).await;
    assert_eq!(browser.run("return document.querySelector('.lane') === window.lane").await, json!(true));
    browser
        .gives("return getComputedStyle(document.querySelector('.race')).getPropertyValue('--most')", "4")
        .await;

    // The wrapper is code like any other.
    site.edit("lua/race.lua", "return a.votes > b.votes", "return a.votes < b.votes");
    browser.gives(lanes, json!(["Change the greeting in main.lua 3", "Add a colour in card.lua 4"])).await;
    browser.ends_well().await;
}

#[tokio::test]
async fn a_colour_that_is_added_in_lua_is_a_dot_more_to_choose() {
    let Some(browser) = Chromium::start().await else { return };
    let site = sample();
    let server = Server::start(SETUP, &site.dir()).await;
    browser.open(&server).await;
    let dots = "const dots = document.querySelector('color-dots');
        return [...dots.shadowRoot.querySelectorAll('input')].map((e) => e.value + (e.checked ? '!' : ''))";
    browser.gives(dots, json!(["blue!", "green", "grey", "orange"])).await;
    site.edit("lua/card.lua", "  blue = ", "  pink = \"#d6409f\",\n  blue = ");
    browser.gives(dots, json!(["blue!", "green", "grey", "orange", "pink"])).await;
    browser
        .run("document.querySelector('color-dots').shadowRoot.querySelector('[value=pink]').click()")
        .await;
    browser.find("form .grow").await.send_keys("rosy\u{E007}").await.unwrap();
    let first = "const card = document.querySelector('.card');
        return [card.querySelector('.title').value, card.style.getPropertyValue('--accent')]";
    browser.gives(first, json!(["rosy", "#d6409f"])).await;
    browser.ends_well().await;
}
