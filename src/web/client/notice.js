// The word at the foot of the page while the server cannot be reached.

import { shadowHost } from "./shadow.js";

const PATIENCE = 500; // a reconnect within this many ms is nobody's business

const STYLE = `
  p { position: fixed; inset: auto 0 1rem; margin: auto; width: fit-content; z-index: 2147483646;
      padding: .4rem .9rem; border-radius: 2rem; background: #222; color: #fff;
      font: 14px system-ui, sans-serif; box-shadow: 0 2px 12px #0006; }
  p:empty { display: none; }
  a { color: #9db8ff; }`;

/** @returns {(state: import("./connection.js").State) => void} */
export function createNotice() {
  const root = shadowHost("ui-notice", STYLE);
  const text = document.createElement("p");
  text.setAttribute("role", "status");
  root.append(text);
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;

  return (state) => {
    if (state === "offline") {
      timer ??= setTimeout(() => text.replaceChildren("Offline. Trying to reconnect…"), PATIENCE);
      return;
    }
    clearTimeout(timer);
    timer = undefined;
    text.replaceChildren();
    if (state === "ended") {
      const link = document.createElement("a");
      link.href = "/";
      link.textContent = "Start a new one";
      text.append("This session has ended. ", link);
    }
  };
}
