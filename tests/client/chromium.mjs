// A headless Chromium, driven through chromedriver's HTTP interface.

import { spawn } from "node:child_process";

/** Starts a browser, or gives null where there is none. */
export async function startBrowser() {
  const driver = spawn("chromedriver", ["--port=0"], { stdio: ["ignore", "pipe", "ignore"] });
  const port = await new Promise((done) => {
    driver.on("error", () => done(null));
    driver.on("exit", () => done(null));
    let output = "";
    driver.stdout.on("data", (data) => {
      output += data;
      const match = /on port (\d+)/.exec(output.replace("port 0", ""));
      if (match) done(match[1]);
    });
  });
  if (!port) return null;

  const call = async (method, path, body) => {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`, { method, body: body && JSON.stringify(body) });
    const { value } = await answer.json();
    if (value?.error) throw new Error(`${value.error}: ${value.message}`);
    return value;
  };
  const args = ["--headless", "--no-sandbox", "--disable-gpu", "--window-size=1100,900"];
  const { sessionId } = await call("POST", "/session", {
    capabilities: { alwaysMatch: { "goog:chromeOptions": { args }, "goog:loggingPrefs": { browser: "ALL" } } },
  });
  const session = `/session/${sessionId}`;
  const element = async (css) =>
    Object.values(await call("POST", `${session}/element`, { using: "css selector", value: css }))[0];

  return {
    open: (url) => call("POST", `${session}/url`, { url }),
    /** Runs the body of a function in the page. */
    run: (script, ...args) => call("POST", `${session}/execute/sync`, { script, args }),
    click: async (css) => call("POST", `${session}/element/${await element(css)}/click`, {}),
    /** Waits until the element takes keys: one that was just made may not have been laid out. */
    type: async (css, text) => {
      const end = Date.now() + 5000;
      for (;;) {
        try {
          return await call("POST", `${session}/element/${await element(css)}/value`, { text });
        } catch (error) {
          if (!error.message.startsWith("element not interactable") || Date.now() > end) throw error;
        }
      }
    },
    /** Presses and releases a key, wherever the focus is. */
    key: (value) => call("POST", `${session}/actions`, {
      actions: [{ type: "key", id: "keyboard", actions: [{ type: "keyDown", value }, { type: "keyUp", value }] }],
    }),
    /** What the console has said since the last call. */
    log: () => call("POST", `${session}/se/log`, { type: "browser" }),
    /** Of the page itself, without what is around it. */
    resize: async (width, height) => {
      await call("POST", `${session}/goog/cdp/execute`, {
        cmd: "Emulation.setDeviceMetricsOverride", params: { width, height, deviceScaleFactor: 1, mobile: false },
      });
    },
    /** @param {"light" | "dark"} scheme that the person prefers */
    prefer: (scheme) => call("POST", `${session}/goog/cdp/execute`, {
      cmd: "Emulation.setEmulatedMedia", params: { features: [{ name: "prefers-color-scheme", value: scheme }] },
    }),
    screenshot: async () => Buffer.from(await call("GET", `${session}/screenshot`), "base64"),
    async close() {
      await call("DELETE", session).catch(() => {});
      driver.kill();
    },
  };
}

/** Polls until `check` gives something true. */
export async function until(what, check, deadline = 5000) {
  const end = Date.now() + deadline;
  for (;;) {
    const result = await check();
    if (result) return result;
    if (Date.now() > end) throw new Error(`waited ${deadline} ms for ${what}`);
    await new Promise((done) => setTimeout(done, 10));
  }
}
