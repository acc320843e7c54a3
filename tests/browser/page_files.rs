//! Saved files of `html/`: stylesheets and images are exchanged in the page, for anything else it is loaded again.

use std::fs;

use hotloader_test_support::{chromium::Chromium, server::Server, site::Site};

use crate::SETUP;

const MAIN: &str = "local App = session:prototype('App', { clicks = 0 })\n\
    function App:click() self.clicks = self.clicks + 1 end\n\
    session:createAppVariable(App:new())\n";
const VIEW: &str = r#"<template><link rel="stylesheet" href="/css/view.css">
<p id="count" ui-value="clicks"></p><button ui-action="click()">+</button></template>"#;
const PAGE: &str = r#"<!doctype html><title>own</title><link rel="stylesheet" href="/css/site.css">
<style>@import url("/css/theme.css");</style>
<body><h1>Title</h1><i></i><div ui-app></div><div id="host"></div><img id="logo" src="/logo.svg"><b id="bg"></b>
<script src="/app.js"></script><script type="module" src="/_client/main.js"></script></body>"#;
const APP: &str = "window.version = 1;\n\
    const root = document.getElementById('host').attachShadow({ mode: 'open' });\n\
    root.innerHTML = '<link rel=stylesheet href=/css/shadow.css><u>in</u>';\n";

fn red(selector: &str) -> String {
    format!("{selector} {{ color: rgb(255, 0, 0) }}")
}

fn blue(selector: &str) -> String {
    red(selector).replace("255, 0, 0", "0, 0, 255")
}

fn svg(width: u32) -> String {
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="10"><rect width="9" height="9"/></svg>"#
    )
}

fn site() -> Site {
    let site = Site::with(SETUP, &[("lua/main.lua", MAIN), ("viewdefs/App.DEFAULT.html", VIEW)]);
    fs::create_dir_all(site.path("html/css")).unwrap();
    site.save("html/index.html", PAGE);
    site.save("html/app.js", APP);
    site.save("html/logo.svg", &svg(10));
    site.save("html/css/site.css", &format!("{} #bg {{ background-image: url(../logo.svg) }}", red("h1")));
    site.save("html/css/view.css", &red("#count"));
    site.save("html/css/theme.css", &red("i"));
    site.save("html/css/shadow.css", &red("u"));
    site
}

/// The colour of what a script finds.
fn colour(of: &str) -> String {
    format!("const e = {of}; return e && getComputedStyle(e).color")
}

const RED: &str = "rgb(255, 0, 0)";
const BLUE: &str = "rgb(0, 0, 255)";

#[tokio::test]
async fn a_saved_stylesheet_or_image_is_exchanged_wherever_it_is_and_the_page_stays() {
    let Some(browser) = Chromium::start().await else { return };
    let site = site();
    let server = Server::start(SETUP, &site.dir()).await;
    browser.open(&server).await;
    browser.click("button").await;
    browser.shows("#count", "1").await;
    browser.run("window.marker = 'never reloaded'").await;
    let sheets = [
        ("site", "h1", "document.querySelector('h1')"),
        ("view", "#count", "document.querySelector('#count')"),
        ("theme", "i", "document.querySelector('i')"),
        ("shadow", "u", "document.querySelector('#host').shadowRoot.querySelector('u')"),
    ];
    for (file, selector, element) in sheets {
        browser.gives(&colour(element), RED).await;
        let more = if file == "site" { "#bg { background-image: url(../logo.svg) }" } else { "" };
        site.save(&format!("html/css/{file}.css"), &format!("{} {more}", blue(selector)));
        browser.gives(&colour(element), BLUE).await;
        server.logged(&format!("html/css/{file}.css: exchanged in the pages")).await;
    }
    // One of each is left.
    browser.gives("return document.querySelectorAll('link[rel=stylesheet]').length", 2).await;
    site.save("html/logo.svg", &svg(77));
    browser.gives("return document.querySelector('#logo').naturalWidth", 77).await;
    let background =
        "return getComputedStyle(document.querySelector('#bg')).backgroundImage.includes('hot=')";
    browser.gives(background, true).await;
    browser.shows("#count", "1").await;
    browser.ends_well().await;
}

#[tokio::test]
async fn for_a_script_or_the_page_itself_the_page_is_loaded_again_and_finds_its_session() {
    let Some(browser) = Chromium::start().await else { return };
    let site = site();
    let server = Server::start(SETUP, &site.dir()).await;
    browser.open(&server).await;
    browser.click("button").await;
    browser.shows("#count", "1").await;
    site.edit("html/app.js", "window.version = 1", "window.version = 2");
    browser.gives("return window.version", 2).await;
    browser.shows("#count", "1").await;
    site.edit("html/index.html", "<h1>Title", "<h1>Another");
    browser.shows("h1", "Another").await;
    browser.shows("#count", "1").await;
    assert!(server.log().contains("html/index.html: pages are loaded again"), "{}", server.log());
    browser.end().await;
}

#[tokio::test]
async fn a_page_that_a_site_gets_later_takes_the_place_of_the_built_in_one() {
    let Some(browser) = Chromium::start().await else { return };
    let site = Site::with(
        SETUP,
        &[("lua/main.lua", MAIN), ("viewdefs/App.DEFAULT.html", &VIEW.replace("/css/view.css", "/x.css"))],
    );
    let server = Server::start(SETUP, &site.dir()).await;
    browser.open(&server).await;
    browser.shows("#count", "0").await;
    assert!(!server.log().contains("does not exist"), "html/ may be missing: {}", server.log());
    fs::create_dir_all(site.path("html")).unwrap();
    site.save("html/index.html", PAGE);
    browser.shows("h1", "Title").await;
    browser.end().await;
}
