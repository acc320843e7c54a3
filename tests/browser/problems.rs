//! What the author sees of names that lead nowhere and of code that fails while the page is used.

use hotloader_test_support::{chromium::Chromium, server::Server, site::Site};

use crate::SETUP;

const MAIN: &str = "local App = session:prototype('App', { name = 'Ada', broken = false })\n\
    function App:greet() if self.broken then error('no greeting') end return 'Hello, ' .. self.name end\n\
    function App:toggle() self.broken = not self.broken end\n\
    session:createAppVariable(App:new())\n";
const VIEW: &str = "<template>\n<h1 ui-value=\"greet()\"></h1>\n<input id=\"typo\" ui-value=\"nmae\">\n\
    <button id=\"toggle\" ui-action=\"toggle()\">toggle</button>\n</template>";

const ENTER: char = '\u{E007}';
const ESCAPE: char = '\u{E00C}';

/// Runs in the shadow root of what shows problems.
fn shown(script: &str) -> String {
    format!("const root = document.querySelector('ui-problems')?.shadowRoot; return root && ({script})")
}

#[tokio::test]
async fn a_misspelt_name_and_a_failing_getter_are_marked_opened_by_keyboard_and_gone_when_mended() {
    let Some(browser) = Chromium::start().await else { return };
    let site = Site::with(SETUP, &[("lua/main.lua", MAIN), ("viewdefs/App.DEFAULT.html", VIEW)]);
    let server = Server::start(SETUP, &site.dir()).await;
    browser.open(&server).await;
    browser.shows("h1", "Hello, Ada").await;
    let summary = shown("root.querySelector('summary').textContent");
    browser.gives(&summary, "1 problem").await;
    browser.gives(&shown("root.querySelector('details').open"), false).await;
    server
        .logged("viewdefs/App.DEFAULT.html:3: App has no field or method \"nmae\"; did you mean \"name\"?")
        .await;

    browser.click("#toggle").await;
    browser.gives(&summary, "2 problems").await;
    server.logged("a getter failed: lua/main.lua:2: no greeting").await;
    // The marks are reached by the keyboard, and open what is to be said.
    browser.gives(&shown("root.querySelectorAll('.mark:not([hidden])').length"), 2).await;
    browser.run("document.querySelector('ui-problems').shadowRoot.querySelector('.mark').focus()").await;
    browser.press(ENTER).await;
    browser.gives(&shown("root.querySelector('details').open"), true).await;
    let focused =
        shown("root.activeElement.localName + root.activeElement.textContent.includes('no greeting')");
    browser.gives(&focused, "articletrue").await;
    browser.press(ESCAPE).await;
    browser
        .gives(&shown("root.querySelector('details').open + root.activeElement.className"), "falsemark")
        .await;
    // What is typed into the misspelt input makes no field.
    browser.find("#typo").await.send_keys("x\u{E004}").await.unwrap();
    browser
        .gives(
            "return document.querySelector('#typo').getAttribute('ui-error')?.includes('did you mean')",
            true,
        )
        .await;

    browser.click("#toggle").await;
    browser.gives(&summary, "1 problem").await;
    site.edit("viewdefs/App.DEFAULT.html", "nmae", "name");
    browser.gives(&shown("root.querySelector('details').hidden"), true).await;
    browser.gives("return document.querySelector('#typo').value", "Ada").await;
    assert_eq!(server.log().matches("no greeting").count(), 2, "the line, and its excerpt: {}", server.log());
    browser.end().await;
}
