// The notice at the foot of the page: the server cannot be reached, or the state is a new one.

import { addToPage, make } from "./shadow.js";

const STYLE = `
p { position: fixed; inset: auto 0 1rem; margin: auto; width: fit-content; z-index: 2147483646;
padding: .4rem .9rem; border-radius: 2rem; background: #222; color: #fff; font: 14px system-ui, sans-serif; }
p:empty { display: none; }`;

/** How long (ms) it is said that the state is new. */
const NEWS = 3000;

/** @param {boolean} isNew the page took the place of one whose session had ended @returns {(online: boolean) => void} */
export function createNotice(isNew) {
  const text = make("p");
  text.role = "status"; // which is announced politely
  addToPage("ui-notice", STYLE, text);
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  return (online) => {
    clearTimeout(timer);
    if (online && isNew) {
      isNew = false;
      text.textContent = "The session had ended: the application has begun anew, and its state is new.";
      timer = setTimeout(() => (text.textContent = ""), NEWS);
    } else if (online) text.textContent = "";
    // A reconnect within half a second need not be shown.
    else timer = setTimeout(() => (text.textContent = "Offline. Trying to reconnect…"), 500);
  };
}
