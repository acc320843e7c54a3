//! [`Chromium`]: a headless browser, driven through chromedriver.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

use fantoccini::{
    Client, ClientBuilder, Locator,
    actions::{InputSource, KeyAction, KeyActions},
    elements::Element,
};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};

use crate::{http, server::Server, until};

/// A browser of one test. The driver ends with the test, and the browser with it.
pub struct Chromium {
    driver: Driver,
    /// Whatever else WebDriver can do.
    pub client: Client,
}

struct Driver {
    child: Child,
    addr: SocketAddr,
}

impl Driver {
    /// On a port of its own choice; `None` if there is no chromedriver.
    fn start() -> Option<Self> {
        let mut command = Command::new("chromedriver");
        command.arg("--port=0").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut driver = Self { child: command.spawn().ok()?, addr: ([127, 0, 0, 1], 0).into() };
        let mut lines = BufReader::new(driver.child.stdout.take()?).lines();
        let port = lines.find_map(|line| {
            line.ok()?.split_once("successfully on port ")?.1.trim_end_matches('.').parse().ok()
        });
        driver.addr.set_port(port?);
        // It would stop at a pipe that nobody reads.
        std::thread::spawn(move || lines.for_each(drop));
        Some(driver)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Chromium {
    /// `None` where there is none, said aloud; with CI=true that is a failure.
    pub async fn start() -> Option<Self> {
        let Some(driver) = Driver::start() else {
            assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "chromedriver is missing");
            eprintln!("SKIPPED: chromedriver is missing (Debian package chromium-driver)");
            return None;
        };
        let args = [
            "--headless",
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--window-size=1200,800",
            // It talks to this machine and to nobody else.
            "--no-proxy-server",
            "--disable-background-networking",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        ];
        let capabilities =
            json!({ "goog:chromeOptions": { "args": args }, "goog:loggingPrefs": { "browser": "ALL" } });
        let Value::Object(capabilities) = capabilities else { unreachable!() };
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://{}", driver.addr))
            .await
            .unwrap();
        Some(Self { driver, client })
    }

    /// Opens a page that is not a session's.
    pub async fn open_at(&self, url: &str) {
        self.client.goto(url).await.unwrap();
    }

    /// Opens the page of a new session.
    pub async fn open(&self, server: &Server) {
        self.client.goto(&server.url()).await.unwrap();
        self.run("window.marker = 'never reloaded'").await;
    }

    /// Runs the body of a function in the page.
    pub async fn run(&self, script: &str) -> Value {
        self.client.execute(script, Vec::new()).await.unwrap()
    }

    /// Waits for the element: a page that was opened just now may not have drawn it yet.
    pub async fn find(&self, css: &str) -> Element {
        until(css, async || self.client.find(Locator::Css(css)).await.ok()).await
    }

    /// Waits until the element is there and takes a click: what is drawn anew in between is looked for again.
    pub async fn click(&self, css: &str) {
        let what = format!("{css} to be clicked");
        until(&what, async || self.client.find(Locator::Css(css)).await.ok()?.click().await.ok()).await;
    }

    /// Waits until the function's body gives this.
    pub async fn gives(&self, script: &str, expected: impl Into<Value>) {
        let expected = expected.into();
        let mut last = Value::Null;
        let what = format!("{script} to give {expected}");
        until(&what, async || {
            last = self.run(script).await;
            (last == expected).then_some(())
        })
        .await;
    }

    /// Waits until the element shows the text.
    pub async fn shows(&self, css: &str, text: &str) {
        self.gives(&format!("return document.querySelector('{css}')?.textContent"), text).await;
    }

    /// Waits until the overlay says all of that; without words, until it is gone.
    pub async fn overlay(&self, words: &[&str]) {
        let text = "return document.querySelector('ui-overlay').shadowRoot.querySelector('section')?.textContent ?? ''";
        until(&format!("an overlay with {words:?}"), async || {
            let text = self.run(text).await;
            let text = text.as_str()?;
            let fits =
                if words.is_empty() { text.is_empty() } else { words.iter().all(|word| text.contains(word)) };
            fits.then_some(())
        })
        .await;
    }

    /// Puts the focus into a field, with the caret at its end, unless it is there.
    pub async fn click_if_not_focused(&self, css: &str) {
        self.find(css).await;
        self.run(&format!(
            "const e = document.querySelector('{css}');
            if (document.activeElement !== e) {{ e.focus(); e.setSelectionRange(e.value.length, e.value.length); }}"
        ))
        .await;
    }

    /// Presses a key, wherever the focus is.
    pub async fn press(&self, character: char) {
        let keys = KeyActions::new("keyboard".into())
            .then(KeyAction::Down { value: character })
            .then(KeyAction::Up { value: character });
        self.client.perform_actions(keys).await.unwrap();
    }

    /// The page is the one that was opened, and its console has no errors. Ends the browser.
    pub async fn ends_well(self) {
        assert_eq!(self.run("return window.marker").await, "never reloaded");
        let errors = self.errors().await;
        assert!(errors.is_empty(), "the console: {errors:?}");
        self.end().await;
    }

    /// What the console complains about.
    pub async fn errors(&self) -> Vec<String> {
        let entries = self.console().await.into_iter();
        entries.filter(|(level, _)| level == "SEVERE").map(|(_, message)| message).collect()
    }

    /// What the console says: levels and messages.
    pub async fn console(&self) -> Vec<(String, String)> {
        let entries = self.ask_driver("se/log", json!({ "type": "browser" })).await;
        let entries = entries.as_array().unwrap().iter();
        let text = |entry: &Value, name: &str| entry[name].as_str().unwrap_or_default().to_owned();
        entries.map(|entry| (text(entry, "level"), text(entry, "message"))).collect()
    }

    /// Gives a command of Chromium's own protocol.
    pub async fn command(&self, name: &str, params: Value) -> Value {
        self.ask_driver("goog/cdp/execute", json!({ "cmd": name, "params": params })).await
    }

    /// What goes beyond the standard of drivers.
    async fn ask_driver(&self, what: &str, body: Value) -> Value {
        let session = self.client.session_id().await.unwrap().unwrap();
        let path = format!("/session/{session}/{what}");
        let json = [("Content-Type", "application/json")];
        let answer = http::ask(self.driver.addr, "POST", &path, &json, &body.to_string()).await;
        serde_json::from_str::<Value>(&answer.body).unwrap()["value"].take()
    }

    /// Ends the browser.
    pub async fn end(self) {
        self.client.close().await.unwrap();
    }
}
